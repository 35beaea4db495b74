"""Promises of reading.py: a body is the JSON of the standard in UTF-8 and one object, or it is refused with what is
wrong and what to do; nothing that another reader of the same bytes could understand otherwise is taken.
"""

from __future__ import annotations

import json

import pytest

from gateway.web.reading import NotHttp, from_body, from_query

TWO_MEANINGS = [
    b'{"query":"{ a }","query":"{ b }"}',
    b'{"query":"{ a }","variables":{"n":{"x":1,"x":2}}}',
    b'{"query":"{ a }","variables":{"n":NaN}}',
    b'{"query":"{ a }","variables":{"n":-Infinity}}',
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
