"""Changes of one page of a feed become records: what is known already, whose own report it is, what it changes.

In: changes in canonical form, no row of the source twice in a call. Out: core.record, record_version, withdrawal,
source_row, source_ended and feed_change; what was not taken, and why. The caller has opened the transaction. Called by
feed.py alone.

- A row that is a report of our own come back (a record of another source with its subject, kind, document number, day
  and authority) is linked to that record, never doubled; what the platform says of it later reaches the record only
  where it ends it: repaired or revoked.
- A withdrawal leaves the content as it was: a further version with another status or term. Repaired: REPAIRED. Revoked,
  and corrected (what the row said was wrong; what is right follows as a row of its own): REVOKED, with the public
  notice. Expired: the term ends on the day before.
- A row said anew after its withdrawal is in force again (CORRECTED) where it says something new, and is a mere
  repetition where it was said before, whatever time and origin it has now: a repair is not undone by an echo.
- Every withdrawal but an expiry is noted in core.source_ended, also where nothing of its row is here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

import asyncpg

from gateway.storage.database import Database
from gateway.storage.feed_ended import move_said_at, note_ended, read_ended, release
from gateway.storage.feed_rows import KINDS, FeedChange, FeedLoader, feed_row
from gateway.storage.identifiers import fold_name, normal_document_number
from gateway.storage.imports.connection import Connection
from gateway.storage.imports.load import read_reference
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.rows import canonical
from gateway.storage.imports.subject_rows import Reference
from gateway.storage.imports.subjects import Subjects
from gateway.storage.persons import identity_keys

Placed: TypeAlias = tuple[int, FeedChange]  # with its place in the page, from 1
Rejected: TypeAlias = tuple[int, FeedChange, str]  # and why, without contents

# What a withdrawal says in public and in the record's history.
_SAID: Final = {
    "repaired": "信用修复",
    "revoked": "原决定已撤销",
    "corrected": "信息有误，已更正",
    "expired": "公示期届满",
}
_ENDS: Final = ("repaired", "revoked", "corrected")  # what the row said no longer holds
_IN_FORCE: Final = ("ACTIVE", "CORRECTED")
_DAY: Final = dt.timedelta(days=1)

_SEEN: Final = """
    select w.natural_key, bool_or(f.digest = w.digest) as whole
    from unnest($2::text[], $3::bytea[], $4::bytea[]) w (natural_key, digest, content)
    join core.feed_change f on f.source_code = $1 and f.natural_key = w.natural_key
    where f.digest = w.digest or f.content = w.content
    group by w.natural_key
"""
_STATES: Final = """
    select c.natural_key, c.record_id, c.linked, c.said_at, r.status, r.published_until
    from core.source_row c join core.record r on r.id = c.record_id
    where c.source_code = $1 and c.natural_key = any ($2::text[])
"""
# A record of another source that says the same: by its document's number, its brackets folded, with day and authority
# (two authorities may well number alike), else by day and title. What is in doubt stays a record of its own.
_OWN: Final = """
    select distinct on (w.natural_key) w.natural_key, r.id as record_id, true as linked, null::timestamptz as said_at,
           r.status, r.published_until
    from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::date[], $7::text[], $8::text[], $9::text[],
                $10::text[]) w (natural_key, uscc, kind, number, decided_on, told, grounds, organ, organ_name)
    join core.subject s on s.uscc = w.uscc
    join core.record r on r.subject_id = s.id and r.kind = w.kind and r.source_code <> $1
         and r.decided_on = w.decided_on
    left join core.subject a on a.id = r.authority_id
    where case when w.number is not null
               then translate(r.document_number, '（）()[]【】', '〔〕〔〕〔〕〔〕') = w.number
                    and case when w.organ is not null and a.uscc is not null then a.uscc = w.organ
                             else a.name_folded = w.organ_name end
               else w.told = case w.kind when 'HONOUR' then r.title
                                             else coalesce(r.detail ->> 'list_name', r.title) end
                    and (w.grounds is null or r.detail ->> 'grounds' = w.grounds) end
    order by w.natural_key, r.id
"""
_LINK: Final = """
    insert into core.source_row (source_code, natural_key, record_id, linked, said_at)
    select $1, w.natural_key, w.record_id, true, w.said_at
    from unnest($2::text[], $3::bigint[], $4::timestamptz[]) w (natural_key, record_id, said_at)
"""
_KEEP: Final = """
    insert into core.source_row (source_code, natural_key, record_id, linked, said_at)
    select $1, r.natural_key, r.id, false, w.said_at
    from unnest($2::text[], $3::timestamptz[]) w (natural_key, said_at)
    join core.record r on r.source_code = $1 and r.natural_key = w.natural_key
    on conflict (source_code, natural_key) do update set said_at = excluded.said_at
"""
_REMEMBER: Final = """
    insert into core.feed_change (source_code, natural_key, digest, content)
    select $1, w.natural_key, w.digest, w.content
    from unnest($2::text[], $3::bytea[], $4::bytea[]) w (natural_key, digest, content)
    on conflict do nothing
"""
_NAMES: Final = "select uscc, name from core.subject where uscc = any ($1::text[])"
# First the notices, which tell of what was public until now; then a further version with the content of the last one.
_NOTICE: Final = """
    insert into core.withdrawal (subject_id, record_id, authority_id, withdrawn_on, reason)
    select r.subject_id, r.id, r.authority_id, w.withdrawn_on, w.reason
    from unnest($1::bigint[], $2::text[], $3::date[], $4::text[]) w (record_id, status, withdrawn_on, reason)
    join core.record r on r.id = w.record_id
    where w.status = 'REVOKED' and r.authority_id is not null and r.published and r.status in ('ACTIVE', 'CORRECTED')
      and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today())
    on conflict do nothing
"""
_WITHDRAW: Final = """
    with withdrawn as (
        update core.record r set status = w.status, published_until = w.until, version = r.version + 1, known_at = now()
        from unnest($1::bigint[], $2::text[], $3::date[], $4::text[], $5::text[])
             w (record_id, status, until, reason, original)
        where r.id = w.record_id
        returning r.id, r.subject_id, r.version, r.status, r.decided_on, r.published_from, r.published_until, w.reason,
                  w.original
    )
    insert into core.record_version (record_id, subject_id, version, status, content, content_hash, decided_on,
                                     published_from, published_until, reason, entered_by, received_at, original)
    select n.id, n.subject_id, n.version, n.status,
           v.content || jsonb_build_object('status', n.status, 'published_until', n.published_until),
           sha256(v.content_hash || convert_to(n.original, 'UTF8')), n.decided_on, n.published_from, n.published_until,
           n.reason, $6, $7, n.original
    from withdrawn n join core.record_version v on v.record_id = n.id and v.version = n.version - 1
"""


@dataclass(slots=True)
class Applied:
    """What became of changes: records made and changed, rows that said nothing new, own reports recognised, records
    withdrawn, withdrawals of what is not here, changes put aside. `reasons` of the last, without contents."""

    new: int = 0
    changed: int = 0
    same: int = 0
    linked: int = 0
    withdrawn: int = 0
    unknown: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, more: Applied) -> None:
        """Those of another page, too."""
        for one in fields(self):
            if one.name != "reasons":
                setattr(self, one.name, getattr(self, one.name) + getattr(more, one.name))
        for reason, count in more.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count


@dataclass(slots=True)
class _Sorted:
    """The changes of one call by what is to be done with them."""

    upserts: list[Placed] = field(default_factory=list)
    withdrawals: list[tuple[FeedChange, asyncpg.Record, str, dt.date | None]] = field(default_factory=list)
    ends: list[FeedChange] = field(default_factory=list)  # withdrawals, with or without a record here
    echoes: list[FeedChange] = field(default_factory=list)  # upserts of what has ended, nothing new in them
    again: list[str] = field(default_factory=list)  # keys of rows in force (again) for which nothing is to write


@dataclass(slots=True)
class _Before:
    """What is known of the changes' rows, by key: what they are here, which were recognised as our own just now, which
    changes were applied before (word for word; or but for time and origin), which rows have ended and when."""

    states: Mapping[str, asyncpg.Record]
    linked: frozenset[str]
    seen: frozenset[str]
    said: frozenset[str]
    ended: Mapping[str, dt.datetime]


@dataclass
class PageWriter:
    """Writes one page's changes. `received_at` (aware) is when it was read; `rereading`: from the beginning again."""

    connection: Connection
    source: str
    reference: Reference
    subjects: Subjects
    received_at: dt.datetime
    rereading: bool
    _names: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def begin(
        cls, connection: Connection, database: Database, source: str, received_at: dt.datetime, rereading: bool
    ) -> PageWriter:
        """A writer with the rules as they are in force now."""
        reference = await read_reference(connection, received_at)
        subjects = Subjects(identity_keys(database.secrets))
        return cls(connection, source, reference, subjects, received_at, rereading)

    def forget(self) -> None:
        """After a savepoint that was rolled back."""
        self.subjects.forget()

    def learn_names(self, changes: Iterable[FeedChange]) -> None:
        """Names of subjects, for rows of lists and honours, which have none."""
        for change in changes:
            if change.row is not None and change.row.get("subject_name"):
                self._names.setdefault(change.uscc, str(change.row["subject_name"]))

    async def write(self, group: Sequence[Placed]) -> tuple[Applied, list[Rejected]]:
        """Write changes of different rows; returns counts and what was not taken."""
        applied = Applied()
        rejected: list[Rejected] = [
            (place, change, "an identity number stands in what the row is told by")
            for place, change in group
            if change.safe_key() != change.natural_key
        ]
        refused = {place for place, _, _ in rejected}
        good = [(place, change) for place, change in group if place not in refused]
        changes = [change for _, change in good]
        states, linked = await self._states(changes)
        seen, said = await self._seen(changes)
        ended = await read_ended(self.connection, self.source, [one.natural_key for one in changes])
        applied.linked += len(linked)
        sorted_ = self._sort(good, _Before(states, linked, seen, said, ended), applied)
        rejected += await self._upsert(sorted_, applied)
        await self._withdraw(sorted_.withdrawals)
        await self._end(sorted_)
        refused = {place for place, _, _ in rejected}
        taken = [change for place, change in good if place not in refused]
        await self._remember(taken)
        return applied, rejected

    async def _seen(self, changes: Sequence[FeedChange]) -> tuple[frozenset[str], frozenset[str]]:
        """The keys of changes that were applied before, word for word; and those whose rows said the same but for time
        and origin, too."""
        digests, contents = [one.digest() for one in changes], [one.content() for one in changes]
        keys = [one.natural_key for one in changes]
        rows = await self.connection.fetch(_SEEN, self.source, keys, digests, contents)
        whole = frozenset(row["natural_key"] for row in rows if row["whole"])
        return whole, frozenset(row["natural_key"] for row in rows)

    async def _states(self, changes: Sequence[FeedChange]) -> tuple[dict[str, asyncpg.Record], frozenset[str]]:
        """What the rows are here, by key, and the keys of those that were recognised as our own just now."""
        rows = await self.connection.fetch(_STATES, self.source, [one.natural_key for one in changes])
        states = {row["natural_key"]: row for row in rows}
        unknown = {one.natural_key: one for one in changes if one.natural_key not in states}
        if not unknown:
            return states, frozenset()
        columns = zip(*map(_own_by, unknown.values()), strict=True)
        found = await self.connection.fetch(_OWN, self.source, *map(list, columns))
        own = {row["natural_key"]: row for row in found}
        records = [row["record_id"] for row in own.values()]
        await self.connection.execute(_LINK, self.source, list(own), records, [_said_at(unknown[key]) for key in own])
        return states | own, frozenset(own)

    def _sort(self, group: Sequence[Placed], before: _Before, applied: Applied) -> _Sorted:
        made = _Sorted()
        for place, change in group:
            key, state = change.natural_key, before.states.get(change.natural_key)
            if self._is_echo(change, before):
                made.echoes.append(change)
                applied.same += key not in before.linked
            elif self._is_repetition(change, before):
                applied.same += 1
            elif change.op == "upsert":
                if state is None or not state["linked"]:
                    made.upserts.append((place, change))
                    continue
                applied.same += key not in before.linked  # ours: what it says we have said
                if state["status"] in _IN_FORCE:
                    made.again.append(key)
            else:
                made.ends.append(change)
                if state is None:
                    applied.unknown += 1
                elif (ending := self._ending(change, state)) is None:
                    applied.same += key not in before.linked
                else:
                    made.withdrawals.append((change, state, *ending))
                    applied.withdrawn += 1
        return made

    def _is_echo(self, change: FeedChange, before: _Before) -> bool:
        """Does it say again what has ended, and nothing new? When and where it says so counts for nothing."""
        key, state = change.natural_key, before.states.get(change.natural_key)
        over = key in before.ended or (state is not None and not state["linked"] and state["status"] not in _IN_FORCE)
        return change.op == "upsert" and over and key in before.said

    def _is_repetition(self, change: FeedChange, before: _Before) -> bool:
        """Does it tell again what was applied before, or what is older? In order, a row may well return to what it once
        said."""
        if not self.rereading:
            return False
        key, state, said_at = change.natural_key, before.states.get(change.natural_key), _said_at(change)
        if state is None:  # put aside before it ended, or not: what is older than its end is over
            ended_at = before.ended.get(key)
            return change.op == "upsert" and ended_at is not None and (said_at is None or said_at <= ended_at)
        older = said_at is not None and state["said_at"] is not None and said_at < state["said_at"]
        return key in before.seen or older

    def _ending(self, change: FeedChange, state: asyncpg.Record) -> tuple[str, dt.date | None] | None:
        """Status and end of term that a withdrawal leaves; None where it changes nothing."""
        status, until = state["status"], state["published_until"]
        if change.reason == "revoked" and status != "REVOKED":
            return "REVOKED", until
        if status not in _IN_FORCE:
            return None
        if change.reason == "repaired":
            return "REPAIRED", until
        # The other two say something of the platform's copy. The determining authority's own record is not ended.
        if state["linked"]:
            return None
        if change.reason == "corrected":
            return "REVOKED", until
        last = min(dt.date.fromisoformat(str(change.effective_on)), self.reference.received_on) - _DAY
        return (status, last) if until is None or last < until else None

    async def _upsert(self, sorted_: _Sorted, applied: Applied) -> list[Rejected]:
        rejected: list[Rejected] = []
        upserts, echoes = sorted_.upserts, set()
        nameless = {change.uscc for _, change in upserts} - self._names.keys()
        if nameless:
            rows = await self.connection.fetch(_NAMES, list(nameless))
            self._names |= {row["uscc"]: row["name"] for row in rows}
        for table, kind in KINDS.items():
            placed = {place: change for place, change in upserts if change.table == table}
            rows_of = [
                feed_row(place, change, self.source, self._names.get(change.uscc)) for place, change in placed.items()
            ]
            rejected += [(row.number, placed[row.number], _reason(row.errors)) for row in rows_of if row.errors]
            loader = FeedLoader(
                kind,
                self.reference,
                self.subjects,
                self.source,
                self.received_at,
                lambda row, placed=placed: placed[row.number].original(),  # type: ignore[misc]
                keys_of={place: change.natural_key for place, change in placed.items()},
            )
            good = [row for row in rows_of if not row.errors]
            if good:
                outcome = await loader.load(self.connection, good)
                rejected += [(row.number, placed[row.number], _reason(errors)) for row, errors in outcome.rejected]
                echoes |= loader.echoes
                applied.new += outcome.new
                applied.changed += outcome.changed
                applied.same += outcome.same
        refused = {place for place, _, _ in rejected}
        sorted_.echoes += [change for place, change in upserts if place in echoes]
        kept = [change for place, change in upserts if place not in refused | echoes]
        keys = [change.natural_key for change in kept]
        await self.connection.execute(_KEEP, self.source, keys, [_said_at(change) for change in kept])
        sorted_.again += keys
        return rejected

    async def _withdraw(self, withdrawals: Sequence[tuple[FeedChange, asyncpg.Record, str, dt.date | None]]) -> None:
        if not withdrawals:
            return
        ids = [state["record_id"] for _, state, _, _ in withdrawals]
        statuses = [status for _, _, status, _ in withdrawals]
        reasons = [_SAID[str(change.reason)] for change, _, _, _ in withdrawals]
        days = [dt.date.fromisoformat(str(change.effective_on)) for change, _, _, _ in withdrawals]
        await self.connection.execute(_NOTICE, ids, statuses, days, reasons)
        await self.connection.execute(
            _WITHDRAW,
            ids,
            statuses,
            [until for _, _, _, until in withdrawals],
            reasons,
            [canonical(change.original()) for change, _, _, _ in withdrawals],
            self.source,
            self.received_at,
        )

    async def _end(self, sorted_: _Sorted) -> None:
        """Note what has ended and what no longer has. An echo moves the end on: it says nothing that is newer."""
        said = {one.natural_key: _said_at(one) for one in (*sorted_.ends, *sorted_.echoes)}
        ends = {one.natural_key: _said_at(one) or self.received_at for one in sorted_.ends if one.reason in _ENDS}
        echoed = {key: at for one in sorted_.echoes if (at := said[key := one.natural_key]) is not None}
        await note_ended(self.connection, self.source, ends | echoed)
        await release(self.connection, self.source, sorted_.again)
        await move_said_at(self.connection, self.source, said)

    async def _remember(self, changes: Sequence[FeedChange]) -> None:
        digests, contents = [one.digest() for one in changes], [one.content() for one in changes]
        keys = [one.natural_key for one in changes]
        await self.connection.execute(_REMEMBER, self.source, keys, digests, contents)


def _own_by(change: FeedChange) -> tuple[Any, ...]:
    """What a report of our own is recognised by: the parameters of _OWN."""
    row = change.row or {}
    number, day, organ = row.get("document_number"), row.get("decided_on"), row.get("authority_name")
    return (
        change.natural_key,
        change.uscc,
        row.get("kind"),
        normal_document_number(str(number)) if number is not None else None,
        dt.date.fromisoformat(str(day)) if day is not None else None,
        row.get("title") if row.get("kind") == "HONOUR" else row.get("list_name"),
        row.get("grounds"),
        row.get("authority_uscc"),
        fold_name(str(organ)) if organ is not None else None,
    )


def _said_at(change: FeedChange) -> dt.datetime | None:
    """When the source last changed the row, as it says (aware)."""
    text = (change.row or {}).get("updated_at")
    return dt.datetime.fromisoformat(str(text)) if text is not None else None


def _reason(errors: Iterable[CellError]) -> str:
    """Why a row is not taken, in English, its columns named; nothing of its contents."""
    return "; ".join(f"{error.column}: {error}" if error.column else str(error) for error in errors)
