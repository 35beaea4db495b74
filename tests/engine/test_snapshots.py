"""Each query has its plan, its SQL and its JSON beside it. Nothing here writes them: `python -m tests.engine.snapshot`
prints what would change, and a person decides.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.conftest import World
from tests.engine.snapshot import FOLDER, Case, explained, read_case

NAMES = sorted(path.stem for path in FOLDER.glob("*.graphql"))


@pytest.mark.parametrize("name", NAMES)
def test_plan_and_sql(name: str) -> None:
    plan, sql = explained(read_case(name))
    assert plan == (FOLDER / f"{name}.plan").read_text(encoding="utf-8")
    assert sql == (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
async def test_answer(name: str, world: World) -> None:
    case: Case = read_case(name)
    expected = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    answer = await world.ask(case.view, case.query, case.variables)
    assert answer == expected
    assert json.dumps(answer) == json.dumps(expected)  # the order of keys is the order of the document


def test_every_snapshot_is_of_a_query() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)
    assert isinstance(FOLDER, Path)
