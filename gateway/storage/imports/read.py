"""CSV files: decoding, finding the header, typed rows. A broken file is refused before any row of it is in.

In: a path, a kind, a mapping. Out: an `InputFile` that yields `Row`s: typed cells or the reason why not. Encoding is
UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gateway.errors import ImportFileError
from gateway.storage.imports.definitions import FORBIDDEN_PARTS, FORBIDDEN_WORDS, Column, FileKind
from gateway.storage.imports.mapping import Mapping
from gateway.storage.imports.parse import CellError, parse_cell, shown
from gateway.storage.imports.rejects import HEADINGS as REJECT_HEADINGS

_LONGEST_CELL = 1_000_000  # characters; more is a quote that was never closed
_SHORT, _KEPT = 40, 20_000  # characters of a cell that is kept, cells kept by column
_HEADER_WITHIN = 5  # rows: some files have lines of explanation above the header

csv.field_size_limit(_LONGEST_CELL)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, its cells as received, and either its values or the error."""

    line: int
    cells: tuple[str, ...]
    values: dict[str, object]
    error: CellError | None


class _Cells:
    """Cells to values by position. Dates, codes and kinds repeat: short cells are parsed once."""

    def __init__(self, columns: tuple[tuple[Column, ...], ...], mapping: Mapping) -> None:
        self._columns = columns
        self._mapping = mapping
        self._kept: list[dict[str, dict[str, object]]] = [{} for _ in columns]

    def __call__(self, position: int, text: str) -> dict[str, object]:
        """The values of a cell, by column; nothing for what stands for nothing. Raises CellError."""
        kept = self._kept[position]
        found = kept.get(text)
        if found is not None:
            return found
        made = self._parsed(position, text)
        if len(text) <= _SHORT:
            if len(kept) >= _KEPT:
                kept.clear()
            kept[text] = made
        return made

    def _parsed(self, position: int, text: str) -> dict[str, object]:
        made = {}
        if "\x00" in text and not self._columns[position]:
            raise CellError("", shown(None, text), "含有空字符（NUL）", "contains a NUL character")
        for column in self._columns[position]:
            mapped = self._mapping.values.get(column.name)
            value = parse_cell(column, mapped.get(text.strip(), text) if mapped else text)
            if value is not None:
                made[column.name] = value
        return made


@dataclass(frozen=True)
class InputFile:
    """A file that was looked through once: its header, its number of rows, its hash."""

    path: Path
    kind: FileKind
    mapping: Mapping
    headings: tuple[str, ...]
    header_index: int  # how many rows stand above the header
    skip: int  # cells in front that a rejects file added
    columns: tuple[tuple[Column, ...], ...]  # by position
    total: int
    sha256: bytes

    @cached_property
    def required(self) -> tuple[Column, ...]:
        """The columns that no row may lack."""
        return tuple(column for column in self.kind.columns if column.required)

    def rows(self) -> Iterator[Row]:
        """The rows below the header, empty ones left out."""
        constants = self._constants()
        cells_of = _Cells(self.columns, self.mapping)
        for index, (line, cells) in enumerate(_records(self.path)):
            if index > self.header_index and any(cells):
                yield self._row(line, tuple(cells[self.skip :]), constants, cells_of)

    def _constants(self) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, text in self.mapping.constants.items():
            column = self.kind.column(name)
            assert column is not None  # read_mapping has checked it
            try:
                made[name] = parse_cell(column, text)
            except CellError as error:
                raise ImportFileError(f"constant {name} = {text!r} of the mapping: {error.en}") from None
        return made

    def _row(self, line: int, cells: tuple[str, ...], constants: dict[str, object], cells_of: _Cells) -> Row:
        values: dict[str, object] = dict(constants)
        width = len(self.headings)
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            error = CellError(
                "", "", f"本行有 {len(cells)} 格，表头有 {width} 格", f"{len(cells)} cells where the header has {width}"
            )
            return Row(line, cells, values, error)
        try:
            for position, text in enumerate(cells):
                if text:
                    values.update(cells_of(position, text))
            for column in self.required:
                if column.name not in values:
                    raise CellError(column.name, "", "必填项为空", "is required and empty")
        except CellError as error:
            return Row(line, cells, values, error)
        return Row(line, cells, values, None)

    def original(self, row: Row) -> dict[str, str]:
        """The row as received, by heading, identity numbers masked."""
        return dict(zip(self.headings, self.masked(row), strict=False))

    def masked(self, row: Row) -> tuple[str, ...]:
        """The cells as received, identity numbers masked."""
        owners = (*(columns[0] if columns else None for columns in self.columns), *(None for _ in row.cells))
        return tuple(shown(column, text) for column, text in zip(owners, row.cells, strict=False))


def open_input(path: Path, kind: FileKind, mapping: Mapping) -> InputFile:
    """Look through the whole file. ImportFileError for what refuses it whole: no header, forbidden or double headings,
    not UTF-8, a quote that is never closed."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror}") from error
    head: list[tuple[int, list[str]]] = []
    total = 0
    for line, cells in _records(path):
        if len(head) < _HEADER_WITHIN:
            head.append((line, cells))
        total += bool(any(cells))
    if total == 0:
        raise ImportFileError(f"{path} is empty")
    for index, (line, cells) in enumerate(head):
        skip = len(REJECT_HEADINGS) if tuple(cells[: len(REJECT_HEADINGS)]) == REJECT_HEADINGS else 0
        headings = tuple(cell.strip() for cell in cells[skip:])
        columns = tuple(_columns(kind, mapping, heading) for heading in headings)
        if not _missing(kind, mapping, columns):
            _refuse_forbidden(path, line, cells)
            _refuse_doubles(path, line, headings, columns, mapping)
            rows_above = sum(any(cells) for _, cells in head[: index + 1])
            return InputFile(path, kind, mapping, headings, index, skip, columns, total - rows_above, digest.digest())
    _explain_missing(path, kind, mapping, head)
    raise AssertionError("unreachable")


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line on which the row begins, cells) of every row of the file."""
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield line + 1, cells
                line = reader.line_num
    except UnicodeDecodeError as error:
        at = path.read_bytes()[: error.start].count(b"\n") + 1 if line == 0 else line + 1
        raise ImportFileError(f"{path}: near line {at}: not UTF-8; save it as UTF-8") from error
    except csv.Error as error:
        raise ImportFileError(f"{path}: row after line {line}: {error}; is a quotation mark never closed?") from error
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror}") from error


def _plain(heading: str) -> str:
    return re.sub(r"[\s\u200b-\u200f\ufeff]+", "", unicodedata.normalize("NFKC", heading)).casefold()


def _columns(kind: FileKind, mapping: Mapping, heading: str) -> tuple[Column, ...]:
    if heading in mapping.columns:
        found = (kind.column(name) for name in mapping.columns[heading])
        return tuple(column for column in found if column is not None)
    plain = _plain(heading)
    taken = {name for names in mapping.columns.values() for name in names}
    return tuple(
        column
        for column in kind.columns
        if column.name not in taken and plain in {_plain(name) for name in (column.name, *column.headings)}
    )


def _missing(kind: FileKind, mapping: Mapping, columns: tuple[tuple[Column, ...], ...]) -> list[str]:
    present = {column.name for found in columns for column in found} | set(mapping.constants)
    return [column.name for column in kind.columns if column.required and column.name not in present]


def _refuse_forbidden(path: Path, line: int, cells: list[str]) -> None:
    for cell in cells:
        plain = _plain(cell).replace("_", "").replace("-", "")
        words = {word for word in re.split(r"[^a-z]+", unicodedata.normalize("NFKC", cell).casefold()) if word}
        if any(part in plain for part in FORBIDDEN_PARTS) or words & FORBIDDEN_WORDS:
            raise ImportFileError(
                f"{path}: line {line}: the column {cell.strip()!r} may not be recorded (religion, ethnicity, biometrics"
                " or health of persons); the file is refused whole: take the column out"
            )


def _refuse_doubles(
    path: Path, line: int, headings: tuple[str, ...], columns: tuple[tuple[Column, ...], ...], mapping: Mapping
) -> None:
    seen: dict[str, str] = {}
    for heading in headings:
        if _plain(heading) in seen and heading:
            raise ImportFileError(f"{path}: line {line}: the heading {heading!r} stands there twice")
        seen[_plain(heading)] = heading
    owner: dict[str, str] = {}
    for heading, found in zip(headings, columns, strict=True):
        for column in found:
            if column.name in owner:
                raise ImportFileError(
                    f"{path}: line {line}: {owner[column.name]!r} and {heading!r} both mean {column.name};"
                    " leave one out by a mapping file"
                )
            owner[column.name] = heading
    lost = [theirs for theirs in mapping.columns if theirs not in headings]
    if lost:
        raise ImportFileError(f"{path}: the mapping names headings that the file hasn't: {', '.join(lost)}")


def _explain_missing(path: Path, kind: FileKind, mapping: Mapping, head: list[tuple[int, list[str]]]) -> None:
    _, cells = head[0]
    columns = tuple(_columns(kind, mapping, cell.strip()) for cell in cells)
    missing = []
    for name in _missing(kind, mapping, columns):
        column = kind.column(name)
        assert column is not None
        missing.append(" / ".join((name, *column.headings)))
    raise ImportFileError(
        f"{path}: line 1 is not a header of {kind.name}: no column for {'; '.join(missing)}."
        " If headings differ, give a mapping file"
    )
