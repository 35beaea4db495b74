"""The load: N keep-alive connections, each with one request under way, from bytes that were made beforehand.

In: a port and requests as bytes. Out: how many answers in how many seconds, and each one's latency. It reads of an
answer only what it must (status, Content-Length, whether it has errors), so that it costs much less than any server.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(slots=True)
class Outcome:
    """What one slot of load saw. Latencies in seconds, in the order of arrival."""

    seconds: float = 0.0
    failures: list[bytes] = field(default_factory=list)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    bytes_read: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in ms below which `share` of the answers lie."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3 if ordered else 0.0


class _Client(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends the next."""

    __slots__ = ("_began", "_head", "_last", "_next", "_outcome", "_requests", "_step", "_transport", "_want", "done")

    def __init__(self, requests: Sequence[bytes], start: int, step: int, outcome: Outcome) -> None:
        self._requests = requests
        self._next = start
        self._step = step
        self._outcome = outcome
        self._head = b""
        self._want = -1  # bytes of the body still to come; -1 before its head is there
        self._last = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            if not self._last:
                self._outcome.failures.append(b"the server closed the connection")
            self.done.set_result(None)

    def stop(self) -> None:
        """Finish the request under way and send no other."""
        self._last = True

    def data_received(self, data: bytes) -> None:
        if self._want < 0:
            if self._head:
                data = self._head + data
            end = data.find(_END)
            if end < 0:
                self._head = data
                return
            head = data[:end].lower()
            place = head.find(_LENGTH)
            length = int(head[place + len(_LENGTH) :].split(b"\r", 1)[0]) if place >= 0 else 0
            beginning = data[end + 4 : end + 64]
            if head[9:12] != b"200" or beginning.startswith(b'{"errors"') or length < 64:
                self._outcome.failures.append(data[:2_000])
            self._outcome.bytes_read += length
            self._head = b""
            self._want = length - (len(data) - end - 4)
        else:
            self._want -= len(data)
        if self._want <= 0:
            self._outcome.latencies.append(time.perf_counter() - self._began)
            self._want = -1
            self._send()

    def _send(self) -> None:
        if self._last or self._outcome.failures:
            self._last = True
            self._transport.close()
            return
        request = self._requests[self._next % len(self._requests)]
        self._next += self._step
        self._began = time.perf_counter()
        self._transport.write(request)


def _same(client: _Client) -> _Client:
    return client


async def load(port: int, requests: Sequence[bytes], *, connections: int, seconds: float, offset: int = 0) -> Outcome:
    """Put the server under load for so long. Connections take turns in the list, from `offset` on."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    clients: list[_Client] = []
    began = time.perf_counter()
    for number in range(connections):
        client = _Client(requests, offset + number, connections, outcome)
        await loop.create_connection(partial(_same, client), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(seconds)
    outcome.seconds = time.perf_counter() - began
    counted, read = len(outcome.latencies), outcome.bytes_read
    for client in clients:
        client.stop()
    async with asyncio.timeout(90):  # of a slow server each connection's last answer comes late
        await asyncio.gather(*(client.done for client in clients))
    del outcome.latencies[counted:]  # those that came after the time was over
    outcome.bytes_read = read
    return outcome


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body of one request, read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = (await reader.readuntil(_END)).lower()
        place = head.find(_LENGTH)
        length = int(head[place + len(_LENGTH) :].split(b"\r", 1)[0]) if place >= 0 else 0
        return int(head[9:12]), await reader.readexactly(length)
    finally:
        writer.close()


def http(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request of HTTP/1.1 as bytes; underscores in the names of headers are hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
