"""A disclosure says which fields were released, by view level: those selected, once each, however it is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse

from gateway.engine.released import released
from gateway.engine.selection import Document
from gateway.schema.contracts import build_contracts

SCHEMAS = build_contracts()


def of(query: str, view: str = "RESTRICTED", conditions: dict[str, Any] | None = None) -> dict[str, list[str]]:
    document = parse(query)
    (operation,) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    fragments = {node.name.value: node for node in document.definitions if node is not operation}  # type: ignore[attr-defined]
    found: dict[str, list[str]] = json.loads(
        released(Document(SCHEMAS[view], fragments, conditions or {}), operation)  # type: ignore[arg-type]
    )
    return found


RECORDS = '{ subject(uscc: "x") { __typename name records(first: 1) { totalCount edges { cursor node { %s } } } } }'


def test_fields_by_the_level_that_the_schema_gives_them() -> None:
    found = of("{ matters { code name legalBasis } viewer { view } }")
    assert found == {
        "PUBLIC": ["Query.viewer", "Viewer.view"],
        "RESTRICTED": ["Matter.code", "Matter.legalBasis", "Matter.name", "Query.matters"],
    }


def test_of_a_connection_what_returns_it() -> None:
    found = of(RECORDS % "id title")
    assert found["PUBLIC"] == [
        "CreditRecord.id",
        "CreditRecord.title",
        "Query.subject",
        "Subject.name",
        "Subject.records",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "{ a: matters { ...F } b: matters { ...F x: name } } fragment F on Matter { code name }",
        "{ matters { ... { code } ... on Matter { name } } }",
        "query ($n: Boolean!) { matters { code name @include(if: $n) legalBasis @skip(if: $n) } }",
    ],
)
def test_however_it_is_said(query: str) -> None:
    assert of(query, conditions={"n": True}) == {"RESTRICTED": ["Matter.code", "Matter.name", "Query.matters"]}


def test_a_concrete_type_has_its_own_name() -> None:
    found = of(RECORDS % "title ... on Penalty { number: title amount }")
    names = {name for level in found.values() for name in level}
    assert {"CreditRecord.title", "Penalty.title", "Penalty.amount"} <= names


def test_the_text_is_canonical() -> None:
    """RFC 8785: the same fields are the same bytes."""
    first, second = (
        released(Document(SCHEMAS["RESTRICTED"], {}, {}), parse(query).definitions[0])  # type: ignore[arg-type]
        for query in ("{ matters { name code } viewer { view } }", "{ viewer { view } matters { code name code } }")
    )
    assert (
        first
        == second
        == '{"PUBLIC":["Query.viewer","Viewer.view"],"RESTRICTED":["Matter.code","Matter.name","Query.matters"]}'
    )
