"""Promises: what the regional platform's feed brought first and a file brings later is one record, the file's source's,
with its id and history; a withdrawal then ends it; what had ended stays ended; another act stays another record."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.identifiers import live_record_id
from gateway.storage.imports import ImportReport
from tests.connectors.platform_upstream import row
from tests.sharing.changes_support import NOW, SOURCE, FeedPlatform, at, clear, feeding, state, worker
from tests.storage.imports.rows_of_a_clerk import code, counts, csv_bytes, load, penalty

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
USCC, ORGAN_B = code("91", 1), code("11", 900_009)
KEY = f"xzcf|{USCC}|样例〔2026〕1号"
# The same act as `at(…)` says, in the department's own words.
FILE = penalty(1, CF_XDR_MC="样例一有限公司", CF_CFLB="罚款", CF_NR_FK="1.5")
TOLD = "1 row was on record from the regional platform already, and this source's from now on"


@pytest.fixture
async def platform(owner: Owner) -> AsyncIterator[FeedPlatform]:
    await clear(owner)
    async with feeding() as server:
        yield server


async def follow(platform: FeedPlatform, database: Database) -> dict[str, int]:
    applied = (await worker(platform, database).once()).applied
    names = ("new", "changed", "same", "linked", "withdrawn", "unknown", "rejected")
    return {name: getattr(applied, name) for name in names if getattr(applied, name)}


async def bring(
    database: Database, folder: Path, *rows: dict[str, str], kind: str = "penalties", **more: Any
) -> ImportReport:
    path = folder / "rows.csv"
    path.write_bytes(csv_bytes(rows))
    return await load(database, path, kind, received_at=NOW, **more)


async def public(database: Database) -> list[tuple[str, str, str]]:
    """Source, number or title, and status of all that the public sees."""
    connection = await asyncpg.connect(database.dsn("public"))
    try:
        rows = await connection.fetch(
            "select source_code, coalesce(document_number, title) as told, status from v_public.record order by 1, 2"
        )
        return [tuple(one) for one in rows]
    finally:
        await connection.close()


async def links(owner: Owner) -> list[tuple[str, bool, str]]:
    rows = await owner.fetch(
        "select c.natural_key, c.linked, r.source_code from core.source_row c join core.record r on r.id = c.record_id"
        " order by 1"
    )
    return [tuple(one) for one in rows]


async def test_the_record_becomes_the_files_and_the_withdrawal_ends_it(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    platform.upsert(at("10:00:00", USCC))
    assert await follow(platform, database) == {"new": 1}
    report = await bring(database, tmp_path, FILE)
    assert counts(report) == (1, 0, 1, 0, 0)
    [note] = report.notes
    assert note.startswith(f"{TOLD} / 1 行此前已由区域平台推送入库，现归本来源")
    [record] = await owner.fetch("select * from core.record")
    assert (record["external_id"], record["source_code"]) == (live_record_id(SOURCE, KEY), "LOCAL")
    assert record["natural_key"].startswith("PENALTY|")
    assert (str(record["amount"]), record["version"], record["title"]) == ("15000.00", 2, "样例违法行为")
    assert record["published_from"] == dt.date(2026, 6, 1)
    versions = await owner.fetch(
        "select version, content ->> 'source_code' as of, entered_by from core.record_version order by version"
    )
    assert [tuple(one) for one in versions] == [(1, SOURCE, SOURCE), (2, "LOCAL", "测试")]
    assert await links(owner) == [(KEY, True, "LOCAL")]
    assert await public(database) == [("LOCAL", "样例〔2026〕1号", "CORRECTED")]
    before = await state(owner)
    report = await bring(database, tmp_path, FILE)
    assert (counts(report), report.notes) == ((1, 0, 0, 1, 0), ())
    assert await state(owner) == before
    platform.upsert(at("11:00:00", USCC, CF_NR_FK=9))  # ours to say now
    assert await follow(platform, database) == {"same": 1}
    assert await public(database) == [("LOCAL", "样例〔2026〕1号", "CORRECTED")]
    platform.withdraw(at("12:00:00", USCC), "repaired")
    assert await follow(platform, database) == {"withdrawn": 1}
    assert await public(database) == []
    assert await owner.fetchval("select count(*) from core.record") == 1
    assert counts(await bring(database, tmp_path, {**FILE, "CF_NR_FK": "1.6"})) == (1, 0, 1, 0, 0)
    assert await public(database) == []


async def test_a_file_that_comes_first_is_linked_to(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    assert counts(await bring(database, tmp_path, FILE)) == (1, 1, 0, 0, 0)
    platform.upsert(at("10:00:00", USCC))
    assert await follow(platform, database) == {"linked": 1}
    assert await links(owner) == [(KEY, True, "LOCAL")]
    assert counts(await bring(database, tmp_path, FILE)) == (1, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("said", "cells", "one"),
    [
        ({}, {"CF_WSH": "样例（2026）第1号"}, True),
        ({}, {"CF_CFJGDM": ""}, True),
        ({"CF_CFJGDM": None}, {}, True),  # by its name alone there, by its code here
        ({}, {"CF_CFJG": "示例博州财政局（本级）"}, True),  # by its code
        ({}, {"CF_CFJG": "示例博州税务局", "CF_CFJGDM": ORGAN_B}, False),
        ({}, {"CF_CFJGDM": ORGAN_B}, False),  # two codes are two organs, whatever their name
        ({}, {"CF_JDRQ": "2026-03-16"}, False),
        ({}, {"CF_WSH": "样例〔2026〕11号"}, False),
        ({}, {"CF_XDR_SHXYM": code("91", 2), "CF_XDR_MC": "样例二有限公司"}, False),
    ],
)
async def test_what_is_the_same_act(
    platform: FeedPlatform,
    database: Database,
    owner: Owner,
    tmp_path: Path,
    said: dict[str, Any],
    cells: dict[str, str],
    one: bool,
) -> None:
    platform.upsert(at("10:00:00", USCC, **said))
    assert await follow(platform, database) == {"new": 1}
    report = await bring(database, tmp_path, {**FILE, **cells})
    assert counts(report) == ((1, 0, 1, 0, 0) if one else (1, 1, 0, 0, 0)), report.first_rejects
    assert any(TOLD in note for note in report.notes) == one
    assert await links(owner) == [(KEY, one, "LOCAL" if one else SOURCE)]
    assert len(await public(database)) == (1 if one else 2)


HONOUR = row("honour", USCC, {"title": "示例先进", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": None})
ENTRY = row(
    "serious_dishonesty", USCC, {"list_name": "示例名单", "listed_on": "2026-01-01", "basis": "法", "authority": "局"}
)
OURS = {"名称": "样例一有限公司", "统一社会信用代码": USCC}


@pytest.mark.parametrize(
    ("said", "kind", "cells", "other"),
    [
        (
            HONOUR,
            "honours",
            {"荣誉名称": "示例先进", "表彰日期": "2026-01-01", "表彰机关": "示例局"},
            {"表彰机关": "示例别的局"},
        ),
        (
            ENTRY,
            "lists",
            {"名单名称": "示例名单", "列入日期": "2026-01-01", "列入机关": "示例局"},
            {"名单名称": "示例别的名单"},
        ),
    ],
)
async def test_honours_and_entries_of_lists(
    platform: FeedPlatform,
    database: Database,
    owner: Owner,
    tmp_path: Path,
    said: dict[str, Any],
    kind: str,
    cells: dict[str, str],
    other: dict[str, str],
) -> None:
    platform.upsert(at("09:00:00", USCC))  # it has the subject's name
    platform.upsert(said)
    assert await follow(platform, database) == {"new": 2}
    day = next(name for name in cells if name.endswith("日期"))
    for different in (other, {day: "2026-01-02"}):
        assert counts(await bring(database, tmp_path, {**OURS, **cells, **different}, kind=kind)) == (1, 1, 0, 0, 0)
    assert counts(await bring(database, tmp_path, {**OURS, **cells}, kind=kind)) == (1, 0, 1, 0, 0)
    assert sum(linked for _, linked, _ in await links(owner)) == 1
    assert await owner.fetchval("select count(*) from core.record") == 4
    platform.withdraw(said, "repaired")
    assert await follow(platform, database) == {"withdrawn": 1}
    first = cells["荣誉名称" if kind == "honours" else "名单名称"]
    ended = await owner.fetchval("select source_code from core.record where status = 'REPAIRED' and title = $1", first)
    assert ended == "LOCAL"


@pytest.mark.parametrize(
    ("reason", "cells", "status", "rejected"),
    [
        ("repaired", {}, "REPAIRED", ""),
        ("revoked", {}, "REVOKED", ""),
        ("repaired", {"状态": "有效"}, "REPAIRED", "an import does not publish it again"),
        ("corrected", {}, "REVOKED", "import it again once the platform has sent what is right"),
        ("revoked", {"状态": "已撤销", "变更原因": "经复议撤销"}, "REVOKED", ""),
    ],
)
async def test_what_has_ended_is_not_published_again(
    platform: FeedPlatform,
    database: Database,
    owner: Owner,
    tmp_path: Path,
    reason: str,
    cells: dict[str, str],
    status: str,
    rejected: str,
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.withdraw(at("11:00:00", USCC), reason)
    assert await follow(platform, database) == {"new": 1, "withdrawn": 1}
    report = await bring(database, tmp_path, {**FILE, **cells})
    assert await public(database) == []
    assert [one["status"] for one in await owner.fetch("select status from core.record")] == [status]
    assert await links(owner) == [(KEY, not rejected, SOURCE if rejected else "LOCAL")]
    if rejected:
        assert counts(report) == (1, 0, 0, 0, 1)
        assert rejected in report.first_rejects[0][4]
    else:
        assert counts(report) == (1, 0, 1, 0, 0)
        assert "; repaired or revoked, and staying so: 1 / " in report.notes[0]
        assert "其中 1 条已修复或撤销，不恢复公示" in report.notes[0]


async def test_what_the_platform_has_corrected_is_taken_after_all(
    platform: FeedPlatform, database: Database, tmp_path: Path
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.withdraw(at("11:00:00", USCC), "corrected")
    platform.upsert(at("12:00:00", USCC, CF_NR_FK=7))
    await follow(platform, database)
    assert counts(await bring(database, tmp_path, FILE)) == (1, 0, 1, 0, 0)
    assert await public(database) == [("LOCAL", "样例〔2026〕1号", "CORRECTED")]


async def test_a_file_withdraws_what_the_platform_brought(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    platform.upsert(at("10:00:00", USCC))
    await follow(platform, database)
    # As the page came: public since the day on which it was received.
    assert counts(await bring(database, tmp_path, {**FILE, "状态": "已撤销", "变更原因": "经复议撤销"})) == (
        1,
        0,
        1,
        0,
        0,
    )
    assert await public(database) == []
    assert [one["reason"] for one in await owner.fetch("select reason from core.withdrawal")] == ["经复议撤销"]


async def test_two_rows_do_not_share_a_record(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.upsert(HONOUR)
    await follow(platform, database)
    honours = [
        {**OURS, "荣誉名称": name, "表彰日期": "2026-01-01", "表彰机关": "示例局"} for name in ("示例先进", "示例 先进")
    ]  # to the import two titles
    assert counts(await bring(database, tmp_path, *honours, kind="honours")) == (2, 1, 1, 0, 0)
    assert counts(await bring(database, tmp_path, *honours, kind="honours")) == (2, 0, 0, 2, 0)
    assert await owner.fetchval("select count(*) from core.record where source_code = $1", SOURCE) == 1  # the penalty


async def test_a_dry_run_changes_nothing(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    platform.upsert(at("10:00:00", USCC))
    await follow(platform, database)
    before = await state(owner)
    report = await bring(database, tmp_path, FILE, dry_run=True)
    assert counts(report) == (1, 0, 1, 0, 0)
    assert TOLD in report.notes[0]
    assert await state(owner) == before


async def test_a_run_that_is_killed_leaves_the_platforms_record(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    platform.upsert(at("10:00:00", USCC))
    await follow(platform, database)
    before = await state(owner)
    waiting = "select pid from pg_locks where not granted and relation = 'core.record_version'::regclass"
    async with owner.transaction():
        # Its record has changed hands by then, and its version is still to be written.
        await owner.execute("lock table core.record_version in share mode")
        running = asyncio.ensure_future(bring(database, tmp_path, FILE))
        for _ in range(400):
            if (pid := await owner.fetchval(waiting)) is not None:
                break
            await asyncio.sleep(0.05)
        killer = await asyncpg.connect(database.dsn("import"))
        assert await killer.fetchval("select pg_terminate_backend($1)", pid)
        await killer.close()
        with pytest.raises((StorageError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await running
    assert await state(owner) == before
    assert counts(await bring(database, tmp_path, FILE)) == (1, 0, 1, 0, 0)
    assert await links(owner) == [(KEY, True, "LOCAL")]


async def test_the_right_to_link_is_no_more_than_that(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn("import"))
    try:
        for column in ("record_id = 1", "natural_key = ''", "source_code = ''"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"update core.source_row set {column}")
    finally:
        await connection.close()
