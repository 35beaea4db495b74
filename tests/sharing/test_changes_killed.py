"""Promises: a worker killed at any moment loses nothing and doubles nothing; of several one reads; a source that fails
is asked again with growing pauses and never in a hot loop; the worker ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from aiohttp import web

from connectors.base import FailureKind
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.imports.connection import import_connection
from tests.connectors.platform_upstream import code
from tests.sharing.changes_support import FeedPlatform, at, clear, feeding, records, state, worker

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ROOT = Path(__file__).resolve().parents[2]
USCC = code("91", 1)
CHANGES, PAGE = 400, 10

# The worker in a process of its own.
CHILD = """
import asyncio, json, os, pathlib
from gateway.sharing.changes import ChangesWorker
from gateway.storage.database import Database
from gateway.storage.secrets import SecretFiles
from tests.sharing.changes_support import NOW, connector
given = json.loads(os.environ["CHILD"])
database = Database(given["name"], given["prefix"], given["dsn"], SecretFiles(pathlib.Path(given["secrets"])))
async def main():
    source = connector(given["url"])
    await ChangesWorker(source, database, size=given["page"], clock=lambda: NOW).once()
    await source.close()
asyncio.run(main())
"""


@pytest.fixture
async def platform(owner: Owner) -> AsyncIterator[FeedPlatform]:
    await clear(owner)
    async with feeding() as server:
        yield server


def fill(platform: FeedPlatform) -> None:
    """New rows, replaced ones, withdrawals of every kind and poison, thoroughly mixed."""
    chance = random.Random(5)
    for place in range(CHANGES):
        number = chance.randrange(60)
        row = at(
            f"10:{place // 60:02d}:{place % 60:02d}", code("91", number % 20), f"样例[2026]{number}号", CF_NR_FK=place
        )
        match chance.randrange(8):
            case 0 | 1:
                platform.withdraw(row, chance.choice(["repaired", "revoked", "corrected", "expired"]))
            case 2:
                platform.log.append(chance.choice([None, row, {"op": "upsert", **row, "entity": {}}]))
            case _:
                platform.upsert(row)


async def start(platform: FeedPlatform, database: Database) -> asyncio.subprocess.Process:
    given = {
        "name": database.name, "prefix": database.prefix, "dsn": database.migrate_dsn, "url": platform.url,
        "secrets": str(database.secrets.folder), "page": PAGE,
    }  # fmt: skip
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, cwd=ROOT, env=os.environ | {"CHILD": json.dumps(given), "PYTHONPATH": str(ROOT)}
    )


async def kill_at_random(platform: FeedPlatform, database: Database, chance: random.Random) -> bool:
    """Kill a worker some calls after its first; False where it had ended before."""
    child = await start(platform, database)
    target = len(platform.asked) + chance.randrange(1, 6)
    until = time.monotonic() + 60
    while len(platform.asked) < target and child.returncode is None:
        assert time.monotonic() < until, "the worker does not get on"
        await asyncio.sleep(0.002)
    await asyncio.sleep(chance.uniform(0, 0.05))
    killed = child.returncode is None
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGKILL)
    await child.wait()
    return killed


async def torment(platform: FeedPlatform, database: Database, owner: Owner, kills: int, seed: int) -> None:
    fill(platform)
    assert (await worker(platform, database, size=PAGE).once()).failure is None
    undisturbed = await state(owner)
    await clear(owner)
    chance = random.Random(seed)
    killed, places = 0, []
    while killed < kills:
        if await kill_at_random(platform, database, chance):
            killed += 1
            places.append(await owner.fetchval("select cursor from core.feed_cursor"))
        else:
            await clear(owner)  # it came to its end: once more from the beginning
    await _let_go(owner)
    if places[-1] != f"1-{CHANGES}":
        assert await state(owner) != undisturbed
    assert len(set(places)) > 1, f"seed {seed}: the kills show nothing: {places}"
    assert (await worker(platform, database, size=PAGE).once()).failure is None
    assert await state(owner) == undisturbed, f"seed {seed}, killed at {places}"


async def _let_go(owner: Owner) -> None:
    """Wait until the server has noticed that the killed worker is gone."""
    for _ in range(3_000):
        if not await owner.fetchval(
            "select exists (select from pg_stat_activity where datname = current_database() and usename like '%import')"
        ):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the killed worker's connection stayed")


async def test_killed_at_any_moment_the_feed_ends_as_if_undisturbed(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    await torment(platform, database, owner, kills=3, seed=11)


@pytest.mark.long
async def test_killed_many_times(platform: FeedPlatform, database: Database, owner: Owner) -> None:
    await torment(platform, database, owner, kills=25, seed=random.randrange(2**32))


async def test_a_cancelled_worker_leaves_whole_pages(platform: FeedPlatform, database: Database, owner: Owner) -> None:
    fill(platform)
    await worker(platform, database, size=PAGE).once()
    undisturbed = await state(owner)
    await clear(owner)
    chance = random.Random(3)
    for _ in range(5):
        task = asyncio.create_task(worker(platform, database, size=PAGE).once())
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        task.cancel()
        await asyncio.wait({task})
    await _let_go(owner)
    await worker(platform, database, size=PAGE).once()
    assert await state(owner) == undisturbed


async def test_of_several_workers_one_reads(platform: FeedPlatform, database: Database, owner: Owner) -> None:
    fill(platform)
    read = await asyncio.gather(*(worker(platform, database, size=PAGE).once() for _ in range(4)))
    assert sorted(one.busy for one in read) == [False, True, True, True]
    assert len(platform.asked) == CHANGES // PAGE
    whole = await state(owner)
    await clear(owner)
    await worker(platform, database, size=PAGE).once()
    assert await state(owner) == whole


async def test_the_next_one_takes_over_where_the_first_ends(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    stop, stop_other = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(worker(platform, database, interval=0.05).run(stop))
    await _until(lambda: len(platform.asked) > 2)
    second = asyncio.create_task(worker(platform, database, interval=0.05).run(stop_other))
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.wait_for(first, 30)
    platform.upsert(at("10:00:00", USCC))
    for _ in range(1_500):
        if await records(owner):
            break
        await asyncio.sleep(0.02)
    assert await records(owner) == {f"xzcf|{USCC}|样例〔2026〕1号": ("ACTIVE", 1)}
    stop_other.set()
    await asyncio.wait_for(second, 30)


async def _until(condition: Any) -> None:
    for _ in range(3_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def _turns(began: float) -> int:
    """How often it may have tried since then: at once, after 0.5 s, after 1.5 s, and so on; and once more meanwhile."""
    return int(math.log2(2 * (time.monotonic() - began) + 1)) + 2


async def test_a_page_waits_for_an_import(platform: FeedPlatform, database: Database, owner: Owner) -> None:
    platform.upsert(at("10:00:00", USCC))
    async with import_connection(database):
        task = asyncio.create_task(worker(platform, database).once())
        await _until(lambda: platform.asked)
        await asyncio.sleep(0.2)
        assert await records(owner) == {}
    await asyncio.wait_for(task, 30)
    assert len(await records(owner)) == 1


# Faults of the source -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (lambda path, asked: web.Response(status=503), FailureKind.SERVER_ERROR),
        (lambda path, asked: {"status": 9, "message": "no"}, FailureKind.REJECTED),
        (lambda path, asked: {"status": 1, "data": {"next": "a", "more": True, "list": None}}, FailureKind.MALFORMED),
    ],
)
async def test_a_failure_leaves_the_cursor_where_it_is(
    platform: FeedPlatform, database: Database, owner: Owner, reply: Any, kind: FailureKind
) -> None:
    platform.upsert(at("10:00:00", USCC))
    await worker(platform, database).once()
    before = await state(owner)
    platform.reply = reply
    followed = await worker(platform, database).once()
    assert followed.failure is not None
    assert followed.failure.kind is kind
    assert await state(owner) == before


async def test_cursors_that_go_round_in_a_circle_are_a_failure(platform: FeedPlatform, database: Database) -> None:
    def answer(path: str, asked: dict[str, Any]) -> Any:
        return {"status": 1, "data": {"next": "b" if asked["since"] == "a" else "a", "more": True, "list": []}}

    platform.reply = answer
    followed = await asyncio.wait_for(worker(platform, database).once(), 60)
    assert followed.failure is not None
    assert len(platform.asked) < 10


@pytest.mark.parametrize("length", [1, 3, 40])
async def test_a_circle_behind_a_long_way_is_found_in_bounded_room(
    platform: FeedPlatform, database: Database, length: int
) -> None:
    def answer(path: str, asked: dict[str, Any]) -> Any:
        place = int(asked["since"] or 0) + 1
        following = place if place < 70 + length else 70 - (length == 1)
        return {"status": 1, "data": {"next": str(following), "more": True, "list": []}}

    platform.reply = answer
    followed = await asyncio.wait_for(worker(platform, database).once(), 60)
    assert followed.failure is not None
    assert len(platform.asked) < 300


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_source_that_refuses_every_cursor_is_asked_less_and_less(
    platform: FeedPlatform, database: Database, owner: Owner, fresh: bool
) -> None:
    given = itertools.count()

    def answer(path: str, asked: dict[str, Any]) -> Any:
        if asked["since"]:
            return {"status": 3, "message": "no such cursor"}
        cursor = f"c{next(given)}" if fresh else "c"
        return {"status": 1, "data": {"next": cursor, "more": True, "list": []}}

    platform.reply = answer
    stop = asyncio.Event()
    following = worker(platform, database, interval=0.01, chance=lambda: 0.0)
    began = time.monotonic()
    task = asyncio.create_task(following.run(stop))
    await asyncio.sleep(2.0)
    assert len(platform.asked) <= 5 * _turns(began)  # five calls each at most
    await _until(lambda: len(platform.asked) >= 3)
    platform.reply = platform.answer
    platform.upsert(at("10:00:00", USCC))
    followed_before = len(platform.asked)
    await _until(lambda: len(platform.asked) > followed_before)
    for _ in range(1_500):
        if await records(owner):
            break
        await asyncio.sleep(0.02)
    assert len(await records(owner)) == 1
    stop.set()
    await asyncio.wait_for(task, 30)


async def test_a_page_alone_does_not_shorten_the_pause(
    platform: FeedPlatform, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Page one, then a fault, and again from the page behind it."""
    count = itertools.count()

    def answer(path: str, asked: dict[str, Any]) -> Any:
        place = next(count)
        if place % 2:
            return web.Response(status=500)
        return {"status": 1, "data": {"next": f"c{place}", "more": True, "list": []}}

    platform.reply = answer
    stop = asyncio.Event()
    task = asyncio.create_task(worker(platform, database, interval=0.01, chance=lambda: 0.0).run(stop))

    def pauses() -> list[str]:
        return [record.getMessage().rsplit(" in ", 1)[1] for record in caplog.records if "again in" in record.msg]

    await _until(lambda: len(pauses()) >= 3)
    stop.set()
    await asyncio.wait_for(task, 30)
    assert pauses()[:3] == ["0.5 s", "1.0 s", "2.0 s"]


async def test_a_source_that_fails_is_not_asked_in_a_hot_loop(platform: FeedPlatform, database: Database) -> None:
    platform.reply = lambda path, asked: web.Response(status=500)
    stop = asyncio.Event()
    following = worker(platform, database, interval=0.01, chance=lambda: 0.0)
    began = time.monotonic()
    task = asyncio.create_task(following.run(stop))
    await asyncio.sleep(1.2)
    assert len(platform.asked) <= _turns(began)
    await _until(lambda: platform.asked)
    platform.reply = platform.answer
    stop.set()
    await asyncio.wait_for(task, 30)
    assert [following.pause(failures) for failures in (1, 2, 3, 10, 10_000)] == [0.5, 1.0, 2.0, 150.0, 150.0]
    assert worker(platform, database, chance=lambda: 1.0).pause(10) == 300.0
    assert following.pause(1, 40.0) == 40.0
    assert following.pause(1, 10_000.0) == 300.0


async def test_a_page_that_is_too_large_is_asked_for_in_parts(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    for place in range(40):
        platform.upsert(at("10:00:00", USCC, f"样例{place}号", CF_SY="事" * (9_000 if place == 20 else 10)))
    following = worker(platform, database, limits={"max_body_bytes": 60_000})
    followed = await following.once()
    assert followed.failure is None
    assert len(await records(owner)) == 40
    sizes = [int(asked["size"]) for _, asked in platform.asked]
    assert sizes[0] == 500
    assert min(sizes) < 31
    # One change that is too large alone: the cursor stays, and nothing is asked in a hot loop.
    platform.upsert(at("10:00:00", USCC, "样例99号", CF_SY="事" * 20_000))
    before = len(platform.asked)
    followed = await following.once()
    assert followed.failure is not None
    assert followed.failure.kind is FailureKind.TOO_LARGE
    assert len(platform.asked) - before <= 5
    assert len(await records(owner)) == 40


async def test_a_database_that_is_gone_does_not_end_the_worker(
    platform: FeedPlatform, database: Database, postgres: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(worker(platform, database, interval=0.02, chance=lambda: 0.0).run(stop))
    await _until(lambda: len(platform.asked) > 1)
    administrator = await asyncpg.connect(postgres.dsn())
    ended = await administrator.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename like '%import'",
        database.name,
    )
    await administrator.close()
    assert len(ended) == 1
    asked = len(platform.asked)
    await _until(lambda: len(platform.asked) > asked + 1)
    assert "could not be read on" in caplog.text
    stop.set()
    await asyncio.wait_for(task, 30)
