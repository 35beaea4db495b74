"""The courts as a server: one subject a call, the signed headers of the national exchange platform.

By the courts' wire contract (docs/connectors.md), and from it alone. In: POSTs with the four gjgxjhpt headers. Out:
pages of rows, refusals with status 200, or what a fault on request makes of them. sandbox/server.py starts it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from sandbox.courts_answers import ANSWER_FAULTS, REFRESH, REFUSALS, page_answer, refusal, spoiled_refresh
from sandbox.data import SERVICES, CourtData, Given
from sandbox.faults import Fault
from sandbox.subjects import USCC_FORM
from sandbox.upstream import Asked, Upstream, parsed, same

MAX_CLOCK_SKEW_MS = 5 * 60 * 1000
SECRET_SECONDS = 600.0

# Development values, in the open on purpose: they unlock nothing but a sandbox.
DEV_RID = "gw-bortala-test"
DEV_APP_KEY = "Hk3-vX9_test-app-key-0123456789ab"
DEV_SIDS: Mapping[str, str] = MappingProxyType(
    {name: f"sid-courts-{name}" for name in (*SERVICES, REFRESH)},
)


@dataclass(frozen=True)
class CourtsCredentials:
    """The requester that the courts know: its id, its app key and a service id for each service and the refresh."""

    rid: str = DEV_RID
    app_key: str = field(default=DEV_APP_KEY, repr=False)
    sids: Mapping[str, str] = field(default_factory=lambda: DEV_SIDS)


def sign(key: str, sid: str, rid: str, rtime: str) -> str:
    """Base64(HMAC-SHA256(key, sid + rid + rtime)), the contract's gjgxjhpt_sign."""
    # A header may hold bytes that are no UTF-8; they must make a wrong signature, not an error.
    message = (sid + rid + rtime).encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.new(key.encode(), message, hashlib.sha256).digest()).decode()


def encrypt_secret(app_key: str, secret: str) -> str:
    """Base64 of AES-128-ECB with PKCS7 padding under the first 16 bytes of the app key, as the refresh answers."""
    padder = PKCS7(128).padder()
    padded = padder.update(secret.encode()) + padder.finalize()
    # ECB is what the contract says; nothing else may be read into it.
    encryptor = Cipher(algorithms.AES(app_key.encode()[:16]), modes.ECB()).encryptor()  # noqa: S305
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


class Query(NamedTuple):
    """What a query's body asks for."""

    uscc: str
    page: int


class Courts(Upstream):
    """The courts' state: the data and the secrets in force, beside what every upstream has.

    `clock` gives Unix seconds and `new_secret` each fresh secret's text; `latency_ms` is waited before every answer.
    """

    def __init__(
        self,
        data: CourtData | None = None,
        *,
        credentials: CourtsCredentials | None = None,
        latency_ms: float = 0.0,
        secret_seconds: float = SECRET_SECONDS,
        clock: Callable[[], float] = time.time,
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        super().__init__(
            ANSWER_FAULTS, (*SERVICES, REFRESH), by_name_only=(REFRESH,), latency_ms=latency_ms, clock=clock
        )
        self.data: CourtData = Given({}) if data is None else data
        self._credentials = credentials or CourtsCredentials()
        self._secret_seconds = secret_seconds
        self._new_secret = new_secret
        self._secrets: dict[str, int] = {}  # secret → its end in Unix ms

    def routes(self) -> list[web.RouteDef]:
        """The refresh of the secret, and the four services."""
        return [
            web.post("/sysapi/auth/refreshappsecret", self._refresh),
            web.post("/httpproxy/{service}", self._query),
        ]

    def end_secrets(self) -> None:
        """Let every secret in force end now, as a restart of the upstream might."""
        for secret in self._secrets:
            self._secrets[secret] = min(self._secrets[secret], self.now_ms())

    async def _refresh(self, request: web.Request) -> web.StreamResponse:
        body = parsed(await request.read())
        return await self.answer(request, Asked(REFRESH), lambda fault: self._refresh_answer(request, body, fault))

    async def _query(self, request: web.Request) -> web.StreamResponse:
        service = request.match_info["service"]
        body = parsed(await request.read())
        uscc, page = _named(body)
        asked = Asked(service, () if uscc is None else (uscc,), page)
        return await self.answer(request, asked, lambda fault: self._query_answer(request, service, body, fault))

    def _refresh_answer(self, request: web.Request, body: Any, fault: Fault | None) -> dict[str, Any]:
        refused = self._refused(request, REFRESH, {self._credentials.app_key: None}, fault)
        if refused is None and body != {}:
            refused = "bad_body"
        if refused is not None:
            return refusal(refused)
        secret, now = self._new_secret(), self.now_ms()
        end = now + int(self._secret_seconds * 1000)
        # Ended ones are remembered for as long again, so that a late user is told that it ended, not that it lies.
        kept_since = now - int(self._secret_seconds * 1000)
        self._secrets = {old: until for old, until in self._secrets.items() if until > kept_since} | {secret: end}
        data = {"secret": encrypt_secret(self._credentials.app_key, secret), "secretEndTime": end}
        return spoiled_refresh({"code": 0, "message": "ok", "data": data}, fault)

    def _query_answer(self, request: web.Request, service: str, body: Any, fault: Fault | None) -> Any:
        refused = self._refused(request, service, self._secrets, fault)
        if refused is not None:
            return refusal(refused)
        query = _query_of(body)
        if query is None:
            return refusal("bad_body")
        return page_answer(self.data, service, query.uscc, query.page, fault)

    def _refused(
        self, request: web.Request, service: str, keys: Mapping[str, int | None], fault: Fault | None
    ) -> str | None:
        """Why the headers are refused (a name in REFUSALS), or None; `keys` are the keys allowed, with their ends."""
        if fault is not None and fault.fault in REFUSALS:
            return fault.fault
        rid, sid, rtime, given = (
            request.headers.get(f"gjgxjhpt_{name}", "") for name in ("rid", "sid", "rtime", "sign")
        )
        if not (rtime.isascii() and rtime.isdigit() and len(rtime) <= 16):
            return "clock_off"
        if abs(int(rtime) - self.now_ms()) > MAX_CLOCK_SKEW_MS:
            return "clock_off"
        signed_with = [key for key in keys if same(given, sign(key, sid, rid, rtime))]
        if not signed_with or not same(rid, self._credentials.rid):
            return "bad_signature"
        end = keys[signed_with[0]]
        if end is not None and end <= self.now_ms():
            return "expired_secret"
        expected = self._credentials.sids.get(service)
        if expected is None or not same(sid, expected):
            return "no_right"
        return None


def _named(body: Any) -> tuple[str | None, int | None]:
    """Subject and page for the record of calls, as far as the body has them."""
    if not isinstance(body, dict):
        return None, None
    uscc, page = body.get("cardNum"), body.get("currentPage")
    return uscc if isinstance(uscc, str) else None, page if type(page) is int else None


def _query_of(body: Any) -> Query | None:
    """What the body asks for; None where the contract knows no such body (40001)."""
    uscc, page = _named(body)
    if uscc is None or page is None or page < 1 or not USCC_FORM.fullmatch(uscc):
        return None
    return Query(uscc, page) if isinstance(body.get("pName"), str) else None
