"""The engine over the small world, with a ledger and sources that keep what they were told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg
import pytest

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.account import Disclosure
from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import Refused
from gateway.schema.contracts import build_contracts
from gateway.sources.wanted import Consulted, Wanted
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES, INTERNAL, RESTRICTED, RESTRICTED_SCOPED, SELF
from gateway.storage.pool import Pool
from tests.engine import small_world


@dataclass
class Told:
    """An account that remembers."""

    disclosures: list[Disclosure] = field(default_factory=list)

    in_statement: ClassVar[bool] = False  # it is told everything

    async def record(self, disclosure: Disclosure) -> None:
        self.disclosures.append(disclosure)


@dataclass
class KnownSources:
    """Sources that always answer the same (small_world.py), and remember what was wanted and refreshed."""

    wanted: list[Wanted] = field(default_factory=list)
    refreshed: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    async def consult(self, wanted: Sequence[Wanted], principal: Principal, deadline: float, **_: Any) -> Consulted:
        self.wanted += wanted
        feeds: dict[str, dict[str, Any]] = {}
        for want in wanted:
            for uscc in want.subjects:
                feeds.setdefault(want.name, {})[uscc] = small_world.answer(want.source, want.parts, uscc)
        behind = {w.source: w.subjects for w in wanted}
        parameters = {feed: json.dumps(answers, ensure_ascii=False) for feed, answers in feeds.items()}
        return Consulted(parameters, '{"COURTS":{}}', behind)

    def refresh(self, source: str, parts: Sequence[str], usccs: Sequence[str]) -> int:
        self.refreshed.append((source, tuple(parts), tuple(usccs)))
        return len(usccs)


@dataclass
class World:
    """An engine with its surroundings."""

    engine: Engine
    account: Told
    sources: KnownSources
    ids: dict[str, int]

    def principal(self, view: str, **scope: Any) -> Principal:
        """Somebody who asks in a view; `scope` narrows."""
        if view == "public":
            return ANONYMOUS
        access = {a.name: a for a in (RESTRICTED, RESTRICTED_SCOPED, SELF, INTERNAL)}[view]
        matter = {"self": "SELF", "internal": "SUPERVISION"}.get(view, "GRANT")
        own = {
            "client": "client",
            "organisation": self.ids[small_world.ORGAN],
            "uscc": small_world.ORGAN,
            "matter": matter,
            "case": "示例〔2026〕1号",
        }
        if view == "self":
            own["subject"] = self.ids[scope.pop("own", small_world.FIRM)]
        return Principal(
            access,
            client_id="client",
            organisation_uscc=small_world.ORGAN,
            matter=matter,
            case_number="示例〔2026〕1号",
            scope=json.dumps({**own, **scope}) if access.scoped else None,
            own_scope=None if access.scoped else json.dumps(own),
            withheld=json.dumps(scope) if scope else "{}",
        )

    async def ask(self, view: str, query: str, variables: dict[str, Any] | None = None, **scope: Any) -> Any:
        """The response as Python objects."""
        return json.loads(
            await self.engine.answer(self.principal(view, **scope), Request(query, None, variables or {}))
        )

    async def refused(self, view: str, query: str, variables: dict[str, Any] | None = None) -> list[str]:
        """The codes of a refusal."""
        with pytest.raises(Refused) as caught:
            await self.ask(view, query, variables)
        return [error.code for error in caught.value.errors]


@pytest.fixture(scope="module")
async def world(database: Database, owner: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[World]:
    """The small world with an engine."""
    await small_world.build(owner)
    pools = {access.name: Pool(database.dsn(access.name), size=2) for access in ACCESSES}
    account, sources = Told(), KnownSources()
    limits = Limits(cost=50_000, cost_public=5_000, storage=20.0)
    engine = Engine(build_contracts(), pools, account, sources, limits)  # type: ignore[arg-type]
    ids = {row["uscc"]: row["id"] for row in await owner.fetch("select uscc, id from core.subject")}
    yield World(engine, account, sources, ids)
    for pool in pools.values():
        await pool.close()
