"""Rows whose time is over, deleted now and then by whoever writes new ones.

In: the pool, the statement, what the rows are called in the log. Out: nothing: a sweep that fails is tried again later,
and nobody's request fails with it.
"""

from __future__ import annotations

import logging
import time

from gateway.errors import StorageUnavailable
from gateway.storage.pool import Pool

logger = logging.getLogger(__name__)


class Sweeper:
    """Runs `sql` at most once in `seconds`, in each process."""

    def __init__(self, pool: Pool, sql: str, what: str, *, seconds: float = 60.0) -> None:
        self._pool = pool
        self._sql = sql
        self._what = what
        self._seconds = seconds
        self._swept_at = time.monotonic()

    async def sweep(self) -> None:
        """Sweep, if it is time."""
        if time.monotonic() - self._swept_at <= self._seconds:
            return
        self._swept_at = time.monotonic()
        try:
            await self._pool.execute(self._sql)
        except StorageUnavailable:
            logger.warning("%s could not be swept; trying again in %.0f s", self._what, self._seconds)
