"""Promises of the engine, held against a slow, obvious executor over the same rows: the same data, the same errors at
the same paths, the same refusals, on operations that hypothesis-graphql shapes for each contract. Most of them are
answered, and most answers have rows. What once differed is asked again. The long form runs 20,000 for each contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import asyncpg
import pytest

from gateway.storage.database import Database
from tests.differential import world as small
from tests.differential.operation import Node, Operation
from tests.differential.runner import ASKERS, Counts, Runner, running

SHORT = {"public": 50, "restricted": 50, "internal": 50, "scoped": 30, "self": 20}
# The least share of operations whose answer says something, the largest of those refused as too costly.
USEFUL = {"public": 0.5, "restricted": 0.6, "internal": 0.5, "scoped": 0.35, "self": 0.3}
COSTLY = 0.02


@pytest.fixture(scope="module")
async def world(database: Database, owner: asyncpg.Connection[Any]) -> small.World:
    """The rows."""
    await small.build(owner)
    return await small.load(owner)


@pytest.fixture(scope="module")
async def runner(database: Database, world: small.World) -> AsyncIterator[Runner]:
    """Both executors."""
    async with running(database, world) as both:
        yield both


def checked(view: str, counts: Counts, *, shares: bool = True) -> None:
    print(f"{view}: {counts}")
    assert not counts.differences, "".join(map(str, counts.differences))
    if shares:
        assert counts.useful >= USEFUL[view], str(counts)
        assert counts.costly <= COSTLY, str(counts)


async def test_what_once_differed(runner: Runner) -> None:
    found = await runner.again()
    assert not found, "".join(map(str, found))


@pytest.mark.parametrize("view", ASKERS)
async def test_generated_operations(runner: Runner, view: str) -> None:
    checked(view, await runner.run(view, "short", SHORT[view], requests=2, at_once=6))


@pytest.mark.long
@pytest.mark.parametrize("view", ASKERS)
async def test_twenty_thousand_operations(runner: Runner, view: str) -> None:
    checked(view, await runner.run(view, "long", 20_000, at_once=12))


# That it finds what is wrong -----------------------------------------------------------------------------------------


def _revoked_in_force(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows["record"]:
        if row["status"] == "REVOKED":
            row["status"] = "ACTIVE"


def _later_title(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows["record"][:40]:
        row["title"] += "."


def _one_day_more(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows["record"]:
        if row["published_until"] == small.TODAY - small.dt.timedelta(days=1):
            row["published_until"] = small.TODAY


def _other_region(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows["subject"]:
        row["region_code"] = "6501" if row["region_code"] == "652701" else row["region_code"]


@pytest.mark.parametrize(
    ("view", "wrong"),
    [
        ("public", _revoked_in_force),
        ("scoped", _other_region),
        pytest.param("internal", _later_title, marks=pytest.mark.long),
        pytest.param("restricted", _one_day_more, marks=pytest.mark.long),
    ],
)
async def test_a_wrong_answer_is_found(database: Database, world: small.World, view: str, wrong: Any) -> None:
    """Rows that the two do not have alike, as a wall that lets through too much would make them."""
    other = deepcopy(world)
    wrong(other.rows)
    async with running(database, other) as both:
        counts = await both.run(view, "wrong", 400, most=1, shrink=False, at_once=6)
    assert counts.differences, str(counts)


async def test_a_difference_is_made_small(database: Database, world: small.World) -> None:
    other = deepcopy(world)
    _later_title(other.rows)
    asker = ASKERS["restricted"][0]
    noise = [Node("code"), Node("name", "other")]
    titles = Node("edges", children=[Node("cursor"), Node("node", children=[Node("id"), Node("title"), Node("kind")])])
    records = Node("records", arguments={"first": 100}, children=[Node("totalCount"), titles])
    operation = Operation("made", [Node("sources", children=noise), records, Node("__typename")])
    async with running(database, other) as both:
        counts = Counts()
        await both.ask("restricted", asker, operation, counts)
    assert counts.differences[0].text == "{ records { edges { node { title } } } }"
