"""Promises where a connection breaks in a mutation: without a key nothing is done twice, and a client is told when
nobody knows; with a key it is done once, whatever was lost on the way, and the client gets the reply.

Real PostgreSQL; what stands between drops the connection at the commit, before or after the server has it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import pytest
import pytest_asyncio

from gateway.engine.execute import Engine, Request
from gateway.storage.database import Database
from tests.engine.conftest import World
from tests.engine.mutating import RECORD, Connection, ask, count, given, process, recorded, waiting
from tests.engine.small_world import FIRM

COMMIT, BEGIN = b"commit\0", b"begin;"


class Cutter:
    """A relay that cuts a connection once, when it sees `at`: `late` lets the server have it and keeps the reply."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        self._there = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._folder = Path(tempfile.mkdtemp(prefix="cutter"))
        login = parts.netloc.rpartition("@")[0]
        self.dsn = urlunsplit(parts._replace(netloc=f"{login}@", query=f"host={quote(str(self._folder))}&port=5432"))
        self.at: bytes | None = None
        self.late = False
        self.cuts = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Cutter:
        self._server = await asyncio.start_unix_server(self._serve, str(self._folder / ".s.PGSQL.5432"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, to_there = await asyncio.open_unix_connection(self._there)
        cut = asyncio.Event()

        async def onward() -> None:
            while data := await reader.read(65_536):
                if self.at is not None and self.at in data:
                    self.at, self.cuts = None, self.cuts + 1
                    if self.late:
                        cut.set()
                        to_there.write(data)
                        await asyncio.sleep(0.1)  # the server has it, and answers nobody
                    return
                to_there.write(data)

        async def back() -> None:
            while data := await there.read(65_536):
                if not cut.is_set():
                    writer.write(data)

        try:
            ways = [asyncio.ensure_future(onward()), asyncio.ensure_future(back())]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._tasks.discard(task)
            for end in (writer, to_there):
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()


@pytest_asyncio.fixture
async def cutter(database: Database, world: World) -> AsyncIterator[Cutter]:
    async with Cutter(database.dsn("restricted_scoped")) as made:
        yield made


def through(cutter: Cutter, database: Database) -> Callable[[str], str]:
    return lambda role: cutter.dsn if role == "restricted_scoped" else database.dsn(role)


async def warm(engine: Engine, world: World, owner: Connection) -> int:
    """A connection lies idle, so that what is cut is not its making; returns how many consents there are."""
    await recorded(engine, world.principal("restricted"))
    return await count(owner)


@pytest.mark.parametrize("late", [False, True])
async def test_at_the_commit_without_a_key_the_client_is_told_that_nobody_knows(
    database: Database, world: World, owner: Connection, cutter: Cutter, late: bool
) -> None:
    async with process(database, through(cutter, database)) as engine:
        before = await warm(engine, world, owner)
        cutter.at, cutter.late = COMMIT, late
        refused = await ask(engine, world.principal("restricted"), RECORD, {"input": given()})
        assert cutter.cuts == 1
    assert refused[0][0] == "STORAGE_UNAVAILABLE"
    assert "may have been done or not" in refused[0][1]
    assert await count(owner) == before + late


@pytest.mark.parametrize("late", [False, True])
async def test_at_the_commit_with_a_key_it_is_done_once(
    database: Database, world: World, owner: Connection, cutter: Cutter, late: bool
) -> None:
    request = Request(RECORD, None, {"input": given()}, idempotency_key=f"cut {late}")
    async with process(database, through(cutter, database)) as engine:
        before = await warm(engine, world, owner)
        cutter.at, cutter.late = COMMIT, late
        reply = await engine.answer(world.principal("restricted"), request)
        assert cutter.cuts == 1
        assert await count(owner) == before + 1
        assert await engine.answer(world.principal("restricted"), request) == reply
    consent = json.loads(reply)["data"]["recordConsent"]["consentId"]
    assert await owner.fetchval("select count(*) from core.consent where node_id = $1", consent) == 1


@pytest.mark.parametrize("key", [None, "before"])
async def test_before_the_commit_only_a_key_makes_it_done_all_the_same(
    database: Database, world: World, owner: Connection, cutter: Cutter, key: str | None
) -> None:
    async with process(database, through(cutter, database)) as engine:
        before = await warm(engine, world, owner)
        cutter.at = FIRM.encode()  # a parameter of the write
        found = await ask(engine, world.principal("restricted"), RECORD, {"input": given()}, idempotency_key=key)
        assert cutter.cuts == 1
    if key is None:
        assert found[0][0] == "STORAGE_UNAVAILABLE"
        assert "nothing was disclosed" in found[0][1]
    else:
        assert "recordConsent" in found
    assert await count(owner) == before + (key is not None)


async def test_what_had_not_begun_is_begun_elsewhere(
    database: Database, world: World, owner: Connection, cutter: Cutter
) -> None:
    """A connection that died while it lay idle: nothing was asked on it, so that nobody needs a key for the next."""
    async with process(database, through(cutter, database)) as engine:
        before = await warm(engine, world, owner)
        cutter.at = BEGIN
        assert isinstance(await ask(engine, world.principal("restricted"), RECORD, {"input": given()}), dict)
        assert cutter.cuts == 1
    assert await count(owner) == before + 1


async def test_the_connection_serves_on_after_a_refusal(
    database: Database, world: World, owner: Connection, cutter: Cutter
) -> None:
    """What the work refuses is no fault of the connection: it is neither dropped nor distrusted."""
    async with process(database, through(cutter, database)) as engine:
        pool = engine._pools["restricted_scoped"]
        pid = "select pg_backend_pid()::int as pid"
        first = await pool.fetch(pid, (), read=lambda rows: rows[0]["pid"])
        for _ in range(3):
            refused = await ask(engine, world.principal("restricted"), RECORD, {"input": given(scope=["X"])})
            assert refused[0][0] == "BAD_USER_INPUT"
        assert await pool.fetch(pid, (), read=lambda rows: rows[0]["pid"]) == first
        async with owner.transaction():
            await owner.execute("lock table core.consent in exclusive mode")
            asked = asyncio.ensure_future(
                ask(engine, world.principal("restricted"), RECORD, {"input": given()}, deadline=1.5)
            )
            await waiting(owner)
            assert (await asked)[0][0] == "STORAGE_UNAVAILABLE"
        assert isinstance(await ask(engine, world.principal("restricted"), RECORD, {"input": given()}), dict)
