"""Statements that may read all there is wait for their turn: one in each view, so that connections and processors are
left for all others.

In: a view, a deadline, what asks. Out: what it brings, or RateLimited where the turn did not come in time. That a
filter leaves nearly nothing is known when all has been read: a page is tried for a moment first, beside few others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from gateway.errors import RateLimited, StorageUnavailable

T = TypeVar("T")
TRIED: Final = 0.25  # s that a page may take before it counts as one that reads all
_AFTER: Final = 2  # s, of Retry-After


class Scans:
    """The turns of one process."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, bool], asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, access: str, until: float, *, tries: bool = False) -> AsyncIterator[None]:
        """A turn in a view, in the order of asking. Raises RateLimited where half of the time until `until`
        (time.monotonic(), s) has gone before it came: whoever began later would read in vain."""
        turns = self._turns.setdefault((access, tries), asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic()) / 2):
                await turns.acquire()
        except TimeoutError:
            raise crowded() from None
        try:
            yield
        finally:
            turns.release()

    async def page(self, access: str, until: float, ask: Callable[[bool], Awaitable[T]]) -> T:
        """What `ask` brings: at once or, where that takes long, in its turn. It is told whether it is asked again."""
        async with self.turn(access, until, tries=True):
            try:
                async with asyncio.timeout(min(TRIED, max(0.0, until - time.monotonic()))):
                    return await ask(False)
            except TimeoutError:
                pass
        async with self.turn(access, until):
            return await ask(True)


def crowded() -> RateLimited:
    """The refusal of who waits behind too many that read all there is."""
    return RateLimited(
        f"too many requests at once read all records; narrow the filter by days, or ask again after {_AFTER} s",
        f"同时读取全部记录的请求过多，请用日期缩小筛选范围，或在 {_AFTER} 秒后重试",
        retry_after=_AFTER,
    )


def unread() -> StorageUnavailable:
    """What a client gets where a list of all records took too long, as it will the next time where they are many."""
    return StorageUnavailable(
        "the records were not read to the end in time; nothing was disclosed, narrow the filter by days or try again"
        " later",
        "未能在限定时间内读完记录，未披露任何信息，请用日期缩小筛选范围，或稍后再试",
    )
