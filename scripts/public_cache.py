"""No old answer out of the cache of public answers:  python -m scripts.public_cache --repairs 200

Starts an embedded PostgreSQL (fsync on) in a folder of its own and the gateway on it, two workers. 50 connections ask
for one subject's records without a pause, while again and again its record is repaired and another one comes; then its
records end, one at each of several midnights of the database's own day. Whoever asks after a commit was heard of by a
LISTEN of ours, or has returned, must not be shown what was repaired by it, and whoever asks after a midnight not what
has ended. Prints the counts; status 1 where somebody was shown the old answer, or where nothing was tested.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import datetime as dt
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp
import asyncpg

from gateway.settings import Settings
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.identifiers import organisation_uuid, uscc_check_digit
from gateway.storage.listener import CHANNEL
from gateway.zone import SHANGHAI, today
from scripts.served import LIMITS_OFF, SERVE, free_port, free_ports, ready, start

CODE = "91652799YL0000039" + uscc_check_digit("91652799YL0000039")
QUESTION = "query R($c: Uscc!) { subject(uscc: $c) { name records(first: 50) { edges { node { title } } } } }"
_TITLE = re.compile(rb'"title":"v(\d+)"')
_HITS = re.compile(r'credit_public_cache_total\{outcome="HIT"\} ([0-9.e+]+)')
_RECORD = (
    "insert into core.record (external_id, subject_id, subject_class, kind, area, status, published, source_code,"
    " catalogue_item, decided_on, published_from, published_until, title, natural_key) select gen_random_uuid(), id,"
    " class, 'HONOUR', 'GENERAL', 'ACTIVE', true, 'LOCAL', 'QG-04', '2026-01-01', '2026-01-02', $2::text::date, $1, $1"
    " from core.subject where name = '样例'"
)
_TODAY = (
    "create or replace function core.today() returns date language sql stable parallel safe as"
    " $$ select ((now() + interval '{} seconds') at time zone 'Asia/Shanghai')::date $$"
)


@dataclass
class Found:
    """What was seen. Moments are of time.perf_counter(), s."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)  # asked, received, oldest record shown
    gone: list[tuple[float, int]] = field(default_factory=list)  # from when on nothing older than that may be shown
    hits: list[float] = field(default_factory=list)  # of each worker

    def old(self) -> list[tuple[float, float]]:
        """Of each old answer: s after the change at which it was asked for, and at which it came."""
        moments = [moment for moment, _ in self.gone]
        found = []
        for asked, received, oldest in self.answers:
            place = bisect.bisect_right(moments, asked)
            if place and oldest < self.gone[place - 1][1]:
                since = next(moment for moment, version in self.gone if version > oldest)
                found.append((asked - since, received - since))
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repairs", type=int, default=200)
    parser.add_argument("--midnights", type=int, default=10)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--serve", nargs="+", default=SERVE, help="another command that serves; --port is added")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="public-cache-") as folder:
        data_dir = Path(folder) / "data"
        with open_database(Settings(data_dir=data_dir)) as database:
            repairs, midnights = asyncio.run(torment(database, data_dir, given))
    bad = 0
    for name, wanted, found in (("repairs", given.repairs, repairs), ("midnights", given.midnights, midnights)):
        old = found.old()
        took = sorted(received - asked for asked, received, _ in found.answers)
        print(f"{name:<10} {len(found.gone)}, answers {len(found.answers)}, out of the cache {found.hits}", end="")
        if took:
            print(f", median {1e3 * median(took):.1f} ms, p99 {1e3 * took[len(took) * 99 // 100]:.1f} ms")
        print(
            f"{'':<10} old answers {len(old)}" + (f", the latest {max(old)[1]:.4f} s after its change" if old else "")
        )
        bad += bool(old) or len(found.gone) < wanted or (wanted > 0 and not all(found.hits))
    return int(bad > 0)


async def torment(database: Database, data_dir: Path, given: argparse.Namespace) -> tuple[Found, Found]:
    """Both parts, one after the other."""
    await prepare(database)
    owner = await asyncpg.connect(database.migrate_dsn)
    await owner.execute(
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded)"
        " values ($1, 'ORGANISATION', 'ENTERPRISE', $2, '样例', '样例')",
        organisation_uuid(CODE), CODE,
    )  # fmt: skip
    base, admin = f"http://127.0.0.1:{free_port()}", free_ports(given.workers)[0]
    more = {"GATEWAY_WORKERS": str(given.workers), "GATEWAY_ADMIN_PORT": str(admin), **LIMITS_OFF}
    running = start(given.serve, data_dir, base, **more)
    try:
        async with aiohttp.ClientSession() as session:
            await ready(session, base, running, data_dir / "gateway.log")
            for place in range(given.workers):
                await _hits(session, admin + place)
            await asyncio.sleep(0.5)  # its socket listens a moment after that; the kernel spreads over those that do
            found = []
            for part, times in ((_repair, given.repairs), (_midnights, given.midnights)):
                seen = Found()
                before = [await _hits(session, admin + place) for place in range(given.workers)]
                await _while_asked(base, given.readers, seen, part(owner, database, times, seen))
                after = [await _hits(session, admin + place) for place in range(given.workers)]
                seen.hits = [b - a for a, b in zip(before, after, strict=True)]
                found.append(seen)
    finally:
        running.terminate()
        running.wait(30)
        await owner.close()
    return found[0], found[1]


async def _repair(owner: asyncpg.Connection[asyncpg.Record], database: Database, times: int, seen: Found) -> None:
    """Record after record is repaired, each in a transaction that brings the next one."""
    heard = asyncio.Event()
    listening = await asyncpg.connect(database.dsn("service"))

    def told(*payload: object) -> None:
        if payload[3] == f"public {CODE}":
            _noted(seen, time.perf_counter(), number + 1)
            heard.set()

    await owner.execute(_RECORD, "v0", None)
    await listening.add_listener(CHANNEL, told)
    for number in range(times):
        await asyncio.sleep(0.05)
        heard.clear()
        async with owner.transaction():
            await owner.execute("update core.record set status = 'REPAIRED' where title = $1", f"v{number}")
            await owner.execute(_RECORD, f"v{number + 1}", None)
        _noted(seen, time.perf_counter(), number + 1)
        await heard.wait()
    await asyncio.sleep(1.2)
    await listening.close()
    await owner.execute("update core.record set status = 'REPAIRED'")


def _noted(seen: Found, moment: float, version: int) -> None:
    """The first sign of a change counts."""
    if not seen.gone or seen.gone[-1][1] < version:
        seen.gone.append((moment, version))


async def _midnights(owner: asyncpg.Connection[asyncpg.Record], database: Database, times: int, seen: Found) -> None:
    """The database's day ends, a second and a half after its clock was set; a record ends with each day."""
    first = today() + dt.timedelta(days=2)
    await owner.execute(_TODAY.format((first - today()).days * 86_400))
    for number in range(times + 1):
        await owner.execute(_RECORD, f"v{1_000 + number}", (first + dt.timedelta(days=number)).isoformat())
    for number in range(times):
        midnight = dt.datetime.combine(first + dt.timedelta(days=number + 1), dt.time(), SHANGHAI)
        ends = time.time() + 1.5
        await owner.execute(_TODAY.format(f"{midnight.timestamp() - ends:.6f}"))
        await asyncio.sleep(ends - time.time() + 0.5)
        seen.gone.append((time.perf_counter() - (time.time() - ends), 1_001 + number))


async def _hits(session: aiohttp.ClientSession, port: int) -> float:
    """Of one worker, once it listens: it may be a while later than the first."""
    for _ in range(600):
        with contextlib.suppress(aiohttp.ClientError):  # a port that nobody has yet may be given to the asker itself
            async with session.get(f"http://127.0.0.1:{port}/metrics") as reply:
                text = await reply.text()
            if "credit_listener_confirmed 1.0" in text:
                found = _HITS.search(text)
                return float(found[1]) if found else 0.0
        await asyncio.sleep(0.05)
    raise SystemExit(f"no worker at port {port}")


async def _while_asked(base: str, readers: int, seen: Found, work: object) -> None:
    """`work`, while so many connections ask."""
    body = json.dumps({"query": QUESTION, "variables": {"c": CODE}}).encode()
    request = (
        f"POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        "\r\n\r\n"
    ).encode() + body
    tasks = [asyncio.create_task(_ask(base, request, seen)) for _ in range(readers)]
    try:
        await work  # type: ignore[misc]
    finally:
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                raise error


async def _ask(base: str, request: bytes, seen: Found) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    try:
        while True:
            asked = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r", 1)[0])
            answer = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not answered: {answer.decode()}")
            versions = [int(found) for found in _TITLE.findall(answer)]
            seen.answers.append((asked, time.perf_counter(), min(versions, default=1_000_000)))
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
