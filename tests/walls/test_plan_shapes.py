"""The shapes of plans that the views promise: keys and orders reach their indexes through the barrier, at any size.

5,000 subjects and 50,000 records, analysed. EXPLAIN of the engine's own statements, as the view roles, with the generic
plans that these roles have: no sequential scan of subjects or records, no sort of more than a page, the ordered index.
Of changes no more than a window is read, whatever a filter, a view or a scope leaves of them.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import asyncpg
import pytest
from walls_support import arguments, pairs, principal, with_scope

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine import pages
from gateway.engine.bindings import WINDOW
from gateway.engine.compile import compile_operation
from gateway.engine.documents import prepare
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.identifiers import node_id, organisation_uuid, uscc_check_digit
from gateway.storage.levels import INTERNAL, RESTRICTED, RESTRICTED_SCOPED, SELF
from gateway.storage.names import index_names

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SUBJECTS, RECORDS = 5_000, 50_000
_NAMES = itertools.count(1)
BIG = ("subject", "record", "name_part_organisation")  # what must never be read whole


def code(number: int) -> str:
    first = f"9165270100{number:07d}"
    return first + uscc_check_digit(first)


async def fill(owner: Connection) -> None:
    """Set-based; ten records a subject, one subject with hundreds."""
    codes = [code(number) for number in range(SUBJECTS)]
    await owner.execute(
        "insert into core.region (code, name, level, parent) values ('65', '新疆', 'PROVINCE', null),"
        " ('6527', '博州', 'PREFECTURE', '65'), ('652701', '博乐市', 'COUNTY', '6527'), ('652722', '精河县', 'COUNTY',"
        " '6527'), ('652723', '温泉县', 'COUNTY', '6527');"
        " insert into core.region_closure select a.code, b.code from core.region a, core.region b"
        " where b.code like a.code || '%'"
    )
    await owner.execute(
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded, region_code,"
        " legal_representative) select e, 'ORGANISATION', case when n % 50 = 1 then 'ORGAN' else 'ENTERPRISE' end, u,"
        " '单位' || n, '单位' || n, case when n % 100 = 7 then '652723' when n % 3 = 0 then '652722' else '652701' end,"
        " '某人'"
        " from unnest($1::text[], $2::uuid[]) with ordinality as t(u, e, n)",
        codes,
        [organisation_uuid(each) for each in codes],
    )
    first = await owner.fetchval("select min(id) from core.subject")
    await index_names(owner, [row["id"] for row in await owner.fetch("select id from core.subject")], new=True)
    await owner.execute(
        "insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,"
        " authority_id, source_code, catalogue_item, decided_on, published_from, published_until, title, amount,"
        " natural_key) select md5(n::text)::uuid, $1 + case when n % 100 = 0 then 0 else n % $2 end, 'ORGANISATION',"
        " (array['PENALTY', 'LICENCE', 'HONOUR', 'PROMISE_BREACH'])[1 + n % 4], 'GENERAL', 'GENERAL', 'ACTIVE', true,"
        " $1 + n % 50, 'LOCAL', 'QG-04', date '2020-01-01' + n % 2300, date '2020-01-02' + n % 2300,"
        " case when n % 5 = 0 then date '2021-01-01' end, '记录' || n, n, n::text from generate_series(1, $3::int) n",
        first,
        SUBJECTS,
        RECORDS,
    )
    await owner.execute("analyze core.region, core.region_closure")
    # As autovacuum does after a few thousand rows.
    await owner.execute("vacuum (analyze) core.name_part, core.subject, core.record")


@pytest.fixture(scope="module")
def filled(database: Database) -> int:
    """The internal id of the first subject."""

    async def run() -> int:
        connection = await asyncpg.connect(database.migrate_dsn)
        try:
            await fill(connection)
            return int(await connection.fetchval("select min(id) from core.subject"))
        finally:
            await connection.close()

    return asyncio.run(run())


SUFFIX = "name_part_organisation_tier_suffix_subject_id_personal_repe_idx"
NAMED = "edges { cursor node { id name region { name } } } pageInfo { hasNextPage endCursor }"
RECORD = "id kind title decidedOn status amount authority { name } source { code }"
INFO = "hasNextPage hasPreviousPage startCursor endCursor"
QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "profile": (
        "query ($u: Uscc!) { subject(uscc: $u) { id name region { name } legalRepresentative formerNames roles"
        f" records(first: 20) {{ edges {{ cursor node {{ {RECORD} }} }} pageInfo {{ hasNextPage endCursor }} }} }} }}",
        {"u": code(0)},
    ),
    "100 subjects": (
        "query ($u: [Uscc!]!) { subjects(usccs: $u) { id name"
        f" records(first: 10) {{ edges {{ node {{ {RECORD} }} }} }} }} }}",
        {"u": [code(number) for number in range(100)]},
    ),
    "node, subject": (
        "query ($id: ID!) { node(id: $id) { id ... on Subject { name } ... on CreditRecord { title } } }",
        {"id": node_id("S", organisation_uuid(code(7)))},
    ),
    "counts of a subject": (
        "query ($u: Uscc!) { subject(uscc: $u) { recordCounts { area kind count } records { totalCount } } }",
        {"u": code(0)},
    ),
    "authority's subject": (
        "query ($u: Uscc!) { subject(uscc: $u) { records(first: 5) {"
        " edges { node { authority { name formerNames } } } } } }",
        {"u": code(3)},
    ),
    "latest": (f"{{ records(first: 20) {{ edges {{ node {{ {RECORD} }} }} }} }}", {}),
    "oldest published": (
        "{ records(first: 20, orderBy: {field: PUBLISHED_FROM, direction: ASC})"
        f" {{ edges {{ node {{ {RECORD} }} }} }} }}",
        {},
    ),
    "last": (
        f"{{ records(last: 20) {{ edges {{ cursor node {{ {RECORD} }} }} pageInfo {{ {INFO} }} }} }}",
        {},
    ),
    "a page back, between two places": (
        "query ($f: RecordFilter, $a: String, $b: String) { records(last: 20, filter: $f, after: $a, before: $b)"
        f" {{ edges {{ cursor node {{ {RECORD} }} }} pageInfo {{ {INFO} }} }} }}",
        {
            "f": {"kinds": ["PENALTY", "HONOUR"], "regionCode": "6527"},
            "a": "d2026-01-01" + node_id("R", organisation_uuid("x")),
            "b": "d2023-06-01" + node_id("R", organisation_uuid("x")),
        },
    ),
    "a subject's pages back": (
        f"query ($u: Uscc!, $b: String) {{ subject(uscc: $u) {{ name records(last: 20, before: $b) {{ edges {{ node {{"
        f" {RECORD} }} }} pageInfo {{ {INFO} }} }} }} }}",
        {"u": code(0), "b": "d2023-06-01" + node_id("R", organisation_uuid("x"))},
    ),
    "search backwards": (
        f"query ($q: String!) {{ searchSubjects(query: $q, last: 20) {{ {NAMED} pageInfo {{ {INFO} }} }} }}",
        {"q": "单位"},
    ),
    "search, a page back": (
        "query ($q: String!, $f: SubjectFilter, $b: String)"
        f" {{ searchSubjects(query: $q, filter: $f, last: 20, before: $b) {{ {NAMED} pageInfo {{ {INFO} }} }} }}",
        {
            "q": "位1",
            "f": {"regionCode": "652722", "kinds": ["ENTERPRISE"]},
            "b": "n1" + base64.urlsafe_b64encode("位17".encode()).decode() + node_id("S", organisation_uuid(code(9))),
        },
    ),
    "filtered page": (
        "query ($f: RecordFilter, $a: String) { records(first: 20, filter: $f, after: $a) { edges { cursor node {"
        f" {RECORD} }} }} pageInfo {{ hasNextPage }} }} }}",
        {
            "f": {"kinds": ["PENALTY", "HONOUR"], "decidedTo": "2025-12-31", "regionCode": "6527"},
            "a": "d2025-06-01" + node_id("R", organisation_uuid("x")),
        },
    ),
    "of a small region": (
        f"query ($f: RecordFilter) {{ records(first: 20, filter: $f) {{ edges {{ node {{ {RECORD} }} }} }} }}",
        {"f": {"kinds": ["PENALTY"], "regionCode": "652723"}},
    ),
    "search": (
        f"query ($q: String!) {{ searchSubjects(query: $q) {{ totalCount {NAMED} }} }}",
        {"q": "单位"},
    ),
    "search, three characters": (
        f"query ($q: String!) {{ searchSubjects(query: $q) {{ totalCount {NAMED} }} }}",
        {"q": "单位1"},
    ),
    "search, a whole name": (f"query ($q: String!) {{ searchSubjects(query: $q) {{ {NAMED} }} }}", {"q": "单位4711"}),
    "search in a region": (
        "query ($q: String!, $f: SubjectFilter, $a: String)"
        f" {{ searchSubjects(query: $q, filter: $f, after: $a) {{ {NAMED} }} }}",
        {
            "q": "位1",
            "f": {"regionCode": "652723", "kinds": ["ENTERPRISE"]},
            "a": "n1" + base64.urlsafe_b64encode("位10".encode()).decode() + node_id("S", organisation_uuid(code(9))),
        },
    ),
}
# Lists of everything under a narrowing read on until the page is full: shapes are the same, so they are held too.
LISTS = ("latest", "oldest published", "filtered page", "last", "a page back, between two places")
ASKERS = ("public", "restricted", "restricted_scoped", "self", "internal")


def askers(first: int) -> dict[str, Principal]:
    return {
        "public": ANONYMOUS,
        "restricted": principal(RESTRICTED),
        "restricted_scoped": principal(RESTRICTED_SCOPED, organisation=first, narrowing={"kinds": ["ENTERPRISE"]}),
        "self": principal(SELF, "SELF", subject=first),
        "internal": principal(INTERNAL, organisation=first),
    }


@pytest.fixture(scope="module")
async def connections(database: Database, filled: int) -> AsyncIterator[dict[str, Connection]]:
    made = {name: await asyncpg.connect(database.dsn(name), statement_cache_size=0) for name in ASKERS}
    yield made
    for connection in made.values():
        await connection.close()


async def explain(connection: Connection, asker: Principal, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The plan, executed, of the engine's own body statement."""
    contract = asker.access.contract
    document = prepare(contract, build_contracts()[contract], query)
    operation = document.operation(None)
    given, _ = operation.coerce(variables)
    statement = compile_operation(document, operation, given, asker).body
    assert statement is not None
    values = arguments(statement, [value.resolve(given, asker, {}) for value in statement.parameters])
    return await executed(connection, asker, statement.text, values)


async def executed(connection: Connection, asker: Principal, sql: str, values: list[Any]) -> dict[str, Any]:
    """Prepared first: EXPLAIN of a statement with its values would plan for them, whatever the role's setting."""
    async with with_scope(connection, asker.scope):
        prepared = await connection.prepare(sql, name=f"shape_{next(_NAMES)}")
        given = f"({', '.join(map(literal, values))})" if values else ""
        called = f"execute {prepared.get_name()}{given}"
        found = await connection.fetchval(f"explain (analyze, timing off, format json) {called}")
    plan: dict[str, Any] = json.loads(found)[0]["Plan"]
    return plan


def literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        texts = ["NULL" if each is None else json.dumps(str(each), ensure_ascii=False) for each in value]
        value = f"{{{','.join(texts)}}}"
    return "'" + str(value).replace("'", "''") + "'"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if plan["Actual Loops"] == 0:
        return  # never executed: a condition that the scope switched off
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def faults(plan: dict[str, Any], most: int = 1_500) -> list[str]:
    """What a plan does that it must not. `most`: rows that any one node may produce in all."""
    found = []
    for node in nodes(plan):
        kind, relation = node["Node Type"], node.get("Relation Name")
        rows = node["Actual Rows"] * node["Actual Loops"]
        if kind == "Seq Scan" and relation in BIG:
            found.append(f"Seq Scan on {relation}")
        if "Sort" in kind and rows > 2_000:
            found.append(f"{kind} of {rows} rows")
        read = rows + node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        if relation in ("record", "name_part_organisation") and read > most:
            found.append(f"{kind} on {relation} read {rows} rows")
        if kind in ("Hash Join", "Merge Join"):
            found.append(kind)
    return found


def indexes(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


@pytest.mark.parametrize("name", ASKERS)
@pytest.mark.parametrize("query", QUERIES)
async def test_shapes(connections: dict[str, Connection], filled: int, name: str, query: str) -> None:
    text, variables = QUERIES[query]
    plan = await explain(connections[name], askers(filled)[name], text, variables)
    whole_account = name == "self" and query in LISTS
    assert faults(plan, most=RECORDS if whole_account else 1_500) == []
    expected = {
        "profile": {"record_subject_decided"},
        "100 subjects": {"record_subject_decided"},
        "latest": {"record_decided"},
        "oldest published": {"record_published"},
        "filtered page": {"record_decided"},
        "of a small region": {"record_subject_decided"},
        "last": {"record_decided"},
        "a page back, between two places": {"record_decided"},
        "a subject's pages back": {"record_subject_decided"},
        "search": {SUFFIX},
        "search, three characters": {SUFFIX},
        "search backwards": {SUFFIX},
        "search, a page back": {SUFFIX},
        "search, a whole name": {SUFFIX},
    }.get(query, set())
    alternatives = {
        "record_decided": {"record_subject_decided", "record_subject_published"},
        "record_published": {"record_subject_published"},
        "record_subject_decided": {"record_subject_published"},  # sorted afterwards, it is all the same
        SUFFIX: {"name_part_organisation_subject_id_idx"},
    }
    used = indexes(plan)
    assert all(index in used or alternatives.get(index, set()) & used for index in expected), used
    if expected:
        assert not any("Sort" in node["Node Type"] and node["Actual Rows"] > 1_000 for node in nodes(plan))
    pairs.count("plan × role", 1)


@pytest.mark.parametrize("name", ["public", "restricted", "restricted_scoped", "internal"])
@pytest.mark.parametrize("query", [*LISTS, "filtered page, severe"])
async def test_what_a_filter_leaves_out_is_not_fetched(
    connections: dict[str, Connection], filled: int, name: str, query: str
) -> None:
    """The keys of a page come out of the index of its order alone; the control filters by what that doesn't have."""
    text, variables = QUERIES[query.partition(", severe")[0]]
    if query not in LISTS:
        variables = {**variables, "f": {**variables["f"], "severities": ["GENERAL"]}}
    plan = await explain(connections[name], askers(filled)[name], text, variables)
    ordered = {"record_decided", "record_published"}
    kinds = {node["Node Type"] for node in nodes(plan) if node.get("Index Name") in ordered}
    assert kinds == ({"Index Only Scan"} if query in LISTS else {"Index Scan"})


async def test_a_plan_that_reads_everything_is_noticed(connections: dict[str, Connection], filled: int) -> None:
    """The control: an unordered view under ORDER BY sorts all records, and an unindexed filter scans all subjects."""
    for sql in (
        "select title from v_public.record order by decided_on desc, external_id desc limit 20",
        "select name from v_public.subject where legal_representative = 'x'",
    ):
        assert faults(await executed(connections["public"], ANONYMOUS, sql, [])), sql


CHANGES = (
    "query ($a: String, $u: [Uscc!], $f: [Area!]) { recordChanges(first: 1, after: $a, usccs: $u, areas: $f) {"
    f" edges {{ node {{ kind recordId record {{ title }} }} }} pageInfo {{ {INFO} }} }} }}"
)
NOTHING_FOUND: dict[str, dict[str, Any]] = {"area": {"f": ["TOWNSHIP"]}, "subject": {"u": [code(SUBJECTS + 1)]}}


@pytest.fixture(scope="module")
async def middle(owner: Connection, filled: int) -> str:
    """A cursor in the middle of 50,000 changes."""
    while await owner.fetchval("select core.number_changes(10000)") > 0:
        pass
    await owner.execute("vacuum (analyze) core.record_change")
    end = await owner.fetchval("select position from core.change_end")
    assert end >= RECORDS > 2 * WINDOW
    return str(await owner.fetchval("select core.change_cursor($1)", end // 2))


def looked_at(plan: dict[str, Any]) -> int:
    """Changes that a plan read, shown or not."""
    found = 0
    for node in nodes(plan):
        if node.get("Relation Name") == "record_change":
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            found += (node["Actual Rows"] + removed) * node["Actual Loops"]
    return found


@pytest.mark.parametrize("name", ASKERS)
@pytest.mark.parametrize("query", NOTHING_FOUND)
async def test_changes_are_read_by_windows(
    connections: dict[str, Connection], filled: int, middle: str, name: str, query: str
) -> None:
    """A page that finds nothing reads a window ahead, and one back to tell whether there is anything before it."""
    asker = askers(filled)[name]
    for after, most in ((None, WINDOW), (middle, 2 * WINDOW)):
        plan = await explain(connections[name], asker, CHANGES, {**NOTHING_FOUND[query], "a": after})
        assert looked_at(plan) <= most
        assert not [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"
                    and node["Relation Name"] in (*BIG, "record_change")]  # fmt: skip
    pairs.count("plan × role", 1)


async def test_without_a_window_a_filter_reads_all_changes(
    connections: dict[str, Connection], filled: int, middle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control removed."""
    monkeypatch.setattr(pages, "WINDOW", 10**9)
    for name in ("public", "restricted", "internal"):
        plan = await explain(connections[name], askers(filled)[name], CHANGES, NOTHING_FOUND["area"])
        assert looked_at(plan) >= RECORDS, name
