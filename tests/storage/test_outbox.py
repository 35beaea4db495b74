"""The outbox: every committed change of a record is in it, at a place that no reader can miss.

Writers commit in another order than they wrote, numberers are killed at their work, terms end overnight; a reader who
follows by position sees each change once, those of one record in their order, and nothing of what was rolled back.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway.storage.database import Database
from gateway.storage.outbox import Outbox
from gateway.storage.pool import Pool

INSERT = """insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,
    source_code, catalogue_item, decided_on, published_from, published_until, title, natural_key)
    select gen_random_uuid(), $1, 'ORGANISATION', 'PENALTY', 'GENERAL', 'GENERAL', 'ACTIVE', true, 'LOCAL', 'QG-04',
        core.today(), coalesce($4, core.today()), $3, $2, $2 returning id"""
CHANGES = "select * from core.record_change where record_id = $1 order by position"


@pytest.fixture(scope="module")
async def subject(owner: Any) -> int:
    return await made_subject(owner, "甲")


async def made_subject(owner: Any, name: str) -> int:
    return await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded) values (gen_random_uuid(),"
        " 'ORGANISATION', 'ENTERPRISE', $1, $1) returning id",
        name,
    )


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


async def record(connection: Any, subject: int, *, until: Any = None, since: Any = None) -> int:
    return await connection.fetchval(INSERT, subject, str(uuid.uuid4()), until, since)


async def number(connection: Any) -> None:
    while await connection.fetchval("select core.number_changes(50)") > 0:
        pass


async def events(owner: Any, id_: int) -> list[Any]:
    await number(owner)
    return await owner.fetch(CHANGES, id_)


def told(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [(row["status"], row["was_public"], row["is_public"]) for row in rows]


async def test_who_commits_later_comes_later(owner: Any, other: Any, subject: int) -> None:
    begun = other.transaction()
    await begun.start()
    first = await record(other, subject)
    second = await record(owner, subject)
    (seen,) = await events(owner, second)
    assert await events(owner, first) == []  # nobody has heard of it
    await begun.commit()
    (late,) = await events(owner, first)
    assert late["id"] < seen["id"]
    assert late["position"] > seen["position"]


async def test_what_was_rolled_back_was_never_there(owner: Any, other: Any, subject: int) -> None:
    begun = other.transaction()
    await begun.start()
    gone = await record(other, subject)
    await begun.rollback()
    assert await events(owner, gone) == []


async def test_a_reader_misses_nothing(database: Database, owner: Any, subject: int) -> None:
    """Six writers, three numberers that are killed again and again, and a reader who follows by position."""
    await number(owner)
    start = await owner.fetchval("select position from core.change_end")
    chance, written, seen = random.Random(7), [], []  # type: ignore[var-annotated]
    done = asyncio.Event()

    async def write(seed: int) -> None:
        own = random.Random(seed)
        connection = await asyncpg.connect(database.migrate_dsn)
        for _ in range(12):
            transaction = connection.transaction()
            await transaction.start()
            ids = [await record(connection, subject) for _ in range(own.randint(1, 4))]
            await asyncio.sleep(own.random() * 0.03)
            if own.random() < 0.2:
                await transaction.rollback()
                continue
            await connection.execute("update core.record set title = title || 'x' where id = $1", ids[0])
            await transaction.commit()
            written.extend([*ids, ids[0]])
        await connection.close()

    async def keep_numbering() -> None:
        while not done.is_set():
            connection = await asyncpg.connect(database.dsn("service"))
            try:
                while not done.is_set():
                    await connection.fetchval("select core.number_changes(5)")
                    await asyncio.sleep(0.001)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                continue
            finally:
                connection.terminate()

    async def kill() -> None:
        connection = await asyncpg.connect(database.migrate_dsn)  # the reader has the owner's own
        while not done.is_set():
            await asyncio.sleep(chance.random() * 0.05)
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename like '%service'"
                " and datname = current_database() and query like '%number_changes%'"
            )
        await connection.close()

    async def read() -> None:
        connection = await asyncpg.connect(database.migrate_dsn)
        at = start
        while not done.is_set() or at < await connection.fetchval("select position from core.change_end"):
            rows = await connection.fetch(
                "select position, record_id, id from core.record_change where position > $1 order by position limit 7",
                at,
            )
            for row in rows:
                assert row["position"] == at + 1, "a gap"
                at = row["position"]
                seen.append((row["record_id"], row["id"]))
            await asyncio.sleep(0.001)
        await connection.close()

    reading = asyncio.create_task(read())
    others = [asyncio.create_task(keep_numbering()) for _ in range(3)] + [asyncio.create_task(kill())]
    await asyncio.gather(*[write(seed) for seed in range(6)])
    await asyncio.sleep(0.1)
    await number_patiently(owner)
    done.set()
    await asyncio.gather(*others, reading)
    assert sorted(record for record, _ in seen) == sorted(written)
    by_record: dict[int, list[int]] = {}
    for record_id, change in seen:
        by_record.setdefault(record_id, []).append(change)
    assert all(changes == sorted(changes) for changes in by_record.values())


async def number_patiently(owner: Any) -> None:
    while await owner.fetchval("select count(*) from core.record_change where position is null"):
        await owner.fetchval("select core.number_changes(1000)")


async def test_what_changes_nothing_is_no_change(owner: Any, subject: int) -> None:
    found = await record(owner, subject)
    await owner.execute("update core.record set title = title, known_at = now() where id = $1", found)
    assert len(await events(owner, found)) == 1


async def test_a_record_that_moves_leaves_one_and_comes_to_the_other(owner: Any, subject: int) -> None:
    found, second = await record(owner, subject), await made_subject(owner, "乙")
    await owner.execute("update core.record set subject_id = $2 where id = $1", found, second)
    _, left, came = await events(owner, found)
    assert (left["subject_id"], left["moved"], left["was_public"], left["is_public"]) == (subject, True, True, False)
    assert (came["subject_id"], came["moved"], came["was_public"], came["is_public"]) == (second, False, False, True)


async def test_many_rows_of_one_statement(owner: Any, subject: int) -> None:
    await owner.execute(
        "insert into core.record (external_id, subject_id, subject_class, kind, area, status, published, source_code,"
        " catalogue_item, decided_on, published_from, title, natural_key) select gen_random_uuid(), $1, 'ORGANISATION',"
        " 'HONOUR', 'GENERAL', 'ACTIVE', true, 'LOCAL', 'QG-04', core.today(), core.today(), 'many', 'many' || n"
        " from generate_series(1, 3000) n",
        subject,
    )
    began = asyncio.get_running_loop().time()
    await owner.execute("update core.record set status = 'REVOKED' where title = 'many'")
    assert asyncio.get_running_loop().time() - began < 5  # a nested loop over both sides would be 9,000,000 comparisons
    await number(owner)
    assert (
        await owner.fetchval(
            "select count(*) from core.record_change c join core.record r on r.id = c.record_id where r.title = 'many'"
        )
        == 6000
    )


async def on_day(owner: Any, days: int) -> None:
    """Today is so many days after the real one."""
    await owner.execute(
        "create or replace function core.today() returns date language sql stable parallel safe"
        f" as $$ select (now() at time zone 'Asia/Shanghai')::date + {days} $$"
    )


async def test_terms_begin_and_end_by_the_day(owner: Any, subject: int) -> None:
    today = await owner.fetchval("select core.today()")
    tomorrow = await owner.fetchval("select core.today() + 1")
    ends, begins = await record(owner, subject, until=today), await record(owner, subject, since=tomorrow)
    assert told(await events(owner, ends)) == [("ACTIVE", False, True)]
    assert told(await events(owner, begins)) == [("ACTIVE", False, False)]
    try:
        await on_day(owner, 1)
        assert told(await events(owner, ends)) == [("ACTIVE", False, True), ("ACTIVE", True, False)]
        assert (await events(owner, ends))[1]["expired"]
        assert told(await events(owner, begins)) == [("ACTIVE", False, False), ("ACTIVE", False, True)]
        # Whoever writes after days without anybody who numbers: what had expired before it came was never public.
        await on_day(owner, 5)
        late = await record(owner, subject, until=tomorrow)
        assert told(await events(owner, late)) == [("ACTIVE", False, False)]
        assert len(await events(owner, ends)) == 2
    finally:
        await on_day(owner, 0)
        await owner.execute("update core.change_day set day = core.today()")


async def test_a_turn_of_the_day_waits_for_writers_and_is_not_lost(owner: Any, other: Any, subject: int) -> None:
    """A record that is being written at midnight with a term that ends then."""
    begun = other.transaction()
    await begun.start()
    found = await record(other, subject, until=await owner.fetchval("select core.today()"))
    try:
        await on_day(owner, 1)
        await number(owner)  # its day can't turn yet
        await begun.commit()
        assert told(await events(owner, found)) == [("ACTIVE", False, True), ("ACTIVE", True, False)]
    finally:
        await on_day(owner, 0)
        await owner.execute("update core.change_day set day = core.today()")


async def test_old_changes_go_from_the_beginning(owner: Any, subject: int) -> None:
    found = await record(owner, subject)
    (kept,) = await events(owner, found)
    old = await owner.fetchval("select core.change_cursor($1)", kept["position"] - 2)
    last = await owner.fetchval("select core.change_cursor($1)", kept["position"] - 1)
    await owner.execute(
        "update core.record_change set at = now() - interval '11 days' where position < $1", kept["position"]
    )
    while await owner.fetchval("select core.sweep_changes(10)") > 0:
        pass
    assert await owner.fetchval("select min(position) from core.record_change") == kept["position"]
    assert await owner.fetchval("select core.change_place($1)", last) == kept["position"] - 1
    with pytest.raises(asyncpg.SnapshotTooOldError):
        await owner.fetchval("select core.change_place($1)", old)
    assert await owner.fetchval("select core.change_place(null)") == kept["position"] - 1


async def test_a_cursor_tells_nothing_and_cannot_be_made(owner: Any) -> None:
    end = await owner.fetchval("select position from core.change_end")
    cursors = {await owner.fetchval("select core.change_cursor($1)", end) for _ in range(20)}
    assert len(cursors) == 20
    one = cursors.pop()
    for wrong in (
        one[:-1],
        one + "A",
        "A" * 32,
        "",
        one[:12] + ("A" if one[12] != "A" else "B") + one[13:],
        one[:-1] + "=",
    ):
        with pytest.raises(asyncpg.InvalidCursorNameError):
            await owner.fetchval("select core.change_place($1)", wrong)
    with pytest.raises(asyncpg.SnapshotTooOldError):  # of a database that was put back since
        await owner.fetchval("select core.change_place(core.change_cursor($1))", end + 1)


async def test_the_worker_numbers_and_tells(service_pool: Pool, owner: Any, subject: int) -> None:
    outbox = Outbox(service_pool, keep_days=90, interval=0.05)
    outbox.start()
    try:
        async with asyncio.timeout(60):
            before = await outbox.beyond(-1)
            waiting = asyncio.create_task(outbox.beyond(before))
            await record(owner, subject)
            assert await waiting == before + 1
    finally:
        await outbox.close()
