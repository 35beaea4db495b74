"""Promise: whatever happens to PostgreSQL, every answer comes within three seconds, right or refused in words of ours,
with its disclosure; and a second after the fault everything works again (scripts/storage_faults.py, the whole of it in
`make test-long`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from e2e_stack import ROOT

from scripts import storage_faults
from scripts.garbler import Garbler
from scripts.kill_gateway import furnish
from scripts.served import SERVE, free_port, ready, start
from scripts.storage_faults import Fault, Row, Stage, endure, gateway, postgres
from scripts.storage_load import Outcome, summary

CONNECTIONS = 12


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A PostgreSQL of its own, furnished; whoever asks starts the gateway."""
    folder = tmp_path_factory.mktemp("faults")
    with postgres(folder, fsync=False) as (server, database, data_dir):
        usccs, key = asyncio.run(furnish(database, data_dir))
        stage = Stage(server, database, "", usccs[:10], key, chance=random.Random(5))
        stage.log = data_dir / "gateway.log"
        yield stage


async def hurt(stage: Stage, faults: dict[str, Fault], seconds: float, workers: int) -> dict[str, Row]:
    """Each fault for so long, one gateway for all, its connections through the relay."""
    async with Garbler(stage.database.migrate_dsn, stage.chance) as stage.garbler:
        with gateway(stage.log.parent, stage.garbler.dsn, workers) as (stage.base, running):
            async with aiohttp.ClientSession() as session:
                await ready(session, stage.base, running)
            return {
                name: await endure(stage, name, fault, seconds, CONNECTIONS, around=0.5)
                for name, fault in faults.items()
            }


def check(row: Row) -> None:
    print(row)
    assert row.of_it.right > 20
    assert row.of_it.slowest < 3
    assert row.of_it.recovery < 1
    assert row.all_pools < 1
    assert row.of_it.raw == ()
    assert row.lacking == 0
    assert set(row.of_it.errors) <= {"STORAGE_UNAVAILABLE", "LEDGER_UNAVAILABLE"}


async def test_killed_and_paused(stage: Stage) -> None:
    rows = await hurt(stage, {"killed": storage_faults.killed, "paused": storage_faults.paused}, 0.8, 1)
    for row in rows.values():
        check(row)
        assert row.of_it.wrong == 0
    assert rows["killed"].of_it.errors["STORAGE_UNAVAILABLE"] > 0  # it was felt


@pytest.mark.long
async def test_backends_that_are_terminated(stage: Stage) -> None:
    row = (await hurt(stage, {"ended": storage_faults.terminated}, 3.0, 1))["ended"]
    check(row)
    assert row.of_it.wrong == 0
    assert row.of_it.share <= 1


@pytest.mark.long
async def test_replies_that_are_garbled(stage: Stage) -> None:
    row = (await hurt(stage, {"garbled": storage_faults.garbled}, 1.5, 1))["garbled"]
    check(row)
    assert stage.garbler is not None
    assert sum(stage.garbler.damaged.values()) > 0


@pytest.mark.long
def test_all_of_it() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "scripts.storage_faults"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-2_000:], sep="\n")
    assert done.returncode == 0, done.stdout
    rows = re.findall(r"^\| (?!fault|---)([^|]+) \| ([\d,]+) \|", done.stdout, re.MULTILINE)
    assert {name for name, _ in rows} == set(storage_faults.DIRECT | storage_faults.BETWEEN)
    assert all(int(count.replace(",", "")) > 100 for _, count in rows)


def postmaster(data_dir: Path) -> int:
    """The process id that the embedded server has written down; 0 while it has none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    return 0


@pytest.mark.long
async def test_a_gateway_starts_its_embedded_server_again(tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{free_port()}"
    running = start(SERVE, tmp_path, base, GATEWAY_CLIENT_RATE="0")
    try:
        async with aiohttp.ClientSession() as session:
            await ready(session, base, running)
            first = postmaster(tmp_path)
            os.kill(first, signal.SIGKILL)
            killed, states = time.monotonic(), []
            # Back ends answer until they notice that it is gone: ready counts from when there is another one.
            while time.monotonic() < killed + 30 and (postmaster(tmp_path) in (0, first) or states[-1:] != [200]):
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{base}/readyz") as reply:
                        states.append(reply.status)
                await asyncio.sleep(0.05)
            assert postmaster(tmp_path) not in (0, first)
            assert states[-1] == 200
    finally:
        running.terminate()
        running.wait(30)


# The check itself ----------------------------------------------------------------------------------------------------


def test_a_late_a_wrong_and_a_talkative_answer_are_found() -> None:
    good = [Outcome(n / 10, 0.01, "RIGHT", "public") for n in range(100)]  # one every 0.1 s; the fault is from 2 to 5
    bad = [
        Outcome(3.0, 3.5, "STORAGE_UNAVAILABLE", "restricted"),
        Outcome(6.5, 0.1, "STORAGE_UNAVAILABLE", "public"),
        Outcome(4.0, 0.1, "WRONG", "public"),
        Outcome(4.0, 0.1, "INTERNAL", "public", raw="relation does not exist"),
    ]
    found = summary([*good, *bad], 2.0, 5.0)
    assert (found.right, found.wrong, found.in_all) == (80, 1, 84)
    assert found.errors == {"INTERNAL": 1, "STORAGE_UNAVAILABLE": 2}
    assert (found.slowest, found.recovery, found.raw) == (3.5, 1.5, ("relation does not exist",))
    assert round(found.share, 1) == round(100 * 2 / 44, 1)
    assert not storage_faults.held(Row("any", found, 0.0, 0))
    assert storage_faults.held(Row("any", summary(good, 2.0, 5.0), 0.0, 0))
    assert not storage_faults.held(Row("any", summary(good, 2.0, 5.0), 0.0, 1))
