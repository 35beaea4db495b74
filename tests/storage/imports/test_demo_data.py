"""Promises: the committed demo data is what the script makes, loads without a reject, has every kind, area, class and
status, and nothing in it could be anybody's."""

from __future__ import annotations

import csv
import datetime as dt
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.storage.database import Database
from gateway.storage.identifiers import valid_resident_id, valid_uscc
from gateway.storage.imports import import_file
from scripts.make_demo_data import FILES

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "data"
TODAY = dt.date(2026, 11, 1)
NAMES = tuple(name for _, name in FILES)


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / "synthetic" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_committed_is_what_the_script_makes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.make_demo_data", "--today", TODAY.isoformat(), "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    for name in NAMES:
        made = (tmp_path / f"{name}.csv").read_bytes()
        assert made == (DATA / "synthetic" / f"{name}.csv").read_bytes(), name


def test_names_say_that_they_are_made_up_and_codes_can_not_be_assigned() -> None:
    for name in NAMES:
        for row in rows(name):
            for field in ("name", "CF_XDR_MC", "CF_CFJG", "authority_name", "counterparty", "court"):
                assert not row.get(field) or row[field][:2] in ("示例", "样例")
            for field in ("uscc", "CF_XDR_SHXYM", "CF_CFJGDM", "authority_uscc"):
                assert not row.get(field) or (valid_uscc(row[field]) and row[field][2:10] == "652799YL")
            for field in ("identity_number", "CF_XDR_ZJHM"):
                assert not row.get(field) or (valid_resident_id(row[field]) and row[field].startswith("652799"))


@pytest.fixture(scope="module")
async def loaded(database: Database) -> AsyncIterator[Any]:
    received = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
    files = [(DATA / "divisions" / f"{n}.csv", "divisions") for n in ("provinces", "cities", "areas", "local")]
    for path, kind in [*files, *((DATA / "synthetic" / f"{name}.csv", kind) for kind, name in FILES)]:
        report = await import_file(
            database, path, kind, mapping=None, rejects=None, entered_by="demo", progress=None, received_at=received
        )
        assert report.rejected == 0, path
        assert report.changed if path.stem.endswith("-withdrawn") else report.new == report.read, path
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


async def test_every_kind_area_class_and_status_is_there(loaded: Any) -> None:
    found = await loaded.fetch(
        "select distinct kind, area, coalesce(severity, '') severity, case when status in ('ACTIVE', 'CORRECTED')"
        " and published_until < $1 then 'EXPIRED' else status end status from core.record",
        TODAY,
    )
    statuses = ("ACTIVE", "CORRECTED", "EXPIRED", "REVOKED", "REPAIRED")
    areas = ("GENERAL", "PROCUREMENT", "PPP", "TENDERING", "INVESTMENT_PROMOTION", "GOVERNMENT_DEBT", "TOWNSHIP")
    classed = ("PENALTY", "JUDGMENT", "DISCIPLINARY_ACTION", "ACCOUNTABILITY", "CONTRACT_BREACH", "PROMISE_BREACH")
    wanted = {(k, a, c, s) for k in classed for a in areas for c in ("MINOR", "GENERAL", "SERIOUS") for s in statuses}
    wanted |= {(k, a, "", s) for k in ("LICENCE", "HONOUR", "LIST_ENTRY") for a in areas for s in statuses}
    assert {tuple(row) for row in found} == wanted


async def test_the_rest_that_the_demo_shows(loaded: Any) -> None:
    kinds = {row["kind"] for row in await loaded.fetch("select distinct kind from core.subject")}
    assert len(kinds) == 14
    roles = await loaded.fetchval("select count(distinct role) from core.subject_role")
    assert roles == 7
    for table in ("former_name", "succession", "withdrawal", "person_identity"):
        assert await loaded.fetchval(f"select count(*) from core.{table}") > 0
    assert await loaded.fetchval("select count(*) from core.record where under_objection") > 10
    minor = await loaded.fetch("select published, count(*) n from core.record where severity = 'MINOR' group by 1")
    assert {row["published"] for row in minor} == {True, False}
    assert await loaded.fetchval("select count(*) from core.record where subject_class = 'PERSON'") == 40
    assert await loaded.fetchval("select count(*) from core.record where subject_class = 'SERVANT'") > 100
