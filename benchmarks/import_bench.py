"""Import of 100,000 penalty rows against asyncpg's COPY of the very rows that it stores, into the same indexed tables.

    python -m benchmarks.import_bench [--rows N] [--rounds N]

In: rows made by seed. Out: rows a second, their ratio, the peak memory of the importing process, and
benchmarks/results/import.json. In each round both have their turn on emptied tables; the floor gets its rows ready made
in COPY's binary format, parents before children, in one transaction: no parsing, no looking up, no checks.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import datetime as dt
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import xlsxwriter
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from gateway.settings import Settings
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.identifiers import organisation_code_check_digit, uscc_check_digit
from gateway.storage.imports import import_file
from gateway.storage.secrets import SecretFiles

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results" / "import.json"
SEED, FIRMS, ORGANS = 6527, 0.4, 300  # firms for each row
RECEIVED = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
TABLES = ("subject", "identifier", "record", "record_version")  # parents first
KINDS = ("警告", "罚款", "罚款;没收违法所得", "没收非法财物、警告", "吊销许可证件;罚款")
HEADINGS = (
    "CF_XDR_MC", "CF_XDR_LB", "CF_XDR_SHXYM", "CF_FRDB", "CF_WSH", "CF_WFXW", "CF_SY", "CF_YJ", "CF_CFLB", "CF_NR",
    "CF_NR_FK", "CF_NR_WFFF", "CF_JDRQ", "CF_YXQ", "CF_GSJZQ", "CF_CFJG", "CF_CFJGDM", "CF_SJLY", "CF_SJLYDM", "BZ",
)  # fmt: skip
_CLEAR = "truncate core.subject, core.record, core.record_version, core.identifier, core.import_run cascade"
console = Console(width=max(Console().width, 110))


def code(prefix: str, number: int) -> str:
    """A code that holds and is nobody's."""
    body = f"YL{number:06d}"
    first = prefix + "652799" + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


def make_rows(path: Path, count: int) -> None:
    """The rows: a few per firm, some without a valid code, texts of usual lengths. One seed makes one file."""
    chance = random.Random(SEED)
    firms = [(f"样例{n}号有限责任公司", code("91", n)) for n in range(max(1, int(count * FIRMS)))]
    organs = [(f"示例第{n}局", code("11", 900_000 + n)) for n in range(ORGANS)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        for number in range(count):
            name, uscc = chance.choice(firms)
            if chance.random() < 0.02:
                uscc = uscc[:17] + ("0" if uscc[17] != "0" else "1")
            organ, organ_code = chance.choice(organs)
            day = dt.date(2026, 1, 1) + dt.timedelta(days=chance.randrange(150))
            fine = f"{chance.randrange(1, 400) / 10}" if chance.random() < 0.6 else "/"
            facts = "样例违法事实，由程序生成，不涉及任何真实主体。" * chance.randint(1, 5)
            writer.writerow((
                name, "法人及非法人组织", uscc, f"样例人{chance.randrange(900)}", f"样例罚〔2026〕{number}号",
                "样例违法行为", facts, "《中华人民共和国行政处罚法》", chance.choice(KINDS), "样例处罚内容", fine, "",
                f"{day:%Y/%m/%d}", "", "", organ, organ_code, organ, organ_code, "无",
            ))  # fmt: skip


def as_workbook(source: Path, path: Path) -> None:
    """The same rows as a workbook."""
    book = xlsxwriter.Workbook(path, {"constant_memory": True, "strings_to_numbers": False})
    sheet = book.add_worksheet()
    with source.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.reader(file)):
            for position, cell in enumerate(row):
                sheet.write_string(line, position, cell)
    book.close()


# The import, in a process of its own ----------------------------------------------------------------------------------


def imported(database: Database, path: Path) -> dict[str, Any]:
    """Import a file in a new process; its seconds, its counts, its peak memory and its reader's."""
    given = {
        "name": database.name,
        "prefix": database.prefix,
        "dsn": database.migrate_dsn,
        "secrets": str(database.secrets.folder),
        "path": str(path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.import_bench", "--child"],
        cwd=ROOT, env=os.environ | {"IMPORT_BENCH": json.dumps(given)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def child() -> None:
    """What the new process does."""
    given = json.loads(os.environ["IMPORT_BENCH"])
    secrets = SecretFiles(Path(given["secrets"]))
    database = Database(given["name"], given["prefix"], given["dsn"], secrets)
    start = time.perf_counter()
    report = asyncio.run(
        import_file(
            database, Path(given["path"]), "penalties", mapping=None, rejects=None, entered_by="bench", progress=None,
            received_at=RECEIVED,
        )
    )  # fmt: skip
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": report.new, "read": report.read, "peak_mb": machine.peak_memory()}))


# The floor -----------------------------------------------------------------------------------------------------------


async def unloaded(connection: asyncpg.Connection[asyncpg.Record], folder: Path) -> dict[str, tuple[str, ...]]:
    """Write the stored rows of each table to a file in COPY's binary format; returns their columns."""
    columns = {}
    for table in TABLES:
        rows = await connection.fetch(
            "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped"
            " and attgenerated = '' order by attnum",
            f"core.{table}",
        )
        columns[table] = tuple(row["attname"] for row in rows)
        names = ", ".join(columns[table])
        order = " order by version, record_id" if table == "record_version" else ""
        await connection.copy_from_query(
            f"select {names} from core.{table}{order}", output=str(folder / table), format="binary"
        )
    return columns


async def copied(
    connection: asyncpg.Connection[asyncpg.Record], folder: Path, columns: dict[str, tuple[str, ...]]
) -> float:
    """Seconds of COPY of all tables, committed."""
    start = time.perf_counter()
    async with connection.transaction():
        for table in TABLES:
            await connection.copy_to_table(
                table, schema_name="core", source=str(folder / table), columns=columns[table], format="binary"
            )
    return time.perf_counter() - start


async def measure(database: Database, folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """All rounds."""
    source, book = folder / "rows.csv", folder / "rows.xlsx"
    make_rows(source, rows)
    as_workbook(source, book)
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        version = await connection.fetchval("show server_version")
        fsync = await connection.fetchval("show fsync")
        imported(database, source)
        columns = await unloaded(connection, folder)
        stored = {table: await connection.fetchval(f"select count(*) from core.{table}") for table in TABLES}
        done = []
        for number in range(rounds):
            turns: dict[str, Any] = {}
            order = ("copy", "import") if number % 2 == 0 else ("import", "copy")
            for turn in order:
                await connection.execute(_CLEAR)
                if turn == "copy":
                    turns["copy"] = await copied(connection, folder, columns)
                else:
                    turns["import"] = imported(database, source)
                assert await connection.fetchval("select count(*) from core.record") == stored["record"]
            done.append(turns)
            console.print(f"round {number + 1}: COPY {turns['copy']:.1f} s, import {turns['import']['seconds']:.1f} s")
        await connection.execute(_CLEAR)
        workbook = imported(database, book)
    finally:
        await connection.close()
    return summary(rows, stored, done, workbook) | {"machine": machine.describe(version), "fsync": fsync}


def summary(rows: int, stored: dict[str, int], done: list[dict[str, Any]], workbook: dict[str, Any]) -> dict[str, Any]:
    """Medians of the rounds, as import.json has them."""
    return {
        "rows": rows,
        "stored": stored,
        "rounds": len(done),
        "copy_rows_per_second": round(median(rows / turns["copy"] for turns in done)),
        "import_rows_per_second": round(median(rows / turns["import"]["seconds"] for turns in done)),
        "ratio": round(median(turns["copy"] / turns["import"]["seconds"] for turns in done), 3),
        "import_peak_mb": round(max(turns["import"]["peak_mb"] for turns in done)),
        "workbook_rows_per_second": round(rows / workbook["seconds"]),
        "workbook_peak_mb": round(workbook["peak_mb"]),
    }


def show(found: dict[str, Any]) -> None:
    """The table."""
    table = Table("form", "rows a second", "× COPY", "peak memory of the process")
    table.add_row("asyncpg COPY, binary", f"{found['copy_rows_per_second']:,}", "1", "–")
    table.add_row(
        "import of CSV",
        f"{found['import_rows_per_second']:,}",
        f"{found['ratio']:.2f}",
        f"{found['import_peak_mb']} MB",
    )
    table.add_row(
        "import of a workbook", f"{found['workbook_rows_per_second']:,}", "–", f"{found['workbook_peak_mb']} MB"
    )
    console.print(table)
    console.print(f"{found['rows']:,} rows; stored: {found['stored']}; fsync {found['fsync']}; {found['machine']}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        child()
        return
    with tempfile.TemporaryDirectory(prefix="import-bench-") as name:
        folder = Path(name)
        with open_database(Settings(data_dir=folder / "data")) as database:
            asyncio.run(prepare(database))
            found = asyncio.run(measure(database, folder, options.rows, options.rounds))
    show(found)
    options.out.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
