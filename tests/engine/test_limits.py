"""Promises: every limit of one request holds, by contract and by client: what is within passes, one more is refused
with its number, before anything is asked of anybody. A client's own limits stand in place of its contract's, in both
directions, whoever asked the same document before. Nobody goes above the ceilings. The cost is told on request.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from graphql import get_introspection_query, parse

from gateway.engine import documents
from gateway.engine.documents import Documents
from gateway.engine.execute import Engine, Limits, Request
from gateway.engine.size import check_size
from gateway.errors import Refused
from gateway.limits import CEILINGS, CONTRACTS, QueryLimits, checked
from gateway.schema.contracts import build_contracts
from gateway.storage import levels
from tests.engine import small_world
from tests.engine.conftest import World

PUBLIC = build_contracts()["PUBLIC"]


def fields(count: int) -> str:
    return "{ viewer { " + " ".join(["view"] * count) + " } }"


# Limit → a document that has just so many of it (as the docstring of QueryLimits counts), and what else it needs.
JUST: dict[str, tuple[int, str, dict[str, Any]]] = {
    "cost": (100, "{ records(first: 100) { edges { node { subject { name } } } } }", {}),
    "subjects": (3, "query S($u: [Uscc!]!) { subjects(usccs: $u) { name } }", {"u": [small_world.FIRM] * 3}),
    "tokens": (7, "{ viewer { view } } # and a comment", {}),
    "depth": (4, "{ records { edges { node { title } } } }", {}),
    "fields": (2 + 2 * 2, "{ a: viewer { ...F } b: viewer { ...F } } fragment F on Viewer { view clientId }", {}),
    "aliases": (2 + 2, "{ a: viewer { ...F } b: viewer { ...F } } fragment F on Viewer { v: view }", {}),
    "fragments": (2, "{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { view }", {}),
    "root_fields": (2, "{ viewer { view } ...Q } fragment Q on Query { v: viewer { view } viewer { clientId } }", {}),
}


def test_no_limit_is_without_a_case() -> None:
    assert set(JUST) == set(CEILINGS) == set(QueryLimits.__slots__)
    assert CONTRACTS == levels.CONTRACTS
    ordinary = QueryLimits(1, 1)
    for name in set(CEILINGS) - {"cost", "subjects"}:
        assert getattr(ordinary, name) <= CEILINGS[name]


@pytest.mark.parametrize("name", JUST)
async def test_a_clients_own(world: World, name: str) -> None:
    count, query, variables = JUST[name]
    one = world.principal("restricted")

    async def ask(limit: int) -> bytes:
        return await world.engine.answer(replace(one, limits=((name, limit),)), Request(query, None, variables))

    assert b'"data"' in await ask(count)
    with pytest.raises(Refused) as refused:
        await ask(count - 1)
    assert refused.value.code == ("BAD_USER_INPUT" if name == "subjects" else "QUERY_TOO_COSTLY")
    assert str(count - 1) in refused.value.errors[0].en
    assert str(count - 1) in refused.value.errors[0].zh
    assert world.account.disclosures[-1].outcome == refused.value.code
    assert b'"data"' in await ask(count)  # the refusal is his alone
    assert b'"data"' in await world.engine.answer(one, Request(query, None, variables))


@pytest.mark.parametrize("name", JUST)
async def test_a_contracts_and_a_client_above_it(world: World, name: str) -> None:
    count, query, variables = JUST[name]
    limits = Limits(50_000, 5_000, given={"RESTRICTED": {name: count - 1}})
    engine = Engine(build_contracts(), world.engine._pools, world.account, world.sources, limits)  # type: ignore[arg-type]
    one = world.principal("restricted")
    for _ in range(2):  # whoever comes first
        with pytest.raises(Refused):
            await engine.answer(one, Request(query, None, variables))
        above = replace(one, limits=((name, count),))
        assert b'"data"' in await engine.answer(above, Request(query, None, variables))
    scoped = world.principal("internal")  # another contract
    assert b'"data"' in await engine.answer(scoped, Request(query, None, variables))


@pytest.mark.parametrize("name", ["tokens", "depth", "fields", "aliases", "fragments"])
def test_without_the_check_the_cache_would_let_it_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that somebody with higher limits has asked is in the cache for everybody."""
    count, query, _ = JUST[name]
    limits = Limits(1, 1, given={"PUBLIC": {name: count - 1}}).contracts
    kept = Documents({"PUBLIC": PUBLIC}, limits=limits)
    kept.get("PUBLIC", query, ((name, count),))
    with pytest.raises(Refused):
        kept.get("PUBLIC", query)
    monkeypatch.setattr(documents, "check_limits", lambda *_: None)
    assert kept.get("PUBLIC", query)


async def test_the_cost_is_told_to_whoever_asks(world: World) -> None:
    query = "query R($n: Int) { records(first: $n) { edges { node { title } } } }"
    for view, limit in (("public", 5_000), ("restricted", 50_000)):
        for count in (10, 20):
            asked = Request(query, None, {"n": count}, tells_cost=True)
            found = json.loads(await world.engine.answer(world.principal(view), asked))
            assert found["extensions"] == {"cost": {"units": count, "limit": limit}}
            del found["extensions"]
            plain = await world.engine.answer(world.principal(view), Request(query, None, {"n": count}))
            assert found == json.loads(plain)
    own = replace(world.principal("restricted"), limits=(("cost", 77),))
    found = json.loads(await world.engine.answer(own, Request(query, None, {"n": 10}, tells_cost=True)))
    assert found["extensions"] == {"cost": {"units": 10, "limit": 77}}


async def test_lists_inside_lists_multiply(world: World) -> None:
    """The example of docs/limits.md."""
    query = "query Q($u: [Uscc!]!) { subjects(usccs: $u) { records(first: 20) { edges { node { title } } } } }"
    asked = Request(query, None, {"u": [small_world.FIRM] * 100}, tells_cost=True)
    found = json.loads(await world.engine.answer(world.principal("restricted"), asked))
    assert found["extensions"] == {"cost": {"units": 2100, "limit": 50_000}}


LONG = "a" * 30_000
IN_ROWS = [
    "edges { node { %s: title } }",
    "edges { node { authority { %s: name } } }",
    "edges { node { %s: authority { name } } }",
    "edges { %s: cursor }",
    "edges { %s: node { title } }",
    "edges { node { %s: __typename } }",
]


async def units(world: World, selected: str) -> int:
    query = f"query ($u: Uscc!) {{ subject(uscc: $u) {{ {selected} }} }}"
    asked = Request(query, None, {"u": small_world.FIRM}, tells_cost=True)
    answer = await world.engine.answer(world.principal("restricted"), asked)
    return int(json.loads(answer)["extensions"]["cost"]["units"])


@pytest.mark.parametrize("selected", IN_ROWS)
async def test_a_long_name_costs_what_is_written_in_each_row(world: World, selected: str) -> None:
    # Otherwise 32 KB of a document would make 160 MB of an answer in the public view.
    rows = f"records(first: 100) {{ {selected} }}"
    assert await units(world, rows % ("a" * 31)) == 101
    assert await units(world, rows % LONG) > 100 * len(LONG) / 32 / 16
    query = f"query ($u: Uscc!) {{ subject(uscc: $u) {{ {rows % LONG} }} }}"
    assert await world.refused("public", query, {"u": small_world.FIRM}) == ["QUERY_TOO_COSTLY"]


@pytest.mark.parametrize("edge", ["{}", "node {{ {} }}"])
async def test_so_do_many_names_of_what_a_row_says_once(world: World, edge: str) -> None:
    said = "__typename" if "node" in edge else "cursor"
    many = " ".join(f"b{number}: {said}" for number in range(140))
    assert await units(world, f"records(first: 100) {{ edges {{ {edge.format(many)} }} }}") == 1 + 100 * (1 + 140 // 16)


async def test_a_long_name_in_a_section_costs_that_too(world: World) -> None:
    usual, long = [
        await units(world, f"courts {{ dishonestListings {{ {name}: caseNumber }} }}") for name in ("a", LONG)
    ]
    assert long > (usual - 1) * len(LONG) / 32 / 16 > usual


async def test_pages_of_changes_cost_what_they_pass_over(world: World) -> None:
    """20 pages of one row each, whose filters may pass over 400,000 changes: nobody without a token asks for them."""
    one = "c{}: recordChanges(first: 1, areas: [TOWNSHIP]) {{ pageInfo {{ endCursor }} }}"
    asked = Request("{ " + one.format(0) + " }", None, {}, tells_cost=True)
    found = json.loads(await world.engine.answer(world.principal("public"), asked))
    assert found["extensions"]["cost"]["units"] == 501
    twenty = "{ " + " ".join(map(one.format, range(20))) + " }"
    assert await world.refused("public", twenty) == ["QUERY_TOO_COSTLY"]


def page(arguments: str) -> str:
    return f"{{ records(first: 20, {arguments}) {{ edges {{ node {{ title }} }} }} }}"


_KINDS = "filter: {kinds: [PENALTY]}"
_DAYS = 'filter: {decidedFrom: "2026-01-01"}'
_PUBLISHED = "orderBy: {field: PUBLISHED_FROM, direction: ASC}"
ALL = (  # what is asked, units, requests that it counts as besides itself
    ("{ records { totalCount } }", 1_020, 20),
    (f"{{ records({_KINDS}) {{ totalCount }} }}", 1_120, 22),
    ("{ a: records { totalCount } b: records { totalCount } }", 2_040, 40),
    (page(_KINDS), 120, 2),
    (page('filter: {regionCode: "6527", areas: [PPP]}'), 120, 2),
    (page(_DAYS), 20, 0),
    (page(f"{_DAYS}, {_PUBLISHED}"), 120, 2),
    (page(_PUBLISHED), 20, 0),
    (f'{{ subject(uscc: "{small_world.FIRM}") {{ records({_KINDS}) {{ totalCount }} }} }}', 31, 0),
)


@pytest.mark.parametrize(("query", "units", "requests"), ALL)
async def test_what_may_read_all_records_costs_that(world: World, query: str, units: int, requests: int) -> None:
    """Known before it runs; those of a subject are few, and days bound the index of their own order."""
    for view in ("public", "restricted", "internal"):
        more, asked = Mock(), Request(query, tells_cost=True)
        answer = await world.engine.answer(world.principal(view), asked, None, more)
        assert json.loads(answer)["extensions"]["cost"]["units"] == units
        assert [call.args[1] for call in more.call_args_list] == [requests] * bool(requests)


async def test_five_totals_of_all_are_too_many_without_a_token(world: World) -> None:
    many = "{ " + " ".join(f"r{n}: records {{ totalCount }}" for n in range(5)) + " }"
    assert await world.refused("public", many) == ["QUERY_TOO_COSTLY"]


async def test_the_meter_is_told_of_each_request(world: World) -> None:
    told: list[tuple[str, int]] = []
    limits = Limits(50_000, 5_000, storage=20.0)
    engine = Engine(
        build_contracts(), world.engine._pools, world.account, world.sources, limits,
        meter=lambda view, cost: told.append((view, cost)),
    )  # type: ignore[arg-type]  # fmt: skip
    for view in ("public", "restricted", "internal"):
        await engine.answer(world.principal(view), Request("{ records(first: 10) { edges { node { title } } } }"))
    assert told == [("PUBLIC", 10), ("RESTRICTED", 10), ("INTERNAL", 10)]


@pytest.mark.parametrize(
    "given",
    [{"depths": 3}, {"depth": 0}, {"depth": 41}, {"depth": True}, {"depth": "3"}, {"depth": 2.0}, {"depth": None}],
)
def test_what_is_no_limit(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"limit|whole number"):
        checked(given)


# Documents of an attacker. Bounds for a busy machine: each takes some ms of CPU.
ATTACKS = {
    "chained fragments": "{ ...f0 } "
    + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(20))
    + " fragment f20 on Query { __typename }",
    "1 MB": "{ __typename } #" + "x" * 1_000_000,
    "1 MB of fields": "{ " + "a " * 500_000 + "}",
    "10,000 aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(10_000)) + " }",
    "3,000 duplicate fields": "{ viewer { " + "view " * 3_000 + "} }",
    "deep lists": "{ records " * 200 + "{ a }" + "}" * 200,
    "deep list values": "{ subject(uscc: " + "[" * 900 + "]" * 900 + ") { name } }",
    "many fragments": "{ ...f0 } " + " ".join(f"fragment f{n} on Query {{ __typename }}" for n in range(300)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_documents_of_an_attacker(name: str) -> None:
    kept = Documents({"PUBLIC": PUBLIC}, limits=Limits(1, 1).contracts)
    spent = []
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(Refused):
            kept.get("PUBLIC", ATTACKS[name])
        spent.append(time.process_time() - began)
    assert min(spent) < 0.02, f"{min(spent) * 1e3:.1f} ms"


def test_a_measure_counts_a_fragment_once_however_often_it_is_spread() -> None:
    """Linear: twice the fragments, about twice the time, though they mean four times the fields."""

    def spent(count: int) -> float:
        chain = " ".join(f"fragment f{n} on T {{ b: a ...f{n + 1} }}" for n in range(count))
        document = parse(f"{{ ...f0 }} fragment f{count} on T {{ a }} {chain}")
        best = 1.0
        for _ in range(5):
            began = time.process_time()
            size = check_size(document)
            best = min(best, time.process_time() - began)
        assert (size.fields, size.aliases, size.fragments) == (count + 1, count, count + 1)
        return best

    assert spent(36) < 8 * spent(18) + 1e-3


def test_what_tools_ask_is_within_the_ordinary_limits() -> None:
    kept = Documents({"PUBLIC": PUBLIC}, limits=Limits(1, 1).contracts)
    assert kept.get("PUBLIC", get_introspection_query()).fits
