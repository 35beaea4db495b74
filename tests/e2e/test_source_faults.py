"""Promises: whatever goes wrong at one of the four sources, with nothing kept or with all of it, the answer comes
within the budget and 100 ms, says the right status and reason, never "no record", and everything else in it is whole
(scripts/source_faults.py; docs/faults.md has the table). A breaker opens for its own source, and closes again."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.source_fault_list import FAULTS
from scripts.source_faults import HEADS, LIMITS, MARKS, PAGE, Cell, Matrix, measure, table
from scripts.source_knowledge import (
    BANKS,
    SOURCES,
    WHOLE,
    Knowledge,
    Section,
    sections,
)
from scripts.source_stage import Furnished, Reply, furnished, sandboxes, serving

BUDGET = 0.6
NO_RECORD = ("ANSWERED", "CACHED")  # with an empty list beside it


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Furnished, Knowledge, dict[str, str]]]:
    """A furnished database and the upstreams; each test starts the gateway that it needs."""
    folder = tmp_path_factory.mktemp("faults")
    with furnished(folder) as of:
        knowledge = Knowledge(of.usccs)
        with sandboxes(folder, knowledge.files(folder)) as urls:
            yield of, knowledge, urls


def test_every_source_has_at_least_fifteen_faults() -> None:
    assert min(Counter(fault.source for fault in FAULTS).values()) >= 15
    assert {fault.source for fault in FAULTS} == {*SOURCES}


async def test_every_fault_of_every_source_with_nothing_kept_and_with_all(
    ground: tuple[Furnished, Knowledge, dict[str, str]],
) -> None:
    of, knowledge, urls = ground
    with serving(of, urls, knowledge, budget=BUDGET, **LIMITS) as stage:
        cells = await measure(stage, BUDGET, FAULTS, 6, lambda cell: None)
    print("\n".join(table(cells, BUDGET)))
    assert len(cells) == 2 * len(FAULTS)
    assert [(c.fault.source, c.fault.title, c.kept, c.seconds, c.wrong) for c in cells if not c.held] == []
    assert all(cell.told.status not in NO_RECORD for cell in cells)
    assert all(cell.told.reason for cell in cells)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_breaker_opens_for_its_source_alone_and_one_trial_closes_it(
    ground: tuple[Furnished, Knowledge, dict[str, str]], source: str
) -> None:
    of, knowledge, urls = ground
    budget = 2 * BUDGET  # the other sources must answer within it, on a machine that may pause
    limits = {**LIMITS, "breaker_failures": 3, "breaker_seconds": 1.5}
    with serving(of, urls, knowledge, budget=budget, **limits) as stage:
        async with stage.asker() as asker:
            subjects = iter(of.usccs[15 * SOURCES.index(source) - 60 :])
            upstream = asker.upstreams[source]

            async def ask() -> tuple[Section, Reply]:
                uscc = next(subjects)
                reply = await asker.ask(WHOLE, {"uscc": uscc, "consent": await asker.consent(uscc)})
                found = sections(reply.subject)
                for other in {*SOURCES} - {source}:
                    assert found[other] == Section("ANSWERED", None, knowledge.rows[uscc][other])
                return found[source], reply

            assert (await ask())[0].status == "ANSWERED"
            await upstream.fault("black_hole")
            told = [(await ask())[0].reason for _ in range(3)]
            assert told[0] == "TIMEOUT"  # of the courts, whose four calls are four failures, the first alone
            await _forget(asker.upstreams[source])
            section, reply = await ask()
            assert (section.status, section.reason, section.empty) == ("UNAVAILABLE", "BREAKER_OPEN", True)
            assert reply.seconds < budget
            assert await upstream.calls() == []
            # Half open: one trial, however many ask; it fails, and the breaker is open for its time again.
            await asyncio.sleep(1.6)
            await asyncio.gather(*(ask() for _ in range(4)))
            assert len(await upstream.calls()) == 1
            await upstream.heal()
            await asyncio.sleep(1.6)
            states = [(await ask())[0].status for _ in range(3)]
            assert states[-1] == "ANSWERED"


async def _forget(upstream: object) -> None:
    async with upstream.session.delete(f"{upstream.url}/_calls") as reply:  # type: ignore[attr-defined]
        assert reply.status == 204


# The check itself ----------------------------------------------------------------------------------------------------


def _cell(**changes: object) -> Cell:
    told = Section("UNAVAILABLE", "TIMEOUT", {"records": ()})
    return replace(Cell(FAULTS[0], "u", False, told, 0.5, False, ()), **changes)  # type: ignore[arg-type]


def test_a_late_and_a_wrong_cell_are_found() -> None:
    assert _cell().held
    assert not _cell(late=True).held
    assert not _cell(wrong=("rows beside a failure",)).held


def test_a_false_status_rows_beside_a_failure_and_a_part_that_lacks_are_found(tmp_path: Path) -> None:
    knowledge = Knowledge(["91652701MA0000000X"])
    uscc = knowledge.usccs[0]
    matrix = Matrix(None, knowledge, 1.0)  # type: ignore[arg-type]
    fault = next(fault for fault in FAULTS if fault.source == "COURTS" and fault.name == "html")
    empty = dict.fromkeys(knowledge.rows[uscc]["COURTS"], ())
    true = knowledge.rows[uscc]["COURTS"]

    def wrong(status: str, reason: str | None, rows: dict[str, tuple[str, ...]], *, kept: bool) -> list[str]:
        return list(matrix.untrue(fault, uscc, Section(status, reason, rows), kept=kept))

    assert wrong("UNAVAILABLE", "MALFORMED", empty, kept=False) == []
    assert wrong("STALE", "MALFORMED", dict(true), kept=True) == []
    assert wrong("ANSWERED", None, empty, kept=False)  # "no record"
    assert wrong("UNAVAILABLE", "TIMEOUT", empty, kept=False)
    assert wrong("UNAVAILABLE", "MALFORMED", dict(true), kept=False)
    assert wrong("STALE", "MALFORMED", empty, kept=True)
    banks = next(fault for fault in FAULTS if fault.source == BANKS and fault.name == "html")
    kept = Section("STALE", "MALFORMED", knowledge.rows[uscc][BANKS])
    assert list(matrix.untrue(banks, uscc, kept, kept=True))  # banks' answers are kept nowhere


def test_the_page_has_a_line_for_every_fault() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = page.partition(MARKS[0])[2].partition(MARKS[1])[0]
    lines = re.findall(
        r"^\| ([A-Z]\w+) \| ([^|]+) \| ([^|]+) \| [\d.]+ s \| ([^|]+) \| [\d.]+ s \| (\S+) \|$", made, re.M
    )
    assert " | ".join(HEADS) in made
    assert [(source, title) for source, title, *_ in lines] == [(fault.source, fault.title) for fault in FAULTS]
    for (source, title, cold, kept, whole), fault in zip(lines, FAULTS, strict=True):
        status = fault.status if source == BANKS else "STALE"
        assert cold in [f"{fault.status} {reason}" for reason in fault.reasons], title
        assert kept in [f"{status} {reason}" for reason in fault.reasons], title
        assert whole == "yes"
