"""Promises about documents that are written to cost (scripts/hostile_kinds.py): each is refused, or answered, in little
work, from the body's bytes up to the statement that would run. Work is counted in calls of Python functions, which is
the same on every machine; `python -m scripts.hostile_documents` measures time. Without its control an attack succeeds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from graphql import execute_sync, get_introspection_query, parse
from graphql.validation.rules import overlapping_fields_can_be_merged

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine import documents, introspection, planner, size, syntax, validation, variables
from gateway.engine import plan as p
from gateway.engine.compile import compile_operation
from gateway.engine.documents import prepare
from gateway.engine.introspection import introspect
from gateway.engine.planner import Planner
from gateway.engine.request import Limits, check_sizes
from gateway.engine.selection import Document as Collected
from gateway.errors import ClientError, QueryTooCostly, Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.levels import INTERNAL
from gateway.web import reading
from gateway.web.reading import NotHttp
from scripts.hostile_kinds import KINDS, Hostile

CONTRACTS = build_contracts()
WHO = {"PUBLIC": ANONYMOUS, "INTERNAL": Principal(INTERNAL, client_id="c", scope="{}")}
MOST_CALLS = 50_000  # an ordinary question takes 7,000; measured, the costliest kind takes some 10 ms
REFUSALS = ("413", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "QUERY_TOO_COSTLY", "BAD_USER_INPUT")
ANSWERED = {"introspection of all, 140 times a value"}


def answer(contract: str, body: bytes) -> str:
    """What a request comes to: its code, the status before GraphQL begins, or that a statement would run."""
    try:
        request = reading.from_body(body, "en")
        document = prepare(contract, CONTRACTS[contract], request.query)
        operation = document.operation(None)
        given, _ = operation.coerce(request.variables)
        compiled = compile_operation(document, operation, given, WHO[contract])
        check_sizes(compiled, given, WHO[contract], Limits(cost=50_000, cost_public=5_000, storage=20.0))
        for key in compiled.plan.introspection:
            introspect(document, operation, key, request.variables)
    except NotHttp as error:
        return str(error.status)
    except (Refused, ClientError) as error:
        return str(error.code)
    return "answered"


def calls(work: Callable[[], Any]) -> tuple[int, Any]:
    """How many Python functions were called, and what came out."""
    found = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal found
        found += event == "call"

    sys.setprofile(count)
    try:
        made = work()
    finally:
        sys.setprofile(None)
    return found, made


@pytest.mark.parametrize("contract", ["PUBLIC", "INTERNAL"])
@pytest.mark.parametrize("name", KINDS)
def test_it_is_refused_in_little_work(name: str, contract: str) -> None:
    body = KINDS[name].body()
    count, code = calls(lambda: answer(contract, body))
    assert count < MOST_CALLS
    if name not in ANSWERED:
        assert code in REFUSALS


def test_what_people_ask_passes() -> None:
    lines = " ".join(f"a{n}: records(first: 5) {{ edges {{ node {{ title kind status }} }} }}" for n in range(15))
    for query in (
        get_introspection_query(input_value_deprecation=True),
        f'{{ subject(uscc: "91652799YL0001402W") {{ name {lines} }} }}',
        "query A { ...F } query B { ...F } query C { ...F } fragment F on Query { sources { code name } }",
    ):
        prepare("INTERNAL", CONTRACTS["INTERNAL"], query)
    assert answer("INTERNAL", Hostile(get_introspection_query()).body()) == "answered"


# Without its control --------------------------------------------------------------------------------------------------


def test_types_inside_of_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned for each type anew, one level more is nine times the work: 563 bytes would never end."""

    def planned(levels: int) -> int:
        inner = "title"
        for _ in range(levels):
            inner = f"...on Penalty{{title}}...on Licence{{title}}subject{{records{{edges{{node{{{inner}}}}}}}}}"
        document = prepare("PUBLIC", CONTRACTS["PUBLIC"], f"{{records{{edges{{node{{{inner}}}}}}}}}")
        made = Planner(Collected(document.schema, document.fragments, {}), {})
        made.plan(document.operation(None).node)
        return made._planned

    assert planned(3) - planned(2) < 2 * (planned(2) - planned(1))
    monkeypatch.setattr(Planner, "_fields_of_type", Planner._fields)
    monkeypatch.setattr(planner, "MOST_PLANNED", 10**9)
    assert planned(3) > 7 * planned(2) > 49 * planned(1) * 0.9


def test_fragments_in_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relations of a fragment are planned once, and are as many as before."""
    query = KINDS["658 bytes of chained fragments"].query
    document = prepare("PUBLIC", CONTRACTS["PUBLIC"], query)

    def plan() -> tuple[p.Plan, int]:
        made = Planner(Collected(document.schema, document.fragments, {}), {})
        return made.plan(document.operation(None).node), made._planned

    once, planned = calls(plan)
    monkeypatch.setattr(Planner, "_related", Planner._rows)
    often, each = calls(plan)
    assert planned == each
    assert often > 10 * once


def test_fields_that_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    body = KINDS["two fields, seven deep"].body()
    bounded, _ = calls(lambda: answer("PUBLIC", body))
    monkeypatch.setattr(overlapping_fields_can_be_merged, "MAX_COMPLEXITY_BUDGET", 500_000)
    unbounded, _ = calls(lambda: answer("PUBLIC", body))
    assert unbounded > 5 * bounded


def test_uses_of_variables_in_a_circle_of_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    body = KINDS["operations over a circle of fragments, with variables"].body()
    bounded, _ = calls(lambda: answer("PUBLIC", body))
    monkeypatch.setattr(validation, "MOST_PLACES", 10**9)
    monkeypatch.setattr(validation, "_OURS", {})
    validation._rules.cache_clear()
    try:
        assert calls(lambda: answer("PUBLIC", body))[0] > 5 * bounded
    finally:
        validation._rules.cache_clear()


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("290 operations, nothing wrong with them", "MOST_DEFINITIONS"),
        ("operations with variables in fragments", "MOST_PLACES"),
        ("an argument 480 times", "MOST_ARGUMENTS"),
        ("a field of an object 480 times", "MOST_ARGUMENTS"),
        ("unused variables", "MOST_VARIABLES"),
        ("the same directive 200 times", "MOST_DIRECTIVES"),
        ("480 aliases", "MOST_SELECTIONS"),
    ],
)
def test_documents_that_are_measured(monkeypatch: pytest.MonkeyPatch, name: str, bound: str) -> None:
    """What is done with a document when it has been parsed."""
    body = KINDS[name].body()
    parsed, _ = calls(lambda: syntax.parse(KINDS[name].query, documents.MOST_TOKENS))
    bounded, code = calls(lambda: answer("PUBLIC", body))
    assert code == "QUERY_TOO_COSTLY"
    monkeypatch.setattr(size, bound, 10**9)
    assert calls(lambda: answer("PUBLIC", body))[0] - parsed > 3 * (bounded - parsed)


def test_introspection(monkeypatch: pytest.MonkeyPatch) -> None:
    body = KINDS["introspection, two levels, 100 times"].body()
    bounded, code = calls(lambda: answer("PUBLIC", body))
    assert code == "QUERY_TOO_COSTLY"
    monkeypatch.setattr(introspection, "MOST_INTROSPECTED", 10**9)
    assert calls(lambda: answer("PUBLIC", body))[0] > 3 * bounded


def members(value: Any) -> int:
    """How many values there are in an answer."""
    if isinstance(value, dict):
        return len(value) + sum(map(members, value.values()))
    return sum(map(members, value)) if isinstance(value, list) else 0


REPEATED = (
    "{__schema{types{fields{type{a:fields{name type{name}} b:fields{name type{name} args{name}} ofType{name kind"
    " c:fields{name type{kind} d:type{kind}}}}}}}}",
    '{__type(name:"Subject"){a:fields(includeDeprecated:true){name} b:fields{name} c:fields{name type{name fields{'
    "name __typename}}} fields{x:name type{y:name fields{name __typename}}}}}",
)


@pytest.mark.parametrize("query", [*REPEATED, get_introspection_query()])
def test_what_introspection_asks_again_counts_again(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked up again, but the answer has it: as many values as there are in it are told, to the last."""
    document = prepare("PUBLIC", CONTRACTS["PUBLIC"], query)
    operation = document.operation(None)
    (key,) = [node.name.value for node in operation.node.selection_set.selections]
    monkeypatch.setattr(introspection, "MOST_INTROSPECTED", 10**9)
    found = json.loads(introspect(document, operation, key, {}))
    expected = execute_sync(CONTRACTS["PUBLIC"], parse(query)).data
    assert expected is not None
    assert found == expected[key]
    monkeypatch.setattr(introspection, "MOST_INTROSPECTED", 1 + members(found))
    introspect(document, operation, key, {})
    monkeypatch.setattr(introspection, "MOST_INTROSPECTED", members(found))
    with pytest.raises(QueryTooCostly):
        introspect(document, operation, key, {})


def test_introspection_of_the_same_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    document = prepare("PUBLIC", CONTRACTS["PUBLIC"], REPEATED[0])
    operation = document.operation(None)
    monkeypatch.setattr(introspection, "MOST_INTROSPECTED", 10**9)
    once, _ = calls(lambda: introspect(document, operation, "__schema", {}))
    monkeypatch.setattr(introspection, "GraphQLNamedType", int)  # nothing is a type
    often, _ = calls(lambda: introspect(document, operation, "__schema", {}))
    assert often > 2 * once


def test_names_that_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_VALUES", 10**9)
    body = Hostile("query($a:RecordFilter){records(filter:$a){totalCount}}", {"a": {f"a{n}": 0 for n in range(5_000)}})
    bounded, _ = calls(lambda: answer("PUBLIC", body.body()))
    monkeypatch.setattr(variables, "MOST_ERRORS", 10**9)
    assert calls(lambda: answer("PUBLIC", body.body()))[0] > 5 * bounded


def test_bodies_of_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    body = KINDS["60,000 variables that nobody defined"].body()
    assert answer("PUBLIC", body) == "413"
    monkeypatch.setattr(reading, "MOST_VALUES", 10**9)
    assert answer("PUBLIC", body) == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("declared", "asked", "ok"),
    [
        ("$v: String!", "codeList(name: $v) { code }", True),
        ("$v: RecordKind!", "records(filter: {kinds: [$v]}) { edges { cursor } }", False),
        ("$v: Uscc!", "subject(uscc: $v) { name }", False),
    ],
)
def test_texts_that_are_long(declared: str, asked: str, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte in one variable is told before anything is looked for in it, which took up to three seconds."""
    text, given = f"query ({declared}) {{ {asked} }}", "1 " * 500_000
    for contract in WHO:
        operation = prepare(contract, CONTRACTS[contract], text).operation(None)
        with pytest.raises(Refused, match="may have at most 4096 characters"):
            operation.coerce({"v": given})
    monkeypatch.setattr(variables, "MOST_TEXT", 10**9)
    if ok:
        operation.coerce({"v": given})
    else:
        with pytest.raises(Refused, match=r"is no value|not a unified"):
            operation.coerce({"v": given})


def test_characters_and_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for body in (Hostile("{" + "sources{code}" * 4_000 + "}").body(), Hostile("{" + "x " * 3_000 + "}").body()):
        assert answer("PUBLIC", body) == "QUERY_TOO_COSTLY"
        bounded, _ = calls(lambda body=body: answer("PUBLIC", body))
        monkeypatch.setattr(documents, "MOST_CHARACTERS", 10**9)
        monkeypatch.setattr(documents, "MOST_TOKENS", 10**9)
        monkeypatch.setattr(size, "MOST_SELECTIONS", 10**9)
        monkeypatch.setattr(size, "MOST_REPEATED", 10**9)
        assert calls(lambda body=body: answer("PUBLIC", body))[0] > 1.5 * bounded
        monkeypatch.undo()


# Introspection answers as graphql-core does ---------------------------------------------------------------------------


INTROSPECTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (get_introspection_query(input_value_deprecation=True, schema_description=True, directive_is_repeatable=True), {}),
    ("query($n:String!){__type(name:$n){...F}}fragment F on __Type{kind name __typename fields{name}}", {"n": "Date"}),
    ('{__type(name:"CreditRecord"){possibleTypes{name interfaces{name}} x:fields{args{name defaultValue}}}}', {}),
    ('{__type(name:"Nothing"){name}}', {}),
    ('query($d:Boolean=true){__type(name:"Subject"){fields(includeDeprecated:$d){name isDeprecated}}}', {"d": False}),
    ('query($s:Boolean!){__schema{queryType{name@skip(if:$s)kind}mutationType@include(if:$s){name}}}', {"s": True}),
    ("{__schema{subscriptionType{name}directives{name isRepeatable locations args{name type{name kind}}}}}", {}),
    ('{__type(name:"Uscc"){kind specifiedByURL description} __typename}', {}),
    ('{__type(name:"RecordFilter"){isOneOf inputFields(includeDeprecated:true){name type{kind ofType{name}}}}}', {}),
    ("{__schema{types{name} types{kind} ...on __Schema{description}}}", {}),
)  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(("query", "given"), INTROSPECTIONS)
def test_introspection_is_that_of_graphql_core(query: str, given: dict[str, Any], contract: str) -> None:
    schema = CONTRACTS[contract]
    document = prepare(contract, schema, query)
    operation = document.operation(None)
    expected = execute_sync(schema, parse(query), variable_values=given)
    assert expected.errors is None
    assert expected.data is not None
    for key in expected.data:
        if key != "__typename":
            assert json.loads(introspect(document, operation, key, given)) == expected.data[key]


def test_the_plan_of_types_is_the_same_as_planned_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    query = """{ records { edges { node { __typename id subject { name ... on Node { id } }
      ... on Penalty { fine subject { uscc } authority { name formerNames } penaltyKind: kind }
      ... on Licence { authority { name } licenceStatus: status } ... on CreditRecord { title } } } } }"""

    def plan() -> p.Plan:
        document = prepare("INTERNAL", CONTRACTS["INTERNAL"], query)
        return Planner(Collected(document.schema, document.fragments, {}), {}).plan(document.operation(None).node)

    together = plan()
    monkeypatch.setattr(Planner, "_fields_of_type", Planner._fields)
    assert together == plan()


def test_a_refusal_of_introspection_says_what_to_do() -> None:
    document = prepare("PUBLIC", CONTRACTS["PUBLIC"], KINDS["introspection, two levels, 100 times"].query)
    with pytest.raises(QueryTooCostly, match="ask for fewer"):
        introspect(document, document.operation(None), "__schema", {})
