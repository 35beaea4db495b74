"""Promises: a seal that was committed a second ago is known in every process, or counts as there; so does everything
while the process can't hear. Real PostgreSQL: backends that are ended, seals that are made meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest_asyncio

from gateway.storage.database import Database
from gateway.storage.listener import BOUND, Listener
from gateway.storage.pool import Pool
from gateway.storage.seals import StoredSeals
from tests.storage.eventually import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_ADD = "select ledger.add_seal('示例', '示例', $1, $2, $3, null, now() + interval '1 hour')"


@pytest_asyncio.fixture
async def seals(database: Database) -> AsyncIterator[StoredSeals]:
    listener, pool = Listener(database.dsn("service")), Pool(database.dsn("log"), size=1)
    made = StoredSeals(listener, pool)
    assert made.cover("c", "m", "1")  # nothing is known yet
    listener.start()
    made.start()
    assert await eventually(lambda: not made.cover("c", "m", "1"))
    yield made
    await made.close()
    assert made.cover("c", "m", "1")
    await listener.close()
    await pool.close()


async def test_each_kind_from_its_commit_to_its_end(seals: StoredSeals, owner: Connection) -> None:
    for values in (("c", None, None), (None, "m", None), (None, None, "1")):
        made = await owner.fetchval(_ADD, *values)
        await asyncio.sleep(BOUND)
        assert seals.cover("c", "m", "1")
        assert await eventually(lambda: not seals.cover("d", "n", "2"))
        assert seals.cover("c", "m", "1")
        await owner.fetchval("select ledger.end_seal($1)", made)
        assert await eventually(lambda: not seals.cover("c", "m", "1"))


async def test_what_can_not_be_heard_is_sealed(seals: StoredSeals, root: Connection, owner: Connection) -> None:
    """The listening backend is ended, and a seal made before there is another: it is known from then on."""
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'credit-gateway listener'"
    await root.fetch(kill)
    made = await owner.fetchval(_ADD, None, None, "unheard")
    await asyncio.sleep(BOUND)
    assert seals.cover("c", "m", "unheard")
    assert await eventually(lambda: not seals.cover("c", "m", "1"))
    assert seals.cover("c", "m", "unheard")
    await owner.fetchval("select ledger.end_seal($1)", made)


async def test_what_is_told_names_nobody(seals: StoredSeals, database: Database, owner: Connection) -> None:
    """Any role may listen."""
    heard: list[object] = []
    anybody = await asyncpg.connect(database.dsn("public"))
    await anybody.add_listener("credit", lambda *told: heard.append(told[3]))
    made = await owner.fetchval(_ADD, None, None, "secret")
    assert await eventually(lambda: "seal " in heard)
    await owner.fetchval("select ledger.end_seal($1)", made)
    assert await eventually(lambda: heard.count("seal ") >= 2)
    assert not any("secret" in str(one) for one in heard)
    await anybody.close()
