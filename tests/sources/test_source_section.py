"""A section is as good as its worst part and as old as its oldest answer; both texts are JSON of the promised shape."""

from __future__ import annotations

import json

from gateway.sources.section import Board, compose
from gateway.sources.told import STATUSES

A, B = "A" * 18, "B" * 18
OLD, NEW = "2026-01-01T00:00:00.000+08:00", "2026-01-02T00:00:00.000+08:00"


def test_each_status_is_worse_than_the_one_before() -> None:
    assert STATUSES == (
        "ANSWERED", "CACHED", "STALE", "PENDING", "CONSENT_REQUIRED", "NOT_CONSULTED", "REFUSED", "UNAVAILABLE",
    )  # fmt: skip
    for worse in range(1, len(STATUSES)):
        board: Board = {("S", "x", A): (worse - 1, None, NEW, "[]"), ("S", "y", A): (worse, "WHY", None, "[]")}
        parameters, _, _ = compose({"S": {A: ("x", "y")}}, board)
        assert json.loads(parameters["S"])[A]["answer"] == {"status": STATUSES[worse], "as_of": NEW, "reason": "WHY"}


def test_as_of_is_the_oldest_of_the_parts_answered() -> None:
    board: Board = {
        ("S", "x", A): (0, None, NEW, '[{"n":1}]'),
        ("S", "y", A): (1, None, OLD, "[]"),
        ("S", "z", A): (7, "TIMEOUT", None, "[]"),
    }
    parameters, statuses, counts = compose({"S": {A: ("x", "y", "z")}}, board)
    section = json.loads(parameters["S"])[A]
    assert section["answer"] == {"status": "UNAVAILABLE", "as_of": OLD, "reason": "TIMEOUT"}
    assert section["x"] == [{"n": 1}]
    assert section["z"] == []
    assert json.loads(statuses) == {
        "S": {A: {"status": "UNAVAILABLE", "asOf": OLD, "reason": "TIMEOUT", "parts": ["x", "y", "z"]}}
    }
    assert counts == {("S", 7): 1}


def test_statuses_are_compact_only_where_all_are_the_same() -> None:
    board: Board = {("S", "x", A): (1, None, OLD, "[]"), ("S", "x", B): (1, None, OLD, "[]")}
    same = json.loads(compose({"S": {A: ("x",), B: ("x",)}}, board)[1])
    assert same == {"S": {"*": {"status": "CACHED", "asOf": OLD, "parts": ["x"]}}}
    board["S", "x", B] = (1, None, NEW, "[]")
    apart = json.loads(compose({"S": {A: ("x",), B: ("x",)}}, board)[1])
    assert apart["S"][A]["asOf"] == OLD
    assert apart["S"][B]["asOf"] == NEW


def test_nobody_asked_about_gives_empty_objects() -> None:
    assert compose({"S": {}}, {}) == ({"S": "{}"}, '{"S":{}}', {})
