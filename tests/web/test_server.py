"""Promises: head and body leave in one piece, a head without a body leaves all the same, nothing is written twice or
after the end."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from uvicorn import Server

from gateway.web.health import schema_routes
from gateway.web.server import OneWrite, config

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"{}"


class Transport(asyncio.Transport):
    """Remembers what reaches the kernel at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.sent.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def made() -> tuple[Transport, OneWrite, list[Any]]:
    transport, later = Transport(), []
    return transport, OneWrite(transport, later.append), later


def test_head_and_body_at_once() -> None:
    transport, one, later = made()
    one.write(HEAD)
    assert transport.sent == []
    one.write(BODY)
    one.write(BODY)
    for call in later:
        call()
    assert transport.sent == [HEAD + BODY, BODY]


def test_a_head_alone_leaves_in_the_next_turn() -> None:
    transport, one, later = made()
    one.write(HEAD)
    for call in later:
        call()
    one.write(BODY)
    assert transport.sent == [HEAD, BODY]


def test_what_was_written_leaves_before_the_end_and_nothing_after() -> None:
    transport, one, later = made()
    one.write(HEAD)
    one.close()
    for call in later:
        call()
    assert (transport.sent, transport.closed, one.is_closing()) == ([HEAD], True, True)
    transport, one, later = made()
    one.write(HEAD)
    transport.close()  # by the peer
    for call in later:
        call()
    assert transport.sent == []


async def test_over_a_socket_whole_answers_streams_and_refusals() -> None:
    async def slowly() -> Any:
        yield b"a"
        await asyncio.sleep(0.05)
        yield b"b"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(slowly())(scope, receive, send)

    server = Server(config(app, host="127.0.0.1", port=0, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        for request, expected in ((b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"1\r\nb\r\n0\r\n\r\n"),
                                  (b"nothing of HTTP\r\n\r\n", b"Invalid HTTP request received.")):  # fmt: skip
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.count(b"HTTP/1.1 ") == 1
            assert answer.endswith(expected)
            writer.close()
    finally:
        server.should_exit = True
        await task


async def test_the_front_page_leads_to_graphql() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/", "root_path": "", "query_string": b"", "headers": []}
    await Starlette(routes=[*schema_routes({})])(scope, receive, send)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"location"]) == (307, b"/graphql")
