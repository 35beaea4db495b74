"""Promises: the report says of each authority how many rows came, how many were rejected, and how many were late by
more than seven working days; nothing of a rejected row is kept but the organ that sent it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import asyncpg
import pytest

from gateway.storage.database import Database
from gateway.storage.imports import AuthorityReport, report_by_authority
from gateway.storage.imports.account import LIMIT
from tests.storage.imports.rows_of_a_clerk import IDENTITY, ORGAN, ORGAN_NAME, code, csv_bytes, load, penalty, written

SHANGHAI = dt.timezone(dt.timedelta(hours=8))
OTHER = code("11", 900_002)


def lines(report: AuthorityReport) -> dict[str, tuple[int, int, int, int]]:
    return {line.name: (line.rows, line.rejected, line.due, line.late) for line in report.lines}


@pytest.fixture(scope="module")
async def imported(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Three files of two authorities. Decided on Friday 6 March 2026; the seventh working day after it is the 17th."""
    folder = tmp_path_factory.mktemp("account")
    decided = {"CF_JDRQ": "2026-03-06"}
    in_time = [penalty(n, **decided) for n in range(1, 5)] + [penalty(5, CF_JDRQ="昨天"), penalty(6, CF_CFLB="x")]
    late = [penalty(n, **decided) for n in range(10, 13)]
    other = [penalty(n, **decided, CF_CFJG="示例另一局", CF_CFJGDM=OTHER) for n in range(20, 22)]
    for name, rows, day in (("a", in_time, 17), ("b", late, 18), ("c", other, 9)):
        received = dt.datetime(2026, 3, day, 23, 30, tzinfo=SHANGHAI)
        await load(database, written(folder / f"{name}.csv", rows), received_at=received)
    return database


async def test_rows_rejected_and_late(imported: Database) -> None:
    assert LIMIT == 7
    report = await report_by_authority(imported)
    assert lines(report) == {ORGAN_NAME: (7, 2, 7, 3), "示例另一局": (2, 0, 2, 0)}
    assert report.unknown_years == ()
    assert {line.uscc for line in report.lines} == {ORGAN, OTHER}


async def test_from_and_to_are_days_in_shanghai_and_inclusive(imported: Database) -> None:
    day = dt.date
    assert lines(await report_by_authority(imported, day(2026, 3, 18))) == {ORGAN_NAME: (3, 0, 3, 3)}
    assert lines(await report_by_authority(imported, None, day(2026, 3, 9))) == {"示例另一局": (2, 0, 2, 0)}
    assert lines(await report_by_authority(imported, day(2026, 3, 17), day(2026, 3, 17))) == {ORGAN_NAME: (4, 2, 4, 0)}
    assert lines(await report_by_authority(imported, day(2026, 4, 1))) == {}


async def test_a_file_that_comes_twice_counts_once_and_a_dry_run_does_not(imported: Database, tmp_path: Path) -> None:
    before = lines(await report_by_authority(imported))
    received = dt.datetime(2026, 3, 17, 12, tzinfo=SHANGHAI)
    rejected = written(tmp_path / "x.csv", [penalty(30, CF_JDRQ="昨天")])
    await load(imported, rejected, received_at=received, dry_run=True)
    assert lines(await report_by_authority(imported)) == before
    for _ in range(2):
        await load(imported, rejected, received_at=received)
    rows, refused, due, late = before[ORGAN_NAME]
    assert lines(await report_by_authority(imported))[ORGAN_NAME] == (rows, refused + 1, due, late)


async def test_an_operators_day_counts(imported: Database, owner: asyncpg.Connection[asyncpg.Record]) -> None:
    before = lines(await report_by_authority(imported))[ORGAN_NAME][3]
    await owner.execute("insert into core.working_day values ('2026-03-12', false, '样例通知')")
    assert lines(await report_by_authority(imported))[ORGAN_NAME][3] == before - 3  # the 18th is the seventh day now
    await owner.execute("delete from core.working_day")


async def test_a_year_that_nobody_knows_is_said(imported: Database, tmp_path: Path) -> None:
    row = penalty(40, CF_JDRQ="2026-05-29")
    await load(imported, written(tmp_path / "y.csv", [row]), received_at=dt.datetime(2050, 1, 3, tzinfo=SHANGHAI))
    assert (await report_by_authority(imported)).unknown_years == ()  # late long before the year ends
    await load(
        imported,
        written(tmp_path / "z.csv", [penalty(41, CF_JDRQ="2049-12-31")]),
        received_at=dt.datetime(2050, 1, 3, tzinfo=SHANGHAI),
    )
    assert (await report_by_authority(imported)).unknown_years == (2050,)


async def test_nothing_of_a_rejected_row_is_kept_but_the_organ(
    imported: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    bad = {"CF_JDRQ": "昨天", "CF_CFJGDM": ""}
    rows = [
        penalty(50, **bad, CF_CFJG="样例人张三"),  # a person's name in the organ's place
        penalty(51, **bad, CF_CFJG=IDENTITY),
        penalty(52, **bad, CF_CFJG=f"示例{IDENTITY}局"),
        penalty(53, **{**bad, "CF_CFJGDM": IDENTITY}, CF_CFJG="示例三局"),
        penalty(54, **bad, CF_CFJG="示例四局", CF_XDR_LB="自然人", CF_XDR_SHXYM="", CF_XDR_ZJHM=IDENTITY),
    ]
    content = csv_bytes(rows).decode() + "样例人李四,示例五局\r\n"
    (tmp_path / "p.csv").write_text(content, encoding="utf-8")
    report = await load(imported, tmp_path / "p.csv")
    assert (report.read, report.rejected) == (6, 6)
    kept = await owner.fetch(
        "select * from core.import_run_authority where run_id = (select max(id) from core.import_run)"
    )
    assert {(row["authority_name"], row["authority_uscc"], row["rows_rejected"]) for row in kept} == {
        ("", "", 3), ("示例6527**********0017局", "", 1), ("示例三局", "", 1), ("示例四局", "", 1),
    }  # fmt: skip
    assert IDENTITY not in str([dict(row) for row in await owner.fetch("select t::text from core.import_run t")])
