"""Promises: a run that is killed half-way leaves whole batches, and run again it ends where an uninterrupted one does;
two imports at once don't double."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import json
import os
import signal
import sys
from pathlib import Path

import asyncpg

from gateway.storage.database import Database
from gateway.storage.identifiers import organisation_code_check_digit, uscc_check_digit
from gateway.storage.imports import import_file, load

ROOT = Path(__file__).resolve().parents[3]
RECEIVED = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ROWS, BATCH = 3_000, 200

# The same import in a process of its own; a line on stdout after each batch.
CHILD = """
import asyncio, datetime, json, os, pathlib
from gateway.storage.database import Database
from gateway.storage.imports import import_file, load
from gateway.storage.secrets import SecretFiles
given = json.loads(os.environ["CHILD"])
load.BATCH = given["batch"]
database = Database(given["name"], given["prefix"], given["dsn"], SecretFiles(pathlib.Path(given["secrets"])))
asyncio.run(import_file(
    database, pathlib.Path(given["path"]), "penalties", mapping=None, rejects=None, entered_by="child",
    progress=lambda done, total: print(done, flush=True),
    received_at=datetime.datetime.fromisoformat(given["received"])))
"""

_RECORDS = """
    select r.natural_key, r.status, r.version, r.severity, r.amount, r.title, r.published_from, r.published_until,
           s.uscc, s.name, a.uscc, v.version, v.content, encode(v.content_hash, 'hex'), v.original
    from core.record r join core.subject s on s.id = r.subject_id left join core.subject a on a.id = r.authority_id
    join core.record_version v on v.record_id = r.id order by r.natural_key, v.version
"""
_CLEAR = (
    "truncate core.record, core.subject, core.record_version, core.identifier, core.import_run restart identity cascade"
)


def code(prefix: str, number: int) -> str:
    body = f"YL{number:06d}"
    first = prefix + "652799" + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


def penalties(path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["CF_XDR_MC", "CF_XDR_SHXYM", "CF_WSH", "CF_CFLB", "CF_JDRQ", "CF_CFJG", "CF_CFJGDM"])
        for n in range(ROWS):
            subject, organ = n % 700, n % 7
            by = (f"示例{organ}局", code("11", 990_000 + organ))
            who = (f"样例{subject}有限公司", code("91", subject))
            writer.writerow([*who, f"样例〔2026〕{n}号", "警告", "2026-01-05", *by])
    return path


async def state(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    records = [str(tuple(row)) for row in await connection.fetch(_RECORDS)]
    subjects = await connection.fetch("select uscc, name, kind, external_id from core.subject order by uscc")
    return records + [str(tuple(row)) for row in subjects]


async def run(database: Database, path: Path) -> tuple[int, ...]:
    report = await import_file(
        database, path, "penalties", mapping=None, rejects=None, entered_by="child", progress=None, received_at=RECEIVED
    )
    return report.read, report.new, report.changed, report.same, report.rejected


async def killed(database: Database, path: Path, after: int) -> None:
    given = {
        "name": database.name,
        "prefix": database.prefix,
        "dsn": database.migrate_dsn,
        "secrets": str(database.secrets.folder),
        "path": str(path),
        "batch": BATCH,
        "received": RECEIVED.isoformat(),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"CHILD": json.dumps(given), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    for _ in range(after):
        assert await asyncio.wait_for(child.stdout.readline(), 60)
    child.send_signal(signal.SIGKILL)
    await child.wait()


async def test_a_killed_run_can_be_run_again(database: Database, tmp_path: Path) -> None:
    path = penalties(tmp_path / "many.csv")
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        assert await run(database, path) == (ROWS, ROWS, 0, 0, 0)
        whole = await state(connection)
        for after in (1, 4):
            await connection.execute(_CLEAR)
            await killed(database, path, after)
            read, new, changed, same, rejected = await run(database, path)
            assert (read, changed, rejected) == (ROWS, 0, 0)
            assert same >= after * BATCH
            assert new > 0, "the child was done before it was killed"
            assert new % BATCH == 0
            assert await state(connection) == whole
            unfinished = await connection.fetchval("select count(*) from core.import_run where finished_at is null")
            assert unfinished == 1
    finally:
        await connection.close()


async def test_two_imports_at_once_do_not_double(database: Database, tmp_path: Path) -> None:
    path = penalties(tmp_path / "many.csv")
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        await connection.execute(_CLEAR)
        reports = await asyncio.gather(run(database, path), run(database, path))
        assert sorted(reports) == [(ROWS, 0, 0, ROWS, 0), (ROWS, ROWS, 0, 0, 0)]
        assert await connection.fetchval("select count(*) from core.record") == ROWS
    finally:
        await connection.close()


def test_the_batch_of_a_run_is_larger_than_that_of_this_test() -> None:
    assert load.BATCH >= BATCH
