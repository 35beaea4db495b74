"""The contracts: names, arguments and meanings that partners rely on stand; nothing without level or description."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import strawberry
from graphql import GraphQLObjectType, GraphQLSchema, parse, print_ast

from gateway.schema.contracts import SchemaError, annotated_schema, build_contracts
from gateway.schema.fields import column
from gateway.storage.catalogue import Column
from gateway.storage.levels import Level

CONTRACT = Path(__file__).resolve().parents[3] / "shared" / "contract" / "schema.graphql"
# What later work brings; everything else of the contract must be here.
LATER = {
    "Query": {"person", "searchSubjects", "progress", "check"},
    "Subject": {"regionPlatform", "peers", "bank"},
}
LATER_TYPES = re.compile(
    r"Check|Finding|Candidate|Verdict|Consent|Objection|Repair|Report|Applicant|Case|RegionPlatform|Peer|Bank|"
    r"SubjectConnection|SubjectEdge|SubjectFilter|Mutation"
)


def built(*types: type) -> GraphQLSchema:
    """A schema of one more root."""
    return strawberry.Schema(query=types[0])._schema


def test_a_field_without_a_level_fails_the_build() -> None:
    @strawberry.type(description="Root")
    class Query:
        fine: str = column("name", "Has a level", Level.PUBLIC)
        bare: str = strawberry.field(description="Has none")

    with pytest.raises(SchemaError, match=r"Query\.bare has no view level"):
        build_contracts(built(Query))


def test_no_field_is_public_by_default() -> None:
    @strawberry.type(description="Root")
    class Query:
        forgotten: str = column("name", "Written by the project's own helper, its level forgotten")

    with pytest.raises(SchemaError, match=r"Query\.forgotten has no view level"):
        build_contracts(built(Query))
    with pytest.raises(TypeError, match="level"):
        Column("forgotten", "s.name")  # type: ignore[call-arg]


def test_a_field_without_a_description_fails_the_build() -> None:
    @strawberry.type(description="Root")
    class Query:
        fine: str = column("name", "", Level.PUBLIC)

    with pytest.raises(SchemaError, match=r"Query\.fine has no description"):
        build_contracts(built(Query))


def test_public_is_within_restricted_is_within_internal() -> None:
    contracts = build_contracts()

    def coordinates(name: str) -> set[str]:
        return {
            f"{type_.name}.{field}"
            for type_ in contracts[name].type_map.values()
            if isinstance(type_, GraphQLObjectType)
            for field in type_.fields
        }

    assert coordinates("PUBLIC") < coordinates("RESTRICTED") < coordinates("INTERNAL")
    assert coordinates("SELF") == coordinates("RESTRICTED")


@pytest.mark.skipif(not CONTRACT.exists(), reason="the partners' contract is not beside this repository")
def test_the_partners_contract_stands() -> None:
    ours = annotated_schema()
    differences = []
    for definition in parse(CONTRACT.read_text(encoding="utf-8")).definitions:
        node: Any = definition
        if getattr(node, "name", None) is None or node.kind == "directive_definition":
            continue
        name = node.name.value
        if LATER_TYPES.search(name) and name != "CreditRecord":
            continue
        type_: Any = ours.type_map.get(name)
        if type_ is None:
            differences.append(f"{name} is missing")
            continue
        for value in getattr(node, "values", None) or ():
            if value.name.value not in type_.values:
                differences.append(f"{name}.{value.name.value} is missing")
        for field in getattr(node, "fields", None) or ():
            field_name = field.name.value
            if field_name in LATER.get(name, ()):
                continue
            found = type_.fields.get(field_name)
            if found is None or str(found.type) != print_ast(field.type):
                differences.append(f"{name}.{field_name}: {found and found.type} for {print_ast(field.type)}")
                continue
            for argument in getattr(field, "arguments", None) or ():
                given = found.args.get(argument.name.value)
                if given is None or str(given.type) != print_ast(argument.type):
                    differences.append(f"{name}.{field_name}({argument.name.value}): {given and given.type}")
    assert differences == []
