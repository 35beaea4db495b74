"""Who reads all records, and a good client beside them:  python -m scripts.reads_all [--records 300000] [--seconds 10]

Makes so many records once, in an embedded PostgreSQL of its own (a minute or two), and starts one gateway process with
the rates of an address that everybody has, the cache of public answers off. A good client asks, one question after the
other: for subjects by code, for pages of records as a department does, and for totals of a month. It does so alone and
beside 64 connections without a token, which ask for totals of all records or for pages of a filter that leaves nothing:
all from one address, or each from its own. Who is refused comes again when it was told to. Prints the good client's p50
and p99, what it was refused, PostgreSQL's processor seconds in a second, and what became of the others' requests.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from benchmarks.data import Size, opened
from benchmarks.machine import cpu_of_server
from gateway.storage.database import Database
from gateway.zone import today
from scripts.served import READY_SECONDS, SERVE, end, fetch_token, free_port, ready, registered, start

FOLDER = Path(__file__).resolve().parents[1] / "build" / "reads-all"
CONNECTIONS = 64
# What a good client asks, and how many seconds it waits after each answer.
GOOD = {
    "by code": (
        """query P($u: Uscc!) { subject(uscc: $u) { name region { name }
          records(first: 20) { edges { node { title kind decidedOn status } } } } }""",
        0.002,
    ),
    "pages": (
        """query L($f: RecordFilter) { records(filter: $f, first: 20) {
          edges { node { title decidedOn subject { name } } } pageInfo { hasNextPage endCursor } } }""",
        0.05,
    ),
    "totals": ("query C($f: RecordFilter) { records(filter: $f) { totalCount } }", 1.0),
}
# `$d` is a day that differs from request to request, so that none is answered for another.
ATTACKS = {
    "totals": "query T($d: Date!) { records(filter: {decidedFrom: $d}) { totalCount } }",
    "rare pages": """query R($d: Date!) { records(filter: {decidedFrom: $d, severities: [MINOR], areas: [PPP],
      kinds: [HONOUR]}, first: 20) { edges { node { title } } } }""",
    "rare pages with a source": """query S($d: Date!) { records(filter: {decidedFrom: $d, severities: [MINOR],
      kinds: [HONOUR]}, first: 1) { edges { node { subject { courts { answer { status } } } } } } }""",
}
SETTINGS = {
    "GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8",
    "GATEWAY_PUBLIC_CACHE_BYTES": "0",
    "GATEWAY_CLIENT_RATE": "0",  # the good client asks as fast as it is answered
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=300_000, help="that there are")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn of the good client")
    parser.add_argument("--only", action="append", choices=ATTACKS, help="of the attacks")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the database, kept for the next time")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with opened(options.folder, Size(options.records // 5, options.records)) as (database, postmaster):
        asyncio.run(_measure(database, postmaster, options))
    return 0


async def _measure(database: Database, postmaster: int, options: argparse.Namespace) -> None:
    usccs = await _codes(database)
    name = f"reads-all-{random.SystemRandom().randrange(10**9)}"
    made = await registered(database, usccs[0], [(name, "view:restricted", "GRANT")])
    base = f"http://127.0.0.1:{free_port()}"
    running = start(SERVE, options.folder, base, GATEWAY_TOKEN_SECONDS="900", **SETTINGS)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with asyncio.timeout(READY_SECONDS):
                await ready(session, base, running, options.folder / "gateway.log")
                token = await fetch_token(session, base, name, *made[name])
            await _turns(session, base, token, usccs, postmaster, options)
    finally:
        end(running)


async def _codes(database: Database) -> list[str]:
    """Some that are on record."""
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        rows = await connection.fetch("select uscc from core.subject where uscc is not null order by id limit 2000")
    finally:
        await connection.close()
    return [row["uscc"] for row in rows]


async def _turns(
    session: aiohttp.ClientSession,
    base: str,
    token: str,
    usccs: Sequence[str],
    postmaster: int,
    options: argparse.Namespace,
) -> None:
    heads = "".join(f"{f'{name}, p50 p99, ms':>24}{'refused':>9}" for name in GOOD)
    print(f"{'beside':<40}{'view':<11}{heads}{'PostgreSQL':>11}  what the others were told")
    for view in ("public", "restricted"):
        good = partial(_good, session, base, token if view == "restricted" else "", usccs)
        await good(2.0)  # plans and caches
        for attack, addresses in ((None, 0), *itertools.product(options.only or ATTACKS, (1, CONNECTIONS))):
            told: Counter[str] = Counter()
            others = [] if attack is None else _others(session, base, ATTACKS[attack], addresses, told)
            await asyncio.sleep(5 if others else 0)  # until what may be asked at once has been
            told.clear()
            before, began = cpu_of_server(postmaster), time.monotonic()
            found = await good(options.seconds)
            taken = (cpu_of_server(postmaster) - before) / (time.monotonic() - began)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            beside = "nobody" if attack is None else f"{attack}, {_addresses(addresses)}"
            what = ", ".join(f"{count} {code}" for code, count in told.most_common())
            print(f"{beside:<40}{view:<11}{''.join(map(str, found))}{taken:>11.2f}  {what}", flush=True)
            await asyncio.sleep(3 if others else 0)


@dataclass
class Seen:
    """By one good client."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0

    def __str__(self) -> str:
        if not self.seconds:
            return f"{'none':>24}{self.refused:>9}"
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
        return f"{f'{p50:.1f} {p99:.1f}':>24}{self.refused:>9}"


async def _good(
    session: aiohttp.ClientSession, base: str, token: str, usccs: Sequence[str], seconds: float
) -> list[Seen]:
    """What each question of GOOD saw in so many seconds; a public one is always from another address."""
    end = time.monotonic() + seconds
    addresses = itertools.count()

    async def ask(name: str) -> Seen:
        query, pause = GOOD[name]
        seen, draw = Seen(), random.Random(name)
        while time.monotonic() < end:
            number = next(addresses) % 50_000
            headers = {"content-type": "application/json", "x-forwarded-for": f"10.0.{number // 250}.{number % 250}"}
            if token:
                headers["authorization"] = f"Bearer {token}"
            body = json.dumps({"query": query, "variables": _variables(name, draw, usccs)})
            began = time.perf_counter()
            async with session.post(f"{base}/graphql", data=body, headers=headers) as reply:
                found = await reply.json(content_type=None)
            if "errors" in found:
                seen.refused += 1
            else:
                seen.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(pause)
        return seen

    return await asyncio.gather(*(ask(name) for name in GOOD))


def _variables(name: str, draw: random.Random, usccs: Sequence[str]) -> dict[str, Any]:
    if name == "by code":
        return {"u": draw.choice(usccs)}
    begin = today() - dt.timedelta(days=draw.randrange(40, 400))
    days = {"decidedFrom": begin.isoformat(), "decidedTo": (begin + dt.timedelta(days=30)).isoformat()}
    return {"f": days if name == "totals" else {"kinds": [draw.choice(["PENALTY", "LICENCE"])], "areas": ["GENERAL"]}}


def _addresses(number: int) -> str:
    return "one address" if number == 1 else f"{number} addresses"


def _others(
    session: aiohttp.ClientSession, base: str, query: str, addresses: int, told: Counter[str]
) -> list[asyncio.Task[None]]:
    days = itertools.count()

    async def one(address: str) -> None:
        headers = {"x-forwarded-for": address, "content-type": "application/json"}
        while True:
            day = today() - dt.timedelta(days=1_600 + next(days) % 4_000)
            body = json.dumps({"query": query, "variables": {"d": day.isoformat()}})
            async with session.post(f"{base}/graphql", data=body, headers=headers) as reply:
                found = await reply.json(content_type=None)
            told[str(found["errors"][0]["extensions"]["code"]) if "errors" in found else "answered"] += 1
            await asyncio.sleep(float(reply.headers.get("retry-after", 0)))

    return [asyncio.create_task(one(f"203.0.113.{number % addresses}")) for number in range(CONNECTIONS)]


if __name__ == "__main__":
    sys.exit(main())
