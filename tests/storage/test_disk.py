"""Promises of the disk: what a statement wrote is there after a crash once its caller has been told, whoever waited for
it; and nobody is told by a flush that can't know.

Real PostgreSQL, one of its own, that crashes: a process of it is killed, the server throws its memory away and recovers
from what has been written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from gateway.errors import StorageUnavailable
from gateway.storage.disk import Disk
from gateway.storage.embedded import RunningServer, ensure_running
from gateway.storage.faults import NotDurable, garbled
from gateway.storage.lane import Ask
from gateway.storage.pool import Pool, same

WRITE = "insert into kept (n) values ($1) returning n"
# It writes nothing by itself while a test runs.
SETTINGS = {"shared_buffers": "16MB", "wal_writer_delay": "10s"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with ensure_running(tmp_path_factory.mktemp("disk") / "data", fsync=False, extra_settings=SETTINGS) as running:
        asyncio.run(prepare(running))
        yield running


async def prepare(server: RunningServer) -> None:
    """What migration 0038 makes."""
    connection = await connected(server)
    await connection.execute("create schema ledger; create sequence ledger.flushed")
    await connection.close()


@pytest_asyncio.fixture
async def disk(server: RunningServer) -> AsyncIterator[Disk]:
    made = Disk(server.dsn(), timeout=20.0)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def pool(server: RunningServer, disk: Disk) -> AsyncIterator[Pool]:
    connection = await connected(server)
    await connection.execute("drop table if exists kept; create table kept (n integer)")
    await connection.close()
    made = Pool(server.dsn(), size=3, timeout=60.0, disk=disk)
    yield made
    await made.close()


async def connected(server: RunningServer) -> asyncpg.Connection[asyncpg.Record]:
    """A connection, once the server takes any: after a crash it recovers first."""
    until = time.monotonic() + 60
    while True:
        try:
            return await asyncpg.connect(server.dsn())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


async def processes(server: RunningServer, where: str) -> list[int]:
    connection = await connected(server)
    try:
        return [row["pid"] for row in await connection.fetch(f"select pid from pg_stat_activity where {where}")]
    finally:
        await connection.close()


async def crash(server: RunningServer) -> None:
    """Over when the server has forgotten everybody and takes connections again."""
    (walwriter,) = await processes(server, "backend_type = 'walwriter'")
    witness, ended = await connected(server), asyncio.Event()
    witness.add_termination_listener(lambda _: ended.set())
    os.kill(walwriter, signal.SIGKILL)
    await ended.wait()
    await (await connected(server)).close()


async def kept(server: RunningServer) -> list[int]:
    """What is there."""
    connection = await connected(server)
    try:
        return [row["n"] for row in await connection.fetch("select n from kept order by n")]
    finally:
        await connection.close()


def first(rows: Sequence[Any]) -> Any:
    return rows[0]["n"]


def others(arguments: Sequence[Any]) -> Sequence[Any]:
    """For a second attempt: its row can be told from the first one's."""
    return [arguments[0] + 100]


async def test_what_has_returned_is_there_after_a_crash(server: RunningServer, pool: Pool) -> None:
    assert await pool.fetch(WRITE, (1,), read=first) == 1
    await crash(server)
    assert await kept(server) == [1]


async def test_what_nobody_flushed_is_lost(
    server: RunningServer, pool: Pool, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control taken away: an answer that left here would have no disclosure."""
    await pool.fetch(WRITE, (1,), read=first)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    monkeypatch.setattr(disk, "after", lambda _: done)
    assert await pool.fetch(WRITE, (2,), read=first) == 2
    await crash(server)
    assert await kept(server) == [1]


async def test_a_later_connection_can_not_speak_for_what_was_before_a_crash(
    server: RunningServer, pool: Pool, disk: Disk
) -> None:
    await pool.fetch(WRITE, (1,), read=first)
    assert disk._era is not None
    before, identity = disk._era, disk._era.lane.server
    await crash(server)
    assert await pool.fetch(WRITE, (2,), read=first, again=others) in (2, 102)
    assert disk._era is not before
    assert disk._era.lane.server == identity  # the same run of the postmaster: only the connection tells
    with pytest.raises(NotDurable):
        await disk.after(before)


async def test_a_flush_that_breaks_lets_the_statement_be_asked_again(server: RunningServer, pool: Pool) -> None:
    await pool.fetch(WRITE, (1,), read=first)
    (flusher,) = await processes(server, "application_name = 'credit-gateway disk'")
    os.kill(flusher, signal.SIGTERM)
    assert await pool.fetch(WRITE, (2,), read=first, again=others) in (2, 102)
    found = await kept(server)
    assert found[0] == 1
    assert found[-1] in (2, 102)


async def test_what_may_not_be_asked_twice_is_refused(server: RunningServer, pool: Pool, disk: Disk) -> None:
    await pool.fetch(WRITE, (1,), read=first)
    assert disk._era is not None
    (flusher,) = await processes(server, "application_name = 'credit-gateway disk'")
    found, written = await pool.fetch_early(WRITE, (2,), read=first)
    os.kill(flusher, signal.SIGTERM)
    disk._era.lane.drop()
    assert found == 2
    assert written is not None
    with pytest.raises(NotDurable):
        await written


async def test_another_servers_flush_is_none(server: RunningServer, postgres: RunningServer) -> None:
    stranger = Disk(postgres.dsn(), timeout=20.0)
    pool = Pool(server.dsn(), size=1, timeout=30.0, disk=stranger)
    try:
        with pytest.raises(StorageUnavailable) as caught:
            await pool.fetch("select 1 as n", (), read=first)
        assert isinstance(caught.value.__cause__, NotDurable)
    finally:
        await pool.close()
        await stranger.close()


async def test_a_lane_of_another_run_is_not_used(pool: Pool) -> None:
    await pool.fetch(WRITE, (1,), read=first)
    (lane,) = pool._idle
    lane.server = b"another"
    assert await pool.fetch(WRITE, (2,), read=first, again=others) == 102
    assert lane.connection.is_closed()


async def test_many_share_a_flush(server: RunningServer) -> None:
    registry = CollectorRegistry()
    disk = Disk(server.dsn(), timeout=20.0, registry=registry)
    pool = Pool(server.dsn(), size=8, timeout=30.0, disk=disk)
    try:
        await pool.fetch("create table if not exists shared (n integer)", ())
        await asyncio.gather(*[pool.fetch("insert into shared values ($1)", (n,)) for n in range(200)])
    finally:
        await pool.close()
        await disk.close()
    flushes = registry.get_sample_value("credit_ledger_flush_seconds_count")
    assert flushes is not None
    assert 0 < flushes < 201  # one apiece would be 201


async def test_what_reads_waits_for_nothing(server: RunningServer) -> None:
    disk = Disk(server.dsn(), timeout=20.0)
    pool = Pool(server.dsn(), size=1, disk=disk)
    try:
        assert (await pool.fetchrow("select 1 as n", ()))["n"] == 1
        assert await pool.fetch_early("select 1 as n", (), read=first, again=same) == (1, None)
        assert disk._era is None
    finally:
        await pool.close()
        await disk.close()


async def test_a_transaction_waits_by_itself(pool: Pool) -> None:
    setting = "select current_setting('synchronous_commit') as n"

    async def work(ask: Ask) -> Any:
        return first(await ask(setting, ()))

    assert await pool.fetch(setting, (), read=first) == b"off"
    assert await pool.transaction(work, "{}", until=time.monotonic() + 30) == b"on"


async def test_nobody_waits_after_the_end(server: RunningServer, pool: Pool, disk: Disk) -> None:
    await pool.fetch(WRITE, (1,), read=first)
    _, written = await pool.fetch_early(WRITE, (2,), read=first)
    await disk.close()
    assert written is not None
    with pytest.raises(NotDurable):
        await written
    with pytest.raises(StorageUnavailable):
        await pool.fetch(WRITE, (3,), read=first)


def test_it_is_no_damaged_reply() -> None:
    assert not garbled(NotDurable())
