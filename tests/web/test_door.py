"""Promises: a client that is slow with its header, its body or its reading is closed, and so is one that opens too many
connections; who is not slow never is; none of it holds where the control is taken away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from door_support import PATIENCE, Served, get, post, served, statuses, talk

from gateway.web.address import Peers
from gateway.web.door import Bounds, Door

SECONDS = 0.5
BOUNDS = Bounds(seconds=SECONDS, idle=1.0, linger=0.3, sweep=0.1, connections_per_address=0)
LONG_ENOUGH = 1.5  # seconds after which a sweep has closed what it closes, by far


class Blind(Door):
    """A door that never looks at its connections: the control taken away."""

    def _sweep(self) -> None:
        self._again()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Served]:
    async with served(BOUNDS) as made:
        yield made


async def drip(port: int, at_once: bytes, request: bytes, seconds: float = PATIENCE) -> tuple[bytes, float]:
    """Send the beginning, then byte by byte until the server closes; what was heard, and after how long (s)."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = loop.time()
    writer.write(at_once)
    heard = asyncio.ensure_future(reader.read())
    try:
        for at in range(len(request)):
            if heard.done() or loop.time() - began > seconds:
                break
            with contextlib.suppress(ConnectionError):
                writer.write(request[at : at + 1])
            await asyncio.wait([heard], timeout=0.05)
        if heard.done():
            return heard.result(), loop.time() - began
        heard.cancel()
        return b"still open", loop.time() - began
    finally:
        writer.close()


SLOW = {
    "header": (get("/" + "x" * 500), b"", "slow header"),
    "body": (post(b"x" * 500), b"", "slow body"),
    "second header": (get("/" + "x" * 500), get("/"), "slow header"),
    "chunked body": (get("/", b"Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 90, b"", "slow body"),
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_request_that_drips_gets_408(server: Served, name: str) -> None:
    request, before, reason = SLOW[name]
    count = server.refused(reason)
    whole = request.index(b"\r\n\r\n") + 4 if "body" in name else 0
    heard, seconds = await drip(server.port, before + request[:whole], request[whole:])
    assert statuses(heard) == [200] * bool(before) + [408]
    assert SECONDS <= seconds < PATIENCE / 2
    assert server.refused(reason) == count + 1


async def test_without_the_sweep_a_request_may_drip_for_ever() -> None:
    async with served(door=Blind(BOUNDS)) as server:
        slow = [drip(server.port, b"", SLOW[name][0], seconds=LONG_ENOUGH) for name in ("header", "body")]
        for heard, seconds in await asyncio.gather(*slow):
            assert heard == b"still open"
            assert seconds >= LONG_ENOUGH


async def test_a_slow_body_is_over_for_its_app(server: Served) -> None:
    server.seen.clear()
    await drip(server.port, post(b"x" * 500)[:-400], b"x" * 400)
    assert [request.left for request in server.seen] == [True]


async def test_a_connection_that_says_nothing_is_closed(server: Served) -> None:
    assert await talk(server.port) == b""
    assert await talk(server.port, b"\r\n") == b""


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(server: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(5):  # longer than a header, a body or idleness may take
        writer.write(get("/"))
        await reader.readuntil(b"}")
        await asyncio.sleep(0.3)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()


async def test_an_answer_may_take_longer_than_a_request(server: Served) -> None:
    """What we owe the client is no debt of its own."""
    async with served(Bounds(seconds=0.1, idle=5.0, sweep=0.05)) as quick:
        heard = await talk(quick.port, get("/slow") + get("/slow", b"Connection: close"))
        assert statuses(heard) == [200, 200]


def deaf(port: int, request: bytes) -> socket.socket:
    """A client with a small buffer that asks and does not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    made.connect(("127.0.0.1", port))
    made.sendall(request)
    made.setblocking(False)
    return made


BIG = 12_000_000  # bytes: more than the kernel keeps for a connection


async def test_a_client_that_does_not_read_is_closed(server: Served) -> None:
    count = server.refused("does not read")
    with deaf(server.port, get(f"/?{BIG}")):
        async with asyncio.timeout(PATIENCE):
            while server.refused("does not read") == count:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.05)


async def test_without_the_sweep_a_client_need_not_read() -> None:
    async with served(door=Blind(BOUNDS)) as server:
        with deaf(server.port, get(f"/?{BIG}")):
            await asyncio.sleep(LONG_ENOUGH)
            (connection,) = server.door._open
            assert connection.transport.unsent() > 1_000_000  # type: ignore[attr-defined]


async def test_a_client_that_reads_slowly_is_not_closed() -> None:
    """Not even while all that it takes comes out of the kernel's buffer, so that none of ours gets smaller."""
    loop = asyncio.get_running_loop()
    async with served(Bounds(seconds=1.5, sweep=0.1)) as server:
        with deaf(server.port, get(f"/?{BIG}", b"Connection: close")) as slow:
            read, began, least = 0, loop.time(), BIG
            async with asyncio.timeout(4 * PATIENCE):
                while chunk := await loop.sock_recv(slow, 1 << 20):
                    read += len(chunk)
                    if loop.time() - began < 2.5:
                        await asyncio.sleep(0.1)
                        (connection,) = server.door._open
                        least = min(least, connection.transport.unsent())  # type: ignore[attr-defined]
        assert read > BIG
        assert least > 1_000_000


async def opened(port: int, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]


async def closed(connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    for _, writer in connections:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_the_default_closes_what_one_address_opens_beyond_it() -> None:
    most = Bounds().connections_per_address
    assert 0 < most < Bounds().connections
    async with served() as server:
        connections = await opened(server.port, most)
        heard = await talk(server.port, get("/"))
        assert statuses(heard) in ([503], [])  # a reset may take it away: it was not asked for a request
        assert server.refused("connections of the address") == 1
        await closed(connections[:1])
        for _ in range(600):  # until the server has noticed
            if statuses(heard := await talk(server.port, get("/", b"Connection: close"))) == [200]:
                break
            await asyncio.sleep(0.05)
        assert statuses(heard) == [200]
        await closed(connections)


async def test_without_the_limit_one_address_may_open_any_number() -> None:
    most = Bounds().connections_per_address
    async with served(Bounds(connections_per_address=0)) as server:
        connections = await opened(server.port, most + 50)
        assert statuses(await talk(server.port, get("/", b"Connection: close"))) == [200]
        await closed(connections)


async def test_a_refused_connection_says_when_to_come_again() -> None:
    async with served(Bounds(connections=2)) as server:
        connections = await opened(server.port, 2)
        heard = await talk(server.port)
        assert statuses(heard) == [503]
        assert b"retry-after: 1\r\n" in heard
        assert server.refused("connections") == 1
        await closed(connections)


async def test_our_own_proxies_bring_many_clients() -> None:
    bounds = Bounds(connections_per_address=1)
    for networks, expected in (([ip_network("127.0.0.0/8")], [200]), ([ip_network("10.0.0.0/8")], [503])):
        async with served(door=Door(bounds, Peers(networks))) as server:
            connections = await opened(server.port, 1)
            heard = await talk(server.port, get("/", b"Connection: close") if expected == [200] else b"")
            assert statuses(heard) == expected
            await closed(connections)


async def test_one_ipv6_subscriber_is_one_address() -> None:
    class Quiet:
        def sweep(self, now: float) -> None: ...

    door, loop = Door(Bounds(connections_per_address=2)), asyncio.get_running_loop()
    places = ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:0:ffff::", "2001:db8:0:1::1"]
    kept = [(connection, door.enter(connection, place, loop)) for place in places if (connection := Quiet())]
    assert [key is not None for _, key in kept] == [True, True, False, True]
    for connection, key in kept:
        if key is not None:
            door.leave(connection, key)
    assert not door._by_address


async def test_nothing_is_left_of_connections_that_have_ended(server: Served) -> None:
    connections = await opened(server.port, 20)
    await closed(connections)
    await talk(server.port, b"nothing of HTTP\r\n\r\n")
    for _ in range(600):
        if not server.door._open:
            break
        await asyncio.sleep(0.05)
    assert not server.door._open
    assert not server.door._by_address


async def test_a_process_that_was_held_up_closes_nobody() -> None:
    """What clients sent meanwhile waits to be read; a sweep first would call them late."""

    class Counted:
        swept = 0

        def sweep(self, now: float) -> None:
            self.swept += 1

    door, connection, loop = Door(Bounds(sweep=0.05)), Counted(), asyncio.get_running_loop()
    key = door.enter(connection, "192.0.2.1", loop)
    assert key is not None
    await asyncio.sleep(0.2)
    before = connection.swept
    assert before
    door._expected -= 5.0  # as if five seconds had been lost
    await asyncio.sleep(0.06)
    assert connection.swept <= before + 1
    await asyncio.sleep(0.3)
    assert connection.swept > before
    door.leave(connection, key)


@pytest.mark.long
async def test_ten_seconds_are_the_default() -> None:
    async with served() as server:
        heard, seconds = await drip(server.port, b"", get("/" + "x" * 5_000))
        assert statuses(heard) == [408]
        assert 10 <= seconds < 15
