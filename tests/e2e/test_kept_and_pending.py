"""Promises: what a source answered is kept for all workers and over restarts; what a bank answers later is PENDING
within the budget, and the next ask, of whichever worker, takes the same request up: one question, one inquiry."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from scripts.source_knowledge import (
    BANKS,
    COURTS,
    PEER,
    PLATFORM,
    Knowledge,
    Section,
    question,
    sections,
)
from scripts.source_stage import Asker, Furnished, Stage, furnished, sandboxes, serving
from tests.machine import stopwatch

KEPT = (COURTS, PLATFORM, PEER)
BUDGET = 1.2
_WRITTEN = "select count(distinct source_code) from core.source_answer where uscc = $1"
LONG = {"fresh_seconds": 3600, "negative_fresh_seconds": 3600, "stale_seconds": 7200, "breaker_failures": 1_000_000}
Ground = tuple[Furnished, Knowledge, dict[str, str]]
Pair = tuple[Stage, Stage]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("kept")
    with furnished(folder) as of:
        knowledge = Knowledge(of.usccs)
        with sandboxes(folder, knowledge.files(folder), apart=False) as urls:
            yield of, knowledge, urls


@pytest.fixture(scope="module")
def cold(ground: Ground) -> Iterator[str]:
    return iter(ground[0].usccs[10:])


@pytest.fixture(scope="module")
def pair(ground: Ground) -> Iterator[Pair]:
    """Two processes on the same database, as workers are (and machines, behind a balancer)."""
    of, knowledge, urls = ground
    with (
        serving(of, urls, knowledge, budget=BUDGET, **LONG) as first,
        serving(of, urls, knowledge, budget=BUDGET, **LONG) as second,
    ):
        yield first, second


@contextlib.asynccontextmanager
async def asking(pair: Pair) -> AsyncIterator[tuple[Asker, Asker]]:
    """One who asks each; no upstream has a fault or has been asked."""
    async with pair[0].asker() as first, pair[1].asker() as second:
        await first.heal()
        yield first, second


@contextlib.asynccontextmanager
async def restarted(ground: Ground) -> AsyncIterator[Asker]:
    """One who asks a process that has just begun."""
    of, knowledge, urls = ground
    with serving(of, urls, knowledge, budget=BUDGET, **LONG) as stage:
        async with stage.asker() as asker:
            yield asker


async def told(asker: Asker, uscc: str, *sources: str, consent: str = "") -> dict[str, Section]:
    variables = {"uscc": uscc, **({"consent": consent} if consent else {})}
    return sections((await asker.ask(question(*sources), variables)).subject)


async def calls(asker: Asker, source: str) -> Counter[str]:
    found = Counter(call["service"] for call in await asker.upstreams[source].calls())
    for preparing in ("token", "refresh"):
        del found[preparing]
    return found


async def written(ground: Ground, uscc: str, *sources: str) -> None:
    """Until what these said is kept in the database, and a moment longer: a source may have several parts."""
    owner = await ground[0].owner()
    try:
        for _ in range(600):
            if await owner.fetchval(_WRITTEN, uscc) == len(sources):
                break
            await asyncio.sleep(0.05)
    finally:
        await owner.close()
    await asyncio.sleep(0.5)


# Kept ----------------------------------------------------------------------------------------------------------------


async def test_what_one_worker_was_told_another_has_and_so_has_the_next(
    pair: Pair, ground: Ground, cold: Iterator[str]
) -> None:
    uscc = next(cold)
    rows = ground[1].rows[uscc]
    async with asking(pair) as (first, second):
        assert await told(first, uscc, *KEPT) == {s: Section("ANSWERED", None, rows[s]) for s in KEPT}
        made = {source: await calls(first, source) for source in KEPT}
        # Written behind the answer, so within moments; the other worker had nothing of it before.
        await written(ground, uscc, *KEPT)
        assert await told(second, uscc, *KEPT) == {s: Section("CACHED", None, rows[s]) for s in KEPT}
        assert {source: await calls(first, source) for source in KEPT} == made
    async with restarted(ground) as later:  # both have ended
        await asyncio.gather(*(later.upstreams[source].fault("down") for source in KEPT))
        assert await told(later, uscc, *KEPT) == {s: Section("CACHED", None, rows[s]) for s in KEPT}


async def test_a_worker_that_knew_of_nothing_looks_again_within_two_seconds(
    pair: Pair, ground: Ground, cold: Iterator[str]
) -> None:
    uscc = next(cold)
    async with asking(pair) as (first, second):
        # Here it was looked for, in vain, and the source is ill: that nothing is kept is remembered, but not for long.
        await second.upstreams[PLATFORM].fault("down", uscc=uscc, times=2)
        assert (await told(second, uscc, PLATFORM))[PLATFORM].status == "UNAVAILABLE"
        assert (await told(first, uscc, PLATFORM))[PLATFORM].status == "ANSWERED"
        await second.upstreams[PLATFORM].fault("down", uscc=uscc)
        await asyncio.sleep(2.2)
        assert (await told(second, uscc, PLATFORM))[PLATFORM].status == "CACHED"


async def test_two_workers_of_one_gateway(ground: Ground, cold: Iterator[str]) -> None:
    """`serve --workers 2`, whose connections the kernel spreads: however it does, the source is asked once."""
    of, knowledge, urls = ground
    uscc = next(cold)
    with serving(of, urls, knowledge, workers=2, budget=BUDGET, **LONG) as stage:
        async with stage.asker() as asker:
            await asker.heal()
            assert (await told(asker, uscc, PLATFORM))[PLATFORM].status == "ANSWERED"
            await written(ground, uscc, PLATFORM)
            seen = set()
            for _ in range(20):  # a connection each
                async with stage.asker() as other:
                    seen.add((await told(other, uscc, PLATFORM))[PLATFORM].status)
            assert seen == {"CACHED"}
    async with restarted(ground) as later:
        await later.upstreams[PLATFORM].fault("down")
        assert (await told(later, uscc, PLATFORM))[PLATFORM].status == "CACHED"


async def test_a_bank_answer_is_asked_for_anew(pair: Pair, ground: Ground, cold: Iterator[str]) -> None:
    uscc = next(cold)
    async with asking(pair) as (asker, _):
        consent = await asker.consent(uscc)
        for count in (1, 2):
            found = (await told(asker, uscc, BANKS, consent=consent))[BANKS]
            assert found == Section("ANSWERED", None, ground[1].rows[uscc][BANKS])
            assert await calls(asker, BANKS) == {"summaries": count}
        await asker.upstreams[BANKS].fault("down")
        assert (await told(asker, uscc, BANKS, consent=consent))[BANKS].status == "UNAVAILABLE"


# Pending -------------------------------------------------------------------------------------------------------------


async def requests(asker: Asker) -> set[str]:
    """Ids of the requests that the bank has had."""
    return {call["request_id"] for call in await asker.upstreams[BANKS].calls() if call["service"] == "summaries"}


async def test_what_comes_later_is_pending_and_any_worker_takes_it_up(
    pair: Pair, ground: Ground, cold: Iterator[str]
) -> None:
    uscc = next(cold)
    async with asking(pair) as (first, second):
        consent = await first.consent(uscc)
        # Ready after three more asks; the bank wants a second between them, so not within this budget.
        await first.upstreams[BANKS].fault("pending", "summaries", uscc=uscc, polls=2, seconds=0.0, times=1)
        with stopwatch() as seconds:
            reply = await first.ask(question(BANKS), {"uscc": uscc, "consent": consent})
        pending = Section("PENDING", "LATER", {"amounts": (), "events": ()})
        assert sections(reply.subject)[BANKS] == pending
        assert seconds() < BUDGET + 0.5
        reply = await second.ask(question(BANKS), {"uscc": uscc, "consent": consent})
        found = sections(reply.subject)[BANKS]
        for _ in range(5):
            if found != pending:
                break
            found = (await told(second, uscc, BANKS, consent=consent))[BANKS]
        assert found == whole(ground, uscc)
        assert (await calls(first, BANKS))["summaries"] == 1
        assert len(await requests(first)) == 1


def whole(ground: Ground, uscc: str) -> Section:
    return Section("ANSWERED", None, ground[1].rows[uscc][BANKS])


async def test_a_restart_forgets_no_request(pair: Pair, ground: Ground, cold: Iterator[str]) -> None:
    uscc = next(cold)
    async with asking(pair) as (first, _):
        consent = await first.consent(uscc)
        await first.upstreams[BANKS].fault("pending", "summaries", uscc=uscc, polls=1, seconds=0.0, times=1)
        assert (await told(first, uscc, BANKS, consent=consent))[BANKS].status == "PENDING"
        asked = await requests(first)
        async with restarted(ground) as later:
            for _ in range(3):
                found = (await told(later, uscc, BANKS, consent=consent))[BANKS]
                if found.status == "ANSWERED":
                    break
            assert found == whole(ground, uscc)
            assert await requests(later) == asked
            assert len(asked) == 1


async def test_a_request_that_the_bank_has_lost_is_asked_anew(pair: Pair, ground: Ground, cold: Iterator[str]) -> None:
    uscc = next(cold)
    async with asking(pair) as (asker, _):
        consent = await asker.consent(uscc)
        await asker.upstreams[BANKS].fault("lost_request", "summaries", uscc=uscc, times=1)
        assert (await told(asker, uscc, BANKS, consent=consent))[BANKS].status == "PENDING"
        assert (await told(asker, uscc, BANKS, consent=consent))[BANKS] == whole(ground, uscc)
        # The bank may never have got it, so the same request is sent again: for the bank it is one.
        assert await calls(asker, BANKS) == {"summaries": 2, "poll": 1}
        assert len(await requests(asker)) == 1


async def test_another_consent_is_another_question(pair: Pair, ground: Ground, cold: Iterator[str]) -> None:
    uscc = next(cold)
    async with asking(pair) as (asker, _):
        one, other = await asker.consent(uscc), await asker.consent(uscc)
        await asker.upstreams[BANKS].fault("pending", "summaries", uscc=uscc, polls=9, seconds=0.0, times=1)
        assert (await told(asker, uscc, BANKS, consent=one))[BANKS].status == "PENDING"
        assert (await told(asker, uscc, BANKS, consent=other))[BANKS] == whole(ground, uscc)
        assert len(await requests(asker)) == 2
        owner = await ground[0].owner()
        try:
            kept = await owner.fetch("select uscc from core.pending_request where uscc = $1", uscc)
        finally:
            await owner.close()
        assert len(kept) == 1  # what was answered is forgotten


async def test_a_revoked_consent_takes_no_pending_request_up(pair: Pair, ground: Ground, cold: Iterator[str]) -> None:
    uscc = next(cold)
    async with asking(pair) as (asker, _):
        consent = await asker.consent(uscc)
        await asker.upstreams[BANKS].fault("pending", "summaries", uscc=uscc, polls=1, seconds=0.0, times=1)
        assert (await told(asker, uscc, BANKS, consent=consent))[BANKS].status == "PENDING"
        revoke = "mutation R($id: ID!) { revokeConsent(input: {consentId: $id}) { consent { revokedAt } } }"
        assert (await asker.ask(revoke, {"id": consent}, idempotency_key=f"r-{uscc}")).data["revokeConsent"]
        before = await calls(asker, BANKS)
        assert (await told(asker, uscc, BANKS, consent=consent))[BANKS].status == "CONSENT_REQUIRED"
        assert await calls(asker, BANKS) == before
