"""Promises: only a question that selects a source's part, of somebody who may ask it, causes a call to it; the public
view none but the courts' refresh, afterwards and for subjects on record; banks none without a consent that fits; and
any number of askers for the same subject one."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from e2e_stack import STRANGER, TODAY, make_client

from scripts.source_faults import LIMITS, OWN
from scripts.source_knowledge import (
    BANKS,
    COURTS,
    PEER,
    PLATFORM,
    SOURCES,
    WHOLE,
    Knowledge,
    Section,
    question,
    sections,
)
from scripts.source_stage import Asker, Reply, Stage, furnished, sandboxes, serving
from tests import machine

CLIENTS = (
    ("asker", "view:restricted", "GRANT"),
    ("second", "view:restricted", "GRANT"),
    ("tenders", "view:restricted", "TENDERING"),
    ("appointing", "view:restricted", "APPOINTMENT"),  # a matter that allows neither banks nor platform nor peers
    ("debtor", "view:restricted", "PPP"),  # a matter that allows banks, too
)
OTHERS = "others"  # a client of another organisation
KEPT = {**LIMITS, "fresh_seconds": 3600, "negative_fresh_seconds": 3600}
SERVICES = {  # what one question about one subject takes, tokens and secrets apart
    COURTS: {"dishonest": 1, "enforcement": 2, "consumption": 1, "judgments": 1},  # 12 cases: two pages
    BANKS: {"summaries": 1},
    PLATFORM: {"query": 1},
    PEER: {"subjects": 1},
}
# Requests wait longer than sources: however late one of many is begun, it may wait as long as the first.
PATIENT = {"request_budget": "30"}
BUDGET = 6.0  # s of each source
PREPARING = ("refresh", "token")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("calls")
    with furnished(folder, CLIENTS) as of:
        other = asyncio.run(make_client(of.database, OTHERS, "view:restricted", "GRANT", organisation=of.usccs[7]))
        of = replace(of, keys={**of.keys, OTHERS: (other.scope, other.matter, other.key)})
        knowledge = Knowledge([*of.usccs, STRANGER])
        with (
            sandboxes(folder, knowledge.files(folder), apart=False) as urls,
            serving(of, urls, knowledge, budget=BUDGET, more=PATIENT, **KEPT) as made,
        ):
            yield made


@pytest.fixture(scope="module")
def cold(stage: Stage) -> Iterator[str]:
    """Subjects on record that nobody has asked about yet."""
    return iter(stage.of.usccs[10:])


@pytest.fixture
async def asker(stage: Stage) -> AsyncIterator[Asker]:
    async with stage.asker() as made:
        await made.heal()
        yield made


async def calls(asker: Asker, source: str, uscc: str | None = None) -> dict[str, int]:
    """Calls to a source by service, tokens and secrets apart; of one subject, if given."""
    found = await asker.upstreams[source].calls()
    about = [c for c in found if uscc is None or uscc in (c["uscc"], *c.get("usccs", ()))]
    return dict(Counter(call["service"] for call in about if call["service"] not in PREPARING))


async def settled(asker: Asker) -> dict[str, dict[str, int]]:
    """Calls to every source, once whatever was queued has had its time."""
    await asyncio.sleep(0.3)
    return {source: found for source in SOURCES if (found := await calls(asker, source))}


async def called(asker: Asker, count: int) -> dict[str, int]:
    """Calls to the courts, once there are so many of them."""
    for _ in range(600):
        if sum((found := await calls(asker, COURTS)).values()) >= count:
            break
        await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize("source", SOURCES)
async def test_a_part_that_is_not_selected_is_not_asked_for(asker: Asker, cold: Iterator[str], source: str) -> None:
    uscc, others = next(cold), [other for other in SOURCES if other != source]
    variables = {"uscc": uscc, "consent": await asker.consent(uscc)}
    subject = (await asker.ask(question(*others), variables)).subject
    assert {name: told.status for name, told in sections(subject).items()} == dict.fromkeys(others, "ANSWERED")
    assert await settled(asker) == {other: SERVICES[other] for other in others}
    # Selected and skipped, or on no path that is taken, is not selected.
    name = {COURTS: "courts", BANKS: "bank", PLATFORM: "regionPlatform", PEER: "peers"}[source]
    arguments = "(consentId: $consent)" if source == BANKS else ""
    skipped = WHOLE.replace(f"{name}{arguments} {{", f"{name}{arguments} @skip(if: true) {{")
    assert skipped != WHOLE
    assert name not in (await asker.ask(skipped, {**variables, "uscc": next(cold)})).subject
    assert source not in await settled(asker)


async def test_local_records_alone_are_nobodys_call(asker: Asker, cold: Iterator[str]) -> None:
    assert (await asker.ask(OWN, {"uscc": next(cold)})).subject["onRecord"]
    assert await settled(asker) == {}


async def test_one_list_of_the_courts_is_one_service(asker: Asker, cold: Iterator[str]) -> None:
    one = "query One($uscc: Uscc!) { subject(uscc: $uscc) { courts { answer { status } judgments { caseNumber } } } }"
    assert (await asker.ask(one, {"uscc": next(cold)})).subject["courts"]["answer"]["status"] == "ANSWERED"
    assert await settled(asker) == {COURTS: {"judgments": 1}}


def statuses(reply: Reply) -> list[str | None]:
    """What is said of the courts, of each subject; None for one that the view does not know."""
    return [each and each["courts"]["answer"]["status"] for each in reply.data["subjects"]]


async def test_a_public_question_waits_for_nobody_and_refreshes_the_courts_for_those_on_record(
    stage: Stage, asker: Asker, cold: Iterator[str]
) -> None:
    anyone = Asker(stage.base, asker.session, "", "")
    public = """query Seen($usccs: [Uscc!]!) { subjects(usccs: $usccs) { uscc records { totalCount }
      courts { answer { status } dishonestListings { caseNumber } } } }"""
    held, known = [next(cold), next(cold)], [next(cold), next(cold)]
    await asker.upstreams[COURTS].fault("black_hole", "dishonest")  # whoever waits for it waits for the whole budget
    began = machine.seconds()
    reply = await anyone.ask(public, {"usccs": [*held, STRANGER]})
    assert (statuses(reply), machine.seconds() - began < BUDGET) == (["NOT_CONSULTED", "NOT_CONSULTED", None], True)
    assert await called(asker, len(held)) == {"dishonest": len(held)}  # it did ask: there was something to wait for

    await asker.heal()
    assert statuses(await anyone.ask(public, {"usccs": [*known, STRANGER]})) == ["NOT_CONSULTED", "NOT_CONSULTED", None]
    await called(asker, len(known))
    assert await settled(asker) == {COURTS: {"dishonest": len(known)}}  # what was selected, of those on record
    assert await calls(asker, COURTS, STRANGER) == {}
    for _ in range(600):
        again = await anyone.ask(public, {"usccs": [*known, STRANGER]})
        if statuses(again)[:2] == ["CACHED", "CACHED"]:
            break
        await asyncio.sleep(0.1)
    assert statuses(again) == ["CACHED", "CACHED", None]
    assert await settled(asker) == {COURTS: {"dishonest": len(known)}}


async def test_the_public_view_has_no_words_for_the_other_sources(
    stage: Stage, asker: Asker, cold: Iterator[str]
) -> None:
    anyone = Asker(stage.base, asker.session, "", "")
    variables = {"uscc": next(cold), "consent": "Qw"}
    for source in (BANKS, PLATFORM, PEER):
        reply = await anyone.ask(question(source), variables)
        assert (reply.status, b"GRAPHQL_VALIDATION_FAILED" in reply.body) == (400, True)
    assert await settled(asker) == {}


async def test_a_matter_that_does_not_allow_a_source(stage: Stage, asker: Asker, cold: Iterator[str]) -> None:
    uscc = next(cold)
    consent = await asker.consent(uscc)
    for client, barred in (("appointing", (BANKS, PLATFORM, PEER)), ("tenders", (BANKS, PEER))):
        async with stage.asker(client) as other:
            await other.heal()
            found = sections((await other.ask(question(*barred), {"uscc": uscc, "consent": consent})).subject)
            for source in barred:
                told = found[source]
                assert (told.status, told.reason, told.empty) == ("NOT_CONSULTED", "MATTER", True)
            assert await settled(other) == {}


# Consents ------------------------------------------------------------------------------------------------------------


async def refused(asker: Asker, uscc: str, consent: str) -> None:
    """The bank is not asked, and which of it does not fit is not told."""
    await asker.upstreams[BANKS].heal()
    told = sections((await asker.ask(question(BANKS), {"uscc": uscc, "consent": consent})).subject)[BANKS]
    assert told == Section("CONSENT_REQUIRED", "NO_CONSENT", {"amounts": (), "events": ()})
    assert await asker.upstreams[BANKS].calls() == []  # not even for a token


async def test_a_consent_of_another_subject_or_none_at_all(asker: Asker, cold: Iterator[str]) -> None:
    uscc, other = next(cold), next(cold)
    await refused(asker, uscc, await asker.consent(other))
    some = await asker.consent(other)
    await refused(asker, uscc, some[:-4] + ("AAAA" if some[-4:] != "AAAA" else "AAAE"))
    node = (await asker.ask("query I($uscc: Uscc!) { subject(uscc: $uscc) { id } }", {"uscc": uscc})).subject["id"]
    await refused(asker, uscc, node)  # the id of something else


async def test_a_consent_of_another_grantee_or_matter(stage: Stage, asker: Asker, cold: Iterator[str]) -> None:
    uscc = next(cold)
    consent = await asker.consent(uscc)
    async with stage.asker("second") as colleague:  # of the same organisation, in the same matter
        colleague.upstreams = asker.upstreams
        told = sections((await colleague.ask(question(BANKS), {"uscc": uscc, "consent": consent})).subject)[BANKS]
        assert told.status == "ANSWERED"
    async with stage.asker(OTHERS) as stranger:
        await refused(stranger, uscc, consent)
    async with stage.asker("debtor") as same:  # the same organisation in another matter
        await refused(same, uscc, consent)


async def test_a_consent_whose_day_has_not_come_or_is_over(stage: Stage, asker: Asker, cold: Iterator[str]) -> None:
    uscc = next(cold)
    days = {"validFrom": (TODAY + dt.timedelta(days=1)).isoformat()}
    await refused(asker, uscc, await asker.consent(uscc, **days))
    ended = await asker.consent(uscc)
    # Time passes: no consent can be recorded that has ended.
    await changed(stage, ended, "valid_from = core.today() - 9, valid_to = core.today() - 1")
    await refused(asker, uscc, ended)


async def test_a_consent_of_another_scope(stage: Stage, asker: Asker, cold: Iterator[str]) -> None:
    uscc = next(cold)
    consent = await asker.consent(uscc)
    await changed(stage, consent, "scope = '{ELSEWHERE}'")
    await refused(asker, uscc, consent)


async def test_a_consent_that_was_revoked(asker: Asker, cold: Iterator[str]) -> None:
    uscc = next(cold)
    consent = await asker.consent(uscc)
    told = sections((await asker.ask(question(BANKS), {"uscc": uscc, "consent": consent})).subject)[BANKS]
    assert told.status == "ANSWERED"
    revoke = "mutation R($id: ID!) { revokeConsent(input: {consentId: $id}) { consent { revokedAt } } }"
    assert (await asker.ask(revoke, {"id": consent}, idempotency_key=f"r-{uscc}")).data["revokeConsent"]
    await refused(asker, uscc, consent)


async def changed(stage: Stage, consent: str, how: str) -> None:
    """A consent as time or another release would leave it."""
    owner: asyncpg.Connection[Any] = await stage.of.owner()
    try:
        await owner.execute("set session_replication_role = replica")  # consents are append-only
        done = await owner.execute(f"update core.consent set {how} where node_id = $1", consent)
        assert done == "UPDATE 1"
    finally:
        await owner.close()


# One call ------------------------------------------------------------------------------------------------------------


async def test_fifty_askers_for_one_cold_subject_are_one_call_a_service(
    stage: Stage, asker: Asker, cold: Iterator[str]
) -> None:
    uscc = next(cold)
    variables = {"uscc": uscc, "consent": await asker.consent(uscc)}
    async with stage.asker("second") as second:
        await asyncio.gather(*(upstream.fault("slow", seconds=0.3) for upstream in asker.upstreams.values()))
        askers = [asker, second] * 25
        replies = await asyncio.gather(*(one.ask(WHOLE, variables) for one in askers))
        for reply in replies:
            for source, told in sections(reply.subject).items():
                assert told.status in ("ANSWERED", "CACHED")
                assert told.rows == stage.knowledge.rows[uscc][source]
        assert {source: await calls(asker, source, uscc) for source in SOURCES} == SERVICES
