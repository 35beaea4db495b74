"""Promises: searches and lists of records share statements, each request with its own values, answer and disclosure, as
if it had asked by itself; one scope never reads under another; what one asks in vain, or slowly, costs the others no
answer; and an answer that is not to the very question reaches nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import asyncpg
import pytest
from walls_rows import World, seed_now
from walls_support import PRINCIPALS, FakeAccount, FakeSources, ask, principal

from gateway.auth.principal import Principal
from gateway.engine import together, values
from gateway.engine.account import Disclosure
from gateway.engine.execute import Engine, Limits
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.levels import PUBLIC, RESTRICTED, RESTRICTED_SCOPED
from gateway.storage.names import index_names
from gateway.storage.pool import Pool

SEARCH = """query ($q: String!, $n: Int = 20) { searchSubjects(query: $q, first: $n) {
    totalCount edges { cursor node { uscc name recordCounts { kind count } } } pageInfo { hasNextPage endCursor } } }"""
RECORDS = """query ($f: RecordFilter, $o: RecordOrder, $a: String, $n: Int = 20) {
    records(filter: $f, orderBy: $o, after: $a, first: $n) {
        edges { cursor node { title subject { name } } } pageInfo { hasNextPage endCursor } } }"""
TWO = """query ($q: String!, $f: RecordFilter) { __typename searchSubjects(query: $q) { edges { node { name } } }
    records(filter: $f, first: 5) { edges { node { title } } } }"""
TEXTS = ("企业", "个体户", "外地企业", "机关甲", "啊啊啊", '企"业\\', "a\x1fb\x1e", "{企业,null}")
FILTERS: tuple[dict[str, Any], ...] = (
    {"kinds": ["PENALTY"]},
    {"kinds": ["LICENCE", "HONOUR"]},
    {"areas": ["GENERAL"], "kinds": ["LIST_ENTRY"]},
    {"areas": ["PPP"]},
    {"decidedFrom": "2020-01-01", "decidedTo": "2020-12-31"},
    {"decidedFrom": "2020-01-01"},
    {},
    {"regionCode": "652722"},
    {"regionCode": "652701", "kinds": ["JUDGMENT"]},
    {"severities": ["MINOR"]},
)
Question = tuple[str, dict[str, Any]]
QUESTIONS: tuple[Question, ...] = (
    *((SEARCH, {"q": text}) for text in TEXTS),
    *((SEARCH, {"q": "企业", "n": n}) for n in (1, 2)),
    *((RECORDS, {"f": each}) for each in FILTERS),
    *((RECORDS, {"f": each, "n": 2}) for each in FILTERS),
    *((RECORDS, {"f": each, "o": {"field": "PUBLISHED_FROM", "direction": "ASC"}}) for each in FILTERS),
    *((TWO, {"q": text, "f": each}) for text, each in zip(TEXTS, FILTERS, strict=False)),
)


class Counted:
    """A pool that remembers how many requests each statement had, and can hand them over in another order."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.shared: list[int] = []
        self.turned = False

    async def fetch(self, sql: str, arguments: Sequence[Any], **how: Any) -> Any:
        lists = [argument for argument in arguments if isinstance(argument, list)]
        self.shared.append(max(map(len, lists), default=0))
        if self.turned:
            arguments = [a[::-1] if isinstance(a, list) else a for a in arguments]
        return await self.pool.fetch(sql, arguments, **how)


class InStatement(FakeAccount):
    """Statements write what they disclose."""

    in_statement: ClassVar[bool] = True

    async def tell(self, disclosure: Disclosure) -> None:
        """Nothing is kept here."""


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    async def names() -> None:
        owner = await asyncpg.connect(database.migrate_dsn)
        try:
            await index_names(owner, list(made.ids.values()), new=True)
        finally:
            await owner.close()

    made = seed_now(database.migrate_dsn)
    asyncio.run(names())
    return made


@pytest.fixture
async def counted(database: Database, world: World) -> AsyncIterator[dict[str, Counted]]:
    pools = {access.name: Pool(database.dsn(access.name), size=4) for access in (PUBLIC, RESTRICTED, RESTRICTED_SCOPED)}
    yield {name: Counted(pool) for name, pool in pools.items()}
    for pool in pools.values():
        await pool.close()


def engine_over(pools: Any, account: Any = None, storage: float = 5.0) -> Engine:
    limits = Limits(50_000, 5_000, storage=storage, statements=0)  # and one more for lists
    return Engine(build_contracts(), pools, account or FakeAccount(), FakeSources(), limits)


async def at_once(engine: Engine, *asked: tuple[Principal, Question]) -> list[Any]:
    return await asyncio.gather(*(ask(engine, who, query, **given) for who, (query, given) in asked))


def narrowed(region: str) -> Principal:
    return principal(RESTRICTED_SCOPED, narrowing={"regions": [region]})


@pytest.mark.parametrize("name", ["public", "restricted", "restricted_scoped"])
async def test_each_gets_what_it_would_get_by_itself(counted: dict[str, Counted], name: str) -> None:
    """Twice: by itself is the engine too, so the small world's reference is the differential test's."""
    who, engine = PRINCIPALS[name], engine_over(counted)
    alone = [(await at_once(engine, (who, question)))[0] for question in QUESTIONS]
    assert set(counted[name].shared) <= {1}
    counted[name].shared.clear()
    assert await at_once(engine, *((who, question) for question in QUESTIONS)) == alone
    assert max(counted[name].shared) >= 5
    assert len(counted[name].shared) < len(QUESTIONS) * 0.6
    assert len({json.dumps(answer) for answer in alone}) > len(QUESTIONS) / 3


async def test_each_answer_has_its_own_disclosure(counted: dict[str, Counted], database: Database) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    try:
        await owner.execute("truncate ledger.disclosure")
        askers = [principal(RESTRICTED), principal(RESTRICTED, "PROCUREMENT")]
        questions = [(SEARCH, {"q": text}) for text in TEXTS[:3]]
        await at_once(engine_over(counted, InStatement()), *((w, q) for q in questions for w in askers))
        rows = await owner.fetch(
            "select d.matter, d.variables, (select array_agg(s.name order by s.name) from core.subject s"
            " where s.external_id = any (subject_ids)) as shown from ledger.disclosure d"
        )
    finally:
        await owner.close()
    assert counted["restricted"].shared == [6]
    found = sorted((row["matter"], json.loads(row["variables"])["q"], *row["shown"]) for row in rows)
    shown = {"企业": ("企业", "外地企业"), "个体户": ("个体户",), "外地企业": ("外地企业",)}
    assert found == sorted((who.matter, text, *shown[text]) for text in shown for who in askers)


async def test_two_scopes_never_share(counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the control taken away: groups that go by nothing but view and statement show another's region."""
    asked = [(narrowed(region), (SEARCH, {"q": "企业"})) for region in ("652701", "652722")]
    names = lambda answer: [edge["node"]["name"] for edge in answer["data"]["searchSubjects"]["edges"]]  # noqa: E731
    assert [names(answer) for answer in await at_once(engine_over(counted), *asked)] == [["企业"], []]
    assert counted["restricted_scoped"].shared == [1, 1]
    monkeypatch.setattr(together, "repr", lambda _: "", raising=False)
    assert [names(answer) for answer in await at_once(engine_over(counted), *asked)] == [["企业"], ["企业"]]


async def test_what_the_database_refuses_is_refused_alone(
    counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that all checks have let through, and PostgreSQL alone does not take."""
    true = values._as_text
    monkeypatch.setattr(values, "_as_text", lambda found: "no day" if str(found) == "1999-01-01" else true(found))
    days = ("2020-01-01", "1999-01-01", "2021-01-01")
    who = principal(RESTRICTED)
    found = await at_once(engine_over(counted), *((who, (RECORDS, {"f": {"decidedFrom": day}})) for day in days))
    assert ["errors" in answer for answer in found] == [False, True, False]
    assert counted["restricted"].shared == [3, 1, 1, 1]


async def test_answers_in_another_order_reach_nobody(
    counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many bodies as asked for, of the right lengths, each to the question of somebody else."""
    who, asked = principal(RESTRICTED), [(SEARCH, {"q": text}) for text in ("企业", "个体户")]
    counted["restricted"].turned = True
    found = await at_once(engine_over(counted), *((who, question) for question in asked))
    codes = [error["extensions"]["code"] for answer in found for error in answer["errors"]]
    assert codes == ["STORAGE_UNAVAILABLE"] * 2

    class Anything(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __ne__(self, _: object) -> bool:
            return False

    # The control taken away: the attack succeeds.
    monkeypatch.setattr(together, "keys_of", lambda *_: Anything())
    found = await at_once(engine_over(counted), *((who, question) for question in asked))
    first = [answer["data"]["searchSubjects"]["edges"][0]["node"]["name"] for answer in found]
    assert first == ["个体户", "企业"]


async def test_a_slow_one_holds_nobody_up(counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    """One of several takes for ever: each of them asks by itself after a moment, and so do those that come next. Its
    statement is ended when its own time is over."""
    monkeypatch.setattr(together, "TRIED", 0.2)
    monkeypatch.setattr(together, "_SLOW", 0.2)
    monkeypatch.setattr(together, "_LOOK", 0.02)
    pool = counted["restricted"]
    true = pool.fetch

    async def fetch(sql: str, arguments: Sequence[Any], **how: Any) -> Any:
        if any(isinstance(argument, list) and "机关甲" in argument for argument in arguments):
            pool.shared.append(-max(len(a) for a in arguments if isinstance(a, list)))
            return await pool.pool.fetch("select pg_sleep(60)", (), **{**how, "read": lambda rows: rows[0]})
        return await true(sql, arguments, **how)

    monkeypatch.setattr(pool, "fetch", fetch)
    who = principal(RESTRICTED)
    engine = engine_over(counted, storage=4.0)
    slow = asyncio.create_task(ask(engine, who, SEARCH, q="机关甲"))
    for _ in range(2):
        found = await at_once(engine, *((who, (SEARCH, {"q": text})) for text in ("企业", "个体户")))
        assert not any("errors" in answer for answer in found)
        while not engine._statements.together["restricted"]._apart:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    assert not slow.done()
    assert sorted(pool.shared) == [-3, -1, 1, 1, 1, 1]
    assert "errors" in await slow
