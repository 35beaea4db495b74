"""Promise: bytes that are not PostgreSQL's protocol end their connection, before asyncpg can be sent round in circles
by them, or take the process down; bytes that are reach asyncpg unchanged, in whatever pieces they arrive."""

from __future__ import annotations

import random
import signal
import struct
import subprocess
import sys

import pytest

from gateway.storage.database import Database
from gateway.storage.faults import garbled
from gateway.storage.framing import Frames, Misframed
from gateway.storage.lane import Lane, connect


def message(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    return kind + struct.pack("!I", 4 + len(body) if length is None else length) + body


REPLY = message(b"2", b"") + message(b"D", b"x" * 50) + message(b"C", b"SELECT 1\0") + message(b"Z", b"I")


def test_a_reply_in_any_pieces() -> None:
    chance = random.Random(3)
    for _ in range(500):
        frames, sent = Frames(), REPLY * 3
        while sent:
            size = chance.choice([1, 2, 4, 5, 6, 50, 1_000])
            frames.check(sent[:size])
            sent = sent[size:]
        frames.check(REPLY)
        assert (frames._head, frames._rest) == (b"", 0)


@pytest.mark.parametrize(
    "bad",
    [
        message(b"D", b"", 0),
        message(b"D", b"", 3),
        message(b"D", b"", 0xFFFF_FFFF),
        message(b"D", b"", 0x8000_0004),
        message(b"\0", b""),
        message(b"d", b"")[1:],
        message(b"\xff", b"x"),
    ],
    ids=["0", "3", "-1", "most negative", "no type", "shifted by one", "no letter"],
)
@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_what_no_server_sends(bad: bytes, size: int) -> None:
    frames, sent = Frames(), REPLY + bad + REPLY
    pieces = [sent[place : place + size] for place in range(0, len(sent), size)]
    with pytest.raises(Misframed):
        [frames.check(piece) for piece in pieces]


def authentication(code: int, body: bytes) -> bytes:
    return message(b"R", struct.pack("!I", code) + body)


OFFERED = authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
CONTINUED = authentication(11, b"r=x,s=eA==,i=4096")
ENDED = authentication(12, b"v=eA==") + authentication(0, b"")


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_an_authentication_in_its_order(size: int) -> None:
    frames, sent = Frames(), OFFERED + CONTINUED + ENDED + REPLY
    for place in range(0, len(sent), size):
        frames.check(sent[place : place + size])
    assert (frames._head, frames._rest) == (b"", 0)


@pytest.mark.parametrize("size", [1, 3, 1_000])
@pytest.mark.parametrize(
    "bad",
    [
        CONTINUED,
        ENDED,
        OFFERED + ENDED,
        OFFERED + CONTINUED + CONTINUED,
        OFFERED + CONTINUED + ENDED + CONTINUED,
        authentication(10, b"SCRAM-SHA-257\0\0") + CONTINUED,
        message(b"R", b"x" * 20_000),
        message(b"R", b"\0\0"),
    ],
    ids=["begins in the middle", "ends at once", "step left out", "twice", "anew", "unknown", "long", "short"],
)
def test_an_authentication_out_of_its_order(bad: bytes, size: int) -> None:
    frames = Frames()
    with pytest.raises(Misframed):
        [frames.check(bad[place : place + size]) for place in range(0, len(bad), size)]


# A server that speaks nonsense, and a client that must not be caught in it.
CLIENT = """
import asyncio, struct, sys
import asyncpg
if sys.argv[1] == "checked":
    from gateway.storage.lane import connect  # puts the check in

async def serve(reader, writer):
    await reader.read(1000)
    writer.write(bytes.fromhex(sys.argv[2]))
    await writer.drain()
    await asyncio.sleep(60)

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        await asyncpg.connect(f"postgresql://a:b@127.0.0.1:{port}/c", timeout=2, ssl=False)
    except Exception as error:
        print(type(error).__name__, type(error.__cause__).__name__, flush=True)
    sys.exit(0)

asyncio.run(main())
"""


ENDLESS = b"\0" + struct.pack("!i", 4) + bytes(20)


def client(kind: str, sent: bytes, seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CLIENT, kind, sent.hex()]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


@pytest.mark.parametrize("sent", [ENDLESS, CONTINUED, ENDED], ids=["endless", "continued", "ended"])
def test_asyncpg_is_neither_caught_nor_killed(sent: bytes) -> None:
    done = client("checked", sent, 30)
    assert done.stdout.split() == ["ConnectionDoesNotExistError", "Misframed"], done.stderr[-2_000:]


def test_without_the_check_it_would_be_caught() -> None:
    with pytest.raises(subprocess.TimeoutExpired):  # its own deadline of two seconds never comes
        client("bare", ENDLESS, 5)


def test_without_the_check_it_would_be_killed() -> None:
    assert client("bare", CONTINUED, 30).returncode == -signal.SIGSEGV


async def test_connections_of_a_pool_are_checked(database: Database) -> None:
    lane: Lane = await connect(database.dsn("service"), {}, 5)
    lane.connection._protocol._frames._rest = 3  # type: ignore[attr-defined]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which of the driver's errors is its own affair
        await lane.connection.fetch("select 1")
    assert garbled(caught.value)
    assert lane.connection.is_closed()
