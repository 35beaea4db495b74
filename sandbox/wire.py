"""How an answer goes out over the wire: properly, or by one of the faults of sandbox/faults.py.

In: the request, the fault that it meets (or None) and a function that makes the answer. Out: the response. Nothing
here knows which upstream it serves.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from functools import cache
from typing import Any

from aiohttp import web

from sandbox.faults import Fault

MIB = 1024 * 1024
BOMB_MIB = 256
HUGE_MIB = 64
DENSE_MIB = 7
DEPTH = 200_000
BUSY_PATH = "/_busy"  # where a redirect leads; a client that follows it shows up in the record of calls
AWAY = "http://127.0.0.2:9/"  # private, and nobody listens there: a redirect that is followed leaves no machine
BUSY_PAGE = "<!DOCTYPE html><html><head><title>系统繁忙</title></head><body><p>系统繁忙，请稍后再试。</p></body></html>"

Clock = Callable[[], float]
_DECIMAL = re.compile(r'"\\u0000decimal:([^"]*)"')


@dataclass(frozen=True)
class Answer:
    """An answer that is more than a JSON value with status 200."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def head(self, charset: str = "utf-8") -> dict[str, str]:
        """Its headers, with the Content-Type."""
        return {**self.headers, "Content-Type": f"{self.content_type}; charset={charset}"}


def dump(value: Any) -> str:
    """JSON text of `value`; a Decimal becomes a number with exactly its own digits."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_mark_decimal)
    return _DECIMAL.sub(r"\1", text)


def _mark_decimal(value: Any) -> str:
    # json writes numbers only from int and float, and a float would lose the digits that the connectors must keep.
    if isinstance(value, Decimal) and value.is_finite():
        return f"\0decimal:{value:f}"
    raise TypeError(f"no JSON for {type(value).__name__}")


async def reply(request: web.Request, fault: Fault | None, clock: Clock, make: Callable[[], Any]) -> web.StreamResponse:
    """Send what `make` returns, an Answer or the value of one, unless a fault of the wire says otherwise.

    `make` is not called where the fault comes instead of the answer: then nothing was done.
    """
    name = fault.fault if fault else ""
    if fault is not None:
        if (instead := _INSTEAD.get(name)) is not None:
            return await instead(request, fault, clock)
        if name == "slow":
            await asyncio.sleep(_or(fault.seconds, 1.0))
    made = make()
    answer = made if isinstance(made, Answer) else Answer(made)
    text = dump(answer.value)
    if fault is not None and (altered := _ALTERED.get(name)) is not None:
        return await altered(request, fault, answer, text)
    return _sent(answer, text.encode())


def busy_page() -> web.Response:
    """The HTML page that upstreams show when they are overloaded."""
    return web.Response(text=BUSY_PAGE, content_type="text/html")


def _or(given: float | None, default: float) -> float:
    return default if given is None else given


def _json(body: bytes) -> web.Response:
    return _sent(Answer(None), body)


def _sent(answer: Answer, body: bytes, charset: str = "utf-8") -> web.Response:
    return web.Response(body=body, status=answer.status, headers=answer.head(charset))


# --- faults that come instead of an answer


async def _down(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return await _closed(request)


async def _black_hole(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return await _silence()


async def _closed(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    # Nothing may be written any more; the server cancels this as soon as it sees the connection gone.
    return await _silence()


async def _silence() -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


async def _redirect(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": BUSY_PATH}, text=BUSY_PAGE, content_type="text/html")


async def _redirect_away(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    headers = {"Location": fault.location or AWAY}
    return web.Response(status=int(_or(fault.status, 307)), headers=headers, text=BUSY_PAGE, content_type="text/html")


async def _not_found(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return web.Response(status=404, text=BUSY_PAGE, content_type="text/html")


async def _throttled_412(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.Response(status=412, headers=headers, text=BUSY_PAGE, content_type="text/html")


async def _throttled_429(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    seconds = int(_or(fault.retry_after, 30))
    return web.Response(status=429, headers={"Retry-After": str(seconds)}, text=BUSY_PAGE, content_type="text/html")


async def _throttled_429_date(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    until = datetime.fromtimestamp(clock() + _or(fault.retry_after, 30), UTC)
    headers = {"Retry-After": format_datetime(until, usegmt=True)}
    return web.Response(status=429, headers=headers, text=BUSY_PAGE, content_type="text/html")


async def _server_error(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return web.Response(status=int(_or(fault.status, 500)), text=BUSY_PAGE, content_type="text/html")


async def _html(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return busy_page()


async def _null_body(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return _json(b"null")


async def _empty_list(request: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    return _json(b"[]")


_INSTEAD: Mapping[str, Callable[[web.Request, Fault, Clock], Awaitable[web.StreamResponse]]] = {
    "down": _down,
    "black_hole": _black_hole,
    "redirect": _redirect,
    "redirect_away": _redirect_away,
    "not_found": _not_found,
    "throttled_412": _throttled_412,
    "throttled_429": _throttled_429,
    "throttled_429_date": _throttled_429_date,
    "server_error": _server_error,
    "html": _html,
    "null_body": _null_body,
    "empty_list": _empty_list,
}


# --- faults that do something to the true answer's text


def _around(text: str) -> tuple[bytes, bytes]:
    """The text split where one more key fits into its outermost object, both parts open for `"padding":…`."""
    end = text.rindex("}")
    comma = "" if text[:end].endswith("{") else ","
    return f'{text[:end]}{comma}"padding":'.encode(), text[end:].encode()


async def _lost_reply(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    return await _closed(request)


async def _cut_json(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    # Between two characters: it is the JSON that is cut, not its encoding.
    return _sent(answer, text[: len(text) // 2].encode())


async def _cut_body(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    body = text.encode()
    response = await _started(request, answer, len(body))
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _huge_json(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    head, tail = _around(text)
    return await _streamed(request, answer, _huge_parts(head, tail), len(head) + len(tail) + 2 + HUGE_MIB * MIB)


async def _huge_parts(head: bytes, tail: bytes) -> AsyncIterator[bytes]:
    yield head + b'"'
    for _ in range(HUGE_MIB):
        yield b"0" * MIB
    yield b'"' + tail


async def _endless_body(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    head, _ = _around(text)
    return await _streamed(request, answer, _endless_parts(head), None)


async def _endless_parts(head: bytes) -> AsyncIterator[bytes]:
    yield head + b'"'
    while True:
        yield b"0" * 65_536
        await asyncio.sleep(0)  # a caller that reads as fast as this writes must not starve the loop


async def _deep_json(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    head, tail = _around(text)
    return _sent(answer, head + b"[" * DEPTH + b"]" * DEPTH + tail)


async def _dense_json(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    # Small on the wire, large once it is parsed: each `[],` becomes an object of its own.
    head, tail = _around(text)
    return _sent(answer, head + b"[" + b"[]," * (DENSE_MIB * MIB // 3) + b"[]]" + tail)


async def _drip(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    body = text.encode()
    return await _streamed(request, answer, _drops(body, _or(fault.seconds, 0.05)), len(body))


async def _drops(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]
        await asyncio.sleep(seconds)


async def _gb18030(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    return _sent(answer, text.encode("gb18030"), "GB18030")


async def _gzip_bomb(request: web.Request, fault: Fault, answer: Answer, text: str) -> web.StreamResponse:
    response = _sent(answer, await asyncio.to_thread(_bomb, text.encode()))
    response.headers["Content-Encoding"] = "gzip"
    return response


@cache
def _spaces() -> bytes:
    """One MiB of spaces as deflate blocks that can be put one after the other (RFC 1951; a full flush resets)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)


def _bomb(body: bytes) -> bytes:
    """`body` and BOMB_MIB of spaces behind it as one gzip member (RFC 1952), without ever holding the spaces."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    check, spaces = zlib.crc32(body), b" " * MIB
    for _ in range(BOMB_MIB):
        check = zlib.crc32(spaces, check)
    last = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    size = (len(body) + BOMB_MIB * MIB) % 2**32
    header = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return header + packed + _spaces() * BOMB_MIB + last + check.to_bytes(4, "little") + size.to_bytes(4, "little")


async def _started(request: web.Request, answer: Answer, length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.head())
    response.content_length = length
    await response.prepare(request)
    return response


async def _streamed(
    request: web.Request, answer: Answer, parts: AsyncIterator[bytes], length: int | None
) -> web.StreamResponse:
    response = await _started(request, answer, length)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response


_ALTERED: Mapping[str, Callable[[web.Request, Fault, Answer, str], Awaitable[web.StreamResponse]]] = {
    "lost_reply": _lost_reply,
    "cut_json": _cut_json,
    "cut_body": _cut_body,
    "gzip_bomb": _gzip_bomb,
    "endless_body": _endless_body,
    "huge_json": _huge_json,
    "dense_json": _dense_json,
    "deep_json": _deep_json,
    "drip": _drip,
    "gb18030": _gb18030,
}
