"""Promises: requests under one scope share statements, each with its own answer, error and disclosure; two scopes never
do; and what reads under a scope reads after the statement has set it, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import asyncpg
import pytest
from walls_rows import NOBODY, World, code_of, seed_now
from walls_support import FakeAccount, FakeSources, ask, principal

from gateway.auth.principal import Principal
from gateway.engine import together
from gateway.engine.account import Disclosure
from gateway.engine.execute import Engine, Limits
from gateway.engine.fields import Fields
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.levels import INTERNAL, RESTRICTED_SCOPED, SELF
from gateway.storage.pool import Pool

QUERY = "query ($u: Uscc!) { subject(uscc: $u) { uscc records { totalCount } } }"
HERE, THERE = code_of("企业"), code_of("个体户")  # in 652701 and 652722
ANSWERS = ((HERE, HERE), (THERE, None), (NOBODY, None), (HERE, HERE))  # asked, shown


class Counted:
    """A pool that remembers how many codes each statement asked for."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.shared: list[int] = []

    async def fetch(self, sql: str, arguments: Sequence[Any], **how: Any) -> Any:
        asked = [a for a in arguments if isinstance(a, str) and (HERE in a or THERE in a)]
        self.shared.append(max(a.count(",") for a in asked) + 1)
        return await self.pool.fetch(sql, arguments, **how)


class InStatement(FakeAccount):
    """Statements write what they disclose."""

    in_statement: ClassVar[bool] = True

    async def tell(self, disclosure: Disclosure) -> None:
        """Nothing is kept here."""


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return seed_now(database.migrate_dsn)


@pytest.fixture
async def counted(database: Database, world: World) -> AsyncIterator[dict[str, Counted]]:
    pools = {access.name: Pool(database.dsn(access.name), size=2) for access in (RESTRICTED_SCOPED, SELF, INTERNAL)}
    yield {name: Counted(pool) for name, pool in pools.items()}
    for pool in pools.values():
        await pool.close()


def engine_over(pools: Any, account: Any = None) -> Engine:
    return Engine(
        build_contracts(), pools, account or FakeAccount(), FakeSources(), Limits(50_000, 5_000, storage=20.0)
    )


def narrowed(region: str, **more: Any) -> Principal:
    return principal(RESTRICTED_SCOPED, narrowing={"regions": [region]}, **more)


async def at_once(engine: Engine, *asked: tuple[Principal, str]) -> list[Any]:
    return await asyncio.gather(*(ask(engine, who, QUERY, u=code) for who, code in asked))


def code(answer: Any) -> str | None:
    subject = answer["data"]["subject"]
    return None if subject is None else str(subject["uscc"])


async def test_requests_under_one_scope_share_a_statement(counted: dict[str, Counted]) -> None:
    asker = narrowed("652701")
    found = await at_once(engine_over(counted), *((asker, asked) for asked, _ in ANSWERS))
    assert [code(answer) for answer in found] == [shown for _, shown in ANSWERS]
    paths = [[error["path"] for error in answer.get("errors", ())] for answer in found]
    assert paths == [[] if shown else [["subject"]] for _, shown in ANSWERS]
    assert counted["restricted_scoped"].shared == [4]


async def test_each_answer_has_its_own_disclosure(counted: dict[str, Counted], database: Database) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    try:
        await owner.execute("truncate ledger.disclosure")
        engine = engine_over(counted, InStatement())
        await at_once(engine, *((narrowed("652701"), asked) for asked, _ in ANSWERS))
        rows = await owner.fetch(
            "select d.variables, (select array_agg(s.uscc) from core.subject s where s.external_id = any (subject_ids))"
            " as shown from ledger.disclosure d"
        )
    finally:
        await owner.close()
    assert counted["restricted_scoped"].shared == [4]
    disclosed = sorted((json.loads(row["variables"])["u"], *(row["shown"] or ())) for row in rows)
    assert disclosed == sorted((asked, shown) if shown else (asked,) for asked, shown in ANSWERS)


async def test_two_scopes_never_share(counted: dict[str, Counted], world: World) -> None:
    """Another region, another organisation, another matter, another subject's own account."""
    engine = engine_over(counted)
    one, other = narrowed("652701"), narrowed("652722")
    found = await at_once(engine, *((who, asked) for asked in (HERE, THERE) for who in (one, other)))
    assert [code(answer) for answer in found] == [HERE, None, None, THERE]
    assert counted["restricted_scoped"].shared == [2, 2]
    for access, askers in (
        (INTERNAL, [principal(INTERNAL, organisation=world.ids[name]) for name in ("机关甲", "机关乙")]),
        (SELF, [principal(SELF, "SELF", subject=world.ids[name]) for name in ("企业", "个体户")]),
    ):
        found = await at_once(engine, *((who, asked) for asked in (HERE, THERE) for who in askers))
        assert counted[access.name].shared == [2, 2]
    assert [code(answer) for answer in found] == [HERE, None, None, THERE]


async def test_that_check_notices_a_shared_scope(counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    """The control taken away: groups that go by nothing but view and statement. A narrowed client sees what another
    may see, and that one is refused what it may see."""
    monkeypatch.setattr(together, "repr", lambda _: "", raising=False)
    found = await at_once(engine_over(counted), (narrowed("652722"), HERE), (narrowed("652701"), HERE))
    assert counted["restricted_scoped"].shared == [2]
    assert [code(answer) for answer in found] == [None, None]
    found = await at_once(engine_over(counted), (narrowed("652701"), THERE), (narrowed("652722"), HERE))
    assert [code(answer) for answer in found] == [None, HERE]


@pytest.mark.parametrize(
    "query", ["{ records { totalCount } sources { code } }", QUERY, "{ records { edges { node { id } } } }"]
)
async def test_a_statement_that_sets_no_scope_reads_nothing(
    counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The views themselves insist on it, also where a connection had a scope before."""
    pools = {name: each.pool for name, each in counted.items()}
    variables = {"u": HERE} if query == QUERY else {}
    assert "errors" not in await ask(engine_over(pools), narrowed("652701"), query, **variables)
    monkeypatch.setattr(Fields, "_under_scope", lambda _, sql: sql)
    found = await ask(engine_over(pools), narrowed("652701"), query, **variables)
    assert [error["extensions"]["code"] for error in found["errors"]] == ["STORAGE_UNAVAILABLE"]
