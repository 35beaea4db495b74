"""recordChanged as text/event-stream: each change once, in order, disclosed before it is sent; over a database that
goes away and comes back; until the token ends, the client is disabled or leaves; within the limits.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest
from e2e_stack import CASE, Stack

from gateway.auth.authenticate import Authenticator
from gateway.auth.clients import ClientStore
from gateway.auth.keys import KeyStore
from gateway.auth.principal import Principal
from gateway.auth.purpose import Purpose
from gateway.auth.tokens import Tokens
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.pool import Pool
from tests import machine

SUBSCRIBE = """subscription ($usccs: [Uscc!], $area: Area, $after: String) {
  recordChanged(usccs: $usccs, area: $area, after: $after) {
    cursor kind cause recordId record { title } subject { uscc }
  }
}"""
INSERT = """insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,
    source_code, catalogue_item, decided_on, published_from, title, natural_key)
    select gen_random_uuid(), s.id, s.class, 'PENALTY', $2, 'GENERAL', 'ACTIVE', $4, 'LOCAL', 'QG-04', core.today(),
        core.today(), $3, $3 from core.subject s where s.uscc = $1 returning id"""
SETTINGS = {"public_subscriptions": 2, "client_subscriptions": 3}


async def write(owner: Any, uscc: str, area: str = "PPP", *, published: bool = True) -> str:
    title = f"变更 {uuid.uuid4()}"
    assert await owner.fetchval(INSERT, uscc, area, title, published)
    return title


class Stream:
    """A stream of events as a client reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def event(self, seconds: float = 30.0) -> tuple[str, Any]:
        """The next event; comments are left out."""
        name, data = "", ""
        async with asyncio.timeout(seconds):
            while True:
                line = (await self.response.content.readline()).decode()
                if not line:
                    return "end", None
                line = line.rstrip("\n")
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data:"):
                    data += line.removeprefix("data:").strip()
                elif not line and name:
                    return name, json.loads(data) if data else None

    async def change(self, seconds: float = 30.0) -> Any:
        name, data = await self.event(seconds)
        assert name == "next", (name, data)
        return data["data"]["recordChanged"]

    async def silent(self, seconds: float = 1.0) -> None:
        with pytest.raises(TimeoutError):
            await self.event(seconds)


def headers(stack: Stack, who: str | None) -> dict[str, str]:
    found = {"accept": "text/event-stream", "content-type": "application/json"}
    return found | ({"authorization": f"Bearer {stack.tokens[who]}"} if who else {})


@asynccontextmanager
async def subscribed(
    stack: Stack, who: str | None, query: str = SUBSCRIBE, token: str = "", **variables: Any
) -> AsyncIterator[Stream]:
    body = json.dumps({"query": query, "variables": variables})
    given = headers(stack, who) | ({"authorization": f"Bearer {token}"} if token else {})
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{stack.base}/graphql", data=body, headers=given) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield Stream(response)


async def test_changes_come_when_they_are_committed(stack: Stack, owner: Any, usccs: list[str]) -> None:
    async with (
        subscribed(stack, "restricted", usccs=usccs[:2]) as some,
        subscribed(stack, None, area="PPP") as public,
    ):
        await asyncio.sleep(0.1)
        hidden = await write(owner, usccs[0], published=False)
        first, second = await write(owner, usccs[0]), await write(owner, usccs[1], "TENDERING")
        third = await write(owner, usccs[2])
        assert [(await some.change())["record"]["title"] for _ in range(3)] == [hidden, first, second]
        assert [(await public.change())["record"]["title"] for _ in range(2)] == [first, third]
        await owner.execute("update core.record set status = 'REPAIRED' where title = any ($1)", [hidden, first])
        for stream, count in ((some, 2), (public, 1)):
            for _ in range(count):
                gone = await stream.change()
                assert (gone["kind"], gone["cause"], gone["record"]) == ("WITHDRAWN", "REPAIRED", None)
        await some.silent()
        await public.silent(0.1)


async def test_behind_a_cursor_nothing_is_missed_and_nothing_comes_twice(
    stack: Stack, owner: Any, usccs: list[str]
) -> None:
    async with subscribed(stack, "restricted", usccs=usccs) as stream:
        await asyncio.sleep(0.1)
        await write(owner, usccs[0])
        cursor = (await stream.change())["cursor"]
    meanwhile = [await write(owner, uscc) for uscc in usccs]
    async with subscribed(stack, "restricted", usccs=usccs, after=cursor) as stream:
        assert [(await stream.change())["record"]["title"] for _ in usccs] == meanwhile
        later = await write(owner, usccs[1])
        assert (await stream.change())["record"]["title"] == later
    page = await stack.ask(
        "query ($a: String) { recordChanges(after: $a) { edges { node { record { title } } } } }",
        {"a": cursor},
        "restricted",
    )
    found = [edge["node"]["record"]["title"] for edge in page.data["recordChanges"]["edges"]]
    assert found == [*meanwhile, later]


async def test_nothing_is_sent_before_its_disclosure(
    stack: Stack, owner: Any, world: Database, usccs: list[str]
) -> None:
    """While the ledger takes nothing, no event comes; then each comes once, and its row was there before it."""
    blocker = await asyncpg.connect(world.migrate_dsn)
    count = (
        "select count(*) from ledger.disclosure where outcome = 'ANSWERED' and client_id = 'restricted'"
        " and subject_ids = (select array[external_id] from core.subject where uscc = $1)"
    )
    before = await owner.fetchval(count, usccs[0])
    try:
        async with subscribed(stack, "restricted", usccs=usccs) as stream:
            await asyncio.sleep(0.1)
            locked = blocker.transaction()
            await locked.start()
            await blocker.execute("lock table ledger.disclosure in exclusive mode")
            title = await write(owner, usccs[0])
            await stream.silent(2.5)
            await locked.rollback()
            assert (await stream.change())["record"]["title"] == title
            assert await owner.fetchval(count, usccs[0]) == before + 1
            await stream.silent()
    finally:
        await blocker.close()


async def test_a_database_that_comes_back_costs_no_event(
    stack: Stack, owner: Any, postgres: RunningServer, world: Database, usccs: list[str]
) -> None:
    async with subscribed(stack, "restricted", usccs=usccs) as stream, subscribed(stack, None, area="PPP") as public:
        await asyncio.sleep(0.1)
        titles = [await write(owner, usccs[0])]
        assert (await stream.change())["record"]["title"] == titles[0] == (await public.change())["record"]["title"]
        server = await asyncpg.connect(postgres.dsn())
        try:
            await server.execute(f'alter database "{world.name}" allow_connections false')
            titles = [await write(owner, usccs[0]), await write(owner, usccs[1])]
            others = "datname = $1 and pid <> $2 and usename not like '%migrate'"
            kill = f"select pg_terminate_backend(pid) from pg_stat_activity where {others}"
            await server.execute("select 1")
            await server.fetch(kill, world.name, 0)
            await asyncio.sleep(1.5)
            titles.append(await write(owner, usccs[2]))
            await server.execute(f'alter database "{world.name}" allow_connections true')
        finally:
            await server.close()
        for each in (stream, public):
            assert [(await each.change(20))["record"]["title"] for _ in titles] == titles
        await stream.silent()


async def short_token(stack: Stack, seconds: int) -> str:
    """A token of the gateway's own key that does not live for five minutes."""
    keys = KeyStore(stack.settings.data_dir / "keys")
    tokens = Tokens(keys, issuer=stack.base, audience=stack.settings.audience, seconds=seconds)
    pool = Pool(stack.database.dsn("service"), size=1)
    try:
        client = await ClientStore(pool).get("restricted")
        assert client is not None
        return tokens.issue(client, client.scopes, Purpose("GRANT", CASE), now=time.time())
    finally:
        await pool.close()


async def test_it_ends_with_its_token(stack: Stack, owner: Any, usccs: list[str]) -> None:
    token = await short_token(stack, 4)
    async with subscribed(stack, None, token=token, usccs=usccs) as stream:
        began = machine.seconds()
        name, data = await stream.event(30)
        assert (name, data["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
        assert machine.seconds() - began < 7
        assert await stream.event() == ("complete", None)
        assert (await stream.event())[0] == "end"


async def test_it_ends_with_its_client(stack: Stack, owner: Any, usccs: list[str]) -> None:
    async with subscribed(stack, "scoped", usccs=usccs) as stream:
        await owner.execute("update auth.client set disabled_at = now(), version = version + 1 where id = 'scoped'")
        began = machine.seconds()
        name, data = await stream.event(30)
        assert (name, data["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
        assert machine.seconds() - began < 4
        await owner.execute("update auth.client set disabled_at = null where id = 'scoped'")


async def test_without_looking_again_it_would_go_on(
    stack: Stack, owner: Any, usccs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control removed: who asked at the beginning is believed for ever, and a disabled client is told."""
    looked = Authenticator.still
    believed: dict[str | None, Principal] = {}

    async def once(self: Authenticator, authorization: str | None, purpose: str | None) -> Principal:
        if authorization not in believed:
            believed[authorization] = await looked(self, authorization, purpose)
        return believed[authorization]

    monkeypatch.setattr(Authenticator, "still", once)
    async with subscribed(stack, "internal", usccs=usccs) as stream:
        await write(owner, usccs[0])
        await stream.change()
        await owner.execute("update auth.client set disabled_at = now(), version = version + 1 where id = 'internal'")
        await asyncio.sleep(2.5)
        title = await write(owner, usccs[0])
        assert (await stream.change())["record"]["title"] == title


async def test_so_many_and_no_more(stack: Stack, usccs: list[str]) -> None:
    async def refused(who: str | None) -> tuple[int, str]:
        body = json.dumps({"query": SUBSCRIBE, "variables": {"usccs": usccs}})
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{stack.base}/graphql", data=body, headers=headers(stack, who)) as response,
        ):
            return response.status, (await response.json())["errors"][0]["extensions"]["code"]

    for who, most in ((None, 2), ("restricted", 3)):
        opened = [subscribed(stack, who, usccs=usccs) for _ in range(most)]
        for each in opened:
            await each.__aenter__()
        assert await refused(who) == (429, "RATE_LIMITED")
        await opened[0].__aexit__(None, None, None)
        await asyncio.sleep(1.2)  # its leaving is noticed within two looks
        async with subscribed(stack, who, usccs=usccs):
            pass
        for each in opened[1:]:
            await each.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("subscription { recordChanged { nme } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { a: recordChanged { kind } b: recordChanged { kind } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { __typename }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { recordChanged(after: "x") { kind } }', {}, "BAD_USER_INPUT"),
        ('subscription { recordChanged(after: "%s") { kind } }' % ("A" * 32), {}, "BAD_USER_INPUT"),
        ("subscription ($n: Boolean!) { recordChanged @skip(if: $n) { kind } }", {"n": True}, None),
        ("{", {}, "GRAPHQL_PARSE_FAILED"),
    ],
)
async def test_what_can_not_begin_is_told_as_an_event(
    stack: Stack, query: str, variables: dict[str, Any], code: str | None
) -> None:
    async with subscribed(stack, None, query, **variables) as stream:
        name, data = await stream.event()
        assert name == "next"
        assert code is None or data["errors"][0]["extensions"]["code"] == code
        assert await stream.event() == ("complete", None)


async def test_queries_are_streams_of_one_event(stack: Stack) -> None:
    async with subscribed(stack, "restricted", "{ viewer { view } }") as stream:
        assert await stream.event() == ("next", {"data": {"viewer": {"view": "RESTRICTED"}}})
        assert await stream.event() == ("complete", None)


async def test_a_subscription_has_no_single_answer(stack: Stack) -> None:
    reply = await stack.ask(SUBSCRIBE)
    assert reply.code == "BAD_USER_INPUT"
