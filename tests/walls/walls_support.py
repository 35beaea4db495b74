"""What the tests of both walls share: principals of each access, fakes of what the engine is given, counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.account import Disclosure, cells
from gateway.engine.execute import Engine, Request
from gateway.engine.sql import Statement
from gateway.errors import Refused
from gateway.sources.wanted import Wanted
from gateway.storage.levels import INTERNAL, PUBLIC, RESTRICTED, RESTRICTED_SCOPED, SELF, Access

ACCESSES_OF: dict[str, tuple[Access, ...]] = {
    "PUBLIC": (PUBLIC,),
    "RESTRICTED": (RESTRICTED, RESTRICTED_SCOPED),
    "INTERNAL": (INTERNAL,),
    "SELF": (SELF,),
}


_ASKER = {"client": "client", "uscc": "11652799YL0000012", "case": "2026-1"}


def principal(
    access: Access, matter: str = "GRANT", *, narrowing: dict[str, Any] | None = None, **scope: Any
) -> Principal:
    """A principal of an access, as authentication makes it: `scope` has organisation or subject (internal ids)."""
    narrowing = narrowing or {}
    return Principal(
        access,
        client_id="client",
        organisation_uscc=None,
        matter=matter,
        case_number="2026-1",
        sources=frozenset({"LOCAL", "COURTS"}),
        scope=json.dumps({**_ASKER, "matter": matter, **scope, **narrowing}) if access.scoped else None,
        own_scope=None if access.scoped else json.dumps({**_ASKER, "matter": matter, **scope}),
        withheld=json.dumps(narrowing) if narrowing else "{}",
    )


PRINCIPALS: dict[str, Principal] = {
    "public": ANONYMOUS,
    "restricted": principal(RESTRICTED),
    "restricted_scoped": principal(RESTRICTED_SCOPED),
    "self": principal(SELF, "SELF", subject=0),
    "internal": principal(INTERNAL, organisation=0),
}


def arguments(statement: Statement, values: list[Any]) -> list[Any]:
    """The arguments of a body statement, those of its disclosure made up."""
    if not statement.accounts:
        return values
    return [cells(Disclosure("client", "organisation", "", "GRANT", "case", "")).decode(), *values]


@dataclass
class FakeAccount:
    """Keeps what was disclosed."""

    kept: list[Disclosure] = field(default_factory=list)

    in_statement: ClassVar[bool] = False  # it is told everything

    async def record(self, disclosure: Disclosure) -> None:
        self.kept.append(disclosure)


@dataclass
class _Consulted:
    parameters: dict[str, str]
    statuses: str = "{}"
    behind: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class FakeSources:
    """Answers everything it is asked and keeps what that was."""

    wanted: list[Wanted] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)

    async def consult(self, wanted: Sequence[Wanted], _: Principal, __: float, **___: Any) -> Any:
        self.wanted += wanted
        listing = {"case_number": "（2026）新2701执1号", "court": "博乐市人民法院", "grounds": [], "duty": "秘密"}
        answers = {
            code: {"answer": {"status": "ANSWERED", "as_of": "2026-06-15T00:00:00.000+08:00"}, "dishonest": [listing]}
            for each in wanted
            for code in each.subjects
        }
        return _Consulted({"COURTS": json.dumps(answers)}, behind={"COURTS": tuple(answers)} if answers else {})

    def refresh(self, _: str, __: Sequence[str], subjects: Sequence[str]) -> None:
        self.refreshed += subjects

    @property
    def asked(self) -> set[str]:
        """Codes that a source was asked about."""
        return {code for each in self.wanted for code in each.subjects}


class NoRows:
    """A pool for what must be answered without any row."""

    async def fetchrow(self, sql: str, _: Sequence[Any]) -> Any:
        raise AssertionError(f"no row was needed, yet: {sql}")


async def ask(engine: Engine, who: Principal, query: str, **variables: Any) -> Any:
    """The response as JSON; for a refusal its errors."""
    try:
        return json.loads(await engine.answer(who, Request(query, None, variables)))
    except Refused as refused:
        return {"errors": [error.as_json("en") for error in refused.errors]}


@asynccontextmanager
async def with_scope(connection: asyncpg.Connection[asyncpg.Record], scope: str | None) -> AsyncIterator[None]:
    """A transaction that carries the scope, as the pool has it; nothing without one."""
    if scope is None:
        yield
        return
    async with connection.transaction():
        await connection.execute(f"select set_config('gateway.scope', '{scope}', true)")
        yield


class Pairs:
    """How many pairs were checked, by kind; the last test prints them."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def count(self, kind: str, number: int) -> None:
        self.counted[kind] += number


pairs = Pairs()
