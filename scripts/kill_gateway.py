"""No answer without account, under kill -9:  python -m scripts.kill_gateway --kills 20

Starts an embedded PostgreSQL (fsync on) in a folder of its own, and the gateway as a process on it. 32 connections ask
restricted questions, each with a case number of its own in Credit-Purpose; at a random moment the gateway is killed,
started again, and so on. At the end every answer that was received whole must have its disclosure. Prints the counts;
status 1 where a disclosure is lacking, or where nothing was tested.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
from joserfc.jwk import ECKey

from gateway.settings import Settings
from gateway.storage.database import Database, open_database
from scripts import served
from scripts.served import SERVE, free_port, ready, start

QUESTION = """query Kill($uscc: Uscc!) { subject(uscc: $uscc) { name
  records(first: 20) { edges { node { title status } } } } }"""
CLIENT, SCOPE = "kill", "view:restricted"
CONNECTIONS = 32
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass
class Counts:
    """What happened: case numbers of whole answers, and how many requests ended in another way."""

    kills: int = 0
    answers: list[str] = field(default_factory=list)
    cut_off: int = 0  # the connection broke before the answer was whole
    refused: int = 0
    by_round: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """The ledger's side."""

    disclosures: int
    lacking: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--load-seconds", type=float, nargs=2, default=(0.3, 2.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    parser.add_argument("--serve", nargs="+", default=SERVE, help="another command that serves; --port is added")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="kill-gateway-") as folder:
        data_dir = Path(folder) / "data"
        settings = Settings(data_dir=data_dir)
        # Held by this process too: the server outlives every killed gateway, as it does where anything else holds it.
        with open_database(settings) as database:
            usccs, key = asyncio.run(furnish(database, data_dir))
            moments = [chance.uniform(*options.load_seconds) for _ in range(options.kills)]
            counts = asyncio.run(torment(options.serve, data_dir, usccs, key, moments))
            verdict = asyncio.run(compare(database, counts.answers))
            fsync = asyncio.run(shown(database, "fsync"))
    print(f"kills                    {counts.kills}   (seed {seed}, fsync {fsync}, {CONNECTIONS} connections)")
    print(f"answers received whole   {len(counts.answers)}   {counts.by_round}")
    print(f"requests cut off         {counts.cut_off}")
    print(f"requests refused         {counts.refused}")
    print(f"disclosures in ledger    {verdict.disclosures}")
    print(f"answers lacking theirs   {len(verdict.lacking)}   {', '.join(verdict.lacking[:5])}")
    tested = all(count > 0 for count in counts.by_round) and counts.kills == options.kills and fsync == "on"
    if not tested:
        print("not tested: a round had no answer, a kill was missed, or fsync is off")
    return 0 if tested and not verdict.lacking else 1


async def furnish(database: Database, data_dir: Path) -> tuple[list[str], ECKey]:
    """Migrations, synthetic data and a client; returns codes to ask for and the client's key."""
    usccs, clients = await served.furnish(database, data_dir, ((CLIENT, SCOPE, "GRANT"),))
    return list(usccs), clients[CLIENT][2]


async def torment(serve: Sequence[str], data_dir: Path, usccs: list[str], key: ECKey, moments: list[float]) -> Counts:
    """Load, kill, start again, as often as there are moments (s of load)."""
    counts = Counts()
    base = f"http://127.0.0.1:{free_port()}"
    for number, seconds in enumerate(moments):
        before = len(counts.answers)
        running = start(serve, data_dir, base, GATEWAY_CLIENT_RATE="0")  # one client asks as fast as it can
        try:
            async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
                await ready(session, base, running)
                token = await fetch_token(session, base, key)
            load = asyncio.create_task(ask_until_dead(base, token, usccs, number, counts))
            await asyncio.sleep(seconds)
            running.send_signal(signal.SIGKILL)
            counts.kills += 1
            await load
        finally:
            running.kill()
            running.wait()
        counts.by_round.append(len(counts.answers) - before)
    return counts


async def fetch_token(session: aiohttp.ClientSession, base: str, key: ECKey) -> str:
    """An access token without a purpose: each question brings its own."""
    return await served.fetch_token(session, base, CLIENT, SCOPE, None, key)


async def ask_until_dead(base: str, token: str, usccs: list[str], number: int, counts: Counts) -> None:
    """32 connections that ask one question after the other until theirs breaks."""

    async def connection(lane: int) -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            for turn in range(sys.maxsize):
                case = f"kill {number}-{lane}-{turn}"
                try:
                    whole = await ask(session, base, token, usccs[(lane + turn) % len(usccs)], case)
                except (aiohttp.ClientError, TimeoutError, OSError):
                    counts.cut_off += 1
                    return
                if whole:
                    counts.answers.append(case)
                else:
                    counts.refused += 1

    await asyncio.gather(*(connection(lane) for lane in range(CONNECTIONS)))


async def ask(session: aiohttp.ClientSession, base: str, token: str, uscc: str, case: str) -> bool:
    """Whether the answer came whole (its Content-Length is met, it is JSON and has data). Raises where it was cut."""
    headers = {
        "authorization": f"Bearer {token}",
        "credit-purpose": f'matter="GRANT", case="{case}"',
        "accept": "application/graphql-response+json",
    }
    body = {"query": QUESTION, "variables": {"uscc": uscc}}
    async with session.post(f"{base}/graphql", json=body, headers=headers) as reply:
        raw = await reply.read()
        return reply.status == 200 and json.loads(raw)["data"]["subject"]["name"] is not None


async def compare(database: Database, answers: list[str]) -> Verdict:
    """Answers against the ledger, by case number."""
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        rows = await connection.fetch(
            "select case_number from ledger.disclosure where client_id = $1 and outcome = 'ANSWERED'"
            " and cardinality(subject_ids) = 1",
            CLIENT,
        )
    finally:
        await connection.close()
    told = {row["case_number"] for row in rows}
    return Verdict(len(told), tuple(case for case in answers if case not in told))


async def shown(database: Database, setting: str) -> str:
    """A setting of the server."""
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        return str(await connection.fetchval("select current_setting($1)", setting))
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
