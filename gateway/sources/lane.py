"""The way to one source: its flights, its queue, its limits and its breaker.

In: questions (part, USCC) with the time by which they must start. Out: flights that end with a reply. Nothing is called
that nobody waits for; a call that has begun goes on without its waiters, and its answer is kept. What was asked under
seals alone is told to its askers and to nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from connectors.base import Answer, Connector, Failure, FailureKind, Outcome, Pending, Purpose, SubjectRef
from gateway.sources.breaker import Breaker, State
from gateway.sources.flight import Asker, Flight, FlightKey
from gateway.sources.metrics import SourceMetrics
from gateway.sources.policy import SourcePolicy
from gateway.sources.reader import Reader
from gateway.sources.throttle import Throttle
from gateway.sources.told import BREAKER_OPEN, BUDGET, CONNECTOR, NoAnswer, Reply, Told
from gateway.sources.wanted import MOMENT, NoSeals, Seals

logger = logging.getLogger(__name__)

_REFRESHES: Final = 1_000  # queued for the public view at most
_GRACE: Final = 0.25  # s beyond its deadline that a connector gets before it is cut off
_HURRIED: Final = 0.5  # of its budget: a source that got less time than that is not to blame for being late
_CLEARLY: Final = 0.25  # s by which a call under way ends too early for who comes later and has more time
_OVERTAKEN: Final = 2  # calls under way, at most, that a question leaves behind for ending too early
_JITTER: Final = (0.05, 0.2)  # s before a call is repeated: at least, and at random on top
_PARTS_OF_BATCH: Final = 24  # calls for parts of a batch that was too large: two large subjects among 50 are found

_REPEATED: Final = frozenset({FailureKind.UNREACHABLE, FailureKind.SERVER_ERROR})
# What says that the source is ill, rather than that it has something against this question.
_ILL: Final = frozenset(
    {
        FailureKind.TIMEOUT,
        FailureKind.UNREACHABLE,
        FailureKind.THROTTLED,
        FailureKind.SERVER_ERROR,
        FailureKind.MALFORMED,
        FailureKind.TOO_LARGE,
        FailureKind.CREDENTIALS,
    }
)
_TOO_LARGE: Final = NoAnswer(FailureKind.TOO_LARGE.value)


class Lane:
    """One source. `answered(flight, answer)` and `turned(state)` are told what happens, in the event loop, but for
    answers to what `seals` cover."""

    def __init__(
        self,
        policy: SourcePolicy,
        connector: Connector,
        metrics: SourceMetrics,
        answered: Callable[[Flight, Told], None],
        turned: Callable[[State], None],
        *,
        seals: Seals | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy
        self.parts = frozenset(connector.parts)
        self._connector = connector
        self._calls_made = metrics.calls
        self._latency = metrics.latency.labels(policy.code)
        self._unreadable = metrics.unreadable.labels(policy.code)
        self._answered = answered
        self._seals = seals or NoSeals()
        self._clock = clock
        self._chance = chance
        self._breaker = Breaker(policy.breaker_failures, policy.breaker_seconds, turned)
        self._throttle = Throttle(policy.requests_per_second, policy.concurrency)
        self._flights: dict[FlightKey, Flight] = {}
        self._high: deque[deque[Flight]] = deque()  # one queue a request, served in turn: a long one holds up nobody
        self._low: OrderedDict[FlightKey, Flight] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None  # for the next start, where limits make it wait
        self._calls: set[asyncio.Task[None]] = set()
        self._closed = False
        self._reader = Reader(policy, clock)

    def join(
        self,
        questions: Sequence[tuple[str, str]],
        purpose: Purpose | None,
        start_by: float,
        asker: Asker,
    ) -> list[Flight]:
        """Flights for (part, USCC) questions, those under way included; `leave` is owed for all of them.

        `start_by` in loop time, s. A call under way that was given less time, because those who wait for it have none,
        is left to them; so is one that seals have come to cover meanwhile. Under a seal the asker joins its own alone.
        """
        alone = asker if asker.sealed else None
        barred = self._closed or self._breaker.bars(asyncio.get_running_loop().time())
        joined: list[Flight] = []
        fresh: list[Flight] = []
        for part, uscc in questions:
            key = (part, uscc, purpose, alone)
            flight = self._flights.get(key)
            if flight is not None and alone is None and flight.sealed(self._seals):
                flight = None
            if flight is None or (not barred and _ends_too_early(flight, start_by)):
                overtaken = 0 if flight is None else flight.overtaken + 1
                flight = Flight(part, uscc, purpose, start_by, asker)
                flight.overtaken = overtaken
                if barred:
                    flight.future.set_result(NoAnswer(BREAKER_OPEN))
                else:
                    self._flights[key] = flight
                    fresh.append(flight)
            elif self._low.pop(key, None) is not None:  # somebody waits for it now
                flight.start_by = start_by
                fresh.append(flight)
            flight.waiters += 1
            flight.askers.add(asker)
            flight.start_by = max(flight.start_by, start_by)
            joined.append(flight)
        if fresh:
            if self.policy.batch > 1:
                fresh.sort(key=lambda flight: flight.part)  # a call asks for one part
            self._high.append(deque(fresh))
            self._wake()
        return joined

    def leave(self, flights: Sequence[Flight]) -> None:
        """The waiter is served, out of time or gone; what it alone waited for and has not begun is not asked."""
        for flight in flights:
            flight.waiters -= 1

    def refresh(self, questions: Sequence[tuple[str, str]]) -> int:
        """Queue questions at low priority; returns how many were, the rest being asked already or beyond the bound."""
        if self._closed or self._breaker.bars(asyncio.get_running_loop().time()):
            return 0
        before = len(self._low)
        for part, uscc in questions:
            if len(self._low) >= _REFRESHES:
                break
            key = (part, uscc, None, None)
            if key not in self._flights:
                self._flights[key] = self._low[key] = Flight(part, uscc, None, math.inf)
        queued = len(self._low) - before
        if queued:
            self._wake()
        return queued

    async def close(self) -> None:
        """Give up everything under way, then the connector. Idempotent."""
        self._closed = True
        self._disarm()
        tasks = set(self._calls)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for flight in list(self._flights.values()):
            self._settle(flight, NoAnswer(BREAKER_OPEN))
        self._high.clear()
        self._low.clear()
        self._reader.close()
        await self._connector.close()

    # The queue ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Start calls as limits and breaker allow, now and when there is room again.

        Called where anything may have changed, so that no task has to wait for it: a call that ends starts the next.
        """
        self._disarm()
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        try:
            pause = self._start_ready(loop.time())
        except Exception:
            logger.exception("sources: dispatching for %s", self.policy.code)
            return
        if pause is not None and pause != math.inf:
            self._timer = loop.call_later(pause, self._wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_ready(self, now: float) -> float | None:
        """Start what may start; returns the seconds to wait (infinite: until woken), None if nothing is queued."""
        while self._high or self._low:
            if self._breaker.is_open(now):
                self._drop_queued()
                break
            if self._breaker.on_trial:
                return math.inf
            if self._high and not self._prune(now):
                continue
            low = not self._high
            delay = self._throttle.delay(now, low=low)
            if delay > 0:
                return delay
            batch = self._next_low() if low else self._next_high()
            ticket = self._breaker.admit(now)
            assert ticket is not None  # neither open nor on trial
            self._throttle.start(now, low=low)
            end = now + self.policy.budget
            if self.policy.tells_deadline:
                end = min(end, max(flight.start_by for flight in batch))
            for flight in batch:
                flight.started = True
                if end < now + self.policy.budget - _CLEARLY:
                    flight.ends = end
            hurried = end - now < self.policy.budget * _HURRIED
            task = asyncio.create_task(self._call(batch, ticket, end, low=low, hurried=hurried))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return None

    def _prune(self, now: float) -> bool:
        """Drop from the first queue what nobody waits for any more; False where nothing is left of it."""
        queue = self._high[0]
        while queue and (queue[0].waiters < 1 or queue[0].start_by <= now):
            self._settle(queue.popleft(), NoAnswer(BUDGET))
        if not queue:
            self._high.popleft()
        return bool(queue)

    def _next_high(self) -> list[Flight]:
        queue = self._high.popleft()
        batch = [queue.popleft()]
        while queue and len(batch) < self.policy.batch and _together(batch[0], queue[0]):
            batch.append(queue.popleft())
        if queue:
            self._high.append(queue)
        return batch

    def _next_low(self) -> list[Flight]:
        batch: list[Flight] = []
        while self._low and len(batch) < self.policy.batch:
            key, flight = next(iter(self._low.items()))
            if batch and not _together(batch[0], flight):
                break
            del self._low[key]
            batch.append(flight)
        return batch

    def _drop_queued(self) -> None:
        """The breaker has opened: what has not begun gets its answer at once."""
        for queue in self._high:
            for flight in queue:
                self._settle(flight, NoAnswer(BREAKER_OPEN))
        for flight in list(self._low.values()):
            self._settle(flight, NoAnswer(BREAKER_OPEN))
        self._high.clear()
        self._low.clear()

    def _settle(self, flight: Flight, reply: Reply) -> None:
        _tell(flight, reply)
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    # The call -------------------------------------------------------------------------------------------------------

    async def _call(self, batch: list[Flight], ticket: int, end: float, *, low: bool, hurried: bool) -> None:
        """Ask, once more where that is safe, and end the flights by `end` (loop time, s)."""
        loop = asyncio.get_running_loop()
        outcomes: Mapping[str, Outcome] | None = None
        replies: dict[str, Reply] = {}
        try:
            outcomes = await self._ask(batch, end)
            # Nobody waits beyond `end`, but an answer can be kept.
            replies = await self._reader.read(batch[0].part, outcomes, end + _GRACE)
            for flight in batch:  # who waits is told at once; it is under way until its answer is kept
                _tell(flight, replies[flight.uscc])
            if any(flight.alone is None and None not in flight.askers for flight in batch):
                await self._seals.ready(MOMENT)  # in doubt no answer is kept
            self._judge(batch, outcomes, replies, ticket, hurried=hurried)
        except Exception:  # a connector promises not to raise: a fault of ours, not of the source
            logger.exception("sources: asking %s for %s", self.policy.code, batch[0].part)
            self._breaker.failed(ticket, loop.time())
        finally:
            if outcomes is None:
                self._breaker.abandoned(ticket, loop.time())
            self._throttle.end(low=low)
            for flight in batch:
                self._settle(flight, replies.get(flight.uscc, NoAnswer(CONNECTOR)))
            self._wake()

    async def _ask(self, batch: list[Flight], end: float) -> dict[str, Outcome]:
        """Outcomes by USCC of all; those that say the call never got through are asked for again, and a batch that is
        too large in parts, so that one large subject does not hide the others."""
        usccs = [flight.uscc for flight in batch]
        outcomes: dict[str, Outcome] = dict.fromkeys(usccs, Failure(FailureKind.MALFORMED, detail="left out"))
        left = usccs
        for attempt in range(1, self.policy.attempts + 1):
            outcomes.update(await self._attempt(batch[0], left, end))
            left = [uscc for uscc in left if _repeatable(outcomes[uscc])]
            pause = _JITTER[0] + _JITTER[1] * self._chance()
            if not left or attempt == self.policy.attempts or not await self._may_repeat(end, pause):
                break
        parts = deque(_halves(usccs, outcomes))
        for _ in range(_PARTS_OF_BATCH):
            if not parts or not await self._may_repeat(end):
                break
            part = parts.popleft()
            outcomes.update(await self._attempt(batch[0], part, end))
            parts += _halves(part, outcomes)
        return outcomes

    async def _may_repeat(self, end: float, pause: float = 0.0) -> bool:
        """Wait for a repeat's turn, `pause` seconds first; False where it does not come in time or nothing may be
        called."""
        loop = asyncio.get_running_loop()
        pause = max(pause, self._throttle.repeat_delay(loop.time()))
        while loop.time() + pause < end:
            await asyncio.sleep(pause)
            pause = self._throttle.repeat_delay(loop.time())
            if pause <= 0:
                break
        else:
            return False
        if self._breaker.is_open(loop.time()):
            return False
        self._throttle.repeat(loop.time())
        return True

    async def _attempt(self, first: Flight, usccs: list[str], end: float) -> Mapping[str, Outcome]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout_at(end + _GRACE):
                outcomes = await self._connector.ask(
                    first.part, [SubjectRef(uscc) for uscc in usccs], first.purpose, end
                )
        except TimeoutError:
            outcomes = {uscc: Failure(FailureKind.TIMEOUT) for uscc in usccs}
        self._latency.observe(loop.time() - began)
        for uscc in usccs:
            outcome = outcomes.get(uscc)
            self._calls_made.labels(self.policy.code, first.part, _name(outcome)).inc()
        return outcomes

    def _judge(
        self,
        batch: list[Flight],
        outcomes: Mapping[str, Outcome],
        replies: Mapping[str, Reply],
        ticket: int,
        *,
        hurried: bool,
    ) -> None:
        """Tell the breaker, the keeper of answers and the log what came of a call; of one that was `hurried` a failure
        says nothing about the source."""
        ill: list[Failure] = []
        for flight in batch:
            reply, outcome = replies[flight.uscc], outcomes.get(flight.uscc)
            if isinstance(reply, Told) and isinstance(outcome, Answer):
                self._unreadable.inc(outcome.unreadable)
                if not flight.sealed(self._seals):
                    self._answered(flight, reply)
                continue
            if isinstance(outcome, Pending):
                continue
            kind = FailureKind.TOO_LARGE if reply == _TOO_LARGE else FailureKind.MALFORMED
            failure = outcome if isinstance(outcome, Failure) else Failure(kind, detail="unusable")
            logger.warning("sources: %s %s: %s %s", self.policy.code, flight.part, failure.kind, failure.detail)
            if failure.kind in _ILL:
                ill.append(failure)
        if len(ill) < len(batch):
            self._breaker.succeeded(ticket)
            return
        pauses = [f.retry_after for f in ill if f.kind is FailureKind.THROTTLED and f.retry_after is not None]
        now = asyncio.get_running_loop().time()
        if hurried and not pauses:
            self._breaker.abandoned(ticket, now)
        else:
            self._breaker.failed(ticket, now, max(pauses, default=None))


def _tell(flight: Flight, reply: Reply) -> None:
    """Who waits gets this, unless it was told before."""
    if not flight.future.done():
        flight.future.set_result(reply)


def _together(first: Flight, second: Flight) -> bool:
    """Whether one call may ask for both."""
    return first.part == second.part and first.purpose == second.purpose


def _name(outcome: Outcome | None) -> str:
    """An outcome as the metrics have it."""
    if isinstance(outcome, Failure):
        return outcome.kind.value
    if isinstance(outcome, Pending):
        return "PENDING"
    return "ANSWERED" if outcome else FailureKind.MALFORMED.value


def _repeatable(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Failure) and outcome.kind in _REPEATED


def _is_too_large(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure) and outcome.kind is FailureKind.TOO_LARGE


def _halves(usccs: list[str], outcomes: Mapping[str, Outcome]) -> list[list[str]]:
    """Two lists of those that were too large together."""
    large = [uscc for uscc in usccs if _is_too_large(outcomes[uscc])]
    if len(usccs) < 2 or not large:
        return []
    middle = (len(large) + 1) // 2
    return [half for half in (large[:middle], large[middle:]) if half]


def _ends_too_early(flight: Flight, start_by: float) -> bool:
    """Whether the call under way ends clearly before somebody who comes now has to have an answer."""
    return flight.ends + _CLEARLY < start_by and flight.overtaken < _OVERTAKEN
