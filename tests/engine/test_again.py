"""Promise: a statement that is asked a second time, because its connection broke, writes disclosures of its own. The
first may have been committed: then two rows tell of one answer, which is allowed; an answer without its row is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from gateway.engine import statements, together
from gateway.engine.account import Disclosure, cells, with_new_ids
from gateway.engine.execute import Engine, Limits, Request
from gateway.engine.together import Together
from gateway.errors import StorageUnavailable
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.faults import NoLane
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.test_together import STATEMENT, Slow
from tests.machine import stopwatch
from tests.storage.eventually import eventually

SHARED = ("query S($uscc: Uscc!) { subject(uscc: $uscc) { name } }", {"uscc": small_world.FIRM})
ALONE = ("query L($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name } }", {"usccs": [small_world.FIRM]})


class InStatement:
    """An account whose statements write their disclosures themselves; told nothing here."""

    in_statement = True

    async def record(self, disclosure: Disclosure) -> None:
        raise AssertionError(disclosure)

    async def tell(self, disclosure: Disclosure) -> None:
        """Nothing is kept here."""


@pytest.mark.parametrize(
    ("question", "reader", "asked"), [(SHARED, (together, "cut"), 3), (ALONE, (statements, "_answered"), 1)]
)
async def test_an_answer_after_a_second_attempt_has_its_disclosure(
    world: World,
    database: Database,
    owner: asyncpg.Connection[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
    question: tuple[str, dict[str, Any]],
    reader: tuple[Any, str],
    asked: int,
) -> None:
    """The first reply is lost after its commit: what the second attempt answers has rows of its own."""
    limits = Limits(50_000, 5_000, storage=20.0)
    engine = Engine(build_contracts(), world.engine._pools, InStatement(), world.sources, limits)  # type: ignore[arg-type]
    case = f"again {reader[1]}"
    who = replace(world.principal("restricted"), case_number=case)
    true, attempts = getattr(*reader), 0

    def lost(*arguments: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise IndexError("the reply ends in the middle")
        return true(*arguments)

    monkeypatch.setattr(*reader, lost)
    answers = await asyncio.gather(*(engine.answer(who, Request(question[0], None, question[1])) for _ in range(asked)))
    assert all("name" in json.dumps(json.loads(answer)["data"]) for answer in answers)
    rows = await owner.fetch("select id from ledger.disclosure where case_number = $1", case)
    assert len(rows) == len({row["id"] for row in rows}) == 2 * asked


def test_new_ids_and_nothing_else() -> None:
    one = cells(Disclosure("c", "o", "RESTRICTED", "m", "case", "ANSWERED"))
    for count in (1, 3):
        before = [b"\x1d".join([one] * count), "code", 20]
        after = with_new_ids(before)
        assert after[1:] == before[1:]
        lines = [line.split(b"\x1f") for line in after[0].split(b"\x1d")]
        assert len({line[0] for line in lines} | {one.split(b"\x1f")[0]}) == count + 1
        assert [line[1:] for line in lines] == [one.split(b"\x1f")[1:]] * count


async def test_each_request_of_a_statement_is_told_by_its_own_deadline() -> None:
    pool, shared = Slow(), Together(width=1)
    began = time.monotonic()

    async def ask(code: str, seconds: float) -> tuple[float, float]:
        with pytest.raises(StorageUnavailable):
            await shared.row("restricted", pool, STATEMENT, [code, code, 1], 1, began + seconds)
        return time.monotonic() - began - seconds, own() - seconds

    with stopwatch() as own:
        late = await asyncio.gather(*(ask(f"C{n}", 0.1 * n) for n in range(1, 9)))
    assert min(late)[0] >= 0
    assert max(own for _, own in late) < 1


class Cancelled(Slow):
    """A pool that remembers who was cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = 0

    async def fetch(self, *arguments: Any, **more: Any) -> Any:
        try:
            return await super().fetch(*arguments, **more)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def leave(pool: Cancelled, leavers: Sequence[int]) -> list[asyncio.Task[Any]]:
    shared = Together(width=1)
    calls = [asyncio.create_task(shared.row("restricted", pool, STATEMENT, [c, c, 1], 1)) for c in "ABC"]
    await asyncio.sleep(0.05)
    for place in leavers:
        calls[place].cancel()
    await asyncio.sleep(0.6)
    return calls


async def test_a_statement_that_all_have_left_is_cancelled() -> None:
    pool = Cancelled()
    await leave(pool, [0, 1, 2])
    assert await eventually(lambda: pool.cancelled)
    assert pool.cancelled == 1


async def test_one_who_stays_keeps_the_statement() -> None:
    pool = Cancelled()
    calls = await leave(pool, [0, 2])
    assert pool.cancelled == 0
    pool.let.set()
    assert (await calls[1])["body"] == b"B"


@pytest.mark.long
async def test_a_slow_statement_does_not_hold_back_the_next() -> None:
    """It may be the connection that is slow: the next ones of the group are asked beside it, up to a bound."""
    pool, shared = Slow(), Together(width=1)
    calls: list[asyncio.Task[Any]] = []
    for number in range(6):
        calls.append(asyncio.create_task(shared.row("restricted", pool, STATEMENT, [f"C{number}", "i", 1], 1)))
        await asyncio.sleep(0.8)
    assert [len(arguments[0].split(",")) for arguments in pool.asked] == [1, 1, 1, 1]
    pool.let.set()
    rows = await asyncio.gather(*calls)
    assert [row["body"] for row in rows] == [f"C{number}".encode() for number in range(6)]
    assert shared._groups == {}


async def test_no_database_is_told_to_all_who_wait_and_another_fault_is_not() -> None:
    for cause, told in ((NoLane(), 2), (OSError(), 1)):
        pool, shared = Slow(), Together(width=1)
        pool.fault, pool.fault.__cause__ = StorageUnavailable("no", "否"), cause
        first = asyncio.create_task(shared.row("restricted", pool, STATEMENT, ["A", "A", 1], 1))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(shared.row("restricted", pool, STATEMENT, ["B", "B", 1], 1))
        await asyncio.sleep(0.05)
        pool.let.set()
        await asyncio.gather(first, second, return_exceptions=True)
        assert len(pool.asked) == 3 - told
