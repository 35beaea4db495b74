"""Promises of the short way: a question whose headers are in order is answered as on the long way, to its last byte but
the date, whoever asks; what asks for more, names its caller by other means or can't be taken goes the long way. An
answer that leaves in one step is the one that uvicorn would send. Each look tells where the short way takes too much.

Real PostgreSQL, real connections.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.web.headers import Headers, Usual
from gateway.web.protocol import Protocol
from tests.e2e.e2e_stack import Gateway, make_client, serving
from tests.engine import small_world
from tests.engine.small_world import FIRM, ORGAN
from tests.storage.eventually import eventually
from tests.web.test_again import BODY, Client, plain, post

TOKEN = b"Authorization: Bearer %b"
GRAPHQL = b"Accept: application/graphql-response+json"
WRONG = json.dumps({"query": "{ subject(uscc: 1) { nothing } }"}).encode()

# What the short way takes.
SHORT = {
    "nobody": (),
    "its media type": (GRAPHQL,),
    "a language": (GRAPHQL, b"Accept-Language: zh-CN,zh;q=0.9"),
    "a charset": (b"X-Request-Id: 7", b"User-Agent: test"),
    "a token": (TOKEN,),
    "a token and more": (TOKEN, GRAPHQL, b"Accept-Language: en"),
    "a token that does not hold": (b"Authorization: Bearer nothing",),
    "no token": (b"Authorization: Basic eDp5",),
    "a purpose of nobody's": (b'Credit-Purpose: matter="GRANT", case="1"',),
    "a connection that is kept": (TOKEN, b"Connection: keep-alive"),
}
# What it does not: it is refused for its headers, or asks for something else than an answer.
LONG = {
    "another content": (b"Content-Encoding: gzip",),
    "not acceptable": (b"Accept: text/csv",),
    "two tokens": (TOKEN, TOKEN),
    "two purposes": (TOKEN, b'Credit-Purpose: matter="A", case="1"', b'Credit-Purpose: matter="B", case="1"'),
    "its cost": (TOKEN, b"Credit-Cost: request"),
    "its cost, of nobody": (b"Credit-Cost: request",),
    "a deadline": (TOKEN, b"Credit-Deadline-Ms: 900"),
    "a deadline that is none": (TOKEN, b"Credit-Deadline-Ms: soon"),
    "hops": (TOKEN, b"Credit-Hops: 1"),
    "a proof": (b"Authorization: DPoP nothing", b"DPoP: nothing"),
    "a key": (TOKEN, b"Idempotency-Key: k"),
}


class Asked:
    """What was asked, on which ways."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token.encode()
        self.usual = self.whole = 0

    def raw(self, headers: tuple[bytes, ...], **more: Any) -> bytes:
        return post(*[header.replace(b"%b", self.token) for header in headers], **more)

    async def ask(self, raw: bytes, *, times: int = 1) -> list[bytes]:
        """Responses on one connection, without their dates."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            return [plain(await client.ask(raw)) for _ in range(times)]
        finally:
            client.writer.close()

    async def until(self, raw: bytes, text: bytes) -> None:
        """Ask until the response has this, for ten seconds at most."""
        for _ in range(100):
            if text in (await self.ask(raw))[0]:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(text)


@pytest_asyncio.fixture(scope="module")
async def served(database: Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[int, str]]:
    """A port and a token. No answer is kept: each is made."""
    owner = await asyncpg.connect(database.migrate_dsn)
    await small_world.build(owner)
    await owner.close()
    settings = Settings(data_dir=tmp_path_factory.mktemp("usual"), public_cache_bytes=0)
    async with serving(settings, database) as base, aiohttp.ClientSession() as session:
        client = await make_client(database, "usual", "view:restricted", "GRANT", organisation=ORGAN)
        yield int(base.rpartition(":")[2]), await Gateway(base, session).fetch_token(client)


@pytest.fixture
def asked(served: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked(*served)
    usual, whole = Headers.usual, Protocol._whole

    def noted(headers: Headers, most_bytes: int) -> Usual | None:
        found = usual(headers, most_bytes)
        made.usual += found is not None
        return found

    def written(protocol: Protocol, *given: Any) -> bool:
        done = whole(protocol, *given)
        made.whole += done
        return done

    monkeypatch.setattr(Headers, "usual", noted)
    monkeypatch.setattr(Protocol, "_whole", written)
    return made


@pytest.mark.parametrize("body", [BODY, WRONG, b"{", b"[]"], ids=["right", "wrong", "no JSON", "a batch"])
@pytest.mark.parametrize("headers", [*SHORT.values(), *LONG.values()], ids=[*SHORT, *LONG])
async def test_both_ways_answer_the_same(
    asked: Asked, headers: tuple[bytes, ...], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = asked.raw((*headers, b"X-New: 1"), body=body)  # as nobody has sent them yet
    short = await asked.ask(raw, times=2)
    taken, asked.usual = asked.usual, 0
    assert taken == (headers in SHORT.values())
    monkeypatch.setattr(Headers, "usual", lambda *_: None)
    assert await asked.ask(asked.raw((*headers, b"X-Old: 1"), body=body), times=2) == short
    assert asked.usual == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accept", "text/event-stream"),
        ("content-length", "101"),
        ("content-length", "x"),
        ("content-type", "text/plain"),
    ],
)
def test_what_the_short_way_leaves_to_the_long_one(name: str, value: str) -> None:
    plain_ones = {"content-type": "application/json", "content-length": "100"}
    for given, taken in ((plain_ones, True), ({**plain_ones, name: value}, False)):
        headers = Headers([(key.encode(), one.encode()) for key, one in given.items()])
        assert (headers.usual(100) is not None) is taken


async def test_an_answer_in_one_step_is_the_one_of_two_messages(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = asked.raw((TOKEN, GRAPHQL))
    short = await asked.ask(raw, times=3)
    assert asked.whole == 3
    assert b"no-store" in short[0]
    monkeypatch.setattr(Protocol, "_whole", lambda *_: False)
    assert await asked.ask(raw, times=3) == short


@pytest.mark.parametrize(
    ("headers", "more", "whole"),
    [
        ((b"Connection: close",), {}, 0),
        ((), {"version": b"1.0"}, 0),
        ((b"Expect: 100-continue",), {}, 1),  # its body was there before anybody asked for it
        ((), {}, 1),
    ],
)
async def test_what_ends_its_connection_goes_the_way_of_the_server(
    asked: Asked, headers: tuple[bytes, ...], more: dict[str, bytes], whole: int
) -> None:
    (response,) = await asked.ask(asked.raw((TOKEN, *headers), **more))
    assert json.loads(response.partition(b"\r\n\r\n")[2])["data"]["subject"]["name"]
    assert asked.whole == whole
    assert (b"connection: close" in response) is not whole


async def test_answers_to_requests_behind_each_other_keep_their_order(asked: Asked) -> None:
    """Of one connection, sent at once: short and long, right and wrong."""
    raws = [
        asked.raw((TOKEN,)),
        asked.raw((TOKEN, b"Credit-Cost: request")),
        asked.raw((), body=WRONG),
        asked.raw((TOKEN, GRAPHQL)),
        asked.raw((b"Accept: text/csv",)),
    ]
    alone = [(await asked.ask(raw))[0] for raw in raws]
    client = Client(*await asyncio.open_connection("127.0.0.1", asked.port))
    client.writer.write(b"".join(raws))
    assert [plain(await client.response()) for _ in raws] == alone
    client.writer.close()
    assert len({*alone}) == len(raws)


async def test_who_has_left_gets_nothing_and_harms_nobody(asked: Asked) -> None:
    for _ in range(20):
        client = Client(*await asyncio.open_connection("127.0.0.1", asked.port))
        client.writer.write(asked.raw((TOKEN,)))
        await client.writer.drain()
        client.writer.transport.abort()
    assert b'"name"' in (await asked.ask(asked.raw((TOKEN,))))[0]


async def test_a_client_that_is_disabled_elsewhere_is_refused_though_its_headers_are_known(
    asked: Asked, database: Database
) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    raw = asked.raw((TOKEN,))
    assert b'"name"' in (await asked.ask(raw, times=2))[1]
    await owner.execute("update auth.client set disabled_at = now() where id = 'usual'")
    try:
        await asked.until(raw, b"UNAUTHENTICATED")
    finally:
        await owner.execute("update auth.client set disabled_at = null where id = 'usual'")
        await owner.close()
    await asked.until(raw, b'"name"')


async def test_who_asks_for_much_leaves_and_reads_nothing_is_no_fault_of_ours(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    """One request after the other, until the answers wait for the client; then it is gone."""
    long = b"{__schema{types{name description fields{name description args{name description type{name}}}}}}"
    raw = asked.raw((TOKEN,), body=json.dumps({"query": long.decode()}).encode())
    assert len((await asked.ask(raw))[0]) > 30_000
    caplog.set_level(logging.WARNING)

    def waiting() -> bool:
        return any(isinstance(each, Protocol) and each.flow.write_paused for each in gc.get_objects())

    for _ in range(3):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", asked.port))
            for _ in range(100):
                client.sendall(raw)
                await asyncio.sleep(0.01)
                if waiting():
                    break
            assert waiting()
            client.sendall(raw)
            await asyncio.sleep(0.05)
        assert await eventually(lambda: not waiting())
    await asyncio.sleep(0.1)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize(
    ("target", "status"), [(b"/graphql", b"200"), (b"/nothing", b"404"), (b"/graphql?access_token=x", b"400")]
)
async def test_a_request_is_gone_when_it_is_answered(asked: Asked, target: bytes, status: bytes) -> None:
    """With all that hangs on it, body and headers: not when Python's collector comes some day."""

    def alive() -> int:
        return sum(isinstance(each, RequestResponseCycle) for each in gc.get_objects())

    raw = asked.raw((TOKEN,)).replace(b"/graphql", target, 1)
    client = Client(*await asyncio.open_connection("127.0.0.1", asked.port))
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(20):
            assert (await client.ask(raw)).split()[1] == status
        assert alive() <= before + 2
        client.writer.close()
        await asyncio.sleep(0.1)
        assert alive() <= before
    finally:
        gc.enable()


async def test_without_the_look_at_what_asks_for_more_its_cost_is_not_told(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = asked.raw((TOKEN, b"Credit-Cost: request", b"X-Careless: 1"))
    monkeypatch.setattr("gateway.web.headers._PURPOSE", b"credit-cost")
    careless = await asked.ask(raw)
    monkeypatch.undo()
    assert b'"cost"' not in careless[0]
    assert b'"cost"' in (await asked.ask(asked.raw((TOKEN, b"Credit-Cost: request", b"X-Careless: 2"))))[0]


async def test_headers_of_two_askers_are_never_taken_for_each_other(asked: Asked) -> None:
    """The same but for one byte of the token: what was seen of one says nothing of the other."""
    right = asked.raw((TOKEN,))
    wrong = right.replace(asked.token, asked.token[:-2] + (b"AA" if asked.token[-2:] != b"AA" else b"BB"))
    first = await asked.ask(right, times=2)
    assert b"UNAUTHENTICATED" in (await asked.ask(wrong, times=2))[1]
    assert await asked.ask(right) == first[:1]
    assert FIRM.encode() not in first[0]
