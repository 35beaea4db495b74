"""Reading what a source said without keeping everybody else waiting.

In: the outcomes of one call, from its lane. Out: replies. Masking a large answer can take seconds: that is done in a
thread, which gives way to the event loop, and for no longer than the call may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from connectors.base import Answer, Failure, FailureKind, Outcome
from gateway.sources.policy import SourcePolicy
from gateway.sources.told import Reply, read

HEAVY: Final = 32 * 1024  # characters, about, that are read in a few milliseconds; more than that in the thread


class Reader:
    """One source's. A thread of its own: what is large at one source must not keep answers of another waiting."""

    def __init__(self, policy: SourcePolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, f"read {policy.code}")  # starts none before it is needed

    async def read(self, part: str, outcomes: Mapping[str, Outcome], end: float) -> dict[str, Reply]:
        """Replies by USCC, by `end` (loop time, s); an answer that takes longer to read is too large."""
        now = self._clock()
        if not is_heavy(outcomes):
            return {uscc: read(self._policy, part, uscc, outcome, now) for uscc, outcome in outcomes.items()}

        def read_all() -> dict[str, Reply]:
            return {uscc: read(self._policy, part, uscc, outcome, now, end) for uscc, outcome in outcomes.items()}

        try:
            async with asyncio.timeout_at(end):
                return await asyncio.get_running_loop().run_in_executor(self._thread, read_all)
        except TimeoutError:
            late = Failure(FailureKind.TOO_LARGE)
            return {
                uscc: read(self._policy, part, uscc, late if isinstance(outcome, Answer) else outcome, now)
                for uscc, outcome in outcomes.items()
            }

    def close(self) -> None:
        """Give up what is waiting to be read. Idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def is_heavy(outcomes: Mapping[str, Outcome]) -> bool:
    """Whether reading these takes so long that nothing else should have to wait for it."""
    weight = 0
    values: list[object] = [outcome.rows for outcome in outcomes.values() if isinstance(outcome, Answer)]
    while values:
        value = values.pop()
        weight += len(value) if isinstance(value, str) else 8
        if weight > HEAVY:
            return True
        if isinstance(value, Mapping):
            values += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            values += value
    return False
