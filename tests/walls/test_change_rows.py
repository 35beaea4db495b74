"""Which changes each asker is told of, by direct SELECT (the second wall alone) and through the engine.

The world of the tests of rows is written into an empty outbox: then everybody is told of exactly the records that the
table of the design gives him. When all of them end, everybody is told of the end of exactly those that he had, and
nobody of what he never could see: not as an event, not as a count, not by a cursor.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest
from test_rows import EXPECTED, people
from walls_rows import NOBODY, RECORDS, World, code_of, seed_now
from walls_support import FakeAccount, FakeSources, ask, pairs, principal, with_scope

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.execute import Engine, Limits
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES, RESTRICTED_SCOPED
from gateway.storage.pool import Pool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
QUERY = """query ($after: String, $usccs: [Uscc!]) { recordChanges(first: 100, after: $after, usccs: $usccs) {
    edges { node { kind cause recordId record { title } subject { uscc } } } pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture(scope="module")
async def world(database: Database, owner: Connection) -> World:
    made = await asyncio.to_thread(seed_now, database.migrate_dsn)
    await owner.execute("select core.number_changes(1000)")
    return made


@pytest.fixture(scope="module")
async def engine(database: Database) -> AsyncIterator[Engine]:
    pools = {access.name: Pool(database.dsn(access.name), size=1) for access in ACCESSES}
    limits = Limits(cost=50_000, cost_public=5_000, storage=20.0)
    yield Engine(build_contracts(), pools, FakeAccount(), FakeSources(), limits)  # type: ignore[arg-type]
    for pool in pools.values():
        await pool.close()


async def by_select(database: Database, who: Principal, sql: str) -> list[Any]:
    connection = await asyncpg.connect(database.dsn(who.access.name))
    try:
        async with with_scope(connection, who.scope):
            return await connection.fetch(sql)
    finally:
        await connection.close()


async def pages(engine: Engine, who: Principal, after: str | None = None) -> tuple[list[Any], str]:
    found: list[Any] = []
    while True:
        answer = await ask(engine, who, QUERY, after=after)
        page = answer["data"]["recordChanges"]
        found += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found, str(after)


def selected(access: str, where: str = "") -> str:
    return f"select record_node_id as id, kind, present_id from v_{access}.record_change_position {where}"


@pytest.mark.parametrize("name", EXPECTED)
async def test_what_was_written_is_told_to_who_sees_it(
    database: Database, engine: Engine, world: World, name: str
) -> None:
    who = people(world)[name]
    expected = {world.record_nodes[title] for title in EXPECTED[name][1]}
    rows = await by_select(database, who, selected(who.access.name, "where position <= 1000"))
    assert {row["id"] for row in rows} == expected
    assert len(rows) == len(expected)
    if name == "narrowed to nothing":
        return
    found, _ = await pages(engine, who)
    assert {node["recordId"] for node in found} == expected
    assert all(node["record"] and node["kind"] in ("ADDED", "CHANGED") and node["cause"] is None for node in found)
    pairs.count("change × asker", len(RECORDS))


@pytest.mark.parametrize("how", ["REPAIRED", "REVOKED"])
async def test_what_ends_is_told_to_who_had_it(
    database: Database, owner: Connection, engine: Engine, world: World, how: str
) -> None:
    """All records end, in a transaction that is taken back through the front: written once more as they were."""
    bookmarks = {name: (await pages(engine, who))[1] for name, who in people(world).items()}
    place = await owner.fetchval("select position from core.change_end")
    await owner.execute("create temporary table kept as select id, status from core.record")
    await owner.execute(f"update core.record set status = '{how}' where status not in ('REPAIRED', 'REVOKED')")
    try:
        await owner.execute("select core.number_changes(1000)")
        for name, who in people(world).items():
            ended = {
                world.record_nodes[title]
                for title in EXPECTED[name][1]
                if RECORDS[title].status not in ("REPAIRED", "REVOKED")
            }
            rows = await by_select(database, who, selected(who.access.name, f"where position > {place}"))
            assert {row["id"] for row in rows} == ended, name
            assert {(row["kind"], row["present_id"]) for row in rows} <= {("WITHDRAWN", None)}, name
            # What is told of before is there no more, but for those who still see it.
            found, _ = await pages(engine, who, bookmarks[name])
            assert {(node["recordId"]) for node in found} == ended, name
            assert {(n["kind"], n["cause"], n["record"]) for n in found} <= {("WITHDRAWN", how, None)}, name
        assert await by_select(database, ANONYMOUS, selected("public", f"where position <= {place}")) == []
    finally:
        await owner.execute("update core.record r set status = k.status from kept k where k.id = r.id")
        await owner.execute("drop table kept; select core.number_changes(1000)")
        await owner.execute("delete from core.record_change where position > $1", place)


async def test_without_the_condition_the_public_hears_of_what_it_never_saw(
    database: Database, owner: Connection, world: World
) -> None:
    """The control removed: a view that tells of whatever has ended tells of an unpublished MINOR penalty."""
    hidden = world.record_nodes["r-minor-unpublished"]
    definition = await owner.fetchval("select pg_get_viewdef('v_public.record_change_position'::regclass)")
    place = await owner.fetchval("select max(position) from core.record_change")
    await owner.execute("update core.record set status = 'REVOKED' where node_id = $1", hidden)
    await owner.execute("select core.number_changes(1000)")
    sql = selected("public", f"where position > {place}")
    try:
        assert await by_select(database, ANONYMOUS, sql) == []
        weaker = definition.replace("c.was_public", "c.was_in_force")
        assert weaker != definition
        await owner.execute(
            f"create or replace view v_public.record_change_position with (security_barrier) as {weaker}"
        )
        assert [row["id"] for row in await by_select(database, ANONYMOUS, sql)] == [hidden]
    finally:
        await owner.execute(
            f"create or replace view v_public.record_change_position with (security_barrier) as {definition}"
        )
        await owner.execute("update core.record set status = 'ACTIVE' where node_id = $1", hidden)
        await owner.execute("select core.number_changes(1000)")
        await owner.execute("delete from core.record_change where position > $1", place)


async def test_a_narrowed_client_is_not_told_that_there_is_nothing(engine: Engine, world: World) -> None:
    """Of a subject outside its scope, and of one that is not on record: the same refusal."""
    who = principal(RESTRICTED_SCOPED, organisation=world.ids["机关甲"], narrowing={"list": "重点"})
    ok = await ask(engine, who, QUERY, usccs=[code_of("企业")])
    assert ok["data"]["recordChanges"]["edges"]
    refusals = [await ask(engine, who, QUERY, usccs=[code_of("企业"), code]) for code in (code_of("个体户"), NOBODY)]
    assert refusals[0] == refusals[1]
    assert refusals[0]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert "data" not in refusals[0]
    assert json.dumps(refusals[0]).find(code_of("个体户")) < 0
