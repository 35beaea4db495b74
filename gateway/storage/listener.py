"""What others commit, told at once: one connection that listens, and a heartbeat that proves it has missed nothing.

In: a DSN, subscribers. Out: payloads in the order of their commits, a word to everybody when some may have been missed,
and the moment until which nothing was.

PostgreSQL puts the notifications of a transaction into one queue for all, in the order of commits, before anybody can
see what was committed. So a notification of our own that came back has every earlier commit before it: a heartbeat that
was sent at t and has returned proves that all that was committed before t is known here. It brings the database's own
day along (core.today()), so that no clock of this machine has to agree with the database's.

A payload's first word is its topic, the rest is the subscriber's. Moments are of time.monotonic(), s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.storage.lane import Connection

logger = logging.getLogger(__name__)
OnPayload: TypeAlias = Callable[[str], None]
OnDoubt: TypeAlias = Callable[[], None]
OnBack: TypeAlias = Callable[[bool], None]

CHANNEL: Final = "credit"
BOUND: Final = 1.0  # s for which a heartbeat that has returned holds
_CONNECTING: Final = 2.0  # s of an attempt
_LEAVE: Final = 0.5  # s
_STOOD_STILL: Final = 0.02  # s too late, from which on a process blames itself
_UNREAD: Final = 0.01  # s in which what has come is read: a loop looks at its timers first
_LOOKS: Final = 4  # at a heartbeat that is late, at most
_FIRST, _LONGEST = 0.05, 1.0  # s between two attempts to connect
_SETTINGS: Final = {"application_name": "credit-gateway listener", "synchronous_commit": "off"}


class Listener:
    """One connection of its own, made again whenever it is lost. `heartbeat`: s between two heartbeats; `bound`: s for
    which one that has returned holds, and after which one that has not returned ends the connection.

    Subscribers are called in the loop, may not wait, and are all told of a doubt before anything is confirmed again.
    """

    def __init__(
        self,
        dsn: str,
        registry: CollectorRegistry | None = None,
        *,
        heartbeat: float = 0.25,
        bound: float = BOUND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._heartbeat, self._bound = heartbeat, bound
        self._clock = clock
        self._own = f"credit_beat_{secrets.token_hex(12)}"  # a channel that nobody else listens to
        self._subscribers: dict[str, list[tuple[OnPayload, OnDoubt]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._wake = asyncio.Event()
        self._sent = 0  # number of the newest heartbeat
        self._back = 0  # of the newest one that came back
        self._waiting: list[OnBack] = []  # for the next one to be sent
        self._confirmed_until = -math.inf
        self._late: asyncio.TimerHandle
        self._connected = False
        self.day = ""  # the database's, by the newest heartbeat: 2026-07-01
        registry = registry or CollectorRegistry()
        self._lost = Counter("credit_listener_lost", "Times that notifications may have been missed", registry=registry)
        self._payloads = Counter("credit_listener_payloads", "Notifications of others", ("topic",), registry=registry)
        Gauge(
            "credit_listener_confirmed", "1 while nothing that was committed is unknown here", registry=registry
        ).set_function(lambda: float(self.confirmed))

    def subscribe(self, topic: str, on_payload: OnPayload, on_doubt: OnDoubt) -> None:
        """Be told of every payload of a topic, and when some may have been missed: what was known then may be old."""
        self._subscribers.setdefault(topic, []).append((on_payload, on_doubt))

    @property
    def confirmed_until(self) -> float:
        """All that was committed up to `bound` seconds before this moment is known; -inf while nothing is."""
        return self._confirmed_until

    @property
    def confirmed(self) -> bool:
        """Whether all that was committed more than `bound` seconds ago is known."""
        return self._connected and self._clock() < self._confirmed_until

    async def confirm(self, patience: float = 0.1) -> bool:
        """Whether all that was committed before this call is known: waits for a heartbeat that is sent after it, at
        most `patience` s. Many that call at once wait for the same one."""
        if not self._connected:
            return False
        future: asyncio.Future[bool] = self._loop.create_future()

        def back(known: bool) -> None:
            if not future.done():  # who waited may have been cancelled
                future.set_result(known)

        return self.then(back, patience) and await future

    def then(self, back: OnBack, patience: float = 0.1) -> bool:
        """The same without a task that waits: `back` is called in the loop, once, with what `confirm` would return.
        False, and it is never called, where nothing can be confirmed now."""
        if not self._connected:
            return False
        waiting = self._waiting
        waiting.append(back)
        if len(waiting) == 1:
            self._wake.set()
            self._loop.call_later(patience, self._give_up, waiting)  # one timer for all of them
        return True

    def start(self) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def close(self) -> None:
        """Listen no more. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    # The connection --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = _FIRST
        while True:
            try:
                async with asyncio.timeout(_CONNECTING):
                    connection = await asyncpg.connect(
                        self._dsn, timeout=_CONNECTING, statement_cache_size=0, server_settings=_SETTINGS
                    )
            except Exception as error:
                logger.warning("listener: no connection: %s", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST)
                continue
            try:
                await self._listen(connection)
            except asyncio.CancelledError:
                self._doubt()
                with contextlib.suppress(Exception):
                    await connection.close(timeout=_LEAVE)
                raise
            except Exception as error:
                pause = _FIRST if self._connected else min(pause * 2, _LONGEST)
                self._doubt()
                connection.terminate()
                logger.warning("listener: connection lost: %s", type(error).__name__)
                await asyncio.sleep(pause)

    async def _listen(self, connection: Connection) -> None:
        """Heartbeats on a connection, until it is lost (some exception says so)."""
        connection.add_termination_listener(self._cut)
        async with asyncio.timeout(self._bound):
            await connection.add_listener(self._own, self._on_heartbeat)
            await connection.add_listener(CHANNEL, self._on_payload)
        while True:
            await self._beat(connection)
            if not self._waiting and self.confirmed:  # a process that stood still meanwhile knows nothing yet
                self._wake.clear()
                if connection.is_closed():
                    raise ConnectionError("the connection has ended")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._heartbeat):
                        await self._wake.wait()

    async def _beat(self, connection: Connection) -> None:
        """Send a heartbeat, and tell those who had asked before it was sent that it is back. Raises whatever the driver
        does where it does not come back; one that is late ends the connection.

        It is the dearest thing that an answer out of a cache waits for: no task, no timeout of asyncio's.
        """
        waiting, self._waiting = self._waiting, []
        self._sent += 1
        sent = self._clock()
        self._cut_off(connection, self._sent, self._bound, _LOOKS)
        try:
            # The driver calls back for what comes before the end of the reply, before it wakes us up.
            await connection.execute(f"select pg_notify('{self._own}', '{self._sent} ' || core.today())")
            if self._back != self._sent:
                raise ConnectionError("a heartbeat that did not come back")
        except BaseException:
            _tell(waiting, False)
            raise
        finally:
            self._late.cancel()
        self._connected = True
        self._confirmed_until = sent + self._bound
        _tell(waiting, True)

    def _cut_off(self, connection: Connection, number: int, patience: float, looks: int) -> None:
        """End the connection unless the heartbeat is back by then. A process that stood still itself does not blame the
        server at once: what has come meanwhile is still to be read."""
        due = self._loop.time() + patience

        def look() -> None:
            if self._back == number:
                return
            stood_still = self._loop.time() - due > _STOOD_STILL
            if looks > 1 and (stood_still or looks == _LOOKS):
                self._cut_off(connection, number, self._heartbeat if stood_still else _UNREAD, looks - 1)
            else:
                connection.terminate()

        self._late = self._loop.call_at(due, look)

    def _cut(self, connection: Any) -> None:
        self._wake.set()  # the next heartbeat finds out, at once

    def _on_heartbeat(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        number, _, self.day = str(payload).partition(" ")
        self._back = int(number)

    def _on_payload(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        topic, _, rest = str(payload).partition(" ")
        subscribers = self._subscribers.get(topic)
        if subscribers is None:
            return  # anybody may notify: names that nobody here knows make no metric
        self._payloads.labels(topic).inc()
        for on_payload, on_doubt in subscribers:
            try:
                on_payload(rest)
            except Exception:
                logger.exception("listener: %s: a payload that could not be taken", topic)
                on_doubt()

    def _give_up(self, waiting: list[OnBack]) -> None:
        if self._waiting is waiting:
            self._waiting = []
        _tell(waiting, False)

    def _doubt(self) -> None:
        """What is committed from now on may go unnoticed."""
        self._confirmed_until = -math.inf
        waiting, self._waiting = self._waiting, []
        _tell(waiting, False)
        if not self._connected:
            return  # nothing was promised since the last time
        self._connected = False
        self._lost.inc()
        for subscribers in self._subscribers.values():
            for _, on_doubt in subscribers:
                on_doubt()


def _tell(waiting: list[OnBack], known: bool) -> None:
    """Tell all who are still to be told; those who ask meanwhile wait for another one."""
    told = waiting[:]
    waiting.clear()
    for back in told:
        try:
            back(known)
        except Exception:
            logger.exception("listener: somebody who waited for a heartbeat could not be told")
