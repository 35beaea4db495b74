"""Empty files to fill in: the columns of a kind with notes, as a workbook or as CSV.

In: a kind of file, a path. Out: a file that the import takes once rows are in it. In a workbook every heading has a
note, required ones an asterisk, cells are text (so that codes keep their digits) and choices drop down; a second sheet
says the same in a table. `note_of` is also what docs/import.md says of a column.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xlsxwriter  # type: ignore[import-untyped]  # it has no stubs

from gateway.errors import ImportFileError
from gateway.storage.imports.columns import Column, FileKind
from gateway.storage.imports.workbook_child import NOTES

DATA = "数据"
_ROWS = 10_000  # that drop-downs reach to
# Columns that a clerk has no use for: keys of other systems, and what only the older generation has.
_LEFT_OUT = frozenset(("row_key", "source", "catalogue_item", "remark", "organisation_code", "old_state"))
_TYPES = {
    "text": ("文字", "text"),
    "name": ("名称，写全称", "a name, in full"),
    "date": ("日期，如 2026-03-01", "a date, such as 2026-03-01"),
    "until": ("日期，如 2026-03-01；没有期限的写 长期", "a date, such as 2026-03-01; 长期 where there is no end"),
    "yuan": (
        "金额，单位元（列名写“万元”的为万元），如 1500.00",
        "an amount in yuan, such as 1500.00; 万元 if the heading says so",
    ),
    "wan": (
        "金额，单位万元（列名写“元”的为元），如 0.15",
        "an amount in 万元 (10,000 yuan), such as 0.15; 元 if the heading says so",
    ),
    "flag": ("是 或 否", "是 or 否"),
    "integer": ("整数", "a whole number"),
    "choice": ("从下列选一项：{choices}", "one of {choices}"),
    "choices": ("可填几项，用；隔开：{choices}", "several, separated by ；: {choices}"),
    "penalties": (
        "可填几项，用；隔开：{choices}；其他种类写作 其他-…",
        "several, separated by ；: {choices}; others as 其他-…",
    ),
    "licence_kind": ("从下列选一项：{choices}；属于其他的写作 其他-…", "one of {choices}; others as 其他-…"),
    "names": ("可填几项，用；隔开", "several, separated by ；"),
    "key": ("文字", "text"),
    "uscc": ("18 位统一社会信用代码", "a unified social credit code of 18 characters"),
    "usccs": ("统一社会信用代码，可填几项，用；隔开", "unified social credit codes, separated by ；"),
    "organisation_code": ("9 位组织机构代码", "an organisation code of 9 characters"),
    "identity": ("18 位公民身份号码；加密保存", "a resident identity number of 18 characters; kept encrypted"),
    "document": ("文号，如 博州政发〔2018〕4号", "the number of a document"),
    "case": ("案号，如 （2023）新2701民初123号", "a case number"),
    "source": ("来源代码", "the code of a source"),
    "region": ("行政区划代码，如 652701，或其名称", "the code of a division, or its name"),
    "dropped": ("读入后即弃，不保存", "read and thrown away"),
    "noted": ("只随原始行保存", "kept with the row as received, and nowhere else"),
}

# A name alone may be a person's: see subject_rows.check_kind_said.
_WHOSE = (
    "；没有有效的统一社会信用代码和证件号码的记录必填，且不得为“其他”",
    "; a record without a valid code or an identity number needs it, and other than 其他",
)


def heading_of(column: Column) -> str:
    """What a template calls the column: its first Chinese heading."""
    return column.chinese


def template_columns(kind: FileKind) -> tuple[Column, ...]:
    """The columns that a template of this kind has."""
    return tuple(
        column
        for column in kind.columns
        if column.name not in _LEFT_OUT and not column.into and column.type not in ("noted", "dropped")
    )


def choices_of(column: Column) -> list[str]:
    """The labels that a cell may have: one for each code, as a clerk would write it."""
    if column.type == "flag":
        return ["是", "否"]
    first: dict[str, str] = {}
    for label, code in column.choices.items():
        if not label.isascii():
            first.setdefault(code, label)
    return list(first.values())


def note_of(column: Column) -> tuple[str, str]:
    """What may stand in a cell of this column, in Chinese and English."""
    zh, en = _TYPES[column.type]
    choices = "、".join(choices_of(column))
    more = _WHOSE if column.name == "subject_kind" else ("", "")
    return zh.format(choices=choices) + more[0], en.format(choices=choices) + more[1]


def write_template(kind: FileKind, path: Path) -> None:
    """Write an empty file of this kind: a workbook where the name ends in .xlsx, CSV where it ends in .csv.

    ImportFileError for other endings, for a file that is there already, and for a place that can't be written.
    """
    if path.exists():
        raise ImportFileError(
            f"{path} is there already; a template never replaces a file", f"{path} 已存在，模板不会覆盖已有文件"
        )
    try:
        if path.suffix.lower() == ".xlsx":
            _workbook(kind, path)
        elif path.suffix.lower() == ".csv":
            _csv(kind, path)
        else:
            raise ImportFileError(
                f"{path}: a template is a workbook (.xlsx) or a CSV file (.csv)", f"{path}：模板只能是 .xlsx 或 .csv"
            )
    except (OSError, xlsxwriter.exceptions.FileCreateError) as error:
        raise ImportFileError(f"cannot write {path}: {error}", f"无法写入 {path}") from error


def _starred(column: Column) -> str:
    return f"*{heading_of(column)}" if column.required else heading_of(column)


def _csv(kind: FileKind, path: Path) -> None:
    columns = template_columns(kind)
    told = "。".join(f"{heading_of(column)}：{note_of(column)[0]}" for column in columns)
    with path.open("x", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"表格说明：{kind.title}。带 * 的列必填，没有内容的留空；本行和下一行可以保留，导入时不读"])
        writer.writerow([f"填写说明：{told}"])
        writer.writerow([_starred(column) for column in columns])


def _workbook(kind: FileKind, path: Path) -> None:
    columns = template_columns(kind)
    book = xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({"title": kind.title, "comments": kind.name})
    text = book.add_format({"num_format": "@"})
    head = book.add_format({"bold": True, "bg_color": "#DDEBF7", "border": 1, "text_wrap": True, "num_format": "@"})
    required = book.add_format({"bold": True, "bg_color": "#FCE4D6", "border": 1, "text_wrap": True, "num_format": "@"})
    data = book.add_worksheet(DATA)
    data.freeze_panes(1, 1)
    for position, column in enumerate(columns):
        data.set_column(position, position, 12 + 2 * min(len(heading_of(column)), 12), text)
        data.write_string(0, position, _starred(column), required if column.required else head)
        data.write_comment(0, position, _comment(column), {"x_scale": 2, "y_scale": 1.5})
        _drop_down(data, position, column)
    _notes(book, columns)
    book.close()


def _comment(column: Column) -> str:
    zh, en = note_of(column)
    must = ("必填。", "Required. ") if column.required else ("", "")
    return f"{must[0]}{zh}\n{must[1]}{en[:1].upper()}{en[1:]}\n{column.name}"


def _drop_down(sheet: Any, position: int, column: Column) -> None:
    choices = choices_of(column)
    if not choices or column.type not in ("choice", "flag", "licence_kind") or len(",".join(choices)) > 255:
        return
    told = {
        "validate": "list",
        "source": choices,
        "error_title": "不在可用取值内",
        "error_message": "请从下拉列表中选择",
    }
    if column.type == "licence_kind":
        told["error_type"] = "information"  # 其他-… is not in the list
    sheet.data_validation(1, position, _ROWS, position, told)


def _notes(book: Any, columns: Sequence[Column]) -> None:
    notes = book.add_worksheet(NOTES)
    bold = book.add_format({"bold": True})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    notes.set_column(0, 1, 24, wrap)
    notes.set_column(2, 2, 8, wrap)
    notes.set_column(3, 4, 60, wrap)
    notes.write_row(0, 0, ("列 / column", "名称 / name", "必填", "填什么", "what to put in"), bold)
    for line, column in enumerate(columns, 1):
        told = (heading_of(column), column.name, "是" if column.required else "", *note_of(column))
        for position, cell in enumerate(told):
            notes.write_string(line, position, cell)
