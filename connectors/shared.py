"""One credential that many calls share: renewed before it ends, by one fetch however many wait for it.

In: how to fetch it, the clock, a budget for one fetch. Out: a credential that holds, or UpstreamError. Called by the
connectors whose upstream gives secrets or tokens out for a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Generic, TypeVar

from connectors.base import Failure, FailureKind
from connectors.http import UpstreamError, fail

T = TypeVar("T")

_RENEW_MARGIN_MS: Final = 30_000


def unix_ms(moment: datetime) -> int:
    """An aware time as Unix ms."""
    return int(moment.timestamp() * 1000)


class Shared(Generic[T]):
    """The current credential. `fetch(deadline)` gives a new one and when it ends (Unix ms) by loop time in s, or raises
    UpstreamError; `budget` in s bounds it, as the calls that share it have different deadlines. `what` is for logs."""

    def __init__(
        self,
        fetch: Callable[[float], Awaitable[tuple[T, int]]],
        clock: Callable[[], datetime],
        budget: float,
        what: str,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._budget = budget
        self._what = what
        self._value: T | None = None
        self._renew_at_ms = 0
        self._fetching: asyncio.Task[T | Failure] | None = None

    @property
    def busy(self) -> bool:
        """Whether a fetch is under way."""
        return self._fetching is not None

    async def current(self, deadline: float, stale: T | None) -> T:
        """A credential that holds and isn't `stale`, by `deadline` (loop time, s). Raises UpstreamError."""
        if stale is not None:
            self.drop(stale)
        if self._value is not None and unix_ms(self._clock()) < self._renew_at_ms:
            return self._value
        joined = self._fetching is not None
        result = await self._wait(deadline)
        if isinstance(result, Failure) and joined:
            # It began before this call did, perhaps while the upstream was still ill: that says nothing of now.
            result = await self._wait(deadline)
        if isinstance(result, Failure):
            raise UpstreamError(result)
        return result

    async def _wait(self, deadline: float) -> T | Failure:
        """What the fetch under way gives, or a new one. Raises UpstreamError where it doesn't end in time."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
        fetching = self._fetching
        # wait() leaves the shared task alone when one of the waiting calls gives up or is cancelled.
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait({fetching}, timeout=max(0.0, left))
        if not fetching.done():
            fail(FailureKind.TIMEOUT, f"{self._what} not refreshed by the deadline")
        if fetching.cancelled():
            fail(FailureKind.UNREACHABLE, "connector is closed")
        return fetching.result()

    def drop(self, value: T) -> None:
        """Forget this credential, unless a newer one is already in place."""
        if self._value is value:
            self._value = None

    async def close(self) -> None:
        """Cancel a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    async def _renew(self) -> T | Failure:
        try:
            value, end_ms = await self._fetch(asyncio.get_running_loop().time() + self._budget)
        except UpstreamError as error:
            return error.failure
        finally:
            self._fetching = None
        now_ms = unix_ms(self._clock())
        # Half the life at most, so that what is short-lived still serves more than the call that fetched it.
        self._renew_at_ms = end_ms - min(_RENEW_MARGIN_MS, max(0, end_ms - now_ms) // 2)
        self._value = value
        return value
