"""Requests whose client has left: they are cancelled, and take their statement along.

In: the ASGI `receive` of a request whose body has been read, and its work. Out: the work's outcome, or `Left`. A server
tells of a disconnection only to who asks for the next message. One timer looks after all requests, and only those that
take long get a task that asks: a timer or a task for each would cost more than the rest of a profile's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

_LOOK: Final = 0.4  # s between two looks; a request that was there at the last one is asked after


class Left(Exception):
    """The client is gone: nobody is there to be told."""


class _Present:
    __slots__ = ("left", "receive", "seen", "watcher")

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.seen = False
        self.left = False
        self.watcher: asyncio.Task[None] | None = None


class Leaving:
    """The requests under way."""

    def __init__(self) -> None:
        self._present: dict[asyncio.Task[Any], _Present] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def unless_left(self, receive: Receive, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of `work`, in the request's own task. Raises Left within two looks of the client's leaving."""
        task = asyncio.current_task()
        assert task is not None
        present = self._present[task] = _Present(receive)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if not present.left:
                raise  # the server stops
            task.uncancel()
            raise Left from None
        finally:
            del self._present[task]
            if present.watcher is not None:
                present.watcher.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for task, present in self._present.items():
            if present.seen and present.watcher is None:
                present.watcher = loop.create_task(_watch(task, present))
            present.seen = True
        self._timer = loop.call_later(_LOOK, self._look) if self._present else None


async def _watch(task: asyncio.Task[Any], present: _Present) -> None:
    while (await present.receive())["type"] != "http.disconnect":
        pass  # of a GET nobody has read the empty body
    present.left = True
    task.cancel()
