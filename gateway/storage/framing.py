"""The frames of PostgreSQL's protocol, checked before asyncpg reads them.

Every message of the server's has a letter for its type and its length (protocol 3, "Message Formats"). asyncpg believes
both: a type of zero, which only bytes that were damaged on their way have, sends it round an endless loop, and with it
every request of the process. Here a connection with such a frame ends at once instead, whatever it was doing. So does
one whose authentication goes on before it began (SASL, RFC 5802, by codes of the message R): asyncpg would read what it
has not made yet, and the process with all its requests would be gone.

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
_AUTHENTICATION: Final = ord("R")
_CODE: Final = 4  # bytes of an authentication's code
_SASL, _SASL_CONTINUE, _SASL_FINAL = 10, 11, 12
_BEFORE: Final = {_SASL_CONTINUE: _SASL, _SASL_FINAL: _SASL_CONTINUE}
_MECHANISM: Final = b"SCRAM-SHA-256"  # the one that asyncpg speaks
_LONGEST_AUTHENTICATION: Final = 10_000


class Misframed(ConnectionAbortedError):
    """What came is not PostgreSQL's protocol. An OSError, so that event loops close the connection and log nothing."""


class Frames:
    """Follows the frames of one connection."""

    __slots__ = ("_code", "_head", "_rest")

    def __init__(self) -> None:
        self._rest = 0  # bytes of the present message that are still to come
        self._head = b""  # of the next one, where it has not come whole
        self._code = 0  # of the last authentication message

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
            if data[place] == _AUTHENTICATION:
                if length > _LONGEST_AUTHENTICATION:
                    raise Misframed
                if place + 1 + length > size:
                    break  # looked at when it is whole; asyncpg waits for the rest, too
                self._authentication(data[place + _HEAD : place + 1 + length])
            place += length + 1
        if place < size:
            self._head, self._rest = data[place:], 0
        else:
            self._head, self._rest = b"", place - size

    def _authentication(self, body: bytes) -> None:
        code = int.from_bytes(body[:_CODE], "big")
        known = len(body) >= _CODE and (code != _SASL or _MECHANISM in body[_CODE:].split(b"\0"))
        if not known or _BEFORE.get(code, self._code) != self._code:
            raise Misframed
        self._code = code


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
