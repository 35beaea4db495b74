"""Promises: the courts connector gives all rows about the subject asked, or says how it failed; never fewer or foreign.

The upstream is a small hostile server over real HTTP on 127.0.0.1. It checks signatures with code of its own; a test
sets `reply` (the services) or `refresh` to what it wants to go wrong. Time limits are real, so they are kept short.
Over 400 lines, as rows, faults and secrets are all held against this one server.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hostile import (
    DATE,
    DENSE,
    GZIP,
    HTML,
    PATIENCE,
    SOON,
    Handler,
    K,
    allocating,
    announced,
    bomb,
    cut,
    endless,
    lasting,
    returns,
    serving,
    silent,
    trickle,
)

from connectors.base import Answer, Failure, FailureKind, Outcome, SubjectRef
from connectors.courts import CourtsConnector, CourtsSettings
from tests.storage.eventually import eventually

KEY = "Hk3-vX9_test-app-key-0123456789ab"
USCC = "11652700010583567A"
CASE = "（2017）新2701执123号"
SIDS = {part: f"sid-{part}" for part in ("dishonest", "enforcement", "consumption", "judgments", "refresh")}

DISHONEST = {
    "id": 7, "iname": "某局", "caseCode": "(2017)新2701执123号", "age": 0, "cardNum": USCC, "businessEntity": "张某",
    "courtName": "博乐市人民法院", "areaName": "新疆", "partyTypeName": 581, "gistId": "（2016）新2701民初9号",
    "gistUnit": "博乐市人民法院", "regDate": "20170811", "publishDate": "2017年08月12日", "duty": "支付\r\n欠款\x00",
    "performance": "暂无", "disruptTypeName": "违反财产报告制度,有履行能力而拒不履行，违反限制消费令",
}  # fmt: skip
ENFORCEMENT = {
    "id": 8, "caseCode": CASE, "caseState": "执行中", "execCourtName": "博乐市人民法院", "execMoney": 1200.125,
    "partyCardNum": USCC, "pname": "某局", "caseCreateTime": "2017-08-11 00:00:00",
}  # fmt: skip
CONSUMPTION = {
    "id": 9, "caseCode": CASE, "execCourtName": "博乐市人民法院", "pname": "某局", "partyCardNum": USCC,
    "orderDate": "2017年8月1日",
}  # fmt: skip
JUDGMENT = {
    "id": 10, "caseCode": CASE, "courtName": "博州中院", "caseCause": "合同纠纷", "judgedOn": "2017-08-11 00:00:00",
    "result": "败诉", "obligation": "支付", "performance": "全部未履行", "partyCardNum": USCC,
}  # fmt: skip


def page(rows: list[Any], number: int = 1, pages: int = 1, total: int | None = None) -> list[dict[str, Any]]:
    size = len(rows) if total is None else total
    return [{"totalPage": pages if size else 0, "totalSize": size, "currentPage": number, "result": rows}]


def encrypted(secret: str) -> str:
    padding = 16 - len(secret) % 16
    encryptor = Cipher(algorithms.AES(KEY.encode()[:16]), modes.ECB()).encryptor()
    return base64.b64encode(encryptor.update(secret.encode() + bytes([padding]) * padding)).decode()


class Upstream:
    """The hostile courts. Counts calls; every refresh gives secret-<n>, valid for 10 minutes of `now`."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.reply: Handler = returns(page([]))
        self.refresh: Handler | None = None
        self.refreshes = self.calls = self.running = self.peak = 0
        self.url = ""

    def signed(self, request: web.Request, key: str, sid: str) -> bool:
        rid, rtime = request.headers["gjgxjhpt_rid"], request.headers["gjgxjhpt_rtime"]
        expected = hmac.new(key.encode(), f"{sid}{rid}{rtime}".encode(), hashlib.sha256).digest()
        return request.headers["gjgxjhpt_sign"] == base64.b64encode(expected).decode()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        if request.path == "/sysapi/auth/refreshappsecret":
            assert asked == {}
            assert self.signed(request, KEY, SIDS["refresh"])
            self.refreshes += 1
            if self.refresh is not None:
                return await self.refresh(request, asked)
            end = int((self.now + timedelta(minutes=10)).timestamp() * 1000)
            data = {"secret": encrypted(f"secret-{self.refreshes}"), "secretEndTime": end}
            return web.json_response({"code": 0, "message": "ok", "data": data})
        assert self.signed(request, f"secret-{self.refreshes}", SIDS[request.path.removeprefix("/httpproxy/")])
        self.calls += 1
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            return await self.reply(request, asked)
        finally:
            self.running -= 1


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream()
    async with serving(server.handle) as server.url:
        yield server


class Courts:
    """A connector with short limits, and one subject or many asked in a line."""

    def __init__(self, upstream: Upstream, **changes: Any) -> None:
        options: dict[str, Any] = {"budget": PATIENCE, "connect_timeout": PATIENCE, "requests_per_second": 0, **changes}
        options.setdefault("clock", lambda: upstream.now)
        self.connector = CourtsConnector(CourtsSettings(upstream.url, "gw-bortala-test", KEY, SIDS, **options))

    async def ask(self, part: str = "consumption", within: float = PATIENCE) -> Outcome:
        deadline = asyncio.get_running_loop().time() + within
        return (await self.connector.ask(part, [SubjectRef(USCC)], None, deadline))[USCC]

    async def failure(self, part: str = "consumption", within: float = PATIENCE) -> Failure:
        outcome = await self.ask(part, within)
        assert isinstance(outcome, Failure), outcome
        return outcome


@pytest.fixture
async def courts(upstream: Upstream) -> AsyncIterator[Courts]:
    made = Courts(upstream)
    yield made
    await made.connector.close()


# ---- rows


@pytest.mark.parametrize(
    ("part", "row", "expected"),
    [
        ("dishonest", DISHONEST, {
            "natural_key": f"dishonest|7|{CASE}", "case_number": CASE, "court": "博乐市人民法院",
            "filed_on": "2017-08-11", "published_on": "2017-08-12", "performance": None, "duty": "支付\n欠款",
            "grounds": ["违反财产报告制度", "有履行能力而拒不履行", "违反限制消费令"],
            "basis_document": "（2016）新2701民初9号",
        }),
        ("enforcement", ENFORCEMENT, {
            "natural_key": f"enforcement|8|{CASE}", "case_number": CASE, "court": "博乐市人民法院",
            "filed_on": "2017-08-11", "state": "执行中", "amount": "1200.12",
        }),
        ("consumption", CONSUMPTION, {
            "natural_key": f"consumption|9|{CASE}", "case_number": CASE, "court": "博乐市人民法院",
            "ordered_on": "2017-08-01",
        }),
        ("judgments", JUDGMENT, {
            "natural_key": f"judgments|10|{CASE}", "case_number": CASE, "court": "博州中院", "cause": "合同纠纷",
            "judged_on": "2017-08-11", "result": "败诉", "obligation": "支付", "performance": "全部未履行",
        }),
    ],
)  # fmt: skip
async def test_rows_come_out_canonical(
    upstream: Upstream, courts: Courts, part: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    upstream.reply = returns(page([row]))
    assert await courts.ask(part) == Answer((expected,), upstream.now, 0)


async def test_no_record_is_an_empty_answer(upstream: Upstream, courts: Courts) -> None:
    assert await courts.ask() == Answer((), upstream.now, 0)


@pytest.mark.parametrize(
    ("money", "amount"),
    [(5, "5.00"), ("0.125", "0.12"), ("0.135", "0.14"), (None, None), ("暂无", None), ("98765432.345", "98765432.34")],
)  # fmt: skip
async def test_amounts_are_exact(upstream: Upstream, courts: Courts, money: object, amount: str | None) -> None:
    upstream.reply = returns(page([ENFORCEMENT | {"execMoney": money}]))
    outcome = await courts.ask("enforcement")
    assert isinstance(outcome, Answer)
    assert outcome.rows[0]["amount"] == amount


@pytest.mark.parametrize(
    "text", ["2017年13月41日", "2017-02-30 00:00:00", "1900-01-01 00:00:00", "soon", "２０１７０８１１"]
)
async def test_an_unreadable_date_is_null_and_counted(upstream: Upstream, courts: Courts, text: str) -> None:
    upstream.reply = returns(page([CONSUMPTION | {"orderDate": text}]))
    outcome = await courts.ask()
    assert isinstance(outcome, Answer)
    assert (outcome.rows[0]["ordered_on"], outcome.unreadable) == (None, 1)


async def test_text_is_fit_for_the_database(upstream: Upstream, courts: Courts) -> None:
    upstream.reply = returns(page([JUDGMENT | {"caseCause": "a\x00\x1b\x85\ud800b", "obligation": "长" * 30_000}]))
    outcome = await courts.ask("judgments")
    assert isinstance(outcome, Answer)
    assert outcome.rows[0]["cause"] == "a\ufffdb"
    assert outcome.rows[0]["obligation"] == "长" * 20_000


async def test_gb18030_and_gzip_are_read(upstream: Upstream, courts: Courts) -> None:
    body = gzip.compress(json.dumps(page([CONSUMPTION]), ensure_ascii=False).encode("gb18030"))
    upstream.reply = returns(body, charset="GB18030", headers={"Content-Encoding": "gzip"})
    outcome = await courts.ask()
    assert isinstance(outcome, Answer)
    assert outcome.rows[0]["court"] == "博乐市人民法院"


# ---- whose rows


@pytest.mark.parametrize("card", [USCC, USCC[8:17], f"{USCC[8:16]}-{USCC[16]}"])
async def test_codes_of_the_subject_are_its_own(upstream: Upstream, courts: Courts, card: str) -> None:
    upstream.reply = returns(page([DISHONEST | {"cardNum": card}]))
    assert isinstance(await courts.ask("dishonest"), Answer)


@pytest.mark.parametrize(
    "card", ["11652700010583568B", USCC[:17], USCC[8:16], f"{USCC[8:12]}-{USCC[12:17]}", "3423****3224"]
)
async def test_one_foreign_row_fails_the_answer(upstream: Upstream, courts: Courts, card: str) -> None:
    upstream.reply = returns(page([DISHONEST, DISHONEST | {"id": 70, "cardNum": card}]))
    assert (await courts.failure("dishonest")).kind is FailureKind.FOREIGN_ROWS


# ---- what the contract names


@pytest.mark.parametrize(
    ("part", "row"),
    [("dishonest", DISHONEST), ("enforcement", ENFORCEMENT), ("consumption", CONSUMPTION), ("judgments", JUDGMENT)],
)
async def test_every_named_key_must_be_there(
    upstream: Upstream, courts: Courts, part: str, row: dict[str, Any]
) -> None:
    for key in row:
        upstream.reply = returns(page([{name: value for name, value in row.items() if name != key}]))
        optional = key in ("performance", "age")
        assert isinstance(await courts.ask(part), Answer if optional else Failure), key
        upstream.reply = returns(page([row | {key: [True]}]))
        assert isinstance(await courts.ask(part), Answer if key == "age" else Failure), key


@pytest.mark.parametrize(
    "change",
    [
        {"caseCode": ""}, {"caseCode": "执" * 201}, {"execCourtName": "\x00 "}, {"id": True}, {"id": "9"},
        {"id": 2**63}, {"execMoney": True}, {"execMoney": "1,000"}, {"execMoney": "1e5"}, {"execMoney": -1},
        {"execMoney": 10**40},
    ],
)  # fmt: skip
async def test_wrong_values_fail_the_answer(upstream: Upstream, courts: Courts, change: dict[str, Any]) -> None:
    upstream.reply = returns(page([ENFORCEMENT | change]))
    assert (await courts.failure("enforcement")).kind is FailureKind.MALFORMED


# ---- pages


def paged(total: int, **oddities: Any) -> Handler:
    """`total` rows in pages of 10; oddities change the envelope (a value, or a function of the page number)."""

    async def handle(request: web.Request, asked: dict[str, Any]) -> web.Response:
        number = asked["currentPage"]
        rows = [CONSUMPTION | {"id": n} for n in range(number * 10 - 10, min(number * 10, total))]
        changes = {key: value(number) if callable(value) else value for key, value in oddities.items()}
        return web.json_response([page(rows, number, -(-total // 10), total)[0] | changes])

    return handle


async def test_pages_are_followed_to_the_last(upstream: Upstream, courts: Courts) -> None:
    upstream.reply = paged(500)
    outcome = await courts.ask()
    assert isinstance(outcome, Answer)
    assert [row["natural_key"] for row in outcome.rows] == [f"consumption|{n}|{CASE}" for n in range(500)]
    assert upstream.calls == 50


FIRST = [CONSUMPTION | {"id": n} for n in range(10)]


@pytest.mark.parametrize(
    "reply",
    [
        paged(501),
        paged(15, result=lambda number: FIRST[: 15 - 10 * (number - 1)]),  # repeats
        paged(20, result=lambda number: FIRST if number == 1 else FIRST[9:] + FIRST[:9]),  # repeats in another order
        paged(15, totalSize=16),
        paged(15, totalSize=14),
        paged(15, totalPage=3),
        paged(15, totalPage=1),
        paged(25, totalPage=lambda number: 4 - number),
        paged(15, currentPage=1),
        paged(15, currentPage=True),
        paged(5, totalPage=True),
        paged(5, totalSize="5"),
        paged(5, totalSize=5.0),
        paged(5, result=None),
        paged(5, result=[]),
        paged(5, result=["row"]),
        paged(0, totalPage=1),
        paged(0, totalSize=-1, totalPage=-1),
        paged(0, result=FIRST[:1]),
        returns(page([CONSUMPTION | {"id": n} for n in range(11)])),
    ],
)
async def test_pages_that_do_not_add_up_fail(upstream: Upstream, courts: Courts, reply: Handler) -> None:
    upstream.reply = reply
    assert (await courts.failure()).kind is FailureKind.MALFORMED


# ---- faults: none is ever "no record"


NO_ROWS = json.dumps(page([])).encode()


@pytest.mark.parametrize(
    ("reply", "kind", "wait"),
    [
        (returns(NO_ROWS, status=302, headers={"Location": "/httpproxy/judgments"}), K.THROTTLED, None),
        (returns("", status=412), K.THROTTLED, None),
        (returns("", status=429, headers=SOON), K.THROTTLED, 7.0),
        (returns("", status=429, headers=DATE), K.THROTTLED, 90.0),
        (returns("", status=429, headers={"Retry-After": "soon"}), K.THROTTLED, None),
        (returns(NO_ROWS, status=503, headers=SOON), K.SERVER_ERROR, 7.0),
        (returns(NO_ROWS, status=500), K.SERVER_ERROR, None),
        (returns(NO_ROWS, status=404), K.REJECTED, None),
        (returns(NO_ROWS, status=202), K.MALFORMED, None),
        (HTML, K.MALFORMED, None),
        (cut, K.UNREACHABLE, None),
        (returns(NO_ROWS[:-5]), K.MALFORMED, None),
        (returns(gzip.compress(NO_ROWS)[:-5], **GZIP), K.MALFORMED, None),
        (returns(NO_ROWS, **GZIP), K.MALFORMED, None),
        (returns(NO_ROWS, headers={"Content-Encoding": "br"}), K.MALFORMED, None),
        (returns(NO_ROWS, charset="latin-1"), K.MALFORMED, None),
        (returns(b'[{"result":"\xff"}]'), K.MALFORMED, None),
        (returns("[" * 200_000), K.MALFORMED, None),
        (returns('[{"totalPage":NaN}]'), K.MALFORMED, None),
        (returns("[1e99999999999999999999]"), K.MALFORMED, None),
        (returns("9" * 5000), K.MALFORMED, None),
        (returns("[]"), K.MALFORMED, None),
        (returns("{}"), K.MALFORMED, None),
        (returns({"code": 0, "message": "ok"}), K.MALFORMED, None),
        (returns({"code": 40102, "message": "bad signature"}), K.CREDENTIALS, None),
        (returns({"code": 40103, "message": "time off"}), K.CREDENTIALS, None),
        (returns({"code": 40001, "message": "bad body"}), K.REJECTED, None),
        (returns({"code": 40301, "message": "no right"}), K.FORBIDDEN, None),
        (returns({"code": 50000, "message": "?"}), K.REJECTED, None),
        (endless, K.TOO_LARGE, None),
        (returns("[" + "[]," * 300_000 + "[]]"), K.TOO_LARGE, None),
        (returns("[" + "1.0," * 300_001 + "1]"), K.TOO_LARGE, None),
        (returns(bomb(100), **GZIP), K.TOO_LARGE, None),
        (returns(b"[" + DENSE + b"]"), K.TOO_LARGE, None),
        (announced, K.TOO_LARGE, None),
    ],
)
async def test_faults_are_told_apart(
    upstream: Upstream, courts: Courts, reply: Handler, kind: FailureKind, wait: float | None
) -> None:
    upstream.reply = reply
    failure = await courts.failure()
    assert (failure.kind, failure.retry_after) == (kind, wait)
    assert upstream.calls == 1


async def test_all_pages_of_one_question_have_twice_the_limit_of_a_body(upstream: Upstream) -> None:
    rows = [CONSUMPTION | {"id": number, "padding": "0" * 150} for number in range(100)]

    async def reply(request: web.Request, asked: dict[str, Any]) -> web.Response:
        number = asked["currentPage"]
        return web.json_response(page(rows[number * 10 - 10 : number * 10], number, 10, 100))

    upstream.reply = reply
    size = len(json.dumps(page(rows[:10], 1, 10, 100)))
    for limit, calls, kind in ((6 * size, 10, Answer), (2 * size, 5, Failure)):
        upstream.calls = 0
        courts = Courts(upstream, max_body_bytes=limit)
        outcome = await courts.ask()
        await courts.connector.close()
        assert isinstance(outcome, kind)
        assert isinstance(outcome, Answer) or outcome.kind is K.TOO_LARGE
        assert upstream.calls <= calls


async def test_a_bomb_does_not_grow_the_memory(upstream: Upstream, courts: Courts) -> None:
    await courts.ask()
    upstream.reply = returns(bomb(500), **GZIP)
    with allocating(less_than=8 << 20):  # the limit of 2 MiB, doubled while the buffer grows
        assert (await courts.failure()).kind is FailureKind.TOO_LARGE


async def test_no_server_is_unreachable(
    upstream: Upstream, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the environment's proxy stand in for it: the proxy named here would answer."""
    monkeypatch.setenv("http_proxy", upstream.url)
    monkeypatch.setenv("no_proxy", "")
    upstream.url = f"http://127.0.0.1:{unused_tcp_port}"
    courts = Courts(upstream)
    assert (await courts.failure()).kind is FailureKind.UNREACHABLE
    await courts.connector.close()


async def test_a_connection_must_come_within_its_own_timeout(upstream: Upstream) -> None:
    """TCP is accepted at once, but TLS is never spoken."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        upstream.url = "https://{}:{}".format(*server.sockets[0].getsockname())
        courts = Courts(upstream, connect_timeout=0.2)
        with lasting(0.19, 0.3):
            assert (await courts.failure()).kind is FailureKind.UNREACHABLE
        await courts.connector.close()


@pytest.mark.parametrize("reply", [silent, trickle])
@pytest.mark.parametrize("where", ["reply", "refresh"])
async def test_the_deadline_holds_within_100_ms(upstream: Upstream, courts: Courts, where: str, reply: Handler) -> None:
    setattr(upstream, where, reply)
    with lasting(0.29, 0.4):
        assert (await courts.failure(within=0.3)).kind is FailureKind.TIMEOUT


# ---- secrets


async def many(courts: Courts, count: int) -> list[Outcome]:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    asks = [courts.connector.ask("judgments", [SubjectRef(f"{n:018}")], None, deadline) for n in range(count)]
    return [outcome for outcomes in await asyncio.gather(*asks) for outcome in outcomes.values()]


async def test_concurrent_asks_share_one_refresh_and_the_limit(upstream: Upstream, courts: Courts) -> None:
    full = asyncio.Event()

    async def slow(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if upstream.peak >= 8:
            full.set()
        await full.wait()
        await asyncio.sleep(0.02)  # for one more than may be
        return await returns(page([]))(request, asked)

    upstream.reply = slow
    assert all(isinstance(outcome, Answer) for outcome in await many(courts, 20))
    assert (upstream.refreshes, upstream.calls, upstream.peak) == (1, 20, 8)


async def test_a_caller_that_gives_up_leaves_the_shared_refresh_alone(upstream: Upstream, courts: Courts) -> None:
    given_up = asyncio.Event()

    async def slow(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        await given_up.wait()
        upstream.refresh = None
        upstream.refreshes -= 1  # handle() below counts it again
        return await upstream.handle(request)

    upstream.refresh = slow
    patient = asyncio.create_task(courts.ask())
    hasty, cancelled = asyncio.create_task(courts.ask(within=0.05)), asyncio.create_task(courts.ask())
    await asyncio.sleep(0.02)
    cancelled.cancel()
    assert await hasty == Failure(K.TIMEOUT, None, "secret not refreshed by the deadline")
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    given_up.set()
    assert isinstance(await patient, Answer)
    assert upstream.refreshes == 1


async def test_the_secret_is_renewed_before_it_ends(upstream: Upstream, courts: Courts) -> None:
    for minutes, refreshes in [(0, 1), (9, 1), (0.75, 2)]:
        upstream.now += timedelta(minutes=minutes)
        assert isinstance(await courts.ask(), Answer)
        assert upstream.refreshes == refreshes


async def test_an_expired_secret_is_refreshed_and_the_call_repeated_once(upstream: Upstream, courts: Courts) -> None:
    expired = returns({"code": 40101, "message": "secret expired"})

    async def once(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        return await (expired if upstream.refreshes == 1 else returns(page([])))(request, asked)

    upstream.reply = once
    assert all(isinstance(outcome, Answer) for outcome in await many(courts, 8))
    assert (upstream.refreshes, upstream.calls) == (2, 16)
    upstream.reply, upstream.calls = expired, 0
    assert (await courts.failure()).kind is FailureKind.CREDENTIALS
    assert (upstream.refreshes, upstream.calls) == (3, 2)


@pytest.mark.parametrize(
    ("refresh", "kind"),
    [
        (returns({"code": 40102, "message": "bad signature"}), K.CREDENTIALS),
        (returns({"code": 0, "message": "ok"}), K.MALFORMED),
        (returns({"code": 0, "message": "ok", "data": {"secret": "AAAA", "secretEndTime": 1}}), K.MALFORMED),
        (returns({"code": 0, "message": "ok", "data": {"secret": encrypted("x"), "secretEndTime": "1"}}), K.MALFORMED),
        (returns("", status=429, headers=SOON), K.THROTTLED),
        (HTML, K.MALFORMED),
    ],
)
async def test_a_failed_refresh_fails_the_answer(
    upstream: Upstream, courts: Courts, refresh: Handler, kind: FailureKind
) -> None:
    upstream.refresh = refresh
    assert (await courts.failure()).kind is kind
    upstream.refresh = None  # a failure isn't kept
    assert isinstance(await courts.ask(), Answer)


# ---- limits and settings


async def test_no_more_calls_a_second_than_allowed(upstream: Upstream) -> None:
    courts = Courts(upstream, requests_per_second=10)
    with lasting(2.0, 3.0):
        outcomes = await many(courts, 20)  # and the refresh: 10 now, 10 in a second, the last in two
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    await courts.connector.close()


async def test_a_call_whose_turn_comes_after_the_deadline_fails_at_once(upstream: Upstream) -> None:
    courts = Courts(upstream, requests_per_second=1 / PATIENCE)
    with lasting(0.0, 1.0):
        outcomes = await many(courts, 3)  # the refresh has the first turn, and the next one is over
    assert outcomes == [Failure(K.TIMEOUT, None, "rate limit")] * 3
    assert (upstream.refreshes, upstream.calls) == (1, 0)
    await courts.connector.close()


async def test_after_close_asks_fail_and_nothing_is_sent(upstream: Upstream, courts: Courts) -> None:
    upstream.refresh = silent
    waiting = asyncio.create_task(courts.failure())
    assert await eventually(lambda: upstream.refreshes)
    await courts.connector.close()
    await courts.connector.close()
    assert (await waiting).kind is FailureKind.UNREACHABLE
    assert (await courts.failure()).kind is FailureKind.UNREACHABLE
    assert upstream.refreshes == 1


def test_settings_hide_the_key_and_are_checked() -> None:
    settings = CourtsSettings("http://courts", "gw", KEY, SIDS)
    assert KEY not in repr(settings)
    with pytest.raises(ValueError, match="no service id for refresh"):
        CourtsSettings("http://courts", "gw", KEY, {part: sid for part, sid in SIDS.items() if part != "refresh"})
