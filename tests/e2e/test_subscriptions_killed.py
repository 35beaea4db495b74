"""Promise: a gateway that is killed at any moment while it sends events has sent none without its disclosure, and who
goes on behind the last cursor has each event once, in order, whichever worker answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.settings import Settings
from gateway.storage.database import open_database
from scripts.served import Target, served

SUBSCRIBE = """subscription ($usccs: [Uscc!], $after: String) {
  recordChanged(usccs: $usccs, after: $after) { cursor record { title } }
}"""
INSERT = """insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,
    source_code, catalogue_item, decided_on, published_from, title, natural_key)
    select gen_random_uuid(), s.id, s.class, 'PENALTY', 'PPP', 'GENERAL', 'ACTIVE', true, 'LOCAL', 'QG-04',
        core.today(), core.today(), $2, $2 from core.subject s where s.uscc = $1"""
ANSWERED = "select count(*) from ledger.disclosure where outcome = 'ANSWERED'"
STREAMS, EVENTS, KILLS = 4, 150, (50, 100)


async def follow(target: Target, got: list[str], after: str | None) -> None:
    """Subscribe, and again behind the last event whenever the connection breaks."""
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {target.tokens['restricted']}"}
    timeout = aiohttp.ClientTimeout(total=None)
    while True:
        variables = {"usccs": [target.usccs[0]], "after": after}
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    f"{target.base}/graphql", json={"query": SUBSCRIBE, "variables": variables}, headers=headers
                ) as reply,
            ):
                while reply.status == 200 and (line := await reply.content.readline()):
                    if line.startswith(b"data: {"):
                        found = json.loads(line.removeprefix(b"data: "))["data"]["recordChanged"]
                        after = found["cursor"]
                        got.append(found["record"]["title"])
        await asyncio.sleep(0.2)


async def end_of(target: Target) -> str:
    """The bookmark behind all that there is."""
    query = "query ($a: String) { recordChanges(first: 100, after: $a) { pageInfo { hasNextPage endCursor } } }"
    info: dict[str, Any] = {"endCursor": None, "hasNextPage": True}
    async with aiohttp.ClientSession() as session:
        while info["hasNextPage"]:
            question = {"query": query, "variables": {"a": info["endCursor"]}}
            async with session.post(f"{target.base}/graphql", json=question) as reply:
                info = (await reply.json())["data"]["recordChanges"]["pageInfo"]
    return str(info["endCursor"])


async def torment(target: Target, dsn: str) -> tuple[list[str], list[list[str]], int]:
    """What was written, what each stream was told, and how many answers were disclosed."""
    owner: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    written: list[str] = []
    got: list[list[str]] = [[] for _ in range(STREAMS)]

    async def write() -> None:
        written.append(str(uuid.uuid4()))
        await owner.execute(INSERT, target.usccs[0], written[-1])

    after = await end_of(target)
    before = await owner.fetchval(ANSWERED)
    followers = [asyncio.create_task(follow(target, each, after)) for each in got]
    for number in range(EVENTS):
        await write()
        if number in KILLS:
            os.kill(target.workers()[0], signal.SIGKILL)
            await asyncio.sleep(2)
    for _ in range(150):
        if all(len(each) >= EVENTS for each in got):
            break
        await asyncio.sleep(0.2)
    for task in followers:
        task.cancel()
    await asyncio.wait(followers)
    disclosed = await owner.fetchval(ANSWERED) - before
    await owner.close()
    return written, got, disclosed


@pytest.mark.long
def test_killed_workers_lose_no_event_and_no_disclosure(tmp_path: Path) -> None:
    with served(tmp_path, workers=2) as target, open_database(Settings(data_dir=tmp_path / "data")) as database:
        written, got, disclosed = asyncio.run(torment(target, database.migrate_dsn))
    assert [each == written for each in got] == [True] * STREAMS
    assert disclosed >= STREAMS * EVENTS
