"""Records of the small world with their authorities, asked for, added and renamed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.engine import small_world
from tests.engine.conftest import World

RECORDS = """query ($uscc: Uscc!) { subject(uscc: $uscc) { records(first: 20) { edges { node {
    title authority { uscc name region { name } } source { code name } } } } } }"""
INSERT = """insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,
    authority_id, source_code, catalogue_item, decided_on, published_from, title, natural_key)
    values ($1, $2, 'ORGANISATION', 'PENALTY', 'PPP', 'MINOR', 'ACTIVE', true, $3, 'LOCAL', 'QG-04', '2026-01-01',
        core.today(), $4, $5) returning id"""
RENAME = "update core.subject set name = $2 where uscc = $1"


async def nodes(world: World, view: str, query: str = RECORDS) -> list[dict[str, Any]]:
    answer = await world.ask(view, query, {"uscc": small_world.FIRM})
    assert "errors" not in answer
    return [edge["node"] for edge in answer["data"]["subject"]["records"]["edges"]]


async def authorities(world: World, view: str) -> set[str]:
    return {node["authority"]["name"] for node in await nodes(world, view)}


@asynccontextmanager
async def renamed(owner: Any, name: str) -> AsyncIterator[None]:
    before = await owner.fetchval("select name from core.subject where uscc = $1", small_world.ORGAN)
    await owner.execute(RENAME, small_world.ORGAN, name)
    try:
        yield
    finally:
        await owner.execute(RENAME, small_world.ORGAN, before)


@asynccontextmanager
async def added(owner: Any, world: World, title: str, authority: int | None) -> AsyncIterator[None]:
    firm, external = world.ids[small_world.FIRM], uuid.uuid4()
    number = await owner.fetchval(INSERT, external, firm, authority, title, str(external))
    try:
        yield
    finally:
        await owner.execute("delete from core.record_change where record_id = $1", number)
        await owner.execute("delete from core.record where id = $1", number)


async def statements_of(world: World, view: str, asked: list[str] | None = None, query: str = RECORDS) -> int:
    """How many statements an answer takes; which, in `asked`."""
    asked = [] if asked is None else asked
    pool = world.engine.pools[world.principal(view).access.name]
    fetch = pool.fetch

    async def watched(sql: str, *arguments: Any, **named: Any) -> Any:
        asked.append(sql)
        return await fetch(sql, *arguments, **named)

    pool.fetch = watched  # type: ignore[method-assign]
    try:
        await nodes(world, view, query)
    finally:
        del pool.fetch  # type: ignore[method-assign]
    return len(asked)
