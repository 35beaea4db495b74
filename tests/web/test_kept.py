"""Promises of the cache of public answers: what it shows is what would be answered now. Whatever is committed before a
request arrives is in its answer, on the day that the database has; nobody's answer is kept that depends on who asks,
and it stays within its bytes. For each control a test that takes it away and sees the old answer.

Real PostgreSQL, the gateway over HTTP.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from gateway.app import Parts
from gateway.engine.dependence import Basis
from gateway.engine.execute import Engine
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.listener import Listener, OnBack
from gateway.web.kept import Entry, Kept
from tests.e2e.e2e_stack import serving
from tests.engine import small_world
from tests.engine.small_world import FIRM, OLD_ORGAN, ORGAN, SHOP, STRANGER
from tests.storage.eventually import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TITLES = "query($c: Uscc!) { subject(uscc: $c) { name onRecord records(first: 9) { edges { node { title } } } } }"


class World:
    """The gateway on its port, and its database."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, owner: Connection, registry: CollectorRegistry
    ) -> None:
        self.url, self.session, self.owner, self.registry = url, session, owner, registry

    def count(self, outcome: str) -> float:
        """How many requests had this outcome."""
        return self.registry.get_sample_value("credit_public_cache_total", {"outcome": outcome}) or 0.0

    async def ask(self, document: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
        """The data of an answer."""
        body = json.dumps({"query": document, "variables": variables})
        found = {"content-type": "application/json", **(headers or {})}
        async with self.session.post(self.url, data=body, headers=found) as response:
            return json.loads(await response.read())

    async def titles(self, code: str = FIRM) -> list[str]:
        """Titles of a subject's records."""
        found = (await self.ask(TITLES, c=code))["data"]["subject"]
        return [edge["node"]["title"] for edge in found["records"]["edges"]]

    async def kept(self, code: str = FIRM) -> list[str]:
        """The same, once it is kept: a busy machine may be late with a heartbeat."""
        hits = self.count("HIT")
        for _ in range(100):
            found = await self.titles(code)
            if self.count("HIT") > hits:
                return found
        raise AssertionError("nothing is kept")

    async def hits(self, document: str, **variables: Any) -> bool:
        """Whether an answer is kept once it was given."""
        first = await self.ask(document, **variables)
        before, unsure = self.count("HIT"), -1.0
        while unsure != self.count("UNCONFIRMED"):  # a busy machine may be late with a heartbeat
            unsure = self.count("UNCONFIRMED")
            assert await self.ask(document, **variables) == first
        return self.count("HIT") > before


@pytest_asyncio.fixture
async def world(postgres: RunningServer, database: Database, settings: Settings) -> AsyncIterator[World]:
    registry = CollectorRegistry()
    owner = await asyncpg.connect(database.migrate_dsn)
    async with (
        serving(settings, database, Parts(connectors={}, registry=registry)) as base,
        aiohttp.ClientSession() as s,
    ):
        assert await eventually(lambda: registry.get_sample_value("credit_listener_confirmed"))
        yield World(f"{base}/graphql", s, owner, registry)
    await owner.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("kept"))


@pytest_asyncio.fixture(scope="module", autouse=True)
async def built(database: Database) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    await small_world.build(owner)
    await owner.close()


async def set_status(owner: Connection, title: str, status: str) -> None:
    await owner.execute("update core.record set status = $2 where title = $1", title, status)


async def test_a_repair_is_in_the_next_answer(world: World) -> None:
    """A hundred times; and what is not changed meanwhile is kept."""
    assert await world.hits(TITLES, c=SHOP)
    for _ in range(50):
        for status, shown in (("REPAIRED", False), ("ACTIVE", True)):
            await set_status(world.owner, "罚款一", status)
            assert ("罚款一" in await world.titles()) is shown
            assert ("罚款一" in await world.titles()) is shown
    assert world.count("HIT") >= 100
    old = world.count("OLD")
    await world.titles(SHOP)
    assert world.count("OLD") == old


async def test_what_a_subject_shows_of_others_is_not_kept_past_their_change(world: World) -> None:
    """The name of an authority, of a predecessor, of a region; who comes on record; what lists and searches find."""
    authority = "query($c: Uscc!) { subject(uscc: $c) { records(first: 9) { edges { node { authority { name } } } } } }"
    predecessor = "query($c: Uscc!) { subject(uscc: $c) { predecessors { name } } }"
    region = "query($c: Uscc!) { subject(uscc: $c) { region { name } } }"
    name = "query($c: Uscc!) { subject(uscc: $c) { name onRecord } }"
    listed = "{ records(first: 3) { edges { node { title subject { name } } } } }"
    searched = '{ searchSubjects(query: "新来", first: 5) { edges { node { name } } } }'
    comes = (
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded) values"
        f" (gen_random_uuid(), 'ORGANISATION', 'ENTERPRISE', '{STRANGER}', '新来商行', '新来商行')"
    )
    for document, code, change in (
        (authority, FIRM, f"update core.subject set name = '甲局' where uscc = '{ORGAN}'"),
        (predecessor, ORGAN, f"update core.subject set name = '乙局' where uscc = '{OLD_ORGAN}'"),
        (region, FIRM, "update core.region set name = '丙市' where code = '652701'"),
        (name, STRANGER, comes),
        (listed, None, "update core.record set title = '名单二' where title = '名单一'"),
        (searched, None, "insert into core.name_part values"
         " ((select id from core.subject where name = '新来商行'), 0, false, false, 'ENTERPRISE', null, '新来商行')"),
    ):  # fmt: skip
        variables = {} if code is None else {"c": code}
        before = await world.ask(document, **variables)
        assert "data" in before, before
        assert await world.hits(document, **variables), document
        await world.owner.execute(change)
        assert await world.ask(document, **variables) != before, document


async def test_what_depends_on_who_asks_or_is_refused_is_not_kept(world: World) -> None:
    """Neither the viewer, nor an error, nor the schema; a header that asks for more goes the long way; and a request
    with a token is never answered from here."""
    for document in (
        "{ viewer { view clientId } }",
        "{ viewer { __typename } sources { code } }",
        "{ __schema { queryType { name } } }",
        "{ nonsense }",
        "{",
    ):
        assert not await world.hits(document)
    assert not await world.hits(TITLES, c="123")
    assert await world.hits(TITLES, c=FIRM)
    hits = world.count("HIT")
    for header in ({"credit-hops": "1"}, {"idempotency-key": "x"}, {"credit-unknown": "x"}):
        assert "data" in await world.ask(TITLES, header, c=FIRM)
    refused = await world.ask(TITLES, {"authorization": "Bearer nonsense"}, c=FIRM)
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert world.count("HIT") == hits


async def test_by_get_too_and_nothing_elsewhere_is_to_keep_it(world: World) -> None:
    for kind in ("application/json", "application/graphql-response+json"):
        for _ in range(2):
            given = {"query": "{ sources { code name } }"}
            async with world.session.get(world.url, params=given, headers={"accept": kind}) as response:
                assert "COURTS" in await response.text()
                assert response.headers["cache-control"] == "no-cache"
                assert response.headers["content-type"].startswith(kind)
    assert world.count("HIT") + world.count("UNCONFIRMED") == 3


async def listener_backend(postgres: RunningServer, database: Database) -> int:
    """The process that serves the gateway's listener."""
    root = await asyncpg.connect(postgres.dsn(database.name))
    found = await root.fetch(
        "select pid from pg_stat_activity where application_name like '%listener' and datname = current_database()"
    )
    await root.close()
    (row,) = found
    return int(row["pid"])


async def while_nothing_is_heard(world: World, pid: int) -> list[str]:
    """Titles after a repair that the gateway can't have heard of: its backend is stopped for a moment."""
    await set_status(world.owner, "荣誉一", "ACTIVE")
    assert "荣誉一" in await world.kept()
    os.kill(pid, signal.SIGSTOP)
    try:
        await set_status(world.owner, "荣誉一", "REPAIRED")
        return await world.titles()
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_what_was_not_heard_is_not_hidden(
    world: World, postgres: RunningServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat that was sent before the request says nothing of what was committed since; going by it alone, for its
    second, shows the repaired record."""
    pid = await listener_backend(postgres, database)
    assert "荣誉一" not in await while_nothing_is_heard(world, pid)
    assert world.count("UNCONFIRMED") >= 1

    def held(listener: Listener, back: OnBack, patience: float = 0.1) -> bool:
        asyncio.get_running_loop().call_soon(back, listener.confirmed)
        return True

    monkeypatch.setattr(Listener, "then", held)
    await asyncio.sleep(0.3)
    assert "荣誉一" in await while_nothing_is_heard(world, pid)


async def test_without_its_trigger_a_repair_is_not_seen(world: World) -> None:
    await set_status(world.owner, "罚款一", "ACTIVE")
    assert "罚款一" in await world.kept()
    await world.owner.execute("alter table core.record disable trigger public_update")
    try:
        await set_status(world.owner, "罚款一", "REPAIRED")
        assert "罚款一" in await world.kept()
    finally:
        await world.owner.execute("alter table core.record enable always trigger public_update")
    await set_status(world.owner, "罚款一", "ACTIVE")
    await set_status(world.owner, "罚款一", "REPAIRED")
    assert "罚款一" not in await world.titles()


async def test_an_answer_that_a_change_overtakes_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read before the change and is to be kept after it was heard of. Numbered when it is kept instead of when
    it began, it is shown again and again."""
    answer = Engine.answer

    async def heard(status: str) -> None:
        sample = ("credit_listener_payloads_total", {"topic": "public"})
        before = world.registry.get_sample_value(*sample) or 0
        await set_status(world.owner, "罚款一", status)
        await eventually(lambda: (world.registry.get_sample_value(*sample) or 0) > before, 2.0)

    async def overtaken(engine: Engine, *given: Any) -> bytes:
        body = await answer(engine, *given)
        await heard("REPAIRED")
        return body

    async def twice() -> tuple[list[str], list[str]]:
        await heard("ACTIVE")
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "answer", overtaken)
            first = await world.titles()
        return first, await world.kept()

    first, second = await twice()
    assert "罚款一" in first  # as it was when it was asked for
    assert "罚款一" not in second
    put = Kept.put

    def late(kept: Kept, key: bytes | str, entry: Entry, basis: Basis, body: bytes) -> Entry | None:
        entry.began = kept._heard
        return put(kept, key, entry, basis, body)

    monkeypatch.setattr(Kept, "put", late)
    first, second = await twice()
    assert "罚款一" in second


async def test_it_ends_with_the_database_s_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record's last day is over: the database's clock says so, whatever ours does. Without the day of the heartbeat
    the record is shown on."""
    today = "create or replace function core.today() returns date language sql stable parallel safe as $${}$$"
    await world.owner.execute("update core.record set published_until = '2031-05-05' where title = '许可一\n二行'")
    await world.owner.execute(today.format("select date '2031-05-05'"))
    assert "许可一\n二行" in await world.kept()
    await world.owner.execute(today.format("select date '2031-05-06'"))
    assert "许可一\n二行" not in await world.titles()
    await world.owner.execute(today.format("select date '2031-05-05'"))
    monkeypatch.setattr(Listener, "day", property(lambda _: "always", lambda *_: None), raising=False)
    assert "许可一\n二行" in await world.kept()
    await world.owner.execute(today.format("select date '2031-05-06'"))
    assert "许可一\n二行" in await world.kept()
    await world.owner.execute(today.format("select (now() at time zone 'Asia/Shanghai')::date"))


async def test_a_lost_connection_empties_it(world: World, postgres: RunningServer, database: Database) -> None:
    """Nothing is shown or kept until there is another one; then it begins anew."""
    assert await world.hits(TITLES, c=SHOP)
    pid = await listener_backend(postgres, database)
    root = await asyncpg.connect(postgres.dsn(database.name))
    await root.execute("select pg_terminate_backend($1)", pid)
    await root.close()
    assert await eventually(lambda: not world.registry.get_sample_value("credit_public_cache_bytes"))
    assert await eventually(lambda: world.registry.get_sample_value("credit_listener_confirmed"))
    assert await world.hits(TITLES, c=SHOP)


# The cache alone -----------------------------------------------------------------------------------------------------


class Heard:
    """A listener that says what it is told to."""

    confirmed, day = True, "2026-07-01"

    def subscribe(self, topic: str, on_payload: Any, on_doubt: Any) -> None:
        self.tell, self.doubt = on_payload, on_doubt

    async def confirm(self, patience: float = 0.1) -> bool:
        return self.confirmed


def filled(size: int = 1_000_000, now: float = 0.0) -> tuple[Kept, Heard]:
    heard = Heard()
    return Kept(heard, size=size, clock=lambda: now), heard  # type: ignore[arg-type]


def keep(kept: Kept, key: bytes, codes: frozenset[str] | None = None, body: bytes = b'{"data":1}', **more: Any) -> bool:
    entry = kept.begin(key)
    assert entry is not None
    return kept.put(key, entry, Basis(codes, more.get("until", 1e9)), body) is not None


async def test_changes_by_subject() -> None:
    kept, heard = filled()
    for key, codes in ((b"a", frozenset("A")), (b"ab", frozenset("AB")), (b"list", None), (b"none", frozenset[str]())):
        assert keep(kept, key, codes)
    for payload, left in (("B", [b"a", b"none"]), ("", [b"a", b"none"]), ("C,A", [b"none"]), ("*", [])):
        heard.tell(payload)
        assert [key for key in (b"a", b"ab", b"list", b"none") if await kept.find(key)] == left


async def test_what_is_heard_of_too_many_is_forgotten_safely() -> None:
    kept, heard = filled()
    assert keep(kept, b"a", frozenset("A"))
    began = kept.begin(b"a")
    heard.tell("A")
    for number in range(20_001):
        heard.tell(f"X{number}")
    assert await kept.find(b"a") is None
    assert began is not None
    assert kept.put(b"a", began, Basis(frozenset("A"), 1e9), b'{"data":1}') is None
    assert keep(kept, b"a", frozenset("A"))


async def test_it_ends_with_what_sources_said() -> None:
    kept, _ = filled(now=5.0)
    assert not keep(kept, b"a", until=0.0)
    assert not keep(kept, b"a", until=5.0)
    assert keep(kept, b"a", until=5.1)


async def test_errors_are_not_kept() -> None:
    kept, _ = filled()
    assert not keep(kept, b"a", body=b'{"errors":[]}')


async def ask(kept: Kept, key: bytes) -> bool:
    """As the endpoint does; whether the answer came out of the cache."""
    if await kept.find(key) is not None:
        return True
    entry = kept.begin(key)
    if entry is not None:
        kept.put(key, entry, Basis(frozenset({key.decode()}), 1e9), b'{"data":"' + b"x" * 2_000)
    return False


async def test_within_its_bytes() -> None:
    """Keys count as well; what is large has no place, what was not asked for longest goes first, for what is asked for
    more often."""
    kept, _ = filled(size=400_000)
    assert not keep(kept, b"a" * 3_000)
    assert not keep(kept, b"a", body=b'{"data":' + b"x" * 3_000)
    for number in range(290):
        for _ in range(1 if number < 145 else 4):
            await ask(kept, b"%d" % number)
            assert kept._bytes <= 400_000
        await ask(kept, b"0")
    assert await ask(kept, b"0")
    assert await ask(kept, b"230")
    assert not await ask(kept, b"1")


@pytest.mark.parametrize(("clearly", "least", "most"), [(2, 1_200, 1_400), (-1_000_000, 0, 0)])
async def test_who_asks_for_all_in_turn_pushes_nothing_out(
    monkeypatch: pytest.MonkeyPatch, clearly: int, least: int, most: int
) -> None:
    """Of 290 in turn half have room. Without the control none is ever found."""
    monkeypatch.setattr("gateway.web.kept._CLEARLY", clearly)
    kept, _ = filled(size=400_000)
    hits = 0
    for _ in range(10):
        for number in range(290):
            hits += await ask(kept, b"%d" % number)
    assert least <= hits <= most


async def test_what_has_become_popular_gets_a_place_and_what_no_longer_stands_gives_its_own() -> None:
    kept, heard = filled(size=400_000)
    for number in range(290):
        await ask(kept, b"%d" % number)
    assert not await ask(kept, b"new")
    assert not await ask(kept, b"new")
    assert not await ask(kept, b"new")  # now it is kept
    assert await ask(kept, b"new")
    first = next(iter(kept._entries))
    assert not await ask(kept, b"newer")
    heard.tell(first.decode())  # type: ignore[union-attr]
    assert not await ask(kept, b"newest")
    assert await ask(kept, b"newest")
    assert first not in kept._entries


async def test_nothing_is_begun_while_nothing_is_confirmed() -> None:
    kept, heard = filled()
    heard.confirmed = False
    assert kept.begin(b"a") is None
