"""Nobody but the role `log` can take the lead from those who sequence, or stop the log by a lock; and who leads is in
nobody's way. The warnings of the process tell neither rows nor values."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import pytest
from log_support import TestLog
from prometheus_client import CollectorRegistry

from gateway.ledger.published import Published
from gateway.ledger.sequencer import Sequencer
from gateway.storage.database import Database
from gateway.storage.faults import told_of
from tests.storage.eventually import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
FORMER = (0x6372656469746C64, 0x6372656469746C67)  # the advisory locks by which one led and published
LEADERS = "select pid, backend_xid, backend_xmin from pg_stat_activity where application_name = 'credit-gateway leader'"


@asynccontextmanager
async def running(database: Database, log: TestLog, interval: float = 0.1) -> AsyncIterator[Sequencer]:
    made = Sequencer(database.dsn("log"), CollectorRegistry(), log.publisher.publish, log.events, interval=interval)
    made.start()
    try:
        yield made
    finally:
        await made.close()


async def signed(log: TestLog, within: float = 30.0) -> bool:
    """Whether what is written now gets under a checkpoint."""
    await log.write(1)
    began = time.monotonic()
    while time.monotonic() - began < within:
        size = await log.owner.fetchval("select max(size) from ledger.checkpoint")
        if size == await log.owner.fetchval("select count(*) from ledger.leaf") > 0 and not await log.owner.fetchval(
            "select ledger.waits()"
        ):
            return True
        await asyncio.sleep(0.02)
    return False


@asynccontextmanager
async def attacker(database: Database, role: str = "restricted") -> AsyncIterator[Connection]:
    made = await asyncpg.connect(database.dsn(role))
    yield made
    await made.close()


async def test_a_views_role_holds_no_lock_that_the_log_needs(database: Database, log: TestLog) -> None:
    async with attacker(database) as view:
        for lock in FORMER:
            await view.execute("select pg_advisory_lock($1)", lock)
        for what in ("leading", "publishing", "witnessing"):
            for attempt in (
                f"select ledger.hold('{what}', false)",
                f"begin; lock table ledger.{what} in exclusive mode",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await view.execute(attempt)
                await view.execute("rollback")
        async with running(database, log):
            assert await signed(log)


async def test_whoever_could_take_it_would_stop_the_log(database: Database, log: TestLog) -> None:
    role = f'"{database.prefix}_restricted"'
    await log.owner.execute(f"grant execute on function ledger.hold(text, boolean) to {role}")
    usage = await log.owner.fetchval("select has_schema_privilege($1, 'ledger', 'usage')", role.strip('"'))
    await log.owner.execute(f"grant usage on schema ledger to {role}")
    try:
        async with attacker(database) as view:
            await view.execute("begin")
            assert await view.fetchval("select ledger.hold('leading', false)")
            async with running(database, log):
                assert not await signed(log, within=1.0)
                await view.execute("rollback")
                assert await signed(log)
    finally:
        await log.owner.execute(f"revoke execute on function ledger.hold(text, boolean) from {role}")
        if not usage:
            await log.owner.execute(f"revoke usage on schema ledger from {role}")


async def test_who_leads_holds_up_no_vacuum_and_is_not_ended_for_being_idle(database: Database, log: TestLog) -> None:
    role = f'"{database.prefix}_log"'
    await log.owner.execute(f"alter role {role} set idle_in_transaction_session_timeout = '200ms'")
    try:
        for _ in range(5):  # a machine that pauses amid the transactions it leads to ends those, and so its leading
            async with running(database, log, interval=0.5):
                assert await signed(log)
                first = await log.owner.fetch(LEADERS)
                await asyncio.sleep(0.8)
                assert await signed(log)
                last = await log.owner.fetch(LEADERS)
            if last == first:
                break
        assert last == first
        (row,) = first
        assert (row["backend_xid"], row["backend_xmin"]) == (None, None)
    finally:
        await log.owner.execute(f"alter role {role} set idle_in_transaction_session_timeout = '15s'")


async def test_a_leader_whose_lock_is_gone_stops_and_comes_back(database: Database, log: TestLog) -> None:
    async with running(database, log) as sequencer:
        assert await signed(log)
        (first,) = await log.owner.fetch(LEADERS)
        await log.log.execute("select pg_terminate_backend($1)", first["pid"])
        async with attacker(database, "log") as another:
            await another.execute("begin")
            while not await another.fetchval("select ledger.hold('leading', false)"):
                await another.execute("rollback; begin")
            assert await eventually(lambda: not sequencer.leads)
            assert not await signed(log, within=0.5)
        assert await signed(log)


async def test_that_nobody_sequences_is_told(log: TestLog, published: Published) -> None:
    await log.grow(3)
    assert await published.warnings() == []
    await log.write(1)
    assert await published.warnings() == []  # it is of this moment
    await log.owner.execute(
        "update ledger.disclosure d set at = at - interval '100 s'"
        " where not exists (select from ledger.leaf l where l.id = d.id)"
    )
    (told,) = await published.warnings()
    assert "under no checkpoint" in told
    await log.sequence()
    assert await published.warnings() == [told]  # in the log, and not signed
    await log.publish()
    assert await published.warnings() == []


async def test_warnings_quote_no_row(
    database: Database, log: TestLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL's DETAIL has the row that it refuses; kind, code and primary message are enough."""
    caught: list[asyncpg.PostgresError] = []

    async def failing(connection: Any) -> None:
        try:
            await log.owner.execute("insert into ledger.told (hash, text) values (null, 'the secret text of this row')")
        except asyncpg.PostgresError as error:
            caught.append(error)
            raise

    sequencer = Sequencer(database.dsn("log"), CollectorRegistry(), failing, log.events, interval=0.1)
    with caplog.at_level(logging.WARNING, "gateway.ledger.sequencer"):
        sequencer.start()
        assert await eventually(lambda: caplog.records)
        await sequencer.close()
    assert "secret text" in str(caught[0])  # as it would be told without care
    assert "NotNullViolationError 23502: null value in column" in caplog.text
    assert "secret text" not in caplog.text
    assert "\n" not in told_of(caught[0])


async def test_a_text_is_what_its_hash_says(database: Database, log: TestLog) -> None:
    """Else whoever writes disclosures could put another text where the true one is to come."""
    insert = "insert into ledger.told (hash, text) values (sha256('fields'), $1)"
    async with attacker(database, "ledger") as writer:
        with pytest.raises(asyncpg.CheckViolationError):
            await writer.execute(insert, "other fields")
        await writer.execute(insert, "fields")


async def test_a_restored_ledger_is_looked_up_until_no_number_can_come_again(log: TestLog) -> None:
    await log.write(4)
    await log.sequence()
    ahead = "update ledger.{} set xid = (pg_current_xact_id()::text::bigint + 1000)::text::xid8"
    await log.owner.execute("update ledger.log_state set restored = true, snapshot = '3:3:'")
    for table in ("disclosure", "leaf"):
        await log.owner.execute(ahead.format(table))  # as the other cluster numbered them
    await log.sequence()
    assert not await log.log.fetchval("select ledger.settle()")
    for table in ("disclosure", "leaf"):
        await log.owner.execute(f"update ledger.{table} set xid = '3'")
    assert await log.log.fetchval("select ledger.settle()")
    assert not await log.owner.fetchval("select restored from ledger.log_state")
    await log.write(3)
    await log.sequence()
    assert await log.owner.fetchval("select size from ledger.log_state") == 7
