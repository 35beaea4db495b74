"""The worker that follows the regional platform's changes: page by page, from its cursor, for ever or once.

In: a connector with `changes`, a database. Out: records and their versions (gateway.storage.feed), the cursor moved in
the same transaction. Any number of processes may run it; one of them reads, the others wait to take over. A fault of
the platform or of the database is waited out with growing pauses and never ends the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from connectors.base import Failure, FailureKind
from connectors.region_platform_feed import Change, ChangesPage
from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.feed import Feed, open_feed
from gateway.storage.feed_rows import FeedChange
from gateway.storage.feed_writer import Applied

logger = logging.getLogger(__name__)

_ASK_WITHIN: Final = 30.0  # s for a page; the connector's own budget is shorter
_IMPORT_PAUSE: Final = 1.0  # s between two looks whether an import has ended
_FIRST_PAUSE: Final = 1.0  # s after the first failure; doubled with each further one
_LONGEST_PAUSE: Final = 300.0  # s


class ChangesSource(Protocol):
    """What the worker needs of a connector."""

    code: str

    async def changes(self, since: str, deadline: float, size: int = ...) -> ChangesPage | Failure:
        """The page behind a cursor, empty for the beginning; see RegionPlatformConnector."""
        ...


@dataclass(slots=True)
class Followed:
    """What one reading of the feed did. `busy`: another process follows it. `failure`: why it ended before its end."""

    applied: Applied = field(default_factory=Applied)
    pages: int = 0
    busy: bool = False
    failure: Failure | None = None


class _Circle:
    """Tells whether cursors go round, however many there are, by one of them kept: one further on each time that twice
    as many have come by (R. P. Brent 1980)."""

    def __init__(self) -> None:
        self._kept: str | None = None
        self._steps, self._until = 0, 1

    def closes(self, cursor: str) -> bool:
        """Is this the kept one again?"""
        if cursor == self._kept:
            return True
        self._steps += 1
        if self._steps == self._until:
            self._kept, self._steps, self._until = cursor, 0, self._until * 2
        return False


class ChangesWorker:
    """Follows one source's feed. `interval`: s between two readings of a feed that has no more; `size`: changes a page.

    `clock` gives the aware present time, `chance` a number from 0 to 1 for the jitter of pauses.
    """

    def __init__(
        self,
        connector: ChangesSource,
        database: Database,
        *,
        interval: float = 60.0,
        size: int = 500,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connector = connector
        self._database = database
        self._interval = interval
        self._most = self._size = size
        self._clock = clock
        self._chance = chance
        self._failures = 0  # since the last reading that came to the feed's end
        self.applied = Applied()  # of all readings since the start, for metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the feed until `stop` is set, a page under way to its end. Raises nothing but CancelledError."""
        while not stop.is_set():
            try:
                followed = await self._lead(stop)
            except StorageError as error:
                failure, wait = str(error), None
            except Exception as error:  # a fault of ours must not end the feed either; its text may quote a row
                failure, wait = type(error).__name__, None
            else:
                if followed.failure is None:
                    await _pause(stop, self._until_next())
                    continue
                failure, wait = str(followed.failure.kind), followed.failure.retry_after
            self._failures += 1
            pause = self.pause(self._failures, wait)
            logger.warning(
                "changes of %s could not be read on (%s); again in %.1f s", self._connector.code, failure, pause
            )
            await _pause(stop, pause)

    async def once(self, stop: asyncio.Event | None = None) -> Followed:
        """Read the feed to its end, or until something fails or `stop` is set. Raises StorageError."""
        async with open_feed(self._database, self._connector.code, self._clock) as feed:
            return await self._once(feed, stop or asyncio.Event())

    async def reread(self) -> None:
        """Have the feed read from its beginning again. What was applied changes nothing, what was put aside gets
        another chance. Raises StorageError."""
        async with open_feed(self._database, self._connector.code, self._clock) as feed:
            await feed.start_over()

    def pause(self, failures: int, retry_after: float | None = None) -> float:
        """Seconds to wait after so many failures in a row: doubled each time, half of it by chance, never less than the
        source asked for, as far as that is within the longest pause."""
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 20))
        return max(longest * (0.5 + 0.5 * self._chance()), min(retry_after or 0.0, _LONGEST_PAUSE))

    def _until_next(self) -> float:
        return self._interval * (0.9 + 0.2 * self._chance())

    async def _lead(self, stop: asyncio.Event) -> Followed:
        """Read again and again on one connection, which holds the lead, until something fails or another process is
        found to lead: then nothing is held."""
        async with open_feed(self._database, self._connector.code, self._clock) as feed:
            while True:
                followed = await self._once(feed, stop)
                if followed.failure is not None or followed.busy or stop.is_set():
                    return followed
                await _pause(stop, self._until_next())

    async def _once(self, feed: Feed, stop: asyncio.Event) -> Followed:
        followed = Followed()
        if not await feed.lead():
            followed.busy = True
            return followed
        circle = _Circle()
        refused = False
        while not stop.is_set():
            since = (await feed.position()).cursor
            page = await self._page(feed, since, again=not refused)
            if page is None:
                refused = True
                continue
            if isinstance(page, Failure):
                if self._asks_for_less(page):
                    continue
                followed.failure = page
                break
            self._size = min(self._most, self._size * 2)
            applied = await feed.apply(since, page.next, page.more, [_stored(change) for change in page.changes])
            if applied is None:
                await _pause(stop, _IMPORT_PAUSE)
                continue
            followed.pages += 1
            followed.applied.add(applied)
            self.applied.add(applied)
            self._tell(applied)
            if not page.more:
                self._failures = 0
                break
            if circle.closes(page.next):
                followed.failure = Failure(FailureKind.MALFORMED, detail="cursors go round in a circle")
                break
        return followed

    def _asks_for_less(self, failure: Failure) -> bool:
        """After a page that was too large or too long in coming, smaller ones are asked for: a few long rows must not
        stop the feed for ever. True where that is worth trying at once."""
        if failure.kind not in (FailureKind.TOO_LARGE, FailureKind.TIMEOUT) or self._size == 1:
            return False
        self._size = max(1, self._size // 4)
        return failure.kind is FailureKind.TOO_LARGE

    async def _page(self, feed: Feed, since: str, *, again: bool) -> ChangesPage | Failure | None:
        """The page behind the cursor. None where the source has refused the cursor and the feed was set to its
        beginning: the contract doesn't say what was refused, so the beginning is asked for to tell. Not `again`: that
        was done in this reading, and a source that refuses what it has just given is waited for."""
        page = await self._ask(since)
        if not isinstance(page, Failure) or page.kind is not FailureKind.REJECTED or not since or not again:
            return page
        if isinstance(await self._ask(""), Failure):
            return page  # whatever it refuses, it is not the cursor
        logger.warning("%s refuses the cursor of its changes; they are read from the beginning", self._connector.code)
        await feed.start_over()
        return None

    async def _ask(self, since: str) -> ChangesPage | Failure:
        deadline = asyncio.get_running_loop().time() + _ASK_WITHIN
        return await self._connector.changes(since, deadline, self._size)

    def _tell(self, applied: Applied) -> None:
        for reason, count in applied.reasons.items():
            logger.warning("%d changes of %s were put aside: %s", count, self._connector.code, reason)


def _stored(change: Change) -> FeedChange:
    return FeedChange(
        change.op,
        change.table,
        change.uscc,
        change.natural_key,
        change.row,
        change.reason,
        change.effective_on,
        change.problem,
    )


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, less long where `stop` is set meanwhile."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
