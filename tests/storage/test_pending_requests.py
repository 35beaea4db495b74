"""Promise: a pending request is found until its consent's last day has passed, by any process, and swept afterwards."""

from __future__ import annotations

import uuid

import asyncpg

from gateway.auth.sweep import Sweeper
from gateway.storage.consents import SWEEP_PENDING, PendingRequests
from gateway.storage.pool import Pool

SUBJECT, ORGAN = "91652701MA0000000X", "11652700MB0000000Y"


async def consent(owner: asyncpg.Connection[asyncpg.Record]) -> str:
    found = await owner.fetchval(
        "insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to, document_sha256,"
        " method, client_id, case_number) values ($1, $2, 'GRANT', '{BANKS}', current_date - 9, current_date + 9, $3,"
        " 'PAPER_SIGNED', 'c', '1') returning external_id::text",
        SUBJECT,
        ORGAN,
        "ab" * 32,
    )
    return str(found)


async def test_what_has_passed_is_not_found_and_swept(
    service_pool: Pool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    pending = PendingRequests(service_pool, "BANKS")
    today, yesterday = await owner.fetchrow("select core.today()::text, (core.today() - 1)::text")
    open_one, over = await consent(owner), await consent(owner)
    kept = str(uuid.uuid4())
    await pending.keep(SUBJECT, open_one, kept, today)
    await pending.keep(SUBJECT, over, str(uuid.uuid4()), yesterday)
    assert await PendingRequests(service_pool, "BANKS").find(SUBJECT, open_one) == kept
    assert await pending.find(SUBJECT, over) is None
    assert await pending.find(ORGAN, open_one) is None
    await Sweeper(service_pool, SWEEP_PENDING, "pending requests", seconds=-1).sweep()
    rows = await owner.fetch("select request_id::text from core.pending_request")
    assert [row["request_id"] for row in rows] == [kept]
    await pending.forget(SUBJECT, open_one)
    assert await pending.find(SUBJECT, open_one) is None
