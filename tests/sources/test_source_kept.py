"""Kept answers: bounded in the process, the newest from the database by one statement, written behind, never lost to a
restart; health is written off the request's path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from fake_source import ASKER, PARTS, Clock, Fake, NoDatabase, code, failing, policy, rows, said, soon
from prometheus_client import CollectorRegistry, Counter

from gateway.auth.principal import ANONYMOUS
from gateway.errors import StorageUnavailable
from gateway.sources import writer
from gateway.sources.answers import KeptAnswers
from gateway.sources.ask import Sources
from gateway.sources.told import Told, told
from gateway.sources.wanted import Wanted
from gateway.sources.writer import AnswerWriter, HealthWriter
from gateway.storage.pool import Pool, storage_unavailable


@pytest_asyncio.fixture
async def pool(database: Any) -> AsyncIterator[Pool]:
    made = Pool(database.dsn("service"), size=3)
    yield made
    await made.close()


def _sources(pool: Any, fake: Fake, clock: Clock, **changes: object) -> Sources:
    return Sources([policy(**changes)], {"COURTS": fake}, pool, CollectorRegistry(), clock=clock)


def _want(*subjects: str) -> list[Wanted]:
    return [Wanted("COURTS", PARTS, subjects)]


class Counting:
    """The pool, with its statements counted; `down` makes it fail as the pool does."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.fetches = 0
        self.down = False

    async def fetch(self, *arguments: Any, **more: Any) -> Any:
        self.fetches += 1
        if self.down:
            raise storage_unavailable() from OSError("down")
        return await self.pool.fetch(*arguments, **more)

    async def execute(self, sql: str, arguments: Any = ()) -> None:
        await self.fetch(sql, arguments)


async def test_survive_a_restart_and_come_back_by_one_statement(pool: Pool) -> None:
    clock = Clock()
    fake = Fake(clock)
    subjects = [code() for _ in range(100)]
    before = _sources(pool, fake, clock)
    first = await before.consult(_want(*subjects), ASKER, soon(5))
    await before.close()
    counting, silent = Counting(pool), Fake(clock)
    after = _sources(counting, silent, clock)
    again = await after.consult(_want(*subjects), ASKER, soon(5))
    assert counting.fetches == 1
    assert silent.calls == []
    for a in subjects:
        assert said(again, a) == ("CACHED", None)
        assert rows(again, a) == rows(first, a)
    await after.consult(_want(*subjects), ASKER, soon(5))
    assert counting.fetches == 1
    await after.close()


async def test_the_newest_counts_and_the_stale_limit_holds_in_the_database_too(pool: Pool) -> None:
    clock = Clock()
    fake = Fake(clock)
    a = code()
    for text in ("old", "new"):
        fake.say = lambda part, uscc, text=text: fake.answer({"case_number": text})  # type: ignore[misc]
        one = _sources(pool, fake, clock, fresh=0.0, negative_fresh=0.0)
        await one.consult(_want(a), ASKER, soon())
        await one.close()
        clock.now += 60
    public = _sources(pool, fake, clock)
    assert [row["case_number"] for row in rows(await public.consult(_want(a), ANONYMOUS, soon()), a)] == ["new"]
    await public.close()
    clock.now += 6 * 86_400
    stale = _sources(pool, fake, clock)
    assert said(await stale.consult(_want(a), ANONYMOUS, soon()), a) == ("STALE", "PUBLIC")
    await stale.close()
    clock.now += 86_400
    gone = _sources(pool, fake, clock)
    assert said(await gone.consult(_want(a), ANONYMOUS, soon()), a) == ("NOT_CONSULTED", "PUBLIC_NOT_KEPT")
    await gone.close()


async def test_written_behind_in_a_batch(pool: Pool) -> None:
    clock = Clock()
    fake = Fake(clock)
    sources = _sources(pool, fake, clock)
    a = code()
    await sources.consult(_want(a), ASKER, soon())
    sql = "select part, rows::text as rows from core.source_answer where uscc = $1 order by part"
    for _ in range(1_500):
        found = await pool.fetch(sql, (a,))
        if len(found) == 2:
            break
        await asyncio.sleep(0.02)
    assert [row["part"] for row in found] == [b"dishonest", b"enforcement"]
    await sources.close()


async def test_failures_leave_no_row(pool: Pool) -> None:
    clock = Clock()
    fake = Fake(clock, say=failing("TIMEOUT"))
    sources, a = _sources(pool, fake, clock), code()
    await sources.consult(_want(a), ASKER, soon())
    await sources.close()
    assert await pool.fetch("select from core.source_answer where uscc = $1", (a,)) == []


async def test_what_is_never_kept_leaves_no_row(pool: Pool) -> None:
    clock = Clock()
    sources, a = _sources(pool, Fake(clock), clock, keep=False), code()
    assert said(await sources.consult(_want(a), ASKER, soon()), a) == ("ANSWERED", None)
    await sources.close()
    assert await pool.fetch("select from core.source_answer where uscc = $1", (a,)) == []


async def test_another_process_answer_is_found_when_ours_is_no_longer_fresh(pool: Pool) -> None:
    clock = Clock()
    mine, theirs = Fake(clock), Fake(clock)
    a = code()
    one, two = _sources(pool, mine, clock), _sources(pool, theirs, clock)
    await one.consult(_want(a), ASKER, soon())
    clock.now += 86_401
    await two.consult(_want(a), ASKER, soon())
    await two.close()
    assert len(theirs.calls) == 2
    assert said(await one.consult(_want(a), ASKER, soon()), a) == ("CACHED", None)
    assert len(mine.calls) == 2
    await one.close()


async def test_a_database_that_is_down_fails_the_lookup_and_comes_back(pool: Pool) -> None:
    clock = Clock()
    counting = Counting(pool)
    sources, a = _sources(counting, Fake(clock), clock), code()
    counting.down = True
    with pytest.raises(StorageUnavailable):
        await sources.consult(_want(a), ANONYMOUS, soon())
    counting.down = False
    assert said(await sources.consult(_want(a), ASKER, soon()), a) == ("ANSWERED", None)
    await sources.close()


async def test_memory_is_bounded_by_entries_and_bytes() -> None:
    clock = Clock()
    kept = KeptAnswers({"COURTS": policy()}, NoDatabase(), entries=10, size=100_000, clock=clock)  # type: ignore[arg-type]
    for i in range(50):
        kept.put(("COURTS", "dishonest", f"S{i}"), told(policy(), "dishonest", clock.now, "[1]"))
    assert sum(kept.fresh(("COURTS", "dishonest", f"S{i}")) for i in range(50)) == 10
    for i in range(50):
        kept.put(("COURTS", "dishonest", f"L{i}"), told(policy(), "dishonest", clock.now, '["' + "x" * 30_000 + '"]'))
    assert sum(kept.fresh(("COURTS", "dishonest", f"L{i}")) for i in range(50)) == 3


async def test_what_lands_while_another_answer_is_read_is_found_too() -> None:
    """One was looked for a moment ago and is not looked for again; its call ends while the other is looked for."""
    clock, pool = Clock(), NoDatabase()
    kept = KeptAnswers({"COURTS": policy()}, pool, clock=clock)  # type: ignore[arg-type]
    one, other = (("COURTS", PARTS[0], code()) for _ in range(2))
    assert await kept.find([one], soon()) == {}
    landed = told(policy(), PARTS[0], clock.now, "[]")
    read = pool.fetch

    async def meanwhile(*arguments: Any, **more: Any) -> Any:
        kept.put(one, landed)
        return await read(*arguments, **more)

    pool.fetch = meanwhile  # type: ignore[method-assign]
    assert await kept.find([one, other], soon()) == {one: landed}


async def test_what_is_read_counts_though_there_is_no_room_for_it() -> None:
    clock, pool = Clock(), NoDatabase()
    kept = KeptAnswers({"COURTS": policy()}, pool, entries=3, clock=clock)  # type: ignore[arg-type]
    keys = [("COURTS", PARTS[0], code()) for _ in range(5)]

    async def fetch(*arguments: Any, read: Any, **more: Any) -> Any:
        return read([{"i": place + 1, "asked_at": clock.now - 60, "rows": b"[]"} for place in range(5)])

    pool.fetch = fetch  # type: ignore[method-assign]
    assert set(await kept.find(keys, soon())) == {*keys}
    assert len(kept._slots) == 3


async def test_absence_is_not_asked_for_again_at_once() -> None:
    clock, database = Clock(), NoDatabase()
    kept = KeptAnswers({"COURTS": policy()}, database, clock=clock)  # type: ignore[arg-type]
    key = ("COURTS", "dishonest", code())
    for _ in range(3):
        assert await kept.find([key], soon()) == {}
    assert database.fetches == 1
    clock.now += 3
    await kept.find([key], soon())
    assert database.fetches == 2


def _told(rows: str = "[]") -> Told:
    return told(policy(), "dishonest", Clock().now, rows)


async def test_the_writer_outlasts_an_outage_and_drops_only_what_is_refused(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PAUSE", 0.02)
    counting = Counting(pool)
    lost = Counter("lost", "lost", registry=CollectorRegistry())
    answers = AnswerWriter(counting, lost)  # type: ignore[arg-type]
    counting.down = True
    subjects = [code() for _ in range(8)]
    for i, a in enumerate(subjects):
        answers.put(("COURTS", "dishonest", a), _told("[" if i == 3 else "[]"))
    await asyncio.sleep(0.1)
    counting.down = False
    await answers.close()
    found = await pool.fetch("select uscc from core.source_answer where uscc = any ($1::text[])", (subjects,))
    assert {row["uscc"].decode() for row in found} == set(subjects) - {subjects[3]}
    assert lost._value.get() == 1


async def test_the_writers_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_QUEUED", 5)
    lost = Counter("lost", "lost", registry=CollectorRegistry())
    answers = AnswerWriter(NoDatabase(), lost)  # type: ignore[arg-type]
    for _ in range(8):
        answers.put(("COURTS", "dishonest", code()), _told())
    assert lost._value.get() == 3
    await answers.close()


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, pool: Pool) -> None:
    monkeypatch.setattr(writer, "_DRAIN", 0.1)
    counting = Counting(pool)
    counting.down = True
    lost = Counter("lost", "lost", registry=CollectorRegistry())
    answers = AnswerWriter(counting, lost)  # type: ignore[arg-type]
    answers.put(("COURTS", "dishonest", code()), _told())
    await answers.close()
    assert lost._value.get() == 1


async def _health(pool: Pool) -> tuple[bool, object]:
    row = await pool.fetchrow("select healthy, last_answer_at from core.source_health where source_code = 'COURTS'", ())
    return row["healthy"], row["last_answer_at"]


async def test_health_follows_the_breaker(pool: Pool) -> None:
    clock = Clock()
    clock.now += 30 * 86_400  # later than any answer of the tests before
    fake = Fake(clock)
    sources = _sources(pool, fake, clock, breaker_failures=2)
    await sources.consult(_want(code()), ASKER, soon())
    fake.say = failing("TIMEOUT")
    await sources.consult(_want(code()), ASKER, soon())
    await sources.close()
    healthy, answered = await _health(pool)
    assert healthy is False
    assert answered is not None
    assert abs(answered.timestamp() - clock.now) < 0.01  # type: ignore[attr-defined]
    fake.say = None
    sources = _sources(pool, fake, clock)
    await sources.consult(_want(code()), ASKER, soon())
    await sources.close()
    assert (await _health(pool))[0] is True


async def test_health_is_written_at_most_once_a_pause(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_PAUSE", 0.1)
    counting = Counting(pool)
    health = HealthWriter(counting)  # type: ignore[arg-type]
    at, began = Clock().now, asyncio.get_running_loop().time()
    for i in range(50):
        health.answered("COURTS", at + i / 100)
        await asyncio.sleep(0.005)
    await health.close()
    assert counting.fetches <= 2 + (asyncio.get_running_loop().time() - began) / 0.1
    assert (await _health(pool))[0] is True


async def test_the_sections_are_what_the_views_functions_read(database: Any, pool: Pool) -> None:
    clock = Clock()
    sources, a = _sources(pool, Fake(clock), clock), code()
    consulted = await sources.consult(_want(a), ASKER, soon())
    await sources.close()
    view = Pool(database.dsn("restricted"), size=1)
    row = await view.fetchrow(
        "select a.status, a.reason, d.case_number from v_restricted.courts_answer($1::jsonb, $2::text) a,"
        " v_restricted.courts_dishonest($1::jsonb, $2::text) d",
        (consulted.parameters["COURTS"], a),
    )
    assert tuple(row) == (b'"ANSWERED"', b"null", f'"dishonest {a}"'.encode())
    await view.close()
