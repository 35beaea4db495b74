"""Promises of connections, both ways: any page is what the Relay cursor specification says of the whole list, whatever
stands between two cursors, whether their rows are still there or not; and pages walked through forwards or backwards,
of any sizes, are the list. Totals know nothing of cursors.

The specification's algorithm, in plain Python over the whole list, says what must come out.
"""

from __future__ import annotations

import random
import uuid
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from gateway.engine import pages
from gateway.engine.pages import opposite
from gateway.engine.plans import Plans
from gateway.storage.catalogue import RELATIONS
from gateway.storage.identifiers import node_id
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.snapshot import Case, explained

MANY = 230  # records, on few days
ARGUMENTS = "first: $first, after: $after, last: $last, before: $before"
TYPES = "$first: Int, $after: String, $last: Int, $before: String"
PAGE = """totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id } }"""
OF_ALL = (
    f"query All({TYPES}, $f: RecordFilter, $o: RecordOrder) {{"
    f" list: records({ARGUMENTS}, filter: $f, orderBy: $o) {{ {PAGE} }} }}"
)
OF_ONE = (
    f'query One({TYPES}, $f: RecordFilter, $o: RecordOrder) {{ subject(uscc: "{small_world.SHOP}") {{'
    f" list: records({ARGUMENTS}, filter: $f, orderBy: $o) {{ {PAGE} }} }} }}"
)
OF_RECORDS = (
    "query All($f: RecordFilter, $o: RecordOrder, $after: String) { records(filter: $f, orderBy: $o, after: $after) {"
    " edges { cursor } } }"
)
OF_CONSENTS = f"query Given({TYPES}) {{ viewer {{ list: consents({ARGUMENTS}) {{ {PAGE} }} }} }}"
ORDERS = [
    {"field": field, "direction": direction}
    for field in ("DECIDED_ON", "PUBLISHED_FROM")
    for direction in ("ASC", "DESC")
]


@dataclass(frozen=True)
class Listed:
    """A list as a whole: cursors in its order, with the query and the variables that ask for a page of it."""

    query: str
    variables: dict[str, Any]
    cursors: tuple[str, ...]
    letter: str
    descending: bool

    def place(self, cursor: str) -> int:
        """How many rows stand before a cursor's place, there or not. Cursors of one day are in the order of ids."""
        keys = [self._key(each) for each in self.cursors]
        key = self._key(cursor)
        return sum(each > key if self.descending else each < key for each in keys)

    def _key(self, cursor: str) -> tuple[str, bytes]:
        return cursor[1:11], urlsafe_b64decode(cursor[11:] + "=")[1:]


def relay(listed: Listed, first: int | None, after: str | None, last: int | None, before: str | None) -> dict[str, Any]:
    """Relay cursor specification, "Pagination algorithm" and "hasNextPage and hasPreviousPage", read literally; a
    cursor whose row is gone is the place where it was."""
    everything, size = listed.cursors, len(listed.cursors)
    begin, end = 0, size
    if after is not None:
        begin = listed.place(after) + (after in everything)
    if before is not None:
        end = listed.place(before)
    edges = list(everything[begin:end]) if begin < end else []
    if first is None and last is None:
        first = 20
    if first is not None:
        more_after, more_before = len(edges) > first, after is not None and begin > 0
        edges = edges[:first]
    else:
        assert last is not None
        more_before, more_after = len(edges) > last, before is not None and end < size
        edges = edges[-last:]
    return {
        "totalCount": size,
        "pageInfo": {
            "hasNextPage": more_after,
            "hasPreviousPage": more_before,
            "startCursor": edges[0] if edges else None,
            "endCursor": edges[-1] if edges else None,
        },
        "cursors": edges,
    }


async def ask(world: World, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """A page, wherever its list stands."""
    found = (await world.ask("restricted", query, variables))["data"]
    page: dict[str, Any] = found.get("list") or (found.get("subject") or found.get("viewer"))["list"]
    page["cursors"] = [edge["cursor"] for edge in page.pop("edges")]
    return page


@pytest.fixture(scope="module")
async def filled(world: World, owner: asyncpg.Connection[Any]) -> World:
    """Records of two subjects and consents, many on each day."""
    dice = random.Random(6527)
    for number in range(MANY):
        # fmt: off
        row = ("PENALTY" if number % 3 else "HONOUR", "GENERAL", "GENERAL", "ACTIVE",
               f"2024-0{1 + number % 4}-0{1 + number % 7}", f"记录{number}", None, "{}")
        # fmt: on
        owned = world.ids[small_world.SHOP if number % 2 else small_world.FIRM]
        await small_world._record(
            owner, uuid.UUID(int=dice.getrandbits(128), version=4), owned, world.ids[small_world.ORGAN], *row
        )
    await owner.execute(
        "insert into core.consent (external_id, subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to,"
        " document_sha256, method, client_id, case_number, recorded_at, recorded_on) select md5(n::text)::uuid, $1, $2,"
        " 'GRANT', '{BANKS}', '2026-01-01', '2028-12-31', repeat('0', 64), 'PAPER_SIGNED', 'client', '1',"
        " '2026-04-01 09:30:00+08', date '2026-04-01' + n % 5 from generate_series(1, 57) n",
        small_world.FIRM, small_world.ORGAN,
    )  # fmt: skip
    return world


async def whole(world: World, query: str, variables: dict[str, Any], letter: str, *, descending: bool) -> Listed:
    """The list, read in pages of 100 of the first kind."""
    cursors: list[str] = []
    after = None
    while True:
        page = await ask(world, query, {**variables, "first": 100, "after": after})
        cursors += page["cursors"]
        if not page["pageInfo"]["hasNextPage"]:
            return Listed(query, variables, tuple(cursors), letter, descending)
        after = cursors[-1]


async def lists(world: World) -> list[Listed]:
    found = [await whole(world, OF_CONSENTS, {}, "c", descending=True)]
    for query in (OF_ALL, OF_ONE):
        for given in ({}, {"kinds": ["HONOUR"]}, {"decidedFrom": "2024-02-01", "decidedTo": "2024-03-04"}):
            for order in ORDERS:
                letter = "d" if order["field"] == "DECIDED_ON" else "p"
                down = order["direction"] == "DESC"
                found.append(await whole(world, query, {"f": given, "o": order}, letter, descending=down))
    return found


async def test_any_page_is_the_one_of_the_specification(filled: World) -> None:
    dice = random.Random("pages")
    listed = await lists(filled)
    assert min(len(each.cursors) for each in listed) > 30
    seen = set()
    for _ in range(500):
        one = dice.choice(listed)
        given: dict[str, Any] = {}
        size = dice.choice((1, 2, 7, 20, 100))
        given |= dice.choice(({}, {"first": size}, {"last": size}, {"first": None, "last": size}, {"first": size}))
        for name in ("after", "before"):
            given |= dice.choice(({}, {name: None}, {name: dice.choice(one.cursors)}, {name: absent(dice, one)}))
        expected = relay(one, *(given.get(name) for name in ("first", "after", "last", "before")))
        assert await ask(filled, one.query, {**one.variables, **given}) == expected, (one.query, one.variables, given)
        info = expected["pageInfo"]
        seen.add((given.get("last") is None, info["hasNextPage"], info["hasPreviousPage"]))
    assert len(seen) == 8  # all kinds of pages were among them


def absent(dice: random.Random, listed: Listed) -> str:
    """A cursor of a row that is not there: on a day of the list, of an id that nobody has."""
    of_whom = {"c": "C"}.get(listed.letter, "R")
    return dice.choice(listed.cursors)[:11] + node_id(of_whom, uuid.UUID(int=dice.getrandbits(128), version=4))


@pytest.mark.parametrize("backward", [False, True])
async def test_pages_of_any_sizes_are_the_list(filled: World, backward: bool) -> None:
    dice = random.Random(backward)
    for one in await lists(filled):
        size, cursor, info = ("last", "before", "hasPreviousPage") if backward else ("first", "after", "hasNextPage")
        walked: list[str] = []
        place, more = None, True
        while more:
            page = await ask(filled, one.query, {**one.variables, size: dice.randint(1, 60), cursor: place})
            assert page["cursors"]  # a page that was announced has something
            walked = page["cursors"] + walked if backward else walked + page["cursors"]
            more = page["pageInfo"][info]
            place = page["pageInfo"]["startCursor" if backward else "endCursor"]
        assert tuple(walked) == one.cursors


@pytest.fixture(params=["few", "counted", "known"])
async def large(
    request: pytest.FixtureRequest, owner: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Few subjects are in a region; or more, which the statement counts (so with a bound of -1), or which is known."""
    if request.param == "counted":
        monkeypatch.setattr(pages, "FEW", -1)
    if request.param == "known":
        await owner.execute("insert into core.large_region select code from core.region")
    yield
    await owner.execute("delete from core.large_region")


@pytest.mark.parametrize("order", ORDERS)
async def test_records_of_a_region_by_its_subjects_or_in_the_order_of_all(
    filled: World, monkeypatch: pytest.MonkeyPatch, order: dict[str, str], large: None
) -> None:
    monkeypatch.setattr(filled.engine, "_plans", Plans(100, accounts=False))
    letter, down = "d" if order["field"] == "DECIDED_ON" else "p", order["direction"] == "DESC"
    regions = OF_ALL.replace("node { id }", "node { id subject { region { code } } }")
    found, after = [], None
    while after is not None or not found:
        page = (await filled.ask("restricted", regions, {"o": order, "first": 100, "after": after}))["data"]["list"]
        found += [(edge["cursor"], edge["node"]["subject"]["region"]["code"]) for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
    for region in ("652701", "6527", "65", "999999"):
        inside = tuple(cursor for cursor, code in found if code.startswith(region))
        listed = await whole(filled, OF_ALL, {"f": {"regionCode": region}, "o": order}, letter, descending=down)
        assert listed.cursors == inside
        for given in ((20, None, None, None), (None, None, 20, None)) if inside else ():
            names = dict(zip(("first", "after", "last", "before"), given, strict=True))
            assert await ask(filled, OF_ALL, {**listed.variables, **names}) == relay(listed, *given)


async def test_first_and_last_are_not_given_together(filled: World) -> None:
    for document, variables in (
        ("{ records(first: 5, last: 5) { totalCount } }", {}),
        ("query ($n: Int = 20, $l: Int) { records(first: $n, last: $l) { totalCount } }", {"l": 5}),
        ('query ($n: Int) { searchSubjects(query: "示例", first: $n, last: 1) { totalCount } }', {"n": 1}),
    ):
        assert await filled.refused("public", document, variables) == ["BAD_USER_INPUT"]
    for document, variables in (  # nobody has given `first`, or by null
        ("query ($n: Int, $l: Int) { records(first: $n, last: $l) { edges { cursor } } }", {"l": 5}),
        ("query ($n: Int = 20, $l: Int) { records(first: $n, last: $l) { edges { cursor } } }", {"n": None, "l": 5}),
        ("query ($n: Int = 5, $l: Int) { records(first: $n, last: $l) { edges { cursor } } }", {"l": None}),
    ):
        found = await filled.ask("public", document, variables)
        assert len(found["data"]["records"]["edges"]) == 5


async def test_what_no_statement_needs_is_refused_too(filled: World) -> None:
    for arguments in ("last: 0", "last: 101", 'last: 1, before: "x"', 'before: ""', 'after: "d2024-01-01"'):
        document = f"{{ records({arguments}) {{ totalCount }} }}"
        assert await filled.refused("public", document) == ["BAD_USER_INPUT"], arguments


def test_each_order_has_its_opposite() -> None:
    for relation in RELATIONS.values():
        if relation.name == "record_change":
            continue  # a feed is read forward
        assert {opposite(order) for order in relation.orders} == set(relation.orders)


def test_what_is_filtered_by_kind_area_days_and_cursor_is_one_statement() -> None:
    """Requests share a statement by its text; an order, a region and the end that it is read from make another one."""
    filters: list[dict[str, Any]] = [
        {},
        {"kinds": ["HONOUR"]},
        {"areas": ["PPP"], "decidedFrom": "2024-01-01"},
        {"decidedFrom": "2024-01-01", "decidedTo": "2024-12-31"},
    ]
    cursor = f"2024-01-01{node_id('R', uuid.UUID(int=1))}"
    for order in ORDERS:
        letter = "d" if order["field"] == "DECIDED_ON" else "p"
        asked = [
            {"f": f, "o": order, **at} for f in filters for at in ({}, {"after": None}, {"after": letter + cursor})
        ]
        texts = {explained(Case("restricted", each, OF_RECORDS))[1].partition("\n-- $1")[0] for each in asked}
        assert len(texts) == 1
    several = [{"f": {}, "o": order} for order in ORDERS] + [{"f": {"regionCode": "6527"}}]
    assert len({explained(Case("restricted", each, OF_RECORDS))[1] for each in several}) == 5


# Whom a total of records tells of -------------------------------------------------------------------------------------

TOTAL = "query T($f: RecordFilter) { records(filter: $f) { totalCount } }"


async def counted(world: World, view: str, given: dict[str, Any], remark: str = "") -> tuple[int, set[str]]:
    """A total alone, and whom its disclosure names."""
    world.account.disclosures.clear()
    found = await world.ask(view, f"{TOTAL} # {remark}", {"f": given})
    (disclosure,) = world.account.disclosures
    names = set(filter(None, str(disclosure.subject_ids, "ascii").split(",")))
    return found["data"]["records"]["totalCount"], names


@pytest.mark.parametrize("view", ["restricted", "internal"])
async def test_a_total_of_few_records_tells_of_their_subjects(world: World, owner: Any, view: str) -> None:
    """A filter may leave one record: that it is there is an answer about its subject. Expected is what lists show."""
    days = [row[0] for row in await owner.fetch("select distinct decided_on::text from core.record order by 1")]
    assert len(days) > 3
    told = 0
    for day in days:
        given = {"decidedFrom": day, "decidedTo": day}
        page = "query P($f: RecordFilter) { records(filter: $f, first: 100) { edges { node { subject { id } } } } }"
        listed = (await world.ask(view, page, {"f": given}))["data"]["records"]["edges"]
        number, names = await counted(world, view, given)
        assert number == len(listed)
        if number <= pages.NAMED:
            shown = {uuid.UUID(bytes=urlsafe_b64decode(e["node"]["subject"]["id"] + "==")[1:]) for e in listed}
            assert names == {str(one) for one in shown}
            told += bool(names)
    assert told > 1


async def test_a_total_of_many_records_is_a_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number, names = await counted(world, "internal", {}, "as it is")
    assert (number <= pages.NAMED) is bool(names)
    monkeypatch.setattr(pages, "NAMED", number)
    assert (await counted(world, "internal", {}, "just not"))[1]
    monkeypatch.setattr(pages, "NAMED", number - 1)
    assert await counted(world, "internal", {}, "one more") == (number, set())
