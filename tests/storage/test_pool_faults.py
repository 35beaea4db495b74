"""Promises of the pool when PostgreSQL or the way to it fails: every statement ends by its deadline, one whose
connection broke is asked once more on another where its caller allows that, a cancelled one ends at the server, too,
and whatever a damaged reply makes of the driver, the caller gets rows or StorageUnavailable.

Real PostgreSQL; what stands between is scripts/garbler.py.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from gateway.errors import StorageUnavailable
from gateway.storage import faults
from gateway.storage.database import Database
from gateway.storage.lane import Ask, Lane
from gateway.storage.pool import Pool, same
from scripts.garbler import KINDS, Garbler
from tests.machine import stopwatch

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PID = "select pg_backend_pid()"
SLEEP = "select pg_backend_pid() as pid from pg_sleep($1)"


@pytest_asyncio.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    made = Pool(database.dsn("service"), size=2, name="faults")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def garbler(database: Database) -> AsyncIterator[Garbler]:
    async with Garbler(database.dsn("service"), random.Random(7)) as made:
        yield made


async def active(root: Connection) -> list[int]:
    """Backends of the pool that run a statement."""
    rows = await root.fetch(
        "select pid from pg_stat_activity where application_name = 'faults' and state = 'active' and query ~ 'pg_sleep'"
    )
    return [row["pid"] for row in rows]


async def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await condition():
            return True
        await asyncio.sleep(0.02)
    return False


async def terminate(root: Connection, pid: int) -> None:
    await root.execute("select pg_terminate_backend($1)", pid)


# Broken connections --------------------------------------------------------------------------------------------------


async def test_a_statement_whose_backend_is_terminated_is_asked_once_more(pool: Pool, root: Connection) -> None:
    asked: list[Sequence[Any]] = []

    def again(arguments: Sequence[Any]) -> Sequence[Any]:
        asked.append(arguments)
        return (0.0,)

    call = asyncio.create_task(pool.fetch(SLEEP, (30.0,), until=time.monotonic() + 60, again=again))
    assert await eventually(lambda: active(root))
    (first,) = await active(root)
    await terminate(root, first)
    ((second,),) = await call
    assert second != first
    assert asked == [(30.0,)]


async def test_what_may_not_be_asked_twice_is_not(pool: Pool, root: Connection) -> None:
    call = asyncio.create_task(pool.fetch(SLEEP, (30.0,), until=time.monotonic() + 60))
    assert await eventually(lambda: active(root))
    await terminate(root, (await active(root))[0])
    with pytest.raises(StorageUnavailable):
        await call


async def test_a_second_attempt_that_breaks_too_is_the_last(pool: Pool, root: Connection) -> None:
    call = asyncio.create_task(pool.fetch(SLEEP, (30.0,), until=time.monotonic() + 60, again=same))
    ended: set[int] = set()

    async def another() -> set[int]:
        return set(await active(root)) - ended

    for _ in range(2):
        assert await eventually(another)
        (pid,) = await another()
        ended.add(pid)
        await terminate(root, pid)
    with pytest.raises(StorageUnavailable):
        await call


async def _none(found: Any) -> bool:
    return not await found


async def test_a_transaction_with_a_scope_is_asked_once_more_as_a_whole(pool: Pool, root: Connection) -> None:
    seconds = [30.0, 0.0]

    async def work(ask: Ask) -> list[Any]:
        return await ask("select current_setting('gateway.scope') as scope, pg_sleep($1)", (seconds.pop(0),))

    call = asyncio.create_task(pool.transaction(work, '{"matter":"GRANT"}', until=time.monotonic() + 60, again=True))
    assert await eventually(lambda: active(root))
    await terminate(root, (await active(root))[0])
    ((scope, _),) = await call
    assert scope == b'{"matter":"GRANT"}'
    assert await pool.fetchrow("select current_setting('gateway.scope', true) as scope", ()) == (b"",)


async def test_idle_connections_that_died_are_not_handed_out(pool: Pool, root: Connection) -> None:
    pids = [row[0] for row in await asyncio.gather(*(pool.fetchrow(SLEEP, (0.05,)) for _ in range(2)))]
    for pid in pids:
        await terminate(root, pid)
    there = "select pid from pg_stat_activity where pid = any($1::int[])"
    assert await eventually(lambda: _none(root.fetch(there, pids)))
    await asyncio.sleep(0.2)
    rows = await asyncio.gather(*(pool.fetch(PID, ()) for _ in range(4)))  # none may be asked twice
    assert not {row[0][0] for row in rows} & set(pids)


async def test_rows_that_can_not_be_read_are_the_connections_fault(pool: Pool) -> None:
    pids: list[int] = []

    def read(rows: Sequence[Any]) -> int:
        pids.append(rows[0][0])
        if len(pids) < 2:
            raise KeyError("body")
        return pids[-1]

    assert await pool.fetch(PID, (), read=read, again=same) == pids[1] != pids[0]

    def never(rows: Sequence[Any]) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")

    with pytest.raises(StorageUnavailable):
        await pool.fetch(PID, (), read=never, again=same)


async def test_a_refusal_is_an_answer_not_asked_again_and_keeps_the_connection(pool: Pool) -> None:
    (pid,) = await pool.fetchrow(PID, ())
    calls = 0

    def again(arguments: Sequence[Any]) -> Sequence[Any]:
        nonlocal calls
        calls += 1
        return arguments

    for sql, arguments in (("select 1 / $1::int", (0,)), ("select * from pg_authid", ()), ("select $1::int", ("x",))):
        with pytest.raises(StorageUnavailable):
            await pool.fetch(sql, arguments, again=again)
    assert calls == 0
    assert await pool.fetchrow(PID, ()) == (pid,)


async def test_a_statement_prepared_before_a_change_of_its_table_is_prepared_anew(pool: Pool, root: Connection) -> None:
    await root.execute("create table changing (it int); insert into changing values (1)")
    await root.execute("grant select on changing to public")
    sql = "select it from changing"
    assert await pool.fetchrow(sql, ()) == (1,)
    await root.execute("alter table changing alter it type text")
    assert await pool.fetchrow(sql, ()) == (b"1",)


# Deadlines -----------------------------------------------------------------------------------------------------------


async def test_everybody_is_told_by_their_own_deadline_and_not_one_after_the_other(garbler: Garbler) -> None:
    pool = Pool(garbler.dsn, size=1, timeout=30)
    await pool.ping()
    garbler.silent = True

    async def wait(seconds: float) -> tuple[float, float]:
        began, own = time.monotonic(), since()
        with pytest.raises(StorageUnavailable):
            await pool.fetch(PID, (), until=began + seconds, again=same)
        return time.monotonic() - began - seconds, since() - own - seconds

    with stopwatch() as since:
        late = await asyncio.gather(*(wait(0.4 + place * 0.05) for place in range(12)))
        assert min(late)[0] > -0.05
        assert max(own for _, own in late) < 0.6
        garbler.silent = False
        began = since()
        # Not asked twice: the dead connections are gone already.
        await pool.fetch(PID, (), until=time.monotonic() + 60)
        assert since() - began < 1.5
    await pool.close()


async def test_dead_connections_do_not_keep_others_waiting(garbler: Garbler) -> None:
    """All lanes hang, and the way is sound again: new ones take their place before their deadline."""
    pool = Pool(garbler.dsn, size=2, timeout=30)
    await asyncio.gather(*(pool.fetch(SLEEP, (0.05,)) for _ in range(2)))
    garbler.silent = True
    hanging = [asyncio.create_task(pool.fetch(SLEEP, (0.0,), until=time.monotonic() + 90)) for _ in range(2)]
    await asyncio.sleep(0.1)
    garbler.silent = False
    with stopwatch() as seconds:
        await pool.fetch(PID, (), until=time.monotonic() + 80)
        assert seconds() < 5
    assert not any(call.done() for call in hanging)
    for call in hanging:
        call.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await pool.close()


@pytest.mark.long
async def test_closing_waits_for_no_dead_connection_after_the_other(garbler: Garbler) -> None:
    pool = Pool(garbler.dsn, size=4)
    await asyncio.gather(*(pool.fetch(SLEEP, (0.05,)) for _ in range(4)))
    garbler.silent = True
    began = time.monotonic()
    await pool.close()
    assert time.monotonic() - began < 5
    garbler.silent = False
    with pytest.raises(StorageUnavailable):
        await pool.fetch(PID, ())


async def test_a_database_that_is_not_there_is_not_stormed() -> None:
    pool = Pool("postgresql://nobody:x@/nothing?host=/nonexistent", size=8)
    asked = 0

    async def client() -> None:
        nonlocal asked
        while seconds() < 1.5:
            with pytest.raises(StorageUnavailable):
                await pool.fetch(PID, (), again=same)
            asked += 1

    attempts = 0
    connect = pool._connect

    async def counted(attempt: object, seconds: float) -> None:
        nonlocal attempts
        attempts += 1
        await connect(attempt, seconds)

    pool._connect = counted  # type: ignore[method-assign]
    with stopwatch() as seconds:
        await asyncio.gather(*(client() for _ in range(50)))
    assert asked > 100  # all of them were told, again and again
    assert 2 < attempts < 20
    await pool.close()


# Whoever leaves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transaction", [False, True])
async def test_a_cancelled_statement_ends_at_the_server_and_its_connection_is_used_again(
    pool: Pool, root: Connection, transaction: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.storage.lane._MENDING", 30.0)  # a machine that tests may pause

    async def work(ask: Ask) -> list[Any]:
        return await ask(SLEEP, (60.0,))

    until = time.monotonic() + 90
    asked = pool.transaction(work, "{}", until=until) if transaction else pool.fetch(SLEEP, (60.0,), until=until)
    call = asyncio.create_task(asked)
    assert await eventually(lambda: active(root))
    (pid,) = await active(root)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await eventually(lambda: _none(active(root)))
    assert await eventually(lambda: _idle(pool))
    assert await pool.fetchrow(PID, ()) == (pid,)


async def _idle(pool: Pool) -> bool:
    return len(pool._idle) == 1


async def test_without_the_wait_for_its_end_the_statement_would_run_on(
    pool: Pool, root: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control taken away: a connection that is dropped at once drops the request to cancel with it."""

    async def at_once(lane: Lane, *, scoped: bool) -> bool:
        return False

    monkeypatch.setattr(Lane, "mend", at_once)
    call = asyncio.create_task(pool.fetch(SLEEP, (60.0,), until=time.monotonic() + 90))
    assert await eventually(lambda: active(root))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(1)
    (pid,) = await active(root)
    await terminate(root, pid)


async def test_a_statement_whose_time_is_over_ends_at_the_server_too(
    pool: Pool, root: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.storage.lane._MENDING", 30.0)
    with pytest.raises(StorageUnavailable) as caught:
        await pool.fetch(SLEEP, (60.0,), until=time.monotonic() + 0.3, again=same)
    assert isinstance(caught.value.__cause__, TimeoutError)  # and nobody has asked again
    assert await eventually(lambda: _none(active(root)))


# Damaged replies -----------------------------------------------------------------------------------------------------

WHOLE = "select repeat('0123456789', $1::int) as body, $1::int as length"


async def damage(garbler: Garbler, kind: str, statements: int) -> tuple[int, int, int]:
    """Rows as they are, other rows, refusals; whatever else comes fails the test."""
    pool = Pool(garbler.dsn, size=3, timeout=0.5)
    garbler.kinds = (kind,)
    right = wrong = refused = 0

    async def client(number: int) -> None:
        nonlocal right, wrong, refused
        for turn in range(statements // 4):
            began, length = since(), 10 + 20 * number + turn
            try:
                rows = await pool.fetch(WHOLE, (length,), read=lambda rows: (rows[0]["body"], rows[0]["length"]))
            except StorageUnavailable:
                refused += 1
            else:
                right += rows == (b"0123456789" * length, length)
                wrong += rows != (b"0123456789" * length, length)
            assert since() - began < 3

    garbler.rate = 0.2
    with stopwatch() as since:
        await asyncio.gather(*(client(number) for number in range(4)))
        garbler.rate = 0.0
        began = since()
        await pool.fetch(WHOLE, (1,), until=time.monotonic() + 60, again=same)
        assert since() - began < 3
    await pool.close()
    return right, wrong, refused


# asyncpg's Connection complains in __del__ where its making has failed half-way: here by a damaged greeting.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["bit", "leave out"])
async def test_a_damaged_reply_gives_rows_or_a_refusal_and_nothing_else(
    garbler: Garbler, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "asyncio")  # the driver's own errors, which are the point
    right, wrong, refused = await damage(garbler, kind, 24)
    print(f"{kind}: {right} right, {wrong} wrong, {refused} refused")
    assert garbler.damaged[kind] > 5
    assert right > 0
    assert wrong + refused > 0
    if kind in ("leave out", "cut"):
        assert wrong == 0  # lengths tell; values that are exchanged are for TLS to tell (docs/security.md)


# asyncpg's Connection complains in __del__ where its making has failed half-way.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_many_damaged_replies(garbler: Garbler, kind: str) -> None:
    right, wrong, refused = await damage(garbler, kind, 400)
    print(f"{kind}: {right} right, {wrong} wrong, {refused} refused of 400, damaged {garbler.damaged[kind]}")
    assert garbler.damaged[kind] > 50


# Sorting -------------------------------------------------------------------------------------------------------------


def _state(code: str) -> Exception:
    return asyncpg.PostgresError.new({"C": code, "M": "text", "S": "ERROR"})  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_state("22012"), "refused"),
        (_state("42501"), "refused"),
        (_state("57014"), "refused"),
        (_state("53300"), "refused"),
        (_state("57P01"), "broken"),
        (_state("57P02"), "broken"),
        (_state("57P03"), "broken"),
        (_state("08006"), "broken"),
        (_state("\x0045P1"), "garbled"),
        (asyncpg.InterfaceError("connection is closed"), "broken"),
        (asyncpg.InternalClientError("no"), "broken"),
        (asyncpg.ProtocolError("no"), "garbled"),
        (ConnectionResetError(), "broken"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "garbled"),
        (IndexError(), "garbled"),
        (TimeoutError(), "neither"),
        (faults.NoLane(), "neither"),
        (asyncio.CancelledError(), "neither"),
    ],
    ids=lambda value: getattr(value, "sqlstate", None) or (value if isinstance(value, str) else type(value).__name__),
)
def test_errors_are_sorted(error: BaseException, expected: str) -> None:
    assert faults.refused(error) == (expected == "refused")
    assert faults.broken(error) == (expected in ("broken", "garbled"))
    assert faults.garbled(error) == (expected == "garbled")


def test_the_log_quotes_no_value() -> None:
    try:
        int("65270119800101123X")
    except ValueError as error:
        described = faults.described(error)
    assert "6527" not in described
    assert described.startswith("ValueError at test_the_log_quotes_no_value:")
