"""A gateway with all four sources behind it: sandboxes as processes, what they know, and someone who asks.

In: a folder that may be thrown away. Out: a Stage, of which `asker()` asks over HTTP; `upstreams` take faults and tell
what they were asked. Used by scripts.source_faults and by tests of sources, end to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from joserfc.jwk import ECKey

from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.zone import today
from sandbox.banks import DEV_BANKS_CLIENT_ID, DEV_BANKS_CLIENT_SECRET
from sandbox.courts import DEV_APP_KEY, DEV_RID, DEV_SIDS
from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_PRIVATE_JWK, DEV_PEER_REGION
from sandbox.region_platform import DEV_PLATFORM_APP_KEY, DEV_PLATFORM_SECRET
from scripts import served
from scripts.served import ROOT, SERVE
from scripts.source_knowledge import BANKS, COURTS, NAMES, PEER, PLATFORM, SOURCES, Knowledge
from scripts.storage_faults import gateway, postgres

MATTER = "GRANT"
SESSION = aiohttp.ClientTimeout(total=30)

# Processes -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def sandboxes(folder: Path, arguments: Sequence[str], *, apart: bool = True) -> Iterator[dict[str, str]]:
    """The upstreams as processes, by default one each, so that none is slow for what another does; their URLs."""
    command = [sys.executable, "-m", "sandbox", *arguments]
    with contextlib.ExitStack() as stack, (folder / "sandbox.log").open("ab") as log:
        running: list[subprocess.Popen[str]] = []
        for _ in SOURCES if apart else SOURCES[:1]:
            made = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=log)
            stack.callback(_end, made)
            running.append(made)
        ports = []
        for each in running:
            assert each.stdout is not None
            ports.append(json.loads(each.stdout.readline()))
        yield {
            source: f"http://127.0.0.1:{ports[place if apart else 0][NAMES[source]]}"
            for place, source in enumerate(SOURCES)
        }


def _end(running: subprocess.Popen[str]) -> None:
    served.end(running, 10)
    if running.stdout is not None:
        running.stdout.close()


def settings_of(urls: Mapping[str, str], folder: Path, **limits: Any) -> dict[str, str]:
    """The gateway's settings for the upstreams at `urls`, by name without GATEWAY_; `limits` are every source's."""
    key = folder / "peer-key.json"
    key.write_text(json.dumps(dict(DEV_PEER_PRIVATE_JWK)), encoding="utf-8")
    limits = {"requests_per_second": 0, "concurrency": 64, "connect_timeout": 0.4, **limits}
    kept = {name: value for name, value in limits.items() if not name.endswith("fresh_seconds")}
    kept = {name: value for name, value in kept.items() if name != "stale_seconds"}
    region = DEV_PEER_REGION
    peer = {
        **limits,
        "code": PEER,
        "name": f"{region['name']}示例网关",
        "region_code": region["code"],
        "region_name": region["name"],
        "base_url": urls[PEER],
        "issuer": urls[PEER],
        "client_id": DEV_PEER_CLIENT_ID,
        "key_file": str(key),
        "matters": [MATTER],
    }
    own: dict[str, Mapping[str, Any]] = {
        "courts": {
            **limits,
            "base_url": urls[COURTS],
            "requester_id": DEV_RID,
            "app_key": DEV_APP_KEY,
            **{f"service_{service}": sid for service, sid in DEV_SIDS.items()},
        },
        "banks": {
            **kept,
            "base_url": urls[BANKS],
            "client_id": DEV_BANKS_CLIENT_ID,
            "client_secret": DEV_BANKS_CLIENT_SECRET,
        },
        "region_platform": {
            **limits,
            "base_url": urls[PLATFORM],
            "app_key": DEV_PLATFORM_APP_KEY,
            "secret": DEV_PLATFORM_SECRET,
            "follow_changes": "false",
        },
    }
    flat = {f"{group}__{name}": str(value) for group, given in own.items() for name, value in given.items()}
    return {**flat, "peers": json.dumps([peer], ensure_ascii=False)}


@dataclass(frozen=True)
class Furnished:
    """A PostgreSQL with the synthetic data and clients, and nobody in front of it yet."""

    server: RunningServer
    database: Database
    data_dir: Path
    keys: Mapping[str, tuple[str, str, ECKey]]
    organisation: str  # whose clients they are
    usccs: tuple[str, ...]  # on record, with records

    @property
    def log(self) -> Path:
        """What the gateway has written on stdout and stderr."""
        return self.data_dir / "gateway.log"

    async def owner(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection of the superuser."""
        return await asyncpg.connect(self.server.dsn(self.database.name))


CLIENTS = (("asker", "view:restricted", MATTER),)


@contextlib.contextmanager
def furnished(folder: Path, clients: Iterable[tuple[str, str, str]] = CLIENTS) -> Iterator[Furnished]:
    """PostgreSQL without fsync, migrated and filled."""
    with postgres(folder, fsync=False) as (server, database, data_dir):

        async def fill() -> Furnished:
            codes, keys = await served.furnish(database, data_dir, clients)
            connection = await asyncpg.connect(database.migrate_dsn)
            try:
                rows = await connection.fetch(
                    "select s.uscc from core.subject s where s.uscc is not null and exists"
                    " (select from core.record r where r.subject_id = s.id) order by s.uscc"
                )
            finally:
                await connection.close()
            return Furnished(server, database, data_dir, keys, codes[0], tuple(row["uscc"] for row in rows))

        yield asyncio.run(fill())


@dataclass
class Stage:
    """A gateway that runs, its upstreams, and what they know."""

    of: Furnished
    base: str
    running: subprocess.Popen[bytes]
    urls: Mapping[str, str]
    knowledge: Knowledge

    @contextlib.asynccontextmanager
    async def asker(self, client: str = "asker") -> AsyncIterator[Asker]:
        """Someone with a token of a client, once the gateway is ready; upstreams are healed at the end."""
        async with aiohttp.ClientSession(timeout=SESSION) as session:
            await served.ready(session, self.base, self.running, self.of.log)
            token = await served.fetch_token(session, self.base, client, *self.of.keys[client])
            made = Asker(self.base, session, token, self.of.organisation)
            made.upstreams = {source: Upstream(url, session) for source, url in self.urls.items()}
            try:
                yield made
            finally:
                with contextlib.suppress(aiohttp.ClientError):
                    await made.heal()


@contextlib.contextmanager
def serving(
    of: Furnished,
    urls: Mapping[str, str],
    knowledge: Knowledge,
    *,
    workers: int = 1,
    serve: Sequence[str] = SERVE,
    more: Mapping[str, str] | None = None,
    **limits: Any,
) -> Iterator[Stage]:
    """The gateway as a process, on a port of its own."""
    # What is measured and tested is how sources are waited for: the database has time on any machine.
    patient = {"database_timeout": "15", "ledger_timeout": "15"}
    settings = {"token_seconds": "900", **patient, **settings_of(urls, of.data_dir, **limits), **(more or {})}
    with gateway(of.data_dir, of.database.migrate_dsn, workers, serve=serve, **settings) as (base, running):
        yield Stage(of, base, running, urls, knowledge)


# Questions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Upstream:
    """A sandbox, by HTTP."""

    url: str
    session: aiohttp.ClientSession

    async def fault(self, fault: str, service: str = "*", **more: Any) -> None:
        """The next calls go wrong."""
        async with self.session.post(f"{self.url}/_faults", json={"service": service, "fault": fault, **more}) as reply:
            assert reply.status == 201, await reply.text()

    async def heal(self) -> None:
        """No fault, and no call remembered."""
        for path in ("_faults", "_calls"):
            async with self.session.delete(f"{self.url}/{path}") as reply:
                assert reply.status == 204

    async def calls(self) -> list[dict[str, Any]]:
        """Calls that arrived."""
        async with self.session.get(f"{self.url}/_calls") as reply:
            found: list[dict[str, Any]] = await reply.json()
        return found


@dataclass(frozen=True)
class Reply:
    """An answer of the gateway, and how long it took (s)."""

    status: int
    body: bytes
    seconds: float

    @property
    def data(self) -> dict[str, Any]:
        """The data of an answer without errors."""
        found = json.loads(self.body)
        assert self.status == 200, (self.status, found)
        assert "errors" not in found, found
        data: dict[str, Any] = found["data"]
        return data

    @property
    def subject(self) -> dict[str, Any]:
        found: dict[str, Any] = self.data["subject"]
        return found


RECORD = "mutation Record($input: RecordConsentInput!) { recordConsent(input: $input) { consentId } }"


@dataclass
class Asker:
    """A client with its token; empty: the public."""

    base: str
    session: aiohttp.ClientSession
    token: str
    organisation: str
    upstreams: dict[str, Upstream] = field(default_factory=dict)

    async def ask(self, query: str, variables: Mapping[str, Any] | None = None, **headers: str) -> Reply:
        """One question, by POST; the headers' names with _ for -."""
        sent = {"accept": "application/graphql-response+json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["authorization"] = f"Bearer {self.token}"
        body = {"query": query, "variables": dict(variables or {})}
        began = time.monotonic()
        async with self.session.post(f"{self.base}/graphql", json=body, headers=sent) as reply:
            return Reply(reply.status, await reply.read(), time.monotonic() - began)

    async def consent(self, uscc: str, **changes: Any) -> str:
        """Record a consent to this client's organisation; its id."""
        day = today()
        given = {
            "uscc": uscc,
            "granteeUscc": self.organisation,
            "matter": MATTER,
            "scope": ["BANKS"],
            "validFrom": day.isoformat(),
            "validTo": (day + dt.timedelta(days=100)).isoformat(),
            "documentSha256": "ab" * 32,
            "method": "PAPER_SIGNED",
            **changes,
        }
        reply = await self.ask(RECORD, {"input": given}, idempotency_key=secrets.token_hex(16))
        return str(reply.data["recordConsent"]["consentId"])

    async def heal(self) -> None:
        """No upstream has a fault, or remembers a call."""
        await asyncio.gather(*(upstream.heal() for upstream in self.upstreams.values()))
