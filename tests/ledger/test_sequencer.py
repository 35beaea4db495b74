"""Of any number of runners one leads; when it dies another has the lead within two seconds; what was written is under a
checkpoint within two; nothing that fails ends the runner."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from log_support import ISSUER, TestLog
from prometheus_client import CollectorRegistry
from relay import Relay

from gateway.ledger.events import Events
from gateway.ledger.published import Published
from gateway.ledger.sequencer import Sequencer
from gateway.storage.database import Database
from tests.storage.eventually import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Beginless(Events):
    """Without the log's first event, so that its size is what a test has written."""

    async def begin(self, connection: Any) -> None:
        pass


class Runner:
    """One process's runner, behind a relay that a test can cut or silence."""

    def __init__(self, relay: Relay, log: TestLog, **more: Any) -> None:
        self.relay = relay
        self.registry = CollectorRegistry()
        self.published: list[float] = []
        self.log = log.restarted()
        self.fault: Exception | None = None
        events = Beginless(log.keys, issuer=ISSUER)
        self.sequencer = Sequencer(relay.dsn, self.registry, self._publish, events, **more)

    async def _publish(self, connection: Any) -> None:
        if self.fault is not None:
            raise self.fault
        await self.log.publisher.publish(connection)

    def metric(self, name: str) -> float:
        found = self.registry.get_sample_value(name)
        assert found is not None
        return found


@pytest_asyncio.fixture
async def runners(database: Database, log: TestLog) -> AsyncIterator[list[Runner]]:
    relays = [Relay(database.dsn("log")) for _ in range(3)]
    made = []
    for relay in relays:
        await relay.restore()
        made.append(Runner(relay, log, interval=0.2))
    yield made
    for one in made:
        await one.sequencer.close()
        await one.relay.__aexit__(None, None, None)


async def leader(runners: list[Runner]) -> Runner:
    """The one that leads; fails where two do."""
    assert await eventually(lambda: any(one.sequencer.leads for one in runners)), "nobody leads"
    (found,) = [one for one in runners if one.sequencer.leads]
    return found


async def signed(log: TestLog, size: int, within: float = 30.0) -> None:
    began = time.monotonic()
    while await log.owner.fetchval("select max(size) from ledger.checkpoint") != size:
        assert time.monotonic() - began < within, "no checkpoint"
        await asyncio.sleep(0.02)


async def test_one_leads_and_another_takes_over(log: TestLog, runners: list[Runner]) -> None:
    for one in runners:
        one.sequencer.start()
    left, size = [*runners], 0
    while left:
        found = await leader(left)
        await log.write(30)
        size += 30
        await signed(log, size)
        assert found.metric("credit_log_leads") == 1
        assert await eventually(lambda found=found: found.metric("credit_log_lag_seconds") < 2)
        assert all(math.isnan(one.metric("credit_log_lag_seconds")) for one in left if one is not found)
        left.remove(found)
        if len(left) == 2:
            await found.relay.cut()  # as kill -9 of its process
        elif left:
            await found.sequencer.close()
    began = time.monotonic()
    while await log.owner.fetchval("select fanned from ledger.log_state") < 90:
        assert time.monotonic() - began < 30
        await asyncio.sleep(0.02)
    assert await log.owner.fetchval("select size from ledger.log_state") == 90


async def test_a_leader_whose_database_goes_away_comes_back(log: TestLog, runners: list[Runner]) -> None:
    one = runners[0]
    one.sequencer.start()
    await leader([one])
    await one.relay.cut()
    assert await eventually(lambda: not one.sequencer.leads)
    await log.write(5)
    await one.relay.restore()
    await signed(log, 5)


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), asyncpg.DiskFullError("no room")])
async def test_what_can_not_be_published_now_is_published_later(
    log: TestLog, runners: list[Runner], fault: Exception
) -> None:
    one = runners[0]
    one.fault = fault
    one.sequencer.start()
    await log.write(5)
    await asyncio.sleep(0.5)
    assert await log.owner.fetchval("select count(*) from ledger.checkpoint where size > 0") == 0
    one.fault = None
    await signed(log, 5)


async def test_fan_out_steps_back_while_many_answers_are_written(
    database: Database, log: TestLog, runners: list[Runner]
) -> None:
    """Its time is bounded then; afterwards it takes what it needs."""
    busy = runners[0] = Runner(runners[0].relay, log, interval=1.0, share=0.0)
    await log.write(3_000)
    after, fan_out = [], busy.sequencer._fan_out

    async def watched(connection: Any, until: float, budget: float) -> None:
        await fan_out(connection, until, budget)
        fanned = await connection.fetchval("select fanned from ledger.log_state")
        after.append((fanned, busy.metric("credit_log_fan_out_backlog")))

    busy.sequencer._fan_out = watched  # type: ignore[method-assign]
    busy.sequencer.start()
    await signed(log, 3_000)
    assert await eventually(lambda: after)
    assert after[0] == (0, 3_000)
    assert await eventually(lambda: after[-1][0] == 3_000)
    assert busy.metric("credit_log_fan_out_leaves_total") == 3_000


@pytest.mark.parametrize("rows", [(4,) * 30, (2, 30) * 4, (11,) * 6, (1, 1, 9) * 5, (10,), ()], ids=str)
async def test_what_is_cut_is_gone_on_with(
    log: TestLog, runners: list[Runner], rows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look takes all there is, however transactions lie at its cuts."""
    monkeypatch.setattr("gateway.ledger.sequence.AT_ONCE", 10)
    for count in rows:
        await log.write(count)
    assert await runners[0].sequencer._take(log.log, math.inf) == (sum(rows), True)
    assert await log.owner.fetchval("select size from ledger.log_state") == sum(rows)


async def test_a_checkpoint_does_not_wait_for_all_of_a_backlog(
    log: TestLog, runners: list[Runner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.sequence.AT_ONCE", 10)
    for _ in range(30):
        await log.write(4)
    found = Runner(runners[0].relay, log, interval=0.0)  # so short that each look is cut
    await found.sequencer.once(log.log)
    assert 0 < (size := await log.owner.fetchval("select max(size) from ledger.checkpoint")) < 120
    assert found.metric("credit_log_leaves_total") == size
    assert found.sequencer._done_at == -math.inf  # the lag counts on
    for _ in range(60):
        await found.sequencer.once(log.log)
    assert await log.owner.fetchval("select max(size) from ledger.checkpoint") == 120
    assert found.sequencer._done_at > 0


async def test_who_finds_somebody_else_at_the_log_does_not_call_it_complete(
    database: Database, log: TestLog, runners: list[Runner]
) -> None:
    await log.write(5)
    other = await asyncpg.connect(database.migrate_dsn)
    async with other.transaction():
        await other.execute("select from ledger.log_state for update")  # an erasure, a seal that is recorded
        assert await runners[0].sequencer._take(log.log, math.inf) == (0, False)
    await other.close()
    assert await runners[0].sequencer._take(log.log, math.inf) == (5, True)


async def test_what_waited_before_somebody_leads_counts(
    log: TestLog, runners: list[Runner], published: Published
) -> None:
    async def lag() -> float:
        await runners[0].sequencer._begin(log.log)
        return runners[0].metric("credit_log_lag_seconds")

    assert await lag() < 10
    await log.write(5)
    await log.owner.execute("update ledger.disclosure set at = at - interval '1 hour'")
    assert 3_600 <= await lag() < 3_700  # no leaf yet
    assert "under no checkpoint" in (await published.warnings())[0]
    await log.sequence()
    assert 3_600 <= await lag() < 3_700  # no checkpoint
    assert "under no checkpoint" in (await published.warnings())[0]
    await log.publish()
    assert await lag() < 10
    assert await published.warnings() == []


async def test_fan_out_does_not_learn_from_looks_that_had_little(log: TestLog, runners: list[Runner]) -> None:
    found = Runner(runners[0].relay, log, interval=0.01)
    for _ in range(8):
        await log.write(1)
        await found.sequencer.once(log.log)
    assert found.sequencer._at_once == 20
    await log.write(500)
    for _ in range(50):
        await found.sequencer.once(log.log)
    assert await log.owner.fetchval("select fanned = size from ledger.log_state")
    assert found.sequencer._at_once > 20


async def test_fan_out_has_its_share_where_leaves_take_all_of_the_time(
    log: TestLog, runners: list[Runner], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Runner(runners[0].relay, log, interval=0.2)
    take = found.sequencer._take

    async def slow(connection: Any, until: float) -> tuple[int, bool]:
        taken = await take(connection, until)
        await asyncio.sleep(until - time.monotonic())
        return taken

    monkeypatch.setattr(found.sequencer, "_take", slow)
    await log.write(500)
    await found.sequencer.once(log.log)
    assert await log.owner.fetchval("select fanned from ledger.log_state") > 0


async def test_the_log_goes_on_while_many_seals_end(log: TestLog, runners: list[Runner]) -> None:
    await log.owner.execute(
        "truncate ledger.seal, ledger.sealed_entry;"
        " insert into ledger.seal (authority, basis, case_number, until)"
        " select 'a', 'b', 's' || i, now() - interval '1 second' from generate_series(1, 5) i"
    )
    left = "select count(*) from ledger.seal where ended_at is null"
    await runners[0].sequencer._unseal(log.log, time.monotonic() - 1)  # no time: one all the same
    assert await log.owner.fetchval(left) == 4
    await runners[0].sequencer._unseal(log.log, math.inf)
    assert await log.owner.fetchval(left) == 0


async def test_who_does_not_lead_any_more_tells_no_numbers(log: TestLog, runners: list[Runner]) -> None:
    one = runners[0]
    one.sequencer.start()
    await log.write(5)
    await signed(log, 5)
    assert await eventually(lambda: one.metric("credit_log_size") == 5)
    await one.relay.cut()
    assert await eventually(lambda: math.isnan(one.metric("credit_log_size")))
    assert math.isnan(one.metric("credit_log_fan_out_backlog"))


async def sized(log: TestLog, size: int) -> None:
    for _ in range(600):
        if await log.owner.fetchval("select size from ledger.log_state") == size:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not in the log within thirty seconds")


async def test_a_views_role_does_not_stop_the_log(database: Database, log: TestLog, runners: list[Runner]) -> None:
    """What no leaf can be made of is refused, or none in any reasonable time; a second row of an id is logged under
    another."""
    write = (
        "select v_restricted.disclose_one(array_to_string(array[$1, 'c', 'u', 'GRANT', '1', null, null, null, $3, '{}',"
        " '{}', null, null], e'\\x1f', e'\\x1e'), $2::text::uuid[], null)"
    )
    taken, other = str(uuid4()), str(uuid4())
    await log.owner.execute(
        "update ledger.log_state set restored = false, cluster = (select system_identifier from pg_control_system())"
    )
    view = await asyncpg.connect(database.dsn("restricted"))
    try:
        for shown in ("{null}", f"{{{other},null}}", f"{{{{{other}}},{{{taken}}}}}", f"[5:5]={{{other}}}"):
            with pytest.raises(asyncpg.PostgresError):
                await view.fetchval(write, str(uuid4()), shown, None)
        with pytest.raises(asyncpg.CheckViolationError):
            await view.fetchval(write, str(uuid4()), "{}", "x" * 2**24)
        many = write.replace("$2::text::uuid[]", "array_fill(gen_random_uuid(), array[$2::text::int])")
        with pytest.raises(asyncpg.CheckViolationError, match="so_many_subjects"):
            await view.fetchval(many, str(uuid4()), "1000001", None)
        async with log.owner.transaction():  # what nobody would refuse otherwise
            await log.owner.execute("alter table ledger.disclosure drop constraint disclosure_of_so_many_subjects")
            assert await log.owner.fetchval(many, str(uuid4()), "1000001", None) == 1
            await log.owner.execute("delete from ledger.disclosure")
            await log.owner.execute(
                "alter table ledger.disclosure add constraint disclosure_of_so_many_subjects"
                " check (cardinality(subject_ids) <= 1000000) not valid"
            )
        await log.write(1)
        await log.sequence()
        known = str(await log.owner.fetchval("select id from ledger.leaf"))
        for identity in (known, taken, taken, taken):
            assert await view.fetchval(write, identity, f"{{{other}}}", None) == 1
        with pytest.raises(asyncpg.UniqueViolationError):  # and so it would be for ever
            await log.sequence()
        async with view.transaction():  # one that is still under way when the others are parted
            assert await view.fetchval(write, taken, f"{{{other}}}", None) == 1
            runners[0].sequencer.start()
            await sized(log, 5)
        await sized(log, 6)
    finally:
        await view.close()
    rows = await log.owner.fetch(
        "select l.id, l.kind, d.client_id from ledger.leaf l join ledger.disclosure d using (id)"
    )
    assert len({row["id"] for row in rows}) == len(rows) == 6
    first = await log.owner.fetchval(
        "select id from ledger.disclosure where client_id = 'c' order by xid offset 1 limit 1"
    )
    assert str(first) == taken
    assert str(await log.owner.fetchval("select id from ledger.disclosure where client_id <> 'c'")) == known
