"""Promise: a document gets the errors that all rules of the specification find in it, in their order, whichever of them
were left out because they can't find anything, and whatever is remembered between them. Rules on variables are asked
with the usages that graphql-core itself would find."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    parse,
    validate,
)
from graphql.validation import ValidationContext, specified_rules

from gateway.engine import validation
from gateway.engine.size import check_size
from gateway.engine.usages import usages_of
from gateway.engine.validation import errors_of
from gateway.schema.contracts import build_contracts
from scripts.hostile_kinds import KINDS
from tests.engine.test_plain import changed, tokens

SUBJECT = 'subject(uscc: "91652799YL0001402W")'
# Every rule that may be left out, with documents in which it finds something.
FOUND = {
    "KnownDirectivesRule": f"{{ {SUBJECT} {{ name @nobody }} }}",
    "UniqueDirectivesPerLocationRule": f"{{ {SUBJECT} {{ name @skip(if: true) @skip(if: true) }} }}",
    "FragmentsOnCompositeTypesRule": f"{{ {SUBJECT} {{ name ... on Uscc {{ name }} }} }}",
    "UniqueFragmentNamesRule": (
        f"{{ {SUBJECT} {{ ...a }} }} fragment a on Subject {{ name }} fragment a on Subject {{ id }}"
    ),
    "KnownFragmentNamesRule": f"{{ {SUBJECT} {{ ...nobody }} }}",
    "NoUnusedFragmentsRule": f"{{ {SUBJECT} {{ name }} }} fragment a on Subject {{ name }}",
    "PossibleFragmentSpreadsRule": f"{{ {SUBJECT} {{ ... on Region {{ name }} }} }}",
    "NoFragmentCyclesRule": f"{{ {SUBJECT} {{ ...a }} }} fragment a on Subject {{ ...a }}",
    "MaxIntrospectionDepthRule": (
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
    ),
    "SingleFieldSubscriptionsRule": ("subscription { a: recordChanged { kind } b: recordChanged { kind } }"),
    "UniqueVariableNamesRule": "query($a: Uscc!, $a: Uscc!) { subject(uscc: $a) { id } }",
    "VariablesAreInputTypesRule": "query($a: Subject) { subject(uscc: $a) { id } }",
    "NoUndefinedVariablesRule": "{ subject(uscc: $a) { id } }",
    "NoUnusedVariablesRule": f"query($a: Int) {{ {SUBJECT} {{ id }} }}",
    "VariablesInAllowedPositionRule": "query($a: Uscc) { subject(uscc: $a) { id } }",
}
OTHERS = (
    "{ nobody }",
    "{ subject { name } }",
    f"{{ {SUBJECT} {{ name(a: 1) }} }}",
    f"{{ {SUBJECT} }}",
    f"{{ {SUBJECT} {{ name {{ a }} }} }}",
    f"{{ {SUBJECT} {{ a: name a: id }} }}",
    f"query a {{ {SUBJECT} {{ id }} }} query a {{ {SUBJECT} {{ id }} }}",
    f"{{ {SUBJECT} {{ id }} }} query a {{ {SUBJECT} {{ id }} }}",
    "query($a: Nobody) { subject(uscc: $a) { id } }",
    "query($a: Int) { subject(uscc: $a) { id } }",
    "query($a: Uscc!) { subject(uscc: $b) { id } }",
    "{ records(filter: {kinds: [PENALTY], kinds: [LICENCE]}) { totalCount } }",
    '{ records(filter: {nobody: 1}, first: "a") { totalCount } }',
    f"{{ {SUBJECT} {{ name }} }} # @ ... __ fragment subscription",
    f'query a($b: String = "@ ... fragment") {{ {SUBJECT} {{ name }} }}',
    f"{{ {SUBJECT} {{ __typename }} }}",
    "type A { a: Int }",
)
# Documents in which variables stand everywhere; they are changed.
USING = (
    """query Q($u: Uscc!, $n: Int = 5, $k: [RecordKind!], $c: Boolean! = true) @skip(if: $c) { subject(uscc: $u) { ...F
      records(first: $n, filter: {kinds: $k}) { edges { node { id @include(if: $c) ... on Penalty @skip(if: $c) {
      title } } } } } } fragment F on Subject { name @skip(if: $c) records(first: $n) { totalCount } }""",
    """query A($k: RecordKind!, $l: Int) { ...R } query B($k: RecordKind!, $l: Int! = 3) { ...R }
      fragment R on Query { records(filter: {kinds: [$k, LICENCE]}, first: $l) { ...P pageInfo { hasNextPage } } }
      fragment P on RecordConnection { edges { node { subject { records(first: $l) { totalCount } } } } }""",
    """query($f: RecordFilter, $d: Direction = DESC, $us: [Uscc!]!, $u: Uscc!) {
      records(filter: $f, orderBy: {direction: $d}) { totalCount }
      a: subjects(usccs: $us) { id } b: subjects(usccs: [$u, $u]) { id } c: subject(uscc: $u) { id } }""",
    "mutation($i: RevokeConsentInput!, $id: ID!) { a: revokeConsent(input: $i) { consent { id } }"
    " b: revokeConsent(input: {consentId: $id}) { consent { id } } }",
    "query($a: Int) { ... { ...A } } fragment A on Query { ...B x @y(z: $a) }"
    " fragment B on Query { ...A w(v: {u: [$b]}) }",
)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_contracts()["RESTRICTED"]


def told(errors: list[object]) -> list[str]:
    return [str(error) for error in errors]


@pytest.mark.parametrize("text", [*FOUND.values(), *OTHERS])
def test_the_errors_of_all_rules(schema: GraphQLSchema, text: str) -> None:
    document = parse(text)
    every = validate(schema, document, max_errors=50, hide_suggestions=True)
    assert told(errors_of(schema, document, text, 50)) == told(every)


def changed_documents(count: int) -> list[tuple[str, DocumentNode]]:
    dice = random.Random(20_261_127)
    parts = [tokens(text) for text in USING]
    others = sorted({token for each in parts for token in each})
    found = [(text, parse(text)) for text in USING]
    while len(found) < count:
        text = changed(dice, dice.choice(parts), others)
        with contextlib.suppress(GraphQLError):
            found.append((text, parse(text, allow_empty_selection_sets=False)))
    return found


Expected = tuple[str, DocumentNode, int, list[str]]


@pytest.fixture(scope="module")
def expected(schema: GraphQLSchema) -> list[Expected]:
    """Changed documents with what all rules find in them, five errors of every other one."""
    found = []
    for number, (text, document) in enumerate(changed_documents(250)):
        most = 5 if number % 2 else 50
        errors = told(validate(schema, document, max_errors=most, hide_suggestions=True))
        found.append((text, document, most, errors))
    return found


def differs(schema: GraphQLSchema, case: Expected) -> bool:
    text, document, most, errors = case
    return told(errors_of(schema, document, text, most)) != errors


def test_the_errors_of_all_rules_in_changed_documents(schema: GraphQLSchema, expected: list[Expected]) -> None:
    assert [case[0] for case in expected if differs(schema, case)] == []
    assert 100 < sum(bool(errors) for *_, errors in expected) < 240


def usages(schema: GraphQLSchema, definition: Any, document: DocumentNode) -> tuple[list[Any], list[Any]]:
    context = ValidationContext(schema, document, TypeInfo(schema), lambda error: None)
    return [[*usage] for usage in usages_of(schema, definition)], [
        [*usage] for usage in context.get_variable_usages(definition)
    ]


def test_the_usages_of_graphql_core(schema: GraphQLSchema) -> None:
    found = 0
    for text, document in changed_documents(150):
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
                ours, theirs = usages(schema, definition, document)
                assert ours == theirs, text
                found += len(ours)
    assert found > 400


@pytest.mark.parametrize("control", ["may_stand", "_has_value", "usages_of"])
def test_the_comparison_finds_what_is_wrong(
    schema: GraphQLSchema, expected: list[Expected], control: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*given: Any, **_: Any) -> Any:
        return usages_of(*given)[1:] if control == "usages_of" else True

    monkeypatch.setattr(validation, control, wrong)
    assert any(differs(schema, case) for case in expected)


def test_a_circle_of_fragments_hides_no_uses_of_variables(
    schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in a circle is measured as nothing (size.py). Each operation walks it all the same."""
    text = KINDS["operations over a circle of fragments, with variables"].query
    document = parse(text)
    asked = 0

    def count(self: Any, *given: Any) -> Any:
        nonlocal asked
        found = of_the_context(self, *given)
        asked += len(found)
        return found

    of_the_context = validation._Context.get_recursive_variable_usages
    monkeypatch.setattr(validation._Context, "get_recursive_variable_usages", count)
    check_size(document)  # it passes
    last = errors_of(schema, document, text, 5)[-1]
    assert last.message == "Validation aborted."
    assert asked < 4 * validation.MOST_PLACES
    monkeypatch.setattr(validation, "MOST_PLACES", 10**9)
    asked = 0
    errors_of(schema, document, text, 5)
    assert asked > 10 * validation.MOST_PLACES or asked > 50_000


def left_out() -> set[str]:
    return {name for _, names in validation._ONLY_WITH for name in names}


def test_rules_that_may_be_left_out_are_there_and_find_something(schema: GraphQLSchema) -> None:
    rules = {rule.__name__: rule for rule in specified_rules}
    assert left_out() <= set(rules)
    # Rules on directives that no contract has: nothing can be found by them.
    untold = {name for name in left_out() if "Defer" in name or "Stream" in name}
    assert left_out() - untold == set(FOUND)
    for name, text in FOUND.items():
        assert validate(schema, parse(text), [rules[name]]), name


@pytest.mark.parametrize("name", FOUND)
def test_without_its_sign_a_rule_would_be_missed(
    schema: GraphQLSchema, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tells that a rule is needed is looked for as written: with another sign its error would not be found."""
    text = FOUND[name]
    alone = validate(schema, parse(text), [rule for rule in specified_rules if rule.__name__ == name])
    signs = tuple((("\0",), names) for _, names in validation._ONLY_WITH)
    monkeypatch.setattr(validation, "_ONLY_WITH", signs)
    assert not set(told(alone)) & set(told(errors_of(schema, parse(text), text, 50)))


def test_a_document_without_directives_and_fragments_is_asked_for_little() -> None:
    few = validation._rules(tuple(False for _ in validation._ONLY_WITH))
    assert len(few) == len(specified_rules) - len(left_out())
