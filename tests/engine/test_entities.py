"""`_entities`: a list of representations is one list of keys of one statement, each answered as `subject` answers it.

Order is kept; what is wrong with a representation is said before any SQL; limits, scope, account and sources are those
of `subjects`. With a name among several prefectures the entity is RegionSubject, in whose one field of ours
stands what our own answer would be. Plan and SQL: snapshots/entities.*.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.auth.principal import Principal
from gateway.engine.compile import compile_operation
from gateway.engine.documents import prepare
from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import Refused
from gateway.schema import federation
from gateway.schema.contracts import build_contracts
from gateway.storage.identifiers import organisation_uuid
from gateway.storage.levels import RESTRICTED
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.small_world import FIRM, SHOP, STRANGER

ENTITIES = "query E($r: [_Any!]!) { _entities(representations: $r) { __typename ... on Subject { %s } } }"
SUBJECTS = "query S($u: [Uscc!]!) { subjects(usccs: $u) { __typename %s } }"
SECTION = "courts { answer { status } dishonestListings { caseNumber } }"
FIELDS = "id uscc onRecord name kind records(first: 2) { totalCount edges { node { id title } } }"
CONTRACTS = build_contracts()
JOINT_CONTRACTS = build_contracts(federation_name="bortala")
VIEWS = ("public", "restricted", "internal", "self")


def of(*usccs: str | None, name: str = "Subject", **more: Any) -> dict[str, Any]:
    """Variables with a representation of each code."""
    return {"r": [{"__typename": name, "uscc": uscc, **more} for uscc in usccs]}


# As subject ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
async def test_each_is_answered_as_by_subject(world: World, view: str) -> None:
    usccs = [SHOP, STRANGER, FIRM, SHOP]
    entities = await world.ask(view, ENTITIES % FIELDS, of(*usccs, name="Subject", extra={"a": [1]}))
    subjects = await world.ask(view, SUBJECTS % FIELDS, {"u": usccs})
    assert entities["data"]["_entities"] == subjects["data"]["subjects"]
    assert [found and found["uscc"] for found in entities["data"]["_entities"]] == {
        "public": [SHOP, None, FIRM, SHOP],
        "restricted": usccs,
        "internal": usccs,
        "self": [None, None, FIRM, None],  # its own account has itself
    }[view]


@pytest.mark.parametrize("view", VIEWS)
async def test_where_a_code_is_null_the_entity_is_null(world: World, view: str) -> None:
    """A natural person has no code; nobody is asked about it, shown or denied."""
    own = FIRM if view == "self" else SHOP
    world.account.disclosures.clear()
    world.sources.wanted.clear()
    answer = await world.ask(view, ENTITIES % f"uscc {SECTION}", of(None, own, None))
    assert [found and found["uscc"] for found in answer["data"]["_entities"]] == [None, own, None]
    assert "errors" not in answer
    assert {code for want in world.sources.wanted for code in want.subjects} <= {own}
    for disclosure in world.account.disclosures:
        assert str(disclosure.subject_ids, "ascii") == str(organisation_uuid(own))
    alone = await world.ask(view, ENTITIES % "uscc", of(None))
    assert alone == {"data": {"_entities": [None]}}


async def test_one_statement_whatever_their_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    pool = world.engine._pools["restricted"]
    fetch = pool.fetch

    async def counted(sql: str, *arguments: Any, **more: Any) -> Any:
        asked.append(sql)
        return await fetch(sql, *arguments, **more)

    monkeypatch.setattr(pool, "fetch", counted)
    codes = [small_world.code(f"91652799YL01{number:05}") for number in range(300)]
    answer = await world.ask("restricted", ENTITIES % FIELDS, of(*codes))
    assert [found["uscc"] for found in answer["data"]["_entities"]] == codes
    assert len(asked) == 1


async def test_fragments_and_aliases(world: World) -> None:
    query = """query F($r: [_Any!]!) {
      a: _entities(representations: $r) { ...E }
      b: _entities(representations: [{__typename: "Subject", uscc: "%s", other: [1, {x: null}]}]) {
        ... on Node { id } ... on _Entity { ... on Subject { name } } ... on Penalty { title }
      }
      c: _entities(representations: {__typename: "Subject", uscc: "%s"}) { __typename }
    }
    fragment E on _Entity { __typename ... on Subject { uscc ...S } }
    fragment S on Subject { onRecord }"""
    query = query.replace(" ... on Penalty { title }", "") % (FIRM, SHOP)
    found = (await world.ask("restricted", query, of(SHOP)))["data"]
    assert found == {
        "a": [{"__typename": "Subject", "uscc": SHOP, "onRecord": True}],
        "b": [{"id": small_world.FIRM_ID, "name": '示例"引号"有限公司'}],
        "c": [{"__typename": "Subject"}],
    }


async def test_a_list_of_variables(world: World) -> None:
    query = "query L($a: _Any!, $b: _Any!) { _entities(representations: [$a, $b]) { ... on Subject { uscc } } }"
    a, b = of(SHOP, FIRM)["r"]
    assert (await world.ask("public", query, {"a": a, "b": b}))["data"]["_entities"] == [{"uscc": SHOP}, {"uscc": FIRM}]


# What can't be taken -------------------------------------------------------------------------------------------------

BAD: tuple[tuple[Any, str], ...] = (
    ("Subject", "is an object"),
    (7, "is an object"),
    (None, "must not be null"),
    ([{"__typename": "Subject", "uscc": FIRM}], "is an object"),
    ({}, "its type in __typename"),
    ({"uscc": FIRM}, "its type in __typename"),
    ({"__typename": None, "uscc": FIRM}, "its type in __typename"),
    ({"__typename": ["Subject"], "uscc": FIRM}, "its type in __typename"),
    ({"__typename": "Region", "uscc": FIRM}, "is no entity"),
    ({"__typename": "Query", "uscc": FIRM}, "is no entity"),
    ({"__typename": "Penalty", "id": small_world.FIRST_RECORD_ID}, "is no entity"),
    ({"__typename": "Subject"}, "has the key uscc"),
    ({"__typename": "Subject", "id": small_world.FIRM_ID}, "has the key uscc"),
    ({"__typename": "Subject", "uscc": ""}, "not a unified social credit code"),
    ({"__typename": "Subject", "uscc": 91}, "not a unified social credit code"),
    ({"__typename": "Subject", "uscc": [FIRM]}, "not a unified social credit code"),
    ({"__typename": "Subject", "uscc": "91652799YL0000039Q"}, "not a unified social credit code"),
    ({"__typename": "Subject", "uscc": FIRM.lower()}, "not in its normal form"),
    ({"__typename": "Subject", "uscc": "' or 1=1 --"}, "not a unified social credit code"),
    ({"__typename": "Subject", "uscc": "-"}, "not a unified social credit code"),
)


class Untouched:
    """A pool that nobody may ask."""

    async def fetch(self, sql: str, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"asked: {sql}")


def unasked(world: World) -> Engine:
    pools = dict.fromkeys(world.engine._pools, Untouched())
    return Engine(CONTRACTS, pools, world.account, world.sources, Limits(50_000, 5_000, storage=20.0))  # type: ignore[arg-type]


async def refused(world: World, query: str, variables: dict[str, Any]) -> Sequence[Any]:
    with pytest.raises(Refused) as caught:
        await unasked(world).answer(world.principal("restricted"), Request(query, None, variables))
    return caught.value.errors


@pytest.mark.parametrize(("bad", "said"), BAD)
async def test_a_bad_representation_is_refused_before_any_sql(world: World, bad: Any, said: str) -> None:
    good = of(FIRM)["r"][0]
    (error,) = await refused(world, ENTITIES % "name", {"r": [good, bad, good]})
    assert error.code == "BAD_USER_INPUT"
    assert said in error.en
    assert "$r[1]" in error.en
    (error,) = await refused(world, literally([good, bad]), {})
    assert error.code in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")
    assert said in error.en or bad is None


def literally(representations: Any) -> str:
    def literal(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name}: {literal(inner)}" for name, inner in value.items()) + "}"
        if isinstance(value, list):
            return f"[{', '.join(map(literal, value))}]"
        return json.dumps(value)

    return f"{{ _entities(representations: {literal(representations)}) {{ __typename }} }}"


async def test_unknown_and_hidden_types_are_refused_alike(world: World) -> None:
    """RecordVersion is above RESTRICTED: its name says no more than one that nobody has."""
    said = []
    for name in ("RecordVersion", "RecordVersiom"):
        (error,) = await refused(world, ENTITIES % "name", {"r": [{"__typename": name, "uscc": FIRM}]})
        said.append((error.code, error.en.replace(name, ""), error.zh.replace(name, "")))
    assert said[0] == said[1]


async def test_what_a_client_wrote_is_told_masked_and_cut(world: World) -> None:
    number = "65270119900307001X"
    (error,) = await refused(world, ENTITIES % "name", {"r": [{"__typename": number + "x" * 5_000}]})
    assert number not in error.en + error.zh
    assert len(error.en) < 400


async def test_a_variable_inside_a_representation_is_not_read(world: World) -> None:
    query = 'query V($u: Uscc!) { _entities(representations: [{__typename: "Subject", uscc: $u}]) { __typename } }'
    (error,) = await refused(world, query, {"u": FIRM})
    assert "as a value and not as a variable" in error.en


async def test_too_many_are_refused_before_any_is_looked_at(world: World) -> None:
    (error,) = await refused(world, ENTITIES % "name", {"r": [7] * 10_000})
    assert "at most 1000" in error.en
    (error,) = await refused(world, ENTITIES % "name", {"r": []})
    assert "from 1 to 1000" in error.en
    (error,) = await refused(world, ENTITIES % "name", {})
    assert "is required" in error.en


async def test_the_other_members_of_no_union_can_be_asked_for(world: World) -> None:
    query = "query P($r: [_Any!]!) { _entities(representations: $r) { ... on Penalty { title } } }"
    (error,) = await refused(world, query, of(FIRM))
    assert error.code == "GRAPHQL_VALIDATION_FAILED"


# Limits, scope, account, sources -------------------------------------------------------------------------------------


async def test_limits_are_those_of_subjects(world: World) -> None:
    query = ENTITIES % "name"
    assert len((await world.ask("public", query, of(*[FIRM] * 20)))["data"]["_entities"]) == 20
    assert await world.refused("public", query, of(*[FIRM] * 21)) == ["BAD_USER_INPUT"]
    assert len((await world.ask("restricted", query, of(*[FIRM] * 1_000)))["data"]["_entities"]) == 1_000
    assert await world.refused("restricted", query, of(*[FIRM] * 1_001)) == ["BAD_USER_INPUT"]
    costly = ENTITIES % "records(first: 100) { edges { node { title } } }"
    assert await world.refused("restricted", costly, of(*[FIRM] * 1_000)) == ["QUERY_TOO_COSTLY"]
    twice = query.replace("{ _entities", "{ a: _entities(representations: $r) { __typename } _entities")
    assert await world.refused("public", twice, of(*[FIRM] * 11)) == ["BAD_USER_INPUT"]


async def test_a_token_for_few_subjects_has_no_more(world: World) -> None:
    principal = replace(world.principal("restricted"), max_subjects=2)
    request = Request(ENTITIES % "name", None, of(FIRM, SHOP, STRANGER))
    with pytest.raises(Refused, match="at most 2 subjects"):
        await world.engine.answer(principal, request)
    assert await world.engine.answer(principal, Request(ENTITIES % "name", None, of(FIRM, SHOP)))


async def test_outside_the_scope_each_is_forbidden(world: World) -> None:
    world.sources.wanted.clear()
    usccs = (FIRM, None, SHOP, STRANGER)
    answer = await world.ask("restricted_scoped", ENTITIES % f"uscc {SECTION}", of(*usccs), kinds=["ENTERPRISE"])
    assert [found and found["uscc"] for found in answer["data"]["_entities"]] == [FIRM, None, None, None]
    assert [(e["path"], e["extensions"]["code"]) for e in answer["errors"]] == [
        (["_entities", 2], "FORBIDDEN"),
        (["_entities", 3], "FORBIDDEN"),
    ]
    assert [want.subjects for want in world.sources.wanted] == [(FIRM,)]


async def test_what_was_shown_is_disclosed(world: World) -> None:
    world.account.disclosures.clear()
    await world.ask("restricted", ENTITIES % f"name {SECTION}", of(FIRM, STRANGER))
    (disclosure,) = world.account.disclosures
    shown = set(str(disclosure.subject_ids, "ascii").split(","))
    assert shown == {str(organisation_uuid(FIRM)), str(organisation_uuid(STRANGER))}
    assert FIRM in str(disclosure.variables)


async def test_what_stands_beside_a_key_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a router sends besides the key may be anything, and a megabyte of it. Without that care it is in the ledger,
    looked through for identity numbers."""
    number = _resident_number()
    variables = of(FIRM, note=f"身份证{number}", more="1 " * 1_000)
    world.account.disclosures.clear()
    await world.ask("restricted", ENTITIES % "name", variables)
    monkeypatch.setattr("gateway.engine.request._identifying", lambda found: found)
    await world.ask("restricted", ENTITIES % "name onRecord", variables)
    monkeypatch.setattr("gateway.engine.variables.has_text", lambda _: False)
    await world.ask("restricted", ENTITIES % "name kind", variables)
    kept, masked, careless = (str(disclosure.variables) for disclosure in world.account.disclosures)
    assert json.loads(kept) == {"r": [{"__typename": "Subject", "uscc": FIRM}]}
    assert number not in masked
    assert number[:4] in masked
    assert number in careless


async def test_a_wrong_type_is_looked_at_as_far_as_it_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of digits in the type's place took three seconds, of anybody's request."""
    looked: list[int] = []
    plainly = federation.masked
    monkeypatch.setattr(federation, "masked", lambda text: looked.append(len(text)) or plainly(text))
    number = _resident_number()
    for view in ("public", "restricted"):
        variables = {"r": [{"__typename": f"{'x' * 70}{number}{'1 ' * 500_000}", "uscc": FIRM}]}
        with pytest.raises(Refused) as refused:
            await world.engine.answer(world.principal(view), Request(ENTITIES % "name", None, variables))
        told = [error.en for error in refused.value.errors]
        assert number[:4] in told[0]
        assert number[4:14] not in told[0]
    assert looked
    assert max(looked) <= 200


def _resident_number() -> str:
    first = "65270119900307001"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return first + "10X98765432"[sum(int(d) * w for d, w in zip(first, weights, strict=True)) % 11]


async def test_sources_are_asked_once_for_all(world: World) -> None:
    world.sources.wanted.clear()
    answer = await world.ask("restricted", ENTITIES % f"uscc {SECTION}", of(SHOP, STRANGER, FIRM))
    assert [want.subjects for want in world.sources.wanted] == [(SHOP, STRANGER, FIRM)]
    assert all(found["courts"]["answer"]["status"] == "ANSWERED" for found in answer["data"]["_entities"])
    world.sources.refreshed.clear()
    await world.ask("public", ENTITIES % SECTION, of(SHOP, STRANGER))
    assert world.sources.refreshed == [("COURTS", ("dishonest",), (SHOP,))]


# _service ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
async def test_service_needs_no_row_and_shows_the_own_contract(world: World, view: str) -> None:
    request = Request("{ __typename s: _service { __typename sdl } }", None, {})
    found = json.loads(await unasked(world).answer(world.principal(view), request))["data"]
    assert found["s"]["__typename"] == "_Service"
    assert ("identityNumber" in found["s"]["sdl"]) == (view == "internal")
    assert ("regionPlatform" in found["s"]["sdl"]) == (view != "public")


async def test_the_sdl_is_not_sent_a_thousand_times(world: World) -> None:
    """A text of 20 to 40 KB: a document of 2,000 fields would be answered with 40 MB."""
    listed = " ".join(f"s{number}: sdl" for number in range(6))
    (error,) = await refused(world, f"{{ _service {{ {listed} }} }}", {})
    assert error.code == "QUERY_TOO_COSTLY"


# One among several ---------------------------------------------------------------------------------------------------

JOINT = "query J($r: [_Any!]!) { _entities(representations: $r) { __typename ... on RegionSubject { uscc %s } } }"


@pytest.fixture
def named(world: World) -> World:
    """The same world under a name of its own among prefectures."""
    engine = Engine(
        JOINT_CONTRACTS, world.engine._pools, world.account, world.sources, Limits(50_000, 5_000, storage=20.0)
    )
    return World(engine, world.account, world.sources, world.ids)


def joint(*usccs: str | None) -> dict[str, Any]:
    return of(*usccs, name="RegionSubject")


@pytest.mark.parametrize("view", ["public", "restricted", "internal"])
async def test_a_prefecture_answers_for_itself_alone(named: World, view: str) -> None:
    usccs = [SHOP, STRANGER, FIRM]
    answer = await named.ask(view, JOINT % f"bortala {{ subject {{ __typename {FIELDS} }} }}", joint(*usccs))
    subjects = await named.ask(view, SUBJECTS % FIELDS, {"u": usccs})
    # The entity stands for the code, whoever knows it; our field is what subject(uscc:) answers.
    assert answer == {
        "data": {
            "_entities": [
                {"__typename": "RegionSubject", "uscc": uscc, "bortala": {"subject": subject}}
                for uscc, subject in zip(usccs, subjects["data"]["subjects"], strict=True)
            ]
        }
    }
    assert (answer["data"]["_entities"][1]["bortala"]["subject"] is None) == (view == "public")


async def test_under_a_scope_the_whole_entity_is_forbidden(named: World) -> None:
    query = JOINT % f"bortala {{ subject {{ uscc {SECTION} }} }} again: bortala {{ subject {{ {SECTION} }} }}"
    named.sources.wanted.clear()
    answer = await named.ask("restricted_scoped", query, joint(SHOP, FIRM, None), kinds=["ENTERPRISE"])
    assert [found and found["bortala"]["subject"]["uscc"] for found in answer["data"]["_entities"]] == [
        None,
        FIRM,
        None,
    ]
    assert [error["path"] for error in answer["errors"]] == [["_entities", 0]]
    assert [want.subjects for want in named.sources.wanted] == [(FIRM,)]


async def test_sources_below_the_field_are_asked_from_the_keys(named: World) -> None:
    named.sources.wanted.clear()
    answer = await named.ask("restricted", JOINT % f"bortala {{ subject {{ {SECTION} }} }}", joint(SHOP, FIRM))
    assert [want.subjects for want in named.sources.wanted] == [(SHOP, FIRM)]
    assert answer["data"]["_entities"][1]["bortala"]["subject"]["courts"]["answer"]["status"] == "ANSWERED"
    document = prepare("RESTRICTED", JOINT_CONTRACTS["RESTRICTED"], JOINT % f"bortala {{ subject {{ {SECTION} }} }}")
    compiled = compile_operation(document, document.operation(None), {"r": [FIRM]}, Principal(RESTRICTED))
    assert compiled.keys["COURTS"].statement is None  # no statement of their own


async def test_each_form_has_its_own_entity(named: World, world: World) -> None:
    assert await named.refused("restricted", JOINT % "uscc", of(FIRM)) == ["BAD_USER_INPUT"]
    assert await world.refused("restricted", ENTITIES % "uscc", joint(FIRM)) == ["BAD_USER_INPUT"]
    assert await named.refused("restricted", ENTITIES % "uscc", joint(FIRM)) == ["GRAPHQL_VALIDATION_FAILED"]
    # Everything else is as without a name.
    query = "query N($id: ID!) { node(id: $id) { id } }"
    assert (await named.ask("public", query, {"id": small_world.FIRM_ID}))["data"]["node"]
