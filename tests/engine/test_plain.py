"""Promise: what is called plainly valid is valid by every rule of graphql-core; what plain clients send is proved."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from graphql import GraphQLError, GraphQLSchema, Token, TokenKind, parse, validate
from graphql.language import Lexer, Source
from graphql.validation import specified_rules

from gateway.engine import plain
from gateway.engine.plain import is_plainly_valid
from gateway.schema.contracts import build_contracts

CODE = '"91652799YL0001402W"'
SUBJECT = f"subject(uscc: {CODE})"
PLAIN = (
    f"{{ {SUBJECT} {{ name }} }}",
    f"{{ a: {SUBJECT} {{ id __typename region {{ code }} }} b: {SUBJECT} {{ id }} }}",
    "query Q($uscc: Uscc!, $n: Int = 5) { subject(uscc: $uscc) { records(first: $n) { edges { node { id } } } } }",
    "query($codes: [Uscc!]!) { subjects(usccs: $codes) { name } }",
    f"query($one: Uscc!) {{ subjects(usccs: [$one, {CODE}]) {{ name }} }}",
    "query($kind: RecordKind!) { records(filter: {kinds: [$kind, LICENCE]}, first: 3) { totalCount } }",
    "query($filter: RecordFilter) { records(filter: $filter, orderBy: {direction: DESC}) { totalCount } }",
    f"{{ {SUBJECT} {{ records {{ edges {{ node {{ id ... on Penalty {{ amount }} ... {{ title }} }} }} }} }} }}",
    '{ __schema { types { fields { type { fields { name args { name } } } } } } a: __type(name: "Subject") { name } }',
    "mutation($input: RevokeConsentInput!) { revokeConsent(input: $input) { consent { id } } }",
)
# One for each rule that a plain document could break; nothing else is wrong with it.
INVALID = {
    "an unknown field": f"{{ {SUBJECT} {{ nobody }} }}",
    "a field of another contract": f"{{ {SUBJECT} {{ identityNumber }} }}",
    "a leaf with fields": f"{{ {SUBJECT} {{ name {{ a }} }} }}",
    "an object without fields": f"{{ {SUBJECT} }}",
    "__typename with fields": f"{{ {SUBJECT} {{ __typename {{ a }} }} }}",
    "an unknown argument": f"{{ {SUBJECT} {{ name(a: 1) }} }}",
    "an argument twice": f"{{ subject(uscc: {CODE}, uscc: {CODE}) {{ name }} }}",
    "a required argument left out": "{ subject { name } }",
    "null where none may be": "{ subject(uscc: null) { name } }",
    "a number for a text": "{ searchSubjects(query: 12) { totalCount } }",
    "a text for a number": f'{{ {SUBJECT} {{ records(first: "a") {{ totalCount }} }} }}',
    "an unknown value of an enum": "{ records(filter: {kinds: [NOBODY]}) { totalCount } }",
    "an unknown field of an input": "{ records(filter: {nobody: 1}) { totalCount } }",
    "a field of an input twice": "{ records(filter: {kinds: [PENALTY], kinds: [LICENCE]}) { totalCount } }",
    "a variable that is not there": "query($a: Uscc!) { subject(uscc: $b) { id } }",
    "a variable that nobody uses": f"query($a: Uscc!) {{ {SUBJECT} {{ id }} }}",
    "a variable twice": "query($a: Uscc!, $a: Uscc!) { subject(uscc: $a) { id } }",
    "a variable of an unknown type": "query($a: Nobody) { subject(uscc: $a) { id } }",
    "a variable of an output type": "query($a: Subject) { subject(uscc: $a) { id } }",
    "a variable of another type": "query($a: Int!) { subject(uscc: $a) { id } }",
    "a variable that may be null": "query($a: Uscc) { subject(uscc: $a) { id } }",
    "a variable in a list that may be null": "query($a: Uscc) { subjects(usccs: [$a]) { id } }",
    "a variable in an input of another type": "query($a: Int) { records(filter: {kinds: [$a]}) { totalCount } }",
    "a default of another type": 'query($a: Int = "x") { records(first: $a) { totalCount } }',
    "a type that can't be here": f"{{ {SUBJECT} {{ ... on Region {{ name }} }} }}",
    "a type without fields": f"{{ {SUBJECT} {{ ... on Uscc {{ name }} }} }}",
    "two fields under one name": f"{{ {SUBJECT} {{ a: name a: id }} }}",
    "introspection that is too deep": "{ __schema { types { fields { type { fields { type { fields { name }}}}}}}}",
    "an unknown field of introspection": "{ __schema { nobody } }",
    "introspection below the root": f"{{ {SUBJECT} {{ __schema {{ types {{ name }} }} }} }}",
    "an unknown directive": f"{{ {SUBJECT} {{ name @nobody }} }}",
    "an unknown fragment": f"{{ {SUBJECT} {{ ...a }} }}",
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_contracts()["RESTRICTED"]


def errors(schema: GraphQLSchema, text: str) -> list[GraphQLError]:
    return validate(schema, parse(text), specified_rules)


@pytest.mark.parametrize("text", PLAIN)
def test_plain_documents_are_proved(schema: GraphQLSchema, text: str) -> None:
    assert errors(schema, text) == []
    assert is_plainly_valid(schema, parse(text))


@pytest.mark.parametrize("what", INVALID)
def test_what_a_rule_refuses_is_not_proved(schema: GraphQLSchema, what: str) -> None:
    assert errors(schema, INVALID[what]) != []
    assert not is_plainly_valid(schema, parse(INVALID[what]))


def tokens(text: str) -> list[str]:
    """The document's tokens as they stand in it."""
    lexer, found = Lexer(Source(text)), []
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        found.append(shown(token, text))
    return found


def shown(token: Token, text: str) -> str:
    return text[token.start : token.end]


def changed(dice: random.Random, parts: list[str], others: list[str]) -> str:
    """The document with one to three tokens left out, doubled, exchanged, or replaced by those of other documents."""
    parts = list(parts)
    for _ in range(dice.randint(1, 3)):
        place = dice.randrange(len(parts))
        match dice.randrange(5):
            case 0:
                del parts[place]
            case 1:
                parts.insert(place, parts[place])
            case 2:
                other = dice.randrange(len(parts))
                parts[place], parts[other] = parts[other], parts[place]
            case 3:
                parts[place] = dice.choice(others)
            case _:
                parts.insert(place, dice.choice(others))
    return " ".join(parts)


def compared(schema: GraphQLSchema, proved: Callable[..., bool], count: int) -> tuple[int, int, list[str]]:
    """Of changed documents: how many were proved, how many are invalid, and those that are both."""
    dice = random.Random(20_261_127)
    documents = [tokens(text) for text in PLAIN]
    others = sorted({token for text in (*PLAIN, *INVALID.values()) for token in tokens(text)})
    plainly = wrong = 0
    both = []
    while plainly + wrong < count:
        text = changed(dice, dice.choice(documents), others)
        try:
            document = parse(text, allow_empty_selection_sets=False)
        except GraphQLError:
            continue
        found = proved(schema, document)
        invalid = bool(validate(schema, document, specified_rules))
        plainly, wrong = plainly + found, wrong + invalid
        if found and invalid:
            both.append(text)
    return plainly, wrong, both


def test_no_changed_document_is_proved_and_invalid(schema: GraphQLSchema) -> None:
    plainly, wrong, both = compared(schema, is_plainly_valid, 1_500)
    assert both == []
    assert plainly > 100
    assert wrong > 500


@pytest.mark.parametrize("control", ["_variable", "_arguments", "_literal", "_narrowed"])
def test_the_comparison_finds_a_control_that_is_gone(
    schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch, control: str
) -> None:
    def without(walk: plain._Walk, first: object, *rest: object, **_: object) -> object:
        if control == "_variable":
            walk.used.add(first.name.value)  # type: ignore[attr-defined]
        return schema.get_type("Subject") if control == "_narrowed" else None

    monkeypatch.setattr(plain._Walk, control, without)
    assert any(is_plainly_valid(schema, parse(text)) for text in INVALID.values())
