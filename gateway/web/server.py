"""How uvicorn is run: its configuration, and responses that leave in one piece.

In: an ASGI app. Out: uvicorn.Config, with a protocol that hands head and body of a response to the kernel at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWrite:
    """A transport that keeps the head of a response until the body is there, or until the loop's next turn.

    uvicorn writes both one after the other: two system calls, two packets, and the client wakes up for a head alone.
    """

    __slots__ = ("_call_soon", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """As of a transport."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        elif data.startswith(b"HTTP/1."):
            self._head = data
            self._call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """As of a transport: what was written goes out first."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """As of a transport."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            if not self._transport.is_closing():
                self._transport.write(head)


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools, responses by OneWrite."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", OneWrite(transport, self.loop.call_soon))


def config(app: object, **more: object) -> uvicorn.Config:
    """uvicorn's configuration for `app`; `more` replaces or adds settings."""
    settings: dict[str, Any] = {
        "loop": "uvloop",
        "http": Protocol,
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 10,
    }
    return uvicorn.Config(app, **settings | more)  # type: ignore[arg-type]
