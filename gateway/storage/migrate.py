"""Migrations: plain SQL, numbered, checksummed, forward only, one process at a time.

In: a connection of the migrate role. Out: schemas at the newest version, view schemas equal to the catalogue,
partitions for the months ahead. Run again, it changes nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from gateway.errors import MigrationError
from gateway.storage import names, roles, views

FOLDER = Path(__file__).with_name("migrations")
_LOCK = 0x6372656469746777  # "creditgw": one migration at a time in a database
_FILE = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
# With the storage parameters of their partitions.
PARTITIONED = {"ledger.disclosure": " with (toast_tuple_target = 8160)", "core.source_answer": ""}


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; `checksum` is the SHA-256 of its text as shipped."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped(folder: Path = FOLDER) -> list[Migration]:
    """The migrations in order. MigrationError where a number is missing or double."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match:
            found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations in {folder.name}/ must be numbered 0001, 0002 … without gaps or doubles")
    return found


def render(sql: str, prefix: str) -> str:
    """SQL with `@role@` replaced by the quoted role of this database."""

    def role(match: re.Match[str]) -> str:
        if match[1] not in roles.ROLES:
            raise MigrationError(f"unknown role @{match[1]}@ in a migration")
        return roles.quote(roles.role_name(prefix, match[1]))

    return re.sub(r"@([a-z_]+)@", role, sql)


async def migrate(connection: asyncpg.Connection[asyncpg.Record], prefix: str, folder: Path = FOLDER) -> list[str]:
    """Bring the database to the newest version; returns the names of what was applied. Roles must be there.

    Raises MigrationError where an applied file has changed or the database is newer than this program.
    """
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        applied = await _migrate_locked(connection, prefix, shipped(folder))
        await ensure_partitions(connection)
        if await names.ensure_indexed(connection):
            applied.append("names")
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    return applied


async def _migrate_locked(
    connection: asyncpg.Connection[asyncpg.Record], prefix: str, migrations: list[Migration]
) -> list[str]:
    await connection.execute(
        "create schema if not exists migration;"
        "create table if not exists migration.applied (number integer primary key, name text not null,"
        " checksum text not null, applied_at timestamptz not null default now())"
    )
    done = {row["number"]: row for row in await connection.fetch("select * from migration.applied")}
    for migration in migrations:
        row = done.get(migration.number)
        if row is not None and row["checksum"] != migration.checksum:
            raise MigrationError(
                f"migration {migration.name} was changed after it was applied; put the old text back and add a new file"
            )
    newest = max((number for number in done if number > 0), default=0)
    if newest > len(migrations):
        raise MigrationError(f"the database is at migration {newest}, newer than this program ({len(migrations)})")
    applied = []
    for migration in migrations:
        if migration.number not in done:
            await _apply(connection, prefix, migration.number, migration)
            applied.append(migration.name)
    made = Migration(0, "views", views.sql())
    if 0 not in done or done[0]["checksum"] != made.checksum:
        await _apply(connection, prefix, 0, made)
        applied.append("views")
    return applied


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record], prefix: str, number: int, migration: Migration
) -> None:
    try:
        async with connection.transaction():
            await connection.execute(render(migration.sql, prefix))
            await connection.execute(
                "insert into migration.applied (number, name, checksum) values ($1, $2, $3)"
                " on conflict (number) do update set checksum = excluded.checksum, applied_at = now()",
                number,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        told = f"migration {migration.name} failed and was rolled back: {error}"
        if isinstance(error, asyncpg.InsufficientPrivilegeError) and "plpgsql" in str(error):
            owner = roles.quote(await connection.fetchval("select current_user"))
            told += (
                "; its triggers are written in it: let an administrator run in this database"
                f" `grant usage on language plpgsql to {owner}`, then migrate again"
            )
        raise MigrationError(told) from error


def _month(day: dt.date, ahead: int) -> dt.date:
    index = day.year * 12 + day.month - 1 + ahead
    return dt.date(index // 12, index % 12 + 1, 1)


async def ensure_partitions(connection: asyncpg.Connection[asyncpg.Record], months: int = 4) -> None:
    """Partitions of this month and the next ones; the default partition takes what nobody foresaw."""
    today = await connection.fetchval("select core.today()")
    for table, parameters in PARTITIONED.items():
        schema, name = table.split(".")
        for ahead in range(months):
            start, end = _month(today, ahead), _month(today, ahead + 1)
            made = (
                f"create table if not exists {schema}.{name}_{start:%Y_%m} partition of {table}"
                f" for values from ('{start} 00:00+08') to ('{end} 00:00+08'){parameters}"
            )
            try:
                await connection.execute(made)
            except asyncpg.CheckViolationError:
                # The month began before its partition was there: its first rows are in the default one.
                await _move_out(connection, table, made, f"'{start} 00:00+08'", f"'{end} 00:00+08'")


async def _move_out(
    connection: asyncpg.Connection[asyncpg.Record], table: str, made: str, start: str, end: str
) -> None:
    """Make a partition, and move its rows there from the default one, in one transaction."""
    key = await connection.fetchval(
        "select a.attname from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid"
        " and a.attnum = p.partattrs[0] where p.partrelid = $1::text::regclass",
        table,
    )
    async with connection.transaction():
        await connection.execute(
            f"alter table {table} detach partition {table}_rest; {made};"
            f" with moved as (delete from {table}_rest where {key} >= {start} and {key} < {end} returning *)"
            f" insert into {table} overriding system value select * from moved;"
            f" alter table {table} attach partition {table}_rest default"
        )
