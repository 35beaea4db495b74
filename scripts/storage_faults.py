"""What a fault of PostgreSQL does to clients:  python -m scripts.storage_faults

Starts a PostgreSQL (fsync on) and a gateway with two workers on it, asks restricted and public questions over 32
connections, and lets one fault after the other happen. Prints a table, and writes it into docs/faults.md with --write.
Each answer is compared with one taken before; each restricted answer must have its disclosure. Status 1 where an answer
took 3 s, was wrong (the garbled replies apart: see docs/security.md), showed raw text or has no disclosure, where
recovery took a second, or where 1 % of the requests failed while backends were terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import asyncpg
from joserfc.jwk import ECKey

from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer, create_database, ensure_migrate_role, ensure_running
from gateway.storage.secrets import SecretFiles
from scripts.garbler import Garbler
from scripts.kill_gateway import CLIENT, fetch_token, furnish
from scripts.served import ROOT, SERVE, end, free_port, ready, start
from scripts.storage_load import TIMEOUT, Load, Summary, summary

DATABASE = "credit"
MARKS = (
    "<!-- storage faults: made by `python -m scripts.storage_faults --write` -->",
    "<!-- end of storage faults -->",
)
PAGE = ROOT / "docs" / "faults.md"
Fault: TypeAlias = "Callable[[Stage], contextlib.AbstractAsyncContextManager[None]]"


@dataclass
class Stage:
    """A PostgreSQL that can be hurt, and a gateway in front of it."""

    server: RunningServer
    database: Database
    base: str
    usccs: list[str]
    key: ECKey
    garbler: Garbler | None = None
    chance: random.Random = field(default_factory=random.Random)
    log: Path = Path("gateway.log")

    async def owner(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection of the superuser to the database."""
        return await asyncpg.connect(self.server.dsn(self.database.name))

    def processes(self) -> list[int]:
        """The postmaster and its children."""
        found = [self.server.pid]
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                parent = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()[1]
                if int(parent) == self.server.pid:
                    found.append(int(name))
        return found


# The stage -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def postgres(folder: Path, *, fsync: bool = True) -> Iterator[tuple[RunningServer, Database, Path]]:
    """A server with an empty database; the gateway knows it as an ordinary one, and so does not start it again."""
    data_dir = folder / "gateway"
    data_dir.mkdir(mode=0o700)
    with ensure_running(folder / "server", fsync=fsync) as server:

        async def make() -> Database:
            await create_database(server, DATABASE)
            dsn = await ensure_migrate_role(server, DATABASE)
            return Database(DATABASE, DATABASE, dsn, SecretFiles(data_dir / "secrets"))

        yield server, asyncio.run(make()), data_dir


@contextlib.contextmanager
def gateway(
    data_dir: Path, dsn: str, workers: int, *, serve: Sequence[str] = SERVE, base: str | None = None, **settings: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A gateway on that database; its URL (`base`, or a free port) and its process."""
    base = base or f"http://127.0.0.1:{free_port()}"
    environment = {
        "GATEWAY_DATABASE_URL": dsn,
        "GATEWAY_WORKERS": str(workers),
        "GATEWAY_CLIENT_RATE": "0",  # one client and one address ask as fast as they can
        "GATEWAY_PUBLIC_RATE": "0",
        **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()},
    }
    running = start((*serve, "--no-migrate"), data_dir, base, **environment)
    try:
        yield base, running
    finally:
        end(running, 20)


# Faults --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def stopped(stage: Stage) -> AsyncIterator[None]:
    """An operator stops PostgreSQL (fast mode) and starts it again."""
    os.kill(stage.server.pid, signal.SIGINT)
    yield
    await asyncio.to_thread(stage.server.revive)


@contextlib.asynccontextmanager
async def killed(stage: Stage) -> AsyncIterator[None]:
    """kill -9 of the postmaster; started again, it recovers."""
    os.kill(stage.server.pid, signal.SIGKILL)
    yield
    await asyncio.to_thread(stage.server.revive)


@contextlib.asynccontextmanager
async def paused(stage: Stage) -> AsyncIterator[None]:
    """SIGSTOP to the postmaster and all its children, later SIGCONT."""
    processes = stage.processes()
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def terminated(stage: Stage) -> AsyncIterator[None]:
    """pg_terminate_backend for one of the gateway's backends, at random, every 50 to 150 ms."""
    connection = await stage.owner()

    async def go_on() -> None:
        while True:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'credit-gateway' order by random() limit 1"
            )
            await asyncio.sleep(stage.chance.uniform(0.05, 0.15))

    task = asyncio.create_task(go_on())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await connection.close()


@contextlib.asynccontextmanager
async def garbled(stage: Stage) -> AsyncIterator[None]:
    """One piece in fifty of what PostgreSQL sends is damaged on its way."""
    assert stage.garbler is not None
    stage.garbler.rate = 0.02
    yield
    stage.garbler.rate = 0.0


@contextlib.asynccontextmanager
async def silent(stage: Stage) -> AsyncIterator[None]:
    """Nothing comes through; connections of that time stay dead afterwards, new ones work."""
    assert stage.garbler is not None
    stage.garbler.silent = True
    yield
    stage.garbler.silent = False


DIRECT: dict[str, Fault] = {
    "stopped, started again": stopped,
    "killed (kill -9), started again": killed,
    "paused (SIGSTOP), then continued": paused,
    "backends terminated at random": terminated,
}
BETWEEN: dict[str, Fault] = {"replies garbled on the way": garbled, "nothing comes through": silent}


@dataclass(frozen=True)
class Row:
    """A fault with its figures; `all_pools` is when /readyz was well again (s after its end)."""

    name: str
    of_it: Summary
    all_pools: float
    lacking: int  # restricted answers without their disclosure


async def endure(
    stage: Stage, name: str, fault: Fault, seconds: float, connections: int, *, around: float = 1.0
) -> Row:
    """Load, the fault for so many seconds, load for some more; what came of it. `around`: s before, twice as long
    afterwards."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        token = await fetch_token(session, stage.base, stage.key)
        load = Load(stage.base, token, stage.usccs)
        await load.learn(session)
        enough = asyncio.Event()
        task = asyncio.create_task(load.run(connections, enough))
        await asyncio.sleep(around)
        began = time.monotonic()
        async with fault(stage):
            await asyncio.sleep(seconds)
        ended = time.monotonic()
        all_pools = await _well(session, stage.base, ended)
        await asyncio.sleep(max(0.0, ended + 2 * around - time.monotonic()))
        enough.set()
        await task
    cases = [o.case for o in load.outcomes if o.code in ("RIGHT", "WRONG") and o.case is not None]
    return Row(name, summary(load.outcomes, began, ended), all_pools, await lacking(stage, cases))


async def _well(session: aiohttp.ClientSession, base: str, ended: float) -> float:
    """When every pool answered again; asked until then."""
    while time.monotonic() < ended + 30:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            began = time.monotonic()
            async with session.get(f"{base}/readyz") as reply:
                if reply.status == 200:
                    return began - ended
        await asyncio.sleep(0.02)
    return 30.0


async def lacking(stage: Stage, cases: Sequence[str]) -> int:
    """How many of these answers have no disclosure."""
    connection = await stage.owner()
    try:
        found = await connection.fetch(
            "select distinct case_number from ledger.disclosure where client_id = $1 and outcome = 'ANSWERED'"
            " and case_number = any ($2)",
            CLIENT,
            cases,
        )
    finally:
        await connection.close()
    return len(set(cases) - {row["case_number"] for row in found})


# A client that leaves ------------------------------------------------------------------------------------------------

_WAITS = """select count(*) from pg_stat_activity where application_name = 'credit-gateway' and state = 'active'
  and wait_event_type = 'Lock'"""


async def leave(stage: Stage, view: str, clients: int) -> float:
    """Clients ask what waits for a lock, all of them leave; s until none of their statements runs any more.

    The gateway's own deadlines must be longer than this takes. Raises SystemExit where nothing waited.
    """
    holder, watcher = await stage.owner(), await stage.owner()
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            token = await fetch_token(session, stage.base, stage.key)
            await Load(stage.base, token, stage.usccs[clients:]).learn(session)  # statements are prepared
            load = Load(stage.base, token, stage.usccs[:clients])  # others: public answers to those are kept
            async with holder.transaction():
                await holder.execute("lock table core.record in access exclusive mode")
                keys = [*load.usccs[1:], "list"]
                tasks = [asyncio.create_task(load.ask(session, view, key)) for key in keys]
                deadline = time.monotonic() + 10
                while await watcher.fetchval(_WAITS) < 2:  # the shared statement, and the list's
                    if time.monotonic() > deadline:
                        raise SystemExit("nothing waits for the lock: nothing was tested")
                    await asyncio.sleep(0.02)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                left = time.monotonic()
                while await watcher.fetchval(_WAITS) and time.monotonic() < left + 15:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                return time.monotonic() - left
    finally:
        await holder.close()
        await watcher.close()


# All of it -----------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each fault")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help="faults whose name has this text; `left` for clients that leave")
    parser.add_argument("--write", action="store_true", help="write the table into docs/faults.md")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    rows: list[Row] = []
    left: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="storage-faults-") as folder,
        postgres(Path(folder)) as (server, database, data_dir),
    ):
        usccs, key = asyncio.run(furnish(database, data_dir))
        stage = Stage(server, database, "", usccs[:20], key, chance=random.Random(seed))

        async def faults(base: str, running: subprocess.Popen[bytes], which: dict[str, Fault]) -> None:
            stage.base = base
            async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
                await ready(session, base, running)
            for name, fault in which.items():
                if options.only not in name:
                    continue
                print(f"{name} …", file=sys.stderr, flush=True)
                rows.append(await endure(stage, name, fault, options.seconds, options.connections))

        async def between() -> None:
            async with Garbler(database.migrate_dsn, stage.chance) as stage.garbler:
                with gateway(data_dir, stage.garbler.dsn, options.workers) as (base, running):
                    await faults(base, running, BETWEEN)

        async def leaving(base: str, running: subprocess.Popen[bytes]) -> None:
            await faults(base, running, {})
            if options.only not in "left":
                return
            for view in ("public", "restricted"):
                left[view] = await leave(stage, view, 8)

        with gateway(data_dir, database.migrate_dsn, options.workers) as served:
            asyncio.run(faults(*served, DIRECT))
        asyncio.run(between())
        patient = {"database_timeout": "60", "ledger_timeout": "60"}
        with gateway(data_dir, database.migrate_dsn, 1, **patient) as served:
            asyncio.run(leaving(*served))
    lines = table(rows, left, seed, options)
    print("\n".join(lines))
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n\n" + "\n".join(lines) + f"\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")
    return 0 if all(held(row) for row in rows) and max(left.values(), default=0) <= 2 else 1


def held(row: Row) -> bool:
    """Whether the promises held for a fault."""
    found = row.of_it
    right = found.wrong == 0 or row.name in BETWEEN
    few = found.share <= 1 or "terminated" not in row.name
    quick = found.slowest <= 3 and found.recovery <= 1 and row.all_pools <= 1
    return right and few and quick and not found.raw and not row.lacking and found.right > 0


HEADS = ("fault", "requests", "right", "wrong", "errors by code", "errors", "slowest", "recovered", "all pools", "raw")


def table(rows: Sequence[Row], left: dict[str, float], seed: int, options: Any) -> list[str]:
    """The table as Markdown."""
    made = ["| " + " | ".join(HEADS) + " |", "| " + " | ".join(["---"] * len(HEADS)) + " |"]
    for row in rows:
        found = row.of_it
        errors = ", ".join(f"{code} {count}" for code, count in found.errors.items()) or "none"
        cells = (row.name, f"{found.in_all:,}", f"{found.right:,}", str(found.wrong), errors, f"{found.share:.2f} %")
        times = (f"{found.slowest:.2f} s", f"{found.recovery:.2f} s", f"{row.all_pools:.2f} s", str(len(found.raw)))
        made.append("| " + " | ".join((*cells, *times)) + " |")
    lacking = sum(row.lacking for row in rows)
    said = ", ".join(f"{view} {seconds:.2f} s" for view, seconds in left.items())
    return [
        *made,
        "",
        f"- {options.workers} workers, {options.connections} connections, {options.seconds:.0f} s a fault, fsync on.",
        f"- Restricted answers without their disclosure: {lacking}.",
        f"- Clients that left: their statements were cancelled after: {said}.",
        f"- Seed {seed}.",
    ]


if __name__ == "__main__":
    sys.exit(main())
