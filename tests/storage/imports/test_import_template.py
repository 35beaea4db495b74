"""Promises: a template says what goes where, in Chinese and English, and once filled in it imports without a reject."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest

from gateway.errors import ImportFileError
from gateway.storage.database import Database
from gateway.storage.imports.columns import Column, FileKind
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.headings import Headings
from gateway.storage.imports.mapping import Mapping
from gateway.storage.imports.read import open_input
from gateway.storage.imports.template import DATA, choices_of, heading_of, note_of, template_columns, write_template
from gateway.storage.imports.workbook_child import NOTES
from tests.storage.imports.rows_of_a_clerk import IDENTITY, ORGAN, ORGAN_NAME, code, counts, load, workbook

_CELLS = {
    "name": "样例有限公司", "text": "样例", "date": "2026-03-01", "until": "长期", "yuan": "1500.00", "wan": "0.15",
    "integer": "1", "penalties": "警告；罚款", "names": "样例甲；样例乙", "document": "样例〔2026〕1号",
    "case": "（2026）新2701民初1号", "region": "6527", "identity": IDENTITY,
}  # fmt: skip
# Where the example of a type would not do: codes that hold, and what depends on another cell.
_OWN = {
    "uscc": code("91", 500_001), "authority_uscc": ORGAN, "authority_name": ORGAN_NAME, "published_until": "2026-09-01",
    "predecessors": "", "subject_kind": "", "status": "", "identity_number": "", "identity_type": "身份证",
    "code": "65", "parent": "", "local": "否", "roles": "投标人；供应商", "region_code": "",
}  # fmt: skip


def cell(kind: FileKind, column: Column) -> str:
    if kind.name == "civil-servants" and column.name == "identity_number":
        return IDENTITY
    if column.name in _OWN:
        return _OWN[column.name]
    return choices_of(column)[0] if choices_of(column) and column.type != "penalties" else _CELLS[column.type]


def filled(path: Path, kind: FileKind) -> Path:
    """The template with a row below its header."""
    row = [cell(kind, column) for column in template_columns(kind)]
    if path.suffix == ".csv":
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(row)
        return path
    table = open_input(path, kind, Mapping()).table
    above = [cells for _, cells in table.records()]
    table.close()
    return workbook(path.with_name("filled.xlsx"), {DATA: [*above, row]})


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
@pytest.mark.parametrize("name", KINDS)
async def test_a_template_filled_in_imports(name: str, ending: str, database: Database, tmp_path: Path) -> None:
    kind, path = KINDS[name], tmp_path / f"t.{ending}"
    write_template(kind, path)
    empty = await load(database, path, name)
    assert counts(empty) == (0, 0, 0, 0, 0)
    report = await load(database, filled(path, kind), name)
    assert report.first_rejects == ()
    assert (report.read, report.rejected) == (1, 0)


@pytest.mark.parametrize("name", KINDS)
def test_every_heading_leads_back_to_its_column_and_has_a_note(name: str) -> None:
    kind = KINDS[name]
    columns = template_columns(kind)
    found = Headings(kind, Mapping()).columns([heading_of(column) for column in columns])
    assert [[one.name for one in owners] for owners in found] == [[column.name] for column in columns]
    assert all(all(note_of(column)) for column in kind.columns)
    assert {column.name for column in kind.columns if column.required} <= {column.name for column in columns}


def test_a_workbook_marks_what_is_required_and_offers_choices(tmp_path: Path) -> None:
    path = tmp_path / "p.xlsx"
    write_template(KINDS["penalties"], path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".xml")}
    assert f'name="{DATA}"' in parts["xl/workbook.xml"]
    assert f'name="{NOTES}"' in parts["xl/workbook.xml"]
    assert "*行政相对人名称" in parts["xl/sharedStrings.xml"]
    assert "*违法事实" not in parts["xl/sharedStrings.xml"]
    assert "<dataValidation " in parts["xl/worksheets/sheet1.xml"]
    assert "轻微,一般,严重" in parts["xl/worksheets/sheet1.xml"]
    assert "必填" in parts["xl/comments1.xml"]
    assert "Required" in parts["xl/comments1.xml"]


def test_a_template_replaces_nothing_and_has_one_of_two_forms(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("mine")
    for where in (path, tmp_path / "t.ods", tmp_path / "nowhere" / "t.xlsx"):
        with pytest.raises(ImportFileError, match=r"is there already|is a workbook|cannot write"):
            write_template(KINDS["penalties"], where)
    assert path.read_text() == "mine"
