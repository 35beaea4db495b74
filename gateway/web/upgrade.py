"""A connection that becomes a WebSocket: uvicorn's own protocol for it, behind the same door.

In: the handshake that protocol.py has read. Out: a connection that counts as one, and ends where its client takes
nothing of what was written, as all do. Frames are neither compressed (a bomb) nor larger than a body may be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.web.door import Door

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

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._door.leave(self, self._key)
        super().connection_lost(exc)

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
        """Once a second: end it where the client takes nothing."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent or not self._unsent:
            self._stuck = now
        elif now - self._stuck >= self._door.bounds.seconds:
            self._door.refused("does not read")
            self.transport.abort()
        self._unsent = unsent

    def shutdown(self) -> None:
        """Called by the server when it stops."""
        self._door.stopping = True
        super().shutdown()


def websocket(door: Door, key: str) -> Callable[..., WebSocket]:
    """What makes the connection that one counted as `key` becomes."""

    def make(**given: Any) -> WebSocket:
        return WebSocket(door, key, **given)

    return make
