"""Events of the log are the gateway's alone: whoever owns the database, and has not the key, writes no erasure, seal or
retention that verification believes, however the event was made. What is older is believed as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from log_support import TestLog
from prometheus_client import CollectorRegistry

from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger import judged
from gateway.ledger.erasure import erase
from gateway.ledger.events import Events
from gateway.ledger.head import verifiers
from gateway.ledger.sequencer import Sequencer
from gateway.ledger.verify import Report, Verification
from gateway.storage.database import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SEAL = "select ledger.add_seal('a court', 'law', null, null, $1, null, now() + interval '1 day')"
MONTH = """select format('{"disclosures":%s,"from":"%s","kind":"RETENTION","until":"%s"}', count(*),
    to_char(m.first, 'YYYY-MM-DD"T00:00:00+08:00"'),
    to_char(m.first + interval '1 month', 'YYYY-MM-DD"T00:00:00+08:00"'))
    from ledger.leaf l cross join (select date_trunc('month', (now() - interval '40 days') at time zone 'Asia/Shanghai')
        as first) m where l.kind = 'D' group by m.first"""


@pytest_asyncio.fixture
async def filled(log: TestLog) -> AsyncIterator[TestLog]:
    """A log that has begun to sign, with 60 disclosures."""
    await log.events.begin(log.log)
    await log.grow(60)
    await log.fan_out()
    yield log
    await log.owner.execute("delete from ledger.seal; delete from ledger.sealed_entry")


async def verified(database: Database, log: TestLog) -> Report:
    return await Verification(database.dsn("log"), lambda name: verifiers(log.keys, name), processes=1).run()


async def found(database: Database, log: TestLog) -> set[str]:
    """Kinds of findings once everything is in the log, signed and told."""
    await log.sequence()
    assert await log.publish()
    await log.fan_out()
    return set((await verified(database, log)).findings.counts)


@asynccontextmanager
async def with_the_database(owner: Connection) -> AsyncIterator[Connection]:
    """In the hands of who may do everything there."""
    await owner.execute("alter table ledger.event disable trigger signed")
    try:
        yield owner
    finally:
        await owner.execute("alter table ledger.event enable trigger signed")


async def forged(owner: Connection, kind: str, content: str) -> None:
    async with with_the_database(owner):
        await owner.execute("insert into ledger.event (kind, content) values ($1, $2)", kind, content)


async def take_a_month_away(log: TestLog) -> str:
    """All disclosures are gone, as if of a month that is over; the event that would say so."""
    await log.owner.execute(
        "update ledger.leaf set at = at - interval '40 days' where kind = 'D';"
        "update ledger.subject_entry set at = at - interval '40 days'; delete from ledger.disclosure"
    )
    return str(await log.owner.fetchval(MONTH))


async def test_the_first_leaf_says_from_when_events_are_signed(database: Database, log: TestLog) -> None:
    sequencer = Sequencer(database.dsn("log"), CollectorRegistry(), log.publisher.publish, log.events, interval=0.05)
    await log.events.begin(log.log)
    await log.write(3)
    assert await found(database, log) == set()
    row = await log.owner.fetchrow("select e.*, l.index from ledger.event e join ledger.leaf l using (id)")
    assert row is not None
    assert (row["kind"], row["number"], row["index"]) == ("KEY", 1, 0)
    (key,) = verifiers(log.keys, "gateway.example/log")
    assert str(key) in row["content"]
    await sequencer._begin(log.log)  # who begins to lead later finds it there
    assert await log.owner.fetchval("select count(*) from ledger.event") == 1


async def test_events_of_the_gateway_hold_and_old_keys_stay_good(database: Database, filled: TestLog) -> None:
    case = await filled.owner.fetchval("select case_number from ledger.disclosure limit 1")
    await filled.signed("SEAL", SEAL, case)
    filled.keys.rotate("checkpoints")
    subject = await filled.owner.fetchval("select subject_id from ledger.subject_entry limit 1")
    assert (await erase(database, subject, "law", filled.events)).disclosures
    assert await found(database, filled) == set()
    report = await verified(database, filled)
    assert (report.events, report.unsigned_events) == (3, 0)


async def test_what_is_older_is_believed_as_before(database: Database, log: TestLog) -> None:
    await log.grow(60)
    await log.fan_out()
    await log.owner.execute(
        "insert into ledger.event (kind, content) values ('RETENTION', $1)", await take_a_month_away(log)
    )
    await log.sequence()
    await log.events.begin(log.log)
    assert await found(database, log) == set()
    assert (await verified(database, log)).unsigned_events == 1


async def test_retention(database: Database, filled: TestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are removed, and an event of that month written; if signatures were not asked for, nobody would know."""
    await forged(filled.owner, "RETENTION", await take_a_month_away(filled))
    assert await found(database, filled) >= {"EVENT_SIGNATURE", "ROW_REMOVED"}
    monkeypatch.setattr(judged, "signed", lambda row, keys: True)
    monkeypatch.setattr(judged, "_number", lambda row, content: None if row["kind"] == "RETENTION" else 1)
    monkeypatch.setattr(judged, "_wrong", lambda *_, **__: "")
    assert await found(database, filled) == set()


async def test_erasure(database: Database, filled: TestLog, tmp_path: Path) -> None:
    """By the program itself, with a key of the attacker's own, or without."""
    subject = await filled.owner.fetchval("select subject_id from ledger.subject_entry limit 1")
    other = Events(KeyStore(tmp_path / "other"), issuer="https://gateway.example")
    with pytest.raises(OperatorError):  # it looks at what was signed last
        await erase(database, subject, "law", other)

    class Unsigned(Events):
        async def sign(self, connection: Any, kind: str) -> None:
            pass

    async with with_the_database(filled.owner):
        await erase(database, subject, "law", Unsigned(filled.keys, issuer=""))
    assert await found(database, filled) >= {"EVENT_SIGNATURE", "TOMBSTONE"}


async def test_seal(database: Database, filled: TestLog) -> None:
    """An entry is taken from its subject, and a seal made that would excuse it."""
    entry = await filled.owner.fetchrow(
        "select e.*, d.case_number from ledger.subject_entry e join ledger.disclosure d on d.id = e.disclosure_id"
        " order by number desc limit 1"
    )
    assert entry is not None
    await filled.owner.execute("delete from ledger.subject_entry where leaf_index = $1", entry["leaf_index"])
    await filled.owner.execute(
        "insert into ledger.sealed_entry values ($1, $2, gen_random_uuid())", entry["leaf_index"], entry["at"]
    )
    async with with_the_database(filled.owner):
        await filled.owner.execute(SEAL, entry["case_number"])
    assert await found(database, filled) >= {"EVENT_SIGNATURE", "SUBJECT_ENTRIES"}


SIGNATURE = "(select signature from ledger.event where number = 1)"
FORGERIES = {
    "another's signature": (f"number = 2, content = '{{\"number\":2}}', signature = {SIGNATURE}", "EVENT_SIGNATURE"),
    "no signature line": ("number = 2, signature = 'x'", "EVENT_SIGNATURE"),
    "a number alone": ("number = 2", "EVENT_SIGNATURE"),
    "a number that is none": ('content = \'{"number":"x"}\'', "EVENT_SIGNATURE"),
    "the whole of another": (
        f"kind = 'KEY', content = (select content from ledger.event where number = 1), signature = {SIGNATURE}",
        "EVENT_CHANGED",
    ),
}


@pytest.mark.parametrize("how", FORGERIES)
async def test_other_forgeries(database: Database, filled: TestLog, how: str) -> None:
    change, expected = FORGERIES[how]
    async with with_the_database(filled.owner):
        await filled.owner.execute("insert into ledger.event (kind, content) values ('RETENTION', '{}')")
        await filled.owner.execute(f"update ledger.event set {change} where kind = 'RETENTION'")
    assert expected in await found(database, filled)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("update ledger.event set at = at - interval '1 day' where kind = 'SEAL'", "EVENT_CHANGED"),
        ("update ledger.event set signature = null", "EVENT_SIGNATURE"),
        ("update ledger.event set number = 7 where kind = 'SEAL'", "EVENT_CHANGED"),
        ("delete from ledger.event where kind = 'KEY'", "ROW_REMOVED"),
    ],
)
async def test_a_signed_event_that_was_changed(database: Database, filled: TestLog, change: str, expected: str) -> None:
    await filled.signed("SEAL", SEAL, "a case")
    assert await found(database, filled) == set()
    await filled.owner.execute(change)
    # The leaf's own time goes with it: the time is in what was signed.
    await filled.owner.execute("update ledger.leaf l set at = e.at from ledger.event e where e.id = l.id")
    assert expected in set((await verified(database, filled)).findings.counts)


async def test_one_that_is_taken_out_before_the_log_has_it(database: Database, filled: TestLog) -> None:
    await filled.signed("SEAL", SEAL, "a case")
    await filled.signed("SEAL", SEAL, "another")
    await filled.owner.execute("delete from ledger.event where number = 2")
    assert "EVENT_NUMBERS" in await found(database, filled)


async def test_none_is_left_without_by_mistake(filled: TestLog) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await filled.owner.execute(SEAL, "a case")
    assert await filled.owner.fetchval("select count(*) from ledger.seal") == 0


async def test_nothing_else_is_signed(filled: TestLog) -> None:
    """Not one that somebody puts beside the one that is meant, nor one that says something else."""
    insert = "insert into ledger.event (kind, content) values ('ERASURE', '{}')"

    async def beside() -> None:
        async with filled.owner.transaction():
            await filled.owner.execute(insert)
            await filled.signed("SEAL", SEAL, "a case")

    async def otherwise() -> None:
        async with filled.owner.transaction():
            row = await filled.owner.fetchval(f"{insert} returning id")
            await filled.owner.execute("select ledger.sign_event($1, '{\"erased\":{}}', 2, 'x')", row)

    with pytest.raises(OperatorError, match="one event of kind SEAL"):
        await beside()
    with pytest.raises(OperatorError, match="one event of kind UNSEAL"):
        await filled.signed("UNSEAL", insert)
    with pytest.raises(asyncpg.CheckViolationError):
        await otherwise()
