"""What the end-to-end tests stand on: a seeded database, the courts as a process, the gateway on a real port, clients
with keys of their own, and questions over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import datetime as dt
import io
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import uvicorn
from joserfc.jwk import ECKey

from gateway.app import Parts, create_app
from gateway.auth import jose
from gateway.auth.clients import ClientStore
from gateway.auth.registration import Registration, register
from gateway.settings import Settings
from gateway.source_settings import CourtsSource
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.identifiers import uscc_check_digit
from gateway.storage.imports import import_file
from gateway.storage.pool import Pool
from gateway.storage.roles import ROLES, role_name
from gateway.web.server import config
from sandbox.data import make_row
from scripts import make_demo_data
from scripts.served import end
from scripts.source_stage import Upstream
from tests import machine

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
TODAY = dt.datetime.now(ZoneInfo("Asia/Shanghai")).date()
DIVISIONS = ("provinces", "cities", "areas", "local")
GRAPHQL = "application/graphql-response+json"
CASE = "示例博州〔2026〕1号"
KINDS = {"dishonest": 2, "enforcement": 12, "consumption": 1, "judgments": 1}  # rows that the courts have of everybody


def valid(first: str) -> str:
    """A code from its first 17 characters."""
    return first + uscc_check_digit(first)


STRANGER = valid("91652799YL0099999")  # a valid code that nobody ever imported

# Databases -----------------------------------------------------------------------------------------------------------


def on_database(dsn: str, name: str) -> str:
    """The same DSN for another database of the server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def clone(postgres: RunningServer, of: Database, name: str) -> Database:
    """A copy of a database under another name, with the roles of the run's template."""
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(f'create database "{name}" template "{of.name}" owner "{of.prefix}_migrate"')
        # Rights on the database itself are not copied with it.
        await connection.execute(f'revoke all on database "{name}" from public')
        for role in ROLES:
            await connection.execute(f'grant connect on database "{name}" to "{role_name(of.prefix, role)}"')
    finally:
        await connection.close()
    return replace(of, name=name, migrate_dsn=on_database(of.migrate_dsn, name))


async def drop(postgres: RunningServer, name: str) -> None:
    """Drop a copy, whoever is still connected."""
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(f'drop database if exists "{name}" with (force)')
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def superuser(postgres: RunningServer, database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the superuser to a database."""
    connection = await asyncpg.connect(on_database(postgres.dsn(), database.name))
    try:
        yield connection
    finally:
        await connection.close()


async def seed(database: Database, folder: Path) -> None:
    """Divisions, and the synthetic organisations, persons and records, made for today."""
    with contextlib.redirect_stdout(sys.stderr):
        make_demo_data.main(["--today", TODAY.isoformat(), "--out", str(folder)])
    files = [("divisions", DATA / "divisions" / f"{name}.csv") for name in DIVISIONS]
    for kind, path in [*files, *((kind, folder / f"{name}.csv") for kind, name in make_demo_data.FILES)]:
        report = await import_file(
            database, path, kind, mapping=None, rejects=folder / f"{kind}.rejects.csv", entered_by="e2e", progress=None
        )
        assert not report.rejected, path


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Processes -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def process(arguments: list[str], environment: dict[str, str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    running = subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, **environment}, text=True, **more)
    try:
        yield running
    finally:
        end(running, 20)
        for stream in (running.stdout, running.stderr):
            if stream is not None:
                stream.close()


def court_rows(usccs: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the courts about subjects: 2 listings, 12 enforcement cases (two pages), 1 order, 1 judgment of each."""
    return {
        service: [make_row(service, uscc, f"样例{uscc}", index) for uscc in usccs for index in range(count)]
        for service, count in KINDS.items()
    }


@contextlib.contextmanager
def courts_process(folder: Path, usccs: Iterable[str], *more: str) -> Iterator[str]:
    """The courts as a process that knows rows about these subjects; yields its URL."""
    path = folder / "courts-rows.json"
    path.write_text(json.dumps(court_rows(usccs), default=str), encoding="utf-8")
    arguments = [sys.executable, "-m", "sandbox", "--port", "0", "--rows", str(path), *more]
    with process(arguments, {}, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{json.loads(running.stdout.readline())['courts']}"


def courts_source(url: str, **changes: Any) -> CourtsSource:
    """Settings of the courts for a sandbox."""
    given: dict[str, Any] = {
        "base_url": url,
        "requester_id": "gw-bortala-test",
        "app_key": "Hk3-vX9_test-app-key-0123456789ab",
        **{
            f"service_{name}": f"sid-courts-{name}"
            for name in ("dishonest", "enforcement", "consumption", "judgments", "refresh")
        },
        "requests_per_second": 0,
    }
    return CourtsSource(**(given | changes))


# What a test does not set itself: tests ask more than a client may, on machines that pause for seconds.
PLAIN = {"client_rate": 0.0, "public_rate": 0.0, "token_rate": 0.0, "database_timeout": 15.0, "ledger_timeout": 15.0}


class _Server(uvicorn.Server):
    """uvicorn in the test's own loop: signals stay pytest's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, database: Database, parts: Parts | None = None, *, issuer: str | None = None
) -> AsyncIterator[str]:
    """The gateway on a port of its own, in this loop; yields its base URL. The issuer's name has the port, unless it
    goes by another. Where the settings don't say otherwise, nothing is throttled, and the database has time."""
    # asyncio turns Nagle's algorithm off only where the socket names its protocol; else each answer takes 40 ms more.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    changes = {"issuer": issuer or base, **{k: v for k, v in PLAIN.items() if k not in settings.model_fields_set}}
    app = create_app(settings.model_copy(update=changes), database, parts)
    server = _Server(config(app, app.door, lifespan="on", timeout_graceful_shutdown=2))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield base
    finally:
        server.should_exit = True
        await task
        listening.close()


# Clients -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """A registered client with its key."""

    id: str
    key: ECKey
    scope: str
    matter: str


async def make_client(
    database: Database, client_id: str, scope: str, *matters: str, organisation: str, **more: Any
) -> Account:
    """Register a client with a new key."""
    key = ECKey.generate_key("P-256", {"kid": "k1"})
    pool = Pool(database.dsn("service"), size=1)
    try:
        wanted = Registration(
            id=client_id,
            name=client_id,
            organisation_uscc=organisation,
            scopes=(scope,) if scope else (),
            matters=matters,
            jwks={"keys": [key.as_dict(private=False)]},
            **more,
        )
        await register(ClientStore(pool), wanted)
    finally:
        await pool.close()
    return Account(client_id, key, scope, matters[0] if matters else "")


def assertion(account: Account, issuer: str) -> str:
    """A client assertion (RFC 7523) for the issuer."""
    now = int(time.time())
    claims = {"iss": account.id, "sub": account.id, "aud": issuer, "iat": now, "exp": now + 60}
    claims["jti"] = secrets.token_urlsafe(12)
    return jose.sign(claims, account.key, algorithm="ES256", typ="JWT", kid="k1")


def purpose_header(matter: str, case: str) -> str:
    """Credit-Purpose (RFC 9651): a Display String where the case number is not ASCII."""
    if case.isascii():
        return f'matter="{matter}", case="{case}"'
    return f'matter="{matter}", case=%"{quote(case, safe="").lower()}"'


# Questions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """A reply with how long it took (s, pauses of the machine apart)."""

    status: int
    headers: Any
    body: bytes
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def data(self) -> dict[str, Any]:
        """The data of an answer without errors."""
        found = self.json
        assert self.status == 200, (self.status, found)
        assert "errors" not in found, found["errors"]
        data: dict[str, Any] = found["data"]
        return data

    @property
    def code(self) -> str:
        """The code of the first error of a refusal, which has no data."""
        found = self.json
        assert "data" not in found, found
        return str(found["errors"][0]["extensions"]["code"])


@dataclass
class Gateway:
    """A gateway to ask, with the session of its caller."""

    base: str
    session: aiohttp.ClientSession
    tokens: dict[str, str] = field(default_factory=dict)

    async def fetch_token(
        self, account: Account, *, case: str | None = CASE, headers: dict[str, str] | None = None, **more: Any
    ) -> str:
        """An access token by private_key_jwt; with case None it has no purpose."""
        form = {
            "grant_type": "client_credentials",
            "scope": account.scope,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion(account, self.base),
        }
        if case is not None and account.scope:
            detail = {"type": "credit_purpose", "matter": account.matter, "case_number": case, **more}
            form["authorization_details"] = json.dumps([detail], ensure_ascii=False)
        async with self.session.post(f"{self.base}/oauth/token", data=form, headers=headers) as reply:
            found = await reply.json(content_type=None)
            assert reply.status == 200, found
            return str(found["access_token"])

    async def ask(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        view: str | None = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        operation: str | None = None,
        seconds: float = 20,
    ) -> Reply:
        """One question; `view` names a token of this gateway, `token` is one itself."""
        sent = {"accept": GRAPHQL, **(headers or {})}
        token = token if token is not None else self.tokens.get(view or "")
        assert token is not None or view in (None, "public"), f"no token for {view}"
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        body: dict[str, Any] = {"query": query}
        if variables is not None:
            body["variables"] = variables
        if operation is not None:
            body["operationName"] = operation
        sent.setdefault("content-type", "application/json")
        return await self.send("POST", json.dumps(body).encode(), sent, seconds=seconds)

    async def send(
        self,
        method: str,
        body: bytes | None,
        headers: dict[str, str],
        query: str = "",
        *,
        seconds: float = 20,
    ) -> Reply:
        """Anything at all to /graphql."""
        began = machine.seconds()
        async with self.session.request(
            method,
            f"{self.base}/graphql{query}",
            data=io.BytesIO(body) if body else body,  # bytes of this size make aiohttp warn
            headers=headers,
            skip_auto_headers=("Accept", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as reply:
            raw = await reply.read()
            return Reply(reply.status, reply.headers, raw, machine.seconds() - began)


@dataclass(frozen=True)
class Courts(Upstream):
    """The courts' sandbox, by HTTP."""

    async def calls(self) -> list[dict[str, Any]]:
        """Calls that arrived, the refresh of the secret apart."""
        return [call for call in await super().calls() if call["service"] != "refresh"]


@dataclass
class Stack(Gateway):
    """Everything that a module's tests need. `organisations` are those with a valid code, in the file's order."""

    courts: Courts = None  # type: ignore[assignment]
    database: Database = None  # type: ignore[assignment]
    settings: Settings = None  # type: ignore[assignment]
    owner: asyncpg.Connection[asyncpg.Record] = None  # type: ignore[assignment]
    organisations: list[dict[str, str]] = field(default_factory=list)
    clients: dict[str, Account] = field(default_factory=dict)

    @property
    def organ(self) -> str:
        """The organisation that the clients ask for."""
        return next(row["uscc"] for row in self.organisations if row["name"].endswith("发展和改革委员会"))

    def enterprises(self) -> list[str]:
        """Codes of the enterprises."""
        return [row["uscc"] for row in self.organisations if row["subject_kind"] == "ENTERPRISE"]

    async def disclosures(self, case: str) -> list[asyncpg.Record]:
        """Rows of the ledger for a case number."""
        return await self.owner.fetch("select * from ledger.disclosure where case_number = $1 order by at", case)


def script(name: str, *arguments: str) -> tuple[int, dict[str, int], str]:
    """A script run as an operator does, without settings of ours: its status, its counts by name, what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", f"scripts.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-2_000:], sep="\n")
    counts = {found: int(number) for found, number in re.findall(r"^([A-Za-z ,]+?)  +(\d+)", done.stdout, re.MULTILINE)}
    return done.returncode, counts, done.stdout
