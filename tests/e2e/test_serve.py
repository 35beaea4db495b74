"""Promises of `credit-gateway serve` as a process: two workers on one port answer, each its part of the connections, a
killed one is replaced and takes no connection with it that comes later, a client that the command line disables is
refused by every worker within two seconds, and SIGTERM ends it with status 0."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from e2e_stack import (
    CASE,
    GRAPHQL,
    PLAIN,
    ROOT,
    TODAY,
    Account,
    Gateway,
    make_client,
    process,
    rows_of,
)

from gateway.auth.clients import ClientStore
from gateway.auth.documents import StoredDocuments
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from scripts.served import free_ports
from tests import machine

QUESTION = "query Q($uscc: Uscc!) { subject(uscc: $uscc) { name records { totalCount } } viewer { view } }"
SECONDS = 60


@dataclass
class Server:
    """The process, its base URL, its metrics' ports, its log and the environment of its commands."""

    running: subprocess.Popen[str]
    base: str
    admin: list[int]
    log: Path
    environment: dict[str, str]
    uscc: str
    organ: str

    def workers(self) -> set[int]:
        """Process ids of the workers."""
        pid = self.running.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        found = set()
        for child in children:
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(int(child))
        return found


def still_there(pids: set[int]) -> set[int]:
    """Those of the processes that have not ended."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]


@pytest.fixture(scope="module")
async def server(
    world: Database, seeded: tuple[Database, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    shutil.copytree(world.secrets.folder, folder / "secrets")  # the passwords of the roles
    port, *admin = free_ports(3)
    organisations = [row for row in rows_of(seeded[1] / "organisations.csv") if row["uscc"]]
    environment = {
        "GATEWAY_DATA_DIR": str(folder),
        "GATEWAY_DATABASE_URL": world.migrate_dsn,
        "GATEWAY_ROLE_PREFIX": world.prefix,
        "GATEWAY_ISSUER": f"http://127.0.0.1:{port}",
        "GATEWAY_ADMIN_PORT": str(admin[0]),
        **{f"GATEWAY_{name.upper()}": str(value) for name, value in PLAIN.items()},
    }
    log = folder / "serve.log"
    with (
        log.open("w", encoding="utf-8") as file,
        process(command("serve", "--workers", "2", "--port", str(port)), environment, stderr=file) as running,
    ):
        made = Server(
            running, f"http://127.0.0.1:{port}", admin, log, environment,
            organisations[-1]["uscc"], organisations[0]["uscc"],
        )  # fmt: skip
        await ready(made)
        yield made


async def ready(server: Server) -> None:
    """Both workers' metrics answer, and so does /readyz."""
    deadline = time.monotonic() + SECONDS
    async with aiohttp.ClientSession() as session:
        for url in (f"{server.base}/readyz", *(f"http://127.0.0.1:{port}/metrics" for port in server.admin)):
            while True:
                assert server.running.poll() is None, server.log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, server.log.read_text(encoding="utf-8")
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as reply:
                        if reply.status == 200:
                            break
                await asyncio.sleep(0.1)


async def disclosed(session: aiohttp.ClientSession, server: Server) -> list[int]:
    """Answers of each worker in the restricted view, from its metrics."""
    found = []
    for port in server.admin:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as reply:
            text = await reply.text()
        (count,) = re.findall(
            r'^credit_requests_total{outcome="ANSWERED",view="RESTRICTED"} ([0-9.]+)', text, re.MULTILINE
        )
        found.append(int(float(count)))
    return found


@contextlib.asynccontextmanager
async def connections(server: Server, count: int) -> AsyncIterator[list[Gateway]]:
    """Callers that keep one connection each, and with it their worker."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            Gateway(
                server.base,
                await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))),
            )
            for _ in range(count)
        ]


async def client_of(server: Server, world: Database, name: str) -> Account:
    return await make_client(world, name, "view:restricted", "GRANT", organisation=server.organ)


async def everyone_served(server: Server, callers: list[Gateway], token: str) -> list[int]:
    """Ask with all connections at once until both workers have answered; returns the statuses of the last round.

    On a busy machine one worker may take all connections that wait, and a connection stays with its worker: then all
    are closed and made anew.
    """

    async def round_(**headers: str) -> list[int]:
        asked = (caller.ask(QUESTION, {"uscc": server.uscc}, token=token, headers=headers) for caller in callers)
        return [reply.status for reply in await asyncio.gather(*asked)]

    for _ in range(20):
        before = await disclosed(callers[0].session, server)
        statuses = await round_()
        after = await disclosed(callers[0].session, server)
        if all(now > then for now, then in zip(after, before, strict=True)):
            return statuses
        await round_(connection="close")
    raise AssertionError(f"one worker got everything: {before} {after}")


async def test_two_workers_answer(server: Server, world: Database) -> None:
    assert len(server.workers()) == 2
    account = await client_of(server, world, "serve-answers")
    async with connections(server, 40) as callers:
        token = await callers[0].fetch_token(account)
        assert set(await everyone_served(server, callers, token)) == {200}
        async with callers[0].session.get(f"{server.base}/schema/restricted.graphql") as reply:
            assert "type CreditRecordConnection" in await reply.text()


async def test_two_workers_do_what_has_one_key_once(server: Server, world: Database) -> None:
    account = await client_of(server, world, "serve-changes")
    query = "mutation ($input: RecordConsentInput!) { recordConsent(input: $input) { consentId } }"
    consent = {
        "uscc": server.uscc,
        "granteeUscc": server.organ,
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": TODAY.isoformat(),
        "validTo": (TODAY + dt.timedelta(days=30)).isoformat(),
        "documentSha256": "0" * 64,
        "method": "PAPER_SIGNED",
    }
    async with connections(server, 40) as callers:
        token = await callers[0].fetch_token(account)
        assert set(await everyone_served(server, callers, token)) == {200}
        key = {"idempotency-key": "of-two-workers"}
        asked = (caller.ask(query, {"input": consent}, token=token, headers=key) for caller in callers)
        replies = await asyncio.gather(*asked)
        assert {reply.status for reply in replies} == {200}
        assert len({reply.body for reply in replies}) == 1
        listed = await callers[0].ask("{ viewer { consents { totalCount } } }", token=token)
        assert listed.data == {"viewer": {"consents": {"totalCount": 1}}}


async def test_connections_are_spread_over_the_workers(server: Server) -> None:
    async with connections(server, 40) as callers:
        for caller in callers:  # one after the other: a worker that is idle would take all of them
            async with caller.session.get(f"{server.base}/healthz") as reply:
                assert reply.status == 200
        found = []
        for port in server.admin:
            async with callers[0].session.get(f"http://127.0.0.1:{port}/metrics") as reply:
                (count,) = re.findall(r"^credit_connections ([0-9.]+)", await reply.text(), re.MULTILINE)
                found.append(int(float(count)))
    print(f"of 40 connections: {found}")
    assert sum(found) >= 39  # the first caller's own went to the metrics
    assert min(found) >= 7  # fewer happens once in a hundred thousand runs, where each is as likely


async def test_a_disabled_client_is_refused_by_every_worker_within_two_seconds(server: Server, world: Database) -> None:
    account = await client_of(server, world, "serve-disabled")
    async with connections(server, 40) as callers:
        token = await callers[0].fetch_token(account)
        stop = asyncio.Event()
        refused: list[float | None] = [None] * len(callers)

        async def go_on(number: int) -> None:
            """What this connection meets, until the end: once refused, always refused."""
            while not stop.is_set():
                reply = await callers[number].ask(QUESTION, {"uscc": server.uscc}, token=token)
                if reply.status == 401:
                    if refused[number] is None:
                        refused[number] = machine.seconds()
                else:
                    assert reply.status == 200
                    assert refused[number] is None
                await asyncio.sleep(0.1)

        assert set(await everyone_served(server, callers, token)) == {200}
        tasks = [asyncio.create_task(go_on(number)) for number in range(len(callers))]
        line = command("clients", "disable", account.id)
        done = await asyncio.create_subprocess_exec(
            *line, cwd=ROOT, env=os.environ | server.environment, stderr=asyncio.subprocess.PIPE
        )
        _, said = await done.communicate()
        disabled = machine.seconds()
        assert done.returncode == 0, said
        while machine.seconds() < disabled + 2.2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*tasks)
        late = [None if at is None else round(at - disabled, 2) for at in refused]
        print(f"refused at, s after the command ended: {sorted(late, key=str)}")
        assert all(seconds is not None and seconds < 2 for seconds in late)


async def test_what_is_registered_holds_in_every_worker_within_two_seconds(server: Server, world: Database) -> None:
    """A document, that a client may send no other, and that it is taken out again: without a restart."""
    text = "query Registered { viewer { view } }"
    hash_ = hashlib.sha256(text.encode()).hexdigest()
    row = {"id": "Registered", "sha256": hash_, "name": "Registered", "body": text}
    account = await client_of(server, world, "serve-documents")
    pool = Pool(world.dsn("service"), size=1)
    try:
        async with connections(server, 40) as callers:
            token = await callers[0].fetch_token(account)
            sent = {"accept": GRAPHQL, "content-type": "application/json", "authorization": f"Bearer {token}"}

            async def codes(**body: str) -> set[str]:
                asked = (caller.send("POST", json.dumps(body).encode(), dict(sent)) for caller in callers)
                return {reply.code if reply.status != 200 else "200" for reply in await asyncio.gather(*asked)}

            assert set(await everyone_served(server, callers, token)) == {200}
            missing = {"PERSISTED_DOCUMENT_NOT_FOUND"}
            assert await codes(documentId="Registered") == missing
            await StoredDocuments(pool).add(account.id, [row])
            await ClientStore(pool).set_use(account.id, documents="REGISTERED", limits=None)
            await asyncio.sleep(2)
            assert await codes(documentId="Registered") == await codes(documentId=f"sha256:{hash_}") == {"200"}
            assert await codes(query=QUESTION) == missing
            await StoredDocuments(pool).remove(account.id, ["Registered"])
            await asyncio.sleep(2)
            assert await codes(documentId="Registered") == missing
    finally:
        await pool.close()


async def test_a_killed_worker_is_replaced(server: Server, world: Database) -> None:
    account = await client_of(server, world, "serve-killed")
    before = server.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while len(server.workers() - {victim}) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert len(server.workers() & before) == 1
    # Its socket went with it: nobody waits in a queue that no process empties.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for _ in range(40):
            async with session.get(f"{server.base}/healthz", timeout=aiohttp.ClientTimeout(total=30)) as reply:
                assert reply.status == 200
    await ready(server)
    async with connections(server, 40) as callers:
        token = await callers[0].fetch_token(account)
        assert set(await everyone_served(server, callers, token)) == {200}
    assert "ended with status -9; starting another" in server.log.read_text(encoding="utf-8")


async def test_sigterm_ends_it_cleanly(server: Server, world: Database) -> None:
    account = await client_of(server, world, "serve-ends")
    workers = server.workers()
    async with connections(server, 10) as callers:
        token = await callers[0].fetch_token(account, case=CASE)
        asked = [asyncio.create_task(c.ask(QUESTION, {"uscc": server.uscc}, token=token)) for c in callers]
        replies = await asyncio.gather(*asked)
        assert {reply.status for reply in replies} == {200}
        assert replies[0].headers["content-type"].startswith(GRAPHQL)
        began = time.monotonic()
        server.running.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(server.running.wait, 60)
    print(f"ended {time.monotonic() - began:.2f} s after SIGTERM")
    said = server.log.read_text(encoding="utf-8")
    assert status == 0, said
    assert "Traceback" not in said, said
    assert not still_there(workers)
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as session, session.get(f"{server.base}/healthz"):
            pass


def test_one_worker_ends_cleanly_and_lets_the_embedded_server_go(tmp_path: Path) -> None:
    """SIGTERM, as systemd and docker send it: status 0, and the last holder has stopped PostgreSQL."""
    port, admin = free_ports(2)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GATEWAY_")}
    environment |= {"GATEWAY_DATA_DIR": str(tmp_path / "data"), "GATEWAY_ADMIN_PORT": str(admin)}
    arguments = command("serve", "--port", str(port))
    running = subprocess.Popen(arguments, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        assert any("startup complete" in line for line in running.stderr)
        postmaster = int((tmp_path / "data" / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        assert Path(f"/proc/{postmaster}").exists()
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=SECONDS)
        assert running.returncode == 0
        assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_of_metrics_that_is_taken_is_told_before_anything_starts(tmp_path: Path, workers: str) -> None:
    """Which setting to change, on the last line; no traceback, and no worker that is started again and again."""
    (port,) = free_ports(1)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GATEWAY_")}
    place, *_ = own = free_ports(int(workers))
    with socket.create_server(("127.0.0.1", own[-1])):  # the last one's
        environment |= {"GATEWAY_DATA_DIR": str(tmp_path / "data"), "GATEWAY_ADMIN_PORT": str(place)}
        arguments = command("serve", "--port", str(port), "--workers", workers)
        done = subprocess.run(
            arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"error: cannot listen on 127.0.0.1:{place + int(workers) - 1}: Address already in use;"
        " set GATEWAY_ADMIN_HOST, GATEWAY_ADMIN_PORT"
    )
    assert "Traceback" not in done.stderr
