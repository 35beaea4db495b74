"""Promises of size.py: a document is measured in linear time, with every fragment in each of its places, before
anything else walks it; what is within the bounds passes. Each bound is shown to be needed or to be where it says.
"""

from __future__ import annotations

import time

import pytest
from graphql import get_introspection_query, parse

from gateway.engine import documents, size
from gateway.engine import plan as p
from gateway.engine.documents import prepare
from gateway.engine.planner import Planner
from gateway.engine.selection import Document as Collected
from gateway.engine.size import check_size
from gateway.errors import Refused
from gateway.schema.contracts import build_contracts

PUBLIC = build_contracts()["PUBLIC"]


def doubling(levels: int) -> str:
    """Fragments, each of which stands twice in the one before: 2 ** levels fields, in some hundred bytes."""
    fragments = " ".join(
        f"fragment f{n} on Subject {{ a: predecessors {{ ...f{n + 1} }} b: successors {{ ...f{n + 1} }} }}"
        for n in range(levels)
    )
    return f"{{ viewer {{ organisation {{ ...f0 }} }} }} {fragments} fragment f{levels} on Subject {{ name }}"


def nested(levels: int, spread: bool = False) -> str:
    """A document with that many selections one inside the other."""
    if not spread:
        return "{ a " * levels + "}" * levels
    chain = " ".join(f"fragment f{n} on T {{ ...f{n + 1} }}" for n in range(levels))
    return f"{{ ...f0 }} {chain} fragment f{levels} on T {{ a }}"


@pytest.mark.parametrize("levels", [10, 12, 60])
def test_fragments_that_double_are_refused_at_once(levels: int) -> None:
    began = time.process_time()
    with pytest.raises(Refused) as refused:
        prepare("PUBLIC", PUBLIC, doubling(levels))
    assert refused.value.code == "QUERY_TOO_COSTLY"
    assert time.process_time() - began < 0.5  # a bound for a busy machine; it takes some ms


def test_without_the_measure_each_level_doubles_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack that the measure is there for: 20 levels are a million fields, out of 1,800 characters."""
    monkeypatch.setattr(documents, "check_size", lambda node: None)

    def planned(levels: int) -> int:
        document = prepare("PUBLIC", PUBLIC, doubling(levels))
        collected = Collected(document.schema, document.fragments, {})
        plan = Planner(collected, {}).plan(document.operation(None).node)
        return sum(1 for _ in p.walk(plan.fields))

    assert len(doubling(20)) < 2_000
    assert planned(8) > 2**3 * planned(5) * 0.9


@pytest.mark.parametrize("spread", [False, True])
def test_the_depth_is_where_it_says(spread: bool) -> None:
    check_size(parse(nested(size.MOST_DEPTH - (2 if spread else 0), spread)))
    with pytest.raises(Refused, match="nested too deeply"):
        check_size(parse(nested(size.MOST_DEPTH + 1, spread)))


def test_the_number_of_fields_counts_a_fragment_in_each_of_its_places() -> None:
    fields = " ".join(f"f{n}: x" for n in range(100))
    spreads = " ".join(f"a{n}: y {{ ...F }}" for n in range(19))
    check_size(parse(f"{{ {spreads} }} fragment F on T {{ {fields} }}"))  # 19 * 101
    with pytest.raises(Refused, match=f"more than {size.MOST_FIELDS} fields"):
        check_size(parse(f"{{ {spreads} z: y {{ ...F }} }} fragment F on T {{ {fields} }}"))  # 20 * 101


def test_a_cycle_is_left_to_validation() -> None:
    text = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    check_size(parse(text))
    with pytest.raises(Refused, match="fragment A contains itself"):
        prepare("PUBLIC", PUBLIC, text)


def test_what_tools_send_passes() -> None:
    prepare("PUBLIC", PUBLIC, get_introspection_query())
