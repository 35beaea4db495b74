"""Rate and concurrency of one source, with a lane of low priority for the refreshes of the public view.

Plain arithmetic on the time passed in: whoever asks waits by itself, and never beyond its own deadline.
"""

from __future__ import annotations

import math
from collections import deque

LOW_SHARE = 0.1  # of rate and concurrency
_UNTIL_SOMETHING_ENDS = math.inf


class Pace:
    """At most `per_second` starts within any second (0: no limit): tokens come back a window after they were taken.

    Unlike a bucket that drips, a burst passes at once and the limit still holds over every window.
    """

    def __init__(self, per_second: float) -> None:
        burst = max(1, math.floor(per_second))
        self._window = burst / per_second if per_second else 0.0  # s in which `burst` starts may happen
        self._taken: deque[float] = deque(maxlen=burst)

    def delay(self, now: float) -> float:
        """Seconds from `now` until there is a token."""
        if not self._window or len(self._taken) < (self._taken.maxlen or 1):
            return 0.0
        return max(0.0, self._taken[0] + self._window - now)

    def take(self, now: float) -> None:
        """Take the token that is there."""
        if self._window:
            self._taken.append(now)


class Throttle:
    """Calls that may start: `concurrency` at once and `per_second`, a tenth of both for low priority."""

    def __init__(self, per_second: float, concurrency: int) -> None:
        self._pace = Pace(per_second)
        self._low_pace = Pace(per_second * LOW_SHARE)
        self._free = concurrency
        self._low_free = max(1, int(concurrency * LOW_SHARE))

    def delay(self, now: float, *, low: bool = False) -> float:
        """Seconds until a call may start; infinite until one under way ends."""
        if self._free < 1 or (low and self._low_free < 1):
            return _UNTIL_SOMETHING_ENDS
        delay = self._pace.delay(now)
        return max(delay, self._low_pace.delay(now)) if low else delay

    def start(self, now: float, *, low: bool = False) -> None:
        """A call starts; `delay` has just said 0."""
        self._free -= 1
        self._pace.take(now)
        if low:
            self._low_free -= 1
            self._low_pace.take(now)

    def repeat_delay(self, now: float) -> float:
        """Seconds until a call under way may be repeated: it has its place already, but needs a token."""
        return self._pace.delay(now)

    def repeat(self, now: float) -> None:
        """A call under way is repeated."""
        self._pace.take(now)

    def end(self, *, low: bool = False) -> None:
        """A call has ended, however."""
        self._free += 1
        if low:
            self._low_free += 1
