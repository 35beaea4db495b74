"""A gateway to attack: its own embedded PostgreSQL, the synthetic data, clients of each view, several workers.

In: a folder that may be thrown away. Out: a Target: base URL, process, tokens of each view, codes on record. Limits
that would answer in the place of what is to be tested are off (LIMITS_OFF).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from joserfc.jwk import ECKey

from gateway.auth import jose
from gateway.auth.clients import ClientStore
from gateway.auth.registration import Registration, register
from gateway.settings import Settings
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.imports import import_file
from gateway.storage.pool import Pool
from gateway.zone import today
from scripts import make_demo_data

ROOT = Path(__file__).resolve().parents[1]
SERVE = (sys.executable, "-c", "from gateway.cli import main; main()", "serve")
READY_SECONDS = 90
_GIVEN_AWAY = 32_768  # from here on Linux gives ports to connections that are being made; others from 49,152 on
LIMITS_OFF = {
    "GATEWAY_CLIENT_RATE": "0",
    "GATEWAY_PUBLIC_RATE": "0",
    "GATEWAY_TOKEN_RATE": "0",
    "GATEWAY_MAX_CONNECTIONS_PER_ADDRESS": "0",
}
CLIENTS = (("restricted", "view:restricted", "GRANT"), ("internal", "view:internal", "SUPERVISION"))
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Target:
    """A gateway that answers."""

    base: str
    pid: int
    tokens: dict[str, str]
    usccs: tuple[str, ...]

    def workers(self) -> list[int]:
        """Process ids of the workers; of the process itself where it has none."""
        return workers_of(self.pid) or [self.pid]


def workers_of(supervisor: int) -> list[int]:
    """Process ids of a gateway's workers, those that are there at this moment."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
    found = []
    for child in children:
        with contextlib.suppress(OSError):  # it may have ended since
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


@contextlib.contextmanager
def served(folder: Path, *, workers: int = 2) -> Iterator[Target]:
    """Serve in `folder` until the end of the block."""
    with open_database(Settings(data_dir=folder / "data")) as database:
        usccs, keys = asyncio.run(furnish(database, folder))
        base = f"http://127.0.0.1:{free_port()}"
        settings = {"GATEWAY_WORKERS": str(workers), "GATEWAY_TOKEN_SECONDS": "900", **LIMITS_OFF}
        # A machine that tests may pause: what it lost is no answer of the database's.
        settings |= {"GATEWAY_DATABASE_TIMEOUT": "15", "GATEWAY_LEDGER_TIMEOUT": "15"}
        running = start(SERVE, folder / "data", base, **settings)
        try:
            yield Target(base, running.pid, asyncio.run(_tokens(base, running, folder, keys)), usccs)
        finally:
            end(running)


async def _tokens(
    base: str, running: subprocess.Popen[bytes], folder: Path, keys: dict[str, tuple[str, str, ECKey]]
) -> dict[str, str]:
    async with aiohttp.ClientSession() as session:
        await ready(session, base, running, folder / "data" / "gateway.log")
        return {name: await fetch_token(session, base, name, *keys[name]) for name in keys}


async def furnish(
    database: Database, folder: Path, clients: Iterable[tuple[str, str, str]] = CLIENTS
) -> tuple[tuple[str, ...], dict[str, tuple[str, str, ECKey]]]:
    """Migrations, synthetic data and `clients` (id, scope, matter); returns codes on record, and of each client scope,
    matter and key."""
    await prepare(database)
    demo = folder / "demo"
    with contextlib.redirect_stdout(sys.stderr):
        make_demo_data.main(["--today", today().isoformat(), "--out", str(demo)])
    files = [("divisions", ROOT / "data" / "divisions" / f"{n}.csv") for n in ("provinces", "cities", "areas", "local")]
    files += [(kind, demo / f"{kind}.csv") for kind in ("organisations", "penalties")]
    for kind, path in files:
        await import_file(
            database, path, kind, mapping=None, rejects=demo / "rejects.csv", entered_by="served", progress=None
        )
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        rows = await connection.fetch("select uscc from core.subject where uscc is not null order by uscc limit 200")
    finally:
        await connection.close()
    usccs = tuple(row["uscc"] for row in rows)
    return usccs, await registered(database, usccs[0], clients)


async def registered(
    database: Database, uscc: str, clients: Iterable[tuple[str, str, str]]
) -> dict[str, tuple[str, str, ECKey]]:
    """`clients` (id, scope, matter) of an organisation, each with a key of its own; of each scope, matter and key."""
    pool = Pool(database.dsn("service"), size=1)
    made = {}
    try:
        for name, scope, matter in clients:
            key = ECKey.generate_key("P-256", {"kid": "k1"})
            jwks = {"keys": [key.as_dict(private=False)]}
            wanted = Registration(name, name, uscc, scopes=(scope,), matters=(matter,), jwks=jwks)
            await register(ClientStore(pool), wanted)
            made[name] = (scope, matter, key)
    finally:
        await pool.close()
    return made


async def fetch_token(
    session: aiohttp.ClientSession, base: str, client: str, scope: str, matter: str | None, key: ECKey
) -> str:
    """An access token; without a matter it has no purpose, and each question brings its own."""
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": base, "iat": now, "exp": now + 60, "jti": secrets.token_hex(16)}
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION,
        "client_assertion": jose.sign(claims, key, algorithm="ES256", typ="JWT", kid="k1"),
    }
    if matter is not None:
        purpose = [{"type": "credit_purpose", "matter": matter, "case_number": "2026-1"}]
        form["authorization_details"] = json.dumps(purpose)
    async with session.post(f"{base}/oauth/token", data=form) as reply:
        found = await reply.json(content_type=None)
        assert reply.status == 200, found
        return str(found["access_token"])


def start(serve: Sequence[str], data_dir: Path, base: str, **settings: str) -> subprocess.Popen[bytes]:
    """The gateway as a process; `settings` by their names in the environment. Its log is gateway.log in `data_dir`."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
        "GATEWAY_DATA_DIR": str(data_dir),
        "GATEWAY_ISSUER": base,
        "GATEWAY_ADMIN_PORT": "0",
        **settings,
    }
    with (data_dir / "gateway.log").open("ab") as log:
        command = [*serve, "--port", base.rpartition(":")[2]]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def end(running: subprocess.Popen[Any], seconds: float = 30) -> None:
    """Ask a process to end, and see that it does: killed where it has not after so many seconds."""
    running.terminate()
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


async def ready(
    session: aiohttp.ClientSession, base: str, running: subprocess.Popen[bytes], log: Path | None = None
) -> None:
    """Wait for /readyz. Raises SystemExit, with the end of its log, where the gateway ended or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{base}/readyz") as reply:
                if reply.status == 200:
                    return
        await asyncio.sleep(0.05)
    raise SystemExit(f"the gateway did not start{_said(log)}")


def _said(log: Path | None) -> str:
    return "" if log is None else f": {log.read_text(encoding='utf-8')[-2_000:]}"


def free_port() -> int:
    """A port that nobody uses."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, in a row. None of those that the kernel gives to connections that are being made: until
    somebody listens on it, one of these may be taken for any of them."""
    while True:
        first = random.randrange(10_000, _GIVEN_AWAY - count)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return list(range(first, first + count))
