"""Promises: what a client wrote is repeated in messages, but no identity number in it, whatever stands before it."""

from __future__ import annotations

import pytest
from graphql import GraphQLError, GraphQLSchema, build_schema, parse, validate

from gateway.engine import wording
from gateway.engine.variables import bad

NUMBER = "652799196009290017"  # no such division: nobody's
SCHEMA: GraphQLSchema = build_schema("enum E { A B } type Query { f(e: E, s: String): Int }")


@pytest.mark.parametrize(
    "document",
    [
        f"{{ a{NUMBER} }}",
        f"{{ f(a{NUMBER}: 1) }}",
        f"{{ f(e: a{NUMBER}) }}",
        f'{{ f(e: "{NUMBER}") }}',
        f"{{ f(s: {NUMBER}) }}",
        f"{{ ...a{NUMBER} }}",
        f"{{ f @a{NUMBER} }}",
        f"query Q($a{NUMBER}: E) {{ f }}",
        f"query Q($a: a{NUMBER}) {{ f(s: $a) }}",
        f"{{ {'f' * 70}{NUMBER} }}",
    ],
)
def test_validation(document: str) -> None:
    errors = validate(SCHEMA, parse(document))
    assert errors
    for error in errors:
        for told in wording.validation(error.message, SCHEMA, "PUBLIC"):
            assert NUMBER not in told
            assert NUMBER[4:-4] not in told


@pytest.mark.parametrize(
    "document", [f"{{ f {NUMBER} }}", f"a{NUMBER}", f"{{ f(s: 0{NUMBER}) }}", f"{{ f(a{NUMBER}) }}"]
)
def test_syntax(document: str) -> None:
    with pytest.raises(GraphQLError) as error:
        parse(document)
    for told in wording.syntax(error.value.message):
        assert NUMBER[4:-4] not in told


def test_names_of_variables_and_fields() -> None:
    error = bad(f"$f.a{NUMBER}", f"has no field a{NUMBER}", f"没有字段 a{NUMBER}")
    assert NUMBER[4:-4] not in error.en + error.zh


def test_codes_stay() -> None:
    told, _ = wording.validation("Cannot query field '916527222294335251' on type 'Query'.", SCHEMA, "PUBLIC")
    assert "916527222294335251" in told
