"""HTTP/1.1 by httptools as uvicorn speaks it, with what uvicorn leaves open: time, sizes, and what can be read in two
ways.

In: the loop's callbacks for one connection. Out: requests to the app; or one refusal, after the answers to what came
before it, and the end of the connection. The parser has no bound of its own on headers, and uvicorn answers what can't
be read at once, even where the answer to the request before is still to come.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, cast
from weakref import ReferenceType, ref

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.web.again import ADMITTED, LOOKED, MOST, RAW, TRIED, Waiting
from gateway.web.door import NEVER, Door
from gateway.web.transport import WHOLE, OneWrite
from gateway.web.upgrade import websocket

# What the client owes.
_NOTHING: Final = 0  # between requests; or a new connection's first byte
_HEADER: Final = 1
_BODY: Final = 2
_END: Final = 3  # it was refused: what it still sends is thrown away
_UNSET: Final = 0.0  # a deadline that begins with the data that has just been read


class _Refusal(Exception):
    """Raised inside a callback of the parser: the status to end with, 0 for none, and the reason for the metrics."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _malformed() -> _Refusal:
    return _Refusal(400, "not HTTP")


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where trailers go. They would join the headers of a request that is being answered: what a proxy strips from
    headers (Client-Cert) could come back through them."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Forgets it."""


_TRAILERS: Final = _Nowhere()  # also the sign that no header is awaited
_FRAMING: Final = frozenset((b"host", b"expect", b"transfer-encoding", b"upgrade"))
SOCKETS: Final = b"/graphql"  # where a WebSocket may begin


class Protocol(HttpToolsProtocol):
    """One connection. Responses leave through OneWrite."""

    transport: OneWrite  # type: ignore[assignment]

    def __init__(
        self,
        door: Door,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self.headers = _TRAILERS
        self._door = door
        self._own = ref(self)
        self._running: RequestResponseCycle | None = None  # what is being answered; `cycle` is the newest
        self._again = door.again
        self._waiting: Waiting | None = None  # a known request, for a heartbeat
        self._bounds = door.bounds
        self._key: str | None = None  # as it is counted; None: not taken in
        self._owes = _NOTHING
        self._deadline = NEVER  # the loop's time at which what it owes is overdue
        self._size = 0  # bytes since the header's beginning, at most
        self._chunk = 0  # bytes of the data that is being read
        self._hosts = self._codings = 0  # headers of these kinds
        self._first = True  # no request has begun to be answered
        self._upgrades = b""  # to what the client wants to go over
        self._over = False  # the newest request goes over to WebSocket
        self._last: bytes | None = None  # the refusal that waits for the answers before it
        self._taken = -1  # bytes that the client had taken at the last sweep; -1: all of them
        self._stuck = 0.0  # since when it has taken none

    # The connection ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        super().connection_made(transport)
        self.transport = OneWrite(transport, self.loop.call_soon, self._door.headers)
        self._key = self._door.enter(self, self.client[0] if self.client else "", self.loop)
        if self._key is None:
            self._owes = _END
            transport.write(self._door.refusal(503, self.server_state.default_headers))
            transport.close()
        else:
            self._deadline = self.loop.time() + self._bounds.seconds

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._waiting is not None and self._again is not None:
            self._waiting = None
            self._again.left()
        super().connection_lost(exc)
        running, self._running = self._running, None
        if running is not None and not running.response_complete:  # uvicorn tells the newest alone
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        if self._key is not None:
            self._door.leave(self, self._key)

    def shutdown(self) -> None:
        """Called by the server when it stops: streams end, everything else is answered first."""
        self._door.stopping = True
        if self._waiting is not None:
            self._ordinary(self._waiting, ADMITTED)
        super().shutdown()

    def sweep(self, now: float) -> None:
        """Once a second: close it where the client takes nothing of what was written, or owes something too long."""
        if not self.transport.unsent():
            self._taken = -1
        elif (taken := self.transport.taken()) != self._taken:
            self._taken, self._stuck = taken, now
        elif now - self._stuck >= self._bounds.seconds:
            self._door.refused("does not read")
            self.transport.abort()
            return
        if now >= self._deadline:
            self._overdue(now)

    def _overdue(self, now: float) -> None:
        owes = self._owes
        if owes == _END:
            self.transport.abort()
        elif owes == _NOTHING:
            self._deadline = NEVER
            self.transport.close()
        elif self.flow.read_paused:
            self._deadline = now + self._bounds.seconds  # it is us who did not read
        else:
            self._refuse(_Refusal(408, "slow header" if owes == _HEADER else "slow body"))

    # What arrives -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._waiting is not None:  # the client has not waited: one after the other, as always
            self._ordinary(self._waiting, ADMITTED)
        if self._again is None or len(data) > MOST or not self._idle():
            self._read(data)
            return
        self._waiting = self._again.begin(self, data, self.client)
        if self._waiting is not None:
            self._deadline = NEVER
            return
        before = self.cycle
        self._read(data)
        # One whole request, and nothing else, after which the connection goes on.
        if (
            self._owes == _NOTHING
            and self.headers is _TRAILERS
            and self.cycle is not before
            and not self.pipeline
            and self.cycle.keep_alive
            and not self.expect_100_continue
        ):
            self._note(RAW, data)

    def _idle(self) -> bool:
        """Whether nothing is under way in either direction: what comes now begins a request."""
        return (
            self._owes == _NOTHING
            and self.headers is _TRAILERS
            and (self.cycle is None or self.cycle.response_complete)
            and not self._door.stopping
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def told(self, waiting: Waiting, known: bool) -> None:
        """The heartbeat is back that a known request waits for, or is not going to be."""
        again = self._again
        if self._waiting is not waiting or again is None:
            return  # it went the ordinary way meanwhile, or the client is gone
        transport = self.transport
        if transport.is_closing():
            return  # the end of the connection is under way
        if not again.answers(waiting.whole, known=known):
            self._ordinary(waiting, LOOKED)
            return
        self._waiting, self._first = None, False
        head = self._door.beginning(self.server_state.default_headers) + waiting.whole.head
        transport.whole(head, waiting.whole.entry.body)
        self.server_state.total_requests += 1
        self._deadline = self.loop.time() + self._bounds.idle

    def _ordinary(self, waiting: Waiting, tried: int) -> None:
        """Read a request that waits here as any other."""
        self._waiting = None
        self._read(waiting.raw)
        self._note(TRIED, tried)

    def _note(self, name: str, value: object) -> None:
        """For the app, which begins in the loop's next turn, in the scope of the newest request."""
        cast("dict[str, object]", self.scope)[name] = value

    def _read(self, data: bytes) -> None:
        self._chunk = len(data)
        self._size += self._chunk
        if self._owes == _END:
            if self._size > self._bounds.request_bytes:
                self.transport.abort()
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            if self._should_upgrade():
                if error.args[0] < len(data):
                    self._refuse(_malformed())  # nobody knows that it is a socket before it was answered
                else:
                    self._upgrade()
                return
            # Answered like any other; but what follows it, if anything does, is not for us.
            self._owes, self._deadline = _END, NEVER
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, _Refusal) else _malformed())
        else:
            if self._owes or self.headers is not _TRAILERS:
                self._unfinished()

    def _should_upgrade(self) -> bool:
        """To WebSocket; asked at several moments of one request."""
        return self._over

    def _may_upgrade(self) -> bool:
        """Whether the request whose header is whole may: at the one place that has it, where nothing is under way
        before it. Otherwise it is answered like any other (RFC 9110 §7.8)."""
        cycle = self.cycle
        return (
            self.config.ws_protocol_class is not None
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.url.partition(b"?")[0] == SOCKETS
            and self._upgrades == b"websocket"
            and (cycle is None or (cycle.response_complete and cycle.keep_alive))
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and not self._door.stopping
        )

    def _upgrade(self) -> None:
        """Hand the connection over, with its handshake."""
        assert self._key is not None
        made = websocket(self._door, self._key)(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        self._door.becomes(self, made)
        self.connections.discard(self)
        lines = [b"GET " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.scope["headers"]]
        transport = self.transport.bare()
        transport.set_protocol(made)
        made.connection_made(transport)
        made.data_received(b"\r\n".join(lines) + b"\r\n\r\n")
        if not made.handshake_initiated:
            made.refuse(self._door.refusal(400, self.server_state.default_headers))

    def _unfinished(self) -> None:
        """A header or a body has not come whole: from now on it is awaited, and bounded."""
        bounds = self._bounds
        if self.headers is not _TRAILERS and self._owes != _HEADER:
            self._owes = _HEADER
            if not self._first:  # the first header is awaited since the connection was made
                self._deadline = _UNSET
        if self._deadline == _UNSET:
            self._deadline = self.loop.time() + bounds.seconds
        if self._owes == _BODY:
            if self._size > bounds.request_bytes:
                self._refuse(_Refusal(413, "long body"))
        elif len(self.url) > bounds.url_bytes:
            self._refuse(_Refusal(414, "long target"))
        elif self._size > bounds.header_bytes or len(self.headers) > bounds.headers:
            self._refuse(_Refusal(431, "long header"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        name = name.lower()
        if name in _FRAMING:
            self._frame(name, value.lower())
        self.headers.append((name, value))

    def _frame(self, name: bytes, value: bytes) -> None:
        """Headers that say where a request ends, or to whom it goes."""
        if self.headers is _TRAILERS:
            return
        if name == b"host":
            self._hosts += 1
        elif name == b"upgrade":
            self._upgrades = value
        elif name == b"expect":
            self.expect_100_continue = value == b"100-continue"
        elif value != b"chunked":
            raise _malformed()  # the parser takes `identity, chunked`, which others read in another way
        else:
            self._codings += 1

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        bounds, headers = self._bounds, self.headers
        if len(self.url) > bounds.url_bytes:
            raise _Refusal(414, "long target")
        # Summed up only where it could be too much.
        if self._size > bounds.header_bytes or self._chunk > bounds.header_bytes or len(headers) > bounds.headers:
            size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in headers])
            if size > bounds.header_bytes or len(headers) > bounds.headers:
                raise _Refusal(431, "long header")
        hosts, codings, self._hosts, self._codings = self._hosts, self._codings, 0, 0
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            raise _malformed()  # RFC 9112 §3.2
        if len(self.pipeline) >= bounds.pipelined:
            raise _Refusal(0, "pipelined")
        self._over = self.parser.should_upgrade() and self._may_upgrade()
        super().on_headers_complete()
        self._owes, self._deadline = _BODY, _UNSET
        self.headers = _TRAILERS
        if self.scope["http_version"] != "1.1" and (codings or self.scope["http_version"] != "1.0"):
            raise _malformed()  # RFC 9112 §6.1; other versions are not spoken. What has begun is taken back
        if self._over:
            return
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False
        self._first = False
        # Held weakly: a request that its own scope kept alive would stay, with its body, until the collector comes.
        self._note(WHOLE, partial(_whole, self._own, ref(self.cycle)))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Called where a request's turn comes."""
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        super().on_message_complete()
        self._owes, self._size = _NOTHING, 0
        if self._over:
            return
        # An answer that did not wait for the body has ended already.
        self._deadline = self.loop.time() + self._bounds.idle if self.cycle.response_complete else NEVER

    # What leaves ------------------------------------------------------------------------------------------------------

    def _whole(self, cycle: RequestResponseCycle, own: bytes, body: bytes) -> bool:
        """Answer a request with status 200, these lines of headers and this body; False where it has to go uvicorn's
        way. It is what uvicorn does in two messages, each of which looks through all headers."""
        if (
            cycle.disconnected
            or cycle.response_started
            or cycle.waiting_for_100_continue
            or not cycle.keep_alive
            or self.flow.write_paused
            or self.transport.is_closing()
        ):
            return False
        door = self._door
        self.transport.whole(door.beginning(self.server_state.default_headers) + own + door.headers[0], body)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """Called by the cycle. As uvicorn does it, but for its timer of each idle connection."""
        self.server_state.total_requests += 1
        self.transport.ended()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._last is not None:
            self._end(self._last)
        elif self._owes == _NOTHING:
            self._deadline = self.loop.time() + self._bounds.idle
        elif self._owes == _BODY and self.expect_100_continue:
            self._end(b"")  # it may send its body or not: nobody could tell it from the next request

    def _refuse(self, refusal: _Refusal) -> None:
        """End the connection with this refusal, once what came before it has been answered."""
        self._door.refused(refusal.reason)
        answer = b""
        if refusal.status:
            answer = self._door.refusal(refusal.status, self.server_state.default_headers)
        begun, self._owes, self._deadline = self._owes == _BODY, _END, NEVER
        cycle = self.cycle
        if not begun:
            before = bool(self.pipeline) or (cycle is not None and not cycle.response_complete)
        elif before := bool(self.pipeline) and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()  # it waits for an answer before it: nobody has heard of it yet
        else:
            # Its app is told that the client has left; what it answers goes nowhere.
            answer = b"" if cycle.response_started else answer
            cycle.disconnected = True
            cycle.message_event.set()
        if before:
            self._last = answer
        else:
            self._end(answer)

    def _end(self, answer: bytes) -> None:
        """Say it, and read on for a moment: closed at once, the kernel would take back what the client has not read."""
        self._owes, self._size, self._last = _END, 0, None
        if self.transport.is_closing():
            return
        self.transport.end(answer)
        self.flow.resume_reading()
        self._deadline = self.loop.time() + self._bounds.linger


def _whole(of: ReferenceType[Protocol], cycle: ReferenceType[RequestResponseCycle], own: bytes, body: bytes) -> bool:
    """What the scope has of Protocol._whole."""
    protocol, found = of(), cycle()
    return protocol is not None and found is not None and protocol._whole(found, own, body)


def uvicorn_protocol(door: Door) -> Any:
    """What uvicorn.Config takes as `http`: makes connections of this door."""

    def make(**given: Any) -> Protocol:
        return Protocol(door, **given)

    return cast("Any", make)
