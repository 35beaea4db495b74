"""Promises of Idempotency-Key: a key does a thing once, whoever asks twice, at once or later; the reply is the same
byte for byte, disclosed each time; it is one client's, one purpose's and one request's, and holds no identity number.

Each engine has pools of its own, as processes have.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.engine.execute import Engine, Request
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.storage.writes import SWEEP_REPLIES
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.mutating import (
    RECORD,
    WHOLE,
    Connection,
    ask,
    count,
    given,
    other,
    process,
    waiting,
)
from tests.engine.small_world import FIRM, OLD_ORGAN, SHOP


@pytest.fixture(scope="module")
async def engine(database: Database, world: World) -> AsyncIterator[Engine]:
    async with process(database) as made:
        yield made


async def test_the_same_again_is_the_same_reply(engine: Engine, world: World, owner: Connection) -> None:
    who = replace(world.principal("restricted"), case_number="示例〔2026〕1号")
    request = Request(WHOLE, None, {"input": given()}, idempotency_key="again")
    before = await count(owner)
    first = await engine.answer(who, request)
    disclosed = await owner.fetchval("select count(*) from ledger.disclosure")
    reordered = dict(reversed(given().items()))
    second = await engine.answer(who, replace(request, variables={"input": reordered, "unused": 1}))
    assert second == first
    assert await count(owner) == before + 1
    rows = await owner.fetch("select * from ledger.disclosure order by at desc, id limit 2")
    assert await owner.fetchval("select count(*) from ledger.disclosure") == disclosed + 1
    assert rows[0]["subject_ids"] == rows[1]["subject_ids"]
    assert {*rows[0]["subject_ids"]} == {small_world.organisation_uuid(FIRM)}
    assert rows[0]["id"] != rows[1]["id"]


async def test_a_key_is_one_clients_one_purposes_one_requests(engine: Engine, world: World, owner: Connection) -> None:
    who = world.principal("restricted")
    await ask(engine, who, RECORD, {"input": given()}, idempotency_key="one")
    before = await count(owner)
    for changed, query, variables in (
        (who, RECORD, {"input": given(uscc=SHOP)}),
        (who, RECORD + " ", {"input": given()}),
        (replace(who, case_number="2"), RECORD, {"input": given()}),
        (world.principal("internal"), RECORD, {"input": given(matter="SUPERVISION")}),
        (world.principal("restricted_scoped", regions=["65"]), RECORD, {"input": given()}),
    ):
        refused = await ask(engine, changed, query, variables, idempotency_key="one")
        assert isinstance(refused, list), refused
        assert refused[0][0] == "BAD_USER_INPUT"
        assert "another request" in refused[0][1]
    assert await count(owner) == before
    found = await ask(engine, other(world), RECORD, {"input": given(granteeUscc=OLD_ORGAN)}, idempotency_key="one")
    assert isinstance(found, dict)  # another client's key is another key
    assert await count(owner) == before + 1


async def test_a_key_ends_after_a_day(engine: Engine, world: World, owner: Connection, database: Database) -> None:
    who = world.principal("restricted")
    await ask(engine, who, RECORD, {"input": given()}, idempotency_key="ends")
    left = await owner.fetchval("select expires_at - now() from core.idempotent_reply order by expires_at desc limit 1")
    assert dt.timedelta(hours=23, minutes=59) < left <= dt.timedelta(hours=24)
    await owner.execute("update core.idempotent_reply set expires_at = now() - interval '1 second'")
    found = await ask(engine, who, RECORD, {"input": given(uscc=SHOP)}, idempotency_key="ends")
    assert isinstance(found, dict)
    await owner.execute("update core.idempotent_reply set expires_at = now() - interval '1 second'")
    service = Pool(database.dsn("service"), size=1)
    await service.execute(SWEEP_REPLIES)
    await service.close()
    assert await count(owner, "core.idempotent_reply") == 0


async def test_a_refusal_leaves_the_key_free(engine: Engine, world: World) -> None:
    who = world.principal("restricted")
    assert isinstance(await ask(engine, who, RECORD, {"input": given(scope=["X"])}, idempotency_key="free"), list)
    assert isinstance(await ask(engine, who, RECORD, {"input": given()}, idempotency_key="free"), dict)


async def test_at_once_in_two_processes_it_is_done_once(database: Database, world: World, owner: Connection) -> None:
    who = world.principal("restricted")
    async with process(database) as first, process(database) as second:
        for number in range(10):
            before = await count(owner)
            request = Request(RECORD, None, {"input": given()}, idempotency_key=f"at once {number}")
            replies = await asyncio.gather(*(engine.answer(who, request) for engine in (first, second) * 2))
            assert len(set(replies)) == 1
            assert await count(owner) == before + 1


async def test_the_second_waits_for_the_first(database: Database, world: World, owner: Connection) -> None:
    """The first holds the key and waits for a lock; the second waits for the first, and gets its reply."""
    who = world.principal("restricted")
    request = Request(RECORD, None, {"input": given()}, idempotency_key="waits")
    async with process(database) as first, process(database) as second:
        before = await count(owner)
        async with owner.transaction():
            await owner.execute("lock table core.consent in exclusive mode")
            one = asyncio.ensure_future(first.answer(who, request))
            await waiting(owner)
            two = asyncio.ensure_future(second.answer(who, replace(request)))
            await waiting(owner, 2)
        assert await one == await two
        assert await count(owner) == before + 1


async def test_the_second_does_it_where_the_first_fails(database: Database, world: World, owner: Connection) -> None:
    who = world.principal("restricted")
    request = Request(RECORD, None, {"input": given()}, idempotency_key="fails")
    async with process(database) as first, process(database) as second:
        before = await count(owner)
        async with owner.transaction():
            await owner.execute("lock table core.consent in exclusive mode")
            one = asyncio.ensure_future(first.answer(who, request))
            await waiting(owner)
            two = asyncio.ensure_future(second.answer(who, replace(request)))
            await waiting(owner, 2)
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
        assert "consentId" in json.loads(await two)["data"]["recordConsent"]
        assert await count(owner) == before + 1


async def test_waiting_has_an_end(database: Database, world: World, owner: Connection) -> None:
    who = world.principal("restricted")
    async with process(database, lock_timeout=0.2) as second, owner.transaction():
        await owner.execute(
            "insert into core.idempotent_reply (client_id, key_hash, request_hash) values ('client',"
            " sha256('end'), '\\x00')"
        )
        refused = await ask(second, who, RECORD, {"input": given()}, idempotency_key="end")
    assert refused[0][0] == "STORAGE_UNAVAILABLE"
    assert "still under way" in refused[0][1]
    await owner.execute("delete from core.idempotent_reply where key_hash = sha256('end')")


async def test_what_is_kept_holds_no_identity_number(engine: Engine, world: World, owner: Connection) -> None:
    """Nor does the key stand anywhere, or a hash that one could try numbers against without it."""
    number = "652701199001011234"
    await owner.execute("update core.record set facts = $1 where title = '罚款一'", f"张某 {number}")
    query = """mutation T($input: RecordConsentInput!) { recordConsent(input: $input) { consent { subject {
      records(first: 9) { edges { node { title facts } } } } } } }"""
    request = Request(query, None, {"input": given()}, idempotency_key="secret-key-1")
    try:
        first = await engine.answer(world.principal("restricted"), request)
        assert await engine.answer(world.principal("restricted"), request) == first
    finally:
        await owner.execute("update core.record set facts = null where title = '罚款一'")
    assert "张某 6527**********1234" in first.decode()
    kept = await owner.fetch("select k::text from core.idempotent_reply k")
    assert not any(number in row[0] or "secret-key-1" in row[0] for row in kept)
