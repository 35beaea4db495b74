"""Time as this machine gave it: machines that test pause for seconds and share their processors.

`seconds()` is a clock that stands still while the process is not let run, and `stopwatch()` one of them from now on.
So a test can hold a deadline as closely as it is promised, and does not judge the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_LOOK = 0.005  # s between two looks
_HELD = 0.02  # s too late, from which on the process was held up: a busy interpreter lets a thread wait 5 ms


class _Watch:
    """A thread that looks at the clock, and adds up how late it comes while the process does nothing, either."""

    def __init__(self) -> None:
        self._looked, self._worked = time.monotonic(), time.process_time()
        self._held = 0.0
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK)
            self.seconds()

    def seconds(self) -> float:
        with self._lock:
            now, worked = time.monotonic(), time.process_time()
            late = now - self._looked - _LOOK - (worked - self._worked)  # what holds the interpreter is our own doing
            self._looked, self._worked = now, worked
            if late > _HELD:
                self._held += late
            return now - self._held


_watch = cache(_Watch)


def seconds() -> float:
    """Of this process's own time, since whenever."""
    return _watch().seconds()


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Of this process's own time, since now."""
    began = seconds()
    yield lambda: seconds() - began
