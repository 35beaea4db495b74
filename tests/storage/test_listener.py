"""Promises of the listener: what was committed before `confirm` was asked is known when it says yes, whatever the
server, the way to it or the order of things; and whenever something may have been missed, everybody is told before
anything is confirmed again. Real PostgreSQL: backends that are stopped and ended, a server that is restarted, a way
that goes silent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from gateway.storage.database import Database
from gateway.storage.embedded import ensure_running
from gateway.storage.listener import _LOOKS, CHANNEL, Listener
from tests.ledger.relay import Relay
from tests.machine import stopwatch
from tests.storage.eventually import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PATIENCE = 30.0  # s where the bound is not what is tested: a machine that tests may pause


class Heard:
    """A subscriber: payloads, and doubts (None), in their order."""

    def __init__(self, listener: Listener, topic: str = "public") -> None:
        self.all: list[str | None] = []
        listener.subscribe(topic, self.all.append, lambda: self.all.append(None))

    @property
    def doubts(self) -> int:
        return self.all.count(None)


@pytest_asyncio.fixture
async def listener(database: Database) -> AsyncIterator[Listener]:
    """A listener that has been confirmed."""
    made = Listener(database.dsn("service"), bound=PATIENCE)
    made.start()
    assert await eventually(lambda: made.confirmed)
    yield made
    await made.close()


async def backend(root: Connection) -> int:
    """The process that serves the listener of this database."""
    found = await root.fetch(
        "select pid from pg_stat_activity where application_name like '%listener' and datname = current_database()"
    )
    (row,) = found
    return int(row["pid"])


async def told(owner: Connection, payload: str) -> None:
    """Commit a notification."""
    await owner.execute("select pg_notify($1, $2)", CHANNEL, payload)


async def test_what_was_committed_before_is_known_when_it_is_confirmed(listener: Listener, owner: Connection) -> None:
    """Two hundred times; a subscriber hears its own topic alone, in the order of commits, without the topic."""
    heard, other = Heard(listener), Heard(listener, "other")
    for number in range(200):
        await told(owner, f"public {number}")
        assert await listener.confirm(PATIENCE)
        assert heard.all[-1] == str(number)
    await told(owner, "other")
    await told(owner, "nobody knows this one")
    assert await listener.confirm(PATIENCE)
    assert heard.all == [str(number) for number in range(200)]
    assert other.all == [""]
    assert listener.day == str(await owner.fetchval("select core.today()"))


async def test_what_is_not_committed_is_not_told_and_does_not_keep_anybody_waiting(
    listener: Listener, owner: Connection
) -> None:
    heard = Heard(listener)
    async with owner.transaction():
        await told(owner, "public late")
        assert await listener.confirm(PATIENCE)
        assert heard.all == []
    assert await listener.confirm(PATIENCE)
    assert heard.all == ["late"]


async def test_many_that_ask_at_once_share_a_heartbeat(listener: Listener, root: Connection) -> None:
    """A thousand cost no more than a few."""
    before = await root.fetchval("select pg_current_xact_id()::text::bigint")
    assert all(await asyncio.gather(*(listener.confirm(PATIENCE) for _ in range(1_000))))
    assert await root.fetchval("select pg_current_xact_id()::text::bigint") - before < 10


async def test_a_paused_server_confirms_nothing(database: Database, root: Connection, owner: Connection) -> None:
    """Asked for, it says no within its patience; the last heartbeat holds for the bound and no longer, as a reader who
    went by that alone would find out; going on, everything is heard."""
    ahead = 0.0
    listener = Listener(database.dsn("service"), bound=PATIENCE, clock=lambda: time.monotonic() + ahead)
    listener.start()
    assert await eventually(lambda: listener.confirmed)
    heard, pid = Heard(listener), await backend(root)
    os.kill(pid, signal.SIGSTOP)
    try:
        with stopwatch() as seconds:
            await told(owner, "public unheard")
            assert listener.confirmed  # this alone would show what was before
            assert not await listener.confirm(0.1)
            assert seconds() < 0.5
        assert heard.all == []
        ahead = PATIENCE
        assert not listener.confirmed
    finally:
        os.kill(pid, signal.SIGCONT)
    ahead = 0.0
    assert await listener.confirm(PATIENCE)
    assert heard.all == ["unheard"]
    await listener.close()


async def test_a_server_that_is_paused_for_longer_than_the_bound_is_left(
    database: Database, root: Connection, owner: Connection
) -> None:
    """Everybody is told of the doubt, once each time; it is confirmed anew by another backend."""
    registry = CollectorRegistry()
    listener = Listener(database.dsn("service"), registry, bound=0.5)
    until: list[float] = []
    listener.subscribe("public", lambda _: None, lambda: until.append(listener.confirmed_until))
    listener.start()
    assert await eventually(lambda: listener.confirmed)
    pid = await backend(root)
    os.kill(pid, signal.SIGSTOP)
    try:
        before = len(until)
        await told(owner, "public missed")
        assert await eventually(lambda: len(until) > before)
        assert until[before] < 0
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await eventually(lambda: listener.confirmed)
    assert len(until) == registry.get_sample_value("credit_listener_lost_total")
    await listener.close()


async def test_a_server_that_is_paused_for_a_moment_loses_nothing(
    listener: Listener, root: Connection, owner: Connection
) -> None:
    heard, pid = Heard(listener), await backend(root)
    os.kill(pid, signal.SIGSTOP)
    await told(owner, "public heard later")
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    assert await listener.confirm(PATIENCE)
    assert heard.all == ["heard later"]


@pytest.mark.parametrize("seconds", [0.42, 0.5, 0.7])
async def test_a_process_that_stands_still_blames_nobody(database: Database, seconds: float) -> None:
    """Held up for longer than the bound, with a heartbeat on its way: its answer has come meanwhile and is read, the
    connection stays, and the next one follows at once."""
    registry = CollectorRegistry()
    listener = Listener(database.dsn("service"), registry, bound=0.4, heartbeat=0.2)
    listener.start()
    assert await eventually(lambda: listener.confirmed)
    for steps in range(1, 6):  # until it is on its way
        assert listener.then(lambda _: None)
        for _ in range(steps):
            await asyncio.sleep(0)
        time.sleep(seconds)  # noqa: ASYNC251 - nothing of it runs
        assert not listener.confirmed
        for _ in range(10):
            await asyncio.sleep(0.01)
            if listener.confirmed:
                break
        assert listener.confirmed, steps
    assert registry.get_sample_value("credit_listener_lost_total") == 0
    await listener.close()


@pytest.mark.parametrize(("late", "within"), [(0.0, 0.2), (0.05, 1.0), (0.3, 3.0)])
async def test_a_process_that_is_always_late_gives_a_dead_connection_up_all_the_same(
    late: float, within: float
) -> None:
    """Each turn of the loop takes so long; the heartbeat never comes."""

    class Dead:
        ended = False

        def terminate(self) -> None:
            self.ended = True

    dead, listener = Dead(), Listener("", heartbeat=0.1)
    listener._loop = asyncio.get_running_loop()
    with stopwatch() as seconds:
        listener._cut_off(dead, 1, 0.05, _LOOKS)  # type: ignore[arg-type]
        while not dead.ended and seconds() < 10:
            time.sleep(late)  # noqa: ASYNC251 - the loop is late
            await asyncio.sleep(0.001)
        assert 0.05 <= seconds() < within


async def test_a_backend_that_is_terminated_is_noticed_at_once(
    listener: Listener, root: Connection, owner: Connection
) -> None:
    """The doubt comes before the next confirmation, and what is committed after that is heard again."""
    heard = Heard(listener)
    await root.execute("select pg_terminate_backend($1)", await backend(root))
    assert await eventually(lambda: heard.doubts == 1)  # long before a heartbeat would be missed
    await told(owner, "public missed")
    assert await eventually(lambda: listener.confirmed)
    await told(owner, "public heard")
    assert await listener.confirm(PATIENCE)
    assert [entry for entry in heard.all if entry != "missed"] == [None, "heard"]


async def test_a_way_that_goes_silent_is_given_up(database: Database, owner: Connection) -> None:
    """Half-open TCP: nothing comes back, and nobody says so. Nobody is kept waiting when it ends."""
    async with Relay(database.dsn("service")) as relay:
        listener = Listener(relay.dsn, bound=0.5, heartbeat=0.1)
        heard = Heard(listener)
        assert not await listener.confirm()  # not started
        listener.start()
        assert await eventually(lambda: listener.confirmed)
        before = heard.doubts
        relay.silent = True
        assert not await listener.confirm(0.05)
        assert await eventually(lambda: heard.doubts > before)
        assert not listener.confirmed
        await relay.cut()
        await relay.restore()
        assert await eventually(lambda: listener.confirmed)
        relay.silent = True
        asked = asyncio.create_task(listener.confirm(PATIENCE))
        await asyncio.sleep(0.05)
        await listener.close()
        assert not await asked
        assert not listener.confirmed


async def test_a_server_that_is_restarted(tmp_path: Path) -> None:
    """Its own server: away and back again."""
    with ensure_running(tmp_path / "data", fsync=False) as server:
        connection = await asyncpg.connect(server.dsn())
        await connection.execute("create schema core")
        await connection.execute("create function core.today() returns date language sql as $$ select current_date $$")
        listener = Listener(server.dsn(), bound=PATIENCE)
        heard = Heard(listener)
        listener.start()
        assert await eventually(lambda: listener.confirmed)
        assert heard.all == []
        postmaster = int((tmp_path / "data/postgres/postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)  # at once, its backends too
        assert await eventually(lambda: heard.doubts == 1)
        assert not listener.confirmed
        assert await eventually(server.revive)
        assert await eventually(lambda: listener.confirmed)
        connection.terminate()
        connection = await asyncpg.connect(server.dsn())
        await told(connection, "public back")
        assert await listener.confirm(PATIENCE)
        assert heard.all == [None, "back"]
        await listener.close()
        await connection.close()


async def test_a_subscriber_that_fails_is_told_to_doubt(listener: Listener, owner: Connection) -> None:
    """What it could not take may be what it had to know; others and the heartbeat go on."""
    doubts: list[None] = []

    def fails(payload: str) -> None:
        raise ValueError(payload)

    listener.subscribe("public", fails, lambda: doubts.append(None))
    heard = Heard(listener)
    await told(owner, "public x")
    assert await listener.confirm(PATIENCE)
    assert (len(doubts), heard.all) == (1, ["x"])
