"""Disclosures, durable before anything leaves: many requests share one insert and therefore one fsync."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry, Histogram

from gateway.engine.account import Disclosure, ledger_unavailable, new_id
from gateway.errors import StorageUnavailable
from gateway.storage.faults import described
from gateway.storage.pool import Pool, same

logger = logging.getLogger(__name__)

_BATCH: Final = 256  # rows of one insert
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# The database is there and refuses the data: only the row that it refuses may fail.
_REFUSED: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


_Entry: TypeAlias = "tuple[list[object], asyncio.Future[None]]"  # a row's values, and who waits for it


_TOLD: Final = {"fields": "fields_hash", "basis": "basis_hash"}
_COLUMNS: Final = tuple(_TOLD.get(column.name, column.name) for column in fields(Disclosure))
_values = attrgetter(*_COLUMNS)
# asyncpg takes the elements of a text[] as str alone, whatever the pool's codec for text.
_MAYBE_BYTES: Final = tuple(_COLUMNS.index(n) for n in ("variables", "subject_ids", "snapshot", "sources", "withheld"))
_TYPES: Final = dict.fromkeys(("document_hash", "fields_hash", "basis_hash"), "bytea")
_ID: Final = _COLUMNS.index("id")
_CASTS: Final = {"id": "{}::uuid", "subject_ids": "string_to_array({}, ',')::uuid[]"}
_INTO: Final = f"insert into ledger.disclosure ({', '.join(_COLUMNS)})"


def _cast(name: str, value: str) -> str:
    return _CASTS.get(name, "{}").format(value)


_INSERT: Final = (
    f"{_INTO} select {', '.join(_cast(name, f'd.{name}') for name in _COLUMNS)} from unnest("
    + ", ".join(f"${i}::{_TYPES.get(name, 'text')}[]" for i, name in enumerate(_COLUMNS, 1))
    + f") d ({', '.join(_COLUMNS)})"
)
# Without a target: the role can't read, so it can't name the column that conflicts.
_TELL: Final = (
    "insert into ledger.told (hash, text) select * from unnest($1::bytea[], $2::text[]) on conflict do nothing"
)
_KNOWN: Final = 20_000  # texts that a process remembers to have written
_FEW: Final = 32  # rows of an insert without arrays: the driver takes half the time for them


def _insert_few(count: int) -> str:
    """The insert of so many rows, each value a parameter of its own."""
    rows = []
    for row in range(count):
        cells = [
            _cast(name, f"${row * len(_COLUMNS) + i}::{_TYPES.get(name, 'text')}") for i, name in enumerate(_COLUMNS, 1)
        ]
        rows.append(f"({', '.join(cells)})")
    return f"{_INTO} values {', '.join(rows)}"


_INSERTS_FEW: Final = ("", *(_insert_few(count) for count in range(1, _FEW + 1)))


def _row(disclosure: Disclosure) -> list[object]:
    row: list[object] = list(_values(disclosure))
    for i in _MAYBE_BYTES:
        value = row[i]
        if isinstance(value, bytes):
            row[i] = value.decode()
    return row


def _few_with_new_ids(values: Sequence[Any]) -> list[Any]:
    """For a second attempt, since nobody knows whether the first was committed: other rows."""
    again = list(values)
    for place in range(_ID, len(again), len(_COLUMNS)):
        again[place] = new_id()
    return again


def _with_new_ids(columns: Sequence[Any]) -> list[Any]:
    again = list(columns)
    again[_ID] = [new_id() for _ in again[_ID]]
    return again


class Ledger:
    """Group commit over `pool` (role `ledger`, `width` connections or more). `timeout` in seconds, of each disclosure.

    While `width` inserts are under way, disclosures gather; the next insert takes all of them. With nothing under way
    one goes at once.
    """

    in_statement = True

    def __init__(self, pool: Pool, registry: CollectorRegistry, *, timeout: float, width: int = 2) -> None:
        self._pool = pool
        self._timeout = timeout
        self._width = width
        self._gathered: list[_Entry] = []
        # All that wait, oldest first: since the timeout is the same for all, one timer watches the head.
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._inserts: set[asyncio.Task[None]] = set()
        self._known: set[bytes] = set()
        self._sizes = Histogram(
            "credit_ledger_batch_disclosures", "Disclosures of one insert", buckets=_SIZES, registry=registry
        )
        self._seconds = Histogram(
            "credit_ledger_insert_seconds", "Duration of an insert with its fsync", buckets=_SECONDS, registry=registry
        )

    async def record(self, disclosure: Disclosure) -> None:
        """Return once the disclosure is durable. Raises LedgerUnavailable where it isn't within the timeout."""
        try:
            row = _row(disclosure)
        except UnicodeDecodeError as error:
            raise ledger_unavailable() from error
        await self.tell(disclosure)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._gathered.append((row, future))
        self._waiting.append((loop.time() + self._timeout, future))
        if self._timer is None:
            self._timer = loop.call_later(self._timeout, self._expire)
        if len(self._inserts) < self._width:
            # A task runs in the next turn of the loop: whoever records in this turn is in the same insert.
            task = loop.create_task(self._insert())
            self._inserts.add(task)
        await future

    async def tell(self, disclosure: Disclosure) -> None:
        """Return once the texts that a disclosure points to are durable. Raises LedgerUnavailable."""
        known = self._known
        new = [t for t in (disclosure.fields, disclosure.basis) if t is not None and t.hash not in known]
        if not new:
            return
        try:
            until = time.monotonic() + self._timeout
            await self._pool.fetch(_TELL, ([t.hash for t in new], [t.text for t in new]), until=until, again=same)
        except StorageUnavailable as error:
            raise ledger_unavailable() from error
        if len(known) >= _KNOWN:
            known.clear()
        known.update([t.hash for t in new])

    async def close(self) -> None:
        """Wait for the inserts under way; disclosures that come later are refused by the closed pool."""
        if self._inserts:
            await asyncio.wait(set(self._inserts))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        """Refuse those whose time is over, and watch the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now):
            future = self._waiting.popleft()[1]
            if not future.done():
                future.set_exception(ledger_unavailable())
        self._timer = loop.call_at(self._waiting[0][0], self._expire) if self._waiting else None

    async def _insert(self) -> None:
        """Insert what has gathered until nothing has."""
        task = asyncio.current_task()
        try:
            while self._gathered:
                batch = self._gathered[:_BATCH]
                del self._gathered[:_BATCH]
                # Who was refused by the timer or has gone gets no answer and needs no row.
                batch = [entry for entry in batch if not entry[1].done()]
                if batch:
                    await self._write(batch)
                while self._waiting and self._waiting[0][1].done():
                    self._waiting.popleft()
        finally:
            if task is not None:
                self._inserts.discard(task)

    async def _write(self, batch: Sequence[_Entry]) -> None:
        """One insert; its outcome goes to every future of the batch, never to the caller."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            until = time.monotonic() + self._timeout
            if len(batch) <= _FEW:
                values = [value for row, _ in batch for value in row]
                await self._pool.fetch(_INSERTS_FEW[len(batch)], values, until=until, again=_few_with_new_ids)
            else:
                columns = list(zip(*[row for row, _ in batch], strict=True))
                await self._pool.fetch(_INSERT, columns, until=until, again=_with_new_ids)
        except StorageUnavailable as error:
            if isinstance(error.__cause__, _REFUSED) and len(batch) > 1:
                half = len(batch) // 2
                await self._write(batch[:half])
                await self._write(batch[half:])
                return
            self._refuse(batch)
        except BaseException as error:
            self._refuse(batch)
            if not isinstance(error, Exception):
                raise
            logger.error("ledger: %s", described(error))
        else:
            self._sizes.observe(len(batch))
            self._seconds.observe(loop.time() - began)
            for _, future in batch:
                if not future.done():
                    future.set_result(None)

    def _refuse(self, batch: Sequence[_Entry]) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(ledger_unavailable())
