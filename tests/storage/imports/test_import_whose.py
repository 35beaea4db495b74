"""Promises: what may be a person's is no public organisation; two owners of one name stay two; who is disciplined is
seen by the matters of civil servants alone; a number of somebody else takes no row in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import pytest
from stdnum.cn import ric

from gateway.storage.database import Database
from gateway.storage.identifiers import fold_name
from gateway.storage.imports.subject_rows import named_like_a_person
from tests.storage.imports.rows_of_a_clerk import ORGAN_NAME, code, counts, load, penalty, written

Db: TypeAlias = Any  # a connection


def number(of: int) -> str:
    first = f"65279919701212{of:03d}"
    return first + ric.calc_check_digit(first + "0")


def _uncoded(of: int, **cells: str) -> dict[str, str]:
    return penalty(of, CF_XDR_SHXYM="", **cells)


@pytest.mark.parametrize(
    ("cells", "heading"),
    [
        ({"CF_XDR_LB": "法人及非法人组织", "CF_XDR_ZJHM": number(1)}, "CF_XDR_LB"),
        ({"CF_XDR_LB": "企业", "CF_XDR_ZJHM": number(1)}, "CF_XDR_LB"),
        ({"CF_XDR_LB": "个体工商户", "CF_XDR_ZJHM": number(1), "CF_FRDB": "样例甲"}, "CF_XDR_LB"),
        ({"CF_XDR_LB": "个体工商户", "CF_XDR_MC": "样例丙", "CF_FRDB": "样例丙"}, "CF_XDR_MC"),
        ({"CF_XDR_LB": "个体工商户", "CF_XDR_MC": "样例丙（个体工商户）", "CF_FRDB": "样例丙"}, "CF_XDR_MC"),
        ({"CF_XDR_LB": "法人及非法人组织", "CF_XDR_MC": "样例江·买买提"}, "CF_XDR_MC"),
        ({"CF_XDR_LB": "个体工商户", "CF_XDR_MC": "样例小吃店"}, "CF_XDR_SHXYM"),
    ],
)
async def test_what_may_be_a_persons_is_rejected(
    cells: dict[str, str], heading: str, database: Database, owner: Db, tmp_path: Path
) -> None:
    before = await owner.fetchval("select count(*) from core.subject where uscc is null")
    report = await load(database, written(tmp_path / "p.csv", [_uncoded(880_001, **cells)]))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert [one[1] for one in report.first_rejects] == [heading]
    assert await owner.fetchval("select count(*) from core.subject where uscc is null") == before


async def test_of_a_mistyped_code_the_code_is_told(database: Database, tmp_path: Path) -> None:
    """What is wrong is said of the cell that is wrong; without any code, of the kind that is missing."""
    right = code("91", 880_040)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    rows = [
        penalty(880_041, CF_XDR_LB="", CF_XDR_SHXYM=wrong),
        _uncoded(880_042, CF_XDR_LB=""),
        _uncoded(880_043, CF_XDR_LB="", CF_XDR_ZZJG="12345678-0"),
        penalty(880_044, CF_XDR_LB="", CF_XDR_SHXYM="G12345678"),  # a passport, say: no code with a slip in it
    ]
    report = await load(database, written(tmp_path / "m.csv", rows))
    assert report.rejected == 4
    headings = [(heading, value) for _, heading, value, _, _ in report.first_rejects]
    assert headings[0] == ("CF_XDR_SHXYM", wrong)
    assert "check digit" in report.first_rejects[0][4]
    assert "校验不通过" in report.first_rejects[0][3]
    assert "CF_XDR_SHXYM" not in {heading for heading, _ in headings[1:]}


@pytest.mark.parametrize("name", ["王小明", "阿不都·热合曼", "欧阳样例", "样例丙(个体户)"])
def test_names_of_persons(name: str) -> None:
    assert named_like_a_person(fold_name(name))


@pytest.mark.parametrize("name", ["老王饭店", "样例县理发店", "博乐市样例建材经营部", "样例1厂", "州财政局", "团州委"])
def test_names_of_others(name: str) -> None:
    assert not named_like_a_person(fold_name(name))


async def test_an_operators_number_beside_a_code_is_no_matter(database: Database, owner: Db, tmp_path: Path) -> None:
    row = penalty(880_050, CF_XDR_LB="个体工商户", CF_XDR_SHXYM=code("92", 880_050), CF_XDR_ZJHM=number(2))
    assert counts(await load(database, written(tmp_path / "c.csv", [row]))) == (1, 1, 0, 0, 0)
    assert not await owner.fetchval("select count(*) from core.person_identity")


async def test_shops_of_one_name_stay_apart(database: Database, owner: Db, tmp_path: Path) -> None:
    shop = {"CF_XDR_LB": "个体工商户", "CF_XDR_MC": "样例同名小吃店"}
    rows = [
        _uncoded(880_101, **shop, CF_FRDB="样例甲"),
        _uncoded(880_102, **shop, CF_FRDB="样例乙"),
        _uncoded(880_103, **shop, CF_FRDB="样例甲"),
    ]
    assert counts(await load(database, written(tmp_path / "s.csv", rows))) == (3, 3, 0, 0, 0)
    found = await owner.fetch(
        "select count(*) as n from core.record r join core.subject s on s.id = r.subject_id"
        " where s.name = '样例同名小吃店' group by s.id order by 1"
    )
    assert [row["n"] for row in found] == [1, 2]


def _disciplined(of: int, **cells: str) -> dict[str, str]:
    row = {"姓名": f"样例干部{of}", "证件号码": number(of), "处分机关": ORGAN_NAME, "处分日期": "2026-01-05"}
    return {**row, "处分种类": "警告", **cells}


@pytest.mark.parametrize(("of", "kind"), [(11, ""), (12, "自然人"), (13, "公务员")])
async def test_who_is_disciplined_serves(of: int, kind: str, database: Database, owner: Db, tmp_path: Path) -> None:
    rows = [_disciplined(of, 主体类别=kind)]
    assert counts(await load(database, written(tmp_path / "d.csv", rows), "disciplinary")) == (1, 1, 0, 0, 0)
    found = await owner.fetchrow(
        "select r.subject_class, s.kind from core.record r join core.subject s on s.id = r.subject_id"
        " where s.name = $1",
        f"样例干部{of}",
    )
    assert tuple(found or ()) == ("SERVANT", "CIVIL_SERVANT")


async def test_who_was_an_ordinary_person_before_serves_too(database: Database, owner: Db, tmp_path: Path) -> None:
    row = penalty(880_200, CF_XDR_MC="样例干部14", CF_XDR_LB="自然人", CF_XDR_SHXYM="", CF_XDR_ZJHM=number(14))
    await load(database, written(tmp_path / "p.csv", [row]))
    row = {
        "姓名": "样例干部14",
        "证件号码": number(14),
        "问责机关": ORGAN_NAME,
        "问责日期": "2026-01-05",
        "问责方式": "诫勉",
    }
    await load(database, written(tmp_path / "a.csv", [row]), "accountability")
    found = await owner.fetch(
        "select r.subject_class from core.record r join core.subject s on s.id = r.subject_id where s.name = $1",
        "样例干部14",
    )
    assert [one["subject_class"] for one in found] == ["SERVANT", "SERVANT"]
    assert await owner.fetchval(
        "select bool_and(p.personal) from core.name_part p join core.subject s on s.id = p.subject_id"
        " where s.name = $1",
        "样例干部14",
    )


async def test_a_bare_name_is_no_organisation(database: Database, tmp_path: Path) -> None:
    rows = [
        {"名称": "样例甲", "主体类型": "", "统一社会信用代码": ""},
        {"名称": "样例乙", "主体类型": "其他", "统一社会信用代码": ""},
        {"名称": "样例丙协会", "主体类型": "社会组织", "统一社会信用代码": ""},
        {"名称": "样例丁", "主体类型": "其他", "统一社会信用代码": code("N2", 880_300)},
    ]
    report = await load(database, written(tmp_path / "o.csv", rows), "organisations")
    assert counts(report) == (4, 2, 0, 0, 2)
    assert all("say the kind of subject" in en for *_, en in report.first_rejects)


async def test_the_number_of_somebody_else(database: Database, owner: Db, tmp_path: Path) -> None:
    def row(of: int, name: str) -> dict[str, str]:
        return penalty(of, CF_XDR_MC=name, CF_XDR_LB="自然人", CF_XDR_SHXYM="", CF_XDR_ZJHM=number(21))

    await load(database, written(tmp_path / "a.csv", [row(880_401, "欧阳样小明")]))
    report = await load(database, written(tmp_path / "b.csv", [row(880_402, "欧阳样晓明"), row(880_403, "司马某")]))
    assert counts(report) == (2, 1, 0, 0, 1)
    [(line, heading, value, zh, en)] = report.first_rejects
    assert (line, heading, value) == (3, "CF_XDR_ZJHM", "")
    [told] = report.notes
    assert told.startswith("1 name of a person differs")
    assert "line 2 6527**********" in told
    # Whose it is, nobody is told who may have mistyped.
    assert not any("欧阳样小明" in text for text in (zh, en, told))
    rows = [{"姓名": "诸葛某", "身份证号": number(21)}]
    report = await load(database, written(tmp_path / "s.csv", rows), "civil-servants")
    assert (report.changed, len(report.notes)) == (1, 1)
