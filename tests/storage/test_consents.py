"""Promises: a bank is asked under a consent only where subject, grantee, matter, scope and day all match and nobody has
revoked it; what doesn't match reads the same, whatever the reason. Pending requests are shared by all processes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from gateway.errors import StorageUnavailable
from gateway.storage.consents import PendingRequests, StoredConsents, match
from gateway.storage.database import Database
from gateway.storage.identifiers import uscc_check_digit
from gateway.storage.pool import Pool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def code(first: str) -> str:
    return first + uscc_check_digit(first)


FIRM, SHOP, ORGAN, OTHER = (code(f"9165270000000000{n}") for n in range(4))
ASKED = {"uscc": FIRM, "grantee_uscc": ORGAN, "matter": "GRANT", "scope": "BANKS"}
HASH = "0f" * 32


async def consent(owner: Connection, **changes: Any) -> uuid.UUID:
    row = {"subject_uscc": FIRM, "grantee_uscc": ORGAN, "matter": "GRANT", "scope": ["BANKS"], "begins": 0, "ends": 9}
    row |= changes
    found: uuid.UUID = await owner.fetchval(
        "insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to, document_sha256,"
        " method, client_id, case_number) values ($1, $2, $3, $4, core.today() + $5::int, core.today() + $6::int, $7,"
        " 'PAPER_SIGNED', 'c', '1') returning external_id",
        *row.values(),
        HASH,
    )
    return found


async def matches(pool: Pool, id: uuid.UUID, **changes: str) -> bool:
    asked = ASKED | changes
    uscc = asked.pop("uscc")
    (found,) = await match(pool, [(id, uscc)], **asked)
    assert found is None or (found.id, found.document_sha256, found.grantee_uscc) == (id, HASH, ORGAN)
    return found is not None


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ({}, {}, True),
        ({"begins": 0, "ends": 0}, {}, True),  # both days inclusive
        ({"begins": -9, "ends": 0}, {}, True),
        ({"begins": -9, "ends": -1}, {}, False),
        ({"begins": 1, "ends": 9}, {}, False),
        ({"scope": ["OTHERS", "BANKS"]}, {}, True),
        ({"scope": ["OTHERS"]}, {}, False),
        ({}, {"scope": "COURTS"}, False),
        ({}, {"uscc": SHOP}, False),
        ({}, {"grantee_uscc": OTHER}, False),
        ({"grantee_uscc": OTHER}, {}, False),
        ({}, {"matter": "TENDERING"}, False),
        ({"matter": "TENDERING"}, {}, False),
        ({"subject_uscc": SHOP}, {"uscc": SHOP}, True),
        ({"subject_uscc": SHOP}, {}, False),
    ],
)
async def test_every_part_must_match(
    owner: Connection, service_pool: Pool, stored: dict[str, Any], asked: dict[str, str], expected: bool
) -> None:
    assert await matches(service_pool, await consent(owner, **stored), **asked) is expected


async def test_revoked_is_over_at_once(owner: Connection, service_pool: Pool) -> None:
    id = await consent(owner)
    assert await matches(service_pool, id)
    await owner.execute(
        "insert into core.consent_revocation (consent_id, revoked_by, client_id, organisation_uscc, case_number)"
        " select id, 'SUBJECT', 'c', $2, '1' from core.consent where external_id = $1",
        id,
        FIRM,
    )
    assert not await matches(service_pool, id)


async def test_many_in_one_statement_in_their_order(owner: Connection, service_pool: Pool) -> None:
    first, second = await consent(owner), await consent(owner, subject_uscc=SHOP)
    pairs = [(second, SHOP), (uuid.uuid4(), FIRM), (first, FIRM), (first, SHOP), (first, FIRM)]
    found = await match(service_pool, pairs, grantee_uscc=ORGAN, matter="GRANT")
    assert [row and row.id for row in found] == [second, None, first, None, first]
    assert [row.uscc for row in found if row] == [SHOP, FIRM, FIRM]
    assert await match(service_pool, [], grantee_uscc=ORGAN, matter="GRANT") == []
    texts = [(str(id), uscc) for id, uscc in pairs]
    stored = await StoredConsents(service_pool).matching(texts, grantee=ORGAN, matter="GRANT", scope="BANKS")
    assert set(stored) == {(str(second), SHOP), (str(first), FIRM)}
    told = stored[str(first), FIRM]
    assert (told.id, told.document_sha256, told.grantee) == (str(first), HASH, ORGAN)
    assert told.valid_to == str(await owner.fetchval("select core.today() + 9"))


async def test_consents_are_never_changed(owner: Connection, service_pool: Pool) -> None:
    """The role that reads them can do nothing else, and the tables refuse what can't be a consent."""
    id = await consent(owner)
    for sql in (
        "update core.consent set scope = '{}'",
        "delete from core.consent",
        "delete from core.consent_revocation",
    ):
        with pytest.raises(StorageUnavailable):
            await service_pool.execute(sql)
    for column, value in (
        ("scope", "'{}'"),
        ("valid_to", "valid_from - 1"),
        ("document_sha256", "'x'"),
        ("method", "''"),
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(f"update core.consent set {column} = {value} where external_id = '{id}'")


@pytest.fixture(scope="module")
async def books(database: Database) -> AsyncIterator[tuple[PendingRequests, PendingRequests]]:
    """The same book in two processes."""
    pools = [Pool(database.dsn("service"), size=1) for _ in range(2)]
    yield PendingRequests(pools[0], "BANKS"), PendingRequests(pools[1], "BANKS")
    for pool in pools:
        await pool.close()


async def test_pending_requests(owner: Connection, books: tuple[PendingRequests, PendingRequests]) -> None:
    one, two = books
    id, request, newer = str(await consent(owner)), str(uuid.uuid4()), str(uuid.uuid4())
    day = str(await owner.fetchval("select core.today()"))
    before = str(await owner.fetchval("select core.today() - 1"))
    assert await one.find(FIRM, id) is None
    await one.keep(FIRM, id, request, day)
    assert await two.find(FIRM, id) == request
    assert await two.find(SHOP, id) is None
    await two.keep(FIRM, id, newer, day)
    assert await one.find(FIRM, id) == newer
    await one.keep(FIRM, id, newer, before)
    assert await two.find(FIRM, id) is None  # its last day has passed
    assert await owner.fetchval("select count(*) from core.pending_request") == 1
    await one.keep(FIRM, id, request, day)
    assert await two.find(FIRM, id, "under a seal") is None  # what others have asked is not theirs, either
    await one.keep(FIRM, id, newer, day, "under a seal")
    assert (await two.find(FIRM, id), await two.find(FIRM, id, "under a seal")) == (request, newer)
    await two.forget(FIRM, id)
    assert (await one.find(FIRM, id), await one.find(FIRM, id, "under a seal")) == (None, newer)
