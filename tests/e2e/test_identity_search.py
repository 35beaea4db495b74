"""Promise: no identity number stands in clear text in files, WAL, logs, disclosures or answers, whatever clients send
where (scripts/identity_search.py); and the search finds one that does."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from e2e_stack import script

from scripts import identity_search


def check(persons: int) -> None:
    status, counts, said = script("identity_search", "--persons", str(persons))
    assert status == 0, said
    assert counts["numbers found in clear text"] == 0
    assert counts["wrong answers"] == 0
    assert counts["found by number and name"] == counts["blind indices logged"] == persons
    assert counts["revealed"] == counts["repeated, masked"] >= len(range(0, persons, 10))
    assert counts["disclosures"] > 2 * persons


def test_thirty_numbers_are_nowhere() -> None:
    check(30)


@pytest.mark.long
def test_a_thousand_numbers_are_nowhere() -> None:
    check(1_000)


def test_every_form_is_found(tmp_path: Path) -> None:
    """In a file, a disclosure, an answer; wherever base64 begins."""
    numbers = [identity_search.number(index) for index in range(5)]
    for place, form in enumerate(identity_search.forms(numbers[3])):
        path = tmp_path / f"{place}"
        path.write_bytes(b"before " + form + b" after")
        assert identity_search.search(tmp_path, numbers, [], [])[0] == {(path.name, numbers[3])}
        path.unlink()
    for before in range(4):
        coded = base64.b64encode(b"x" * before + numbers[2].encode() + b"yz")
        assert identity_search.search(tmp_path, numbers, [], [coded])[0] == {("answers", numbers[2])}
    assert identity_search.search(tmp_path, numbers, [f"({numbers[1]})"], [])[0] == {("disclosures", numbers[1])}
