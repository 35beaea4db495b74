"""Checkpoints follow from the leaves, whoever is killed or restarted; never one smaller than, or inconsistent with,
what was signed: whoever changes the past finds the log unsigned, and the operator told."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from log_support import ORIGIN, TestLog

from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger.head import CHECKPOINTS, origin_of, signer, verifiers
from gateway.ledger.merkle import EMPTY, root_of, whole
from gateway.ledger.notes import COSIGNATURE, ED25519, Checkpoint, NoteError, checkpoint_of, read_note, verifier
from gateway.ledger.published import Published
from gateway.ledger.tiles import Tile, split, unbundle


async def test_an_empty_log_has_a_checkpoint(log: TestLog, published: Published) -> None:
    assert await published.checkpoint() is None
    assert await published.verifiers() is None
    assert await log.publish()
    note = read_note(await published.checkpoint() or b"")
    found = checkpoint_of(note.text)
    assert (found.origin, found.size, found.root) == (ORIGIN, 0, EMPTY)
    note.held_by(verifiers(log.keys, ORIGIN))


async def test_both_verifier_keys_are_there_from_the_first_checkpoint_on(log: TestLog, published: Published) -> None:
    """Another region pins the key by which we cosign before we have cosigned anything."""
    assert await log.publish()
    lines = (await published.verifiers() or b"").decode().splitlines()
    assert [verifier(line).kind for line in lines] == [ED25519, COSIGNATURE]
    # As docs/ledger.md has it, one sees of a key which it is.
    assert [line.split("+", 2)[2][0] for line in lines] == ["A", "B"]


async def test_it_grows_as_the_leaves_do(log: TestLog) -> None:
    for count in (1, 254, 1, 1, 300, 700):
        assert await log.grow(count)
    leaves = await log.leaves()
    keys = verifiers(log.keys, ORIGIN)
    stored = await log.checkpoints()
    assert [row["size"] for row in stored] == [1, 255, 256, 257, 557, 1257]
    for row in stored:
        note = read_note(row["note"].encode())
        note.held_by(keys)
        found = checkpoint_of(note.text)
        assert (found.size, found.root) == (row["size"], row["root"])
        assert found.root == root_of(leaves[: row["size"]])
    tiles = await log.owner.fetch("select level, n, hash from ledger.tile order by n")
    assert [tuple(row) for row in tiles] == [(0, n, whole(leaves[256 * n : 256 * n + 256])) for n in range(4)]
    assert log.metric("credit_log_checkpoint_size") == 1257
    assert log.metric("credit_log_checkpoints_total") == 6


async def test_two_levels_of_tiles(log: TestLog, published: Published) -> None:
    await log.owner.execute(
        "insert into ledger.leaf (index, at, xid, id, kind, entry, hash) select i, now(), '3', gen_random_uuid(), 'D',"
        " sha256(i::text::bytea), sha256('\\x00'::bytea || sha256(i::text::bytea)) from generate_series(0, 66099) i;"
        " update ledger.log_state set size = 66100"
    )
    assert await log.publish()
    leaves = await log.leaves()
    stored = await log.checkpoints()
    assert stored[0]["root"] == root_of(leaves)
    ones = [whole(leaves[i : i + 256]) for i in range(0, 66048, 256)]
    assert split(await published.tile(Tile(1, 0)) or b"") == ones[:256]
    assert split(await published.tile(Tile(1, 1, 2)) or b"") == ones[256:]
    assert split(await published.tile(Tile(2, 0, 1)) or b"") == [whole(ones[:256])]
    assert await published.tile(Tile(2, 0, 2)) is None
    assert split(await published.tile(Tile(0, 258, 52)) or b"") == leaves[66048:]
    other = log.restarted()
    assert await other.publish()
    assert other.metric("credit_log_checkpoints_total") == 0  # it has looked, and signed nothing
    assert other.metric("credit_log_checkpoint_seconds") == await log.owner.fetchval(
        "select extract(epoch from max(at))::float8 from ledger.checkpoint"
    )
    assert await other.grow(1)
    assert other.metric("credit_log_checkpoints_total") == 1
    assert (await log.checkpoints())[-1]["root"] == root_of(await log.leaves())


async def test_nothing_new_is_not_signed_again(log: TestLog) -> None:
    await log.grow(3)
    for other in (log, log.restarted()):
        assert await other.publish()
    assert len(await log.checkpoints()) == 1


async def test_another_process_goes_on(log: TestLog) -> None:
    """The frontier comes out of the tables, and whoever believes to lead still is only one of two."""
    await log.grow(300)
    other = log.restarted()
    assert await other.grow(300)
    log.written = other.written
    assert await log.grow(300)
    assert (await log.checkpoints())[-1]["root"] == root_of(await log.leaves())


async def test_killed_before_the_commit(log: TestLog) -> None:
    await log.grow(250)
    await log.write(10)
    await log.sequence()
    undone = log.log.transaction()
    await undone.start()
    await log.restarted().publish()  # the one that is killed
    await undone.rollback()
    assert len(await log.checkpoints()) == 1
    assert await log.publish()
    assert await log.restarted().publish()
    assert [row["size"] for row in await log.checkpoints()] == [250, 260]
    assert (await log.checkpoints())[-1]["root"] == root_of(await log.leaves())


async def test_two_at_once(log: TestLog, database: Any) -> None:
    await log.write(600)
    await log.sequence()
    second = await asyncpg.connect(database.dsn("log"))
    try:
        await asyncio.gather(log.publish(), log.restarted().publisher.publish(second))
    finally:
        await second.close()
    assert [row["size"] for row in await log.checkpoints()] == [600]


async def test_a_new_key_signs_at_once_and_the_old_ones_checkpoints_still_hold(log: TestLog) -> None:
    await log.grow(3)
    old = verifiers(log.keys, ORIGIN)
    log.keys.rotate(CHECKPOINTS)
    assert await log.publish()
    first, second = await log.checkpoints()
    assert first["size"] == second["size"] == 3
    new = verifiers(log.keys, ORIGIN)
    assert (len(old), len(new), new[1]) == (1, 2, old[0])
    read_note(first["note"].encode()).held_by(old)
    read_note(second["note"].encode()).held_by(new[:1])
    with pytest.raises(NoteError):
        read_note(second["note"].encode()).held_by(old)
    assert await log.restarted().grow(2)


CHANGES = {
    "a leaf of the last tile": "update ledger.leaf set hash = sha256('x') where index = 299",
    "a full tile": "update ledger.tile set hash = sha256('x') where n = 0",
    "the root": "update ledger.checkpoint set root = sha256('x')",
    "the size": "update ledger.checkpoint set size = 299",
    "the note": "update ledger.checkpoint set note = replace(note, '300', '299')",
    "the leaf": "delete from ledger.leaf where index = 299; update ledger.log_state set size = 299",
    "a gap": "delete from ledger.leaf where index = 299",
    "a tile": "delete from ledger.tile",
    "a tile beyond": "insert into ledger.tile values (0, 1, sha256('x'))",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_who_changes_what_was_signed_gets_nothing_signed_on_top(
    log: TestLog, published: Published, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    await log.grow(300)
    assert await published.warnings() == []
    await log.owner.execute(CHANGES[change])
    other = log.restarted()
    assert not await other.grow(300)
    assert not await other.publish()
    assert other.metric("credit_log_tampered") == 1
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert "credit-gateway ledger verify" in caplog.text
    assert len(await log.checkpoints()) == 1
    # What lies beyond the last checkpoint is met when the log grows.
    assert change == "a tile beyond" or "ledger verify" in (await published.warnings())[0]


@pytest.mark.parametrize("change", ["truncate ledger.checkpoint", "update ledger.checkpoint set size = 10"])
async def test_who_has_seen_more_signs_nothing_less(log: TestLog, change: str) -> None:
    """A log set back, checkpoints and all, as by an old backup: this process has signed more."""
    await log.grow(300)
    await log.owner.execute(change)
    for _ in range(2):
        assert not await log.publish()


async def test_a_fork_that_was_signed_with_our_key_is_seen_by_who_saw_the_other(log: TestLog) -> None:
    """Somebody who has the key, too, rewrites the past: consistent in itself, but not with what this process knows."""
    await log.grow(5)
    await log.owner.execute(
        "truncate ledger.checkpoint, ledger.tile; update ledger.leaf set hash = sha256('x') where index = 2"
    )
    assert await log.restarted().grow(2)
    log.written += 2
    assert not await log.publish()


async def test_what_is_mended_is_signed_again(log: TestLog) -> None:
    await log.grow(5)
    leaf = await log.owner.fetchval("select hash from ledger.leaf where index = 4")
    await log.owner.execute("update ledger.leaf set hash = sha256('x') where index = 4")
    other = log.restarted()
    assert not await other.publish()
    await log.owner.execute("update ledger.leaf set hash = $1 where index = 4", leaf)
    assert await other.grow(1)
    assert other.metric("credit_log_tampered") == 0


async def test_a_checkpoint_of_a_foreign_key(log: TestLog, tmp_path: Path) -> None:
    await log.grow(5)
    foreign = TestLog(log.owner, log.log, KeyStore(tmp_path / "other"))
    assert not await foreign.publish()


async def test_the_name_stays(log: TestLog) -> None:
    """Another issuer changes nothing; another GATEWAY_LOG_ORIGIN is refused: it would be another log."""
    named = log.restarted("region.example/account")
    assert await named.grow(2)
    plain = log.restarted()
    plain.written = 2
    assert await plain.grow(2)
    assert checkpoint_of((await log.checkpoints())[-1]["note"].partition("\n\n")[0] + "\n").origin == (
        "region.example/account"
    )
    assert not await log.restarted("elsewhere.example/log").publish()


@pytest.mark.parametrize(
    ("issuer", "origin"),
    [
        ("https://gateway.example", "gateway.example/log"),
        ("https://gateway.example/", "gateway.example/log"),
        ("http://127.0.0.1:8000/a/", "127.0.0.1:8000/a/log"),
    ],
)
def test_the_origin_of_an_issuer(issuer: str, origin: str) -> None:
    assert origin_of(issuer) == origin


async def test_nothing_beyond_the_last_checkpoint_is_shown(log: TestLog, published: Published) -> None:
    await log.grow(10)
    await log.write(10)
    await log.sequence()
    for level in (0, -1):
        assert await published.tile(Tile(level, 0, 10)) is not None
        assert await published.tile(Tile(level, 0, 11)) is None
        assert await published.tile(Tile(level, 1, 1)) is None
    assert await log.publish()
    await asyncio.sleep(0.25)
    entries = unbundle(await published.tile(Tile(-1, 0, 20)) or b"")
    assert entries == [row["entry"] for row in await log.owner.fetch("select entry from ledger.leaf order by index")]


async def test_signing_takes_microseconds(log: TestLog) -> None:
    """CPU time of what is done for each checkpoint beside SQL."""
    await log.grow(1)
    signer = log.publisher._signer
    assert signer is not None
    note = (await log.checkpoints())[0]["note"].partition("\n\n")[0]
    began = time.process_time()
    for _ in range(200):
        signer[1].sign(note)
    assert (time.process_time() - began) / 200 < 0.001


def test_no_key_of_another_kind(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys")
    keys.rotate("tokens")
    with pytest.raises(OperatorError):
        verifiers(keys, ORIGIN, ("nonsense",)) or keys.current("nonsense")


async def test_what_our_keys_have_not_signed_is_not_shown(log: TestLog, published: Published, tmp_path: Path) -> None:
    """Whoever has the role `log` can put a checkpoint there, and lines beside one."""
    await log.grow(5)
    good = await published.checkpoint()
    stranger = signer(KeyStore(tmp_path / "stranger"), "checkpoints", ORIGIN)
    insert = "insert into ledger.checkpoint (size, root, note) values ($1, $2, $3)"
    for size, makers in ((9, [stranger]), (2**62, [])):
        forged = Checkpoint(ORIGIN, size, b"x" * 32)
        await log.log.execute(insert, size, forged.root, str(forged.signed(makers)) if makers else forged.text)
        fresh = Published(published._pool, log.keys)
        for shown in (published, fresh):
            shown._last = shown._last and (0.0, *shown._last[1:])  # as if a while ago
            assert await shown.checkpoint() == good
            assert await shown.tile(Tile(0, 0, 9)) is None
    root = checkpoint_of(read_note(good or b"").text).root
    await log.log.execute(
        "insert into ledger.cosignature (size, root, name, line) values (5, $1, 'x', 'no line')", root
    )
    assert await published.cosigned() == good
    await log.log.execute(
        "insert into ledger.witnessed (origin, size, root, note) values ('other/log', 9, $1, $2)",
        b"x" * 32,
        str(Checkpoint("other/log", 9, b"x" * 32).signed([stranger])),
    )
    assert await published.witnessed(sha256(b"other/log").hexdigest()) is None
