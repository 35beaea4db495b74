"""OAuth 2.0 as banks and peers speak it: forms, refusals, bearer tokens and what can be wrong with them.

In: requests to a token endpoint, and requests that carry a token. Out: answers by RFC 6749 §5, and what a token was
granted for (RFC 6750 §2.1: the Authorization header alone). sandbox/banks.py and sandbox/peer_region.py use it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.faults import Fault
from sandbox.upstream import only, without, wrong_in
from sandbox.wire import Answer

TOKEN = "token"  # noqa: S105 - the service's name in faults and calls
TOKEN_SECONDS = 300.0
TOKEN_FAULTS = ("token_refused", "wrong_token_type", "missing_key", "wrong_type")
NO_STORE = {"Cache-Control": "no-store"}

Grant = TypeVar("Grant")


class Tokens(Generic[Grant]):
    """Access tokens in force, each with what it was granted for. `clock` gives Unix seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._granted: dict[str, tuple[Grant, float]] = {}

    def issue(self, grant: Grant, fault: Fault | None, **more: Any) -> Answer:
        """A new token as the endpoint answers it (RFC 6749 §5.1), or what a fault makes of that."""
        now, token = self._clock(), secrets.token_urlsafe(24)
        self._granted = {old: kept for old, kept in self._granted.items() if kept[1] > now}
        self._granted[token] = (grant, now + self._seconds)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": int(self._seconds), **more}
        if fault is not None and fault.fault == "wrong_token_type":
            body["token_type"] = fault.text or "DPoP"
        elif fault is not None and fault.fault == "missing_key":
            without(body, fault.key or "access_token")
        elif fault is not None and fault.fault == "wrong_type":
            wrong_in(body, fault.key or "expires_in")
        return Answer(body, headers=NO_STORE)

    def granted(self, request: web.Request) -> Grant | None:
        """What the request's token was granted for; None without one that is in force."""
        scheme, _, token = only(request, "Authorization").partition(" ")
        grant, end = self._granted.get(token, (None, 0.0)) if scheme.lower() == "bearer" else (None, 0.0)
        return grant if self._clock() < end else None

    def refused(self, request: web.Request, fault: Fault | None) -> bool:
        """Whether the request has no token in force. token_refused ends it for good: trying it again is no use."""
        if fault is not None and fault.fault == "token_refused":
            self.end_all()
        return self.granted(request) is None

    def end_all(self) -> None:
        """Let every token end now, as a restart of the upstream might."""
        self._granted.clear()


CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


def unauthorised() -> Answer:
    """The answer to a call without a token in force (RFC 6750 §3)."""
    return Answer({"error": "invalid_token"}, 401, CHALLENGE)


async def form_of(request: web.Request) -> Mapping[str, str] | None:
    """The parameters of a form; None where it is none, or where a parameter comes twice (RFC 6749 §3.2)."""
    if request.content_type != "application/x-www-form-urlencoded":
        return None
    try:
        text = (await request.read()).decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=20)
    except ValueError:
        return None
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else None


def refusal(error: str, reason: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Answer:
    """A refusal of the token endpoint (RFC 6749 §5.2)."""
    return Answer({"error": error, "error_description": reason}, status, {**NO_STORE, **(headers or {})})
