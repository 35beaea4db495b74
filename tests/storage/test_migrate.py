"""Migrations: run again they change nothing; a changed or missing file is refused; generated views are as committed."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from gateway.errors import MigrationError
from gateway.storage import migrate, views
from gateway.storage.database import Database, prepare


async def test_again_changes_nothing(database: Database) -> None:
    assert await prepare(database) == []


def test_views_file_is_what_the_catalogue_makes() -> None:
    assert (migrate.FOLDER / "views.sql").read_text(encoding="utf-8") == views.sql()


async def test_a_changed_file_is_refused(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    for path in migrate.FOLDER.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    with (tmp_path / "0001_core.sql").open("a", encoding="utf-8") as file:
        file.write("-- changed\n")
    with pytest.raises(MigrationError, match="0001_core was changed"):
        await migrate.migrate(owner, database.prefix, tmp_path)


async def test_a_newer_database_is_refused(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    first = migrate.FOLDER / "0001_core.sql"
    (tmp_path / first.name).write_text(first.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(MigrationError, match="newer than this program"):
        await migrate.migrate(owner, database.prefix, tmp_path)


def test_what_was_shipped_is_never_changed() -> None:
    """Databases that have a migration refuse another text of it. A line of the list is written once, with its file;
    what is to be otherwise goes into a new one."""
    listed = (Path(__file__).parent / "shipped.sha256").read_text(encoding="utf-8").splitlines()
    assert [f"{each.checksum}  {each.name}" for each in migrate.shipped()] == listed


def test_a_gap_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0002_x.sql").write_text("select 1")
    with pytest.raises(MigrationError, match="without gaps"):
        migrate.shipped(tmp_path)


async def test_a_failing_migration_leaves_nothing(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    shipped = migrate.shipped()
    for path in migrate.FOLDER.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / f"{len(shipped) + 1:04d}_broken.sql").write_text("create table core.half (id int); select 1/0;")
    with pytest.raises(MigrationError, match="rolled back"):
        await migrate.migrate(owner, database.prefix, tmp_path)
    assert await owner.fetchval("select to_regclass('core.half')") is None


async def test_rows_of_a_month_without_its_partition_are_moved(
    database: Database, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A gateway that ran longer than its partitions reach must come up again, with every row."""
    partitions = await owner.fetch(
        "select inhrelid::regclass::text as name from pg_inherits"
        " where inhparent = 'ledger.disclosure'::regclass and inhrelid::regclass::text not like '%_rest'"
    )
    assert len(partitions) == 4
    for row in partitions:
        await owner.execute(f"drop table {row['name']}")
    await owner.execute(
        "insert into ledger.disclosure (id, at, client_id, organisation_uscc, view, matter, case_number, outcome,"
        " subject_ids, sources, withheld) select gen_random_uuid(), at, 'moved', '', '', '', '', '', '{}', '{}', '{}'"
        " from unnest(array[now(), now() + interval '40 days', now() - interval '90 days']) at"
    )
    where = "select tableoid::regclass::text like '%_rest' from ledger.disclosure where client_id = 'moved' order by at"
    assert [row[0] for row in await owner.fetch(where)] == [True, True, True]
    await migrate.ensure_partitions(owner)
    assert [row[0] for row in await owner.fetch(where)] == [True, False, False]
    await migrate.ensure_partitions(owner)


async def test_answers_of_a_month_without_its_partition_are_moved(owner: asyncpg.Connection[asyncpg.Record]) -> None:
    """Their ids are an identity of the table, and stay what they were."""
    last = await owner.fetchval(
        "select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'core.source_answer'::regclass"
        " and inhrelid::regclass::text not like '%_rest'"
    )
    await owner.execute(f"drop table {last}")
    written = await owner.fetchval(
        "insert into core.source_answer (asked_at, source_code, part, uscc, rows)"
        " values (to_timestamp(right($1, 7) || '-15', 'YYYY_MM-DD'), 'COURTS', 'P', 'u', '[]')"
        " returning tableoid::regclass || ' ' || id",
        last,
    )
    assert written.split()[0] == "core.source_answer_rest"
    await migrate.ensure_partitions(owner)
    moved = await owner.fetchval("select tableoid::regclass || ' ' || id from core.source_answer")
    assert moved == f"{last} {written.split()[1]}"
