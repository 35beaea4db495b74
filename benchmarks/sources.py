"""A thousand cold subjects at one court service, against a bare loop of the same calls: `python -m benchmarks.sources`.

A served gateway and the sandbox's courts, which answer in 5 ms, are processes of their own. In turns, one restricted
request asks the gateway about subjects that nobody has asked about, and a bare loop (the same HTTP client, the same
signed headers, as many calls, as many at once) asks the courts about the same ones. At the end 50 users ask about one
cold subject at once. Out: a table, benchmarks/results/sources.json, and status 1 where the gateway takes more than 1.3
times the loop (medians over the rounds); a call too many or too few, or a subject without its answer, ends the run.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.run import ROOT, commit
from connectors.signing import ExchangeSigner, decrypt_secret
from gateway.settings import Settings
from gateway.storage.database import Database, open_database
from gateway.storage.imports import import_file
from sandbox.courts import DEV_APP_KEY, DEV_RID, DEV_SIDS
from sandbox.subjects import make_uscc
from scripts.served import LIMITS_OFF, SERVE, fetch_token, free_port, furnish, ready, start
from scripts.upstreams import COURTS, Upstreams, upstreams

RESULTS = Path(__file__).resolve().parent / "results" / "sources.json"
MOST = 1.3  # gateway over bare loop
SERVICE = "dishonest"
USERS = 50
CLIENT = ("restricted", "view:restricted", "GRANT")
QUESTION = """query Cold($usccs: [Uscc!]!) { subjects(usccs: $usccs) {
  uscc courts { answer { status } dishonestListings { caseNumber } } } }"""
ALL_SERVICES = """query Cold($usccs: [Uscc!]!) { subjects(usccs: $usccs) { uscc courts { answer { status }
  dishonestListings { caseNumber } enforcementCases { caseNumber }
  consumptionOrders { caseNumber } judgments { caseNumber } } } }"""
console = Console(width=max(Console().width, 110))


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds that a turn took, and CPU seconds of who asked (the gateway, or the loop) and of the sandbox."""

    seconds: float
    cpu: float
    cpu_courts: float


@dataclass(frozen=True)
class Bench:
    """What the rounds need: courts, gateway with its token, and the session that asks it."""

    courts: Upstreams
    session: aiohttp.ClientSession
    base: str
    pid: int
    token: str
    concurrency: int

    async def ask(self, query: str, usccs: Sequence[str], *statuses: str) -> float:
        """Seconds until the answer was there. SystemExit where it is not whole, or the courts' status another."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        body = json.dumps({"query": query, "variables": {"usccs": usccs}}).encode()
        began = time.perf_counter()
        async with self.session.post(f"{self.base}/graphql", data=body, headers=headers) as reply:
            raw = await reply.read()
        took = time.perf_counter() - began
        found = json.loads(raw)
        if "errors" in found or [subject["uscc"] for subject in found["data"]["subjects"]] != list(usccs):
            raise SystemExit(f"not the answer to what was asked: {raw[:600].decode()}")
        told = Counter(subject["courts"]["answer"]["status"] for subject in found["data"]["subjects"])
        if not set(told) <= set(statuses):
            raise SystemExit(f"not every subject was answered: {dict(told)}")
        return took


# The bare loop --------------------------------------------------------------------------------------------------------


class Bare:
    """The same calls without a gateway: signed, sent, read. The secret is fetched once, before anything is timed."""

    def __init__(self, session: aiohttp.ClientSession, base: str, secret: str) -> None:
        self._session = session
        self._url = f"{base}/httpproxy/{SERVICE}"
        self._signer = ExchangeSigner(DEV_RID, secret)

    @classmethod
    async def opened(cls, session: aiohttp.ClientSession, base: str) -> Bare:
        """With a fresh secret."""
        headers = ExchangeSigner(DEV_RID, DEV_APP_KEY).headers(DEV_SIDS["refresh"], int(time.time() * 1000))
        async with session.post(f"{base}/sysapi/auth/refreshappsecret", data=b"{}", headers=headers) as reply:
            found = await reply.json(content_type=None)
        return cls(session, base, decrypt_secret(DEV_APP_KEY, found["data"]["secret"]))

    async def ask(self, usccs: Sequence[str], concurrency: int) -> float:
        """Seconds that it takes to ask about all of them."""
        waiting = iter(usccs)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._lane(waiting))
        return time.perf_counter() - began

    async def _lane(self, waiting: Iterator[str]) -> None:
        for uscc in waiting:
            headers = self._signer.headers(DEV_SIDS[SERVICE], int(time.time() * 1000))
            headers["Content-Type"] = "application/json; charset=utf-8"
            body = json.dumps({"cardNum": uscc, "pName": "", "currentPage": 1}, separators=(",", ":")).encode()
            async with self._session.post(self._url, data=body, headers=headers) as reply:
                raw = await reply.read()
            if reply.status != 200 or not raw.startswith(b'[{"totalPage"'):
                raise SystemExit(f"the bare loop was not answered: {reply.status} {raw[:300].decode()}")


# Rounds ---------------------------------------------------------------------------------------------------------------


async def measure(bench: Bench, cold: Iterator[str], given: argparse.Namespace) -> dict[str, Any]:
    """All rounds and the 50 users; returns what sources.json gets."""
    gateway: list[Turn] = []
    loop: list[Turn] = []
    refreshes = 0
    async with aiohttp.ClientSession() as session:
        bare = await Bare.opened(session, bench.courts.urls[COURTS])
        await bench.courts.forget(bench.session, COURTS)
        for number in range(given.rounds + 1):
            usccs = [next(cold) for _ in range(given.subjects)]
            for kept in (gateway, loop) if number % 2 else (loop, gateway):
                turn = await (_gateway_turn(bench, usccs) if kept is gateway else _loop_turn(bench, bare, usccs))
                refreshes += await _counted(bench, usccs)
                if number:  # the first round warms up
                    kept.append(turn)
    if refreshes != 1:
        raise SystemExit(f"the secret was fetched {refreshes} times, not once")
    await _together(bench, next(cold))
    ratios = [one.seconds / other.seconds for one, other in zip(gateway, loop, strict=True)]
    return {
        "subjects": given.subjects,
        "concurrency": given.concurrency,
        "courts_ms": given.courts_ms,
        "rounds": given.rounds,
        "calls": (given.rounds + 1) * given.subjects + refreshes,
        "gateway": _row(gateway),
        "bare": _row(loop),
        "ratio": round(median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "users": USERS,
    }


async def _gateway_turn(bench: Bench, usccs: Sequence[str]) -> Turn:
    before = machine.cpu(bench.pid), machine.cpu(bench.courts.pid)
    seconds = await bench.ask(QUESTION, usccs, "ANSWERED")
    return Turn(seconds, machine.cpu(bench.pid) - before[0], machine.cpu(bench.courts.pid) - before[1])


async def _loop_turn(bench: Bench, bare: Bare, usccs: Sequence[str]) -> Turn:
    before = machine.cpu(os.getpid()), machine.cpu(bench.courts.pid)
    seconds = await bare.ask(usccs, bench.concurrency)
    return Turn(seconds, machine.cpu(os.getpid()) - before[0], machine.cpu(bench.courts.pid) - before[1])


async def _counted(bench: Bench, usccs: Sequence[str]) -> int:
    """Refreshes among the calls of a turn. SystemExit where the rest is not one call for each subject."""
    calls = await bench.courts.calls(bench.session, COURTS)
    await bench.courts.forget(bench.session, COURTS)
    asked = [(call["service"], call["uscc"]) for call in calls if call["service"] != "refresh"]
    if sorted(asked) != sorted((SERVICE, uscc) for uscc in usccs):
        raise SystemExit(f"{len(asked)} calls about {len(set(asked))} subjects, {len(usccs)} were asked for")
    return len(calls) - len(asked)


async def _together(bench: Bench, uscc: str) -> None:
    """50 users ask about the same cold subject, in all four services. SystemExit where a page was asked for twice."""
    await asyncio.gather(*(bench.ask(ALL_SERVICES, [uscc], "ANSWERED", "CACHED") for _ in range(USERS)))
    calls = [(call["service"], call["page"]) for call in await bench.courts.calls(bench.session, COURTS)]
    if {service for service, _ in calls} != {*DEV_SIDS} - {"refresh"} or len(set(calls)) < len(calls):
        raise SystemExit(f"{USERS} users caused other calls than one for each service: {calls}")
    console.print(f"{USERS} users, one cold subject: {len(calls)} calls, each of another service or page")


def _row(turns: Sequence[Turn]) -> dict[str, float]:
    seconds = [turn.seconds for turn in turns]
    return {
        "seconds": round(median(seconds), 3),
        "seconds_min": round(min(seconds), 3),
        "seconds_max": round(max(seconds), 3),
        "cpu_seconds": round(median(turn.cpu for turn in turns), 3),
        "cpu_seconds_courts": round(median(turn.cpu_courts for turn in turns), 3),
    }


# The run --------------------------------------------------------------------------------------------------------------


async def enrol(database: Database, folder: Path, count: int) -> list[tuple[str, str]]:
    """So many made-up enterprises on record, with USCC and name. They are nobody's: the division is not assigned."""
    made = [(make_uscc("91", "652799", number), f"样例冷查{number}号有限公司") for number in range(count)]
    path = folder / "cold.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("name", "uscc", "subject_kind", "region_code"))
        rows.writerows((name, uscc, "ENTERPRISE", "652701") for uscc, name in made)
    report = await import_file(
        database,
        path,
        "organisations",
        mapping=None,
        rejects=folder / "rejects.csv",
        entered_by="bench",
        progress=None,
    )
    if report.rejected:
        raise SystemExit(f"{report.rejected} of the made-up organisations were rejected")
    return made


async def _run(database: Database, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    _, keys = await furnish(database, folder, (CLIENT,))
    made = await enrol(database, folder, (given.rounds + 1) * given.subjects + 1)
    owner = await asyncpg.connect(database.migrate_dsn)
    version = str(await owner.fetchval("show server_version")).split()[0]
    await owner.close()
    base = f"http://127.0.0.1:{free_port()}"
    with upstreams(folder, made, "--courts-latency-ms", str(given.courts_ms)) as courts:
        limits = {"budget": 60, "concurrency": given.concurrency, "requests_per_second": 0}
        settings = {"GATEWAY_REQUEST_BUDGET": "60", **LIMITS_OFF, **courts.settings(COURTS, **limits)}
        running = start(SERVE, folder / "data", base, GATEWAY_TOKEN_SECONDS="900", **settings)
        try:
            timeout = aiohttp.ClientTimeout(total=120)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await ready(session, base, running, folder / "data" / "gateway.log")
                token = await fetch_token(session, base, CLIENT[0], *keys[CLIENT[0]])
                bench = Bench(courts, session, base, running.pid, token, given.concurrency)
                console.print(f"gateway {running.pid}, sandbox {courts.pid}, loop {os.getpid()}")
                result = await measure(bench, iter([uscc for uscc, _ in made]), given)
        finally:
            running.terminate()
            running.wait()
    return {"commit": commit(), "machine": machine.describe(version), **result}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sources", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--subjects", type=int, default=1_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--courts-ms", type=float, default=5.0, help="what the courts take for an answer")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="bench-sources-") as folder,
        open_database(Settings(data_dir=Path(folder) / "data")) as database,
    ):
        result = uvloop.run(_run(database, Path(folder), given))
    table = Table("who asks", *("seconds", "least", "most", "CPU s", "CPU s of the courts"))
    for name in ("gateway", "bare"):
        table.add_row(name, *(str(value) for value in result[name].values()))
    console.print(table)
    ratio = result["ratio"]
    console.print(f"gateway / bare loop {ratio} ({result['ratio_min']} to {result['ratio_max']}; at most {MOST})")
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"written: {os.path.relpath(given.results, ROOT)}")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
