"""Time as this machine gave it: machines that test pause for seconds and share their processors.

`stopwatch()` gives a function that tells the seconds since it was opened, less those in which the process was not let
run. So a test can hold a deadline as closely as it is promised, and does not judge the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK = 0.005  # s between two looks
_HELD = (
    0.02  # s too late with a look, from which on the process was held up: a busy interpreter lets a thread wait 5 ms
)


class _Watch:
    """A thread that looks at the clock, and adds up how late it comes while the process does nothing, either."""

    def __init__(self) -> None:
        self._began = self._looked = time.monotonic()
        self._held, self._worked = 0.0, time.process_time()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_LOOK):
            self.seconds()

    def seconds(self) -> float:
        with self._lock:
            now, worked = time.monotonic(), time.process_time()
            late = now - self._looked - _LOOK - (worked - self._worked)  # what holds the interpreter is our own doing
            self._looked, self._worked = now, worked
            if late > _HELD:
                self._held += late
            return now - self._began - self._held

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Seconds since now in which this process could run."""
    watch = _Watch()
    try:
        yield watch.seconds
    finally:
        watch.close()
