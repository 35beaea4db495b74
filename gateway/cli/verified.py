"""How `ledger verify` is shown: its progress on stderr; counts, findings and what was not shown on stdout, or as JSON.

In: the report of a verification. Out: text. Who calls it has the exit status.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway.cli.common import show_table
from gateway.counted import counted
from gateway.ledger.findings import KINDS
from gateway.ledger.verify import Report


class _Shown:
    """Progress of several things at once."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._tasks[what], completed=done, total=of)


@contextmanager
def progress() -> Iterator[_Shown]:
    """Bars of what is under way, until the end of the block; none where nobody sees them."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield _Shown(bars)


def as_json(report: Report) -> dict[str, Any]:
    """All of it; `holds` is null where nothing was found and something was not shown."""
    counts = {name: getattr(report, name) for name in _COUNTS}
    found = [{"kind": one.kind, "where": one.where, "what": one.what} for one in report.findings.told]
    return {
        "holds": False if found else None if report.not_given else True,
        **counts,
        "not_given": asdict(report.not_given),
        "counts": dict(report.findings.counts),
        "findings": found,
    }


_COUNTS = {
    "disclosures": "disclosures, of which each is what its entry in the log commits to",
    "pending": "of them not in the log yet",
    "entries": "entries in the log",
    "unsigned": "of them under no checkpoint yet",
    "checkpoints": "signed checkpoints, whose roots follow from the entries",
    "subject_entries": "entries that subjects are shown, numbered without gaps",
    "unnumbered": "entries of the log whose subjects are not shown them yet",
    "events": "events of the log, erasures and the like",
    "unsigned_events": "of them from before events were signed",
    "tombstones": "erased places, each with its event",
    "let_go": "disclosures of months that are no longer kept, with their events",
}


def show(report: Report) -> None:
    """The counts, and then what does not hold: where, and what. It holds only where nothing was left to be shown."""
    show_table(("count", "of"), [(f"{getattr(report, name):,}", what) for name, what in _COUNTS.items()])
    findings = report.findings
    if not len(findings):
        if report.not_given:
            return
        typer.echo("holds: everything is as it was signed")
        return
    show_table(("kind", "where", "what"), [(one.kind, one.where, one.what) for one in findings.told])
    for kind, count in sorted(findings.counts.items()):
        typer.echo(f"{kind}: {count}, {KINDS[kind]}")
    typer.echo("does not hold: keep this database and its backups as they are, and compare them (docs/ledger.md)")


def not_shown(report: Report) -> str:
    """What keys have signed that were not given, and how far those that were given reach; empty where there is none."""
    others = report.not_given
    if not others:
        return ""
    counts = (counted(others.checkpoints, "checkpoint"), counted(others.events, "event"))
    what = " and ".join(text for text in counts if not text.startswith("0 "))
    several = others.checkpoints + others.events > 1
    reach = (
        f"The newest checkpoint is among them: keys that were given have signed {others.vouched} of"
        f" {counted(report.entries, 'entry', 'entries')}, and the rest can be anybody's who has this machine"
        if others.newest
        else "The newest checkpoint is signed by a key that was given"
    )
    return (
        f"{what} {'are' if several else 'is'} signed by keys that were not given, and nothing was shown for"
        f" {'them' if several else 'it'}. {reach}. Have each period's key confirmed elsewhere, and give each with --key"
    )
