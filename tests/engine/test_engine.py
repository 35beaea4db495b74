"""What the engine refuses, limits, discloses and asks of sources; errors and nulls as the specification says."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import LedgerUnavailable, Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.identifiers import node_id, organisation_uuid
from tests.engine import small_world
from tests.engine.conftest import World

NAME = "query Name($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
COURTS = "query Courts($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name courts { answer { status } } } }"


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{", {}, "GRAPHQL_PARSE_FAILED"),
        ("", {}, "GRAPHQL_PARSE_FAILED"),
        ("{ nme }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("{ subject { name } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { x }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { x }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", {}, "BAD_USER_INPUT"),
        (NAME, {}, "BAD_USER_INPUT"),
        (NAME, {"uscc": None}, "BAD_USER_INPUT"),
        (NAME, {"uscc": 7}, "BAD_USER_INPUT"),
        (NAME, {"uscc": "91652799YL0000039Q"}, "BAD_USER_INPUT"),
        ('{ subject(uscc: "91652799YL0000039Q") { name } }', {}, "BAD_USER_INPUT"),
        ("{ records(first: 0) { totalCount } }", {}, "BAD_USER_INPUT"),
        ("{ records(first: 101) { totalCount } }", {}, "BAD_USER_INPUT"),
        ("query P($n: Int) { records(first: $n) { totalCount } }", {"n": -1}, "BAD_USER_INPUT"),
        ("query P($n: Int) { records(first: $n) { totalCount } }", {"n": 2**40}, "BAD_USER_INPUT"),
        ('{ records(first: 1, after: "x") { totalCount } }', {}, "BAD_USER_INPUT"),
        ('{ records(after: "p2026-01-01UmUnAABAAIAAAAAAAAAAAAE") { edges { cursor } } }', {}, "BAD_USER_INPUT"),
        ('{ records(after: "d2026-13-01UmUnAABAAIAAAAAAAAAAAAE") { edges { cursor } } }', {}, "BAD_USER_INPUT"),
        ('{ node(id: "abc") { id } }', {}, "BAD_USER_INPUT"),
        ('{ records(filter: { decidedFrom: "2026-02-30" }) { totalCount } }', {}, "BAD_USER_INPUT"),
        ("query F($f: RecordFilter) { records(filter: $f) { totalCount } }", {"f": {"kind": 1}}, "BAD_USER_INPUT"),
        ("query F($f: RecordFilter) { records(filter: $f) { totalCount } }", {"f": {"kinds": ["X"]}}, "BAD_USER_INPUT"),
        ('query C { codeList(name: "\\u0000") { code } }', {}, "BAD_USER_INPUT"),
        ("query C($n: String!) { codeList(name: $n) { code } }", {"n": "\ud800"}, "BAD_USER_INPUT"),
    ],
)
async def test_refused_before_any_sql(world: World, query: str, variables: dict[str, Any], code: str) -> None:
    assert set(await world.refused("restricted", query, variables)) == {code}


async def test_a_hidden_field_fails_like_a_misspelt_one(world: World) -> None:
    hidden = await world.refused("public", "{ matters { code } }")
    misspelt = await world.refused("public", "{ mattrs { code } }")
    assert hidden == misspelt == ["GRAPHQL_VALIDATION_FAILED"]
    with pytest.raises(Refused) as caught:
        await world.ask("public", "{ subjct { name } }")
    assert "mean" not in str(caught.value)  # no suggestion


async def test_unknown_and_hidden_ids_are_null_alike(world: World) -> None:
    revoked = node_id("R", small_world.RECORD_IDS[3])
    unknown = node_id("R", organisation_uuid(small_world.FIRM))
    query = "query N($a: ID!, $b: ID!) { a: node(id: $a) { id } b: node(id: $b) { id } }"
    assert await world.ask("restricted", query, {"a": revoked, "b": unknown}) == {"data": {"a": None, "b": None}}
    assert (await world.ask("internal", query, {"a": revoked, "b": unknown}))["data"]["a"] == {"id": revoked}


async def test_not_on_record(world: World) -> None:
    query = "query S($uscc: Uscc!) { subject(uscc: $uscc) { id uscc onRecord name kind roles records { totalCount } } }"
    variables = {"uscc": small_world.STRANGER}
    assert await world.ask("public", query, variables) == {"data": {"subject": None}}
    found = (await world.ask("restricted", query, variables))["data"]["subject"]
    assert found == {
        "id": node_id("S", organisation_uuid(small_world.STRANGER)),
        "uscc": small_world.STRANGER,
        "onRecord": False,
        "name": None,
        "kind": None,
        "roles": [],
        "records": {"totalCount": 0},
    }


async def test_outside_the_scope_and_not_on_record_are_forbidden_alike(world: World) -> None:
    usccs = [small_world.FIRM, small_world.SHOP, small_world.STRANGER]
    world.sources.wanted.clear()
    answer = await world.ask("restricted_scoped", COURTS, {"usccs": usccs}, kinds=["ENTERPRISE"])
    assert answer["data"]["subjects"][1:] == [None, None]
    assert [(e["path"], e["extensions"]["code"]) for e in answer["errors"]] == [
        (["subjects", 1], "FORBIDDEN"),
        (["subjects", 2], "FORBIDDEN"),
    ]
    assert answer["errors"][0]["message"] == answer["errors"][1]["message"]
    assert [w.subjects for w in world.sources.wanted] == [(small_world.FIRM,)]  # keys pass the scope first


async def test_an_authoritys_records_are_no_empty_list_under_a_narrowing(world: World) -> None:
    query = (
        'query A { subject(uscc: "%s") { records { edges { node { authority { name records { totalCount } } } } } } }'
    )
    found = await world.ask("restricted", query % small_world.FIRM)
    assert found["data"]["subject"]["records"]["edges"][0]["node"]["authority"]["records"]["totalCount"] == 1
    with pytest.raises(Refused) as caught:
        await world.ask("restricted_scoped", query % small_world.FIRM, kinds=["ENTERPRISE"])
    assert caught.value.code == "FORBIDDEN"


async def test_own_account_sees_its_own_rows_and_no_others(world: World) -> None:
    query = "query O($usccs: [Uscc!]!) { subjects(usccs: $usccs) { records { edges { node { status } } } } }"
    answer = await world.ask("self", query, {"usccs": [small_world.FIRM, small_world.SHOP]})
    own, other = answer["data"]["subjects"]
    assert {e["node"]["status"] for e in own["records"]["edges"]} == {"ACTIVE", "CORRECTED", "REVOKED"}
    assert other is None


async def test_public_asks_no_source_and_refreshes_only_what_is_on_record(world: World) -> None:
    world.sources.refreshed.clear()
    await world.ask("public", COURTS, {"usccs": [small_world.FIRM, small_world.STRANGER]})
    assert world.sources.refreshed == [("COURTS", ("dishonest",), (small_world.FIRM,))]


async def test_no_section_no_question(world: World) -> None:
    world.sources.wanted.clear()
    await world.ask("restricted", NAME, {"uscc": small_world.FIRM})
    assert world.sources.wanted == []


async def test_a_disclosure_has_what_was_shown(world: World) -> None:
    world.account.disclosures.clear()
    query = 'query D { records(first: 100) { edges { node { title } } } subject(uscc: "%s") { onRecord } }'
    await world.ask("restricted", query % small_world.STRANGER)
    (disclosure,) = world.account.disclosures
    shown = set(str(disclosure.subject_ids, "ascii").split(","))
    expected = (small_world.FIRM, small_world.ORGAN, small_world.SHOP, small_world.STRANGER)
    assert shown == {str(organisation_uuid(uscc)) for uscc in expected}
    assert disclosure.outcome == "ANSWERED"
    assert disclosure.snapshot
    assert disclosure.matter == "GRANT"


async def test_an_authority_named_beside_a_record_is_not_shown(world: World) -> None:
    world.account.disclosures.clear()
    query = 'query A { subject(uscc: "%s") { records { edges { node { authority { %s } } } } } }'
    await world.ask("restricted", query % (small_world.SHOP, "name uscc"))
    await world.ask("restricted", query % (small_world.SHOP, "name formerNames"))
    named, read = (set(str(d.subject_ids, "ascii").split(",")) for d in world.account.disclosures)
    authority = str(organisation_uuid(small_world.ORGAN))
    assert authority not in named
    assert authority in read


async def test_refusals_of_clients_are_disclosed_those_of_the_public_are_not(world: World) -> None:
    world.account.disclosures.clear()
    await world.refused("restricted", "{ nme }")
    await world.refused("public", "{ nme }")
    assert [d.outcome for d in world.account.disclosures] == ["GRAPHQL_VALIDATION_FAILED"]


class Unhurried:
    """A ledger that takes a moment."""

    in_statement = False

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    async def record(self, disclosure: Any) -> None:
        await asyncio.sleep(0.01)
        self.outcomes.append(disclosure.outcome)


async def test_a_refusal_that_comes_when_the_time_is_over_is_disclosed(world: World) -> None:
    """And told as what it is: who has waited for a turn in vain has no time left for the ledger's answer."""
    account = Unhurried()
    engine = Engine(build_contracts(), world.engine._pools, account, world.sources, Limits(50_000, 5_000))  # type: ignore[arg-type]
    late = Request("{ nme }", arrived=time.monotonic() - 60)
    with pytest.raises(Refused) as caught:
        await engine.answer(world.principal("restricted"), late)
    assert caught.value.code == "GRAPHQL_VALIDATION_FAILED"
    assert account.outcomes == ["GRAPHQL_VALIDATION_FAILED"]


class Broken:
    """A ledger that can't be written."""

    in_statement = False

    async def record(self, disclosure: Any) -> None:
        raise LedgerUnavailable("no", "否")


async def test_without_an_account_no_answer(world: World) -> None:
    engine = Engine(
        build_contracts(),
        world.engine._pools,
        Broken(),
        world.sources,  # type: ignore[arg-type]
        Limits(50_000, 5_000, storage=20.0),
    )
    request = Request(NAME, None, {"uscc": small_world.FIRM})
    with pytest.raises(Refused) as caught:
        await engine.answer(world.principal("restricted"), request)
    assert caught.value.code == "LEDGER_UNAVAILABLE"
    public = json.loads(await engine.answer(world.principal("public"), request))
    assert public["data"]["subject"]["name"]  # the public view needs no account


async def test_limits(world: World) -> None:
    many = {"usccs": [small_world.FIRM] * 21}
    assert await world.refused("public", COURTS, many) == ["BAD_USER_INPUT"]
    assert len((await world.ask("restricted", COURTS, many))["data"]["subjects"]) == 21
    assert await world.refused("restricted", COURTS, {"usccs": [small_world.FIRM] * 1001}) == ["BAD_USER_INPUT"]
    assert await world.refused("restricted", COURTS, {"usccs": []}) == ["BAD_USER_INPUT"]
    deep = "subject { records(first: 100) { edges { node { %s } } } }"
    query = "{ records(first: 100) { edges { node { " + deep % (deep % "id") + " } } } }"
    assert await world.refused("restricted", query) == ["QUERY_TOO_COSTLY"]


async def test_aliases_and_long_names(world: World) -> None:
    alias = "a" * 100
    query = f"query L($uscc: Uscc!) {{ {alias}1: subject(uscc: $uscc) {{ {alias}2: name {alias}3: name }} }}"
    name = '示例"引号"有限公司'
    answer = await world.ask("public", query, {"uscc": small_world.FIRM})
    assert answer == {"data": {f"{alias}1": {f"{alias}2": name, f"{alias}3": name}}}


async def test_introspection_shows_the_own_contract_alone(world: World) -> None:
    query = "{ __schema { types { name } } }"
    public = {t["name"] for t in (await world.ask("public", query))["data"]["__schema"]["types"]}
    internal = {t["name"] for t in (await world.ask("internal", query))["data"]["__schema"]["types"]}
    sections = {"BankEvent", "BankSection", "PeerSection", "RegionPlatformSection"}
    consents = {"Consent", "ConsentConnection", "ConsentEdge", "ConsentMethod", "ConsentParty"}
    consents |= {"Mutation", "RecordConsentInput", "RecordConsentPayload", "RevokeConsentInput", "RevokeConsentPayload"}
    account = {"Disclosure", "DisclosureConnection", "DisclosureEdge", "DisclosedSource"}
    assert internal - public == consents | account | {
        "RevealIdentityInput",
        "RevealIdentityPayload",
        "ConsumptionOrder",
        "CourtJudgment",
        "EnforcementCase",
        "Matter",
        "RecordVersion",
        *sections,
    }


async def test_plans_are_cached_by_shape_and_not_by_value(world: World) -> None:
    query = "query F($f: RecordFilter, $n: Int) { records(filter: $f, first: $n) { totalCount } }"
    before = len(world.engine._plans)
    for variables in ({"f": {"kinds": ["PENALTY"]}, "n": 1}, {"f": {"kinds": ["HONOUR", "LICENCE"]}, "n": 2}):
        await world.ask("restricted", query, variables)
    assert len(world.engine._plans) == before + 1
    await world.ask("restricted", query, {"f": {"areas": ["PPP"]}})
    assert len(world.engine._plans) == before + 2
