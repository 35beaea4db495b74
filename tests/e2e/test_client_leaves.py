"""Promise: the statement of a client that has left ends at PostgreSQL within two seconds, in every view, shared or not;
and the client beside it, which waits for the same statement, gets its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import pytest
import pytest_asyncio
from e2e_stack import Stack, superuser

from gateway.storage.embedded import RunningServer
from gateway.web.leaving import Leaving, Receive
from tests import machine

T = TypeVar("T")
SETTINGS = {"database_timeout": 60.0, "ledger_timeout": 60.0}  # nothing else would end what waits
PROFILE = "query P($uscc: Uscc!) { subject(uscc: $uscc) { name records(first: 5) { edges { node { title } } } } }"
LIST = "query L($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name records(first: 5) { totalCount } } }"
WAITS = """select count(*) from pg_stat_activity where datname = current_database()
  and application_name = 'credit-gateway' and state = 'active' and wait_event_type = 'Lock'"""


@dataclass(frozen=True)
class Locked:
    """Records are locked until `holder` rolls back; `watcher` counts who waits (in a transaction the count stands)."""

    holder: asyncpg.Connection[asyncpg.Record]
    watcher: asyncpg.Connection[asyncpg.Record]

    async def waits(self) -> int:
        return int(await self.watcher.fetchval(WAITS))


@pytest_asyncio.fixture
async def locked(stack: Stack, postgres: RunningServer) -> AsyncIterator[Locked]:
    async with superuser(postgres, stack.database) as holder, superuser(postgres, stack.database) as watcher:
        await holder.execute("begin; lock table core.record in access exclusive mode")
        yield Locked(holder, watcher)
        await holder.execute("rollback")


async def waiting(locked: Locked, least: int, most: int, seconds: float) -> float:
    """Seconds until so many statements wait. Fails where they don't in time."""
    began = machine.seconds()
    while not least <= (found := await locked.waits()) <= most:
        assert machine.seconds() - began < seconds, f"{found} statements wait"
        await asyncio.sleep(0.02)
    return machine.seconds() - began


def ask(stack: Stack, query: str, view: str, place: int = 0) -> asyncio.Task[Any]:
    uscc = stack.organisations[place]["uscc"]
    variables = {"uscc": uscc} if query == PROFILE else {"usccs": [uscc]}
    return asyncio.create_task(stack.ask(query, variables, view, seconds=60))


@pytest.mark.parametrize(("query", "view"), [(PROFILE, "restricted"), (LIST, "public"), (PROFILE, "scoped")])
async def test_its_statement_is_cancelled(stack: Stack, locked: Locked, query: str, view: str) -> None:
    call = ask(stack, query, view)
    await waiting(locked, 1, 1, 30)
    call.cancel()
    assert await waiting(locked, 0, 0, 30) < 2


async def test_who_waits_for_the_same_statement_is_answered(stack: Stack, locked: Locked) -> None:
    calls = [ask(stack, PROFILE, "restricted", place) for place in range(3)]
    await waiting(locked, 1, 3, 30)
    calls[0].cancel()
    calls[2].cancel()
    await asyncio.sleep(1.5)
    assert await locked.waits() >= 1
    await locked.holder.execute("rollback; begin")
    assert (await calls[1]).data["subject"]["name"] == stack.organisations[1]["name"]


async def test_without_the_watch_the_statement_would_run_on(
    stack: Stack, locked: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unwatched(_: Leaving, __: Receive, work: Coroutine[Any, Any, T]) -> T:
        return await work

    monkeypatch.setattr(Leaving, "unless_left", unwatched)
    call = ask(stack, PROFILE, "restricted")
    await waiting(locked, 1, 1, 30)
    call.cancel()
    await asyncio.sleep(2)
    assert await locked.waits() == 1
