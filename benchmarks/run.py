"""One run: all stacks up, answers compared, then rounds in which each stack has its turn; medians and spread.

In: options of the command line. Out: a table, benchmarks/results/latest.json, and status 1 where answers differ or a
request failed. Ratios are to `floor` in the same run, round by round, so that a busy machine hurts all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Column, Table

from benchmarks import machine
from benchmarks.data import PROVINCE, Size, opened
from benchmarks.load import Outcome, ask, http, load
from benchmarks.serve import STACKS, Stack
from benchmarks.settled import settled
from benchmarks.workloads import Workload, workloads
from gateway.auth.clients import ClientStore
from gateway.auth.registration import Registration, register
from gateway.storage.database import Database
from gateway.storage.pool import Pool

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results" / "latest.json"
COMPARED = 40  # answers of each stack that are held against the floor's
MATTER, CASE = "GRANT", "BENCH-1"
ORGANISATION = "11652722010519406J"
console = Console(width=max(Console().width, 130))


@dataclass(slots=True)
class Server:
    """A stack's process."""

    stack: Stack
    process: subprocess.Popen[str]
    port: int


@dataclass(slots=True)
class Slot:
    """One turn of a stack: what the load saw, and CPU in ms per request."""

    outcome: Outcome
    cpu_server: float
    cpu_postgres: float
    cpu_load: float


@dataclass(slots=True)
class Series:
    """All turns of a stack at a workload."""

    workload: str
    stack: str
    slots: list[Slot] = field(default_factory=list)

    def row(self, floor: Series | None) -> dict[str, Any]:
        """As latest.json has it."""
        rates = [slot.outcome.rate for slot in self.slots]
        ratio = None
        if floor is not None:
            ratio = median(r / slot.outcome.rate for r, slot in zip(rates, floor.slots, strict=True))
        return {
            "workload": self.workload,
            "stack": self.stack,
            "rps": round(median(rates), 1),
            "rps_min": round(min(rates), 1),
            "rps_max": round(max(rates), 1),
            "p50_ms": round(median(slot.outcome.percentile(0.5) for slot in self.slots), 2),
            "p99_ms": round(median(slot.outcome.percentile(0.99) for slot in self.slots), 2),
            "cpu_ms_server": round(median(slot.cpu_server for slot in self.slots), 3),
            "cpu_ms_postgres": round(median(slot.cpu_postgres for slot in self.slots), 3),
            "ratio": None if ratio is None else round(ratio, 3),
        }


@contextmanager
def served(stack: Stack, data_dir: Path) -> Iterator[Server]:
    """The stack's process, until the end."""
    command = [sys.executable, "-m", "benchmarks.serve", stack.name, "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line:
                raise SystemExit(f"{stack.name} did not start")
            yield Server(stack, process, int(line))
        finally:
            process.terminate()


async def ready(server: Server) -> None:
    """Returns once the server takes connections: its port is known before."""
    for _ in range(600):
        if server.process.poll() is not None:
            break
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit(f"{server.stack.name} did not start")


# Requests ------------------------------------------------------------------------------------------------------------


async def clients(database: Database) -> dict[str, tuple[str, str]]:
    """Registers two clients of this run: all subjects, and narrowed to a region. Returns ids and secrets."""
    pool = Pool(database.dsn("service"), size=1)
    made = {}
    try:
        for kind, regions in (("restricted", None), ("scoped", (PROVINCE,))):
            name = f"bench-{kind}-{secrets.token_hex(6)}"
            wanted = Registration(
                name, name, ORGANISATION, ("view:restricted",), (MATTER,), regions=regions, secret=True
            )
            made[kind] = (name, await register(ClientStore(pool), wanted) or "")
    finally:
        await pool.close()
    return made


async def token(server: Server, client: tuple[str, str]) -> str:
    """An access token with its purpose, from the server's own token endpoint."""
    details = [{"type": "credit_purpose", "matter": MATTER, "case_number": CASE}]
    form = {
        "grant_type": "client_credentials",
        "scope": "view:restricted",
        "authorization_details": json.dumps(details),
    }
    basic = base64.b64encode(":".join(client).encode()).decode()
    kind = "application/x-www-form-urlencoded"
    body = urlencode(form).encode()
    request = http("POST", "/oauth/token", body, content_type=kind, authorization=f"Basic {basic}")
    status, body = await ask(server.port, request)
    if status != 200:
        raise SystemExit(f"{server.stack.name}: no token: {status} {body.decode()}")
    return str(json.loads(body)["access_token"])


async def requests_of(server: Server, workload: Workload, made: dict[str, tuple[str, str]]) -> list[bytes]:
    """All requests of a workload for one stack, with a token of now."""
    stack = server.stack
    if stack.kind == "floor":
        return _floor_requests(workload, stack.view)
    headers = {"content_type": "application/json", "accept": "application/json"}
    if stack.client is not None:
        headers["authorization"] = f"Bearer {await token(server, made[stack.client])}"
    return [http("POST", "/graphql", workload.graphql(variables), **headers) for variables in workload.variables]


def _floor_requests(workload: Workload, view: str) -> list[bytes]:
    made = []
    for variables in workload.variables:
        asked = workload.floor(view, variables)
        more = {"content_type": "application/json"} if asked.body else {}
        method = "POST" if asked.body else "GET"
        made.append(http(method, asked.path, asked.body, accept="application/json", **more))
    return made


async def compare(floor: Server, server: Server, workload: Workload, made: dict[str, tuple[str, str]]) -> None:
    """Raises SystemExit where an answer is not the floor's (as parsed JSON, the same view)."""
    theirs = await requests_of(server, workload, made)
    ours = _floor_requests(workload, server.stack.view)
    for number in range(min(COMPARED, len(ours))):
        (status, expected), (other, found) = await ask(floor.port, ours[number]), await ask(server.port, theirs[number])
        if (status, other) != (200, 200) or json.loads(expected)["data"] != workload.plain(
            json.loads(found).get("data")
        ):
            raise SystemExit(
                f"{workload.name}: {server.stack.name} and {floor.stack.name} differ at {number}; nothing is timed:"
                f"\n{status} {expected[:600].decode(errors='replace')}\n{other} {found[:600].decode(errors='replace')}"
            )


# Rounds --------------------------------------------------------------------------------------------------------------


async def turn(
    server: Server, requests: Sequence[bytes], postmaster: int, given: argparse.Namespace, n: int, *, fresh: bool
) -> Slot:
    """One stack under load."""
    before = machine.cpu(server.process.pid), machine.cpu_of_children(postmaster), machine.cpu(os.getpid())
    outcome = await load(server.port, requests, connections=given.connections, seconds=given.seconds, offset=n * 7_919)
    after = machine.cpu(server.process.pid), machine.cpu_of_children(postmaster), machine.cpu(os.getpid())
    if fresh and len(outcome.latencies) > len(requests):
        raise SystemExit(f"{server.stack.name}: documents were sent twice; there must be more of them")
    if outcome.failures:
        raise SystemExit(f"{server.stack.name}: a request failed:\n{outcome.failures[0].decode(errors='replace')}")
    used = [(b - a) * 1e3 / max(len(outcome.latencies), 1) for a, b in zip(before, after, strict=True)]
    return Slot(outcome, *used)


async def measure(database: Database, postmaster: int, size: Size, given: argparse.Namespace) -> dict[str, Any]:
    """Start everything, compare, measure; returns what latest.json gets."""
    owner = await asyncpg.connect(database.migrate_dsn)
    asked = await workloads(owner, size, given.only)
    version = str(await owner.fetchval("show server_version")).split()[0]
    made = await clients(database)
    found: list[Series] = []
    with ExitStack() as stack:
        servers = [stack.enter_context(served(STACKS[name], given.data_dir)) for name in given.stacks]
        for server in servers:
            await ready(server)
        for workload in asked:
            able = [server for server in servers if wanted(workload, server.stack)]
            for server in able[1:]:
                await compare(able[0], server, workload, made)
            console.print(f"{workload.name}: the same answers from {len(able)} stacks; {workload.title}")
            found += await _rounds(workload, able, postmaster, given, made, owner)
    await owner.close()
    floors = {series.workload: series for series in found if series.stack == "floor"}
    rows = [series.row(floors.get(series.workload)) for series in found]
    _print(found, rows)
    return {"commit": commit(), "machine": machine.describe(version), "rows": rows}


def wanted(workload: Workload, stack: Stack) -> bool:
    """Is this stack measured at this workload?"""
    return workload.wants(stack.name, stack.view) and (stack.workloads is None or workload.name in stack.workloads)


async def _rounds(
    workload: Workload,
    servers: Sequence[Server],
    postmaster: int,
    given: argparse.Namespace,
    made: dict[str, tuple[str, str]],
    owner: asyncpg.Connection[asyncpg.Record],
) -> list[Series]:
    series = [Series(workload.name, server.stack.name) for server in servers]
    for number in range(given.rounds + 1):
        with console.status(f"{workload.name}: round {number} of {given.rounds}"):
            # In another order each round: what the one before leaves behind meets all in turn.
            order = random.Random(number).sample(range(len(servers)), len(servers))
            for place in order:
                requests = await requests_of(servers[place], workload, made)
                fresh = workload.fresh and servers[place].stack.kind != "floor"
                slot = await turn(servers[place], requests, postmaster, given, number, fresh=fresh)
                if servers[place].stack.sequences:
                    await settled(owner)  # what its turn left to the runner, the next one's must not pay
                if number:  # the first round warms up
                    series[place].slots.append(slot)
    return series


def commit() -> str:
    """Of the code that was measured."""
    try:
        made = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return made.stdout.strip()


def _print(found: Sequence[Series], rows: Sequence[dict[str, Any]]) -> None:
    table = Table("workload", Column("stack", no_wrap=True), "req/s", "min", "max", "p50 ms", "p99 ms")
    for title in ("CPU ms server", "CPU ms PostgreSQL", "CPU ms load", "KB", "× floor"):
        table.add_column(title, justify="right")
    for series, row in zip(found, rows, strict=True):
        load_cpu = median(slot.cpu_load for slot in series.slots)
        kilobytes = median(s.outcome.bytes_read / max(len(s.outcome.latencies), 1) for s in series.slots) / 1024
        cells = [str(row[k]) for k in ("rps", "rps_min", "rps_max", "p50_ms", "p99_ms", "cpu_ms_server")]
        table.add_row(
            row["workload"],
            row["stack"],
            *cells,
            str(row["cpu_ms_postgres"]),
            f"{load_cpu:.3f}",
            f"{kilobytes:.1f}",
            str(row["ratio"]),
        )
    console.print(table)
    for row in rows:
        if row["workload"] == "W5":
            _print_new(row, next((r for r in rows if (r["workload"], r["stack"]) == ("W1", row["stack"])), None))


def _print_new(row: dict[str, Any], known: dict[str, Any] | None) -> None:
    """What a document that was never sent before costs."""
    if known is not None and row["stack"] != "floor":
        server, postgres = (row[name] - known[name] for name in ("cpu_ms_server", "cpu_ms_postgres"))
        console.print(f"a new document, {row['stack']}: {server:.2f} ms CPU, and {postgres:.2f} ms of PostgreSQL")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = lambda text: [part for part in text.split(",") if part]  # noqa: E731
    parser.add_argument("--only", type=names, default=[], help="workloads, such as W1,W3; without it all of them")
    parser.add_argument("--stacks", type=names, default=list(STACKS), help="stacks; floor is always there")
    parser.add_argument("--rounds", type=int, default=7, help="that count; one before them warms up (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each stack's turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="kept alive, a request each (%(default)s)")
    parser.add_argument("--subjects", type=int, default=Size().subjects, help="made once (%(default)s)")
    parser.add_argument("--records", type=int, default=Size().records, help="made once (%(default)s)")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "build" / "bench", help="of the data (build/bench)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the results")
    given = parser.parse_args(arguments)
    given.stacks = ["floor", *(name for name in given.stacks if name != "floor")]
    if unknown := set(given.stacks) - set(STACKS):
        parser.error(f"no such stack: {', '.join(sorted(unknown))}")
    if given.subjects < 500:
        parser.error("--subjects: 500 at least, lists are drawn from them")
    size = Size(given.subjects, given.records)
    with opened(given.data_dir, size) as (database, postmaster):
        result = uvloop.run(measure(database, postmaster, size, given))
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"written: {os.path.relpath(given.results, ROOT)}")
