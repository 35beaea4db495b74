"""The banks as a server: consent first, a request under a key of its own, an answer at once or later.

By the banks' wire contract (docs/connectors.md), and from it alone. In: a client's form for a token, requests for
summaries, polls. Out: summaries, "pending", refusals, or what a fault on request makes of them. sandbox/server.py
starts it.
"""

from __future__ import annotations

import base64
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from sandbox.banks_answers import (
    ANSWER_FAULTS,
    POLL,
    SERVICES,
    SPOILED,
    SUMMARIES,
    failure,
    filler,
    pending,
    refused_by,
    refused_consent,
    summary_answer,
)
from sandbox.banks_data import BankData, GivenSummaries, Known, Pending
from sandbox.faults import Fault
from sandbox.oauth import TOKEN, TOKEN_SECONDS, Tokens, form_of, refusal, unauthorised
from sandbox.subjects import is_uscc
from sandbox.upstream import CHINA, Asked, Upstream, canonical, only, parsed, same, text_of
from sandbox.wire import Answer

# Development values, in the open on purpose: they unlock nothing but a sandbox. The secret has signs that
# client_secret_basic must form-encode (RFC 6749 §2.3.1).
DEV_BANKS_CLIENT_ID = "gw-bortala-test"
DEV_BANKS_CLIENT_SECRET = "Bk7+dev:secret/9%x"  # noqa: S105
RETRY_AFTER = 1
REQUESTS_KEPT = 10_000  # the oldest go first, and are unknown then
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class BanksCredentials:
    """The client that the banks know."""

    client_id: str = DEV_BANKS_CLIENT_ID
    client_secret: str = field(default=DEV_BANKS_CLIENT_SECRET, repr=False)


@dataclass
class _Request:
    """A request that was taken: its body as it came first, and what is still to wait for."""

    body: str
    uscc: str
    consent: Any
    known: Known | None
    as_of: str
    polls: int
    ready: float  # Unix seconds

    def still_pending(self, now: float) -> bool:
        """Whether this ask comes too early; it counts."""
        if self.polls > 0:
            self.polls -= 1
            return True
        return now < self.ready


class Banks(Upstream):
    """The banks' state: the data, tokens in force and requests taken, beside what every upstream has.

    `rejected_consents` are ids of consents that the banks know to be withdrawn; tests add to it.
    """

    def __init__(
        self,
        data: BankData | None = None,
        *,
        credentials: BanksCredentials | None = None,
        latency_ms: float = 0.0,
        token_seconds: float = TOKEN_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(ANSWER_FAULTS, (TOKEN, *SERVICES), by_name_only=(TOKEN,), latency_ms=latency_ms, clock=clock)
        self.data: BankData = GivenSummaries({}) if data is None else data
        self.tokens: Tokens[str] = Tokens(token_seconds, clock)
        self.rejected_consents: set[str] = set()
        self._credentials = credentials or BanksCredentials()
        self._requests: OrderedDict[str, _Request] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """The token endpoint, the request for a summary, and its poll."""
        return [
            web.post("/oauth2/token", self._token),
            web.post("/credit/v1/summaries", self._summaries),
            web.get("/credit/v1/summaries/{request_id}", self._poll),
        ]

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        return await self.answer(request, Asked(TOKEN), lambda fault: self._token_answer(request, form, fault))

    async def _summaries(self, request: web.Request) -> web.StreamResponse:
        body = parsed(await request.read())
        uscc, consent = text_of(body, "uscc"), body.get("consent") if isinstance(body, dict) else None
        more = {
            "request_id": text_of(body, "requestId"),
            "consent_id": text_of(consent, "id"),
            "purpose": text_of(consent, "purpose"),
            "grantee": text_of(consent, "grantee"),
        }
        asked = Asked(SUMMARIES, () if uscc is None else (uscc,), more=more)
        return await self.answer(request, asked, lambda fault: self._summaries_answer(request, body, fault))

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        request_id = request.match_info["request_id"]
        taken = self._requests.get(request_id)
        asked = Asked(POLL, () if taken is None else (taken.uscc,), more={"request_id": request_id})
        return await self.answer(request, asked, lambda fault: self._poll_answer(request, request_id, fault))

    def _token_answer(self, request: web.Request, form: Mapping[str, str] | None, fault: Fault | None) -> Answer:
        refused = fault is not None and fault.fault == "token_refused"
        if refused or not self._is_client(only(request, "Authorization")):
            reason = (fault.text if fault is not None else None) or "client authentication failed"
            return refusal("invalid_client", reason, 401, {"WWW-Authenticate": 'Basic realm="banks"'})
        if form is None or "client_secret" in form or "client_assertion" in form:
            return refusal("invalid_request", "a form with one grant_type; the secret stands in the header")
        if form.get("grant_type") != "client_credentials":
            return refusal("unsupported_grant_type", "client_credentials")
        return self.tokens.issue(self._credentials.client_id, fault)

    def _is_client(self, header: str) -> bool:
        scheme, _, given = header.partition(" ")
        try:
            pair = base64.b64decode(given, validate=True).decode()
        except ValueError:
            return False
        # Encoded as a form before they are joined, so that a colon or a plus inside them is no riddle (§2.3.1).
        name, colon, secret = pair.partition(":")
        known = self._credentials
        return (
            scheme.lower() == "basic"
            and bool(colon)
            and same(unquote_plus(name), known.client_id)
            and same(unquote_plus(secret), known.client_secret)
        )

    def _summaries_answer(self, request: web.Request, body: Any, fault: Fault | None) -> Answer:
        key = only(request, "Idempotency-Key")
        if self.tokens.refused(request, fault):
            return unauthorised()
        if (refused := refused_by(fault, key)) is not None:
            return refused
        if not _UUID.fullmatch(key):
            return failure(400, "invalid_request", "Idempotency-Key with a UUID expected")
        uscc = text_of(body, "uscc")
        if uscc is None or not is_uscc(uscc) or text_of(body, "requestId") != key:
            return failure(400, "invalid_request", "requestId as the Idempotency-Key, and a uscc, expected")
        if (reason := self._rejected(body.get("consent"))) is not None:
            return failure(403, "consent_rejected", reason)
        taken = self._requests.get(key)
        if taken is None:
            return self._take(key, uscc, body, fault)
        if taken.body != canonical(body):
            return failure(409, "conflict", "the key was used for another body")
        return self._state(key, taken, fault)

    def _poll_answer(self, request: web.Request, key: str, fault: Fault | None) -> Answer:
        if self.tokens.refused(request, fault):
            return unauthorised()
        if (refused := refused_by(fault, key)) is not None:
            return refused
        if fault is not None and fault.fault == "lost_request":
            self._requests.pop(key, None)
        taken = self._requests.get(key)
        if taken is None:
            return failure(404, "unknown_request")
        if (reason := self._rejected(taken.consent)) is not None:
            return failure(403, "consent_rejected", reason)
        return self._state(key, taken, fault)

    def _rejected(self, consent: Any) -> str | None:
        """Why the banks may not answer under a consent: asked at every call, since it may be withdrawn meanwhile."""
        today = datetime.fromtimestamp(self.clock(), CHINA).date()
        reason = refused_consent(consent, today)
        return "consent withdrawn" if reason is None and consent["id"] in self.rejected_consents else reason

    def _take(self, key: str, uscc: str, body: Any, fault: Fault | None) -> Answer:
        """Take a new request, and answer it or say that the answer comes later."""
        known, now = self.data.of(uscc), self.clock()
        later = known.pending if known is not None else None
        if fault is not None and fault.fault in ("pending", "lost_request"):
            default = 1 if fault.seconds is None else 0
            later = Pending(default if fault.polls is None else fault.polls, fault.seconds or 0.0)
        as_of = known.as_of if known is not None and known.as_of is not None else self._rfc3339(now)
        polls, ready = (0, now) if later is None else (later.polls, now + later.seconds)
        taken = _Request(canonical(body), uscc, body["consent"], known, as_of, polls, ready)
        if fault is None or fault.fault != "lost_request":
            self._requests[key] = taken
            if len(self._requests) > REQUESTS_KEPT:
                self._requests.popitem(last=False)
        if later is not None:
            return pending(key, _retry_after(fault))
        return self._state(key, taken, fault)

    def _state(self, key: str, taken: _Request, fault: Fault | None) -> Answer:
        """What there is to say of a request now."""
        if (fault is not None and fault.fault == "pending") or taken.still_pending(self.clock()):
            return pending(key, _retry_after(fault))
        summary = taken.known.summary if taken.known is not None else None
        if summary is None:
            if fault is None or fault.fault not in SPOILED:
                return failure(404, "unknown_subject")
            summary = filler(taken.uscc)
        return summary_answer(key, taken.uscc, taken.as_of, summary, fault)

    @staticmethod
    def _rfc3339(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, CHINA).isoformat(timespec="milliseconds")


def _retry_after(fault: Fault | None) -> int:
    return RETRY_AFTER if fault is None or fault.retry_after is None else fault.retry_after
