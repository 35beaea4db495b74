"""Rows of a source's feed become records by the rules of the import: the same cells, class, term and catalogue item.

In: rows in the canonical form of the connectors, columns named as a record's. Out: typed rows for the import's loader,
and that loader with the feed's own natural keys and ids. Called by feed.py alone.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import asyncpg

from gateway.storage.identifiers import live_record_id, mask_identity_numbers
from gateway.storage.imports.columns import Column, FileKind, details
from gateway.storage.imports.definitions import HONOURS, LICENCES, LISTS, PENALTIES
from gateway.storage.imports.outcome import Outcome
from gateway.storage.imports.parse import parse_cell, shown
from gateway.storage.imports.read import Row
from gateway.storage.imports.records import RecordLoader
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.rows import RecordRow, canonical
from gateway.storage.imports.subjects import Known
from gateway.storage.nearly import hide_said

_WITH_AN_END = replace(HONOURS, columns=(*HONOURS.columns, *details("valid_until")))
KINDS: Final[Mapping[str, FileKind]] = {
    "xzcf": PENALTIES,
    "xzxk": LICENCES,
    "honour": _WITH_AN_END,
    "serious_dishonesty": LISTS,
    "abnormal": LISTS,
}
# Of a row as it came, under the names that files have; what isn't here is not kept, or follows from the others.
_NAMES: Final = {"subject_name": "name", "subject_uscc": "uscc"}
_COMPUTED: Final = frozenset(("kind", "severity", "amount"))


@dataclass(frozen=True, slots=True)
class FeedChange:
    """One change of a feed. `op` is upsert or withdraw, `row` in canonical form; `reason` and `effective_on` (ISO 8601)
    of a withdrawal. `problem`: why it could not be read, without contents; then `row` is None."""

    op: str
    table: str
    uscc: str
    natural_key: str
    row: Mapping[str, Any] | None = None
    reason: str | None = None
    effective_on: str | None = None
    problem: str = ""

    def digest(self) -> bytes:
        """SHA-256 of all that it says."""
        whole = [self.op, self.natural_key, dict(self.row or {}), self.reason, self.effective_on]
        return hashlib.sha256(canonical(whole).encode()).digest()

    def content(self) -> bytes:
        """SHA-256 of its row without when and where it was said: what an echo has in common with what it repeats."""
        row = {name: value for name, value in (self.row or {}).items() if name not in ("updated_at", "data_source")}
        return hashlib.sha256(canonical([self.natural_key, row]).encode()).digest()

    def original(self) -> dict[str, Any]:
        """The row as it came and what was said of it, identity numbers masked as in the originals of files."""
        said = {"op": self.op, "reason": self.reason, "effective_on": self.effective_on}
        row = {name: value for name, value in {**(self.row or {}), **said}.items() if value is not None}
        columns = {column.name: column for column in KINDS[self.table].columns}
        return {name: _masked(columns.get(_NAMES.get(name, name)), value) for name, value in row.items()}

    def safe_key(self) -> str:
        """The natural key without identity numbers: where they stand in a title or a document's number."""
        parts = self.natural_key.split("|", 2)  # table, code, and what the row is told by
        return "|".join([*parts[:2], *(hide_said(mask_identity_numbers(part)) for part in parts[2:])])


def _masked(column: Column | None, value: object) -> Any:
    if isinstance(value, str):
        return shown(column, value)
    return [_masked(column, one) for one in value] if isinstance(value, list | tuple) else value


def feed_row(place: int, change: FeedChange, source: str, name: str | None) -> Row:
    """A change's row as the import types it; what is wrong with it is in its errors. `name` of the subject, where the
    row has none."""
    values: dict[str, object] = {"source": source}
    errors: list[CellError] = []
    given = {"subject_name": name, **{key: value for key, value in (change.row or {}).items() if value is not None}}
    for column in KINDS[change.table].columns:
        value = given.get(next((key for key, of in _NAMES.items() if of == column.name), column.name))
        if value is None or column.name in _COMPUTED or column.name == "source":
            continue
        try:
            parsed = parse_cell(column, _cell(column.type, value))
        except CellError as error:
            errors.append(error)
            continue
        if parsed is not None:
            values[column.name] = parsed
    if "name" not in values and not errors:
        errors.append(
            CellError("name", "", "无名称且主体不在库", "the row has no name and its subject is not on record")
        )
    return Row(place, place, (), values, tuple(errors))


def _cell(kind: str, value: object) -> str:
    if kind in ("yuan", "wan", "money"):
        return f"{value}元"  # the unit goes before that of the column
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "；".join(map(str, value))
    return str(value)


@dataclass
class FeedLoader(RecordLoader):
    """The import's loader for rows of a feed: told by the source's own key, with the id of its live rows."""

    keys_of: Mapping[int, str] = field(default_factory=dict)  # natural keys by place
    echoes: set[int] = field(default_factory=set)  # places of rows that say what had ended, and nothing new

    def identify(self, row: Row, record: RecordRow, subject: Known, authority: Known | None) -> tuple[str, uuid.UUID]:
        """The source's natural key, and the id that the row has in a live answer, too."""
        key = self.keys_of[row.number]
        return key, live_record_id(record.columns["source_code"], key)

    def left_alone(self, row: Row, found: asyncpg.Record, outcome: Outcome) -> bool:
        """A withdrawn record stays as it is where a version had the content before. What is older otherwise is told by
        the feed's own times, before it comes here."""
        if not found["older"] or found["status"] in ("ACTIVE", "CORRECTED"):
            return False
        self.echoes.add(row.number)
        outcome.same += 1
        return True

    def next_status(self, was: str, own: str | None) -> str:
        """A changed row is corrected. One that was withdrawn and is said anew, with something new, is in force again:
        the source relays who determined it, and prevails over copies."""
        return "CORRECTED"
