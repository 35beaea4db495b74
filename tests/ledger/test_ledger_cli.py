"""`credit-gateway ledger`: what holds is status 0, what does not is 3 and says where; a fork leaves its evidence."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from log_support import ORIGIN, TestLog, emptied, listening, open_log
from typer.testing import CliRunner

from gateway.auth.keys import KeyStore
from gateway.cli import app
from gateway.ledger.head import COSIGNATURES, signer, verifiers
from gateway.ledger.notes import Checkpoint, Note, Signature, checkpoint_of, read_note


class Commands:
    """The command line over the module's database."""

    def __init__(self, log: TestLog, environment: dict[str, str], folder: Path) -> None:
        self.log = log
        self.folder = folder
        self.environment = environment

    async def run(self, *arguments: str) -> Any:
        return await self.invoke("ledger", *arguments)

    async def invoke(self, *arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, [*arguments], env=self.environment)

    async def kept(self, name: str) -> str:
        """The last checkpoint in a file."""
        path = self.folder / name
        path.write_text((await self.log.checkpoints())[-1]["note"])
        return str(path)


@pytest_asyncio.fixture
async def commands(database: Any, owner: Any, postgres: Any, tmp_path: Path) -> AsyncIterator[Commands]:
    await emptied(owner)
    log = await open_log(database, owner, tmp_path)
    shutil.copytree(postgres.data_dir / "secrets", tmp_path / "secrets")
    environment = {
        "GATEWAY_DATA_DIR": str(tmp_path),
        "GATEWAY_DATABASE_URL": database.migrate_dsn,
        "GATEWAY_ROLE_PREFIX": database.prefix,
    }
    yield Commands(log, environment, tmp_path)
    await log.log.close()


async def test_verify(commands: Commands) -> None:
    await commands.log.grow(20)
    await commands.log.fan_out()
    found = await commands.run("verify")
    assert found.exit_code == 0
    assert "holds: everything is as it was signed" in found.stdout
    found = await commands.run("verify", "--json", "--key", str(verifiers(commands.log.keys, ORIGIN)[0]))
    told = json.loads(found.stdout)
    assert (found.exit_code, told["holds"], told["disclosures"], told["checkpoints"]) == (0, True, 20, 1)

    row = await commands.log.owner.fetchval(
        "update ledger.disclosure set matter = 'X' where case_number ~ '7号' returning id"
    )
    found = await commands.run("verify")
    assert found.exit_code == 3
    for text in ("ROW_CHANGED", str(row), "does not hold"):
        assert text in found.stdout
    told = json.loads((await commands.run("verify", "--json")).stdout)
    assert not told["holds"]
    assert {one["kind"] for one in told["findings"]} == {"ROW_CHANGED"}


async def test_verify_with_a_key_that_was_kept_elsewhere(commands: Commands, tmp_path: Path) -> None:
    """Who has replaced the keys in the folder, too, does not pass."""
    await commands.log.grow(3)
    kept = str(verifiers(commands.log.keys, ORIGIN)[0])
    await emptied(commands.log.owner)
    shutil.rmtree(tmp_path / "keys")
    other = TestLog(commands.log.owner, commands.log.log, KeyStore(tmp_path / "keys"))
    await other.grow(3)
    await other.fan_out()
    assert (await commands.run("verify")).exit_code == 0
    found = await commands.run("verify", "--key", kept)
    assert found.exit_code == 3
    assert "CHECKPOINT_SIGNATURE" in found.stdout


async def test_verify_after_a_rotation_needs_each_periods_key(commands: Commands) -> None:
    """What a key of the folder has signed that was not given is nothing that was found (3), and nothing that holds (0):
    status 1, and in words how far the keys given reach."""
    log = commands.log
    await log.grow(3)
    log.keys.rotate("checkpoints")
    await log.grow(4)
    await log.signed("KEY", "select ledger.begin_signing('x')")
    await log.sequence()
    await log.publish()
    await log.fan_out()
    new, old = verifiers(log.keys, ORIGIN)
    assert (await commands.run("verify", "--key", str(old), "--key", str(new))).exit_code == 0

    found = await commands.run("verify", "--key", str(old))
    assert (found.exit_code, "holds" in found.stdout) == (1, False), found.output
    for text in ("2 checkpoints and 1 event are signed by keys that were not given", "nothing was shown for them",
                 "newest checkpoint is among them", "signed 3 of 8 entries", "give each with --key"):  # fmt: skip
        assert text in found.stderr
    told = json.loads((await commands.run("verify", "--json", "--key", str(old))).stdout)
    assert (told["holds"], told["findings"]) == (None, [])
    assert told["not_given"] == {"checkpoints": 2, "newest": True, "events": 1, "vouched": 3}

    found = await commands.run("verify", "--key", str(new))
    assert found.exit_code == 1
    assert "1 checkpoint is signed by keys that were not given, and nothing was shown for it" in found.stderr
    assert "The newest checkpoint is signed by a key that was given" in found.stderr

    # What is found stays 3, and what was not shown is said beside it.
    await log.owner.execute("update ledger.disclosure set matter = 'X' where case_number ~ '0号'")
    found = await commands.run("verify", "--key", str(old))
    assert (found.exit_code, "nothing was shown for them" in found.stderr) == (3, True)


@pytest.mark.parametrize(
    ("job", "pinned_by"), [("checkpoints", "consistency"), ("cosignatures", "ledger cosignatures")]
)
async def test_a_rotation_says_the_verifier_key_and_who_needs_it(commands: Commands, job: str, pinned_by: str) -> None:
    """Under the name that the log has, which is not what the settings would call a new one."""
    await commands.log.grow(3)
    found = await commands.invoke("keys", "rotate", "--job", job)
    assert found.exit_code == 0, found.output
    (made,) = (key for key in commands.log.keys.all() if key.job == job and key.retired_at is None)
    assert found.stdout.split() == [made.kid, str(verifiers(commands.log.keys, ORIGIN, (job,))[0])]
    assert "before their next run" in found.stderr
    assert pinned_by in found.stderr
    assert "verifier key" in (await commands.invoke("keys", "rotate", "--help")).stdout


async def test_a_rotation_where_the_database_does_not_answer(commands: Commands) -> None:
    """The key is changed all the same; no verifier key is told under a name that may be wrong."""
    commands.environment["GATEWAY_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    found = await commands.invoke("keys", "rotate", "--job", "checkpoints")
    assert (found.exit_code, found.stdout.split()) == (0, [commands.log.keys.current("checkpoints").kid])
    assert "it is in /log/verifiers" in found.stderr


async def test_verify_finds_who_forges_a_checkpoint_whatever_keys_are_given(commands: Commands, tmp_path: Path) -> None:
    """Without a key of the folder nobody gets from 3 to 1: an unknown signer, a wrong signature under a key given or
    not given, another name."""
    log = commands.log
    await log.grow(3)
    log.keys.rotate("checkpoints")
    await log.grow(4)
    await log.fan_out()
    new, old = verifiers(log.keys, ORIGIN)
    given = ("--key", str(old))
    assert (await commands.run("verify", *given)).exit_code == 1
    stored = checkpoint_of(read_note((await log.checkpoints())[-1]["note"].encode()).text)
    stranger = signer(KeyStore(tmp_path / "other"), "checkpoints", ORIGIN)
    ours = signer(log.keys, "checkpoints", ORIGIN)
    for forged in (
        stored.signed([stranger]),
        Note(stored.text, (Signature(ORIGIN, new.key_id, bytes(64)),)),
        Note(stored.text, (ours.sign(stored.text), Signature(ORIGIN, old.key_id, bytes(64)))),
        dataclasses.replace(stored, origin="other.example/log").signed(
            [dataclasses.replace(ours, name="other.example/log")]
        ),
    ):
        await log.owner.execute("update ledger.checkpoint set note = $1 where size = 7", str(forged))
        for keys in ((), given):
            found = await commands.run("verify", *keys)
            assert (found.exit_code, "CHECKPOINT_SIGNATURE" in found.stdout) == (3, True), found.output


async def test_consistency_of_files_and_sizes(commands: Commands) -> None:
    await commands.log.grow(300)
    old = await commands.kept("old")
    await commands.log.grow(300)
    new = await commands.kept("new")
    for pair in ((old, new), ("300", "600"), (old, "600"), (new, old), (new, new)):
        found = await commands.run("consistency", *pair)
        assert found.exit_code == 0, found.output
    told = json.loads((await commands.run("consistency", old, new, "--json")).stdout)
    assert told == {"holds": True, "origin": ORIGIN, "first": 300, "last": 600}
    for size, nearest in (("599", "300 and 600"), ("5", "300"), ("601", "600")):
        found = await commands.run("consistency", old, size)
        assert found.exit_code == 1
        assert f"signed at a size of {size}; the nearest at which one was: {nearest}\n" in found.stderr
    assert (await commands.run("consistency", old, str(10**40))).exit_code == 1
    assert (await commands.run("consistency", old, str(commands.folder / "none"))).exit_code == 1

    await commands.log.owner.execute(
        "update ledger.leaf set entry = sha256('x'), hash = sha256('\\x00'::bytea || sha256('x')) where index = 17;"
        "truncate ledger.checkpoint, ledger.tile"
    )
    forked = commands.log.restarted()
    assert await forked.publish()
    found = await commands.run("consistency", old, "600")
    assert found.exit_code == 3
    assert "has forked" in found.output
    assert (commands.folder / "old").read_text() in found.stdout
    found = await commands.run("consistency", old, "600", "--json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["holds"], "has forked" in told["what"]) == (3, False, True)
    assert told["evidence"] == [(commands.folder / "old").read_text(), (await commands.log.checkpoints())[0]["note"]]
    # The later one of the same size is another tree.
    assert (await commands.run("consistency", new, "600")).exit_code == 3


async def test_a_checkpoint_in_a_file_of_another_key(commands: Commands, tmp_path: Path) -> None:
    await commands.log.grow(3)
    old = await commands.kept("old")
    other = KeyStore(tmp_path / "other")
    other.current("checkpoints")
    found = await commands.run("consistency", old, "3", "--key", str(verifiers(other, ORIGIN)[0]))
    assert found.exit_code == 1
    assert "no signature of a known key" in found.output
    assert "/log/verifiers there has all" in found.output
    assert f"OLD, {old}: " in found.output


async def test_a_checkpoint_of_another_log(commands: Commands, tmp_path: Path) -> None:
    """It is said which of the two is of which log; whether keys are known is no question then."""
    await commands.log.grow(3)
    old = await commands.kept("old")
    other = commands.folder / "other"
    other.write_text(str(checkpoint_of_other(tmp_path)[0]))
    found = await commands.run("consistency", old, str(other))
    assert found.exit_code == 1
    assert f"OLD, {old}, is of {ORIGIN}, and NEW, {other}, of {OTHER}" in found.stderr
    found = await commands.run(
        "consistency", str(other), str(other), "--key", str(verifiers(commands.log.keys, ORIGIN)[0])
    )
    assert found.exit_code == 1
    assert f"OLD, {other}: it is a checkpoint of {OTHER}, and the verifier keys given are of {ORIGIN}" in found.stderr
    found = await commands.run("consistency", str(other), str(other))
    assert found.exit_code == 1
    assert f"It is a checkpoint of {OTHER}, and without --key the keys of this machine's folder" in found.stderr


@pytest.mark.parametrize(
    ("command", "job", "said"),
    [
        ("cosignatures", "checkpoints", "this key signs checkpoints; give the cosignatures' one"),
        ("witness", "cosignatures", "this key cosigns; give the checkpoints' one"),
        ("verify", "cosignatures", "this key cosigns; give the checkpoints' one"),
    ],
)
async def test_a_key_of_the_wrong_type(commands: Commands, command: str, job: str, said: str) -> None:
    """Both keys of a region have its name."""
    commands.log.keys.current(job)
    commands.environment["COLUMNS"] = "300"
    url = [] if command == "verify" else ["http://127.0.0.1:1/log"]
    found = await commands.run(command, *url, "--key", str(verifiers(commands.log.keys, OTHER, (job,))[0]))
    assert (found.exit_code, said in found.stderr) == (2, True), found.output


async def test_an_exchange_with_another_region(commands: Commands, tmp_path: Path) -> None:
    """Step by step as docs/ledger.md has it, --json included; and what is said where a step was left out."""
    await commands.log.grow(3)
    theirs, keys = checkpoint_of_other(tmp_path)
    files = {"/log/checkpoint": str(theirs).encode()}
    ours = read_note((await commands.log.checkpoints())[0]["note"].encode())
    place = f"/log/witness/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint"
    key, cosigning = (str(verifiers(keys, OTHER, (job,))[0]) for job in ("checkpoints", "cosignatures"))
    async with serving(files) as url:
        found = await commands.run("cosignatures", url, "--key", cosigning)
        assert found.exit_code == 1
        assert f"this witness has not cosigned our log, {ORIGIN}, yet" in found.stderr
        found = await commands.run("cosignatures", url.removesuffix("/log"), "--key", cosigning)
        assert found.exit_code == 1
        assert "the URL of a gateway's log ends in /log" in found.stderr
        found = await commands.run("witness", url, "--key", key, "--json")
        told = json.loads(found.stdout)
        assert (found.exit_code, told["holds"], told["origin"], told["size"]) == (0, True, OTHER, 9)
        made = read_note(told["note"].encode())
        assert made.held_by(verifiers(commands.log.keys, ORIGIN, (COSIGNATURES,)))

        files[place] = str(ours).encode()  # as if anybody could have put it there
        found = await commands.run("cosignatures", url, "--key", cosigning)
        assert (found.exit_code, f"cosigned by nobody, and the verifier keys given are of {OTHER}" in found.stderr) == (
            1,
            True,
        )
        files[place] = str(theirs).encode()
        found = await commands.run("cosignatures", url, "--key", cosigning)
        assert (found.exit_code, f"is of {OTHER}, and our own log is {ORIGIN}" in found.stderr) == (1, True)
        line = signer(keys, COSIGNATURES, OTHER).sign(ours.text, int(time.time()))
        files[place] = str(Note(ours.text, (*ours.signatures, line))).encode()
        found = await commands.run("cosignatures", url, "--key", cosigning, "--json")
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout) == {"holds": True, "origin": ORIGIN, "size": 3, "cosigned_by": [OTHER]}


OTHER = "other.example/log"


def checkpoint_of_other(folder: Path) -> tuple[Note, KeyStore]:
    """The last checkpoint of another region, and that region's keys."""
    keys = KeyStore(folder / "other-keys")
    keys.current(COSIGNATURES)
    return Checkpoint(OTHER, 9, sha256(b"x").digest()).signed([signer(keys, "checkpoints", OTHER)]), keys


@asynccontextmanager
async def serving(files: Mapping[str, bytes]) -> AsyncIterator[str]:
    """The other region's server, by path; the URL of its log."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        body = files.get(path)
        status = b"404 Not Found" if body is None else b"200 OK"
        head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body or b""))
        writer.write(head + (body or b""))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with listening(connected) as url:
        yield url


async def test_a_checkpoint_whose_signature_is_wrong_does_not_hold(commands: Commands) -> None:
    """Our key is named, and has signed another root: no mistake of whoever asks. What can't be read is status 1."""
    await commands.log.grow(3)
    old = await commands.kept("old")
    origin, size, _, rest = (commands.folder / "old").read_text().split("\n", 3)
    (commands.folder / "old").write_text("\n".join((origin, size, base64.b64encode(bytes(32)).decode(), rest)))
    for name, pair in (("OLD", (old, "3")), ("NEW", ("3", old))):
        found = await commands.run("consistency", *pair)
        assert found.exit_code == 3, found.output
        assert f"does not hold: {name}, {old}: a signature of a known key does not hold" in found.stderr
        assert found.stdout == ""
    (commands.folder / "old").write_text("no note")
    assert (await commands.run("consistency", old, "3")).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("witness", "https://x.example/log", "--key", "nonsense"),
        ("witness", "https://x.example/log"),
        ("verify", "--processes", "0"),
    ],
)
async def test_wrong_usage(commands: Commands, arguments: tuple[str, ...]) -> None:
    assert (await commands.run(*arguments)).exit_code == 2


async def test_witness_of_what_does_not_answer(commands: Commands) -> None:
    for job in ("checkpoints", COSIGNATURES):
        commands.log.keys.current(job)
    keys = {"witness": verifiers(commands.log.keys, ORIGIN), "cosignatures": verifiers_of(commands)}
    for url in ("http://127.0.0.1:1/log", "http://x.example/log", "file:///etc/passwd"):
        for command, known in keys.items():
            found = await commands.run(command, url, "--key", str(known[0]))
            assert found.exit_code == 1
            assert found.stdout == ""


def verifiers_of(commands: Commands) -> Any:
    commands.log.keys.current(COSIGNATURES)
    return verifiers(commands.log.keys, ORIGIN, (COSIGNATURES,))


async def test_help_teaches(commands: Commands) -> None:
    for command in ("verify", "consistency", "witness", "cosignatures"):
        found = await commands.run(command, "--help")
        assert found.exit_code == 0
        assert len(found.stdout) > 700
