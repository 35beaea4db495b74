"""Files: finding the header, typed rows. A broken file is refused before any row of it is in.

In: a path, a kind, a mapping. Out: an `InputFile` that yields `Row`s: typed cells and everything that is wrong with
them. Above the header may stand a title or lines of explanation; below it the header again, in codes or in Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from gateway.errors import ImportFileError
from gateway.storage.identifiers import mask_identity_numbers
from gateway.storage.imports.columns import Column, FileKind
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.headings import (
    Columns,
    Headings,
    check_header,
    explain_missing,
    refuse_forbidden,
    refuse_forbidden_below,
    refuse_lost_money,
)
from gateway.storage.imports.mapping import Mapping
from gateway.storage.imports.parse import parse_cell, shown
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.rejects import HEADINGS as REJECT_HEADINGS
from gateway.storage.imports.rejects import plain_cell
from gateway.storage.imports.table import Table, open_table
from gateway.storage.nearly import masked

LEFT_OUT = "未采用的列"  # in the row as received: the names of columns that were left out
_SHORT, _KEPT = 40, 20_000  # characters of a cell that is kept, cells kept by column
_HEADER_WITHIN = 12  # rows: files have titles and lines of explanation above the header
_WIDEST = 2_000  # headings
_SUBHEADERS = 3  # rows below the header that may still be of it
_EXPLANATION = re.compile(
    r"\s*[（(]?(?:表格|填表|填报|填写)?(?:说明|须知|备注|注)[)）]?\s*[:：]|\s*(?:表格|填表|填写)说明"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, its cells as received, its values, and what is wrong with it.

    `number` counts the rows of the file; `line` is where a clerk finds it, in the file that the row was in at first.
    """

    number: int
    line: int
    cells: tuple[str, ...]
    values: dict[str, object]
    errors: tuple[CellError, ...] = ()

    @property
    def failed(self) -> frozenset[str]:
        """The columns that something is wrong with."""
        return frozenset(error.column for error in self.errors)


class _Cells:
    """Cells to values by position. Dates, codes and kinds repeat: short cells are parsed once."""

    def __init__(self, columns: Columns, mapping: Mapping) -> None:
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

    table: Table
    kind: FileKind
    mapping: Mapping
    headings: tuple[str, ...]
    header_index: int  # how many rows stand above the header
    skip: int  # cells in front that a rejects file added
    columns: Columns  # by position
    total: int = 0
    unread: tuple[str, ...] = ()  # headings that mean nothing here
    _headings: Headings = field(repr=False, kw_only=True)

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the file: its other sheets, the columns that are not read."""
        if not self.unread:
            return self.table.notes
        names = ", ".join(mask_identity_numbers(name)[:60] for name in self.unread[:20]) + (
            ", …" if len(self.unread) > 20 else ""
        )
        return (*self.table.notes, f"columns not read: {names} / 未读取的列：{names}")

    @cached_property
    def required(self) -> tuple[Column, ...]:
        """The columns that no row may lack."""
        return tuple(column for column in self.kind.columns if column.required)

    @cached_property
    def _joined(self) -> tuple[Column, ...]:
        return tuple(column for found in self.columns for column in found if column.into)

    def rows(self) -> Iterator[Row]:
        """The rows below the header; empty ones, explanations and the header again are left out."""
        constants = self._constants()
        cells_of = _Cells(self.columns, self.mapping)
        for number, (line, cells) in enumerate(self.data()):
            yield self._row(number, line, cells, constants, cells_of)

    def data(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """(line in the file that the row was in at first, cells) of every row below the header."""
        rows = islice(self.table.records(), self.header_index + 1, None)
        below = True
        for line, cells in rows:
            if not any(cells) or _is_blank(cells):
                continue
            if self.skip:
                line, cells = self._mended(line, cells)
            first = cells[0].strip() if cells else ""
            if below or (first and first == self.headings[0]):
                below = False
                if self._headings.repeats(cells, self.columns):
                    refuse_forbidden(self.path, line, cells)
                    continue
            if first[:1] in "表填说备注（(" and _EXPLANATION.match(first) and _is_blank(cells[1:]):
                continue
            yield line, tuple(cells)

    def _mended(self, line: int, cells: list[str]) -> tuple[int, list[str]]:
        """A row of a rejects file: its line in the file that it was in at first, its own cells."""
        first = cells[0].strip()
        return int(first) if first.isascii() and first.isdigit() and len(first) < 10 else line, [
            plain_cell(cell) for cell in cells[self.skip :]
        ]

    def _constants(self) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, text in self.mapping.constants.items():
            column = self.kind.column(name)
            assert column is not None  # read_mapping has checked it
            try:
                made[name] = parse_cell(column, text)
            except CellError as error:
                raise ImportFileError(
                    f"constant {name} = {masked(text)!r} of the mapping: {error.en}",
                    f"映射文件中的常量 {name} = {masked(text)!r}：{error.zh}",
                ) from None
        return made

    def _row(
        self, number: int, line: int, cells: tuple[str, ...], constants: dict[str, object], cells_of: _Cells
    ) -> Row:
        values: dict[str, object] = dict(constants)
        width = len(self.headings)
        if len(cells) != width:
            cells = _fitted(cells, self.headings)
            if len(cells) != width:
                error = CellError(
                    "",
                    "",
                    f"本行有 {len(cells)} 格，表头有 {width} 格",
                    f"{len(cells)} cells where the header has {width}",
                )
                return Row(number, line, cells, values, (error,))
        errors: list[CellError] = []
        for position, text in enumerate(cells):
            if text:
                try:
                    values.update(cells_of(position, text))
                except CellError as error:
                    errors.append(error)
        if self._joined:
            _join(values, self._joined)
        if "old_state" in values:
            _older_state(values)
        for column in self.required:
            if column.name not in values and not self._has_failed(column.name, errors):
                told = self._cell_meant(column.name, cells)  # 1900-1-1 is no day, but a clerk sees it there
                errors.append(CellError(column.name, told, "必填项为空", "is required and empty"))
        return Row(number, line, cells, values, tuple(errors))

    def _cell_meant(self, name: str, cells: tuple[str, ...]) -> str:
        """What stands in the cell of a column, or of one whose values go to it; masked."""
        found = (
            shown(owners[0], cells[position]).strip()
            for position, owners in enumerate(self.columns)
            if any(name in (one.name, one.meaning) for one in owners)
        )
        return next((text for text in found if text), "")

    def _has_failed(self, name: str, errors: Sequence[CellError]) -> bool:
        """Is something wrong with the column, or with one whose values go to it?"""
        failed = {error.column for error in errors}
        return name in failed or any(column.into == name and column.name in failed for column in self._joined)

    def original(self, row: Row) -> dict[str, str]:
        """The row as received in the columns that are known, by heading, identity numbers masked."""
        kept = {name: cell for name, cell in zip(self._known, self.masked(row), strict=False) if name}
        return kept | self._left_out

    @cached_property
    def _known(self) -> tuple[str, ...]:
        """The headings that mean something here, by position; nothing for the others."""
        return tuple(masked(name) if found else "" for name, found in zip(self.headings, self.columns, strict=True))

    @cached_property
    def _left_out(self) -> dict[str, str]:
        """A note of the columns that mean nothing here: of what stands in them nothing is kept."""
        pairs = zip(self.headings, self.columns, strict=True)
        names = [masked(name) for name, found in pairs if name and not found]
        return {LEFT_OUT: "；".join(names)} if names else {}

    @cached_property
    def _owners(self) -> tuple[Column | None, ...]:
        return tuple(found[0] if found else None for found in self.columns)

    def masked(self, row: Row) -> tuple[str, ...]:
        """The cells as received, identity numbers masked."""
        owners = self._owners
        if len(row.cells) != len(owners):
            owners = (*owners, *(None for _ in row.cells))
        return tuple([shown(column, text) if text else text for column, text in zip(owners, row.cells, strict=False)])

    def heading_of(self, column: str) -> str:
        """The heading under which a column of ours stands in this file, else the one that it would have."""
        found = (i for i, owners in enumerate(self.columns) if any(column in (c.name, c.meaning) for c in owners))
        position = next(found, None)
        if position is not None:
            return self.headings[position]
        ours = self.kind.column(column)
        return column if ours is None else ours.chinese

    def cell_of(self, column: str, row: Row) -> str:
        """The cell of a row that stands for a column, masked; nothing where the row is not as wide as the header."""
        if len(row.cells) != len(self.headings):
            return ""
        for position, found in enumerate(self.columns):
            if any(one.name == column for one in found):
                return shown(found[0], row.cells[position]).strip()
        return ""


def _fitted(cells: tuple[str, ...], headings: tuple[str, ...]) -> tuple[str, ...]:
    """A row without empty cells behind the last heading, and with those that a program left out under no heading."""
    width = len(headings)
    if len(cells) > width:
        return cells[:width] if _is_blank(cells[width:]) else cells
    return cells if any(headings[len(cells) :]) else (*cells, *("" for _ in range(width - len(cells))))


def _is_blank(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _join(values: dict[str, object], joined: Sequence[Column]) -> None:
    """Lists of columns that belong into another one."""
    for column in joined:
        more = values.pop(column.name, ())
        if more:
            there = values.get(column.into, ())
            assert isinstance(there, tuple)
            assert isinstance(more, tuple)
            values[column.into] = tuple(dict.fromkeys((*there, *more)))


def _older_state(values: dict[str, object]) -> None:
    """What 当前状态 of the older generation means for the record; its remark gives the reason of a revocation."""
    state = values.pop("old_state")
    if state == "REVOKED":
        values.setdefault("status", "REVOKED")
        if "remark" in values:
            values.setdefault("status_reason", values["remark"])
    elif state == "OBJECTION":
        values.setdefault("under_objection", True)


def open_input(path: Path, kind: FileKind, mapping: Mapping, sheet: str | None = None) -> InputFile:
    """Look through the whole file. ImportFileError for what refuses it whole: no header, forbidden or double headings,
    an encoding that is none of those known, a quote that is never closed. Of a workbook without `sheet`, the first
    sheet with rows below its header."""
    found = _opened(open_table(path, sheet), kind, mapping)
    if found.total or sheet is not None:
        return found
    for other in found.table.others:  # a header alone, and the rows are on a sheet behind it
        try:
            more = _opened(open_table(path, other), kind, mapping)
        except ImportFileError:
            continue
        if more.total:
            found.table.close()
            more.table.notes = _of_another_sheet(found.table, other)
            return more
        more.table.close()
    return found


def _opened(table: Table, kind: FileKind, mapping: Mapping) -> InputFile:
    try:
        found = _with_header(table, Headings(kind, mapping))
        object.__setattr__(found, "total", sum(1 for _ in found.data()))
    except BaseException:
        table.close()
        raise
    return found


def _of_another_sheet(first: Table, read: str) -> tuple[str, ...]:
    rest = [name for name in first.others if name != read]
    return (
        f"the sheet {first.sheet!r} has no rows; {read!r} is imported"
        + (f", and not: {', '.join(rest)}" if rest else "")
        + f" / 工作表“{first.sheet}”没有数据行，导入的是“{read}”"
        + (f"，未导入：{'、'.join(rest)}" if rest else ""),
    )


def _with_header(table: Table, headings: Headings) -> InputFile:
    seen: list[tuple[int, tuple[str, ...]]] = []
    wrong: ImportFileError | None = None
    for delimiter in table.delimiters:
        table.delimiter = delimiter
        head, error = _head(table)
        wrong = wrong or error
        for index, (line, cells) in enumerate(head):
            if len(cells) > _WIDEST:
                raise ImportFileError(
                    f"{table.path}: line {line}: {len(cells)} headings, at most {_WIDEST}",
                    f"{table.path}：第 {line} 行：列数过多（最多 {_WIDEST} 列）",
                )
            skip = len(REJECT_HEADINGS) if tuple(cells[: len(REJECT_HEADINGS)]) == REJECT_HEADINGS else 0
            names = tuple((plain_cell(cell) if skip else cell).strip() for cell in cells[skip:])
            columns = headings.columns(names)
            if not _is_blank(cells):
                seen.append((line, names))
            if not headings.missing(columns):
                _check(table.path, head[:index], line, names, columns, headings.mapping)
                below = [(number, more[skip:]) for number, more in head[index + 1 : index + 1 + _SUBHEADERS]]
                refuse_forbidden_below(table.path, below, columns, names)
                unread = headings.not_read(names, columns)
                refuse_lost_money(table.path, line, unread, headings.kind)
                return InputFile(
                    table,
                    headings.kind,
                    headings.mapping,
                    names,
                    index,
                    skip,
                    columns,
                    unread=unread,
                    _headings=headings,
                )
    if wrong is not None:
        raise wrong
    if not seen:
        raise ImportFileError(f"{table.path} is empty", f"{table.path} 是空文件")
    raise explain_missing(table.path, seen, headings, KINDS.values())


def _head(table: Table) -> tuple[list[tuple[int, list[str]]], ImportFileError | None]:
    """The first rows as far as they can be read, and why no further."""
    rows: list[tuple[int, list[str]]] = []
    try:
        rows.extend(islice(table.records(), _HEADER_WITHIN))
    except ImportFileError as error:
        return rows, error
    return rows, None


def _check(
    path: Path,
    above: Sequence[tuple[int, Sequence[str]]],
    line: int,
    headings: tuple[str, ...],
    columns: Columns,
    mapping: Mapping,
) -> None:
    for title_line, cells in above:
        refuse_forbidden(path, title_line, cells, title=True)
    refuse_forbidden(path, line, headings)
    check_header(path, line, headings, columns, mapping)
