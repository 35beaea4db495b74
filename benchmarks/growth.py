"""How cost grows with a list: W3 with 10, 100 and 1,000 subjects, the floor and the gateway in turns, one run.

In: `python -m benchmarks.growth`. Out: a table and results/growth.json; status 1 where the gateway's time grows by more
than 15 % beyond the floor's own growth. One request at a time, so that no statement is shared: what grows is the work.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop

from benchmarks import machine
from benchmarks.data import Size, opened
from benchmarks.load import ask
from benchmarks.run import ROOT, Server, clients, commit, console, ready, requests_of, served
from benchmarks.serve import STACKS
from benchmarks.workloads import Workload, list_workload
from gateway.storage.database import Database

RESULTS = Path(__file__).resolve().parent / "results" / "growth.json"
LENGTHS = (10, 100, 1_000)
BOUND = 1.15
WHO = ("floor", "gateway-restricted-ledger")


async def measure(database: Database, size: Size, given: argparse.Namespace) -> dict[str, Any]:
    """Medians of the time of one request, by length and stack."""
    owner = await asyncpg.connect(database.migrate_dsn)
    rng = random.Random(size.seed)
    asked = {length: await list_workload(owner, rng, length, given.rounds) for length in LENGTHS}
    version = str(await owner.fetchval("show server_version")).split()[0]
    await owner.close()
    made = await clients(database)
    found: dict[tuple[int, str], list[float]] = {(length, name): [] for length in LENGTHS for name in WHO}
    with ExitStack() as stack:
        servers = [stack.enter_context(served(STACKS[name], given.data_dir)) for name in WHO]
        for server in servers:
            await ready(server)
        for length, workload in asked.items():
            requests = [await requests_of(server, workload, made) for server in servers]
            for number in range(given.rounds):
                for place in rng.sample(range(len(servers)), len(servers)):
                    seconds = await _once(servers[place], workload, requests[place][number])
                    if number >= given.rounds // 10:  # the first ones warm up
                        found[length, WHO[place]].append(seconds)
    times = {length: [median(found[length, name]) * 1e3 for name in WHO] for length in LENGTHS}
    rows: list[dict[str, Any]] = []
    for before, length in pairwise((0, *LENGTHS)):
        row: dict[str, Any] = {"subjects": length}
        growth = [now / then for now, then in zip(times[length], times[before], strict=True)] if before else None
        for place, name in enumerate(("floor", "gateway")):
            row[f"{name}_ms"] = round(times[length][place], 3)
            row[f"{name}_growth"] = round(growth[place], 2) if growth else "–"
        row["over"] = round(growth[1] / growth[0], 3) if growth else "–"
        rows.append(row)
    return {"commit": commit(), "machine": machine.describe(version), "rounds": given.rounds, "rows": rows}


async def _once(server: Server, workload: Workload, request: bytes) -> float:
    began = time.perf_counter()
    status, body = await ask(server.port, request)
    seconds = time.perf_counter() - began
    if status != 200 or b'"errors"' in body[:20]:
        raise SystemExit(f"{server.stack.name}, {workload.name}: {status} {body[:500].decode(errors='replace')}")
    return seconds


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests of each length and stack")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with opened(given.data_dir, Size()) as (database, _):
        result = uvloop.run(measure(database, Size(), given))
    given.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for row in result["rows"]:
        console.print(row)
    if beyond := [row["subjects"] for row in result["rows"] if row["over"] != "–" and row["over"] > BOUND]:
        raise SystemExit(f"grows by more than the floor and 15 %: {beyond}")


if __name__ == "__main__":
    main()
