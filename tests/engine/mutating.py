"""What the tests of mutations share: inputs of consents, engines with connections of their own, as processes have."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry

from gateway.auth.principal import Principal
from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import Refused
from gateway.ledger.disclosures import Ledger
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.identities import Identities
from gateway.storage.levels import ACCESSES
from gateway.storage.persons import identity_keys
from gateway.storage.pool import Pool
from tests.engine.conftest import KnownSources, World
from tests.engine.small_world import FIRM, OLD_ORGAN, ORGAN

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
RECORD = "mutation Record($input: RecordConsentInput!) { recordConsent(input: $input) { consentId } }"
WHOLE = """mutation Record($input: RecordConsentInput!) { recordConsent(input: $input) { consentId consent { id uscc
  subject { name } granteeUscc grantee { name } matter scope validFrom validTo method documentSha256 revokedAt revokedBy
  revocationReason } } }"""
REVOKE = """mutation Revoke($id: ID!, $why: String) { revokeConsent(input: {consentId: $id, reason: $why}) {
  consent { id revokedAt revokedBy revocationReason } } }"""
LIST = "{ viewer { consents { totalCount edges { node { id uscc revokedAt } } } } }"
NODE = "query N($id: ID!) { node(id: $id) { __typename id ... on Consent { uscc } } }"
TODAY = dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date()


def day(days: int) -> str:
    return (TODAY + dt.timedelta(days=days)).isoformat()


def given(**changes: Any) -> dict[str, Any]:
    """The input of a consent."""
    whole = {
        "uscc": FIRM,
        "granteeUscc": ORGAN,
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": day(0),
        "validTo": day(100),
        "documentSha256": "ab" * 32,
        "method": "PAPER_SIGNED",
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


@asynccontextmanager
async def process(database: Database, dsn: Callable[[str], str] | None = None, **pool: Any) -> AsyncIterator[Engine]:
    """An engine with its own connections, as another worker has, and the keys of the installation."""
    named = dsn or database.dsn
    pools = {a.name: Pool(named(a.name), size=2, name="mutating", durable=a.disclosed, **pool) for a in ACCESSES}
    ledger_pool = Pool(database.dsn("ledger"), size=1)
    service = Pool(database.dsn("service"), size=1)
    ledger = Ledger(ledger_pool, CollectorRegistry(), timeout=20.0)
    limits = Limits(cost=50_000, cost_public=5_000, storage=20.0)
    keys = identity_keys(database.secrets)
    try:
        yield Engine(
            build_contracts(),
            pools,  # type: ignore[arg-type]
            ledger,
            KnownSources(),  # type: ignore[arg-type]
            limits,
            identity=keys,
            reveal=Identities(service, keys).reveal,
        )
    finally:
        await ledger.close()
        for each in (*pools.values(), ledger_pool, service):
            await each.close()


async def ask(engine: Engine, who: Principal, query: str, variables: dict[str, Any] | None = None, **more: Any) -> Any:
    """The data, or the refusal as (code, message)."""
    try:
        found = json.loads(await engine.answer(who, Request(query, None, variables or {}, **more)))
    except Refused as refused:
        return [(error.code, error.en) for error in refused.errors]
    assert "errors" not in found, found
    return found["data"]


def other(world: World, view: str = "restricted") -> Principal:
    """A client of another organisation, in the same matter."""
    who = world.principal(view)
    own = {"organisation": world.ids[OLD_ORGAN], "uscc": OLD_ORGAN, "client": "another"}
    scopes = {
        name: json.dumps(json.loads(text) | own) if (text := getattr(who, name)) else None
        for name in ("scope", "own_scope")
    }
    return replace(who, client_id="another", organisation_uscc=OLD_ORGAN, **scopes)


async def recorded(engine: Engine, who: Principal, **changes: Any) -> str:
    found = await ask(engine, who, RECORD, {"input": given(**changes)})
    assert isinstance(found, dict), found
    return str(found["recordConsent"]["consentId"])


async def count(owner: Connection, table: str = "core.consent") -> int:
    return int(await owner.fetchval(f"select count(*) from {table}"))


async def waiting(owner: Connection, number: int = 1) -> None:
    """Until so many of the engine's statements wait for a lock."""
    sql = "select count(*) from pg_locks where not granted"  # of a transaction's end it names no database
    for _ in range(3_000):
        if await owner.fetchval(sql) >= number:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")
