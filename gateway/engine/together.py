"""Many requests, one statement: what the ledger's group commit is for writing, for reading.

In: requests that ask the same for one code each, in the same view and under the same scope, which is a parameter like
any other. Out: each one's own row, cut out of the statement's only one. While statements of a group are under way the
next requests gather, and the next statement answers all of them: no request waits that would not have waited for a
connection, and start-up, round trip and wake-ups are paid once (decision 0010).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import asyncpg

from gateway.engine.account import with_new_ids
from gateway.engine.sql import Statement
from gateway.errors import StorageUnavailable
from gateway.storage.faults import NoLane
from gateway.storage.pool import same, storage_unavailable
from gateway.storage.views import ABSENT, BETWEEN, CELLS

_LEAST = 2  # fewer are not worth a statement of their own
_MOST = 16  # requests of one statement, so that two take turns: while PostgreSQL has one, we have the other
_MOST_OF_ALL = 64  # of a long queue half, up to so many
_COST = 8_000  # rows that one statement may read: many requests must not make a slow one
# The database is there and refuses the data: only who sent it may fail.
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_TOO_LONG = (TimeoutError, asyncpg.QueryCanceledError)
_LOOK: Final = 0.25  # s between two looks at who has left and whose time is over
_SLOW: Final = 0.5  # s after which a statement no longer keeps the next ones of its group from being asked
_BESIDE: Final = 3  # statements beside slow ones
_FOREVER: Final = float("inf")


class Reader(Protocol):
    """A pool, as the engine needs it (storage/pool.py says what the arguments mean)."""

    async def fetch(
        self,
        sql: str,
        arguments: Sequence[Any],
        *,
        until: float | None = None,
        read: Callable[[Sequence[Any]], Any],
        again: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    ) -> Any:
        """What `read` makes of the rows of a statement."""
        ...


@dataclass(slots=True)
class _Waiter:
    """A request: its parameters, its row to be, and until when it waits (time.monotonic(), s)."""

    arguments: Sequence[Any]
    row: asyncio.Future[Any]
    until: float


@dataclass(slots=True, eq=False)
class _Asked:
    """A statement under way. `left`: nobody waits for it any more."""

    batch: Sequence[_Waiter]
    task: asyncio.Task[None]
    since: float
    left: bool = False


class _Group:
    __slots__ = ("asked", "begin", "most", "running", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most  # requests of one statement
        self.running = 0  # tasks, some of which have a statement under way
        self.asked: set[_Asked] = set()
        self.waiting: list[_Waiter] = []
        self.begin: Callable[[], None]


class Together:
    """Groups of requests. `width` statements of a group are under way at most, not counting slow ones."""

    def __init__(self, *, width: int) -> None:
        self._width = width
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def row(
        self,
        access: str,
        pool: Reader,
        statement: Statement,
        arguments: Sequence[Any],
        cost: int = 1,
        until: float | None = None,
    ) -> Any:
        """The row of one request that may read `cost` rows, by `until` (time.monotonic(), s). Raises what the pool
        raises, for each request of the statement. A statement that all its requests have left is cancelled."""
        if cost > _COST // _LEAST:
            again = with_new_ids if statement.accounts else same
            return await pool.fetch(statement.text, arguments, until=until, read=_alone, again=again)
        own = len(CELLS) if statement.accounts else 0
        others = [value for place, value in enumerate(arguments) if place >= own and place not in statement.keys]
        key = (access, statement.text, repr(others))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(_COST // max(cost, 1))
            group.begin = partial(self._begin, key, group, pool, statement)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        group.waiting.append(_Waiter(arguments, future, _FOREVER if until is None else until))
        if group.running < self._width:
            group.begin()
        return await future

    def _begin(self, key: tuple[Any, ...], group: _Group, pool: Reader, statement: Statement) -> None:
        # A task runs in the next turn of the loop: who asks in this turn is in the same statement.
        loop = asyncio.get_running_loop()
        group.running += 1
        task = loop.create_task(self._run(key, group, pool, statement))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._timer is None:
            self._timer = loop.call_later(_LOOK, self._look)

    async def _run(self, key: tuple[Any, ...], group: _Group, pool: Reader, statement: Statement) -> None:
        """Answer what has gathered until nothing has."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while group.waiting and self._may_ask(group):
                size = min(group.most, _size(len(group.waiting), group.running - len(group.asked)))
                taken, group.waiting = group.waiting[:size], group.waiting[size:]
                batch = [entry for entry in taken if not entry.row.done()]  # who has left needs no row
                if not batch:
                    continue
                asked = _Asked(batch, task, time.monotonic())
                group.asked.add(asked)
                try:
                    fault = await _answer(pool, statement, batch)
                except asyncio.CancelledError:
                    if not asked.left:
                        raise
                    task.uncancel()
                    fault = None
                finally:
                    group.asked.discard(asked)
                if fault is not None and len(batch) > 1 and isinstance(fault.__cause__, _TOO_LONG):
                    group.most = max(1, len(batch) // 2)  # perhaps there were too many of them: the next are fewer
                elif fault is not None and isinstance(fault.__cause__, NoLane):
                    # There is no database to ask: who still waits is told at once. Of anything else they may know
                    # nothing, and their time is their own.
                    waiting, group.waiting = group.waiting, []
                    _refuse(waiting, fault)
        finally:
            group.running -= 1
            if not group.running and not group.waiting:
                self._groups.pop(key, None)

    def _may_ask(self, group: _Group) -> bool:
        """Whether a task of the group's may go on: there may be more of them only while others are slow."""
        if group.running <= self._width:
            return True
        now = time.monotonic()
        slow = sum([now - asked.since > _SLOW for asked in group.asked])
        return group.running <= self._width + min(slow, _BESIDE)

    def _look(self) -> None:
        """Tell those whose time is over, cancel what nobody waits for, and pass by what is slow.

        One timer for all: a timer or a callback for each request would cost each of them more.
        """
        now = time.monotonic()
        for group in list(self._groups.values()):
            for asked in group.asked:
                _expire(asked.batch, now)
                if not asked.left and all(entry.row.done() for entry in asked.batch):
                    asked.left = True
                    asked.task.cancel()
            _expire(group.waiting, now)
            group.waiting = [entry for entry in group.waiting if not entry.row.done()]
            slow = sum([now - asked.since > _SLOW for asked in group.asked])
            if group.waiting and group.running < self._width + min(slow, _BESIDE):
                group.begin()
        self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look) if self._groups else None


def _expire(waiting: Sequence[_Waiter], now: float) -> None:
    for entry in waiting:
        if entry.until <= now and not entry.row.done():
            error = storage_unavailable()
            error.__cause__ = TimeoutError()
            entry.row.set_exception(error)


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


async def _answer(pool: Reader, statement: Statement, batch: Sequence[_Waiter]) -> StorageUnavailable | None:
    """One statement for a batch; its outcome goes to the futures. The fault where the database did not answer."""
    try:
        merged = _merged(statement, [entry.arguments for entry in batch])
        latest = max([entry.until for entry in batch])
        rows = await pool.fetch(
            statement.text,
            merged,
            until=None if latest == _FOREVER else latest,
            read=partial(_apart, merged[statement.keys[0]]),
            again=with_new_ids if statement.accounts else same,
        )
        for entry, own in zip(batch, rows, strict=True):
            if not entry.row.done():
                entry.row.set_result(own)
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


def _alone(rows: Sequence[Any]) -> Any:
    (row,) = rows
    return row


def _merged(statement: Statement, batch: Sequence[Sequence[Any]]) -> list[Any]:
    """The arguments of all as those of one statement."""
    merged = list(batch[0])
    if statement.accounts:
        own = list(zip(*[arguments[: len(CELLS)] for arguments in batch], strict=True))
        merged[: len(CELLS)] = [BETWEEN.join([ABSENT if c is None else c for c in column]) for column in own]
    for place in statement.keys:
        merged[place] = ",".join([arguments[place] for arguments in batch])
    return merged


def _apart(codes: str, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The row of several codes as a row for each. Raises RuntimeError where its columns do not agree, and whatever
    else a reply does that is not the statement's."""
    (row,) = found
    # Twice sure that an answer goes to who asked for it: by its place and by its code.
    if row["keys"].decode() != codes:
        raise RuntimeError("answers about other codes than were asked")
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


def _refuse(batch: Sequence[_Waiter], error: BaseException) -> None:
    for entry in batch:
        if not entry.row.done():
            entry.row.set_exception(error)
