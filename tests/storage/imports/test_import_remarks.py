"""Promises: rows that are taken, but of which something should be looked at, are told in the run's notes; a fine whose
amount is not known is public, and one firm stays one, by whichever of its codes a row names it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from gateway.storage.database import Database
from tests.storage.imports.rows_of_a_clerk import ORGAN, code, counts, load, penalty, written

_OF_A_CODE = """
    select r.document_number from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1 order by 1
"""


async def test_a_fine_without_an_amount_is_public(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    rows = [
        penalty(860_001, CF_CFLB="罚款", CF_NR="罚款人民币伍拾万元"),
        penalty(860_002, CF_CFLB="罚款", CF_NR_FK="0.1"),
        penalty(860_003, CF_CFLB="警告"),
    ]
    report = await load(database, written(tmp_path / "f.csv", rows))
    assert counts(report) == (3, 3, 0, 0, 0)
    [told] = report.notes
    assert "1 penalty with 罚款, without an amount that is known" in told
    assert "1 条罚款没有金额" in told
    found = await owner.fetch(
        "select severity, published, amount is null as unknown from core.record"
        " where document_number like '样例〔2026〕86000_号' order by document_number"
    )
    assert [tuple(row) for row in found] == [
        ("GENERAL", True, True),
        ("MINOR", False, False),
        ("MINOR", False, True),
    ]


async def test_decisions_before_2018_have_a_class(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    rows = [
        penalty(861_001, CF_JDRQ="2017-12-31", CF_CFLB="吊销许可证件"),
        penalty(861_002, CF_JDRQ="1996-10-01", CF_CFLB="罚款"),
        penalty(861_003, CF_JDRQ="1996-09-30"),
    ]
    report = await load(database, written(tmp_path / "o.csv", rows))
    assert counts(report) == (3, 2, 0, 0, 1)
    [(line, heading, value, zh, en)] = report.first_rejects
    assert (line, heading, value) == (4, "CF_JDRQ", "1996-09-30")
    assert ("决定日期 1996-09-30" in zh, "the day of the decision" in en) == (True, True)
    found = await owner.fetch(
        "select severity, published_until::text from core.record"
        " where document_number like '样例〔2026〕86100_号' order by document_number"
    )
    assert [tuple(row) for row in found] == [("SERIOUS", "2020-12-31"), ("GENERAL", "1997-10-01")]


def _by_organisation_code(number: int, of: int) -> dict[str, str]:
    uscc = code("91", of)
    cells = {"CF_XDR_MC": f"样例{of}有限公司", "CF_XDR_SHXYM": "", "CF_XDR_ZDM": f"{uscc[8:16]}-{uscc[16]}"}
    return penalty(number, CF_CFLB="吊销许可证件", **cells)


@pytest.mark.parametrize("order", ["before", "behind", "two files"])
async def test_one_firm_stays_one(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path, order: str
) -> None:
    number = {"before": 862_000, "behind": 862_100, "two files": 862_200}[order]
    rows = [penalty(number), _by_organisation_code(number + 1, number)]
    if order == "two files":
        for row in rows:
            assert counts(await load(database, written(tmp_path / "t.csv", [row]))) == (1, 1, 0, 0, 0)
    else:
        path = written(tmp_path / "t.csv", rows if order == "behind" else rows[::-1])
        assert counts(await load(database, path)) == (2, 2, 0, 0, 0)
    found = await owner.fetch(_OF_A_CODE, code("91", number))
    assert [row[0] for row in found] == [f"样例〔2026〕{number}号", f"样例〔2026〕{number + 1}号"]


async def test_one_that_came_by_organisation_code_first_is_told(database: Database, tmp_path: Path) -> None:
    await load(database, written(tmp_path / "c.csv", [_by_organisation_code(863_001, 863_000)]))
    report = await load(database, written(tmp_path / "u.csv", [penalty(863_000)]))
    [told] = report.notes
    assert "on record twice" in told
    assert f"{code('91', 863_000)} 样例863000有限公司" in told
    report = await load(database, written(tmp_path / "v.csv", [penalty(863_002, CF_XDR_SHXYM=code("91", 863_000))]))
    assert not [note for note in report.notes if "twice" in note]  # once is enough


async def test_the_same_code_under_another_name_does_not_make_them_one(database: Database, tmp_path: Path) -> None:
    """An organisation code counts together with the name, and nothing else does."""
    other = {**_by_organisation_code(864_001, 864_000), "CF_XDR_MC": "样例另一有限公司"}
    report = await load(database, written(tmp_path / "n.csv", [penalty(864_000), other]))
    assert (counts(report), report.uncoded) == ((2, 2, 0, 0, 0), 0)
    report = await load(database, written(tmp_path / "n.csv", [penalty(864_000), other]))
    assert counts(report) == (2, 0, 0, 2, 0)


async def test_names_that_their_codes_do_not_have_are_told(database: Database, tmp_path: Path) -> None:
    uscc = code("91", 865_000)
    await load(
        database,
        written(tmp_path / "o.csv", [{"名称": "样例甲有限公司", "统一社会信用代码": uscc, "曾用名": "样例乙有限公司"}]),
        "organisations",
    )
    rows = [
        penalty(865_001, CF_XDR_SHXYM=uscc, CF_XDR_MC="样例甲有限责任公司"),  # the same name, folded
        penalty(865_002, CF_XDR_SHXYM=uscc, CF_XDR_MC="样例乙有限公司"),  # one that it has had
        penalty(865_003, CF_XDR_SHXYM=uscc, CF_XDR_MC="样例丙有限公司"),
        penalty(865_004, CF_CFJG="示例别的局"),
        penalty(865_005, CF_CFJG="示例别的局"),
    ]
    report = await load(database, written(tmp_path / "n.csv", rows))
    assert counts(report) == (5, 5, 0, 0, 0)
    [told] = report.notes
    assert "3 names differ" in told
    assert f"line 4 {uscc}: 样例甲有限公司, not 样例丙有限公司" in told
    assert f"line 5 {ORGAN}: 示例博州财政局, not 示例别的局" in told
