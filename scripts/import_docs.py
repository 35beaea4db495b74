"""The parts of docs/import.md that are made: columns of each kind of file, figures of the last measurement.

In: gateway/storage/imports, benchmarks/results/import.json where it exists. Out: lines of Markdown, for make_docs.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.storage.imports.columns import RECORD_COLUMNS, Column, FileKind
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.template import note_of

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "import.json"
HEADS = ("Column", "Headings", "What to put in", "填什么")


def columns_of_files() -> list[str]:
    """A table for each kind of file, and one of what all records have."""
    lines: list[str] = []
    for kind in KINDS.values():
        lines += [f"### `{kind.name}` {kind.title}", "", *_table(HEADS, map(_row, _own(kind))), ""]
    lines += ["### Columns of every record 各类记录的共同列", "", *_table(HEADS, map(_row, RECORD_COLUMNS))]
    return lines


def _own(kind: FileKind) -> list[Column]:
    """The columns that this kind does not have as every record has them."""
    shared = set(map(_identity, RECORD_COLUMNS)) if kind.target == "records" else set()
    return [column for column in kind.columns if _identity(column) not in shared]


def _identity(column: Column) -> tuple[object, ...]:
    return column.name, column.type, column.headings, column.required


def _row(column: Column) -> tuple[str, ...]:
    zh, en = note_of(column)
    only = {"older": " (older generation)", "present": " (present generation)"}.get(column.generation, "")
    star = "\\*" if column.required else ""
    return f"{star}`{column.name}`{only}", "、".join(column.headings), en, zh


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    made = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in made]


def import_figures(results: Path = RESULTS) -> list[str]:
    """The figures of the last `make bench-import`, or the word that there are none."""
    if not results.is_file():
        return ["No results yet."]
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    rows = [
        ("asyncpg's COPY, binary", f"{found['copy_rows_per_second']:,}", "1", ""),
        (
            "import of CSV",
            f"{found['import_rows_per_second']:,}",
            f"{found['ratio']:.2f}",
            f"{found['import_peak_mb']} MB",
        ),
        ("import of Excel", f"{found['workbook_rows_per_second']:,}", "", f"{found['workbook_peak_mb']} MB"),
    ]
    how = f"medians of {found['rounds']} rounds, fsync {found['fsync']}"
    return [
        f"{found['rows']:,} penalties, {how}; {found['machine']}.",
        "",
        *_table(("form", "rows a second", "× COPY", "peak memory of the process"), rows),
    ]
