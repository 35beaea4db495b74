"""Operations on which the two once differed: asked again by every run, first of all.

In: kept.json, one entry for each difference that was found: view, asker, document, operation name, variables, the seed
that found it, and what was wrong. Ids in them are those of world.py, which makes the same ones every time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("kept.json")


@dataclass(frozen=True)
class Kept:
    """One of them."""

    view: str
    asker: str
    text: str
    why: str
    seed: str = ""
    name: str | None = None
    variables: dict[str, Any] | None = None


def kept() -> list[Kept]:
    """All of them."""
    return [Kept(**entry) for entry in json.loads(FILE.read_text(encoding="utf-8"))]
