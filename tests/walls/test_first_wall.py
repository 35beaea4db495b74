"""The first wall: what lies above a contract does not exist in it.

Every coordinate × contract × kind of path: at or above its level the document is valid, is planned, and the statement
runs as the view's own role; below, it fails exactly like a misspelt name: same code, same message, same place, no
suggestion. Introspection and SDL show the asker's own contract only. Expected levels: expected_levels.py, by hand.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from expected_levels import CONTRACTS, ENUM_VALUES, INPUT_FIELDS, LEVELS, TYPES, I, P, R, visible
from graphql import GraphQLSchema, build_schema, get_introspection_query, parse, print_ast, print_schema
from walls_documents import Case, Generator, coordinates, together
from walls_support import ACCESSES_OF, PRINCIPALS, FakeAccount, FakeSources, NoRows, arguments, ask, pairs, with_scope

from gateway.auth.principal import Principal
from gateway.engine.compile import Compiled, compile_operation
from gateway.engine.documents import Document, prepare
from gateway.engine.execute import Engine, Limits, Request
from gateway.engine.mutate import compile_mutation
from gateway.engine.sql import Statement
from gateway.errors import Refused
from gateway.schema.contracts import annotated_schema, build_contracts, sdl
from gateway.schema.federation import subgraph_sdl
from gateway.storage.database import Database

ANNOTATED = annotated_schema()
CASES = tuple(Generator(ANNOTATED).cases())


def hidden_from(contract: str, coordinate: str) -> bool:
    """Whether a coordinate should be missing; arguments go with their field."""
    field, _, argument = coordinate.partition("(")
    owner = field.partition(".")[0]
    if not visible(owner, contract):
        return True
    if field == owner and not argument:
        return False
    return not visible(field, contract)


def errors_of(contract: str, schema: GraphQLSchema, text: str) -> Document | list[dict[str, object]]:
    """The document, or its request errors as a client gets them, in both languages."""
    try:
        return prepare(contract, schema, text)
    except Refused as refused:
        return [error.as_json(language) for error in refused.errors for language in ("en", "zh")]


def allowed(contract: str, case: Case) -> bool:
    return not any(hidden_from(contract, coordinate) for coordinate in case.coordinates)


def violations(contract: str, schema: GraphQLSchema, case: Case) -> list[str]:
    """What is wrong with the first wall for a document that should not be valid; nothing where it stands."""
    found = errors_of(contract, schema, case.text)
    twin, renamed = case.twin(lambda coordinate: hidden_from(contract, coordinate))
    where = f"{contract} {case.coordinate} ({case.kind}): {case.text}"
    if isinstance(found, Document):
        return [f"{where}: should not exist"]
    misspelt = errors_of(contract, schema, twin)
    if isinstance(misspelt, Document):
        return [f"{where}: the misspelt twin is valid: {twin}"]
    said = json.dumps(misspelt, ensure_ascii=False)
    for wrong, right in renamed.items():
        said = re.sub(rf"\b{wrong}\b", right, said)
    told = json.dumps(found, ensure_ascii=False)
    if said != told:
        return [f"{where}: {told} is not {said}"]
    named = set(re.findall(r"\w+", told)) - set(re.findall(r"\w+", case.text))
    leaked = named & {name for name in ANNOTATED.type_map if not visible(name, contract)}
    codes = {error["extensions"]["code"] for error in found}  # type: ignore[index]
    if leaked or "did you mean" in told.lower() or codes != {"GRAPHQL_VALIDATION_FAILED"}:
        return [f"{where}: tells {leaked or told}"]
    return []


def test_every_coordinate_has_an_expected_level() -> None:
    """A new field, value or type that nobody decided on fails here, before anything else."""
    names = {c for c in coordinates(ANNOTATED) if "." in c}
    assert names <= set(LEVELS)
    assert set(TYPES) & coordinates(ANNOTATED) >= {"RecordVersion", "Matter", "EnforcementCase"}
    covered = {case.coordinate for case in CASES}
    read = ("View", "SubjectKind", "SubjectRole", "SourceStatus", "SourceKind", "ConsentParty", "RecordChangeKind")
    only_read = {
        f"{e}.{v}" for e in (*read, "WithdrawalCause") for v in getattr(ANNOTATED.type_map.get(e), "values", ())
    }  # no argument takes them yet: introspection has them
    assert names - covered <= only_read


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_coordinate_by_every_kind_of_path(contract: str) -> None:
    schema = build_contracts(ANNOTATED)[contract]
    visible_cases = [case for case in CASES if allowed(contract, case)]
    refused = [text for text in together(visible_cases) if not isinstance(errors_of(contract, schema, text), Document)]
    assert refused == []
    hidden_cases = [case for case in CASES if not allowed(contract, case)]
    assert [violation for case in hidden_cases for violation in violations(contract, schema, case)] == []
    assert bool(hidden_cases) == (contract != "INTERNAL")
    pairs.count("coordinate × contract × path, visible", len(visible_cases))
    pairs.count("coordinate × contract × path, hidden", len(hidden_cases))


@pytest.mark.parametrize("contract", ["PUBLIC", "RESTRICTED", "SELF"])
def test_the_walk_notices_a_wall_that_is_gone(contract: str) -> None:
    """Serve the INTERNAL schema under a lower name: every single hidden coordinate is reported."""
    internal = build_contracts(ANNOTATED)["INTERNAL"]
    hidden = [case for case in CASES if not allowed(contract, case)]
    assert hidden
    assert all("should not exist" in violations(contract, internal, case)[0] for case in hidden)


def test_the_walk_notices_a_wall_too_many() -> None:
    """Serve the PUBLIC schema as INTERNAL: what is missing is noticed."""
    public = build_contracts(ANNOTATED)["PUBLIC"]
    texts = together(case for case in CASES if "Matter.code" in case.coordinates or "RecordVersion" in case.template)
    assert texts
    assert not any(isinstance(errors_of("INTERNAL", public, text), Document) for text in texts)


@pytest.mark.parametrize("contract", CONTRACTS)
async def test_what_a_contract_allows_its_role_can_read(database: Database, contract: str) -> None:
    """Both walls against the same table: each planned statement names its own schema alone and runs as its own role."""
    schema = build_contracts(ANNOTATED)[contract]
    cases = [case for case in CASES if allowed(contract, case) and "$v" not in case.text]
    documents = [prepare(contract, schema, text) for text in together(cases)]
    for access in ACCESSES_OF[contract]:
        principal = PRINCIPALS[access.name]
        statements: dict[str, Statement] = {}
        for document in documents:
            for compiled in compiled_of(document, principal):
                if compiled.body is not None:
                    statements[compiled.body.text] = compiled.body
        others = re.compile(rf"\b(?:v_(?!{access.name}\.)\w+|core|auth|ledger)\.")
        assert [text for text in statements if others.search(text)] == []
        connection = await asyncpg.connect(database.dsn(access.name), statement_cache_size=0)
        try:
            async with with_scope(connection, principal.scope):
                for text, statement in statements.items():
                    values = [value.resolve(GIVEN, principal, _Answers()) for value in statement.parameters]
                    row = await connection.fetchrow(text, *arguments(statement, values))
                    assert not statement.accounts or row["disclosed"] == 1
        finally:
            await connection.close()
        assert len(statements) > 100
        pairs.count("statement × role", len(statements))


GIVEN = {"identity": "00" * 32}  # a blind index, as what is behind persons.hide gets it


def compiled_of(document: Document, principal: Principal) -> list[Compiled]:
    """What a document is compiled to for this very access: a change is made under a scope alone."""
    operation = document.operation(None)
    if not operation.mutation:
        return [compile_operation(document, operation, GIVEN, principal)]
    if not principal.access.scoped:
        return []
    steps = compile_mutation(document, operation, {}, principal)
    return [step.payload for step in steps if step.payload is not None]


class _Answers(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        if key == "place":  # of the change that a subscription answers with
            return 1
        return str(uuid.UUID(int=0)) if key in ("written:consent", "written:subject", "sole") else "{}"


# Introspection and SDL -----------------------------------------------------------------------------------------------


def expected(contract: str) -> set[str]:
    return {c for c in coordinates(ANNOTATED) if not hidden_from(contract, c)}


def engine(contracts: Mapping[str, GraphQLSchema]) -> Engine:
    pools = {access.name: NoRows() for accesses in ACCESSES_OF.values() for access in accesses}
    return Engine(contracts, pools, FakeAccount(), FakeSources(), Limits(50_000, 5_000, storage=20.0))


@pytest.mark.parametrize("contract", CONTRACTS)
async def test_introspection_shows_the_own_contract(contract: str) -> None:
    serving = engine(build_contracts(ANNOTATED))
    for access in ACCESSES_OF[contract]:
        answer = await ask(serving, PRINCIPALS[access.name], get_introspection_query(descriptions=False))
        found = set()
        for type_ in answer["data"]["__schema"]["types"]:
            if type_["name"].startswith("__") or type_["kind"] == "SCALAR":
                continue
            found.add(type_["name"])
            for member in (type_["fields"] or []) + (type_["inputFields"] or []) + (type_["enumValues"] or []):
                found.add(f"{type_['name']}.{member['name']}")
        assert found == expected(contract)
        pairs.count("introspection", len(coordinates(ANNOTATED)))


@pytest.mark.parametrize("contract", CONTRACTS)
async def test_a_hidden_type_is_unknown_by_name(contract: str) -> None:
    serving = engine(build_contracts(ANNOTATED))
    query = "query ($n: String!) { a: __type(name: $n) { ...T } } fragment T on __Type { name fields { name } }"
    principal = PRINCIPALS[ACCESSES_OF[contract][0].name]
    for name in sorted(c for c in coordinates(ANNOTATED) if "." not in c):
        answer = await ask(serving, principal, query, n=name)
        assert (answer["data"]["a"] is None) == (not visible(name, contract)), name
    assert await ask(serving, principal, query, n="Misspelt") == {"data": {"a": None}}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_sdl_shows_the_own_contract(contract: str) -> None:
    text = sdl(build_contracts(ANNOTATED)[contract])
    assert coordinates(build_schema(text)) == expected(contract)
    # Nor do descriptions name what is not there: types by their name, fields that nothing visible is called like.
    seen = {part for c in expected(contract) for part in c.split(".")}
    hidden = {part for c in coordinates(ANNOTATED) - expected(contract) for part in c.split(".")} - seen
    words = set(re.findall(r"\w+", text))
    assert {name for name in hidden & words if not name.islower()} == set()


def test_the_sdl_check_notices_a_wall_that_is_gone() -> None:
    assert coordinates(build_schema(print_schema(ANNOTATED))) - expected("PUBLIC")


MACHINERY = {"_Entity", "_Service", "_Service.sdl", "Query._service", "Query._entities"}
JOINT = {"RegionSubject", "RegionSubject.uscc", "RegionSubject.bortala", "PrefectureAnswer", "PrefectureAnswer.subject"}
# By hand: whose tokens have a field of that level (docs/clients.md).
DIRECTIVES = {
    P: set(),
    R: {
        '@tag(name: "restricted")',
        "@authenticated",
        '@requiresScopes(scopes: [["view:restricted"], ["view:internal"], ["subject:self"]])',
    },
    I: {'@tag(name: "internal")', "@authenticated", '@requiresScopes(scopes: [["view:internal"]])'},
}


def subgraph(text: str) -> dict[str, set[str]]:
    """Coordinate → directives, of the types, fields and values that a subgraph's SDL defines."""
    found: dict[str, set[str]] = {}
    for definition in parse(text).definitions:
        node: Any = definition
        if getattr(node, "name", None) is None or node.kind == "scalar_type_definition":
            continue
        owner = node.name.value
        found[owner] = set()
        for member in getattr(node, "fields", None) or getattr(node, "values", None) or ():
            directives = {print_ast(directive) for directive in member.directives or ()}
            # An interface's fields are tagged alone: composers refuse more there, and its types have it.
            if node.kind == "interface_type_definition" and directives:
                directives |= DIRECTIVES[max(level for level in DIRECTIVES if directives <= DIRECTIVES[level])]
            found[f"{owner}.{member.name.value}"] = directives
    return found


@pytest.mark.parametrize("name", ["", "bortala"])
@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_subgraphs_sdl_shows_the_own_contract_and_says_who_has_what(contract: str, name: str) -> None:
    text = subgraph_sdl(build_contracts(ANNOTATED, federation_name=name)[contract])
    found = subgraph(text)
    own = expected(contract) - MACHINERY
    if name:
        assert set(found) >= JOINT
        assert set(found) - JOINT < own
    else:
        assert set(found) == own
    told = {c: found[c] for c in found if "." in c and c.split(".")[0] not in {*ENUM_VALUES, *INPUT_FIELDS}}
    # Connections, edges and PageInfo have the level of the field that returns them, which is marked.
    inherit = re.compile(r"(\w+(Connection|Edge)|PageInfo)\.")
    public = {c for c in told if c in JOINT or inherit.match(c)}
    assert told == {c: DIRECTIVES[P if c in public else LEVELS[c]] for c in told}
    assert ("@authenticated @requiresScopes" in text) == (contract != "PUBLIC")
    hidden = {part for c in coordinates(ANNOTATED) - expected(contract) for part in c.split(".")}
    hidden -= {part for c in expected(contract) for part in c.split(".")}
    assert {word for word in hidden & set(re.findall(r"\w+", text)) if not word.islower()} == set()
    pairs.count("subgraph's SDL, coordinate × contract × form", len(found))


# Variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", CONTRACTS)
def test_values_in_variables(contract: str) -> None:
    """A hidden value in a variable is refused in the words that a misspelt one gets."""
    document = prepare(
        contract,
        build_contracts(ANNOTATED)[contract],
        "query ($f: RecordFilter) { records(filter: $f) { totalCount } }",
    )
    coerce = document.operation(None).coerce

    def said(value: str) -> str | None:
        try:
            coerce({"f": {"statuses": [value]}})
        except Refused as refused:
            return " ".join(f"{error.en} {error.zh}" for error in refused.errors)
        return None

    refused = said("MISSPELT")
    assert refused is not None
    found = Counter(
        (said(value) is None, hidden_from(contract, f"RecordStatus.{value}"))
        for value in ANNOTATED.type_map["RecordStatus"].values  # type: ignore[attr-defined]
    )
    assert set(found) <= {(True, False), (False, True)}
    assert {said(v) for v in ("EXPIRED", "REVOKED") if hidden_from(contract, f"RecordStatus.{v}")} <= {refused}
    with pytest.raises(Refused, match="has no field"):
        coerce({"f": {"identityNumber": "x"}})


async def test_a_skipped_operation_is_validated_too() -> None:
    """Every operation of a document is held against the contract, not only the one that is named."""
    serving = engine(build_contracts(ANNOTATED))
    query = "query A { __typename } query B { matters { code } }"
    with pytest.raises(Refused) as refused:
        await serving.answer(PRINCIPALS["public"], Request(query, "A"))
    assert refused.value.errors[0].code == "GRAPHQL_VALIDATION_FAILED"
