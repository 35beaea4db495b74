"""What memory does under documents that never come twice: W5 until 100,000 of them have been answered.

In: `python -m benchmarks.memory`. Out: the series of the process's memory and of its PostgreSQL back ends' own (without
what they share), results/memory.json, status 1 where the process holds more than 120 MB or a back end of the second
half has more than a tenth above the first half's. About 12 minutes; `--documents` takes fewer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from benchmarks import machine
from benchmarks.data import Size, opened
from benchmarks.load import load
from benchmarks.run import ROOT, clients, commit, console, ready, requests_of, served
from benchmarks.serve import STACKS
from benchmarks.workloads import workloads
from gateway.storage.database import Database

RESULTS = Path(__file__).resolve().parent / "results" / "memory.json"
STACK = "gateway-restricted-ledger"
LIMIT, FLAT = 120, 1.1
SECONDS = 5.0  # of load between two looks; each document once


async def measure(database: Database, postmaster: int, given: argparse.Namespace) -> dict[str, Any]:
    """The series."""
    owner = await asyncpg.connect(database.migrate_dsn)
    (workload,) = await workloads(owner, Size(), ["W5"])
    version = str(await owner.fetchval("show server_version")).split()[0]
    await owner.close()
    made = await clients(database)
    rows: list[dict[str, Any]] = []
    answered, shown = 0, 0
    before = machine.children(postmaster)
    with served(STACKS[STACK], given.data_dir) as server:
        await ready(server)
        while True:
            if answered >= shown:
                own = [pid for pid in machine.children(postmaster) if pid not in before]
                used = [machine.private_memory(pid) for pid in own]
                row = {
                    "documents": answered,
                    "process": round(machine.resident_memory(server.process.pid), 1),
                    "back_ends": round(sum(used), 1),
                }
                rows.append(row)
                console.print(row)
                shown += given.documents // 10
            if answered >= given.documents:
                break
            outcome = await load(server.port, await requests_of(server, workload, made), connections=8, seconds=SECONDS)
            if outcome.failures:
                raise SystemExit(outcome.failures[0].decode(errors="replace"))
            answered += len(outcome.latencies)
    return {"commit": commit(), "machine": machine.describe(version), "rows": rows}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with opened(given.data_dir, Size()) as (database, postmaster):
        result = uvloop.run(measure(database, postmaster, given))
    given.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    rows = result["rows"]
    half = len(rows) // 2
    if max(row["process"] for row in rows) > LIMIT:
        raise SystemExit(f"the process held more than {LIMIT} MB")
    if max(row["back_ends"] for row in rows[half:]) > FLAT * max(row["back_ends"] for row in rows[1 : half + 1]):
        raise SystemExit("its back ends grow")


if __name__ == "__main__":
    main()
