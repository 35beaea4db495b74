"""The door of one process: who may connect, how long a client may take, and what it is told that is turned away.

In: connections (protocol.py), which come and go. Out: a word for each on whether it may stay, and one look a second at
all of them: what a client owes (a header, a body, taking its answer) is a moment noted at its connection, not a timer
of its own, so that ten thousand idle connections cost a few milliseconds a second and a request costs nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as Metric

from gateway.web.address import Peers, counted_as
from gateway.web.again import Again
from gateway.web.transport import PLAIN, lines

KIB: Final = 1_024
NEVER: Final = math.inf


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection and all of them may take. `seconds`: for a header, for a body or a socket's message, and
    without taking anything of an answer; `idle` seconds between requests, `linger` after a refusal, `sweep` between two
    looks at the connections.
    """

    seconds: float = 10.0
    idle: float = 30.0
    linger: float = 2.0
    sweep: float = 1.0
    header_bytes: int = 32 * KIB  # of all headers with the request line
    headers: int = 100
    url_bytes: int = 16 * KIB
    request_bytes: int = 2 * KIB * KIB  # of all that belongs to one request, frames of chunks and trailers too
    stranger_bytes: int = 192 * KIB  # of a socket's message without a token: the longest document, all of it escaped
    pipelined: int = 32  # requests that wait for an answer before them
    connections: int = 4_096
    connections_per_address: int = 256  # 0: no limit


class Connection(Protocol):
    """What the door knows of a connection."""

    def sweep(self, now: float) -> None:
        """Close what is overdue at `now` (the loop's time)."""
        ...


# What a client is told that is turned away before any application hears of it.
_TEXTS: Final = {
    400: "The request can't be read as HTTP/1.1.",
    408: "The request did not arrive in time.",
    413: "The body is too long.",
    414: "The request target is too long.",
    431: "The headers are too long or too many.",
    503: "Too many connections. Close some, or try again later.",
}


class Door:
    """Counts connections and sweeps them. One for each server of a process; `headers` are those of every response."""

    def __init__(
        self,
        bounds: Bounds | None = None,
        peers: Peers | None = None,
        registry: CollectorRegistry | None = None,
        headers: tuple[bytes, bytes] = PLAIN,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.headers = headers
        self._peers = peers or Peers(())
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.again: Again | None = None  # answers requests that are known to their last byte
        self.stopping = False  # the server that it belongs to is shutting down
        self._date: Sequence[tuple[bytes, bytes]] | None = None  # what _beginning was made of
        self._beginning = b""
        self._expected = 0.0  # when the next sweep is due
        registry = registry or CollectorRegistry()
        self._refused = Metric(
            "credit_connections_refused", "Connections that were closed, by reason", ("reason",), registry=registry
        )
        Gauge("credit_connections", "Open connections", registry=registry).set_function(lambda: len(self._open))

    def enter(self, connection: Connection, address: str, loop: asyncio.AbstractEventLoop) -> str | None:
        """Take a connection in; returns the key that `leave` wants, None where it may not stay. Our own proxies bring
        many clients: they count only among all."""
        key = "" if not address or self._peers.is_proxy(address) else counted_as(address)
        if len(self._open) >= self.bounds.connections:
            self.refused("connections")
            return None
        if key:
            most = self.bounds.connections_per_address
            if most and self._by_address[key] >= most:
                self.refused("connections of the address")
                return None
            self._by_address[key] += 1
        self._open.add(connection)
        if self._loop is None:
            self._loop = loop
            self._again()
        return key

    def becomes(self, connection: Connection, other: Connection) -> None:
        """A connection goes on as another, which then leaves in its place."""
        self._open.discard(connection)
        self._open.add(other)

    def leave(self, connection: Connection, key: str) -> None:
        """The connection has ended."""
        self._open.discard(connection)
        if key:
            self._by_address[key] -= 1
            if not self._by_address[key]:
                del self._by_address[key]

    def refused(self, reason: str) -> None:
        """Count a connection that was closed, or is going to be."""
        self._refused.labels(reason).inc()

    def beginning(self, default_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """What each answer of status 200 begins with."""
        if default_headers is not self._date:  # uvicorn makes another list each second
            self._date = default_headers
            self._beginning = b"HTTP/1.1 200 OK\r\n" + lines(default_headers)
        return self._beginning

    def refusal(self, status: int, default_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The whole response with which a connection ends."""
        text = _TEXTS[status].encode() + b"\n"
        own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        own += [(b"connection", b"close"), *[(b"retry-after", b"1")] * (status == 503)]
        first = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
        return first + lines([*default_headers, *own]) + self.headers[0] + text

    def _again(self) -> None:
        if self._loop is not None:
            self._expected = self._loop.time() + self.bounds.sweep
            self._loop.call_later(self.bounds.sweep, self._sweep)

    def _sweep(self) -> None:
        """Look at every connection. Where the process itself was held up, what clients have sent meanwhile waits to be
        read: they are not late, we are."""
        if self._loop is None:
            return
        now = self._loop.time()
        if now - self._expected < 1.0:
            for connection in tuple(self._open):
                connection.sweep(now)
        if self._open:
            self._again()
        else:
            self._loop = None
