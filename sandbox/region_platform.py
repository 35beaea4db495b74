"""The regional platform as a server: batches of up to 50 subjects, signed by the province's app key, both directions.

By the platform's wire contract (docs/connectors.md), and from it alone. In: signed queries, reports, withdrawals,
applications for repair, and reads of the feed of changes. Out: rows, results, refusals with HTTP 200, or what a fault
on request makes of them. sandbox/server.py starts it.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes, hmac

from sandbox import platform_answers as answers
from sandbox import platform_reports as reports
from sandbox.faults import Fault
from sandbox.platform_answers import CHANGES, QUERY, REPAIR_STATE, REPAIRS, REPORT, WITHDRAW, refusal
from sandbox.platform_data import given_rows
from sandbox.platform_store import WITHDRAWN_FOR, PlatformStore
from sandbox.platform_tables import Key, folded
from sandbox.subjects import Row, is_uscc
from sandbox.upstream import CHINA, Asked, Upstream, only, parsed, same, text_of, texts_of, whole

MAX_CLOCK_SKEW_MS = 5 * 60 * 1000
NONCE_SECONDS = 15 * 60.0  # the contract says at least 10 minutes
MOST_CODES = 50
MOST_PAGE_ROWS = 100
MOST_CHANGES = 500
CALLS_KEPT = 10_000  # each may hold 50 codes

# Development values, in the open on purpose: they unlock nothing but a sandbox.
DEV_PLATFORM_APP_KEY = "gw-bortala-test"
DEV_PLATFORM_SECRET = "platform-secret-7f3a"  # noqa: S105
SCHEMES = {"SM3": hashes.SM3, "SHA256": hashes.SHA256}
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class PlatformCredentials:
    """The caller that the platform knows, and the scheme of its signatures: SM3 or SHA256."""

    app_key: str = DEV_PLATFORM_APP_KEY
    secret: str = field(default=DEV_PLATFORM_SECRET, repr=False)
    scheme: str = "SM3"

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"unknown scheme {self.scheme!r}: one of {' '.join(SCHEMES)}")


def sign_call(credentials: PlatformCredentials, request_time: str, nonce: str, body: bytes) -> str:
    """hex(HMAC(secret, appKey + requestTime + nonce + hex(digest(body)))), the contract's X-Sign."""
    algorithm = SCHEMES[credentials.scheme]
    digest = hashes.Hash(algorithm())
    digest.update(body)
    # A header may hold bytes that are no UTF-8; they must make a wrong signature, not an error.
    message = f"{credentials.app_key}{request_time}{nonce}{digest.finalize().hex()}".encode("utf-8", "surrogateescape")
    mac = hmac.HMAC(credentials.secret.encode(), algorithm())
    mac.update(message)
    return mac.finalize().hex()


class RegionPlatform(Upstream):
    """The platform's state: its store and the nonces seen, beside what every upstream has."""

    largest_body = 8 * 1024 * 1024

    def __init__(
        self,
        rows: Iterable[Row] = (),
        *,
        credentials: PlatformCredentials | None = None,
        latency_ms: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            answers.ANSWER_FAULTS, answers.SERVICES, latency_ms=latency_ms, clock=clock, calls_kept=CALLS_KEPT
        )
        self.store = PlatformStore(rows)
        self._credentials = credentials or PlatformCredentials()
        self._nonces: OrderedDict[str, float] = OrderedDict()  # nonce → when it may be forgotten, oldest first

    def routes(self) -> list[web.RouteDef]:
        """The calls of the contract, and two of the sandbox's own: what others report, what an authority decides."""
        return [
            web.post("/api/v1/credit/query", self._posted(QUERY, self._query)),
            web.post("/api/v1/credit/report", self._posted(REPORT, self._batch)),
            web.post("/api/v1/credit/withdraw", self._posted(WITHDRAW, self._batch)),
            web.post("/api/v1/credit/repairs", self._posted(REPAIRS, self._apply)),
            web.get("/api/v1/credit/changes", self._changes),
            web.get("/api/v1/credit/repairs/{repair_no}", self._repair_state),
            web.post("/_changes", self._change_by_others),
            web.post("/_repairs/{repair_no}", self._decide),
        ]

    # --- the calls

    def _posted(self, service: str, make: Callable[[str, Any, Fault | None], Row]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            body = parsed(raw)

            def answered(fault: Fault | None) -> Row:
                return self._refused(request, raw, fault) or make(service, body, fault)

            return await self.answer(request, self._asked(request, service, body), answered)

        return handle

    def _asked(self, request: web.Request, service: str, body: Any) -> Asked:
        page = body.get("page") if isinstance(body, dict) else None
        rows = body.get("rows", body.get("items")) if isinstance(body, dict) else None
        usccs = texts_of(body, "tyshxydmList")
        for row in [body, *(rows if isinstance(rows, list) else [])]:
            usccs += [code for key in ("tyshxydm", "CF_XDR_SHXYM", "XK_XDR_SHXYM") if (code := text_of(row, key))]
        more = {"usccs": usccs, "nonce": only(request, "X-Nonce")}
        for name in ("batchNo", "repairNo", "table_name"):
            if (value := text_of(body, name)) is not None:
                more[name] = value
        return Asked(service, usccs, page if type(page) is int else None, more)

    def _query(self, service: str, body: Any, fault: Fault | None) -> Row:
        asked = _query_of(body)
        if asked is None:
            return refusal("bad_body")
        codes, page, size = asked
        if not 1 <= len(codes) <= MOST_CODES or not all(is_uscc(code) for code in codes):
            return refusal("bad_codes")
        return answers.page_answer(self.store.find(codes), codes, page, size, fault)

    def _batch(self, service: str, body: Any, fault: Fault | None) -> Row:
        number = reports.batch_no(body)
        if number is None:
            return refusal("bad_body")
        result = self.store.batches.get((service, number))
        if result is None:
            result = self._new_batch(service, body, fault)
            if result is None:
                return refusal("bad_body")
            self.store.batches[service, number] = result
        return answers.batch_answer(result, fault)

    def _new_batch(self, service: str, body: Any, fault: Fault | None) -> Row | None:
        if fault is not None and fault.fault == answers.REJECT_ROWS:
            rows = reports.batch_rows(body, "rows" if service == REPORT else "items")
            return None if rows is None else answers.rejected_all(body, rows, fault)
        if service == WITHDRAW:
            return reports.withdraw(self.store, body)
        return reports.report(self.store, body, self._credentials.app_key, self._now_text())

    def _apply(self, service: str, body: Any, fault: Fault | None) -> Row:
        texts = {name: text_of(body, name) for name in ("repairNo", "table_name", "wsh", "tyshxydm", "statement")}
        if not all(texts.values()) or not reports.is_day(text_of(body, "appliedOn")):
            return refusal("bad_body")
        number = texts["repairNo"] or ""
        if number in self.store.repairs:
            return answers.repair_answer(self.store.repairs[number], fault)
        if body.get("commitment") is not True:
            return refusal("no_commitment")
        key = Key(texts["tyshxydm"] or "", texts["table_name"] or "", folded(texts["wsh"] or ""))
        if not self.store.has(key):
            return refusal("no_row")
        return answers.repair_answer(self.store.apply(number, key), fault)

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        since, size = request.query.get("since", ""), request.query.get("size", str(MOST_CHANGES))
        asked = Asked(CHANGES, more={"since": since, "size": size, "nonce": only(request, "X-Nonce")})

        def answered(fault: Fault | None) -> Row:
            if (refused := self._refused(request, b"", fault)) is not None:
                return refused
            if not _NUMBER.fullmatch(size) or not 1 <= int(size) <= MOST_CHANGES:
                return refusal("bad_body")
            return self._feed(since, int(size), fault)

        return await self.answer(request, asked, answered)

    def _feed(self, since: str, size: int, fault: Fault | None) -> Row:
        piece = self.store.changes(since, size)
        name = fault.fault if fault is not None else ""
        if piece is None:
            return refusal("cursor_refused")
        rows, following, more = piece
        if name == answers.CURSOR_STUCK:
            following, more = since, True
        elif name == answers.ENDLESS_CHANGES:
            # No end and, where the feed is read to its end, nothing in it: only the cursor is new each time.
            following, more = self.store.same_place(following), True
        return answers.changes_answer(rows, following, more, fault)

    async def _repair_state(self, request: web.Request) -> web.StreamResponse:
        number = request.match_info["repair_no"]
        asked = Asked(REPAIR_STATE, more={"repairNo": number, "nonce": only(request, "X-Nonce")})

        def answered(fault: Fault | None) -> Row:
            if (refused := self._refused(request, b"", fault)) is not None:
                return refused
            state = self.store.repairs.get(number)
            return refusal("unknown_number") if state is None else answers.repair_answer(state, fault)

        return await self.answer(request, asked, answered)

    # --- what happens without the caller

    async def _change_by_others(self, request: web.Request) -> web.Response:
        """`{"op": "upsert", …}` with a row, or `{"op": "withdraw", …}` as an item of a withdrawal."""
        body = parsed(await request.read())
        try:
            self._change(body)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({}, status=201)

    def _change(self, body: Any) -> None:
        op = text_of(body, "op")
        if op == "upsert":
            [row] = given_rows([body])
            self.store.upsert(row)
        elif op == "withdraw":
            names = ("tyshxydm", "table_name", "wsh", "reason", "effectiveOn")
            uscc, table_name, wsh, reason, day = (text_of(body, name) or "" for name in names)
            if reason not in WITHDRAWN_FOR or not reports.is_day(day):
                raise ValueError("a withdrawal has a reason and its day")
            if not self.store.withdraw(Key(uscc, table_name, folded(wsh)), reason, day):
                raise ValueError("no such row")
        else:
            raise ValueError("op is upsert or withdraw")

    async def _decide(self, request: web.Request) -> web.Response:
        """`{"state", "reason", "decidedOn"}`: what the authority makes of an application."""
        body, number = parsed(await request.read()), request.match_info["repair_no"]
        try:
            reason, day = text_of(body, "reason"), text_of(body, "decidedOn")
            self.store.decide(number, text_of(body, "state") or "", reason, day)
        except (KeyError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({}, status=201)

    # --- the signature

    def _refused(self, request: web.Request, body: bytes, fault: Fault | None) -> Row | None:
        """The refusal of a call whose headers don't hold, or that a fault asks for; None where the call may go on."""
        if fault is not None and fault.fault in answers.REFUSALS:
            return refusal(fault.fault, fault.text)
        app_key, at, nonce, given = (
            only(request, f"X-{name}") for name in ("App-Key", "Request-Time", "Nonce", "Sign")
        )
        if not (at.isascii() and at.isdigit() and len(at) <= 16):
            return refusal("clock_off")
        if abs(int(at) - self.now_ms()) > MAX_CLOCK_SKEW_MS:
            return refusal("clock_off")
        if not 1 <= len(nonce) <= 64 or not same(app_key, self._credentials.app_key):
            return refusal("bad_signature")
        if not same(given, sign_call(self._credentials, at, nonce, body)):
            return refusal("bad_signature")
        # Only now: else a stranger could use up the nonces of others.
        return None if self._is_new(nonce) else refusal("nonce_seen")

    def _is_new(self, nonce: str) -> bool:
        now = self.clock()
        while self._nonces and next(iter(self._nonces.values())) <= now:
            self._nonces.popitem(last=False)
        if nonce in self._nonces:
            return False
        self._nonces[nonce] = now + NONCE_SECONDS
        return True

    def _now_text(self) -> str:
        return datetime.fromtimestamp(self.clock(), CHINA).strftime("%Y-%m-%d %H:%M:%S")


def _query_of(body: Any) -> tuple[list[Any], int, int] | None:
    """Codes, page and size of a query; None where the contract knows no such body."""
    if not isinstance(body, dict):
        return None
    codes, page, size = (body.get(name) for name in ("tyshxydmList", "page", "size"))
    fits = isinstance(codes, list) and whole(page, 1, 10**6) and whole(size, 1, MOST_PAGE_ROWS)
    return (codes, page, size) if fits else None  # type: ignore[return-value]
