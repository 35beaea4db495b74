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
import contextlib
import datetime as dt
import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import asyncpg
from joserfc.jwk import ECKey

from benchmarks.data import Size, opened
from benchmarks.load import Outcome, http, load
from gateway.auth.clients import ClientStore
from gateway.auth.registration import Registration, register
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.zone import today
from scripts.served import READY_SECONDS, SERVE, fetch_token, free_port, ready, start

FOLDER = Path(__file__).resolve().parents[1] / "build" / "reads-all"
PROFILE = """query P($u: Uscc!) { subject(uscc: $u) { name region { name }
  records(first: 20) { edges { node { title kind decidedOn status } } } } }"""
CONNECTIONS = 64
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
    key = ECKey.generate_key("P-256", {"kid": "k1"})
    usccs, name = await _furnish(database, key)
    base = f"http://127.0.0.1:{free_port()}"
    running = start(SERVE, options.folder, base, GATEWAY_TOKEN_SECONDS="900", **SETTINGS)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with asyncio.timeout(READY_SECONDS):
                await ready(session, base, running, options.folder / "gateway.log")
                token = await fetch_token(session, base, name, "view:restricted", "GRANT", key)
            await _turns(session, base, token, usccs, postmaster, options)
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()


async def _furnish(database: Database, key: ECKey) -> tuple[list[str], str]:
    """Some codes on record, and the id of a client that has this key."""
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        rows = await connection.fetch("select uscc from core.subject where uscc is not null order by id limit 2000")
    finally:
        await connection.close()
    usccs = [row["uscc"] for row in rows]
    name = f"reads-all-{random.SystemRandom().randrange(10**9)}"
    keys = {"keys": [key.as_dict(private=False)]}
    wanted = Registration(name, name, usccs[0], scopes=("view:restricted",), matters=("GRANT",), jwks=keys)
    pool = Pool(database.dsn("service"), size=1)
    try:
        await register(ClientStore(pool), wanted)
    finally:
        await pool.close()
    return usccs, name


async def _turns(
    session: aiohttp.ClientSession,
    base: str,
    token: str,
    usccs: Sequence[str],
    postmaster: int,
    options: argparse.Namespace,
) -> None:
    port = int(base.rpartition(":")[2])
    ours = [json.dumps({"query": PROFILE, "variables": {"u": uscc}}).encode() for uscc in usccs]
    views = {
        "public": [_of_nobody(body, number) for number, body in enumerate(ours)],
        "restricted": [http("POST", "/graphql", body, authorization=f"Bearer {token}", **JSON) for body in ours],
    }
    print(f"{'beside':<42}{'view':<12}{'p50, ms':>9}{'p99, ms':>9}{'PostgreSQL':>12}  what the others were told")
    for view, requests in views.items():
        await load(port, requests, connections=1, seconds=2)  # plans and caches
        for attack, addresses in ((None, 0), *itertools.product(options.only or ATTACKS, (1, CONNECTIONS))):
            told: Counter[str] = Counter()
            others = [] if attack is None else _others(session, base, ATTACKS[attack], addresses, told)
            await asyncio.sleep(3 if others else 0)  # until what may be asked at once has been
            told.clear()
            before = _processors(postmaster)
            good = await load(port, requests, connections=1, seconds=options.seconds)
            taken = (_processors(postmaster) - before) / good.seconds
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            beside = "nobody" if attack is None else f"{attack}, {_addresses(addresses)}"
            _print(beside, view, good, taken, told)
            await asyncio.sleep(3 if others else 0)


JSON = {"content_type": "application/json"}


def _of_nobody(body: bytes, number: int) -> bytes:
    """A public question, of one of many: a good client has a rate of its own, too."""
    return http("POST", "/graphql", body, x_forwarded_for=f"198.51.{number // 250}.{number % 250}", **JSON)


def _addresses(number: int) -> str:
    return "one address" if number == 1 else f"{number} addresses"


def _print(beside: str, view: str, good: Outcome, taken: float, told: Counter[str]) -> None:
    what = ", ".join(f"{count} {code}" for code, count in told.most_common())
    lost = f"; {len(good.failures)} failures" if good.failures else ""
    p50, p99 = good.percentile(0.5), good.percentile(0.99)
    print(f"{beside:<42}{view:<12}{p50:>9.1f}{p99:>9.1f}{taken:>12.2f}  {what}{lost}", flush=True)


def _processors(postmaster: int) -> float:
    """s of the processors that the server has taken, its connections included."""
    seconds = 0.0
    for pid in (postmaster, *_children(postmaster)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            seconds += sum(int(field) for field in fields[11 : 15 if pid == postmaster else 13])
    return seconds / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> Iterator[int]:
    yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())


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
