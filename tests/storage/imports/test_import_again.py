"""Promises: an older file undoes no correction unless that is asked for; a withdrawal withdraws something or is
rejected; a row whose code was mended is the same row; lists end; amounts that look wrong are told."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from gateway.storage.database import Database
from tests.storage.imports.rows_of_a_clerk import ORGAN, ORGAN_NAME, RECEIVED, code, counts, load, penalty, written

Db: TypeAlias = Any  # a connection
WHY = {"状态": "已撤销", "变更原因": "经复议撤销"}
LATER = RECEIVED + dt.timedelta(days=3)


async def _record(owner: Db, number: int) -> asyncpg.Record:
    [row] = await owner.fetch(
        "select r.*, s.uscc, s.name from core.record r join core.subject s on s.id = r.subject_id"
        " where r.document_number like '样例〔2026〕%' || $1 || '号'",
        str(number),
    )
    return row


async def test_an_older_file_undoes_no_correction(database: Database, owner: Db, tmp_path: Path) -> None:
    first = written(tmp_path / "a.csv", [penalty(870_001, CF_CFLB="罚款", CF_NR_FK="5")])
    mended = penalty(870_001, CF_CFLB="罚款", CF_NR_FK="0.5", 异议标注="是")
    await load(database, first)
    assert counts(await load(database, written(tmp_path / "b.csv", [mended]), received_at=LATER)) == (1, 0, 1, 0, 0)
    report = await load(database, first, received_at=LATER + dt.timedelta(days=1))
    assert (counts(report), report.older) == ((1, 0, 0, 0, 0), 1)
    [told] = report.notes
    assert "1 row has older content" in told
    assert "the newer content (of 2026-06-05) stays. This very file was imported before, on 2026-06-02" in told
    assert "保留较新内容（2026-06-05）" in told
    assert "--apply-older" in told
    there = await _record(owner, 870_001)
    assert (there["amount"], there["under_objection"], there["version"]) == (5_000, True, 2)
    report = await load(database, first, apply_older=True)
    assert (counts(report), report.older) == ((1, 0, 1, 0, 0), 0)
    assert (await _record(owner, 870_001))["amount"] == 50_000
    # Whatever is on record now is the same, and what was there in between is older.
    assert counts(await load(database, first)) == (1, 0, 0, 1, 0)
    assert (await load(database, tmp_path / "b.csv")).older == 1


async def test_an_older_file_gives_no_name_back(database: Database, owner: Db, tmp_path: Path) -> None:
    uscc = code("91", 870_100)

    def row(name: str) -> dict[str, str]:
        return {"名称": name, "统一社会信用代码": uscc}

    old = written(tmp_path / "o.csv", [row("样例旧名有限公司")])
    await load(database, old, "organisations")
    assert (await load(database, written(tmp_path / "n.csv", [row("样例新名有限公司")]), "organisations")).changed == 1
    report = await load(database, old, "organisations")
    assert (counts(report), report.older) == ((1, 0, 0, 0, 0), 1)
    assert "older content" in report.notes[0]
    of = "select name from core.subject where uscc = $1"
    assert await owner.fetchval(of, uscc) == "样例新名有限公司"
    assert (await load(database, old, "organisations", apply_older=True)).changed == 1
    assert await owner.fetchval(of, uscc) == "样例旧名有限公司"


@pytest.mark.parametrize(
    ("number", "first", "again"),
    [
        (871_001, {}, {"CF_CFJGDM": ""}),  # finds the one organ of that name: the same
        (871_002, {}, {"CF_CFJG": "示例别的局", "CF_CFJGDM": ""}),
        (871_003, {}, {"CF_WSH": "样例〔2026〕871003-1号"}),
        (871_004, {"CF_WSH": "样例[2026]第871004号"}, {"CF_WSH": "样例【2026】871004号"}),  # one number
    ],
)
async def test_a_withdrawal_withdraws_something(
    number: int, first: dict[str, str], again: dict[str, str], database: Database, owner: Db, tmp_path: Path
) -> None:
    row = penalty(number, CF_CFLB="吊销许可证件", **{"CF_WSH": f"样例〔2026〕{number}号", **first})
    await load(database, written(tmp_path / "p.csv", [row]))
    report = await load(database, written(tmp_path / "w.csv", [{**row, **again, **WHY}]), received_at=LATER)
    of = "select r.status from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1"
    if number in (871_002, 871_003):
        assert counts(report) == (1, 0, 0, 0, 1)
        [(_, heading, _, zh, en)] = report.first_rejects
        assert heading == "CF_WSH"
        assert f"样例〔2026〕{number}号（{ORGAN_NAME}）" in zh
        assert "nothing to revoke" in en
        assert [r["status"] for r in await owner.fetch(of, code("91", number))] == ["ACTIVE"]
    else:
        assert counts(report) == (1, 0, 1, 0, 0)
        assert [r["status"] for r in await owner.fetch(of, code("91", number))] == ["REVOKED"]


async def test_a_withdrawal_of_what_is_not_here(database: Database, tmp_path: Path) -> None:
    report = await load(database, written(tmp_path / "w.csv", [penalty(871_100, **WHY)]))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert "该主体没有这类信息在库" in report.first_rejects[0][3]


async def test_the_older_generation_withdraws_with_its_remark(database: Database, owner: Db, tmp_path: Path) -> None:
    row = penalty(871_150)
    await load(database, written(tmp_path / "p.csv", [row]))
    again = {**row, "CF_ZT": "1", "BZ": "样例：经复议撤销"}
    assert counts(await load(database, written(tmp_path / "w.csv", [again]))) == (1, 0, 1, 0, 0)
    there = await _record(owner, 871_150)
    assert there["status"] == "REVOKED"
    assert "经复议撤销" in await owner.fetchval(
        "select reason from core.record_version where record_id = $1 and version = 2", there["id"]
    )


async def test_a_repair_under_another_authority(database: Database, tmp_path: Path) -> None:
    row = penalty(871_200, 状态="已修复")
    assert counts(await load(database, written(tmp_path / "r.csv", [row]))) == (1, 1, 0, 0, 0)  # repaired long since
    row = penalty(871_201)
    await load(database, written(tmp_path / "p.csv", [row]))
    again = {**row, "CF_CFJG": "示例别的局", "CF_CFJGDM": "", "状态": "已修复"}
    report = await load(database, written(tmp_path / "r.csv", [again]))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert "nothing to repair" in report.first_rejects[0][4]


async def test_another_spelling_of_a_number_is_no_correction(database: Database, owner: Db, tmp_path: Path) -> None:
    await load(database, written(tmp_path / "p.csv", [penalty(871_300)]))
    row = penalty(871_300, CF_WSH="样例〔2026〕第871300号")
    assert counts(await load(database, written(tmp_path / "q.csv", [row]))) == (1, 0, 0, 1, 0)


async def test_a_mended_code_moves_the_record(database: Database, owner: Db, tmp_path: Path) -> None:
    right = code("91", 872_001)
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    row = penalty(872_001, CF_CFLB="吊销许可证件")
    report = await load(database, written(tmp_path / "w.csv", [{**row, "CF_XDR_SHXYM": wrong}]))
    assert (counts(report), report.uncoded) == ((1, 1, 0, 0, 0), 1)
    before = await _record(owner, 872_001)
    report = await load(database, written(tmp_path / "r.csv", [row]), received_at=LATER)
    assert counts(report) == (1, 0, 1, 0, 0)
    assert "1 record was under a code that fails" in report.notes[0]
    after = await _record(owner, 872_001)  # one, not two
    assert (after["uscc"], after["external_id"], after["version"]) == (right, before["external_id"], 2)
    assert counts(await load(database, tmp_path / "r.csv")) == (1, 0, 0, 1, 0)
    # The other way round it would double the penalty just the same.
    report = await load(database, tmp_path / "w.csv")
    assert counts(report) == (1, 0, 0, 0, 1)
    assert right in report.first_rejects[0][3]
    assert (await _record(owner, 872_001))["version"] == 2


@pytest.mark.parametrize("wrong_first", [True, False])
async def test_both_codes_in_one_file_make_one_record(
    wrong_first: bool, database: Database, owner: Db, tmp_path: Path
) -> None:
    number = 872_100 + wrong_first
    row = penalty(number)
    rows = [row, {**row, "CF_XDR_SHXYM": "91652799YL0000000X"}]
    report = await load(database, written(tmp_path / "b.csv", rows[::-1] if wrong_first else rows))
    assert counts(report) == (2, 1, 0, 0, 1)
    assert (await _record(owner, number))["uscc"] == code("91", number)


def _listed(number: int, **cells: str) -> dict[str, str]:
    row = {
        "名称": f"样例{number}有限公司",
        "统一社会信用代码": code("91", number),
        "名单名称": "样例严重失信名单",
        "列入日期": "2026-01-10",
        "列入机关": ORGAN_NAME,
    }
    return {**row, **cells}


@pytest.mark.parametrize(
    ("cells", "until"),
    [
        ({}, "2029-01-10"),
        ({"移出日期": "2026-03-01"}, "2026-03-01"),
        ({"公示截止期": "2026-02-01", "移出日期": "2026-03-01"}, "2026-02-01"),
        ({"公示截止期": "2035-01-01"}, "2029-01-10"),
        ({"名单性质": "其他名单"}, None),
        ({"名单性质": "其他名单", "公示截止期": "2035-01-01"}, "2035-01-01"),
        ({"名单性质": "其他名单", "移出日期": "2026-03-01"}, "2026-03-01"),
    ],
)
async def test_lists_end(
    cells: dict[str, str], until: str | None, database: Database, owner: Db, tmp_path: Path, request: Any
) -> None:
    number = 873_000 + next(iter(request.node.callspec.indices.values()))
    await load(database, written(tmp_path / "l.csv", [_listed(number, **cells)]), "lists")
    of = (
        "select r.published_until::text from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1"
    )
    assert await owner.fetchval(of, code("91", number)) == until


async def test_a_removal_that_comes_later_ends_it(database: Database, owner: Db, tmp_path: Path) -> None:
    await load(database, written(tmp_path / "l.csv", [_listed(873_100)]), "lists")
    report = await load(database, written(tmp_path / "m.csv", [_listed(873_100, 移出日期="2026-05-01")]), "lists")
    assert counts(report) == (1, 0, 1, 0, 0)
    of = (
        "select r.published_until::text from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1"
    )
    assert await owner.fetchval(of, code("91", 873_100)) == "2026-05-01"


async def test_nothing_is_removed_before_it_was_listed(database: Database, tmp_path: Path) -> None:
    report = await load(database, written(tmp_path / "l.csv", [_listed(873_200, 移出日期="2025-12-31")]), "lists")
    assert counts(report) == (1, 0, 0, 0, 1)
    assert report.first_rejects[0][1:3] == ("移出日期", "2025-12-31")


async def test_amounts_that_look_wrong_are_told(database: Database, tmp_path: Path) -> None:
    rows = [
        penalty(874_001, CF_CFLB="罚款", CF_NR_FK="50000"),  # in 万元: half a milliard
        penalty(874_002, CF_CFLB="罚款", CF_NR_FK="9999"),
        penalty(874_003, CF_CFLB="警告", CF_NR_FK="0.5"),
    ]
    large, odd = (await load(database, written(tmp_path / "m.csv", rows))).notes
    assert large.startswith("ATTENTION: 1 amount of 100 million yuan (1 亿元) or more in a column of 万元")
    assert "line 2: 50,000 万元 = 500,000,000.00 元" in large
    assert odd.startswith("1 penalty has the amount of a fine, but 罚款 is none of the kinds")
    rows = [penalty(874_004, CF_CFLB="罚款", **{"罚款金额（元）": "500000000"})]
    assert (await load(database, written(tmp_path / "n.csv", rows))).notes == ()


async def test_the_organ_of_these_rows_is_one(owner: Db) -> None:
    assert await owner.fetchval("select count(*) from core.subject where uscc = $1", ORGAN) == 1
