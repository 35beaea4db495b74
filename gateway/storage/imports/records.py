"""Records: new ones, changed ones as further versions, revocations with their notice; one transaction a batch.

In: typed rows of penalties, lists, records of any kind. Out: core.record, record_version and withdrawal. The same
row again is found by its natural key and the hash of its content, and changes nothing. What a row of another origin
than a file is told by, and how its status goes on, a subclass says (gateway/storage/feed_rows.py).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from gateway.storage.imports.adopted import brought_by_a_feed, take, withdrawn_as_wrong
from gateway.storage.imports.columns import FileKind
from gateway.storage.imports.connection import Connection
from gateway.storage.imports.near import (
    Unfound,
    another_person,
    mistyped,
    names_under_no_code,
    under_another_code,
    withdrawn_nothing,
)
from gateway.storage.imports.outcome import Outcome, Seen
from gateway.storage.imports.read import Row
from gateway.storage.imports.refused import CellError, RowErrors
from gateway.storage.imports.rows import (
    RecordRow,
    canonical,
    json_value,
    problems_of,
    record_row,
    with_authority,
)
from gateway.storage.imports.subject_rows import Reference
from gateway.storage.imports.subjects import Known, Subjects, alike
from gateway.storage.persons import masked_identity

# Columns of core.record that both a new and a changed row write, with their types: one table, two statements.
_WRITTEN = (
    ("severity", "text"), ("status", "text"), ("published", "boolean"), ("under_objection", "boolean"),
    ("version", "integer"), ("catalogue_item", "text"), ("decided_on", "date"), ("published_from", "date"),
    ("published_until", "date"), ("repairable_from", "date"), ("amount", "numeric"), ("title", "text"),
    ("document_number", "text"), ("basis", "text"), ("facts", "text"), ("detail", "jsonb"), ("area", "text"),
    ("authority_id", "bigint"),
)  # fmt: skip
_IDENTITY = (
    ("external_id", "uuid"), ("subject_id", "bigint"), ("subject_class", "text"), ("kind", "text"),
    ("source_code", "text"), ("natural_key", "text"),
)  # fmt: skip
_VERSION = (
    ("record_id", "bigint"), ("subject_id", "bigint"), ("version", "integer"), ("status", "text"), ("content", "jsonb"),
    ("content_hash", "bytea"), ("decided_on", "date"), ("published_from", "date"), ("published_until", "date"),
    ("reason", "text"), ("entered_by", "text"), ("received_at", "timestamptz"), ("original", "text"),
)  # fmt: skip
_TOLD_OTHERWISE = frozenset(("version", "detail", "authority_id"))  # in the content of a version
_KEPT = ("kind", "source_code", "catalogue_item")

_FIND = """
    select r.source_code, r.natural_key, r.id, r.version, r.status, r.published_from, r.published_until, r.published,
           v.content_hash, (v.received_at at time zone 'Asia/Shanghai')::date as received_on,
           exists (select from core.record_version o where o.record_id = r.id and o.version < r.version
                   and o.content_hash = w.content_hash) as older
    from unnest($1::text[], $2::text[], $3::bytea[]) w (source_code, natural_key, content_hash)
    join core.record r on r.source_code = w.source_code and r.natural_key = w.natural_key
    join core.record_version v on v.record_id = r.id and v.version = r.version
"""
# To the subject whose code was meant; versions before stay with the one that they were made for.
_MOVE = """
    update core.record r set subject_id = w.subject_id, subject_class = w.subject_class, natural_key = w.natural_key
    from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) w (id, subject_id, subject_class, natural_key)
    where r.id = w.id
"""
_MOVED = (("subject_id", "bigint"), ("subject_class", "text"), ("natural_key", "text"))
_WITHDRAW = """
    insert into core.withdrawal (subject_id, record_id, authority_id, withdrawn_on, reason)
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::date[], $5::text[]) on conflict do nothing
"""


def _arrays(columns: tuple[tuple[str, str], ...], start: int = 1) -> str:
    # jsonb goes as text and is cast once, so that its array needs no codec.
    types = ("text" if kind == "jsonb" else kind for _, kind in columns)
    return ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, start))


def _selected(columns: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"w.{name}::jsonb" if kind == "jsonb" else f"w.{name}" for name, kind in columns)


def _names(columns: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(name for name, _ in columns)


def _insert(table: str, columns: tuple[tuple[str, str], ...], returning: str = "") -> str:
    return (
        f"insert into {table} ({_names(columns)}) select {_selected(columns)}"
        f" from unnest({_arrays(columns)}) w ({_names(columns)}) {returning}"
    )


_NEW = _insert("core.record", (*_IDENTITY, *_WRITTEN), "returning id, external_id")
_NEW_VERSION = _insert("core.record_version", _VERSION)
_SET = ", ".join(f"{name} = w.{name}::{kind}" for name, kind in _WRITTEN)
_CHANGE = (
    f"update core.record r set known_at = now(), {_SET}"
    f" from unnest({_arrays((('id', 'bigint'), *_WRITTEN))}) w (id, {_names(_WRITTEN)}) where r.id = w.id"
)


@dataclass(slots=True)
class _Planned:
    """A record about to be written."""

    row: Row
    record: RecordRow
    subject: Known
    authority: Known | None
    natural_key: str
    content_hash: bytes
    external_id: uuid.UUID  # of a new one
    id: int | None = None
    was: asyncpg.Record | None = None  # the record before, None for a new one
    written: dict[str, Any] = field(default_factory=dict)
    moved: asyncpg.Record | None = None  # the record under a code that did not hold, and that this row is about
    adopted: asyncpg.Record | None = None  # the record that a feed brought, and that this row is about

    def unfound(self) -> Unfound:
        """What it is looked for by where its key is on no record."""
        columns, spec = self.record.columns, self.record.subject
        return Unfound(
            columns["kind"],
            columns["source_code"],
            self.subject.id,
            self.subject.subject_class != "ORGANISATION",
            spec.folded,
            columns["document_number"],
            self.authority.id if self.authority else None,
            columns["decided_on"],
            self.record.status,
            spec.uscc is not None,
            spec.key[0] == "USCC_INVALID",
            columns["detail"].get("list_name") or columns["title"],
            columns["detail"].get("grounds"),
        )


@dataclass
class RecordLoader:
    """Loads records. `original` gives the row as received, masked."""

    kind: FileKind
    reference: Reference
    subjects: Subjects
    entered_by: str
    received_at: dt.datetime
    original: Callable[[Row], dict[str, str]]
    in_wan: frozenset[str] = frozenset()  # columns of this file whose numbers are in 万元
    apply_older: bool = False  # put content back that was replaced since
    adopts: bool = False  # records that a feed brought first become those of these rows
    seen: Seen = field(default_factory=Seen)
    _miscoded: set[str] | None = None  # names on record under codes that do not hold

    def rolled_back(self) -> None:
        """Forget what the batch made."""
        self.subjects.forget()

    def problems(self, row: Row) -> list[CellError]:
        """What else is wrong with a row whose cells have faults already."""
        if len(row.failed) == 1 and "" in row.failed:
            return []  # not as wide as the header: no cell is known to be where it belongs
        return problems_of(self.kind, row.values, row.failed, self.reference, self.subjects.keys.blind_index)

    async def load(self, connection: Connection, rows: list[Row]) -> Outcome:
        """Write the batch: subjects, then what is new or changed, then versions and notices."""
        outcome = Outcome()
        records: list[tuple[Row, RecordRow]] = []
        for row in rows:
            try:
                blind_index = self.subjects.keys.blind_index
                records.append((row, record_row(row.line, self.kind, row.values, self.reference, blind_index)))
            except RowErrors as errors:
                outcome.reject(row, *errors.errors)
        planned = await self._with_subjects(connection, records, outcome)
        existing = await self._existing(connection, planned)
        if self.adopts:
            planned = await self._brought(connection, planned, existing, outcome)
        planned = await self._under_other_keys(connection, planned, existing, outcome)
        new, changed = self._sort(planned, existing, outcome)
        await self._insert(connection, new)
        await self._change(connection, changed)
        await self._versions(connection, [*new, *changed])
        await self._withdraw(connection, [*new, *changed])
        outcome.remarks.moved += sum(one.moved is not None for one in changed)
        for one in changed:
            if one.adopted is not None:
                outcome.remarks.adopt(one.written["status"])
        for one in (*new, *changed):
            outcome.remarks.unknown_fines += one.record.fine_unknown
            outcome.remarks.look_at_amounts(one.row.line, one.row.values, self.in_wan)
        outcome.new += len(new)
        outcome.changed += len(changed)
        return outcome

    def identify(self, row: Row, record: RecordRow, subject: Known, authority: Known | None) -> tuple[str, uuid.UUID]:
        """What makes this row the same row again, and the id that its record gets if there is none yet."""
        # A list is told by its name; everything else by who decided.
        by = "" if record.columns["kind"] == "LIST_ENTRY" or authority is None else str(authority.external_id)
        return f"{record.columns['kind']}|{by}|{record.number}|{subject.external_id}", uuid.uuid4()

    def left_alone(self, row: Row, found: asyncpg.Record, outcome: Outcome) -> bool:
        """Whether a record stays as it is though the row says something else: what was replaced since, unless it is to
        be put back."""
        if self.apply_older or not found["older"]:
            return False
        outcome.older += 1
        outcome.remarks.older_content(row.line, found["received_on"])
        return True

    def next_status(self, was: str, own: str | None) -> str:
        """The status of a changed row. A file never undoes a repair or revocation: who determined it must do that."""
        if own in ("REPAIRED", "REVOKED", "CORRECTED") and was in ("ACTIVE", "CORRECTED"):
            return own
        if was in ("ACTIVE", "CORRECTED"):
            return "CORRECTED"
        if own is None or own == was:
            return was
        if own in ("REPAIRED", "REVOKED"):
            return own
        raise CellError(
            "status",
            own,
            "该信息已修复或撤销，不能经导入恢复公示",
            "is repaired or revoked already; an import does not publish it again",
        )

    async def _with_subjects(
        self, connection: Connection, records: list[tuple[Row, RecordRow]], outcome: Outcome
    ) -> list[_Planned]:
        specs = [spec for _, record in records for spec in (record.subject, record.authority) if spec is not None]
        known = await self.subjects.resolve(connection, specs)
        outcome.remarks.doubled += self.subjects.doubled_now()
        planned = []
        for row, record in records:
            subject = known[record.subject.key]
            authority = known.get(record.authority.key) if record.authority else None
            try:
                if record.authority and authority is None:
                    raise CellError(
                        "authority_name",
                        record.authority.name,
                        "有几个同名机关，请给出机关代码",
                        "several organs have this name; give the code",
                    )
                if authority is not None and authority.subject_class != "ORGANISATION":
                    raise CellError("authority_uscc", "", "认定机关不是组织", "the authority is not an organisation")
                if record.subject.number is not None and not alike(record.subject.folded, subject):
                    raise another_person()
                key, external_id = self.identify(row, record, subject, authority)
                content_hash = with_authority(record.content_hash, authority.external_id if authority else None)
                if self.seen.twice((record.columns["source_code"], key), row, content_hash[:16]):
                    outcome.same += 1
                    continue
            except CellError as error:
                outcome.reject(row, error)
                continue
            for spec, on in ((record.subject, subject), (record.authority, authority)):
                if spec is None or on is None or on.called(spec.folded):
                    continue
                if spec.uscc is not None:
                    outcome.remarks.other_name(row.line, spec.uscc, on.name, spec.name)
                elif spec.number is not None:
                    outcome.remarks.other_person(row.line, masked_identity(spec.number))
            planned.append(_Planned(row, record, subject, authority, key, content_hash, external_id))
        return planned

    async def _existing(self, connection: Connection, planned: list[_Planned]) -> dict[tuple[str, str], asyncpg.Record]:
        sources = [one.record.columns["source_code"] for one in planned]
        keys, hashes = [one.natural_key for one in planned], [one.content_hash for one in planned]
        rows = await connection.fetch(_FIND, sources, keys, hashes)
        return {(row["source_code"], row["natural_key"]): row for row in rows}

    async def _brought(
        self,
        connection: Connection,
        planned: list[_Planned],
        existing: dict[tuple[str, str], asyncpg.Record],
        outcome: Outcome,
    ) -> list[_Planned]:
        """Of rows whose key is on no record: takes up the record that a feed brought first (`adopted`)."""
        unfound = _unfound(planned, existing)
        refused: set[int] = set()
        for n, found in (await brought_by_a_feed(connection, [one.unfound() for one in unfound])).items():
            if (error := withdrawn_as_wrong(found, unfound[n].record.status)) is None:
                unfound[n].adopted = found
            else:
                outcome.reject(unfound[n].row, error)
                refused.add(unfound[n].row.number)
        return [one for one in planned if one.row.number not in refused]

    async def _under_other_keys(
        self,
        connection: Connection,
        planned: list[_Planned],
        existing: dict[tuple[str, str], asyncpg.Record],
        outcome: Outcome,
    ) -> list[_Planned]:
        """Of rows whose key is on no record: moves what was under a code that did not hold (`moved`), rejects what
        would stand there twice, and withdrawals that withdraw nothing."""
        unfound = [one for one in _unfound(planned, existing) if one.adopted is None]
        told = [one.unfound() for one in unfound]
        if self._miscoded is None:
            self._miscoded = await names_under_no_code(connection)
        self._miscoded |= {one.folded for one in told if one.miscoded}
        others = await under_another_code(connection, told, self._miscoded)
        nothing = await withdrawn_nothing(connection, told)
        here = {}
        if any(one.miscoded for one in told):
            here = {one.unfound().document_of: one.record.subject.uscc for one in planned if one.record.subject.uscc}
        refused: set[int] = set()
        for n, one in enumerate(unfound):
            error = nothing.get(n)
            if told[n].miscoded and told[n].document and (uscc := here.get(told[n].document_of)) is not None:
                error = mistyped(uscc)
            elif (other := others.get(n)) is not None:
                error = mistyped(other["uscc"]) if other["uscc"] is not None else None
                one.moved = other if error is None else None
            if error is not None:
                outcome.reject(one.row, error)
                refused.add(one.row.number)
        return [one for one in planned if one.row.number not in refused]

    def _sort(
        self, planned: list[_Planned], existing: dict[tuple[str, str], asyncpg.Record], outcome: Outcome
    ) -> tuple[list[_Planned], list[_Planned]]:
        new, changed = [], []
        for one in planned:
            other = one.moved or one.adopted
            found = other or existing.get((one.record.columns["source_code"], one.natural_key))
            if found is None:
                self._write(one, one.record.status or "ACTIVE", 1, self.reference.received_on)
                new.append(one)
            elif other is None and found["content_hash"] == one.content_hash:
                outcome.same += 1
            elif other is not None or not self.left_alone(one.row, found, outcome):
                try:
                    status = self.next_status(found["status"], one.record.status)
                except CellError as error:
                    outcome.reject(one.row, error)
                    continue
                one.id, one.was = found["id"], found
                self._write(one, status, found["version"] + 1, found["published_from"])
                changed.append(one)
        return new, changed

    def _write(self, one: _Planned, status: str, version: int, published_from: dt.date) -> None:
        """The columns as stored. Without a day of its own a row is published from the day it was first received."""
        columns = one.record.columns
        one.written = {
            **columns,
            "external_id": one.external_id,
            "subject_id": one.subject.id,
            "subject_class": one.subject.subject_class,
            "authority_id": one.authority.id if one.authority else None,
            "natural_key": one.natural_key,
            "status": status,
            "version": version,
            "published_from": one.record.published_from or published_from,
            "detail": canonical(columns["detail"]),
        }

    async def _insert(self, connection: Connection, new: list[_Planned]) -> None:
        if new:
            rows = await connection.fetch(_NEW, *_transposed(new, (*_IDENTITY, *_WRITTEN)))
            ids = {row["external_id"]: row["id"] for row in rows}
            for one in new:
                one.id = ids[one.external_id]

    async def _change(self, connection: Connection, changed: list[_Planned]) -> None:
        moved = [one for one in changed if one.moved is not None]
        if moved:
            await connection.execute(_MOVE, [one.id for one in moved], *_transposed(moved, _MOVED))
        adopted = [(one, one.adopted["id"]) for one in changed if one.adopted is not None]
        await take(connection, [(id_, one.record.columns["source_code"], one.natural_key) for one, id_ in adopted])
        if changed:
            await connection.execute(_CHANGE, [one.id for one in changed], *_transposed(changed, _WRITTEN))

    async def _versions(self, connection: Connection, written: list[_Planned]) -> None:
        if not written:
            return
        for one in written:
            content = {name: json_value(one.written[name]) for name, _ in _WRITTEN if name not in _TOLD_OTHERWISE}
            content.update({name: one.record.columns[name] for name in _KEPT})
            content["detail"] = one.record.columns["detail"]
            content["authority"] = str(one.authority.external_id) if one.authority else None
            one.written |= {
                "record_id": one.id,
                "content": canonical(content),
                "content_hash": one.content_hash,
                "reason": one.record.reason,
                "entered_by": self.entered_by,
                "received_at": self.received_at,
                "original": canonical(self.original(one.row)),
            }
        await connection.execute(_NEW_VERSION, *_transposed(written, _VERSION))

    async def _withdraw(self, connection: Connection, written: list[_Planned]) -> None:
        """Notices of publications that were revoked. What was not published here, not yet, or no longer, gets none: the
        notice itself would tell the public of it."""
        revoked = [one for one in written if one.written["status"] == "REVOKED" and self._was_public(one)]
        if revoked:
            await connection.execute(
                _WITHDRAW,
                [one.subject.id for one in revoked],
                [one.id for one in revoked],
                [one.authority.id if one.authority else None for one in revoked],
                [one.record.withdrawn_on or self.reference.received_on for one in revoked],
                [one.record.reason for one in revoked],
            )

    def _was_public(self, one: _Planned) -> bool:
        """Was it public, as it stood before this row, on the day on which it is withdrawn?"""
        was = one.was
        if was is None or one.authority is None or was["status"] not in ("ACTIVE", "CORRECTED") or not was["published"]:
            return False
        on = one.record.withdrawn_on or self.reference.received_on
        until = was["published_until"]
        return bool(was["published_from"] <= on and (until is None or until >= on))


def _unfound(planned: list[_Planned], existing: dict[tuple[str, str], asyncpg.Record]) -> list[_Planned]:
    return [one for one in planned if (one.record.columns["source_code"], one.natural_key) not in existing]


def _transposed(planned: list[_Planned], columns: tuple[tuple[str, str], ...]) -> list[list[Any]]:
    return [[one.written[name] for one in planned] for name, _ in columns]
