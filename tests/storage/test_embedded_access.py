"""Who gets into the embedded PostgreSQL: nobody but root and its own account, by the socket, with a password; and what
is prepared there for the migrations. The tests share one running server, with fsync, as in production.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.storage.embedded import (
    EmbeddedPostgresError,
    RunningServer,
    create_database,
    ensure_migrate_role,
    ensure_running,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with ensure_running(
        tmp_path_factory.mktemp("shared") / "data", extra_settings={"shared_buffers": "16MB"}
    ) as running:
        yield running


async def query(dsn: str, *statements: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def test_every_role_needs_its_password(server: RunningServer) -> None:
    await create_database(server, "doors")
    migrate = await ensure_migrate_role(server, "doors")
    assert await query(migrate, "select 1") == 1
    for user in ("postgres", "doors_migrate", "nobody_at_all"):
        for password in ("", "wrong", server.password[:-1]):
            with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
                await query(server.dsn("doors", user, password), "select 1")
    rules = "select string_agg(concat_ws(' ', type, database, user_name, auth_method), ',') from pg_hba_file_rules"
    assert await query(server.dsn(), rules) == "local {all} {all} scram-sha-256"
    assert await query(server.dsn(), "show listen_addresses") == ""


@needs_root
def test_another_user_of_the_machine_reaches_neither_socket_nor_data(server: RunningServer) -> None:
    stranger = pwd.getpwnam("nobody")
    path = str(server.socket_dir / f".s.PGSQL.{server.port}")

    def refused() -> bool:
        os.setgroups([])
        os.setgid(stranger.pw_gid)
        os.setuid(stranger.pw_uid)
        doors: list[Callable[[], object]] = [
            lambda: os.listdir(server.socket_dir),
            lambda: os.listdir(server.pgdata),
            lambda: os.listdir(server.data_dir / "secrets"),
        ]
        with socket.socket(socket.AF_UNIX) as client:
            doors.append(lambda: client.connect(path))
            for door in doors:
                try:
                    door()
                except PermissionError:
                    continue
                return False
        return True

    child = os.fork()  # not a new program: the interpreter itself may lie where a stranger cannot go
    if child == 0:
        os._exit(0 if refused() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_rights_of_what_is_made(server: RunningServer) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    secrets = server.data_dir / "secrets"
    assert [mode(path) for path in (server.data_dir, secrets, server.pgdata, server.socket_dir)] == [0o700] * 4
    assert {mode(path) for path in [*secrets.iterdir(), *server.data_dir.glob("*.lock")]} == {0o600}
    assert mode(server.socket_dir / ".s.PGSQL.5432") == 0o700


@needs_proc
def test_the_password_shows_nowhere(server: RunningServer) -> None:
    assert server.password not in repr(server)
    for name in ("cmdline", "environ"):
        assert server.password.encode() not in Path(f"/proc/{server.pid}/{name}").read_bytes()
    logs = [server.data_dir / "startup.log", *(server.data_dir / "log").iterdir()]
    assert not any(server.password in path.read_text() for path in logs)


async def test_the_log_holds_no_statements_and_no_values(server: RunningServer) -> None:
    connection = await asyncpg.connect(server.dsn())
    with pytest.raises(asyncpg.DataError):
        await connection.execute("select 'canary-in-statement'::int")
    with pytest.raises(asyncpg.DataError):
        await connection.fetchval("select cast($1::text as int)", "canary-in-parameter")
    await connection.close()
    logs = "".join(path.read_text() for path in (server.data_dir / "log").iterdir())
    assert "ready to accept connections" in logs
    assert "canary" not in logs


async def test_database_and_migrate_role(server: RunningServer) -> None:
    name = 'credit-数据 "x"'

    async def prepare() -> str:
        await create_database(server, name)
        return await ensure_migrate_role(server, name)

    first, *others = await asyncio.gather(*(prepare() for _ in range(8)))  # as workers do that start together
    assert set(others) == {first}
    role = f"{name}_migrate"
    connection = await asyncpg.connect(first)
    try:
        flags = "rolcanlogin, rolcreaterole, rolsuper, rolcreatedb, rolreplication, rolbypassrls"
        row = await connection.fetchrow(f"select {flags} from pg_roles where rolname = current_user")
        assert row is not None
        assert tuple(row) == (True, True, False, False, False, False)
        owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        assert await connection.fetchval(owner) == role
        await connection.execute("create extension pg_trgm; create extension btree_gist; create schema core")
        assert await connection.fetchval("select cardinality(show_trgm('博海化工'))") == 5
        await connection.execute("create role somebody")
        for right in ("create", "temporary"):
            assert not await connection.fetchval(f"select has_database_privilege('somebody', $1, '{right}')", name)
        assert not await connection.fetchval("select has_schema_privilege('somebody', 'public', 'create')")
        assert not await connection.fetchval("select has_language_privilege('somebody', 'plpgsql', 'usage')")
        await connection.execute("do $$ begin end $$")  # it makes triggers; nobody else may
        assert await connection.fetchval("select current_setting('server_encoding')") == "UTF8"
    finally:
        await connection.close()


async def test_what_is_as_it_should_be_is_not_written_again(server: RunningServer) -> None:
    await create_database(server, "settled")
    await ensure_migrate_role(server, "settled")
    rows = "select concat_ws(' ', d.xmin, r.xmin) from pg_database d, pg_authid r"
    rows += " where datname = 'settled' and rolname = 'settled_migrate'"
    before = await query(server.dsn(), rows)
    await create_database(server, "settled")
    await ensure_migrate_role(server, "settled")
    assert await query(server.dsn(), rows) == before


async def test_a_migrate_role_follows_its_file(server: RunningServer) -> None:
    await create_database(server, "follows")
    before = await ensure_migrate_role(server, "follows")
    await query(server.dsn(), "alter role follows_migrate password 'x' superuser", "select 1")
    assert await ensure_migrate_role(server, "follows") == before
    assert await query(before, "select rolsuper from pg_roles where rolname = current_user") is False


@pytest.mark.parametrize("name", ["", "x" * 64, "a\0b"])
async def test_names_that_postgresql_would_change_are_refused(server: RunningServer, name: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match="cannot name"):
        await create_database(server, name)
