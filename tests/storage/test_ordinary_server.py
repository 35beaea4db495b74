"""A server of the operator's own: TCP, passwords, a migrate role without superuser, whatever version is installed.

Runs on every PostgreSQL that Debian's packages have put on this machine (15 to 18).
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.engine.account import Disclosure, cells
from gateway.errors import StorageError
from gateway.settings import Settings
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.pool import Pool
from gateway.storage.roles import ROLES, role_name, script

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [None]


def account() -> dict[str, object]:
    """PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


@pytest.fixture(scope="module", params=INSTALLED, ids=lambda path: path.parent.name if path else "none")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An ordinary server; yields the superuser's DSN."""
    programs: Path | None = request.param
    if programs is None:
        pytest.skip("no PostgreSQL of the operating system's packages on this machine")
    folder = tmp_path_factory.mktemp("ordinary")
    for parent in (folder, *folder.parents):  # down from the run's own root; each process of it has a folder more
        parent.chmod(0o755)
        if parent.name.startswith("pytest-of-"):
            break
    data = folder / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
    (folder / "password").write_text("super\n")
    (folder / "password").chmod(0o644)
    run = [str(programs / "initdb"), "-D", str(data), "-U", "super", "-A", "scram-sha-256", "--locale=C.UTF-8"]
    subprocess.run([*run, f"--pwfile={folder / 'password'}"], check=True, capture_output=True, cwd=data, **account())  # type: ignore[call-overload]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
    said = folder / "said"
    with said.open("wb") as log:
        running = subprocess.Popen(  # type: ignore[call-overload]
            [str(programs / "postgres"), "-D", str(data), *options],
            cwd=data,
            stdout=subprocess.DEVNULL,
            stderr=log,
            **account(),
        )
    ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "20"]
    try:
        until = time.monotonic() + 60
        while subprocess.run(ready, check=False, capture_output=True).returncode:
            assert time.monotonic() < until, f"it does not start: {running.poll()} {said.read_text()[-2_000:]}"
            time.sleep(0.05)
        yield f"postgresql://super:super@127.0.0.1:{port}/postgres"
    finally:
        running.terminate()
        running.wait(60)


async def made(server: str, name: str, *, createrole: bool) -> str:
    """A database of a role without superuser; its DSN."""
    superuser = await asyncpg.connect(server)
    try:
        right = "createrole" if createrole else "nocreaterole"
        await superuser.execute(f"create role {name}_owner login nosuperuser {right} password 'owner'")
        await superuser.execute(f"create database {name} owner {name}_owner")
    finally:
        await superuser.close()
    return server.replace("super:super", f"{name}_owner:owner").replace("/postgres", f"/{name}")


def settings(dsn: str, folder: Path) -> Settings:
    return Settings.model_validate({"database_url": dsn, "data_dir": folder})


async def answers(database: Database) -> None:
    """Each view role reads its own schema and nothing else."""
    pool = Pool(database.dsn("public"), size=1)
    try:
        assert (await pool.fetchrow("select count(*) as n from v_public.code_label", ()))["n"] > 50
        with pytest.raises(Exception, match="did not answer"):
            await pool.fetchrow("select count(*) from core.record", ())
    finally:
        await pool.close()


async def discloses(database: Database) -> None:
    """A view's role writes its disclosures, also where functions are planned anew each time (before 18)."""
    values = cells(Disclosure("client", "organisation", "RESTRICTED", "GRANT", "示例〔2026〕1号", "ANSWERED"))
    pool = Pool(database.dsn("restricted"), size=1)
    owner = await asyncpg.connect(database.migrate_dsn)
    try:
        for call in ("disclose_one($1, '{}', '1:1:')", "disclose($1, '', '1:1:')"):
            row = await pool.fetchrow(f"select v_restricted.{call} as disclosed", [values])
            assert row["disclosed"] == 1
        rows = await owner.fetch("select case_number, view, subject_ids from ledger.disclosure")
        assert [tuple(row) for row in rows] == [("示例〔2026〕1号", "RESTRICTED", [])] * 2
    finally:
        await pool.close()
        await owner.close()


async def test_without_superuser(server: str, tmp_path: Path) -> None:
    dsn = await made(server, "plain", createrole=True)
    with open_database(settings(dsn, tmp_path / "state")) as database:
        assert "views" in await prepare(database)
        assert await prepare(database) == []
        await answers(database)
        await discloses(database)


async def test_without_plpgsql_it_says_what_to_grant(server: str, tmp_path: Path) -> None:
    """An administrator who revoked the language from everybody, the owner included."""
    dsn = await made(server, "bare", createrole=True)
    superuser = await asyncpg.connect(server.replace("/postgres", "/bare"))
    try:
        await superuser.execute("revoke usage on language plpgsql from public")
        with open_database(settings(dsn, tmp_path / "state")) as database:
            with pytest.raises(StorageError, match=r"`grant usage on language plpgsql to \"bare_owner\"`"):
                await prepare(database)
            await superuser.execute('grant usage on language plpgsql to "bare_owner"')
            assert "views" in await prepare(database)
    finally:
        await superuser.close()


async def test_with_roles_made_by_an_administrator(server: str, tmp_path: Path) -> None:
    """`migrate --print-roles`, for a policy that lets nobody else make roles."""
    dsn = await made(server, "strict", createrole=False)
    with open_database(settings(dsn, tmp_path / "state")) as database:
        with pytest.raises(StorageError, match="--print-roles"):
            await prepare(database)
        text = script("strict", "strict")
        for role in ROLES:
            name = role_name("strict", role)
            text = text.replace(f"‹{name}›", database.secrets.secret(name))
        superuser = await asyncpg.connect(server.replace("/postgres", "/strict"))
        try:
            await superuser.execute(text)
        finally:
            await superuser.close()
        assert "views" in await prepare(database)
        await answers(database)
        await discloses(database)
