"""Who may cause a call and who may not; one call however many ask; budgets, failures and retries as reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from fake_source import ASKER, PARTS, Clock, Fake, NoDatabase, code, failing, policy, rows, said, soon
from prometheus_client import CollectorRegistry

from connectors.base import Failure, FailureKind, Outcome, Purpose
from gateway.auth.principal import ANONYMOUS
from gateway.sources.ask import Sources
from gateway.sources.wanted import Wanted
from tests.simulated import simulated_time  # noqa: F401 - time passes while nothing is left to do

Make = Callable[..., Sources]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Fake:
    return Fake(clock)


@pytest_asyncio.fixture
async def make(fake: Fake, clock: Clock) -> AsyncIterator[Make]:
    made: list[Sources] = []

    def build(**changes: object) -> Sources:
        registry = CollectorRegistry()
        sources = Sources([policy(**changes)], {"COURTS": fake}, NoDatabase(), registry, clock=clock)  # type: ignore[arg-type]
        sources.registry = registry  # type: ignore[attr-defined]
        made.append(sources)
        return sources

    yield build
    for sources in made:
        await sources.close()
        await sources.close()
    assert fake.closed


def courts(*subjects: str, parts: tuple[str, ...] = PARTS) -> list[Wanted]:
    return [Wanted("COURTS", parts, subjects)]


async def test_answered_then_cached_without_a_call(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    first = await sources.consult(courts(a), ASKER, soon())
    assert said(first, a) == ("ANSWERED", None)
    assert rows(first, a) == [{"case_number": f"dishonest {a}"}]
    second = await sources.consult(courts(a), ASKER, soon())
    assert said(second, a) == ("CACHED", None)
    assert rows(second, a) == rows(first, a)
    assert len(fake.calls) == 2
    assert sources.registry.get_sample_value(  # type: ignore[attr-defined]
        "credit_source_answers_total", {"source": "COURTS", "status": "CACHED"}
    )


async def test_the_source_is_told_nothing_of_the_asker_unless_it_needs_the_purpose(make: Make, fake: Fake) -> None:
    await make().consult(courts(code(), parts=PARTS[:1]), ASKER, soon())
    await make(by_purpose=True).consult(courts(code(), parts=PARTS[:1]), ASKER, soon())
    assert [call[2] for call in fake.calls] == [None, Purpose("GRANT", "1", None)]


async def test_fifty_askers_one_call(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    fake.delay = 0.05
    askers = [replace(ASKER, client_id=f"client-{i}", matter=f"M{i}") for i in range(50)]
    answers = await asyncio.gather(*(sources.consult(courts(a, parts=PARTS[:1]), one, soon()) for one in askers))
    assert len(fake.calls) == 1
    assert {said(answer, a) for answer in answers} == {("ANSWERED", None)}


async def test_purposes_are_asked_apart_where_the_source_is_told_them(make: Make, fake: Fake) -> None:
    sources, a = make(by_purpose=True), code()
    fake.delay = 0.05
    askers = [replace(ASKER, case_number=str(i % 2)) for i in range(10)]
    await asyncio.gather(*(sources.consult(courts(a, parts=PARTS[:1]), one, soon()) for one in askers))
    assert len(fake.calls) == 2


async def test_a_cancelled_asker_leaves_the_call_to_the_others(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    fake.gate = asyncio.Event()
    first, second = (asyncio.create_task(sources.consult(courts(a, parts=PARTS[:1]), ASKER, soon())) for _ in range(2))
    await asyncio.sleep(0.02)
    first.cancel()
    await asyncio.sleep(0)
    fake.gate.set()
    assert said(await second, a) == ("ANSWERED", None)
    assert first.cancelled()
    assert len(fake.calls) == 1


async def test_what_only_a_gone_asker_waited_for_is_not_called(make: Make, fake: Fake) -> None:
    sources = make(concurrency=1)
    fake.gate = asyncio.Event()
    subjects = [code() for _ in range(9)]
    task = asyncio.create_task(sources.consult(courts(*subjects), ASKER, soon()))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    fake.gate.set()
    await asyncio.sleep(0.05)
    assert len(fake.calls) == 1


async def test_an_asker_waits_no_longer_than_its_own_deadline(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    fake.delay = 0.3
    began = asyncio.get_running_loop().time()
    long = asyncio.create_task(sources.consult(courts(a), ASKER, soon(2)))
    short = await sources.consult(courts(a), ASKER, soon(0.1))
    assert asyncio.get_running_loop().time() - began < 0.15
    assert said(short, a) == ("UNAVAILABLE", "TIMEOUT")
    assert said(await long, a) == ("ANSWERED", None)


async def test_black_hole_within_budget_started_and_not_started_apart(make: Make, fake: Fake) -> None:
    sources = make(concurrency=2, budget=0.2)
    fake.gate = asyncio.Event()
    subjects = [code() for _ in range(40)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    consulted = await sources.consult(courts(*subjects, parts=PARTS[:1]), ASKER, soon(5))
    assert loop.time() - began < 0.25
    told = [said(consulted, a) for a in subjects]
    assert told[:2] == [("UNAVAILABLE", "TIMEOUT")] * 2
    assert set(told[2:]) == {("NOT_CONSULTED", "BUDGET")}
    assert all(rows(consulted, a) == [] for a in subjects)


async def test_a_started_call_is_kept_though_nobody_waits_any_more(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    fake.delay = 0.1
    await sources.consult(courts(a), ASKER, soon(0.03))
    await asyncio.sleep(0.15)
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("CACHED", None)


async def test_past_the_deadline_nothing_is_called(make: Make, fake: Fake) -> None:
    a = code()
    assert said(await make().consult(courts(a), ASKER, soon(-1)), a) == ("NOT_CONSULTED", "BUDGET")
    assert fake.calls == []


@pytest.mark.parametrize("kind", list(FailureKind))
async def test_a_failure_is_neither_an_empty_answer_nor_kept(make: Make, fake: Fake, kind: FailureKind) -> None:
    sources, a = make(breaker_failures=99), code()
    fake.say = lambda part, uscc: Failure(kind) if part == "enforcement" else fake.answer()
    status = "REFUSED" if kind.value in ("THROTTLED", "FORBIDDEN", "REJECTED") else "UNAVAILABLE"
    status = "CONSENT_REQUIRED" if kind is FailureKind.CONSENT_REJECTED else status
    for _ in range(2):
        consulted = await sources.consult(courts(a), ASKER, soon())
        assert said(consulted, a) == (status, kind.value)
        assert rows(consulted, a, "enforcement") == []
    assert [call[0] for call in fake.calls].count("dishonest") == 1
    assert [call[0] for call in fake.calls].count("enforcement") >= 2


@pytest.mark.parametrize(("kind", "calls"), [("UNREACHABLE", 2), ("SERVER_ERROR", 2), ("TIMEOUT", 1), ("MALFORMED", 1)])
async def test_repeated_once_where_that_is_safe(make: Make, fake: Fake, kind: str, calls: int) -> None:
    fake.say = failing(kind)
    await make().consult(courts(code(), parts=PARTS[:1]), ASKER, soon())
    assert len(fake.calls) == calls


async def test_a_repeat_that_succeeds_is_an_answer(make: Make, fake: Fake) -> None:
    a = code()
    fake.say = lambda part, uscc: Failure(FailureKind.UNREACHABLE) if len(fake.calls) == 1 else fake.answer()
    assert said(await make().consult(courts(a, parts=PARTS[:1]), ASKER, soon()), a) == ("ANSWERED", None)


async def test_no_repeat_that_does_not_fit(make: Make, fake: Fake) -> None:
    fake.say = failing("UNREACHABLE")
    await make(budget=0.04).consult(courts(code(), parts=PARTS[:1]), ASKER, soon())
    assert len(fake.calls) == 1


async def test_a_connector_that_raises_or_overruns_is_contained(make: Make, fake: Fake) -> None:
    sources, a, b = make(budget=0.3), code(), code()
    fake.say = lambda part, uscc: RuntimeError("bug")
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("UNAVAILABLE", "CONNECTOR")
    fake.say = None
    fake.delay = 60
    assert said(await sources.consult(courts(b), ASKER, soon()), b) == ("UNAVAILABLE", "TIMEOUT")
    await asyncio.sleep(0.6)
    assert fake.flying == 0


async def test_a_subject_left_out_is_unavailable(make: Make, fake: Fake) -> None:
    a = code()
    fake.say = lambda part, uscc: None
    assert said(await make().consult(courts(a), ASKER, soon()), a) == ("UNAVAILABLE", "MALFORMED")


async def test_breaker_opens_tries_one_and_closes(make: Make, fake: Fake) -> None:
    sources = make(breaker_failures=3, breaker_seconds=0.1)
    fake.say = failing("TIMEOUT")
    await sources.consult(courts(*(code() for _ in range(4))), ASKER, soon())
    fake.calls.clear()
    a = code()
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("UNAVAILABLE", "BREAKER_OPEN")
    assert fake.calls == []
    await asyncio.sleep(0.12)
    fake.say, fake.delay = None, 0.05
    trial = asyncio.create_task(sources.consult(courts(a), ASKER, soon()))
    await asyncio.sleep(0.02)
    assert len(fake.calls) == 1
    b = code()
    assert said(await sources.consult(courts(b), ASKER, soon()), b) == ("UNAVAILABLE", "BREAKER_OPEN")
    assert said(await trial, a) == ("ANSWERED", None)  # its other part waited for the trial instead of failing
    assert said(await sources.consult(courts(b), ASKER, soon()), b) == ("ANSWERED", None)


async def test_what_is_wrong_with_one_subject_does_not_open_the_breaker(make: Make, fake: Fake) -> None:
    sources, a = make(breaker_failures=2), code()
    fake.say = failing("FOREIGN_ROWS")
    await sources.consult(courts(*(code() for _ in range(5))), ASKER, soon())
    fake.say = None
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("ANSWERED", None)


async def test_a_throttled_source_is_left_alone_as_long_as_it_asks(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    fake.say = failing("THROTTLED", retry_after=30.0)
    consulted = await sources.consult(courts(a, parts=PARTS[:1]), ASKER, soon())
    assert said(consulted, a) == ("REFUSED", "THROTTLED")
    consulted = await sources.consult(courts(a, parts=PARTS[:1]), ASKER, soon())
    assert said(consulted, a) == ("UNAVAILABLE", "BREAKER_OPEN")
    assert len(fake.calls) == 1


async def test_public_never_calls_and_its_refresh_is_deduplicated(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    consulted = await sources.consult(courts(a), ANONYMOUS, soon())
    assert said(consulted, a) == ("NOT_CONSULTED", "PUBLIC_NOT_KEPT")
    assert fake.calls == []
    assert consulted.behind == {"COURTS": (a,)}
    assert sources.refresh("COURTS", PARTS, [a, a]) == 2
    assert sources.refresh("COURTS", PARTS, [a]) == 0
    await asyncio.sleep(0.05)
    assert len(fake.calls) == 2
    assert said(await sources.consult(courts(a), ANONYMOUS, soon()), a) == ("CACHED", None)
    assert sources.refresh("COURTS", PARTS, [a]) == 0
    assert sources.refresh("NOWHERE", PARTS, [a]) == 0


async def test_refreshes_are_bounded_and_give_way_to_whoever_waits(make: Make, fake: Fake) -> None:
    sources = make(requests_per_second=20.0)
    queued = [code() for _ in range(1500)]
    assert sources.refresh("COURTS", PARTS[:1], queued) == 1000
    await asyncio.sleep(0.02)
    assert len(fake.calls) == 2  # a tenth of twenty
    wanted = queued[500]
    consulted = await sources.consult(courts(wanted, parts=PARTS[:1]), ASKER, soon())
    assert said(consulted, wanted) == ("ANSWERED", None)
    assert len(fake.calls) == 3


async def test_public_shows_stale_answers_within_their_limit_only(make: Make, fake: Fake, clock: Clock) -> None:
    sources, a = make(), code()
    await sources.consult(courts(a), ASKER, soon())
    clock.now += 2 * 86_400
    assert said(await sources.consult(courts(a), ANONYMOUS, soon()), a) == ("STALE", "PUBLIC")
    clock.now += 5 * 86_400
    assert said(await sources.consult(courts(a), ANONYMOUS, soon()), a) == ("NOT_CONSULTED", "PUBLIC_NOT_KEPT")


async def test_stale_only_while_the_source_cannot_answer(make: Make, fake: Fake, clock: Clock) -> None:
    sources, a = make(breaker_failures=99), code()
    first = await sources.consult(courts(a), ASKER, soon())
    clock.now += 86_401
    fake.say = failing("TIMEOUT")
    stale = await sources.consult(courts(a), ASKER, soon())
    assert said(stale, a) == ("STALE", "TIMEOUT")
    assert rows(stale, a) == rows(first, a)
    as_of = [json.loads(c.parameters["COURTS"])[a]["answer"]["as_of"] for c in (first, stale)]
    assert as_of[0] == as_of[1]
    fake.say = None
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("ANSWERED", None)
    clock.now += 8 * 86_400
    fake.say = failing("TIMEOUT")
    old = await sources.consult(courts(a), ASKER, soon())
    assert said(old, a) == ("UNAVAILABLE", "TIMEOUT")
    assert rows(old, a) == []


async def test_an_answer_without_rows_is_asked_for_again_sooner(make: Make, fake: Fake, clock: Clock) -> None:
    sources, a = make(), code()
    fake.say = lambda part, uscc: fake.answer() if part == "dishonest" else fake.answer({"n": "1"})
    await sources.consult(courts(a), ASKER, soon())
    clock.now += 4 * 3600 + 1
    await sources.consult(courts(a), ASKER, soon())
    assert [call[0] for call in fake.calls] == ["dishonest", "enforcement", "dishonest"]


async def test_a_matter_that_does_not_allow_the_source_sees_nothing_of_it(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    await sources.consult(courts(a), ASKER, soon())
    consulted = await sources.consult(courts(a), replace(ASKER, sources=frozenset({"LOCAL"})), soon())
    assert said(consulted, a) == ("NOT_CONSULTED", "MATTER")
    assert rows(consulted, a) == []


async def test_a_question_that_has_hopped_gets_kept_answers_alone(make: Make, fake: Fake, clock: Clock) -> None:
    sources, a = make(), code()
    hopped = replace(ASKER, hops=1)
    assert said(await sources.consult(courts(a), hopped, soon()), a) == ("NOT_CONSULTED", "HOPS")
    await sources.consult(courts(a), ASKER, soon())
    fake.calls.clear()
    assert said(await sources.consult(courts(a), hopped, soon()), a) == ("CACHED", None)
    clock.now += 2 * 86_400
    assert said(await sources.consult(courts(a), hopped, soon()), a) == ("STALE", "HOPS")
    assert fake.calls == []


async def test_a_source_that_is_not_set_up(make: Make) -> None:
    a = code()
    asker = replace(ASKER, sources=frozenset({"BANKS", "COURTS"}))
    consulted = await make().consult([Wanted("BANKS", ("summary",), (a,)), *courts(a)], asker, soon())
    assert said(consulted, a, "BANKS") == ("NOT_CONSULTED", "NOT_CONFIGURED")
    assert said(consulted, a) == ("ANSWERED", None)
    assert set(json.loads(consulted.statuses)) == {"BANKS", "COURTS"}


async def test_what_is_never_kept_is_asked_anew_each_time(make: Make, fake: Fake) -> None:
    sources, a = make(keep=False), code()
    for _ in range(2):
        assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("ANSWERED", None)
    assert len(fake.calls) == 4
    assert sources.refresh("COURTS", PARTS, [a]) == 0


async def test_batches_hold_one_part_and_no_more_than_the_upstream_takes(make: Make, fake: Fake) -> None:
    sources = make(batch=50)
    subjects = [code() for _ in range(120)]
    consulted = await sources.consult(courts(*subjects), ASKER, soon())
    assert {said(consulted, a) for a in subjects} == {("ANSWERED", None)}
    assert sorted(len(call[1]) for call in fake.calls) == [20, 20, 50, 50, 50, 50]


async def test_one_place_wants_more_parts_than_another(make: Make, fake: Fake) -> None:
    a, b = code(), code()
    wanted = [*courts(a, parts=PARTS[:1]), *courts(a, b, parts=PARTS[1:])]
    sections = json.loads((await make().consult(wanted, ASKER, soon())).parameters["COURTS"])
    assert set(sections[a]) == {"answer", *PARTS}
    assert set(sections[b]) == {"answer", PARTS[1]}
    assert len(fake.calls) == 3


async def test_a_long_request_does_not_hold_up_a_short_one(make: Make, fake: Fake) -> None:
    sources, a = make(concurrency=1), code()
    fake.delay = 0.01
    subjects = [code() for _ in range(100)]
    long = asyncio.create_task(sources.consult(courts(*subjects), ASKER, soon(5)))
    await asyncio.sleep(0.03)
    began = asyncio.get_running_loop().time()
    await sources.consult(courts(a, parts=PARTS[:1]), ASKER, soon(5))
    assert asyncio.get_running_loop().time() - began < 0.2
    assert not long.done()
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)


async def test_concurrency_and_rate_hold(make: Make, fake: Fake) -> None:
    sources = make(concurrency=3, requests_per_second=20.0, budget=0.3)
    fake.delay = 0.005
    subjects = [code() for _ in range(60)]
    consulted = await sources.consult(courts(*subjects, parts=PARTS[:1]), ASKER, soon())
    assert fake.most == 3
    assert len(fake.calls) == 20
    assert [said(consulted, a)[0] for a in subjects].count("NOT_CONSULTED") == 40


async def test_one_source_down_does_not_slow_another_beyond_its_budget(clock: Clock) -> None:
    good, hole = Fake(clock), Fake(clock, parts=("list",), gate=asyncio.Event())
    policies = [policy(), policy(code="REGION_PLATFORM", budget=0.1)]
    connectors = {"COURTS": good, "REGION_PLATFORM": hole}
    sources = Sources(policies, connectors, NoDatabase(), CollectorRegistry(), clock=clock)  # type: ignore[arg-type]
    a = code()
    asker = replace(ASKER, sources=frozenset({"COURTS", "REGION_PLATFORM"}))
    began = asyncio.get_running_loop().time()
    consulted = await sources.consult([Wanted("REGION_PLATFORM", ("list",), (a,)), *courts(a)], asker, soon(3))
    assert asyncio.get_running_loop().time() - began < 0.15
    assert said(consulted, a) == ("ANSWERED", None)
    assert said(consulted, a, "REGION_PLATFORM") == ("UNAVAILABLE", "TIMEOUT")
    await sources.close()


@pytest.mark.parametrize("subject", ['"', "a b", "", "博"])
async def test_a_code_that_could_break_the_json_is_refused(make: Make, subject: str) -> None:
    with pytest.raises(ValueError, match="code"):
        await make().consult(courts(subject), ASKER, soon())


async def test_parts_must_be_the_sources_own(make: Make) -> None:
    for parts in ((), ("nothing",)):
        with pytest.raises(ValueError, match="parts"):
            await make().consult(courts(code(), parts=parts), ASKER, soon())


async def test_closing_ends_whoever_waits(make: Make, fake: Fake) -> None:
    sources, a = make(), code()
    fake.gate = asyncio.Event()
    task = asyncio.create_task(sources.consult(courts(a), ASKER, soon(5)))
    await asyncio.sleep(0.02)
    await sources.close()
    outcome: Outcome | tuple[str, str | None] = said(await task, a)
    assert outcome[0] == "UNAVAILABLE"  # type: ignore[index]
