"""Promises of conditional.py: a tag is of the bytes and of what they are; If-None-Match is read as RFC 9110 writes it,
and what can't be read has nothing: the answer is sent.
"""

from __future__ import annotations

import time

import pytest

from gateway.web.conditional import etag, has_it

TAG = etag(b"application/json", b'{"data":{}}')


def test_a_tag_is_of_bytes_and_media_type() -> None:
    assert etag(b"application/json", b'{"data":{}}') == TAG
    others = {etag(b"application/json", b'{"data":null}'), etag(b"application/graphql-response+json", b'{"data":{}}')}
    assert len({TAG, *others}) == 3
    assert TAG[:1] == TAG[-1:] == b'"'  # strong (RFC 9110 §8.8.1): no W/
    assert len(TAG) >= 34  # 128 bits in hex


@pytest.mark.parametrize(
    "given",
    [
        [TAG],
        [b"*"],
        [b"W/" + TAG],
        [b'"a", ' + TAG],
        [b'"a,b","c"\t,,  ' + TAG + b', "d"'],
        [b'"a"', TAG],
        [b"  " + TAG + b" "],
    ],
)
def test_it_has_it(given: list[bytes]) -> None:
    assert has_it(given, TAG)


@pytest.mark.parametrize(
    "given",
    [
        [b""],
        [b'""'],
        [TAG[:-1]],
        [TAG.strip(b'"')],
        [b"w/" + TAG],  # case matters
        [b"x " + TAG],
        [b'"a" ' + TAG],
        [b'"a"; ' + TAG],
        [b"*, " + TAG],
        [b'"' + b"x" * 1_000 + b'"'],
    ],
)
def test_it_has_not(given: list[bytes]) -> None:
    assert not has_it(given, TAG)


def test_a_long_header_costs_nothing() -> None:
    began = time.process_time()
    for given in ([b'"a",' * 20_000], [b"," * 60_000], [b'"' * 60_000], [b'"a"' + b" " * 60_000]):
        has_it(given, TAG)
    assert time.process_time() - began < 0.2
