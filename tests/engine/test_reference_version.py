"""What is filled into answers is never older than their rows: whatever changes a name, in whatever order and beside
whatever else, it raises the version; nothing else does.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Literal

import asyncpg
import pytest

from gateway.storage import views
from gateway.storage.catalogue import RELATIONS
from gateway.storage.conditions import HAS_SCOPE, conditions
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES, Access
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.references_world import INSERT, RENAME, added, authorities, renamed


async def version(owner: Any) -> int:
    return int(await owner.fetchval("select version from core.reference_version"))


async def test_only_what_is_filled_in_raises_the_version(world: World, owner: Any) -> None:
    before = await version(owner)
    async with added(owner, world, "新记录", world.ids[small_world.ORGAN]):
        await owner.execute("update core.record set title = '改' where title = '新记录'")
        await owner.execute("update core.subject set updated_at = now() where uscc = $1", small_world.ORGAN)
        await owner.execute("update core.subject set name = name")
        await owner.execute(RENAME, small_world.SHOP, "样例商行（新）")  # nobody's authority
    assert await version(owner) == before
    await owner.execute(RENAME, small_world.SHOP, "样例商行")
    async with renamed(owner, "新名"):
        now = await version(owner)
        assert now > before
    assert await version(owner) > now


async def test_who_renames_holds_nobody_up_before_its_commit(world: World, owner: Any, database: Database) -> None:
    before = await version(owner)
    one, other = [await asyncpg.connect(database.migrate_dsn) for _ in range(2)]
    try:
        first, second = one.transaction(), other.transaction()
        await first.start()
        await one.execute(RENAME, small_world.ORGAN, "新名")
        await one.execute(RENAME, small_world.ORGAN, "更新的名")
        await second.start()
        await other.execute("update core.region set name = name || '' where code = '6527'", timeout=10)
        await second.commit()
        assert await version(owner) > before
        assert await authorities(world, "restricted") == {"示例博州财政局"}
        between = await version(owner)
        await first.commit()
        assert await version(owner) > between
        assert await authorities(world, "restricted") == {"更新的名"}
    finally:
        await one.close()
        await other.close()
        await owner.execute(RENAME, small_world.ORGAN, "示例博州财政局")


async def test_who_was_renamed_while_nobodys_authority_has_its_new_name(world: World, owner: Any) -> None:
    authority = world.ids[small_world.OLD_ORGAN]
    async with added(owner, world, "先", authority):
        assert "示例博州财务局" in await authorities(world, "restricted")
    await owner.execute(RENAME, small_world.OLD_ORGAN, "新名")
    try:
        async with added(owner, world, "后", authority):
            assert await authorities(world, "restricted") == {"示例博州财政局", "新名"}
    finally:
        await owner.execute(RENAME, small_world.OLD_ORGAN, "示例博州财务局")


@asynccontextmanager
async def two(database: Database) -> AsyncIterator[tuple[Any, Any]]:
    """Connections of who owns the tables."""
    one, other = [await asyncpg.connect(database.migrate_dsn) for _ in range(2)]
    try:
        yield one, other
    finally:
        await one.close()
        await other.close()


@asynccontextmanager
async def nobody_yet(owner: Any, name: str) -> AsyncIterator[int]:
    """A subject that has never been an authority; goes with the records that it is the authority of."""
    number = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded)"
        " values ($1, 'ORGANISATION', 'OTHER', $2, $2) returning id",
        uuid.uuid4(),
        name,
    )
    try:
        yield number
    finally:
        await owner.execute(
            "delete from core.record_change where record_id in (select id from core.record where authority_id = $1)",
            number,
        )
        await owner.execute("delete from core.record where authority_id = $1", number)
        await owner.execute("delete from core.subject where id = $1", number)


async def waits(owner: Any, connection: Any, work: Awaitable[Any]) -> asyncio.Task[Any]:
    """The work, begun, once it waits for a lock of another transaction."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(20):
        while not await owner.fetchval("select cardinality(pg_blocking_pids($1)) > 0", connection.get_server_pid()):
            assert not task.done()
            await asyncio.sleep(0.02)
    return task


async def test_a_record_waits_for_who_renames_its_new_authority(world: World, owner: Any, database: Database) -> None:
    # Otherwise it would be seen with the old name, of which nobody had told whoever renamed it.
    external = str(uuid.uuid4())
    async with nobody_yet(owner, "旧") as authority, two(database) as (one, other):
        renaming = one.transaction()
        await renaming.start()
        await one.execute("update core.subject set name = '新' where id = $1", authority)
        adding = other.fetchval(INSERT, external, world.ids[small_world.FIRM], authority, "甲", external)
        task = await waits(owner, other, adding)
        assert "旧" not in await authorities(world, "restricted")
        await renaming.commit()
        await task
        assert "新" in await authorities(world, "restricted")


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_who_renames_a_new_authority_knows_that_it_is_one(
    world: World, owner: Any, database: Database, isolation: Literal["read_committed", "repeatable_read"]
) -> None:
    external = str(uuid.uuid4())
    async with nobody_yet(owner, "旧") as authority, two(database) as (one, other):
        renaming = one.transaction(isolation=isolation)
        await renaming.start()
        await one.fetchval("select count(*) from core.record")  # its snapshot, where it has but one
        adding = other.transaction()
        await adding.start()
        await other.fetchval(INSERT, external, world.ids[small_world.FIRM], authority, "乙", external)
        rename = one.execute("update core.subject set name = '新' where id = $1", authority)
        task = await waits(owner, one, rename)
        await adding.commit()
        await task
        assert "旧" in await authorities(world, "restricted")
        if isolation == "read_committed":
            await renaming.commit()
            assert "新" in await authorities(world, "restricted")
        else:  # it has not seen the record: it is to begin again
            with pytest.raises(asyncpg.SerializationError):
                await renaming.commit()


async def test_what_is_told_before_the_commit_is_told_again(world: World, owner: Any, database: Database) -> None:
    async with two(database) as (one, _):
        async with one.transaction():
            await one.execute(RENAME, small_world.ORGAN, "一")
            await one.execute("set constraints all immediate")
            await one.execute("set constraints all deferred")
            between = one.transaction()
            await between.start()
            await one.execute(RENAME, small_world.ORGAN, "二")
            await between.rollback()
            assert await authorities(world, "restricted") >= {"示例博州财政局"}
            await one.execute(RENAME, small_world.ORGAN, "三")
        assert "三" in await authorities(world, "restricted")
    await owner.execute(RENAME, small_world.ORGAN, "示例博州财政局")


async def test_new_views_print_anew(world: World, owner: Any) -> None:
    before = await version(owner)
    await owner.execute(views.sql().rsplit(";\n", 2)[1])
    assert await version(owner) > before


async def test_each_column_that_is_printed_of_an_authority_is_compared(owner: Any) -> None:
    reference = RELATIONS["record"].references["authority_"]
    printed = {name for c in RELATIONS[reference.relation].columns if c.name in reference.columns
               for name in re.findall(r"\bs\.(\w+)", c.sql)}  # fmt: skip
    source = await owner.fetchval("select prosrc from pg_proc where proname = 'authority_changed'")
    assert printed == {"class", *re.findall(r"\bo\.(\w+)", source)} - {"class", "id"}


@pytest.mark.parametrize("access", ACCESSES, ids=lambda access: access.name)
def test_nothing_that_is_filled_in_depends_on_who_asks(access: Access) -> None:
    for relation in RELATIONS.values():
        for reference in relation.references.values():
            target = RELATIONS[reference.relation]
            printed = [str(c.at(access.level)) for c in target.columns if c.name in reference.columns]
            assert len(printed) == len(reference.columns)
            told = " ".join((*printed, *(found for found in conditions(target, access) if found != HAS_SCOPE)))
            assert "gateway.scope" not in told
            assert "core.today" not in told


async def test_no_answer_is_older_than_its_request_while_names_change(world: World, owner: Any) -> None:
    names = [f"示例博州财政局（{n}）" for n in range(40)]
    renamed_to = -1
    late: list[tuple[int, str]] = []

    async def ask() -> None:
        while renamed_to < len(names) - 1:
            least = renamed_to
            (name,) = await authorities(world, "restricted")
            if least >= 0 and names.index(name) < least:
                late.append((least, name))

    readers = [asyncio.create_task(ask()) for _ in range(8)]
    try:
        for n, name in enumerate(names):
            await owner.execute(RENAME, small_world.ORGAN, name)
            renamed_to = n
            await asyncio.sleep(0.01)
        await asyncio.gather(*readers)
    finally:
        for reader in readers:
            reader.cancel()
        await owner.execute(RENAME, small_world.ORGAN, "示例博州财政局")
    assert not late
