"""A ledger of many synthetic disclosures, and how long `ledger verify` takes with it.

    python -m scripts.million_disclosures [--rows 1000000] [--keep FOLDER]

In: nothing. Out, on stdout: seconds of making, of verifying, and the memory of the verification's processes at their
peak (proportional set size). The server is embedded and the rows are made by SQL in a database of their own; leaves,
checkpoints and the subjects' entries are made as `serve` makes them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import asyncpg
from prometheus_client import CollectorRegistry

from gateway.auth.keys import KeyStore
from gateway.ledger.publish import Publisher
from gateway.settings import load
from gateway.storage.database import Database, open_database, prepare

STEP = 50_000  # rows of one transaction, and leaves under one checkpoint more
SUBJECTS = 200_000
ROWS = """
insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome, operation_name,
    document_hash, variables, subject_ids, snapshot, sources, withheld)
select gen_random_uuid(), 'department-' || i % 40, '91652700MA0000000' || i % 10, 'RESTRICTED', 'GRANT',
    '博州财审〔2026〕' || i || '号', 'ANSWERED', 'Profile', sha256((i % 20)::text::bytea),
    '{"uscc":"' || md5(i::text) || '"}',
    array(select md5(((i * 7 + s * s * 31) % $3::int)::text)::uuid from generate_series(0, i % 3 * (i % 2)) s),
    i || ':' || i || ':', '{"COURTS":{"status":"LIVE","at":"2026-11-27T02:00:00+08:00"}}', '{}'
from generate_series($1::int, $2::int) i"""


async def fill(database: Database, folder: Path, rows: int) -> None:
    """The rows, their leaves, checkpoints and subjects' entries."""
    await prepare(database)
    owner = await asyncpg.connect(database.migrate_dsn)
    log = await asyncpg.connect(database.dsn("log"))
    publisher = Publisher(KeyStore(folder / "keys"), CollectorRegistry(), issuer="https://gateway.example")
    try:
        await owner.execute("set synchronous_commit = off")
        for begin in range(0, rows, STEP):
            await owner.execute(ROWS, begin, min(begin + STEP, rows) - 1, SUBJECTS)
            while await log.fetchval("select ledger.sequence($1)", STEP) > 0:
                pass
            if not await publisher.publish(log):
                raise SystemExit("the log was not signed")
        if await owner.fetchval("select to_regproc('ledger.fan_out') is not null"):
            while await log.fetchval("select ledger.fan_out(20000)") > 0:
                pass
        await owner.execute("vacuum analyze")
    finally:
        await log.close()
        await owner.close()


def memory_of(pid: int) -> int:
    """Bytes of a process and its children, shared ones by their share."""
    total = 0
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total = 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += memory_of(int(child))
    return total


def verify(environment: dict[str, str]) -> tuple[float, float, int, int]:
    """Seconds, seconds of CPU time (PostgreSQL's not among them), bytes at the peak, and status of the command."""
    began = time.monotonic()
    command = [sys.executable, "-m", "gateway.cli", "ledger", "verify"]
    process = subprocess.Popen(command, env=environment)
    peak = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.1):
            peak = max(peak, memory_of(process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    status = process.wait()
    ended.set()
    watching.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, used.ru_utime + used.ru_stime, peak, status


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="where the ledger is made, and found again")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="million-")))
        environment = {**os.environ, "GATEWAY_DATA_DIR": str(folder)}
        settings = load({"GATEWAY_DATA_DIR": str(folder)}).model_copy(update={"data_dir": folder})
        with open_database(settings) as database:
            if not (folder / "filled").exists():
                began = time.monotonic()
                asyncio.run(fill(database, folder, given.rows))
                (folder / "filled").touch()
                print(f"made in {time.monotonic() - began:.0f} s")
            seconds, cpu, peak, status = verify(environment)
    print(
        f"{given.rows} disclosures verified in {seconds:.1f} s ({cpu:.1f} s of CPU time beside PostgreSQL's),"
        f" {peak / 2**20:.0f} MiB at the peak, status {status}"
    )
    raise SystemExit(status)


if __name__ == "__main__":
    main()
