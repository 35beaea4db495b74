"""An event loop whose time passes only while it has nothing to do: a test of deadlines without a machine in it.

For what happens in one process, without sockets and threads: whoever waits for those has no time pass meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest_asyncio


@contextmanager
def simulated(loop: Any) -> Iterator[None]:
    """Until this ends, waiting for a time moves the loop's clock there at once."""
    now, select = loop.time(), loop._selector.select

    def at_once(timeout: float | None = None) -> Any:
        nonlocal now
        found = select(timeout and 0)  # what has no time to wait for waits for real
        if not found and timeout is not None and timeout > 0:
            now += timeout
        return found

    loop.time, loop._selector.select = lambda: now, at_once
    try:
        yield
    finally:
        del loop.time, loop._selector.select


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def simulated_time() -> AsyncIterator[None]:
    """Imported by a module whose tests' time is simulated."""
    with simulated(asyncio.get_running_loop()):
        yield
