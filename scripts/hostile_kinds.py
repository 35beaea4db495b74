"""Documents that are written to cost: each kind with its variables, as large as it can be sent.

In: nothing. Out: `KINDS`, name → Hostile. Each is to be refused, whatever it is, or answered where it asks for little in
the end, and in little CPU. scripts/hostile_documents.py measures them, tests/engine/test_hostile.py holds them.
"""

# ruff: noqa: E501 -- a table, a kind a line

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

USCC = "91652799YL0001402W"


@dataclass(frozen=True)
class Hostile:
    """A document and its variables."""

    query: str
    variables: dict[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        """As it is sent."""
        return json.dumps({"query": self.query, "variables": self.variables}).encode()


def _many(count: int, text: str) -> str:
    """`text` so many times, with its number in place of #."""
    return " ".join(text.replace("#", str(n)) for n in range(count))


def _doubling(levels: int) -> str:
    fragments = _many(levels, "fragment f# on Subject{a:predecessors{...f#+1}b:successors{...f#+1}}")
    for n in range(levels):
        fragments = fragments.replace(f"f{n}+1", f"f{n + 1}")
    return '{subject(uscc:"' + USCC + '"){...f0}}' + fragments + f"fragment f{levels} on Subject{{name}}"


def _tree(width: int, depth: int, leaf: str = "name", name: str = "predecessors") -> str:
    """A field `width` times in itself."""
    return leaf if depth == 0 else f"{name}{{{_tree(width, depth - 1, leaf, name)}}}" * width


def _spread_all(count: int) -> str:
    """Fragments that all stand in one selection: the rule on merging compares each with each."""
    fragments = _many(count, "fragment f# on Subject{predecessors{a#:name name}}")
    return '{subject(uscc:"' + USCC + '"){' + _many(count, "...f#") + "}}" + fragments


def _nested_records(levels: int) -> str:
    """A selection that differs by the type of a record, inside of itself: nine plans of each level for one above."""
    inner = "title"
    for _ in range(levels):
        inner = f"... on Penalty{{title}}...on Licence{{title}}subject{{records{{edges{{node{{{inner}}}}}}}}}"
    return f"{{records{{edges{{node{{{inner}}}}}}}}}"


def _introspection(levels: int) -> str:
    return "{__schema{types{" + "fields{type{" * levels + "name" + "}}" * levels + "}}}"


def _cycle(count: int) -> str:
    names = [f"f{n}" for n in range(count)] + ["f0"]
    return "{...f0}" + "".join(f"fragment {a} on Query{{...{b}}}" for a, b in pairwise(names))


def _all_cycles(count: int) -> str:
    """Each fragment spreads each."""
    spreads = _many(count, "...f#")
    return "{...f0}" + _many(count, "fragment f# on Query{" + spreads + "}")


def _operations(count: int, each: str, more: str = "") -> str:
    return _many(count, each) + more


def _chain(count: int) -> str:
    links = "".join(f"fragment f{n} on Query{{...f{n + 1}}}" for n in range(count))
    return links + f"fragment f{count} on Query{{a:__typename b:sources{{code}}}}"


def _circle(operations: int, uses: int) -> str:
    """Fragments in a circle, of which one has all that operations use: measured in a circle it seems to be empty."""
    circle = "fragment f on Query{...g subjects(usccs:[" + "$a" * uses + "]){name}}fragment g on Query{...f}"
    return circle + _operations(operations, "query q#($a:Uscc!){...g}")


_CODES = [f"9165279900{n:08d}" for n in range(1_000)]
_SUBJECT = '{subject(uscc:"' + USCC + '"){'

KINDS: dict[str, Hostile] = {
    "658 bytes of chained fragments": Hostile(_doubling(8)),
    "chained fragments, 24 deep": Hostile(_doubling(24)),
    "1 MB of fields": Hostile("{" + "sources{code}" * 75_000 + "}"),
    "1 MB in one name": Hostile("{" + "x" * 1_000_000 + "}"),
    "1 MB in one string": Hostile('{codeList(name:"' + "x" * 1_000_000 + '"){code}}'),
    "30 KB of comments": Hostile("#x\n" * 10_000 + "{x}"),
    "30 KB of line ends": Hostile("\n" * 30_000 + "{x}"),
    "30 KB of brackets": Hostile("{" * 30_000),
    "30 KB in one name": Hostile("{" + "x" * 30_000 + "}"),
    "30 KB in one block string": Hostile('{codeList(nome:"""' + "x\n " * 10_000 + '"""){code}}'),
    "30 KB of escapes": Hostile('{codeList(nome:"' + "\\u00e4" * 5_000 + '"){code}}'),
    "30 KB of digits": Hostile("{records(first:" + "9" * 30_000 + "){totalCount}}"),
    "30 KB of decimals": Hostile("{records(first:0." + "9" * 30_000 + "){totalCount}}"),
    "10,000 aliases": Hostile("{" + _many(10_000, "a#:__typename") + "}"),
    "480 aliases": Hostile("{" + _many(480, "a#:x") + "}"),
    "3,000 duplicate fields": Hostile("{" + "x " * 3_000 + "}"),
    "1,490 duplicate fields": Hostile("{" + "x " * 1_490 + "}"),
    "ten times ten times ten of one field": Hostile(_SUBJECT + _tree(10, 3, "a") + "}}"),
    "the same, nothing wrong with it": Hostile(_SUBJECT + _tree(10, 3) + "}}"),
    "five fields, four deep": Hostile(_SUBJECT + _tree(5, 4, "name a:name") + "}}"),
    "three fields, five deep": Hostile(_SUBJECT + _tree(3, 5, "name a:name") + "}}"),
    "two fields, seven deep": Hostile(_SUBJECT + _tree(2, 7, "name a:name") + "}}"),
    "90 fragments in one selection": Hostile(_spread_all(90)),
    "a list in a list, 600 deep": Hostile("{subjects(usccs:" + "[" * 600 + "]" * 600 + "){name}}"),
    "a list in a list, 900 deep, as a default": Hostile(
        "query($a:[Uscc!]!=" + "[" * 900 + "]" * 900 + "){subjects(usccs:$a){name}}"
    ),
    "an object in an object, 300 deep": Hostile("{records(filter:" + "{a:" * 300 + "1" + "}" * 300 + "){totalCount}}"),
    "a type in a type, 900 deep": Hostile("query($a:" + "[" * 900 + "Int" + "]" * 900 + "){records(first:$a){totalCount}}"),
    "a variable of such a list": Hostile("query($a:[Uscc!]!){subjects(usccs:$a){name}}", {"a": json.loads("[" * 60 + "]" * 60)}),
    "selections 400 deep": Hostile(_SUBJECT + "predecessors{" * 400 + "name" + "}" * 402),
    "selections 39 deep, each twice": Hostile(_SUBJECT + "predecessors{" * 20 + "records{edges{node{title}}}" + "}" * 22),
    "inline fragments 39 deep": Hostile("{" + "...{" * 300 + "__typename" + "}" * 301),
    "fragments in a cycle": Hostile(_cycle(200)),
    "each fragment in each": Hostile(_all_cycles(28)),
    "290 operations": Hostile(_operations(290, "query q#{x}")),
    "290 operations, nothing wrong with them": Hostile(_operations(290, "query q#{__typename}")),
    "130 operations with directives": Hostile(_operations(130, "query q#{__typename@skip(if:true)}")),
    "operations over a chain of fragments": Hostile(_operations(40, "query q#{...f0}") + _chain(38)),
    "the same with an unknown field": Hostile(_operations(40, "query q#{...f0}") + _chain(38).replace("code", "cope")),
    "operations with variables in fragments": Hostile(
        _operations(50, "query q#($a:String!){...f0}")
        + "fragment f0 on Query{" + _many(60, "a#:codeList(name:$a){code}") + "}"
    ),
    "operations over a circle of fragments, with variables": Hostile(_circle(70, 280)),
    "operations with as many variables as there may be": Hostile(
        _operations(13, "query q#($a:Uscc!){...f}") + "fragment f on Query{subjects(usccs:[" + "$a" * 290 + "]){x}}"
    ),
    "unused fragments": Hostile("{__typename}" + _many(200, "fragment f# on Query{__typename}")),
    "unused variables": Hostile("query(" + _many(360, "$a#:Int") + "){__typename}"),
    "undefined variables": Hostile("{" + _many(120, "a#:codeList(name:$a#){code}") + "}"),
    "variables with defaults of nested objects": Hostile(
        "query(" + _many(70, "$a#:RecordFilter={kinds:[PENALTY],areas:[GENERAL],regionCode:1}") + "){__typename}"
    ),
    "the same directive 200 times": Hostile("{__typename" + "@skip(if:true)" * 200 + "}"),
    "an unknown directive 700 times": Hostile("{__typename" + "@x" * 700 + "}"),
    "conditions by 90 variables": Hostile(
        "query(" + _many(90, "$c#:Boolean!") + "){" + _many(90, "a#:x@skip(if:$c#)") + "}"
    ),
    "an argument 480 times": Hostile("{records(" + "first:1," * 480 + "){totalCount}}"),
    "an unknown argument 480 times": Hostile("{records(" + _many(480, "a#:1") + "){totalCount}}"),
    "a field of an object 480 times": Hostile("{records(filter:{" + "kinds:PENALTY," * 480 + "}){totalCount}}"),
    "990 wrong values in a list": Hostile("{records(filter:{kinds:[" + "X " * 990 + "]}){totalCount}}"),
    "1,400 values in a list": Hostile("{subjects(usccs:[" + '"x"' * 1_400 + "]){name}}"),
    "1,000 errors": Hostile("{" + _many(95, "a#:x(a:$b,c:[D])@e") + "}"),
    "errors in every rule": Hostile(_many(45, "query q{...g#... on X#{y}}fragment g# on Y{z(a:$b)}")),
    "impossible fragments": Hostile("{" + "...on Penalty{title}" * 140 + "}"),
    "records by type, in themselves": Hostile(_nested_records(7)),
    "introspection, four levels": Hostile(_introspection(4)),
    "introspection, two levels, 100 times": Hostile("{__schema{types{fields{type{" + _many(100, "a#:fields{name type{name}}") + "}}}}}"),
    "introspection of all, 140 times a value": Hostile("{__schema{types{fields{args{" + _many(140, "a#:name") + "}}}}}"),
    "introspection by name, 20 times": Hostile("{" + _many(20, 'a#:__type(name:"Subject"){name}') + "}"),
    "ofType 40 deep": Hostile("{__schema{types{fields{type{" + "ofType{" * 40 + "name" + "}" * 45 + "}"),
    "a variable of 200,000 values": Hostile("query($a:[Uscc!]!){subjects(usccs:$a){name}}", {"a": ["x"] * 200_000}),
    "a variable with 60,000 unknown fields": Hostile(
        "query($a:RecordFilter){records(filter:$a){totalCount}}", {"a": {f"a{n}": 0 for n in range(60_000)}}
    ),
    "60,000 variables that nobody defined": Hostile("query($a:Int!){records(first:$a){totalCount}}", {f"a{n}": 0 for n in range(60_000)}),
    "40 lists of 1,000 codes, the last one wrong": Hostile(
        "query(" + _many(40, "$a#:[Uscc!]!") + "){" + _many(40, "b#:subjects(usccs:$a#){name}") + "}",
        {f"a{n}": _CODES for n in range(40)},
    ),
    "wrong values in 100 variables": Hostile(
        "query(" + _many(100, "$a#:RecordFilter") + "){" + _many(100, "b#:records(filter:$a#){totalCount}") + "}",
        {f"a{n}": {"kinds": ["X"] * 1_000} for n in range(100)},
    ),
    "1,000 subjects, each with 100 records with 100 records": Hostile(
        "query($a:[Uscc!]!){subjects(usccs:$a){records(first:100){edges{node{subject{records(first:100){totalCount}}}}}}}",
        {"a": [USCC] * 1_000},
    ),
}  # fmt: skip
