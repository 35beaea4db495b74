"""Promise: where the disk is full, what needs an account is refused with LEDGER_UNAVAILABLE and discloses nothing, the
public view goes on, and when there is room again all goes on by itself, the log and its checkpoints too.

The disk is a file system of 500 MB in memory: only root may mount one.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.settings import Settings
from gateway.storage.database import open_database
from scripts.served import Target, served

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")]
QUESTION = "query Full($uscc: Uscc!) { subject(uscc: $uscc) { name records(first: 20) { edges { node { title } } } } }"
FILLER = "filler"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500m,mode=755", "none", folder], check=False).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    """Take all the room that there is."""
    with (disk / FILLER).open("ab", buffering=0) as file:
        block = bytes(1 << 20)
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2] if len(block) > 4096 else b""


async def ask(session: aiohttp.ClientSession, target: Target, number: int, view: str = "restricted") -> tuple[int, Any]:
    headers = {"accept": "application/graphql-response+json"}
    if view != "public":
        headers["authorization"] = f"Bearer {target.tokens[view]}"
    body = {"query": QUESTION, "variables": {"uscc": target.usccs[number % len(target.usccs)]}}
    async with session.post(f"{target.base}/graphql", json=body, headers=headers) as reply:
        return reply.status, await reply.json()


def refused(found: Any) -> bool:
    return found.get("data") is None and found["errors"][0]["extensions"]["code"] == "LEDGER_UNAVAILABLE"


async def run(disk: Path, target: Target, owner: asyncpg.Connection[asyncpg.Record]) -> None:
    answered = 0
    async with aiohttp.ClientSession() as session:
        for number in range(20):
            status, found = await ask(session, target, number)
            assert status == 200, found
            answered += 1
        fill(disk)
        for number in range(20, 5_000):  # what is left of the last page is still written
            status, found = await ask(session, target, number)
            if status != 200:
                break
            answered += 1
            fill(disk)
        replies = [(status, found), *[await ask(session, target, n) for n in range(6_000, 6_030)]]
        assert all(refused(found) for status, found in replies if status != 200), replies
        assert sum(status != 200 for status, _ in replies) > 15  # a row may find room where another was undone
        answered += sum(status == 200 for status, _ in replies)
        status, found = await ask(session, target, 1, "public")
        assert status == 200, found
        (disk / FILLER).unlink()
        began = time.monotonic()
        while (await ask(session, target, 7_000))[0] != 200:
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.1)
        answered += 1
    written = await owner.fetchval(
        "select count(*) from ledger.disclosure where outcome = 'ANSWERED' and cardinality(subject_ids) = 1"
    )
    assert written >= answered
    while await owner.fetchval(
        "select (select count(*) from ledger.disclosure) > s.size or s.fanned < s.size"
        " or s.size > (select max(c.size) from ledger.checkpoint c) from ledger.log_state s"
    ):
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.1)


def test_a_full_disk_refuses_and_all_goes_on_when_there_is_room(disk: Path) -> None:
    async def whole(target: Target, dsn: str) -> None:
        owner = await asyncpg.connect(dsn)
        try:
            await run(disk, target, owner)
        finally:
            await owner.close()

    with served(disk, workers=2) as target, open_database(Settings(data_dir=disk / "data")) as database:
        asyncio.run(whole(target, database.migrate_dsn))
