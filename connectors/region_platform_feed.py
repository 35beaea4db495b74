"""The feed of the regional platform's changes: one page of it, checked and with its rows in canonical form.

In: `data` of GET /changes. Out: a `ChangesPage`; UpstreamError where the page itself breaks the contract. A single
change that can't be read is a `Change` with `problem`, so that one poisoned row doesn't hold up all that follow. Called
by region_platform.py alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from connectors.base import FailureKind, Row
from connectors.http import UpstreamError, fail, read_object
from connectors.region_platform_rows import Normalised, normalise, normalise_withdrawn, table_of, uscc_of

REASONS: Final = ("repaired", "revoked", "corrected", "expired")

_CURSOR_CAP: Final = 2_000  # characters
_UNSTORABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the feed. `row` as in an answer, `effective_on` ISO 8601; both reason and day of a withdrawal only,
    of whose row what can't be read is null, but for what tells it from others.

    `problem`: why it can't be read, without contents; then `row` is None, and `op`, `table` and `uscc` are empty where
    they are what can't be read.
    """

    op: Literal["upsert", "withdraw", ""]
    table: str
    uscc: str
    row: Row | None = None
    reason: str | None = None
    effective_on: str | None = None
    unreadable: int = 0  # optional dates of the row that are null
    problem: str = ""
    key: str = ""  # of a row that can't be read, where what tells it from others can

    @property
    def natural_key(self) -> str:
        """What makes a row of the platform the same row again; as much of it as could be read."""
        if self.row is not None:
            return str(self.row["natural_key"])
        return self.key or f"{self.table}|{self.uscc}"


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """A page of the feed: the cursor behind it, whether there is more, and its changes in order."""

    next: str
    more: bool
    changes: tuple[Change, ...]


def read_changes(value: object, since: str, size: int) -> ChangesPage:
    """Check one page against the contract and what was asked. Raises UpstreamError(MALFORMED)."""
    data = read_object(value, "data")
    cursor, more, rows = data.get("next"), data.get("more"), data.get("list")
    if not isinstance(cursor, str) or len(cursor) > _CURSOR_CAP or _UNSTORABLE.search(cursor):
        fail(FailureKind.MALFORMED, "next is not a cursor")
    if not isinstance(more, bool):
        fail(FailureKind.MALFORMED, "more is not a boolean")
    if not isinstance(rows, list) or len(rows) > size:
        fail(FailureKind.MALFORMED, "list is not a list of at most the size asked for")
    if more and cursor == since:
        fail(FailureKind.MALFORMED, "the cursor does not move")
    if not cursor and (rows or more):  # it would begin again for ever
        fail(FailureKind.MALFORMED, "next is empty")
    return ChangesPage(cursor, more, tuple(_change(row) for row in rows))


def _change(value: object) -> Change:
    op: Literal["upsert", "withdraw", ""] = ""
    table = uscc = ""
    try:
        raw = read_object(value, "change")
        table, uscc = table_of(raw), uscc_of(raw)
        match raw.get("op"):
            case "upsert":
                op = "upsert"
            case "withdraw":
                op = "withdraw"
            case _:
                fail(FailureKind.MALFORMED, "op is neither upsert nor withdraw")
        reason, effective_on = _withdrawn(raw) if op == "withdraw" else (None, None)
        made = _withdrawn_row(raw) if op == "withdraw" else normalise(raw)
    except UpstreamError as error:
        problem = f"{error.failure.kind}: {error.failure.detail}"
        return Change(op, table, uscc, problem=problem, key=_key_of(value) if table and uscc else "")
    return Change(op, table, uscc, made.row, reason, effective_on, made.unreadable)


def _key_of(value: object) -> str:
    """The key of a row of which something else can't be read; empty where it is the key."""
    try:
        return str(normalise_withdrawn(read_object(value, "change")).row["natural_key"])
    except UpstreamError:
        return ""


def _withdrawn_row(raw: Mapping[str, object]) -> Normalised:
    """The row as an upsert has it, or where that can't be read, what tells which row ends: one bad column must not
    leave in public what was withdrawn. Raises UpstreamError."""
    try:
        return normalise(raw)
    except UpstreamError:
        return normalise_withdrawn(raw)


def _withdrawn(raw: Mapping[str, object]) -> tuple[str, str]:
    """Why a row is withdrawn, and since when. Raises UpstreamError."""
    reason, day = raw.get("reason"), raw.get("effectiveOn")
    if not isinstance(reason, str) or reason not in REASONS:
        fail(FailureKind.MALFORMED, "reason is none of the contract")
    if not isinstance(day, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        fail(FailureKind.MALFORMED, "effectiveOn is not a day")
    try:
        return reason, date.fromisoformat(day).isoformat()
    except ValueError:
        fail(FailureKind.MALFORMED, "effectiveOn is not a day")
