"""Promises: no answer without account. Above the public view the row is there, complete, when the answer is; refusals
of authenticated clients are rows, too; public questions leave none; where the ledger can't be written nothing is shown,
and it comes back by itself."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from e2e_stack import STRANGER, Stack, on_database, purpose_header, superuser

from gateway.app import lock_timeout_of
from gateway.settings import Settings
from gateway.storage.embedded import RunningServer
from gateway.storage.identifiers import organisation_uuid

NAMED = "query Shown($uscc: Uscc!) { subject(uscc: $uscc) { name } }"


class Case:
    """A purpose of its own for each question, so that its rows are found."""

    def __init__(self, stack: Stack, case: str, client: str, token: str) -> None:
        self._stack = stack
        self.case = case
        self.client = client
        self.token = token

    async def ask(self, query: str, variables: dict[str, Any] | None = None, **more: Any) -> Any:
        return await self._stack.ask(query, variables, token=self.token, **more)

    async def rows(self) -> list[asyncpg.Record]:
        return await self._stack.disclosures(self.case)

    async def row(self) -> asyncpg.Record:
        (found,) = await self.rows()
        return found


async def case_of(stack: Stack, case: str, client: str = "restricted", **more: Any) -> Case:
    token = await stack.fetch_token(stack.clients[client], case=case, **more)
    return Case(stack, case, client, token)


async def ids_of(stack: Stack, sql: str, *arguments: object) -> set[uuid.UUID]:
    return {row[0] for row in await stack.owner.fetch(sql, *arguments)}


async def test_the_row_is_complete_when_the_answer_is_there(stack: Stack) -> None:
    uscc = stack.enterprises()[0]
    case = await case_of(stack, "complete", on_behalf_of=stack.organ)
    query = NAMED.replace("name }", "name courts { answer { status asOf } dishonestListings { caseNumber } } }")
    before = await stack.owner.fetchval("select pg_current_snapshot()::text")
    answer = (await case.ask(query, {"uscc": uscc}, operation="Shown")).data["subject"]["courts"]["answer"]
    row = await case.row()
    assert (row["client_id"], row["organisation_uscc"], row["view"], row["matter"], row["on_behalf_of"]) == (
        "restricted", stack.organ, "RESTRICTED", "GRANT", stack.organ,
    )  # fmt: skip
    assert (row["outcome"], row["operation_name"]) == ("ANSWERED", "Shown")
    assert row["document_hash"] == hashlib.sha256(query.encode()).digest()
    assert json.loads(row["variables"]) == {"uscc": uscc}
    assert row["subject_ids"] == [organisation_uuid(uscc)]
    assert abs(row["at"] - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=30)
    assert int(row["snapshot"].split(":")[0]) >= int(before.split(":")[0])
    (told,) = json.loads(row["sources"])["COURTS"].values()
    assert (told["status"], told["asOf"], told["parts"]) == (answer["status"], answer["asOf"], ["dishonest"])
    assert answer["status"] == "ANSWERED"
    assert json.loads(row["withheld"]) == {}
    # 128 random bits, not a UUID of some version.
    assert isinstance(row["id"], uuid.UUID)


async def test_the_subjects_shown_are_those_in_the_answer(stack: Stack) -> None:
    usccs = [*stack.enterprises()[:20], STRANGER]
    query = """query Q($usccs: [Uscc!]!) { subjects(usccs: $usccs) { uscc
      records(first: 5) { edges { node { title authority { uscc %s } } } } } }"""
    # Who determined a record is part of the record; an organ that is looked at itself is shown.
    for name, more in (("named", ""), ("looked at", "records(first: 1) { edges { node { title } } }")):
        case = await case_of(stack, f"nested, authority {name}")
        subjects = (await case.ask(query % more, {"usccs": usccs})).data["subjects"]
        authorities = {
            e["node"]["authority"]["uscc"] for s in subjects for e in s["records"]["edges"] if e["node"]["authority"]
        }
        shown = set((await case.row())["subject_ids"])
        assert authorities
        assert shown == {organisation_uuid(uscc) for uscc in [*usccs, *(authorities if more else ())]}

    # Whose records a page of the root list shows, whether it names them or not; none that is not on the page.
    case = await case_of(stack, "root list")
    data = (await case.ask("{ records(first: 7) { totalCount edges { node { id title } } } }")).data["records"]
    assert len(data["edges"]) == 7
    nodes = [edge["node"]["id"] for edge in data["edges"]]
    about = await ids_of(
        stack,
        "select s.external_id from core.record r join core.subject s on s.id = r.subject_id"
        " where core.node_id('R', r.external_id) = any ($1)",
        nodes,
    )
    assert set((await case.row())["subject_ids"]) == about

    case = await case_of(stack, "node")
    await case.ask("query N($id: ID!) { node(id: $id) { id } }", {"id": nodes[0]})
    assert set((await case.row())["subject_ids"]) < about

    case = await case_of(stack, "nobody")
    assert (await case.ask('{ node(id: "UgAAAAAAAABAAIAAAAAAAAA") { id } }')).status in (200, 400)
    assert (await case.rows())[0]["subject_ids"] == []


async def test_what_was_withheld(stack: Stack) -> None:
    case = await case_of(stack, "narrowed", "scoped")
    other = next(row["uscc"] for row in stack.organisations if row["subject_kind"] != "ENTERPRISE")
    query = "query Q($usccs: [Uscc!]!) { subjects(usccs: $usccs) { uscc } }"
    reply = await case.ask(query, {"usccs": [stack.enterprises()[0], other, STRANGER]})
    assert [s and s["uscc"] for s in reply.json["data"]["subjects"]] == [stack.enterprises()[0], None, None]
    row = await case.row()
    assert json.loads(row["withheld"]) == {"kinds": ["ENTERPRISE"]}
    assert row["subject_ids"] == [organisation_uuid(stack.enterprises()[0])]


@pytest.mark.parametrize("client", ["restricted", "internal", "scoped"])
async def test_introspection_and_viewer_are_rows_too(stack: Stack, client: str) -> None:
    case = await case_of(stack, f"viewer {client}", client)
    assert (await case.ask("{ __typename viewer { view } }")).status == 200
    assert (await case.ask("{ __schema { queryType { name } } }")).status == 200
    assert [row["outcome"] for row in await case.rows()] == ["ANSWERED", "ANSWERED"]


async def test_refusals_of_authenticated_clients_are_rows(stack: Stack) -> None:
    case = await case_of(stack, "refusals", max_subjects=2)
    usccs = stack.enterprises()[:3]
    many = "query Q($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name } }"
    costly = "query Q($usccs: [Uscc!]!) { subjects(usccs: $usccs) { records(first: 100) { edges { node { id } } } } }"
    asked = (
        ("{{{", None, "GRAPHQL_PARSE_FAILED"),
        ("{ subject }", None, "GRAPHQL_VALIDATION_FAILED"),
        (NAMED, {"uscc": "91"}, "BAD_USER_INPUT"),
        (many, {"usccs": usccs}, "BAD_USER_INPUT"),
    )
    for query, variables, code in asked:
        assert (await case.ask(query, variables)).code == code
    rows = await case.rows()
    assert [row["outcome"] for row in rows] == [code for _, _, code in asked]
    assert all(row["subject_ids"] == [] for row in rows)
    assert {(row["matter"], row["case_number"], row["organisation_uscc"]) for row in rows} == {
        ("GRANT", "refusals", stack.organ)
    }
    assert all(row["variables"] is None for row in rows)  # what was not understood could hold anything
    case = await case_of(stack, "costly")
    reply = await case.ask(costly, {"usccs": stack.enterprises() + [r["uscc"] for r in stack.organisations] * 3})
    assert reply.code in ("QUERY_TOO_COSTLY", "BAD_USER_INPUT")
    assert [row["outcome"] for row in await case.rows()] == [reply.code]


async def test_refusals_before_a_view_are_rows_too(stack: Stack) -> None:
    client = "restricted"
    bare = await stack.fetch_token(stack.clients[client], case=None)
    fixed = await stack.fetch_token(stack.clients[client], case="before a view")
    began = await stack.owner.fetchval("select now()")
    asked: tuple[tuple[str, dict[str, str], str], ...] = (
        (bare, {}, "PURPOSE_REQUIRED"),
        (bare, {"credit-purpose": purpose_header("SUPERVISION", "2026-11")}, "MATTER_NOT_GRANTED"),
        (fixed, {"credit-purpose": purpose_header("GRANT", "another")}, "BAD_USER_INPUT"),
    )
    for token, headers, code in asked:
        assert (await stack.ask(NAMED, {"uscc": STRANGER}, token=token, headers=headers)).code == code
    rows = await stack.owner.fetch("select * from ledger.disclosure where at > $1 order by at", began)
    assert [(row["client_id"], row["outcome"]) for row in rows] == [(client, code) for _, _, code in asked]
    assert all(row["subject_ids"] == [] for row in rows)
    assert rows[2]["case_number"] == "before a view"


async def test_only_declared_variables_are_kept(stack: Stack) -> None:
    case = await case_of(stack, "undeclared")
    variables = {"uscc": STRANGER, "beside": "652799199001011234"}
    assert (await case.ask(NAMED, variables)).status == 200
    assert json.loads((await case.row())["variables"]) == {"uscc": STRANGER}


async def test_public_questions_leave_no_row(stack: Stack) -> None:
    before = await stack.owner.fetchval("select count(*) from ledger.disclosure")
    for token in (None, stack.tokens["plain"]):
        assert (await stack.ask(NAMED, {"uscc": stack.enterprises()[0]}, token=token)).status == 200
        assert (await stack.ask("{{{", token=token)).status == 400
    assert await stack.owner.fetchval("select count(*) from ledger.disclosure") == before


@asynccontextmanager
async def not_insertable(postgres: RunningServer, stack: Stack) -> AsyncIterator[None]:
    """Neither the ledger's role nor the view's may write disclosures any more."""
    ledger, view = (f'"{stack.database.prefix}_{role}"' for role in ("ledger", "restricted"))
    await stack.owner.execute(f"revoke insert on ledger.disclosure from {ledger}")
    await stack.owner.execute(
        f"revoke execute on function v_restricted.disclose, v_restricted.disclose_one from {view}"
    )
    try:
        yield
    finally:
        await stack.owner.execute(f"grant insert on ledger.disclosure to {ledger}")
        await stack.owner.execute(
            f"grant execute on function v_restricted.disclose, v_restricted.disclose_one to {view}"
        )


@asynccontextmanager
async def read_only(postgres: RunningServer, stack: Stack) -> AsyncIterator[None]:
    """An operator has made the database read-only, and ended the connections that there were."""
    end = (
        "select pg_terminate_backend(pid) from pg_stat_activity where usename like $1 and datname = current_database()"
    )
    roles = [f"{stack.database.prefix}_{role}" for role in ("ledger", "restricted")]
    async with superuser(postgres, stack.database) as connection:
        before = [
            await connection.fetchval("select rolconfig from pg_roles where rolname = $1", role) for role in roles
        ]
        assert not any("default_transaction_read_only=on" in config for config in before)
        for role in roles:
            await connection.execute(f'alter role "{role}" set default_transaction_read_only = on')
            await connection.execute(end, role)
        await asyncio.sleep(0.5)  # until the gateway has noticed: what it does then is for other tests
        try:
            yield
        finally:
            for role in roles:
                await connection.execute(f'alter role "{role}" set default_transaction_read_only = off')
                await connection.execute(end, role)


@asynccontextmanager
async def locked(postgres: RunningServer, stack: Stack) -> AsyncIterator[None]:
    """An insert that never ends: somebody holds the table."""
    connection = await asyncpg.connect(on_database(postgres.dsn(), stack.database.name))
    try:
        await connection.execute("begin; lock table ledger.disclosure in access exclusive mode")
        yield
    finally:
        await connection.execute("rollback")
        await connection.close()


SETTINGS = {"ledger_timeout": 2.0}


@pytest.mark.parametrize("broken", [not_insertable, read_only, locked])
async def test_a_ledger_that_can_not_be_written(postgres: RunningServer, stack: Stack, broken: Any) -> None:
    name = broken.__name__
    case = await case_of(stack, f"broken {name}")
    uscc = stack.enterprises()[1]
    assert (await case.ask(NAMED, {"uscc": uscc})).status == 200
    async with broken(postgres, stack):
        replies = await asyncio.gather(*(case.ask(NAMED, {"uscc": uscc}) for _ in range(5)))
        # Introspection, viewer and refusals are accounted for as well.
        replies += [await case.ask("{ __typename }"), await case.ask("{ nothing }")]
        public = await stack.ask(NAMED, {"uscc": uscc})
    for reply in replies:
        assert (reply.status, reply.code) == (503, "LEDGER_UNAVAILABLE")
        assert "样例".encode() not in reply.body
        assert reply.seconds < 3.5
    assert public.status == 200  # what needs no account goes on
    for _ in range(200):
        after = await case.ask(NAMED, {"uscc": uscc})
        if after.status == 200:
            break
        await asyncio.sleep(0.1)
    assert after.status == 200
    answered = [row for row in await case.rows() if row["outcome"] == "ANSWERED"]
    # A row that was written although its client was refused is harmless; one that is missing would not be.
    assert len(answered) >= 2


@pytest.mark.parametrize("given", [{}, {"database_timeout": 1.0}, {"ledger_timeout": 0.1}])
def test_a_lock_is_told_as_the_ledgers_before_the_request_is_over(given: dict[str, float]) -> None:
    settings = Settings(**given)
    assert 0 < lock_timeout_of(settings) < settings.database_timeout
    assert lock_timeout_of(settings) <= settings.ledger_timeout


async def test_without_the_ledgers_own_connection(postgres: RunningServer, stack: Stack) -> None:
    """What has a statement writes its disclosure there; what has none is refused."""
    case = await case_of(stack, "no connection")
    role = f"{stack.database.prefix}_ledger"
    async with superuser(postgres, stack.database) as connection:
        await connection.execute(f'alter role "{role}" nologin')
        await connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", role)
        try:
            assert (await case.ask(NAMED, {"uscc": STRANGER})).status == 200
            assert [row["outcome"] for row in await case.rows()] == ["ANSWERED"]
            for query in ("{ __typename }", "{ nothing }"):
                reply = await case.ask(query)
                assert (reply.status, reply.code) == (503, "LEDGER_UNAVAILABLE")
        finally:
            await connection.execute(f'alter role "{role}" login')


async def test_a_purpose_in_the_header_is_the_rows(stack: Stack) -> None:
    token = await stack.fetch_token(stack.clients["restricted"], case=None)
    case = "示例博州（2026）第2号"
    headers = {"credit-purpose": purpose_header("TENDERING", case)}
    assert (await stack.ask(NAMED, {"uscc": STRANGER}, token=token, headers=headers)).status == 200
    (row,) = await stack.disclosures(case)
    assert (row["matter"], row["subject_ids"]) == ("TENDERING", [organisation_uuid(STRANGER)])
