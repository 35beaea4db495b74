"""Promises: what is met in the files of others is read for what it means; what can't be is refused with a reason."""

from __future__ import annotations

import datetime as dt
import unicodedata
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import ImportFileError
from gateway.storage.imports.columns import Column
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.mapping import Mapping, read_mapping
from gateway.storage.imports.parse import CellError, parse_cell, shown
from gateway.storage.imports.quantities import money_of
from gateway.storage.imports.read import Row, open_input
from gateway.storage.imports.refused import RefusedError

PENALTY = "CF_XDR_MC,CF_XDR_SHXYM,CF_WSH,CF_CFLB,CF_NR_FK,CF_JDRQ\n"


def cell(kind: str, text: str) -> object:
    return parse_cell(Column("x", kind, longest=60), text)


@pytest.mark.parametrize(
    ("text", "zh", "en"),
    [
        ("6527**********0017", "脱敏", "masked number"),
        ("9165****0000X", "脱敏", "masked number"),
        ("6527XXXXXXXXXX0017", "脱敏", "masked number"),
        ("E12345678", "护照", "passport"),
        ("EA1234567", "护照", "passport"),
        ("护照G12345678", "护照", "passport"),
        ("H12345678", "护照", "passport"),
    ],
)
def test_what_stands_in_the_column_of_a_code_instead(text: str, zh: str, en: str) -> None:
    with pytest.raises(CellError) as error:
        cell("uscc", text)
    assert zh in error.value.zh
    assert en in error.value.en


def test_marks_that_turn_the_direction_are_taken_off() -> None:
    assert cell("name", "样例\u202e司公\u2066有限\u2069") == "样例司公有限"


@pytest.mark.parametrize(
    "text", ["2017-08-11", "2017/8/11", "2017年08月11日", "20170811", "42958", "2017-08-11 00:00:00"]
)
def test_days(text: str) -> None:
    assert cell("date", text) == dt.date(2017, 8, 11)


@pytest.mark.parametrize("text", ["", "/", "无", "暂无", " ", "1900-1-1", "1900/01/01", "NULL"])
def test_what_stands_for_no_day(text: str) -> None:
    assert cell("date", text) is None


@pytest.mark.parametrize("text", ["2017-02-30", "17-8-11", "2017", "昨天", "2017-13-01"])
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(CellError) as error:
        cell("date", text)
    assert error.value.zh
    assert error.value.en


@pytest.mark.parametrize(
    ("kind", "text", "yuan"),
    [
        ("wan", "1.5", "15000.00"),
        ("wan", "0.000001", "0.01"),
        ("wan", "5万元", "50000.00"),
        ("wan", "5000元", "5000.00"),
        ("yuan", "1,234.50", "1234.50"),
        ("yuan", "３００", "300.00"),
        ("yuan", "2万", "20000.00"),
    ],
)
def test_money(kind: str, text: str, yuan: str) -> None:
    assert str(cell(kind, text)) == yuan
    assert isinstance(cell(kind, text), Decimal)


@pytest.mark.parametrize("text", ["-1", "0.0000001", "1e5", "NaN", "五万", "1,23", "9" * 30])
def test_what_is_no_money(text: str) -> None:
    with pytest.raises(CellError):
        cell("wan", text)


def test_penalty_kinds() -> None:
    column = KINDS["penalties"].column("penalty_kinds")
    assert column is not None
    assert parse_cell(column, "罚款;没收违法所得、没收非法财物") == ("罚款", "没收违法所得", "没收非法财物")
    assert parse_cell(column, "其他-责令改正") == ("其他",)
    assert parse_cell(column, "吊销营业执照") == ("吊销许可证件",)
    with pytest.raises(CellError):
        parse_cell(column, "口头教育")


def test_a_nul_and_a_cell_too_long() -> None:
    with pytest.raises(CellError, match="NUL"):
        cell("text", "a\x00b")
    with pytest.raises(CellError, match="too long: 61 characters, at most 60"):
        cell("text", "长" * 61)


def test_identity_numbers_are_never_quoted() -> None:
    with pytest.raises(CellError) as error:
        cell("identity", "110105194912310021")
    assert error.value.value == "1101**********0021"
    with pytest.raises(CellError, match="masked"):
        cell("identity", "1101**********0021")
    with pytest.raises(CellError, match="identity number stands in the column") as error:
        cell("uscc", "11010519491231002X")
    assert error.value.value == "1101**********002X"
    assert cell("text", "其证件11010519491231002X") == "其证件1101**********002X"
    assert shown(Column("x", "identity"), "E12345678") == "*********"


# Files


def opened(tmp_path: Path, content: str | bytes, kind: str = "penalties", mapping: Mapping | None = None) -> list[Row]:
    path = tmp_path / "file.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_input(path, KINDS[kind], mapping or Mapping()).rows())


ROW = "样例有限公司,91652799YL000024X2,样例〔2026〕1号,警告,,2026-01-01\n"


def test_a_byte_order_mark_a_line_above_the_header_and_empty_lines(tmp_path: Path) -> None:
    rows = opened(tmp_path, "\ufeff表格说明：本表由示例局填报,,,,,\n\n" + PENALTY + "\n" + ROW)
    assert [(row.line, row.errors) for row in rows] == [(5, ())]
    assert rows[0].values["name"] == "样例有限公司"


def test_ragged_rows_are_rejected_with_their_line(tmp_path: Path) -> None:
    rows = opened(tmp_path, PENALTY + ROW + "a,b\n" + ROW.strip() + ",,\n" + ROW.strip() + ",x\n")
    assert [(row.line, row.errors[0].en if row.errors else None) for row in rows] == [
        (2, None),
        (3, "2 cells where the header has 6"),
        (4, None),
        (5, "7 cells where the header has 6"),
    ]


def test_lines_are_where_a_row_begins(tmp_path: Path) -> None:
    rows = opened(tmp_path, PENALTY + ROW.replace("样例有限公司", '"样例\n有限公司"') + ROW)
    assert [row.line for row in rows] == [2, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n1,2\n", "no column for name / "),
        (
            "样例表,,,,,\n\n姓名,处分日期,处分种类,序号\n",
            r"Line 3 was taken for it \(姓名, 处分日期, .*no column for name",
        ),
        ("案号,当事人,裁判日期\n", r"is a header of: judgments \(--as\)"),
        (PENALTY.replace("CF_NR_FK", "CF_WSH") + ROW, "stands there twice"),
        (PENALTY.replace("CF_NR_FK", "文号") + ROW, "both mean document_number"),
        (PENALTY + ROW + '"never closed', "after line 2"),
        ((PENALTY + ROW).encode("gb18030") + b"\xff\n", "line 3: a byte that is neither UTF-8 nor GB18030"),
        (PENALTY.replace("CF_NR_FK", "民 族") + ROW, "may not be recorded"),
        (PENALTY.replace("CF_NR_FK", "宗教信仰") + ROW, "may not be recorded"),
        (PENALTY.replace("CF_NR_FK", "Blood_Type") + ROW, "may not be recorded"),
        (PENALTY.replace("CF_NR_FK", "健康状况") + ROW, "may not be recorded"),
        (PENALTY.replace("CF_NR_FK", "ETHNICITY") + ROW, "may not be recorded"),
    ],
)
def test_files_that_are_refused_whole(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        opened(tmp_path, content)


MAPPING = """
[columns]
"who" = "name"
"end" = ["published_until", "removed_on"]
"decided_on" = ""
"from" = "decided_on"
[values.published_until]
"Ongoing" = ""
[values.removed_on]
"Ongoing" = ""
[constants]
list_name = "样例名单"
"""


def test_a_mapping(tmp_path: Path) -> None:
    toml = tmp_path / "m.toml"
    toml.write_text(MAPPING, encoding="utf-8")
    mapping = read_mapping(toml, KINDS["lists"])
    rows = opened(
        tmp_path, "who,from,end,decided_on\n样例,2026-01-01,2026-02-01,x\n样例,2026-01-01,Ongoing,x\n", "lists", mapping
    )
    assert rows[0].values == {
        "list_name": "样例名单",
        "name": "样例",
        "decided_on": dt.date(2026, 1, 1),
        "published_until": dt.date(2026, 2, 1),
        "removed_on": dt.date(2026, 2, 1),
    }
    assert "removed_on" not in rows[1].values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[columns", "not TOML"),
        ("[colums]\n", "unknown table"),
        ('[columns]\n"a" = "nonsense"\n', "nonsense"),
        ('[columns]\n"a" = 1\n', "must be the name"),
        ("[constants]\nlist_name = 1\n", "must hold texts"),
        ("columns = 1\n", "must be a table"),
    ],
)
def test_mappings_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    toml = tmp_path / "m.toml"
    toml.write_text(text, encoding="utf-8")
    with pytest.raises(ImportFileError, match=message):
        read_mapping(toml, KINDS["lists"])


def test_a_mapping_that_names_a_heading_which_the_file_lacks(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="headings that the file hasn't: nothing"):
        opened(tmp_path, PENALTY + ROW, mapping=Mapping(columns={"nothing": ("title",)}))


def test_forbidden_columns_stay_forbidden_under_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="may not be recorded"):
        opened(tmp_path, PENALTY.replace("CF_NR_FK", "民族") + ROW, mapping=Mapping(columns={"民族": ()}))


@given(st.text(st.sampled_from("万亿千百元整角分人民币¥,. ")) | st.text())
def test_a_text_without_any_number_is_no_amount(text: str) -> None:
    plain = unicodedata.normalize("NFKC", text)
    assume(not any(one.isdigit() or one in "零〇○一二两三四五六七八九十壹贰貳叁參肆伍陆陸柒捌玖拾俩" for one in plain))
    with pytest.raises(RefusedError):
        money_of(text, "元")
