"""create_app: the only place where objects are wired.

In: settings and an opened, prepared database. Out: an ASGI app whose lifespan opens and closes what it uses.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from connectors.base import Connector
from connectors.courts import CourtsConnector, CourtsSettings
from gateway.auth.assertion import UsedAssertions
from gateway.auth.authenticate import Authenticator
from gateway.auth.clients import ClientStore
from gateway.auth.keys import KeyStore
from gateway.auth.server import AuthorizationServer
from gateway.auth.tokens import Tokens
from gateway.engine.account import Account
from gateway.engine.execute import Engine, Limits
from gateway.engine.together import width
from gateway.errors import StorageUnavailable
from gateway.ledger.disclosures import Ledger
from gateway.schema.contracts import build_contracts, sdl
from gateway.settings import CourtsSource, Settings
from gateway.sources.ask import Sources
from gateway.sources.policy import courts_policy
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES
from gateway.storage.pool import Pool
from gateway.web.front import Front
from gateway.web.graphiql import ASSETS, graphiql_page
from gateway.web.graphql import GraphQLEndpoint
from gateway.web.health import health_routes, schema_routes
from gateway.web.oauth import oauth_routes

_NOT_SET_UP = """insert into core.source_health (source_code, healthy)
    select code, kind = 'LOCAL' or code = any ($1::text[]) from core.source
    on conflict (source_code) do update set healthy = excluded.healthy
    where source_health.healthy is distinct from excluded.healthy"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a caller may put in another's place: benchmarks their null ledger, tests their clocks. No setting can."""

    account: Account | None = None
    connectors: Mapping[str, Connector] | None = None
    registry: CollectorRegistry | None = None


def connectors_of(settings: Settings) -> dict[str, Connector]:
    """The connectors that the operator has set up."""
    made: dict[str, Connector] = {}
    if settings.courts.base_url:
        made["COURTS"] = CourtsConnector(courts_settings(settings.courts))
    return made


def courts_settings(source: CourtsSource) -> CourtsSettings:
    """The courts connector's own settings."""
    return CourtsSettings(
        base_url=source.base_url,
        requester_id=source.requester_id,
        app_key=source.app_key.get_secret_value(),
        service_ids={
            "dishonest": source.service_dishonest,
            "enforcement": source.service_enforcement,
            "consumption": source.service_consumption,
            "judgments": source.service_judgments,
            "refresh": source.service_refresh,
        },
        connect_timeout=source.connect_timeout,
        budget=source.budget,
        concurrency=source.concurrency,
        requests_per_second=source.requests_per_second,
    )


def create_app(settings: Settings, database: Database, parts: Parts | None = None) -> Front:
    """The gateway as an ASGI app. The database must have been prepared (storage.database.prepare)."""
    parts = parts or Parts()
    registry = parts.registry or CollectorRegistry()
    contracts = build_contracts()
    pools = {
        access.name: Pool(
            database.dsn(access.name),
            size=settings.pool_size,
            timeout=settings.database_timeout,
            # Who reads waits for no lock; above the public view the statement writes its disclosure, too.
            lock_timeout=settings.ledger_timeout,
            durable=access.disclosed,
        )
        for access in ACCESSES
    }
    # Asked twice by a request for a token, and by others before their own statements: half of the time for each.
    service = Pool(database.dsn("service"), size=settings.pool_size, timeout=settings.database_timeout / 2)
    ledger_pool = Pool(database.dsn("ledger"), size=4, timeout=settings.database_timeout, durable=True)
    ledger = Ledger(ledger_pool, registry, timeout=settings.ledger_timeout)
    connectors = parts.connectors if parts.connectors is not None else connectors_of(settings)
    sources = Sources([courts_policy(settings.courts, settings.workers)], connectors, service, registry)
    limits = Limits(
        settings.max_cost,
        settings.max_cost_public,
        budget=settings.request_budget,
        storage=settings.database_timeout,
        statements=width(os.cpu_count() or 1, settings.workers),
    )
    engine = Engine(contracts, pools, parts.account or ledger, sources, limits)

    keys = KeyStore(settings.data_dir / "keys")
    clients = ClientStore(service)
    tokens = Tokens(keys, issuer=settings.issuer, audience=settings.audience, seconds=settings.token_seconds)
    server = AuthorizationServer(
        issuer=settings.issuer, clients=clients, tokens=tokens, keys=keys, assertions=UsedAssertions(service)
    )
    endpoint = GraphQLEndpoint(
        engine, Authenticator(tokens, clients), registry, max_body_bytes=settings.max_body_bytes, page=graphiql_page()
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            # A source that nobody has set up is not healthy; what is set up tells its own health from now on.
            with suppress(StorageUnavailable):  # then nothing answers anyway, and the database is waited for
                await service.execute(_NOT_SET_UP, ([*connectors],))
            yield
        finally:
            await sources.close()
            await ledger.close()
            await asyncio.gather(*[pool.close() for pool in (*pools.values(), service, ledger_pool)])

    checks = {name: pool.ping for name, pool in (*pools.items(), ("ledger", ledger_pool), ("service", service))}

    async def warnings() -> list[str]:
        row = await pools["public"].fetchrow("select has_language_privilege('plpgsql', 'usage')::text as open", ())
        return ["plpgsql is open to every role: revoke usage on language plpgsql from public"] * (
            row["open"] == b"true"
        )

    routes: list[Route | Mount] = [
        *oauth_routes(server),
        *health_routes(checks, warnings),
        *schema_routes({name: sdl(contract) for name, contract in contracts.items()}),
    ]
    if ASSETS.is_dir():
        routes.append(Mount("/graphql/assets", StaticFiles(directory=ASSETS)))
    rest = Starlette(routes=routes, lifespan=lifespan)
    rest.state.registry = registry
    return Front(endpoint, rest)
