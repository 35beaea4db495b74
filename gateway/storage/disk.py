"""When what was committed is on disk: many commits wait for one flush, and no statement for any (decision 0039).

A connection that commits without waiting (synchronous_commit off) can run its next statement while the disk writes the
last. PostgreSQL writes its log in order: once a later commit on the same server has reached the disk, so has every one
before it. In: a moment at which a statement has returned. Out: a future that is done when it is durable.

What that rests on is kept in an `Era`: one connection to one run of one server, from before the statement began until
after the flush. A server that crashed in between has lost what it had not written, and the connection with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, Histogram

from gateway.storage.faults import NotDurable, described
from gateway.storage.lane import Lane, connect

logger = logging.getLogger(__name__)

# Something has to be written, else the commit waits for nothing (migration 0038). It waits for standbys, too, where the
# server is set up so.
_FLUSH: Final = "select pg_catalog.setval('ledger.flushed', 1)"
_CONNECTING: Final = 2.0  # s
_SETTINGS: Final = {"application_name": "credit-gateway disk", "synchronous_commit": "on"}
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Era:
    """One connection that flushes, while it lasts."""

    __slots__ = ("lane", "over")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.over = False


class Disk:
    """Flushes on a connection of its own (role `ledger`). `timeout`: s of one flush."""

    def __init__(self, dsn: str, *, timeout: float, registry: CollectorRegistry | None = None) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._era: Era | None = None
        self._opening: asyncio.Task[Era] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False
        self._seconds = Histogram(
            "credit_ledger_flush_seconds",
            "Until what answers wait for is on disk",
            buckets=_SECONDS,
            registry=registry or CollectorRegistry(),
        )

    def era(self, server: bytes) -> Era | None:
        """The present one, if it is of that run of that server (Lane.server)."""
        era = self._era
        if era is None or era.over or era.lane.server != server or era.lane.connection.is_closed():
            return None
        return era

    async def begin(self, server: bytes, until: float) -> Era:
        """An era of that server, by `until` (time.monotonic(), s). Before a statement that writes.

        Raises NotDurable where there is none to be had: what would be written could not be shown to be durable.
        """
        if self._closed:
            raise NotDurable
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await asyncio.shield(self._opening)
        except Exception as error:
            raise NotDurable from error
        era = self.era(server)
        if era is None:
            raise NotDurable  # the statement's connection is to another server than ours, or of before its last start
        return era

    def after(self, era: Era) -> asyncio.Future[None]:
        """Done once everything that has been committed until now is on disk; NotDurable where nobody can tell, or where
        the era that the statement began in is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if era is not self._era or era.over:
            _refuse([future], NotDurable())
            return future
        self._waiting.append(future)
        if self._flushing is None:
            # A task runs in the next turn of the loop: what has returned in this turn is in the same flush.
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        return future

    async def close(self) -> None:
        """Refuse who waits and leave. Idempotent."""
        self._closed = True
        for task in (self._opening, self._flushing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        era = self._era
        self._end(None)
        if era is not None:
            await era.lane.close()

    async def _open(self) -> Era:
        try:
            lane = await connect(self._dsn, _SETTINGS, min(self._timeout, _CONNECTING), identified=True)
            self._end(None)
            self._era = Era(lane)
            return self._era
        except Exception as error:
            logger.error("disk: %s", described(error))
            raise
        finally:
            self._opening = None

    async def _flush(self) -> None:
        """Flush as long as anybody waits."""
        try:
            while self._waiting and (era := self._era) is not None:
                waiting, self._waiting = self._waiting, []
                began = time.monotonic()
                try:
                    await era.lane.fetch(_FLUSH, (), began + self._timeout)
                except BaseException as error:
                    _refuse(waiting, error)
                    if self._era is era:
                        self._end(error)
                    if not isinstance(error, Exception):
                        raise
                    logger.error("disk: %s", described(error))
                else:
                    self._seconds.observe(time.monotonic() - began)
                    for future in waiting:
                        if not future.done():
                            future.set_result(None)
        finally:
            self._flushing = None

    def _end(self, cause: BaseException | None) -> None:
        """This era is over: nobody can tell any more what reached the disk."""
        era, self._era = self._era, None
        if era is not None:
            era.over = True
            era.lane.drop()
        waiting, self._waiting = self._waiting, []
        _refuse(waiting, cause)


def _refuse(waiting: list[asyncio.Future[None]], cause: BaseException | None) -> None:
    for future in waiting:
        if not future.done():
            error = NotDurable()
            error.__cause__ = cause
            future.set_exception(error)
            future.exception()  # nobody may be there any more to look at it
