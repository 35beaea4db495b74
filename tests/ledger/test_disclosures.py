"""A disclosure is durable when record() returns, and refused in every other case; many share one insert, and one that
the database refuses fails alone."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from relay import Relay

from gateway.engine.account import Disclosure, Told
from gateway.errors import LedgerUnavailable
from gateway.ledger.disclosures import Ledger
from gateway.storage.pool import Pool
from tests.machine import stopwatch
from tests.storage.eventually import eventually

PATIENCE = 20.0  # s where the timeout is not what is tested: a machine that tests may pause
HASH = hashlib.sha256(b"query").digest()


def disclosure(**changes: Any) -> Disclosure:
    plain: dict[str, Any] = {
        "client_id": "client",
        "organisation_uscc": "9" * 18,
        "view": "RESTRICTED",
        "matter": "GRANT",
        "case_number": "博州财审〔2026〕17号",
        "outcome": "ANSWERED",
    }
    return Disclosure(**{**plain, **changes})


@pytest_asyncio.fixture
async def relay(database: Any) -> AsyncIterator[Relay]:
    async with Relay(database.dsn("ledger")) as made:
        yield made


@pytest_asyncio.fixture
async def pool(relay: Relay) -> AsyncIterator[Pool]:
    made = Pool(relay.dsn, size=3)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def ledger(pool: Pool) -> AsyncIterator[Ledger]:
    made = Ledger(pool, CollectorRegistry(), timeout=PATIENCE)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def reader(database: Any) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


async def _row(reader: Any, one: Disclosure) -> Any:
    return await reader.fetchrow("select * from ledger.disclosure where id = $1", UUID(one.id))


async def test_visible_from_another_connection_when_record_returns(ledger: Ledger, reader: Any) -> None:
    subjects = [uuid4(), uuid4()]
    one = disclosure(
        on_behalf_of="8" * 18,
        operation_name="Profile",
        document_hash=HASH,
        variables='{"uscc":"…"}',
        subject_ids=",".join(map(str, subjects)).encode(),
        snapshot=b"700:700:",
        sources=b'{"COURTS":{}}',
        withheld='{"regions":["6527"]}',
    )
    await ledger.record(one)
    row = await _row(reader, one)
    assert abs(row["at"].timestamp() - time.time()) < 60
    assert (row["client_id"], row["organisation_uscc"], row["view"]) == ("client", "9" * 18, "RESTRICTED")
    assert (row["matter"], row["case_number"], row["outcome"]) == ("GRANT", "博州财审〔2026〕17号", "ANSWERED")
    assert (row["on_behalf_of"], row["operation_name"]) == ("8" * 18, "Profile")
    assert row["document_hash"] == HASH
    assert row["variables"] == '{"uscc":"…"}'
    assert row["subject_ids"] == subjects
    assert row["snapshot"] == "700:700:"
    assert (row["sources"], row["withheld"]) == ('{"COURTS":{}}', '{"regions":["6527"]}')


async def test_nobody_shown_is_an_empty_array_and_absent_texts_are_null(ledger: Ledger, reader: Any) -> None:
    one = disclosure()
    await ledger.record(one)
    row = await _row(reader, one)
    assert row["subject_ids"] == []
    assert [row[name] for name in ("document_hash", "variables", "snapshot", "operation_name")] == [None] * 4


def test_ids_are_128_bits_and_never_the_same() -> None:
    ids = {disclosure().id for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 32 for one in ids)


async def test_many_share_few_inserts_and_each_is_there(pool: Pool, reader: Any) -> None:
    registry = CollectorRegistry()
    ledger = Ledger(pool, registry, timeout=PATIENCE)
    many = [disclosure() for _ in range(600)]
    await asyncio.gather(*(ledger.record(one) for one in many))
    assert await reader.fetchval(
        "select count(*) from ledger.disclosure where id = any ($1::uuid[])", [UUID(one.id) for one in many]
    ) == len(many)
    assert registry.get_sample_value("credit_ledger_batch_disclosures_sum") == 600
    assert (registry.get_sample_value("credit_ledger_batch_disclosures_count") or 0) <= 6
    await ledger.close()


@pytest.mark.parametrize(
    "bad",
    [
        {"case_number": "a\x00b"},
        {"case_number": "\ud800"},
        {"subject_ids": "not-a-uuid"},
        {"variables": b"\xff"},
        {"matter": None},
    ],
)
async def test_what_the_database_refuses_fails_alone(ledger: Ledger, reader: Any, bad: dict[str, Any]) -> None:
    good = [disclosure() for _ in range(20)]
    guilty = disclosure(**bad)
    outcomes = await asyncio.gather(
        *(ledger.record(one) for one in [*good[:7], guilty, *good[7:]]), return_exceptions=True
    )
    assert isinstance(outcomes.pop(7), LedgerUnavailable)
    assert outcomes == [None] * 20
    for one in good:
        assert await _row(reader, one) is not None
    assert await _row(reader, guilty) is None


async def test_unreachable_refuses_everybody_and_recovers_by_itself(ledger: Ledger, relay: Relay, reader: Any) -> None:
    await ledger.record(disclosure())
    await relay.cut()
    refused = [disclosure() for _ in range(10)]
    outcomes = await asyncio.gather(*(ledger.record(one) for one in refused), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {LedgerUnavailable}
    error = outcomes[0]
    assert isinstance(error, LedgerUnavailable)
    assert (error.code, error.status) == ("LEDGER_UNAVAILABLE", 503)
    assert "nothing was disclosed" in error.message("en")
    assert "未披露" in error.message("zh")
    await relay.restore()
    one = disclosure()
    await ledger.record(one)
    assert await _row(reader, one) is not None


async def test_a_silent_database_refuses_each_within_its_own_timeout(ledger: Ledger, pool: Pool, relay: Relay) -> None:
    await ledger.record(disclosure())
    relay.silent = True
    hurried = Ledger(pool, CollectorRegistry(), timeout=0.5)

    async def late(after: float) -> float:
        await asyncio.sleep(after)
        began = seconds()
        with pytest.raises(LedgerUnavailable):
            await hurried.record(disclosure())
        return seconds() - began

    with stopwatch() as seconds:
        waits = await asyncio.gather(*(late(i * 0.1) for i in range(8)))
    assert max(waits) < 0.6
    await hurried.close()
    await relay.restore()
    await relay.cut()  # the connections of the silence are gone for good
    await relay.restore()
    await ledger.record(disclosure())


async def test_whoever_stops_waiting_does_not_disturb_the_others(ledger: Ledger, reader: Any) -> None:
    many = [disclosure() for _ in range(20)]
    tasks = [asyncio.create_task(ledger.record(one)) for one in many]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
    assert outcomes[1::2] == [None] * 10
    for one in many[1::2]:
        assert await _row(reader, one) is not None


async def test_an_idle_ledger_keeps_neither_timer_nor_waiters(pool: Pool) -> None:
    ledger = Ledger(pool, CollectorRegistry(), timeout=0.05)
    with_time = Ledger(pool, CollectorRegistry(), timeout=PATIENCE)
    await with_time.record(disclosure())
    with suppress(LedgerUnavailable):  # from a machine that paused: no less over
        await ledger.record(disclosure())
    assert await eventually(lambda: ledger._timer is None)
    assert not ledger._waiting
    assert not ledger._gathered
    await with_time.close()
    assert with_time._timer is None


async def test_what_a_disclosure_points_to_is_there_before_it_and_written_once(
    pool: Pool, relay: Relay, reader: Any
) -> None:
    ledger = Ledger(pool, CollectorRegistry(), timeout=PATIENCE)
    fields, basis = Told('{"PUBLIC":["Subject.name"]}'), Told('{"matter":"GRANT"}')
    await ledger.record(disclosure(fields=fields))
    one = disclosure(fields=fields, basis=basis)
    await ledger.record(one)
    row = await _row(reader, one)
    assert (row["fields_hash"], row["basis_hash"]) == (fields.hash, basis.hash)
    for text in (fields, basis):
        assert await reader.fetchval("select text from ledger.told where hash = sha256($1)", text.text.encode())
    again = Ledger(
        pool, CollectorRegistry(), timeout=PATIENCE
    )  # another process, which does not know that they are there
    await again.tell(one)
    await relay.cut()
    await ledger.tell(one)  # known: nobody is asked
    other = disclosure(fields=Told("{}"))
    with pytest.raises(LedgerUnavailable):
        await ledger.tell(other)
    await relay.restore()
    await ledger.tell(other)
    assert await reader.fetchval("select count(*) from ledger.told where hash = $1", other.fields_hash) == 1
    await ledger.close()
