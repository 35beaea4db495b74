"""Pools by view: each connects as the view's own role and returns rows whose text columns are bytes.

In: SQL of a plan and its parameters. Out: its rows, or what a reader makes of them, by a deadline. Prepared statements
live on a small stash of connections that is never reset between requests, which is why nothing may ever set session
state on them: a scope lives in its transaction. faults.py sorts what goes wrong, decision 0014 says what follows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, overload
from urllib.parse import unquote, urlsplit

from gateway.errors import GatewayError, StorageUnavailable
from gateway.storage.faults import (
    NoLane,
    NotBegun,
    Unsure,
    asked_wrongly,
    beneath,
    broken,
    described,
    garbled,
    nobody_there,
    refused,
)
from gateway.storage.lane import Ask, Lane, Record, connect

T = TypeVar("T")
logger = logging.getLogger(__name__)

_AT_ONCE: Final = 4  # connections that are made at once, while that works
_PROBES: Final = 2  # and while it does not
_APART: Final = 0.4  # s between the beginnings of two probes
_PROBE: Final = 1.0  # s of a probe
_CONNECTING: Final = 2.0  # s of any other attempt
_FAILURES: Final = 3  # in a row, after which everybody who waits is told
_SLOW: Final = 0.75  # s after which a lane no longer counts against the size: its connection may be dead
_SPARE: Final = 4  # lanes beyond the size in place of slow ones
_CAREFUL: Final = 2.0  # s after a garbled reply in which no connection is asked twice
_TICK: Final = 0.1  # s


def storage_unavailable() -> StorageUnavailable:
    """The one message that a client gets for any fault of the database."""
    return StorageUnavailable(
        "the database did not answer; nothing was disclosed, try again later",
        "数据库暂时无法答复，未披露任何信息，请稍后再试",
    )


def perhaps_done() -> StorageUnavailable:
    """What a client gets where a change was asked for, and nobody knows whether it was committed."""
    return StorageUnavailable(
        "the database did not confirm it, so it may have been done or not; send it again with the same "
        "Idempotency-Key, or look first whether it was done",
        "数据库未确认，操作可能已完成，也可能未完成；请使用同一 Idempotency-Key 重发，未使用时请先核实是否已完成",
    )


def same(arguments: Sequence[Any]) -> Sequence[Any]:
    """For `again` of what only reads: the second attempt asks the same."""
    return arguments


class Pool:
    """Connections of one role. `fetch` runs one statement; a broken connection is dropped, never used again.

    A lane is handed from one request to the next without a reset between, and without waiting where one is idle: both
    are measured (docs/performance.md). Waiters are served in their order. `timeout`: seconds that a statement may take
    from its asking, waiting for a lane and a second attempt included, where it is not given another deadline.
    `durable`: a commit has reached the disk when it returns, whatever the server's, the database's or the role's
    setting.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int,
        timeout: float = 5.0,
        lock_timeout: float | None = None,
        durable: bool = False,
        name: str = "credit-gateway",
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._timeout = timeout
        self._settings = {"application_name": name}
        if lock_timeout is not None:
            self._settings["lock_timeout"] = f"{lock_timeout * 1000:.0f}ms"
        if durable:
            self._settings["synchronous_commit"] = "on"  # outranks what a role or its database has been given
        self._role = unquote(urlsplit(dsn).username or "")
        self._idle: list[Lane] = []
        self._busy: set[Lane] = set()  # asked, or being mended
        self._open = 0  # lanes that are there or being made
        self._attempts: dict[object, float] = {}  # to connect, under way, with their beginnings
        self._failures = 0  # of connecting, in a row
        self._next_probe = 0.0
        self._careful_until = 0.0
        self._waiting: deque[asyncio.Future[Lane]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_at, self._unsaid = 0.0, 0
        self._closed = False

    async def fetchrow(self, sql: str, arguments: Sequence[Any]) -> Record:
        """The one row of `sql`, which only reads; otherwise as fetch."""
        rows = await self.fetch(sql, arguments, again=same)
        return rows[0]

    @overload
    async def fetch(
        self,
        sql: str,
        arguments: Sequence[Any],
        *,
        until: float | None = None,
        again: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    ) -> list[Record]: ...

    @overload
    async def fetch(
        self,
        sql: str,
        arguments: Sequence[Any],
        *,
        until: float | None = None,
        read: Callable[[Sequence[Record]], T],
        again: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    ) -> T: ...

    async def fetch(
        self,
        sql: str,
        arguments: Sequence[Any],
        *,
        until: float | None = None,
        read: Callable[[Sequence[Record]], Any] | None = None,
        again: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    ) -> Any:
        """All rows of `sql`, or what `read` makes of them: rows that it can't read are the connection's fault.
        By `until` (time.monotonic(), s).

        Where the connection breaks, the statement is asked once more on another if `again` gives the arguments for it;
        whether the first was committed is then unknown. Raises StorageUnavailable for every fault of the database; its
        own words reach nobody. Whoever is cancelled takes the statement along.
        """
        if until is None:
            until = time.monotonic() + self._timeout
        fresh = False
        while True:
            try:
                lane = (None if fresh else self._at_once()) or await self._wait(until, fresh=fresh)
                lane.since = time.monotonic()
                self._busy.add(lane)
                try:
                    rows = await lane.fetch(sql, arguments, until)
                    found = rows if read is None else read(rows)
                except BaseException as error:
                    self._ended(lane, error, scoped=False)
                    raise
                self._give(lane)
                return found
            except Exception as error:
                self._complain(error)
                if fresh or again is None or not broken(error):
                    raise storage_unavailable() from error
            arguments, fresh = again(arguments), True

    async def transaction(
        self, work: Callable[[Ask], Awaitable[T]], scope: str, *, until: float, again: bool = False
    ) -> T:
        """What `work` makes of its statements, in one transaction that carries the scope; its rows must be read there.

        Committed when this returns; whatever `work` raises undoes it, and a GatewayError reaches the caller as it is.
        Where the connection breaks, the whole is done once more on another only `again`, or if it had not begun.
        Raises StorageUnavailable otherwise, in words of its own where nobody knows whether it was committed.
        """
        fresh = unsure = False
        while True:
            try:
                lane = (None if fresh else self._at_once()) or await self._wait(until, fresh=fresh)
                lane.since = time.monotonic()
                self._busy.add(lane)
                try:
                    found = await lane.transact(work, scope, until)
                except GatewayError:
                    self._give(lane)
                    raise
                except BaseException as error:
                    self._ended(lane, beneath(error), scoped=True)
                    raise
                self._give(lane)
                return found
            except GatewayError:
                raise
            except Exception as error:
                cause = beneath(error)
                self._complain(cause)
                unsure = unsure or isinstance(error, Unsure)
                if fresh or not (again or isinstance(error, NotBegun)) or not broken(cause):
                    raise (perhaps_done() if unsure else storage_unavailable()) from cause
            fresh = True

    async def execute(self, sql: str, arguments: Sequence[Any] = ()) -> None:
        """Run `sql`, whatever it returns; never twice."""
        await self.fetch(sql, arguments)

    async def ping(self) -> None:
        """One round trip; raises StorageUnavailable."""
        await self.fetch("select 1", (), again=same)

    async def close(self) -> None:
        """Close what is idle; lanes in use close when they come back, and whoever waits is refused."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._tell(NoLane())
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        idle, self._idle = self._idle, []
        await asyncio.gather(*[lane.close() for lane in idle])

    # Lanes -----------------------------------------------------------------------------------------------------------

    def _at_once(self) -> Lane | None:
        """An idle lane whose connection still stands."""
        while self._idle:
            lane = self._idle.pop()
            if not lane.connection.is_closed():
                return lane
            self._open -= 1
        return None

    async def _wait(self, until: float, *, fresh: bool) -> Lane:
        """The next lane that is made or comes back; `fresh`: before all others, and none that lay idle meanwhile."""
        if self._closed:
            raise NoLane
        waiter: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()
        if fresh:
            self._waiting.appendleft(waiter)
            if self._open >= self._size and self._idle:
                self._drop(self._idle.pop(0))
        else:
            self._waiting.append(waiter)
        self._make()
        try:
            async with asyncio.timeout(until - time.monotonic()):
                return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._hand_on(waiter.result())  # it came in the moment in which we left
            raise

    def _give(self, lane: Lane) -> None:
        """Take a sound lane back."""
        self._busy.discard(lane)
        if self._careful_until:
            if time.monotonic() < self._careful_until:
                # It may hold bytes that were put in, and take them for the beginning of the next reply.
                self._drop(lane)
                return
            self._careful_until = 0.0
        self._hand_on(lane)

    def _hand_on(self, lane: Lane) -> None:
        """Hand a sound lane to who waits longest, or keep it."""
        if self._closed or lane.connection.is_closed():
            self._drop(lane)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(lane)
                return
        if self._open > self._size:
            self._drop(lane)  # it stood in for a slow one
        else:
            self._idle.append(lane)

    def _ended(self, lane: Lane, error: BaseException, *, scoped: bool) -> None:
        """A statement ended in an error: keep, mend or drop its lane."""
        if lane.connection.is_closed() or self._closed:
            self._drop(lane)
        elif refused(error) and not lane.connection.is_in_transaction():
            self._give(lane)
        elif isinstance(error, TimeoutError | asyncio.CancelledError):
            self._start(self._mend(lane, scoped=scoped))
        else:
            if garbled(error):
                self._careful_until = time.monotonic() + _CAREFUL
                self._distrust()
            self._drop(lane)

    async def _mend(self, lane: Lane, *, scoped: bool) -> None:
        """See that the statement ends at the server, too. A server that doesn't even acknowledge that is stuck, or the
        network is: connections that lie idle are then no better."""
        try:
            sound = await lane.mend(scoped=scoped)
        except BaseException:
            self._drop(lane)
            raise
        if sound:
            self._give(lane)
        else:
            self._drop(lane)
            self._distrust()

    def _drop(self, lane: Lane) -> None:
        self._busy.discard(lane)
        lane.drop()
        self._open -= 1
        if self._waiting and not self._closed:
            self._make()

    def _distrust(self) -> None:
        """Drop what lies idle: it is of before the fault."""
        idle, self._idle = self._idle, []
        for lane in idle:
            self._drop(lane)

    # Making lanes ----------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        """Begin as many connections as those who wait need, within the bounds; go on as long as anybody waits."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        now = time.monotonic()
        # One failure is not taken for an outage: any backend can be terminated at any time.
        well = self._failures < 2
        # An attempt that takes long may never end: nobody waits for it alone.
        wanted = len(self._waiting) - sum(now - since < _APART for since in self._attempts.values())
        while (
            wanted > 0
            and len(self._attempts) < (_AT_ONCE if well else _PROBES)
            and (well or now >= self._next_probe)
            and self._open < self._limit(now)
        ):
            wanted -= 1
            self._open += 1
            self._next_probe = now + _APART
            attempt = object()
            self._attempts[attempt] = now
            self._start(self._connect(attempt, min(self._timeout, _PROBE if self._failures else _CONNECTING)))
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiting:
            self._make()

    def _limit(self, now: float) -> int:
        if self._open < self._size:
            return self._size
        slow = sum(now - lane.since > _SLOW for lane in self._busy)
        slow += sum(now - since > _APART for since in self._attempts.values())
        return self._size + min(slow, _SPARE)

    async def _connect(self, attempt: object, seconds: float) -> None:
        try:
            lane = await connect(self._dsn, self._settings, seconds)
        except BaseException as error:
            del self._attempts[attempt]
            self._open -= 1
            if not isinstance(error, Exception):
                raise
            self._failed(error)
        else:
            del self._attempts[attempt]
            self._failures = 0
            self._hand_on(lane)

    def _failed(self, error: Exception) -> None:
        """A connection could not be made. Nobody waits for a server that isn't there."""
        self._failures += 1
        self._complain(error)
        if nobody_there(error):
            self._distrust()
        # Otherwise, as long as another attempt is under way or a lane may come back, there is something to wait for.
        if nobody_there(error) or (self._failures >= _FAILURES and not self._attempts and not self._busy):
            told = NoLane()
            told.__cause__ = error
            self._tell(told)
        elif self._waiting:
            self._make()

    def _tell(self, error: NoLane) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _complain(self, error: BaseException) -> None:
        """A line in the log, one a second at most: a fault of the database has every request for a witness."""
        if asked_wrongly(error):
            return
        now = time.monotonic()
        if now - self._said_at < 1.0 and self._said_at:
            self._unsaid += 1
            return
        more = f", and {self._unsaid} more" if self._unsaid else ""
        self._said_at, self._unsaid = now, 0
        logger.error("storage: %s: %s%s", self._role, described(error), more)
