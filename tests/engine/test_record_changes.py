"""recordChanges: pages in one order without a gap, a bookmark that goes on where nothing was new, withdrawals without
content, and nothing that tells of what a view never had.
"""

from __future__ import annotations

import itertools
import uuid
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from gateway.engine import pages
from gateway.engine.execute import Request
from gateway.engine.plans import Plans
from gateway.errors import Refused
from tests.engine import small_world
from tests.engine.conftest import World

QUERY = """query ($after: String, $first: Int = 100, $usccs: [Uscc!], $areas: [Area!]) {
  recordChanges(after: $after, first: $first, usccs: $usccs, areas: $areas) {
    edges { cursor node { kind cause reason at recordId subject { uscc } record { title } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
INSERT = """insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,
    authority_id, source_code, catalogue_item, decided_on, published_from, title, natural_key)
    values ($1, $2, 'ORGANISATION', 'PENALTY', 'PPP', 'MINOR', 'ACTIVE', $3, $4, 'LOCAL', 'QG-04', '2026-01-01',
        core.today(), $5, $5) returning id"""


async def number(owner: Any) -> None:
    while await owner.fetchval("select core.number_changes(100)") > 0:
        pass


async def page(world: World, owner: Any, view: str, after: str | None = None, **more: Any) -> Any:
    await number(owner)
    answer = await world.ask(view, QUERY, {"after": after, **more})
    return answer["data"]["recordChanges"]


async def bookmark(world: World, owner: Any, view: str = "public") -> str:
    return str((await page(world, owner, view))["pageInfo"]["endCursor"])


def told(found: Any) -> list[tuple[Any, ...]]:
    nodes = [edge["node"] for edge in found["edges"]]
    return [(node["kind"], node["cause"], node["record"] and node["record"]["title"]) for node in nodes]


async def written(world: World, owner: Any, title: str, *, published: bool = True) -> int:
    firm, organ = world.ids[small_world.FIRM], world.ids[small_world.ORGAN]
    return int(await owner.fetchval(INSERT, uuid.uuid4(), firm, published, organ, title))


async def test_pages_go_through_all_of_it_once(world: World, owner: Any) -> None:
    whole = told(await page(world, owner, "public"))
    assert {title for _, _, title in whole} == {
        row[6] for row in small_world.RECORDS if row[4] in ("ACTIVE", "CORRECTED")
    }
    for by_edge in (False, True):
        found, after, more = [], None, True
        while more:
            got = await page(world, owner, "public", after, first=2)
            info = got["pageInfo"]
            assert info["hasPreviousPage"] == (after is not None)
            found += told(got)
            after, more = got["edges"][-1]["cursor"] if by_edge else info["endCursor"], info["hasNextPage"]
        assert found == whole


async def test_a_bookmark_where_nothing_was_new_goes_on_and_tells_nothing(world: World, owner: Any) -> None:
    """The public's poller while an unpublished penalty comes and goes: its pages are the same as without."""
    mark = await bookmark(world, owner)
    quiet = await page(world, owner, "public", mark)
    hidden = await written(world, owner, "未公示", published=False)
    await owner.execute("update core.record set status = 'REVOKED' where id = $1", hidden)
    unquiet = await page(world, owner, "public", mark)
    for got in (quiet, unquiet):
        assert got["edges"] == []
        assert got["pageInfo"] | {"endCursor": ""} == {
            "hasNextPage": False,
            "hasPreviousPage": True,
            "startCursor": None,
            "endCursor": "",
        }
    # Cursors differ each time, whether anything happened or not, and no part of them stays the same.
    cursors = [quiet["pageInfo"]["endCursor"], unquiet["pageInfo"]["endCursor"], mark]
    assert len({cursor[:8] for cursor in cursors}) == len({cursor[-8:] for cursor in cursors}) == 3
    assert [kind for kind, _, _ in told(await page(world, owner, "restricted"))][-1] == "WITHDRAWN"
    seen = await written(world, owner, "公示的")
    for cursor in cursors:
        assert told(await page(world, owner, "public", cursor)) == [("ADDED", None, "公示的")]
    await owner.execute("update core.record set status = 'REPAIRED' where id = $1", seen)


async def test_the_life_of_a_record_in_each_view(world: World, owner: Any) -> None:
    marks = {view: await bookmark(world, owner, view) for view in ("public", "restricted", "self", "internal")}
    record = await written(world, owner, "生命", published=False)

    async def since(view: str) -> list[tuple[Any, ...]]:
        return told(await page(world, owner, view, marks[view]))

    added, changed = ("ADDED", None, "生命"), ("CHANGED", None, "生命")
    assert await since("public") == []
    assert await since("restricted") == await since("self") == await since("internal") == [added]
    # Its authority publishes it: to the public it has come this moment, whatever was before.
    await owner.execute("update core.record set published = true where id = $1", record)
    assert await since("public") == [added]
    assert await since("restricted") == [added, changed]
    await owner.execute("update core.record set published = false where id = $1", record)
    assert await since("public") == [("WITHDRAWN", "UNPUBLISHED", None)]
    assert await since("restricted") == [added, changed, changed]
    await owner.execute("update core.record set published = true where id = $1", record)
    await owner.execute("update core.record set status = 'REVOKED' where id = $1", record)
    await owner.execute(
        "insert into core.withdrawal (subject_id, record_id, authority_id, withdrawn_on, reason)"
        " select subject_id, id, authority_id, core.today(), '程序违法' from core.record where id = $1",
        record,
    )
    gone = ("WITHDRAWN", "REVOKED", None)
    assert await since("public") == [("WITHDRAWN", "UNPUBLISHED", None), gone]
    got = await page(world, owner, "public", marks["public"])
    assert [edge["node"]["reason"] for edge in got["edges"]] == [None, "程序违法"]
    assert got["edges"][1]["node"]["subject"] == {"uscc": small_world.FIRM}
    assert await since("restricted") == [gone]
    # Its subject and a supervisor still have the record, and what it was; that it ended has no content.
    assert await since("self") == await since("internal") == [added, changed, changed, changed, gone]
    # In force again: added once more, and the withdrawal stays told, so that nobody's copy is of before.
    await owner.execute("update core.record set status = 'CORRECTED' where id = $1", record)
    assert (await since("public"))[-2:] == [gone, added]
    await owner.execute("update core.record set status = 'REPAIRED' where id = $1", record)
    assert (await since("public"))[-1] == ("WITHDRAWN", "REPAIRED", None)


async def test_of_some_subjects_in_some_areas(world: World, owner: Any) -> None:
    shop = await page(world, owner, "public", usccs=[small_world.SHOP])
    assert told(shop) == [("ADDED", None, "名单一")]
    both = await page(world, owner, "restricted", usccs=[small_world.SHOP, small_world.ORGAN, small_world.STRANGER])
    assert [title for _, _, title in told(both)] == ["问责一", "名单一"]
    areas = await page(world, owner, "public", areas=["TENDERING", "PPP"], usccs=[small_world.FIRM])
    assert {"许可一\n二行", "判决一"} <= {title for _, _, title in told(areas)}
    assert told(await page(world, owner, "public", areas=[])) == []


async def test_a_page_ends_with_its_window_and_its_bookmark_goes_on(
    world: World, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of two places: the pages have all that a single one has, with empty ones between, of each filter."""
    filters: tuple[dict[str, Any], ...] = ({}, {"usccs": [small_world.SHOP]}, {"areas": ["TENDERING"]}, {"areas": []})
    whole = [await page(world, owner, "public", **each) for each in filters]
    assert not any(each["pageInfo"]["hasNextPage"] for each in whole)
    end = await owner.fetchval("select position from core.change_end")
    begin = await owner.fetchval("select swept from core.change_end")
    monkeypatch.setattr(pages, "WINDOW", 2)
    monkeypatch.setattr(world.engine, "_plans", Plans(100, accounts=False))  # made with other windows
    for first, (more, expected) in itertools.product((1, 100), zip(filters, whole, strict=True)):
        found, after, asked, empty = [], None, 0, 0
        while True:
            got = await page(world, owner, "public", after, first=first, **more)
            found += told(got)
            after, asked, empty = got["pageInfo"]["endCursor"], asked + 1, empty + (not got["edges"])
            if not got["pageInfo"]["hasNextPage"]:
                break
        assert found == told(expected)
        assert asked >= (end - begin + 1) // 2
        assert empty or not more
        # Where all ends is where what comes next is found.
        assert told(await page(world, owner, "public", after, first=first, **more)) == []


async def test_what_is_shown_is_disclosed(world: World, owner: Any) -> None:
    world.account.disclosures.clear()
    await page(world, owner, "restricted", usccs=[small_world.SHOP])
    (disclosure,) = world.account.disclosures
    assert shown(disclosure) == {str(small_world.organisation_uuid(small_world.SHOP))}
    assert disclosure.outcome == "ANSWERED"


def shown(disclosure: Any) -> set[str]:
    return set(filter(None, str(disclosure.subject_ids, "ascii").split(",")))


@pytest.mark.parametrize("view", ["restricted", "internal"])
async def test_of_whom_there_is_nothing_is_told_so(
    world: World, owner: Any, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a subject has no record, or none of an area, since a cursor, is an answer about it: it finds it among its
    disclosures, on record or not. Without the control whom no row is of is asked about in silence."""
    asked = [small_world.SHOP, small_world.STRANGER]
    wanted = {str(small_world.organisation_uuid(code)) for code in asked}
    end = await bookmark(world, owner, view)
    for after, areas in ((end, None), (None, [])):
        world.account.disclosures.clear()
        assert told(await page(world, owner, view, after, usccs=asked, areas=areas)) == []
        assert [shown(each) for each in world.account.disclosures] == [wanted]
    with monkeypatch.context() as patch:
        patch.setattr(pages.Pages, "_tell_all", lambda *_: None)
        patch.setattr(world.engine, "_plans", Plans(100, accounts=False))
        world.account.disclosures.clear()
        await page(world, owner, view, end, usccs=asked)
        assert [shown(each) for each in world.account.disclosures] == [set()]
    world.account.disclosures.clear()
    await page(world, owner, view, end)
    assert [shown(each) for each in world.account.disclosures] == [set()]


async def test_who_is_asked_about_counts_for_a_token_of_few(world: World, owner: Any) -> None:
    principal = replace(world.principal("restricted"), max_subjects=1)
    for codes, refused in (([small_world.SHOP], False), ([small_world.SHOP, small_world.STRANGER], True)):
        request = Request(QUERY, None, {"usccs": codes, "areas": []})
        with pytest.raises(Refused, match="more than the 1 subjects") if refused else nullcontext():
            await world.engine.answer(principal, request)


@pytest.mark.parametrize("after", ["x", "", "A" * 32, "A" * 31 + "é", "d2026-01-01" + small_world.FIRST_RECORD_ID])
async def test_other_cursors_are_refused(world: World, owner: Any, after: str) -> None:
    for view in ("public", "restricted", "internal"):
        assert await world.refused(view, QUERY, {"after": after}) == ["BAD_USER_INPUT"]


async def test_who_missed_what_is_no_longer_kept_starts_anew(world: World, owner: Any) -> None:
    early = (await page(world, owner, "public", first=1))["edges"][0]["cursor"]
    late = await bookmark(world, owner)
    await owner.execute("update core.record_change set at = now() - interval '100 days'")
    while await owner.fetchval("select core.sweep_changes(90)") > 0:
        pass
    assert await world.refused("public", QUERY, {"after": early}) == ["BAD_USER_INPUT"]
    assert told(await page(world, owner, "public", late)) == told(await page(world, owner, "public")) == []
    after = await written(world, owner, "之后")
    assert told(await page(world, owner, "public", late)) == [("ADDED", None, "之后")]
    await owner.execute("update core.record set status = 'REPAIRED' where id = $1", after)
