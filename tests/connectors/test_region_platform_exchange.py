"""Promises: reports and withdrawals say what the contract has a place for and their results add up; the feed moves on,
and a change that can't be read is put aside and holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web
from hostile import PATIENCE

from connectors.base import Failure, FailureKind
from connectors.region_platform import RegionPlatformConnector, RegionPlatformSettings
from connectors.region_platform_feed import ChangesPage
from connectors.region_platform_reports import BatchResult, Rejection, Withdrawal
from connectors.region_platform_rows import normalise
from tests.connectors.platform_upstream import APP_KEY, SECRET, Platform, code, ok, penalty, row, serving

USCC, ORGAN = code("91", 1), code("11", 900001)
ROW = {
    "subject_name": "样例一有限公司", "subject_uscc": USCC, "document_number": "样例〔2026〕1号", "offence": None,
    "penalty_kinds": ["罚款", "警告"], "fine": "15000.50", "confiscated": "0.00", "decided_on": "2026-03-15",
    "authority_name": "示例局", "authority_uscc": ORGAN, "amount": "15000.50", "severity": None, "title": "样例",
}  # fmt: skip
SENT = {
    "rowNo": 1, "CF_XDR_MC": "样例一有限公司", "CF_XDR_SHXYM": USCC, "CF_XDR_LB": "法人及非法人组织",
    "CF_WSH": "样例〔2026〕1号", "CF_CFLB": "罚款;警告", "CF_NR_FK": "1.50005", "CF_NR_WFFF": "0",
    "CF_JDRQ": "2026-03-15", "CF_CFJG": "示例局", "CF_CFJGDM": ORGAN,
}  # fmt: skip


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with serving(Platform()) as server:
        yield server


@pytest.fixture
async def connector(platform: Platform) -> AsyncIterator[RegionPlatformConnector]:
    options = {"budget": PATIENCE, "connect_timeout": PATIENCE, "requests_per_second": 0, "clock": lambda: platform.now}
    made = RegionPlatformConnector(RegionPlatformSettings(platform.url, APP_KEY, SECRET, **options))  # type: ignore[arg-type]
    yield made
    await made.close()


def soon() -> float:
    return asyncio.get_running_loop().time() + PATIENCE


def result(accepted: list[Any], rejected: list[Any], number: Any = "B1") -> dict[str, Any]:
    return ok({"batchNo": number, "accepted": accepted, "rejected": rejected})


def refused(number: Any, **changes: Any) -> dict[str, Any]:
    return {"rowNo": number, "code": "E102", "message": "信用代码有误", **changes}


async def test_a_report_is_said_in_the_platforms_columns(
    platform: Platform, connector: RegionPlatformConnector
) -> None:
    platform.reply = lambda path, asked: result([1], [refused(2)])
    told = await connector.report("B1", "xzcf", [ROW, ROW], soon())
    assert told == BatchResult("B1", (1,), (Rejection(2, "E102", "信用代码有误"),))
    assert platform.asked == [("report", {"batchNo": "B1", "table_name": "xzcf", "rows": [SENT, {**SENT, "rowNo": 2}]})]


@pytest.mark.parametrize(
    ("table", "entity"),
    [
        ("honour", {"title": "示例先进", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": "2027-01-01"}),
        (
            "serious_dishonesty",
            {"list_name": "示例名单", "listed_on": "2026-01-01", "authority": "示例局", "basis": "法"},
        ),
        ("abnormal", {"reason": "原因", "listed_on": "2026-01-01", "authority": "示例局", "removed_on": "2026-02-01"}),
    ],
)
async def test_rows_of_the_other_tables_go_back_as_they_came(
    platform: Platform, connector: RegionPlatformConnector, table: str, entity: dict[str, Any]
) -> None:
    platform.reply = lambda path, asked: result([1], [])
    assert isinstance(
        await connector.report("B1", table, [normalise(row(table, USCC, entity)).row], soon()), BatchResult
    )
    assert platform.asked[0][1]["rows"] == [{"rowNo": 1, "tyshxydm": USCC, **entity}]


async def test_a_withdrawal_has_its_items(platform: Platform, connector: RegionPlatformConnector) -> None:
    platform.reply = lambda path, asked: result([], [refused(1, code="E201")], "W1")
    item = Withdrawal("xzcf", "样例〔2026〕1号", USCC, "repaired", "2026-05-01")
    told = await connector.withdraw("W1", [item], soon())
    assert told == BatchResult("W1", (), (Rejection(1, "E201", "信用代码有误"),))
    sent = {"table_name": "xzcf", "wsh": "样例〔2026〕1号", "tyshxydm": USCC, "reason": "repaired"}
    assert platform.asked == [("withdraw", {"batchNo": "W1", "items": [{**sent, "effectiveOn": "2026-05-01"}]})]


@pytest.mark.parametrize(
    "answer",
    [
        result([1], []), result([1, 2, 2], []), result([1, 3], []), result([1], [refused(1)]), result([1, True], []),
        result([1], [refused("2")]), result([1], [{"rowNo": 2}]), result([1], [None]), result([1, 2], [], "B2"),
        result([1, 2], [], None), ok({"batchNo": "B1", "accepted": [1, 2]}), ok(None), {"status": 1},
    ],
)  # fmt: skip
async def test_a_result_that_is_not_of_the_batch_is_malformed(
    platform: Platform, connector: RegionPlatformConnector, answer: Any
) -> None:
    platform.reply = lambda path, asked: answer
    told = await connector.report("B1", "xzcf", [ROW, ROW], soon())
    assert isinstance(told, Failure)
    assert told.kind is FailureKind.MALFORMED


async def test_a_refused_batch_and_a_fault_are_failures(platform: Platform, connector: RegionPlatformConnector) -> None:
    platform.reply = lambda path, asked: {"status": 7, "message": "no"}
    assert await connector.report("B1", "xzcf", [ROW], soon()) == Failure(FailureKind.REJECTED, detail="status 7")
    platform.raw = web.Response(status=500)
    told = await connector.withdraw("B1", [Withdrawal("xzcf", "号", USCC, "expired", "2026-01-01")], soon())
    assert told == Failure(FailureKind.SERVER_ERROR, detail="status 500")


WRONG: list[tuple[str, list[Mapping[str, Any]]]] = [
    ("B1", []), ("B1", [ROW] * 501), ("", [ROW]), ("样", [ROW]), ("B1", [{**ROW, "decided_on": "2026年3月"}]),
    ("B1", [{**ROW, "fine": "-1"}]), ("B1", [{**ROW, "fine": "x"}]), ("B1", [{**ROW, "offence": 7}]),
]  # fmt: skip


@pytest.mark.parametrize(("number", "rows"), WRONG)
async def test_what_the_contract_has_no_place_for_is_never_sent(
    platform: Platform, connector: RegionPlatformConnector, number: str, rows: list[Any]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        await connector.report(number, "xzcf", rows, soon())
    for table, wsh, uscc, reason, day in (
        ("x", "号", USCC, "revoked", "2026-01-01"),
        ("xzcf", "", USCC, "revoked", "2026-01-01"),
        ("xzcf", "号", "91", "revoked", "2026-01-01"),
        ("xzcf", "号", USCC, "gone", "2026-01-01"),
        ("xzcf", "号", USCC, "revoked", "1 May"),
    ):
        with pytest.raises(ValueError, match=r"."):
            await connector.withdraw("W1", [Withdrawal(table, wsh, uscc, reason, day)], soon())
    assert platform.asked == []


# The feed -------------------------------------------------------------------------------------------------------------


def feed(changes: list[Any], cursor: Any = "c1", more: Any = False) -> dict[str, Any]:
    return ok({"next": cursor, "more": more, "list": changes})


def withdrawal(**changes: Any) -> dict[str, Any]:
    return penalty(USCC) | {"op": "withdraw", "reason": "repaired", "effectiveOn": "2026-05-01"} | changes


async def test_a_page_of_the_feed(platform: Platform, connector: RegionPlatformConnector) -> None:
    platform.reply = lambda path, asked: feed([penalty(USCC) | {"op": "upsert"}, withdrawal()], "a/b+c =&", True)
    page = await connector.changes("since /?&=#样", soon(), 2)
    assert platform.asked == [("changes", {"since": "since /?&=#样", "size": "2"})]
    assert isinstance(page, ChangesPage)
    assert (page.next, page.more) == ("a/b+c =&", True)
    upsert, withdrawn = page.changes
    key = f"xzcf|{USCC}|样例〔2026〕1号"
    assert (upsert.op, upsert.table, upsert.uscc, upsert.natural_key) == ("upsert", "xzcf", USCC, key)
    assert upsert.row == withdrawn.row
    assert (withdrawn.op, withdrawn.reason, withdrawn.effective_on) == ("withdraw", "repaired", "2026-05-01")


@pytest.mark.parametrize(
    "change",
    [
        None, [], {}, penalty(USCC), penalty(USCC) | {"op": "delete"}, penalty(USCC, CF_JDRQ="昨天") | {"op": "upsert"},
        penalty("9152") | {"op": "upsert"}, penalty(USCC, CF_XDR_SHXYM=ORGAN) | {"op": "upsert"},
        withdrawal(reason="lost"), withdrawal(reason=None), withdrawal(effectiveOn="2026-02-30"),
        withdrawal(effectiveOn=20260501), withdrawal(table_name="sfcf"), withdrawal(entity=[]),
    ],
)  # fmt: skip
async def test_a_change_that_can_not_be_read_has_a_problem_and_the_rest_goes_on(
    platform: Platform, connector: RegionPlatformConnector, change: Any
) -> None:
    platform.reply = lambda path, asked: feed([change, penalty(USCC) | {"op": "upsert"}])
    page = await connector.changes("", soon())
    assert isinstance(page, ChangesPage)
    poisoned, good = page.changes
    assert poisoned.problem
    assert poisoned.row is None
    assert "样例" not in poisoned.problem
    assert (good.problem, good.op, good.natural_key) == ("", "upsert", f"xzcf|{USCC}|样例〔2026〕1号")


def spoiled(**changes: Any) -> dict[str, Any]:
    made = withdrawal()
    return made | {"entity": made["entity"] | changes}


@pytest.mark.parametrize(
    "change",
    [
        spoiled(CF_NR_FK="约壹万伍仟元"), spoiled(CF_JDRQ="二〇二六年三月十五日"), spoiled(CF_XDR_MC=None),
        spoiled(CF_CFLB=[]), spoiled(CF_XDR_LB="自然人"), spoiled(CF_XDR_SHXYM=[]), spoiled(CF_SY={}),
        spoiled(CF_CFLB2=[], CF_YXQ=True), withdrawal(dataSource=[]), withdrawal(updateTime=7),
        {key: value for key, value in withdrawal().items() if key not in ("dataSource", "updateTime")},
        withdrawal(entity={"CF_WSH": "样例[2026]1号"}),
    ],
)  # fmt: skip
async def test_a_withdrawal_says_what_ends_whatever_else_can_not_be_read(
    platform: Platform, connector: RegionPlatformConnector, change: dict[str, Any]
) -> None:
    platform.reply = lambda path, asked: feed([change, change | {"op": "upsert"}])
    page = await connector.changes("", soon())
    assert isinstance(page, ChangesPage)
    withdrawn, upsert = page.changes
    assert (withdrawn.problem, withdrawn.natural_key) == ("", f"xzcf|{USCC}|样例〔2026〕1号")
    assert (withdrawn.op, withdrawn.reason, withdrawn.effective_on) == ("withdraw", "repaired", "2026-05-01")
    assert upsert.problem


@pytest.mark.parametrize(
    ("table", "entity"),
    [
        ("honour", {"title": "示例先进", "awarded_on": "2026年1月1日", "authority": [], "valid_to": "?!"}),
        ("serious_dishonesty", {"list_name": "示例先进", "listed_on": "2026-01-01", "basis": 7}),
        ("abnormal", {"reason": "示例先进", "listed_on": "20260101", "authority": "名" * 300, "removed_on": "昨天"}),
    ],
)
async def test_a_withdrawal_of_the_other_tables_is_told_by_what_it_names_and_the_day(
    platform: Platform, connector: RegionPlatformConnector, table: str, entity: dict[str, Any]
) -> None:
    said = {"op": "withdraw", "reason": "repaired", "effectiveOn": "2026-05-01"}
    day = next(name for name in ("awarded_on", "listed_on") if name in entity)
    what = next(iter(entity))
    poisoned = [{**entity, day: "昨天"}, {**entity, what: None}, {**entity, what: []}]
    platform.reply = lambda path, asked: feed([row(table, USCC, one) | said for one in (entity, *poisoned)])
    page = await connector.changes("", soon())
    assert isinstance(page, ChangesPage)
    assert [bool(change.problem) for change in page.changes] == [False, True, True, True]
    assert page.changes[0].natural_key == f"{table}|{USCC}|示例先进|2026-01-01"


@pytest.mark.parametrize(
    "change",
    [spoiled(CF_WSH="/"), spoiled(CF_WSH=7), spoiled(CF_XDR_SHXYM=ORGAN, CF_SY=[]), spoiled(CF_WSH="号" * 201)],
)
async def test_a_withdrawal_that_does_not_say_of_what_is_put_aside(
    platform: Platform, connector: RegionPlatformConnector, change: dict[str, Any]
) -> None:
    platform.reply = lambda path, asked: feed([change])
    page = await connector.changes("", soon())
    assert isinstance(page, ChangesPage)
    assert page.changes[0].problem


@pytest.mark.parametrize(
    "answer",
    [
        feed([], "c0", True), feed([], None), feed([], 7), feed([], "c\x00"), feed([], "c" * 2_001), feed([], "c", 1),
        feed([], "", True), ok({"next": "c", "more": False}), ok([]), feed([penalty(USCC)] * 3),
    ],
)  # fmt: skip
async def test_a_feed_that_does_not_move_or_is_none_is_malformed(
    platform: Platform, connector: RegionPlatformConnector, answer: Any
) -> None:
    platform.reply = lambda path, asked: answer
    page = await connector.changes("c0", soon(), 2)
    assert isinstance(page, Failure)
    assert page.kind is FailureKind.MALFORMED


async def test_an_unchanged_cursor_is_the_end_where_there_is_no_more(
    platform: Platform, connector: RegionPlatformConnector
) -> None:
    platform.reply = lambda path, asked: feed([], "c0")
    assert await connector.changes("c0", soon()) == ChangesPage("c0", False, ())


async def test_a_refused_cursor_is_rejected(platform: Platform, connector: RegionPlatformConnector) -> None:
    platform.reply = lambda path, asked: {"status": 2, "message": "cursor"}
    assert await connector.changes("c0", soon()) == Failure(FailureKind.REJECTED, detail="status 2")
