"""The outbox of records (migration 0014), kept going: committed changes get their positions, old ones go.

In: the pool of the role `service`. Out: how far the outbox reaches, for who waits for more. Every process runs it, one
at a time is at work; what one does not get done another does. Without a database it waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import StorageUnavailable
from gateway.storage.pool import Pool

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 5_000  # changes that are numbered in one transaction
_LONGEST: Final = 9.0  # s of a statement: a day's turn looks at every term that ends
_SWEEP: Final = 60.0  # s between two looks at what is too old
_NUMBER: Final = "select core.number_changes($1)::text as n"
_END: Final = "select e.position::text as n from core.change_end e"
_SWEEP_SQL: Final = "select core.sweep_changes($1)::text as n"


class Outbox:
    """`keep_days`: days that changes are kept. `interval`: s between two looks, where nobody wakes it."""

    def __init__(self, pool: Pool, *, keep_days: int, interval: float = 1.0) -> None:
        self._pool = pool
        self._keep_days = keep_days
        self._interval = interval
        self._swept_at = time.monotonic()
        self._woken = asyncio.Event()
        self._moved: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.end = -1  # the last position that was given; -1: not known yet

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End; what is under way is undone or done, never half."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def wake(self) -> None:
        """Something was committed: look now."""
        self._woken.set()

    async def beyond(self, position: int) -> int:
        """Wait until the outbox reaches further than `position`; returns how far."""
        while self.end <= position:
            if self._moved is None or self._moved.done():
                self._moved = asyncio.get_running_loop().create_future()
            # One future for all who wait: none of them may cancel it for the others.
            await asyncio.shield(self._moved)
        return self.end

    async def once(self) -> None:
        """Number what is committed, sweep if it is time. Raises StorageUnavailable."""
        while await self._ask(_NUMBER, (_AT_ONCE,)) >= _AT_ONCE:
            pass
        end = await self._ask(_END, ())
        if end != self.end:
            self.end = end
            if self._moved is not None and not self._moved.done():
                self._moved.set_result(None)
        if time.monotonic() - self._swept_at > _SWEEP:
            while await self._ask(_SWEEP_SQL, (self._keep_days,)) > 0:
                pass
            self._swept_at = time.monotonic()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.once()
            except StorageUnavailable:
                pass  # the pool has said so in the log
            except Exception:
                logger.exception("outbox: trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._woken.wait()

    async def _ask(self, sql: str, arguments: Sequence[Any]) -> int:
        return await self._pool.fetch(sql, arguments, until=time.monotonic() + _LONGEST, read=_number)


def _number(rows: Sequence[Any]) -> int:
    return int(rows[0]["n"])
