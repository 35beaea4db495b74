"""Promises: the same file again changes nothing, a changed row is a new version, what can't be taken is said and can be
mended; class and term come from dated data; a revocation leaves its notice; nobody's identity number is readable."""

from __future__ import annotations

import csv
import datetime as dt
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.errors import ImportFileError
from gateway.storage.database import Database
from gateway.storage.identifiers import organisation_code_check_digit, organisation_uuid, uscc_check_digit
from gateway.storage.imports import ImportReport, import_file
from gateway.storage.persons import identity_keys

RECEIVED = dt.datetime(2026, 6, 1, 20, 0, tzinfo=dt.UTC)  # 2 June in Asia/Shanghai
IDENTITY = "652799196009290017"  # no such division: nobody's
TABLES_APART = ("import_run", "import_run_authority")  # the journal of runs grows by a line


def code(prefix: str, number: int) -> str:
    body = f"YL{number:06d}"
    first = prefix + "652799" + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


ORGAN = code("11", 900001)
HEADINGS = [
    "CF_XDR_MC", "CF_XDR_LB", "CF_XDR_SHXYM", "CF_FRDB", "CF_XDR_ZJLX", "CF_XDR_ZJHM", "CF_FR_ZJHM", "CF_WSH",
    "CF_CFLB",
    "CF_NR_FK", "CF_NR_WFFF", "CF_SY", "CF_JDRQ", "CF_GSJZQ", "CF_CFJG", "CF_CFJGDM", "状态", "变更原因", "是否公示",
    "公示日期", "目录项",
]  # fmt: skip


def penalty(number: int, **cells: str) -> dict[str, str]:
    row = {
        "CF_XDR_MC": f"样例{number}有限公司",
        "CF_XDR_LB": "法人及非法人组织",
        "CF_XDR_SHXYM": code("91", number),
        "CF_WSH": f"样例[2026]{number}号",
        "CF_CFLB": "警告",
        "CF_SY": "样例事实",
        "CF_JDRQ": "2026-03-15",
        "CF_CFJG": "示例博州财政局",
        "CF_CFJGDM": ORGAN,
    }
    return {**row, **cells}


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADINGS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


async def load(
    database: Database, path: Path, kind: str = "penalties", received_at: dt.datetime = RECEIVED, **more: Any
) -> ImportReport:
    options = {"mapping": None, "rejects": None, "progress": None} | more
    return await import_file(database, path, kind, entered_by="测试", received_at=received_at, **options)


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return report.read, report.new, report.changed, report.same, report.rejected


async def everything(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, list[str]]:
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'core' order by 1")
    return {
        row["tablename"]: [
            line["t"]
            for line in await connection.fetch(f'select t::text t from core."{row["tablename"]}" t order by 1')
        ]
        for row in tables
        if row["tablename"] not in TABLES_APART
    }


@pytest.fixture(scope="module")
async def db(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


async def record(db: asyncpg.Connection[asyncpg.Record], document: str) -> asyncpg.Record:
    row = await db.fetchrow("select * from core.record where document_number = $1", document)
    assert row is not None
    return row


async def test_class_term_and_days(database: Database, db: Any, tmp_path: Path) -> None:
    rows = [
        penalty(1),
        penalty(2, CF_CFLB="罚款", CF_NR_FK="0.3"),
        penalty(3, CF_CFLB="罚款;没收违法所得", CF_NR_FK="0.2", CF_NR_WFFF="0.2"),
        penalty(4, CF_CFLB="警告、吊销许可证件", CF_GSJZQ="2027-01-01", 公示日期="2026-03-20"),
        penalty(5, 是否公示="是"),
        penalty(6, CF_CFLB="罚款", CF_NR_FK="1", CF_GSJZQ="2099-12-31", 是否公示="否"),
    ]
    assert counts(await load(database, write(tmp_path / "a.csv", rows))) == (6, 6, 0, 0, 0)
    found = [await record(db, f"样例〔2026〕{n}号") for n in range(1, 7)]
    day = dt.date
    assert [
        (r["severity"], r["published"], str(r["published_until"]), str(r["repairable_from"]), r["amount"])
        for r in found
    ] == [
        ("MINOR", False, "2026-06-15", "2026-03-15", None),
        ("MINOR", False, "2026-06-15", "2026-03-15", 3000),
        ("GENERAL", True, "2027-03-15", "2026-06-15", 4000),
        ("SERIOUS", True, "2027-01-01", "2027-03-15", None),
        ("MINOR", True, "2026-06-15", "2026-03-15", None),
        ("GENERAL", False, "2027-03-15", "2026-06-15", 10000),
    ]
    # Received at 20:00 UTC: the day in Asia/Shanghai is the next one.
    assert [r["published_from"] for r in found[2:4]] == [day(2026, 6, 2), day(2026, 3, 20)]
    assert {(r["status"], r["version"], r["catalogue_item"], r["source_code"]) for r in found} == {
        ("ACTIVE", 1, "QG-04", "LOCAL")
    }
    subject = await db.fetchrow("select * from core.subject where uscc = $1", code("91", 1))
    assert (subject["external_id"], subject["kind"], subject["class"], subject["region_code"]) == (
        organisation_uuid(code("91", 1)), "ENTERPRISE", "ORGANISATION", None,
    )  # fmt: skip
    version = await db.fetchrow("select * from core.record_version where record_id = $1", found[2]["id"])
    assert (version["entered_by"], version["received_at"], version["version"]) == ("测试", RECEIVED, 1)
    assert '"CF_WSH":"样例[2026]3号"' in version["original"]


async def test_the_same_file_again_changes_nothing(database: Database, db: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "same.csv", [penalty(n) for n in range(100, 160)])
    assert counts(await load(database, path)) == (60, 60, 0, 0, 0)
    before = await everything(db)
    later = RECEIVED + dt.timedelta(days=40)
    assert counts(await load(database, path, received_at=later)) == (60, 0, 0, 60, 0)
    assert await everything(db) == before


async def test_a_changed_row_is_a_new_version(database: Database, db: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "v1.csv", [penalty(200), penalty(201)])
    await load(database, path)
    first = await record(db, "样例〔2026〕200号")
    write(path, [penalty(200, CF_CFLB="罚款", CF_NR_FK="2", 变更原因="金额有误"), penalty(201)])
    later = RECEIVED + dt.timedelta(days=3)
    assert counts(await load(database, path, received_at=later)) == (2, 0, 1, 1, 0)
    second = await record(db, "样例〔2026〕200号")
    assert (second["version"], second["status"], second["severity"], second["amount"]) == (
        2,
        "CORRECTED",
        "GENERAL",
        20000,
    )
    assert (second["id"], second["external_id"]) == (first["id"], first["external_id"])
    assert second["published_from"] == first["published_from"]  # published since it was first received
    versions = await db.fetch(
        "select version, status, reason, content ->> 'severity' as severity from core.record_version"
        " where record_id = $1 order by version",
        first["id"],
    )
    assert [tuple(v) for v in versions] == [(1, "ACTIVE", None, "MINOR"), (2, "CORRECTED", "金额有误", "GENERAL")]
    # The current version and the record are of one transaction.
    same = await db.fetchval(
        "select r.known_at = v.known_at from core.record r join core.record_version v"
        " on v.record_id = r.id and v.version = r.version where r.id = $1",
        first["id"],
    )
    assert same


async def test_revoked_and_repaired(database: Database, db: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", [penalty(300, 是否公示="是"), *(penalty(n) for n in (301, 302, 303))])
    await load(database, path)
    why = {"状态": "已撤销", "变更原因": "经复议撤销"}
    # The last one was never published: a notice would tell the public of it.
    rows = [
        penalty(300, 是否公示="是", **why),
        penalty(301, 状态="REPAIRED"),
        penalty(302, 状态="撤销"),
        penalty(303, **why),
    ]
    report = await load(database, write(path, rows), received_at=RECEIVED + dt.timedelta(days=5))
    assert counts(report) == (4, 0, 3, 0, 1)  # a revocation without a reason is rejected
    assert (await record(db, "样例〔2026〕303号"))["status"] == "REVOKED"
    assert (await record(db, "样例〔2026〕300号"))["status"] == "REVOKED"
    assert (await record(db, "样例〔2026〕301号"))["status"] == "REPAIRED"
    notices = await db.fetch(
        "select w.withdrawn_on, w.reason, a.uscc from core.withdrawal w join core.record r on r.id = w.record_id"
        " join core.subject a on a.id = w.authority_id where r.document_number like '样例〔2026〕30_号'"
    )
    assert [tuple(n) for n in notices] == [(dt.date(2026, 6, 7), "经复议撤销", ORGAN)]
    # A file doesn't publish again what was repaired or revoked; without a status the row may still be corrected.
    again = [penalty(300, 状态="有效", CF_SY="改过"), penalty(301, CF_SY="改过")]
    assert counts(await load(database, write(path, again))) == (2, 0, 1, 0, 1)
    assert (await record(db, "样例〔2026〕300号"))["status"] == "REVOKED"
    assert (await record(db, "样例〔2026〕301号"))["status"] == "REPAIRED"
    assert await db.fetchval("select count(*) from core.withdrawal") == 1


async def test_a_notice_only_of_what_the_public_could_see(database: Database, db: Any, tmp_path: Path) -> None:
    why = {"状态": "已撤销", "变更原因": "经复议撤销"}
    minor = {"是否公示": "是"}  # three months from 15 March
    path = tmp_path / "w.csv"
    rows = [
        penalty(310, **minor),
        penalty(311, **minor, 公示日期="2026-07-01"),
        penalty(312, **minor, 状态="REPAIRED", 变更原因="完成修复"),
    ]
    assert counts(await load(database, write(path, rows))) == (3, 3, 0, 0, 0)
    rows = [
        penalty(310, **minor, **why),  # over since 15 June
        penalty(311, **minor, 公示日期="2026-07-01", **why),  # not begun
        penalty(312, **minor, **why),  # repaired: withdrawn from the public already
        penalty(313, **minor, **why),  # was never here: nothing to revoke
    ]
    later = RECEIVED + dt.timedelta(days=20)
    assert counts(await load(database, write(path, rows), received_at=later)) == (4, 0, 3, 0, 1)
    assert not await db.fetchval(
        "select count(*) from core.withdrawal w join core.record r on r.id = w.record_id"
        " where r.document_number like '样例〔2026〕31_号'"
    )


async def test_rejects_do_not_follow_a_link_that_waits_for_them(database: Database, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    aside = tmp_path / "l.rejects.csv"
    aside.symlink_to(kept)
    await load(database, write(tmp_path / "l.csv", [penalty(330, CF_JDRQ="昨天")]), rejects=aside)
    assert kept.read_text() == "kept"
    assert not aside.is_symlink()
    assert aside.stat().st_mode & 0o777 == 0o600
    assert set(os.listdir(tmp_path)) == {"kept", "l.csv", "l.rejects.csv"}


async def test_rejects_say_why_and_can_be_mended(database: Database, db: Any, tmp_path: Path) -> None:
    rows = [
        penalty(400),
        penalty(401, CF_JDRQ="昨天"),
        penalty(402, CF_CFLB="口头教育"),
        penalty(403, CF_JDRQ="2026-06-03"),
        penalty(404, 目录项="XX-99"),
        penalty(405, CF_WSH="无"),
        penalty(406, CF_JDRQ="1996-09-30"),
        penalty(407, CF_SY="事" * 20_001),
        penalty(408, CF_SY="a\x00b"),
        penalty(400, CF_SY="另一种事实"),
        penalty(410),
    ]
    path = write(tmp_path / "bad.csv", rows)
    report = await load(database, path)
    assert counts(report) == (11, 2, 0, 0, 9)
    assert report.rejects_path == tmp_path / "bad.rejects.csv"
    assert report.rejects_path.stat().st_mode & 0o077 == 0
    with report.rejects_path.open(encoding="utf-8-sig", newline="") as file:
        rejects = list(csv.reader(file))
    assert rejects[0][:5] == ["line", "column", "value", "reason_zh", "reason_en"]
    assert rejects[0][5:] == HEADINGS
    assert [(row[0], row[1], row[4].split(";")[0]) for row in rejects[1:]] == [
        ("3", "CF_JDRQ", "not a date (2026-03-01, 2026年3月1日, 20260301)"),
        ("4", "CF_CFLB", "not a kind of penalty of Article 9"),
        ("5", "CF_JDRQ", "decided after it was received"),
        ("6", "目录项", "no such item in a catalogue in force"),
        ("7", "CF_WSH", "is required and empty"),
        ("8", "CF_JDRQ", "no rule on class and term is in force on 1996-09-30, the day of the decision"),
        ("9", "CF_SY", "too long: 20001 characters, at most 20000"),
        ("10", "CF_SY", "contains a NUL character"),
        ("11", "", "is the same as line 2 of this file, with other content"),
    ]
    assert all(row[3] for row in rejects[1:])
    mended = tmp_path / "mended.csv"
    date, kinds = 5 + HEADINGS.index("CF_JDRQ"), 5 + HEADINGS.index("CF_CFLB")
    rejects[1][date], rejects[2][kinds] = "2026-03-15", "警告"
    with mended.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rejects[:3])
    assert counts(await load(database, mended)) == (2, 2, 0, 0, 0)
    assert (await record(db, "样例〔2026〕401号"))["severity"] == "MINOR"


async def test_persons_are_found_again_and_not_readable(database: Database, db: Any, tmp_path: Path) -> None:
    person = {"CF_XDR_MC": "样例自然人", "CF_XDR_LB": "自然人", "CF_XDR_SHXYM": "", "CF_XDR_ZJLX": "身份证"}
    rows = [
        penalty(500, **person, CF_XDR_ZJHM=IDENTITY, CF_SY=f"本人（{IDENTITY}）承认"),
        penalty(501, **person, CF_XDR_ZJHM=IDENTITY.lower()),
        penalty(502, **person, CF_XDR_ZJHM=IDENTITY[:-1] + "8"),
        penalty(503, **person),
        penalty(504, CF_XDR_SHXYM=IDENTITY, CF_FR_ZJHM=IDENTITY),
        penalty(505, CF_FR_ZJHM=IDENTITY),
    ]
    path = write(tmp_path / "persons.csv", rows)
    report = await load(database, path)
    assert counts(report) == (6, 3, 0, 0, 3)
    subjects = await db.fetch("select * from core.subject where class = 'PERSON'")
    assert [(s["name"], s["kind"], s["uscc"]) for s in subjects] == [("样例自然人", "NATURAL_PERSON", None)]
    assert await db.fetchval("select count(*) from core.record where subject_class = 'PERSON'") == 2
    identity = await db.fetchrow("select * from core.person_identity where subject_id = $1", subjects[0]["id"])
    keys = identity_keys(database.secrets)
    assert identity["masked"] == "6527**********0017"
    assert identity["blind_index"] == keys.blind_index(IDENTITY)
    revealed = keys.reveal(identity["ciphertext"], identity["wrapped_key"], subjects[0]["external_id"])
    assert revealed == IDENTITY
    assert (await record(db, "样例〔2026〕500号"))["facts"] == "本人（6527**********0017）承认"
    dump = str(await everything(db)) + (tmp_path / "persons.rejects.csv").read_text(encoding="utf-8-sig")
    assert IDENTITY[:-1] not in dump
    assert counts(await load(database, path)) == (6, 0, 0, 3, 3)


async def test_codes_that_do_not_hold_and_no_codes(database: Database, db: Any, tmp_path: Path) -> None:
    wrong = code("91", 600)[:-1] + ("0" if code("91", 600)[-1] != "0" else "1")
    rows = [
        penalty(600, CF_XDR_SHXYM=wrong),
        penalty(601, CF_XDR_SHXYM=wrong, CF_XDR_MC="样例600有限责任公司"),
        penalty(602, CF_XDR_SHXYM=""),
        penalty(603, CF_XDR_SHXYM="/", CF_XDR_MC="样例602有限公司"),
    ]
    path = write(tmp_path / "codes.csv", rows)
    assert counts(await load(database, path)) == (4, 4, 0, 0, 0)
    found = await db.fetch(
        "select s.name, s.uscc, i.scheme, i.value, (select count(*) from core.record r where r.subject_id = s.id) n"
        " from core.subject s join core.identifier i on i.subject_id = s.id where s.name like '样例60%' order by 1"
    )
    assert [tuple(row) for row in found] == [
        ("样例600有限公司", None, "USCC_INVALID", wrong, 2),
        ("样例602有限公司", None, "ROW", "LOCAL:样例602有限公司", 2),
    ]
    assert counts(await load(database, path)) == (4, 0, 0, 4, 0)


async def test_authorities_by_name(database: Database, db: Any, tmp_path: Path) -> None:
    rows = [
        penalty(700, CF_CFJGDM="", CF_CFJG="示例博尔塔拉蒙古自治州财政局"),
        penalty(701, CF_CFJGDM="", CF_CFJG="示例未入库机关"),
        penalty(702, CF_CFJGDM="", CF_CFJG=""),
    ]
    assert counts(await load(database, write(tmp_path / "org.csv", rows))) == (3, 2, 0, 0, 1)
    by_name = await record(db, "样例〔2026〕700号")
    organ = await db.fetchval("select id from core.subject where uscc = $1", ORGAN)
    assert by_name["authority_id"] == organ or organ is None
    made = await db.fetchrow("select kind, uscc from core.subject where name = '示例未入库机关'")
    assert tuple(made) == ("ORGAN", None)
    assert "须有处罚机关" in (tmp_path / "org.rejects.csv").read_text(encoding="utf-8-sig")


async def test_a_row_that_only_the_database_refuses(database: Database, db: Any, tmp_path: Path) -> None:
    await db.execute("alter table core.record add constraint unforeseen check (facts <> '没人料到')")
    try:
        rows = [penalty(n, CF_SY="没人料到" if n == 753 else "样例事实") for n in range(750, 757)]
        report = await load(database, write(tmp_path / "u.csv", rows))
    finally:
        await db.execute("alter table core.record drop constraint unforeseen")
    assert counts(report) == (7, 6, 0, 0, 1)
    assert "5,,,数据库拒绝了本行" in (tmp_path / "u.rejects.csv").read_text(encoding="utf-8-sig")


async def test_a_dry_run_keeps_nothing(database: Database, db: Any, tmp_path: Path) -> None:
    before = await everything(db)
    path = write(tmp_path / "dry.csv", [penalty(800), penalty(801, CF_JDRQ="")])
    assert counts(await load(database, path, dry_run=True)) == (2, 1, 0, 0, 1)
    assert await everything(db) == before


async def test_progress_counts_to_the_end(database: Database, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = write(tmp_path / "p.csv", [penalty(n) for n in range(850, 855)])
    await load(database, path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)


async def test_what_can_not_be_imported_at_all(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [])
    with pytest.raises(ImportFileError, match="unknown kind"):
        await load(database, path, "natural-persons")
    with pytest.raises(ImportFileError, match="would replace"):
        await load(database, path, rejects=path)
    with pytest.raises(ImportFileError, match="cannot read"):
        await load(database, tmp_path / "nothing.csv")


async def test_a_row_that_may_be_a_persons_must_say_whose_it_is(database: Database, db: Any, tmp_path: Path) -> None:
    nobody = {"CF_XDR_SHXYM": "", "CF_XDR_LB": ""}
    rows = [
        penalty(320, **nobody, CF_XDR_MC="张样例"),
        penalty(321, **nobody, CF_XDR_MC="张样例", CF_XDR_ZJLX="身份证"),
        penalty(322, **nobody | {"CF_XDR_LB": "个体工商户"}, CF_XDR_MC="样例张记商行", CF_FRDB="张样例"),
        penalty(
            323, **nobody | {"CF_XDR_LB": "自然人"}, CF_XDR_MC="张样例", CF_XDR_ZJLX="身份证", CF_XDR_ZJHM=IDENTITY
        ),
        # A wrong code beside an identity number: a person's all the same.
        penalty(324, CF_XDR_LB="", CF_XDR_SHXYM="无", CF_XDR_MC="李样例", CF_XDR_ZJLX="身份证", CF_XDR_ZJHM=IDENTITY),
    ]
    report = await load(database, write(tmp_path / "p.csv", rows), rejects=tmp_path / "p.rejects.csv")
    assert report.rejected >= 2
    with (tmp_path / "p.rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        rejected = list(csv.reader(file))[1:]
    assert [row[0] for row in rejected[:2]] == ["2", "3"]
    assert "say the kind of subject" in rejected[0][4]
    found = await db.fetch(
        "select kind, name from core.subject where name like '%张%' or name like '李样例' order by name"
    )
    assert {row["kind"] for row in found if row["name"].endswith("样例")} <= {"NATURAL_PERSON"}
    assert {row["kind"] for row in found if row["name"] == "样例张记商行"} == {"INDIVIDUAL_BUSINESS"}
