"""Promises of the courts that the table of all sources (test_source_faults.py) doesn't have: the secret that is
refreshed, dates that can't be read, nobody there, stale answers up to their limit, and many subjects at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from e2e_stack import Stack, courts_source, serving

from gateway.storage.listener import BOUND as HEARD
from scripts.served import free_ports

BUDGET = 2.0
COURTS = {
    "budget": BUDGET,
    "connect_timeout": 1.5,
    "breaker_failures": 1_000,
    "breaker_seconds": 0.5,
    "concurrency": 64,
}
SLACK = 0.3  # what the answer may take on top of the budget

QUESTION = """query Q($uscc: Uscc!) { subject(uscc: $uscc) { uscc onRecord
  records(first: 100) { totalCount edges { node { id title status } } }
  courts { answer { status asOf reason } dishonestListings { caseNumber } enforcementCases { caseNumber }
    consumptionOrders { caseNumber } judgments { caseNumber } } } }"""
LOCAL = """query Q($uscc: Uscc!) { subject(uscc: $uscc) { uscc onRecord
  records(first: 100) { totalCount edges { node { id title status } } } } }"""
LISTS = {"dishonestListings": 2, "enforcementCases": 12, "consumptionOrders": 1, "judgments": 1}


@pytest.fixture(scope="module")
def cold(stack: Stack) -> Iterator[str]:
    """Subjects that nobody has asked about yet."""
    return iter(stack.enterprises())


@pytest.fixture(autouse=True)
async def healthy(stack: Stack) -> AsyncIterator[None]:
    await stack.courts.heal()
    yield
    await stack.courts.heal()


async def local(stack: Stack, uscc: str) -> dict[str, Any]:
    """The subject's own part, without the courts."""
    found: dict[str, Any] = (await stack.ask(LOCAL, {"uscc": uscc}, "restricted")).data["subject"]
    return found


def sizes(section: dict[str, Any]) -> dict[str, int]:
    return {name: len(section[name]) for name in LISTS}


@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        ("bad_signature", {}, "CREDENTIALS"),
        ("black_hole", {}, "TIMEOUT"),
        ("html", {}, "MALFORMED"),
        ("missing_key", {"key": "secretEndTime"}, "MALFORMED"),
    ],
)
async def test_a_refresh_that_goes_wrong(
    stack: Stack, cold: Iterator[str], fault: str, options: dict[str, Any], reason: str
) -> None:
    async with serving(stack.settings, stack.database) as base:  # one that has no secret yet
        other = type(stack)(base, stack.session)
        token = await other.fetch_token(stack.clients["restricted"])
        uscc = next(cold)
        # From another gateway: planned like any question, but no source is asked.
        hopped = await other.ask(QUESTION, {"uscc": uscc}, token=token, headers={"credit-hops": "1"})
        assert hopped.data["subject"]["courts"]["answer"]["reason"] == "HOPS"
        await stack.courts.fault(fault, "refresh", **options)
        reply = await other.ask(QUESTION, {"uscc": uscc}, token=token)
        answer = reply.data["subject"]["courts"]["answer"]
        assert answer == {"status": "UNAVAILABLE", "asOf": None, "reason": reason}
        assert reply.seconds < BUDGET + SLACK
        await stack.courts.heal()
        await asyncio.sleep(0.1)
        section = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
        assert (section["answer"]["status"], sizes(section)) == ("ANSWERED", LISTS)


async def test_a_secret_that_expired_once_is_refreshed_unseen(stack: Stack, cold: Iterator[str]) -> None:
    await stack.courts.fault("expired_secret", "dishonest", times=1)
    section = (await stack.ask(QUESTION, {"uscc": next(cold)}, "restricted")).data["subject"]["courts"]
    assert section["answer"]["status"] == "ANSWERED"
    assert sizes(section) == LISTS


async def test_a_date_that_can_not_be_read_drops_no_row(stack: Stack, cold: Iterator[str]) -> None:
    await stack.courts.fault("bad_date")
    query = (
        "query Q($uscc: Uscc!) { subject(uscc: $uscc) { courts { answer { status } dishonestListings { filedOn } } } }"
    )
    section = (await stack.ask(query, {"uscc": next(cold)}, "restricted")).data["subject"]["courts"]
    assert section == {"answer": {"status": "ANSWERED"}, "dishonestListings": [{"filedOn": None}] * 2}


async def test_a_closed_port(stack: Stack, cold: Iterator[str]) -> None:
    uscc = next(cold)
    whole = await local(stack, uscc)
    closed = courts_source(f"http://127.0.0.1:{free_ports(1)[0]}", **COURTS)
    async with serving(stack.settings.model_copy(update={"courts": closed}), stack.database) as base:
        other = type(stack)(base, stack.session)
        token = await other.fetch_token(stack.clients["restricted"])
        reply = await other.ask(QUESTION, {"uscc": uscc}, token=token)
        subject = reply.data["subject"]
        assert reply.seconds < BUDGET + SLACK
        assert subject.pop("courts")["answer"] == {"status": "UNAVAILABLE", "asOf": None, "reason": "UNREACHABLE"}
        assert subject == whole


async def test_no_courts_set_up(stack: Stack, cold: Iterator[str]) -> None:
    uscc = next(cold)
    async with serving(stack.settings.model_copy(update={"courts": courts_source("")}), stack.database) as base:
        other = type(stack)(base, stack.session)
        token = await other.fetch_token(stack.clients["restricted"])
        section = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
        assert section["answer"] == {"status": "NOT_CONSULTED", "asOf": None, "reason": "NOT_CONFIGURED"}


async def test_what_is_kept_is_stale_within_its_limit_and_nothing_beyond(stack: Stack, cold: Iterator[str]) -> None:
    uscc = next(cold)
    brief = stack.settings.courts.model_copy(
        update={"fresh_seconds": 0, "negative_fresh_seconds": 0, "stale_seconds": 5}
    )
    async with serving(stack.settings.model_copy(update={"courts": brief}), stack.database) as base:
        other = type(stack)(base, stack.session)
        token = await other.fetch_token(stack.clients["restricted"])
        first = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
        assert first["answer"]["status"] == "ANSWERED"
        await stack.courts.fault("server_error")
        stale = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
        assert stale["answer"]["status"] == "STALE"
        assert stale["answer"]["reason"] == "SERVER_ERROR"
        assert stale["answer"]["asOf"] <= first["answer"]["asOf"]
        assert sizes(stale) == LISTS
        public = """query Q($uscc: Uscc!) { subject(uscc: $uscc) {
          courts { answer { status } dishonestListings { caseNumber } } } }"""
        shown = (await other.ask(public, {"uscc": uscc})).data["subject"]["courts"]
        assert (shown["answer"]["status"], len(shown["dishonestListings"])) == ("STALE", 2)
        await asyncio.sleep(5.1)
        beyond = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
        assert beyond["answer"] == {"status": "UNAVAILABLE", "asOf": None, "reason": "SERVER_ERROR"}
        assert sum(sizes(beyond).values()) == 0
        await stack.courts.heal()
        after = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
        assert (after["answer"]["status"], sizes(after)) == ("ANSWERED", LISTS)


async def test_the_breaker_answers_at_once_and_closes_again(stack: Stack, cold: Iterator[str]) -> None:
    few = stack.settings.courts.model_copy(update={"breaker_failures": 3, "breaker_seconds": 3.0})
    async with serving(stack.settings.model_copy(update={"courts": few}), stack.database) as base:
        other = type(stack)(base, stack.session)
        token = await other.fetch_token(stack.clients["restricted"])
        await stack.courts.fault("black_hole")
        slow = await other.ask(QUESTION, {"uscc": next(cold)}, token=token)
        assert slow.data["subject"]["courts"]["answer"]["reason"] == "TIMEOUT"
        fast = await other.ask(QUESTION, {"uscc": next(cold)}, token=token)
        assert fast.data["subject"]["courts"]["answer"]["reason"] == "BREAKER_OPEN"
        assert fast.data["subject"]["courts"]["answer"]["status"] == "UNAVAILABLE"
        assert fast.seconds < BUDGET / 4
        await stack.courts.heal()
        uscc = next(cold)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            section = (await other.ask(QUESTION, {"uscc": uscc}, token=token)).data["subject"]["courts"]
            if section["answer"]["status"] in ("ANSWERED", "CACHED"):
                break
            await asyncio.sleep(0.1)
        assert sizes(section) == LISTS


@pytest.mark.parametrize("stands_still", [0.0, HEARD + 0.2])
async def test_fifty_users_of_three_views_and_one_cold_subject_are_one_call_a_service(
    stack: Stack, cold: Iterator[str], stands_still: float
) -> None:
    """A process that is not let run for so long that it may have missed a seal hears again before it asks."""
    uscc = next(cold)
    await stack.courts.fault("slow", seconds=0.1)  # two pages, and a busy machine, within the budget
    tokens = [stack.tokens[view] for view in ("restricted", "internal", "scoped")]
    asked = [asyncio.create_task(stack.ask(QUESTION, {"uscc": uscc}, token=tokens[i % len(tokens)])) for i in range(50)]
    await asyncio.sleep(0.005)  # some have come in
    time.sleep(stands_still)  # noqa: ASYNC251 - nothing of the gateway runs
    for reply in await asyncio.gather(*asked):
        section = reply.data["subject"]["courts"]
        assert section["answer"]["status"] in ("ANSWERED", "CACHED")
        assert sizes(section) == LISTS
    # Refreshes for the public view, of other subjects, may still be on their way.
    calls = [call for call in await stack.courts.calls() if call["uscc"] == uscc]
    services = sorted(call["service"] for call in calls)
    assert services == ["consumption", "dishonest", "enforcement", "enforcement", "judgments"]  # two pages


async def test_a_hundred_subjects_share_the_budget(stack: Stack, cold: Iterator[str]) -> None:
    usccs = stack.enterprises()[-100:]
    narrow = stack.settings.courts.model_copy(update={"concurrency": 8})
    async with serving(stack.settings.model_copy(update={"courts": narrow}), stack.database) as base:
        other = type(stack)(base, stack.session)
        token = await other.fetch_token(stack.clients["restricted"])
        await stack.courts.fault("slow", seconds=0.1)
        query = QUESTION.replace("$uscc: Uscc!", "$usccs: [Uscc!]!").replace(
            "subject(uscc: $uscc)", "subjects(usccs: $usccs)"
        )
        reply = await other.ask(query, {"usccs": usccs}, token=token)
        subjects = reply.data["subjects"]
        assert [s["uscc"] for s in subjects] == usccs
        assert reply.seconds < BUDGET + 3 * SLACK  # a hundred subjects with their records on top
        found = {s["courts"]["answer"]["status"] for s in subjects}
        assert found <= {"ANSWERED", "NOT_CONSULTED", "UNAVAILABLE"}
        assert all(s["courts"]["answer"]["reason"] in (None, "BUDGET", "TIMEOUT") for s in subjects)
        assert all(sizes(s["courts"]) == LISTS for s in subjects if s["courts"]["answer"]["status"] == "ANSWERED")
        assert "NOT_CONSULTED" in found  # what does not fit is said to be that
