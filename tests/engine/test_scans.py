"""Promises: what may read all records waits for its turn, one in each view, and whoever else asks is answered meanwhile
as if nobody read them; large ones are few at once; turns go from one asker to the next and none is lost; whose turn
does not come in time is told to ask for less or to come again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from gateway.engine import scans, statements, together
from gateway.engine.documents import Documents
from gateway.engine.execute import Done, Engine, Limits, Request
from gateway.engine.scans import LARGE_ONES, TRIED, Scans, Turns
from gateway.errors import RateLimited, Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES
from gateway.storage.pool import Pool
from tests.engine import small_world
from tests.engine.conftest import World

RECORDS = 20_000
SCANNERS = 6
SAMPLES = 11
# Each a fifth of a second of PostgreSQL's, or more.
TOTALS = "{ " + " ".join(f"r{n}: records(filter: {{areas: [GENERAL]}}) {{ totalCount }}" for n in range(19)) + " }"
RARE = (
    "{ "
    + " ".join(f"r{n}: records(filter: {{severities: [MINOR]}}) {{ edges {{ cursor }} }}" for n in range(19))
    + " }"
)
SOURCED = RARE.replace("cursor", "node { subject { courts { answer { status } } } }")
PROFILE = "query P($u: Uscc!) { subject(uscc: $u) { name records(first: 5) { edges { node { title } } } } }"


@pytest.fixture(scope="module")
async def many(world: World, owner: asyncpg.Connection[asyncpg.Record], database: Database) -> AsyncIterator[World]:
    """The small world with many records more, and few connections."""
    await owner.execute(
        "insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,"
        " authority_id, source_code, catalogue_item, decided_on, published_from, title, natural_key)"
        " select gen_random_uuid(), r.subject_id, r.subject_class, r.kind, r.area, 'SERIOUS', 'ACTIVE', true,"
        " r.authority_id, r.source_code, r.catalogue_item, r.decided_on - n % 900, r.published_from, 'one of many',"
        " 'many' || n"
        " from (select * from core.record where title = '罚款一' limit 1) r, generate_series(1, $1::int) n",
        RECORDS,
    )
    await owner.execute("vacuum (analyze) core.record")
    pools = {access.name: Pool(database.dsn(access.name), size=2) for access in ACCESSES}
    limits = Limits(cost=50_000, cost_public=50_000, storage=60.0)
    engine = Engine(build_contracts(), pools, world.account, world.sources, limits)  # type: ignore[arg-type]
    yield World(engine, world.account, world.sources, world.ids)
    for pool in pools.values():
        await pool.close()


async def beside(world: World, view: str, query: str) -> float:
    """The median of a good client's seconds, beside some who ask one such question after the other."""
    started = asyncio.Event()

    async def scan() -> None:
        with contextlib.suppress(Refused):
            while True:
                started.set()
                await world.ask(view, query)

    scanners = [asyncio.create_task(scan()) for _ in range(SCANNERS if query else 0)]
    if query:
        await started.wait()
        await asyncio.sleep(2 * TRIED)
    seconds = []
    try:
        for _ in range(SAMPLES):
            began = time.perf_counter()
            found = await world.ask(view, PROFILE, {"u": small_world.SHOP})
            seconds.append(time.perf_counter() - began)
            assert found["data"]["subject"]["name"]
            await asyncio.sleep(0.01)
    finally:
        for task in scanners:
            task.cancel()
        await asyncio.gather(*scanners, return_exceptions=True)
    return statistics.median(seconds)


async def test_a_good_client_beside_totals_of_all(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the control taken away: it waits for those that read all, each time."""
    await many.ask("public", PROFILE, {"u": small_world.SHOP})
    alone, with_control = await beside(many, "public", ""), await beside(many, "public", TOTALS)
    monkeypatch.setattr(Scans, "turn", lambda *_: contextlib.nullcontext())
    without = await beside(many, "public", TOTALS)
    assert with_control < 20 * alone
    assert with_control * 4 < without


@pytest.mark.parametrize("controlled", [True, False])
@pytest.mark.parametrize("query", [RARE, SOURCED], ids=["shared", "with a source"])
@pytest.mark.parametrize("view", ["public", "restricted"])
async def test_pages_of_a_rare_kind_wait_too(
    many: World, view: str, query: str, monkeypatch: pytest.MonkeyPatch, controlled: bool
) -> None:
    """They are tried first: which filter is rare nobody knows. One is under way at a time of those that took long, all
    of them without the control."""
    now, most = 0, 0
    true = Scans.turn

    @contextlib.asynccontextmanager
    async def turn(self: Scans, access: str, until: float, asker: str, *, tries: bool = False) -> AsyncIterator[None]:
        nonlocal now, most
        async with true(self, access, until, asker, tries=tries) if controlled else contextlib.nullcontext():
            now += not tries
            most = max(most, now)
            try:
                yield
            finally:
                now -= not tries

    monkeypatch.setattr(scans, "TRIED", 0.02)
    monkeypatch.setattr(together, "TRIED", 0.02)
    monkeypatch.setattr(together, "_LOOK", 0.02)
    monkeypatch.setattr(Scans, "turn", turn)
    many.account.disclosures.clear()
    answers = await asyncio.gather(*(many.ask(view, query) for _ in range(3)))
    assert all(len(answer["data"]) == 19 and "errors" not in answer for answer in answers)
    assert (most == 1) == controlled
    assert len(many.account.disclosures) == 3 * (view == "restricted")


async def test_who_waits_too_long_is_told_so() -> None:
    turns = Scans()
    async with turns.turn("public", time.monotonic() + 60):
        async with turns.turn("restricted", time.monotonic() + 60):  # another view has turns of its own
            pass
        began = time.monotonic()
        with pytest.raises(RateLimited) as caught:
            async with turns.turn("public", began + 0.2):
                pass
        assert time.monotonic() - began >= 0.1
    assert caught.value.retry_after > 0
    async with turns.turn("public", time.monotonic() + 60):  # the turn of who left is nobody's
        pass


async def test_turns_come_in_the_order_of_asking() -> None:
    turns, came = Scans(), []

    async def ask(number: int) -> None:
        async with turns.turn("public", time.monotonic() + 60):
            await asyncio.sleep(0)
            came.append(number)

    calls = [asyncio.create_task(ask(number)) for number in range(8)]
    calls[3].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert came == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("controlled", [True, False])
@pytest.mark.parametrize("kind", ["turn", "large"])
async def test_turns_go_from_one_asker_to_the_next(kind: str, controlled: bool) -> None:
    """Who asks once waits for two of each other's at most, however many it has; without the control for all."""
    turns, came = Scans(large=1), []

    async def ask(asker: str) -> None:
        async with getattr(turns, kind)("public", time.monotonic() + 60, asker if controlled else ""):
            await asyncio.sleep(0)
            came.append(asker)

    await asyncio.gather(*[ask(asker) for asker in ["much"] * 20 + ["more"] * 20 + ["once"]])
    assert (came.index("once") <= 4) == controlled


async def test_no_turn_is_lost_whenever_somebody_leaves() -> None:
    """Also in the moment in which it is handed over."""
    draw = random.Random(6527)
    for most in (1, 3):
        turns, held, highest = Turns(most), 0, 0

        async def ask(asker: str, turns: Turns = turns) -> None:
            nonlocal held, highest
            await turns.take(asker)
            held += 1
            highest = max(highest, held)
            try:
                for _ in range(draw.randrange(3)):
                    await asyncio.sleep(0)
            finally:
                held -= 1
                turns.give(asker)

        tasks = [asyncio.create_task(ask(draw.choice("abc"))) for _ in range(600)]
        while not all(task.done() for task in tasks):
            for task in draw.sample(tasks, 5):
                task.cancel()
            await asyncio.sleep(0)
        assert highest == most
        assert any(not task.cancelled() for task in tasks)
        assert (turns._free, turns._held, turns._waiting) == (most, {}, {})


async def test_large_ones_of_one_client_hold_up_no_other(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are under way by few, whatever makes them large; and whoever asks for little waits for none of them."""
    monkeypatch.setattr(statements, "LARGE", 21)
    monkeypatch.setattr(statements, "LONG", 6_000)
    many_parts = " ".join(f"r{n}: records(first: 1) {{ edges {{ node {{ title }} }} }}" for n in range(20))
    until = time.monotonic() + 60
    limits = Limits(cost=50_000, cost_public=50_000, storage=0.4)
    engine = Engine(build_contracts(), many.engine.pools, many.account, many.sources, limits)  # type: ignore[arg-type]
    large = {
        "by codes": Request(
            "query L($u: [Uscc!]!) { subjects(usccs: $u) { records { totalCount } } }",
            None,
            {"u": [small_world.SHOP] * 2},
        ),
        "by code": Request(
            "query L($u: Uscc!) { subject(uscc: $u) { records(first: 30) { totalCount } } }",
            None,
            {"u": small_world.SHOP},
        ),
        "much to plan": Request(
            f"query L($u: Uscc!) {{ subject(uscc: $u) {{ {many_parts} }} }}", None, {"u": small_world.SHOP}
        ),
        "changes": Request("{ recordChanges { edges { cursor } } }"),
    }
    async with contextlib.AsyncExitStack() as stack:
        for number in range(LARGE_ONES):
            await stack.enter_async_context(engine._scans.large("restricted", until, str(number)))
        for request in large.values():
            with pytest.raises(Refused) as caught:
                await engine.answer(many.principal("restricted"), replace(request, arrived=time.monotonic()))
            assert caught.value.code == "RATE_LIMITED"
            assert "shorter lists" in caught.value.errors[0].en
        small = Request("query S($u: Uscc!) { subject(uscc: $u) { name } }", None, {"u": small_world.SHOP})
        assert b"errors" not in await engine.answer(many.principal("restricted"), small)
    for request in large.values():
        answer = await engine.answer(many.principal("restricted"), replace(request, arrived=time.monotonic()))
        assert b"errors" not in answer


@pytest.mark.parametrize("controlled", [True, False])
async def test_new_documents_of_one_client_hold_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, controlled: bool
) -> None:
    """Looking through one takes some milliseconds in which nobody else gets on. Without the control a new one of
    somebody else's, and one that is known, wait for all of them."""
    order: list[str] = []
    true = Documents.get

    def get(self: Documents, contract: str, text: str, own: Any = None) -> Any:
        order.append(text)
        return true(self, contract, text, own)

    known = f"{{ known{controlled}: __typename }}"
    much, once = (replace(world.principal("restricted"), client_id=name) for name in ("much", "once"))
    await world.engine.operation(once, Request(known), Done())
    monkeypatch.setattr(Documents, "get", get)
    if not controlled:
        monkeypatch.setattr(Documents, "knows", lambda *_: True)
    asked = [(much, f"{{ a{n}{controlled}: __typename }}") for n in range(20)]
    asked += [(once, f"{{ once{controlled}: __typename }}"), (once, known)]
    await asyncio.gather(*[world.engine.operation(who, Request(text), Done()) for who, text in asked])
    assert len(order) == 22
    assert (order.index(known) <= 1) == (order.index(asked[-2][1]) <= 4) == controlled
    assert (world.engine._new_documents._free, world.engine._new_documents._waiting) == (1, {})


async def test_the_refusal_reaches_the_client(many: World) -> None:
    until = time.monotonic() + 60
    limits = Limits(cost=50_000, cost_public=50_000, storage=0.4)
    engine = Engine(build_contracts(), many.engine.pools, many.account, many.sources, limits)  # type: ignore[arg-type]
    async with engine._scans.turn("public", until):
        with pytest.raises(Refused) as caught:
            await engine.answer(many.principal("public"), Request("{ records { totalCount } }"))
        assert caught.value.code == "RATE_LIMITED"
    async with many.engine._scans.turn("public", until):
        answer = await many.engine.answer(many.principal("restricted"), Request("{ records { totalCount } }"))
    assert json.loads(answer)["data"]["records"]["totalCount"] > RECORDS


async def test_what_takes_longer_than_it_may_is_told_to_ask_for_less(many: World) -> None:
    """A total does, each time it is asked for: whoever is told nothing but to come again does so for ever."""
    limits = Limits(cost=50_000, cost_public=50_000, storage=0.05)
    engine = Engine(build_contracts(), many.engine.pools, many.account, many.sources, limits)  # type: ignore[arg-type]
    for query in (TOTALS, RARE):
        with pytest.raises(Refused) as caught:
            await engine.answer(many.principal("public"), Request(query))
        assert caught.value.code == "STORAGE_UNAVAILABLE"
        assert "narrow the filter by days" in caught.value.errors[0].en


async def test_every_view_has_lists_of_its_own(many: World) -> None:
    turns = [many.engine._statements.together[access.name] for access in ACCESSES]
    assert len({id(one) for one in turns}) == len(ACCESSES)
