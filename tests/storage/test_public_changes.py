"""What changes of what the public may see is told, by whatever writes it, in its own transaction: whose, and no more.

The public view's tables are found by walking its views and functions down to base tables, so that a new one without
triggers fails here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from gateway.engine.dependence import TOLD
from gateway.storage.catalogue import RELATIONS
from gateway.storage.database import Database
from gateway.storage.listener import CHANNEL
from gateway.storage.source_functions import SOURCE_FUNCTIONS
from tests.engine import small_world
from tests.engine.small_world import FIRM, OLD_ORGAN, ORGAN, SHOP, STRANGER

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Columns of base tables that these public views and functions read, whatever they are made of.
READ = """
with recursive found(class, id, part) as (
    select 'pg_class'::regclass::oid, c.oid, 0 from pg_class c
    where c.relnamespace = 'v_public'::regnamespace and c.relname = any ($1)
    union select 'pg_proc'::regclass::oid, p.oid, 0 from pg_proc p
    where p.pronamespace = 'v_public'::regnamespace and p.proname = any ($1)
    union select d.refclassid, d.refobjid, d.refobjsubid
    from found f
    left join pg_rewrite r on r.ev_class = f.id and f.class = 'pg_class'::regclass
    join pg_depend d on (d.classid, d.objid) = ('pg_rewrite'::regclass, r.oid)
        or (d.classid, d.objid, f.class) = ('pg_proc'::regclass, f.id, 'pg_proc'::regclass)
    where d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
)
select distinct c.oid::regclass::text as name, a.attname as column
from found f join pg_class c on c.oid = f.id and f.class = 'pg_class'::regclass and c.relkind in ('r', 'p')
left join pg_attribute a on a.attrelid = c.oid and a.attnum = f.part and f.part > 0
"""
TRIGGERS = """
select c.oid::regclass::text as name, t.tgtype, t.tgenabled from pg_trigger t join pg_class c on c.oid = t.tgrelid
where t.tgname like 'public\\_%' and not t.tgisinternal
"""
SUBJECT = "(select id from core.subject where uscc = '{}')".format
# Joined on its unique key, and no column of it is in a public view: what it holds is of persons.
UNSEEN = {"core.person_identity": {"subject_id"}}
_STATEMENT, _INSERT, _DELETE, _UPDATE, _TRUNCATE = 0, 4, 8, 16, 32  # bits of pg_trigger.tgtype


class World:
    """The small world's database: one connection writes, another one listens."""

    def __init__(self, writer: Connection, listening: Connection) -> None:
        self.writer = writer
        self.listening = listening
        self.heard: list[str] = []

    async def told(self, sql: str) -> list[str]:
        """What a statement tells, in a transaction that is committed."""
        self.heard.clear()
        await self.writer.execute(sql)
        await self.listening.execute("notify credit, 'end'")  # comes back after all that was committed before
        while self.heard[-1:] != ["end"]:
            await self.listening.execute("select 1")
        return self.heard[:-1]


@pytest_asyncio.fixture(scope="module")
async def world(database: Database) -> AsyncIterator[World]:
    writer, listening = await asyncpg.connect(database.migrate_dsn), await asyncpg.connect(database.dsn("service"))
    await small_world.build(writer)
    made = World(writer, listening)

    def heard(payload: str) -> None:
        if payload.startswith("public ") or payload == "end":
            made.heard.append(payload)

    await listening.add_listener(CHANNEL, lambda *found: heard(str(found[3])))
    yield made
    await writer.close()
    await listening.close()


async def test_every_table_that_the_public_view_reads_has_its_triggers(world: World) -> None:
    """Of every kind of statement, and also while replication applies (enabled "always")."""
    read: dict[str, set[str]] = {}
    views = [f"{name}{order}" for name in TOLD for order in ("", *(f"_{o}" for o in RELATIONS[name].orders))]
    for row in await world.writer.fetch(READ, [*views, *SOURCE_FUNCTIONS]):
        read.setdefault(row["name"], set()).update({row["column"]} - {None})
    assert {"core.record", "core.subject", "core.withdrawal", "core.region", "core.code_label"} <= read.keys()
    has: dict[str, int] = {}
    for row in await world.writer.fetch(TRIGGERS):
        assert row["tgenabled"] == b"A", row["name"]
        has[row["name"]] = has.get(row["name"], 0) | row["tgtype"]
    without = {name for name in read if has.get(name, 0) & 60 != _INSERT | _DELETE | _UPDATE | _TRUNCATE}
    assert without == UNSEEN.keys()
    assert {name: read[name] for name in without} == UNSEEN


async def test_without_its_trigger_a_change_is_told_to_nobody(world: World) -> None:
    """And the walk above finds the table."""
    change = f"update core.former_name set used_until = '2021-01-01' where subject_id = {SUBJECT(FIRM)}"
    assert await world.told(change) == [f"public {FIRM}"]
    await world.writer.execute("alter table core.former_name disable trigger public_update")
    assert await world.told(change) == []
    states = {row["tgenabled"] for row in await world.writer.fetch(TRIGGERS) if row["name"] == "core.former_name"}
    assert states == {b"A", b"D"}
    await world.writer.execute("alter table core.former_name enable always trigger public_update")


CASES = {
    "a repair": (f"update core.record set status = 'REPAIRED' where subject_id = {SUBJECT(SHOP)}", [f"public {SHOP}"]),
    "what has no row": ("update core.record set status = 'REPAIRED' where false", []),
    "what was and is hidden": ("update core.record set facts = 'x' where status in ('REVOKED', 'REPAIRED')", []),
    "what is shown again": (
        f"update core.record set status = 'ACTIVE' where subject_id = {SUBJECT(SHOP)}",
        [f"public {SHOP}"],
    ),
    "records of two": (
        f"update core.record set title = title where subject_id in ({SUBJECT(SHOP)}, {SUBJECT(FIRM)})",
        ["public " + ",".join(sorted((SHOP, FIRM)))],
    ),
    "a record that moves": (
        f"update core.record set subject_id = {SUBJECT(FIRM)} where subject_id = {SUBJECT(SHOP)}",
        ["public " + ",".join(sorted((SHOP, FIRM)))],
    ),
    "a record that goes": (
        "begin; delete from core.record_version v using core.record r where r.id = v.record_id and r.title = '名单一';"
        " delete from core.record where title = '名单一'; commit",
        [f"public {FIRM}"],
    ),
    "a name": (f"update core.subject set name = '新名' where uscc = '{SHOP}'", [f"public {SHOP}"]),
    "an authority's name": (f"update core.subject set name = '新局' where uscc = '{ORGAN}'", ["public *"]),
    "a predecessor's name": (f"update core.subject set name = '旧局' where uscc = '{OLD_ORGAN}'", ["public *"]),
    "an authority's role": (
        f"insert into core.subject_role (subject_id, role) values ({SUBJECT(ORGAN)}, 'BIDDER')",
        ["public *"],
    ),
    "a former name": (f"delete from core.former_name where subject_id = {SUBJECT(FIRM)}", [f"public {FIRM}"]),
    "a code that comes on record": (
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded) values"
        f" (gen_random_uuid(), 'ORGANISATION', 'ENTERPRISE', '{STRANGER}', '新来', '新来')",
        [f"public {STRANGER}"],
    ),
    "a code that is taken back": (
        f"update core.subject set uscc = null where uscc = '{STRANGER}'",
        [f"public {STRANGER}"],
    ),
    "an organisation without a code": ("update core.subject set name = '无码' where name = '新来'", ["public "]),
    "a person": (
        "insert into core.subject (external_id, class, kind, name, name_folded) values"
        " (gen_random_uuid(), 'PERSON', 'NATURAL_PERSON', '某', '某')",
        [],
    ),
    "a withdrawal": (
        "insert into core.withdrawal (subject_id, record_id, authority_id, withdrawn_on, reason)"
        " select subject_id, id, authority_id, '2026-05-01', '撤销' from core.record where title = '已撤销'",
        [f"public {FIRM}"],
    ),
    "a successor": (
        f"update core.succession set basis = 'x' where successor_id = {SUBJECT(ORGAN)}",
        ["public *"],
    ),
    "a region": ("update core.region set name = '博州二' where code = '6527'", ["public *"]),
    "a source": ("update core.source set name = name where code = 'COURTS'", ["public *"]),
    "a label": ("update core.code_label set zh = zh where code = 'PENALTY'", ["public *"]),
    "endings of names": ("delete from core.name_part where suffix = '商行'", ["public "]),
    "a source that is well": (
        "insert into core.source_health (source_code, healthy) values ('COURTS', true)"
        " on conflict (source_code) do update set healthy = true, last_answer_at = now()",
        [],
    ),
    "a source that is down": (
        "update core.source_health set healthy = false where source_code = 'COURTS'",
        ["public *"],
    ),
    "a source that was heard": ("update core.source_health set last_answer_at = now()", []),
    "everything": ("truncate core.withdrawal", ["public *"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_what_is_told(world: World, case: str) -> None:
    """One after the other, each on what the ones before it have left."""
    sql, expected = CASES[case]
    assert await world.told(sql) == expected


async def test_many_are_all_and_all_is_said_once(world: World) -> None:
    """Over 100 subjects; what a transaction adds to "all" is no news, and what was undone is not told."""
    many = (
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded)"
        " select gen_random_uuid(), 'ORGANISATION', 'ENTERPRISE', '916527' || lpad(n::text, 12, '0'), 'x', 'x'"
        " from generate_series({}, {}) n"
    )
    (hundred,) = await world.told(many.format(1, 100))
    assert hundred.count(",") == 99
    assert await world.told(many.format(101, 201)) == ["public *"]
    assert await world.told("update core.subject set name = 'y' where name = 'x'") == ["public *"]
    repaired = f"update core.record set title = title where subject_id = {SUBJECT(FIRM)}"
    assert await world.told(f"begin; update core.source set name = name; {repaired}; commit") == ["public *"]
    undone = "begin; savepoint s; update core.source set name = name; rollback to s; {}; commit"
    assert await world.told(undone.format(repaired)) == [f"public {FIRM}"]
    assert await world.told(f"begin; {repaired}; rollback") == []
    # What is said of one transaction says nothing of the next.
    assert await world.told(f"begin; set gateway.told_all = '1'; {repaired}; commit") == [f"public {FIRM}"]


async def test_no_role_can_keep_quiet(database: Database, world: World) -> None:
    """What writes can neither turn the triggers off nor call what they call."""
    connection = await asyncpg.connect(database.dsn("import"))
    try:
        for sql in (
            "alter table core.record disable trigger public_update",
            "drop trigger public_update on core.record",
            "set session_replication_role = replica",
            "select core.tell_all()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
    finally:
        await connection.close()
