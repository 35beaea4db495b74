"""Prints how many pairs the tests of both walls checked, and holds their number: fewer would be a hole in the walk.

Runs last of this folder; alone it has nothing to count.
"""

from __future__ import annotations

import pytest
from walls_support import pairs

LEAST = {
    "coordinate × contract × path, visible": 8_000,
    "coordinate × contract × path, hidden": 500,
    "statement × role": 700,
    "introspection": 1_000,
    "column × view × role by SELECT": 15_000,
    "function column × role": 1_000,
    "right × table × role": 2_000,
    "table × role by SELECT": 300,
    "forbidden statement × role": 300,
    "row × asker by SELECT": 4_000,
    "node(id) × asker": 1_000,
    "hidden field × path × role, first wall removed": 400,
    "scoped view without scope": 500,
    "plan × role": 40,
}


def test_pairs(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    ran = [item for item in request.session.items if item.path.parent == request.path.parent]
    lines = ["", "The two walls, pairs checked:"]
    lines += [f"  {number:>7,}  {kind}" for kind, number in sorted(pairs.counted.items())]
    lines.append(f"  {sum(pairs.counted.values()):>7,}  in all")
    worker = getattr(request.config, "workeroutput", None)
    if worker is not None:
        worker["told"] = lines  # its own output goes nowhere (tests/conftest.py)
    with capsys.disabled():
        print("\n".join(lines))
    if len(ran) < 300 or request.session.testsfailed:
        pytest.skip("only part of the walk ran, or part of it failed")
    assert {kind: pairs.counted[kind] for kind, least in LEAST.items() if pairs.counted[kind] < least} == {}
