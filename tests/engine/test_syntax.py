"""Promise: a document's tree, its tokens and the error in it are those of graphql-core's own parser, whatever the text
is; and long texts are read in few steps."""

from __future__ import annotations

import contextlib
import gc
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLSyntaxError, Token
from graphql import parse as parse_slowly

from gateway.engine import documents, syntax
from gateway.engine.documents import prepare
from gateway.engine.syntax import parse
from gateway.errors import Refused
from gateway.schema.contracts import build_contracts
from scripts.hostile_kinds import KINDS

CONTRACTS = build_contracts()
MOST = 1_500
# Parts of texts: whole tokens, beginnings and ends of some, and what may stand nowhere.
PARTS = (
    *("a", "_b1", "é", "٣", "½", "?", "\0", "\x7f", "\ud83d", "\ude00", "\ud83d\ude00"),
    *('"x"', '""', '"""', '"', "'", "\\", '\\"', '\\"""', '"a\\"b"', '"""b\n c"""', '"""\n   b\n\n  c\r\n"""'),
    *("\\u00e4", "\\ud83d\\ude00", "\\ud83d", "\\u{41}", "\\u{", "\\u", "\\n", "\\x", "\\/"),
    *("\n", "\r", "\r\n", "  ", ",", "\ufeff", "\t", "#", "#c\n", "#\ud83d", "\u2028"),
    *("1", "-", "0", "01", "1.5", ".", "..", "...", "e5", "1e", "E-2", "-0.0e+1"),
    *("{", "}", "(", ")", "[", "]", "$", "@", "!", "&", "|", "=", ":", "on", "query", "fragment", "null"),
)
DOCUMENTS = (
    'query Q($a: [Int!]! = [1, -2.5e3] @d, $b: T = {c: "x", d: E}) @e { f: g(h: $a, i: {j: [$b]}) @k(l: true) { m } }',
    'mutation { a(b: """\n  c\n    d\n""") { ...F ... on T @g { h } ... { i } } } fragment F on T { j(k: null) }',
    '"said" query { a } # c\n subscription S { b(c: "\\u00e4\\n", d: [[], {}]) }',
    "{ a { b { c } } d: e } type T { a: Int }",
)


def shown(read: Callable[[], DocumentNode]) -> Any:
    """The tree with all tokens, or the error, as values that can be compared."""
    try:
        node = read()
    except GraphQLSyntaxError as error:
        return error.message, error.positions, error.locations
    except ValueError as error:  # of nothing that may be raised
        return repr(error)
    assert node.loc is not None
    return node.to_dict(locations=True), [told(token) for token in chain(node.loc.start_token)], node.token_count


def chain(token: Token | None) -> list[Token]:
    found = []
    while token is not None:
        assert token.prev is (found[-1] if found else None)
        found.append(token)
        token = token.next
    return found


def told(token: Token) -> tuple[Any, ...]:
    return token.kind, token.start, token.end, token.line, token.column, token.value


def both(text: str, most: int = MOST) -> tuple[Any, Any]:
    slowly = shown(lambda: parse_slowly(text, max_tokens=most, allow_empty_selection_sets=False))
    return shown(lambda: parse(text, most)), slowly


def texts(count: int) -> list[str]:
    """Made-up texts: parts in any order, some of them inside a string, a block string or a comment; and documents with
    parts put in, left out, or cut off."""
    dice = random.Random(20_261_127)
    found = []
    for number in range(count):
        text = "".join(dice.choice(PARTS) for _ in range(dice.randint(1, 9)))
        match number % 6:
            case 0:
                text = f'{{ a(b: "{text}") }}'
            case 1:
                text = f'{{ a(b: """{text}""") }}'
            case 2:
                text = f"{{ a #{text}\n b }}"
            case 3:
                text = f"{{ {text} }}"
            case 4:
                whole = dice.choice(DOCUMENTS)
                begin = dice.randrange(len(whole))
                text = whole[:begin] + text[: dice.randint(0, 4)] + whole[begin + dice.randint(0, 3) :]
            case _:
                text = dice.choice(DOCUMENTS)[: dice.randrange(80)] + text
        found.append(text)
    return found


@pytest.mark.parametrize("text", DOCUMENTS)
def test_documents(text: str) -> None:
    ours, theirs = both(text)
    assert len(ours) == 3
    assert isinstance(ours[0], dict)
    assert ours == theirs


def test_made_up_texts() -> None:
    right = 0
    for text in texts(5_000):
        ours, theirs = both(text)
        assert ours == theirs, repr(text)
        right += isinstance(ours[0], dict)
    assert 500 < right < 4_500


@pytest.mark.parametrize(
    "name", [name for name in KINDS if name.startswith(("30 KB", "1,4", "conditions", "an object"))]
)
def test_hostile_texts(name: str) -> None:
    ours, theirs = both(KINDS[name].query)
    assert ours == theirs


@pytest.mark.parametrize("most", [1, 5, 6, 7, 8, 20])
@pytest.mark.parametrize("text", [*DOCUMENTS, "#a\n#b\n#c\n{ a #d\n#e\n b #f\n#g\n#h\n}", "{ a #b"])
def test_the_bound_counts_comments(text: str, most: int) -> None:
    ours, theirs = both(text, most)
    assert ours == theirs


def test_what_is_nested_too_deeply_says_so() -> None:
    for text in ("{a" * 201 + "}" * 201, "{a(b:" + "[" * 400 + "]" * 400 + ")}", "query($a:" + "[" * 300 + "A"):
        ours, theirs = both(text)
        assert "nested too deeply" in ours[0]
        assert ours == theirs


# Ways in which an expression may be a little wrong, and how it would be found.
WRONG = {
    "an empty string begins a block": ('(?!"")', "", 1),
    "a number ends before a letter": ("(?![.0-9A-Z_a-z])", "", 1),
    "any escape": ('["\\\\/bfnrt]', ".", 1),
    "a surrogate in a string": (r"\ud800-\udfff", "", 1),
    "a line end in a string": (r"\n\r\ud800", r"\ud800", 1),
    "letters of any script": ("[_A-Za-z][_0-9A-Za-z]", r"\\w", 1),
    "digits of any script": ("[1-9][0-9]", r"[1-9]\\d", 1),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_comparison_finds_a_wrong_expression(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part, other, times = WRONG[what]
    pattern = syntax._PATTERN
    assert part in pattern
    wrong = pattern.replace(part, other.replace("\\\\", "\\"), times)
    monkeypatch.setattr(syntax, "_NEXT", re.compile(wrong, re.VERBOSE).match)
    assert any(ours != theirs for ours, theirs in map(both, texts(5_000)))


@pytest.mark.parametrize("text", ["{ viewer { view } }", "{ a }", "{ a", '{ a(b: "\\x") }', "{a" * 300, "{a " * 9_000])
def test_nothing_waits_for_the_collector(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is kept nor what is refused. Without the control each refused text leaves all its tokens."""

    def left() -> int:
        gc.collect()
        gc.disable()
        try:
            with contextlib.suppress(Refused):
                prepare("PUBLIC", CONTRACTS["PUBLIC"], text)
            return gc.collect()
        finally:
            gc.enable()

    left()  # what is made once
    assert left() < 20
    monkeypatch.setattr(syntax, "unlink", lambda token: None)
    monkeypatch.setattr(documents, "unlink", lambda token: None)
    assert left() >= 4


def steps(read: Callable[[], Any]) -> int:
    """How many lines of Python ran."""
    found = 0

    def count(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal found
        found += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        read()
    except GraphQLSyntaxError:
        pass
    finally:
        sys.settrace(before)
    return found


@pytest.mark.parametrize(
    "name", [name for name in KINDS if name.startswith("30 KB") and "brackets" not in name and "comments" not in name]
)
def test_long_texts_take_few_steps(name: str) -> None:
    """Character by character each takes tens of thousands; the lines of a block are looked at one by one."""
    text = KINDS[name].query
    few = steps(lambda: parse(text, MOST))
    assert few < (50_000 if "block" in name else 3_000)
    assert steps(lambda: parse_slowly(text, max_tokens=MOST)) > 10 * few or "block" in name
