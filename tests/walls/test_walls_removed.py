"""One wall taken away, the other holds.

The first wall removed: an engine that serves the INTERNAL schema to lower accesses gets PostgreSQL's refusal for every
hidden coordinate, and the client gets STORAGE_UNAVAILABLE and not a word more. A scope removed: an error, never an
empty answer. A narrowed client can't tell what is outside its scope from what is not on record, and no source can
either.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, TypeAlias

import asyncpg
import pytest
from expected_columns import COLUMNS, ROLES, columns, views
from expected_levels import visible
from walls_documents import Case, Generator
from walls_rows import NOBODY, World, code_of, seed_now
from walls_support import ACCESSES_OF, FakeAccount, FakeSources, ask, pairs, principal

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.execute import Engine, Limits
from gateway.errors import StorageUnavailable
from gateway.schema.contracts import annotated_schema, build_contracts
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES, INTERNAL, RESTRICTED, RESTRICTED_SCOPED, SELF
from gateway.storage.pool import Pool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SCOPED = ("restricted_scoped", "self", "internal")
UNAVAILABLE = {
    "errors": [
        {
            "message": "the database did not answer; nothing was disclosed, try again later",
            "extensions": {"code": "STORAGE_UNAVAILABLE"},
        }
    ]
}


@pytest.fixture(scope="module")
async def pools(database: Database) -> AsyncIterator[dict[str, Pool]]:
    made = {access.name: Pool(database.dsn(access.name), size=1) for access in ACCESSES}
    yield made
    for pool in made.values():
        await pool.close()


# A scope removed: with empty tables first, then with rows ------------------------------------------------------------


async def scope_errors(database: Database, role: str, *, before: str | None) -> int:
    """Every view of a scoped schema without a scope; `before`: a scope that an earlier transaction had."""
    connection: Connection = await asyncpg.connect(database.dsn(role))
    checked = 0
    try:
        for relation in COLUMNS:
            if not columns(relation, ROLES[role]):
                continue
            for view in views(relation):
                if before is not None:
                    async with connection.transaction():
                        await connection.execute("select set_config('gateway.scope', $1, true)", before)
                        await connection.fetch(f"select * from v_{role}.{view}")
                for sql in (
                    f"select * from v_{role}.{view}",
                    f"select count(*) from v_{role}.{view}",
                    f"select 1 from v_{role}.{view} limit 1",
                    f"select exists (select from v_{role}.{view})",
                ):
                    with pytest.raises((asyncpg.UndefinedObjectError, asyncpg.InvalidTextRepresentationError)):
                        await connection.fetch(sql)
                    checked += 1
    finally:
        await connection.close()
    return checked


@pytest.mark.parametrize("role", SCOPED)
@pytest.mark.parametrize("before", [None, '{"matter": "GRANT"}'])
async def test_without_a_scope_empty_tables_are_an_error(database: Database, role: str, before: str | None) -> None:
    """Nothing is seeded yet: an empty answer would be zero rows, and is an error all the same."""
    pairs.count("scoped view without scope", await scope_errors(database, role, before=before))


@pytest.mark.parametrize("role", SCOPED)
async def test_that_check_notices_a_view_without_its_scope(database: Database, owner: Connection, role: str) -> None:
    """Take the scope's condition out of one view: the check above fails."""
    await owner.execute(f"alter view v_{role}.source rename to kept")
    await owner.execute(f"create view v_{role}.source as select position, code, name from core.source")
    await owner.execute(f'grant select on v_{role}.source to "{database.prefix}_{role}"')
    try:
        with pytest.raises(pytest.fail.Exception):
            await scope_errors(database, role, before=None)
    finally:
        await owner.execute(f"drop view v_{role}.source; alter view v_{role}.kept rename to source")


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return seed_now(database.migrate_dsn)


@pytest.mark.parametrize("role", SCOPED)
@pytest.mark.parametrize("before", [None, '{"matter": "SUPERVISION"}'])
async def test_without_a_scope_rows_are_an_error(
    database: Database, world: World, role: str, before: str | None
) -> None:
    pairs.count("scoped view without scope", await scope_errors(database, role, before=before))


async def test_the_engine_without_a_scope(pools: dict[str, Pool], world: World) -> None:
    """A principal that lost its scope, on the very connection where another's scope was set before."""
    account = FakeAccount()
    engine = Engine(build_contracts(), pools, account, FakeSources(), Limits(50_000, 5_000, storage=20.0))
    query = "{ records(first: 1) { totalCount } sources { code } }"
    for access, matter in ((RESTRICTED_SCOPED, "GRANT"), (SELF, "SELF"), (INTERNAL, "SUPERVISION")):
        asker = principal(access, matter, subject=world.ids["企业"])
        assert "errors" not in await ask(engine, asker, query)
        disclosed = len(account.kept)
        bare = Principal(access, client_id="client", matter=matter, case_number="1", scope=None)
        assert await ask(engine, bare, query) == UNAVAILABLE
        assert len(account.kept) == disclosed
        assert "errors" not in await ask(engine, asker, query)


async def test_a_scope_is_data_never_sql(pools: dict[str, Pool], world: World) -> None:
    hostile = {"list": "'); reset all; select set_config('gateway.scope', '{}', false); --", "regions": ["\\'; --"]}
    asker = principal(RESTRICTED_SCOPED, narrowing=hostile)
    engine = Engine(build_contracts(), pools, FakeAccount(), FakeSources(), Limits(50_000, 5_000, storage=20.0))
    assert await ask(engine, asker, "{ records { totalCount } }") == {"data": {"records": {"totalCount": 0}}}
    with pytest.raises(StorageUnavailable):
        await pools["restricted_scoped"].fetchrow("select count(*) from v_restricted_scoped.record", ())


# The first wall removed ---------------------------------------------------------------------------------------------

ANNOTATED = annotated_schema()


def hidden(contract: str, case: Case) -> bool:
    """Fields above the contract's level. Values of enums are data: rows decide on them, not columns."""
    owner, _, name = case.coordinate.partition(".")
    if not name or "(" in name or not hasattr(ANNOTATED.type_map[owner], "interfaces"):
        return False
    return not (visible(owner, contract) and visible(case.coordinate, contract))


NUMBER = "659999197001010019"  # of nobody: there is no such division


@pytest.mark.parametrize("access", ["public", "restricted", "restricted_scoped", "self"])
async def test_the_second_wall_alone(pools: dict[str, Pool], world: World, access: str) -> None:
    contract = next(name for name, accesses in ACCESSES_OF.items() if access in {a.name for a in accesses})
    contracts = build_contracts()
    account, sources = FakeAccount(), FakeSources()
    open_wall = Engine(
        contracts | {contract: contracts["INTERNAL"]}, pools, account, sources, Limits(50_000, 50_000, storage=20.0)
    )
    asker = {
        "public": ANONYMOUS,
        "restricted": principal(RESTRICTED),
        "restricted_scoped": principal(RESTRICTED_SCOPED),
        "self": principal(SELF, "SELF", subject=world.ids["企业"]),
    }[access]
    cases = [
        case
        for case in Generator(ANNOTATED).cases()
        if case.kind in ("root", "nested", "interface", "node(id)", "_entities", "named fragment", "alias")
        and hidden(contract, case)
    ]
    leaked, reached = [], set()
    for case in cases:
        text = _deeper(case)
        answer = await ask(open_wall, replace(asker, identifies_persons=True), text, identity=NUMBER)
        reached.add(case.coordinate)
        # A change is refused before the database is asked: this access has no function for it.
        changed = text.startswith("mutation ")
        refused = changed and "data" not in answer and answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        if answer != UNAVAILABLE and not refused:
            leaked.append((case.coordinate, case.kind, text, answer))
    assert leaked == []
    assert [told for told in account.kept if told.outcome == "ANSWERED"] == []
    wall = Engine(contracts, pools, account, sources, Limits(50_000, 50_000, storage=20.0))
    for case in cases[:20]:
        assert (await ask(wall, asker, case.text))["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert {"CreditRecord.history"} <= {case.coordinate for case in cases}
    pairs.count("hidden field × path × role, first wall removed", len(cases))
    assert len(reached) >= (10 if access != "public" else 30)


_COLUMNS = {
    "RevealIdentityPayload": "identityNumber",
    "RecordVersion": "version",
    "Matter": "code",
    "Source": "code",
    "Region": "code",
    "SourceAnswer": "status",
    "RegionPlatformSection": "answer { status }",
    "CreditRecord": "title",
    "PeerSection": "onRecord",
    "CourtSection": "answer { status }",
    "BankSection": "overdueDays",
    "BankEvent": "kind",
    "Subject": "uscc",
    "Consent": "uscc",
    "DisclosureConnection": "edges { node { number } }",
    "DisclosureEdge": "node { number }",
    "Disclosure": "number",
    "DisclosedSource": "status",
    "ConsentConnection": "totalCount",
    "ConsentEdge": "cursor",
    "PageInfo": "endCursor",
    "RecordConsentPayload": "consentId",
    "RevokeConsentPayload": "consent { uscc }",
}


def _deeper(case: Case) -> str:
    """The case's document; an object's reads a column of it, since a type's name alone is no data of anybody's."""
    owner, _, name = case.coordinate.partition(".")
    returned = str(ANNOTATED.type_map[owner].fields[name].type).strip("[]!")  # type: ignore[attr-defined]
    column = _COLUMNS.get(returned, "caseNumber")
    return replace(case, leaf=case.leaf.replace("{ __typename }", f"{{ {column} }}")).text


# Narrowing ----------------------------------------------------------------------------------------------------------

NARROWINGS: dict[str, tuple[dict[str, Any], str, str]] = {  # narrowing, a code inside, a code outside
    "kinds": ({"kinds": ["ENTERPRISE"]}, "企业", "机关乙"),
    "regions": ({"regions": ["652722"]}, "个体户", "企业"),
    "list": ({"list": "重点"}, "企业", "个体户"),
}
SECTION = "courts { answer { status } dishonestListings { caseNumber } }"


@pytest.fixture(params=[*NARROWINGS, "self"])
def narrowed(request: pytest.FixtureRequest, world: World) -> tuple[Principal, str, str]:
    """(asker, a code inside, a code outside)."""
    if request.param == "self":
        return principal(SELF, "SELF", subject=world.ids["企业"]), code_of("企业"), code_of("机关乙")
    narrowing, inside, outside = NARROWINGS[request.param]
    organisation = world.ids["机关甲"]
    asker = principal(RESTRICTED_SCOPED, organisation=organisation, narrowing=narrowing)
    return asker, code_of(inside), code_of(outside)


@pytest.fixture
def sources() -> FakeSources:
    return FakeSources()


@pytest.fixture
def engine(pools: dict[str, Pool], world: World, sources: FakeSources) -> Engine:
    return Engine(build_contracts(), pools, FakeAccount(), sources, Limits(50_000, 5_000, storage=20.0))


async def test_outside_the_scope_is_as_not_on_record(engine: Engine, narrowed: tuple[Principal, str, str]) -> None:
    asker, inside, outside = narrowed
    query = "query ($u: Uscc!) { a: subject(uscc: $u) { id uscc onRecord name records { totalCount } } }"
    found = await ask(engine, asker, query, u=inside)
    assert "errors" not in found
    assert found["data"]["a"]["uscc"] == inside
    answers = [json.dumps(await ask(engine, asker, query, u=code)) for code in (outside, NOBODY)]
    assert answers[0] == answers[1]
    answer = json.loads(answers[0])
    assert answer["data"] == {"a": None}
    assert [(e["path"], e["extensions"]["code"]) for e in answer["errors"]] == [(["a"], "FORBIDDEN")]


async def test_in_lists_for_each_element(engine: Engine, narrowed: tuple[Principal, str, str]) -> None:
    asker, inside, outside = narrowed
    query = "query ($u: [Uscc!]!) { l: subjects(usccs: $u) { uscc } again: subjects(usccs: $u) { name } }"
    found = await ask(engine, asker, query, u=[outside, inside, NOBODY, inside])
    assert found["data"]["l"] == [None, {"uscc": inside}, None, {"uscc": inside}]
    paths = [["l", 0], ["l", 2], ["again", 0], ["again", 2]]
    assert [error["path"] for error in found["errors"]] == paths
    assert {(error["message"], error["extensions"]["code"]) for error in found["errors"]} == {
        (found["errors"][0]["message"], "FORBIDDEN")
    }
    entities = "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Subject { uscc } } }"
    listed = [{"__typename": "Subject", "uscc": code} for code in (outside, inside, None, NOBODY)]
    again = await ask(engine, asker, entities, r=listed)
    assert again["data"]["_entities"] == [None, {"uscc": inside}, None, None]
    assert [error["path"] for error in again["errors"]] == [["_entities", 0], ["_entities", 3]]
    assert {error["message"] for error in again["errors"]} == {found["errors"][0]["message"]}
    literal = f'{{ subjects(usccs: ["{outside}"]) {{ uscc }} }}'
    assert (await ask(engine, asker, literal))["errors"][0]["path"] == ["subjects", 0]


async def test_keys_pass_the_scope_before_any_source_is_asked(
    engine: Engine, sources: FakeSources, narrowed: tuple[Principal, str, str], world: World
) -> None:
    asker, inside, outside = narrowed
    query = f"query ($u: [Uscc!]!) {{ subjects(usccs: $u) {{ uscc {SECTION} }} }}"
    found = await ask(engine, asker, query, u=[outside, inside, NOBODY])
    assert sources.asked == {inside}
    assert found["data"]["subjects"][1]["courts"]["answer"] == {"status": "ANSWERED"}
    sources.wanted.clear()
    entities = f"query ($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on Subject {{ uscc {SECTION} }} }} }}"
    await ask(engine, asker, entities, r=[{"__typename": "Subject", "uscc": c} for c in (outside, inside, NOBODY)])
    assert sources.asked == {inside}
    sources.wanted.clear()
    one = f"query ($u: Uscc!) {{ subject(uscc: $u) {{ uscc {SECTION} }} }}"
    for code in (outside, NOBODY):
        assert (await ask(engine, asker, one, u=code))["data"] == {"subject": None}
    node = f"query ($id: ID!) {{ node(id: $id) {{ ... on Subject {{ uscc {SECTION} }} }} }}"
    for name in ("机关甲", "机关乙", "企业", "个体户", "外地企业", "自然人", "公务员无令"):
        found = await ask(engine, asker, node, id=world.nodes[name])
        if name not in ("自然人", "公务员无令") and found["data"]["node"] is None:
            assert code_of(name) not in sources.asked
    listed = f"{{ records(first: 100) {{ edges {{ node {{ subject {{ uscc {SECTION} }} }} }} }} }}"
    found = await ask(engine, asker, listed)
    seen = {edge["node"]["subject"]["uscc"] for edge in found["data"]["records"]["edges"]}
    assert outside not in seen
    assert sources.asked >= seen
    assert outside not in sources.asked
    assert NOBODY not in sources.asked


async def test_an_authority_outside_the_scope_is_seen_and_not_asked_about(
    engine: Engine, sources: FakeSources, world: World
) -> None:
    """Narrowing never applies to authorities, yet no source is asked about a subject outside it."""
    asker = principal(SELF, "SELF", subject=world.ids["企业"])
    query = f"{{ records(first: 100) {{ edges {{ node {{ authority {{ name {SECTION} }} }} }} }} }}"
    found = await ask(engine, asker, query)
    authorities = [e["node"]["authority"] for e in found["data"]["records"]["edges"] if e["node"]["authority"]]
    assert {authority["name"] for authority in authorities} == {"机关甲", "机关乙"}
    assert all(a["courts"] == {"answer": {"status": "NOT_CONSULTED"}, "dishonestListings": []} for a in authorities)
    assert sources.asked == set()


async def test_not_narrowed_the_sources_may_know_what_is_not_on_record(
    engine: Engine, sources: FakeSources, world: World
) -> None:
    """The control: without a narrowing a code that is not on record is a subject, and the courts are asked about it."""
    query = f"query ($u: [Uscc!]!) {{ subjects(usccs: $u) {{ uscc onRecord {SECTION} }} }}"
    found = await ask(engine, principal(RESTRICTED), query, u=[code_of("企业"), NOBODY])
    assert "errors" not in found
    assert [subject["onRecord"] for subject in found["data"]["subjects"]] == [True, False]
    assert sources.asked == {code_of("企业"), NOBODY}


async def test_a_subject_without_a_code_is_not_consulted(engine: Engine, sources: FakeSources, world: World) -> None:
    """A natural person has no code: the section says that nobody was asked, which is no empty answer."""
    asker = principal(INTERNAL, "SUPERVISION", organisation=world.ids["机关甲"])
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on Subject {{ name {SECTION} }} }} }}"
    found = await ask(engine, asker, query, id=world.nodes["自然人"])
    assert found["data"]["node"]["courts"] == {"answer": {"status": "NOT_CONSULTED"}, "dishonestListings": []}
    assert sources.asked == set()


async def test_the_public_view_refreshes_only_what_is_on_record(
    engine: Engine, sources: FakeSources, world: World
) -> None:
    query = f"query ($u: [Uscc!]!) {{ subjects(usccs: $u) {{ uscc {SECTION} }} }}"
    found = await ask(engine, ANONYMOUS, query, u=[code_of("企业"), NOBODY])
    assert found["data"]["subjects"][1] is None
    assert sources.refreshed == [code_of("企业")]
