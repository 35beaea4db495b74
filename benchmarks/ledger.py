"""What the ledger costs, log and fan-out running: `python -m benchmarks.ledger`, or `make bench-ledger`.

Stacks take turns: the restricted view with its disclosures thrown away, the same with the ledger as it is served, and,
of lists, with the rows alone. After each turn the runner is waited for: how much was left and how long it took is told.
Then one connection's latency, held against the disk's own fsync, measured on the spot; and both stacks with 256
connections on a server each of whose fsyncs takes 4 ms more (a library that is loaded before libc's, made with cc).
Out: tables, benchmarks/results/ledger.json, and status 1 where an aim is not reached.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.data import EMPTY_LEDGER, Size, opened
from benchmarks.run import ROOT, Server, clients, commit, ready, requests_of, served, turn
from benchmarks.serve import STACKS
from benchmarks.settled import settled
from benchmarks.workloads import workloads
from gateway.storage import embedded_account
from gateway.storage.database import Database

RESULTS = Path(__file__).resolve().parent / "results" / "ledger.json"
WITHOUT, WITH, ROWS = "gateway-restricted", "gateway-restricted-ledger", "gateway-restricted-rows"
AIMS = {"W1": 0.82, "W2": 0.82, "W4": 0.88}  # of WITHOUT
ROWS_AIMS = {"W3": 0.88}  # the rows alone: while they are written nobody sequences
DRAINED = 60.0  # s after the load
LAG = 2.0  # s until a checkpoint has it, of each disclosure
SLOW_MS, SLOW_CONNECTIONS, SLOW_AIM = 4, 256, 0.7
SHIM = f"""#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int late(const char *name, int fd) {{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int done = real(fd);
    usleep({SLOW_MS * 1000});
    return done;
}}
int fsync(int fd) {{ return late("fsync", fd); }}
int fdatasync(int fd) {{ return late("fdatasync", fd); }}
"""
# From a disclosure's transaction to the first checkpoint that has it, s: the worst of what was written since.
_LAG = """
select coalesce(max(extract(epoch from c.at - l.at)), 0)::float8
from ledger.leaf l cross join lateral (
    select c.at from ledger.checkpoint c where c.size > l.index order by c.size limit 1
) c where l.index >= $1"""
console = Console(width=max(Console().width, 110))


@dataclass(slots=True)
class Turns:
    """What one stack did at one workload, by round."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)  # ms
    left: list[int] = field(default_factory=list)  # entries that fan-out had still to make after the load
    drained: list[float] = field(default_factory=list)  # s until it had
    lag: list[float] = field(default_factory=list)  # s, of the checkpoint behind the disclosure, at worst
    fsync: list[float] = field(default_factory=list)  # ms, of the disk right after the turn
    cpu: list[float] = field(default_factory=list)  # ms a request, of the gateway and of PostgreSQL, the runner's too


async def in_turns(
    servers: Sequence[Server], workload: Any, owner: asyncpg.Connection[asyncpg.Record], made: Any, postmaster: int,
    given: argparse.Namespace,
) -> dict[str, Turns]:  # fmt: skip
    """Rounds in which each has its turn, in another order each time; the first warms up."""
    found = {server.stack.name: Turns() for server in servers}
    for number in range(given.rounds + 1):
        for server in servers if number % 2 else reversed(servers):
            requests = await requests_of(server, workload, made)
            before = await owner.fetchval("select count(*) from ledger.subject_entry")
            size = await owner.fetchval("select size from ledger.log_state")
            slot = await turn(server, requests, postmaster, given, number, fresh=False)
            during = await owner.fetchval("select count(*) from ledger.subject_entry")
            waited = await settled(owner) if server.stack.sequences else 0.0
            after = await owner.fetchval("select count(*) from ledger.subject_entry")
            if server.stack.name == ROWS:
                await owner.execute(EMPTY_LEDGER)  # nobody was there to take them
            if number:
                own = found[server.stack.name]
                own.rates.append(slot.outcome.rate)
                own.p50.append(slot.outcome.percentile(0.5))
                own.left.append(after - during)
                own.drained.append(waited)
                own.lag.append(await owner.fetchval(_LAG, size))
                own.fsync.append(fsync_ms(given.data_dir / "postgres"))
                own.cpu.append(slot.cpu_server + slot.cpu_postgres)
            assert before <= during <= after
    return found


def fsync_ms(folder: Path) -> float:
    """Median of what it takes to append 8 kB to a file and have it on the disk."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(100):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(8192))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


@contextmanager
def slow_fsync() -> Iterator[bool]:
    """PostgreSQL that is started now has the library before libc's; False where there is no cc."""
    if shutil.which("cc") is None:
        yield False
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        source, library = Path(folder) / "late.c", Path(folder) / "late.so"
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        embedded_account._ENVIRONMENT["LD_PRELOAD"] = str(library)
        try:
            yield True
        finally:
            del embedded_account._ENVIRONMENT["LD_PRELOAD"]


async def measure(
    database: Database, postmaster: int, size: Size, given: argparse.Namespace, wanted: dict[str, Sequence[str]]
) -> dict[str, dict[str, Turns]]:
    """By workload and stack."""
    owner = await asyncpg.connect(database.migrate_dsn)
    made = await clients(database)
    found = {}
    names = sorted({name for stacks in wanted.values() for name in stacks})
    with ExitStack() as stack:
        servers = {name: stack.enter_context(served(STACKS[name], given.data_dir)) for name in names}
        for server in servers.values():
            await ready(server)
        for workload in await workloads(owner, size, list(wanted)):
            with console.status(workload.name):
                own = [servers[name] for name in wanted[workload.name]]
                found[workload.name] = await in_turns(own, workload, owner, made, postmaster, given)
    await owner.close()
    return found


def ratio(turns: dict[str, Turns], name: str) -> float:
    """Of WITHOUT, round by round."""
    return median(ours / theirs for ours, theirs in zip(turns[name].rates, turns[WITHOUT].rates, strict=True))


def told(found: dict[str, dict[str, Turns]], connections: int, aims: dict[str, float]) -> list[dict[str, Any]]:
    """Rows of the result, printed."""
    table = Table(title=f"{connections} connections")
    for title in (
        "workload", "stack", "req/s", "p50 ms", "ratio", "aim", "entries left", "gone after s", "CPU ms",
        "lag s", "entries/s",
    ):  # fmt: skip
        table.add_column(title, justify="right")
    rows = []
    for workload, turns in found.items():
        for name, own in turns.items():
            row = {
                "workload": workload, "stack": name, "connections": connections, "rps": round(median(own.rates), 1),
                "p50_ms": round(median(own.p50), 2), "ratio": round(ratio(turns, name), 3),
                "aim": None if name == WITHOUT else aims.get(workload),
                "left": max(own.left), "drained_s": round(max(own.drained), 2),
                "cpu_ms": round(median(own.cpu), 3), "lag_s": round(max(own.lag), 2),
            }  # fmt: skip
            most = max(range(len(own.left)), key=own.left.__getitem__)
            rate = own.left[most] / own.drained[most] if own.drained[most] > 0 else 0.0
            row["entries_per_s"] = round(rate)
            rows.append(row)
            table.add_row(*[str(row[key]) for key in row if key != "connections"])
    console.print(table)
    return rows


def missed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that do not reach their aim, or leave entries or disclosures waiting for too long."""
    return [
        row
        for row in rows
        if (row["aim"] is not None and row["ratio"] < row["aim"]) or row["drained_s"] > DRAINED or row["lag_s"] > LAG
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["W1", "W2", "W3", "W4"], help="workloads")
    parser.add_argument("--rounds", type=int, default=5, help="that count; one before them warms up (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each stack's turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--subjects", type=int, default=Size().subjects)
    parser.add_argument("--records", type=int, default=Size().records)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    size = Size(given.subjects, given.records)
    wanted = {name: [WITHOUT, WITH] for name in given.only}
    rows_only = {name: [WITHOUT, ROWS] for name in given.only if name in ROWS_AIMS}
    alone = argparse.Namespace(**{**vars(given), "connections": 1, "seconds": 2.0})
    many = argparse.Namespace(**{**vars(given), "connections": SLOW_CONNECTIONS})
    with opened(given.data_dir, size) as (database, postmaster):
        rows = told(uvloop.run(measure(database, postmaster, size, given, wanted)), given.connections, AIMS)
        if rows_only:
            rows += told(
                uvloop.run(measure(database, postmaster, size, given, rows_only)), given.connections, ROWS_AIMS
            )
        one = uvloop.run(measure(database, postmaster, size, alone, {"W1": [WITHOUT, WITH]}))
        rows += told(one, 1, {})
        disk = median(one["W1"][WITH].fsync)
        version = database.name and "embedded"
    more = median(b - a for a, b in zip(one["W1"][WITHOUT].p50, one["W1"][WITH].p50, strict=True))
    allowed = 1.5 * disk + 1
    console.print(
        f"p50 of one connection: {more:.2f} ms more; fsync of this disk {disk:.2f} ms, so {allowed:.2f} allowed"
    )
    failed = missed(rows)
    if more > allowed:
        failed.append({"p50_more_ms": round(more, 2), "allowed": round(allowed, 2)})
    with slow_fsync() as slow:
        if slow:
            with opened(given.data_dir, size) as (database, postmaster):
                late = told(
                    uvloop.run(measure(database, postmaster, size, many, {"W1": [WITHOUT, WITH]})),
                    SLOW_CONNECTIONS, {"W1": SLOW_AIM},
                )  # fmt: skip
            failed += missed(late)
        else:
            late = []
            console.print("no cc: a slow disk is not measured")
    result = {
        "commit": commit(), "machine": machine.describe(version), "rows": rows, "fsync_ms": round(disk, 3),
        "p50_more_ms": round(more, 3), "slow_fsync_ms": SLOW_MS, "slow": late,
    }  # fmt: skip
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in failed:
        console.print(f"not reached: {row}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
