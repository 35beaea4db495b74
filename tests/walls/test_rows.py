"""Who sees which rows: the table of the design, row by row, by direct SELECT as each role and through the engine.

The expected rows are written out below by hand. Counts, lists, nodes, nested paths and predecessors must agree with
them, and masked values must be masked on every path.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest
from walls_rows import NOBODY, RECORDS, SUBJECTS, World, code_of, seed_now
from walls_support import FakeAccount, FakeSources, ask, pairs, principal, with_scope

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.execute import Engine, Limits
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES, INTERNAL, RESTRICTED, RESTRICTED_SCOPED, SELF
from gateway.storage.pool import Pool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ORGANISATIONS = {"机关甲", "机关乙", "旧机关", "企业", "个体户", "外地企业"}
SERVANTS = {"公务员无令", "公务员有令", "公务员令满", "公务员令前"}

PUBLIC_ROWS = {
    "r-within", "r-no-end", "r-ends-today", "r-begins-today", "r-corrected", "r-minor", "r-serious", "r-licence",
    "r-judgment", "r-honour", "r-list", "r-contract", "r-promise", "r-accountability", "r-disciplinary", "r-old",
    "r-business", "r-elsewhere",
}  # fmt: skip
RESTRICTED_ROWS = PUBLIC_ROWS | {"r-ended", "r-begins-tomorrow", "r-corrected-ended", "r-minor-unpublished"}
OF_ENTERPRISE = {
    "r-within", "r-no-end", "r-ends-today", "r-ended", "r-begins-today", "r-begins-tomorrow", "r-corrected",
    "r-corrected-ended", "r-minor", "r-minor-unpublished", "r-serious", "r-revoked-a", "r-revoked-b",
    "r-revoked-nobody", "r-repaired-a", "r-repaired-b", "r-repaired-ended", "r-licence", "r-judgment", "r-honour",
    "r-list",
}  # fmt: skip
WITHDRAWN = {
    "r-revoked-a", "r-revoked-b", "r-revoked-nobody", "r-repaired-a", "r-repaired-b", "r-repaired-ended",
    "r-organ-repaired",
}  # fmt: skip
OF_PERSON = {"p-penalty", "p-licence", "p-honour"}

# who → (subjects, records)
EXPECTED: dict[str, tuple[set[str], set[str]]] = {
    "public": (ORGANISATIONS, PUBLIC_ROWS),
    "restricted": (ORGANISATIONS, RESTRICTED_ROWS),
    "scoped, not narrowed": (ORGANISATIONS, RESTRICTED_ROWS),
    "narrowed by kind": (
        {"企业", "外地企业"},
        (RESTRICTED_ROWS & OF_ENTERPRISE) | {"r-elsewhere"},
    ),
    "narrowed by region": (
        {"机关乙", "个体户"},
        {"r-disciplinary", "r-business"},
    ),
    "narrowed by prefecture": (
        {"机关甲", "机关乙", "旧机关", "企业", "个体户"},
        RESTRICTED_ROWS - {"r-elsewhere"},
    ),
    "narrowed by list": ({"企业", "机关乙"}, (RESTRICTED_ROWS & OF_ENTERPRISE) | {"r-disciplinary"}),
    "narrowed by all": ({"企业"}, RESTRICTED_ROWS & OF_ENTERPRISE),
    "narrowed to nothing": (set(), set()),
    "self, enterprise": ({"企业"}, OF_ENTERPRISE),
    "self, organ": ({"机关甲"}, {"r-contract", "r-promise", "r-accountability", "r-organ-repaired"}),
    "self, servant": ({"公务员无令"}, {"s-none", "s-none-revoked-a"}),
    "self, person": ({"自然人"}, OF_PERSON | {"p-revoked-b"}),
    "self, nobody": (set(), set()),
    "internal, organ a": (
        ORGANISATIONS | {"自然人", "公务员有令"},
        RESTRICTED_ROWS | OF_PERSON | {"s-order", "r-revoked-a", "r-repaired-a", "r-repaired-ended"},
    ),
    "internal, organ b": (
        ORGANISATIONS | {"自然人", "公务员有令"},
        RESTRICTED_ROWS | OF_PERSON
        | {"s-order", "s-order-revoked-b", "p-revoked-b", "r-revoked-b", "r-repaired-b", "r-organ-repaired"},
    ),
    "internal, unknown organ": (
        ORGANISATIONS | {"自然人", "公务员有令"},
        RESTRICTED_ROWS | OF_PERSON | {"s-order"},
    ),
    "internal, appointment": (
        ORGANISATIONS | {"自然人"} | SERVANTS,
        RESTRICTED_ROWS | OF_PERSON
        | {"s-none", "s-none-revoked-a", "s-order", "s-order-over", "s-order-ahead"}
        | {"r-revoked-a", "r-repaired-a", "r-repaired-ended"},
    ),
    "internal, supervision": (set(SUBJECTS), set(RECORDS)),
    "internal, unknown matter": (
        ORGANISATIONS | {"自然人", "公务员有令"},
        RESTRICTED_ROWS | OF_PERSON | {"s-order", "r-revoked-a", "r-repaired-a", "r-repaired-ended"},
    ),
    "internal, narrowed": (
        {"企业"},
        (RESTRICTED_ROWS & OF_ENTERPRISE) | {"r-revoked-a", "r-repaired-a", "r-repaired-ended"},
    ),
}  # fmt: skip
EXPIRED = {"r-ended", "r-corrected-ended"}


def people(world: World) -> dict[str, Principal]:
    """The principals of EXPECTED."""
    a, b = world.ids["机关甲"], world.ids["机关乙"]

    def narrowed(**narrowing: Any) -> Principal:
        return principal(RESTRICTED_SCOPED, organisation=a, narrowing=narrowing)

    def self_of(name: str) -> Principal:
        return principal(SELF, "SELF", subject=world.ids[name])

    return {
        "public": ANONYMOUS,
        "restricted": principal(RESTRICTED),
        "scoped, not narrowed": principal(RESTRICTED_SCOPED, organisation=a),
        "narrowed by kind": narrowed(kinds=["ENTERPRISE"]),
        "narrowed by region": narrowed(regions=["652722"]),
        "narrowed by prefecture": narrowed(regions=["6527"]),
        "narrowed by list": narrowed(list="重点"),
        "narrowed by all": narrowed(list="重点", kinds=["ENTERPRISE"], regions=["652701", "650102"]),
        "narrowed to nothing": narrowed(kinds=[]),
        "self, enterprise": self_of("企业"),
        "self, organ": self_of("机关甲"),
        "self, servant": self_of("公务员无令"),
        "self, person": self_of("自然人"),
        "self, nobody": principal(SELF, "SELF"),
        "internal, organ a": principal(INTERNAL, organisation=a),
        "internal, organ b": principal(INTERNAL, organisation=b),
        "internal, unknown organ": principal(INTERNAL),
        "internal, appointment": principal(INTERNAL, "APPOINTMENT", organisation=a),
        "internal, supervision": principal(INTERNAL, "SUPERVISION", organisation=a),
        "internal, unknown matter": principal(INTERNAL, "NO_SUCH_MATTER", organisation=a),
        "internal, narrowed": principal(INTERNAL, organisation=a, narrowing={"list": "重点", "kinds": ["ENTERPRISE"]}),
    }


PERSONS = SERVANTS | {"自然人"}
FOUND = {
    "internal, organ a": set(),  # GRANT identifies nobody
    "internal, unknown matter": set(),
    "internal, appointment": PERSONS,
    "internal, supervision": PERSONS,
    "internal, narrowed": set(),
    "internal, supervision, narrowed": {"自然人"},
}


@pytest.mark.parametrize("name", FOUND)
async def test_persons_by_blind_index(database: Database, world: World, name: str) -> None:
    """What the view's function finds is what the view shows, where the matter identifies persons; by the right name."""
    narrowed = principal(INTERNAL, "SUPERVISION", narrowing={"kinds": ["NATURAL_PERSON"]})
    asker = (people(world) | {"internal, supervision, narrowed": narrowed})[name]
    connection: Connection = await asyncpg.connect(database.dsn(asker.access.name))
    try:
        async with with_scope(connection, asker.scope):
            find = "select v_internal.person(encode($1::bytea, 'hex'), $2)"
            found = {each: await connection.fetchval(find, each.encode(), each) for each in PERSONS}
            assert {each for each, id_ in found.items() if id_ == world.ids[each]} == FOUND[name]
            assert {each for each, id_ in found.items() if id_ is not None} == FOUND[name]
            for number, other in (("自然人", "公务员有令"), ("无此人", "自然人"), ("企业", "企业")):
                assert await connection.fetchval(find, number.encode(), other) is None
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return seed_now(database.migrate_dsn)


@pytest.fixture(scope="module")
async def pools(database: Database) -> AsyncIterator[dict[str, Pool]]:
    made = {access.name: Pool(database.dsn(access.name), size=2) for access in ACCESSES}
    yield made
    for pool in made.values():
        await pool.close()


@pytest.fixture(scope="module")
def engine(pools: dict[str, Pool]) -> Engine:
    return Engine(build_contracts(), pools, FakeAccount(), FakeSources(), Limits(500_000, 500_000, storage=20.0))


@pytest.fixture(params=EXPECTED)
def who(request: pytest.FixtureRequest, world: World) -> tuple[str, Principal, set[str], set[str]]:
    name: str = request.param
    return (name, people(world)[name], *EXPECTED[name])


def test_everyone_has_a_row_in_the_table(world: World) -> None:
    assert set(people(world)) == set(EXPECTED)
    seen = [rows for _, rows in EXPECTED.values()]
    assert all(any(title in rows for rows in seen) and any(title not in rows for rows in seen) for title in RECORDS)


async def test_by_direct_select(database: Database, who: tuple[str, Principal, set[str], set[str]]) -> None:
    """All views of the schema that have subjects or records, each order included."""
    _, asker, subjects, records = who
    schema = asker.access.schema
    connection: Connection = await asyncpg.connect(database.dsn(asker.access.name))
    try:
        async with with_scope(connection, asker.scope):

            async def column(sql: str) -> list[Any]:
                return [row[0] for row in await connection.fetch(sql)]

            assert set(await column(f"select name from {schema}.subject")) == subjects
            for order in ("", "_decided_desc", "_decided_asc", "_published_desc", "_published_asc"):
                rows = await connection.fetch(f"select title, status, subject_name from {schema}.record{order}")
                assert {row["title"] for row in rows} == records
                assert {row["title"] for row in rows if row["status"] == "EXPIRED"} == records & EXPIRED
            counted = await column(f"select sum(count)::int from {schema}.record_count")
            assert counted == [len(records) or None]
            linked = await column(f"select name from {schema}.predecessor")
            assert set(linked) == {name for name in ("旧机关", "公务员无令") if name in subjects}
            assert set(await column(f"select name from {schema}.successor")) == {"机关甲"} & subjects
            withdrawn = await column(
                f"select s.name from {schema}.withdrawal w join {schema}.subject s on s.id = w.subject_id"
            )
            assert set(withdrawn) == subjects & {"企业", "自然人", "公务员无令"}
            assert len(withdrawn) == await connection.fetchval(f"select count(*) from {schema}.withdrawal")
            if asker.access is INTERNAL:
                versions = f"select title from {schema}.record_version v join {schema}.record r on r.id = v.record_id"
                assert set(await column(versions)) == records
                assert len(records) == await connection.fetchval(f"select count(*) from {schema}.record_version")
    finally:
        await connection.close()
    pairs.count("row × asker by SELECT", len(RECORDS) * 5 + len(SUBJECTS))


LIST = """query ($o: RecordOrder) { records(first: 100, orderBy: $o) { totalCount edges { node { id title status
  subject { name recordCounts { count } records(first: 100) { totalCount edges { node { title } } } } } } } }"""
NODE = """query ($id: ID!) { node(id: $id) { id ... on CreditRecord { title } ... on Subject { name
  recordCounts { count } records(first: 100) { totalCount edges { node { title } } }
  predecessors { name records(first: 100) { edges { node { title } } } } successors { name }
  withdrawals { reason } } } }"""


def titles(connection: Any) -> set[str]:
    return {edge["node"]["title"] for edge in connection["edges"]}


def of(subject: str, records: set[str]) -> set[str]:
    return {title for title in records if RECORDS[title].subject == subject}


async def test_lists_and_counts(engine: Engine, who: tuple[str, Principal, set[str], set[str]]) -> None:
    _, asker, _, records = who
    for order in (None, {"field": "PUBLISHED_FROM", "direction": "ASC"}):
        found = (await ask(engine, asker, LIST, o=order))["data"]["records"]
        assert titles(found) == records
        assert found["totalCount"] == len(records)
        for edge in found["edges"]:
            node, subject = edge["node"], edge["node"]["subject"]
            assert subject["name"] == RECORDS[node["title"]].subject
            assert (node["status"] == "EXPIRED") == (node["title"] in EXPIRED)
            own = of(subject["name"], records)
            assert titles(subject["records"]) == own
            assert subject["records"]["totalCount"] == sum(c["count"] for c in subject["recordCounts"]) == len(own)


async def test_filters_count_only_what_is_seen(engine: Engine, who: tuple[str, Principal, set[str], set[str]]) -> None:
    _, asker, _, records = who
    query = "query ($f: RecordFilter) { records(first: 100, filter: $f) { totalCount edges { node { title } } } }"
    for field, attribute, values in (
        ("kinds", "kind", ("PENALTY", "DISCIPLINARY_ACTION", "HONOUR")),
        ("severities", "severity", ("MINOR", "SERIOUS")),
    ):
        for value in values:
            found = (await ask(engine, asker, query, f={field: [value]}))["data"]["records"]
            expected = {title for title in records if getattr(RECORDS[title], attribute) == value}
            assert titles(found) == expected
            assert found["totalCount"] == len(expected)
    for status in ("ACTIVE", "CORRECTED", "EXPIRED", "REVOKED", "REPAIRED"):
        found = await ask(engine, asker, query, f={"statuses": [status]})
        if "errors" in found:  # the contract lacks the status
            assert not {t for t in records if (t in EXPIRED) == (status == "EXPIRED") and RECORDS[t].status == status}
            continue
        now = {t: "EXPIRED" if t in EXPIRED else RECORDS[t].status for t in records}
        assert titles(found["data"]["records"]) == {title for title, is_now in now.items() if is_now == status}


async def test_nodes(engine: Engine, world: World, who: tuple[str, Principal, set[str], set[str]]) -> None:
    """node(id) knows what the lists know: hidden and unknown are both null."""
    name, asker, subjects, records = who
    for title, node in world.record_nodes.items():
        found = await ask(engine, asker, NODE, id=node)
        assert found == {"data": {"node": {"id": node, "title": title} if title in records else None}}, title
    for subject, node in world.nodes.items():
        found = (await ask(engine, asker, NODE, id=node))["data"]["node"]
        assert (found is not None) == (subject in subjects), subject
        if found is None:
            continue
        own = of(subject, records)
        assert found["name"] == subject
        assert titles(found["records"]) == own
        assert sum(count["count"] for count in found["recordCounts"]) == len(own)
        before = {"旧机关", "公务员无令"} & subjects if subject == "机关甲" else set()
        assert {p["name"]: titles(p["records"]) for p in found["predecessors"]} == {p: of(p, records) for p in before}
        assert len(found["withdrawals"]) == (subject in ("企业", "自然人", "公务员无令"))
    pairs.count("node(id) × asker", len(world.record_nodes) + len(world.nodes))
    assert name in EXPECTED


async def test_subjects_by_code(engine: Engine, who: tuple[str, Principal, set[str], set[str]]) -> None:
    _, asker, subjects, records = who
    query = "query ($u: [Uscc!]!) { subjects(usccs: $u) { name onRecord records(first: 100) { totalCount } } }"
    names = sorted(ORGANISATIONS)
    found = (await ask(engine, asker, query, u=[*map(code_of, names), NOBODY]))["data"]["subjects"]
    null = asker.narrowed or asker.access.name == "public"
    for name, answer in zip(names, found, strict=False):
        if name in subjects:
            assert answer == {"name": name, "onRecord": True, "records": {"totalCount": len(of(name, records))}}
        else:
            assert answer is None
    assert found[-1] == (None if null else {"name": None, "onRecord": False, "records": {"totalCount": 0}})


async def test_records_of_an_authority(engine: Engine, who: tuple[str, Principal, set[str], set[str]]) -> None:
    """From a record to its authority to that one's own records: no more than the view has of them.

    Narrowing never takes an authority away: who determined a record is part of the record. Its own records are not in
    scope then, and an empty list of them would say that it has none: the question is refused.
    """
    _, asker, _, records = who
    query = """{ records(first: 100) { edges { node { title authority { name } more: authority { name
      records(first: 100) { totalCount edges { node { title } } } } } } } }"""
    answer = await ask(engine, asker, query)
    if asker.narrowed:
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
        assert "data" not in answer
        query = """{ records(first: 100) { edges { node { title authority { name }
          more: authority { name formerNames } } } } }"""
        for edge in (await ask(engine, asker, query))["data"]["records"]["edges"]:
            node, authority = edge["node"], RECORDS[edge["node"]["title"]].authority
            assert node["authority"] == (None if authority is None else {"name": authority})
            assert (node["more"] is None) == (authority is None)
        return
    for edge in answer["data"]["records"]["edges"]:
        node = edge["node"]
        authority = RECORDS[node["title"]].authority
        assert node["authority"] == (None if authority is None else {"name": authority})
        if authority is not None:
            assert node["more"] is not None, node["title"]
            assert node["more"]["name"] == authority
            assert titles(node["more"]["records"]) == of(authority, records)


async def test_the_authority_of_a_withdrawal(
    engine: Engine, world: World, who: tuple[str, Principal, set[str], set[str]]
) -> None:
    """WithdrawalNotice.authority is never null, whatever is selected of it."""
    _, asker, subjects, _ = who
    query = """query ($id: ID!) { node(id: $id) { ... on Subject { withdrawals { authority { name }
      more: authority { name formerNames } } } } }"""
    for subject in subjects & {"企业", "自然人", "公务员无令"}:
        found = (await ask(engine, asker, query, id=world.nodes[subject]))["data"]["node"]["withdrawals"]
        assert found == [{"authority": {"name": "机关乙"}, "more": {"name": "机关乙", "formerNames": []}}]


# Masks ---------------------------------------------------------------------------------------------------------------

MASKED = {"个体户": "王**"}


async def test_legal_representatives(
    engine: Engine, database: Database, world: World, who: tuple[str, Principal, set[str], set[str]]
) -> None:
    _, asker, subjects, _ = who
    query = "query ($id: ID!) { node(id: $id) { ... on Subject { legalRepresentative } } }"
    for name in subjects:
        clear = SUBJECTS[name][3]
        expected = clear if asker.access is INTERNAL else MASKED.get(name, clear)
        found = await ask(engine, asker, query, id=world.nodes[name])
        assert found["data"]["node"]["legalRepresentative"] == expected
    connection: Connection = await asyncpg.connect(database.dsn(asker.access.name))
    try:
        async with with_scope(connection, asker.scope):
            for view in ("subject", "predecessor", "successor"):
                rows = await connection.fetch(f"select name, legal_representative l from {asker.access.schema}.{view}")
                for row in rows:
                    clear = SUBJECTS[row["name"]][3]
                    assert row["l"] == (clear if asker.access is INTERNAL else MASKED.get(row["name"], clear))
            if asker.access is INTERNAL:
                numbers = await connection.fetch("select identity_number n from v_internal.subject")
                assert {row["n"] for row in numbers} <= {None, "6527**********1234"}
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["public", "restricted", "internal, organ a", "self, organ", "self, servant"])
async def test_content_of_disciplinary_action_and_accountability(
    engine: Engine, database: Database, world: World, name: str
) -> None:
    asker, records = people(world)[name], EXPECTED[name][1]
    hidden = asker.access.name == "public"
    query = "{ records(first: 100) { edges { node { title kind basis amount facts } } } }"
    nodes = [edge["node"] for edge in (await ask(engine, asker, query))["data"]["records"]["edges"]]
    assert {node["title"] for node in nodes} == records
    kinds = {"DISCIPLINARY_ACTION", "ACCOUNTABILITY"}
    for node in nodes:
        masked = hidden and node["kind"] in kinds
        expected = (None, None, None) if masked else ("依据", "100.00", "事实")
        assert (node["basis"], node["amount"], node["facts"]) == expected
    assert kinds & {node["kind"] for node in nodes}
    connection: Connection = await asyncpg.connect(database.dsn(asker.access.name))
    try:
        async with with_scope(connection, asker.scope):
            for order in ("", "_decided_desc", "_decided_asc", "_published_desc", "_published_asc"):
                rows = await connection.fetch(
                    f"select kind, basis, amount, facts from {asker.access.schema}.record{order}"
                )
                for row in rows:
                    shown = {row["basis"], row["amount"], row["facts"]} != {None}
                    assert shown == (not hidden or row["kind"] not in kinds)
    finally:
        await connection.close()


async def test_code_lists_have_the_values_of_the_contract(engine: Engine, world: World) -> None:
    query = '{ s: codeList(name: "RecordStatus") { code } k: codeList(name: "SubjectKind") { code } }'
    expected = {
        "public": ({"ACTIVE", "CORRECTED"}, False),
        "restricted": ({"ACTIVE", "CORRECTED", "EXPIRED"}, False),
        "narrowed by kind": ({"ACTIVE", "CORRECTED", "EXPIRED"}, False),
        "self, organ": ({"ACTIVE", "CORRECTED", "EXPIRED", "REVOKED", "REPAIRED"}, True),
        "internal, organ a": ({"ACTIVE", "CORRECTED", "EXPIRED", "REVOKED", "REPAIRED"}, True),
    }
    for name, (statuses, persons) in expected.items():
        found = (await ask(engine, people(world)[name], query))["data"]
        assert {label["code"] for label in found["s"]} == statuses
        assert ({"CIVIL_SERVANT", "NATURAL_PERSON"} <= {label["code"] for label in found["k"]}) == persons


async def test_what_was_shown_is_what_was_seen(pools: dict[str, Pool], world: World) -> None:
    """The disclosure names every subject that the answer shows, and none that it does not."""
    account = FakeAccount()
    serving = Engine(build_contracts(), pools, account, FakeSources(), Limits(500_000, 500_000, storage=20.0))
    query = "{ records(first: 100) { edges { node { subject { name } } } } }"
    for name, (_, records) in EXPECTED.items():
        asker = people(world)[name]
        if not asker.access.disclosed:
            continue
        await ask(serving, asker, query)
        shown = {part for part in account.kept[-1].subject_ids.decode().split(",") if part}
        assert len(shown) == len({RECORDS[title].subject for title in records})
        assert account.kept[-1].withheld == asker.withheld
        assert json.loads(account.kept[-1].sources) == {}
