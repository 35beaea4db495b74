"""Rows as clerks send them, for tests of the import: made-up firms, codes that nobody can be given, file formats."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xlsxwriter

from gateway.storage.database import Database
from gateway.storage.identifiers import organisation_code_check_digit, uscc_check_digit
from gateway.storage.imports import ImportReport, import_file

RECEIVED = dt.datetime(2026, 6, 1, 20, 0, tzinfo=dt.UTC)  # 2 June in Asia/Shanghai
IDENTITY = "652799196009290017"  # no such division: nobody's


def code(prefix: str, number: int) -> str:
    """A USCC that holds and is nobody's."""
    body = f"YL{number:06d}"
    first = prefix + "652799" + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


ORGAN, ORGAN_NAME = code("11", 900_001), "示例博州财政局"


def penalty(number: int, **cells: str) -> dict[str, str]:
    """A penalty in the present generation's columns."""
    row = {
        "CF_XDR_MC": f"样例{number}有限公司",
        "CF_XDR_LB": "法人及非法人组织",
        "CF_XDR_SHXYM": code("91", number),
        "CF_WSH": f"样例〔2026〕{number}号",
        "CF_WFXW": "样例违法行为",
        "CF_CFLB": "警告",
        "CF_SY": "样例事实",
        "CF_JDRQ": "2026-03-15",
        "CF_CFJG": ORGAN_NAME,
        "CF_CFJGDM": ORGAN,
    }
    return {**row, **cells}


def csv_bytes(
    rows: Sequence[Mapping[str, str]], encoding: str = "utf-8", delimiter: str = ",", above: str = ""
) -> bytes:
    """The rows as CSV under all their headings; `above`: lines over the header."""
    out = io.StringIO()
    headings = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, headings, restval="", delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return (above + out.getvalue()).encode(encoding)


def written(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """A file of these rows as CSV."""
    path.write_bytes(csv_bytes(rows))
    return path


def workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> Path:
    """A workbook with these cells: texts as texts, numbers as numbers, days as days."""
    book = xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_numbers": False})
    day = book.add_format({"num_format": "yyyy/m/d"})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for line, row in enumerate(rows):
            for position, cell in enumerate(row):
                if isinstance(cell, dt.date):
                    sheet.write_datetime(line, position, cell, day)
                elif cell not in (None, ""):
                    sheet.write(line, position, cell)
    book.close()
    return path


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Headings and cells of the rows, for a sheet."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    return [headings, *([row.get(name, "") for name in headings] for row in rows)]


async def load(
    database: Database, path: Path, kind: str = "penalties", received_at: dt.datetime = RECEIVED, **more: Any
) -> ImportReport:
    """Import a file."""
    options = {"mapping": None, "rejects": None, "progress": None} | more
    return await import_file(database, path, kind, entered_by="测试", received_at=received_at, **options)


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    """Read, new, changed, same, rejected."""
    return report.read, report.new, report.changed, report.same, report.rejected
