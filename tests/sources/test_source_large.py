"""However large an answer is, within its source's limits: the event loop goes on, nobody waits beyond the budget, one
large subject hides no other, and a request hands a bounded text to its statement."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from fake_source import ASKER, Clock, Fake, NoDatabase, code, failing, policy, rows, said, soon
from prometheus_client import CollectorRegistry

from connectors.base import Answer, Failure, FailureKind, Outcome
from gateway.sources.ask import Sources
from gateway.sources.told import LARGEST
from gateway.sources.wanted import Wanted
from tests.machine import stopwatch
from tests.simulated import simulated

Make = Callable[..., Sources]
PART = ("dishonest",)
TOO_LARGE = Failure(FailureKind.TOO_LARGE)


@dataclass
class Slow:
    """What the gateway says of a row, after a while; counts rows."""

    seconds: float
    rows: list[object] = field(default_factory=list)

    def __call__(self, source: str, uscc: str, row: object) -> object:
        self.rows.append(row)
        time.sleep(self.seconds)
        return row


@pytest.fixture
def fake() -> Fake:
    return Fake(Clock())


@pytest_asyncio.fixture
async def make(fake: Fake) -> AsyncIterator[Make]:
    made: list[Sources] = []

    def build(**changes: object) -> Sources:
        given = policy(**changes)
        sources = Sources([given], {"COURTS": fake}, NoDatabase(), CollectorRegistry(), clock=fake.clock)  # type: ignore[arg-type]
        made.append(sources)
        return sources

    yield build
    for sources in made:
        await sources.close()


@pytest_asyncio.fixture
async def at_once() -> AsyncIterator[None]:
    """Time passes while nothing is left to do: for what reads nothing on a thread."""
    with simulated(asyncio.get_running_loop()):
        yield


def courts(*subjects: str) -> list[Wanted]:
    return [Wanted("COURTS", PART, subjects)]


def large(fake: Fake, count: int = 20, size: int = 10_000) -> Answer:
    return fake.answer(*({"duty": f"{number} " + "x" * size} for number in range(count)))


async def test_the_event_loop_goes_on_while_a_large_answer_is_read(make: Make, fake: Fake) -> None:
    sources, a = make(complete=Slow(0.03)), code()
    fake.say = lambda part, uscc: large(fake)
    asking = asyncio.create_task(sources.consult(courts(a), ASKER, soon()))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0.01)
        turns += 1
    consulted = await asking
    assert said(consulted, a) == ("ANSWERED", None)
    assert len(rows(consulted, a)) == 20
    assert turns > 10  # 60 or so; none while the rows were read on the loop


async def test_what_takes_longer_to_read_than_the_budget_is_given_up(make: Make, fake: Fake) -> None:
    slow = Slow(0.1)
    sources, a, b = make(budget=0.4, complete=slow), code(), code()
    fake.say = lambda part, uscc: large(fake, 100) if uscc == a else fake.answer()
    with stopwatch() as seconds:
        assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("UNAVAILABLE", "TIMEOUT")
        assert seconds() < 1.5
    await asyncio.sleep(1.0)
    done = len(slow.rows)
    assert done < 20
    await asyncio.sleep(0.3)
    assert len(slow.rows) == done
    answered = False
    for _ in range(4):  # the machine may pause for longer than the budget
        answered = answered or said(await sources.consult(courts(b), ASKER, soon()), b) == ("ANSWERED", None)
    assert answered


async def test_too_many_bytes_are_not_worked_on_at_all(make: Make, fake: Fake) -> None:
    slow = Slow(0.0)
    sources, a, b = make(complete=slow), code(), code()
    for subject, size, expected in ((a, LARGEST // 2, "UNAVAILABLE"), (b, LARGEST // 2 - 100, "ANSWERED")):
        fake.say = lambda part, uscc, size=size: large(fake, 2, size)  # type: ignore[misc]
        assert said(await sources.consult(courts(subject), ASKER, soon()), subject)[0] == expected
    assert len(slow.rows) == 2


async def test_calls_that_are_too_large_as_a_whole_open_the_breaker(make: Make, fake: Fake) -> None:
    sources = make(breaker_failures=2)
    fake.say = failing("TOO_LARGE")
    reasons = []
    for _ in range(3):
        a = code()
        reasons.append(said(await sources.consult(courts(a), ASKER, soon()), a)[1])
    assert reasons == ["TOO_LARGE", "TOO_LARGE", "BREAKER_OPEN"]
    assert len(fake.calls) == 2


def too_large_together(fake: Fake, *big: str) -> Callable[[str, str], Outcome]:
    """As connectors have it: where one subject is too large, the call is."""

    def say(part: str, uscc: str) -> Outcome:
        return fake.answer({"of": uscc}) if not {*big} & {*fake.calls[-1][1]} else TOO_LARGE

    return say


@pytest.mark.parametrize("place", [0, 17, 49])
async def test_one_large_subject_hides_no_other(make: Make, fake: Fake, place: int) -> None:
    sources, subjects = make(batch=50, breaker_failures=1), [code() for _ in range(50)]
    big = subjects[place]
    fake.say = too_large_together(fake, big)
    consulted = await sources.consult(courts(*subjects), ASKER, soon())
    assert said(consulted, big) == ("UNAVAILABLE", "TOO_LARGE")
    for subject in subjects:
        if subject != big:
            assert said(consulted, subject) == ("ANSWERED", None)
            assert rows(consulted, subject) == [{"of": subject}]
    assert len(fake.calls) <= 13  # the whole and, six times at most, two halves
    a = code()
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("ANSWERED", None)  # the breaker is closed


async def test_a_source_that_is_always_too_large_is_not_asked_for_ever(make: Make, fake: Fake) -> None:
    sources, subjects = make(batch=50), [code() for _ in range(50)]
    fake.say = failing("TOO_LARGE")
    consulted = await sources.consult(courts(*subjects), ASKER, soon())
    assert {said(consulted, subject) for subject in subjects} == {("UNAVAILABLE", "TOO_LARGE")}
    assert len(fake.calls) <= 25


@pytest.mark.usefixtures("at_once")
async def test_halves_are_asked_within_rate_and_budget(make: Make, fake: Fake) -> None:
    sources, subjects = make(batch=50, budget=0.6, requests_per_second=3.0), [code() for _ in range(50)]
    fake.say = too_large_together(fake, subjects[0])
    loop = asyncio.get_running_loop()
    began = loop.time()
    consulted = await sources.consult(courts(*subjects), ASKER, soon())
    assert loop.time() - began < 0.7
    assert len(fake.calls) == 3  # the rate's burst; the next token comes after the budget
    assert [said(consulted, subject)[0] for subject in subjects] == ["UNAVAILABLE"] * 25 + ["ANSWERED"] * 25
    fake.delay = 0.25
    other = make(batch=50, budget=0.6)
    await other.consult(courts(*subjects), ASKER, soon())
    assert len(fake.calls) <= 6


async def test_one_request_hands_a_bounded_text_to_its_statement(make: Make, fake: Fake) -> None:
    sources = make(concurrency=50)
    subjects = [code() for _ in range(24)]
    small = subjects[-1]
    fake.say = lambda part, uscc: fake.answer(*({"duty": "履行" * 150_000},) * (uscc != small))  # 0.9 MB in UTF-8
    for status in ("ANSWERED", "CACHED"):
        consulted = await sources.consult(courts(*subjects), ASKER, soon())
        assert 15 * 2**20 < len(consulted.parameters["COURTS"].encode()) <= 16 * 2**20 + 24 * 400
        whole = [subject for subject in subjects if said(consulted, subject)[0] == status]
        assert whole == [*subjects[:18], small]
        statuses = json.loads(consulted.statuses)["COURTS"]
        for subject in subjects[18:-1]:
            assert said(consulted, subject) == ("UNAVAILABLE", "TOO_LARGE")
            assert rows(consulted, subject) == []
            told = {"status": "UNAVAILABLE", "asOf": None, "reason": "TOO_LARGE", "parts": ["dishonest"]}
            assert statuses[subject] == told
        assert statuses[small]["status"] == status
    left = subjects[20]
    assert said(await sources.consult(courts(left), ASKER, soon()), left) == ("CACHED", None)  # alone, it is whole


@pytest.mark.usefixtures("at_once")
async def test_a_hurried_asker_fails_no_patient_one(make: Make, fake: Fake) -> None:
    sources, a = make(tells_deadline=True, budget=3.0), code()
    fake.delay = 0.8
    hurried = asyncio.create_task(sources.consult(courts(a), ASKER, soon(0.3)))
    await asyncio.sleep(0.1)
    patient = [asyncio.create_task(sources.consult(courts(a), ASKER, soon(3))) for _ in range(5)]
    assert said(await hurried, a) == ("UNAVAILABLE", "TIMEOUT")
    for one in patient:
        assert said(await one, a)[0] == "ANSWERED"
    assert len(fake.calls) == 2  # the patient share one
    assert said(await sources.consult(courts(a), ASKER, soon()), a) == ("CACHED", None)


@pytest.mark.usefixtures("at_once")
async def test_growing_patience_makes_a_few_calls_at_most(make: Make, fake: Fake) -> None:
    sources, a = make(tells_deadline=True, budget=9.0), code()
    fake.gate = asyncio.Event()
    asking = []
    for seconds in range(1, 9):
        asking.append(asyncio.create_task(sources.consult(courts(a), ASKER, soon(seconds))))
        await asyncio.sleep(0.01)
    assert len(fake.calls) == 3
    fake.gate.set()
    for one in asking:
        assert said(await one, a)[0] == "ANSWERED"


@pytest.mark.usefixtures("at_once")
async def test_a_call_with_the_whole_budget_is_shared_however_late(make: Make, fake: Fake) -> None:
    sources, a = make(tells_deadline=True, budget=2.0), code()
    fake.delay = 0.8
    first = asyncio.create_task(sources.consult(courts(a), ASKER, soon(3)))
    await asyncio.sleep(0.4)
    assert said(await sources.consult(courts(a), ASKER, soon(3)), a)[0] == "ANSWERED"
    assert said(await first, a)[0] == "ANSWERED"
    assert len(fake.calls) == 1
