"""Promise: a document gets the errors that all rules of the specification find in it, in their order, whichever of them
were left out because they can't find anything."""

from __future__ import annotations

import pytest
from graphql import GraphQLSchema, parse, validate
from graphql.validation import specified_rules

from gateway.engine import validation
from gateway.engine.validation import errors_of
from gateway.schema.contracts import build_contracts

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
    "query($a: Uscc!, $a: Uscc!) { subject(uscc: $a) { id } }",
    "query($a: Nobody) { subject(uscc: $a) { id } }",
    "query($a: Subject) { subject(uscc: $a) { id } }",
    "query($a: Int) { subject(uscc: $a) { id } }",
    "query($a: Uscc!) { subject(uscc: $b) { id } }",
    "{ records(filter: {kinds: [PENALTY], kinds: [LICENCE]}) { totalCount } }",
    '{ records(filter: {nobody: 1}, first: "a") { totalCount } }',
    f"{{ {SUBJECT} {{ name }} }} # @ ... __ fragment subscription",
    f'query a($b: String = "@ ... fragment") {{ {SUBJECT} {{ name }} }}',
    f"{{ {SUBJECT} {{ __typename }} }}",
    "type A { a: Int }",
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
