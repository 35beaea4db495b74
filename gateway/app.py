"""create_app: the only place where objects are wired.

In: settings and an opened, prepared database. Out: an ASGI app whose lifespan opens and closes what it uses.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route

from connectors.base import Connector
from gateway.auth.assertion import UsedAssertions
from gateway.auth.authenticate import Authenticator
from gateway.auth.clients import ClientStore
from gateway.auth.documents import StoredDocuments
from gateway.auth.dpop import UsedProofs, comparable
from gateway.auth.guesses import Guesses
from gateway.auth.issuers import ExternalIssuers
from gateway.auth.keys import KeyStore
from gateway.auth.possession import Possession
from gateway.auth.principal import ANONYMOUS
from gateway.auth.server import MAX_BODY, AuthorizationServer
from gateway.auth.sweep import Sweeper
from gateway.auth.tokens import Tokens
from gateway.connect import connectors_of, platform_connector
from gateway.engine.account import Account
from gateway.engine.execute import Engine, Limits
from gateway.engine.lists import LISTS
from gateway.engine.persisted import Persisted, shipped
from gateway.engine.together import width
from gateway.errors import StorageUnavailable
from gateway.ledger.disclosures import Ledger
from gateway.ledger.events import Events
from gateway.ledger.publish import Publisher
from gateway.ledger.published import Published
from gateway.ledger.receipts import Receipts
from gateway.ledger.sequencer import Sequencer
from gateway.schema.contracts import build_contracts, sdl
from gateway.settings import Settings
from gateway.sharing.following import Following
from gateway.source_settings import PeerSource
from gateway.sources.ask import Sources
from gateway.sources.policy import BANKS, policies
from gateway.sources.wanted import Seals
from gateway.storage import working_days
from gateway.storage.consents import SWEEP_PENDING, PendingRequests, StoredConsents
from gateway.storage.database import Database
from gateway.storage.identities import Identities
from gateway.storage.levels import ACCESSES, CONTRACTS
from gateway.storage.listener import Listener
from gateway.storage.outbox import Outbox
from gateway.storage.persons import identity_keys
from gateway.storage.pool import Pool
from gateway.storage.seals import StoredSeals
from gateway.storage.statement_log import StatementLog
from gateway.storage.writes import SWEEP_REPLIES
from gateway.web.address import Peers, counted_as
from gateway.web.again import Again
from gateway.web.client_cert import ClientCertificates
from gateway.web.costs import Costs
from gateway.web.door import KIB, Bounds, Door
from gateway.web.front import Front
from gateway.web.graphiql import ASSETS, Assets, graphiql_page
from gateway.web.graphql import GraphQLEndpoint
from gateway.web.health import health_routes, schema_routes
from gateway.web.kept import Kept
from gateway.web.log import log_routes
from gateway.web.oauth import oauth_routes
from gateway.web.receipts import receipt_routes
from gateway.web.refusals import refuse
from gateway.web.seats import Seats
from gateway.web.security_headers import security_headers
from gateway.web.streams import Streams
from gateway.web.throttle import Rates, Throttle

_NOT_SET_UP = """insert into core.source_health (source_code, healthy)
    select code, kind = 'LOCAL' or code = any ($1::text[]) from core.source
    on conflict (source_code) do update set healthy = excluded.healthy
    where source_health.healthy is distinct from excluded.healthy"""

# The divisions may not be there yet, or not have that region: then the source is of no region.
_PEERS = """insert into core.source (code, name, name_en, kind, region_code, position)
    select p.code, p.name, p.name_en, 'PEER_REGION', g.code, 50
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) p (code, name, name_en, region)
    left join core.region g on g.code = p.region
    on conflict (code) do update
    set name = excluded.name, name_en = excluded.name_en, region_code = excluded.region_code
    where (source.name, source.name_en, source.region_code)
        is distinct from (excluded.name, excluded.name_en, excluded.region_code)"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a caller may put in another's place: benchmarks their null ledger, tests their clocks. No setting can."""

    account: Account | None = None
    connectors: Mapping[str, Connector] | None = None
    registry: CollectorRegistry | None = None
    seals: Seals | None = None
    sequences: bool = True


def lock_timeout_of(settings: Settings) -> float:
    """Seconds that a body statement waits for a lock: it ends before the request's own deadline does, which would not
    say that it was the ledger."""
    return min(settings.ledger_timeout, 0.8 * settings.database_timeout)


def rates_of(settings: Settings) -> Rates:
    """What one client may ask, of the settings."""
    return Rates(
        client=settings.client_rate,
        client_burst=settings.client_burst,
        public=settings.public_rate,
        public_burst=settings.public_burst,
        token=settings.token_rate,
        token_burst=settings.token_burst,
    )


def bounds_of(settings: Settings) -> Bounds:
    """What connections may take, of the settings: one process's share."""
    return Bounds(
        seconds=settings.client_timeout,
        # Above what the endpoints take: where they can still answer they do, in their own form. Chunks have frames.
        request_bytes=2 * max(settings.max_body_bytes, MAX_BODY) + 512 * KIB,
        connections=settings.max_connections,
        connections_per_address=math.ceil(settings.max_connections_per_address / settings.workers),
    )


def _columns(peers: Sequence[PeerSource]) -> tuple[list[str], ...]:
    """What _PEERS takes."""
    return (
        [peer.code for peer in peers],
        [peer.name for peer in peers],
        [peer.name_en or peer.name for peer in peers],
        [peer.region_code for peer in peers],
    )


def _following(settings: Settings, database: Database, registry: CollectorRegistry) -> Following | None:
    """What follows the platform's changes, where the operator has set it up."""
    platform = settings.region_platform
    if not (platform.base_url and platform.follow_changes):
        return None
    connector = platform_connector(platform)
    return Following(connector, connector.close, database, registry, interval=platform.changes_seconds)


def create_app(settings: Settings, database: Database, parts: Parts | None = None) -> Front:
    """The gateway as an ASGI app. The database must have been prepared (storage.database.prepare)."""
    parts = parts or Parts()
    registry = parts.registry or CollectorRegistry()
    contracts = build_contracts(federation_name=settings.federation_name)
    pools = {
        access.name: Pool(
            database.dsn(access.name),
            size=settings.pool_size,
            timeout=settings.database_timeout,
            # Who reads waits for no lock; above the public view the statement writes its disclosure, too.
            lock_timeout=lock_timeout_of(settings),
            durable=access.disclosed,
        )
        for access in ACCESSES
    }
    # Asked twice by a request for a token, and by others before their own statements: half of the time for each.
    service = Pool(database.dsn("service"), size=settings.pool_size, timeout=settings.database_timeout / 2)
    listener = Listener(database.dsn("service"), registry)
    ledger_pool = Pool(database.dsn("ledger"), size=4, timeout=settings.database_timeout, durable=True)
    ledger = Ledger(ledger_pool, registry, timeout=settings.ledger_timeout)
    log_pool = Pool(database.dsn("log"), size=2, timeout=settings.database_timeout)
    seals = StoredSeals(listener, log_pool, registry)
    pending = PendingRequests(service, BANKS)
    connectors = parts.connectors if parts.connectors is not None else connectors_of(settings, pending)
    # Whose statements carry what sources say.
    statement_log = StatementLog([pools[access.name] for access in ACCESSES if access.disclosed])
    sources = Sources(
        policies(settings),
        connectors,
        service,
        registry,
        consents=StoredConsents(service),
        logging_settings=statement_log.found,
        seals=parts.seals or seals,
    )
    sweepers = (
        Sweeper(service, SWEEP_REPLIES, "kept replies of mutations"),
        Sweeper(service, SWEEP_PENDING, "pending requests at banks"),
    )

    async def sweep() -> None:
        for sweeper in sweepers:
            await sweeper.sweep()

    outbox = Outbox(service, keep_days=settings.changes_keep_days)
    listener.subscribe("outbox", lambda _: outbox.wake(), outbox.wake)
    costs = Costs(CONTRACTS)
    registry.register(costs)
    limits = Limits(
        settings.max_cost,
        settings.max_cost_public,
        given=settings.limits,
        budget=settings.request_budget,
        storage=settings.database_timeout,
        statements=width(os.cpu_count() or 1, settings.workers),
        # Beside them one that reads all, one that is tried alone, and somebody who asks by code.
        lists=max(1, min(LISTS, settings.pool_size - 3)),
    )
    keys = KeyStore(settings.data_dir / "keys")
    log = Published(log_pool, keys)
    receipts = Receipts(log_pool, keys, log, issuer=settings.issuer, origin=settings.log_origin)
    identity = identity_keys(database.secrets)
    engine = Engine(
        contracts,
        pools,
        parts.account or ledger,
        sources,
        limits,
        persisted=Persisted(shipped(), StoredDocuments(service)),
        meter=costs.add,
        sweep=sweep,
        changes=outbox,
        receipts=receipts,
        identity=identity,
        reveal=Identities(service, identity).reveal,
    )

    publisher = Publisher(keys, registry, issuer=settings.issuer, origin=settings.log_origin)
    events = Events(keys, issuer=settings.issuer, origin=settings.log_origin)
    sequencer = Sequencer(database.dsn("log"), registry, publisher.publish, events)
    clients = ClientStore(service)
    tokens = Tokens(keys, issuer=settings.issuer, audience=settings.audience, seconds=settings.token_seconds)
    proofs, issuers = UsedProofs(service), ExternalIssuers(settings.trusted_issuers)
    server = AuthorizationServer(
        issuer=settings.issuer,
        clients=clients,
        tokens=tokens,
        keys=keys,
        assertions=UsedAssertions(service),
        proofs=proofs,
        guesses=Guesses(service),
        mutual_tls=bool(settings.trusted_proxies),
        bound_only=settings.require_bound_tokens,
    )
    peers = Peers(settings.trusted_proxies, settings.proxy_header)
    certificates = ClientCertificates(peers.is_trusted)
    possession = Possession(proofs, required=settings.require_bound_tokens)
    anonymous = replace(ANONYMOUS, only_registered=settings.public_documents == "registered")
    throttle = Throttle(rates_of(settings), peers, workers=settings.workers)
    https = settings.issuer.startswith("https://")
    door = Door(bounds_of(settings), peers, registry, security_headers(https=https))
    seats = Seats(
        most=settings.max_subscriptions,
        client=settings.client_subscriptions,
        public=settings.public_subscriptions,
        workers=settings.workers,
        registry=registry,
    )
    requests = Counter(
        "credit_requests",
        "Requests by view and outcome: ANSWERED, LEFT by the client, or the code",
        ("view", "outcome"),
        registry=registry,
    )
    kept = Kept(listener, registry, size=settings.public_cache_bytes) if settings.public_cache_bytes else None
    if kept is not None:
        door.again = Again(kept, throttle, requests, view=ANONYMOUS.view, ending=door.headers[0])
    endpoint = GraphQLEndpoint(
        engine,
        Authenticator(tokens, clients, possession, issuers=issuers, anonymous=anonymous),
        requests,
        throttle,
        url=comparable(f"{settings.issuer.rstrip('/')}/graphql"),
        certificates=certificates,
        max_body_bytes=settings.max_body_bytes,
        page=graphiql_page(),
        kept=kept,
        again=door.again,
        streams=Streams(seats, lambda: door.stopping),
    )

    following = _following(settings, database, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        listener.start()
        seals.start()
        try:
            # A source that nobody has set up is not healthy; what is set up tells its own health from now on.
            with suppress(StorageUnavailable):  # then nothing answers anyway, and the database is waited for
                await service.execute(_PEERS, _columns(settings.peers))
                await service.execute(_NOT_SET_UP, ([*connectors],))
            outbox.start()
            await seals.ready(1.0)  # what is asked before is kept nowhere
            if parts.sequences:
                sequencer.start()
            if following is not None:
                following.start()
            yield
        finally:
            if following is not None:
                await following.close()
            await sequencer.close()
            await seals.close()
            await listener.close()
            await outbox.close()
            await sources.close()
            await issuers.close()
            await engine.close()
            await ledger.close()
            await asyncio.gather(*[pool.close() for pool in (*pools.values(), service, ledger_pool, log_pool)])

    checks = {name: pool.ping for name, pool in (*pools.items(), ("ledger", ledger_pool), ("service", service))}

    async def warnings() -> list[str]:
        row = await pools["public"].fetchrow("select has_language_privilege('plpgsql', 'usage')::text as open", ())
        told = ["plpgsql is open to every role: revoke usage on language plpgsql from public"] * (
            row["open"] == b"true"
        )
        known = await service.fetchrow(working_days.YEARS, ())
        if BANKS in connectors and (logs := await statement_log.found()):
            told.append(f"banks are not asked while PostgreSQL logs parameters of statements: {logs}")
        told += await log.warnings()
        return told + working_days.warnings_of(known["years"].decode(), known["today"].decode())

    routes: list[Route | Mount] = [
        *oauth_routes(server, certificates, lambda scope: counted_as(peers.client_address(scope))),
        *health_routes(checks, warnings),
        *log_routes(log),
        *receipt_routes(receipts),
        *schema_routes({name: sdl(contract) for name, contract in contracts.items()}),
    ]
    if ASSETS.is_dir():
        routes.append(Mount("/graphql/assets", Assets(directory=ASSETS)))
    rest = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: refuse})
    rest.router.redirect_slashes = False  # its redirects name the host that the client has sent
    rest.state.registry = registry
    return Front(endpoint, rest, throttle, door)
