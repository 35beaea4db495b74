"""Whose consents a role sees in its scoped view: those of its scope's organisation or subject, within its narrowing;
and that a page of them is read by an index, whoever asks. By direct SELECT: the second wall alone."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from typing import Any, TypeAlias

import asyncpg
import pytest
from walls_rows import NOBODY, World, code_of, seed_now
from walls_support import pairs, principal, with_scope

from gateway.auth.principal import Principal
from gateway.storage.database import Database
from gateway.storage.levels import INTERNAL, RESTRICTED_SCOPED, SELF

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
A, B = "机关甲", "机关乙"
# subject, grantee; NOBODY is a code that is not on record
CONSENTS = (("企业", A), ("企业", B), ("个体户", A), ("外地企业", A), ("", A), ("机关甲", B))


@pytest.fixture(scope="module")
async def world(database: Database, owner: Connection) -> World:
    """The world of the tests of rows, which runs in a loop of its own, with consents."""
    made = await asyncio.to_thread(seed_now, database.migrate_dsn)
    for subject, grantee in CONSENTS:
        await owner.execute(
            "insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to,"
            " document_sha256, method, client_id, case_number) values ($1, $2, 'GRANT', '{BANKS}', '2026-01-01',"
            " '2026-12-31', repeat('0', 64), 'PAPER_SIGNED', 'c', '1')",
            code_of(subject) if subject else NOBODY,
            code_of(grantee),
        )
    return made


def asker(world: World, access: Any, *, organisation: str = A, **more: Any) -> Principal:
    scope = {"organisation": world.ids[organisation], "uscc": code_of(organisation)}
    matter = {SELF: "SELF", INTERNAL: "SUPERVISION"}.get(access, "GRANT")
    return principal(access, matter, **(scope | more))


EXPECTED: dict[str, tuple[Any, dict[str, Any], set[tuple[str, str]]]] = {
    "grantee a": (RESTRICTED_SCOPED, {}, {c for c in CONSENTS if c[1] == A}),
    "grantee b": (RESTRICTED_SCOPED, {"organisation": B}, {c for c in CONSENTS if c[1] == B}),
    "internal a": (INTERNAL, {}, {c for c in CONSENTS if c[1] == A}),
    "nobody's grantee": (RESTRICTED_SCOPED, {"organisation": "外地企业"}, set()),
    "narrowed by region": (RESTRICTED_SCOPED, {"narrowing": {"regions": ["652701"]}}, {("企业", A)}),
    "narrowed by kind": (
        RESTRICTED_SCOPED,
        {"narrowing": {"kinds": ["ENTERPRISE"]}},
        {("企业", A), ("外地企业", A)},
    ),
    "narrowed by list": (RESTRICTED_SCOPED, {"narrowing": {"list": "重点"}}, {("企业", A)}),
    "subject": (SELF, {"subject": "企业"}, {("企业", A), ("企业", B)}),
    "subject that is a grantee": (SELF, {"subject": A}, {("机关甲", B)}),
}


@pytest.mark.parametrize("name", EXPECTED)
async def test_consents_by_direct_select(database: Database, world: World, name: str) -> None:
    access, more, expected = EXPECTED[name]
    if "subject" in more:
        more = more | {"subject": world.ids[more["subject"]]}
    who = asker(world, access, **more)
    connection = await asyncpg.connect(database.dsn(access.name))
    try:
        async with with_scope(connection, who.scope):
            for order in ("", "_recorded_desc", "_recorded_asc"):
                rows = await connection.fetch(f"select uscc, grantee_uscc from {access.schema}.consent{order}")
                found = {(row["uscc"], row["grantee_uscc"]) for row in rows}
                assert len(rows) == len(found)
                assert found == {(code_of(s) if s else NOBODY, code_of(g)) for s, g in expected}
    finally:
        await connection.close()
    pairs.count("row × asker by SELECT", 3 * len(CONSENTS))


async def test_a_page_of_consents_is_read_by_an_index(database: Database, world: World, owner: Connection) -> None:
    await owner.execute(
        "insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to, document_sha256,"
        " method, client_id, case_number, recorded_on) select $1, case when n % 2 = 0 then $2 else $3 end, 'GRANT',"
        " '{BANKS}', '2026-01-01', '2026-12-31', repeat('0', 64), 'PAPER_SIGNED', 'c', '1', date '2026-01-01' - n % 900"
        " from generate_series(1, 20000) n",
        code_of("外地企业"),
        code_of(A),
        code_of(B),
    )
    await owner.execute("analyze core.consent, core.subject")
    askers = ((RESTRICTED_SCOPED, {}), (INTERNAL, {}), (SELF, {"subject": world.ids["外地企业"]}))
    for (access, more), order in product(askers, ("recorded_desc", "recorded_asc")):
        who = asker(world, access, **more)
        connection = await asyncpg.connect(database.dsn(access.name))
        try:
            async with with_scope(connection, who.scope):
                sql = f"select uscc, revoked_at from {access.schema}.consent_{order} limit 21"
                text = await connection.fetchval(f"explain (analyze, timing off, format json) {sql}")
        finally:
            await connection.close()
        nodes = list(_nodes(json.loads(text)[0]["Plan"]))
        assert not any("Sort" in node["Node Type"] for node in nodes), access.name
        assert max(node["Actual Rows"] for node in nodes) <= 21, access.name
        assert any("consent_" in node.get("Index Name", "") for node in nodes)
        pairs.count("plan × role", 1)


def _nodes(plan: dict[str, Any]) -> Any:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
