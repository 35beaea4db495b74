"""Reads a workbook in a process of its own, under limits of memory and time, and writes its rows as CSV.

Run as a file, never imported by the gateway: `python -I workbook_child.py PATH [SHEET]`. In: an XLSX file, possibly
hostile: whatever it makes the reader do, only this process ends. Out, on stdout: rows of UTF-8 CSV, the number of the
row first. On stderr: one JSON object, {"sheet": …, "others": […]} or {"error": …}.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import re
import resource
import sys
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import python_calamine

MEMORY = 2 << 30  # bytes of address space
SECONDS = 300  # of CPU
UNPACKED = 1 << 29  # bytes: what the parts of a workbook may come to, as its directory says
PARTS = 2_000
COLUMNS_LIMIT = 2_000
WRITTEN = 1 << 31  # bytes of rows
_FILLED = 1_000_000  # cells that merged ranges may fill
NOTES = "填写说明"  # the sheet of our own templates that has no rows
_LARGEST = 10**15  # a number above it was rounded by Excel, which keeps 15 digits
_ERROR_CELL = re.compile(
    rb'<(?:\w+:)?c\b([^>]*\bt="e"[^>]*)>(?:(?!</(?:\w+:)?c>).){0,400}?<(?:\w+:)?v>([^<]{1,20})<', re.DOTALL
)
_PLACE = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')


class Refused(Exception):
    """The workbook can't be taken; the message says why."""


def check_zip(path: str) -> None:
    """Refuse what is no XLSX, or would unpack to more than any table has: the directory tells before anything is."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise Refused(f"not a workbook that can be read ({error}); save it as .xlsx anew") from None
    if len(parts) > PARTS:
        raise Refused(f"{len(parts)} parts: not a workbook")
    if (size := sum(part.file_size for part in parts)) > UNPACKED:
        raise Refused(f"unpacked it would be {size >> 20} MB, at most {UNPACKED >> 20} are taken; save it as CSV")
    if any(part.flag_bits & 1 for part in parts):
        raise Refused("it is encrypted; save it without a password")


def chosen(workbook: Any, wanted: str | None) -> tuple[Any, list[str]]:
    """The sheet to read, and the names of other visible ones that have rows too."""
    if wanted is not None:
        if wanted not in workbook.sheet_names:
            raise Refused(f"no sheet {wanted!r}; it has: {', '.join(workbook.sheet_names)}")
        return workbook.get_sheet_by_name(wanted), []
    visible = python_calamine.SheetVisibleEnum.Visible
    worksheet = python_calamine.SheetTypeEnum.WorkSheet
    found = []
    for sheet in workbook.sheets_metadata:
        if sheet.visible == visible and sheet.typ == worksheet and sheet.name != NOTES:
            made = workbook.get_sheet_by_name(sheet.name)
            if made.end is not None:
                found.append(made)
    if not found:
        raise Refused("no visible sheet has rows")
    return found[0], [sheet.name for sheet in found[1:]]


def text_of(value: Any) -> str:
    """A cell as a clerk sees it. A number too long for Excel is shown as such, so that it is not taken for a code."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | int):
        if abs(value) >= _LARGEST:
            return f"{value:.5E}"
        return str(int(value)) if value == int(value) else format(Decimal(f"{value:.15g}"), "f")
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)


def rows(sheet: Any, errors: dict[tuple[int, int], str]) -> Iterator[list[str]]:
    """Row number and cells; what lies under a merged cell of one column has its value, an error its name."""
    filled, left = fills(sheet)
    first = sheet.start[1]
    by_row: dict[int, list[tuple[int, str]]] = {}
    for (index, column), name in errors.items():
        by_row.setdefault(index, []).append((column - first, name))
    for index, row in enumerate(sheet.iter_rows()):
        cells = [text_of(value) for value in row]
        for column, name in by_row.get(index, ()):
            if 0 <= column < len(cells):
                cells[column] = cells[column] or name
        for column, top in filled.get(index, ()):
            cells[column] = cells[column] or left.get((top, column), "")
        for column in range(len(cells)):
            if (index, column) in left:
                left[index, column] = cells[column]
        if any(cells):
            yield [str(index + 1), *cells]


def fills(sheet: Any) -> tuple[dict[int, list[tuple[int, int]]], dict[tuple[int, int], str]]:
    """Row → (column, row of the value) for cells under a merged one; and the places of those values."""
    filled: dict[int, list[tuple[int, int]]] = {}
    left: dict[tuple[int, int], str] = {}
    (_, first), (last, right) = sheet.start, sheet.end
    count = 0
    for (top, begin), (bottom, end) in sheet.merged_cell_ranges or ():
        if begin != end or top == bottom or not first <= begin <= right:
            continue
        left[top, begin - first] = ""
        for row in range(top + 1, min(bottom, last) + 1):
            count += 1
            if count > _FILLED:
                raise Refused("merged cells fill more than a million others; take the merging out")
            filled.setdefault(row, []).append((begin - first, top))
    return filled, left


def error_cells(path: str, name: str) -> dict[tuple[int, int], str]:
    """Excel's error values by row and column, from 0. The reader gives nothing for them; an error is not nothing."""
    found: dict[tuple[int, int], str] = {}
    with zipfile.ZipFile(path) as archive:
        part = _part_of(archive, name)
        if part is None:
            return found
        with archive.open(part) as file:
            kept = b""
            while chunk := file.read(1 << 20):
                window = kept + chunk
                for match in _ERROR_CELL.finditer(window):
                    place = _PLACE.search(match[1])
                    if place:
                        found[int(place[2]) - 1, _column(place[1])] = match[2].decode("utf-8", "replace")
                kept = window[-1_000:]
    return found


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _part_of(archive: zipfile.ZipFile, name: str) -> str | None:
    """The part that holds the sheet of that name; None where the workbook names it in another way than Excel does."""
    try:
        book = ElementTree.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314 - the limits hold, no DTD is fetched
        relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    except (KeyError, ElementTree.ParseError):
        return None
    targets = {one.get("Id"): one.get("Target", "") for one in relations}
    for sheet in book.iter():
        if sheet.tag.endswith("}sheet") and sheet.get("name") == name:
            identity = next((value for key, value in sheet.items() if key.endswith("}id")), None)
            target = targets.get(identity, "")
            part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            return part if part in archive.namelist() else None
    return None


def main(arguments: list[str]) -> int:
    """Read; returns the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN, WRITTEN))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, wanted = arguments[0], arguments[1] if len(arguments) > 1 else None
    told: dict[str, object]
    try:
        check_zip(path)
        with python_calamine.CalamineWorkbook.from_path(path) as workbook:
            sheet, others = chosen(workbook, wanted)
            if sheet.end is None:
                raise Refused(f"the sheet {sheet.name!r} is empty")
            if sheet.end[1] - sheet.start[1] >= COLUMNS_LIMIT:
                raise Refused(f"more than {COLUMNS_LIMIT} columns: not a table")
            with io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=False) as out:
                csv.writer(out).writerows(rows(sheet, error_cells(path, sheet.name)))
        told = {"sheet": sheet.name, "others": others}
    except Refused as error:
        told = {"error": str(error)}
    except (MemoryError, OSError):
        told = {"error": "reading it needs too much memory or space; save it as CSV"}
    except (python_calamine.CalamineError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        told = {"error": f"not a workbook that can be read ({type(error).__name__}); save it as .xlsx anew"}
    os.write(2, json.dumps(told).encode())
    return 1 if "error" in told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
