"""Promises: workers on one port share its connections, a port that is reserved takes none, a socket that is closed
leaves none behind, and two gateways never share a port by mistake; answers, streams and refusals over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from uvicorn import Server

from gateway.errors import SettingsError
from gateway.web.server import allow_files, config, join, listen, reserve, shares_port

shared = pytest.mark.skipif(not shares_port(), reason="this kernel does not spread connections over sockets")
HOST = "127.0.0.1"


async def test_over_a_socket_whole_answers_streams_and_refusals() -> None:
    async def slowly() -> Any:
        yield b"a"
        await asyncio.sleep(0.05)
        yield b"b"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(slowly())(scope, receive, send)

    server = Server(config(app, host=HOST, port=0, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        for request, expected in (
            (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"1\r\nb\r\n0\r\n\r\n"),
            (b"nothing of HTTP\r\n\r\n", b"The request can't be read as HTTP/1.1.\n"),
        ):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(request)
            answer = await asyncio.wait_for(reader.read(), 30)
            assert answer.count(b"HTTP/1.1 ") == 1
            assert answer.endswith(expected)
            writer.close()
    finally:
        server.should_exit = True
        await task


@contextlib.contextmanager
def workers(count: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """A reserved port and sockets that listen on it."""
    with reserve(HOST, 0) as held, contextlib.ExitStack() as stack:
        port = held.getsockname()[1]
        made = [stack.enter_context(join(HOST, port)) for _ in range(count)]
        for one in made:
            one.listen(128)
            one.setblocking(False)
        yield port, made


def accepted(listening: socket.socket) -> int:
    """How many connections wait in a socket."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


@shared
def test_connections_are_spread_and_the_reserved_socket_has_none() -> None:
    with workers(2) as (port, listening), contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection((HOST, port), 5))
        found = [accepted(one) for one in listening]
    print(f"of 40 connections: {found}")
    assert sum(found) == 40
    assert min(found) >= 7  # fewer happens once in a hundred thousand runs, where each is as likely


@shared
def test_what_comes_after_a_socket_has_closed_goes_to_the_others() -> None:
    with workers(2) as (port, listening), contextlib.ExitStack() as stack:
        listening[0].close()
        for _ in range(40):
            stack.enter_context(socket.create_connection((HOST, port), 5))
        assert accepted(listening[1]) == 40


@shared
def test_without_workers_a_reserved_port_refuses() -> None:
    with reserve(HOST, 0) as held, pytest.raises(ConnectionRefusedError):
        socket.create_connection(held.getsockname(), 5)


@shared
def test_two_gateways_do_not_share_a_port() -> None:
    with workers(1) as (port, _):
        with pytest.raises(SettingsError, match=f"cannot listen on {HOST}:{port}"):
            reserve(HOST, port)
        with pytest.raises(SettingsError, match="GATEWAY_PORT"):
            listen(HOST, port)
        join(HOST, port).close()  # the kernel alone would allow it


def test_a_port_and_a_host() -> None:
    with listen(HOST, 0) as first:
        port = first.getsockname()[1]
        socket.create_connection((HOST, port), 5).close()
        with pytest.raises(SettingsError, match="in use"):
            listen(HOST, port)
        with pytest.raises(SettingsError, match="set GATEWAY_ADMIN_HOST, GATEWAY_ADMIN_PORT"):
            listen(HOST, port, prefix="GATEWAY_ADMIN")
    with pytest.raises(SettingsError, match="cannot listen on 192\\.0\\.2\\.1"):
        listen("192.0.2.1", 0)


def test_open_files_are_allowed_as_far_as_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 20_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert allow_files(500) == 1_024
    assert limits == []
    assert allow_files(4_096) == 4_352
    assert allow_files(50_000) == 20_000
    assert limits == [(4_352, 20_000), (20_000, 20_000)]
