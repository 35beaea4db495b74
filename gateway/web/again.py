"""Requests that are known to their last byte, answered again before any application hears of them.

In: what a connection has read at once, where it is idle. Out: the response that the application would send, in one
piece, once a heartbeat that was sent after the request came is back (kept.py); or nothing: then the same bytes go the
ordinary way, as if nobody had looked.

Only what went the ordinary way, came as one whole request in one read and was answered out of the cache, or into it, is
known. So whatever is decided by a request's bytes was decided for these ones; what is not is decided here, each time:
how much its address may ask, whether the answer is what would be answered now; and by protocol.py whether the server
stops. What concerns the connection itself, or names somebody, is never known (may_be_known).
"""

from __future__ import annotations

from typing import Final, Protocol

from prometheus_client import Counter

from gateway.web.headers import Headers
from gateway.web.kept import Entry, Kept, Key, Whole
from gateway.web.respond import headers_again
from gateway.web.throttle import Throttle
from gateway.web.transport import lines

# In the scope of a request, by protocol.py.
RAW: Final = "credit.raw"  # all of its bytes, where they may be learned
TRIED: Final = "credit.tried"  # it has been here: its address has paid for it
ADMITTED: Final = 1
LOOKED: Final = 2  # and nothing is kept for it
MOST: Final = 8_192  # bytes of a request that may be known

_APART: Final = frozenset(
    (b"cookie", b"expect", b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)


class Connection(Protocol):
    """Whose request waits."""

    def told(self, waiting: Waiting, known: bool) -> None:
        """The heartbeat is back, or is not going to be."""
        ...


class Waiting:
    """A request that waits for a heartbeat: whose it is, its bytes, and what they lead to."""

    __slots__ = ("connection", "raw", "whole")

    def __init__(self, connection: Connection, raw: bytes, whole: Whole) -> None:
        self.connection = connection
        self.raw = raw
        self.whole = whole

    def back(self, known: bool) -> None:
        """Called by the listener."""
        self.connection.told(self, known)


class Again:
    """The known requests of one process. `ending`: the headers that end each head; `requests` counts them."""

    def __init__(
        self,
        kept: Kept,
        throttle: Throttle,
        requests: Counter,
        *,
        view: str,
        ending: bytes,
    ) -> None:
        self._kept = kept
        self._throttle = throttle
        self._ending = ending
        self._answered, self._left = (requests.labels(view, outcome) for outcome in ("ANSWERED", "LEFT"))

    def begin(self, connection: Connection, raw: bytes, client: tuple[str, int] | None) -> Waiting | None:
        """Let a request wait that is known, and whose address may ask; None: it goes the ordinary way, not counted."""
        whole = self._kept.whole(raw)
        if whole is None or not self._kept.ready:
            return None
        if self._throttle.public_request({"client": client, "headers": whole.headers}):
            return None
        waiting = Waiting(connection, raw, whole)
        self._kept.then(waiting.back)
        return waiting

    def answers(self, whole: Whole, *, known: bool) -> bool:
        """Whether the entry is what would be answered now; it is counted then."""
        if not self._kept.is_now(whole.key, whole.entry, known=known):
            return False
        self._answered.inc()
        return True

    def left(self) -> None:
        """Count a request whose client did not wait."""
        self._left.inc()

    def learn(self, raw: bytes, key: Key, entry: Entry, media: bytes, headers: Headers) -> None:
        """That a request in the public view, of nobody, was answered with this entry."""
        if may_be_known(headers):
            head = lines(headers_again(media, entry)) + self._ending
            self._kept.learn(raw, Whole(key, entry, head, [*headers.known()]))


def may_be_known(headers: Headers) -> bool:
    """Whether nothing in the headers names somebody or concerns the connection."""
    connection = headers.all(b"connection")
    return (
        headers.of_nobody()
        and not any(name in _APART for name, _ in headers.known())
        and all(value.lower() == b"keep-alive" for value in connection)
    )
