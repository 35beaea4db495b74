"""`clients fill-list`: a list has exactly the members of the last file; codes not on record are told and left out."""

from __future__ import annotations

from typing import Any

import asyncpg

from gateway.auth.clients import ClientStore
from gateway.storage.identifiers import organisation_uuid, uscc_check_digit
from gateway.storage.pool import Pool

CODES = [first + uscc_check_digit(first) for first in ("91652799YL0000701", "91652799YL0000702", "91652799YL0000703")]


async def members(owner: asyncpg.Connection[Any]) -> set[str]:
    rows = await owner.fetch(
        "select s.uscc from auth.client_list l join core.subject s on s.id = l.subject_id where l.list = 'park'"
    )
    return {row["uscc"] for row in rows}


async def test_a_list_is_what_the_last_file_says(service_pool: Pool, owner: asyncpg.Connection[Any]) -> None:
    for uscc in CODES[:2]:
        await owner.execute(
            "insert into core.subject (external_id, class, kind, uscc, name, name_folded)"
            " values ($1, 'ORGANISATION', 'ENTERPRISE', $2, '示例', '示例')",
            organisation_uuid(uscc),
            uscc,
        )
    store = ClientStore(service_pool)
    assert await store.fill_list("park", CODES) == (2, (CODES[2],))
    assert await members(owner) == set(CODES[:2])
    assert await store.fill_list("park", CODES[1:2]) == (1, ())
    assert await members(owner) == {CODES[1]}
    assert await store.fill_list("park", []) == (0, ())
    assert await members(owner) == set()
