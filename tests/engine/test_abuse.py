"""What an attacker tried: plans of one operation for another, subjects beyond the token, documents that cost too much,
identity numbers in the account. Each test fails without its control.
"""

from __future__ import annotations

import gc
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from gateway.engine import documents, size
from gateway.engine.documents import Documents
from gateway.engine.execute import Request
from gateway.errors import Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.identifiers import organisation_uuid
from tests.engine import small_world
from tests.engine.conftest import World

PERSON = "652701199001011234"


async def test_an_operation_is_never_answered_by_anothers_plan(world: World) -> None:
    """Documents leave their cache while plans stay: a plan's key must not be an address that is used again."""
    text = " ".join(f"query q{n} {{ v{n}: viewer {{ view }} }}" for n in range(90))
    world.engine._documents = Documents(build_contracts(), size=2)
    for _ in range(3):
        for n in range(90):
            answer = json.loads(await world.engine.answer(world.principal("public"), Request(text, f"q{n}")))
            assert answer == {"data": {f"v{n}": {"view": "PUBLIC"}}}
        for n in range(4):  # push the document out of the cache
            await world.ask("public", f"{{ x{n}: __typename }}")
        gc.collect()


async def test_the_own_organisation_is_disclosed_like_any_other(world: World) -> None:
    world.account.disclosures.clear()
    await world.ask("restricted", "{ viewer { organisation { recordCounts { count } } } }")
    shown = str(world.account.disclosures[-1].subject_ids, "ascii")
    assert shown == str(organisation_uuid(small_world.ORGAN))


@pytest.mark.parametrize(
    "query",
    [
        '{ a: subject(uscc: "%s") { courts { answer { status } } } b: subject(uscc: "%s") { name } }',
        '{ a: subjects(usccs: ["%s"]) { courts { answer { status } } } b: subjects(usccs: ["%s"]) { name } }',
        "{ records(first: 50) { edges { node { subject { courts { answer { status } } } } } } } # %s %s",
    ],
)
async def test_no_source_hears_of_more_subjects_than_the_token_allows(world: World, query: str) -> None:
    world.sources.wanted.clear()
    who = replace(world.principal("restricted"), max_subjects=1)
    with pytest.raises(Refused):
        await world.engine.answer(who, Request(query % (small_world.FIRM, small_world.SHOP)))
    assert world.sources.wanted == []


async def test_subjects_are_counted_over_all_root_fields(world: World) -> None:
    codes = json.dumps([small_world.FIRM] * 15)
    query = f"{{ a: subjects(usccs: {codes}) {{ name }} b: subjects(usccs: {codes}) {{ name }} }}"
    assert await world.refused("public", query) == ["BAD_USER_INPUT"]
    assert len((await world.ask("restricted", query))["data"]["a"]) == 15


FACTS = " ".join(f"f{n}: facts" for n in range(140))
LEAVES = (
    "{ records(first: 100) { edges { node { FACTS subject { records(first: 100) { edges { node { FACTS } } } } } } } }"
)
LEAVES = LEAVES.replace("FACTS", FACTS)


@pytest.mark.parametrize(
    "query",
    [
        "{ " + "sources { code } " * 200 + "}",
        "{ " + "records { edges { node { title } } } " * 100 + "}",
        "{ " + " ".join(f"a{n}: sources {{ code }}" for n in range(40)) + " }",
        "{ " + " ".join(f'a{n}: __type(name: "CreditRecord") {{ name }}' for n in range(5)) + " }",
        "{ x: __typename } # " + "x" * 70_000,
        LEAVES,
        "{ records { edges { node { " + " ".join(f"a{n}: authority {{ formerNames }}" for n in range(100)) + " } } } }",
    ],
    ids=["repeated", "nested repeated", "root fields", "introspection", "long", "leaves", "relations"],
)
async def test_costly_documents_are_refused_quickly(world: World, query: str) -> None:
    began = time.process_time()
    codes = await world.refused("public", query)
    assert set(codes) <= {"QUERY_TOO_COSTLY", "GRAPHQL_PARSE_FAILED"}
    assert time.process_time() - began < 0.5  # a bound for a busy machine; each takes some ms


def test_the_pairwise_rule_stays_bounded() -> None:
    """The largest selection that is let through, many times the same field, costs little."""
    schema = build_contracts()["PUBLIC"]
    repeated = "records { edges { node { title } } } " * size.MOST_REPEATED
    began = time.process_time()
    documents.prepare("PUBLIC", schema, "{ " + repeated + "}")
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "variables",
    [{"n": PERSON}, {"n": "x", "beside": PERSON}, {"n": f"证件 {PERSON} 号"}],
)
async def test_no_identity_number_in_the_account(world: World, variables: dict[str, Any]) -> None:
    world.account.disclosures.clear()
    query = "query C($n: String!) { codeList(name: $n) { code } } query D($x: ID!) { node(id: $x) { id } }"
    await world.engine.answer(world.principal("restricted"), Request(query, "C", {**variables, "x": PERSON}))
    (disclosure,) = world.account.disclosures
    assert PERSON not in str(disclosure.variables)


@pytest.mark.parametrize("name", ["\0", "\ud800", PERSON, "x" * 300, ""])
async def test_a_name_that_is_none_is_not_kept(world: World, name: str) -> None:
    world.account.disclosures.clear()
    with pytest.raises(Refused) as caught:
        await world.engine.answer(world.principal("restricted"), Request("{ __typename }", name))
    assert caught.value.code == "BAD_USER_INPUT"
    assert world.account.disclosures[-1].operation_name is None
    assert world.account.disclosures[-1].outcome == "BAD_USER_INPUT"
