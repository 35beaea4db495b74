"""What a fault of a source does to an answer:  python -m scripts.source_faults

Starts the four upstreams, a PostgreSQL and a gateway; asks one restricted question about a subject's own records and
all four sources, while one of them has a fault: once where nothing is kept of the subject; then, the fault gone and all
of it answered, once more with the fault. Prints a table, and writes it into docs/faults.md with --write. Status 1 where
a cell says another status or reason than scripts/source_fault_list.py, shows anything false, takes longer than the
budget and 100 ms, or where the other three sources or the local records are not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scripts.served import ROOT
from scripts.source_fault_list import FAULTS, Fault
from scripts.source_knowledge import (
    BANKS,
    LOCAL,
    SOURCES,
    WHOLE,
    Knowledge,
    Section,
    sections,
)
from scripts.source_stage import Asker, Reply, Stage, furnished, sandboxes, serving

MARKS = ("<!-- source faults: made by `python -m scripts.source_faults --write` -->", "<!-- end of source faults -->")
PAGE = ROOT / "docs" / "faults.md"
SLACK = 0.1  # s beyond the budget
ATTEMPTS = 3  # of a cell for which there was not time enough: the machine may be busy, but not every time
OWN = f"query Own($uscc: Uscc!) {{ subject(uscc: $uscc) {{ {LOCAL} }} }}"
# Nothing is fresh, all that was answered may still be shown; no cell opens a breaker for the others.
LIMITS = {"fresh_seconds": 0, "negative_fresh_seconds": 0, "stale_seconds": 3600, "breaker_failures": 1_000_000}


@dataclass(frozen=True)
class Cell:
    """What came of one fault, with nothing kept or with all of it. `wrong` is empty where the promises held."""

    fault: Fault
    uscc: str
    kept: bool
    told: Section
    seconds: float
    late: bool
    wrong: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether every promise held."""
        return not self.late and not self.wrong


@dataclass
class Matrix:
    """Asks for the cells, each about a subject of its own."""

    asker: Asker
    knowledge: Knowledge
    budget: float
    fresh: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.fresh = iter(self.knowledge.usccs)

    async def cell(self, fault: Fault, uscc: str | None, *, kept: bool) -> Cell:
        """One cell; asked again about another subject where all that went wrong is the time."""
        for attempt in range(ATTEMPTS):
            made = await self._cell(fault, uscc or next(self.fresh), kept=kept)
            if made.held or attempt == ATTEMPTS - 1 or not all("TIMEOUT" in wrong for wrong in made.wrong):
                break
            uscc = None
        return made

    async def _cell(self, fault: Fault, uscc: str, *, kept: bool) -> Cell:
        asker, upstream = self.asker, self.asker.upstreams[fault.source]
        variables = {"uscc": uscc, "consent": await asker.consent(uscc)}
        own = (await asker.ask(OWN, variables)).subject
        wrong: list[str] = []
        if kept:  # which shows, too, that the source is asked again when its fault is gone
            wrong += self._not_whole(uscc, own, await asker.ask(WHOLE, variables), SOURCES, "before the fault")
        await upstream.fault(fault.name, fault.service, **fault.options, **({} if fault.alone else {"uscc": uscc}))
        reply = await asker.ask(WHOLE, variables)
        others = [source for source in SOURCES if source != fault.source]
        wrong += self._not_whole(uscc, own, reply, others, "beside the fault")
        told = sections(reply.subject)[fault.source]
        wrong += self.untrue(fault, uscc, told, kept=kept)
        if fault.alone:
            await upstream.heal()
            await self.recovered(uscc, variables["consent"])
        return Cell(fault, uscc, kept, told, reply.seconds, reply.seconds > self.budget + SLACK, tuple(wrong))

    def _not_whole(
        self, uscc: str, own: dict[str, Any], reply: Reply, sources: Iterable[str], when: str
    ) -> Iterator[str]:
        subject = reply.subject
        if {name: subject[name] for name in own} != own:
            yield f"{when}: local records are not whole"
        found = sections(subject)
        for source in sources:
            if found[source] != Section("ANSWERED", None, self.knowledge.rows[uscc][source]):
                yield f"{when}: {source} is {found[source]}"

    def untrue(self, fault: Fault, uscc: str, told: Section, *, kept: bool) -> Iterator[str]:
        """What the section of the source with the fault says that it may not."""
        shown_stale = kept and fault.source != BANKS  # banks' answers are kept nowhere
        status = "STALE" if shown_stale else fault.status
        if told.status != status or told.reason not in fault.reasons:
            yield f"{told.status} {told.reason} instead of {status} {' or '.join(fault.reasons)}"
        true = self.knowledge.rows[uscc][fault.source]
        if shown_stale and told.rows != true:
            yield "what was kept is not whole"
        elif not shown_stale and fault.service == "*" and not told.empty:
            yield "rows beside a failure"
        elif any(rows and rows != true[name] for name, rows in told.rows.items()):
            yield "rows that are not the subject's"

    async def recovered(self, uscc: str, consent: str) -> None:
        """Until every source answers about a subject: 10 s at most."""
        for _ in range(100):
            found = sections((await self.asker.ask(WHOLE, {"uscc": uscc, "consent": consent})).subject)
            if all(section.status == "ANSWERED" for section in found.values()):
                return
            await asyncio.sleep(0.1)
        raise SystemExit(f"not recovered: {found}")

    async def run(self, faults: Sequence[Fault], together: int, said: Callable[[Cell], None]) -> list[Cell]:
        """Every fault cold and kept; those that concern nobody else several at once."""
        cells: list[Cell] = []

        async def one(fault: Fault, uscc: str | None, kept: bool) -> None:
            cells.append(await self.cell(fault, uscc, kept=kept))
            said(cells[-1])

        groups = (
            ([fault for fault in faults if not (fault.heavy or fault.alone)], together),
            ([fault for fault in faults if fault.heavy or fault.alone], 1),
        )
        for group, width in groups:
            await _several([partial(one, fault, None, False) for fault in group], width)
            await self.asker.heal()
            subjects = {id(cell.fault): cell.uscc for cell in cells}
            await _several([partial(one, fault, subjects[id(fault)], True) for fault in group], width)
            await self.asker.heal()
        for number, cell in enumerate(cells):
            if cell.late and not cell.wrong:  # alone, too? Beside others a busy machine decides
                cells[number] = await self.cell(cell.fault, None, kept=cell.kept)
                await self.asker.heal()
        place = {id(fault): number for number, fault in enumerate(faults)}
        return sorted(cells, key=lambda cell: (place[id(cell.fault)], cell.kept))


async def _several(todo: Sequence[Callable[[], Awaitable[None]]], width: int) -> None:
    """All of them, so many at once."""
    slots = asyncio.Semaphore(width)

    async def one(make: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            await make()

    async with asyncio.TaskGroup() as group:
        for make in todo:
            group.create_task(one(make))


async def measure(
    stage: Stage, budget: float, faults: Sequence[Fault], together: int, said: Callable[[Cell], None] = print
) -> list[Cell]:
    """All cells, for each fault the one with nothing kept first; `said` is told each as it ends."""
    async with stage.asker() as asker:
        matrix = Matrix(asker, stage.knowledge, budget)
        first = next(matrix.fresh)  # connections, tokens, plans: not what is measured
        await matrix.recovered(first, await asker.consent(first))
        return await matrix.run(faults, together, said)


# The table -----------------------------------------------------------------------------------------------------------

HEADS = ("source", "fault", "nothing kept", "time", "kept", "time", "others whole")


def table(cells: Sequence[Cell], budget: float) -> list[str]:
    """The table as Markdown, a line for each fault of each source."""
    made = [_line(HEADS), _line(["---"] * len(HEADS))]
    for cold, kept in zip(cells[::2], cells[1::2], strict=True):
        said = [f"{cell.told.status} {cell.told.reason}" for cell in (cold, kept)]
        times = [f"{cell.seconds:.2f} s" for cell in (cold, kept)]
        whole = "yes" if not any("beside" in wrong for cell in (cold, kept) for wrong in cell.wrong) else "**no**"
        made.append(_line((cold.fault.source, cold.fault.title, said[0], times[0], said[1], times[1], whole)))
    late = sum(cell.late for cell in cells)
    return [
        *made,
        "",
        f"- {len(cells)} cells; budget of each source {budget:.1f} s; slowest {max(c.seconds for c in cells):.2f} s; "
        f"{late} beyond the budget and 100 ms.",
        f"- Cells that were not as they must be: {sum(bool(cell.wrong) for cell in cells)}.",
    ]


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", type=float, default=1.0, help="of each source, in seconds")
    parser.add_argument("--together", type=int, default=4, help="cells at once")
    parser.add_argument("--only", default="", help="faults whose source and title have this text")
    parser.add_argument("--write", action="store_true", help="write the table into docs/faults.md")
    options = parser.parse_args(arguments)
    faults = [fault for fault in FAULTS if options.only in f"{fault.source} {fault.title}"]

    def said(cell: Cell) -> None:
        ends = "" if cell.held else f"   {'late ' * cell.late}{'; '.join(cell.wrong)}"
        kept = "kept" if cell.kept else "cold"
        print(f"{cell.fault.source} {cell.fault.title} {kept}: {cell.seconds:.2f} s{ends}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="source-faults-") as name:
        folder = Path(name)
        with furnished(folder) as of:
            knowledge = Knowledge(of.usccs)
            with (
                sandboxes(folder, knowledge.files(folder)) as urls,
                serving(of, urls, knowledge, budget=options.budget, **LIMITS) as stage,
            ):
                cells = asyncio.run(measure(stage, options.budget, faults, options.together, said))
    lines = table(cells, options.budget)
    print("\n".join(lines))
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n\n" + "\n".join(lines) + f"\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")
    return 0 if all(cell.held for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
