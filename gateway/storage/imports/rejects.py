"""Rows that could not be taken, in a file that can be mended and imported again.

In: rejected rows. Out: a CSV beside the input: line, column, value, reason_zh, reason_en, then the cells as received,
identity numbers masked. Several faults of a row stand in one cell each, separated by " | ", so that a row stays a row.
A column that the first file lacks and that a fault is about is there too, empty, so that it can be filled in.
The file is made only where there is something to say; one that an earlier run left is taken away where there isn't.
"""

from __future__ import annotations

import contextlib
import csv
import filecmp
import glob
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from gateway.errors import ImportFileError
from gateway.storage.imports.refused import CellError

HEADINGS = ("line", "column", "value", "reason_zh", "reason_en")
BETWEEN = " | "
_NO_VALUE = "—"  # of a fault among several, where there was none
_WIDEST = 4_000  # cells of a row that are written: more than any header may have
# What a spreadsheet takes for a formula. A quotation mark in front makes it text; so that it can be told from one that
# was there before, those get one more.
_RUNS = frozenset("=+-@＝＋－＠'\t\r\n")
_REJECTS = re.compile(r"^(?P<stem>.*)\.rejects(?:-(?P<number>\d{1,6}))?$")


def rejects_for(path: Path, chosen: Path | None) -> Path:
    """Where the rejects of a file go: where it was said, else beside it: `name.rejects.csv`, and of that one, mended,
    `name.rejects-2.csv`; `name.xlsx.rejects.csv` of a workbook, for a CSV file of that name may lie beside it.
    Never the file itself, nor one that holds anything but rejects."""
    rejects = chosen or path.with_name(_name(path.stem if path.suffix.lower() == ".csv" else path.name))
    if rejects.resolve() == path.resolve():
        raise ImportFileError(
            f"the rejects would replace {path} itself; give another place for them",
            f"未通过的行会覆盖 {path} 本身，请用 --rejects 指定别处",
        )
    # A link is replaced, not what it leads to.
    if rejects.exists() and not rejects.is_symlink() and not _is_rejects(rejects):
        raise ImportFileError(
            f"the rejects would replace {rejects}, which holds no rejects; give another place for them",
            f"{rejects} 不是未通过行的文件，不会覆盖；请改名，或用 --rejects 指定别处",
        )
    if not rejects.parent.is_dir():
        raise ImportFileError(
            f"there is no folder {rejects.parent} for the rejects", f"没有文件夹 {rejects.parent}，未通过的行无处写入"
        )
    return rejects


def _name(stem: str) -> str:
    match = _REJECTS.match(stem)
    if match is None:
        return f"{stem}.rejects.csv"
    return f"{match['stem']}.rejects-{int(match['number'] or 1) + 1}.csv"


def _is_rejects(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            begin = file.read(200)
    except OSError:
        return False
    return not begin or begin.removeprefix(b"\xef\xbb\xbf").replace(b'"', b"").startswith(",".join(HEADINGS).encode())


def _values(values: Sequence[str]) -> str:
    return BETWEEN.join(value or _NO_VALUE for value in values) if any(values) else ""


def _beginning(path: Path) -> str:
    """How the names of half-written rejects begin; the number of the process that writes them follows."""
    return f".{path.name[:60]}."


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet runs: what begins like a formula gets a quotation mark in front."""
    return f"'{text}" if text.lstrip(" \u3000\xa0")[:1] in _RUNS and text else text


def plain_cell(text: str) -> str:
    """The cell again as it was before `safe_cell`."""
    return text[1:] if text[:1] == "'" and safe_cell(text[1:]) != text[1:] else text


@dataclass
class Rejects:
    """Writes the rejects of one run. The file appears under its name when the run ends, so a killed run leaves none."""

    path: Path
    headings: tuple[str, ...]
    dry_run: bool = False  # then nothing that was there before is taken away
    count: int = 0
    first: list[tuple[int, str, str, str, str]] = field(default_factory=list)  # to show people
    _file: IO[str] | None = field(default=None, repr=False)
    _writer: Any = field(default=None, repr=False)
    _temporary: str = field(default="", repr=False)
    _lacking: list[str] = field(default_factory=list, repr=False)  # headings that the first file hasn't

    def __enter__(self) -> Rejects:
        """Take away what killed runs have left half-written."""
        for left in self.path.parent.glob(f"{glob.escape(_beginning(self.path))}*.part"):
            process = left.name.removeprefix(_beginning(self.path)).partition(".")[0]
            if process.isdigit() and not _runs(int(process)):
                with contextlib.suppress(OSError):
                    left.unlink()
        return self

    def add(self, line: int, errors: Sequence[tuple[str, CellError]], cells: Sequence[str]) -> None:
        """One rejected row: the headings of its faults with them; `cells` are masked already."""
        if self._file is None:
            self._open()
        told = (
            BETWEEN.join(heading for heading, _ in errors),
            _values([error.value for _, error in errors]),
            BETWEEN.join(error.zh for _, error in errors),
            BETWEEN.join(error.en for _, error in errors),
        )
        for heading, error in errors:
            if error.column and heading not in self.headings and heading not in self._lacking:
                self._lacking.append(heading)
        self._writer.writerow((line, *map(safe_cell, told), *map(safe_cell, cells[:_WIDEST])))
        self.count += 1
        if len(self.first) < 5:
            self.first.append((line, *told))

    def _open(self, *, headings: bool = True) -> None:
        # Rows of persons may stand in it: readable by its owner alone, under a name that nobody can take before.
        try:
            fd, self._temporary = tempfile.mkstemp(".part", f"{_beginning(self.path)}{os.getpid()}.", self.path.parent)
        except OSError as error:
            raise ImportFileError(
                f"cannot write rejects to {self.path.parent}: {error.strerror}",
                f"无法在 {self.path.parent} 写入未通过的行",
            ) from error
        self._file = os.fdopen(fd, "w", encoding="utf-8-sig", newline="")
        self._writer = csv.writer(self._file)
        if headings:
            self._writer.writerow((*HEADINGS, *map(safe_cell, self.headings)))

    def _with_lacking(self) -> None:
        """The file again, with the columns that it lacks. They stand in front: whatever the width of a row, its own
        cells stay together."""
        first, front = self._temporary, len(HEADINGS)
        empty = [""] * len(self._lacking)
        with open(first, encoding="utf-8-sig", newline="") as file:
            self._open(headings=False)
            for number, cells in enumerate(csv.reader(file)):
                more = empty if number else [safe_cell(name) for name in self._lacking]
                self._writer.writerow((*cells[:front], *more, *cells[front:]))
        os.unlink(first)
        if self._file is not None:
            self._file.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
                if self._lacking:
                    self._with_lacking()
                self._set_aside()
                os.replace(self._temporary, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(self._temporary)
                raise
        elif (
            error is None
            and not self.dry_run
            and not self.path.is_symlink()
            and self.path.is_file()
            and _is_rejects(self.path)
        ):
            # All rows are in: what an earlier run of this file rejected is no longer true.
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _set_aside(self) -> None:
        """Rejects of an earlier run may have been mended since: what differs is kept under another name."""
        if self.path.is_symlink() or not self.path.is_file():
            return
        if not filecmp.cmp(self._temporary, self.path, shallow=False):
            os.replace(self.path, f"{self.path}.bak")
