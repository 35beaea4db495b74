"""Promises: an amount has the unit that its heading or its cell names, and where neither does, or where it may mean two
amounts, the row is rejected; a column of money that is not known refuses the file; a day that nobody means too."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path

import pytest

from gateway.errors import ImportFileError
from gateway.storage.imports.columns import Column
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.mapping import Mapping
from gateway.storage.imports.parse import CellError, parse_cell
from gateway.storage.imports.read import InputFile, Row, open_input
from gateway.storage.imports.template import write_template
from tests.storage.imports.rows_of_a_clerk import IDENTITY

PENALTY = {"CF_XDR_MC": "样例有限公司", "CF_WSH": "样例〔2026〕1号", "CF_CFLB": "罚款", "CF_JDRQ": "2026-01-01"}
JUDGMENT = {"当事人": "样例有限公司", "案号": "（2023）新2701民初123号", "裁判日期": "2026-01-01"}
BREACH = {"名称": "样例有限公司", "失信类型": "违约", "事项名称": "样例", "决定日期": "2026-01-01"}
RECORD = {"名称": "样例有限公司", "信息类别": "行政处罚", "标题": "样例", "决定日期": "2026-01-01"}


def opened(tmp_path: Path, kind: str, cells: dict[str, str], mapping: Mapping | None = None) -> tuple[InputFile, Row]:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(cells))
    writer.writeheader()
    writer.writerow(cells)
    path = tmp_path / "file.csv"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    file = open_input(path, KINDS[kind], mapping or Mapping())
    [row] = file.rows()
    return file, row


@pytest.mark.parametrize(
    ("kind", "clean", "heading", "cell", "column", "yuan"),
    [
        ("penalties", PENALTY, "罚款金额（元）", "7", "fine", "7.00"),
        ("penalties", PENALTY, "没收金额（元）", "7000", "confiscated", "7000.00"),
        ("penalties", PENALTY, "罚款金额（万元）", "0.7", "fine", "7000.00"),
        ("penalties", PENALTY, "CF_NR_FK", "0.7", "fine", "7000.00"),
        ("penalties", PENALTY, "罚款（万元）", "0.7", "fine", "7000.00"),
        ("penalties", PENALTY, "罚款金额（单位：万元）", "0.7", "fine", "7000.00"),
        ("penalties", PENALTY, "罚款金额/元", "7", "fine", "7.00"),
        ("penalties", PENALTY, "罚款金额（元）", "0.7万元", "fine", "7000.00"),
        ("penalties", PENALTY, "罚款金额", "7元", "fine", "7.00"),
        ("penalties", PENALTY, "处罚金额（万元）", "0.7", "amount", "7000.00"),
        ("judgments", JUDGMENT, "判决金额（万元）", "0.7", "amount", "7000.00"),
        ("judgments", JUDGMENT, "判决金额（元）", "7", "amount", "7.00"),
        ("judgments", JUDGMENT, "金额", "7", "amount", "7.00"),
        ("breaches", BREACH, "涉及金额（万元）", "0.7", "amount", "7000.00"),
        ("records", RECORD, "罚款金额（元）", "7", "fine", "7.00"),
        ("records", RECORD, "罚款金额（万元）", "0.7", "fine", "7000.00"),
    ],
)
def test_the_unit_is_that_of_the_heading(
    tmp_path: Path, kind: str, clean: dict[str, str], heading: str, cell: str, column: str, yuan: str
) -> None:
    _, row = opened(tmp_path, kind, {**clean, heading: cell})
    assert row.errors == ()
    assert str(row.values[column]) == yuan


@pytest.mark.parametrize("heading", ["罚款金额", "罚款", "没收金额", "处罚金额"])
def test_without_a_unit_anywhere_the_row_is_rejected(tmp_path: Path, heading: str) -> None:
    _, row = opened(tmp_path, "penalties", {**PENALTY, heading: "7"})
    [error] = row.errors
    assert ("元 或 万元" in error.zh, "say the unit" in error.en, error.value) == (True, True, "7")


def test_under_a_mapping_the_unit_is_that_of_the_heading_too(tmp_path: Path) -> None:
    _, row = opened(tmp_path, "penalties", {**PENALTY, "钱(元)": "7"}, Mapping(columns={"钱(元)": ("fine",)}))
    assert str(row.values["fine"]) == "7.00"
    _, row = opened(tmp_path, "penalties", {**PENALTY, "钱": "7"}, Mapping(columns={"钱": ("fine",)}))
    assert str(row.values["fine"]) == "70000.00"  # the mapping says what it means, and `fine` is in 万元


@pytest.mark.parametrize("text", ["¥15,000.00", "￥15000", "RMB 15000", "CNY15000", "人民币15000", "15000", "15,000元"])
def test_a_mark_of_currency_means_yuan(text: str) -> None:
    found = parse_cell(Column("x", "yuan" if text == "15000" else "wan", longest=60), text)
    assert str(found) == "15000.00"


def test_thousands_in_a_column_of_ten_thousands_are_rejected() -> None:
    with pytest.raises(CellError, match="say the unit") as error:
        parse_cell(Column("x", "wan", longest=60), "15,000")
    assert "元 或 万元" in error.value.zh


@pytest.mark.parametrize("text", ["一万五元", "三千五元", "一百五元", "壹万伍元整", "一亿五万元"])
def test_numerals_that_may_mean_two_amounts(text: str) -> None:
    with pytest.raises(CellError, match="two amounts"):
        parse_cell(Column("x", "wan", longest=60), text)


@pytest.mark.parametrize(
    ("text", "yuan"),
    [("一万零五元", "10005.00"), ("一万五千元", "15000.00"), ("三千零五元", "3005.00"), ("一百五十元", "150.00"),
     ("五千万元", "50000000.00"), ("一百零五元五角", "105.50"), ("三千五百元", "3500.00")],
)  # fmt: skip
def test_numerals_that_mean_one(text: str, yuan: str) -> None:
    assert str(parse_cell(Column("x", "wan", longest=60), text)) == yuan


# Headings


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    file, _ = opened(tmp_path, "penalties", {**PENALTY, "序号": "1", "承办人": "甲"})
    assert file.notes == ("columns not read: 序号, 承办人 / 未读取的列：序号, 承办人",)
    file, _ = opened(tmp_path, "penalties", PENALTY)
    assert file.notes == ()
    file, _ = opened(tmp_path, "penalties", {**PENALTY, "序号": "1"}, Mapping(columns={"序号": ()}))
    assert file.notes == ()


@pytest.mark.parametrize("heading", ["罚款金额（千元）", "滞纳金额", "没收物品折价", "罚 款 数 额"])
def test_a_column_of_money_that_is_not_known_refuses_the_file(tmp_path: Path, heading: str) -> None:
    with pytest.raises(ImportFileError, match=r"speaks of money .*\[columns\]") as error:
        opened(tmp_path, "penalties", {**PENALTY, heading: "1"})
    assert heading in str(error.value)
    _, row = opened(tmp_path, "penalties", {**PENALTY, heading: "1"}, Mapping(columns={heading: ()}))
    assert row.errors == ()


def test_a_kind_without_money_has_none_to_lose(tmp_path: Path) -> None:
    file, _ = opened(tmp_path, "organisations", {"名称": "样例有限公司", "注册金额": "1"})
    assert file.unread == ("注册金额",)


def test_what_is_quoted_of_headings_shows_nobodys_identity_number(tmp_path: Path) -> None:
    """A file without its header has the data of persons there."""
    file, _ = opened(tmp_path, "penalties", {**PENALTY, f"甲{IDENTITY}": "1"})
    with pytest.raises(ImportFileError) as lost:
        opened(tmp_path, "penalties", {**PENALTY, f"罚款{IDENTITY}": "1"})
    with pytest.raises(ImportFileError) as without:
        opened(tmp_path, "penalties", {"样例甲": "1", IDENTITY: "2"})
    for told in (str(file.notes), str(lost.value), lost.value.zh, str(without.value), without.value.zh):
        assert "6527**********0017" in told
        assert IDENTITY[6:14] not in told


# Days


@pytest.mark.parametrize("text", ["1900-1-1", "1900-01-00", "1900/1/0", "0000-00-00", "1899-12-30", "1900/1/0 0:00:00"])
def test_days_that_stand_for_nothing(text: str) -> None:
    assert parse_cell(Column("x", "date", longest=60), text) is None


@pytest.mark.parametrize("text", ["1899-3-1", "1900-02-01", "1948-12-31", "0206-03-01", "20266", "29220"])
def test_days_that_nobody_means(text: str) -> None:
    with pytest.raises(CellError, match=r"between 1949 and 2999|before 1980"):
        parse_cell(Column("x", "date", longest=60), text)


def test_serials_from_1980_are_days() -> None:
    assert parse_cell(Column("x", "date", longest=60), "29221") == dt.date(1980, 1, 1)
    assert parse_cell(Column("x", "date", longest=60), "1949-10-01") == dt.date(1949, 10, 1)


def test_a_required_day_that_is_none_says_what_stands_there(tmp_path: Path) -> None:
    _, row = opened(tmp_path, "penalties", {**PENALTY, "CF_JDRQ": "1900-1-1"})
    assert [(error.column, error.value) for error in row.errors] == [("decided_on", "1900-1-1")]


def test_the_template_tells_the_separator_that_is_read(tmp_path: Path) -> None:
    write_template(KINDS["organisations"], tmp_path / "t.csv")
    told = (tmp_path / "t.csv").read_text(encoding="utf-8-sig")
    assert "曾用名：可填几项，用；隔开" in told
    assert "用，隔开" not in told
