"""Promise: a request whose client has left is cancelled, within two looks; nobody else's is."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.web.leaving import Leaving, Left


class Client:
    """What a server tells of a client: first the body that nobody has read, then, once it is gone, that it is."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.asked = 0

    async def receive(self) -> MutableMapping[str, Any]:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_who_leaves_is_cancelled_and_who_stays_is_answered() -> None:
    leaving, done, cancelled = Leaving(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            await done.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "answer"

    leaver, stayer = Client(), Client()
    calls = [asyncio.create_task(leaving.unless_left(client.receive, work())) for client in (leaver, stayer)]
    await asyncio.sleep(0.1)
    leaver.gone.set()
    with pytest.raises(Left):
        await asyncio.wait_for(calls[0], 30)
    assert cancelled.is_set()
    assert not calls[1].done()
    done.set()
    assert await calls[1] == "answer"
    assert leaving._present == {}


async def test_a_quick_request_is_not_watched() -> None:
    leaving, client = Leaving(), Client()

    async def work() -> int:
        return 1

    assert await leaving.unless_left(client.receive, work()) == 1
    await asyncio.sleep(0.5)
    assert client.asked == 0
    assert leaving._timer is None


async def test_a_server_that_stops_is_no_client_that_left() -> None:
    leaving, client = Leaving(), Client()
    call = asyncio.create_task(leaving.unless_left(client.receive, asyncio.sleep(60)))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_an_error_of_the_work_stays_its_own() -> None:
    async def work() -> None:
        await asyncio.sleep(1)  # long enough to be watched
        raise LookupError

    with pytest.raises(LookupError):
        await Leaving().unless_left(Client().receive, work())
