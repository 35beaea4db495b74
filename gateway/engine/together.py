"""Many requests, one statement: what the ledger's group commit is for writing, for reading.

In: requests with the same statement, each for a code or for a page of a list or search, in the same view and under the
same scope, which is a parameter like any other. Out: each one's own row, cut out of the statement's only one. While
statements of a group are under way the next requests gather, and the next statement answers all of them: no request
waits that would not have waited for a connection, and start-up, round trip and wake-ups are paid once (decision 0010).

How long a list takes is known when it has been read. A statement of several that takes too long is given up, and each
of them asks by itself: a slow one holds nobody up for longer. One that takes too long by itself goes where all wait
that read too much (scans.py), and begins again when its turn comes; whoever comes in the next seconds asks by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import asyncpg

from gateway.engine.account import with_new_ids
from gateway.engine.lists import LISTS, ListTurns, longer
from gateway.engine.merged import cut, keys_of, merge, only
from gateway.engine.reading import Reader
from gateway.engine.scans import TRIED, Scans, crowded
from gateway.engine.sql import Statement
from gateway.errors import RateLimited, StorageUnavailable
from gateway.storage.faults import NoLane
from gateway.storage.pool import same, storage_unavailable

_LEAST = 2  # fewer are not worth a statement of their own
_MOST = 16  # requests of one statement, so that two take turns: while PostgreSQL has one, we have the other
_MOST_OF_ALL = 64  # of a long queue half, up to so many
_FULL = 64  # that wait, from which on one that writes may have another beside it
_COST = 8_000  # rows that one statement may read: many requests must not make a slow one
_COST_OF_LISTS = 20_000  # the same of lists and searches, which mostly read far fewer than they may
# The database is there and refuses the data: only who sent it may fail.
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
TOO_LONG = (TimeoutError, asyncpg.QueryCanceledError)
_LOOK: Final = 0.1  # s between two looks at who has left and whose time is over
_APART: Final = 5.0  # s for which requests of a group ask by themselves after one of them was slow
_MOST_APART: Final = 200  # groups of which that is known
_SLOW: Final = 0.5  # s after which a statement no longer keeps the next ones of its group from being asked
_BESIDE: Final = 3  # statements beside slow ones
_MORE_OF_LISTS: Final = 3  # statements of lists at once, beyond those of a group
_NO_DEADLINE: Final = 5.0  # s for one that was given none
_FOREVER: Final = float("inf")


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request: its parameters, its row to be, until when it waits (time.monotonic(), s), and whose it is."""

    arguments: Sequence[Any]
    row: asyncio.Future[Any]
    until: float
    asker: str
    alone: bool = False  # it was in a statement that took too long


@dataclass(slots=True, eq=False)
class _Asked:
    """A statement under way. `left`: nobody waits for it any more. `apart`: its requests are to ask by themselves."""

    batch: Sequence[_Waiter]
    task: asyncio.Task[None]
    since: float
    left: bool = False
    apart: bool = False
    waited: bool = False  # for its turn among those that may read all: it has all of its time


class _Group:
    __slots__ = (
        "asked",
        "begin",
        "key",
        "lists",
        "most",
        "queued",
        "reads_all",
        "running",
        "turn",
        "waiting",
        "writes",
    )

    def __init__(self, key: tuple[Any, ...], most: int, *, lists: bool, reads_all: bool, writes: bool) -> None:
        self.key = key
        self.most = most  # requests of one statement
        self.lists = lists
        self.reads_all = reads_all  # each of its pages may, where a filter leaves nearly nothing
        self.writes = writes  # each statement waits for the disk in the end
        self.queued: set[str] = set()  # for whom it is one of the groups of lists whose turn is to come
        self.running = 0  # tasks, some of which have a statement under way
        self.asked: set[_Asked] = set()
        self.waiting: list[_Waiter] = []
        self.begin: Callable[[str], None]
        self.turn: Callable[[str], Awaitable[None]]  # of lists

    def has(self, asker: str) -> bool:
        """Whether a request of this asker's waits."""
        return any(entry.asker == asker for entry in self.waiting)


class Together:
    """Groups of requests. `width` statements of a group are under way at most, not counting slow ones.

    Lists take turns (lists.py), and `width` and three more are under way of all of them together, up to `lists`: they
    are smaller than those of one group, and keep PostgreSQL busy for longer than they do us."""

    def __init__(self, *, width: int, lists: int = LISTS, scans: Scans | None = None) -> None:
        self._width = width
        self._turns = ListTurns[_Group](usual=width + _MORE_OF_LISTS, most=lists, begin=_begin_turn, forget=self._drop)
        self._scans = scans or Scans()
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._apart: dict[tuple[Any, ...], float] = {}  # until when requests of a group ask by themselves
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looked = 0.0  # when, last (time.monotonic(), s)

    async def row(
        self,
        access: str,
        pool: Reader,
        statement: Statement,
        arguments: Sequence[Any],
        cost: int = 1,
        until: float | None = None,
        *,
        reads_all: bool = False,
        asker: str = "",
    ) -> Any:
        """The row of one request of `asker`'s that may read `cost` rows, by `until` (time.monotonic(), s). Raises what
        the pool raises, for each request of the statement. A statement that all its requests have left is cancelled.
        `reads_all`: it may read all records there are, and is given up sooner (scans.py)."""
        own = 1 if statement.accounts else 0
        apiece = statement.keys or statement.apiece
        others = [value for place, value in enumerate(arguments) if place >= own and place not in apiece]
        key = (access, statement.text, repr(others))
        lists = bool(statement.apiece)
        if cost > _COST // _LEAST and not lists:
            again = with_new_ids if statement.accounts else same
            return await pool.fetch(statement.text, arguments, until=until, read=only, again=again)
        group = self._groups.get(key)
        if group is None:
            most = (_COST_OF_LISTS if lists else _COST) // max(cost, 1)
            group = self._groups[key] = _Group(
                key, max(1, most), lists=lists, reads_all=reads_all, writes=statement.accounts
            )
            group.begin = partial(self._begin, group, pool, statement)
            group.turn = partial(self._turn, group, pool, statement)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        entry = _Waiter(arguments, future, _FOREVER if until is None else until, asker)
        group.waiting.append(entry)
        if group.lists:
            self._queue_up(group, (entry,))
        elif group.running < self._at_once(group):
            group.begin(asker)
        return await future

    def _queue_up(self, group: _Group, waiting: Iterable[_Waiter]) -> None:
        self._turns.queue_up(group, [entry.asker for entry in waiting])

    def _asks_apart(self, key: tuple[Any, ...]) -> bool:
        until = self._apart.get(key) if self._apart else None
        if until is not None and until <= time.monotonic():
            del self._apart[key]
            until = None
        return until is not None

    def _begin(self, group: _Group, pool: Reader, statement: Statement, asker: str) -> None:
        # A task runs in the next turn of the loop: who asks in this turn is in the same statement.
        loop = asyncio.get_running_loop()
        self._start(group, self._take_turns(group, asker) if group.lists else self._run(group, pool, statement))
        if self._timer is None:
            self._looked = time.monotonic()
            self._timer = loop.call_later(_LOOK, self._look)

    def _start(self, group: _Group, work: Coroutine[Any, Any, None]) -> None:
        group.running += 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self, group: _Group) -> None:
        group.running -= 1
        self._drop(group)

    def _drop(self, group: _Group) -> None:
        """Forget a group that nobody waits in."""
        if not group.running and not group.waiting and self._groups.get(group.key) is group:
            del self._groups[group.key]

    async def _run(self, group: _Group, pool: Reader, statement: Statement) -> None:
        """Answer what has gathered until nothing has."""
        try:
            while group.waiting and self._may_ask(group):
                size = min(group.most, _size(len(group.waiting), group.running - len(group.asked)))
                taken, group.waiting = group.waiting[:size], group.waiting[size:]
                batch = [entry for entry in taken if not entry.row.done()]  # who has left needs no row
                if not batch:
                    continue
                self._faulty(group, batch, await self._ask(group, pool, statement, batch))
        finally:
            self._ended(group)

    @staticmethod
    def _faulty(group: _Group, batch: Sequence[_Waiter], fault: StorageUnavailable | None) -> None:
        """What a fault of a statement means for those that wait."""
        if fault is not None and len(batch) > 1 and isinstance(fault.__cause__, TOO_LONG):
            group.most = max(1, len(batch) // 2)  # perhaps there were too many of them: the next are fewer
        elif fault is not None and isinstance(fault.__cause__, NoLane):
            # There is no database to ask: who still waits is told at once. Of anything else they may know nothing, and
            # their time is their own.
            waiting, group.waiting = group.waiting, []
            _refuse(waiting, fault)

    async def _ask(
        self,
        group: _Group,
        pool: Reader,
        statement: Statement,
        batch: Sequence[_Waiter],
        *,
        counted: bool = False,
        waited: bool = False,
    ) -> StorageUnavailable | None:
        """One statement; its fault. Where it was given up, its requests ask by themselves from here on."""
        task = asyncio.current_task()
        assert task is not None
        asked = _Asked(batch, task, time.monotonic(), waited=waited)
        group.asked.add(asked)
        if counted:
            self._turns.under_way.add(asked)
        try:
            return await _answer(pool, statement, batch, asked)
        except asyncio.CancelledError:
            if not asked.left and not asked.apart:
                raise
            task.uncancel()
        finally:
            group.asked.discard(asked)
            self._turns.under_way.discard(asked)
        if asked.apart:
            self._again(group, pool, statement, [entry for entry in batch if not entry.row.done()], len(batch))
        return None

    def _again(self, group: _Group, pool: Reader, statement: Statement, left: list[_Waiter], were: int) -> None:
        """Ask once more for those of a statement that was given up. Nobody knows whether it was committed: their
        disclosures are others."""
        if statement.accounts:
            for entry in left:
                entry.arguments = with_new_ids(entry.arguments)
        if were > 1:
            for entry in left:
                entry.alone = True  # which of them takes so long is not known
            group.waiting[:0] = left
            self._queue_up(group, left)
        else:  # only of those that may read all
            for entry in left:
                self._start(group, self._scan(group, pool, statement, entry))

    async def _scan(self, group: _Group, pool: Reader, statement: Statement, entry: _Waiter) -> None:
        """One that takes long, when its turn comes."""
        until = entry.until if entry.until < _FOREVER else time.monotonic() + _NO_DEADLINE
        try:
            async with self._scans.turn(group.key[0], until, entry.asker):
                if not entry.row.done():
                    await self._ask(group, pool, statement, [entry], waited=True)
        except RateLimited as error:
            _refuse([entry], error)
        except asyncio.CancelledError:
            _refuse([entry], asyncio.CancelledError())
            raise
        finally:
            self._ended(group)

    async def _take_turns(self, group: _Group, asker: str) -> None:
        """A turn of a group of lists, then those that come next. Not each in a task of its own: it would begin behind
        all that are given their rows now, and PostgreSQL would wait until we have answered them."""
        while True:
            try:
                await group.turn(asker)
            except BaseException:
                self._turned(group, asker)
                self._turns.next()
                raise
            self._turned(group, asker)
            following = self._turns.following()
            if following is None:
                return
            group, asker = following
            group.running += 1

    def _turned(self, group: _Group, asker: str) -> None:
        self._turns.ended(asker)
        self._ended(group)

    async def _turn(self, group: _Group, pool: Reader, statement: Statement, asker: str) -> None:
        """One statement of a group of lists, in a turn of an asker's."""
        batch = self._taken(group, asker)
        self._queue_up(group, group.waiting)
        if batch:
            self._faulty(group, batch, await self._ask(group, pool, statement, batch, counted=True))

    def _taken(self, group: _Group, asker: str) -> list[_Waiter]:
        """The requests of the next statement of lists: the asker's first, and others that go along. None where that
        went along with another's."""
        waiting = [entry for entry in group.waiting if not entry.row.done()]
        first = next((entry for entry in waiting if entry.asker == asker), None)
        taken = [] if first is None else [first]
        if first is not None and not first.alone and not self._asks_apart(group.key):
            size = min(group.most, _size(len(waiting), 1))
            taken += [entry for entry in waiting if entry is not first and not entry.alone][: size - 1]
        gone = set(taken)
        group.waiting = [entry for entry in waiting if entry not in gone]
        return taken

    def _at_once(self, group: _Group) -> int:
        """Statements of a group under way, at most. While one that writes waits for the disk, PostgreSQL can have
        another one, where so many wait that both are whole."""
        return self._width + (group.writes and len(group.waiting) >= _FULL)

    def _may_ask(self, group: _Group) -> bool:
        """Whether a task of the group's may go on: there may be more of them only while others are slow."""
        if group.running <= self._at_once(group):
            return True
        return group.running <= self._beside_slow(group, time.monotonic())

    def _beside_slow(self, group: _Group, now: float) -> int:
        """Statements of a group, with those that may go beside slow ones."""
        return self._width + min(longer(group.asked, _SLOW, now), _BESIDE)

    def _look(self) -> None:
        """Tell those whose time is over, cancel what nobody waits for, and pass by what is slow.

        One timer for all: a timer or a callback for each request would cost each of them more.
        """
        now = time.monotonic()
        # While this process stood still no statement was slow: what came meanwhile has not been read yet.
        still, self._looked = max(0.0, now - self._looked - 2 * _LOOK), now
        for group in list(self._groups.values()):
            for asked in group.asked:
                asked.since += still
                _expire(asked.batch, now, _unanswered)
                if not asked.left and all(entry.row.done() for entry in asked.batch):
                    asked.left = True
                    asked.task.cancel()
                elif _too_slow(group, asked, now):
                    asked.apart = True
                    asked.task.cancel()
                    if len(asked.batch) == 1:  # else it may have been the disk, or many at once
                        self._keep_apart(group.key, now)
                elif group.lists and len(asked.batch) == 1 and now - asked.since > _SLOW:
                    self._keep_apart(group.key, now)  # it goes on, and takes no others along
            apart = group.reads_all and self._asks_apart(group.key)
            _expire(group.waiting, now, crowded if apart else _unanswered)
            group.waiting = [entry for entry in group.waiting if not entry.row.done()]
            if group.lists:
                self._queue_up(group, group.waiting)
                self._drop(group)
            elif group.waiting and group.running < self._beside_slow(group, now):
                group.begin("")
        self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look) if self._groups else None

    def _keep_apart(self, key: tuple[Any, ...], now: float) -> None:
        # A key has its statement's text, which may be long: none is kept for longer than it is of use.
        self._apart = {known: until for known, until in self._apart.items() if until > now}
        if len(self._apart) < _MOST_APART:
            self._apart[key] = now + _APART


def _begin_turn(group: _Group, asker: str) -> None:
    group.begin(asker)


def _too_slow(group: _Group, asked: _Asked, now: float) -> bool:
    """Whether a statement of lists is given up. One that writes may have waited for the disk, too; a search reads no
    more than so many names, so one that is alone is slow for other reasons and goes on."""
    if not group.lists or asked.apart or asked.waited or (len(asked.batch) == 1 and not group.reads_all):
        return False
    return now - asked.since > (TRIED if group.reads_all and not group.writes else _SLOW)


def _expire(waiting: Sequence[_Waiter], now: float, told: Callable[[], Exception]) -> None:
    for entry in waiting:
        if entry.until <= now and not entry.row.done():
            entry.row.set_exception(told())


def _unanswered() -> StorageUnavailable:
    error = storage_unavailable()
    error.__cause__ = TimeoutError()
    return error


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
    pool: Reader, statement: Statement, batch: Sequence[_Waiter], asked: _Asked
) -> StorageUnavailable | None:
    """One statement for a batch; its outcome goes to the futures. The fault where the database did not answer. Whoever
    gives it up to ask otherwise (`asked.apart`) has its requests wait on."""
    try:
        arguments = merge(statement, [entry.arguments for entry in batch])
        latest = max([entry.until for entry in batch])
        rows = await pool.fetch(
            statement.text,
            arguments,
            until=None if latest == _FOREVER else latest,
            read=partial(cut, keys_of(statement, arguments)),
            again=with_new_ids if statement.accounts else same,
        )
        for entry, own in zip(batch, rows, strict=True):
            if not entry.row.done():
                entry.row.set_result(own)
    except StorageUnavailable as error:
        if len(batch) > 1 and isinstance(error.__cause__, _REFUSED):
            try:
                for entry in batch:
                    await _answer(pool, statement, [entry], asked)
            except asyncio.CancelledError:
                if not asked.apart:
                    _refuse(batch, asyncio.CancelledError())  # those that were not asked yet
                raise
            return None
        _refuse(batch, error)
        return error
    except BaseException as error:
        if asked.apart and isinstance(error, asyncio.CancelledError):
            raise
        _refuse(batch, error if isinstance(error, Exception) else asyncio.CancelledError())
        if not isinstance(error, Exception):
            raise
    return None


def _refuse(batch: Sequence[_Waiter], error: BaseException) -> None:
    for entry in batch:
        if not entry.row.done():
            entry.row.set_exception(error)
