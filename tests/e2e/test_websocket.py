"""graphql-transport-ws, over real connections: its messages and close codes, the token's end, hostile frames, a client
that does not read. What is sent and when, tests/e2e/test_subscriptions.py has for both ways.
"""

from __future__ import annotations

import asyncio
import json
import socket as socketlib
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from e2e_stack import Stack, serving
from test_subscriptions import SUBSCRIBE, short_token, write
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.engine.documents import MOST_CHARACTERS
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.web.door import Bounds
from gateway.web.upgrade import WebSocket
from tests import machine

SETTINGS = {"client_timeout": 2.0, "public_subscriptions": 3}


class Socket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def hear(self, seconds: float = 30.0) -> Any:
        message = await self.socket.receive(seconds)
        assert message.type == aiohttp.WSMsgType.TEXT, (message.type, message.data, message.extra)
        return json.loads(message.data)

    async def closed(self, seconds: float = 30.0) -> tuple[int, str]:
        message = await self.socket.receive(seconds)
        assert message.type == aiohttp.WSMsgType.CLOSE, message
        return message.data, message.extra or ""

    async def subscribe(self, id_: str = "1", query: str = SUBSCRIBE, **variables: Any) -> None:
        await self.say(id=id_, type="subscribe", payload={"query": query, "variables": variables})

    async def change(self, seconds: float = 30.0) -> Any:
        found = await self.hear(seconds)
        assert found["type"] == "next", found
        return found["payload"]["data"]["recordChanged"]


@asynccontextmanager
async def opened(
    stack: Stack, *, protocols: tuple[str, ...] = ("graphql-transport-ws",), **headers: str
) -> AsyncIterator[Socket]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{stack.base}/graphql", protocols=protocols, headers=headers, autoping=False) as socket,
    ):
        yield Socket(socket)


@asynccontextmanager
async def begun(stack: Stack, who: str | None = None, token: str = "") -> AsyncIterator[Socket]:
    async with opened(stack) as socket:
        token = token or (stack.tokens[who] if who else "")
        await socket.say(type="connection_init", payload={"Authorization": f"Bearer {token}"} if token else None)
        assert await socket.hear() == {"type": "connection_ack"}
        yield socket


async def test_operations_of_all_kinds_share_a_socket(stack: Stack, owner: Any, usccs: list[str]) -> None:
    async with begun(stack, "restricted") as socket:
        await socket.subscribe("a", usccs=usccs[:1])
        await socket.subscribe("b", usccs=usccs[1:])
        await socket.subscribe("c", "{ viewer { view } }")
        assert await socket.hear() == {
            "id": "c",
            "type": "next",
            "payload": {"data": {"viewer": {"view": "RESTRICTED"}}},
        }
        assert await socket.hear() == {"id": "c", "type": "complete"}
        await socket.subscribe("d", "{ nme }")
        refused = await socket.hear()
        assert (refused["id"], refused["type"]) == ("d", "error")
        assert refused["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        first = await write(owner, usccs[0])
        found = await socket.hear()
        assert (found["id"], found["payload"]["data"]["recordChanged"]["record"]["title"]) == ("a", first)
        second = await write(owner, usccs[1])
        found = await socket.hear()
        assert (found["id"], found["payload"]["data"]["recordChanged"]["record"]["title"]) == ("b", second)
        await socket.say(id="a", type="complete")
        await socket.say(id="unknown", type="complete")
        await socket.say(type="ping", payload={"n": 1})
        assert await socket.hear() == {"type": "pong"}
        await write(owner, usccs[0])
        third = await write(owner, usccs[1])
        assert (await socket.change())["record"]["title"] == third
        await socket.subscribe("a", usccs=usccs[:1])  # an id that is free again
        await socket.subscribe("e", "{ viewer { view } }")  # nobody says when "a" has begun: behind it, as above
        assert [(await socket.hear())["type"] for _ in range(2)] == ["next", "complete"]
        fourth = await write(owner, usccs[0])
        assert (await socket.change())["record"]["title"] == fourth


async def test_the_token_may_stand_in_the_handshake(stack: Stack) -> None:
    async with opened(stack, authorization=f"Bearer {stack.tokens['internal']}") as socket:
        await socket.say(type="connection_init")
        assert await socket.hear() == {"type": "connection_ack"}
        await socket.subscribe("1", "{ viewer { view } }")
        assert (await socket.hear())["payload"]["data"]["viewer"]["view"] == "INTERNAL"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["x"], 4400),
        (["[]"], 4400),
        (['{"type":"start"}'], 4400),
        (['{"type":"connection_init","type":"ping"}'], 4400),
        (['{"type":"connection_init","payload":"x"}'], 4400),
        (['{"type":"connection_init","payload":{"authorization":1}}'], 4400),
        (['{"type":"connection_init","payload":{"authorization":"a","Authorization":"b"}}'], 4400),
        (['{"type":"connection_init","payload":{"authorization":"Bearer nonsense"}}'], 4403),
        (['{"type":"connection_init"}', '{"type":"connection_init"}'], 4429),
        (['{"type":"subscribe","id":"1","payload":{"query":"{ __typename }"}}'], 4401),
        (['{"type":"connection_init"}', '{"type":"subscribe","payload":{"query":"{ __typename }"}}'], 4400),
        (['{"type":"connection_init"}', '{"type":"subscribe","id":"","payload":{"query":"{ __typename }"}}'], 4400),
        (['{"type":"connection_init"}', '{"type":"subscribe","id":"1"}'], 4400),
        (['{"type":"connection_init"}', '{"type":"subscribe","id":"1","payload":{"query":1}}'], 4400),
        (
            [
                '{"type":"connection_init"}',
                *['{"type":"subscribe","id":"1","payload":{"query":"subscription { recordChanged { kind } }"}}'] * 2,
            ],
            4409,
        ),
        ([b"\x00"], 4400),
        (["[" * 100_000], 4400),
        (["9" * 6_000], 4400),
        (["x" * 1_100_000], 1009),
    ],
)
async def test_what_is_not_of_the_protocol_closes_it(stack: Stack, messages: list[Any], code: int) -> None:
    async with opened(stack) as socket:
        for message in messages:
            if isinstance(message, bytes):
                await socket.socket.send_bytes(message)
            else:
                await socket.socket.send_str(message)
        while (message := await socket.socket.receive(30)).type == aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code), message


async def test_without_connection_init_it_is_closed(stack: Stack) -> None:
    async with opened(stack) as socket:
        assert await socket.closed(30) == (4408, "Connection initialisation timeout")


@pytest.mark.parametrize("protocols", [(), ("graphql-ws",), ("graphql-transport-ws2",)])
async def test_other_subprotocols_are_not_spoken(stack: Stack, protocols: tuple[str, ...]) -> None:
    async with opened(stack, protocols=protocols) as socket:
        assert (await socket.closed())[0] == 4406


async def test_it_ends_with_its_token_and_its_client(stack: Stack, owner: Any, usccs: list[str]) -> None:
    token = await short_token(stack, 4)
    async with begun(stack, token=token) as idle, begun(stack, token=token) as socket, begun(stack, "scoped") as other:
        await socket.subscribe(usccs=usccs)
        began = machine.seconds()
        for each in (socket, idle):
            code, reason = await each.closed()
            assert code == 4403
            assert reason.startswith("Forbidden")
        assert machine.seconds() - began < 7
        await owner.execute("update auth.client set disabled_at = now(), version = version + 1 where id = 'scoped'")
        began = machine.seconds()
        assert (await other.closed())[0] == 4403
        assert machine.seconds() - began < 4


async def test_a_database_that_comes_back_costs_no_event(
    stack: Stack, owner: Any, postgres: RunningServer, world: Database, usccs: list[str]
) -> None:
    async with begun(stack, "restricted") as socket:
        await socket.subscribe(usccs=usccs)
        await asyncio.sleep(0.2)
        server = await asyncpg.connect(postgres.dsn())
        try:
            await server.execute(f'alter database "{world.name}" allow_connections false')
            await server.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = $1 and usename not like '%migrate'",
                world.name,
            )
            titles = [await write(owner, uscc) for uscc in usccs]
            await asyncio.sleep(1)
            await server.execute(f'alter database "{world.name}" allow_connections true')
        finally:
            await server.close()
        assert [(await socket.change(60))["record"]["title"] for _ in titles] == titles


async def test_who_does_not_read_is_cut_off_and_costs_nothing(stack: Stack, owner: Any, usccs: list[str]) -> None:
    """Its events wait in the outbox, not here: while it does not read, nothing more is answered for it."""
    text = "x" * 60_000
    async with begun(stack, "restricted") as socket:
        await socket.subscribe("1", SUBSCRIBE.replace("kind", "kind k: record { facts }"), usccs=usccs)
        await asyncio.sleep(0.2)
        transport = socket.socket._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        count = "select count(*) from ledger.disclosure where client_id = 'restricted'"
        before = await owner.fetchval(count)
        await owner.execute(
            "insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,"
            " source_code, catalogue_item, decided_on, published_from, title, natural_key, facts) select"
            " gen_random_uuid(), s.id, s.class, 'PENALTY', 'PPP', 'GENERAL', 'ACTIVE', true, 'LOCAL', 'QG-04',"
            " core.today(), core.today(), 'many', 'many' || n, $2 from core.subject s, generate_series(1, 400) n"
            " where s.uscc = $1",
            usccs[0],
            text,
        )
        await asyncio.sleep(2.0)
        answered = await owner.fetchval(count) - before
        assert 0 < answered < 300  # buffers of the kernel and of the transport, not all 400
        await asyncio.sleep(3.5)
        transport.resume_reading()  # type: ignore[union-attr]
        async with asyncio.timeout(60):
            while (message := await socket.socket.receive()).type == aiohttp.WSMsgType.TEXT:
                pass
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_only_graphql_has_sockets(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/graphql/x"):
            status = 101
            try:
                await session.ws_connect(f"{stack.base}{path}", protocols=["graphql-transport-ws"])
            except aiohttp.WSServerHandshakeError as error:
                status = error.status
            assert status in (200, 404), path


async def test_a_token_in_the_url_is_refused(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{stack.base}/graphql?access_token=x", protocols=["graphql-transport-ws"])
    assert caught.value.status == 400


async def test_limits_hold_over_both_ways(stack: Stack, usccs: list[str]) -> None:
    async with begun(stack) as one:
        for number in range(3):
            await one.subscribe(str(number), usccs=usccs)
        await asyncio.sleep(0.5)
        await one.subscribe("more", usccs=usccs)
        refused = await one.hear()
        assert (refused["id"], refused["payload"][0]["extensions"]["code"]) == ("more", "RATE_LIMITED")


async def test_a_socket_is_no_way_around_the_rate_of_an_address(stack: Stack, world: Database) -> None:
    """Questions without a token count for their address, by whatever way they come: not once for each socket."""
    slow = stack.settings.model_copy(update={"public_rate": 0.1, "public_burst": 5})
    async with (
        serving(slow, world) as base,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base}/graphql", protocols=("graphql-transport-ws",), autoping=False) as raw,
    ):
        socket = Socket(raw)
        await socket.say(type="connection_init")
        assert await socket.hear() == {"type": "connection_ack"}
        codes = []
        for number in range(10):
            await socket.subscribe(str(number), "{ viewer { view } }")
            found = await socket.hear()
            if found["type"] == "next":
                assert (await socket.hear())["type"] == "complete"
                codes.append("")
            else:
                codes.append(found["payload"][0]["extensions"]["code"])
        assert codes == [""] * 4 + ["RATE_LIMITED"] * 6  # the handshake was the first of the five


def _masked_frame(opcode: int, payload: bytes, *, ends: bool = True, announced: int = 0) -> bytes:
    """A frame; `announced`: as long as it says to be, where that is more than it has."""
    size = announced or len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    return bytes((0x80 * ends | opcode,)) + length + bytes(4) + payload


HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


class Raw:
    """A socket of frames as they please, after its beginning."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        return first & 15, await self.reader.readexactly(size)

    async def ended(self, seconds: float) -> int:
        """The code with which it is closed, pings answered meanwhile; 0: it is still open."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    opcode, payload = await self.frame()
                    if opcode == 8:
                        return int.from_bytes(payload[:2], "big")
                    if opcode == 9:
                        self.writer.write(_masked_frame(10, payload))
        except TimeoutError:
            return 0


@asynccontextmanager
async def raw(base: str, payload: str = "{}") -> AsyncIterator[Raw]:
    parts = urlsplit(base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        made = Raw(reader, writer)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        init = f'{{"type":"connection_init","payload":{payload}}}'.encode()
        writer.write(_masked_frame(1, init))
        assert json.loads((await made.frame())[1]) == {"type": "connection_ack"}
        yield made
    finally:
        writer.transport.abort()


async def _begin_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *before: bytes) -> int:
    """The status of a handshake on a connection that had these requests before, each answered."""
    for request in before:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.write(HANDSHAKE)
    return int((await reader.readuntil(b"\r\n\r\n"))[9:12])


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
ASKED = b'{"query":"{ sources { code } }"}'
QUESTION = (
    b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ASKED)
) + ASKED


async def test_a_connection_that_was_used_may_become_a_socket(stack: Stack) -> None:
    """After answers of all kinds, those that are known by their bytes too; the socket then is one as any other, and
    counts as one connection."""
    parts = urlsplit(stack.base)
    for before in ((HEALTH,), (QUESTION, QUESTION, QUESTION), (QUESTION, HEALTH)):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        assert await _begin_after(reader, writer, *before) == 101
        socket = Raw(reader, writer)
        writer.write(_masked_frame(1, b'{"type":"connection_init"}'))
        assert json.loads((await socket.frame())[1]) == {"type": "connection_ack"}
        assert await socket.ended(1.0) == 0
        writer.close()


async def test_a_session_may_ask_for_its_token_and_then_begin_a_socket(stack: Stack) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        async with session.get(f"{stack.base}/healthz") as reply:
            assert reply.status == 200
            await reply.read()
        async with session.ws_connect(f"{stack.base}/graphql", protocols=("graphql-transport-ws",)) as socket:
            await socket.send_json({"type": "connection_init"})
            assert await socket.receive_json(timeout=10) == {"type": "connection_ack"}


async def _heard(base: str, sent: bytes) -> bytes:
    parts = urlsplit(base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    async with asyncio.timeout(20):
        heard = await reader.read()
    writer.close()
    return heard


async def test_a_handshake_behind_an_answer_that_is_under_way_is_an_ordinary_request(stack: Stack) -> None:
    """And the last of its connection: what follows it is nobody's."""
    for before in (HEALTH, QUESTION):
        heard = await _heard(stack.base, before + HANDSHAKE + HEALTH)
        assert [part[:3] for part in heard.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]
        assert b"connection: close" in heard


@pytest.mark.parametrize("before", [b"", HEALTH])
async def test_what_stands_behind_a_handshake_is_not_taken_for_frames(stack: Stack, before: bytes) -> None:
    parts = urlsplit(stack.base)
    for behind in (HEALTH, _masked_frame(1, b'{"type":"connection_init"}')):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        if before:
            writer.write(before)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(HANDSHAKE + behind)
        heard = await reader.read()
        assert [part[:3] for part in heard.split(b"HTTP/1.1 ")[1:]] == [b"400"]
        writer.close()


@pytest.mark.parametrize(
    "more",
    [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"A: %s\r\n\r\n" % (b"x" * 9_000)],
)
async def test_a_handshake_that_is_none_is_told_so(stack: Stack, more: bytes) -> None:
    """Such a connection stayed, with nobody to end it."""
    heard = await _heard(stack.base, HANDSHAKE.removesuffix(b"\r\n") + more)
    assert heard.startswith(b"HTTP/1.1 400"), heard


BEGINNINGS = {
    "a frame": _masked_frame(1, b" " * 100_000, announced=190_000),
    "the head of a frame": b"\x81",
    "fragments": _masked_frame(1, b" " * 50_000, ends=False) + _masked_frame(0, b" " * 50_000, ends=False),
    "nothing in fragments": _masked_frame(1, b"", ends=False),
    "behind another message": _masked_frame(1, b'{"type":"pong"}') + _masked_frame(1, b" ", ends=False),
}


async def _dripping(socket: Raw, beginning: bytes) -> int:
    """How a socket ends whose client has begun so, and goes on with pings and pieces of nothing."""
    socket.writer.write(beginning)
    fragments = beginning[0] == 0x01 and beginning is not BEGINNINGS["a frame"]

    async def drip() -> None:
        while fragments:
            socket.writer.write(_masked_frame(9, b"x") + _masked_frame(0, b"", ends=False))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(drip())
    try:
        return await socket.ended(8.0)
    finally:
        task.cancel()


@pytest.mark.parametrize("beginning", BEGINNINGS)
async def test_a_message_that_does_not_end_closes_it(stack: Stack, beginning: str) -> None:
    """Within the time that a body has, which is 2 s here."""
    async with raw(stack.base) as socket:
        began = machine.seconds()
        assert await _dripping(socket, BEGINNINGS[beginning]) == 4408
        assert machine.seconds() - began > 1.5


async def test_without_the_time_a_message_may_drip_for_ever(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocket, "data_received", WebSocketsSansIOProtocol.data_received)
    async with raw(stack.base) as socket:
        assert await _dripping(socket, BEGINNINGS["fragments"]) == 0


async def test_messages_that_end_and_pings_of_an_idle_socket_do_not_close_it(stack: Stack) -> None:
    """For longer than a message may take: pieces in time, one message begun in the packet that ended the one before,
    pings, and nothing at all."""
    ping = b'{"type":"ping"}'
    halves = _masked_frame(1, ping[:7], ends=False), _masked_frame(0, ping[7:])
    async with raw(stack.base) as socket:
        assert await socket.ended(3.5) == 0
        socket.writer.write(halves[0])
        for _ in range(20):  # there is no moment at which nothing is begun
            await asyncio.sleep(0.2)
            socket.writer.write(halves[1] + _masked_frame(9, b"x") + halves[0])
            assert sorted([await socket.frame(), await socket.frame()]) == [(1, b'{"type":"pong"}'), (10, b"x")]
        socket.writer.write(halves[1])
        assert await socket.ended(3.5) == 0


async def test_a_message_of_many_pieces_takes_no_more_than_its_bytes(stack: Stack, world: Database) -> None:
    """Kept one by one, pieces of a byte take fifty times as much."""
    patient = stack.settings.model_copy(update={"client_timeout": 60.0})  # the machine may be slow
    async with serving(patient, world) as base, raw(base) as socket:
        tracemalloc.start()
        try:
            socket.writer.write(_masked_frame(1, b"", ends=False))
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(50):
                socket.writer.write(_masked_frame(0, b" ", ends=False) * 1_000)
                await socket.writer.drain()
            socket.writer.write(_masked_frame(9, b"read"))
            while await socket.frame() != (10, b"read"):
                pass
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 800_000


async def test_who_has_no_token_says_no_more_than_a_document_has(stack: Stack) -> None:
    """The longest document, each of its characters escaped, is taken; what is longer is refused by its head alone.
    With a token messages are as long as bodies."""
    start, end = '{"id":"1","type":"subscribe","payload":{"query":"{viewer{view}}', '"}}'
    longest = (start + "\\u0020" * (MOST_CHARACTERS - 100) + end).encode()
    assert len(longest) <= Bounds().stranger_bytes == 6 * MOST_CHARACTERS
    async with raw(stack.base) as socket:
        socket.writer.write(_masked_frame(1, longest))
        assert json.loads((await socket.frame())[1])["payload"] == {"data": {"viewer": {"view": "PUBLIC"}}}
        assert json.loads((await socket.frame())[1])["type"] == "complete"
        socket.writer.write(_masked_frame(1, b"", announced=Bounds().stranger_bytes + 1))
        assert await socket.ended(8.0) == 1009
    token = json.dumps({"Authorization": f"Bearer {stack.tokens['restricted']}"})
    async with raw(stack.base, token) as socket:
        socket.writer.write(_masked_frame(1, b'{"type":"ping"}' + b" " * 1_000_000))
        assert await socket.frame() == (1, b'{"type":"pong"}')
        socket.writer.write(_masked_frame(1, b"", announced=1_048_577))
        assert await socket.ended(8.0) == 1009


async def _flooded(base: str, most: int, seconds: float) -> bool:
    """Whether a server takes so many bytes of pings from a client that reads nothing."""
    parts = urlsplit(base)
    connection = socket_of_little()
    await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1_024)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(_masked_frame(1, b'{"type":"connection_init"}'))
    pings = _masked_frame(9, b"x" * 125) * 1_000
    sent = 0
    try:
        async with asyncio.timeout(seconds):
            while sent < most:
                writer.write(pings)
                await writer.drain()
                sent += len(pings)
    except (TimeoutError, ConnectionError):
        pass
    writer.transport.abort()
    return sent >= most


def socket_of_little() -> socketlib.socket:
    """A client's, for which the kernel keeps little."""
    made = socketlib.socket(socketlib.AF_INET, socketlib.SOCK_STREAM)
    for side in (socketlib.SO_RCVBUF, socketlib.SO_SNDBUF):
        made.setsockopt(socketlib.SOL_SOCKET, side, 16_384)
    made.setblocking(False)
    return made


async def test_pings_of_who_does_not_read_are_not_piled_up(
    stack: Stack, world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel holds for the server, and then no more is read; without the control all of it is taken."""
    patient = stack.settings.model_copy(update={"client_timeout": 60.0})  # it is not cut off for not reading
    async with serving(patient, world) as base:
        assert not await _flooded(base, 12 * 2**20, 2.0)
        monkeypatch.setattr(WebSocket, "pause_writing", WebSocketsSansIOProtocol.pause_writing)
        assert await _flooded(base, 12 * 2**20, 30.0)
