"""The banks (UPSTREAMS §2): one summary of a subject's bank credit, under its written consent, perhaps later.

In: subjects and a purpose with the consent. Out: for each USCC one row (none where no bank knows it), Pending where the
bank answers later, or a typed Failure. Without a consent nothing is asked. No answer is kept, logged or told in errors.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final, TypeVar

from connectors.base import (
    Answer,
    Cell,
    Connector,
    Consent,
    Failure,
    FailureKind,
    Outcome,
    Pending,
    Purpose,
    RequestBook,
    Row,
    SubjectRef,
)
from connectors.http import (
    HttpClient,
    HttpLimits,
    Reply,
    UpstreamError,
    fail,
    json_bytes,
    read_object,
    retry_after,
    status_failure,
    utc_now,
)
from connectors.oauth import ClientSecretBasic, Token, Tokens
from connectors.values import choice, count, day, items, member, moment, string, yuan

T = TypeVar("T")

MAX_BODY_BYTES: Final = 1024 * 1024  # one summary with its events, or a refusal

_EXPECTED: Final = frozenset({200, 202, 403, 404, 409})
_UNITS: Final = {"元": 1, "万元": 10_000}
_CLASSES: Final = frozenset({"正常", "关注", "次级", "可疑", "损失"})
_EVENTS: Final = frozenset({"违约", "展期", "代偿", "核销"})
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CHINA: Final = timezone(timedelta(hours=8))
_LEAST_WAIT_S: Final = 0.1  # between polls, whatever Retry-After says
_USUAL_WAIT_S: Final = 1.0  # where Retry-After is missing or can't be read
_POLL_S: Final = 0.2  # what must be left of the time after the wait, for the poll itself
# A request that ended so is over; after any other failure nobody knows, and it is taken up again.
_FINAL: Final = frozenset({FailureKind.CONSENT_REJECTED, FailureKind.FORBIDDEN, FailureKind.REJECTED})


class MemoryRequestBook(RequestBook):
    """A book in memory, for one process. At most `max_kept` requests; those kept first go first."""

    def __init__(self, clock: Callable[[], datetime] = utc_now, max_kept: int = 1_000) -> None:
        self._clock = clock
        self._max_kept = max_kept
        self._kept: OrderedDict[tuple[str, str, str], tuple[str, str]] = OrderedDict()

    async def find(self, uscc: str, consent_id: str, apart: str = "") -> str | None:
        """See `RequestBook`."""
        request_id, until = self._kept.get((uscc, consent_id, apart), (None, ""))
        return request_id if until >= self._clock().astimezone(_CHINA).date().isoformat() else None

    async def keep(self, uscc: str, consent_id: str, request_id: str, until: str, apart: str = "") -> None:
        """See `RequestBook`."""
        self._kept[uscc, consent_id, apart] = request_id, until
        self._kept.move_to_end((uscc, consent_id, apart))
        while len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)

    async def forget(self, uscc: str, consent_id: str, apart: str = "") -> None:
        """See `RequestBook`."""
        self._kept.pop((uscc, consent_id, apart), None)


def _new_request_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class BanksSettings:
    """Settings of the banks connector. Times in s.

    `budget` bounds a whole ask; `clock` gives the aware present time, `new_request_id` a fresh random UUID.
    """

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    connect_timeout: float = 1.0
    budget: float = 4.0
    concurrency: int = 8
    requests_per_second: float = 20  # 0 = no limit
    max_body_bytes: int = MAX_BODY_BYTES
    clock: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)
    new_request_id: Callable[[], str] = field(default=_new_request_id, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Question:
    uscc: str
    matter: str
    consent: Consent
    apart: str
    deadline: float  # loop time, s

    def body(self, request_id: str) -> bytes:
        """What is sent for it: the same bytes each time for the same request."""
        consent = self.consent
        told = {
            "id": consent.id,
            "documentSha256": consent.document_sha256,
            "purpose": self.matter,
            "grantee": consent.grantee,
            "validTo": consent.valid_to,
        }
        return json_bytes({"requestId": request_id, "uscc": self.uscc, "consent": told})


class BanksConnector(Connector):
    """The connector for the banks.

    The request id is in the book before the bank hears of it, so that neither a broken connection nor a killed process
    makes a second inquiry out of one question; it leaves the book with the answer or a final refusal. Without the book
    nothing is asked: a fault of it is UNREACHABLE, one that takes too long TIMEOUT, with `request book` as detail. Only
    where it fails to forget after an answer, the answer counts.
    """

    code = "BANKS"
    parts = ("summary",)

    def __init__(self, settings: BanksSettings, book: RequestBook | None = None) -> None:
        self._settings = settings
        self._book = MemoryRequestBook(settings.clock) if book is None else book
        base = settings.base_url.rstrip("/")
        self._url = f"{base}/credit/v1/summaries"
        limits = HttpLimits(
            settings.connect_timeout, settings.concurrency, settings.requests_per_second, settings.max_body_bytes
        )
        self._http = HttpClient(limits, settings.clock)
        client = ClientSecretBasic(settings.client_id, settings.client_secret)
        self._tokens: Tokens[None] = Tokens(
            self._http, f"{base}/oauth2/token", client, clock=settings.clock, budget=settings.budget
        )

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """Ask for the summary of each subject, one call each; see `Connector.ask`. `purpose.consent` is required:
        without it the outcome is CONSENT_REJECTED, and nothing is sent.

        Ends by `deadline` (loop time, s) and within the budget. Raises ValueError for an unknown part.
        """
        if part not in self.parts:
            raise ValueError(f"banks have no part {part!r}")
        codes = dict.fromkeys(subject.uscc for subject in subjects)
        if purpose is None or purpose.consent is None:
            return dict.fromkeys(codes, Failure(FailureKind.CONSENT_REJECTED, detail="no consent was given"))
        end = min(deadline, asyncio.get_running_loop().time() + self._settings.budget)
        async with asyncio.TaskGroup() as group:
            tasks = {
                uscc: group.create_task(
                    self._ask_one(_Question(uscc, purpose.matter, purpose.consent, purpose.apart, end))
                )
                for uscc in codes
            }
        return {uscc: task.result() for uscc, task in tasks.items()}

    async def close(self) -> None:
        """Let go of connections and of a fetch of a token under way. Idempotent; a later ask fails as UNREACHABLE."""
        await self._tokens.close()
        await self._http.close()

    async def _ask_one(self, question: _Question) -> Outcome:
        asked_at = self._settings.clock()
        try:
            request_id, reply = await self._settle(question)
        except UpstreamError as error:
            if error.failure.kind in _FINAL:
                await self._forget(question)
            return error.failure
        if isinstance(reply, Pending):
            return reply
        await self._forget(question)
        if reply is None:
            return Answer((), asked_at)
        try:
            return Answer((_row(reply, request_id, question.uscc),), asked_at)
        except UpstreamError as error:
            return error.failure

    async def _settle(self, question: _Question) -> tuple[str, Mapping[str, object] | None | Pending]:
        """The request and what came of it: the answer, None for an unknown subject, or Pending. Raises UpstreamError.

        A kept request is polled; one that the bank doesn't know may never have reached it, so it is sent once more as
        it was. One that the bank has lost, or under whose key it has another body, is replaced, once.
        """
        kept = await self._find(question)
        request_id, polled = kept or await self._fresh(question), kept is not None
        replaced = False
        while True:
            reply = await (self._poll if polled else self._post)(question, request_id)
            while reply.status == 202:
                told = _pending(reply, request_id, self._settings.clock())
                wait = max(_LEAST_WAIT_S, _USUAL_WAIT_S if told.retry_after is None else told.retry_after)
                if asyncio.get_running_loop().time() + wait + _POLL_S > question.deadline:
                    return request_id, told
                await asyncio.sleep(wait)
                reply = await self._poll(question, request_id)
            if reply.status == 200:
                return request_id, read_object(reply.json(), "answer")
            if _refusal(reply, self._settings.clock()) == "unknown_subject":
                return request_id, None
            if polled:
                polled = False
            elif replaced:
                fail(FailureKind.REJECTED, "the request was lost again")
            else:
                replaced = True
                request_id = await self._fresh(question)

    async def _post(self, question: _Question, request_id: str) -> Reply:
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": request_id}
        return await self._call("POST", self._url, question, headers, question.body(request_id))

    async def _poll(self, question: _Question, request_id: str) -> Reply:
        return await self._call("GET", f"{self._url}/{request_id}", question, {}, None)

    async def _call(
        self, method: str, url: str, question: _Question, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        async def send(token: Token) -> Reply:
            return await self._http.send(
                method,
                url,
                deadline=question.deadline,
                headers={**headers, **token.headers},
                body=body,
                expect=_EXPECTED,
            )

        return await self._tokens.call(None, question.deadline, send)

    # ---- the book

    async def _find(self, question: _Question) -> str | None:
        """The kept request id; what isn't a UUID, and so never was ours, is none."""
        found = await self._booked(
            self._book.find(question.uscc, question.consent.id, question.apart), question.deadline
        )
        return found if found is not None and _UUID.fullmatch(found) else None

    async def _fresh(self, question: _Question) -> str:
        """A new request id, in the book before anything is sent under it."""
        request_id, consent = self._settings.new_request_id(), question.consent
        kept = self._book.keep(question.uscc, consent.id, request_id, consent.valid_to, question.apart)
        await self._booked(kept, question.deadline)
        return request_id

    async def _forget(self, question: _Question) -> None:
        with suppress(UpstreamError):  # at worst the bank tells the same answer again, with its asOf
            await self._booked(self._book.forget(question.uscc, question.consent.id, question.apart), question.deadline)

    async def _booked(self, call: Coroutine[object, object, T], deadline: float) -> T:
        try:
            async with asyncio.timeout_at(deadline):
                return await call
        except Exception as error:
            kind = FailureKind.TIMEOUT if isinstance(error, TimeoutError) else FailureKind.UNREACHABLE
            failure = Failure(kind, detail=f"request book: {type(error).__name__}")
        raise UpstreamError(failure)  # outside the handler: the book's own words may hold what must not be logged


def _pending(reply: Reply, request_id: str, now: datetime) -> Pending:
    """What a 202 says. Raises UpstreamError where it is about another request."""
    answer = read_object(reply.json(), "pending answer")
    choice(answer, "status", ("pending",))
    _same_request(answer, request_id)
    return Pending(retry_after(reply.headers, now))


def _refusal(reply: Reply, now: datetime) -> str:
    """`unknown_subject`, or `lost` for an unknown request and a key with another body; other refusals are raised."""
    failure = status_failure(reply.status, retry_after(reply.headers, now))
    try:
        named = read_object(reply.json(), "refusal").get("error")
    except UpstreamError:
        named = None
    if reply.status == 404 and named == "unknown_subject":
        return "unknown_subject"
    if reply.status == 409 or (reply.status == 404 and named == "unknown_request"):
        return "lost"
    if reply.status == 403 and named == "consent_rejected":
        fail(FailureKind.CONSENT_REJECTED, "consent_rejected")
    raise UpstreamError(failure)


def _same_request(answer: Mapping[str, object], request_id: str) -> None:
    if string(answer, "requestId") != request_id:
        fail(FailureKind.MALFORMED, "an answer to another request")


def _row(answer: Mapping[str, object], request_id: str, uscc: str) -> Row:
    """The row of an answer. Raises UpstreamError where it is about another request or subject, or ill formed."""
    _same_request(answer, request_id)
    if string(answer, "uscc") != uscc:
        fail(FailureKind.FOREIGN_ROWS, "an answer about another subject")
    summary = read_object(member(answer, "summary"), "summary")
    unit = _UNITS[choice(summary, "unit", _UNITS)]
    events: list[Cell] = [_event(read_object(event, "event"), unit) for event in items(summary, "events")]
    return {
        "as_of": moment(answer, "asOf"),
        "loan_balance": yuan(summary, "loanBalance", unit),
        "overdue_balance": yuan(summary, "overdueBalance", unit),
        "overdue_days": count(summary, "overdueDays"),
        "classification": choice(summary, "classification", _CLASSES),
        "guarantee_balance": yuan(summary, "guaranteeBalance", unit),
        "events": events,
    }


def _event(event: Mapping[str, object], unit: int) -> dict[str, Cell]:
    return {
        "kind": choice(event, "kind", _EVENTS),
        "amount": yuan(event, "amount", unit),
        "occurred_on": day(event, "occurredOn"),
        "settled_on": None if member(event, "settledOn") is None else day(event, "settledOn"),
    }
