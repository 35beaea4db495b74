"""Promises of searchSubjects: what a view may see and nothing else, each subject once, exact before beginning before
inside, pages that add up to the whole, totals that are exact up to 1,000 and say so beyond.

A model in plain Python over the same names says what must come out; where a search begins with the subjects that meet
its conditions instead of the names (few or many of them), the answer is the same.
"""

from __future__ import annotations

import base64
import itertools
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import pytest

from gateway.engine import pages as pages_of_the_engine
from gateway.engine import search
from gateway.engine.execute import Request
from gateway.engine.pages import Pages
from gateway.errors import Refused
from gateway.storage.identifiers import fold_name, node_id, uscc_check_digit
from gateway.storage.names import index_names
from tests.engine import small_world
from tests.engine.conftest import World

QUERY = """query S($q: String!, $filter: SubjectFilter, $first: Int, $after: String, $last: Int, $before: String) {
  searchSubjects(query: $q, filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    totalCount totalCountExact
    edges { cursor node { id name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
SYLLABLES = ("样例", "示范", "博河", "河谷", "谷地", "农", "牧", "有限公司", "合作社", "公司")
KINDS = ("ENTERPRISE", "ORGAN", "COOPERATIVE")
REGIONS = ("65", "6527", "652701", None)
MANY = 1_203  # subjects of one name


@dataclass
class Known:
    """A subject of the model."""

    id: int
    name: str
    former: list[str]
    kind: str
    klass: str
    region: str | None
    uscc: str | None
    roles: list[str] = field(default_factory=list)

    def best(self, query: str) -> tuple[int, bytes, int] | None:
        """Where it stands among the matches: tier, ending, id."""
        found = []
        for name in (self.name, *self.former):
            found += [
                (int(at > 0), name[at : at + 64].encode(), self.id)
                for at in range(len(name))
                if name.startswith(query, at)
            ]
        for code in (self.uscc, self.uscc and self.uscc[8:17]):
            if code and code.startswith(query):
                found.append((0, code.encode(), self.id))
        return min(found, default=None)


def below(region: str | None, ancestor: str) -> bool:
    return region is not None and region.startswith(ancestor)


def expected(known: Sequence[Known], query: str, view: str, given: dict[str, Any]) -> list[int]:
    """Ids in the order of the answer."""
    ranked = []
    for one in known:
        if one.klass != "ORGANISATION" and view != "internal":
            continue
        if "kinds" in given and one.kind not in given["kinds"]:
            continue
        if "roles" in given and not set(one.roles) & set(given["roles"]):
            continue
        if "regionCode" in given and not below(one.region, given["regionCode"]):
            continue
        best = one.best(query)
        if best is not None:
            ranked.append(best)
    return [subject for _, _, subject in sorted(ranked)]


@pytest.fixture(scope="module")
async def known(world: World, owner: asyncpg.Connection[Any]) -> list[Known]:
    """600 subjects of few syllables, so that much matches, beside the small world."""
    dice = random.Random(6527)
    found = []
    for number in range(600):
        klass = dice.choices(("ORGANISATION", "PERSON", "SERVANT"), (8, 1, 1))[0]
        kind = {"PERSON": "NATURAL_PERSON", "SERVANT": "CIVIL_SERVANT"}.get(klass) or dice.choice(KINDS)
        name = "".join(dice.choices(SYLLABLES, k=dice.randint(1, 4)))
        former = ["".join(dice.choices(SYLLABLES, k=2)) for _ in range(dice.choices((0, 1, 2), (6, 2, 1))[0])]
        first = f"9165270150{number:07d}"
        uscc = first + uscc_check_digit(first) if klass == "ORGANISATION" and dice.random() < 0.7 else None
        one = Known(0, name, sorted(set(former)), kind, klass, dice.choice(REGIONS), uscc)
        await put(owner, one)
        if klass == "ORGANISATION" and dice.random() < 0.3:
            one.roles = dice.sample(["BIDDER", "SUPPLIER"], dice.randint(1, 2))
            await owner.executemany(
                "insert into core.subject_role (subject_id, role) values ($1, $2)", [(one.id, r) for r in one.roles]
            )
        found.append(one)
    await index_names(owner, [one.id for one in found], new=True)
    for uscc, kind, name, region, _ in small_world.SUBJECTS:
        former = ["旧名"] if uscc == small_world.FIRM else []
        roles = ["BIDDER"] if uscc == small_world.FIRM else []
        found.append(Known(world.ids[uscc], name, former, kind, "ORGANISATION", region, uscc, roles))
    return found


async def put(owner: asyncpg.Connection[Any], one: Known) -> None:
    one.id = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded, region_code)"
        " values ($1, $2, $3, $4, $5, $6, $7) returning id",
        uuid.uuid4(), one.klass, one.kind, one.uscc, one.name, fold_name(one.name), one.region,
    )  # fmt: skip
    for name in one.former:
        await owner.execute("insert into core.former_name values ($1, $2, $3)", one.id, name, fold_name(name))


async def ids(owner: asyncpg.Connection[Any]) -> dict[str, int]:
    return {row["node_id"]: row["id"] for row in await owner.fetch("select node_id, id from core.subject")}


async def all_pages(
    world: World, view: str, query: str, variables: dict[str, Any], size: int, *, backward: bool = False
) -> list[dict[str, Any]]:
    """Every page of a search, one after the other, in the order of the list."""
    count, cursor, more, end = (
        ("last", "before", "hasPreviousPage", "startCursor")
        if backward
        else ("first", "after", "hasNextPage", "endCursor")
    )
    pages: list[dict[str, Any]] = []
    place = None
    while True:
        answer = await world.ask(view, query, {**variables, count: size, cursor: place})
        pages.append(answer["data"]["searchSubjects"])
        assert len(pages[-1]["edges"]) <= size
        if not pages[-1]["pageInfo"][more]:
            return pages[::-1] if backward else pages
        place = pages[-1]["pageInfo"][end]


def queries(known: Sequence[Known]) -> list[str]:
    """Parts of names of two characters and more, codes and parts of them, and what nobody is called."""
    dice = random.Random(7)
    found = ["样例", "有限", "公司", "限公", "示范博河", "没有这个", "91652701", "916527015000000"]
    for one in dice.sample(list(known), 25):
        name = dice.choice([one.name, *one.former])
        at = dice.randrange(len(name))
        part = name[at : at + dice.randint(2, 8)]
        found += [name] if len(name) > 1 else []
        found += [part] if len(part) > 1 else []
        found += [one.uscc, one.uscc[8:17]] if one.uscc else []
    return list(dict.fromkeys(found))


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"regionCode": "6527"},
    {"regionCode": "652701", "kinds": ["ENTERPRISE", "ORGAN"]},
    {"kinds": ["COOPERATIVE"]},
    {"roles": ["BIDDER"]},
    {"roles": ["SUPPLIER"], "regionCode": "65", "kinds": ["ORGAN"]},
    {"kinds": []},
    {"regionCode": "999999"},
)


@pytest.mark.parametrize(("few", "endings"), [(0, 2_200), (20, 7), (2_000, 150)])
@pytest.mark.parametrize("view", ["public", "restricted", "internal"])
async def test_the_model_and_the_engine_agree(
    world: World, known: list[Known], owner: Any, view: str, few: int, endings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what a total reads has neither all that it counts nor the first page."""
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "ENDINGS", endings)
    text = f"{QUERY} # {few}"  # a plan of its own
    by_node = await ids(owner)
    compared = 0
    pairs = list(itertools.product(queries(known), FILTERS))
    for query, given in random.Random(f"{view} {few}").sample(pairs, 80):
        wanted = expected(known, query, view, given)
        size = 40 if len(wanted) > 30 else 5
        pages = await all_pages(world, view, text, {"q": query, "filter": given}, size)
        got = [by_node[edge["node"]["id"]] for page in pages for edge in page["edges"]]
        assert got == wanted, (query, given)
        assert {page["totalCount"] for page in pages} == {len(wanted)}
        assert {page["totalCountExact"] for page in pages} == {True}
        assert [page["pageInfo"]["hasPreviousPage"] for page in pages] == [False] + [True] * (len(pages) - 1)
        back = await all_pages(world, view, text, {"q": query, "filter": given}, size + 2, backward=True)
        assert [edge for page in back for edge in page["edges"]] == [edge for page in pages for edge in page["edges"]]
        assert [page["pageInfo"]["hasNextPage"] for page in back] == [True] * (len(back) - 1) + [False]
        compared += len(got)
    assert compared


@pytest.mark.parametrize("few", [0, 2_000])
async def test_two_places_bound_a_page(
    world: World, known: list[Known], owner: Any, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FEW", few)
    dice = random.Random(few)
    for given in ({}, {"roles": ["BIDDER"]}):
        variables = {"q": "公司", "filter": given}
        pages = await all_pages(world, "public", f"{QUERY} # {few}", variables, 100)
        everything = [edge["cursor"] for page in pages for edge in page["edges"]]
        assert len(everything) > 20
        for _ in range(10 if given else 40):  # looking for holders by their names is slow where nothing is analysed
            begin, end = dice.randrange(len(everything)), dice.randrange(len(everything))
            size = dice.choice((1, 3, 50))
            name = dice.choice(("first", "last"))
            bounds = {"after": everything[begin], "before": everything[end], name: size}
            answer = await world.ask("public", f"{QUERY} # {few}", {**variables, **bounds})
            between = everything[begin + 1 : end]
            found = answer["data"]["searchSubjects"]
            assert found["totalCount"] == len(everything)
            info = found["pageInfo"]
            kept = between[:size] if name == "first" else between[-size:]
            assert [edge["cursor"] for edge in found["edges"]] == kept
            more = len(between) > size
            assert (info["hasNextPage"], info["hasPreviousPage"]) == ((more, True) if name == "first" else (True, more))


async def test_a_place_whose_subject_is_gone_loses_none(world: World, known: list[Known], owner: Any) -> None:
    pages = await all_pages(world, "public", QUERY, {"q": "公司"}, 100)
    everything = [edge["cursor"] for page in pages for edge in page["edges"]]
    for tier in "01":
        at = next(n for n, cursor in enumerate(everything) if n > 3 and cursor[1] == tier)
        gone = everything[at][:-23] + node_id("S", uuid.uuid4())
        same = [n for n, cursor in enumerate(everything) if cursor[:-23] == everything[at][:-23]]
        for name, size, expected in (
            ("after", "first", everything[same[0] :]),
            ("before", "last", everything[: same[-1] + 1]),
        ):
            found = await world.ask("public", QUERY, {"q": "公司", name: gone, size: 100})
            page = found["data"]["searchSubjects"]
            kept = expected[:100] if size == "first" else expected[-100:]
            assert [edge["cursor"] for edge in page["edges"]] == kept
            beyond = len(everything) > len(expected)
            assert page["pageInfo"]["hasPreviousPage" if size == "first" else "hasNextPage"] is beyond


async def test_persons_are_found_where_they_may_be_seen_alone(world: World, known: list[Known]) -> None:
    person = next(one for one in known if one.klass == "PERSON" and len(one.name) > 3)
    servant = next(one for one in known if one.klass == "SERVANT" and len(one.name) > 3)
    for one in (person, servant):
        names = {}
        for view in ("public", "restricted", "internal"):
            pages = await all_pages(world, view, QUERY, {"q": one.name}, 100)
            names[view] = sum(len(page["edges"]) for page in pages)
            assert names[view] == pages[0]["totalCount"] == len(expected(known, one.name, view, {}))
        assert names["internal"] > names["public"] == names["restricted"]


async def test_a_matter_that_does_not_show_servants_finds_none(world: World, known: list[Known]) -> None:
    def visible(one: Known) -> bool:
        return one.klass != "SERVANT"

    for text in ("样例", "示范"):
        pages = await all_pages(world, "internal", QUERY, {"q": text}, 100)
        everybody = sum(len(page["edges"]) for page in pages)
        found = (await world.ask("internal", QUERY, {"q": text, "first": 100}, matter="GRANT"))["data"][
            "searchSubjects"
        ]
        wanted = expected([one for one in known if visible(one)], text, "internal", {})
        assert found["totalCount"] == len(wanted) < everybody
        assert len(found["edges"]) == min(len(wanted), 100)


async def test_under_a_narrowing_only_its_scope_and_only_its_counts(world: World, known: list[Known]) -> None:
    wanted = expected(known, "样例", "restricted", {"regionCode": "652701", "kinds": ["ENTERPRISE"]})
    answer = await world.ask(
        "restricted_scoped", QUERY, {"q": "样例", "first": 100}, regions=["652701"], kinds=["ENTERPRISE"]
    )
    found = answer["data"]["searchSubjects"]
    assert 0 < len(wanted) < 100
    assert len(found["edges"]) == found["totalCount"] == len(wanted)


async def test_a_subject_finds_itself_alone(world: World, known: list[Known]) -> None:
    mine = await world.ask("self", QUERY, {"q": "样例"}, own=small_world.SHOP)
    assert [edge["node"]["name"] for edge in mine["data"]["searchSubjects"]["edges"]] == ["样例商行"]
    assert mine["data"]["searchSubjects"]["totalCount"] == 1


async def test_what_was_found_is_disclosed_and_nothing_else(world: World, known: list[Known], owner: Any) -> None:
    world.account.disclosures.clear()
    await world.ask("restricted", QUERY.replace("hasNextPage", ""), {"q": "博河", "first": 5})
    nodes = expected(known, "博河", "restricted", {})[:5]
    rows = await owner.fetch("select external_id::text from core.subject where id = any ($1)", nodes)
    (disclosure,) = world.account.disclosures
    shown = disclosure.subject_ids
    text = shown.decode() if isinstance(shown, bytes) else ",".join(map(str, shown))
    assert set(text.split(",")) == {row["external_id"] for row in rows}
    assert len(nodes) == 5


async def test_totals_are_exact_up_to_a_thousand_and_say_so_beyond(world: World, owner: Any) -> None:
    made = [Known(0, f"众多{number:04d}单位", [], "ENTERPRISE", "ORGANISATION", None, None) for number in range(MANY)]
    for one in made:
        await put(owner, one)
    await index_names(owner, [one.id for one in made], new=True)
    count = "query C($q: String!) { searchSubjects(query: $q) { totalCount totalCountExact } }"

    async def total(query: str) -> tuple[int, bool]:
        found = (await world.ask("public", count, {"q": query}))["data"]["searchSubjects"]
        return found["totalCount"], found["totalCountExact"]

    assert await total("众多") == (1_000, False)
    assert await total("众多0") == (1_000, True)  # 0000 to 0999
    assert await total("多00") == (100, True)
    assert await total("众多1") == (203, True)
    assert await total("众多2") == (0, True)
    for query, expected in (("众多", (1_000, False)), ("众多0", (1_000, True)), ("多00", (100, True))):
        found = (await world.ask("public", QUERY, {"q": query, "first": 3}))["data"]["searchSubjects"]
        assert (found["totalCount"], found["totalCountExact"]) == expected  # beside a page, as alone
        assert [edge["node"]["name"] for edge in found["edges"]] == [f"众多000{number}单位" for number in range(3)]


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("新疆示意（博乐）有限责任公司", "新疆示意(博乐)有限公司"),
        ("新疆示意（博乐）有限责任公司", "示意（博乐）有限责"),
        ("新疆示意（博乐）有限责任公司", "新 疆 示 意"),
        ("博尔塔拉蒙古自治州示意局", "博州示意局"),
        ("博尔塔拉蒙古自治州示意局", "博尔塔拉"),
        ("博尔塔拉蒙古自治州示意局", "蒙古自治州示意"),
        ("新疆维吾尔自治区示意厅", "维吾尔"),
        ("新疆维吾尔自治区示意厅", "新疆示意厅"),
        ("阿依·示意•合作社", "阿依・示意·合作社"),
        ("Ｓｙ示意 Tech", "sy示意TECH"),
        ("第１示意中学", "第1示意"),
    ],
)
async def test_spellings_that_mean_the_same(world: World, owner: Any, written: str, typed: str) -> None:
    one = Known(0, written, [], "ENTERPRISE", "ORGANISATION", None, None)
    await put(owner, one)
    await index_names(owner, [one.id], new=True)
    found = await world.ask("public", QUERY, {"q": typed, "first": 100})
    assert written in [edge["node"]["name"] for edge in found["data"]["searchSubjects"]["edges"]]


@pytest.mark.parametrize("typed", ["", "博", " 博 ", "\u200b\ufeff", "x" * 501])
async def test_too_little_and_too_much(world: World, typed: str) -> None:
    assert await world.refused("public", QUERY, {"q": typed}) == ["BAD_USER_INPUT"]


async def test_cursors_of_anything_else_are_refused(world: World, known: list[Known]) -> None:
    first = (await world.ask("public", QUERY, {"q": "样例", "first": 1}))["data"]["searchSubjects"]
    good = first["pageInfo"]["endCursor"]
    assert (await world.ask("public", QUERY, {"q": "样例", "after": good}))["data"]["searchSubjects"]["edges"]
    records = await world.ask("public", "{ records(first: 1) { pageInfo { endCursor } } }")
    bad = [
        good[:-1],
        good + "A",
        "n2" + good[2:],
        "d" + good[1:],
        "",
        "n0",
        "n0" + small_world.FIRM_ID,
        records["data"]["records"]["pageInfo"]["endCursor"],
        "n0AAAA" + small_world.FIRM_ID,  # an ending of NULs
        "n0\udcff" + small_world.FIRM_ID,
    ]
    for cursor in bad:
        with pytest.raises(Refused) as caught:
            await world.ask("public", QUERY, {"q": "样例", "after": cursor})
        assert caught.value.code == "BAD_USER_INPUT", cursor
    with pytest.raises(Refused):  # of another search
        await world.ask("public", QUERY, {"q": "示范", "after": good})
    count = 'query C($a: String!) { searchSubjects(query: "样例", after: $a) { totalCount } }'
    with pytest.raises(Refused):  # where no statement would need it
        await world.ask("public", count, {"a": "x"})


async def test_no_pattern_is_read_into_what_is_typed(world: World, known: list[Known]) -> None:
    for typed in ("%%", "__", "样%", ".*", "样例' or '1'='1", "\\\\"):
        answer = await world.ask("public", QUERY, {"q": typed})
        assert answer["data"]["searchSubjects"]["edges"] == [], typed


NUMBERS = (
    "{ totalCount }",
    "{ totalCountExact }",
    "{ totalCount edges { node { name } } }",
    "{ pageInfo { hasPreviousPage } }",
)


def behind(query: str) -> str:
    """A cursor behind all that a search finds: anybody can write one."""
    ending = base64.urlsafe_b64encode(f"{fold_name(query)}\uffff".encode()).decode()
    return f"n1{ending}{node_id('S', uuid.uuid4())}"


def whom(known: list[Known]) -> list[tuple[str, dict[str, Any]]]:
    """Names, with filters, that few bear, and what nobody is called."""
    alone = [one for one in known if len(one.name) > 3 and len(expected(known, one.name, "internal", {})) == 1]
    servant = next(one for one in alone if one.klass == "SERVANT")
    firm = next(one for one in alone if one.roles)
    return [
        (servant.name, {}),
        (servant.name, {"kinds": [servant.kind]}),
        (firm.name, {"roles": firm.roles}),
        (firm.uscc or firm.name, {}),
        ("旧名", {}),
        ("没有这个", {}),
    ]


@pytest.mark.parametrize("endings", [2_200, 1])
@pytest.mark.parametrize("fields", NUMBERS)
async def test_whom_a_number_tells_of_is_in_the_account(
    world: World, known: list[Known], owner: Any, fields: str, endings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many are called so, asked of one name, is an answer about who bears it: they find it among their disclosures.
    Without the control a count, or whether a page precedes this one, is told of nobody."""
    monkeypatch.setattr(search, "ENDINGS", endings)
    uuids = {row[0]: str(row[1]) for row in await owner.fetch("select id, external_id from core.subject")}
    for text, given in whom(known):
        wanted = {uuids[one] for one in expected(known, text, "internal", given)}
        assert bool(wanted) is (text != "没有这个")
        for place in (None, behind(text)):
            before = await numbers(world, fields, text, given, place)
            with monkeypatch.context() as patch:
                patch.setattr(Pages, "_tell", lambda *_: None)
                without = await numbers(world, fields, text, given, place, "# without")
            told = not (place is None and "hasPreviousPage" in fields)  # nothing precedes the beginning
            assert before == (wanted if told else set()), (text, given, place)
            if place is not None or "edges" not in fields:
                assert without == set(), (text, given, place)


async def numbers(
    world: World, fields: str, text: str, given: dict[str, Any], place: str | None, remark: str = ""
) -> set[str]:
    """Whom the account of a search in the internal view names."""
    query = "query N($q: String!, $filter: SubjectFilter, $after: String) { searchSubjects(query: $q, filter: $filter,"
    query += f" after: $after) {fields} }} # {search.ENDINGS} {remark}"
    world.account.disclosures.clear()
    await world.ask("internal", query, {"q": text, "filter": given, "after": place})
    (disclosure,) = world.account.disclosures
    return set(filter(None, str(disclosure.subject_ids, "ascii").split(",")))


@pytest.mark.parametrize("below", ["", "predecessors { name }"])
@pytest.mark.parametrize(("size", "info"), [("first", "hasNextPage"), ("last", "hasPreviousPage")])
async def test_that_one_more_follows_is_told_of_them(
    world: World, known: list[Known], owner: Any, size: str, info: str, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between cursors that anybody can write a page of one tells whether somebody stands beside them: as much as their
    name. Without the control they never hear of it."""
    pages = await all_pages(world, "internal", QUERY, {"q": "公司"}, 100)
    places = [edge["cursor"] for page in pages for edge in page["edges"]]
    nodes = [edge["node"]["id"] for page in pages for edge in page["edges"]]
    uuids = {row[0]: str(row[1]) for row in await owner.fetch("select node_id, external_id from core.subject")}
    text = f'query M($after: String, $before: String) {{ searchSubjects(query: "公司", {size}: 1, after: $after,'
    text += f" before: $before) {{ pageInfo {{ {info} }} edges {{ node {{ id {below} }} }} }} }}"

    async def told(query: str, last: int) -> tuple[str, bool, set[str]]:
        world.account.disclosures.clear()
        found = await world.ask("internal", query, {"after": places[20], "before": places[last]})
        page = found["data"]["searchSubjects"]
        (disclosure,) = world.account.disclosures
        shown = set(filter(None, str(disclosure.subject_ids, "ascii").split(",")))
        return page["edges"][0]["node"]["id"], page["pageInfo"][info], shown

    first = 21 if size == "first" else 22
    assert await told(text, 23) == (nodes[first], True, {uuids[nodes[21]], uuids[nodes[22]]})
    assert await told(text, 22) == (nodes[21], False, {uuids[nodes[21]]})
    with monkeypatch.context() as patch:
        plainly = pages_of_the_engine._told
        patch.setattr(pages_of_the_engine, "_told", lambda *given, **more: plainly(*given, **{**more, "onward": False}))
        assert await told(f"{text} # without", 23) == (nodes[first], True, {uuids[nodes[first]]})


async def test_a_number_of_many_names_nobody(world: World, known: list[Known]) -> None:
    """Statistics: only those on the page are shown."""
    assert len(expected(known, "公司", "internal", {})) > search.NAMED
    assert await numbers(world, "{ totalCount }", "公司", {}, None) == set()
    some = await numbers(world, "{ totalCount edges { node { id } } }", "公司", {}, None)
    assert len(some) == 20


async def test_a_token_for_few_subjects_counts_no_more(world: World, known: list[Known]) -> None:
    """Whom a number tells of counts among the subjects that the token allows."""
    several = next(
        name for name in (one.name for one in known) if 1 < len(expected(known, name, "restricted", {})) <= search.NAMED
    )
    principal = replace(world.principal("restricted"), max_subjects=1)
    request = Request("query($q: String!) { searchSubjects(query: $q) { totalCount } }", None, {"q": several})
    with pytest.raises(Refused, match="more than the 1 subjects"):
        await world.engine.answer(principal, request)
