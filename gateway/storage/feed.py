"""A source's feed of changes in storage: its cursor, and what its pages do to records, in one transaction a page.

In: pages of changes in canonical form. Out: core.record and record_version by the loader of the import, withdrawals,
links of our own reports that came back, rejects, and the cursor moved with them: whatever moment a process is killed
at, a page is in as a whole or not at all. Called by gateway.sharing.

One process at a time follows a feed (a lock of its connection's session), and a page waits while an import runs, whose
lock it takes for its transaction: two writers of subjects at once would refuse each other's rows.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from gateway.storage.database import Database
from gateway.storage.feed_rows import FeedChange
from gateway.storage.feed_writer import Applied, PageWriter, Placed, Rejected
from gateway.storage.identifiers import mask_identity_numbers
from gateway.storage.imports.connection import IMPORT_LOCK, Connection, import_connection

_FOLLOW: Final = 0x66656564  # "feed": first half of the lock of who follows; the second is the source's
_LEAD: Final = "select pg_try_advisory_lock($1, hashtext($2))"
_BEGIN: Final = "insert into core.feed_cursor (source_code) values ($1) on conflict do nothing"
_POSITION: Final = "select cursor, rereading from core.feed_cursor where source_code = $1"
_MOVE: Final = """
    update core.feed_cursor set cursor = $2, rereading = rereading and $3, moved_at = now() where source_code = $1
"""
_START_OVER: Final = """
    update core.feed_cursor set cursor = '', rereading = true, moved_at = now() where source_code = $1
"""
_REJECT: Final = """
    insert into core.feed_reject (source_code, cursor, place, natural_key, op, reason)
    select $1, $2, w.place, w.natural_key, w.op, w.reason
    from unnest($3::integer[], $4::text[], $5::text[], $6::text[]) w (place, natural_key, op, reason)
    where not $7 or not exists (
        select from core.feed_reject f where f.source_code = $1 and f.natural_key = w.natural_key and f.op = w.op
                                         and f.reason = w.reason)
"""
_RESOLVE: Final = """
    update core.feed_reject set resolved_at = now()
    where source_code = $1 and natural_key = any ($2::text[]) and resolved_at is null
"""
_REASON_CAP: Final = 500  # characters
_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a feed was read. `rereading`: from the beginning again, what was applied before changes nothing."""

    cursor: str
    rereading: bool


class Feed:
    """One source's feed on a connection of the import role. `clock` gives the aware present time."""

    def __init__(
        self, connection: Connection, database: Database, source: str, clock: Callable[[], dt.datetime]
    ) -> None:
        self._connection = connection
        self._database = database
        self._source = source
        self._clock = clock
        self._leads = False

    async def lead(self) -> bool:
        """Become who follows this feed, until the connection ends; False where another process does."""
        if not self._leads:
            self._leads = await self._connection.fetchval(_LEAD, _FOLLOW, self._source)
        return self._leads

    async def position(self) -> Position:
        """How far the feed was read; the beginning where it never was."""
        row = await self._connection.fetchrow(_POSITION, self._source)
        return Position(row["cursor"], row["rereading"]) if row is not None else Position("", False)

    async def start_over(self) -> None:
        """Read from the beginning again: the source has refused the cursor, or an operator wants it."""
        await self._connection.execute(_BEGIN, self._source)
        await self._connection.execute(_START_OVER, self._source)

    async def apply(self, since: str, following: str, more: bool, changes: Sequence[FeedChange]) -> Applied | None:
        """Apply the page behind the cursor `since` and move the cursor to `following`, in one transaction.

        None where nothing was done: an import is running, or the cursor is no longer at `since`.
        """
        async with self._connection.transaction():
            if not await self._connection.fetchval("select pg_try_advisory_xact_lock($1)", IMPORT_LOCK):
                return None
            await self._connection.execute(_BEGIN, self._source)
            row = await self._connection.fetchrow(f"{_POSITION} for update", self._source)
            if row is None or row["cursor"] != since:
                return None
            applied = await self._apply(since, changes, row["rereading"])
            await self._connection.execute(_MOVE, self._source, following, more)
        return applied

    async def _apply(self, since: str, changes: Sequence[FeedChange], rereading: bool) -> Applied:
        applied = Applied()
        if not changes:  # the usual page: nothing is new
            return applied
        writer = await PageWriter.begin(self._connection, self._database, self._source, self._clock(), rereading)
        writer.learn_names(changes)
        rejected: list[Rejected] = []
        for group in _groups(changes):
            rejected += [(place, change, change.problem) for place, change in group if change.problem]
            rejected += await self._write(writer, [one for one in group if not one[1].problem], applied)
        await self._put_aside(since, rejected, rereading)
        refused = {place for place, _, _ in rejected}
        last = {change.natural_key: place for place, change in enumerate(changes, 1)}
        resolved = [key for key, place in last.items() if place not in refused]
        await self._connection.execute(_RESOLVE, self._source, resolved)
        for _, _, reason in rejected:
            applied.rejected += 1
            applied.reasons[reason] = applied.reasons.get(reason, 0) + 1
        return applied

    async def _write(self, writer: PageWriter, group: Sequence[Placed], applied: Applied) -> list[Rejected]:
        """The group in a savepoint. If the database or our own code can't bear a value, in halves until the row that it
        is about is found: one row that nobody foresaw must not keep the others out."""
        if not group:
            return []
        try:
            async with self._connection.transaction():
                written, rejected = await writer.write(group)
            applied.add(written)
            return rejected
        except _REFUSED as error:
            writer.forget()
            if len(group) == 1:
                place, change = group[0]
                # Not the error's words: they may quote the row.
                return [(place, change, f"the row could not be written ({type(error).__name__})")]
        half = len(group) // 2
        return [*await self._write(writer, group[:half], applied), *await self._write(writer, group[half:], applied)]

    async def _put_aside(self, since: str, rejected: Sequence[Rejected], rereading: bool) -> None:
        await self._connection.execute(
            _REJECT,
            self._source,
            since,
            [place for place, _, _ in rejected],
            [change.safe_key() for _, change, _ in rejected],
            [change.op for _, change, _ in rejected],
            [mask_identity_numbers(reason)[:_REASON_CAP] for _, _, reason in rejected],
            rereading,
        )


def _groups(changes: Sequence[FeedChange]) -> Iterator[list[Placed]]:
    """Changes with their places from 1, in runs in which no row occurs twice: within one, their order means nothing."""
    group: list[Placed] = []
    keys: set[str] = set()
    for place, change in enumerate(changes, 1):
        if change.natural_key in keys:
            yield group
            group, keys = [], set()
        group.append((place, change))
        keys.add(change.natural_key)
    yield group


@contextlib.asynccontextmanager
async def open_feed(database: Database, source: str, clock: Callable[[], dt.datetime]) -> AsyncIterator[Feed]:
    """The feed of a source on a connection of its own; whoever leads lets go at its end. Raises StorageError."""
    async with import_connection(database, lock=False) as connection:
        yield Feed(connection, database, source, clock)
