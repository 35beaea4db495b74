"""Following the platform's changes beside the serving of requests: in every process, of which one reads.

In: settings, the database. Out: a task that lives as long as the gateway does. Made by app.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry

from gateway.sharing.changes import ChangesSource, ChangesWorker
from gateway.sharing.metrics import ChangesMetrics
from gateway.storage.database import Database


class Following:
    """One feed, followed from `start` to `close`. `interval`: s between two readings of a feed that has no more.

    The connector is of the feed's own (`close` lets go of it): a page that takes long must not take a place from the
    questions of those who wait.
    """

    def __init__(
        self,
        connector: ChangesSource,
        close: Callable[[], Awaitable[None]],
        database: Database,
        registry: CollectorRegistry,
        *,
        interval: float,
    ) -> None:
        self._close = close
        self._worker = worker = ChangesWorker(connector, database, interval=interval)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        registry.register(ChangesMetrics(connector.code, lambda: worker.applied))

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._worker.run(self._stop))

    async def close(self) -> None:
        """A page under way is given up: then nothing of it is there."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._close()
