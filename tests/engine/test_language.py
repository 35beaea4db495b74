"""Promises about GraphQL's executable language (specification, §2 to §6): whatever it can say is answered by the
compiled way as the specification says. Each case is a document with its variables and the answer, written by hand from
small_world.py; the order of keys is part of it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.engine.execute import Request
from tests.engine import small_world
from tests.engine.conftest import World

FIRM = small_world.FIRM
S = f'subject(uscc: "{FIRM}")'
TITLES = ["罚款一", "荣誉一", "许可一\n二行", "判决一"]  # of the firm, newest first


def edges(*titles: str, key: str = "title") -> dict[str, Any]:
    """A connection with these titles alone."""
    return {"edges": [{"node": {key: title}} for title in titles]}


RECORDS = "edges { node { title } }"
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # §2.7 aliases, §5.3.2 merging
    "one field by several arguments": (
        f"{{ {S} {{ a: records(first: 1) {{ {RECORDS} }} b: records(last: 1) {{ {RECORDS} }}"
        f" c: records(filter: {{kinds: [HONOUR]}}) {{ {RECORDS} }} }} }}",
        {},
        {"subject": {"a": edges(TITLES[0]), "b": edges(TITLES[3]), "c": edges(TITLES[1])}},
    ),
    "there and back again": (
        f"{{ {S} {{ records(first: 1) {{ edges {{ node {{ subject {{ name records(last: 1) {{ edges {{ node {{ title"
        " subject { uscc } } } } } } } } } }",
        {},
        {"subject": {"records": {"edges": [{"node": {"subject": {
            "name": '示例"引号"有限公司',
            "records": {"edges": [{"node": {"title": TITLES[3], "subject": {"uscc": FIRM}}}]},
        }}}]}}},
    ),
    "fields of one key become one": (
        f"{{ {S} {{ records(first: 1) {{ totalCount }} }} x: {S} {{ name }} {S} {{ kind records(first: 1) {{ {RECORDS}"
        " totalCount } } }",
        {},
        {"subject": {"records": {"totalCount": 4, **edges(TITLES[0])}, "kind": "ENTERPRISE"},
         "x": {"name": '示例"引号"有限公司'}},
    ),
    "fragments merge into their place": (
        f"query {{ ...A {S} {{ kind }} ...B }} fragment A on Query {{ {S} {{ uscc }} }}"
        f" fragment B on Query {{ {S} {{ ...C uscc }} }} fragment C on Subject {{ onRecord }}",
        {},
        {"subject": {"uscc": FIRM, "kind": "ENTERPRISE", "onRecord": True}},
    ),
    # §3.13 directives
    "conditions on everything": (
        f"query ($y: Boolean!, $n: Boolean = false) {{ {S} {{ a: uscc @include(if: $y) b: uscc @include(if: $n)"
        " c: uscc @skip(if: $y) d: uscc @skip(if: $n) @include(if: $y) ...F @skip(if: $n) ...F @include(if: $n)"
        " ... @include(if: $y) { e: uscc } ... on Subject @skip(if: $y) { f: uscc } ... on Node @include(if: true)"
        " { g: __typename } } } fragment F on Subject { h: uscc i: kind @skip(if: $y) }",
        {"y": True},
        {"subject": {"a": FIRM, "d": FIRM, "h": FIRM, "e": FIRM, "g": "Subject"}},
    ),
    "nothing is left": (f"{{ {S} @skip(if: true) {{ name }} }}", {}, {}),
    "an object of which nothing is left": (f"{{ {S} {{ name @skip(if: true) }} }}", {}, {"subject": {}}),
    "edges of which nothing is left": (
        f"{{ {S} {{ records(first: 2) {{ edges {{ node {{ title @include(if: false) }} }} pageInfo {{ hasNextPage"
        " @skip(if: true) } totalCount @skip(if: true) } } }",
        {},
        {"subject": {"records": {"edges": [{"node": {}}, {"node": {}}], "pageInfo": {}}}},
    ),
    # §4.1 type names
    "type names": (
        f"{{ __typename t: __typename viewer {{ __typename }} {S} {{ __typename region {{ __typename }}"
        " records(first: 1) { __typename pageInfo { __typename } edges { __typename node { __typename authority"
        " { __typename } source { __typename } } } } recordCounts { __typename } courts { __typename answer"
        " { __typename } } } }",
        {},
        {"__typename": "Query", "t": "Query", "viewer": {"__typename": "Viewer"}, "subject": {
            "__typename": "Subject", "region": {"__typename": "Region"},
            "records": {"__typename": "CreditRecordConnection", "pageInfo": {"__typename": "PageInfo"}, "edges": [
                {"__typename": "CreditRecordEdge", "node": {"__typename": "Penalty", "authority":
                    {"__typename": "Subject"}, "source": {"__typename": "Source"}}}]},
            "recordCounts": [{"__typename": "RecordCount"}] * 4,
            "courts": {"__typename": "CourtSection", "answer": {"__typename": "SourceAnswer"}}}},
    ),
    # §2.8 fragments on interfaces
    "fragments on interfaces and their types": (
        f"{{ {S} {{ ... on Node {{ id ... on Subject {{ uscc }} }} records(first: 3) {{ edges {{ node {{ ...R ... on"
        " Node { __typename } ... on CreditRecord { ... on Licence { certificateNumber } } } } } } }"
        " fragment R on CreditRecord { kind ... on Penalty { fine } ... on Honour { honourLevel } }",
        {},
        {"subject": {"id": small_world.FIRM_ID, "uscc": FIRM, "records": {"edges": [
            {"node": {"kind": "PENALTY", "fine": "5000.00", "__typename": "Penalty"}},
            {"node": {"kind": "HONOUR", "honourLevel": "州级", "__typename": "Honour"}},
            {"node": {"kind": "LICENCE", "__typename": "Licence", "certificateNumber": "证1"}}]}}},
    ),
    "node by the interface of its type": (
        "query ($s: ID!, $r: ID!) { s: node(id: $s) { __typename id ... on CreditRecord { title } ... on Subject { kind"
        " } } r: node(id: $r) { __typename ... on CreditRecord { title } ... on Penalty { fine } ...on Node { id } } }",
        {"s": small_world.FIRM_ID, "r": small_world.FIRST_RECORD_ID},
        {"s": {"__typename": "Subject", "id": small_world.FIRM_ID, "kind": "ENTERPRISE"},
         "r": {"__typename": "Penalty", "title": TITLES[0], "fine": "5000.00", "id": small_world.FIRST_RECORD_ID}},
    ),
    # §2.10 variables, §3.10 input objects, §3.11 lists
    "variables inside of objects and lists": (
        f"query ($k: RecordKind!, $d: Date, $n: Int = 1, $dir: Direction) {{ {S} {{ records(first: $n, filter:"
        f" {{kinds: [HONOUR, $k], decidedTo: $d}}, orderBy: {{direction: $dir}}) {{ {RECORDS} totalCount }} }} }}",
        {"k": "PENALTY", "dir": "ASC"},
        {"subject": {"records": {**edges(TITLES[1]), "totalCount": 2}}},
    ),
    "an object as a whole, with defaults inside": (
        f"query ($f: RecordFilter = {{kinds: [LICENCE]}}, $o: RecordOrder = {{}}) {{ {S} {{ a: records(filter: $f,"
        f" orderBy: $o) {{ {RECORDS} }} b: records(filter: $f, orderBy: {{}}) {{ totalCount }} }} }}",
        {},
        {"subject": {"a": edges(TITLES[2]), "b": {"totalCount": 1}}},
    ),
    "one value where a list may stand": (
        f"query ($k: [RecordKind!]) {{ {S} {{ a: records(filter: {{kinds: HONOUR}}) {{ totalCount }}"
        " b: records(filter: {kinds: $k}) { totalCount } } subjects(usccs: \"" + FIRM + '") { uscc } }',
        {"k": "PENALTY"},
        {"subject": {"a": {"totalCount": 1}, "b": {"totalCount": 1}}, "subjects": [{"uscc": FIRM}]},
    ),
    "null, and nothing given": (
        f"query ($f: RecordFilter, $k: [RecordKind!], $n: Int) {{ {S} {{ a: records(filter: null, first: null)"
        f" {{ totalCount }} b: records(filter: $f, first: $n) {{ totalCount }} c: records(filter: {{kinds: $k,"
        " areas: null}) { totalCount } } }",
        {"f": None, "n": None},
        {"subject": {"a": {"totalCount": 4}, "b": {"totalCount": 4}, "c": {"totalCount": 4}}},
    ),
    "a default where null may not stand": (
        "query ($u: Uscc = \"" + FIRM + '", $l: [Uscc!] = ["' + FIRM + '"], $d: Direction = ASC) { subject(uscc: $u)'
        " { uscc records(first: 1, orderBy: {direction: $d}) { " + RECORDS + " } } subjects(usccs: $l) { uscc } }",
        {},
        {"subject": {"uscc": FIRM, "records": edges(TITLES[3])}, "subjects": [{"uscc": FIRM}]},
    ),
    "a variable in a list of codes": (
        'query ($u: Uscc!) { subjects(usccs: [$u, "' + small_world.SHOP + '", $u]) { uscc } }',
        {"u": FIRM},
        {"subjects": [{"uscc": FIRM}, {"uscc": small_world.SHOP}, {"uscc": FIRM}]},
    ),
    # §2.9.4 strings; §2.1.7 commas, comments
    "block strings, escapes, commas": (
        ',{,searchSubjects,(query:,"""\n  样例\n""",first:1){totalCount,}, b:searchSubjects(query:"\\u6837\\u{4F8B}")'
        "{totalCount}} # and that is all",
        {},
        {"searchSubjects": {"totalCount": 1}, "b": {"totalCount": 1}},
    ),
    # §4.2 introspection beside data, §4.1.1
    "introspection beside data, by variables": (
        f'query ($t: String = "Date", $d: Boolean) {{ {S} {{ uscc }} __type(name: $t) {{ name specifiedByURL kind'
        " fields(includeDeprecated: $d) { name } } __schema { queryType { name } } }",
        {"d": True},
        {"subject": {"uscc": FIRM}, "__type": {
            "name": "Date", "specifiedByURL": "https://www.rfc-editor.org/rfc/rfc3339", "kind": "SCALAR",
            "fields": None},
         "__schema": {"queryType": {"name": "Query"}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_it_is_answered_as_the_specification_says(world: World, name: str) -> None:
    query, variables, expected = CASES[name]
    found = await world.ask("restricted", query, variables)
    assert json.dumps(found["data"], ensure_ascii=False, indent=1) == json.dumps(expected, ensure_ascii=False, indent=1)
    assert "errors" not in found


@pytest.mark.parametrize(
    ("name", "expected"),
    [("A", {"viewer": {"view": "RESTRICTED"}}), ("B", {"__typename": "Query"})],
)
async def test_the_operation_is_the_one_that_is_named(world: World, name: str, expected: dict[str, Any]) -> None:
    text = "query A { viewer { view } } query B { __typename } mutation C { __typename }"
    answer = await world.engine.answer(world.principal("restricted"), Request(text, name))
    assert json.loads(answer) == {"data": expected}


async def test_a_mutation_says_what_its_root_and_payloads_are(world: World) -> None:
    query = """mutation M($i: RevokeConsentInput!) { __typename r: revokeConsent(input: $i) { __typename
      ... on RevokeConsentPayload { consent { __typename id ... on Node { again: id } } } } }"""
    found = await world.ask("restricted", query, {"i": {"consentId": small_world.CONSENT_ID}})
    consent = {"__typename": "Consent", "id": small_world.CONSENT_ID, "again": small_world.CONSENT_ID}
    payload = {"__typename": "RevokeConsentPayload", "consent": consent}
    assert found == {"data": {"__typename": "Mutation", "r": payload}}
    assert list(found["data"]["r"]) == ["__typename", "consent"]


async def test_a_variable_that_is_not_defined_is_left_alone(world: World) -> None:
    assert await world.ask("public", "{ __typename }", {"x": [1, {"y": None}]}) == {"data": {"__typename": "Query"}}
