"""What sources were asked is on record, whatever becomes of the request: left, timed out, failed. An inquiry at a bank
is on record before the bank hears of it, and without that there is none. Who is refused by a deadline of its own is on
record, too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg
import pytest

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.account import Disclosure
from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import LedgerUnavailable, Refused, StorageUnavailable
from gateway.schema.contracts import build_contracts
from gateway.sources.wanted import Consulted, Wanted
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES
from gateway.storage.pool import Pool
from tests.engine import small_world
from tests.engine.conftest import World

COURTS = "query Q($uscc: Uscc!) { subject(uscc: $uscc) { courts { answer { status } } } }"
BANK = "query Q($uscc: Uscc!, $c: ID!) { subject(uscc: $uscc) { bank(consentId: $c) { answer { status } } } }"


@dataclass
class Ledger:
    """An account that is away for `away` attempts, and remembers."""

    kept: list[Disclosure] = field(default_factory=list)
    away: int = 0
    in_statement: ClassVar[bool] = False

    async def record(self, disclosure: Disclosure) -> None:
        await asyncio.sleep(0)  # as whoever writes: there a deadline can end it
        if self.away:
            self.away -= 1
            raise LedgerUnavailable("away", "away")
        self.kept.append(disclosure)

    def told(self) -> list[tuple[str, Any]]:
        return [(one.outcome, json.loads(one.sources)) for one in self.kept]


@dataclass
class Stage:
    """Sources that do what a test says, between the asking and the end."""

    ledger: Ledger
    engine: Engine
    then: Callable[[], Any] | None = None
    banks: int = 0  # calls

    async def consult(
        self, wanted: Sequence[Wanted], principal: Principal, deadline: float, inquire: Any = None
    ) -> Consulted:
        if wanted[0].under_consent:
            await inquire("BANKS", wanted[0].subjects)
            self.banks += 1
        if self.then is not None:
            await self.then()
        return Consulted({}, '{"COURTS":{"*":{"status":"ANSWERED"}}}', {})


@pytest.fixture
async def stage(database: Database, world: World) -> AsyncIterator[Stage]:
    pools = {access.name: Pool(database.dsn(access.name), size=1) for access in ACCESSES}
    made = Stage(Ledger(), None)  # type: ignore[arg-type]
    made.engine = Engine(build_contracts(), pools, made.ledger, made, Limits(50_000, 5_000, storage=20.0))  # type: ignore[arg-type]
    yield made
    await made.engine.close()
    for pool in pools.values():
        await pool.close()


def ask(stage: Stage, world: World, query: str = COURTS, principal: Principal | None = None) -> Any:
    variables = {"uscc": small_world.FIRM} | ({"c": small_world.CONSENT_ID} if query == BANK else {})
    return stage.engine.answer(principal or world.principal("restricted"), Request(query, None, variables))


INTERRUPTED = {"COURTS": {small_world.FIRM: {"status": "INTERRUPTED", "parts": ["dishonest"]}}}


async def test_a_client_that_leaves_is_accounted_for(stage: Stage, world: World) -> None:
    began = asyncio.Event()

    async def never() -> None:
        began.set()
        await asyncio.Event().wait()

    stage.then = never
    task = asyncio.create_task(ask(stage, world))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stage.engine.close()
    assert stage.ledger.told() == [("LEFT", INTERRUPTED)]
    assert stage.ledger.kept[0].matter == "GRANT"
    assert stage.ledger.kept[0].subject_ids == b""


@pytest.mark.parametrize(
    ("error", "outcome"), [(StorageUnavailable("x", "x"), "STORAGE_UNAVAILABLE"), (KeyError(), "INTERNAL")]
)
async def test_a_fault_after_the_asking_is_accounted_for(
    stage: Stage, world: World, error: Exception, outcome: str
) -> None:
    async def fails() -> None:
        raise error

    stage.then = fails
    with pytest.raises((Refused, KeyError)):
        await ask(stage, world)
    await stage.engine.close()
    assert stage.ledger.told() == [(outcome, INTERRUPTED)]


async def test_it_is_tried_again_while_the_ledger_is_away(
    stage: Stage, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.engine.afterwards._PAUSE", 0.01)
    stage.ledger.away = 3  # the answer's own account is refused first
    with pytest.raises(Refused) as caught:
        await ask(stage, world)
    assert caught.value.code == "LEDGER_UNAVAILABLE"
    await stage.engine.close()
    assert stage.ledger.told() == [("LEDGER_UNAVAILABLE", {"COURTS": {"*": {"status": "ANSWERED"}}})]


NAME = "query Q($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
BARE = "{ __typename }"  # has no statement: its account is all that takes time


@pytest.mark.parametrize(("query", "outcome"), [(NAME, "STORAGE_UNAVAILABLE"), (BARE, "LEDGER_UNAVAILABLE")])
async def test_who_is_refused_by_a_deadline_of_its_own_is_accounted_for(
    stage: Stage, world: World, query: str, outcome: str
) -> None:
    variables = {"uscc": small_world.FIRM} if query == NAME else {}
    request = Request(query, "Q" if variables else None, variables, arrived=time.monotonic() - 1, deadline=0.001)
    for principal in (world.principal("restricted"), ANONYMOUS):
        with contextlib.suppress(Refused):  # the public is told what has no statement
            await stage.engine.answer(principal, request)
    await stage.engine.close()
    assert stage.ledger.told() == [(outcome, {})]
    kept = stage.ledger.kept[0]
    assert (kept.variables, kept.subject_ids, kept.operation_name) == (None, b"", request.operation_name)
    assert (kept.matter, kept.document_hash is not None) == ("GRANT", True)


class Away:
    """A database that does not answer."""

    async def fetch(self, *_: Any, **__: Any) -> Any:
        raise StorageUnavailable("away", "away")


@pytest.mark.parametrize("deadline", [None, 10.0, 60.0])
async def test_where_the_database_does_not_answer_in_time_nothing_is_written(
    stage: Stage, world: World, deadline: float | None
) -> None:
    away: Any = {"restricted": Away()}
    sources: Any = stage
    engine = Engine(build_contracts(), away, stage.ledger, sources, Limits(50_000, 5_000, storage=20.0))
    arrived = time.monotonic() - (30 if deadline == 60.0 else 0)  # ours is over, and the client would wait
    request = Request(NAME, None, {"uscc": small_world.FIRM}, arrived=arrived, deadline=deadline)
    with pytest.raises(Refused):
        await engine.answer(world.principal("restricted"), request)
    await engine.close()
    assert stage.ledger.kept == []


async def test_few_refusals_wait_for_a_ledger_that_is_away(
    stage: Stage, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They never take the place of those who asked sources."""
    monkeypatch.setattr("gateway.engine.afterwards._PAUSE", 0.01)
    monkeypatch.setattr("gateway.engine.afterwards._REFUSED", 2)
    stage.ledger.away = 1_000_000

    async def fails() -> None:
        raise StorageUnavailable("x", "x")

    stage.then = fails
    late = Request(NAME, None, {"uscc": small_world.FIRM}, arrived=time.monotonic() - 1, deadline=0.001)
    for _ in range(5):
        with pytest.raises(Refused):
            await stage.engine.answer(world.principal("restricted"), late)
    with pytest.raises(Refused):
        await ask(stage, world)
    stage.ledger.away = 0
    await stage.engine.close()
    assert [bool(sources) for _, sources in stage.ledger.told()].count(False) == 2
    assert [bool(sources) for _, sources in stage.ledger.told()].count(True) == 1


async def test_an_answer_has_one_row_and_the_public_none(stage: Stage, world: World) -> None:
    await ask(stage, world)
    await ask(stage, world, principal=ANONYMOUS)
    await stage.engine.close()
    assert [outcome for outcome, _ in stage.ledger.told()] == ["ANSWERED"]


async def test_an_inquiry_at_a_bank_comes_first(stage: Stage, world: World) -> None:
    await ask(stage, world, BANK)
    assert stage.ledger.told()[0] == ("INQUIRY", {"BANKS": {small_world.FIRM: {"status": "ASKED"}}})
    assert [outcome for outcome, _ in stage.ledger.told()] == ["INQUIRY", "ANSWERED"]


async def test_without_an_account_no_bank_is_asked(stage: Stage, world: World) -> None:
    stage.ledger.away = 1
    with pytest.raises(Refused) as caught:
        await ask(stage, world, BANK)
    assert (caught.value.code, stage.banks) == ("LEDGER_UNAVAILABLE", 0)


@dataclass
class Reached:
    """Changes that reach so far."""

    end: int

    async def beyond(self, position: int) -> int:
        return self.end


EVENT = "subscription ($after: String) { recordChanged(after: $after) { subject { courts { answer { status } } } } }"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "LEFT"), (StorageUnavailable("x", "x"), "STORAGE_UNAVAILABLE"), (KeyError(), "INTERNAL")],
)
async def test_an_event_that_nobody_got_is_accounted_for(
    stage: Stage, world: World, database: Database, error: Exception | None, outcome: str
) -> None:
    """As for a query: what its sources were asked can't be taken back."""
    owner = await asyncpg.connect(database.migrate_dsn)
    while await owner.fetchval("select core.number_changes(100)") > 0:
        pass
    engine = Engine(
        build_contracts(),
        stage.engine.pools,
        stage.ledger,
        stage,  # type: ignore[arg-type]
        Limits(50_000, 5_000, storage=20.0),
        changes=Reached(await owner.fetchval("select position from core.change_end")),
    )
    beginning = await owner.fetchval("select core.change_cursor(0)")
    await owner.close()
    principal = world.principal("restricted")
    subscription = await engine.subscribe(principal, Request(EVENT, None, {"after": beginning}))
    assert subscription is not None
    began = asyncio.Event()

    async def ends() -> None:
        began.set()
        if error is None:
            await asyncio.Event().wait()
        else:
            stage.then = None  # the next attempt, if there is one, has its answer
            raise error

    async def who() -> Principal:
        return principal

    stage.then = ends
    task = asyncio.ensure_future(anext(subscription.events(who)))
    async with asyncio.timeout(30):
        await began.wait()
    if error is None:
        task.cancel()
    await asyncio.wait((task,), timeout=30)
    task.cancel()
    await asyncio.wait((task,), timeout=30)
    await engine.close()
    told = stage.ledger.told()
    assert told, "sources were asked, and nobody knows"
    assert (told[0][0], next(iter(told[0][1]["COURTS"].values()))["status"]) == (outcome, "INTERRUPTED")
