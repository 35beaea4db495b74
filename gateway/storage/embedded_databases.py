"""What the superuser of the embedded server does once per database; all else is the migrations' work.

On a server of the operator's own an administrator does the same by hand (`migrate --print-roles`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg

from gateway.storage.embedded_errors import EmbeddedPostgresError
from gateway.storage.embedded_server import RunningServer
from gateway.storage.roles import LARGE_OBJECTS
from gateway.storage.secrets import scram_matches, scram_verifier

_TIMEOUT = 30.0  # seconds to connect, and for each statement
_AS_IT_SHOULD_BE = "rolcanlogin and rolcreaterole and not (rolsuper or rolcreatedb or rolreplication or rolbypassrls)"
_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
_LONGEST_NAME = 63  # bytes of an identifier: PostgreSQL would cut it silently


async def create_database(server: RunningServer, name: str) -> None:
    """Make the database `name` if it is missing, and take from PUBLIC what only owners need. Idempotent.

    PUBLIC loses CREATE and TEMPORARY on the database, CREATE on schema public, plpgsql and large objects: no view's
    role can make anything or run a program. Migrations write functions in SQL; for triggers, which can't
    be, the migrate role has plpgsql (`ensure_migrate_role`).
    """
    quoted = _identifier(name)
    async with _superuser(server, "postgres") as connection:
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", name):
            # Another process may be as fast as this one, and PostgreSQL tells it in either of two ways.
            with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f"create database {quoted} template template0 encoding 'UTF8'")
    async with _superuser(server, name) as connection, connection.transaction():
        await _one_at_a_time(connection)
        for test, rights, on in (
            ("has_database_privilege('public', current_database(), $1)", "create, temporary", f"database {quoted}"),
            ("has_schema_privilege('public', 'public', $1)", "create", "schema public"),
            ("has_language_privilege('public', 'plpgsql', $1)", "usage", "language plpgsql"),
        ):
            if await connection.fetchval(f"select {test}", rights):  # any of them
                await connection.execute(f"revoke {rights} on {on} from public")
        open_to_all = await connection.fetch(
            "select oid::regprocedure::text as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace"
            " and (oid = any ($1::regprocedure[]) or proname = 'pg_logical_emit_message')"
            " and has_function_privilege('public', oid, 'execute')",
            list(LARGE_OBJECTS),
        )
        for row in open_to_all:
            await connection.execute(f"revoke execute on function {row['name']} from public")


async def ensure_migrate_role(server: RunningServer, database: str) -> str:
    """Make the role that owns `database` and runs its migrations; returns its DSN (with its password). Idempotent.

    `<database>_migrate` may create roles, and is neither superuser nor may it create databases. Its password is kept in
    the data directory's secrets under the role's name.
    """
    role = f"{database}_migrate"
    quoted = _identifier(role)
    password = server.secrets.secret(role)
    async with _superuser(server, database) as connection, connection.transaction():
        await _one_at_a_time(connection)
        if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", role):
            await connection.execute(f"create role {quoted}")
        if not await connection.fetchval(f"select {_AS_IT_SHOULD_BE} from pg_roles where rolname = $1", role):
            attributes = "login createrole nosuperuser nocreatedb noreplication nobypassrls"
            await connection.execute(f"alter role {quoted} {attributes}")
        verifier = await connection.fetchval("select rolpassword from pg_authid where rolname = $1", role)
        if not scram_matches(verifier, password):
            await connection.execute(f"alter role {quoted} password '{scram_verifier(password)}'")
        if await connection.fetchval(_OWNER) != role:
            await connection.execute(f"alter database {_identifier(database)} owner to {quoted}")
        if not await connection.fetchval("select has_language_privilege($1, 'plpgsql', 'usage')", role):
            await connection.execute(f"grant usage on language plpgsql to {quoted}")  # for triggers
    return server.dsn(database, role, password)


@contextlib.asynccontextmanager
async def _superuser(server: RunningServer, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as superuser. Failures to connect become ours: asyncpg's may quote the DSN's parts."""
    try:
        connection = await asyncpg.connect(server.dsn(database), timeout=_TIMEOUT, command_timeout=_TIMEOUT)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        raise EmbeddedPostgresError(
            f"cannot connect to the embedded PostgreSQL in {server.socket_dir} ({type(exc).__name__}): see "
            f"{server.data_dir / 'log'}, and whether secrets/{server.user} belongs to this data"
        ) from None
    try:
        yield connection
    finally:
        await connection.close(timeout=_TIMEOUT)


async def _one_at_a_time(connection: asyncpg.Connection) -> None:
    """Processes that prepare this database queue here until the transaction ends.

    A row of a catalogue cannot be changed by two transactions at once ("tuple concurrently updated"). For the same
    reason nothing is written that is as it should be: migrations may be granting rights meanwhile.
    """
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('credit-gateway: prepare database', 0))")


def _identifier(name: str) -> str:
    if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise EmbeddedPostgresError(f"{name!r} cannot name a database or role: 1 to {_LONGEST_NAME} bytes, please")
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
