"""Another region's log is cosigned only where it continues what was seen of it; a fork is found by whoever kept a
checkpoint, whoever made it; and whatever a hostile log answers costs a bounded time and no belief."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_support import ORIGIN, TestLog, listening
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger.head import COSIGNATURES, signer, verifiers
from gateway.ledger.merkle import Frontier, leaf_hash
from gateway.ledger.notes import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    Note,
    NoteError,
    Signer,
    WrongSignature,
    cosigned_at,
    read_note,
)
from gateway.ledger.published import Published
from gateway.ledger.remote import RemoteError, checked_url, opened
from gateway.ledger.witness import Forked, Seen, consistent, cosign, keep_cosignatures, seen
from gateway.web.log import log_routes
from gateway.web.refusals import refuse
from tests.machine import stopwatch

NAME = "witness.example/log"


@asynccontextmanager
async def served(published: Published) -> AsyncIterator[str]:
    """The log over HTTP; its prefix."""
    app = Starlette(routes=log_routes(published), exception_handlers={HTTPException: refuse})
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/log"
    finally:
        server.should_exit = True
        await running


@pytest_asyncio.fixture
async def url(published: Published) -> AsyncIterator[str]:
    async with served(published) as made:
        yield made


@pytest.fixture
def witness_keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "witness")


async def cosigned(log: TestLog, url: str, keys: KeyStore) -> Note:
    """What `ledger witness` does."""
    async with opened(url) as remote:
        found = seen(await remote.checkpoint(), verifiers(log.keys, ORIGIN))
        return await cosign(log.log, keys, NAME, found, remote.proof)


async def test_a_log_that_grows_is_cosigned_each_time(log: TestLog, url: str, witness_keys: KeyStore) -> None:
    sizes = []
    for count in (3, 300, 0, 700):
        if count:
            await log.grow(count)
            await asyncio.sleep(0.25)
        note = await cosigned(log, url, witness_keys)
        key = signer(witness_keys, COSIGNATURES, NAME).verifier
        assert key.kind == COSIGNATURE
        (line,) = read_note(str(note).encode()).held_by([key])
        assert abs(cosigned_at(line) - time.time()) < 60
        note.held_by(verifiers(log.keys, ORIGIN))
        sizes.append(int(note.text.split("\n")[1]))
    assert sizes == [3, 303, 303, 1003]
    rows = await log.owner.fetch("select origin, size from ledger.witnessed order by at")
    assert [tuple(row) for row in rows] == [(ORIGIN, size) for size in sizes]


async def test_what_was_cosigned_is_served_and_comes_home(
    log: TestLog, published: Published, url: str, witness_keys: KeyStore
) -> None:
    """Both regions are one database here: what we witness and what others witness of us have tables of their own."""
    await log.grow(10)
    note = await cosigned(log, url, witness_keys)
    for path in witness_keys._directory.glob("cosignatures.*.json"):
        shutil.copy2(path, log.keys._directory)  # shown is what keys of the machine that shows it have cosigned
    async with opened(url) as remote:
        data = await remote.note(f"witness/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint")
        assert data == str(note).encode()
        assert await published.cosigned() is None
        key = signer(witness_keys, COSIGNATURES, NAME).verifier
        for _ in range(2):
            checkpoint, names = await keep_cosignatures(log.log, log.keys, data, [key])
        assert (checkpoint.size, names) == (10, [NAME])
        await asyncio.sleep(0.25)
        for path in ("cosigned", "checkpoint"):
            shown = read_note(await remote.note(path))
            assert len(shown.held_by([key])) == len(shown.held_by(verifiers(log.keys, ORIGIN))) == 1
        await log.grow(1)
        await asyncio.sleep(0.25)
        assert len(read_note(await remote.note("checkpoint")).signatures) == 1
        assert len(read_note(await remote.note("cosigned")).signatures) == 2


async def test_of_each_witness_the_newest_is_shown(
    log: TestLog, published: Published, witness_keys: KeyStore, tmp_path: Path
) -> None:
    """Who cosigns an idle log each minute neither hides what others cosign nor grows old."""
    await log.grow(10)
    stored = read_note((await log.checkpoints())[0]["note"].encode())
    often = signer(witness_keys, COSIGNATURES, "often.example/log")
    once = signer(KeyStore(tmp_path / "once"), COSIGNATURES, "once.example/log")
    now = int(time.time())
    for who, at in [*[(often, now - 2_400 + 60 * minute) for minute in range(40)], (once, now)]:
        data = str(Note(stored.text, (*stored.signatures, who.sign(stored.text, at)))).encode()
        assert (await keep_cosignatures(log.log, log.keys, data, [who.verifier]))[1] == [who.verifier.name]
    for shown in (await published.cosigned(), await published.checkpoint()):
        assert shown is not None
        found = {line.name: cosigned_at(line) for line in read_note(shown).signatures if line.name != ORIGIN}
        assert found == {"often.example/log": now - 60, "once.example/log": now}


async def test_cosignatures_that_are_not_kept(log: TestLog, witness_keys: KeyStore, tmp_path: Path) -> None:
    await log.grow(10)
    made = signer(witness_keys, COSIGNATURES, NAME)
    stored = read_note((await log.checkpoints())[0]["note"].encode())

    def noted(text: str, *lines: Any) -> bytes:
        return str(Note(text, lines)).encode()

    own = stored.signatures[0]
    now = int(time.time())
    other = Signer(NAME, COSIGNATURE, signer(KeyStore(tmp_path / "x"), COSIGNATURES, NAME).key)
    for lines in ((own,), (own, other.sign(stored.text, now)), (own, made.sign(stored.text, now + 3_600))):
        with pytest.raises(NoteError):
            await keep_cosignatures(log.log, log.keys, noted(stored.text, *lines), [made.verifier])
    with pytest.raises(NoteError, match="share the folder of keys") as unknown:
        await keep_cosignatures(log.log, log.keys, noted(stored.text, made.sign(stored.text, now)), [made.verifier])
    assert not isinstance(unknown.value, WrongSignature)
    wrong = dataclasses.replace(own, value=bytes(64))  # it names our key, which has not made it
    with pytest.raises(WrongSignature, match="our own log has not signed"):
        await keep_cosignatures(
            log.log, log.keys, noted(stored.text, wrong, made.sign(stored.text, now)), [made.verifier]
        )
    # Our own key has signed another tree of that size, or more than there is: somebody was shown a fork.
    ours = signer(log.keys, "checkpoints", ORIGIN)
    for size in (10, 11):
        forged = Checkpoint(ORIGIN, size, sha256(b"x").digest()).signed([ours])
        data = noted(forged.text, *forged.signatures, made.sign(forged.text, now))
        with pytest.raises(Forked) as caught:
            await keep_cosignatures(log.log, log.keys, data, [made.verifier])
        assert caught.value.evidence == (data.decode(),)
    assert await log.owner.fetchval("select count(*) from ledger.cosignature") == 0


async def fork(log: TestLog, index: int) -> None:
    """The log is written anew from an entry on, with its own key: nothing in it is amiss."""
    await log.owner.execute(
        "update ledger.leaf set entry = sha256(entry || 'fork'),"
        " hash = sha256('\\x00'::bytea || sha256(entry || 'fork')) where index >= $1",
        index,
    )
    await log.owner.execute("truncate ledger.checkpoint, ledger.tile")
    assert await log.restarted().publish()


@pytest.mark.parametrize(("index", "more"), [(0, 0), (150, 500), (399, 500)])
async def test_a_forked_history(log: TestLog, url: str, witness_keys: KeyStore, index: int, more: int) -> None:
    await log.grow(400)
    old = await cosigned(log, url, witness_keys)
    await fork(log, index)
    if more:
        forked = log.restarted()
        await forked.grow(more)
    await asyncio.sleep(0.25)
    with pytest.raises(Forked) as caught:
        await cosigned(log, url, witness_keys)
    first, second = caught.value.evidence
    assert first == str(old)
    for evidence in (first, second):
        read_note(evidence.encode()).held_by(verifiers(log.keys, ORIGIN))
    assert await log.owner.fetchval("select count(*) from ledger.witnessed") == 1


async def test_a_log_that_was_set_back(log: TestLog, url: str, witness_keys: KeyStore) -> None:
    await log.grow(400)
    await cosigned(log, url, witness_keys)
    await log.owner.execute(
        "delete from ledger.leaf where index > 300; update ledger.log_state set size = 301; truncate ledger.checkpoint"
    )
    await log.owner.execute("truncate ledger.tile")
    assert await log.restarted().publish()
    await asyncio.sleep(0.25)
    with pytest.raises(Forked, match="set back"):
        await cosigned(log, url, witness_keys)


async def test_without_the_check_a_fork_is_cosigned(log: TestLog, url: str, witness_keys: KeyStore) -> None:
    """The control: a witness that has forgotten what it saw."""
    await log.grow(400)
    await cosigned(log, url, witness_keys)
    await fork(log, 100)
    await log.owner.execute("truncate ledger.witnessed")
    await asyncio.sleep(0.25)
    assert await cosigned(log, url, witness_keys)


async def test_a_checkpoint_of_another_key(log: TestLog, url: str, witness_keys: KeyStore, tmp_path: Path) -> None:
    await log.grow(3)
    other = KeyStore(tmp_path / "other")
    signer(other, "checkpoints", ORIGIN)
    async with opened(url) as remote:
        data = await remote.checkpoint()
    for keys in (verifiers(other, ORIGIN), verifiers(log.keys, "elsewhere.example/log"), []):
        with pytest.raises(NoteError):
            seen(data, keys)


async def test_two_witnesses_at_once_keep_the_newer(
    log: TestLog, url: str, witness_keys: KeyStore, database: Any
) -> None:
    await log.grow(5)
    async with opened(url) as remote:
        old = seen(await remote.checkpoint(), verifiers(log.keys, ORIGIN))
        await log.grow(5)
        await asyncio.sleep(0.25)
        new = seen(await remote.checkpoint(), verifiers(log.keys, ORIGIN))
        second = await asyncpg.connect(database.dsn("log"))
        try:
            found = await asyncio.gather(
                cosign(log.log, witness_keys, NAME, new, remote.proof),
                cosign(second, witness_keys, NAME, old, remote.proof),
                return_exceptions=True,
            )
        finally:
            await second.close()
    # By the rows' own places: `at` is when a transaction began, and who began first may have waited for the other one.
    last = await log.owner.fetchval("select size from ledger.witnessed order by ctid desc limit 1")
    assert last == 10
    assert not isinstance(found[0], BaseException)


async def test_checkpoints_of_two_logs() -> None:
    key = Signer("a", ED25519, signer_key())
    notes = [Checkpoint(name, 1, sha256(name.encode()).digest()) for name in ("a", "b")]
    pair = [Seen(one, one.signed([key])) for one in notes]

    async def prove(parts: Any, size: int) -> list[bytes]:
        raise AssertionError("nothing to prove")

    with pytest.raises(OperatorError, match="two different logs"):
        await consistent(pair[0], pair[1], prove)


def signer_key() -> Any:
    return Ed25519PrivateKey.generate()


# Hostile logs ---------------------------------------------------------------------------------------------------------


Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def hostile(answer: Answer) -> AsyncIterator[str]:
    """A server that writes what it likes; it gets the path."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            await answer(head.split(b" ")[1].decode(), writer)
            await writer.drain()
        writer.transport.abort() if answer in (endless, slowly) else writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    try:
        async with listening(connected) as url:
            yield url
    finally:
        await asyncio.sleep(0.05)


async def endless(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()


async def slowly(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"content-length: 50\r\n\r\n")
    for _place in range(50):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def redirects(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/log/checkpoint\r\ncontent-length: 0\r\n\r\n")


async def compressed(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b")


async def broken(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"content-length: 100\r\n\r\nabc")


async def silent(_: str, writer: asyncio.StreamWriter) -> None:
    pass


async def garbage(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x1b[31mred\r\n\r\n")


async def failing(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 \x1b[31mred\r\ncontent-length: 0\r\n\r\n")


async def nothing(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("answer", [endless, redirects, compressed, broken, silent, garbage, failing, nothing])
async def test_a_hostile_log(answer: Any) -> None:
    async with stopped(5.0), hostile(answer) as url, opened(url) as remote:
        with pytest.raises(RemoteError) as caught:
            await remote.checkpoint()
        with pytest.raises(RemoteError):
            await remote.proof([(0, 256), (256, 257)], 300)
    assert "\x1b" not in str(caught.value)


@asynccontextmanager
async def stopped(less_than: float) -> AsyncIterator[None]:
    """What stands inside takes less, s; pauses of the machine do not count."""
    with stopwatch() as seconds:
        yield
        assert seconds() < less_than


async def test_a_log_that_answers_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.remote._TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    async with hostile(slowly) as url, opened(url) as remote, stopped(2.0):
        with pytest.raises(RemoteError):
            await remote.checkpoint()


async def test_a_partial_tile_that_is_gone_is_taken_from_the_full_one() -> None:
    """As the standard allows it, once the log has grown."""
    hashes = [leaf_hash(b"%d" % i) for i in range(256)]

    async def full_alone(path: str, writer: asyncio.StreamWriter) -> None:
        if path != "/log/tile/0/000":
            return await nothing(path, writer)
        writer.write(OK + b"content-length: 8192\r\n\r\n" + b"".join(hashes))
        return None

    roots = {}
    frontier = Frontier()
    for found in hashes[:100]:
        frontier.append(found)
        roots[frontier.size] = frontier.root()
    key = Signer(ORIGIN, ED25519, signer_key())
    old, new = (Seen(one, one.signed([key])) for one in (Checkpoint(ORIGIN, size, roots[size]) for size in (37, 100)))
    async with hostile(full_alone) as url, opened(url) as remote:
        await consistent(old, new, remote.proof)


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example/log",
        "ftp://127.0.0.1/log",
        "https://user:word@gateway.example/log",
        "https:///log",
        "https://gateway.example/log?x=1",
        "https://gateway.example/log#x",
        "https://[::1/log",
        "gateway.example/log",
        "",
    ],
)
def test_what_is_no_url_of_a_log(url: str) -> None:
    with pytest.raises(RemoteError):
        checked_url(url)


def test_urls() -> None:
    assert checked_url("https://gateway.example/log/") == "https://gateway.example/log"
    assert checked_url("http://[::1]:8000/log/checkpoint") == "http://[::1]:8000/log"
