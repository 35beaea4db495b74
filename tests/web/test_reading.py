"""Promises of reading.py: a body is the JSON of the standard in UTF-8 and one object, or it is refused with what is
wrong and what to do; nothing that another reader of the same bytes could understand otherwise is taken.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.web.reading import NotHttp, from_body, from_query

TWO_MEANINGS = [
    b'{"query":"{ a }","query":"{ b }"}',
    b'{"query":"{ a }","variables":{"n":{"x":1,"x":2}}}',
    b'{"query":"{ a }","variables":{"n":NaN}}',
    b'{"query":"{ a }","variables":{"n":-Infinity}}',
    b'{"query":"{ a }","variables":{"n":-1e400}}',  # a double has no such number: it would be kept as Infinity
]


@pytest.mark.parametrize("body", [*TWO_MEANINGS, b'\xef\xbb\xbf{"query":"{ a }"}'])
def test_what_another_reader_could_understand_otherwise_is_refused(body: bytes) -> None:
    with pytest.raises(NotHttp) as refused:
        from_body(body, "en")
    assert refused.value.status == 400
    assert "; " in refused.value.message("en")
    assert refused.value.message("zh") != refused.value.message("en")


@pytest.mark.parametrize("body", TWO_MEANINGS)
def test_pythons_own_reader_would_take_it(body: bytes) -> None:
    assert isinstance(json.loads(body), dict)


@pytest.mark.parametrize("begin", ["[", '{"a":'])
@pytest.mark.parametrize("levels", [65, 500, 900, 100_000])
def test_json_in_json_has_a_bound(begin: str, levels: int) -> None:
    """What walks variables calls itself at each level: some hundreds of them are more than it may, and were a 500."""
    for depth in (levels, 60):
        value = begin * depth + "1" + ("]" if begin == "[" else "}") * depth
        body = f'{{"query":"{{ a }}","variables":{{"v":{value}}}}}'.encode()
        if depth == 60:
            assert from_body(body, "en").query == "{ a }"
            continue
        with pytest.raises(NotHttp, match="nested too deeply"):
            from_body(body, "en")


def test_a_good_request_is_taken_whole() -> None:
    body = {"query": "{ a }", "operationName": None, "variables": {"a": [{"b": 1.5}, None], "博": "州"}, "more": 1}
    found = from_body(json.dumps(body).encode(), "zh")
    assert (found.query, found.operation_name, found.variables, found.language) == (
        "{ a }",
        None,
        body["variables"],
        "zh",
    )
    found = from_query(b"query=%7Ba%7D&operationName=&variables=%7B%22a%22%3A1%7D&extensions=", "en")
    assert (found.query, found.operation_name, found.variables) == ("{a}", None, {"a": 1})


TEXT = "{ viewer { view } }"
HASH = hashlib.sha256(TEXT.encode()).hexdigest()
APQ = {"persistedQuery": {"version": 1, "sha256Hash": HASH}}


@pytest.mark.parametrize(
    ("given", "name", "automatic"),
    [
        ({"documentId": f"sha256:{HASH}"}, HASH, False),
        ({"documentId": HASH}, HASH, False),
        ({"documentId": "GetViewer.v2_~-x"}, "GetViewer.v2_~-x", False),
        ({"documentId": "0" * 32, "variables": None}, "0" * 32, False),  # as Relay has them
        ({"documentId": f"sha256:{HASH}", "query": TEXT}, HASH, False),
        ({"extensions": APQ}, HASH, True),
        ({"extensions": APQ, "query": TEXT}, HASH, True),
        ({"extensions": APQ, "documentId": HASH}, HASH, True),
        ({"query": TEXT, "extensions": {}}, None, False),
        ({"query": TEXT, "extensions": None, "documentId": None}, None, False),
    ],
)
def test_a_document_that_is_named(given: dict[str, Any], name: str | None, automatic: bool) -> None:
    found = [from_body(json.dumps(given).encode(), "en")]
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    if None not in given.values():
        found.append(from_query(urlencode(texts).encode(), "en"))
    for request in found:
        assert (request.persisted, request.automatic, request.query) == (name, automatic, given.get("query", ""))


@pytest.mark.parametrize(
    "given",
    [
        {"documentId": None},
        {"documentId": ""},
        {"documentId": 1},
        {"documentId": [HASH]},
        {"documentId": "sha256:"},
        {"documentId": f"sha256:{HASH.upper()}"},
        {"documentId": f"sha256:{HASH[:-1]}"},
        {"documentId": f"md5:{'0' * 32}"},
        {"documentId": f"SHA256:{HASH}"},
        {"documentId": f"sha256:{HASH}\n"},
        {"documentId": "a b"},
        {"documentId": "博州"},
        {"documentId": "x" * 201},
        {"documentId": "../" + HASH},
        {"documentId": "other", "extensions": APQ},
        {"documentId": "GetViewer", "query": TEXT},  # nobody could tell which of the two is meant
        {"documentId": HASH, "query": TEXT + " "},
        {"extensions": APQ, "query": TEXT + "#"},  # the hash of another document
        {"extensions": APQ, "query": ""},
        {"extensions": APQ, "query": 1},
        {"extensions": {"persistedQuery": None}},
        {"extensions": {"persistedQuery": {"version": True, "sha256Hash": HASH}}},
    ],
)
def test_a_name_that_is_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(NotHttp) as refused:
        from_body(json.dumps(given).encode(), "en")
    assert refused.value.status == 400
    assert "; " in refused.value.message("en")
    assert refused.value.message("zh") != refused.value.message("en")
