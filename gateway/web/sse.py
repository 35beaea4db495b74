"""GraphQL over Server-Sent Events, distinct connections mode: one request, one stream of `next` events, `complete`.

In: the ASGI `send` of a request whose subscription has begun, or the one response of any other. Out: text/event-stream.
A client that takes nothing keeps the next event from being looked for; the door closes it in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

EVENTS: Final = b"text/event-stream"
HEARTBEAT: Final = 5.0  # s without an event, after which a comment keeps what lies between from closing the connection
_COMPLETE: Final = b"event: complete\ndata:\n\n"  # with empty data, since clients of browsers drop an event without


def next_event(body: bytes) -> bytes:
    """An event that carries a response. Its JSON has line ends at most between values."""
    return b"event: next\ndata: " + body.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"


async def begin(send: Send) -> None:
    """The head of a stream."""
    headers = [
        (b"content-type", EVENTS + b"; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"vary", b"authorization, accept, accept-language"),
        (b"x-accel-buffering", b"no"),  # what lies between must not gather events
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await part(send, b":\n\n")  # the head leaves with its first body


async def part(send: Send, data: bytes) -> None:
    """A part of a stream; returns when the client has taken what came before."""
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def end(send: Send) -> None:
    """The end of a stream."""
    await send({"type": "http.response.body", "body": _COMPLETE})


async def whole(send: Send, body: bytes) -> None:
    """A stream of one response: of a query, a mutation, or a refusal of the document."""
    await begin(send)
    await part(send, next_event(body))
    await end(send)


async def pump(send: Send, events: AsyncIterator[bytes], heartbeat: float = HEARTBEAT) -> None:
    """Send the events as they come, and a comment where none does."""
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait((coming,), timeout=heartbeat)
            if not done:
                await part(send, b":\n\n")
                continue
            try:
                body = coming.result()
            except StopAsyncIteration:
                return
            finally:
                coming = None
            await part(send, next_event(body))
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await coming
