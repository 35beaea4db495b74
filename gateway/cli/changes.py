"""credit-gateway changes: what of the regional platform's changes was read, to read on, to read anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
import typer

from gateway.cli.common import database_there, note, reported, show_json
from gateway.connect import platform_connector
from gateway.counted import counted
from gateway.errors import SettingsError, StorageError
from gateway.settings import Settings, load
from gateway.sharing.changes import ChangesWorker
from gateway.storage.database import Database
from gateway.zone import shown

app = typer.Typer(
    help="Changes of the regional platform, which `serve` follows by itself (docs/changes.md).", no_args_is_help=True
)

_STATE = """
select c.source_code, c.rereading, c.moved_at,
    (select count(*) from core.source_row r where r.source_code = c.source_code) as rows,
    (select count(*) from core.feed_reject j where j.source_code = c.source_code and j.resolved_at is null) as aside
from core.feed_cursor c order by 1"""
_ASIDE = """
select rejected_at, to_char(rejected_at at time zone 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI') as minute,
    op, natural_key, reason
from core.feed_reject where resolved_at is null order by id desc limit 20"""


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False) -> None:
    """How far it was read, and the last twenty changes that were put aside. Never shows contents."""
    with reported(), database_there(load()) as database:
        asyncio.run(_status(database, as_json))


@app.command()
def read() -> None:
    """Read on to the end of the feed now, and say what became of it. Status 1 where the platform failed."""
    with reported():
        settings = load()
        with database_there(settings) as database:
            raise typer.Exit(asyncio.run(_read(settings, database)))


@app.command()
def reread() -> None:
    """Have the feed read from its beginning again: what was applied changes nothing, what was put aside is tried again.

    `serve` does it, or `credit-gateway changes read`.
    """
    with reported():
        settings = load()
        with database_there(settings) as database:
            asyncio.run(_reread(settings, database))
        note("the feed will be read from its beginning")


async def _status(database: Database, as_json: bool) -> None:
    try:
        connection = await asyncpg.connect(database.migrate_dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StorageError(f"the database does not answer ({type(error).__name__})") from None
    try:
        rows = await connection.fetch(_STATE)
        aside = await connection.fetch(_ASIDE)
    finally:
        await connection.close()
    if not rows:
        note(
            "no changes were read yet: `serve` follows them where it has GATEWAY_REGION_PLATFORM__BASE_URL,"
            " unless GATEWAY_REGION_PLATFORM__FOLLOW_CHANGES is false"
        )
    if as_json:
        show_json(
            {
                "sources": [{**row, "moved_at": shown(row["moved_at"])} for row in rows],
                "aside": [
                    {"at": shown(row["rejected_at"]), **{name: row[name] for name in ("op", "natural_key", "reason")}}
                    for row in aside
                ],
            }
        )
        return
    for row in rows:
        again = ", being read from its beginning again" if row["rereading"] else ""
        typer.echo(
            f"{row['source_code']}: {counted(row['rows'], 'row')} known, {row['aside']} put aside,"
            f" last read {shown(row['moved_at'])}{again}"
        )
    for row in aside:
        typer.echo("  " + "  ".join((row["minute"], row["op"], row["natural_key"], row["reason"])))


@asynccontextmanager
async def _worker(settings: Settings, database: Database) -> AsyncIterator[ChangesWorker]:
    if not settings.region_platform.base_url:
        raise SettingsError("GATEWAY_REGION_PLATFORM__BASE_URL is not set: there is no platform to read from")
    connector = platform_connector(settings.region_platform)
    try:
        yield ChangesWorker(connector, database)
    finally:
        await connector.close()


async def _read(settings: Settings, database: Database) -> int:
    async with _worker(settings, database) as worker:
        followed = await worker.once()
    if followed.busy:
        note("another process follows the feed (serve does); what it meets is in its log and in `changes status`")
        return 0
    done = followed.applied
    typer.echo(
        f"{counted(followed.pages, 'page')}: {done.new} new, {done.changed} changed, {done.same} the same,"
        f" {done.linked} our own, {done.withdrawn} withdrawn, {done.unknown} of what is not here,"
        f" {done.rejected} put aside"
    )
    for reason, count in sorted(done.reasons.items()):
        typer.echo(f"  {count} × {reason}")
    if followed.failure is not None:
        note(f"the platform failed: {followed.failure.kind}; what was read is kept, run it again")
        return 1
    return 0


async def _reread(settings: Settings, database: Database) -> None:
    async with _worker(settings, database) as worker:
        await worker.reread()
