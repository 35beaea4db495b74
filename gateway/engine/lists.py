"""Whose turn it is among statements of lists and searches: so many at once, from one asker to the next.

In: groups of requests that share a statement (together.py), who asks in them. Out: the group whose statement is asked
next.

Of lists there are many groups: orders and regions are other statements. One that takes longer than most is passed by,
until `most` are under way. One turn is left for another asker: who asks for much, in however many kinds of lists, waits
for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

LISTS: Final = 5  # statements of lists at once with those beside slow ones: other connections are for other requests
_LONG: Final = 0.05  # s after which a statement of lists no longer takes another's turn


class UnderWay(Protocol):
    """A statement that was asked. `since`: when (time.monotonic(), s)."""

    since: float


class Queued(Protocol):
    """A group of requests. `queued`: for whom its turn is to come."""

    queued: set[str]

    def has(self, asker: str) -> bool:
        """Whether a request of this asker's waits."""
        ...


G = TypeVar("G", bound=Queued)


class ListTurns(Generic[G]):
    """`usual` at once, up to `most` beside slow ones. `begin` is called with who has a turn, where nobody goes on with
    it by `following`; `forget` with a group that nobody waits in any more."""

    def __init__(self, *, usual: int, most: int, begin: Callable[[G, str], None], forget: Callable[[G], None]) -> None:
        self._usual = min(usual, most)
        self._most = most
        self._most_of_one = max(1, most - 1)
        self._begin = begin
        self._forget = forget
        self.under_way: set[UnderWay] = set()
        self.queue: dict[str, deque[G]] = {}  # by who asks
        self.held: Counter[str] = Counter()  # turns of each asker
        self._taken = 0  # by statements that are under way, or about to be
        self._waker: asyncio.TimerHandle | None = None

    def queue_up(self, group: G, askers: Iterable[str]) -> None:
        """A turn for each who waits in a group, when it comes."""
        for asker in askers:
            if asker not in group.queued:
                group.queued.add(asker)
                self.queue.setdefault(asker, deque()).append(group)
        self.next()

    def next(self) -> None:
        """Begin what has its turn."""
        while (found := self.following()) is not None:
            self._begin(*found)

    def following(self) -> tuple[G, str] | None:
        """The group that has its turn, and whose turn it is: it is taken. None where all are, or nobody waits."""
        while self.queue:
            beside, most = self._taken - self._usual, self._most - self._usual
            if beside >= 0 and beside >= min(longer(self.under_way, _LONG, time.monotonic()), most):
                if self._waker is None:
                    self._waker = asyncio.get_running_loop().call_later(_LONG, self._wake)
                return None
            asker = next((one for one in self.queue if self.held[one] < self._most_of_one), None)
            if asker is None:
                return None  # until one of its turns has ended
            own = self.queue.pop(asker)
            group = own.popleft()
            if own:
                self.queue[asker] = own  # behind all others
            group.queued.discard(asker)
            if group.has(asker):
                self._taken += 1
                self.held[asker] += 1
                return group, asker
            self._forget(group)  # others took it along
        return None

    def ended(self, asker: str) -> None:
        """A turn of this asker's is over."""
        self._taken -= 1
        self.held[asker] -= 1
        if not self.held[asker]:
            del self.held[asker]

    def _wake(self) -> None:
        self._waker = None
        self.next()


def longer(under_way: Iterable[UnderWay], seconds: float, now: float) -> int:
    """How many of these statements take longer than that."""
    return sum([now - asked.since > seconds for asked in under_way])
