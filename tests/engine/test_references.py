"""What stands in many rows and is one of few is filled in: never older than the rows, the same in every view as if it
were printed there, however many kinds of it there are, and whatever else the rows say.
"""

from __future__ import annotations

import json
import time
import uuid
from itertools import permutations
from typing import Any

import pytest

from gateway.auth.principal import ANONYMOUS
from gateway.engine.execute import Done, Request
from gateway.engine.references import BETWEEN_KEYS, KINDS, MARK, Gaps, Part, Printed, References
from gateway.errors import Refused, StorageUnavailable
from gateway.storage.pool import storage_unavailable
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.references_world import RECORDS, added, authorities, nodes, renamed, statements_of

MARKS = MARK + BETWEEN_KEYS
VIEWS = ("public", "restricted", "restricted_scoped", "internal", "self")


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
    for known, _ in world.engine._statements.references["restricted"]._kept._values.values():
        object.__setattr__(known, "version", 1)
    async with renamed(owner, "示例博州财政局（新）"):
        assert await authorities(world, "restricted") == {"示例博州财政局"}


@pytest.mark.parametrize("view", VIEWS)
async def test_what_was_shown_once_costs_no_further_statement(world: World, view: str) -> None:
    expected = await nodes(world, view)
    asked: list[str] = []
    assert await statements_of(world, view, asked) == 1
    assert await nodes(world, view) == expected
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


async def test_a_new_document_takes_six_statements_more_at_most(world: World) -> None:
    kinds = " ".join(f"n{n}: authority {{ o{n}: name }} t{n}: status" for n in range(9))
    query = RECORDS.replace("authority { uscc name region { name } }", f"authority {{ name }} {kinds}")
    asked: list[str] = []
    assert await statements_of(world, "restricted", asked, query) == 1 + 6
    for node in await nodes(world, "restricted", query):
        assert [node[f"n{n}"][f"o{n}"] for n in range(9)] == [node["authority"]["name"]] * 9


@pytest.mark.parametrize("weight", [0, 300])
async def test_what_is_not_kept_is_asked_for_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch, weight: int
) -> None:
    expected = await nodes(world, "internal")
    monkeypatch.setitem(world.engine._statements.references, "internal", References(weight))
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


async def test_what_a_server_that_lags_behind_says_is_not_filled_in(world: World) -> None:
    class Behind:
        async def fetch(self, *_: Any, **__: Any) -> Any:
            return 1, {b"a7": b"{}"}

    printed = Printed((Part("authority", "id", "bigint", "v.name", ""),))
    asked = (Gaps.of([printed]), world.principal("restricted"), Behind(), time.monotonic() + 10)
    with pytest.raises(StorageUnavailable):
        await References().filled(b'{"a":\x01a7\x01}', 2, *asked)
    assert await References().filled(b'{"a":\x01a7\x01}', 1, *asked) == b'{"a":{}}'


async def test_who_gets_no_whole_answer_is_not_told_that_nothing_was_disclosed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(References):
        async def filled(self, *_: Any) -> bytes:
            raise storage_unavailable()

    for view, told in (("public", "nothing was disclosed"), ("restricted", "on record as answered")):
        monkeypatch.setitem(world.engine._statements.references, view, Away())
        before = len(world.account.disclosures)
        with pytest.raises(Refused) as refused:
            await nodes(world, view)
        (error,) = refused.value.errors
        assert error.code == "STORAGE_UNAVAILABLE"
        assert told in error.en
        assert len(world.account.disclosures) == before + (view != "public")


# What is kept -------------------------------------------------------------------------------------------------------


async def test_long_names_of_what_is_printed_are_counted(world: World) -> None:
    longest = "a" * 30_000
    query = RECORDS.replace("authority { uscc", f"authority {{ {longest}: uscc")
    engine = world.engine
    planned = await engine.planned(world.principal("public"), Request(query, None, {"uscc": small_world.FIRM}), Done())
    assert planned.compiled.characters > len(longest)
    assert planned.compiled.body is not None
    assert len(planned.compiled.body.gaps.name) == 64


async def test_what_is_known_of_many_selections_stays_within_its_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 20_000
    known = References(bound)
    monkeypatch.setitem(world.engine._statements.references, "public", known)
    for number in range(60):
        await nodes(world, "public", RECORDS.replace("{ uscc", f"{{ a{number}: uscc"))
        held = known._kept._values
        assert sum(entry.weight for entry, _ in held.values()) == known._kept._weighs <= bound
        assert len(held) <= bound / 1_000


async def test_one_view_does_not_put_out_what_another_knows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for view in ("public", "restricted"):
        monkeypatch.setitem(world.engine._statements.references, view, References(5_000))
    await nodes(world, "restricted")
    for number in range(10):
        await nodes(world, "public", RECORDS.replace("{ uscc", f"{{ a{number}: uscc"))
    assert await statements_of(world, "restricted") == 1


async def test_many_of_one_selection_are_known_together() -> None:
    class Prints:
        asked = 0

        async def fetch(self, sql: str, arguments: Any, **_: Any) -> Any:
            self.asked += 1
            return 1, {b"a%s" % key.encode(): b"{%s}" % key.encode() for key in arguments[0]}

    printed, prints, known = Printed((Part("authority", "id", "bigint", "v.name", ""),)), Prints(), References()
    asked = (1, Gaps.of([printed]), ANONYMOUS, prints, time.monotonic() + 10)
    for first in range(0, 300, 10):
        body = b",".join(b"\x01a%d\x01" % key for key in range(first, first + 20))
        assert await known.filled(body, *asked) == b",".join(b"{%d}" % key for key in range(first, first + 20))
    before = prints.asked
    await known.filled(b"\x01a0\x01\x01a309\x01", *asked)
    assert prints.asked == before


async def test_the_body_is_json(world: World) -> None:
    answer = await world.ask("restricted", RECORDS, {"uscc": small_world.FIRM})
    assert not set(MARKS) & set(json.dumps(answer, ensure_ascii=False))
