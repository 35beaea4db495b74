"""Promises of what is kept: bounded in number and in weight, the least recently used goes first; so thousands of large
documents, each sent once, don't fill the memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from graphql import GraphQLSchema

from gateway.engine import documents
from gateway.engine.documents import Documents
from gateway.engine.kept import Kept
from gateway.schema.contracts import build_contracts


def test_the_least_recently_used_goes_first() -> None:
    kept: Kept[str, int] = Kept(2, 100)
    kept.put("a", 1, 10)
    kept.put("b", 2, 10)
    assert kept.get("a") == 1
    kept.put("c", 3, 10)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


def test_what_weighs_much_pushes_out_and_what_weighs_too_much_is_not_kept() -> None:
    kept: Kept[str, int] = Kept(10, 100)
    for name in "abcd":
        kept.put(name, 1, 25)
    kept.put("e", 1, 50)
    assert [name for name in "abcde" if kept.get(name)] == ["c", "d", "e"]
    kept.put("f", 1, 101)
    assert kept.get("f") is None
    assert len(kept) == 3
    kept.put("e", 2, 10)  # again, lighter
    kept.put("g", 1, 40)
    assert len(kept) == 4


def grown(schemas: dict[str, GraphQLSchema]) -> int:
    """Bytes that 60 large documents leave behind."""
    kept = Documents(schemas)
    fields = " ".join(f"a{n}: predecessors {{ name }}" for n in range(60))
    tracemalloc.start()
    for number in range(60):
        kept.get("PUBLIC", f'{{ subject(uscc: "91652799YL0001402W") {{ x{number}: name {fields} }} }}')
    gc.collect()  # trees refer to themselves
    found = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return found


def test_large_documents_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = build_contracts()
    grown(schemas)  # what is made once
    monkeypatch.setattr(documents, "MOST_KEPT", 20_000)  # a fifth; the documents have 95,000 characters
    bounded = grown(schemas)
    monkeypatch.setattr(documents, "MOST_KEPT", 10**9)
    assert grown(schemas) > 3 * bounded
