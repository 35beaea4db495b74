"""`credit-gateway import`: files into the database, rejects beside them; templates; the report by authority.

In: files, their kind, a mapping file where headings differ. Out: a table of counts on stdout, all else on stderr.
Exit status: 0 all rows are in, 1 a file or the database failed, 2 wrong usage, 3 some rows were rejected, 130 stopped.
"""

from __future__ import annotations

import csv
import datetime as dt
import getpass
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.common import note, reported, run_with_database, show_json, show_table
from gateway.counted import counted
from gateway.errors import ImportFileError
from gateway.storage.database import Database
from gateway.storage.imports import (
    KINDS,
    AuthorityReport,
    ImportReport,
    import_file,
    report_by_authority,
    safe_cell,
    write_template,
)
from gateway.storage.nearly import masked
from gateway.storage.working_days import advice
from gateway.zone import SHANGHAI

FAILED, USAGE, SOME_REJECTED, STOPPED = 1, 2, 3, 130  # 130: as shells have it for SIGINT
_ENDINGS = (".csv", ".tsv", ".txt", ".xlsx")
_REJECTS = re.compile(r"\.rejects(-\d+)?$")

Kind = Enum("Kind", {name.replace("-", "_").upper(): name for name in KINDS}, type=str)  # type: ignore[misc]
Counts = ("read", "new", "changed", "same", "rejected")


def import_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE…", help="CSV or Excel (.xlsx) files, folders of them, or - for stdin"),
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--as", metavar="KIND", help=f"What the rows are: {', '.join(KINDS)}")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try everything, say what would happen, keep nothing")
    ] = False,
    apply_older: Annotated[
        bool, typer.Option("--apply-older", help="Put content back that was replaced since; else such rows are skipped")
    ] = False,
    mapping: Annotated[Path | None, typer.Option(help="TOML file for headings that differ (data/mappings)")] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook; by default the first with rows")] = None,
    received: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the file came, if not now: 2026-03-01T09:00 (Shanghai)")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows go; by default FILE.rejects.csv")] = None,
    by: Annotated[str, typer.Option(help="Who enters the rows; by default the user of this machine")] = "",
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an empty file to fill in (.xlsx or .csv), with notes")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="By authority: rows, rejected, late by more than 7 working days")
    ] = False,
    since: Annotated[
        dt.datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day of the report")
    ] = None,
    until: Annotated[
        dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day of the report")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON")] = False,
) -> None:
    """Import files of credit information. The same file again changes nothing.

    Start with an empty file:  credit-gateway import --as penalties --template penalties.xlsx

    See what would happen:  credit-gateway import penalties.xlsx --as penalties --dry-run

    Import:  credit-gateway import penalties.xlsx --as penalties

    What can't be taken goes to penalties.xlsx.rejects.csv (of a CSV file to penalties.rejects.csv), each row with its
    line and all reasons, in Chinese and English: mend it there, save, and import that file the same way. Excel and CSV,
    UTF-8 and GB18030 are told apart; columns are found by Chinese headings and by the codes of both generations of
    双公示 (CF_…, XK_…).

    How each authority sent its rows:  credit-gateway import --report --from 2026-01-01

    Status: 0 all rows are in, 1 a file or the database failed, 2 wrong usage, 3 some rows were rejected, 130 stopped
    by Ctrl-C.
    More: docs/import.md
    """
    if report:
        _report(files, since, until, as_json)
        return
    if kind is None:
        raise typer.BadParameter(f"say what the rows are: {', '.join(KINDS)}", param_hint="--as")
    if template is not None:
        if files:
            raise typer.BadParameter("it takes no FILE", param_hint="--template")
        with reported():
            write_template(KINDS[kind.value], template)
        note(f"wrote {template}; fill it in, then: credit-gateway import {template} --as {kind.value}")
        return
    if not files:
        raise typer.BadParameter("no FILE was named", param_hint="FILE…")
    options = {
        "mapping": mapping,
        "sheet": sheet,
        "received_at": _received(received),
        "entered_by": by or _user(),
        "dry_run": dry_run,
        "apply_older": apply_older,
    }
    with reported(), _found(files) as found:
        if rejects is not None and len(found) > 1:
            raise typer.BadParameter("several files can't share one file of rejects", param_hint="--rejects")
        _import(found, kind.value, rejects, options, as_json)


def _import(
    found: list[tuple[str, Path, Path | None]], kind: str, rejects: Path | None, options: dict[str, Any], as_json: bool
) -> None:
    """Import each; the first failure of a file keeps none of the others out."""
    done: list[tuple[str, ImportReport]] = []
    failed: list[tuple[str, ImportFileError]] = []

    async def work(database: Database) -> None:
        for name, path, aside in found:
            try:
                with _progress_bar(name) as progress:
                    made = await import_file(
                        database, path, kind, rejects=rejects or aside, progress=_advance(progress), **options
                    )
                done.append((name, made))
            except ImportFileError as error:
                failed.append((name, error))
                note(f"error: {_shown(error)}")
                if error.zh:
                    note(f"错误：{_shown(error.zh)}")

    try:
        run_with_database(work)
    except KeyboardInterrupt:
        note("stopped: what was written stays; run it again, and it goes on")
        raise typer.Exit(STOPPED) from None
    if as_json:
        show_json(_as_json(done, failed))
    elif done:
        names = ["file"] if len(found) > 1 else []
        show_table((*names, *Counts), [[*([name] if names else []), *_counts(made)] for name, made in done])
    for name, made in done:
        _tell(name, made, dry_run=bool(options["dry_run"]))
    if failed:
        raise typer.Exit(FAILED)
    if any(made.rejected for _, made in done):
        raise typer.Exit(SOME_REJECTED)


def _counts(made: ImportReport) -> list[str]:
    return [str(getattr(made, name)) for name in Counts]


def _tell(name: str, made: ImportReport, *, dry_run: bool) -> None:
    for said in made.notes:
        note(f"{name}: {_shown(said)}")
    if not made.read:
        note(f"{name}: no rows below the header; fill it in and import it again / 表头下没有数据行，请填写后再导入")
    if dry_run:
        note(
            f"dry run of {name}: nothing was kept. {counted(made.new, 'row')} would be new, {made.changed} changed,"
            f" {made.same} the same as before, {made.rejected} would be rejected"
            + (f", {made.older} have older content" if made.older else "")
        )
    if made.uncoded:
        note(
            f"{counted(made.uncoded, 'new organisation has', 'new organisations have')} no valid code: not found by"
            " code, and what is said there is not said of an organisation that has one; correct the code and import"
            " the row again"
        )
    for line, heading, value, zh, en in made.first_rejects:
        note(_shown(f"  line {line} {heading or '-'}{f' {value[:60]!r}' if value else ''}: {zh} / {en}"))
    if made.rejected:
        note(
            f"{counted(made.rejected, 'row')} rejected; mend {'it' if made.rejected == 1 else 'them'} in"
            f" {_shown(made.rejects_path)} and import that file the same way"
        )


def _shown(text: object) -> str:
    """A line that no cell or heading can make a terminal obey, and that shows no identity number."""
    return "".join(character if character.isprintable() else "␦" for character in masked(str(text)))


def _as_json(done: list[tuple[str, ImportReport]], failed: list[tuple[str, ImportFileError]]) -> dict[str, object]:
    rows = []
    for name, made in done:
        row = asdict(made) | {
            "file": name,
            "rejects_path": masked(str(made.rejects_path)) if made.rejects_path else None,
        }
        row["notes"] = [masked(said) for said in made.notes]
        row["first_rejects"] = [
            dict(zip(("line", "column", "value", "reason_zh", "reason_en"), one, strict=True))
            for one in made.first_rejects
        ]
        rows.append(row)
    return {
        "files": rows,
        "failed": [{"file": name, "error": masked(str(why)), "error_zh": masked(why.zh)} for name, why in failed],
    }


def _received(text: str | None) -> dt.datetime | None:
    """The time of receipt; without an offset it is Shanghai's."""
    if text is None:
        return None
    try:
        made = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("not a time (2026-03-01T09:00)", param_hint="--received") from None
    made = made if made.tzinfo else made.replace(tzinfo=SHANGHAI)
    if made > dt.datetime.now(dt.UTC):
        raise typer.BadParameter("lies in the future", param_hint="--received")
    return made


@contextmanager
def _found(files: list[Path]) -> Iterator[list[tuple[str, Path, Path | None]]]:
    """Name, path and, for stdin, place of the rejects: folders become the files in them, stdin a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made: list[tuple[str, Path, Path | None]] = []
        for path in files:
            if str(path) == "-":
                copy = Path(folder) / "stdin"
                try:
                    with copy.open("wb") as file:
                        shutil.copyfileobj(sys.stdin.buffer, file)
                except KeyboardInterrupt:
                    note("stopped while standard input was read: nothing was imported; run it again")
                    raise typer.Exit(STOPPED) from None
                made.append(("stdin", copy, Path("stdin.rejects.csv")))
            elif path.is_dir():
                inside = [one for one in sorted(path.iterdir()) if one.suffix.lower() in _ENDINGS and one.is_file()]
                made += [(masked(one.name), one, None) for one in inside if not _REJECTS.search(one.stem)]
            else:
                made.append((masked(path.name), path, None))
        if not made:
            raise ImportFileError(
                f"no file to import in {', '.join(map(str, files))} ({', '.join(_ENDINGS)})",
                f"{'、'.join(map(str, files))} 中没有可导入的文件（{'、'.join(_ENDINGS)}）",
            )
        yield made


def _report(files: list[Path] | None, since: dt.datetime | None, until: dt.datetime | None, as_json: bool) -> None:
    if files:
        raise typer.BadParameter("it takes no FILE", param_hint="--report")
    days = (since.date() if since else None, until.date() if until else None)

    async def work(database: Database) -> AuthorityReport:
        return await report_by_authority(database, *days)

    made = run_with_database(work)
    if as_json:
        show_json({"authorities": [asdict(line) for line in made.lines], "unknown_years": list(made.unknown_years)})
    else:
        heads = ("authority", "uscc", "rows", "rejected", "due", "late")
        rows = [[str(cell) for cell in asdict(line).values()] for line in made.lines]
        if sys.stdout.isatty():
            show_table(heads, rows)
        else:
            csv.writer(sys.stdout).writerows([heads, *([safe_cell(cell) for cell in row] for row in rows)])
    if made.unknown_years:
        note(f"late rows were counted without holidays: {advice(list(made.unknown_years))}")


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
