"""Promises: what was asked under a seal alone leaves nothing that another asker could find: no kept answer in database
or process, no flight that is faster or older than its own call, no pending request, no moment of the source's last
answer. Whoever asks without a seal finds and keeps as ever. Where it is not known, it counts as sealed. Each look tells
where the seal is taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from fake_source import ASKER, DAY, PARTS, Clock, Fake, NoDatabase, code, failing, policy, said, soon
from prometheus_client import CollectorRegistry
from test_source_groups import CONSENT, Given, silent

from connectors.base import Pending
from gateway.auth.principal import ANONYMOUS, Principal
from gateway.sources.ask import Sources
from gateway.sources.wanted import Wanted
from tests.simulated import simulated_time  # noqa: F401 - time passes while nothing is left to do

OWN = CONSENT.grantee
OTHER = replace(
    ASKER, client_id="other", case_number="2", organisation_uscc=OWN, sources=frozenset({"COURTS", "BANKS"})
)
SEALED = replace(OTHER, client_id="c", case_number="1")


@dataclass
class Orders:
    """Seals by case number; all of them where nothing is known."""

    cases: set[str] = field(default_factory=lambda: {"1"})
    unknown: bool = False
    waited: list[float] = field(default_factory=list)

    def cover(self, client_id: str, matter: str, case_number: str) -> bool:
        return self.unknown or case_number in self.cases

    async def ready(self, patience: float) -> None:
        self.waited.append(patience)


class Late(Orders):
    """They are known again to whoever has patience for 0.1 s."""

    async def ready(self, patience: float) -> None:
        await super().ready(patience)
        self.unknown = self.unknown and patience < 0.1


class Recorded(NoDatabase):
    """A pool that remembers what was written, and has `rows`, if any, of whatever is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.rows: list[dict[str, Any]] = []

    async def fetch(self, sql: str, arguments: Any, *, read: Callable[[Any], Any], **_: Any) -> Any:
        self.fetches += 1
        return read(self.rows)

    async def execute(self, sql: str, arguments: Any = ()) -> None:
        self.written.append(sql.split()[2])


@dataclass
class Here:
    sources: Sources
    courts: Fake
    bank: Fake
    orders: Orders
    pool: Recorded
    clock: Clock

    async def ask(self, principal: Principal, uscc: str, part: str = PARTS[0]) -> dict[str, Any]:
        made = await self.sources.consult([Wanted("COURTS", (part,), (uscc,))], principal, soon())
        found: dict[str, Any] = json.loads(made.parameters["COURTS"])[uscc]["answer"]
        return found

    async def ask_bank(self, principal: Principal, uscc: str) -> tuple[str, str | None]:
        want = Wanted("BANKS", ("summary",), (uscc,), "BANKS:0", "C", under_consent=True)
        return said(await self.sources.consult([want], principal, soon()), uscc, "BANKS:0")

    async def written(self) -> set[str]:
        await asyncio.sleep(0.1)
        return set(self.pool.written)


@pytest_asyncio.fixture
async def build() -> AsyncIterator[Callable[..., Here]]:
    made: list[Here] = []

    def stage(orders: Orders | None = None, **changes: Any) -> Here:
        clock, pool, orders = Clock(), Recorded(), orders or Orders()
        fakes = {"COURTS": Fake(clock), "BANKS": Fake(clock, "BANKS", ("summary",))}
        policies = [
            policy(**changes),
            policy(code="BANKS", keep=False, by_purpose=True, fresh=0.0, negative_fresh=0.0, stale=0.0),
        ]
        consents = Given()
        connectors, given_pool = fakes, pool
        sources = Sources(
            policies,
            connectors,
            given_pool,  # type: ignore[arg-type]
            CollectorRegistry(),
            consents=consents,
            logging_settings=silent,
            seals=orders,
            clock=clock,
        )
        made.append(Here(sources, fakes["COURTS"], fakes["BANKS"], orders, pool, clock))
        made[-1].consents = consents  # type: ignore[attr-defined]
        return made[-1]

    yield stage
    for one in made:
        await one.sources.close()


async def look(here: Here, uscc: str) -> list[tuple[str, str | None, str | None]]:
    """What the public, another client, and the public after it are told; times as ages."""
    seen = []
    for who in (ANONYMOUS, OTHER, ANONYMOUS):
        answer = await here.ask(who, uscc)
        seen.append((answer["status"], answer["reason"], answer["as_of"]))
    return seen


@pytest.mark.parametrize("sealed", [True, False])
async def test_it_leaves_no_answer(build: Callable[..., Here], sealed: bool) -> None:
    here, untouched, uscc = build(), build(), code()
    untouched.clock.now = here.clock.now
    if not sealed:
        here.orders.cases = set()
    assert (await here.ask(SEALED, uscc))["status"] == "ANSWERED"
    assert await here.written() == (set() if sealed else {"core.source_answer", "core.source_health"})
    for one in (here, untouched):
        one.clock.now += 60
    same = await look(here, uscc) == await look(untouched, uscc)
    assert same is sealed
    assert (await here.ask(SEALED, uscc))["status"] == "CACHED"  # it finds what others may


async def test_it_reads_what_is_kept_and_leaves_no_trace_of_that(build: Callable[..., Here]) -> None:
    here, uscc, other = build(), code(), code()
    row = {"i": 1, "asked_at": here.clock.now - 60, "rows": b"[]"}
    here.pool.rows = [row]
    assert [(await here.ask(SEALED, uscc))["status"] for _ in range(2)] == ["CACHED"] * 2
    assert here.pool.fetches == 2  # nothing is kept of the first
    assert not here.sources._kept._slots
    assert not here.sources._ready._made
    # Nor that nothing was there: what another process has kept since is found at once.
    here.pool.rows = []
    assert (await here.ask(SEALED, other))["status"] == "ANSWERED"
    here.pool.rows = [row]
    assert (await here.ask(ANONYMOUS, other))["status"] == "CACHED"


async def test_the_oldest_and_the_newest_are_found_alike(build: Callable[..., Here]) -> None:
    """What the process has and the database has newer: under a seal as without."""
    here, uscc = build(fresh=10.0, negative_fresh=10.0), code()
    assert (await here.ask(OTHER, uscc))["status"] == "ANSWERED"
    here.clock.now += 60
    here.pool.rows = [{"i": 1, "asked_at": here.clock.now - 1, "rows": b"[]"}]
    sealed = await here.ask(SEALED, uscc)
    assert sealed == await here.ask(OTHER, uscc)
    assert sealed["status"] == "CACHED"


async def test_nobody_joins_its_flight_and_it_joins_none(build: Callable[..., Here]) -> None:
    here, uscc = build(), code()
    here.courts.gate = asyncio.Event()
    third = replace(SEALED, client_id="third")  # under the same seal, and no less another asker
    asking = [asyncio.create_task(here.ask(who, uscc)) for who in (SEALED, OTHER, third, SEALED)]
    await asyncio.sleep(0.02)
    assert len(here.courts.calls) == 3  # who asks twice under a seal asks once
    here.courts.gate.set()
    assert {answer["status"] for answer in await asyncio.gather(*asking)} == {"ANSWERED"}
    assert await here.written() == {"core.source_answer", "core.source_health"}  # of OTHER's
    assert (await here.ask(ANONYMOUS, uscc))["status"] == "CACHED"


async def test_without_the_seal_the_flight_is_shared(build: Callable[..., Here]) -> None:
    here, uscc = build(Orders(set())), code()
    here.courts.gate = asyncio.Event()
    asking = [asyncio.create_task(here.ask(who, uscc)) for who in (SEALED, OTHER)]
    await asyncio.sleep(0.02)
    assert len(here.courts.calls) == 1
    here.courts.gate.set()
    await asyncio.gather(*asking)


@pytest.mark.parametrize("joined", [False, True])
async def test_a_seal_that_is_made_while_the_source_is_asked(build: Callable[..., Here], joined: bool) -> None:
    """Nobody joins from then on, and nothing is kept; but where somebody without a seal had joined already."""
    here, uscc = build(Orders(set())), code()
    here.courts.gate = asyncio.Event()
    asking = [asyncio.create_task(here.ask(SEALED, uscc))]
    await asyncio.sleep(0.01)
    if joined:
        asking.append(asyncio.create_task(here.ask(OTHER, uscc)))
        await asyncio.sleep(0.01)
    here.orders.cases = {"1"}
    if not joined:
        later = asyncio.create_task(here.ask(OTHER, uscc))
        await asyncio.sleep(0.01)
        assert len(here.courts.calls) == 2
        later.cancel()
        here.orders.cases |= {"2"}  # so that the later one leaves nothing either
    here.courts.gate.set()
    assert {answer["status"] for answer in await asyncio.gather(*asking)} == {"ANSWERED"}
    assert (await here.written() == set()) is not joined


async def test_what_is_not_known_is_sealed(build: Callable[..., Here]) -> None:
    here, uscc = build(Orders(set(), unknown=True)), code()
    assert (await here.ask(OTHER, uscc))["status"] == "ANSWERED"
    assert await here.written() == set()
    assert (await here.ask(ANONYMOUS, uscc))["status"] == "NOT_CONSULTED"
    # The public has no entry that could be sealed: what it has refreshed is kept.
    assert here.sources.refresh("COURTS", PARTS[:1], [uscc]) == 1
    assert await here.written() == {"core.source_answer", "core.source_health"}
    here.orders.unknown = False
    assert (await here.ask(OTHER, uscc))["status"] == "CACHED"


async def test_a_failure_leaves_what_is_of_the_source_alone(build: Callable[..., Here]) -> None:
    """Nothing of the subject: the next asker's question goes out like anybody's."""
    here, untouched, uscc = build(), build(), code()
    here.courts.say = untouched.courts.say = failing("FORBIDDEN")
    assert (await here.ask(SEALED, uscc))["status"] == "REFUSED"
    untouched.clock.now = here.clock.now
    assert await look(here, uscc) == await look(untouched, uscc)
    here.courts.say = None
    assert (await here.ask(OTHER, uscc))["status"] == "ANSWERED"
    assert await here.written() == {"core.source_answer", "core.source_health"}


async def test_what_is_stale_is_shown_and_stays_what_it_was(build: Callable[..., Here]) -> None:
    here, uscc = build(), code()
    first = await here.ask(OTHER, uscc)
    here.clock.now += 2 * DAY
    stale = await here.ask(ANONYMOUS, uscc)
    assert stale["status"] == "STALE"
    assert (await here.ask(SEALED, uscc))["status"] == "ANSWERED"
    assert await here.ask(ANONYMOUS, uscc) == stale
    assert stale["as_of"] == first["as_of"]


async def test_a_bank_takes_its_request_up_for_it_alone(build: Callable[..., Here]) -> None:
    here, uscc = build(), code()
    here.consents.by_pair["C", uscc] = OWN  # type: ignore[attr-defined]
    here.bank.say = lambda part, uscc: Pending()
    for who in (SEALED, OTHER, SEALED):
        assert (await here.ask_bank(who, uscc))[0] == "PENDING"
    apart = [call[2].apart for call in here.bank.calls if call[2]]
    assert apart[0] == apart[2] != apart[1] == ""
    assert here.orders.waited.count(0.5) == 3  # for want of knowing it would have asked a second time
    here.orders.cases = set()
    await here.ask_bank(SEALED, uscc)
    assert here.bank.calls[-1][2] is not None
    assert here.bank.calls[-1][2].apart == ""


async def test_who_comes_while_nobody_can_say_waits_a_moment_and_shares_the_call(build: Callable[..., Here]) -> None:
    """A process that stood still for a second has to hear first; what it asks for then is asked for once."""

    orders = Late(cases=set())
    here, uscc = build(orders), code()
    for who in (OTHER, SEALED):
        orders.unknown = True
        await here.ask(who, uscc)
    assert len(here.courts.calls) == 1
    orders.unknown, waited = True, len(orders.waited)
    await here.ask(ANONYMOUS, uscc)
    assert len(orders.waited) == waited  # what is not disclosed is never sealed


async def test_a_call_that_ends_or_is_joined_while_nobody_can_say_waits_a_moment(build: Callable[..., Here]) -> None:
    """The process stands still while it looks for kept answers, and again while the source answers."""
    orders = Late(cases=set())
    here, uscc = build(orders), code()

    def stands_still(part: str, uscc: str) -> Any:
        orders.unknown = True
        return here.courts.answer()

    async def reads_late(*arguments: Any, read: Callable[[Any], Any], **more: Any) -> Any:
        orders.unknown = True
        await asyncio.sleep(0.01)
        return read([])

    here.courts.say = stands_still
    here.pool.fetch = reads_late  # type: ignore[method-assign]
    answers = await asyncio.gather(here.ask(OTHER, uscc), here.ask(SEALED, uscc))
    assert [answer["status"] for answer in answers] == ["ANSWERED"] * 2
    assert len(here.courts.calls) == 1
    assert await here.written() == {"core.source_answer", "core.source_health"}


async def test_an_answer_in_time_is_told_in_time_though_nobody_can_say(build: Callable[..., Here]) -> None:
    """It comes shortly before its time is over, and is kept as soon as it is known that it may be."""

    class Slow(Orders):
        async def ready(self, patience: float) -> None:
            if self.unknown:
                await asyncio.sleep(patience * 0.9)
                self.unknown = False

    orders = Slow(cases=set())
    here, uscc = build(orders, budget=1.0), code()

    async def late(*given: Any) -> Any:
        await asyncio.sleep(0.97)
        orders.unknown = True
        return await ask(*given)

    ask = here.courts.ask
    here.courts.ask = late  # type: ignore[method-assign]
    assert (await here.ask(OTHER, uscc))["status"] == "ANSWERED"
    assert "core.source_answer" not in here.pool.written
    await asyncio.sleep(0.2)
    assert await here.written() == {"core.source_answer", "core.source_health"}
