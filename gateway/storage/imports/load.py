"""One run: a file, read row by row, written batch by batch, each batch in a transaction of its own.

In: a database, a path, the kind of file. Out: an `ImportReport`. A run that was killed leaves whole batches behind; run
again it finds them unchanged and goes on. One import at a time in a database: a second one waits.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import asyncpg

from gateway.errors import ImportFileError, StorageError
from gateway.storage.database import Database
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.mapping import Mapping, read_mapping
from gateway.storage.imports.organisations import OrganisationLoader
from gateway.storage.imports.outcome import Connection, Loader, Outcome
from gateway.storage.imports.parse import CellError
from gateway.storage.imports.read import InputFile, Row, open_input
from gateway.storage.imports.records import RecordLoader
from gateway.storage.imports.reference import CourtLoader, DivisionLoader
from gateway.storage.imports.rejects import Rejects, rejects_for
from gateway.storage.imports.rows import Reference
from gateway.storage.imports.rules import load_rules
from gateway.storage.imports.subjects import Subjects
from gateway.storage.persons import identity_keys

BATCH = 2_000  # rows in a transaction: large enough that round trips cost nothing, small enough to lose little
_LOCK = 0x6372656469746769  # "creditgi": one import at a time in a database
_SHANGHAI = dt.timezone(dt.timedelta(hours=8))  # Asia/Shanghai; no summer time since 1991, so no table of zones needed
_UNCODED = (
    "select count(*) from core.subject s where s.id > $1 and exists (select from core.identifier i"
    " where i.subject_id = s.id and i.scheme in ('ROW', 'USCC_INVALID'))"
)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows. `rejects_path` is None where none was rejected.

    `uncoded`: organisations that this run made without a valid code. A mistyped code makes a second organisation, and
    a question about the first does not find its record.
    """

    read: int
    new: int
    changed: int
    same: int
    rejected: int
    rejects_path: Path | None
    uncoded: int = 0


async def import_file(
    database: Database,
    path: Path,
    kind: str,
    *,
    mapping: Path | None,
    rejects: Path | None,
    entered_by: str,
    progress: Callable[[int, int], None] | None,
    received_at: dt.datetime | None = None,
    dry_run: bool = False,
) -> ImportReport:
    """Import a file. `progress` is called with rows done and rows in all; `received_at` is by default now.

    A dry run writes rejects, and nothing to the database. Raises ImportFileError for a file that can't be taken as a
    whole, StorageError where the database can't be reached or refuses.
    """
    if kind not in KINDS:
        raise ImportFileError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    if received_at is not None and received_at.tzinfo is None:
        raise ImportFileError("the time of receipt needs a time zone")
    definition = KINDS[kind]
    file = open_input(path, definition, read_mapping(mapping, definition) if mapping else Mapping())
    rejects_path = rejects_for(path, rejects)
    received = received_at or dt.datetime.now(dt.UTC)
    with Rejects(rejects_path, file.headings) as rejected:
        async with _import_connection(database) as connection, _undone(connection, dry_run):
            loader = await _loader(connection, database, file, entered_by, received)
            run = await _start(connection, file, entered_by)
            last: int = await connection.fetchval("select coalesce(max(id), 0) from core.subject")
            report = await _run(connection, file, loader, rejected, progress)
            report = replace(report, uncoded=await connection.fetchval(_UNCODED, last))
            await _finish(connection, run, report)
    return replace(report, rejects_path=rejects_path if report.rejected else None)


@contextlib.asynccontextmanager
async def _import_connection(database: Database) -> AsyncIterator[Connection]:
    """A connection of the import role that holds the lock; errors of the database become StorageError."""
    try:
        connection = await asyncpg.connect(
            database.dsn("import"), timeout=10, server_settings={"application_name": "credit-gateway import"}
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise StorageError(
            f"cannot connect to database {database.name} as its import role: {error}; was `credit-gateway migrate` run?"
        ) from error
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        yield connection
    except asyncpg.PostgresError as error:
        # Details of the server may quote a row: the message alone goes on.
        raise StorageError(f"the import stopped: {error.args[0] if error.args else type(error).__name__}") from error
    except (OSError, asyncpg.InterfaceError) as error:
        raise StorageError(f"the import lost its connection; run it again: {error}") from error
    finally:
        connection.terminate() if connection.is_in_transaction() else await connection.close(timeout=5)


@contextlib.asynccontextmanager
async def _undone(connection: Connection, dry_run: bool) -> AsyncIterator[None]:
    """For a dry run a transaction around everything, rolled back at the end."""
    if not dry_run:
        yield
        return
    around = connection.transaction()
    await around.start()
    try:
        yield
    finally:
        await around.rollback()


async def _loader(
    connection: Connection, database: Database, file: InputFile, entered_by: str, received: dt.datetime
) -> Loader:
    target = file.kind.target
    if target == "divisions":
        return DivisionLoader()
    if target == "courts":
        return CourtLoader()
    regions = await connection.fetch("select code from core.region")
    sources = await connection.fetch("select code from core.source")
    reference = Reference(
        frozenset(row["code"] for row in regions),
        frozenset(row["code"] for row in sources),
        await load_rules(connection),
        received.astimezone(_SHANGHAI).date(),
    )
    subjects = Subjects(identity_keys(database.secrets))
    if target == "subjects":
        servants = file.kind.name == "civil-servants"
        return OrganisationLoader(reference, subjects, "CIVIL_SERVANT" if servants else None)
    return RecordLoader(file.kind, reference, subjects, entered_by, received, file.original)


async def _run(
    connection: Connection,
    file: InputFile,
    loader: Loader,
    rejects: Rejects,
    progress: Callable[[int, int], None] | None,
) -> ImportReport:
    total = Outcome()
    done = 0
    for rows in _batches(file.rows(), BATCH):
        outcome = Outcome(rejected=[(row, row.error) for row in rows if row.error is not None])
        good = [row for row in rows if row.error is None]
        if good:
            loaded = await _load(connection, loader, good)
            outcome = replace(loaded, rejected=[*outcome.rejected, *loaded.rejected])
        for row, error in sorted(outcome.rejected, key=lambda pair: pair[0].line):
            _reject(rejects, file, row, error)
        done += len(rows)
        total.new += outcome.new
        total.changed += outcome.changed
        total.same += outcome.same
        if progress is not None:
            progress(done, file.total)
    return ImportReport(done, total.new, total.changed, total.same, rejects.count, None)


async def _load(connection: Connection, loader: Loader, rows: list[Row]) -> Outcome:
    """The batch in one transaction. If the database refuses a value, in halves until the row that it is about is found:
    one row that nobody foresaw must not keep the others out."""
    try:
        async with connection.transaction():
            return await loader.load(connection, rows)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        loader.rolled_back()
        if len(rows) == 1:
            # Not the server's words: they may quote the row.
            name = type(error).__name__
            refused = CellError("", "", f"数据库拒绝了本行（{name}）", f"the database refused the row ({name})")
            return Outcome(rejected=[(rows[0], refused)])
    except BaseException:
        loader.rolled_back()
        raise
    first = await _load(connection, loader, rows[: len(rows) // 2])
    second = await _load(connection, loader, rows[len(rows) // 2 :])
    return Outcome(
        first.new + second.new,
        first.changed + second.changed,
        first.same + second.same,
        [*first.rejected, *second.rejected],
    )


def _reject(rejects: Rejects, file: InputFile, row: Row, error: CellError) -> None:
    position = next((i for i, found in enumerate(file.columns) if any(c.name == error.column for c in found)), None)
    heading = error.column if position is None else file.headings[position]
    rejects.add(row.line, heading, error.value, error.zh, error.en, file.masked(row))


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


async def _start(connection: Connection, file: InputFile, entered_by: str) -> int:
    run: int = await connection.fetchval(
        "insert into core.import_run (kind, file_name, file_hash, entered_by) values ($1, $2, $3, $4) returning id",
        file.kind.name,
        file.path.name.encode("utf-8", "replace").decode(),  # names of files may be any bytes
        file.sha256,
        entered_by,
    )
    return run


async def _finish(connection: Connection, run: int, report: ImportReport) -> None:
    await connection.execute(
        "update core.import_run set finished_at = now(), rows_read = $2, rows_new = $3, rows_changed = $4,"
        " rows_same = $5, rows_rejected = $6 where id = $1",
        run,
        report.read,
        report.new,
        report.changed,
        report.same,
        report.rejected,
    )
