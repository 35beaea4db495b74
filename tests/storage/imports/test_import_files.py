"""Promises: a file is read in whatever form a department has it, or is refused whole with what to do; a hostile one
harms nothing but the process that reads it; a forbidden column is found wherever it hides."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from gateway.errors import ImportFileError
from gateway.storage.imports import encoding, headings, workbook_child
from gateway.storage.imports import table as tables
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.mapping import Mapping
from gateway.storage.imports.read import Row, open_input
from tests.storage.imports.rows_of_a_clerk import IDENTITY, csv_bytes, penalty, table, workbook

ROWS = [penalty(n) for n in range(1, 4)]
NAMES = [row["CF_XDR_MC"] for row in ROWS]


def read(path: Path, kind: str = "penalties", sheet: str | None = None) -> list[Row]:
    file = open_input(path, KINDS[kind], Mapping(), sheet)
    rows = list(file.rows())
    assert file.total == len(rows)
    file.table.close()
    return rows


def names(rows: list[Row]) -> list[object]:
    assert [row.errors for row in rows] == [()] * len(rows)
    return [row.values["name"] for row in rows]


def written(folder: Path, content: bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_encodings_and_delimiters(tmp_path: Path, encoding: str, delimiter: str) -> None:
    assert names(read(written(tmp_path, csv_bytes(ROWS, encoding, delimiter)))) == NAMES


def test_a_byte_that_is_neither_is_named_by_its_line(tmp_path: Path) -> None:
    lines = csv_bytes(ROWS, "gb18030").split(b"\r\n")
    lines[2] = lines[2].replace("样例事实".encode("gb18030"), b"\xff\xff")
    with pytest.raises(ImportFileError, match="line 3: a byte that is neither UTF-8 nor GB18030"):
        read(written(tmp_path, b"\r\n".join(lines)))


def test_a_broken_utf8_file_is_not_taken_for_gb18030(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GB18030 reads nearly anything: without the look at what stands before the bad byte, names come in garbled."""
    even = {"CF_WSH": "2026-1", "CF_CFJG": "示例博州财政"}  # characters that make whole pairs of bytes
    lines = csv_bytes([{**row, **even} for row in ROWS]).split(b"\r\n")
    lines[3] += b"\xc0\xa1"
    path = written(tmp_path, b"\r\n".join(lines))
    with pytest.raises(ImportFileError, match="line 4: a byte that is not UTF-8, in a file that is"):
        read(path)
    monkeypatch.setattr(encoding, "_begins_as_utf8", lambda _: False)
    assert [row.values["name"] for row in read(path)] != NAMES


def test_utf16_that_breaks_off(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="UTF-16 that breaks off"):
        read(written(tmp_path, csv_bytes(ROWS, "utf-16", "\t")[:-1]))


def test_old_line_ends(tmp_path: Path) -> None:
    rows = read(written(tmp_path, csv_bytes(ROWS).replace(b"\r\n", b"\r")))
    assert names(rows) == NAMES
    assert [row.line for row in rows] == [2, 3, 4]


# Headers and what stands around them


def test_the_header_again_below_itself_and_between_the_rows(tmp_path: Path) -> None:
    first = "行政相对人名称,行政相对人类别,统一社会信用代码,行政处罚决定书文号,违法行为类型"
    lines = csv_bytes(ROWS).decode().splitlines()
    lines[1:1] = [f"{first},处罚类别,违法事实,处罚决定日期,处罚机关,处罚机关统一社会信用代码"]
    lines[3:3] = [lines[0], "表格说明：续表,,,,,,,,,"]
    rows = read(written(tmp_path, "\n".join(lines).encode()))
    assert names(rows) == NAMES
    assert [row.line for row in rows] == [3, 6, 7]


@pytest.mark.parametrize(
    "heading",
    [
        "民 族",
        "*民族（必填）",
        "民\n族",
        "民_族",
        "民\u200b族",
        "ＲＡＣＥ",
        "Ethnic-Group",
        "subjectRace",
        "宗教信仰",
        "血型",
    ],
)
@pytest.mark.parametrize("form", ["csv", "gb18030", "xlsx", "title", "below"])
def test_a_forbidden_column_refuses_the_file_whole(tmp_path: Path, heading: str, form: str) -> None:
    rows = [{**row, heading: "x"} for row in ROWS]
    if form == "xlsx":
        path = workbook(tmp_path / "f.xlsx", {"数据": [["标题"], [], *table(rows)]})
    elif form == "title":  # the column is named above the codes, and has a name of its own below
        above = csv_bytes([dict.fromkeys((*ROWS[0], heading), "x")]).split(b"\r\n")[0] if "\n" not in heading else b""
        path = written(tmp_path, (above or f'"{heading}"'.encode()) + b"\r\n" + csv_bytes(ROWS))
    elif form == "below":
        cells = [*ROWS[0], heading]
        again = csv_bytes([dict.fromkeys(cells, "x")]).rsplit(b"x,", 1)[0].rsplit(b"\r\n", 1)[0]
        path = written(
            tmp_path, csv_bytes([{**row, "OTHER": ""} for row in ROWS]).replace(b"\r\n", b"\r\n" + again + b"\r\n", 1)
        )
    else:
        path = written(
            tmp_path, csv_bytes(rows, "gb18030" if form == "gb18030" and "\u200b" not in heading else "utf-8")
        )
    with pytest.raises(ImportFileError, match="may not be recorded"):
        read(path)


@pytest.mark.parametrize(
    "heading",
    [
        "族属",
        "族称",
        "族裔",
        "教派",
        "信教情况",
        "是否信教",
        "minzu",
        "身体状况",
        "体检结果",
        "伤残等级",
        "面部特征",
        "传染病",
        "HIV",
        "艾滋",
        "患病情况",
        "精神状况",
        "住院记录",
        "孕产情况",
        "disability",
        "faith",
        "主体民族",
        "民族自治区居民民族",
    ],
)
def test_other_words_for_it_are_forbidden_too(heading: str) -> None:
    assert headings.is_forbidden(heading)
    assert headings.is_forbidden(f"*{heading}（必填）", title=True)


@pytest.mark.parametrize(
    "heading",
    [
        "民族自治区名称",
        "所在民族自治县",
        "质量体检结果",
        "信用体检",
        "精神文明单位",
        "病虫害防治",
        "教育派出机构",
        "住所",
        "家族企业",
        "水族箱",
        "信用等级",
        "特种设备",
        "伤害情况",
        "receiver",
        "raceway",
        "证书名称",
        "身份类别",
        "感染源",
    ],
)
def test_honest_headings_are_not(heading: str) -> None:
    assert not headings.is_forbidden(heading)


def test_every_heading_of_ours_is_honest() -> None:
    ours = {name for kind in KINDS.values() for column in kind.columns for name in (column.name, *column.headings)}
    assert not [name for name in ours if headings.is_forbidden(name)]


def test_an_error_shows_no_identity_number(tmp_path: Path) -> None:
    for above in (f"民族 {IDENTITY}", f"{IDENTITY[:-1]},民族{IDENTITY}"):
        with pytest.raises(ImportFileError, match="may not be recorded") as error:
            read(written(tmp_path, f"{above}\r\n".encode() + csv_bytes(ROWS)))
        assert IDENTITY[:-1] not in str(error.value)
    twice = csv_bytes(ROWS).replace(b"CF_SY", f"{IDENTITY},{IDENTITY}".encode(), 1)
    with pytest.raises(ImportFileError, match="stands there twice") as error:
        read(written(tmp_path, twice))
    assert IDENTITY not in str(error.value)


def test_without_the_list_of_what_is_forbidden_the_column_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headings, "FORBIDDEN_PARTS", ())
    path = written(tmp_path, csv_bytes([{**row, "民族": "x"} for row in ROWS]))
    assert [row.cells[-1] for row in read(path)] == ["x"] * 3


def test_the_name_of_an_organ_above_the_header_is_no_column(tmp_path: Path) -> None:
    for title in ("博州民族宗教事务局行政处罚表", "博乐市卫生健康委员会,填报单位：博州残疾人联合会"):
        assert names(read(written(tmp_path, f"{title}\r\n".encode() + csv_bytes(ROWS)))) == NAMES


# What is no table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"CF_XDR_MC" + b"," * 3_000_000, "no column for|headings, at most"),
        (csv_bytes(ROWS) + b"x" * (1 << 25), "longer than 16 MB"),
        (csv_bytes([{**row, **{f"c{n}": "" for n in range(2_001)}} for row in ROWS]), "headings, at most 2000"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "Excel 97"),
        (b"\x00" * 4_000, "no column for|is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "neither UTF-8 nor GB18030|never closed|no column"),
    ],
    ids=["a million columns", "a line without end", "too many headings", "an old workbook", "NULs", "a picture"],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        read(written(tmp_path, content))


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "nothing.csv", Path("/dev/zero")):
        with pytest.raises(ImportFileError, match="cannot read"):
            read(path)


# Workbooks


def test_the_first_sheet_with_rows_is_read_and_the_others_are_told_of(tmp_path: Path) -> None:
    path = workbook(tmp_path / "w.xlsx", {"空": [], "甲": table(ROWS[:2]), "乙": table(ROWS[2:])})
    file = open_input(path, KINDS["penalties"], Mapping())
    assert [row.values["name"] for row in file.rows()] == NAMES[:2]
    file.table.close()
    [told] = file.table.notes
    assert told.startswith("only the sheet '甲' is imported; others have rows: 乙 / 只导入工作表“甲”")
    assert names(read(path, sheet="乙")) == NAMES[2:]
    with pytest.raises(ImportFileError, match="no sheet '丙'; it has: 空, 甲, 乙"):
        read(path, sheet="丙")
    with pytest.raises(ImportFileError, match="is no workbook"):
        read(written(tmp_path, csv_bytes(ROWS)), sheet="甲")


def test_a_sheet_with_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    """As a template that was filled in on a second sheet."""
    path = workbook(tmp_path / "h.xlsx", {"模板": table(ROWS)[:1], "说明": [["随意"]], "数据": table(ROWS)})
    file = open_input(path, KINDS["penalties"], Mapping())
    assert (file.total, [row.values["name"] for row in file.rows()]) == (len(ROWS), NAMES)
    file.table.close()
    [told] = file.table.notes
    assert told == (
        "the sheet '模板' has no rows; '数据' is imported, and not: 说明"
        " / 工作表“模板”没有数据行，导入的是“数据”，未导入：说明"
    )
    assert read(path, sheet="模板") == []  # who names a sheet gets that one


def test_a_hidden_sheet_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "h.xlsx"
    book = xlsxwriter.Workbook(path)
    seen, hidden = book.add_worksheet("seen"), book.add_worksheet("hidden")
    seen.activate()
    hidden.hide()
    for line, row in enumerate(table(ROWS)):
        hidden.write_row(line, 0, row)
    book.close()
    with pytest.raises(ImportFileError, match="no visible sheet has rows"):
        read(path)
    assert names(read(path, sheet="hidden")) == NAMES


def test_lines_of_a_workbook_are_those_of_excel_and_merged_cells_count_for_each_row(tmp_path: Path) -> None:
    path = tmp_path / "m.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    sheet.merge_range(1, 1, 1, 8, "行政处罚信息表")
    for line, row in enumerate(table([ROWS[0], *({**row, "CF_CFJG": ""} for row in ROWS[1:])]), 3):
        sheet.write_row(line, 1, row)
    column = 1 + list(ROWS[0]).index("CF_CFJG")
    sheet.merge_range(4, column, 6, column, "示例合并局")
    book.close()
    rows = read(path)
    assert names(rows) == NAMES
    assert [row.line for row in rows] == [5, 6, 7]
    assert [row.values["authority_name"] for row in rows] == ["示例合并局"] * 3


def _zip(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _with_part(source: Path, path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(source) as archive:
        return _zip(path, {part: archive.read(part) for part in archive.namelist()} | {name: content})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A workbook that is read."""
    return workbook(tmp_path / "good.xlsx", {"数据": table(ROWS)})


def _says(path: Path, part: str, size: int) -> Path:
    """The same workbook, whose directory says that one part is so many bytes unpacked."""
    data = bytearray(path.read_bytes())
    at = data.rfind(part.encode()) - 46  # in the central directory
    assert data[at : at + 4] == b"PK\x01\x02"
    struct.pack_into("<I", data, at + 24, size)
    path.write_bytes(data)
    return path


def test_a_bomb_is_refused_by_its_directory(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = "xl/media/zeros.bin"
    bomb = _with_part(good, tmp_path / "b.xlsx", part, bytes(1 << 24))
    assert bomb.stat().st_size < 1 << 16
    with monkeypatch.context() as patch:
        patch.setattr(workbook_child, "UNPACKED", 1 << 23)
        patch.setattr(zipfile.ZipFile, "open", None)  # nothing is unpacked to find it out
        with pytest.raises(workbook_child.Refused, match="unpacked it would be 16 MB, at most 8 are taken"):
            workbook_child.check_zip(str(bomb))
    assert names(read(bomb)) == NAMES  # within the limit
    with pytest.raises(ImportFileError, match="unpacked it would be 600 MB"):
        read(_says(bomb, part, 600 << 20))


def test_a_bomb_whose_directory_lies_ends_its_own_process_alone(tmp_path: Path, good: Path) -> None:
    """The directory says a hundred bytes, the part goes on and on: memory, time and space are limited, too."""
    part = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(good) as archive:
        rows = archive.read(part).partition(b"</sheetData>")[0]
    more = b"".join(b'<row r="%d"><c r="A%d"><v>1</v></c></row>' % (n, n) for n in range(5, 200_000))
    bomb = _says(_with_part(good, tmp_path / "l.xlsx", part, rows + more), part, 100)
    assert workbook_child.check_zip(str(bomb)) is None
    with pytest.raises(ImportFileError, match="not a workbook that can be read"):
        read(bomb)


def test_a_cell_at_the_end_of_the_world_ends_its_own_process_alone(tmp_path: Path) -> None:
    """Two cells, between which the reader would make seventeen thousand million empty ones."""
    path = tmp_path / "s.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    sheet.write(0, 0, "CF_XDR_MC")
    sheet.write(1_048_575, 16_383, "x")
    book.close()
    with pytest.raises(ImportFileError, match="too much memory"):
        read(path)


def test_it_is_the_limit_of_memory_that_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a lower limit a smaller sheet is refused; without one it takes the memory that it wants."""
    path = tmp_path / "s.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    for position, cell in enumerate(table(ROWS)[0]):
        sheet.write(0, position, cell)
        sheet.write(1, position, ROWS[0][cell])
    sheet.write(11_999, 799, "x")  # nearly ten million cells
    book.close()
    lower = tmp_path / "child.py"
    source = Path(workbook_child.__file__).read_text(encoding="utf-8")
    assert "MEMORY = 2 << 30" in source
    lower.write_text(source.replace("MEMORY = 2 << 30", "MEMORY = 160 << 20"), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(workbook_child, "__file__", str(lower))
        with pytest.raises(ImportFileError, match="too much memory"):
            read(path)
    assert read(path)[0].values["name"] == NAMES[0]


def test_an_external_entity_is_not_fetched(tmp_path: Path, good: Path) -> None:
    secret = written(tmp_path, b"the secret of the machine", "secret.txt")
    with zipfile.ZipFile(good) as archive:
        strings = archive.read("xl/sharedStrings.xml").decode()
    doctype = f'<!DOCTYPE sst [<!ENTITY xxe SYSTEM "{secret.as_uri()}">]>'
    hostile = strings.replace("<sst", f"{doctype}<sst", 1).replace("样例事实", "&xxe;")
    path = _with_part(good, tmp_path / "x.xlsx", "xl/sharedStrings.xml", hostile.encode())
    try:
        rows = read(path)
    except ImportFileError:
        return  # refused: as good
    assert "the secret" not in repr(rows)


def test_what_only_begins_like_a_workbook(tmp_path: Path, good: Path) -> None:
    whole = good.read_bytes()
    half = len(whole) // 2
    for content in (b"PK\x03\x04" + bytes(100), whole[:half], whole[: half - 400] + bytes(800) + whole[half + 400 :]):
        with pytest.raises(ImportFileError, match="not a workbook"):
            read(written(tmp_path, content, "x.xlsx"))


def test_nothing_of_a_workbook_stays_behind(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tables.tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()
    file = open_input(good, KINDS["penalties"], Mapping())
    assert os.listdir(tmp_path / "tmp") == []  # not even now: it has no name
    file.table.close()
