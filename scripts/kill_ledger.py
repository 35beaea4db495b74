"""The account under kill -9 of everything:  python -m scripts.kill_ledger --gateway-kills 100 --database-kills 20

Starts a PostgreSQL (fsync on) and the gateway with four workers on it. 32 connections ask restricted questions without
a pause, each with a case number of its own; meanwhile, at random moments, the whole gateway, one of its workers or
PostgreSQL is killed and started again. At the end

- every answer that was received whole must have its disclosure,
- the log must have a leaf for each disclosure, and `credit-gateway ledger verify` must find nothing,
- the numbers of each subject's entries must have no gap, and there must be one for each time the subject was shown.

Prints the figures; status 1 where one of these does not hold, or where nothing was tested. About 12 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg

from scripts.kill_gateway import CLIENT, ask, fetch_token, furnish, shown
from scripts.served import ROOT, SERVE, ready, workers_of
from scripts.storage_faults import Stage, gateway, postgres

CONNECTIONS = 32
CLI = SERVE[:-1]
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_PAUSE = 0.05  # s before a connection that broke is made anew
_TOKEN = 600.0  # s after which a token is fetched anew: it holds 900
_STARTED = 240.0  # s that it may take to answer again
_SETTLED = 60.0  # s that log and fan-out may take afterwards

# What the ledger says of itself, in one snapshot.
_FOUND = f"""select
    (select count(*) from ledger.disclosure) as disclosures,
    (select count(*) from ledger.leaf where kind = 'D') as leaves,
    (select count(*) from ledger.leaf l where l.kind = 'D'
        and not exists (select from ledger.disclosure d where d.at = l.at and d.id = l.id)) as strangers,
    (select count(*) from ledger.subject_entry) as entries,
    (select count(*) from ledger.disclosure d, unnest(array(select distinct unnest(d.subject_ids)))) as shown,
    (select count(*) from (select subject_id from ledger.subject_entry group by subject_id
        having min(number) <> 1 or max(number) <> count(*)) g) as gaps,
    (select count(*) from ledger.checkpoint) as checkpoints,
    (select count(*) from ledger.disclosure where client_id = '{CLIENT}' and outcome = 'ANSWERED') as answered"""
_BEHIND = """select s.size < (select count(*) from ledger.disclosure) + (select count(*) from ledger.event)
    or s.fanned < s.size or coalesce((select max(c.size) from ledger.checkpoint c), 0) < s.size
    from ledger.log_state s"""


@dataclass
class Counts:
    """What happened."""

    answers: list[str] = field(default_factory=list)  # case numbers of whole answers
    cut_off: int = 0
    refused: int = 0
    gateway: int = 0  # kills of all its processes
    workers: int = 0  # kills of one
    database: int = 0
    idle: int = 0  # kills before which nothing was answered since the one before


class Load:
    """Connections that ask one question after the other, whatever happens to the other side."""

    def __init__(self, base: str, token: str, usccs: Sequence[str], counts: Counts) -> None:
        self._base, self.token, self._usccs, self._counts = base, token, usccs, counts
        self._cases = itertools.count()
        self._tasks = [asyncio.create_task(self._connection(lane)) for lane in range(CONNECTIONS)]

    async def close(self) -> None:
        """End; questions under way are not counted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, lane: int) -> None:
        while True:
            connector = aiohttp.TCPConnector(limit=1)
            async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    await self._ask(session, lane)
            self._counts.cut_off += 1
            await asyncio.sleep(_PAUSE)

    async def _ask(self, session: aiohttp.ClientSession, lane: int) -> None:
        """Ask until the connection breaks."""
        while True:
            number = next(self._cases)
            case = f"kill {number}"
            if await ask(session, self._base, self.token, self._usccs[(lane + number) % len(self._usccs)], case):
                self._counts.answers.append(case)
            else:
                self._counts.refused += 1
                await asyncio.sleep(_PAUSE)


def kill_all(running: subprocess.Popen[bytes]) -> None:
    """kill -9 of the supervisor and its workers; what they had begun is cut where it stands."""
    for pid in (running.pid, *workers_of(running.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.wait()


def plan(options: argparse.Namespace, chance: random.Random) -> Iterator[tuple[str, float]]:
    """Which kill comes when: one after the other, s of load before each."""
    kills = ["gateway" if n % 2 else "worker" for n in range(options.gateway_kills)] + [
        "database"
    ] * options.database_kills
    chance.shuffle(kills)
    for kill in kills:
        yield kill, chance.uniform(*options.load_seconds)


async def torment(stage: Stage, options: argparse.Namespace, chance: random.Random, counts: Counts) -> None:
    """Load and kills."""
    dsn = stage.database.migrate_dsn
    settings = {"token_seconds": "900", "max_connections_per_address": "0"}
    with contextlib.ExitStack() as stack:
        data_dir = stage.log.parent

        def serve(base: str | None = None) -> tuple[str, subprocess.Popen[bytes]]:
            return stack.enter_context(gateway(data_dir, dsn, options.workers, base=base, **settings))

        base, running = serve()
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            await ready(session, base, running, stage.log)
            since = time.monotonic()
            load = Load(base, await fetch_token(session, base, stage.key), stage.usccs, counts)
            try:
                for kill, seconds in plan(options, chance):
                    before = len(counts.answers)
                    await _answering(counts, before, running, stage)
                    if time.monotonic() - since > _TOKEN:
                        load.token, since = await fetch_token(session, base, stage.key), time.monotonic()
                    await asyncio.sleep(seconds)
                    counts.idle += len(counts.answers) == before
                    if kill == "database":
                        os.kill(stage.server.pid, signal.SIGKILL)
                        while not await asyncio.to_thread(stage.server.revive):  # noqa: ASYNC110
                            await asyncio.sleep(0.02)  # it is dying still
                        counts.database += 1
                    elif kill == "worker":
                        while not (found := workers_of(running.pid)):  # noqa: ASYNC110
                            await asyncio.sleep(0.02)  # all have ended, and are started again
                        os.kill(chance.choice(found), signal.SIGKILL)
                        counts.workers += 1
                    else:
                        kill_all(running)
                        counts.gateway += 1
                        _, running = serve(base)
                await _answering(counts, len(counts.answers), running, stage)
            finally:
                await load.close()
        await settled(stage)


async def _answering(counts: Counts, before: int, running: subprocess.Popen[bytes], stage: Stage) -> None:
    """Wait until it answers again."""
    deadline = time.monotonic() + _STARTED
    while len(counts.answers) == before:
        if running.poll() is not None or time.monotonic() > deadline:
            said = stage.log.read_text(encoding="utf-8")[-2_000:]
            raise SystemExit(f"the gateway answers no more (ended: {running.poll()}): {said}")
        await asyncio.sleep(0.02)


async def settled(stage: Stage) -> None:
    """Wait until log, checkpoint and fan-out have all that was written."""
    connection = await stage.owner()
    deadline = time.monotonic() + _SETTLED
    try:
        while await connection.fetchval(_BEHIND) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def found(stage: Stage) -> tuple[asyncpg.Record, set[str]]:
    """The ledger's figures, and the case numbers that it knows."""
    connection = await stage.owner()
    try:
        rows = await connection.fetch(
            "select case_number from ledger.disclosure where client_id = $1 and outcome = 'ANSWERED'"
            " and cardinality(subject_ids) = 1",
            CLIENT,
        )
        figures = await connection.fetchrow(_FOUND)
    finally:
        await connection.close()
    assert figures is not None
    return figures, {row["case_number"] for row in rows}


def verified(stage: Stage) -> bool:
    """Whether `credit-gateway ledger verify` finds nothing."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
        "GATEWAY_DATABASE_URL": stage.database.migrate_dsn,
        "GATEWAY_DATA_DIR": str(stage.log.parent),
        "GATEWAY_ISSUER": stage.base,
    }
    done = subprocess.run([*CLI, "ledger", "verify"], cwd=ROOT, env=environment, capture_output=True, text=True)
    print((done.stdout + done.stderr).strip()[-1_500:])
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.kill_ledger", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gateway-kills", type=int, default=100, help="half of them of one worker")
    parser.add_argument("--database-kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--load-seconds", type=float, nargs=2, default=(0.3, 2.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=None, help="of the order and the moments of the kills")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    counts = Counts()
    with (
        tempfile.TemporaryDirectory(prefix="kill-ledger-") as folder,
        postgres(Path(folder)) as (server, database, data_dir),
    ):
        usccs, key = asyncio.run(furnish(database, data_dir))
        stage = Stage(server, database, "http://127.0.0.1", usccs, key, log=data_dir / "gateway.log")
        asyncio.run(torment(stage, options, random.Random(seed), counts))
        figures, told = asyncio.run(found(stage))
        fsync = asyncio.run(shown(database, "fsync"))
        lacking = [case for case in counts.answers if case not in told]
        whole = verified(stage)
    of_one = f"{counts.workers} of one of {options.workers} workers"
    print(f"kills of the gateway     {counts.gateway} of all its processes, {of_one}")
    print(f"kills of PostgreSQL      {counts.database}   (seed {seed}, fsync {fsync}, {CONNECTIONS} connections)")
    print(f"answers received whole   {len(counts.answers)}; cut off {counts.cut_off}, refused {counts.refused}")
    print(f"answers lacking theirs   {len(lacking)}   {', '.join(lacking[:5])}")
    for name, value in figures.items():
        print(f"{name:<25}{value}")
    print(f"ledger verify            {'found nothing' if whole else 'FAILED'}")
    tested = (
        counts.gateway + counts.workers == options.gateway_kills
        and counts.database == options.database_kills
        and counts.idle == 0
        and fsync == "on"
    )
    if not tested:
        print("not tested: a kill was missed, came before any answer, or fsync is off")
    holds = (
        not lacking
        and figures["leaves"] == figures["disclosures"]
        and figures["strangers"] == figures["gaps"] == 0
        and figures["entries"] == figures["shown"]
        and whole
    )
    return 0 if tested and holds else 1


if __name__ == "__main__":
    sys.exit(main())
