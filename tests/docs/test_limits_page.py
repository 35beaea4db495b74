"""Promise: docs/limits.md has every limit with its number as the code has it, and what a cost is made of."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.engine import compile as compiled
from gateway.engine import cost, documents, introspection, mutate, planner, search, size
from gateway.engine.request import Limits
from gateway.limits import CEILINGS, QueryLimits
from gateway.settings import Settings
from gateway.web import reading

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")


def test_the_table() -> None:
    found = {
        name: tuple(map(int, numbers))
        for name, *numbers in re.findall(r"^\| `(\w+)` \| .* \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    }
    made = Limits(Settings.model_fields["max_cost"].default, Settings.model_fields["max_cost_public"].default).contracts
    assert found == {
        name: (getattr(made["PUBLIC"], name), getattr(made["INTERNAL"], name), CEILINGS[name])
        for name in QueryLimits.__slots__
    }


def test_what_holds_for_everybody() -> None:
    told = " ".join(PAGE.split())
    for text in (
        f"{documents.MOST_CHARACTERS:,} characters",
        f"{size.MOST_DEFINITIONS} operations and fragments",
        f"{size.MOST_SELECTIONS} selections in one selection set",
        f"{size.MOST_PLACES:,} fields, spreads and uses of variables",
        f"{documents.MOST_COMPARED:,} comparisons",
        f"{size.MOST_VARIABLES} variables",
        f"{size.MOST_ARGUMENTS} arguments and {size.MOST_DIRECTIVES} directives",
        f"{size.MOST_ITEMS:,} values in a list",
        f"{planner.MOST_PLANNED:,} fields with those of each type of record",
        f"{introspection.MOST_INTROSPECTED:,} values of it",
        f"{reading.MOST_VALUES:,} values",
        f"one response key {size.MOST_REPEATED} times",
        f"{cost.MOST_RELATIONS} relations",
        f"{cost.MOST_INTROSPECTION} root fields of introspection",
        f"{documents.MOST_ERRORS} errors told at once",
        f"of a mutation at most {mutate.MOST_STEPS}",
        f"| a part of a source | {cost.SECTION} |",
        f"1 for each {cost.LEAVES}",
        f"of a search {search.COUNTED}",
    ):
        assert text in told, text
    assert compiled.MOST_ERRORS == documents.MOST_ERRORS
