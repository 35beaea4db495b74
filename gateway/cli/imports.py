"""`credit-gateway import`: a CSV file into the database, rejects beside it.

In: a file, its kind, a mapping file where headings differ. Out: a table of counts on stdout. Exit status: 0 all rows
are in, 1 the file or the database failed, 2 wrong usage, 3 some rows were rejected.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.common import note, run_with_database, show_table
from gateway.storage.database import Database
from gateway.storage.imports import KINDS, ImportReport, import_file

SOME_REJECTED = 3

Kind = Enum("Kind", {name.replace("-", "_").upper(): name for name in KINDS}, type=str)  # type: ignore[misc]


def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The CSV file (UTF-8)")],
    kind: Annotated[Kind, typer.Option("--as", help="What the rows are")],
    mapping: Annotated[Path | None, typer.Option(help="TOML file for headings that differ (data/mappings)")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows go; by default FILE.rejects.csv")] = None,
    by: Annotated[str, typer.Option(help="Who enters the rows; by default the user of this machine")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try everything, keep nothing")] = False,
) -> None:
    """Import FILE. The same file again changes nothing; what can't be taken goes to the rejects with its reason."""
    name = kind.value

    async def work(database: Database) -> ImportReport:
        with _progress_bar(file.name) as progress:
            return await import_file(
                database,
                file,
                name,
                mapping=mapping,
                rejects=rejects,
                entered_by=by or _user(),
                progress=_advance(progress),
                dry_run=dry_run,
            )

    report = run_with_database(work)
    counts = (report.read, report.new, report.changed, report.same, report.rejected)
    show_table(("read", "new", "changed", "same", "rejected"), [[str(count) for count in counts]])
    if dry_run:
        note("dry run: nothing was kept")
    if report.uncoded:
        note(
            f"{report.uncoded} new organisations have no valid code: they are not found by code, and what is said of"
            " them is not said of an organisation that has one; correct the code and import the row again"
        )
    if report.rejected:
        note(f"{report.rejected} rows rejected; mend them in {report.rejects_path} and import that file the same way")
        raise typer.Exit(SOME_REJECTED)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, in containers
        return f"uid {os.getuid()}"


def _progress_bar(name: str) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    progress.add_task(name, total=None)
    return progress


def _advance(progress: Progress) -> Callable[[int, int], None]:
    task = progress.task_ids[0]

    def advance(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)

    return advance
