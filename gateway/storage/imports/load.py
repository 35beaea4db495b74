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

from gateway.errors import ImportFileError
from gateway.storage.database import Database
from gateway.storage.identifiers import fold_name
from gateway.storage.imports.account import RunCounts
from gateway.storage.imports.connection import Connection, import_connection
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.mapping import Mapping, read_mapping
from gateway.storage.imports.organisations import OrganisationLoader
from gateway.storage.imports.outcome import Loader, Outcome
from gateway.storage.imports.read import InputFile, Row, open_input
from gateway.storage.imports.records import RecordLoader
from gateway.storage.imports.reference import CourtLoader, DivisionLoader
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.rejects import Rejects, rejects_for
from gateway.storage.imports.rules import load_rules
from gateway.storage.imports.subject_rows import Reference
from gateway.storage.imports.subjects import Subjects
from gateway.storage.nearly import masked
from gateway.storage.persons import identity_keys
from gateway.zone import SHANGHAI

BATCH = 2_000  # rows in a transaction: large enough that round trips cost nothing, small enough to lose little
_UNCODED = (
    "select count(*) from core.subject s where s.id > $1 and exists (select from core.identifier i"
    " where i.subject_id = s.id and i.scheme in ('ROW', 'USCC_INVALID'))"
)
_BEFORE = (
    "select (max(coalesce(received_at, started_at)) at time zone 'Asia/Shanghai')::date from core.import_run"
    " where kind = $1 and file_hash = $2 and finished_at is not null"
)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows. `rejects_path` is None where none was rejected.

    `older`: rows whose content was replaced since; the newer content stays, unless `apply_older` was asked for.
    `uncoded`: organisations that this run made without a valid code. A mistyped code makes a second organisation, and
    a question about the first does not find its record. `first_rejects`: line, headings, values and reasons in Chinese
    and English of the first few. `notes`: what people should know of the file and of its rows.
    """

    read: int
    new: int
    changed: int
    same: int
    rejected: int
    rejects_path: Path | None
    uncoded: int = 0
    older: int = 0
    first_rejects: tuple[tuple[int, str, str, str, str], ...] = ()
    notes: tuple[str, ...] = ()


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
    sheet: str | None = None,
    apply_older: bool = False,
) -> ImportReport:
    """Import a file. `progress` is called with rows done and rows in all; `received_at` is by default now.

    `sheet`: of a workbook, by default the first with rows. A dry run writes rejects, and nothing to the database.
    `apply_older`: content that was replaced since is put back; without it such rows change nothing.
    Raises ImportFileError for a file that can't be taken as a whole, StorageError where the database can't be reached
    or refuses.
    """
    if kind not in KINDS:
        raise ImportFileError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    if received_at is not None and received_at.tzinfo is None:
        raise ImportFileError("the time of receipt needs a time zone")
    definition = KINDS[kind]
    rejects_path = rejects_for(path, rejects)
    file = open_input(path, definition, read_mapping(mapping, definition) if mapping else Mapping(), sheet)
    received = received_at or dt.datetime.now(dt.UTC)
    with contextlib.closing(file.table), Rejects(rejects_path, file.headings, dry_run) as rejected:
        async with import_connection(database) as connection, _undone(connection, dry_run):
            loader = await _loader(connection, database, file, entered_by, received, apply_older)
            before = await connection.fetchval(_BEFORE, file.kind.name, file.table.sha256)
            run = await _start(connection, file, entered_by, received)
            last: int = await connection.fetchval("select coalesce(max(id), 0) from core.subject")
            counts = RunCounts()
            report = await _run(connection, file, loader, rejected, counts, progress, before)
            report = replace(report, uncoded=await connection.fetchval(_UNCODED, last))
            await _finish(connection, run, report, counts)
    return replace(
        report,
        rejects_path=rejects_path if report.rejected else None,
        first_rejects=tuple(rejected.first),
        notes=(*file.notes, *report.notes),
    )


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


async def read_reference(connection: Connection, received: dt.datetime) -> Reference:
    """What rows refer to, as the database has it now, for rows that were received then (aware)."""
    regions = await connection.fetch("select code, name from core.region order by code")
    sources = await connection.fetch("select code from core.source")
    return Reference(
        frozenset(row["code"] for row in regions),
        frozenset(row["code"] for row in sources),
        await load_rules(connection),
        received.astimezone(SHANGHAI).date(),
        _alone((fold_name(row["name"]), row["code"]) for row in regions),
    )


async def _loader(
    connection: Connection,
    database: Database,
    file: InputFile,
    entered_by: str,
    received: dt.datetime,
    apply_older: bool,
) -> Loader:
    target = file.kind.target
    if target == "divisions":
        return DivisionLoader()
    if target == "courts":
        return CourtLoader()
    reference = await read_reference(connection, received)
    subjects = Subjects(identity_keys(database.secrets))
    if target == "subjects":
        servants = file.kind.name == "civil-servants"
        return OrganisationLoader(reference, subjects, "CIVIL_SERVANT" if servants else None, apply_older)
    in_wan = frozenset(column.name for found in file.columns for column in found if column.type == "wan")
    return RecordLoader(
        file.kind, reference, subjects, masked(entered_by), received, file.original, in_wan, apply_older, adopts=True
    )


def _alone(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names to codes, without the names that several have."""
    made: dict[str, str] = {}
    several = set()
    for name, code in pairs:
        if made.setdefault(name, code) != code:
            several.add(name)
    return {name: code for name, code in made.items() if name not in several}


async def _run(
    connection: Connection,
    file: InputFile,
    loader: Loader,
    rejects: Rejects,
    counts: RunCounts,
    progress: Callable[[int, int], None] | None,
    before: dt.date | None,
) -> ImportReport:
    total = Outcome()
    done = 0
    for rows in _batches(file.rows(), BATCH):
        outcome = Outcome(rejected=[(row, (*row.errors, *loader.problems(row))) for row in rows if row.errors])
        good = [row for row in rows if not row.errors]
        if good:
            loaded = await _load(connection, loader, good)
            outcome = replace(loaded, rejected=[*outcome.rejected, *loaded.rejected])
        refused = sorted(outcome.rejected, key=lambda pair: pair[0].number)
        for row, errors in refused:
            rejects.add(row.line, [(file.heading_of(error.column), error) for error in errors], file.masked(row))
        numbers = {row.number for row, _ in refused}
        for row in rows:
            counts.count(file, row, rejected=row.number in numbers)
        done += len(rows)
        total.new += outcome.new
        total.changed += outcome.changed
        total.same += outcome.same
        total.older += outcome.older
        total.remarks.add(outcome.remarks)
        if progress is not None:
            progress(done, file.total)
    return ImportReport(
        done,
        total.new,
        total.changed,
        total.same,
        rejects.count,
        None,
        older=total.older,
        notes=total.remarks.told(before),
    )


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
            return Outcome(rejected=[(rows[0], (refused,))])
    except BaseException:
        loader.rolled_back()
        raise
    first = await _load(connection, loader, rows[: len(rows) // 2])
    second = await _load(connection, loader, rows[len(rows) // 2 :])
    first.remarks.add(second.remarks)
    return Outcome(
        first.new + second.new,
        first.changed + second.changed,
        first.same + second.same,
        first.older + second.older,
        [*first.rejected, *second.rejected],
        first.remarks,
    )


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


async def _start(connection: Connection, file: InputFile, entered_by: str, received: dt.datetime) -> int:
    run: int = await connection.fetchval(
        "insert into core.import_run (kind, file_name, file_hash, entered_by, received_at)"
        " values ($1, $2, $3, $4, $5) returning id",
        file.kind.name,
        masked(file.path.name.encode("utf-8", "replace").decode()),  # names of files may be any bytes
        file.table.sha256,
        masked(entered_by),
        received,
    )
    return run


async def _finish(connection: Connection, run: int, report: ImportReport, counts: RunCounts) -> None:
    async with connection.transaction():
        await counts.write(connection, run)
        await connection.execute(
            "update core.import_run set finished_at = now(), rows_read = $2, rows_new = $3, rows_changed = $4,"
            " rows_same = $5, rows_rejected = $6 where id = $1",
            run,
            report.read,
            report.new,
            report.changed,
            report.same + report.older,  # as they were
            report.rejected,
        )
