"""Requests that share a statement: each gets its own row and no other's, and a fault is told to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.engine.execute import Request
from gateway.engine.sql import Statement
from gateway.engine.together import Together
from gateway.errors import StorageUnavailable
from tests.engine import small_world
from tests.engine.conftest import World

STATEMENT = Statement("select", (), keyed=True, keys=(0, 1))


class Slow:
    """A pool that answers when it is let, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.let = asyncio.Event()
        self.fault: Exception | None = None
        self.swap = False
        self.longer = 0

    async def fetch(self, sql: str, arguments: Sequence[Any], scope: str | None = None) -> list[dict[str, Any]]:
        self.asked.append(list(arguments))
        await self.let.wait()
        if self.fault is not None:
            raise self.fault
        codes = arguments[0].split(",")
        lengths = [len(code) + self.longer for code in codes]
        keys = ",".join(reversed(codes) if self.swap else codes).encode()
        return [
            {
                "body": "".join(codes).encode(),
                "lengths": ",".join(map(str, lengths)).encode(),
                "keys": keys,
                "shown": ";".join(f"id of {code}" for code in codes).encode(),
                "snapshot": b"1:1:",
            }
        ]


async def asked(pool: Slow, together: Together, codes: Sequence[str], other: Any = 20) -> list[Any]:
    """All at once; their rows or errors."""
    calls = [together.row("restricted", pool, STATEMENT, [code, f"id of {code}", other]) for code in codes]
    gathered = asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(0.01)
    pool.let.set()
    return await gathered


async def test_each_gets_its_own_row() -> None:
    pool = Slow()
    codes = [f"C{n}" for n in range(50)]
    rows = await asked(pool, Together(width=1), codes)
    assert [(row["body"].decode(), row["shown"].decode()) for row in rows] == [(c, f"id of {c}") for c in codes]
    assert len(pool.asked) == 4  # 16 at most in one
    assert pool.asked[0][1].split(",")[0] == "id of C0"


async def test_what_comes_at_once_is_shared_out_and_what_comes_later_is_not_split() -> None:
    pool = Slow()
    together = Together(width=3)
    first = asyncio.create_task(asked(pool, together, [f"A{n}" for n in range(9)]))
    await asyncio.sleep(0.003)  # the statements are under way, and none has an answer
    await asked(pool, together, [f"B{n}" for n in range(4)])
    await first
    assert [len(arguments[0].split(",")) for arguments in pool.asked] == [3, 3, 3, 4]


async def test_what_differs_is_not_shared() -> None:
    pool = Slow()
    together = Together(width=1)
    first = asyncio.create_task(asked(pool, together, ["A", "B"], other=20))
    await asked(pool, together, ["A", "B"], other=[10])
    await first
    assert sorted(map(str, pool.asked)) == [
        "['A,B', 'id of A,id of B', 20]",
        "['A,B', 'id of A,id of B', [10]]",
    ]


async def test_a_fault_is_told_to_each() -> None:
    pool = Slow()
    pool.fault = StorageUnavailable("no", "否")
    assert all(isinstance(row, StorageUnavailable) for row in await asked(pool, Together(), ["A", "B", "C"]))


async def test_a_row_about_another_code_reaches_nobody() -> None:
    pool = Slow()
    pool.swap = True
    rows = await asked(pool, Together(width=1), ["A", "B"])
    assert all(isinstance(row, RuntimeError) for row in rows)


async def test_answers_that_can_not_be_told_apart_reach_nobody() -> None:
    pool = Slow()
    pool.longer = 1
    rows = await asked(pool, Together(width=1), ["A", "B"])
    assert all(isinstance(row, RuntimeError) for row in rows)


async def test_who_leaves_takes_nobody_along() -> None:
    pool = Slow()
    together = Together(width=1)
    calls = [asyncio.create_task(together.row("restricted", pool, STATEMENT, [c, c, 1])) for c in "ABC"]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.sleep(0.01)
    pool.let.set()
    assert [(await call)["body"] for call in (calls[0], calls[2])] == [b"A", b"C"]
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    assert together._groups == {}


async def test_through_the_engine_answers_and_disclosures_stay_apart(world: World) -> None:
    """Two clients, the public and one who is narrowed ask at once: answers, ids shown and errors are their own."""
    query = "query S($uscc: Uscc!) { subject(uscc: $uscc) { uscc name onRecord legalRepresentative } }"
    world.account.disclosures.clear()
    askers = [world.principal("restricted"), world.principal("public")]
    askers.append(world.principal("restricted_scoped", kinds=["ENTERPRISE"]))
    codes = [small_world.FIRM, small_world.SHOP, small_world.STRANGER] * 5
    answers = await asyncio.gather(
        *(world.engine.answer(who, Request(query, None, {"uscc": uscc})) for who in askers for uscc in codes)
    )
    alone = {}
    for number, who in enumerate(askers):
        for place, uscc in enumerate(codes):
            expected = alone.setdefault(
                (number, uscc), await world.engine.answer(who, Request(query, None, {"uscc": uscc}))
            )
            assert answers[number * len(codes) + place] == expected
    # The two on record, not on record, null for the public, and FORBIDDEN, the same for both that the third lacks.
    assert len(set(answers)) == 5
    for disclosure in world.account.disclosures:
        assert str(disclosure.variables).count("L000") == 1
        assert bytes(disclosure.subject_ids).count(b",") == 0
