"""What the banks' sandbox knows: made-up summaries, one a subject, the same every time.

In: subjects (sandbox/subjects.py), or a JSON file that says exactly what is there. Out: the summary of one subject, and
whether it comes later. Nothing here is about anybody.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sandbox.subjects import LATEST, Row, check_subject, draws, is_uscc

CLASSIFICATIONS = ("正常", "关注", "次级", "可疑", "损失")
EVENTS = ("违约", "展期", "代偿", "核销")
_CLEAN: Row = {
    "loanBalance": "0.00",
    "overdueBalance": "0.00",
    "overdueDays": 0,
    "classification": "正常",
    "guaranteeBalance": "0.00",
    "unit": "万元",
    "events": [],
}


@dataclass(frozen=True)
class Pending:
    """An answer that comes later: after the first 202 as many `polls` are answered so, and `seconds` must be over."""

    polls: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Known:
    """What the banks know of a subject. `summary` None: no relation with any bank, which may show only later."""

    summary: Row | None
    as_of: str | None = None
    pending: Pending | None = None


class BankData(Protocol):
    """What the banks know of one subject."""

    def of(self, uscc: str) -> Known | None:
        """The summary of a subject; None where no bank has a relation with it."""
        ...


class GivenSummaries:
    """Summaries by USCC as a JSON file gives them, served as they are written.

    `{"<USCC>": {"summary": {"loanBalance": "918273.64", …}, "asOf": "…", "pending": {"polls": 2, "seconds": 0.5}}}`.
    Keys that a summary leaves out are those of a clean one; `asOf` is the time of asking unless given; `summary` may
    be null, for a subject that turns out to be unknown after it was pending.
    """

    def __init__(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        self._known = {uscc: _known(uscc, entry) for uscc, entry in given.items()}

    def of(self, uscc: str) -> Known | None:
        """The summary that is given for a subject."""
        return self._known.get(uscc)


def _known(uscc: str, entry: Any) -> Known:
    if not is_uscc(uscc):
        raise ValueError(f"{uscc!r} is not a USCC")
    if not isinstance(entry, dict) or "summary" not in entry or set(entry) - {"summary", "asOf", "pending"}:
        raise ValueError(f"{uscc}: an object with summary, and perhaps asOf and pending, expected")
    summary, pending = entry["summary"], entry.get("pending")
    if not isinstance(summary, dict | None) or not isinstance(pending, dict | None):
        raise ValueError(f"{uscc}: summary and pending are objects or null")
    try:
        later = None if pending is None else Pending(**pending)
    except TypeError:
        raise ValueError(f"{uscc}: pending has polls and seconds") from None
    return Known(None if summary is None else {**_CLEAN, **summary}, entry.get("asOf"), later)


def load_summaries(path: Path) -> GivenSummaries:
    """Read the summaries of a JSON file; ValueError where it is no such file."""
    given = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(given, dict):
        raise ValueError("an object of summaries, by USCC, expected")
    return GivenSummaries(given)


@dataclass(frozen=True)
class SyntheticSummaries:
    """Summaries made from each subject's code: `subjects` maps USCC to name, `seed` gives another world."""

    subjects: Mapping[str, str]
    seed: str = "1"

    def __post_init__(self) -> None:
        for uscc, name in self.subjects.items():
            check_subject(uscc, name)

    def of(self, uscc: str) -> Known | None:
        """About 70 % of enterprises, individual businesses and cooperatives (9…) have a relation, nobody else."""
        if uscc not in self.subjects or not uscc.startswith("9"):
            return None
        draw = draws(self.seed, uscc, "bank")
        return Known(make_summary(draw)) if draw.random() < 0.7 else None


def make_summary(draw: random.Random) -> Row:
    """A summary: some 20 % are overdue, with events; amounts in 万元 or 元."""
    overdue = draw.random() < 0.2
    unit = draw.choice(("万元", "万元", "元"))
    scale = 1 if unit == "万元" else 10_000
    loan = draw.randint(1_000, 9_000_000)
    late = draw.randint(1, loan) if overdue else 0
    return {
        "loanBalance": _amount(loan * scale),
        "overdueBalance": _amount(late * scale),
        "overdueDays": draw.randint(1, 900) if overdue else 0,
        "classification": draw.choice(CLASSIFICATIONS[1:]) if overdue else "正常",
        "guaranteeBalance": _amount(draw.choice((0, draw.randint(1_000, 2_000_000))) * scale),
        "unit": unit,
        "events": [_event(draw, scale) for _ in range(draw.randint(1, 3))] if overdue else [],
    }


def _event(draw: random.Random, scale: int) -> Row:
    occurred = LATEST - timedelta(days=draw.randint(30, 5 * 365))
    settled = draw.choice((None, min(occurred + timedelta(days=draw.randint(10, 400)), LATEST).isoformat()))
    return {
        "kind": draw.choice(EVENTS),
        "amount": _amount(draw.randint(1_000, 2_000_000) * scale),
        "occurredOn": occurred.isoformat(),
        "settledOn": settled,
    }


def _amount(hundredths: int) -> str:
    return f"{Decimal(hundredths) / 100:.2f}"
