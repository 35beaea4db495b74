"""Many requests, one statement: what the ledger's group commit is for writing, for reading.

In: requests that ask the same for one code each, in the same view and without a scope. Out: each one's own row, cut
out of the statement's only one. While
statements of a group are under way the next requests gather, and the next statement answers all of them: no request
waits that would not have waited for a connection, and start-up, round trip and wake-ups are paid once (decision 0010).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import asyncpg

from gateway.engine.sql import Statement
from gateway.errors import StorageUnavailable
from gateway.storage.views import ABSENT, BETWEEN, CELLS

_LEAST = 2  # fewer are not worth a statement of their own
_MOST = 16  # requests of one statement, so that two take turns: while PostgreSQL has one, we have the other
_MOST_OF_ALL = 64  # of a long queue half, up to so many
_COST = 8_000  # rows that one statement may read: many requests must not make a slow one
# The database is there and refuses the data: only who sent it may fail.
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_TOO_LONG = (TimeoutError, asyncpg.QueryCanceledError)


class Reader(Protocol):
    """A pool, as the engine needs it."""

    async def fetch(self, sql: str, arguments: Sequence[Any], scope: str | None = None) -> Sequence[Any]:
        """The rows of a statement."""
        ...


class _Group:
    __slots__ = ("asking", "most", "running", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most  # requests of one statement
        self.running = 0  # tasks, of which `asking` have a statement under way
        self.asking = 0
        self.waiting: list[tuple[Sequence[Any], asyncio.Future[Any]]] = []


class Together:
    """Groups of requests. `width` statements of a group are under way at most."""

    def __init__(self, *, width: int) -> None:
        self._width = width
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def row(
        self, access: str, pool: Reader, statement: Statement, arguments: Sequence[Any], cost: int = 1
    ) -> Any:
        """The row of one request that may read `cost` rows. Raises what the pool raises, for each request of the
        statement."""
        if cost > _COST // _LEAST:
            (alone,) = await pool.fetch(statement.text, arguments)
            return alone
        own = len(CELLS) if statement.accounts else 0
        others = [value for place, value in enumerate(arguments) if place >= own and place not in statement.keys]
        key = (access, statement.text, repr(others))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(_COST // max(cost, 1))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        group.waiting.append((arguments, future))
        if group.running < self._width:
            group.running += 1
            # A task runs in the next turn of the loop: who asks in this turn is in the same statement.
            task = loop.create_task(self._run(key, group, pool, statement))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self, key: tuple[Any, ...], group: _Group, pool: Reader, statement: Statement) -> None:
        """Answer what has gathered until nothing has."""
        try:
            while group.waiting:
                size = min(group.most, _size(len(group.waiting), group.running - group.asking))
                taken, group.waiting = group.waiting[:size], group.waiting[size:]
                batch = [entry for entry in taken if not entry[1].done()]  # who has left needs no row
                if not batch:
                    continue
                group.asking += 1
                try:
                    fault = await _answer(pool, statement, batch)
                finally:
                    group.asking -= 1
                if fault is not None and len(batch) > 1 and isinstance(fault.__cause__, _TOO_LONG):
                    group.most = max(1, len(batch) // 2)  # perhaps there were too many of them: the next are fewer
                elif fault is not None:
                    # The database does not answer: who still waits is told at once, not one timeout after another.
                    waiting, group.waiting = group.waiting, []
                    _refuse(waiting, fault)
        finally:
            group.running -= 1
            if not group.running and not group.waiting:
                self._groups.pop(key, None)


def _size(waiting: int, free: int) -> int:
    """Requests of the next statement. What came at once is shared out among the tasks that are free."""
    most = max(_MOST, min(_MOST_OF_ALL, waiting // 2))
    return min(most, max(_LEAST, -(-waiting // free)))


def width(processors: int, workers: int) -> int:
    """Statements of a group under way at once, in one of so many worker processes.

    Each worker keeps one processor busy and PostgreSQL should not have to share it: more statements than processors are
    smaller ones, and cost more (decision 0010).
    """
    return max(1, min(3, processors // workers - 1))


async def _answer(
    pool: Reader, statement: Statement, batch: Sequence[tuple[Sequence[Any], asyncio.Future[Any]]]
) -> StorageUnavailable | None:
    """One statement for a batch; its outcome goes to the futures. The fault where the database did not answer."""
    try:
        merged = _merged(statement, [arguments for arguments, _ in batch])
        (row,) = await pool.fetch(statement.text, merged)
        # Twice sure that an answer goes to who asked for it: by its place and by its code.
        if row["keys"].decode() != merged[statement.keys[0]]:
            raise RuntimeError("answers about other codes than were asked")
        for (_, future), own in zip(batch, _apart(row), strict=True):
            if not future.done():
                future.set_result(own)
    except StorageUnavailable as error:
        if len(batch) > 1 and isinstance(error.__cause__, _REFUSED):
            for entry in batch:
                await _answer(pool, statement, [entry])
            return None
        _refuse(batch, error)
        return error
    except BaseException as error:
        _refuse(batch, error if isinstance(error, Exception) else asyncio.CancelledError())
        if not isinstance(error, Exception):
            raise
    return None


def _merged(statement: Statement, batch: Sequence[Sequence[Any]]) -> list[Any]:
    """The arguments of all as those of one statement."""
    merged = list(batch[0])
    if statement.accounts:
        own = list(zip(*[arguments[: len(CELLS)] for arguments in batch], strict=True))
        merged[: len(CELLS)] = [BETWEEN.join([ABSENT if c is None else c for c in column]) for column in own]
    for place in statement.keys:
        merged[place] = ",".join([arguments[place] for arguments in batch])
    return merged


def _apart(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The row of several codes as a row for each. Raises RuntimeError where its columns do not agree."""
    columns = dict(row.items())
    body, lengths = columns.pop("body"), [int(length) for length in columns.pop("lengths").split(b",")]
    if sum(lengths) != len(body):
        raise RuntimeError("answers whose lengths do not add up")
    del columns["keys"]
    snapshot, disclosed = columns.pop("snapshot", None), columns.pop("disclosed", None)
    if disclosed not in (None, sum(length > 0 for length in lengths)):
        raise RuntimeError("answers and disclosures of another number")
    rest = {name: value.split(b";") for name, value in columns.items()}
    rows, begin = [], 0
    for place, length in enumerate(lengths):
        own: dict[str, Any] = {name: values[place] for name, values in rest.items()}
        own["body"], own["snapshot"] = body[begin : begin + length], snapshot
        own["disclosed"] = None if disclosed is None else int(length > 0)
        begin += length
        rows.append(own)
    return rows


def _refuse(batch: Sequence[tuple[Sequence[Any], asyncio.Future[Any]]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
