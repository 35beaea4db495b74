"""The frames of PostgreSQL's protocol, checked before asyncpg reads them.

Every message of the server's has a letter for its type and its length (protocol 3, "Message Formats"). asyncpg believes
both: a type of zero, which only bytes that were damaged on their way have, sends it round an endless loop, and with it
every request of the process. Here a connection with such a frame ends at once instead, whatever it was doing.

In: the bytes as they arrive. Out: the same, to asyncpg, or Misframed. `install` puts the check into asyncpg, which has
no hook for it, for the whole process; about a microsecond for each piece that arrives (decision 0014).
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg.protocol

_Protocol: Any = asyncpg.protocol.Protocol
_HEAD: Final = 5  # bytes of type and length
_SHORTEST: Final = 4  # a length counts itself
_LONGEST: Final = 0x3FFF_FFFF  # PostgreSQL's own limit of 1 GB
_TYPES: Final = frozenset(b"123ACDEGHIKNRSTVWZcdnstv")


class Misframed(ConnectionAbortedError):
    """What came is not PostgreSQL's protocol. An OSError, so that event loops close the connection and log nothing."""


class Frames:
    """Follows the frames of one connection."""

    __slots__ = ("_head", "_rest")

    def __init__(self) -> None:
        self._rest = 0  # bytes of the present message that are still to come
        self._head = b""  # of the next one, where it has not come whole

    def check(self, data: bytes) -> None:
        """Follow a piece. Raises Misframed."""
        place, size = self._rest, len(data)
        if self._head:
            data = self._head + data
            size = len(data)
        while place + _HEAD <= size:
            length = int.from_bytes(data[place + 1 : place + _HEAD], "big")
            if not _SHORTEST <= length <= _LONGEST or data[place] not in _TYPES:
                raise Misframed
            place += length + 1
        if place < size:
            self._head, self._rest = data[place:], 0
        else:
            self._head, self._rest = b"", place - size


class CheckedProtocol(_Protocol):  # type: ignore[misc]
    """asyncpg's protocol behind the check."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._frames.check(data)
        super().data_received(data)


def install() -> None:
    """Make asyncpg's connections of this process checked ones. Again: nothing more."""
    setattr(asyncpg.protocol, "Protocol", CheckedProtocol)  # noqa: B010 - its type says that nobody may
