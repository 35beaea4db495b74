"""Which regions are large is noted by whoever writes the subject that makes them so, without waiting for anybody.

A page of a region's records is found by it, and is the same page without it (tests/engine/test_pages.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway.engine.pages import FEW
from gateway.storage.database import Database
from gateway.storage.migrate import shipped

COUNTY, SIBLING, PREFECTURE = "652701", "652722", "6527"
_SUBJECTS = """insert into core.subject (external_id, class, kind, name, name_folded, region_code)
    select gen_random_uuid(), $3, $4, 'x', 'x', $1 from generate_series(1, $2::int)"""


@pytest.fixture(scope="module")
async def regions(owner: Any) -> None:
    """A prefecture of two counties."""
    await owner.execute(
        "insert into core.region (code, name, level) select c, c, 'COUNTY' from unnest($1::text[]) c",
        [PREFECTURE, COUNTY, SIBLING],
    )
    await owner.execute(
        "insert into core.region_closure (ancestor, code) select a, c from unnest($1::text[]) a, unnest($1::text[]) c"
        " where a = c or a = $2",
        [PREFECTURE, COUNTY, SIBLING],
        PREFECTURE,
    )


@pytest.fixture
async def undone(owner: Any, regions: None) -> AsyncIterator[Any]:
    """Nobody is there, and what a test does is undone."""
    begun = owner.transaction()
    await begun.start()
    yield owner
    await begun.rollback()


async def add(owner: Any, region: str, count: int, kind: tuple[str, str] = ("ORGANISATION", "ENTERPRISE")) -> None:
    await owner.execute(_SUBJECTS, region, count, *kind)


async def large(owner: Any) -> list[str]:
    return [row["code"] for row in await owner.fetch("select code from core.large_region order by code")]


async def test_one_more_than_few_is_large(undone: Any) -> None:
    await add(undone, COUNTY, FEW)
    assert await large(undone) == []
    await add(undone, COUNTY, 1)
    assert await large(undone) == [PREFECTURE, COUNTY]


async def test_counties_add_up(undone: Any) -> None:
    await add(undone, COUNTY, FEW // 2)
    await add(undone, SIBLING, FEW // 2)
    assert await large(undone) == []
    await add(undone, SIBLING, 1)
    assert await large(undone) == [PREFECTURE]


async def test_persons_do_not_count(undone: Any) -> None:
    """Views without a scope do not show them: of a region with many of them few records would be found."""
    await add(undone, COUNTY, FEW, ("PERSON", "NATURAL_PERSON"))
    await add(undone, COUNTY, FEW)
    assert await large(undone) == []


async def test_who_moves_counts_where_they_are(undone: Any) -> None:
    await add(undone, COUNTY, 1)
    await add(undone, SIBLING, FEW)
    await undone.execute("update core.subject set region_code = $1 where region_code = $2", SIBLING, COUNTY)
    assert await large(undone) == [PREFECTURE, SIBLING]


async def test_a_region_that_is_left_is_large_no_longer(undone: Any) -> None:
    """Its records would be looked for among all, for ever."""
    await add(undone, SIBLING, FEW + 1)
    assert await large(undone) == [PREFECTURE, SIBLING]
    await undone.execute("update core.subject set region_code = $1 where region_code = $2", COUNTY, SIBLING)
    assert await large(undone) == [PREFECTURE, COUNTY]
    await undone.execute("delete from core.subject where id = (select min(id) from core.subject)")
    assert await large(undone) == []


async def test_what_does_not_move_anybody_counts_nobody(undone: Any) -> None:
    """An import updates subjects all the time: a region that is not large would be counted each time."""
    await add(undone, COUNTY, FEW + 1)
    await undone.execute("delete from core.large_region")
    await undone.execute("update core.subject set updated_at = now()")
    assert await large(undone) == []


async def test_when_the_divisions_change_all_are_looked_at(undone: Any) -> None:
    await add(undone, SIBLING, FEW + 1)
    await undone.execute("delete from core.region_closure where code = $1 and ancestor = $2", SIBLING, PREFECTURE)
    assert await large(undone) == [SIBLING]
    await undone.execute("insert into core.region_closure (ancestor, code) values ($1, $2)", PREFECTURE, SIBLING)
    assert await large(undone) == [PREFECTURE, SIBLING]


async def test_who_reads_a_snapshot_of_before_writes_all_the_same(database: Database, regions: None) -> None:
    one, two = [await asyncpg.connect(database.migrate_dsn) for _ in range(2)]
    try:
        await add(one, COUNTY, FEW)
        begun = two.transaction(isolation="repeatable_read")
        await begun.start()
        await two.fetchval("select count(*) from core.subject")
        await add(one, COUNTY, 1)
        assert COUNTY in await large(one)
        await add(two, COUNTY, 1)
        await begun.commit()
    finally:
        await one.execute("truncate core.subject cascade")
        assert await large(one) == []
        for each in (one, two):
            await each.close()


async def test_nobody_waits_for_it(database: Database, regions: None) -> None:
    """Two imports that note the same regions at once, each with more to come: one of them leaves it."""
    one, two = [await asyncpg.connect(database.migrate_dsn) for _ in range(2)]
    try:
        for each in (one, two):
            await each.execute("begin")
        async with asyncio.timeout(10):
            for each in (one, two, one, two):
                await add(each, COUNTY, FEW + 1)
        assert COUNTY in await large(one)
        assert COUNTY not in await large(two)
    finally:
        for each in (one, two):
            await each.execute("rollback")
            await each.close()


def test_few_is_said_once_in_each_language() -> None:
    (migration,) = [each for each in shipped() if each.name == "0042_large_regions"]
    assert {int(number) for number in re.findall(r"count\(\*\) > (\d+)", migration.sql)} == {FEW}
    assert {int(number) for number in re.findall(r"limit (\d+)", migration.sql)} == {FEW + 1}
