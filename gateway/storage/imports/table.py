"""A file as rows of text cells: CSV in one of several encodings and delimiters, or a sheet of a workbook.

In: a path. Out: a `Table` whose `records()` can be walked several times: the line on which a row begins, and its cells.
Workbooks are read by a process of their own (workbook_child.py), so that a hostile one can harm nothing but that.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gateway.errors import ImportFileError
from gateway.storage.imports import workbook_child
from gateway.storage.imports.encoding import digest_of, find_encoding

_LONGEST_CELL = 1_000_000  # characters; more is a quote that was never closed
DELIMITERS = (",", "\t", ";")
_WORKBOOK, _OLD_WORKBOOK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"

csv.field_size_limit(_LONGEST_CELL)


@dataclass
class Table:
    """Rows of one file. `notes`: what its reader should tell people."""

    path: Path
    sha256: bytes
    codec: str = ""
    delimiter: str = ","
    sheet: str = ""  # of a workbook
    others: tuple[str, ...] = ()  # visible sheets of the workbook that are not empty either
    notes: tuple[str, ...] = ()
    _rows: IO[bytes] | None = field(default=None, repr=False)

    @property
    def delimiters(self) -> tuple[str, ...]:
        """Those that its columns may be separated by."""
        return DELIMITERS if self._rows is None else (",",)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """(line on which the row begins, cells) of every row. ImportFileError where a row can't be read."""
        return self._of_text() if self._rows is None else self._of_workbook(self._rows)

    def close(self) -> None:
        """Let go of what a workbook was unpacked to."""
        if self._rows is not None:
            self._rows.close()

    def _of_text(self) -> Iterator[tuple[int, list[str]]]:
        line = 0
        try:
            with self.path.open(encoding=self.codec, newline="") as file:
                reader = csv.reader(file, strict=True, delimiter=self.delimiter)
                for cells in reader:
                    yield line + 1, cells
                    line = reader.line_num
        except UnicodeDecodeError as error:
            raise ImportFileError(
                f"{self.path}: after line {line}: the file was changed while it was read",
                f"{self.path}：第 {line} 行之后：读取时文件被改动，请重新导入",
            ) from error
        except csv.Error as error:
            raise ImportFileError(
                f"{self.path}: row after line {line}: {error}; is a quotation mark never closed?",
                f"{self.path}：第 {line} 行之后的一行无法读取，可能有引号没有闭合",
            ) from error
        except OSError as error:
            raise ImportFileError(f"cannot read {self.path}: {error.strerror}", f"无法读取 {self.path}") from error

    def _of_workbook(self, rows: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        rows.seek(0)
        with io.TextIOWrapper(os.fdopen(os.dup(rows.fileno()), "rb"), encoding="utf-8", newline="") as file:
            try:
                for cells in csv.reader(file):
                    yield int(cells[0]), cells[1:]
            except csv.Error as error:
                raise ImportFileError(
                    f"{self.path}: a cell is longer than {_LONGEST_CELL:,} characters",
                    f"{self.path}：有单元格超过 {_LONGEST_CELL:,} 字",
                ) from error


def open_table(path: Path, sheet: str | None = None) -> Table:
    """The rows of a file. ImportFileError where it can't be read at all."""
    begin = _beginning(path)
    if begin.startswith(_WORKBOOK):
        return _workbook(path, sheet)
    if begin.startswith(_OLD_WORKBOOK):
        raise ImportFileError(
            f"{path}: a workbook of Excel 97 or with a password; save it as .xlsx without one",
            f"{path}：是 Excel 97（.xls）或带密码的工作簿，请另存为不带密码的 .xlsx",
        )
    if sheet is not None:
        raise ImportFileError(
            f"{path} is no workbook: it has no sheet {sheet!r}", f"{path} 不是工作簿，没有工作表“{sheet}”"
        )
    encoding = find_encoding(path)
    return Table(path, encoding.sha256, encoding.codec)


def _beginning(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""  # digest_of says it
        with path.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror}", f"无法读取 {path}") from error


def _workbook(path: Path, sheet: str | None) -> Table:
    digest = digest_of(path, lines=False)
    # Without a name: rows of persons may stand in it, and it is gone however this process ends.
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the table closes it
    try:
        command = [sys.executable, "-I", workbook_child.__file__, str(path), *([] if sheet is None else [sheet])]
        done = subprocess.run(command, stdout=unpacked, stderr=subprocess.PIPE, check=False)  # noqa: S603
        told = _told(done.stderr)
        if done.returncode or "error" in told:
            why = told.get("error") or "reading it takes too much memory or time; save it as CSV"
            raise ImportFileError(
                f"{path}: {why}", f"{path}：无法读取该工作簿，请另存为 .xlsx 或 CSV 后再导入（{why}）"
            )
        others = told["others"]
        return Table(
            path, digest, sheet=str(told["sheet"]), others=tuple(others), notes=_of_sheets(told), _rows=unpacked
        )
    except BaseException:
        unpacked.close()
        raise


def _of_sheets(told: dict[str, Any]) -> tuple[str, ...]:
    others = told["others"]
    if not others:
        return ()
    return (
        f"only the sheet {told['sheet']!r} is imported; others have rows: {', '.join(others)}"
        f" / 只导入工作表“{told['sheet']}”，其他有内容的工作表未导入：{'、'.join(others)}（用 --sheet 指定）",
    )


def _told(text: bytes) -> dict[str, Any]:
    try:
        made = json.loads(text)
    except ValueError:
        return {}  # it was ended from outside, or broke down
    return made if isinstance(made, dict) else {}
