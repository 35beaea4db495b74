"""Promises: whatever stands in a row, the import does not break: each row is in, or rejected with a reason in both
languages, and the counts come out even. The short forms run with all tests, 10,000 rows of each under `long`."""

from __future__ import annotations

import asyncio
import csv
import random
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ImportFileError
from gateway.storage.database import Database
from gateway.storage.imports import ImportReport
from tests.storage.imports.rows_of_a_clerk import csv_bytes, load, penalty
from tests.storage.imports.test_import_dirt import TABLE

HEADINGS = [
    *penalty(1),
    "CF_XDR_ZJHM",
    "CF_NR_FK",
    "CF_NR_WFFF",
    "CF_YXQ",
    "CF_GSJZQ",
    "CF_ZT",
    "状态",
    "行政区划代码",
    "BZ",
]
DIRTY = sorted({str(cell) for dirt in TABLE for cell in dirt.cells.values()})
SEED = 20_260_301


async def checked(database: Database, path: Path, rows: int) -> ImportReport:
    """Import a file; every row is somewhere, and every reject says why in both languages."""
    report = await load(database, path)
    assert report.read == rows
    assert report.new + report.changed + report.same + report.older + report.rejected == rows
    if report.rejects_path is not None:
        with report.rejects_path.open(encoding="utf-8-sig", newline="") as file:
            rejects = list(csv.DictReader(file))
        assert len(rejects) == report.rejected
        assert all(reject["reason_zh"] and reject["reason_en"] and reject["line"].isdigit() for reject in rejects)
        assert len({reject["line"] for reject in rejects}) == len(rejects)
    return report


def random_bytes(chance: random.Random, rows: int) -> list[dict[str, str]]:
    """Rows in which any cell may be any bytes, read as Latin-1; some cells are as they should be."""
    made = []
    for number in range(rows):
        row = penalty(number)
        for heading in HEADINGS:
            if chance.random() < 0.3:
                row[heading] = chance.randbytes(chance.randrange(40)).decode("latin-1")
        made.append(row)
    return made


def _written(path: Path, rows: int) -> Path:
    path.write_bytes(csv_bytes(random_bytes(random.Random(SEED), rows)))
    return path


async def _random_bytes(database: Database, path: Path, rows: int) -> None:
    report = await checked(database, path, rows)
    assert report.new, "no row was left whole: nothing is shown"
    assert report.rejected
    again = await checked(database, path, rows)
    assert (again.new, again.changed, again.rejected) == (0, 0, report.rejected)


async def test_rows_of_random_bytes(database: Database, tmp_path: Path) -> None:
    await _random_bytes(database, _written(tmp_path / "r.csv", 400), 400)


@pytest.mark.long
async def test_ten_thousand_rows_of_random_bytes(database: Database, tmp_path: Path) -> None:
    await _random_bytes(database, _written(tmp_path / "r.csv", 10_000), 10_000)


ALPHABETS = (bytes(range(256)), b'ab,"\n\r;\t01=-\xe4\xb8\xad', b"ab,\n;01=-/+*")


async def test_files_of_random_bytes_are_refused_whole_or_row_by_row(database: Database, tmp_path: Path) -> None:
    """Bytes as they are, newlines and quotes among them, below a header that holds."""
    chance = random.Random(SEED)
    header = ",".join(HEADINGS).encode() + b"\n"
    refused = 0
    for number in range(60):
        path = tmp_path / f"{number}.csv"
        alphabet = ALPHABETS[number % 3]
        path.write_bytes(header + bytes(chance.choice(alphabet) for _ in range(chance.randrange(400))))
        try:
            report = await load(database, path)
        except ImportFileError:
            refused += 1
        else:
            assert report.new + report.changed + report.same + report.older + report.rejected == report.read
    assert 0 < refused < 60


CELL = (
    st.sampled_from(DIRTY)
    | st.text(max_size=30)
    | st.from_regex(r"[0-9年月日./-]{1,12}", fullmatch=True)
    | st.from_regex(r"[0-9A-Z]{9,18}", fullmatch=True)
    | st.decimals(allow_nan=True, allow_infinity=True).map(str)
    | st.dates().map(str)
)
ROW = st.tuples(st.integers(0, 50), st.dictionaries(st.sampled_from(HEADINGS), CELL, max_size=8)).map(
    lambda made: {**dict.fromkeys(HEADINGS, ""), **penalty(made[0]), **made[1]}
)


def _encodable(row: dict[str, str]) -> bool:
    return any(cell.strip() for cell in row.values()) and all(
        not 0xD800 <= ord(character) < 0xE000 for cell in row.values() for character in cell
    )


ROWS = st.lists(ROW.filter(_encodable), min_size=20, max_size=20)
ODD = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def _made(database: Database, folder: Path, rows: list[dict[str, str]]) -> None:
    path = folder / "h.csv"
    path.write_bytes(csv_bytes(rows))
    asyncio.run(checked(database, path, len(rows)))


@settings(max_examples=10, deadline=None, suppress_health_check=ODD, derandomize=True)
@given(rows=ROWS)
def test_rows_that_hypothesis_makes(database: Database, tmp_path: Path, rows: list[dict[str, str]]) -> None:
    _made(database, tmp_path, rows)


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=ODD)
@given(rows=ROWS)
def test_ten_thousand_rows_that_hypothesis_makes(
    database: Database, tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    _made(database, tmp_path, rows)


async def test_no_identity_number_came_in_clear(owner: asyncpg.Connection[asyncpg.Record]) -> None:
    """After all of the above: what looks like one is masked wherever it stood."""
    text = await owner.fetchval("select string_agg(original, ' ') from core.record_version")
    assert text
    assert "652799196009290017" not in text
