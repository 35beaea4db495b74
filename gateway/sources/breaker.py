"""Circuit breaker: after failures in a row nothing is called for a while, then one call is tried.

Time is passed in (seconds of any monotonic clock), so that nothing here waits.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

_LONGEST = 300.0  # s; an upstream that says "retry after a year" is not obeyed


class State(enum.IntEnum):
    """Values are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """CLOSED → OPEN after `failures` in a row → HALF_OPEN after `seconds`, with one trial call → CLOSED or OPEN.

    A call is admitted with a ticket; outcomes of calls that were admitted before the last change of state say nothing
    about the present one and are ignored.
    """

    def __init__(self, failures: int, seconds: float, turned: Callable[[State], None] = lambda state: None) -> None:
        self._failures = failures
        self._seconds = seconds
        self._turned = turned
        self._state = State.CLOSED
        self._in_a_row = 0
        self._open_until = 0.0
        self._ticket = 0

    @property
    def state(self) -> State:
        """As of the last admission or outcome: an open breaker stays OPEN until somebody asks to be admitted."""
        return self._state

    def is_open(self, now: float) -> bool:
        """Whether nothing may be called at `now`, not even on trial."""
        return self._state is State.OPEN and now < self._open_until

    @property
    def on_trial(self) -> bool:
        """Whether the one trial call is under way."""
        return self._state is State.HALF_OPEN

    def bars(self, now: float) -> bool:
        """Whether a question that comes at `now` has to go without a call."""
        return self.on_trial or self.is_open(now)

    def admit(self, now: float) -> int | None:
        """A ticket for a call that starts now; None where none may."""
        if self.bars(now):
            return None
        if self._state is State.OPEN:
            self._turn(State.HALF_OPEN)
        return self._ticket

    def succeeded(self, ticket: int) -> None:
        """The call with this ticket was answered, if only by a refusal that shows the source alive."""
        if ticket != self._ticket:
            return
        self._in_a_row = 0
        if self._state is State.HALF_OPEN:
            self._turn(State.CLOSED)

    def failed(self, ticket: int, now: float, pause: float | None = None) -> None:
        """The call with this ticket failed; `pause` in seconds where the source said how long to stay away."""
        if ticket != self._ticket:
            return
        self._in_a_row += 1
        if self._state is State.HALF_OPEN or self._in_a_row >= self._failures or pause is not None:
            self._open_until = now + min(self._seconds if pause is None else pause, _LONGEST)
            self._turn(State.OPEN)

    def abandoned(self, ticket: int, now: float) -> None:
        """The call with this ticket was given up by us: a trial is then no trial, and the next question gets it."""
        if ticket == self._ticket and self._state is State.HALF_OPEN:
            self._open_until = now
            self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        self._state = state
        self._in_a_row = 0
        self._ticket += 1
        self._turned(state)
