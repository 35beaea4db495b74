"""Readers that hammer the cache of public answers, over two real workers: nobody who asks after a repair was heard of,
or after a midnight, is shown what was before (scripts/public_cache.py)."""

from __future__ import annotations

import pytest

from scripts import public_cache
from scripts.public_cache import Found


def test_the_old_is_found() -> None:
    """Asked after the change and older than it: old, with its time; asked before it, or newer: not."""
    seen = Found(answers=[(0.9, 1.2, 0), (1.1, 1.3, 1), (2.5, 2.6, 1), (2.5, 2.6, 2)], gone=[(1.0, 1), (2.0, 2)])
    assert seen.old() == [(0.5, pytest.approx(0.6))]


def test_no_old_answer() -> None:
    assert public_cache.main(["--repairs", "20", "--midnights", "1", "--readers", "20"]) == 0


@pytest.mark.long
def test_no_old_answer_in_many_repairs() -> None:
    assert public_cache.main(["--repairs", "200"]) == 0
