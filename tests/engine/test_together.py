"""Requests that share a statement: each gets its own row and no other's, and a fault is told to each of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import pytest

from gateway.engine import scans
from gateway.engine import together as together_module
from gateway.engine.execute import Request
from gateway.engine.sql import Statement
from gateway.engine.together import Together, width
from gateway.errors import StorageUnavailable
from tests.engine import small_world
from tests.engine.conftest import World

STATEMENT = Statement("select", (), keyed=True, keys=(0, 1))


class Slow:
    """A pool that answers when it is let, and remembers what it was asked."""

    def __init__(self, place: int = 0) -> None:
        self.place = place  # of the codes
        self.asked: list[list[Any]] = []
        self.let = asyncio.Event()
        self.fault: Exception | None = None
        self.swap = False
        self.longer = 0
        self.disclosed: int | None = None
        self.guilty = ""

    async def fetch(self, sql: str, arguments: Sequence[Any], *, read: Callable[[Any], Any], **_: Any) -> Any:
        self.asked.append(list(arguments))
        await self.let.wait()
        if self.fault is not None:
            raise self.fault
        codes = arguments[self.place].split(",")
        if self.guilty in codes:
            raise StorageUnavailable("no", "否") from asyncpg.DataError("no")
        lengths = [len(code) + self.longer for code in codes]
        keys = ",".join(reversed(codes) if self.swap else codes).encode()
        return read([self.row(codes, lengths, keys)])

    def row(self, codes: list[str], lengths: list[int], keys: bytes) -> dict[str, Any]:
        return {
            "body": "".join(codes).encode(),
            "lengths": ",".join(map(str, lengths)).encode(),
            "keys": keys,
            "shown": ";".join(f"id of {code}" for code in codes).encode(),
            "snapshot": b"1:1:",
            "disclosed": self.disclosed,
        }


async def asked(pool: Slow, together: Together, codes: Sequence[str], other: Any = 20) -> list[Any]:
    """All at once; their rows or errors."""
    calls = [together.row("restricted", pool, STATEMENT, [code, f"id of {code}", other]) for code in codes]
    gathered = asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(0.01)
    pool.let.set()
    return await gathered


class Stuck(Slow):
    """Refuses what several ask for, and never answers one."""

    async def fetch(self, sql: str, arguments: Sequence[Any], **_: Any) -> Any:
        if "," in arguments[self.place]:
            raise StorageUnavailable("no", "否") from asyncpg.DataError("no")
        await asyncio.Event().wait()


async def test_who_has_not_been_asked_for_again_is_told_when_it_stops() -> None:
    together = Together(width=1)
    calls = [together.row("restricted", Stuck(), STATEMENT, [f"C{n}", f"id {n}", 20]) for n in range(4)]
    gathered = asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(0.01)
    for task in [*together._tasks]:
        task.cancel()
    async with asyncio.timeout(5):
        assert [type(found) for found in await gathered] == [asyncio.CancelledError] * 4


async def test_each_gets_its_own_row() -> None:
    pool = Slow()
    codes = [f"C{n}" for n in range(50)]
    rows = await asked(pool, Together(width=1), codes)
    assert [(row["body"].decode(), row["shown"].decode()) for row in rows] == [(c, f"id of {c}") for c in codes]
    # A queue goes in halves, 16 at least: while PostgreSQL has one the other is ours.
    assert [len(arguments[0].split(",")) for arguments in pool.asked] == [25, 16, 9]
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
    assert all(isinstance(row, StorageUnavailable) for row in await asked(pool, Together(width=1), ["A", "B", "C"]))


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


ACCOUNTING = Statement("select", (), keyed=True, keys=(1,), accounts=True)


async def with_cells(pool: Slow, codes: Sequence[str]) -> list[Any]:
    """All at once, each with a disclosure of its own client."""
    together = Together(width=1)
    pool.let.set()
    calls = [together.row("restricted", pool, ACCOUNTING, [f"id {c}\x1fclient {c}".encode(), c]) for c in codes]
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize(("waiting", "writes", "expected"), [(300, True, 2), (300, False, 1), (60, True, 1)])
async def test_one_that_writes_has_another_beside_it_where_many_wait(waiting: int, writes: bool, expected: int) -> None:
    """While PostgreSQL waits for the disk it has something to do."""
    pool, together = Slow(place=int(writes)), Together(width=1)
    own: list[Any] = [b""] if writes else []
    statement = ACCOUNTING if writes else STATEMENT
    more = [] if writes else ["id", 20]
    calls = asyncio.gather(
        *[together.row("restricted", pool, statement, [*own, f"C{n}", *more]) for n in range(waiting)],
        return_exceptions=True,
    )
    await asyncio.sleep(0.02)
    assert len(pool.asked) == expected
    calls.cancel()
    pool.let.set()
    await asyncio.sleep(0.02)


async def test_disclosures_of_all_go_with_the_statement() -> None:
    """Who asks and why may differ from request to request: it is no reason for a statement of its own."""
    pool = Slow(place=1)
    pool.disclosed = 3
    rows = await with_cells(pool, ["A", "B", "C"])
    assert [(row["body"], row["disclosed"]) for row in rows] == [(b"A", 1), (b"B", 1), (b"C", 1)]
    (arguments,) = pool.asked
    assert arguments[0] == b"id A\x1fclient A\x1did B\x1fclient B\x1did C\x1fclient C"


async def test_fewer_disclosures_than_answers_and_nobody_gets_one() -> None:
    pool = Slow(place=1)
    pool.disclosed = 2
    assert all(isinstance(row, RuntimeError) for row in await with_cells(pool, ["A", "B", "C"]))


async def test_data_that_the_database_refuses_is_refused_alone() -> None:
    pool = Slow(place=1)
    pool.guilty, pool.disclosed = "B", 1
    rows = await with_cells(pool, ["A", "B", "C"])
    assert (rows[0]["body"], rows[2]["body"]) == (b"A", b"C")
    assert isinstance(rows[1], StorageUnavailable)
    assert len(pool.asked) == 4


async def test_what_costs_much_shares_no_statement_and_what_costs_more_shares_less() -> None:
    """A group is as quick as one of its requests, or nearly: plans that may read many rows are not put together."""
    pool = Slow()
    pool.let.set()
    together = Together(width=1)
    codes = [f"C{n}" for n in range(12)]
    for cost, expected in ((5_000, [1] * 12), (2_000, [4, 4, 4]), (10, [12])):
        pool.asked.clear()
        await asyncio.gather(*(together.row("restricted", pool, STATEMENT, [c, c, 1], cost) for c in codes))
        assert [len(arguments[0].split(",")) for arguments in pool.asked] == expected


async def test_a_statement_that_took_too_long_is_not_tried_again_as_it_was() -> None:
    pool = Slow()
    pool.fault, pool.fault.__cause__ = StorageUnavailable("no", "否"), TimeoutError()
    together = Together(width=1)
    calls = [asyncio.create_task(together.row("restricted", pool, STATEMENT, [c, c, 1])) for c in "ABCDEFGH"]
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(together.row("restricted", pool, STATEMENT, [c, c, 1])) for c in "IJKLMNOP"]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(pool.let.set)
    outcomes = await asyncio.gather(*calls, *later, return_exceptions=True)
    assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    # Those that waited were asked for, in smaller and smaller statements.
    assert [len(arguments[0].split(",")) for arguments in pool.asked] == [8, 4, 2, 1, 1]


@pytest.mark.parametrize(
    ("processors", "workers", "expected"),
    [(1, 1, 1), (2, 1, 1), (4, 1, 3), (16, 1, 3), (8, 4, 1), (8, 8, 1), (64, 8, 3)],
)
def test_width(processors: int, workers: int, expected: int) -> None:
    assert width(processors, workers) == expected


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


class GivenUp:
    """A pool whose first statement takes too long, committed or not; the others fail."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []

    async def fetch(self, sql: str, arguments: Sequence[Any], **_: Any) -> Any:
        self.asked.append(list(arguments))
        if len(self.asked) == 1:
            await asyncio.get_running_loop().create_future()
        raise StorageUnavailable("no", "否")


async def test_who_asks_by_itself_after_a_statement_was_given_up_is_disclosed_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together_module, "TRIED", 0.01)
    monkeypatch.setattr(together_module, "_SLOW", 0.01)
    monkeypatch.setattr(together_module, "_LOOK", 0.01)
    statement = Statement("select", (), keyed=False, apiece=(1,), accounts=True)
    pool, together = GivenUp(), Together(width=1)
    calls = [together.row("restricted", pool, statement, [f"id {c}\x1fclient {c}".encode(), [c]]) for c in "AB"]
    assert all(isinstance(one, StorageUnavailable) for one in await asyncio.gather(*calls, return_exceptions=True))
    assert [arguments[1] for arguments in pool.asked] == [["A", "B"], ["A"], ["B"]]
    lines = [line.split(b"\x1f") for arguments in pool.asked for line in arguments[0].split(b"\x1d")]
    assert len({id for id, _ in lines}) == 4
    assert [client for _, client in lines] == [b"client A", b"client B"] * 2
    assert not together._apart  # each by itself was quick: it may have been the disk


# Lists that take long -------------------------------------------------------------------------------------------------

LISTS = Statement("select", (), keyed=False, apiece=(0,))


class Rare(Slow):
    """A pool whose statements last for ever, but for those of lists without a rare filter."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0  # lasting ones under way of those that had been given up before
        self.ended: set[str] = set()

    async def fetch(self, sql: str, arguments: Sequence[Any], *, read: Callable[[Any], Any], **_: Any) -> Any:
        (texts,) = arguments
        self.asked.append(list(texts))
        if any(text.startswith("rare") for text in texts):
            again = len(texts) == 1 and texts[0] in self.ended
            self.now += again
            self.most = max(self.most, self.now)
            try:
                await (asyncio.sleep(0.05) if again else asyncio.get_running_loop().create_future())
            finally:
                self.now -= again
                if len(texts) == 1:
                    self.ended.add(texts[0])
        lengths = [len(text) for text in texts]
        return read([self.row(list(texts), lengths, "\x1d".join(texts).encode())])


@pytest.mark.parametrize("controlled", [True, False])
async def test_what_takes_long_by_itself_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch, controlled: bool) -> None:
    """Others are asked beside it. Without the control all that take long are under way at once."""
    monkeypatch.setattr(together_module, "TRIED", 0.01)
    monkeypatch.setattr(together_module, "_LOOK", 0.01)
    if not controlled:
        monkeypatch.setattr(scans.Scans, "turn", lambda *_: contextlib.nullcontext())
    pool, together = Rare(), Together(width=1)
    until = time.monotonic() + 60.0
    rare = [together.row("public", pool, LISTS, [[f"rare {n}"]], 1, until, reads_all=True) for n in range(6)]
    waiting = asyncio.gather(*rare)
    await asyncio.sleep(0.03)
    quick = await asyncio.gather(*[together.row("public", pool, LISTS, [[f"{n}"]], 1, until) for n in range(20)])
    assert [row["body"] for row in quick] == [f"{n}".encode() for n in range(20)]
    assert [row["body"] for row in await waiting] == [f"rare {n}".encode() for n in range(6)]
    assert (pool.most == 1) == controlled
    assert together._groups == {}


async def test_lists_that_cost_much_take_turns_too() -> None:
    """What asks by itself because it costs much is no way around the turns."""
    pool, together = Rare(), Together(width=1)
    calls = [together.row("public", pool, LISTS, [[f"rare {n}"]], 20_000) for n in range(12)]
    gathered = asyncio.gather(*calls)
    await asyncio.sleep(0.05)
    assert len(pool.asked) == 4
    gathered.cancel()
    await asyncio.sleep(0.02)


async def test_a_search_that_takes_long_by_itself_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads no more than so many names: the disk is slow, or the machine, and nobody is refused for that."""
    monkeypatch.setattr(together_module, "TRIED", 0.01)
    monkeypatch.setattr(together_module, "_SLOW", 0.05)
    monkeypatch.setattr(together_module, "_LOOK", 0.01)

    class Stalled(Slow):
        """A pool that takes long for everything at first."""

        async def fetch(self, sql: str, arguments: Sequence[Any], *, read: Callable[[Any], Any], **_: Any) -> Any:
            (texts,) = arguments
            self.asked.append(list(texts))
            await asyncio.sleep(0.3 if len(self.asked) < 4 else 0.0)
            return read([self.row(list(texts), [len(text) for text in texts], "\x1d".join(texts).encode())])

    pool, together = Stalled(), Together(width=1)
    until = time.monotonic() + 60.0
    rows = await asyncio.gather(*[together.row("public", pool, LISTS, [[f"{n}"]], 1, until) for n in range(3)])
    assert [row["body"] for row in rows] == [b"0", b"1", b"2"]
    assert [len(texts) for texts in pool.asked] == [3, 1, 1, 1]  # together, then each by itself, and to its end


@pytest.mark.parametrize("controlled", [True, False])
async def test_while_the_process_stands_still_no_statement_is_slow(
    monkeypatch: pytest.MonkeyPatch, controlled: bool
) -> None:
    """Without the control, statements that were answered long ago are given up before that is read."""
    monkeypatch.setattr(together_module, "TRIED", 0.4)
    if not controlled:
        monkeypatch.setattr(Together, "_looked", property(lambda _: time.monotonic(), lambda *_: None), raising=False)
    pool, together = Slow(), Together(width=1)
    calls = [together.row("public", pool, LISTS, [[f"{n}"]], 1, reads_all=True) for n in range(3)]
    waiting = asyncio.gather(*calls)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert len(pool.asked) == 1
    asked = next(iter(next(iter(together._groups.values())).asked))
    time.sleep(1.0)  # noqa: ASYNC251 - the process stands still
    together._look()
    assert asked.apart != controlled
    waiting.cancel()
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("lists", [1, 3, 5])
async def test_so_many_lists_are_under_way_and_no_more(lists: int) -> None:
    """However long they take and however many kinds of them wait: other connections are for other requests."""
    pool, together = Rare(), Together(width=1, lists=lists)
    kinds = [Statement(f"select {n}", (), keyed=False, apiece=(0,)) for n in range(12)]
    waiting = asyncio.gather(*[together.row("public", pool, kind, [["rare"]], 1) for kind in kinds])
    await asyncio.sleep(0.2)
    assert len(pool.asked) <= lists
    waiting.cancel()
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("controlled", [True, False])
async def test_long_lists_of_one_view_take_no_turn_of_anothers(
    monkeypatch: pytest.MonkeyPatch, controlled: bool
) -> None:
    """Without the control, turns that all views share, another view's lists wait for them."""
    monkeypatch.setattr(together_module, "TRIED", 60.0)
    pool, public = Rare(), Together(width=1)
    restricted = Together(width=1) if controlled else public
    kinds = [Statement(f"select {n}", (), keyed=False, apiece=(0,)) for n in range(12)]
    waiting = asyncio.gather(*[public.row("public", pool, kind, [["rare"]], 1) for kind in kinds])
    await asyncio.sleep(0.2)
    quick = asyncio.create_task(restricted.row("restricted", pool, LISTS, [["soon"]], 1))
    await asyncio.wait([quick], timeout=30.0 if controlled else 0.5)
    assert quick.done() == controlled
    waiting.cancel()
    quick.cancel()
    await asyncio.sleep(0.02)


async def test_what_was_slow_is_forgotten_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements may be long, and anybody can make any number of slow ones."""
    monkeypatch.setattr(together_module, "_APART", 0.05)
    together = Together(width=1)
    for number in range(20):
        together._keep_apart(("public", f"select {number}"), time.monotonic())
    assert len(together._apart) > 1
    await asyncio.sleep(0.1)
    together._keep_apart(("public", "select"), time.monotonic())
    assert len(together._apart) == 1


@pytest.mark.parametrize("controlled", [True, False])
@pytest.mark.parametrize("kinds", [40, 1])
async def test_one_askers_many_lists_hold_up_no_others(kinds: int, controlled: bool) -> None:
    """In many kinds of lists or in the very one that the other asks for, alone or not: it has the next turn. Without
    the control it is the last, and then its time is over."""
    order: list[str] = []

    class Measured(Slow):
        """A pool whose statements take a moment."""

        async def fetch(self, sql: str, arguments: Sequence[Any], *, read: Callable[[Any], Any], **_: Any) -> Any:
            (texts,) = arguments
            order.extend(texts)
            await asyncio.sleep(0.01)
            return read([self.row(list(texts), [len(text) for text in texts], "\x1d".join(texts).encode())])

    pool, together = Measured(), Together(width=1)
    statements = [Statement(f"select {n}", (), keyed=False, apiece=(0,)) for n in range(kinds)]
    for statement in statements:
        together._keep_apart(("public", statement.text, "[]"), time.monotonic())
    calls = [
        together.row("public", pool, statements[n % kinds], [[f"much {n}"]], 1, asker="much" if controlled else "")
        for n in range(40)
    ]
    own = together.row("public", pool, statements[0], [["once"]], 1, asker="once" if controlled else "")
    await asyncio.gather(*calls, own)
    assert len(order) == 41
    assert (order.index("once") <= 5) == controlled
    assert not together._turns.held
    assert not together._turns.queue
