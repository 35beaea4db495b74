"""`make bench-peers`: W1 to W4 on other GraphQL servers and on what this one serves, in turns, one run.

In: the benchmark's data, npm for what package.json pins (Node.js 24 among it). Out: a table, results/peers.json: each
one's figures, and the gateway's requests a second over its. The gateway's documents are sent to all as they are, but
for PostGraphile's, whose schema is generated; data must be equal before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import uvloop
from rich.table import Table

from benchmarks import machine
from benchmarks.data import Size, opened
from benchmarks.floor import statements
from benchmarks.floor_lists import COUNTED, MATCHES, PAGE, records, search
from benchmarks.load import ask, http
from benchmarks.peers import postgraphile
from benchmarks.peers.rows import RECORD, SUBJECT, VISIBLE
from benchmarks.run import COMPARED, ROOT, Series, Server, clients, commit, console, ready, requests_of, served, turn
from benchmarks.serve import STACKS, Stack
from benchmarks.workloads import Workload, filter_parameters, workloads
from gateway.storage.database import Database

HERE, BUILD = Path(__file__).resolve().parent, ROOT / "build" / "peers"
RESULTS = HERE.parent / "results" / "peers.json"
OURS = "gateway-restricted-ledger"
WORKLOADS = ("W1", "W2", "W3", "W4")
PEERS = {
    "mercurius": "mercurius.mjs",
    "mercurius-loaders": "mercurius_loaders.mjs",
    "postgraphile": "postgraphile.mjs",
    "strawberry": "",
}
WARM_UP = 3  # times a turn: engines of JavaScript take their time; a slow server's turns are as long
ANSWERS = 3  # of each connection in a turn; a slow server has as many connections as get them, but no fewer than
LEAST = 4


def installed() -> Path:
    """Node.js 24 with the pinned packages, under build/."""
    wanted = (HERE / "package.json").read_text()
    node = BUILD / "node_modules" / "node" / "bin" / "node"
    if not node.is_file() or (BUILD / "package.json").read_text() != wanted:
        BUILD.mkdir(parents=True, exist_ok=True)
        (BUILD / "package.json").write_text(wanted)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=BUILD, check=True)
    return node


def written(asked: Sequence[Workload], folder: Path) -> Path:
    """The schema, the statements of Mercurius' resolvers and what its loaders read, in a file."""
    lists = {}
    for workload in asked:
        if workload.name == "W4":
            for variables in workload.variables:
                given = filter_parameters(variables)
                order = given.get("order", "decided_desc")
                names = [name for name in ("kind", "area", "from", "to", "after", "region") if name in given]
                lists[",".join((order, *names))] = records("restricted", given)[0]
    single = {**statements("restricted"), "W2": search("restricted")}
    path = folder / "statements.json"
    read = {
        "record": RECORD,
        "subject": SUBJECT,
        "visible": VISIBLE,
        "matches": MATCHES,
        "page": PAGE,
        "counted": COUNTED,
    }
    told = {"schema": (HERE / "schema.graphql").read_text(), "single": single, "lists": lists, "read": read}
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


@contextmanager
def peer(name: str, node: Path, statements_file: Path, dsn: str) -> Iterator[Server]:
    """A peer's process, until the end."""
    parts = urlsplit(dsn)
    environment = {
        **os.environ,
        "PGHOST": parse_qs(parts.query).get("host", [parts.hostname or ""])[0],
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path[1:],
        "STATEMENTS": str(statements_file),
        "NODE_ENV": "production",
    }
    if PEERS[name]:
        # Modules are looked for beside the file.
        shutil.copy(HERE / PEERS[name], BUILD / PEERS[name])
        command = [str(node), PEERS[name]]
    else:
        command = [sys.executable, "-m", "benchmarks.peers.plain_strawberry", "--dsn", dsn]
    where = BUILD if PEERS[name] else ROOT
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=where, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line:
                raise SystemExit(f"{name} did not start")
            yield Server(Stack(name, "peer"), process, int(line))
        finally:
            process.terminate()


async def bodies(server: Server, workload: Workload, made: dict[str, tuple[str, str]]) -> list[bytes]:
    """Requests of a workload; a peer knows no tokens."""
    if server.stack.kind != "peer":
        return await requests_of(server, workload, made)
    if server.stack.name == "postgraphile":
        return await postgraphile.requests(server.port, workload)
    headers = {"content_type": "application/json", "accept": "application/json"}
    return [http("POST", "/graphql", workload.graphql(variables), **headers) for variables in workload.variables]


async def compare(ours: Server, other: Server, workload: Workload, made: dict[str, tuple[str, str]]) -> None:
    """Raises SystemExit where values differ."""
    mine, theirs = await bodies(ours, workload, made), await bodies(other, workload, made)
    for number in range(min(COMPARED, len(mine))):
        (_, expected), (_, found) = await ask(ours.port, mine[number]), await ask(other.port, theirs[number])
        one, other_one = (json.loads(answer).get("data") for answer in (expected, found))
        if other.stack.name == "postgraphile":
            one, other_one = postgraphile.normalised(one), postgraphile.normalised(other_one)
        if one is None or one != other_one:
            raise SystemExit(
                f"{workload.name}: {other.stack.name} differs at {number}; nothing is timed:"
                f"\n{expected[:800].decode()}\n{found[:800].decode()}"
            )


async def measure(database: Database, postmaster: int, given: argparse.Namespace) -> dict[str, Any]:
    """Start everything, compare, measure; returns what peers.json gets."""
    node = installed()
    owner = await asyncpg.connect(database.migrate_dsn)
    asked = await workloads(owner, Size(), given.only or WORKLOADS)
    version = str(await owner.fetchval("show server_version")).split()[0]
    made = await clients(database)
    rows: list[dict[str, Any]] = []
    await postgraphile.make(owner)
    try:
        with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            path = written(asked, Path(folder))
            servers = [stack.enter_context(served(STACKS[OURS], given.data_dir))]
            servers += [stack.enter_context(peer(name, node, path, database.migrate_dsn)) for name in given.peers]
            for server in servers:
                await ready(server)
            for workload in asked:
                for server in servers[1:]:
                    await compare(servers[0], server, workload, made)
                console.print(f"{workload.name}: the same answers from {len(servers)} servers")
                rows += await _rounds(workload, servers, postmaster, given, made)
    finally:
        await postgraphile.drop(owner)
        await owner.close()
    return {"commit": commit(), "machine": machine.describe(version), "rows": rows}


async def _rounds(
    workload: Workload,
    servers: Sequence[Server],
    postmaster: int,
    given: argparse.Namespace,
    made: dict[str, tuple[str, str]],
) -> list[dict[str, Any]]:
    series = [Series(workload.name, server.stack.name) for server in servers]
    paces = [await _pace(server, await bodies(server, workload, made), postmaster, given) for server in servers]
    for number in range(1, given.rounds + 1):
        for place in random.Random(number).sample(range(len(servers)), len(servers)):
            requests = await bodies(servers[place], workload, made)
            slot = await turn(servers[place], requests, postmaster, paces[place], number, fresh=False)
            if not slot.outcome.latencies:
                raise SystemExit(f"{servers[place].stack.name} answered nothing in a turn; give more --seconds")
            series[place].slots.append(slot)
    rows = []
    for each in series:
        row = each.row(None)
        pairs = zip(series[0].slots, each.slots, strict=True)
        row["ratio"] = round(median(ours.outcome.rate / theirs.outcome.rate for ours, theirs in pairs), 3)
        rows.append(row)
    return rows


async def _pace(
    server: Server, requests: Sequence[bytes], postmaster: int, given: argparse.Namespace
) -> argparse.Namespace:
    """Warms a server up; returns seconds and connections of its turns: the gateway's are always as asked for."""
    pace = argparse.Namespace(connections=given.connections, seconds=WARM_UP * given.seconds)
    while True:
        slot = await turn(server, requests, postmaster, pace, 0, fresh=False)
        answered = len(slot.outcome.latencies)
        if answered >= WARM_UP * ANSWERS * given.connections or server.stack.kind != "peer":
            return given
        if answered >= ANSWERS * pace.connections or pace.connections <= LEAST:
            return pace
        pace.connections = max(LEAST, min(answered // ANSWERS, pace.connections // 2))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    names = lambda text: [part for part in text.split(",") if part]  # noqa: E731
    parser.add_argument("--only", type=names, default=[], help="workloads, W1,W3")
    parser.add_argument("--peers", type=names, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn; a slow server's are longer")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with opened(given.data_dir, Size()) as (database, postmaster):
        result = uvloop.run(measure(database, postmaster, given))
    given.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = Table("workload", "server", "req/s", "p50 ms", "CPU ms", "CPU ms PostgreSQL", "gateway over it")
    for row in result["rows"]:
        cells = ("workload", "stack", "rps", "p50_ms", "cpu_ms_server", "cpu_ms_postgres", "ratio")
        shown.add_row(*(str(row[cell]) for cell in cells))
    console.print(shown)


if __name__ == "__main__":
    main()
