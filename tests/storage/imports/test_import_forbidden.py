"""Promises: what may not be recorded refuses the file whole under whatever heading, in a second row of headings too;
what only sounds like it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import xlsxwriter

from gateway.errors import ImportFileError
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.headings import is_forbidden
from gateway.storage.imports.mapping import Mapping
from gateway.storage.imports.read import open_input
from tests.storage.imports.rows_of_a_clerk import csv_bytes, penalty


@pytest.mark.parametrize(
    "heading",
    [
        "族", "名族", "是否回族", "是否少数民族", "维吾尔族", "民⽒", "宗敎", "宗敎信仰", "信奉何教", "过敏史",
        "過敏史", "手术史", "手術史", "既往史", "诊断", "診斷結果", "诊断结论", "病种", "精神病", "精神病史",
        "心理状况", "职业病", "是否患职业病", "尘肺", "乙肝", "是否乙肝携带", "视网膜", "残障", "殘疾等級", "種族",
        "健康狀況", "遗传病",
    ],
)  # fmt: skip
def test_headings_of_what_is_never_recorded(heading: str) -> None:
    assert is_forbidden(heading)
    assert is_forbidden(f"*{heading}（必填）")


@pytest.mark.parametrize(
    "heading",
    ["职业病危害因素", "职业病防治", "故障诊断", "信用诊断", "种类", "类别", "家族企业", "案件名称", "病虫害防治"],
)
def test_headings_that_only_sound_like_it(heading: str) -> None:
    assert not is_forbidden(heading)


def test_no_heading_of_ours_is_forbidden() -> None:
    ours = {name for kind in KINDS.values() for column in kind.columns for name in (column.name, *column.headings)}
    assert not [name for name in ours if is_forbidden(name)]


def _of_two_rows(path: Path, under: tuple[str, str]) -> Path:
    """A header of two rows: cells merged downwards, and one merged over two columns of a person's traits."""
    row = penalty(950_001)
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    for column, name in enumerate(row):
        sheet.merge_range(0, column, 1, column, name)
        sheet.write(2, column, row[name])
    width = len(row)
    sheet.merge_range(0, width, 0, width + 1, "自然人信息")
    sheet.write_row(1, width, under)
    book.close()
    return path


@pytest.mark.parametrize("under", [("年龄", "民族"), ("是否回族", "性别"), ("健康状况", "")])
def test_a_second_row_of_headings_is_looked_at(tmp_path: Path, under: tuple[str, str]) -> None:
    with pytest.raises(ImportFileError, match=r"line 2: the column .* may not be recorded"):
        open_input(_of_two_rows(tmp_path / "m.xlsx", under), KINDS["penalties"], Mapping())


def test_a_second_row_of_other_headings_is_none_of_our_business(tmp_path: Path) -> None:
    open_input(_of_two_rows(tmp_path / "m.xlsx", ("年龄", "性别")), KINDS["penalties"], Mapping()).table.close()


@pytest.mark.parametrize("blank", [True, False])
def test_a_second_row_in_csv(tmp_path: Path, blank: bool) -> None:
    row = {**penalty(950_002), "自然人信息": "", " ": ""}
    below = {name: "" if blank else name for name in penalty(950_002)} | {"自然人信息": "年龄", " ": "民族"}
    path = tmp_path / "m.csv"
    path.write_bytes(csv_bytes([below, row]))
    with pytest.raises(ImportFileError, match="may not be recorded"):
        open_input(path, KINDS["penalties"], Mapping())


def test_values_are_no_headings(tmp_path: Path) -> None:
    row = penalty(
        950_003, CF_XDR_MC="样例民族医院", CF_WFXW="违反职业病防治法", CF_SY="未组织职业健康检查", 其他="传染病防治"
    )
    path = tmp_path / "v.csv"
    path.write_bytes(csv_bytes([row]))
    file = open_input(path, KINDS["penalties"], Mapping())
    assert [one.values["offence"] for one in file.rows()] == ["违反职业病防治法"]
