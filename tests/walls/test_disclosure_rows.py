"""Whose entries of the account a role sees in its scoped view: its own subject's, or those of a request that was
recorded for its scope's organisation and case number; and that a page of them is read by an index. By direct SELECT:
the second wall alone."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest
from walls_rows import World, code_of, seed_now
from walls_support import pairs, principal, with_scope

from gateway.storage.database import Database
from gateway.storage.levels import INTERNAL, RESTRICTED_SCOPED, SELF

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
A, B = "机关甲", "机关乙"
FIRM, SHOP = "企业", "个体户"
# subject, organisation, case number, days until it ends, ended
REQUESTS = (
    (FIRM, A, "2026-1", 0, False),
    (SHOP, A, "2026-2", 5, False),
    (SHOP, B, "2026-1", -1, False),
    (FIRM, B, "2026-1", 5, True),
)
MANY = 20_000


@pytest.fixture(scope="module")
async def world(database: Database, owner: Connection) -> World:
    """The world of the tests of rows, two of whose subjects were shown in one disclosure each and in one together."""
    made = await asyncio.to_thread(seed_now, database.migrate_dsn)
    ids = {name: await owner.fetchval("select external_id from core.subject where id = $1", made.ids[name])
           for name in (FIRM, SHOP)}  # fmt: skip
    for shown in ([FIRM], [SHOP], [FIRM, SHOP]):
        await owner.execute(
            "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,"
            " subject_ids, sources, withheld) values (gen_random_uuid(), 'c', $1, 'RESTRICTED', 'GRANT', 'x',"
            " 'ANSWERED', $2, $3, '{}')",
            code_of(A),
            [ids[name] for name in shown],
            json.dumps({"COURTS": {code_of(name): {"status": "ANSWERED", "asOf": None} for name in shown}}),
        )
        await owner.fetchval("select ledger.sequence(100)")
    await owner.fetchval("select ledger.fan_out(100)")
    for subject, organisation, case, days, ended in REQUESTS:
        await owner.execute(
            "insert into ledger.access_request (subject_id, organisation_uscc, case_number, requester, basis,"
            " valid_until, ended_at) values ($1, $2, $3, 'r', 'b', core.today() + $4::int,"
            " case when $5 then now() end)",
            ids[subject], code_of(organisation), case, days, ended,
        )  # fmt: skip
    return made


EXPECTED: dict[str, tuple[Any, dict[str, Any], set[str]]] = {
    "the firm": (SELF, {"subject": FIRM}, {FIRM}),
    "the shop": (SELF, {"subject": SHOP}, {SHOP}),
    "another subject": (SELF, {"subject": A}, set()),
    "on a request": (INTERNAL, {}, {FIRM}),
    "on a request, restricted": (RESTRICTED_SCOPED, {}, {FIRM}),
    "on a request of another case": (INTERNAL, {"case": "2026-2"}, {SHOP}),
    "without a request": (INTERNAL, {"case": "2026-3"}, set()),
    "ended, or over": (INTERNAL, {"organisation": B}, set()),
    "narrowed away from it": (RESTRICTED_SCOPED, {"narrowing": {"kinds": ["INDIVIDUAL_BUSINESS"]}}, set()),
}


@pytest.mark.parametrize("name", EXPECTED)
async def test_entries_by_direct_select(database: Database, world: World, name: str) -> None:
    access, more, expected = EXPECTED[name]
    organisation = more.get("organisation", A)
    scope = {**more, "organisation": world.ids[organisation], "uscc": code_of(organisation)}
    if "subject" in scope:
        scope["subject"] = world.ids[scope["subject"]]
    who = principal(access, "SELF" if access is SELF else "GRANT", **scope)
    connection = await asyncpg.connect(database.dsn(access.name))
    try:
        async with with_scope(connection, who.scope):
            for order in ("", "_number_desc", "_number_asc"):
                rows = await connection.fetch(f"select external_id, number from {access.schema}.disclosure{order}")
                numbers: dict[Any, list[int]] = {}
                for row in rows:
                    numbers.setdefault(row["external_id"], []).append(row["number"])
                assert [sorted(found) for found in numbers.values()] == [[1, 2]] * len(expected)
            codes = await connection.fetch(f"select distinct external_id from {access.schema}.disclosed_source")
            assert len(codes) == len(expected)
            seen = await connection.fetch(f"select external_id from {access.schema}.accessible")
            if access is not SELF:
                assert {row["external_id"] for row in seen} == set(numbers)
    finally:
        await connection.close()
    pairs.count("row × asker by SELECT", 5)


async def test_a_page_of_entries_is_read_by_an_index(database: Database, world: World, owner: Connection) -> None:
    subject = await owner.fetchval("select external_id from core.subject where id = $1", world.ids[FIRM])
    await owner.execute(
        "insert into ledger.subject_entry (subject_id, number, leaf_index, disclosure_id, at)"
        " select $1, n, n + 1000, gen_random_uuid(), now() from generate_series(3, $2::int) n",
        subject,
        MANY,
    )
    await owner.execute("analyze ledger.subject_entry")
    for (access, more), order in product(((SELF, {"subject": world.ids[FIRM]}), (INTERNAL, {})), ("desc", "asc")):
        who = principal(
            access, "SELF" if access is SELF else "GRANT", organisation=world.ids[A], uscc=code_of(A), **more
        )  # fmt: skip
        connection = await asyncpg.connect(database.dsn(access.name))
        try:
            async with with_scope(connection, who.scope):
                sql = f"select number, receipt_id, case_number from {access.schema}.disclosure_number_{order}"
                sql += f" where external_id = '{subject}' limit 21"
                text = await connection.fetchval(f"explain (analyze, timing off, format json) {sql}")
        finally:
            await connection.close()
        nodes = list(_nodes(json.loads(text)[0]["Plan"]))
        assert not any("Sort" in node["Node Type"] for node in nodes), (access.name, order)
        assert max(node["Actual Rows"] for node in nodes) <= 21, (access.name, order)
        pairs.count("plan × role", 1)


def _nodes(plan: dict[str, Any]) -> Any:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


NO_SOURCES = (
    "x", "[]", "5", '"x"', "null", "", '{"A":1}', '{"A":["status"]}', '{"A":"status"}', '{"A":{"*":"status"}}',
    '{"A":{"*":["status"]}}', '{"A":{"*":{"status":null}}}', '{"A":"\\u0000"}', '{"A":1e999999}',
    '{"A":{"*":{"status":"LIVE","asOf":"x"}}}', '{"A":{"*":{"status":"\\"}]","asOf":7}}}',
)  # fmt: skip


async def test_sources_of_another_shape_break_no_page(world: World, database: Database, owner: Connection) -> None:
    """They are refused when a view's role writes them; of what stands there already the rest is shown."""
    write = (
        "select v_restricted.disclose_one(array_to_string(array[$1, 'c', 'u', 'GRANT', '1', null, null, null, null, $2,"
        " '{}', null, null], e'\\x1f', e'\\x1e'), $3::text::uuid[], null)"
    )
    view = await asyncpg.connect(database.dsn("restricted"))
    refused = []
    try:
        for told in NO_SOURCES:
            try:
                async with view.transaction():
                    await view.fetchval(write, str(uuid4()), told, "{}")
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
                refused.append(told)
    finally:
        await view.close()
    assert refused == [*NO_SOURCES[:6], *NO_SOURCES[12:14]]  # the others are objects, and read with care
    before = "alter table ledger.disclosure {} constraint disclosure_sources_are_an_object"
    async with owner.transaction():
        await owner.execute(before.format("drop"))
        subject = await owner.fetchval("select external_id from core.subject where id = $1", world.ids[FIRM])
        for told in NO_SOURCES:
            await owner.execute(
                "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,"
                " subject_ids, sources, withheld) values (gen_random_uuid(), 'c', 'u', 'RESTRICTED', 'GRANT', 'odd',"
                " 'ANSWERED', $1, $2, '{}')",
                [subject],
                told,
            )
        await owner.execute(
            before.format("add") + " check (sources = '{}' or jsonb_typeof(sources::jsonb) = 'object') not valid"
        )
    await owner.fetchval("select ledger.sequence(1000)")
    await owner.fetchval("select ledger.fan_out(1000)")
    connection = await asyncpg.connect(database.dsn("self"))
    try:
        async with with_scope(connection, principal(SELF, "SELF", subject=world.ids[FIRM]).scope):
            rows = await connection.fetch("select status, as_of from v_self.disclosed_source where code = 'A'")
    finally:
        await connection.close()
    assert sorted((row["status"], row["as_of"]) for row in rows) == [('"}]', None), ("LIVE", None)]
