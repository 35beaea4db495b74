"""Promises: organisations are brought up to date by their code, old names kept; divisions and courts load whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.storage.database import Database
from gateway.storage.identifiers import organisation_code_check_digit, uscc_check_digit
from gateway.storage.imports import ImportReport, import_file

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the test data of ../shared is absent")


def code(prefix: str, number: int) -> str:
    body = f"YL{number:06d}"
    first = prefix + "652799" + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


async def load(database: Database, path: Path, kind: str, mapping: Path | None = None, **more: Any) -> tuple[int, ...]:
    report: ImportReport = await import_file(
        database, path, kind, mapping=mapping, rejects=None, entered_by="测试", progress=None, **more
    )
    return report.read, report.new, report.changed, report.same, report.rejected


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
async def db(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    for name in ("provinces", "cities", "areas", "xinjiang_streets", "local"):
        path = ROOT / "data" / "divisions" / f"{name}.csv"
        rows = len(path.read_text(encoding="utf-8").splitlines()) - 1
        assert await load(database, path, "divisions") == (rows, rows, 0, 0, 0)
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


async def test_divisions_again_change_nothing(database: Database, db: Any) -> None:
    before = await db.fetch("select c::text from core.region_closure c order by 1")
    assert await load(database, ROOT / "data/divisions/areas.csv", "divisions") == (2978, 0, 0, 2978, 0)
    assert await db.fetch("select c::text from core.region_closure c order by 1") == before


async def test_what_lies_below_what(db: Any) -> None:
    async def above(code: str) -> list[str]:
        rows = await db.fetch("select ancestor from core.region_closure where code = $1 order by 1", code)
        return [row["ancestor"] for row in rows]

    assert await above("652701001") == ["65", "6527", "652701", "652701001"]
    assert await above("659007") == ["65", "6590", "659007"]  # 双河 lies in Xinjiang, not in Bortala
    assert await above("6527L1") == ["65", "6527", "6527L1"]
    local = await db.fetch("select name, level from core.region where local order by code")
    assert [tuple(row) for row in local] == [("赛里木湖风景名胜区", "LOCAL"), ("五台工业园区", "LOCAL")]


async def test_a_division_whose_upper_one_is_unknown(database: Database, db: Any, tmp_path: Path) -> None:
    good, bad = "99,样例省,,\n9901,样例市,,\n99L1,样例区,99,是\n", "880101,样例县,,\n99x,样例,,\n9999,本地,99,1\n"
    text = "code,name,parent,local\n" + good + bad
    assert await load(database, file(tmp_path, text), "divisions") == (6, 3, 0, 0, 3)


async def test_a_division_that_moves_takes_its_closure_along(database: Database, db: Any, tmp_path: Path) -> None:
    await load(database, file(tmp_path, "code,name\n98,样例省\n9801,样例市\n"), "divisions")
    await load(database, file(tmp_path, "code,name,parent,local\n98L1,样例区,98,1\n"), "divisions")
    text = "code,name,parent,local\n98L1,样例区,9801,1\n"
    assert await load(database, file(tmp_path, text), "divisions") == (1, 0, 1, 0, 0)
    rows = await db.fetch("select ancestor from core.region_closure where code = '98L1' order by 1")
    assert [row["ancestor"] for row in rows] == ["98", "9801", "98L1"]


async def test_courts(database: Database, db: Any) -> None:
    path = ROOT / "data/courts/courts.csv"
    assert await load(database, path, "courts") == (3582, 3582, 0, 0, 0)
    assert await load(database, path, "courts") == (3582, 0, 0, 3582, 0)
    row = await db.fetchrow("select name, division_code, level from core.court where code = '新2701'")
    assert tuple(row) == ("博乐市人民法院", "652701", 1)


@needs_shared
async def test_registrations_as_published(database: Database, db: Any) -> None:
    path = SHARED / "organisations" / "bortala_organisations.csv"
    mapping = ROOT / "data/mappings/bortala_registrations.toml"
    assert await load(database, path, "organisations", mapping) == (338, 338, 0, 0, 0)
    assert await load(database, path, "organisations", mapping) == (338, 0, 0, 338, 0)
    regions = await db.fetch(
        "select region_code from core.subject where uscc in ($1, $2)", "916527222294335251", "91652722229430260Y"
    )
    assert [row["region_code"] for row in regions] == ["652722", "652722"]  # by the code, not by the prefecture named
    assert (
        await db.fetchval("select count(*) from core.subject where region_code = '6527' and uscc like '9_6527%'") == 62
    )


@needs_shared
async def test_the_world_banks_list_as_published(database: Database, db: Any) -> None:
    path = SHARED / "worldbank" / "worldbank_debarred_xinjiang.csv"
    mapping = ROOT / "data/mappings/worldbank.toml"
    # Two of its names have one code, one day and one ground: one listing.
    assert await load(database, path, "lists", mapping) == (33, 32, 0, 1, 0)
    assert await load(database, path, "lists", mapping) == (33, 0, 0, 33, 0)
    rows = await db.fetch("select * from core.record where source_code = 'WORLD_BANK'")
    assert len(rows) == 32
    assert {(r["severity"], r["kind"], r["title"], r["published"], r["authority_id"]) for r in rows} == {
        (None, "LIST_ENTRY", "世界银行禁入名单", True, None)
    }
    assert all(r["repairable_from"] is None for r in rows)
    without_code = await db.fetchval("select count(*) from core.subject where uscc is null and kind = 'ENTERPRISE'")
    assert without_code == 5


ORGANISATIONS = "名称,统一社会信用代码,主体类型,行政区划代码,法定代表人,曾用名,角色,前身统一社会信用代码,承继日期\n"


async def test_an_organisation_that_changes(database: Database, db: Any, tmp_path: Path) -> None:
    one = code("91", 910001)
    row = f"样例旧有限公司,{one},,652701,样例人甲,样例更旧有限公司,投标人;供应商,,\n"
    assert await load(database, file(tmp_path, ORGANISATIONS + row), "organisations") == (1, 1, 0, 0, 0)
    assert await load(database, file(tmp_path, ORGANISATIONS + row), "organisations") == (1, 0, 0, 1, 0)
    changed = f"样例新有限公司,{one},,652700,,,,,\n"
    assert await load(database, file(tmp_path, ORGANISATIONS + changed), "organisations") == (1, 0, 1, 0, 0)
    subject = await db.fetchrow("select * from core.subject where uscc = $1", one)
    assert (subject["name"], subject["region_code"], subject["legal_representative"], subject["kind"]) == (
        "样例新有限公司", "6527", "样例人甲", "ENTERPRISE",
    )  # fmt: skip
    names = await db.fetch("select name from core.former_name where subject_id = $1 order by 1", subject["id"])
    assert {row["name"] for row in names} == {"样例旧有限公司", "样例更旧有限公司"}
    roles = await db.fetch("select role from core.subject_role where subject_id = $1 order by 1", subject["id"])
    assert [row["role"] for row in roles] == ["BIDDER", "SUPPLIER"]


async def test_succession(database: Database, db: Any, tmp_path: Path) -> None:
    old, new, unknown = code("11", 910010), code("11", 910011), code("11", 910012)
    rows = (
        f"示例新局,{new},,,,,,{old},2019-03-01\n示例旧局,{old},,,,,,,\n"
        f"示例别局,{code('11', 910013)},,,,,,{unknown},\n示例自局,{code('11', 910014)},,,,,,{code('11', 910014)},\n"
    )
    assert await load(database, file(tmp_path, ORGANISATIONS + rows), "organisations") == (4, 2, 0, 0, 2)
    links = await db.fetch(
        "select p.uscc a, s.uscc b, effective_on::text from core.succession c"
        " join core.subject p on p.id = predecessor_id join core.subject s on s.id = successor_id"
    )
    assert [tuple(row) for row in links] == [(old, new, "2019-03-01")]


async def test_rows_that_contradict_each_other_or_have_no_place(database: Database, db: Any, tmp_path: Path) -> None:
    one = code("91", 910020)
    rows = (
        f"样例甲,{one},,,,,,,\n样例甲,{one},,,,,,,\n样例乙,{one},,,,,,,\n"
        f"样例丙,{code('91', 910021)},,123456,,,,,\n样例丁,,自然人,,,,,,\n样例戊,{code('91', 910022)},怪物,,,,,,\n"
    )
    assert await load(database, file(tmp_path, ORGANISATIONS + rows), "organisations") == (6, 1, 0, 1, 4)


async def test_civil_servants(database: Database, db: Any, tmp_path: Path) -> None:
    number = "652799197802210021"
    penalty = (
        "CF_XDR_MC,CF_XDR_LB,CF_XDR_ZJHM,CF_WSH,CF_CFLB,CF_JDRQ,CF_CFJG\n"
        f"示例公务员,自然人,{number},样例〔2026〕1号,警告,2026-01-05,示例博州财政局\n"
    )
    assert (await load(database, file(tmp_path, penalty), "penalties"))[1] == 1
    servants = f"姓名,身份证号,行政区划代码\n示例公务员,{number},652701\n无证件,,652701\n"
    assert await load(database, file(tmp_path, servants), "civil-servants") == (2, 0, 1, 0, 1)
    assert await load(database, file(tmp_path, servants), "civil-servants") == (2, 0, 0, 1, 1)
    row = await db.fetchrow(
        "select s.class, s.kind, r.subject_class from core.record r join core.subject s on s.id = r.subject_id"
        " where s.name = '示例公务员'"
    )
    assert tuple(row) == ("SERVANT", "CIVIL_SERVANT", "SERVANT")  # its records are no longer an ordinary person's
