"""Promises: an outsider with nothing but the published texts, a verifier key and HTTP (log_client.py, which shares no
code with the gateway) finds every entry in the signed tree, every receipt in the log, and each later tree the
continuation of an earlier one; and finds a fork, a foreign key and a changed tile."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from e2e_stack import Stack

from gateway.auth.keys import KeyStore
from gateway.ledger.head import origin_of, signer
from gateway.ledger.notes import Checkpoint

CLIENT = Path(__file__).with_name("log_client.py")
PLAIN = "query ($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
MORE = """insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,
    subject_ids, sources, withheld) select gen_random_uuid(), 'c', 'o', 'RESTRICTED', 'GRANT', i::text, 'ANSWERED',
    array[md5((i % 9)::text)::uuid], '{}', '{}' from generate_series(1, $1::int) i"""
SETTINGS: dict[str, Any] = {"public_rate": 0}


@dataclass
class Outsider:
    """Somebody with a verifier key and a folder."""

    stack: Stack
    folder: Path
    key: str

    async def run(self, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(CLIENT), "--log", f"{self.stack.base}/log", "--issuer", self.stack.base]
        command += ["--key", key or self.key, *arguments]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd="/", timeout=120)

    async def holds(self, *arguments: str) -> dict[str, Any]:
        done = await self.run(*arguments)
        assert done.returncode == 0, done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    async def fails(self, *arguments: str, key: str = "") -> str:
        done = await self.run(*arguments, key=key)
        assert done.returncode == 1
        return done.stderr

    async def receipt(self, name: str, place: int) -> str:
        """A receipt in a file, once its promise is due."""
        headers = {"credit-receipt": "request"}
        reply = await self.stack.ask(PLAIN, {"uscc": self.stack.enterprises()[place]}, "restricted", headers=headers)
        path = self.folder / name
        path.write_text(reply.json["extensions"]["receipt"])
        return str(path)


async def signed(stack: Stack) -> int:
    """All that was written is under a checkpoint, which is served; its size."""
    until = time.monotonic() + 60
    lacking = """select exists (select from ledger.disclosure d where not exists (select from ledger.leaf l
        where l.id = d.id)) or s.size > coalesce((select max(size) from ledger.checkpoint), -1) as lacking, s.size
        from ledger.log_state s"""
    while True:
        row = await stack.owner.fetchrow(lacking)
        # A worker shows a checkpoint for a moment before it looks for the next.
        if not row["lacking"] and await served_size(stack) >= row["size"]:
            return int(row["size"])
        assert time.monotonic() < until
        await asyncio.sleep(0.1)


async def served_size(stack: Stack) -> int:
    """How many entries the checkpoint has that everybody gets."""
    async with stack.session.get(f"{stack.base}/log/checkpoint") as reply:
        assert reply.status == 200
        return int((await reply.text()).split("\n")[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outsider(stack: Stack, tmp_path_factory: Any) -> AsyncIterator[Outsider]:
    await signed(stack)
    async with stack.session.get(f"{stack.base}/log/verifiers") as reply:
        lines = (await reply.text()).splitlines()
    yield Outsider(stack, tmp_path_factory.mktemp("outsider"), lines[0])


def test_it_shares_no_code() -> None:
    roots = set()
    for found in ast.walk(ast.parse(CLIENT.read_text())):
        if isinstance(found, ast.Import):
            roots |= {name.name.partition(".")[0] for name in found.names}
        elif isinstance(found, ast.ImportFrom):
            roots.add((found.module or "").partition(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"cryptography"}


async def test_an_outsider_verifies_everything_twice(outsider: Outsider) -> None:
    stack = outsider.stack
    receipts = [await outsider.receipt(f"receipt-{place}", place) for place in range(2)]
    size = await signed(stack)
    kept = str(outsider.folder / "kept")
    given = [argument for path in receipts for argument in ("--receipt", path)]
    first = await outsider.holds("--keep", kept, *given)
    assert first["size"] == size
    assert first["origin"] == stack.base.removeprefix("http://") + "/log"
    assert {status for _, status in first["receipts"]} <= {"VALID", "UNDER_OBJECTION"}

    await stack.owner.execute(MORE, 700)
    receipts.append(await outsider.receipt("receipt-2", 2))
    size = await signed(stack)
    second = await outsider.holds("--since", kept, *given, "--receipt", receipts[2])
    assert (second["size"], second["since"]) == (size, first["size"])
    assert second["receipts"][:2] == first["receipts"]
    assert second["size"] > 700


async def test_over_http(outsider: Outsider) -> None:
    stack = outsider.stack
    await stack.owner.execute(MORE, 300)
    size = await signed(stack)

    async def get(path: str, method: str = "GET", **headers: str) -> Any:
        async with stack.session.request(method, f"{stack.base}/log/{path}", headers=headers) as reply:
            return reply.status, reply.headers, await reply.read()

    status, headers, body = await get("checkpoint")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert f"\n{size}\n".encode() in body
    assert (await get("checkpoint", **{"if-none-match": headers["etag"]}))[0] == 304
    status, headers, body = await get("tile/0/000")
    assert (status, len(body), headers["content-type"]) == (200, 8192, "application/octet-stream")
    assert "immutable" in headers["cache-control"]
    assert (await get("tile/0/000", "HEAD"))[0] == 200
    assert len((await get("tile/entries/000"))[2]) == 256 * 34
    assert len((await get(f"tile/1/000.p/{size // 256}"))[2]) == 32 * (size // 256)
    for path in ("tile/0/999", "tile/1/000", f"tile/1/000.p/{size // 256 + 1}", "tile/0/0", "tile/0/x000/000", "tile"):
        assert (await get(path))[0] == 404
    assert (await get("checkpoint", "POST"))[0] == 405


async def test_another_key(outsider: Outsider) -> None:
    other = KeyStore(outsider.folder / "keys")
    name = origin_of(outsider.stack.base)
    key = str(signer(other, "checkpoints", name).verifier)
    assert "no known key has signed" in await outsider.fails(key=key)


async def test_a_checkpoint_of_a_fork(outsider: Outsider) -> None:
    """Signed by the log's own key, as one that was shown to somebody else would be."""
    keys = KeyStore(outsider.stack.settings.data_dir / "keys")
    signing = signer(keys, "checkpoints", origin_of(outsider.stack.base))
    size = await signed(outsider.stack)
    for place, wrong in enumerate((1, 2, 300, size)):
        path = outsider.folder / f"forked-{place}"
        path.write_text(str(Checkpoint(signing.name, wrong, b"f" * 32).signed([signing])))
        told = await outsider.fails("--since", str(path))
        assert "forked" in told or "two trees of one size" in told
    path.write_text(str(Checkpoint(signing.name, size + 1, b"f" * 32).signed([signing])))
    assert "set back" in await outsider.fails("--since", str(path))


def changed(path: str) -> str:
    """A receipt with another payload."""
    header, payload, signature = Path(path).read_text().split(".")
    Path(path).write_text(f"{header}.{payload[:-2]}{'AA' if payload[-2:] != 'AA' else 'BB'}.{signature}")
    return path


async def test_a_receipt_of_something_else(outsider: Outsider) -> None:
    path = await outsider.receipt("good", 3)
    await signed(outsider.stack)
    await outsider.holds("--receipt", path)
    assert "receipt's signature" in await outsider.fails("--receipt", changed(path))


async def test_a_changed_entry(outsider: Outsider) -> None:
    """The last test of the module: from here on the log does not hold."""
    await signed(outsider.stack)
    await outsider.stack.owner.execute(
        "update ledger.leaf set entry = sha256('x'), hash = sha256('\\x00'::bytea || sha256('x')) where index = 5"
    )
    assert "another root" in await outsider.fails()
