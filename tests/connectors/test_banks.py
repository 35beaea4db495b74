"""Promises: the banks are asked under a consent alone, one inquiry for one question whatever is lost on the way; the
answer comes out exact, or it is told how it failed; no amount and no secret in a failure, a repr or a log.

The upstream is a small hostile server over real HTTP on 127.0.0.1 with a token endpoint; a test sets `reply`
(summaries) or `token` to what it wants to go wrong. Time limits are real, so they are kept short. Over 400 lines, as
rows, requests taken up again and faults are all held against this one server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from hostile import (
    GZIP,
    HTML,
    PATIENCE,
    SOON,
    Fault,
    Handler,
    K,
    allocating,
    bomb,
    breaks,
    changed,
    cut,
    lasting,
    returns,
    serving,
    silent,
    trickle,
    wire_faults,
    without,
)

from connectors.banks import BanksConnector, BanksSettings, MemoryRequestBook
from connectors.base import Answer, Consent, Failure, FailureKind, Outcome, Pending, Purpose, RequestBook, SubjectRef
from tests.storage.eventually import eventually

USCC = "11652700010583567A"
OTHER = "11652700010583568B"
CONSENT = Consent("consent-1", "ab" * 32, "11652700MB1234567X", "2026-12-31")
PURPOSE = Purpose("GRANT", "博州补〔2026〕1号", CONSENT.grantee, CONSENT)
SECRET = "s3cr:t+/%"  # must be form-encoded
TOLD = {
    "id": "consent-1", "documentSha256": "ab" * 32, "purpose": "GRANT", "grantee": "11652700MB1234567X",
    "validTo": "2026-12-31",
}  # fmt: skip
EVENT = {"kind": "展期", "amount": "7.5", "occurredOn": "2025-02-28", "settledOn": "2025-03-01"}
SUMMARY = {
    "loanBalance": "1200.00", "overdueBalance": "0.00", "overdueDays": 0, "classification": "正常",
    "guaranteeBalance": "0.00", "unit": "万元",
    "events": [{"kind": "违约", "amount": "0.0001", "occurredOn": "2026-01-01", "settledOn": None}, EVENT],
}  # fmt: skip


def answer(request_id: str, **changes: Any) -> dict[str, Any]:
    return {"requestId": request_id, "uscc": USCC, "asOf": "2026-01-01T08:00:00+08:00", "summary": SUMMARY, **changes}


def answers(**changes: Any) -> Handler:
    """The answer to whatever request, with changes; a change of `summary` changes its keys alone."""

    async def handle(request: web.Request, asked: dict[str, Any]) -> web.Response:
        made = answer(asked["requestId"], **changes)
        made["summary"] = {**SUMMARY, **changes.get("summary", {})}
        return web.json_response(made)

    return handle


def pending(wait: str | None = None, **changes: Any) -> Handler:
    async def handle(request: web.Request, asked: dict[str, Any]) -> web.Response:
        body = {"requestId": asked["requestId"], "status": "pending", **changes}
        return web.json_response(body, status=202, headers={} if wait is None else {"Retry-After": wait})

    return handle


UNKNOWN = returns({"error": "unknown_subject"}, status=404)
LOST = returns({"error": "unknown_request"}, status=404)
REJECTED = returns({"error": "consent_rejected", "reason": "1200.00"}, status=403)


class Upstream:
    """The hostile banks. `asked` are the calls under a good token (method, request id); each token is token-<n>."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.replies: list[Handler] = []  # one for each call to come; when they are used up, `reply`
        self.reply: Handler = answers()
        self.token: Handler | None = None
        self.tokens = 0
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth2/token":
            pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic "))
            assert pair == b"gw-bortala:s3cr%3At%2B%2F%25"
            assert await request.text() == "grant_type=client_credentials"
            self.tokens += 1
            if self.token:
                return await self.token(request, {})
            made = {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": 300}
            return web.json_response(made)
        assert request.headers["Authorization"] == f"Bearer token-{self.tokens}"
        if request.method == "POST":
            assert request.path == "/credit/v1/summaries"
            self.bodies.append(await request.read())
            asked = json.loads(self.bodies[-1])
            assert request.headers["Idempotency-Key"] == asked["requestId"]
        else:
            asked = {"requestId": request.path.removeprefix("/credit/v1/summaries/")}
        assert str(uuid.UUID(asked["requestId"])) == asked["requestId"]
        self.asked.append((request.method, asked["requestId"]))
        return await (self.replies.pop(0) if self.replies else self.reply)(request, asked)

    @property
    def methods(self) -> str:
        return " ".join(method for method, _ in self.asked)

    @property
    def ids(self) -> list[str]:
        return [request_id for _, request_id in self.asked]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream()
    async with serving(server.handle) as server.url:
        yield server


class Banks:
    """A connector with short limits, and one subject asked in a line."""

    def __init__(self, upstream: Upstream, book: RequestBook | None = None, **changes: Any) -> None:
        options: dict[str, Any] = {"budget": PATIENCE, "connect_timeout": PATIENCE, "requests_per_second": 0, **changes}
        options.setdefault("clock", lambda: upstream.now)
        self.connector = BanksConnector(BanksSettings(upstream.url, "gw-bortala", SECRET, **options), book)

    async def ask(self, within: float = PATIENCE, purpose: Purpose | None = PURPOSE) -> Outcome:
        deadline = asyncio.get_running_loop().time() + within
        return (await self.connector.ask("summary", [SubjectRef(USCC, "示例局")], purpose, deadline))[USCC]

    async def failure(self, within: float = PATIENCE) -> Failure:
        outcome = await self.ask(within)
        assert isinstance(outcome, Failure), outcome
        return outcome


@pytest.fixture
async def banks(upstream: Upstream) -> AsyncIterator[Banks]:
    made = Banks(upstream)
    yield made
    await made.connector.close()


# ---- rows


async def test_a_summary_comes_out_in_yuan(upstream: Upstream, banks: Banks) -> None:
    row = {
        "as_of": "2026-01-01T08:00:00+08:00", "loan_balance": "12000000.00", "overdue_balance": "0.00",
        "overdue_days": 0, "classification": "正常", "guarantee_balance": "0.00",
        "events": [
            {"kind": "违约", "amount": "1.00", "occurred_on": "2026-01-01", "settled_on": None},
            {"kind": "展期", "amount": "75000.00", "occurred_on": "2025-02-28", "settled_on": "2025-03-01"},
        ],
    }  # fmt: skip
    assert await banks.ask() == Answer((row,), upstream.now)
    told = json.loads(upstream.bodies[0])
    assert told == {"requestId": upstream.ids[0], "uscc": USCC, "consent": TOLD}


@pytest.mark.parametrize(
    ("unit", "text", "yuan"),
    [
        ("元", "1200", "1200.00"), ("元", "0.125", "0.12"), ("元", "0.135", "0.14"), ("元", "-0.001", "0.00"),
        ("元", "-5.5", "-5.50"), ("元", "999999999999999.99", "999999999999999.99"),
        ("万元", "0.1", "1000.00"), ("万元", "0.0000125", "0.12"), ("万元", "0.0000135", "0.14"),
        ("万元", "99999999999.123456", "999999999991234.56"), ("万元", "1.0000000000000000000000005", "10000.00"),
        ("万元", "-0.00000001", "0.00"), ("万元", "99999999999.123456500000000000000000000001", "999999999991234.57"),
        ("万元", "000.5", "5000.00"),
    ],
)  # fmt: skip
async def test_amounts_are_exact(upstream: Upstream, banks: Banks, unit: str, text: str, yuan: str) -> None:
    upstream.reply = answers(summary={"unit": unit, "loanBalance": text})
    outcome = await banks.ask()
    assert isinstance(outcome, Answer)
    assert outcome.rows[0]["loan_balance"] == yuan


@pytest.mark.parametrize(
    ("text", "as_of"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01t08:00:00.123+08:00", "2026-01-01T08:00:00.123000+08:00"),
    ],
)
async def test_moments_keep_their_offset(upstream: Upstream, banks: Banks, text: str, as_of: str) -> None:
    upstream.reply = answers(asOf=text)
    outcome = await banks.ask()
    assert isinstance(outcome, Answer)
    assert outcome.rows[0]["as_of"] == as_of


async def test_an_unknown_subject_is_an_answer(upstream: Upstream, banks: Banks) -> None:
    upstream.reply = UNKNOWN
    assert await banks.ask() == Answer((), upstream.now)
    upstream.replies = [pending("0"), UNKNOWN]
    assert await banks.ask() == Answer((), upstream.now)


async def test_each_subject_is_asked_once(upstream: Upstream, banks: Banks) -> None:
    async def either(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        return await (answers() if asked["uscc"] == USCC else UNKNOWN)(request, asked)

    upstream.reply = either
    deadline = asyncio.get_running_loop().time() + PATIENCE
    subjects = [SubjectRef(USCC), SubjectRef(OTHER), SubjectRef(USCC)]
    outcomes = await banks.connector.ask("summary", subjects, PURPOSE, deadline)
    assert [len(outcomes[uscc].rows) for uscc in (USCC, OTHER)] == [1, 0]  # type: ignore[union-attr]
    assert (len(upstream.asked), upstream.tokens) == (2, 1)


@pytest.mark.parametrize("purpose", [None, Purpose("GRANT", "1", CONSENT.grantee)])
async def test_without_a_consent_nothing_is_asked(upstream: Upstream, banks: Banks, purpose: Purpose | None) -> None:
    outcome = await banks.ask(purpose=purpose)
    assert outcome == Failure(K.CONSENT_REJECTED, detail="no consent was given")
    assert (upstream.tokens, upstream.asked) == (0, [])


# ---- what the contract names


PATHS: list[tuple[Any, ...]] = [(key,) for key in answer("")]
PATHS += [("summary", key) for key in SUMMARY] + [("summary", "events", 1, key) for key in EVENT]


@pytest.mark.parametrize("path", PATHS, ids=str)
async def test_every_named_key_must_be_there(upstream: Upstream, banks: Banks, path: tuple[Any, ...]) -> None:
    def broken(new: Any) -> Handler:
        async def handle(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
            whole = answer(asked["requestId"])
            return web.json_response(without(whole, path) if new is ... else changed(whole, path, new))

        return handle

    for new in (..., [True], True, 1.5, None, {}, ""):
        upstream.reply = broken(new)
        if new is None and path[-1] == "settledOn":
            assert isinstance(await banks.ask(), Answer)
        else:
            kind = K.FOREIGN_ROWS if (path, new) == (("uscc",), "") else K.MALFORMED
            assert (await banks.failure()).kind is kind, new


@pytest.mark.parametrize(
    "change",
    [
        {"classification": "优良"}, {"unit": "亿元"}, {"unit": "USD"}, {"overdueDays": -1}, {"overdueDays": 2**31},
        {"overdueDays": "0"}, {"overdueDays": False}, {"loanBalance": "1,200"}, {"loanBalance": "1e5"},
        {"loanBalance": "+1"}, {"loanBalance": "1."}, {"loanBalance": ".5"}, {"loanBalance": " 1"},
        {"loanBalance": "１２"}, {"loanBalance": "NaN"}, {"loanBalance": 1200}, {"loanBalance": "9" * 31},
        {"loanBalance": "100000000000.00"}, {"overdueBalance": "1\n"}, {"guaranteeBalance": "无"},
        {"events": {}}, {"events": [None]}, {"events": [{**EVENT, "kind": "破产"}]},
        {"events": [{**EVENT, "amount": "x"}]}, {"events": [{**EVENT, "occurredOn": "2026-02-30"}]},
        {"events": [{**EVENT, "occurredOn": "20260101"}]}, {"events": [{**EVENT, "settledOn": "2026年1月1日"}]},
        {"events": [{**EVENT, "settledOn": ""}]},
    ],
)  # fmt: skip
async def test_wrong_values_fail_the_answer(upstream: Upstream, banks: Banks, change: dict[str, Any]) -> None:
    upstream.reply = answers(summary=change)
    assert (await banks.failure()).kind is K.MALFORMED


@pytest.mark.parametrize(
    "text", ["2026-01-01", "2026-01-01T08:00:00", "2026-01-01 08:00:00+08:00", "2026-13-01T00:00:00Z"]
)
async def test_a_moment_is_by_rfc_3339(upstream: Upstream, banks: Banks, text: str) -> None:
    upstream.reply = answers(asOf=text)
    assert (await banks.failure()).kind is K.MALFORMED


async def test_another_subject_or_request_fails_the_answer(upstream: Upstream, banks: Banks) -> None:
    upstream.reply = answers(uscc=OTHER)
    assert (await banks.failure()).kind is K.FOREIGN_ROWS
    upstream.reply = answers(requestId=str(uuid.uuid4()))
    assert (await banks.failure()).kind is K.MALFORMED


# ---- answered later


async def test_a_pending_answer_is_polled_for(upstream: Upstream, banks: Banks) -> None:
    upstream.replies = [pending("0"), pending("0"), answers()]
    assert isinstance(await banks.ask(), Answer)
    assert upstream.methods == "POST GET GET"
    assert len(set(upstream.ids)) == 1


async def test_retry_after_is_waited_for(upstream: Upstream, banks: Banks) -> None:
    upstream.replies = [pending("1")]
    with lasting(1.0, 1.3):
        assert isinstance(await banks.ask(), Answer)


@pytest.mark.parametrize(("wait", "told"), [("60", 60.0), ("21", 21.0), (None, None)])
async def test_what_does_not_fit_is_pending_at_once_and_taken_up_again(
    upstream: Upstream, banks: Banks, wait: str | None, told: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.banks._USUAL_WAIT_S", PATIENCE)
    upstream.reply = pending(wait)
    with lasting(0.0, 0.5):
        assert await banks.ask() == Pending(told)
        assert await banks.ask() == Pending(told)
    upstream.reply = answers()
    assert isinstance(await banks.ask(), Answer)
    assert upstream.methods == "POST GET GET"
    assert isinstance(await banks.ask(), Answer)  # the answer ended that request: this is another question
    assert upstream.methods == "POST GET GET POST"
    assert len(set(upstream.ids[:3])) == 1
    assert upstream.ids[3] != upstream.ids[0]


async def test_a_request_belongs_to_its_consent(upstream: Upstream, banks: Banks) -> None:
    upstream.reply = pending("60")
    await banks.ask()
    other = Purpose("GRANT", "1", CONSENT.grantee, Consent("consent-2", "cd" * 32, CONSENT.grantee, "2026-12-31"))
    await banks.ask(purpose=other)
    assert upstream.methods == "POST POST"


@pytest.mark.parametrize(
    "change", [{"requestId": "another"}, {"requestId": None}, {"status": "done"}, {"status": None}]
)
async def test_a_wrong_pending_answer_is_a_failure(upstream: Upstream, banks: Banks, change: dict[str, Any]) -> None:
    upstream.reply = pending("0", **change)
    assert (await banks.failure()).kind is K.MALFORMED


async def test_a_lost_request_is_asked_anew_once(upstream: Upstream, banks: Banks) -> None:
    upstream.replies = [pending("0"), LOST, answers()]
    assert isinstance(await banks.ask(), Answer)
    assert upstream.methods == "POST GET POST"
    assert upstream.ids[0] == upstream.ids[1] != upstream.ids[2]
    upstream.asked.clear()
    upstream.replies = [pending("0"), LOST, pending("0"), LOST]
    assert (await banks.failure()).kind is K.REJECTED
    assert upstream.methods == "POST GET POST GET"


@pytest.mark.parametrize("fault", [silent, breaks, cut, HTML, returns("", status=500), returns("", status=429)])
async def test_what_was_lost_on_the_way_is_the_same_inquiry(upstream: Upstream, fault: Handler) -> None:
    """The bank may or may not have it: it is asked, and gets the same key and the same bytes where it hasn't."""
    for replies, methods in [([answers()], "POST GET"), ([LOST, answers()], "POST GET POST")]:
        banks = await astray(upstream, [fault, *replies])
        assert isinstance(await banks.ask(), Answer)
        assert upstream.methods == methods
        assert len(set(upstream.ids)) == 1
        assert len(set(upstream.bodies)) == 1
        await banks.connector.close()


async def astray(upstream: Upstream, replies: list[Handler]) -> Banks:
    """A connector whose first request has failed at the bank; on a machine that paused, time may end before that."""
    for _ in range(20):
        upstream.asked.clear()
        upstream.bodies.clear()
        upstream.replies = [*replies]
        banks = Banks(upstream)
        assert isinstance(await banks.ask(within=0.3), Failure)
        if upstream.asked:
            return banks
        await banks.connector.close()
    raise AssertionError("the bank is not asked")


async def test_a_cancelled_ask_is_the_same_inquiry(upstream: Upstream, banks: Banks) -> None:
    upstream.replies = [silent]
    leaving = asyncio.create_task(banks.ask())
    assert await eventually(lambda: upstream.asked)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert isinstance(await banks.ask(), Answer)
    assert len(set(upstream.ids)) == 1


async def test_a_key_with_another_body_is_replaced_once(upstream: Upstream) -> None:
    conflict = returns({"error": "conflict"}, status=409)
    banks = await astray(upstream, [silent, LOST, conflict, answers()])
    assert isinstance(await banks.ask(), Answer)
    assert upstream.methods == "POST GET POST POST"
    assert upstream.ids[2] != upstream.ids[3]
    upstream.reply = conflict
    assert (await banks.failure()).kind is K.REJECTED
    await banks.connector.close()


@pytest.mark.parametrize(
    "refusal", [REJECTED, returns({}, status=403), returns({}, status=400), UNKNOWN, answers(uscc=OTHER)]
)
async def test_what_has_ended_is_not_taken_up_again(upstream: Upstream, banks: Banks, refusal: Handler) -> None:
    upstream.reply = refusal
    await banks.ask()
    await banks.ask()
    assert upstream.methods == "POST POST"
    assert len(set(upstream.ids)) == 2


# ---- the book


class Book(MemoryRequestBook):
    """A book of which one method fails or hangs."""

    def __init__(self, method: str, fault: Exception | None) -> None:
        super().__init__()

        async def broken(*_: object) -> None:
            if fault is None:
                await asyncio.sleep(30)
            else:
                raise fault

        setattr(self, method, broken)


@pytest.mark.parametrize("method", ["find", "keep", "forget"])
@pytest.mark.parametrize(("fault", "kind"), [(ValueError("consent-1 s3cr"), K.UNREACHABLE), (None, K.TIMEOUT)])
async def test_faults_of_the_book(upstream: Upstream, method: str, fault: Exception | None, kind: FailureKind) -> None:
    """Nothing is asked that could not be taken up again; an answer that came is not lost."""
    banks = Banks(upstream, Book(method, fault))
    outcome = await banks.ask(within=0.3 if fault is None else PATIENCE)
    if method == "forget":
        for _ in range(20):
            if not isinstance(outcome, Answer):  # the machine paused before the answer was there
                outcome = await banks.ask(within=0.3)
        assert isinstance(outcome, Answer)
    else:
        detail = "request book: " + ("TimeoutError" if fault is None else "ValueError")
        assert outcome == Failure(kind, detail=detail)
        assert upstream.asked == []
    await banks.connector.close()


async def test_only_ids_of_ours_go_into_an_address(upstream: Upstream) -> None:
    book = MemoryRequestBook()
    await book.keep(USCC, CONSENT.id, "../../oauth2/token?", "2099-12-31")
    banks = Banks(upstream, book)
    assert isinstance(await banks.ask(), Answer)
    assert upstream.methods == "POST"
    await banks.connector.close()


async def test_the_book_in_memory_is_bounded_and_ends() -> None:
    now = datetime(2026, 1, 1, 15, 59, tzinfo=UTC)  # 23:59 in China
    book = MemoryRequestBook(lambda: now, max_kept=2)
    for uscc in "abc":
        await book.keep(uscc, "1", f"id-{uscc}", "2026-01-01")
    assert [await book.find(uscc, "1") for uscc in "abc"] == [None, "id-b", "id-c"]
    assert await book.find("b", "2") is None
    assert await book.find("b", "1", "apart") is None
    await book.forget("b", "1")
    await book.forget("b", "1")
    assert await book.find("b", "1") is None
    now += timedelta(minutes=1)
    assert await book.find("c", "1") is None


# ---- faults: none is ever "no record"


CASES: list[Fault] = [
    *wire_faults(json.dumps(answer("0")).encode()),
    (HTML, K.MALFORMED, None),
    (returns("", status=202), K.MALFORMED, None),
    (REJECTED, K.CONSENT_REJECTED, None),
    (returns("<html>", status=403), K.FORBIDDEN, None),
    (returns({"error": "other"}, status=403), K.FORBIDDEN, None),
    (returns({"error": "other"}, status=404), K.REJECTED, None),
    (returns({"error": ["unknown_subject"]}, status=404), K.REJECTED, None),
    (returns("<html>unknown_subject", status=404), K.REJECTED, None),
    (returns({"error": "unknown_subject"}, status=400), K.REJECTED, None),
    (returns({"error": "unknown_subject"}, status=403), K.FORBIDDEN, None),
    (returns({"error": "unknown_subject"}), K.MALFORMED, None),
]


@pytest.mark.parametrize(("reply", "kind", "wait"), CASES)
@pytest.mark.parametrize("first", [[], [pending("0")]], ids=["POST", "GET"])
async def test_faults_are_told_apart(
    upstream: Upstream, banks: Banks, first: list[Handler], reply: Handler, kind: FailureKind, wait: float | None
) -> None:
    upstream.replies, upstream.reply = list(first), reply
    failure = await banks.failure()
    assert (failure.kind, failure.retry_after) == (kind, wait)
    assert len(upstream.asked) == len(first) + 1


@pytest.mark.parametrize(
    ("reply", "kind", "wait"), wire_faults(b'{"access_token":"t","token_type":"Bearer","expires_in":9}')
)
async def test_faults_of_the_token_endpoint(
    upstream: Upstream, banks: Banks, reply: Handler, kind: FailureKind, wait: float | None
) -> None:
    upstream.token = reply
    failure = await banks.failure()
    assert (failure.kind, failure.retry_after) == (kind, wait)
    assert (upstream.tokens, upstream.asked) == (1, [])
    upstream.token = None  # a failure isn't kept
    assert isinstance(await banks.ask(), Answer)


async def test_a_refused_token_is_renewed_once(upstream: Upstream, banks: Banks) -> None:
    upstream.replies = [returns("", status=401)]
    assert isinstance(await banks.ask(), Answer)
    assert (upstream.tokens, upstream.methods) == (2, "POST POST")
    assert len(set(upstream.ids)) == 1
    upstream.reply = returns("", status=401)
    assert (await banks.failure()).kind is K.CREDENTIALS
    assert (upstream.tokens, upstream.methods) == (3, "POST POST POST POST")


async def test_a_bomb_does_not_grow_the_memory(upstream: Upstream, banks: Banks) -> None:
    await banks.ask()
    upstream.reply = returns(bomb(500), **GZIP)
    with allocating(less_than=24 << 20):  # the limit of 8 MiB, doubled while the buffer grows
        assert (await banks.failure()).kind is K.TOO_LARGE


async def test_no_server_is_unreachable(upstream: Upstream, unused_tcp_port: int) -> None:
    upstream.url = f"http://127.0.0.1:{unused_tcp_port}"
    banks = Banks(upstream)
    assert (await banks.failure()).kind is K.UNREACHABLE
    await banks.connector.close()


@pytest.mark.parametrize("reply", [silent, trickle])
@pytest.mark.parametrize("where", ["reply", "poll", "token"])
async def test_the_deadline_holds_within_100_ms(upstream: Upstream, banks: Banks, where: str, reply: Handler) -> None:
    if where == "poll":
        upstream.reply = pending("60")
        assert await banks.ask() == Pending(60.0)
    setattr(upstream, "token" if where == "token" else "reply", reply)
    with lasting(0.39, 0.5):
        assert (await banks.failure(within=0.4)).kind is K.TIMEOUT


async def test_the_budget_holds_where_the_deadline_is_later(upstream: Upstream) -> None:
    banks = Banks(upstream, budget=0.3)
    upstream.reply = silent
    with lasting(0.0, 0.4):
        assert (await banks.failure(within=5)).kind is K.TIMEOUT
    await banks.connector.close()


async def test_after_close_asks_fail_and_nothing_is_sent(upstream: Upstream, banks: Banks) -> None:
    upstream.token = silent
    waiting = asyncio.create_task(banks.failure())
    assert await eventually(lambda: upstream.tokens)
    await banks.connector.close()
    await banks.connector.close()
    assert (await waiting).kind is K.UNREACHABLE
    assert (await banks.failure()).kind is K.UNREACHABLE
    assert (upstream.tokens, upstream.asked) == (1, [])


# ---- secrets


async def test_nothing_secret_is_shown(upstream: Upstream, banks: Banks, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(banks.connector._settings), repr(banks.connector), repr(vars(banks.connector))]
    faults = [answers(summary={"loanBalance": "8123.45x"}), answers(uscc="8123.45"), returns("8123.45", status=500)]
    faults += [pending("0", requestId="8123.45"), returns({"error": "8123.45"}, status=403), REJECTED]
    faults += [
        answers(summary={"classification": "8123.45"}),
        answers(asOf="8123.45"),
        breaks,
        returns("", status=429, headers=SOON),
    ]
    for upstream.reply in faults:
        shown.append(repr(await banks.failure()))
    upstream.reply = answers(summary={"loanBalance": "8123.45"})
    assert isinstance(await banks.ask(), Answer)
    shown += [record.getMessage() + repr(vars(record)) for record in caplog.records if record.name != "aiohttp.access"]
    for secret in (SECRET, "s3cr", "token-1", "8123", "1200.00", "81234500"):
        assert secret not in "\n".join(shown)


async def test_an_unknown_part_is_a_fault_of_ours(banks: Banks) -> None:
    with pytest.raises(ValueError, match="no part"):
        await banks.connector.ask("loans", [], PURPOSE, 0.0)
