"""A month of disclosures goes after seven days on which the ledger lived and found it due: no clock that is set ahead,
and no retention that is changed by mistake, lets go of evidence before somebody could see it; and it is said.

The database's clock is core.today() here, which these tests set; all that lets go reads the day by it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from log_support import TestLog, emptied, open_log
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from gateway.cli import app
from gateway.ledger import retention
from gateway.ledger.published import Published
from gateway.ledger.retention import Retention
from gateway.ledger.sequencer import Sequencer
from gateway.storage.database import Database
from gateway.storage.pool import Pool

TODAY = dt.date(2030, 6, 15)
MONTHS = ("2029_04", "2029_05", "2030_05")
CLOCK = (
    "create or replace function core.today() returns date language sql stable parallel safe as $$ select date '{}' $$"
)
TRUE = (
    "create or replace function core.today() returns date language sql stable parallel safe"
    " as $$ select (now() at time zone 'Asia/Shanghai')::date $$"
)

MADE = """select inhrelid::regclass::text as name from pg_inherits
    where inhparent = 'ledger.disclosure'::regclass and inhrelid::regclass::text not like '%_rest'"""


class Ledger:
    """A log with ten disclosures in each of three months, kept for twelve, on the day TODAY."""

    def __init__(self, log: TestLog) -> None:
        self.log = log
        self.day = TODAY

    async def set_clock(self, day: dt.date) -> None:
        self.day = day
        await self.log.owner.execute(CLOCK.format(day))

    async def live(self, days: int) -> None:
        """So many days of the runner, the present one first; the clock stays at the last."""
        for passed in range(days):
            if passed:
                await self.set_clock(self.day + dt.timedelta(days=1))
            await self.log.log.execute("select ledger.live()")

    async def let_go(self) -> int:
        """As the runner does it: how many disclosures are gone."""
        gone = 0
        while True:
            async with self.log.log.transaction():
                went = await self.log.log.fetchval("select ledger.let_go()")
                if not went:
                    return gone
                await self.log.events.sign(self.log.log, "RETENTION")
                gone += went

    async def kept(self) -> list[str]:
        """The months that still have their disclosures."""
        rows = await self.log.owner.fetch(
            "select distinct to_char(at at time zone 'Asia/Shanghai', 'YYYY_MM') as month from ledger.disclosure"
            " order by month"
        )
        return [row["month"] for row in rows]


@pytest_asyncio.fixture
async def ledger(database: Database, owner: Any, tmp_path: Path) -> AsyncIterator[Ledger]:
    await emptied(owner)
    log = await open_log(database, owner, tmp_path)
    for part in await owner.fetch(MADE):  # those of the present: here are the months of these tests alone
        await owner.execute(f"drop table {part['name']}")
    for month in MONTHS:
        first = dt.date.fromisoformat(month.replace("_", "-") + "-01")
        after = (first + dt.timedelta(days=32)).replace(day=1)
        await owner.execute(
            f"create table if not exists ledger.disclosure_{month} partition of ledger.disclosure"
            f" for values from ('{first} 00:00+08') to ('{after} 00:00+08')"
        )
        before = log.written
        await log.write(10)
        await owner.execute(
            "update ledger.disclosure set at = $1::text::timestamptz where at > '2020-01-01' and at < '2029-01-01'",
            f"{first + dt.timedelta(days=9)} 12:00+08",
        )
        assert log.written == before + 10
    await log.sequence()
    await log.fan_out()
    await owner.execute("update ledger.retention set months = 12")
    made = Ledger(log)
    await made.set_clock(TODAY)
    yield made
    await owner.execute(TRUE)
    await owner.execute("update ledger.retention set months = null; truncate ledger.lived")
    await log.log.close()


async def test_a_month_goes_after_seven_days_and_its_event_says_so(ledger: Ledger) -> None:
    """Kept are whole months after their own: in June 2030 the May of 2029 is over."""
    for lived in range(1, 7):
        await ledger.live(1)
        await ledger.live(1)  # a day counts once
        assert await ledger.let_go() == 0, f"after {lived} days"
        await ledger.set_clock(ledger.day + dt.timedelta(days=1))
    await ledger.live(1)
    assert await ledger.let_go() == 20
    assert await ledger.kept() == ["2030_05"]
    rows = await ledger.log.owner.fetch("select content from ledger.event where kind = 'RETENTION' order by number")
    assert [json.loads(row["content"])["from"] for row in rows] == ["2029-03-31T16:00:00Z", "2029-04-30T16:00:00Z"]


async def test_days_that_were_no_days_in_a_row_count(ledger: Ledger) -> None:
    """A machine that runs every other day lets go; one that was off for months begins anew."""
    for _ in range(6):
        await ledger.live(1)
        await ledger.set_clock(ledger.day + dt.timedelta(days=2))
    assert await ledger.let_go() == 0
    await ledger.set_clock(ledger.day + dt.timedelta(days=60))
    await ledger.live(1)
    assert await ledger.let_go() == 0
    await ledger.live(7)
    assert await ledger.let_go() == 20


async def test_a_clock_that_is_a_year_ahead_lets_go_of_nothing_for_a_week(ledger: Ledger) -> None:
    await ledger.live(14)
    assert await ledger.let_go() == 20  # what is due
    await ledger.set_clock(ledger.day + dt.timedelta(days=365))
    assert await ledger.let_go() == 0
    await ledger.live(6)
    assert await ledger.let_go() == 0
    assert await ledger.kept() == ["2030_05"]
    await ledger.set_clock(TODAY + dt.timedelta(days=20))  # seen, and put right
    await ledger.live(14)
    assert await ledger.let_go() == 0
    assert await ledger.kept() == ["2030_05"]


async def test_without_the_days_the_evidence_is_gone_at_once(ledger: Ledger) -> None:
    await ledger.live(14)
    assert await ledger.let_go() == 20
    await ledger.log.owner.execute(
        "create or replace function ledger.days_due() returns integer language sql immutable return 0"
    )
    try:
        await ledger.set_clock(ledger.day + dt.timedelta(days=365))
        assert await ledger.let_go() == 10
        assert await ledger.kept() == []
    finally:
        await ledger.log.owner.execute(
            "create or replace function ledger.days_due() returns integer language sql immutable return 7"
        )


@pytest.mark.parametrize("controlled", [True, False], ids=["", "the control removed"])
async def test_days_ahead_of_a_clock_that_was_set_back_do_not_count(ledger: Ledger, controlled: bool) -> None:
    """Six days a year ahead, back, and ahead again later: the six are not the first ones of a week."""
    await ledger.live(7)
    assert await ledger.let_go() == 20
    ahead = ledger.day + dt.timedelta(days=365)
    await ledger.set_clock(ahead)
    await ledger.live(6)
    await ledger.set_clock(TODAY + dt.timedelta(days=8))
    if controlled:
        found = await ledger.log.log.fetchrow("select * from ledger.live()")
        assert (found["ahead"], found["before"]) == (6, TODAY + dt.timedelta(days=6))
    assert await ledger.let_go() == 0
    await ledger.set_clock(ahead + dt.timedelta(days=6))
    await ledger.live(1)
    assert await ledger.let_go() == (0 if controlled else 10)


async def test_a_retention_that_is_shortened_by_mistake_has_its_week(ledger: Ledger) -> None:
    """What counts is what was due on the day, by the retention of that day's first look."""
    await ledger.log.owner.execute("update ledger.retention set months = 120")
    await ledger.live(14)
    await ledger.log.owner.execute("update ledger.retention set months = 12")
    await ledger.live(1)
    assert await ledger.let_go() == 0
    await ledger.set_clock(ledger.day + dt.timedelta(days=1))
    await ledger.live(6)
    assert await ledger.let_go() == 0
    await ledger.log.owner.execute("update ledger.retention set months = 120")
    assert await ledger.let_go() == 0  # put right
    await ledger.log.owner.execute("update ledger.retention set months = 12")
    await ledger.set_clock(ledger.day + dt.timedelta(days=1))
    await ledger.live(1)
    assert await ledger.let_go() == 20


async def test_nobody_writes_days(database: Database, ledger: Ledger) -> None:
    """The log's role adds the day of today by a function that takes no day; the others not even that."""
    writes = (
        "insert into ledger.lived (day, due) values ('2030-01-01', '2030-01-01')",
        "update ledger.lived set due = '2031-01-01'",
        "delete from ledger.lived",
        "truncate ledger.lived",
        "update ledger.retention set months = 1",
        "create or replace function ledger.days_due() returns integer language sql immutable return 0",
    )
    calls = ("select ledger.live()", "select ledger.let_go()", "select * from ledger.months()")
    for role, attempts in {
        "log": writes,
        **dict.fromkeys(("public", "restricted", "internal", "ledger", "service", "import"), (*writes, *calls)),
    }.items():
        connection = await asyncpg.connect(database.dsn(role))
        await connection.execute("set default_transaction_read_only = off")  # anybody may
        try:
            for attempt in attempts:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(attempt)
        finally:
            await connection.close()


# The runner -----------------------------------------------------------------------------------------------------------


class Process:
    """The monotonic clock of one, which a test lets go slower or faster than the database's."""

    def __init__(self, log: TestLog) -> None:
        self.registry = CollectorRegistry()
        self.now = 0.0
        self.cares = Retention(self.registry, log.events, clock=lambda: self.now)
        self._log = log

    async def care(self, later: float = 0.0) -> int:
        """One look, `later` s after the last by this clock; how many days there are then."""
        self.now += later
        await self.cares.care(self._log.log)
        return int(await self._log.owner.fetchval("select count(*) from ledger.lived"))

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


async def test_a_day_counts_when_time_went_as_the_clock_did(ledger: Ledger) -> None:
    process = Process(ledger.log)
    assert await process.care() == 0  # one look says nothing of how a clock goes
    assert await process.care() == 1
    assert process.metric("credit_log_months_waiting") == 2
    assert process.metric("credit_log_clock_steps_total") == 0


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
async def test_a_clock_that_is_set_is_told_and_its_day_does_not_count(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, step: float
) -> None:
    """The database's clock goes on by itself; the process's stands for the other side of the difference."""
    await ledger.live(7)
    await ledger.log.owner.execute("update ledger.lived set day = day - 1")
    process = Process(ledger.log)
    await process.care()
    assert await ledger.kept() == ["2030_05"]  # seven days are enough
    await ledger.log.owner.execute("truncate ledger.lived")
    with caplog.at_level(logging.WARNING):
        assert await process.care(later=-step) == 0
    assert f"the database's clock was set by {step:+.0f} s" in caplog.text
    assert process.metric("credit_log_clock_steps_total") == 1
    assert await process.care() == 1  # from then on it goes evenly


async def test_without_that_look_a_clock_that_runs_away_makes_a_week_of_an_hour(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for controlled in (True, False):
        if not controlled:
            monkeypatch.setattr(retention, "_STEP", 1e12)
        process = Process(ledger.log)
        await process.care()
        for _ in range(7):
            await ledger.set_clock(ledger.day + dt.timedelta(days=1))
            await process.care(later=-86_400.0)
        assert (await ledger.kept() == ["2030_05"]) is not controlled


async def test_what_looks_like_a_jump_is_told(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    process = Process(ledger.log)
    await process.care()
    with caplog.at_level(logging.WARNING):
        await process.care()
        assert "2 months of disclosures are to go at once" in caplog.text
        caplog.clear()
        await process.care()
        assert not caplog.records  # once
        await ledger.set_clock(TODAY + dt.timedelta(days=400))
        await process.care()
        assert f"between {TODAY} and {ledger.day} by the database's clock this ledger has no day" in caplog.text
        assert "3 months of disclosures are to go at once" in caplog.text
        caplog.clear()
        await ledger.set_clock(TODAY)
        await process.care()
        assert "set back; what it had of days ahead no longer counts: 1 day" in caplog.text


async def test_the_runner_looks(database: Database, ledger: Ledger) -> None:
    """What leads lets go of what is due, and signs that."""
    await ledger.live(7)
    made = Sequencer(
        database.dsn("log"), CollectorRegistry(), ledger.log.publisher.publish, ledger.log.events, interval=0.05
    )
    made.start()
    try:
        for _ in range(200):
            if await ledger.kept() == ["2030_05"]:
                break
            await asyncio.sleep(0.05)
    finally:
        await made.close()
    assert await ledger.kept() == ["2030_05"]
    assert (
        await ledger.log.owner.fetchval("select count(*) from ledger.event where kind = 'RETENTION' and number > 0")
        == 2
    )


@pytest_asyncio.fixture
async def published(database: Database, ledger: Ledger) -> AsyncIterator[Published]:
    pool = Pool(database.dsn("log"), size=1)
    yield Published(pool, ledger.log.keys)
    await pool.close()


async def test_readyz_tells_of_months_that_are_to_go_at_once(ledger: Ledger, published: Published) -> None:
    (told,) = await published.warnings()
    assert "2 months of disclosures are to go, from 2030-06-21 on" in told
    await ledger.live(7)
    assert await ledger.let_go() == 20
    assert await published.warnings() == []
    await ledger.set_clock(dt.date(2031, 6, 1))
    assert await published.warnings() == []  # one at a time is the course of things


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(database: Database, postgres: Any, tmp_path: Path) -> dict[str, str]:
    shutil.copytree(postgres.data_dir / "secrets", tmp_path / "secrets")
    return {
        "GATEWAY_DATA_DIR": str(tmp_path),
        "GATEWAY_DATABASE_URL": database.migrate_dsn,
        "GATEWAY_ROLE_PREFIX": database.prefix,
    }


async def command(environment: dict[str, str], *more: str) -> Any:
    found = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "retention", *more], env=environment)
    assert found.exit_code == 0, found.output
    return found


async def test_the_command_says_what_goes_next_and_when(ledger: Ledger, environment: dict[str, str]) -> None:
    await ledger.live(3)
    found = await command(environment)
    assert "kept: 12 whole months after the one of the disclosure; today is 2030-06-17" in found.stdout
    assert "waits: found due on 3 of 7 days" in found.stdout
    assert "2 months are due at once" in found.stderr
    told = json.loads((await command(environment, "--json")).stdout)
    assert (told["months_kept"], told["due_if_ended_by"], told["days_needed"]) == (12, "2029-06-01", 7)
    assert told["days_lived"] == ["2030-06-15", "2030-06-16", "2030-06-17"]
    months = {month.pop("month"): month for month in told["months"]}
    assert months["2029-04"] == {
        "state": "DAYS", "days_found_due": 3, "goes_at_the_earliest": "2030-06-21", "disclosures": 10
    }  # fmt: skip
    assert months["2030-05"] == {
        "state": "KEPT", "days_found_due": 0, "goes_at_the_earliest": "2031-06-07", "disclosures": None
    }  # fmt: skip

    # It is the truth: nothing goes the day before, all on that day.
    await ledger.live(4)
    assert ledger.day == dt.date(2030, 6, 20)
    assert await ledger.let_go() == 0
    await ledger.set_clock(dt.date(2030, 6, 21))
    await ledger.live(1)
    states = {
        month["month"]: month["state"] for month in json.loads((await command(environment, "--json")).stdout)["months"]
    }
    assert (states["2029-04"], states["2029-05"], states["2030-05"]) == ("GOES", "AFTER_OTHERS", "KEPT")
    assert await ledger.let_go() == 20


async def test_the_command_says_why_not_and_changes_nothing(ledger: Ledger, environment: dict[str, str]) -> None:
    await ledger.live(7)
    await ledger.log.owner.execute(
        "insert into ledger.sealed_entry"
        " select index, at, gen_random_uuid() from ledger.leaf where at < '2029-05-01' limit 1"
    )
    assert "subjects have not been told" in (await command(environment)).stdout
    assert await ledger.let_go() == 0
    await ledger.log.owner.execute("update ledger.log_state set fanned = fanned - 30")
    assert "not all of it is in the log" in (await command(environment)).stdout
    await ledger.log.owner.execute("update ledger.retention set months = null; delete from ledger.sealed_entry")
    assert "everything is kept" in (await command(environment)).stdout
    told = json.loads((await command(environment, "--json")).stdout)
    assert (told["months_kept"], told["due_if_ended_by"]) == (None, None)
    assert {month["goes_at_the_earliest"] for month in told["months"]} == {None}
    assert await ledger.kept() == [*MONTHS]
    assert await ledger.let_go() == 0
