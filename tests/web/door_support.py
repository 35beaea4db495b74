"""A server on a real port in the test's own loop, behind a door, and clients that send bytes as they please.

The app is small and slow on request, so that what a test sees is the door's doing: it answers a request with what it
was, and remembers it in `seen`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from gateway.web.door import Bounds, Door
from gateway.web.server import config

HOST = b"Host: gateway.example\r\n"
PATIENCE = 20.0  # seconds after which a test gives up; a busy machine is slow


@dataclass
class Seen:
    """A request as the app saw it."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    left: bool = False  # the client, before the body was there


@dataclass
class Served:
    """A server, its door, and what reached the app."""

    port: int
    door: Door
    seen: list[Seen] = field(default_factory=list)

    def refused(self, reason: str) -> float:
        """How many connections the metrics say were closed for this reason."""
        return float(self.door._refused.labels(reason)._value.get())


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def served(bounds: Bounds | None = None, door: Door | None = None) -> AsyncIterator[Served]:
    """The app behind a door of these bounds."""
    made = Served(0, door or Door(bounds))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Seen(scope["method"], scope["path"], scope["headers"])
        made.seen.append(request)
        if scope["path"] == "/early":  # answers before it has read the body
            await answer(send, b"{}")
            return
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                request.left = True
                return
            request.body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"].startswith("/slow"):
            await asyncio.sleep(0.5)
        size = int(scope["query_string"] or 0)
        said = {"path": request.path, "body": len(request.body), "filler": "x" * size}
        await answer(send, json.dumps(said).encode())

    server = _Server(config(app, made.door, host="127.0.0.1", port=0, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    made.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.should_exit = True
        await task


async def answer(send: Any, body: bytes) -> None:
    """A whole response."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def talk(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send these pieces and read until the server closes. Nothing where it resets the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)
            async with asyncio.timeout(PATIENCE):
                while found := await reader.read(65_536):
                    heard += found
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return heard


def statuses(heard: bytes) -> list[int]:
    """The statuses of all responses in what was heard."""
    return [int(part[:3]) for part in heard.split(b"HTTP/1.1 ")[1:]]


def get(path: str = "/", *headers: bytes) -> bytes:
    """A request without a body."""
    return b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"".join(h + b"\r\n" for h in headers) + b"\r\n"


def post(body: bytes, *headers: bytes, path: str = "/") -> bytes:
    """A request with a body of known length."""
    head = b"POST " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"".join(h + b"\r\n" for h in headers)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
