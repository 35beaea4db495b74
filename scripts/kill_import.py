"""Whole rows or none, under kill -9:  python -m scripts.kill_import --kills 20

Starts an embedded PostgreSQL (fsync on) in a folder of its own and imports a file of penalties, some of them to be
rejected, by `credit-gateway import` as a process. Once undisturbed: that is what the database must look like. Then,
from an empty database each time, the import is killed at a random moment and run again to its end. Prints the counts;
status 1 where a database differs, a row is there twice or half, a file is left over, or nothing was tested.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from gateway.settings import Settings
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.identifiers import organisation_code_check_digit, uscc_check_digit

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-c", "from gateway.cli import main; main()", "import")
RECEIVED = "2026-06-01T09:00"
SOME_REJECTED = 3
CODE = "CF_CFJGDM"  # with codes the ids of organs are not random
_CLEAR = (
    "truncate core.subject, core.record, core.record_version, core.identifier, core.withdrawal, core.import_run"
    " restart identity cascade"
)
# Everything that an import writes, but for random ids and moments.
_STATE = (
    """select s.external_id, s.class, s.kind, s.uscc, s.name, s.region_code, s.legal_representative from core.subject s
       where s.uscc is not null""",
    "select s.name, i.scheme, i.value from core.identifier i join core.subject s on s.id = i.subject_id",
    """select s.uscc, s.name, a.uscc, r.kind, r.severity, r.status, r.published, r.version, r.decided_on,
              r.published_from, r.published_until, r.repairable_from, r.amount, r.title, r.document_number, r.facts,
              r.detail
       from core.record r join core.subject s on s.id = r.subject_id
       left join core.subject a on a.id = r.authority_id""",
    """select r.document_number, v.version, v.status, v.content, v.content_hash, v.received_at, v.entered_by, v.original
       from core.record_version v join core.record r on r.id = v.record_id""",
    "select document_number, count(*) from core.record group by 1 having count(*) > 1",
)


@dataclass
class Counts:
    """What happened."""

    kills: int = 0
    too_late: int = 0  # the import had ended already
    found: list[int] = field(default_factory=list)  # records that a killed run left behind
    differing: list[int] = field(default_factory=list)  # rounds whose database is another
    wrong: list[str] = field(default_factory=list)


def code(prefix: str, number: int) -> str:
    """A code that holds and is nobody's."""
    body = f"YL{number:06d}"
    first = prefix + "652799" + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


def make_file(path: Path, rows: int) -> Path:
    """Penalties of made-up firms: every 50th is to be rejected, every 40th has no valid code."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["CF_XDR_MC", "CF_XDR_SHXYM", "CF_XDR_LB", "CF_WSH", "CF_CFLB", "CF_SY", "CF_JDRQ", "CF_CFJG", CODE]
        )
        for n in range(rows):
            uscc = code("91", n % (rows // 3))
            uscc = uscc if n % 40 else uscc[:17] + ("0" if uscc[17] != "0" else "1")
            day = "昨天" if n % 50 == 7 else f"2026-0{n % 5 + 1}-{n % 28 + 1:02d}"
            who = (f"样例{n % (rows // 3)}有限公司", uscc, "法人及非法人组织")
            writer.writerow(
                [*who, f"样例〔2026〕{n}号", "警告", "样例事实" * 20, day, f"示例{n % 60}局", code("11", n % 60)]
            )
    return path


def start(data_dir: Path, path: Path) -> subprocess.Popen[bytes]:
    """The import as a process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [*COMMAND, str(path), "--as", "penalties", "--received", RECEIVED, "--by", "kill"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment | {"GATEWAY_DATA_DIR": str(data_dir)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def state(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """A digest of all that the import has written."""
    digest = hashlib.sha256()
    for sql in _STATE:
        for line in sorted(str(tuple(row)) for row in await connection.fetch(sql)):
            digest.update(line.encode())
    return digest.hexdigest()


async def torment(database: Database, data_dir: Path, path: Path, kills: int, chance: random.Random) -> Counts:
    """Import, kill, import again, as often as there are kills."""
    counts = Counts()
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        begin = time.monotonic()
        status = start(data_dir, path).wait()
        whole_seconds = time.monotonic() - begin
        if status != SOME_REJECTED:
            raise SystemExit(f"the undisturbed import ended with status {status}")
        wanted = await state(connection)
        rejects = path.with_name(f"{path.stem}.rejects.csv").read_bytes()
        first = await began(connection, data_dir, path)
        for number in range(kills):
            await connection.execute(_CLEAR)
            running = start(data_dir, path)
            await asyncio.sleep(chance.uniform(first, whole_seconds))
            ended = running.poll() is not None
            running.send_signal(signal.SIGKILL)
            running.wait()
            counts.kills += not ended
            counts.too_late += ended
            await let_go(connection)
            counts.found.append(await connection.fetchval("select count(*) from core.record"))
            if start(data_dir, path).wait() != SOME_REJECTED:
                counts.wrong.append(f"round {number}: another status")
            if await state(connection) != wanted:
                counts.differing.append(number)
            if path.with_name(f"{path.stem}.rejects.csv").read_bytes() != rejects:
                counts.wrong.append(f"round {number}: other rejects")
        left = [one.name for one in path.parent.iterdir() if one.name.endswith(".part")]
        counts.wrong += [f"left over: {name}" for name in left]
    finally:
        await connection.close()
    return counts


async def began(connection: asyncpg.Connection[asyncpg.Record], data_dir: Path, path: Path) -> float:
    """Seconds until an import begins to write: kills before that would show nothing."""
    await connection.execute(_CLEAR)
    begin = time.monotonic()
    running = start(data_dir, path)
    for _ in range(6_000):
        if running.poll() is not None or await connection.fetchval("select exists (select from core.import_run)"):
            break
        await asyncio.sleep(0.01)
    seconds = time.monotonic() - begin
    running.wait()
    return seconds


async def let_go(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Wait until the server has noticed that the killed import is gone: its transaction is rolled back then."""
    for _ in range(200):
        if not await connection.fetchval(
            "select exists (select from pg_locks where locktype = 'advisory'"
            " and database = (select oid from pg_database where datname = current_database()))"
        ):
            return
        await asyncio.sleep(0.05)
    raise SystemExit("the killed import's connection stayed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="kill-import-") as folder:
        data_dir = Path(folder) / "data"
        path = make_file(Path(folder) / "rows.csv", options.rows)
        # Held by this process too: the server outlives every killed import.
        with open_database(Settings(data_dir=data_dir)) as database:
            asyncio.run(prepare(database))
            counts = asyncio.run(torment(database, data_dir, path, options.kills, random.Random(seed)))
    halfway = sum(0 < found < options.rows * 49 // 50 for found in counts.found)
    print(
        f"kills                    {counts.kills}   (seed {seed}, {options.rows} rows; {counts.too_late} came too late)"
    )
    print(f"records after each kill  {counts.found}")
    print(f"killed half-way          {halfway}")
    print(f"databases that differ    {len(counts.differing)}   {counts.differing}")
    print(f"other faults             {len(counts.wrong)}   {counts.wrong}")
    tested = halfway >= max(1, options.kills // 4)
    if not tested:
        print("not tested: too few kills came half-way")
    return 0 if tested and not counts.differing and not counts.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
