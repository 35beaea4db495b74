"""Statements that may read all there is wait for their turn: one in each view, so that connections and processors are
left for all others. So do large ones, of which few are under way.

In: a view, a deadline, who asks, what asks. Out: what it brings, or RateLimited where the turn did not come in time.
That a filter leaves nearly nothing is known when all has been read: a page is tried for a moment first, beside few
others. Turns go from one asker to the next: however much one of them asks for, others wait for one or two of its.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar

from gateway.errors import RateLimited, StorageUnavailable

T = TypeVar("T")
TRIED: Final = 0.25  # s that a page may take before it counts as one that reads all
LARGE: Final = 3_000  # rows from which on a statement that nobody shares counts as large
LONG: Final = 15_000  # characters from which on it does: PostgreSQL plans it for longer than it takes to read most
LARGE_ONES: Final = 4  # of them at once
_AFTER: Final = 2  # s, of Retry-After
_ALL, _TRIED, _LARGE = range(3)  # what there are turns for


class Turns:
    """So many at once. The next is who has fewest, and of those who has waited longest since its last."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, asker: str) -> None:
        """Take one, in the order of asking."""
        if self._free:  # then nobody waits
            self._taken(asker)
        else:
            await self._wait(asker)  # whoever hands it over has taken it for us

    def give(self, asker: str) -> None:
        """Give it to the next."""
        self._free += 1
        while self._free and self._waiting:
            following = min(self._waiting, key=self._held.__getitem__)
            own = self._waiting.pop(following)
            future = own.popleft()
            if own:
                self._waiting[following] = own  # behind all others
            if not future.done():
                self._taken(following)
                future.set_result(None)
        self._held[asker] -= 1  # who gives it back is not the next before others
        if not self._held[asker]:
            del self._held[asker]

    def _taken(self, asker: str) -> None:
        self._free -= 1
        self._held[asker] += 1

    async def _wait(self, asker: str) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(asker, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give(asker)  # it came in the moment in which we left
            elif (own := self._waiting.get(asker)) is not None and future in own:
                own.remove(future)
                if not own:
                    del self._waiting[asker]
            raise


class Turn:
    """One of them, for as long as a block lasts; not while what it does has nothing to do with them."""

    def __init__(self, turns: Turns, asker: str) -> None:
        self._turns = turns
        self._asker = asker
        self._has = False

    async def __aenter__(self) -> None:
        await self._turns.take(self._asker)
        self._has = True

    async def __aexit__(self, *_: object) -> None:
        if self._has:
            self._has = False
            self._turns.give(self._asker)

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Give it to others meanwhile. What fails meanwhile does not wait for another."""
        await self.__aexit__()
        yield
        await self.__aenter__()


class Scans:
    """The turns of one process. `large`: how many large ones are under way in a view."""

    def __init__(self, *, large: int = LARGE_ONES) -> None:
        self._most = {_ALL: 1, _TRIED: 1, _LARGE: large}
        self._turns: dict[tuple[str, int], Turns] = {}

    def turn(
        self, access: str, until: float, asker: str = "", *, tries: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """A turn in a view of those that may read all. Raises RateLimited where half of the time until `until`
        (time.monotonic(), s) has gone before it came: whoever began later would read in vain."""
        return self._turn(access, _TRIED if tries else _ALL, until, asker, crowded)

    def large(self, access: str, until: float, asker: str) -> AbstractAsyncContextManager[None]:
        """The same of those that are large."""
        return self._turn(access, _LARGE, until, asker, large_ones)

    @asynccontextmanager
    async def _turn(
        self, access: str, kind: int, until: float, asker: str, refusal: Callable[[], RateLimited]
    ) -> AsyncIterator[None]:
        turns = self._turns.get((access, kind))
        if turns is None:
            turns = self._turns[access, kind] = Turns(self._most[kind])
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic()) / 2):
                await turns.take(asker)
        except TimeoutError:
            raise refusal() from None
        try:
            yield
        finally:
            turns.give(asker)

    async def page(self, access: str, until: float, asker: str, ask: Callable[[bool], Awaitable[T]]) -> T:
        """What `ask` brings: at once or, where that takes long, in its turn. It is told whether it is asked again."""
        async with self.turn(access, until, asker, tries=True):
            try:
                async with asyncio.timeout(min(TRIED, max(0.0, until - time.monotonic()))):
                    return await ask(False)
            except TimeoutError:
                pass
        async with self.turn(access, until, asker):
            return await ask(True)


def crowded() -> RateLimited:
    """The refusal of who waits behind too many that read all there is."""
    return RateLimited(
        f"too many requests at once read all records; narrow the filter by days, or ask again after {_AFTER} s",
        f"同时读取全部记录的请求过多，请用日期缩小筛选范围，或在 {_AFTER} 秒后重试",
        retry_after=_AFTER,
    )


def large_ones() -> RateLimited:
    """The refusal of who waits behind too many large ones."""
    return RateLimited(
        f"too many large requests at once; ask for fewer subjects or shorter lists, or again after {_AFTER} s",
        f"同时进行的大型查询过多，请减少主体数量或缩短列表，或在 {_AFTER} 秒后重试",
        retry_after=_AFTER,
    )


def unread() -> StorageUnavailable:
    """What a client gets where a list of all records took too long, as it will the next time where they are many."""
    return StorageUnavailable(
        "the records were not read to the end in time; nothing was disclosed, narrow the filter by days or try again"
        " later",
        "未能在限定时间内读完记录，未披露任何信息，请用日期缩小筛选范围，或稍后再试",
    )
