"""The HTTP side that every connector shares: one bounded, deadline-keeping call, and strict reading of what came back.

In: method, URL, headers, body bytes and a deadline (loop time, s). Out: a `Reply`, or `UpstreamError` carrying the
typed `Failure`; nothing else is raised for what an upstream does. Redirects are never followed, cookies never kept,
proxies of the environment never used, TLS certificates always verified. Called by the connectors alone.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import lru_cache
from io import BytesIO
from typing import Final, NoReturn

import aiohttp
from yarl import URL

from connectors.base import Failure, FailureKind

DEFAULT_MAX_BODY_BYTES: Final = 8 * 1024 * 1024
# More structure than the largest true answer has (a peer's, of 50 subjects with 100 records each): some bytes of it
# become many times as many in memory, and parsing them holds up everybody.
MAX_JSON_SIGNS: Final = 200_000
OK_ONLY: Final = frozenset({200})

_TEXT_CAP: Final = 20_000  # characters
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # all of Unicode's Cc but the line feed
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_FIRST_YEAR: Final = 1949  # databases write 1900-01-01 or 0001-01-01 for "no date"
_DATE: Final = re.compile(
    r"([0-9]{4})(?:年([0-9]{1,2})月([0-9]{1,2})日|([0-9]{2})([0-9]{2})"
    r"|-([0-9]{2})-([0-9]{2})(?:[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)?)"
)
_NULL_TEXTS: Final = frozenset({"", "/", "无", "暂无"})

_READ_CHUNK: Final = 64 * 1024
_DENSE: Final = 512 * 1024  # bytes; below, no structure is too much
_LARGE: Final = 256 * 1024  # bytes beyond which a body waits until no other one of the upstream's is large
_CHARSETS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "gb18030": "gb18030"}
_GZIP_WINDOW: Final = 31  # zlib's wbits for a gzip wrapper with the largest window
_KEEPALIVE_S: Final = 10.0  # shorter than servers' usual idle limits, so that a reused connection is rarely a dead one


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Made once: json.loads and json.dumps make a new one for each call with arguments.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DECODE: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant).decode


class UpstreamError(Exception):
    """An upstream gave no usable answer; `failure` says how. Its text is safe to log."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind}: {failure.detail}")
        self.failure = failure


class UnreadableDateError(ValueError):
    """A text that should be a date and can't be read as one."""


def fail(kind: FailureKind, detail: str, retry_after: float | None = None) -> NoReturn:
    """Raise `UpstreamError`. `detail` is logged: no secrets, nothing copied from a body. `retry_after` in seconds."""
    raise UpstreamError(Failure(kind, retry_after, detail))


def utc_now() -> datetime:
    """The present time, aware, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one upstream.

    `connect_timeout` in s, for name, TCP and TLS together; `concurrency` calls at once; `requests_per_second` started
    within any second, 0 = no limit; `max_body_bytes` of one body after decompression.
    """

    connect_timeout: float = 1.0
    concurrency: int = 8
    requests_per_second: float = 20
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES

    def __post_init__(self) -> None:
        if self.connect_timeout <= 0 or self.concurrency < 1 or self.max_body_bytes < 1 or self.requests_per_second < 0:
            raise ValueError("limits must be positive; requests_per_second may be 0")


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response: status, headers (case-insensitive) and the decompressed body, within its limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body as JSON (RFC 8259): fractions as Decimal, never float. UpstreamError(MALFORMED) if it isn't JSON.

        UTF-8, or GB18030 where Content-Type says so; another charset, NaN, and nesting beyond the interpreter's depth
        are refused. UpstreamError(TOO_LARGE) for a large body of more than MAX_JSON_SIGNS brackets, braces and commas.
        """
        charset = _charset(self.headers.get("Content-Type", ""))
        if len(self.body) > _DENSE and sum(map(self.body.count, (b",", b"[", b"{"))) > MAX_JSON_SIGNS:
            fail(FailureKind.TOO_LARGE, f"more than {MAX_JSON_SIGNS} signs of structure")
        try:
            return _DECODE(self.body.decode(charset))
        except RecursionError:
            reason = "JSON nested too deep"
        except UnicodeDecodeError:
            reason = f"body is not {charset}"
        except (ValueError, ArithmeticError):  # not JSON; NaN; an integer or exponent beyond what Python reads
            reason = "body is not JSON"
        fail(FailureKind.MALFORMED, reason)


class Allowance:
    """How many bytes may be read for one question, over all of its pages."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, size: int) -> None:
        """Count `size` bytes; UpstreamError(TOO_LARGE) where they are too many."""
        self._left -= size
        if self._left < 0:
            fail(FailureKind.TOO_LARGE, "too much for one question")


def json_bytes(value: object) -> bytes:
    """`value` as compact UTF-8 JSON. A lone surrogate, which UTF-8 can't carry, is sent as `?`."""
    return _ENCODE(value).encode("utf-8", "replace")


def read_object(value: object, what: str) -> Mapping[str, object]:
    """`value` if it is a JSON object; else UpstreamError(MALFORMED) naming `what`."""
    if not isinstance(value, dict):
        fail(FailureKind.MALFORMED, f"{what} is not an object")
    return value


def read_int(values: Mapping[str, object], key: str) -> int:
    """The integer under `key`; UpstreamError(MALFORMED) where it is missing or of another type, a boolean included."""
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        fail(FailureKind.MALFORMED, f"{key} is not an integer")
    return value


def read_text(value: object, key: str) -> str | None:
    """Text as PostgreSQL takes it: no control characters but the line feed, no lone surrogates, 20,000 characters.

    None for null and for the words that stand for it (empty, /, 无, 暂无); UpstreamError(MALFORMED) for another type.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        fail(FailureKind.MALFORMED, f"{key} is not text")
    text = _SURROGATES.sub("\ufffd", _CONTROLS.sub("", value)).strip()[:_TEXT_CAP]
    return None if text in _NULL_TEXTS else text


def read_required(value: object, key: str) -> str:
    """As `read_text`, but UpstreamError(MALFORMED) where it would be None."""
    text = read_text(value, key)
    if text is None:
        fail(FailureKind.MALFORMED, f"{key} is empty")
    return text


def read_date(value: object, key: str) -> str | None:
    """ISO 8601 YYYY-MM-DD from one of the three forms of the contract. Raises UnreadableDateError."""
    text = read_text(value, key)
    if text is None:
        return None
    match = _DATE.fullmatch(text)
    try:
        year, month, day = (int(group) for group in match.groups() if group) if match else (0, 0, 0)
        if year < _FIRST_YEAR:
            raise UnreadableDateError(key)
        return date(year, month, day).isoformat()
    except ValueError:
        raise UnreadableDateError(key) from None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` (RFC 9110 §10.2.3) asks to wait, from seconds or an HTTP date; None if unreadable."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000": UTC without a claim about the place
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def status_failure(status: int, wait: float | None = None) -> Failure:
    """What an HTTP status that the caller didn't expect means. `wait` in seconds, from Retry-After."""
    detail = f"status {status}"
    if status in (412, 429) or 300 <= status < 400:  # throttled callers are redirected to an HTML page
        return Failure(FailureKind.THROTTLED, wait, detail)
    if status >= 500:
        return Failure(FailureKind.SERVER_ERROR, wait, detail)
    if status < 400:  # a success that the contract doesn't know
        return Failure(FailureKind.MALFORMED, wait, detail)
    kinds = {401: FailureKind.CREDENTIALS, 403: FailureKind.FORBIDDEN}
    return Failure(kinds.get(status, FailureKind.REJECTED), wait, detail)


def translate(error: Exception) -> Failure:
    """The one place where foreign exceptions become failures. Only type names go into the detail.

    Messages and reprs of aiohttp's exceptions carry the request's headers, thus signatures and tokens.
    """
    if isinstance(error, UpstreamError):
        return error.failure
    detail = type(error).__name__
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):  # the status line or a header isn't HTTP
        return Failure(FailureKind.MALFORMED, detail=detail)
    if isinstance(error, aiohttp.ClientError):  # no connection (its timeout included), or it broke, also amid a body
        return Failure(FailureKind.UNREACHABLE, detail=detail)
    if isinstance(error, TimeoutError):
        return Failure(FailureKind.TIMEOUT, detail="deadline")
    if isinstance(error, OSError):
        return Failure(FailureKind.UNREACHABLE, detail=detail)
    return Failure(FailureKind.MALFORMED, detail=detail)


class HttpClient:
    """One upstream's HTTP client: one session, opened in the running loop at the first call, within `limits`.

    Calls wait for their turn (concurrency, rate) within their deadline. For use in one event loop. `clock` tells the
    time (aware) against which a Retry-After date is read.
    """

    def __init__(self, limits: HttpLimits, clock: Callable[[], datetime] = utc_now) -> None:
        self._limits = limits
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._large = asyncio.Semaphore(1)
        self._pace = _Pace(limits.requests_per_second)

    async def send(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]],
        body: bytes | None = None,
        expect: frozenset[int] = OK_ONLY,
    ) -> Reply:
        """Send one request, never twice. `url` is absolute and already percent-encoded; `deadline` is loop time in s.

        `headers` that tell the time are a function, called when the request's turn has come. Raises UpstreamError for
        any status outside `expect` and for whatever goes wrong; CancelledError passes.
        """
        try:
            async with asyncio.timeout_at(deadline), self._slots:
                await self._pace.wait(deadline)
                made = headers() if callable(headers) else headers
                return await self._exchange(method, url, made, body, expect)
        except Exception as error:
            failure = translate(error)
        # Raised here, not in the handler: the foreign exception must not travel along as __context__.
        raise UpstreamError(failure)

    async def close(self) -> None:
        """Close the session; later calls fail as UNREACHABLE. Idempotent."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, expect: frozenset[int]
    ) -> Reply:
        session = self._open()
        target = URL(url, encoded=True)
        once = () if method == "POST" else (_once(),)
        async with session.request(
            method, target, data=body, headers=headers, allow_redirects=False, middlewares=once
        ) as response:
            try:
                if response.status not in expect:
                    raise UpstreamError(status_failure(response.status, retry_after(response.headers, self._clock())))
                content = await self._read(response)
            except BaseException:
                response.close()  # don't drain what is left, and don't reuse the connection
                raise
            return Reply(response.status, response.headers, content)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body, decompressed chunk by chunk so that neither a bomb nor an endless body grows the memory.

        Large bodies of one upstream are read one after the other: all calls together hold little more than one may.
        """
        limit = self._limits.max_body_bytes
        if (response.content_length or 0) > limit:
            fail(FailureKind.TOO_LARGE, f"body over {limit} bytes")
        encoding = ",".join(response.headers.getall("Content-Encoding", [])).strip().lower()
        if encoding not in ("", "identity", "gzip"):
            fail(FailureKind.MALFORMED, "Content-Encoding was not offered")
        inflater = _Inflater(limit) if encoding == "gzip" else None
        content = BytesIO()  # which gives out what it holds without a copy
        received, large = 0, False
        async with AsyncExitStack() as stack:
            async for chunk in response.content.iter_chunked(_READ_CHUNK):
                received += len(chunk)
                for piece in inflater.feed(chunk) if inflater else (chunk,):
                    content.write(piece)
                    if max(received, content.tell()) > limit:
                        fail(FailureKind.TOO_LARGE, f"body over {limit} bytes")
                    if not large and content.tell() > _LARGE:
                        large = True
                        await stack.enter_async_context(self._large)
        if inflater and not inflater.complete:
            fail(FailureKind.MALFORMED, "gzip body cut short")
        return content.getvalue()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            fail(FailureKind.UNREACHABLE, "connector is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The semaphore bounds connections; the high ceiling keeps aiohttp from rounding timeouts up to 1 s.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, timeout_ceil_threshold=3600),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_timeout),
                headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "credit-gateway"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_READ_CHUNK,
            )
        return self._session


def _once() -> aiohttp.ClientMiddlewareType:
    """Keeps aiohttp from sending a GET again by itself where a kept connection broke: signed headers serve once."""
    sent = False

    async def middleware(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal sent
        if sent:
            raise aiohttp.ServerDisconnectedError
        sent = True
        return await send(request)

    return middleware


class _Pace:
    """At most `per_second` starts within any second: bursts pass at once, so that single questions never wait."""

    def __init__(self, per_second: float) -> None:
        burst = max(1, math.floor(per_second))
        self._window = burst / per_second if per_second else 0.0  # s in which `burst` calls may start
        self._starts: deque[float] = deque(maxlen=burst)

    async def wait(self, deadline: float) -> None:
        """Wait for the next free start; fails at once, taking none, where that is beyond `deadline` (loop time, s)."""
        if not self._window:
            return
        now = asyncio.get_running_loop().time()
        full = len(self._starts) == self._starts.maxlen
        start = max(now, self._starts[0] + self._window) if full else now
        if start >= deadline:
            fail(FailureKind.TIMEOUT, "rate limit")
        self._starts.append(start)
        if start > now:
            await asyncio.sleep(start - now)


class _Inflater:
    """Gunzips (RFC 1952, several members too) chunk by chunk; puts out at most one byte more than `limit` in all."""

    def __init__(self, limit: int) -> None:
        self._left = limit + 1
        self._member = zlib.decompressobj(_GZIP_WINDOW)

    @property
    def complete(self) -> bool:
        """Whether the input so far ends where a member ends."""
        return self._member.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` decompresses to, piece by piece, up to the limit. Raises zlib.error."""
        while data and self._left > 0:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_WINDOW)
            piece = self._member.decompress(data, min(self._left, _READ_CHUNK))
            self._left -= len(piece)
            yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail


@lru_cache(maxsize=32)  # an upstream names the same one in every reply
def _charset(content_type: str) -> str:
    """The Python codec for the charset of a Content-Type header; UTF-8 where it names none."""
    header = Message()
    header["Content-Type"] = content_type
    named = header.get_param("charset", "utf-8")
    codec = _CHARSETS.get(named.strip().lower()) if isinstance(named, str) else None
    if codec is None:
        fail(FailureKind.MALFORMED, "charset is neither UTF-8 nor GB18030")
    return codec
