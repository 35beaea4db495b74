"""What hostile upstreams do, over real HTTP on 127.0.0.1: handlers and faults that the tests of connectors share.

A handler takes the request and what it asked for (its JSON). `wire_faults` lists what any upstream may do with any
call, and the failure that every connector must make of it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from connectors.base import FailureKind
from tests.machine import stopwatch

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
Fault = tuple[Handler, FailureKind, float | None]  # what comes, what it is called, Retry-After in s

PATIENCE = 20.0  # s an ask has where its deadline is not what is tested: a machine that tests may pause


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that gives every request to `handle`; its base URL."""
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@contextmanager
def lasting(least: float, less_than: float) -> Iterator[None]:
    """What stands inside takes so long, s; pauses of the machine do not count against it."""
    start = time.monotonic()
    with stopwatch() as own:
        yield
        took = own()
    assert took < less_than, f"{took:.3f} s"
    assert time.monotonic() - start >= least


@contextmanager
def allocating(less_than: int) -> Iterator[None]:
    """What stands inside never holds that many bytes more."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < less_than, f"{peak:,} bytes"
    finally:
        tracemalloc.stop()


def returns(value: Any, **options: Any) -> Handler:
    """A handler that answers JSON (or bytes or text as they are) whatever is asked."""
    text = value if isinstance(value, str | bytes) else json.dumps(value)
    body = text.encode() if isinstance(text, str) else text

    async def handle(request: web.Request, asked: dict[str, Any]) -> web.Response:
        return web.Response(body=body, **{"content_type": "application/json", **options})

    return handle


async def breaks(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    """The connection goes without a word."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def cut(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    """Announces more bytes than it sends before the connection goes."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'[{"totalPage":0')
    await breaks(request, asked)
    return response


async def endless(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


async def announced(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    """50 MB by its Content-Length, of which nothing comes: whoever waits for it waits for nothing."""
    response = web.StreamResponse(headers={"Content-Length": "50000000"})
    await response.prepare(request)
    await asyncio.sleep(30)
    raise AssertionError("the call should have ended")


async def trickle(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    """Each byte comes soon, the whole never: a timeout between bytes wouldn't notice."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def silent(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError("the call should have ended")


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(megabytes)), packer.flush()])


DENSE = b"[]," * 300_000 + b"[]"  # less than a MiB, and many times that once it is parsed
GZIP = {"headers": {"Content-Encoding": "gzip"}}
SOON = {"Retry-After": "7"}
DATE = {"Retry-After": "Thu, 01 Jan 2026 00:01:30 GMT"}  # 90 s from the clock of the tests
HTML = returns("<html>busy</html>", content_type="text/html")
K = FailureKind


def wire_faults(good: bytes) -> list[Fault]:
    """Faults of the wire and of JSON as such; `good` is a body that would be an answer."""
    return [
        (breaks, K.UNREACHABLE, None),
        (cut, K.UNREACHABLE, None),
        (returns(good, status=302, headers={"Location": "/elsewhere"}), K.THROTTLED, None),
        (returns(good, status=307, headers={"Location": "http://10.0.0.1/"}), K.THROTTLED, None),
        (returns("", status=412), K.THROTTLED, None),
        (returns("", status=429, headers=SOON), K.THROTTLED, 7.0),
        (returns("", status=429, headers=DATE), K.THROTTLED, 90.0),
        (returns("", status=429, headers={"Retry-After": "soon"}), K.THROTTLED, None),
        (returns(good, status=503, headers=SOON), K.SERVER_ERROR, 7.0),
        (returns(good, status=500), K.SERVER_ERROR, None),
        (HTML, K.MALFORMED, None),
        (returns(""), K.MALFORMED, None),
        (returns(good[:-5]), K.MALFORMED, None),
        (returns(gzip.compress(good)[:-5], **GZIP), K.MALFORMED, None),
        (returns(good, **GZIP), K.MALFORMED, None),
        (returns(good, headers={"Content-Encoding": "br"}), K.MALFORMED, None),
        (returns(good, charset="latin-1"), K.MALFORMED, None),
        (returns(good[:-1] + b',"more":"\xff"}'), K.MALFORMED, None),
        (returns("[" * 200_000), K.MALFORMED, None),
        (returns(good[:-1] + b',"more":NaN}'), K.MALFORMED, None),
        (returns(good[:-1] + b',"more":1e99999999999999999999}'), K.MALFORMED, None),
        (returns(good[:-1] + b',"more":' + b"9" * 5000 + b"}"), K.MALFORMED, None),
        (returns("null"), K.MALFORMED, None),
        (returns("[]"), K.MALFORMED, None),
        (returns("{}"), K.MALFORMED, None),
        (returns(good, status=204), K.MALFORMED, None),
        (endless, K.TOO_LARGE, None),
        (returns(bomb(100), **GZIP), K.TOO_LARGE, None),
        (returns(good[:-1] + b',"more":[' + DENSE + b"]}"), K.TOO_LARGE, None),
        (announced, K.TOO_LARGE, None),
    ]


def without(value: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A copy without the key at the end of `path` (keys and list indices)."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return copy


def changed(value: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    """A copy with another value at the end of `path`."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = new
    return copy
