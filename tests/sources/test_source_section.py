"""A section is as good as its worst part and as old as its oldest answer; both texts are JSON of the promised shape."""

from __future__ import annotations

import json

from gateway.sources.section import FreshSections, Section, lines, parameter, section
from gateway.sources.told import STATUSES

A, B = "A" * 18, "B" * 18
OLD, NEW = "2026-01-01T00:00:00.000+08:00", "2026-01-02T00:00:00.000+08:00"


def test_each_status_is_worse_than_the_one_before() -> None:
    assert STATUSES == (
        "ANSWERED", "CACHED", "STALE", "PENDING", "CONSENT_REQUIRED", "NOT_CONSULTED", "REFUSED", "UNAVAILABLE",
    )  # fmt: skip
    for worse in range(1, len(STATUSES)):
        made = section(("x", "y"), [(worse - 1, None, NEW, "[]", 0.0), (worse, "WHY", None, "[]", 0.0)])
        answer = json.loads(parameter({A: made}))[A]["answer"]
        assert answer == {"status": STATUSES[worse], "as_of": NEW, "reason": "WHY"}


def test_as_of_is_the_oldest_of_the_parts_answered() -> None:
    answers = [(0, None, NEW, '[{"n":1}]', 0.0), (1, None, OLD, "[]", 9.0), (7, "TIMEOUT", None, "[]", 0.0)]
    made = section(("x", "y", "z"), answers)
    found = json.loads(parameter({A: made}))[A]
    assert found["answer"] == {"status": "UNAVAILABLE", "as_of": OLD, "reason": "TIMEOUT"}
    assert found["x"] == [{"n": 1}]
    assert found["z"] == []
    assert json.loads(lines({A: made})) == {
        A: {"status": "UNAVAILABLE", "asOf": OLD, "reason": "TIMEOUT", "parts": ["x", "y", "z"]}
    }


def _cached(uscc: str, as_of: str = OLD, fresh_until: float = 100.0) -> Section:
    return section(("x",), [(1, None, as_of, "[]", fresh_until)])


def test_statuses_are_compact_only_where_all_are_the_same() -> None:
    same = json.loads(lines({A: _cached(A), B: _cached(B)}))
    assert same == {"*": {"status": "CACHED", "asOf": OLD, "parts": ["x"]}}
    apart = json.loads(lines({A: _cached(A), B: _cached(B, NEW)}))
    assert (apart[A]["asOf"], apart[B]["asOf"]) == (OLD, NEW)


def test_nobody_asked_about_gives_empty_objects() -> None:
    assert (parameter({}), lines({})) == ("{}", "{}")


def test_made_sections_end_with_their_freshness_and_are_bounded() -> None:
    ready = FreshSections(size=10_000)
    subjects = {f"S{i}": ("x",) for i in range(50)}
    for uscc, parts in subjects.items():
        ready.put(("S", parts, uscc), _cached(uscc))
    found = [uscc for uscc, one in ready.find("S", subjects, 99.0).items() if one]
    assert 5 <= len(found) < 12
    assert found[-1] == "S49"
    assert ready.find("S", {"S49": ("x", "y")}, 99.0) == {"S49": None}
    assert not any(ready.find("S", subjects, 100.0).values())
    assert ready._size == 0
