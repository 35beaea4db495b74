"""Promises of requests that are known to their last byte: the response is the one of the ordinary way to its last byte,
apart from its date, is counted as it is, and its address pays for it once; whatever names somebody, concerns the
connection, comes in pieces or behind another request goes the ordinary way. For each control a test that takes it away
and sees what it keeps out.

Real PostgreSQL, real connections.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from gateway.app import Parts
from gateway.auth.principal import ANONYMOUS
from gateway.engine.dependence import Basis
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.web.again import Again
from gateway.web.headers import Headers
from gateway.web.kept import Kept, Whole
from gateway.web.protocol import Protocol
from gateway.web.throttle import Throttle
from tests.e2e.e2e_stack import serving
from tests.engine import small_world
from tests.engine.small_world import FIRM
from tests.storage.eventually import eventually

Back: TypeAlias = Callable[[bool], None]
BODY = json.dumps({"query": "query($c: Uscc!) { subject(uscc: $c) { name } }", "variables": {"c": FIRM}}).encode()
JSON = b"Content-Type: application/json"
_DATE = re.compile(rb"\r\ndate: [^\r]*")


def post(*headers: bytes, body: bytes = BODY, version: bytes = b"1.1", length: bool = True) -> bytes:
    """A question as bytes."""
    lines = [b"POST /graphql HTTP/" + version, b"Host: gateway", JSON, *headers]
    return b"\r\n".join([*lines, *([b"Content-Length: %d" % len(body)] * length), b"", b""]) + body


class World:
    """The gateway, and how many of its answers were given again, on which connections."""

    def __init__(self, port: int, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port, self.registry, self.again = port, registry, 0
        self.connections: list[Protocol] = []
        answer, made = Again.answers, Protocol.connection_made

        def counted(again: Again, *given: Any, **more: Any) -> bool:
            found = answer(again, *given, **more)
            self.again += bool(found)
            return found

        def noted(protocol: Protocol, transport: Any) -> None:
            made(protocol, transport)
            self.connections.append(protocol)

        monkeypatch.setattr(Again, "answers", counted)
        monkeypatch.setattr(Protocol, "connection_made", noted)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def answered(self) -> float:
        return self.count("credit_requests_total", view=ANONYMOUS.view, outcome="ANSWERED")

    async def known(self, raw: bytes) -> bytes:
        """Ask until it is answered again; that response."""
        for _ in range(50):
            before = self.again
            async with self.client() as client:
                found = await client.ask(raw)
            if self.again > before:
                return found
        raise AssertionError("never answered again")

    async def stays(self, raw: bytes) -> list[bytes]:
        """Responses to a request that is asked for often, none of which was given again."""
        before, found = self.again, []
        for _ in range(4):
            async with self.client() as client:
                found.append(await client.ask(raw))
        assert self.again == before, raw
        return found

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            client.writer.close()


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, raw: bytes) -> bytes:
        self.writer.write(raw)
        return await self.response()

    async def response(self) -> bytes:
        """The next response, head and body."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100"):
                head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None, head
            return head + await self.reader.readexactly(int(length[1]))


@asynccontextmanager
async def world_of(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    registry = CollectorRegistry()
    async with serving(settings, database, Parts(connectors={}, registry=registry)) as base:
        assert await eventually(lambda: registry.get_sample_value("credit_listener_confirmed"))
        yield World(int(base.rpartition(":")[2]), registry, monkeypatch)


@pytest_asyncio.fixture
async def world(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with world_of(settings, database, monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("again"))


@pytest_asyncio.fixture(scope="module", autouse=True)
async def built(database: Database) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    await small_world.build(owner)
    await owner.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Back]:
    """Heartbeats come when the test says so: those who wait."""
    waiting: list[Back] = []

    def then(listener: Listener, back: Back, patience: float = 0.1) -> bool:
        waiting.append(back)
        return True

    monkeypatch.setattr(Listener, "then", then)
    return waiting


async def someone(held: list[Back], number: int = 1) -> None:
    """Until so many wait."""
    async with asyncio.timeout(20):
        while len(held) < number:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


def plain(response: bytes) -> bytes:
    return _DATE.sub(b"", response)


@pytest.mark.parametrize("accept", [b"Accept: application/json", b"Accept: application/graphql-response+json"])
async def test_it_is_the_ordinary_response_and_counted_as_it_is(
    world: World, accept: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = post(accept, b"Connection: keep-alive")
    again = await world.known(raw)
    assert _DATE.search(again) is not None
    answered, hits, ways = world.answered(), world.count("credit_public_cache_total", outcome="HIT"), world.again
    async with world.client() as client:
        for _ in range(3):
            assert plain(await client.ask(raw)) == plain(again)
    assert world.again == ways + 3
    assert world.answered() == answered + 3
    assert world.count("credit_public_cache_total", outcome="HIT") == hits + 3
    monkeypatch.setattr(Again, "begin", lambda *_: None)
    assert plain((await world.stays(raw))[0]) == plain(again)
    assert b"x-content-type-options: nosniff" in again


APART = {
    "Authorization": post(b"Authorization: Bearer nonsense"),
    "DPoP": post(b"DPoP: x"),
    "credit-": post(b"Credit-Hops: 1"),
    "Idempotency-Key": post(b"Idempotency-Key: x"),
    "Cookie": post(b"Cookie: a=b"),
    "Proxy-Authorization": post(b"Proxy-Authorization: Basic eDp5"),
    "Expect": post(b"Expect: 100-continue"),
    "Connection": post(b"Connection: close"),
    "Connection of more": post(b"Connection: keep-alive, x-forwarded-for"),
    "HTTP/1.0": post(version=b"1.0"),
    "chunked": post(b"Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), length=False),
    "another type": post(body=BODY).replace(JSON, b"Content-Type: text/plain"),
    "an error": post(body=b'{"query":"{ nonsense }"}'),
    "long": post(b"X: " + b"x" * 9_000),
    "GET": b"GET /graphql?query=%7B%20sources%20%7B%20code%20%7D%20%7D HTTP/1.1\r\nHost: gateway\r\n\r\n",
}


@pytest.mark.parametrize("name", APART)
async def test_what_goes_the_ordinary_way(world: World, name: str) -> None:
    await world.known(post())  # an entry is there
    first, *others = await world.stays(APART[name])
    assert all(plain(other) == plain(first) for other in others)
    assert (b'"errors"' in first) == (name in ("Authorization", "another type", "an error"))


async def test_without_the_look_at_who_asks_a_token_that_does_not_hold_gets_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = APART["Authorization"]
    assert b"UNAUTHENTICATED" in (await world.stays(raw))[-1]
    monkeypatch.setattr(Headers, "of_nobody", lambda _: True)
    await world.known(post())
    assert b'"data"' in await world.known(post(b"authorization: Bearer other nonsense"))


async def test_without_the_look_at_headers_a_cookie_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.again.may_be_known", lambda _: True)
    assert b'"data"' in await world.known(APART["Cookie"])


async def test_in_pieces_or_several_at_once(world: World) -> None:
    """Each is answered, in their order, the ordinary way; neither teaches anything wrong."""
    raw, other = post(), post(body=b'{"query":"{ sources { code } }"}')
    again = await world.known(raw)
    ways = world.again
    async with world.client() as client:
        for piece in (raw[:70], raw[70:-5], raw[-5:]):
            client.writer.write(piece)
            await asyncio.sleep(0.02)
        assert plain(await client.response()) == plain(again)
        client.writer.write(raw + other + raw)
        found = [await client.response() for _ in range(3)]
        assert [b'"subject"' in one for one in found] == [True, False, True]
    assert world.again == ways
    async with world.client() as client:
        client.writer.write(b"P")  # what is known follows the beginning of something else
        await asyncio.sleep(0.05)
        assert (await client.ask(raw)).startswith(b"HTTP/1.1 400")
    assert world.again == ways


async def test_who_does_not_wait_is_answered_in_order_and_by_a_heartbeat_of_its_own(
    world: World, held: list[Back]
) -> None:
    """A heartbeat that a request before it waited for says nothing of what came since."""
    held_before = len(held)
    raw, other = post(), post(body=b'{"query":"{ sources { code } }"}')
    await teach(world, held, raw)
    del held[:]
    assert held_before == 0
    async with world.client() as client:
        client.writer.write(raw)
        await someone(held)
        client.writer.write(other)  # both go the ordinary way now
        await someone(held, 2)
        held[1](True)
        assert b'"subject"' in await client.response()
        assert b'"sources"' in await client.response()
        ways = world.again
        client.writer.write(raw)
        await someone(held, 3)
        held[0](True)  # the old one
        await asyncio.sleep(0.05)
        assert world.again == ways
        held[2](True)
        assert b'"subject"' in await client.response()
        assert world.again == ways + 1


async def teach(world: World, held: list[Back], raw: bytes) -> None:
    """Ask twice: the second time it is known."""
    for _ in range(2):
        async with world.client() as client:
            asked = asyncio.create_task(client.ask(raw))
            while not asked.done():
                for back in held:
                    back(True)
                del held[:]
                await asyncio.sleep(0.005)
            await asked


async def test_what_can_not_be_confirmed_is_computed(world: World, held: list[Back]) -> None:
    raw = post()
    await teach(world, held, raw)
    unconfirmed, answered = world.count("credit_public_cache_total", outcome="UNCONFIRMED"), world.answered()
    async with world.client() as client:
        client.writer.write(raw)
        await someone(held)
        held[0](False)
        assert b'"subject"' in await client.response()
    assert world.count("credit_public_cache_total", outcome="UNCONFIRMED") == unconfirmed + 1
    assert world.answered() == answered + 1


async def test_a_client_that_leaves_is_counted(world: World, held: list[Back]) -> None:
    raw = post()
    await teach(world, held, raw)
    async with world.client() as client:
        client.writer.write(raw)
        await someone(held)
    assert await eventually(lambda: world.count("credit_requests_total", view=ANONYMOUS.view, outcome="LEFT"))
    assert world.count("credit_requests_total", view=ANONYMOUS.view, outcome="LEFT") == 1
    answered = world.answered()
    held[0](True)
    assert world.answered() == answered


async def test_what_waits_when_the_server_stops_is_answered(world: World, held: list[Back]) -> None:
    raw = post()
    await teach(world, held, raw)
    async with world.client() as client:
        client.writer.write(raw)
        await someone(held)
        protocol = world.connections[-1]
        protocol.shutdown()
        await someone(held, 2)
        held[1](True)
        response = await client.response()
        assert b'"subject"' in response
        assert b"\r\nconnection: close\r\n" in response
        assert await client.reader.read() == b""
    assert protocol._door.stopping
    async with world.client() as client:  # nothing is given again from now on
        client.writer.write(raw)
        await someone(held, 3)
        held[2](True)
        ways = world.again
        await client.response()
        assert world.again == ways


async def test_a_header_after_it_has_the_time_of_a_header(world: World) -> None:
    raw = post()
    await world.known(raw)
    ways = world.again
    async with world.client() as client:
        for _ in range(10):
            await client.ask(raw)
        protocol = world.connections[-1]
        now, bounds = asyncio.get_running_loop().time(), protocol._bounds
        assert now + bounds.seconds < protocol._deadline <= now + bounds.idle
        client.writer.write(raw[:20])
        assert await eventually(lambda: protocol._deadline < now + bounds.idle - 2)
        assert protocol._deadline <= asyncio.get_running_loop().time() + bounds.seconds
    assert world.again > ways


async def pays(world: World, *requests: bytes) -> list[int]:
    """How many of each request are answered before the first is refused."""
    found = []
    for raw in requests:
        async with world.client() as client:
            number = 0
            while number < 40 and (await client.ask(raw)).startswith(b"HTTP/1.1 200"):
                number += 1
            found.append(number)
    return found


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1/32",)])
async def test_an_address_pays_for_each_once(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, proxies: tuple[str, ...]
) -> None:
    """Ours, or the one that our proxy tells; known or not, refused alike. Without the look nobody is refused."""
    limited = Settings(
        data_dir=settings.data_dir,
        public_rate=0.001,
        public_burst=9,
        trusted_proxies=tuple(ip_network(proxy) for proxy in proxies),
    )
    a, b = post(b"X-Forwarded-For: 192.0.2.1"), post(b"X-Forwarded-For: 192.0.2.2")
    async with world_of(limited, database, monkeypatch) as world:
        assert await pays(world, a, b) == [9, 9 if proxies else 0]
        assert world.again >= 5
        async with world.client() as client:
            assert (await client.ask(a)).startswith(b"HTTP/1.1 429")
        with monkeypatch.context() as patched:
            patched.setattr(Throttle, "public_request", lambda *_: 0.0)
            assert await pays(world, a) == [40]


async def test_what_falls_through_pays_once(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, held: list[Back]
) -> None:
    limited = Settings(data_dir=settings.data_dir, public_rate=0.001, public_burst=5)
    raw = post()
    async with world_of(limited, database, monkeypatch) as world:
        await teach(world, held, raw)
        async with world.client() as client:
            for _ in range(3):
                client.writer.write(raw)
                await someone(held)
                held.pop()(False)
                assert (await client.response()).startswith(b"HTTP/1.1 200")
            assert (await client.ask(raw)).startswith(b"HTTP/1.1 429")


# The cache alone -----------------------------------------------------------------------------------------------------


class Silent:
    """A listener without a connection of its own."""

    confirmed, day = True, "2026-07-01"

    def subscribe(self, *_: Any) -> None:
        """Nothing comes."""


def test_few_spellings_of_an_entry_are_known_and_they_go_with_it() -> None:
    kept = Kept(Silent(), size=100_000, clock=lambda: 0.0)  # type: ignore[arg-type]
    for key in (b"a", b"b"):
        begun = kept.begin(key)
        assert begun is not None
        entry = kept.put(key, begun, Basis(None, 1e9), b'{"data":1}')
        assert entry is not None
        before = kept._bytes
        for number in range(10):
            kept.learn(b"%b%d" % (key, number), Whole(key, entry, b"", []))
        assert [number for number in range(10) if kept.whole(b"%b%d" % (key, number))] == [6, 7, 8, 9]
        assert before < kept._bytes < before + 4 * 500
    kept._drop(b"a")
    assert kept.whole(b"a9") is None
    kept.learn(b"late", Whole(b"a", entry, b"", []))
    assert kept.whole(b"late") is None
    kept._drop(b"b")
    assert (kept._bytes, len(kept._wholes)) == (0, 0)
