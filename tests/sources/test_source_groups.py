"""Sources of a kind make a section each; a source under consent is asked under one that fits, and kept nowhere; an
answer that comes later is PENDING, never "no record"."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from fake_source import ASKER, Clock, Fake, NoDatabase, code, failing, policy, said, soon
from prometheus_client import CollectorRegistry

from connectors.base import Consent, Failure, FailureKind, Pending
from gateway.auth.principal import Principal
from gateway.sources.ask import Sources
from gateway.sources.live import passed_records, platform_record
from gateway.sources.policy import SourcePolicy
from gateway.sources.wanted import Wanted
from gateway.storage.identifiers import live_record_id, node_id, organisation_uuid
from tests.simulated import simulated_time  # noqa: F401 - time passes while nothing is left to do

OWN = "116527000000000001"
ALL = replace(ASKER, organisation_uscc=OWN, sources=frozenset({"COURTS", "PEER_REGION", "BANKS"}))
CONSENT = Consent("C-1", "0" * 64, OWN, "2026-12-31")


@dataclass
class Given:
    """Consents: (UUID, subject) → who may use it."""

    by_pair: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: list[tuple[Sequence[tuple[str, str]], str, str, str]] = field(default_factory=list)

    async def matching(
        self, pairs: Sequence[tuple[str, str]], *, grantee: str, matter: str, scope: str
    ) -> Mapping[tuple[str, str], Consent]:
        self.asked.append((pairs, grantee, matter, scope))
        return {pair: CONSENT for pair in pairs if self.by_pair.get(pair) == grantee}


def peer(name: str, **more: object) -> SourcePolicy:
    region = (name[-1] * 6, f"地区{name[-1]}")
    given = {"group": "PEER_REGION", "region": region, "matters": frozenset({"GRANT"}), "by_purpose": True, **more}
    return policy(code=name, **given)


async def silent() -> str:
    """PostgreSQL writes no parameters down."""
    return ""


@dataclass
class Stage:
    """Two peers and a bank in one process."""

    sources: Sources
    peers: dict[str, Fake]
    bank: Fake
    consents: Given
    registry: CollectorRegistry


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def build(**changes: object) -> Stage:
        clock = Clock()
        peers = {name: Fake(clock, name, ("subject",)) for name in ("PEER_A", "PEER_B")}
        bank = Fake(clock, "BANKS", ("summary",))
        consents, registry = Given(), CollectorRegistry()
        policies = [
            *(peer(name, **changes) for name in peers),
            policy(code="BANKS", keep=False, by_purpose=True, fresh=0.0, negative_fresh=0.0, stale=0.0),
        ]
        pool: Any = NoDatabase()
        connectors: Any = {**peers, "BANKS": bank}
        sources = Sources(policies, connectors, pool, registry, consents=consents, clock=clock, logging_settings=silent)
        made.append(Stage(sources, peers, bank, consents, registry))
        return made[-1]

    yield build
    for one in made:
        await one.sources.close()


def everywhere(*subjects: str) -> list[Wanted]:
    return [Wanted("PEER_REGION", ("subject",), subjects)]


def banks(consent: str | None, *subjects: str, feed: str = "BANKS:0") -> Wanted:
    return Wanted("BANKS", ("summary",), subjects, feed, consent, under_consent=True)


def statuses(consulted: Any, uscc: str) -> dict[str, tuple[str, str | None]]:
    found = json.loads(consulted.parameters["PEER_REGION"])[uscc]
    return {name: (one["answer"]["status"], one["answer"]["reason"]) for name, one in found.items()}


# Groups ---------------------------------------------------------------------------------------------------------------


async def test_each_of_a_group_is_asked_and_told_apart(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.peers["PEER_B"].say = failing("TIMEOUT")
    consulted = await here.sources.consult(everywhere(a), ALL, soon())
    assert statuses(consulted, a) == {"PEER_A": ("ANSWERED", None), "PEER_B": ("UNAVAILABLE", "TIMEOUT")}
    assert json.loads(consulted.parameters["PEER_REGION"])[a]["PEER_A"]["region"] == {"code": "AAAAAA", "name": "地区A"}
    assert {*json.loads(consulted.statuses)} == {"PEER_A", "PEER_B"}
    again = await here.sources.consult(everywhere(a), ALL, soon())
    assert statuses(again, a)["PEER_A"] == ("CACHED", None)


async def test_peers_are_told_for_whom(stage: Callable[..., Stage]) -> None:
    here = stage()
    await here.sources.consult(everywhere(code()), ALL, soon())
    await here.sources.consult(everywhere(code()), replace(ALL, on_behalf_of="OTHER"), soon())
    told = [call[2] for call in here.peers["PEER_A"].calls]
    assert [(one.matter, one.case_number, one.on_behalf_of) for one in told if one] == [
        ("GRANT", "1", OWN),
        ("GRANT", "1", "OTHER"),
    ]


async def test_what_was_told_for_one_matter_is_kept_for_no_other(stage: Callable[..., Stage]) -> None:
    here, a = stage(matters=frozenset({"GRANT", "TENDERING"})), code()
    assert statuses(await here.sources.consult(everywhere(a), ALL, soon()), a)["PEER_A"] == ("ANSWERED", None)
    here.peers["PEER_A"].say = failing("FORBIDDEN")
    other = replace(ALL, matter="TENDERING")
    assert statuses(await here.sources.consult(everywhere(a), other, soon()), a)["PEER_A"] == ("REFUSED", "FORBIDDEN")
    again = replace(ALL, case_number="2")
    assert statuses(await here.sources.consult(everywhere(a), again, soon()), a)["PEER_A"] == ("CACHED", None)


async def test_a_group_nobody_set_up_has_no_section(stage: Callable[..., Stage]) -> None:
    pool: Any = NoDatabase()
    sources = Sources([], {}, pool, CollectorRegistry())
    consulted = await sources.consult(everywhere(code()), ALL, soon())
    assert (consulted.parameters, consulted.statuses) == ({}, "{}")
    await sources.close()


@pytest.mark.parametrize(
    ("asker", "reason"),
    [
        (replace(ALL, sources=frozenset({"COURTS"})), "MATTER"),  # the matter does not allow the group
        (replace(ALL, matter="PPP"), "MATTER"),  # the peer is not asked in that matter
        (replace(ALL, hops=1), "HOPS"),
    ],
)
async def test_who_may_not_ask_causes_no_call(stage: Callable[..., Stage], asker: Principal, reason: str) -> None:
    here, a = stage(), code()
    consulted = await here.sources.consult(everywhere(a), asker, soon())
    assert {*statuses(consulted, a).values()} == {("NOT_CONSULTED", reason)}
    assert here.peers["PEER_A"].calls == []


async def test_a_peer_without_matters_is_never_asked(stage: Callable[..., Stage]) -> None:
    here, a = stage(matters=frozenset()), code()
    await here.sources.consult(everywhere(a), ALL, soon())
    assert here.peers["PEER_A"].calls == []


# Under a consent ------------------------------------------------------------------------------------------------------


async def test_a_consent_that_fits_is_passed_on_and_the_answer_kept_nowhere(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN
    for _ in range(2):
        consulted = await here.sources.consult([banks("c", a)], ALL, soon())
        assert said(consulted, a, "BANKS:0") == ("ANSWERED", None)
    assert len(here.bank.calls) == 2  # asked anew each time
    assert here.bank.calls[0][2] is not None
    assert here.bank.calls[0][2].consent == CONSENT
    assert here.consents.asked[0] == ([("c", a)], OWN, "GRANT", "BANKS")
    assert not here.sources._kept._slots
    assert not here.sources._writer._queue
    assert not here.sources._lanes["BANKS"]._flights


@pytest.mark.parametrize("consent", [None, "other"])
async def test_without_one_nobody_is_asked(stage: Callable[..., Stage], consent: str | None) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN
    consulted = await here.sources.consult([banks(consent, a)], ALL, soon())
    assert said(consulted, a, "BANKS:0") == ("CONSENT_REQUIRED", "NO_CONSENT")
    assert here.bank.calls == []


async def test_a_consent_to_another_organisation_is_none(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = "somebody else"
    for asker in (ALL, replace(ALL, on_behalf_of="somebody else"), replace(ALL, organisation_uscc=None)):
        consulted = await here.sources.consult([banks("c", a)], asker, soon())
        assert said(consulted, a, "BANKS:0")[0] == "CONSENT_REQUIRED"
    assert here.bank.calls == []


async def test_one_consent_opens_no_other_subject(stage: Callable[..., Stage]) -> None:
    here, a, b = stage(), code(), code()
    here.consents.by_pair[("c", a)] = OWN
    consulted = await here.sources.consult([banks("c", a, b)], ALL, soon())
    assert said(consulted, a, "BANKS:0")[0] == "ANSWERED"
    assert said(consulted, b, "BANKS:0")[0] == "CONSENT_REQUIRED"
    assert [call[1] for call in here.bank.calls] == [(a,)]


async def test_two_consents_are_two_feeds(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN
    wanted = [banks("c", a), banks("d", a, feed="BANKS:1"), *everywhere(a)]
    consulted = await here.sources.consult(wanted, ALL, soon())
    assert said(consulted, a, "BANKS:0")[0] == "ANSWERED"
    assert said(consulted, a, "BANKS:1")[0] == "CONSENT_REQUIRED"
    assert statuses(consulted, a)["PEER_A"] == ("ANSWERED", None)


async def test_a_matter_without_the_source_comes_before_the_consent(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    asker = replace(ALL, sources=frozenset({"COURTS"}))
    consulted = await here.sources.consult([banks("c", a)], asker, soon())
    assert said(consulted, a, "BANKS:0") == ("NOT_CONSULTED", "MATTER")
    assert here.consents.asked == []


async def test_nobody_is_asked_while_answers_would_be_logged(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN

    async def logs() -> str:
        return "log_statement"

    for check in (logs, None):
        here.sources._logging_settings = check
        consulted = await here.sources.consult([banks("c", a)], ALL, soon())
        assert said(consulted, a, "BANKS:0") == ("NOT_CONSULTED", "LOGGED")
    assert here.bank.calls == []


async def test_pending_is_no_failure_and_no_answer(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN
    here.bank.say = lambda part, uscc: Pending(30.0)
    for _ in range(8):  # more than what would open the breaker
        consulted = await here.sources.consult([banks("c", a)], ALL, soon())
        assert said(consulted, a, "BANKS:0") == ("PENDING", "LATER")
    assert len(here.bank.calls) == 8
    labels = {"source": "BANKS", "part": "summary", "outcome": "PENDING"}
    assert here.registry.get_sample_value("credit_source_calls_total", labels) == 8


async def test_what_the_bank_says_of_the_consent_is_told(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN
    here.bank.say = lambda part, uscc: Failure(FailureKind.CONSENT_REJECTED)
    consulted = await here.sources.consult([banks("c", a)], ALL, soon())
    assert said(consulted, a, "BANKS:0") == ("CONSENT_REQUIRED", "CONSENT_REJECTED")


async def test_a_slow_bank_holds_up_nobody_beyond_its_budget(stage: Callable[..., Stage]) -> None:
    here, a = stage(), code()
    here.consents.by_pair[("c", a)] = OWN
    here.bank.gate = asyncio.Event()
    began = asyncio.get_running_loop().time()
    consulted = await here.sources.consult([banks("c", a), *everywhere(a)], ALL, soon(0.3))
    assert asyncio.get_running_loop().time() - began < 0.45
    assert said(consulted, a, "BANKS:0") == ("UNAVAILABLE", "TIMEOUT")
    assert statuses(consulted, a)["PEER_B"] == ("ANSWERED", None)
    here.bank.gate.set()


# Rows -----------------------------------------------------------------------------------------------------------------


def test_live_records_have_the_ids_of_stored_ones() -> None:
    uscc = "91652701MA00000000"
    made = platform_record("REGION_PLATFORM", uscc, {"natural_key": f"xzcf|{uscc}|k", "authority_name": "示例局"})
    assert made["external_id"] == str(live_record_id("REGION_PLATFORM", f"xzcf|{uscc}|k"))
    assert made["subject_node_id"] == node_id("S", organisation_uuid(uscc))
    assert made["authority_node_id"]
    assert made["authority_uscc"] is None
    other = passed_records("PEER_A", uscc, {"records": [{"id": f"xzcf|{uscc}|k"}]})["records"][0]
    assert other["external_id"] != made["external_id"]  # the same key of another source is another record
    assert "authority_node_id" not in other


def test_a_code_that_reads_as_an_identity_number_is_still_whose_row_it_is() -> None:
    uscc = "915001196001016817"
    made = platform_record("REGION_PLATFORM", uscc, {"natural_key": "xzcf|9150**********6817|号"})
    assert made["natural_key"] == f"xzcf|{uscc}|号"
    assert made["external_id"] == str(live_record_id("REGION_PLATFORM", f"xzcf|{uscc}|号"))


def test_a_record_without_a_key_is_no_row() -> None:
    with pytest.raises(KeyError):
        platform_record("REGION_PLATFORM", "A" * 18, {"title": "x"})
