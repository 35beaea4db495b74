"""What a connection writes through: responses leave in one piece, with the headers that all of them have, and how much
of it the client has taken can be told.

In: the writes of uvicorn's protocol, head and body apart. Out: writes to the loop's transport.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable, Iterable
from typing import Any, Final

from gateway.web.security_headers import POLICY_NAME, security_headers

PLAIN = security_headers(https=False)
# In the scope of a request, by protocol.py: a function of the lines of an answer's own headers, and its body. It writes
# an answer of status 200 at once and as a whole, or says no where it can't.
WHOLE: Final = "credit.whole"


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they are sent."""
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])


class OneWrite:
    """A transport that keeps the head of a response until the body is there, or until the loop's next turn.

    uvicorn writes both one after the other: two system calls, two packets, and the client wakes up for a head alone.
    `headers` end each head: that of a response without a policy of its own, and of one with it. Whoever
    knows that a response has ended says so by `ended`: the next write is a head.
    """

    __slots__ = ("_between", "_call_soon", "_head", "_headers", "_transport", "written")

    def __init__(
        self,
        transport: asyncio.Transport,
        call_soon: Callable[[Callable[[], None]], object],
        headers: tuple[bytes, bytes] = PLAIN,
    ) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._headers = headers
        self._head: bytes | None = None
        self._between = True
        self.written = 0  # bytes, since the beginning

    def write(self, data: bytes) -> None:
        """As of a transport."""
        if self._head is not None:
            head, self._head = self._head, None
            self.written += len(head) + len(data)
            self._transport.writelines((head, data))
        elif not self._between:
            self.written += len(data)
            self._transport.write(data)
        elif data.startswith(b"HTTP/1.1 100"):
            self.written += len(data)
            self._transport.write(data)  # not yet the response
        else:
            self._between = False
            self._head = data[:-2] + self._headers[POLICY_NAME in data]
            self._call_soon(self._flush)

    def whole(self, head: bytes, body: bytes) -> None:
        """Write a whole response between two others, its head with the headers that all have."""
        self.written += len(head) + len(body)
        self._transport.writelines((head, body))

    def bare(self) -> asyncio.Transport:
        """The loop's transport, for what is no longer HTTP."""
        self._flush()
        return self._transport

    def ended(self) -> None:
        """The response has been written; what comes next is another's head."""
        self._flush()
        self._between = True

    def unsent(self) -> int:
        """Bytes that wait here because the client does not take them."""
        return self._transport.get_write_buffer_size()

    def taken(self) -> int:
        """Bytes that have reached the client since the beginning. What the kernel still keeps has not: it may keep
        megabytes, and go on sending them for long before it takes more from here."""
        return self.written - self.unsent() - _kept_by_kernel(self._transport)

    def end(self, answer: bytes) -> None:
        """Write a whole response, which may be empty, and nothing after it; what the client sends can still be read."""
        self._flush()
        if answer:
            self.written += len(answer)
            self._transport.write(answer)
        self._transport.write_eof()

    def close(self) -> None:
        """As of a transport: what was written goes out first."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """As of a transport: what was written is thrown away."""
        self._head = None
        self._transport.abort()

    def is_closing(self) -> bool:
        """As of a transport."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            if not self._transport.is_closing():
                self.written += len(head)
                self._transport.write(head)


def _kept_by_kernel(transport: asyncio.Transport) -> int:
    """Bytes of a socket that the other side has not acknowledged (SIOCOUTQ, which is TIOCOUTQ); 0 where unknown."""
    try:
        found = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, AttributeError):
        return 0
    return int(struct.unpack("i", found)[0])
