"""A connection that becomes a WebSocket: uvicorn's own protocol for it, behind the same door.

In: the handshake that protocol.py has read. Out: a connection that counts as one, and ends where its client takes
nothing of what was written, as all do, or where a message that it began is not whole in the time that a body has.
Messages are neither compressed (a bomb) nor larger than a body may be; without a token, than a document may be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway.web.door import NEVER, Door

# In the scope of a socket: a function that is called once its token holds.
KNOWN: Final = "credit.known"
LATE: Final = 4408  # as 408 of a request

# uvicorn's lines have the target, where a careless client puts its token.
_QUIET: Final = logging.getLogger("gateway.web.websocket")
_QUIET.setLevel(logging.CRITICAL)


class WebSocket(WebSocketsSansIOProtocol):
    """One connection."""

    def __init__(self, door: Door, key: str, **given: Any) -> None:
        super().__init__(**given)
        self.logger = _QUIET
        self.conn.logger = _QUIET
        self._door = door
        self._key = key
        self._unsent = 0  # bytes at the last sweep
        self._stuck = 0.0  # since when they have not become fewer
        self._due = NEVER  # the loop's time at which the message that has begun must be whole
        self._ended = False  # the client was told that it did wrong
        self.conn.max_message_size = min(door.bounds.stranger_bytes, self.config.ws_max_size)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._door.leave(self, self._key)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._ended:
            return
        super().data_received(data)
        if self.conn.current_size is None and not self.conn.reader.buffer:
            self._due = NEVER
        elif self._due == NEVER:
            self._due = self.loop.time() + self._door.bounds.seconds

    def handle_connect(self, event: Request) -> None:
        """Called with the handshake."""
        super().handle_connect(event)
        if not self.close_sent:  # the app begins in the loop's next turn
            known = partial(_known, self.conn, self.config.ws_max_size)
            cast("dict[str, object]", self.scope)[KNOWN] = known

    def refuse(self, answer: bytes) -> None:
        """End it where its handshake can't be read as one: nothing would ever be heard of it again."""
        self.close_sent = True
        self.transport.write(answer)
        self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Called with a further piece of a message. Kept one by one, pieces of a byte would take fifty times more."""
        pieces = cast("list[bytes | bytearray]", self.frames)
        if not isinstance(pieces[0], bytearray):
            pieces[0] = bytearray(pieces[0])
        pieces[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Called where a message is whole; what stands behind it is another's."""
        self._due = NEVER
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Called once a close frame is due for what came. It is told, and what still comes is thrown away for a moment:
        closed at once, the kernel would take back what the client has not read."""
        self._ended = self.close_sent = self.disconnected = True
        self.frames = []
        self.conn.reader.discard()
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(self._door.bounds.linger, self.transport.close)

    def pause_writing(self) -> None:
        """Called by the transport: the client does not take what was written. It is not read either until it does:
        pings are answered here, whether the app reads or not, and would pile up."""
        super().pause_writing()
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Called by the transport."""
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Once a second: end it where the client takes nothing, or does not end what it began to say."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent or not self._unsent:
            self._stuck = now
        elif now - self._stuck >= self._door.bounds.seconds:
            self._door.refused("does not read")
            self.transport.abort()
        self._unsent = unsent
        if now >= self._due:
            self._overdue(now)

    def _overdue(self, now: float) -> None:
        if self.read_paused or not self.writable.is_set():
            self._due = now + self._door.bounds.seconds  # it is us who did not read
        elif not self.close_sent:
            self._door.refused("slow message")
            self.conn.fail(LATE, "A message was not whole in time; send it at once")
            self.handle_parser_exception()

    def shutdown(self) -> None:
        """Called by the server when it stops."""
        self._door.stopping = True
        super().shutdown()


def _known(conn: ServerProtocol, most: int) -> None:
    """From now on messages may be as large as bodies."""
    conn.max_message_size = most


def websocket(door: Door, key: str) -> Callable[..., WebSocket]:
    """What makes the connection that one counted as `key` becomes."""

    def make(**given: Any) -> WebSocket:
        return WebSocket(door, key, **given)

    return make
