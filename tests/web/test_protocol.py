"""Promises: what can't be read as one HTTP request, or could be read as two, gets one 4xx and the end of the
connection, after the answers to what came before it; sizes are bounded before an app hears of them; every response has
the headers that all have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from door_support import HOST, Served, get, post, served, statuses, talk

from gateway.web.door import Bounds
from gateway.web.protocol import Protocol

CLOSE = b"Connection: close"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Served]:
    async with served(Bounds(request_bytes=300_000)) as made:
        yield made


MALFORMED = {
    "no HTTP": b"nothing of HTTP\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(40),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0 in text": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "unknown method": b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT upstream.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": get("/", b"Host: other.example"),
    "obs-fold": get("/", b"A: b\r\n c"),
    "bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "bare LF in headers": b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "bare CR in headers": get("/", b"A: b\rC: d"),
    "NUL in a header": get("/", b"A: b\0c"),
    "space before the colon": get("/", b"A : b"),
    "space in a name": get("/", b"A b: c"),
    "target that is no URL": b"GET http://[::1/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "target with bytes": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without a path": b"GET http://h HTTP/1.1\r\n" + HOST + b"\r\n",
    "length and chunked": post(b"", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked and length": get("/", b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "chunked twice": get("/", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "identity, chunked": get("/", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked, gzip": get("/", b"Transfer-Encoding: chunked, gzip"),
    "gzip": get("/", b"Transfer-Encoding: gzip"),
    "xchunked": get("/", b"Transfer-Encoding: xchunked"),
    "chunked in HTTP/1.0": b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": get("/", b"Content-Length: 5", b"Content-Length: 6") + b"abcde",
    "two equal lengths": get("/", b"Content-Length: 5", b"Content-Length: 5") + b"abcde",
    "signed length": get("/", b"Content-Length: +5") + b"abcde",
    "negative length": get("/", b"Content-Length: -5"),
    "endless length": get("/", b"Content-Length: " + b"9" * 30),
    "length in words": get("/", b"Content-Length: five"),
    "chunk size in words": get("/", b"Transfer-Encoding: chunked") + b"xyz\r\n",
    "chunk that does not end": get("/", b"Transfer-Encoding: chunked") + b"1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_gets_one_400(server: Served, name: str) -> None:
    heard = await talk(server.port, MALFORMED[name], get("/smuggled"))
    assert statuses(heard) == [400], heard
    assert b"connection: close\r\n" in heard
    assert b"x-content-type-options: nosniff\r\n" in heard
    assert b"\r\ndate: " in heard
    assert not any(request.path == "/smuggled" for request in server.seen)


WELL_FORMED = {
    "two slashes": get("//graphql", CLOSE),
    "absolute form": get("http://gateway.example/graphql", CLOSE),
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/1.0 that would stay": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "empty lines before it": b"\r\n\r\n" + get("/", CLOSE),
    "TRACE": get("/", CLOSE).replace(b"GET", b"TRACE"),
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n\r\n",
    "upgrade to h2c": get("/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    "websocket": get("/", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x"),
    "chunked": get("/", b"Transfer-Encoding: chunked", CLOSE) + b"2\r\n{}\r\n0\r\n\r\n",
    "a hundred headers": get("/", *[b"A%d: b" % n for n in range(98)], CLOSE),
}


@pytest.mark.parametrize("name", WELL_FORMED)
async def test_well_formed_gets_one_answer(server: Served, name: str) -> None:
    heard = await talk(server.port, WELL_FORMED[name])
    assert statuses(heard) == [200], heard


@pytest.mark.parametrize("name", ["no HTTP", "length and chunked", "two Hosts", "chunk size in words"])
async def test_a_refusal_waits_for_the_answers_before_it(server: Served, name: str) -> None:
    heard = await talk(server.port, get("/slow") + get("/") + MALFORMED[name])
    assert statuses(heard) == [200, 200, 400], heard
    assert heard.index(b'"/slow"') < heard.index(b'"/"') < heard.index(b"HTTP/1.1 400")


async def test_what_follows_an_upgrade_is_not_read(server: Served) -> None:
    server.seen.clear()
    heard = await talk(server.port, WELL_FORMED["upgrade to h2c"] + get("/smuggled"), get("/smuggled"))
    assert statuses(heard) == [200]
    assert b"connection: close" in heard
    assert [request.path for request in server.seen] == ["/"]


async def test_trailers_do_not_become_headers(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy strips Client-Cert from headers; nobody looks at trailers."""
    attack = get("/", b"Transfer-Encoding: chunked", CLOSE) + b"2\r\n{}\r\n0\r\nClient-Cert: :forged:\r\n\r\n"
    for _ in range(2):
        server.seen.clear()
        assert statuses(await talk(server.port, attack)) == [200]
        # Without the control: trailers go where headers went.
        monkeypatch.setattr(Protocol, "on_headers_complete", _keeps_headers)
        forged = [value for name, value in server.seen[0].headers if name == b"client-cert"]
        assert forged == ([] if _ == 0 else [b":forged:"])


_complete = Protocol.on_headers_complete


def _keeps_headers(self: Protocol) -> None:
    headers = self.headers
    _complete(self)
    self.headers = headers


LONG = {
    "target": (get("/" + "x" * 17_000), 414),
    "target in pieces": (b"GET /" + b"x" * 17_000, 414),
    "header": (get("/", b"A: " + b"x" * 33_000), 431),
    "header without an end": (b"GET / HTTP/1.1\r\nA: " + b"x" * 33_000, 431),
    "header name without an end": (b"GET / HTTP/1.1\r\n" + b"x" * 33_000, 431),
    "many headers": (get("/", *[b"A%d: b" % n for n in range(101)]), 431),
    "many headers without an end": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 102, 431),
    "body": (post(b"x" * 700_000), 413),
    "chunked body": (get("/", b"Transfer-Encoding: chunked") + b"aae60\r\n" + b"x" * 700_000 + b"\r\n0\r\n\r\n", 413),
    "trailers without an end": (
        get("/", b"Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n" + b"a: b\r\n" * 140_000,
        413,
    ),
}


@pytest.mark.parametrize("name", LONG)
async def test_sizes(server: Served, name: str) -> None:
    request, status = LONG[name]
    for size in (len(request), 1_400):  # at once, and as packets bring it
        server.seen.clear()
        pieces = [request[at : at + size] for at in range(0, len(request), size)]
        heard = await talk(server.port, *pieces)
        assert statuses(heard) == [status], heard
        assert all(request.left for request in server.seen), "an app took it for whole"


async def test_sizes_are_those_of_each_request(server: Served) -> None:
    """Bytes of many small requests are nobody's long header, however the kernel cuts them."""
    one = get("/", b"A: " + b"x" * 5_000)
    for size in (64_000, 4_999):
        whole = one * 20 + get("/", CLOSE)
        heard = await talk(server.port, *[whole[at : at + size] for at in range(0, len(whole), size)])
        assert statuses(heard) == [200] * 21
    heard = await talk(server.port, one * 3 + get("/", b"A: " + b"x" * 33_000))
    assert statuses(heard) == [200, 200, 200, 431]


async def test_pipelined_requests_are_bounded(server: Served) -> None:
    """Of thousands in one piece, so many wait; the others are never looked at."""
    server.seen.clear()
    heard = await talk(server.port, get("/slow") + get("/") * 5_000)
    assert statuses(heard) == [200] * 33
    assert len(server.seen) == 33


async def test_without_the_bounds_all_of_it_is_taken() -> None:
    much = 1 << 40
    bounds = Bounds(header_bytes=much, headers=much, url_bytes=much, request_bytes=much, pipelined=much)
    async with served(bounds) as open_door:
        for name in ("target", "header", "many headers", "body", "chunked body", "trailers without an end"):
            request = LONG[name][0] + (b"\r\n" if name.startswith("trailers") else b"")
            heard = await talk(open_door.port, request + get("/", CLOSE))
            assert statuses(heard) == [200, 200], name
        open_door.seen.clear()
        heard = await talk(open_door.port, get("/slow") + get("/") * 999 + get("/", CLOSE))
        assert statuses(heard) == [200] * 1_001


async def test_without_the_check_of_codings_a_request_is_read_in_two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who knows only the first coding takes what follows for another request."""
    attack = get("/", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", CLOSE) + b"0\r\n\r\n"
    monkeypatch.setattr(Protocol, "_frame", _counts_hosts)
    async with served() as server:
        assert statuses(await talk(server.port, attack)) == [200]


def _counts_hosts(self: Protocol, name: bytes, value: bytes) -> None:
    self._hosts += name == b"host"


async def test_an_expectation_that_was_not_met_ends_the_connection(server: Served) -> None:
    """The client may send its body or not: what comes next could be either, so nothing comes next."""
    heard = await talk(
        server.port, post(b"", b"Expect: 100-continue", path="/early").replace(b"Length: 0", b"Length: 9")
    )
    assert statuses(heard) == [200]
    request = post(b"{}", b"Expect: 100-continue", CLOSE)
    heard = await talk(server.port, request[:-2], b"{}", pause=0.1)
    assert statuses(heard) == [100, 200]


async def test_an_answer_before_the_body_leaves_the_connection_in_step(server: Served) -> None:
    early = post(b"x" * 1_000, path="/early")
    heard = await talk(server.port, early[:500], early[500:] + get("/", CLOSE), pause=0.2)
    assert statuses(heard) == [200, 200]


async def test_every_response_has_the_headers(server: Served) -> None:
    for request in (get("/", CLOSE), get("/", CLOSE).replace(b"GET", b"HEAD"), MALFORMED["no HTTP"], LONG["header"][0]):
        heard = (await talk(server.port, request)).partition(b"\r\n\r\n")[0] + b"\r\n"
        for line in (
            b"x-content-type-options: nosniff\r\n",
            b"referrer-policy: no-referrer\r\n",
            b"cross-origin-resource-policy: same-origin\r\n",
            b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
        ):
            assert heard.count(line) == 1, (line, heard)
        assert b"\r\nserver:" not in heard.lower()
        assert b"access-control" not in heard.lower()


async def test_a_client_that_waits_reads_its_refusal_though_it_still_sends(server: Served) -> None:
    """Closed at once, the kernel would answer what still arrives with a reset, which takes the refusal away."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(get("/", b"A: " + b"x" * 40_000))
    await asyncio.sleep(0.2)
    for _ in range(5):
        writer.write(b"x" * 10_000)
        await asyncio.sleep(0.05)
    assert statuses(await reader.read()) == [431]
    writer.close()
