"""Promises: subscriptions that wait for a source keep no others waiting; one that others leave no turn comes again."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from gateway.engine.execute import Engine, Limits, Request
from gateway.engine.scans import Turn, Turns
from gateway.engine.subscribe import Subscription
from gateway.errors import RateLimited, Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from tests.engine.conftest import KnownSources, World

SOURCED = "subscription ($after: String) { recordChanged(after: $after) { subject { courts { answer { status } } } } }"
PLAIN = "subscription ($after: String) { recordChanged(after: $after) { kind } }"


@dataclass
class Reached:
    """Changes that reach so far."""

    end: int

    async def beyond(self, position: int) -> int:
        return self.end


@dataclass
class SlowSources(KnownSources):
    """Sources that answer when they are let."""

    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def consult(self, *arguments: Any, **more: Any) -> Any:
        self.asked.release()
        await self.let.wait()
        return await super().consult(*arguments, **more)


@pytest.fixture
async def begun(world: World, database: Database) -> tuple[Engine, SlowSources, str]:
    """An engine with slow sources, and the cursor of the beginning."""
    owner = await asyncpg.connect(database.migrate_dsn)
    while await owner.fetchval("select core.number_changes(100)") > 0:
        pass
    changes = Reached(await owner.fetchval("select position from core.change_end"))
    cursor = await owner.fetchval("select core.change_cursor(0)")
    await owner.close()
    sources, limits = SlowSources(), Limits(50_000, 5_000, storage=20.0)
    pools, account = world.engine.pools, world.account
    return Engine(build_contracts(), pools, account, sources, limits, changes=changes), sources, cursor  # type: ignore[arg-type]


@pytest.mark.parametrize("controlled", [True, False])
async def test_a_slow_source_keeps_no_other_subscription_waiting(
    begun: tuple[Engine, SlowSources, str], world: World, monkeypatch: pytest.MonkeyPatch, controlled: bool
) -> None:
    """Without the control three of them hold all turns for as long as the source takes."""
    engine, sources, cursor = begun
    if not controlled:
        monkeypatch.setattr(Turn, "aside", lambda _: nullcontext())
    principal = world.principal("restricted")

    async def who() -> Any:
        return principal

    async def first(query: str) -> bytes:
        subscription = await engine.subscribe(principal, Request(query, None, {"after": cursor}))
        assert subscription is not None
        return await anext(subscription.events(who))

    slow = [asyncio.create_task(first(SOURCED)) for _ in range(4)]
    async with asyncio.timeout(30):
        for _ in range(4 if controlled else 3):
            await sources.asked.acquire()
    plain = asyncio.create_task(first(PLAIN))
    await asyncio.wait((plain,), timeout=30 if controlled else 0.5)
    assert plain.done() == controlled
    slow[0].cancel()  # a turn that was given up is not given twice
    await asyncio.wait(slow[:1])
    sources.let.set()
    answers = await asyncio.gather(plain, *slow[1:])
    assert all(b"errors" not in answer for answer in answers)
    assert (engine._turns._free, engine._turns._waiting) == (3, {})


async def test_whose_turn_did_not_come_asks_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost by that, and nobody has to subscribe anew."""
    monkeypatch.setattr("gateway.engine.subscribe._PAUSES", (0.01,))
    subscription = Subscription(None, None, Request(""), 0, Turns(1))  # type: ignore[arg-type]
    outcomes: list[Any] = [Refused([RateLimited("x", "x", retry_after=1)]), b"event"]

    async def following(_: Any) -> Any:
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def who() -> Any:
        return world.principal("restricted")

    monkeypatch.setattr(subscription, "_next", following)
    assert await anext(subscription.events(who)) == b"event"
