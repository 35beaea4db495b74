"""What stands in many rows and is one of few is filled in: never older than the rows, the same in every view as if it
were printed there, however many kinds of it there are, and whatever else the rows say.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import asyncpg
import pytest

from gateway.engine.references import BETWEEN_KEYS, KINDS, MARK, Gaps, Part, Printed, References
from gateway.errors import StorageUnavailable
from gateway.storage.database import Database
from tests.engine import small_world
from tests.engine.conftest import World

MARKS = MARK + BETWEEN_KEYS
VIEWS = ("public", "restricted", "restricted_scoped", "internal", "self")
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


@pytest.mark.parametrize("view", VIEWS)
async def test_a_name_is_new_with_the_first_answer_after_its_change(world: World, owner: Any, view: str) -> None:
    assert await authorities(world, view) == {"示例博州财政局"}
    async with renamed(owner, "示例博州财政局（新）"):
        assert await authorities(world, view) == {"示例博州财政局（新）"}
    assert await authorities(world, view) == {"示例博州财政局"}


async def test_so_are_its_region_and_the_source(world: World, owner: Any) -> None:
    (before,) = {node["authority"]["region"]["name"] for node in await nodes(world, "restricted")}
    source = await owner.fetchval("select name from core.source where code = 'LOCAL'")
    await owner.execute("update core.region set name = '示例州' where code = '6527'")
    await owner.execute("update core.source set name = '本地（新）' where code = 'LOCAL'")
    try:
        found = await nodes(world, "restricted")
    finally:
        await owner.execute("update core.region set name = $1 where code = '6527'", before)
        await owner.execute("update core.source set name = $1 where code = 'LOCAL'", source)
    assert {node["authority"]["region"]["name"] for node in found} == {"示例州"} != {before}
    assert {node["source"]["name"] for node in found if node["source"]["code"] == "LOCAL"} == {"本地（新）"}
    assert {node["authority"]["region"]["name"] for node in await nodes(world, "restricted")} == {before}


async def test_without_its_version_an_old_name_would_be_shown(
    world: World, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = References.filled

    async def unversioned(self: References, body: bytes, version: int, *rest: Any) -> bytes:
        return await filled(self, body, 1, *rest)

    await authorities(world, "restricted")
    monkeypatch.setattr(References, "filled", unversioned)
    for known, _ in world.engine._references._kept._values.values():
        object.__setattr__(known, "version", 1)
    async with renamed(owner, "示例博州财政局（新）"):
        assert await authorities(world, "restricted") == {"示例博州财政局"}


@pytest.mark.parametrize("view", VIEWS)
async def test_what_was_shown_once_costs_no_further_statement(world: World, view: str) -> None:
    expected = await nodes(world, view)
    pool = world.engine.pools[world.principal(view).access.name]
    asked: list[str] = []
    fetch = pool.fetch

    async def watched(sql: str, *arguments: Any, **named: Any) -> Any:
        asked.append(sql)
        return await fetch(sql, *arguments, **named)

    pool.fetch = watched  # type: ignore[method-assign]
    try:
        assert await nodes(world, view) == expected
    finally:
        del pool.fetch  # type: ignore[method-assign]
    assert len(asked) == 1
    assert "authority_name" not in asked[0]  # nor a join to have it by
    assert "source_name" not in asked[0]


async def test_marks_in_the_text_of_a_record_are_text(world: World, owner: Any) -> None:
    title = MARKS + '名\x01称\\x01"'
    async with added(owner, world, title, world.ids[small_world.ORGAN]):
        found = [node for node in await nodes(world, "restricted") if node["title"] == title]
    assert [node["authority"]["name"] for node in found] == ["示例博州财政局"]


async def test_marks_in_a_name_are_text_too(world: World, owner: Any) -> None:
    name = "财政\x01局\x02" + MARKS
    async with renamed(owner, name):
        assert await authorities(world, "restricted") == {name}


@pytest.mark.parametrize("view", VIEWS)
async def test_none_is_null(world: World, owner: Any, view: str) -> None:
    async with added(owner, world, "无机关", None):
        (node,) = [node for node in await nodes(world, view) if node["title"] == "无机关"]
    assert node["authority"] is None
    assert node["source"]["code"] == "LOCAL"


async def test_an_authority_that_is_no_organisation_is_nobody(world: World, owner: Any) -> None:
    person = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded)"
        " values ($1, 'PERSON', 'NATURAL_PERSON', '样例人', '样例人') returning id",
        uuid.uuid4(),
    )
    try:
        async with added(owner, world, "自然人作出", person):
            for view in VIEWS:
                (node,) = [node for node in await nodes(world, view) if node["title"] == "自然人作出"]
                assert node["authority"] is None
    finally:
        await owner.execute("delete from core.subject where id = $1", person)


@pytest.mark.parametrize("view", ["public", "restricted", "internal"])
async def test_more_kinds_than_letters(world: World, view: str) -> None:
    named = ("uscc", "name", "kind", "id", "onRecord")
    fields = [" ".join(chosen) for many in (1, 2, 3) for chosen in permutations(named, many)][: len(KINDS) + 9]
    aliased = " ".join(f"a{n}: authority {{ {chosen} }} s{n}: status" for n, chosen in enumerate(fields))
    query = RECORDS.replace("authority { uscc name region { name } }", f"authority {{ {' '.join(named)} }} {aliased}")
    for node in await nodes(world, view, query):
        for n, chosen in enumerate(fields):
            assert list(node[f"a{n}"].items()) == [(name, node["authority"][name]) for name in chosen.split()]


@pytest.mark.parametrize("weight", [0, 300])
async def test_what_is_not_kept_is_asked_for_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch, weight: int
) -> None:
    expected = await nodes(world, "internal")
    monkeypatch.setattr(world.engine, "_references", References(weight))
    assert await nodes(world, "internal") == expected
    assert await nodes(world, "internal") == expected


async def test_what_changes_often_stays_in_the_rows(world: World, owner: Any) -> None:
    query = RECORDS.replace("source { code name }", "source { code healthy }")
    assert all(node["source"]["healthy"] for node in await nodes(world, "public", query))
    await owner.execute("update core.source_health set healthy = false where source_code = 'LOCAL'")
    try:
        found = await nodes(world, "public", query)
    finally:
        await owner.execute("update core.source_health set healthy = true where source_code = 'LOCAL'")
    assert not any(node["source"]["healthy"] for node in found if node["source"]["code"] == "LOCAL")


async def test_a_body_whose_marks_do_not_agree_is_no_answer(world: World) -> None:
    printed = Printed((Part("authority", "id", "bigint", "v.name", ""),))
    asked = (
        1,
        Gaps.of([printed]),
        world.principal("restricted"),
        world.engine.pools["restricted"],
        time.monotonic() + 10,
    )
    with pytest.raises(RuntimeError):
        await References().filled(b'{"a":\x01a7\x01,"b":\x01}', *asked)
    with pytest.raises(StorageUnavailable):
        await References().filled(b'{"a":\x01ax\x01}', *asked)
    with pytest.raises(KeyError):
        await References().filled(b'{"a":\x01x\x01}', *asked)


def test_plans_share_what_they_leave_out() -> None:
    made = [
        Gaps.of([Printed((Part("authority", "id", "bigint", "v." + name, ""),))]) for name in ("name", "name", "uscc")
    ]
    assert made[0] is made[1]
    assert made[0] != made[2]


# The version --------------------------------------------------------------------------------------------------------


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


async def test_the_body_is_json(world: World) -> None:
    answer = await world.ask("restricted", RECORDS, {"uscc": small_world.FIRM})
    assert not set(MARKS) & set(json.dumps(answer, ensure_ascii=False))
