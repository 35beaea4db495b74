"""A live row of the platform and its stored record are one; what has ended is shown by none of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import asyncpg
import pytest

from tests.engine import small_world
from tests.engine.conftest import World

QUERY = "query R($uscc: Uscc!) { subject(uscc: $uscc) { regionPlatform { records { id history { version } } } } }"
KEYS = ("xzcf|one", "honour|two")
SAID = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)


@pytest.fixture
async def rows(world: World, owner: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both live rows have a key and a time; `link(key, record, linked)` says what one is here."""
    plain = small_world.answer

    def answer(source: str, parts: tuple[str, ...], uscc: str) -> dict[str, Any]:
        made = plain(source, parts, uscc)
        for key, record in zip(KEYS, made["records"], strict=True):
            record |= {"natural_key": key, "updated_at": rows_at[0].isoformat()}
        return made

    rows_at = [SAID]
    monkeypatch.setattr(small_world, "answer", answer)

    async def link(number: int, *, linked: bool, status: str = "ACTIVE") -> str:
        record = small_world.RECORD_IDS[number]
        await owner.execute("update core.record set status = $2 where external_id = $1", record, status)
        await owner.execute(
            "insert into core.source_row select 'REGION_PLATFORM', $2, id, $3, $4 from core.record"
            " where external_id = $1",
            record, KEYS[0], linked, SAID,
        )  # fmt: skip
        return small_world.node_id("R", record)

    yield link, rows_at
    await owner.execute("delete from core.source_row")
    await owner.execute("delete from core.source_ended")
    for number in (0, 3):
        status = small_world.RECORDS[number][4]
        await owner.execute(
            "update core.record set status = $2 where external_id = $1", small_world.RECORD_IDS[number], status
        )


async def shown(world: World, view: str = "internal") -> list[tuple[str, int]]:
    query = QUERY if view == "internal" else QUERY.replace(" history { version }", "")
    data = (await world.ask(view, query, {"uscc": small_world.FIRM}))["data"]
    found = data["subject"]["regionPlatform"]["records"]
    return [(record["id"], len(record.get("history", []))) for record in found]


LIVE = [small_world.node_id("R", one) for one in small_world.LIVE_IDS]


async def test_rows_that_are_not_stored_have_their_own_ids(world: World, rows: Any) -> None:
    assert await shown(world) == [(LIVE[0], 0), (LIVE[1], 0)]


@pytest.mark.parametrize("linked", [False, True])
async def test_a_stored_row_has_the_records_id_and_history(world: World, rows: Any, linked: bool) -> None:
    stored = await rows[0](0, linked=linked)
    assert await shown(world) == [(stored, 1), (LIVE[1], 0)]


@pytest.mark.parametrize("status", ["REPAIRED", "REVOKED"])
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("view", ["restricted", "restricted_scoped", "internal", "self"])
async def test_what_has_ended_is_shown_to_nobody(world: World, rows: Any, status: str, linked: bool, view: str) -> None:
    await rows[0](0, linked=linked, status=status)
    assert [record for record, _ in await shown(world, view)] == [LIVE[1]]


async def test_what_the_platform_said_after_its_withdrawal_is_shown(world: World, rows: Any) -> None:
    link, at = rows
    await link(0, linked=False, status="REVOKED")
    at[0] = SAID + dt.timedelta(seconds=1)
    assert [record for record, _ in await shown(world, "restricted")] == LIVE[:2]


async def test_the_end_of_our_own_record_is_ours_to_say(world: World, rows: Any) -> None:
    link, at = rows
    await link(0, linked=True, status="REPAIRED")
    at[0] = SAID + dt.timedelta(days=1)
    assert [record for record, _ in await shown(world, "restricted")] == [LIVE[1]]


TERMS = """query T($uscc: Uscc!) { subject(uscc: $uscc) {
  records(first: 1) { edges { node { ...T } } } regionPlatform { records { ...T } }
} }
fragment T on CreditRecord { id status severity publishedFrom publishedUntil underObjection version }"""


async def test_a_stored_record_says_the_same_of_itself_in_both_places(
    world: World, rows: Any, owner: asyncpg.Connection[Any]
) -> None:
    await rows[0](0, linked=False)
    record = small_world.RECORD_IDS[0]
    await owner.execute("update core.record set published_until = '2026-04-01' where external_id = $1", record)
    try:
        subject = (await world.ask("restricted", TERMS, {"uscc": small_world.FIRM}))["data"]["subject"]
    finally:
        await owner.execute("update core.record set published_until = null where external_id = $1", record)
    (stored,) = [edge["node"] for edge in subject["records"]["edges"]]
    assert stored["status"] == "EXPIRED"
    assert stored["severity"] == "GENERAL"
    assert subject["regionPlatform"]["records"][0] == stored


async def end(owner: asyncpg.Connection[Any], at: dt.datetime, key: str = KEYS[0]) -> None:
    await owner.execute("insert into core.source_ended values ('REGION_PLATFORM', $1, $2)", key, at)


@pytest.mark.parametrize("view", ["restricted", "restricted_scoped", "internal", "self"])
async def test_what_the_source_has_withdrawn_is_shown_to_nobody_though_nothing_of_it_is_stored(
    world: World, owner: asyncpg.Connection[Any], rows: Any, view: str
) -> None:
    await end(owner, SAID)
    assert [record for record, _ in await shown(world, view)] == [LIVE[1]]


@pytest.mark.parametrize("linked", [False, True])
async def test_what_the_source_has_withdrawn_is_hidden_beside_a_record_in_force(
    world: World, owner: asyncpg.Connection[Any], rows: Any, linked: bool
) -> None:
    await rows[0](0, linked=linked)
    await end(owner, SAID + dt.timedelta(hours=1))
    assert [record for record, _ in await shown(world, "restricted")] == [LIVE[1]]


async def test_what_it_said_after_that_is_shown_and_another_sources_end_is_its_own(
    world: World, owner: asyncpg.Connection[Any], rows: Any
) -> None:
    await end(owner, SAID - dt.timedelta(seconds=1))
    await owner.execute("insert into core.source_ended values ('COURTS', $1, $2)", KEYS[1], SAID)
    assert [record for record, _ in await shown(world, "restricted")] == LIVE[:2]
