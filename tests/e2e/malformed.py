"""Malformed requests without end: good requests, changed at one or more of their layers, from a seed.

In: what is known of a gateway (tokens, codes, ids). Out: requests as bytes of HTTP/1.1, the same for the same seed,
sent by malformed_run.py. Layers: bytes of the body, structure of the JSON, tokens of the document, values of variables,
headers, bytes of the token, method, path and query string, the form of the token endpoint, framing. What is left of a
good request is mostly well formed, so that the changes reach as deep as they can.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from tests.bad_input.cases import GRAPHQL, Known

VIEWS = ("", "restricted", "internal")

DOCUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("query P($c: Uscc!) { subject(uscc: $c) { id name onRecord kind roles region { code name } recordCounts "
     "{ area kind count } records(first: 5) { totalCount edges { cursor node { id title ... on Penalty "
     "{ basis amount } } } } } }", {"c": "@USCC"}),
    ("query S($c: [Uscc!]!, $n: Int = 3) { subjects(usccs: $c) { uscc courts { answer { status asOf } "
     "dishonestListings { caseNumber } } records(first: $n) { edges { node { decidedOn } } } } }",
     {"c": ["@USCC", "@USCC"], "n": 2}),
    ("query R($f: RecordFilter, $o: RecordOrder, $a: String, $s: Boolean = false) { records(filter: $f, orderBy: $o, "
     "first: 10, after: $a) { pageInfo { hasNextPage endCursor } totalCount @skip(if: $s) edges { node { __typename "
     "status subject { name } } } } }",
     {"f": {"kinds": ["PENALTY"], "decidedFrom": "2020-01-01", "regionCode": "6527"},
      "o": {"field": "DECIDED_ON", "direction": "ASC"}, "a": None, "s": True}),
    ("query N($id: ID!) { node(id: $id) { __typename id ... on CreditRecord { title authority { name } } } }",
     {"id": "@RECORD"}),
    ("{ viewer { view clientId organisation { name } } sources { code healthy } }", {}),
    ('query L($n: String!) { codeList(name: $n) { code zh en } __type(name: "Subject") { name fields { name } } }',
     {"n": "Area"}),
    ("query A { a: __typename } query B { ...F } fragment F on Query { sources { kind } }", {}),
)  # fmt: skip

# Values that have broken something somewhere.
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, 10**40, 10**4000, 1.5, -0.0, 1e308, "", " ", "x", "\0",
    "a\0b", "\ud800", "\udfff\ud800", "\u202e", "\ufeff", "０", "＇",
    "'", '"', "\\", "';--", "%", "_", "{}", "[]", "$1",
    "$v", "../..", "{{7*7}}", "2026-02-30", "0000-00-00", "9999-12-31", "-0001-01-01", "2026-13-01", "NaN", "null",
    "91652701MA77777770", "１" * 18, "A" * 18, "Z" * 5_000, "\U0010ffff" * 30, [], {}, [[]], [None], [[[[1]]]],
    {"a": {"b": [1]}}, {"": 0}, {"__proto__": 1}, ["x"] * 1_001, "UgAAAAAAAAAAAAAAAAAAAAA", "UwAAAAAAAAAAAAAAAAAAAAA",
    "d2026-01-01UgAAAAAAAAAAAAAAAAAAAAA", "p2026-01-01", "EXPIRED", "PENALTY", "INTERNAL", "view:internal",
)  # fmt: skip
WORDS = (
    "{", "}", "(", ")", "[", "]", ":", "!", "=", "|", "&", "@", "$", "...", "#", ",", '"', '"""', "\\", "on", "query",
    "mutation", "subscription", "fragment", "null", "true", "-1", "1.5e400", "0x1", "010", "type", "extend", "schema",
    "@skip(if: true)", "@include", "@defer", "@deprecated", "__typename", "__schema { types { name } }", "matters",
    "identityNumber", "history { version }", "first: 0", "last: 1", "after: \"x\"", "...F", "... on Penalty { id }",
    "... on Person", "$c", "\ufeff", "\0", "｛", "é", "\u2028", "a" * 300, "a: a: a", "{ " * 60, "[" * 200,
)  # fmt: skip
NAMES = (
    "id", "name", "subject", "subjects", "records", "node", "edges", "first", "after", "filter", "orderBy", "uscc",
    "c", "n", "f", "on", "query", "Subject", "Penalty", "CreditRecord", "Query", "String", "Int", "RecordFilter",
    "kinds",
    "PENALTY", "EXPIRED", "skip", "include", "if", "null", "true", "courts", "enforcementCases", "identityNumber",
    "history", "matters", "predecessors", "__type", "__schema", "__typename", "totalCount", "status", "x", "_",
)  # fmt: skip
METHODS = (
    "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "QUERY", "X" * 40,
)  # fmt: skip
PATHS = (
    "/", "//graphql", "/graphql/", "/graphql%00", "/graphql/..", "/%2e%2e/%2e%2e/etc/passwd", "/graphql;a=b",
    "/GRAPHQL",
    "/healthz", "/readyz", "/metrics", "/schema/public.graphql", "/schema/unknown.graphql", "/schema/%00.graphql",
    "/schema/" + "a" * 3_000 + ".graphql", "/schema/..%2f..%2fsettings.graphql", "/oauth/token", "/oauth/jwks",
    "/.well-known/oauth-authorization-server", "/.well-known/", "/receipts/1", "/log/checkpoint", "/%ff%fe", "/\u00e9",
    "*", "http://elsewhere.example/graphql", "/graphql/assets/../../x",
)  # fmt: skip
HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("content-type", ("", "application/json; charset=utf-16", "application/json;charset=\"utf-8\"", "text/plain", "a/b",
                      "multipart/form-data", "application/json" + ";" * 900, "application/graphql")),
    ("accept", ("", "*/*", "text/html", "application/json;q=0", "application/graphql-response+json;q=abc", "," * 900)),
    ("accept-language", ("", "zh", "zh-CN,en;q=0", "*", "\xff\xfe", "zh" * 2_000)),
    ("accept-encoding", ("gzip", "br;q=1", "\x7f")),
    ("authorization", ("", "Bearer", "Bearer ", "Bearer x", "bearer \xff", "Basic eDp5", "DPoP x",
                       "Bearer " + "a" * 9_000,
                       "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30.")),
    ("credit-purpose", ("", "matter", 'matter="GRANT"', 'matter=GRANT, case="1"', 'matter="GRANT", case="\xff"',
                        'matter="GRANT", case=%"%e5%8d%9a"', 'matter="GRANT", case=%"%ff"', 'matter="X", case="1"',
                        "(" * 500, 'matter="GRANT";a=1, case="1"', 'matter="GRANT", case="' + "1" * 5_000 + '"')),
    ("credit-hops", ("", "0", "1", "2", "-1", "999999999999", "一".encode().decode("latin-1"), "1e0")),
    ("content-encoding", ("gzip", "identity", "br", "")),
    ("idempotency-key", ("", "x" * 5_000, "\xff")),
    ("dpop", ("", "x.y.z", "\xff")),
    ("client-cert", (":AAAA:", "x")),
    ("x-forwarded-for", ("127.0.0.1", "'", "a" * 1_000)),
    ("expect", ("100-continue", "x")),
    ("host", ("", "elsewhere.example", "\xff")),
    ("cookie", ("a=b", "\xff")),
    ("upgrade", ("websocket", "h2c")),
    ("if-none-match", ("*", '"x"')),
    ("range", ("bytes=0-", "bytes=9-1")),
)  # fmt: skip
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.|[A-Za-z_0-9]+|\S|\s+')


@dataclass(frozen=True, slots=True)
class Made:
    """A request in the making. `layers` says what was changed."""

    method: str = "POST"
    path: str = "/graphql"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    layers: tuple[str, ...] = ()
    document: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    length: int | None = None  # a Content-Length shorter than the body; a longer one would only wait

    def wire(self) -> bytes:
        """The bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        names = {name.lower() for name, _ in self.headers}
        lines += [] if "host" in names else ["host: gateway"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"content-length: {len(self.body) if self.length is None else min(self.length, len(self.body))}")
        return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + self.body


def requests(seed: int, count: int, known: Known) -> Iterator[Made]:
    """The first `count` requests of a seed."""
    for number in range(count):
        chance = random.Random(f"{seed}-{number}")
        made = _good(chance, known)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            name, change = chance.choice(LAYERS)
            made = replace(change(made, chance, known), layers=(*made.layers, name))
        yield made


def good(known: Known, view: str) -> Made:
    """A good request of a view, whose answer is known to be right."""
    document = "query G($c: Uscc!) { subject(uscc: $c) { uscc } viewer { view } }"
    return _post(document, {"c": known.uscc}, known.tokens[view] if view else "")


def _good(chance: random.Random, known: Known) -> Made:
    document, variables = chance.choice(DOCUMENTS)
    text = json.dumps(variables)
    for name, value in (("@USCC", known.uscc), ("@RECORD", known.record_id)):
        text = text.replace(name, value)
    view = chance.choice(VIEWS)
    return _post(document, json.loads(text), known.tokens[view] if view else "")


def _post(document: str, variables: dict[str, Any], token: str) -> Made:
    headers = [("content-type", "application/json"), ("accept", GRAPHQL)]
    if token:
        headers.append(("authorization", f"Bearer {token}"))
    return _with(Made(headers=tuple(headers)), document, variables)


def _with(made: Made, document: str, variables: dict[str, Any]) -> Made:
    body = json.dumps({"query": document, "variables": variables}).encode()
    return replace(made, document=document, variables=variables, body=body)


# Layers --------------------------------------------------------------------------------------------------------------


def _bytes(made: Made, chance: random.Random, _: Known) -> Made:
    return replace(made, body=_scrambled(made.body, chance))


def _scrambled(body: bytes, chance: random.Random) -> bytes:
    found = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        place = chance.randrange(len(found) + 1)
        end = min(len(found), place + chance.randrange(1, 20))
        match chance.randrange(5):
            case 0:
                found[place:end] = b""
            case 1:
                found[place:place] = chance.randbytes(chance.randrange(1, 8))
            case 2:
                found[place:place] = found[place:end] * chance.choice((1, 2, 50))
            case 3:
                found[place:end] = bytes(byte ^ chance.randrange(256) for byte in found[place:end])
            case _:
                del found[place if chance.random() < 0.3 else len(found) :]
    return bytes(found)


def _json(made: Made, chance: random.Random, _: Known) -> Made:
    body: Any = {"query": made.document, "variables": made.variables, "operationName": None, "extensions": {}}
    for _ in range(chance.choice((1, 1, 2))):
        body = _changed(body, chance)
    text = json.dumps(body, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.2:
        text = text.replace('"query"', chance.choice(('"query": 1, "query"', '"Query"', '"query\\u0000"', "query")), 1)
    if chance.random() < 0.1:
        text = chance.choice(("[%s]", "%s%s", "\ufeff%s", "%s\n// x", '{"a":%s}')).replace("%s", text)
    return replace(made, body=text.encode("utf-8", "surrogatepass"))


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with one of its parts replaced."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {other: inner for other, inner in value.items() if other != name}
        return {**value, name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.6:
        place = chance.randrange(len(value))
        return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    return chance.choice(NASTY)


def _document(made: Made, chance: random.Random, _: Known) -> Made:
    tokens = _TOKEN.findall(made.document)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if not tokens:
            break
        place = chance.randrange(len(tokens))
        match chance.randrange(5):
            case 0:
                del tokens[place]
            case 1:
                tokens.insert(place, f" {chance.choice(WORDS)} ")
            case 2:
                tokens[place] = chance.choice(WORDS)
            case 3:
                other = chance.randrange(len(tokens))
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case _:
                end = min(len(tokens), place + chance.randrange(1, 12))
                tokens[place:place] = tokens[place:end] * chance.choice((1, 1, 30))
    return _with(made, "".join(tokens), made.variables)


def _names(made: Made, chance: random.Random, _: Known) -> Made:
    """Names for other names: mostly GraphQL still, and wrong for the schema."""
    tokens = _TOKEN.findall(made.document)
    places = [place for place, token in enumerate(tokens) if token[0].isalpha() or token[0] == "_"]
    for place in chance.sample(places, min(len(places), chance.choice((1, 1, 2, 5)))):
        tokens[place] = chance.choice(NAMES)
    return _with(made, "".join(tokens), made.variables)


def _variables(made: Made, chance: random.Random, _: Known) -> Made:
    variables: dict[str, Any] = {}
    for name, value in made.variables.items():
        variables[name] = _changed(value, chance) if chance.random() < 0.6 else value
    if chance.random() < 0.2:
        variables[chance.choice(("x", "", "\0", "c", "\ud800"))] = chance.choice(NASTY)
    return _with(made, made.document, variables)


def _headers(made: Made, chance: random.Random, _: Known) -> Made:
    name, values = chance.choice(HEADERS)
    headers = list(made.headers)
    if chance.random() < 0.6:
        headers = [header for header in headers if header[0] != name]
    headers += [(name, chance.choice(values)) for _ in range(chance.choice((1, 1, 1, 2)))]
    if chance.random() < 0.1:
        headers.append((chance.choice(("x" * 500, "a b", "é", "")), chance.choice(("", "\t", "x" * 9_000))))
    if chance.random() < 0.05:
        headers += [(f"x-{n}", "y") for n in range(150)]
    return replace(made, headers=tuple(headers))


def _token(made: Made, chance: random.Random, known: Known) -> Made:
    token = known.tokens[chance.choice(VIEWS[1:])]
    parts = token.split(".")
    match chance.randrange(5):
        case 0:
            place = chance.randrange(len(token))
            token = token[:place] + chance.choice("ABZaz09-_.=+ /") + token[place + 1 :]
        case 1:
            token = token[: chance.randrange(len(token))]
        case 2:
            chance.shuffle(parts)
            token = ".".join(parts)
        case 3:
            parts[chance.randrange(3)] = chance.choice(("", "e30", "bnVsbA", "W10", "eyJhbGciOiJub25lIn0", "_" * 5_000))
            token = ".".join(parts)
        case _:
            token = chance.choice((token * 2, f" {token}", f"{token}.x", token.lower(), f'"{token}"'))
    others = tuple(header for header in made.headers if header[0] != "authorization")
    return replace(made, headers=(*others, ("authorization", f"Bearer {token}")))


def _method(made: Made, chance: random.Random, _: Known) -> Made:
    return replace(made, method=chance.choice(METHODS))


def _path(made: Made, chance: random.Random, _: Known) -> Made:
    method = made.method if chance.random() < 0.5 else "GET"
    return replace(made, path=quote(chance.choice(PATHS), safe="/%*:;?&="), method=method)


def _query(made: Made, chance: random.Random, _: Known) -> Made:
    pairs = [("query", made.document), ("variables", json.dumps(made.variables))]
    if chance.random() < 0.5:
        pairs.append((chance.choice(("query", "operationName", "extensions", "x")), str(chance.choice(NASTY))[:3_000]))
    text = "&".join(f"{name}={quote(value, errors='replace')}" for name, value in pairs)
    if chance.random() < 0.6:
        text = _scrambled(text.encode(), chance).decode("latin-1")
        text = re.sub(r"[\s\x00-\x20\x7f]", "+", text)  # else it is the request line that ends
    return replace(made, method="GET", path=f"/graphql?{text}", body=b"")


def _form(made: Made, chance: random.Random, known: Known) -> Made:
    pairs = [("grant_type", "client_credentials"), ("scope", "view:restricted"), ("client_id", "restricted")]
    pairs.append(chance.choice((("client_secret", "x"), ("client_assertion", known.tokens["restricted"]))))
    details = [{"type": "credit_purpose", "matter": "GRANT", "case_number": "1"}]
    if chance.random() < 0.5:
        pairs.append(("authorization_details", json.dumps(_changed(details, chance))))
    place = chance.randrange(len(pairs))
    pairs[place] = (pairs[place][0], str(chance.choice(NASTY))[:3_000])
    body = "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in pairs).encode()
    if chance.random() < 0.3:
        body = _scrambled(body, chance)
    headers = [("content-type", "application/x-www-form-urlencoded")]
    if chance.random() < 0.2:
        headers.append(("authorization", chance.choice(("Basic AAAA", "Basic eDp5", "Basic ADph", "Basic /w=="))))
    return replace(made, path="/oauth/token", headers=tuple(headers), body=body)


def _framing(made: Made, chance: random.Random, _: Known) -> Made:
    return replace(made, length=chance.randrange(len(made.body) + 1))


Change = Callable[[Made, random.Random, Known], Made]
LAYERS: tuple[tuple[str, Change], ...] = (
    ("bytes", _bytes), ("json", _json), ("json", _json), ("document", _document), ("document", _document),
    ("document", _document), ("names", _names), ("names", _names), ("names", _names), ("variables", _variables),
    ("variables", _variables), ("headers", _headers), ("headers", _headers), ("token", _token), ("method", _method),
    ("path", _path), ("query string", _query), ("form", _form), ("framing", _framing),
)  # fmt: skip
