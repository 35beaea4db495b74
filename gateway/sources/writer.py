"""Write-behind: new answers into core.source_answer and health into core.source_health, off every request's path.

Nothing here raises into a request: what can't be written is logged and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

import asyncpg
from prometheus_client import Counter

from gateway.errors import StorageUnavailable
from gateway.sources.answers import Key
from gateway.sources.told import Told
from gateway.storage.pool import Pool

logger = logging.getLogger(__name__)

_BATCH: Final = 500  # answers in one statement
_QUEUED: Final = 20_000  # answers waiting at most
_QUEUED_BYTES: Final = 64 * 1024 * 1024
_LINGER: Final = 0.02  # s: answers of one request share a statement
_PAUSE: Final = 1.0  # s after a failure, and between two writes of health
_DRAIN: Final = 5.0  # s that closing waits for what is queued

_INSERT: Final = """
insert into core.source_answer (asked_at, source_code, part, uscc, rows)
select to_timestamp(a.asked_at), a.source, a.part, a.uscc, a.rows::jsonb
from unnest($1::float8[], $2::text[], $3::text[], $4::text[], $5::text[]) a (asked_at, source, part, uscc, rows)"""

_HEALTH: Final = """
insert into core.source_health as h (source_code, healthy, last_answer_at)
select n.source, n.healthy, to_timestamp(n.at)
from unnest($1::text[], $2::boolean[], $3::float8[]) n (source, healthy, at)
on conflict (source_code) do update
set healthy = excluded.healthy, last_answer_at = greatest(h.last_answer_at, excluded.last_answer_at)"""

# The database is there and refuses the data: repeating the same statement would not help.
_REFUSED: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


class AnswerWriter:
    """A bounded queue of answers, written in batches by a task that lives while there is something to write."""

    def __init__(self, pool: Pool, lost: Counter) -> None:
        self._pool = pool
        self._lost = lost
        self._queue: deque[tuple[Key, Told]] = deque()
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def put(self, key: Key, answer: Told) -> None:
        """Queue an answer; where the queue is full it is not kept."""
        if self._closing or len(self._queue) >= _QUEUED or self._size >= _QUEUED_BYTES:
            self._lose(1, "queue full")
            return
        self._queue.append((key, answer))
        self._size += len(answer.rows)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write what is queued, for some seconds at most."""
        self._closing = True
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=_DRAIN)
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if self._queue:
            self._lose(len(self._queue), "closed before they were written")
            self._queue.clear()

    def _lose(self, count: int, why: str) -> None:
        self._lost.inc(count)
        logger.warning("sources: %d answers not kept: %s", count, why)

    async def _run(self) -> None:
        try:
            while self._queue:
                if not self._closing:
                    await asyncio.sleep(_LINGER)
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                try:
                    await self._write(batch)
                except BaseException as error:
                    self._queue.extendleft(reversed(batch))
                    if not isinstance(error, StorageUnavailable):
                        raise
                    await asyncio.sleep(_PAUSE)
                else:
                    self._size -= sum(len(answer.rows) for _, answer in batch)
        except Exception:
            logger.exception("sources: writing answers")
        finally:
            self._task = None

    async def _write(self, batch: list[tuple[Key, Told]]) -> None:
        """Insert all, without those that the database refuses. Raises StorageUnavailable where it isn't there."""
        try:
            await self._pool.execute(
                _INSERT,
                (
                    [answer.asked_at for _, answer in batch],
                    [key[0] for key, _ in batch],
                    [key[1] for key, _ in batch],
                    [key[2] for key, _ in batch],
                    [answer.rows for _, answer in batch],
                ),
            )
        except StorageUnavailable as error:
            if not isinstance(error.__cause__, _REFUSED):
                raise
            if len(batch) == 1:
                self._lose(1, f"refused ({type(error.__cause__).__name__})")
                return
            half = len(batch) // 2  # one bad answer costs log₂ n statements, not the batch
            await self._write(batch[:half])
            await self._write(batch[half:])


class HealthWriter:
    """Whether each source is healthy and when it last answered, written on change and at most once a second."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._healthy: dict[str, bool] = {}
        self._answered: dict[str, float] = {}
        self._changed: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def answered(self, source: str, at: float) -> None:
        """The source answered at `at` (Unix seconds)."""
        if at > self._answered.get(source, 0.0):
            self._answered[source] = at
            self._change(source)

    def turned(self, source: str, healthy: bool) -> None:
        """The source's breaker opened or closed."""
        if self._healthy.get(source) is not healthy:
            self._healthy[source] = healthy
            self._change(source)

    async def close(self) -> None:
        """Write the last state, for some seconds at most."""
        self._closing.set()
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=_DRAIN)
            task.cancel()
            await asyncio.wait({task})

    def _change(self, source: str) -> None:
        self._changed.add(source)
        if self._task is None and not self._closing.is_set():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._changed:
                changed = sorted(self._changed)
                self._changed.clear()
                try:
                    await self._write(changed)
                except StorageUnavailable as error:
                    if isinstance(error.__cause__, _REFUSED):
                        logger.error("sources: health of %s can't be written", ", ".join(changed))
                    elif not self._closing.is_set():
                        self._changed.update(changed)
                await self._second()
        except Exception:
            logger.exception("sources: writing health")
        finally:
            self._task = None

    async def _write(self, sources: list[str]) -> None:
        healthy = [self._healthy.get(source, True) for source in sources]
        await self._pool.execute(_HEALTH, (sources, healthy, [self._answered.get(source) for source in sources]))

    async def _second(self) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({closing}, timeout=_PAUSE)
        finally:
            closing.cancel()
