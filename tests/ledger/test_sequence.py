"""ledger.sequence takes each committed row exactly once, whatever runs beside it; ledger.fan_out numbers each subject's
entries without gaps; months are made ahead and let go of, which the log says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from gateway.ledger.sequence import Slices, take_all
from gateway.storage.database import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
INSERT = (
    "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome, subject_ids,"
    " sources, withheld) select x, 'c', 'o', 'RESTRICTED', 'GRANT', 'n', 'ANSWERED', $2, '{}', '{}'"
    " from unnest($1::uuid[]) x"
)
NOBODY: list[UUID] = []


@pytest_asyncio.fixture
async def log(database: Database, owner: Connection) -> AsyncIterator[Connection]:
    """The role that sequences, on an empty ledger."""
    await owner.execute(
        "truncate ledger.disclosure, ledger.leaf, ledger.event, ledger.subject_entry, ledger.log_state;"
        " insert into ledger.log_state default values"
    )
    connection = await asyncpg.connect(database.dsn("log"))
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def writers(database: Database) -> AsyncIterator[list[Connection]]:
    made = [await asyncpg.connect(database.dsn("ledger")) for _ in range(4)]
    yield made
    for one in made:
        await one.close()


async def write(connection: Connection, count: int = 1, subjects: list[UUID] = NOBODY) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    await connection.execute(INSERT, ids, subjects)
    return ids


async def sequence(log: Connection, most: int = 1000) -> int:
    return int(await log.fetchval("select ledger.sequence($1)", most))


async def leaves(log: Connection) -> list[UUID]:
    rows = await log.fetch("select index, id from ledger.leaf order by index")
    assert [row["index"] for row in rows] == [*range(len(rows))]
    assert await log.fetchval("select size from ledger.log_state") == len(rows)
    return [row["id"] for row in rows]


async def test_what_commits_late_is_taken_late_and_once(log: Connection, writers: list[Connection]) -> None:
    early, late, undone, quick = writers
    begun = [one.transaction() for one in (early, late, undone)]
    for one in begun:
        await one.start()
    first, second, third = await write(early), await write(late), await write(undone)
    now = await write(quick, 3)
    assert await sequence(log) == 3
    await begun[0].commit()
    assert await sequence(log) == 1
    now += await write(quick, 2)
    assert await sequence(log) == 2
    await begun[2].rollback()
    await begun[1].commit()
    assert await sequence(log) == 1
    assert await sequence(log) == 0
    found = await leaves(log)
    assert (set(found[:3]), [found[3]], set(found[4:6]), [found[6]]) == (set(now[:3]), first, set(now[3:]), second)
    assert third[0] not in found


async def test_a_savepoint_belongs_to_its_transaction(log: Connection, writers: list[Connection]) -> None:
    writer, other = writers[:2]
    async with writer.transaction():
        await write(other)
        async with writer.transaction():
            await write(writer, 2)
        assert await sequence(log) == 1
        undone = writer.transaction()
        await undone.start()
        await write(writer, 5)
        await undone.rollback()
    assert (await sequence(log), await sequence(log)) == (2, 0)


async def test_at_most_so_many_but_a_transaction_is_taken_whole(log: Connection, writers: list[Connection]) -> None:
    written = [*await write(writers[0], 50)]
    for _ in range(7):
        written += await write(writers[1], 4)
    taken = [await sequence(log, 10) for _ in range(7)]
    assert taken[0] == 50
    assert all(0 < count <= 10 for count in taken[1:4])
    assert sum(taken) == 78
    assert taken[-1] == 0
    assert set(await leaves(log)) == set(written)


@pytest.mark.parametrize("seed", range(3))
async def test_each_row_once_with_writers_at_random(log: Connection, writers: list[Connection], seed: int) -> None:
    chance = random.Random(seed)
    kept: set[UUID] = set()
    done = asyncio.Event()

    async def at_work(connection: Connection) -> None:
        for _ in range(25):
            transaction = connection.transaction()
            await transaction.start()
            ids: list[UUID] = []
            for _ in range(chance.randrange(1, 4)):
                ids += await write(connection, chance.randrange(1, 9))
                await asyncio.sleep(chance.random() / 100)
            if chance.random() < 0.2:
                await transaction.rollback()
            else:
                await transaction.commit()
                kept.update(ids)

    async def sequencing() -> None:
        while not done.is_set():
            await sequence(log, chance.choice([1, 5, 1000]))
        while await sequence(log, 5):
            pass

    task = asyncio.create_task(sequencing())
    await asyncio.gather(*[at_work(writer) for writer in writers])
    done.set()
    await task
    found = await leaves(log)
    assert len(found) == len(kept)
    assert set(found) == kept


async def test_whether_anything_waits_is_known_without_writing(log: Connection, writers: list[Connection]) -> None:
    waits = "select ledger.waits()"
    assert await log.fetchval(waits) is False
    transaction = writers[0].transaction()
    await transaction.start()
    await write(writers[0])
    await write(writers[1])
    assert await log.fetchval(waits) is True
    await sequence(log)
    assert await log.fetchval(waits) is False  # what is not committed does not
    await transaction.commit()
    assert await log.fetchval(waits) is True
    await sequence(log)
    assert await log.fetchval(waits) is False
    assert await log.fetchval("select pg_current_xact_id_if_assigned()") is None
    async with log.transaction():
        await log.fetchval(waits)
        assert await log.fetchval("select pg_current_xact_id_if_assigned()") is None


async def test_who_comes_second_does_nothing(log: Connection, owner: Connection, writers: list[Connection]) -> None:
    await write(writers[0])
    async with owner.transaction():
        await owner.fetch("select * from ledger.log_state for update")
        assert await sequence(log) == -1
        assert await log.fetchval("select ledger.fan_out(10)") == -1
    assert await sequence(log) == 1


async def test_rows_of_its_own_transaction_are_not_lost(owner: Connection, log: Connection) -> None:
    """Whoever sequences in a transaction that writes, too: what it wrote after is still to come."""
    async with owner.transaction():
        await write(owner)
        await owner.fetchval("select ledger.sequence(10)")
        await write(owner, 2)
    while await sequence(log):
        pass
    assert await log.fetchval("select count(*) from ledger.leaf") == await log.fetchval(
        "select count(*) from ledger.disclosure"
    )


async def test_a_ledger_put_back_into_another_server(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    """A dump has the transactions of another cluster: some of them are still to come here."""
    assert await log.fetchval("select ledger.adopt()") is False
    written = await write(writers[0], 4)
    assert await sequence(log) == 4
    written += await write(writers[0], 3)
    await owner.execute(
        "update ledger.disclosure set xid = ((xid::text)::bigint + 100000)::text::xid8;"
        " update ledger.log_state set cluster = 1,"
        " snapshot = (select format('%s:%s:', n, n)::pg_snapshot from (select max(xid) n from ledger.disclosure) x)"
    )
    written += await write(writers[0], 2)
    assert await sequence(log) == 0  # without the look that is made by who begins to lead
    assert await log.fetchval("select ledger.adopt()") is True
    assert await log.fetchval("select ledger.adopt()") is False
    while await sequence(log, 3):
        pass
    assert set(await leaves(log)) == set(written)
    await write(writers[0])
    assert await sequence(log) == 1


async def test_all_is_taken_where_slices_make_nothing(
    log: Connection, owner: Connection, writers: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a ledger that was put back most rows are in the log already: that a slice makes no leaf is not the end."""
    monkeypatch.setattr("gateway.ledger.sequence.AT_ONCE", 10)
    for _ in range(50):
        await write(writers[0])
    assert await sequence(log) == 50
    await owner.execute("update ledger.log_state set cluster = 1")
    assert await log.fetchval("select ledger.adopt()") is True
    await write(writers[0], 3)
    slices = await Slices.begin(log)
    made = [await slices.next()]
    while not slices.complete:
        await write(writers[1])  # what comes meanwhile needs not be in it: it ends all the same
        made.append(await slices.next())
    assert made[:4] == [0, 0, 0, 0]
    assert sum(made) >= 3
    assert len(made) < 12


async def test_who_needs_all_of_it_waits_for_who_is_at_it(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    await write(writers[0], 3)
    async with owner.transaction():
        await owner.fetch("select * from ledger.log_state for update")
        taking = asyncio.create_task(take_all(log))
        await asyncio.sleep(0.3)
        assert not taking.done()
    await taking
    assert len(await leaves(log)) == 3


# Subjects ------------------------------------------------------------------------------------------------------------


async def test_numbers_of_a_subject_have_no_gap_and_follow_the_leaves(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    chance = random.Random(7)
    people = [uuid4() for _ in range(5)]
    for _ in range(60):
        shown = chance.sample(people, chance.randrange(4))
        await write(writers[0], chance.randrange(1, 3), [*shown, *shown[:1], UUID(int=0)])
        await sequence(log)
        await log.fetchval("select ledger.fan_out(2)")
    killed = owner.transaction()
    await killed.start()
    await owner.fetchval("select ledger.fan_out(100)")
    await killed.rollback()
    while await log.fetchval("select ledger.fan_out(7)"):
        pass
    expected: dict[UUID, list[tuple[int, int, UUID]]] = {}
    for row in await log.fetch(
        "select l.index, l.id, d.subject_ids from ledger.leaf l join ledger.disclosure d using (id) order by l.index"
    ):
        for subject in dict.fromkeys(row["subject_ids"]):
            if subject.int:
                own = expected.setdefault(subject, [])
                own.append((len(own) + 1, row["index"], row["id"]))
    found: dict[UUID, list[tuple[int, int, UUID]]] = {}
    for row in await log.fetch("select * from ledger.subject_entry order by number"):
        found.setdefault(row["subject_id"], []).append((row["number"], row["leaf_index"], row["disclosure_id"]))
    assert found == expected
    assert len(found) == 5


async def test_a_call_of_fan_out_is_bounded_in_entries(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    """A leaf may have ten thousand: it is done alone, and whoever sequences does not wait for a hundred of them."""
    for count in (2, 3, 50, 4, 4, 4):
        await write(writers[0], 1, [uuid4() for _ in range(count)])
        await sequence(log)
    await write(writers[0], 8, [])
    await sequence(log)
    done = []
    while got := await log.fetchval("select ledger.fan_out(10)"):
        done.append(got)
        assert await log.fetchval("select count(distinct leaf_index) from ledger.subject_entry") == min(sum(done), 6)
    assert done == [2, 1, 2, 9]
    assert await log.fetchval("select count(*) from ledger.subject_entry") == 67


async def test_the_end_of_a_seal_concerns_what_it_holds(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    """What another seal covers, too, is held by that one then; what others hold is not even looked at."""
    seals = [
        await owner.fetchval(
            "select ledger.add_seal('a', 'b', null, null, $1, null, now() + $2::int * interval '1 day')", case, days
        )
        for case, days in (("S1", 3), ("S1", 2), ("S2", 5), ("S1", 1))
    ]
    for case in ("S1", "S2", "S1"):
        await write(writers[0], 1, [uuid4()])
        await owner.execute("update ledger.disclosure set case_number = $1 where case_number = 'n'", case)
    await sequence(log)
    assert await log.fetchval("select ledger.fan_out(10)") == 7
    held = "select seal_id from ledger.sealed_entry order by leaf_index"
    assert [row[0] for row in await log.fetch(held)] == [seals[0], seals[2], seals[0]]
    assert await owner.fetchval("select ledger.end_seal($1)", seals[3]) == 0  # holds nothing
    assert await owner.fetchval("select ledger.end_seal($1)", seals[0]) == 0
    assert [row[0] for row in await log.fetch(held)] == [seals[1], seals[2], seals[1]]
    assert await owner.fetchval("select ledger.end_seal($1)", seals[1]) == 2
    assert [row[0] for row in await log.fetch(held)] == [seals[2]]
    assert await owner.fetchval("select ledger.end_seal($1)", seals[2]) == 1
    assert await log.fetchval("select count(*) from ledger.subject_entry") == 3


# Months --------------------------------------------------------------------------------------------------------------

PARTITIONS = (
    "select count(*) from pg_inherits where inhparent = 'ledger.disclosure'::regclass"
    " and inhrelid::regclass::text not like '%_rest'"
)


async def test_months_ahead_are_made_while_writers_write(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    month, last = await owner.fetchrow(
        "select min(n), max(n) from (select inhrelid::regclass::text n from pg_inherits"
        " where inhparent = 'ledger.disclosure'::regclass) x where n not like '%_rest'"
    ) or ("", "")
    before = await owner.fetchval(PARTITIONS)
    await owner.execute(f"drop table {last}")
    async with writers[0].transaction():
        await write(writers[0])
        assert await log.fetchval("select ledger.add_partitions(4)") == 1
    assert await owner.fetchval("select count(*) from pg_index where indrelid = $1::text::regclass", last) == 1
    assert await owner.fetchval(PARTITIONS) == before
    await owner.execute(f"drop table {month}")
    await write(writers[0])
    assert await log.fetchval("select ledger.add_partitions(4)") == 0  # its rows came before it: left to migrate
    await owner.execute("truncate ledger.disclosure")
    assert await log.fetchval("select ledger.add_partitions(4)") == 1


async def test_months_ahead_are_made_of_every_table(log: Connection, owner: Connection) -> None:
    """A partition that a process has made takes rows, those with an identity, too."""
    last = await owner.fetchval(
        "select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'core.source_answer'::regclass"
        " and inhrelid::regclass::text not like '%_rest'"
    )
    await owner.execute(f"drop table {last}")
    assert await log.fetchval("select ledger.add_partitions(4)") == 1
    where = await owner.fetchval(
        "insert into core.source_answer (asked_at, source_code, part, uscc, rows)"
        " values (to_timestamp(right($1, 7) || '-15', 'YYYY_MM-DD'), 'COURTS', 'P', 'u', '[]')"
        " returning id::text || ' ' || tableoid::regclass",
        last,
    )
    assert where.split(" ")[1] == last
    assert await owner.fetchval("delete from core.source_answer returning id") == int(where.split(" ")[0])


async def test_a_month_that_is_over_goes_when_the_log_has_it_and_the_log_says_so(
    log: Connection, owner: Connection, writers: list[Connection]
) -> None:
    await owner.execute(
        "create table ledger.disclosure_2020_01 partition of ledger.disclosure"
        " for values from ('2020-01-01 00:00+08') to ('2020-02-01 00:00+08')"
    )
    shown = uuid4()
    await write(owner, 3, [shown])
    await owner.execute("update ledger.disclosure set at = '2020-01-31 23:59:59+08'")
    kept = await write(owner, 2, [shown])
    await sequence(log)
    assert await log.fetchval("select ledger.let_go()") == 0  # nobody has said that anything goes
    await owner.execute(
        "update ledger.retention set months = 24;"
        " insert into ledger.lived select core.today() - n, ledger.due() from generate_series(0, 6) n"
    )
    assert await log.fetchval("select ledger.let_go()") == 0  # its subjects have no numbers yet
    await log.fetchval("select ledger.fan_out(10)")
    assert await log.fetchval("select ledger.let_go()") == 3
    assert await log.fetchval("select ledger.let_go()") == 0
    await owner.execute("update ledger.retention set months = null; truncate ledger.lived")
    assert {row["id"] for row in await log.fetch("select id from ledger.disclosure")} == set(kept)
    assert await sequence(log) == 1
    go = json.loads(await log.fetchval("select content from ledger.event"))
    assert go == {
        "kind": "RETENTION", "disclosures": 3, "from": "2019-12-31T16:00:00Z", "until": "2020-01-31T16:00:00Z"
    }  # fmt: skip
    numbers = [row["number"] for row in await log.fetch("select number from ledger.subject_entry order by number")]
    assert numbers == [1, 2, 3, 4, 5]


TEXTS = (
    "client_id", "organisation_uscc", "matter", "case_number", "on_behalf_of", "operation_name", "variables",
    "snapshot", "sources", "withheld",
)  # fmt: skip
MOST = 2**24  # bytes of all texts


def bounded(subjects: str, long: str, length: int) -> str:
    """A row whose texts have so many bytes together, nearly all of them in one column."""
    texts = dict.fromkeys(TEXTS, "'{}'")
    texts[long] = f"'{{\"é\":\"' || repeat('x', {length - 2 * len(TEXTS) - 7}) || '\"}}'"
    columns, values = zip(*texts.items(), strict=True)
    return (
        f"insert into ledger.disclosure (id, view, outcome, subject_ids, {', '.join(columns)})"
        f" select gen_random_uuid(), 'RESTRICTED', 'ANSWERED', {subjects}, {', '.join(values)}"
    )


async def test_texts_are_bounded_together_whoever_writes(owner: Connection) -> None:
    transaction = owner.transaction()
    await transaction.start()
    assert await owner.execute(bounded("'{}'", "variables", MOST)) == "INSERT 0 1"
    await transaction.rollback()
    for column in TEXTS:
        with pytest.raises(asyncpg.CheckViolationError, match="can_be_a_leaf"):
            await owner.execute(bounded("'{}'", column, MOST + 1))


@pytest.mark.parametrize(
    "array",
    ["{null}", "{A,null}", "{null,A}", "[0:1]={A,null}", "[0:0]={A}", "[2:3]={A,A}", "[-1:1]={A,A,A}", "{{A}}",
     "{{A,A}}", "{{A},{A}}", "{{A},{null}}", "[2:2][1:1]={{A}}"],
)  # fmt: skip
async def test_subjects_of_another_shape_are_refused_whoever_writes(owner: Connection, array: str) -> None:
    """A leaf is made of the first one where there is one, and of no null."""
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.FeatureNotSupportedError)):
        await owner.execute(bounded(f"'{array.replace('A', str(UUID(int=1)))}'", "matter", 1000))


async def test_subjects_of_the_right_shape_are_taken(owner: Connection) -> None:
    transaction = owner.transaction()
    await transaction.start()
    for array in ("{}", "{A}", "{A,A,A}", "[1:2]={A,A}"):
        await owner.execute(bounded(f"'{array.replace('A', str(UUID(int=1)))}'", "matter", 1000))
    await transaction.rollback()
