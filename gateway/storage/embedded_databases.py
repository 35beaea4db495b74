"""What the superuser of the embedded server does once per database; all else is the migrations' work.

On a server of the operator's own an administrator does the same by hand (`migrate --print-roles`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg

from gateway.storage.embedded_errors import EmbeddedPostgresError
from gateway.storage.embedded_server import RunningServer
from gateway.storage.secrets import scram_matches, scram_verifier

_TIMEOUT = 30.0  # seconds to connect, and for each statement
_LONGEST_NAME = 63  # bytes of an identifier: PostgreSQL would cut it silently


async def create_database(server: RunningServer, name: str) -> None:
    """Make the database `name` if it is missing, and take from PUBLIC what only owners need. Idempotent.

    PUBLIC loses CREATE and TEMPORARY on the database, CREATE on schema public, and plpgsql: no view's role can make
    anything or run a program. Migrations therefore write functions in SQL alone.
    """
    quoted = _identifier(name)
    async with _superuser(server, "postgres") as connection:
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", name):
            # Another process may be as fast as this one, and PostgreSQL tells it in either of two ways.
            with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f"create database {quoted} template template0 encoding 'UTF8'")
    async with _superuser(server, name) as connection, connection.transaction():
        await _one_at_a_time(connection, name)
        await connection.execute(f"revoke create, temporary on database {quoted} from public")
        await connection.execute("revoke create on schema public from public")
        await connection.execute("revoke usage on language plpgsql from public")


async def ensure_migrate_role(server: RunningServer, database: str) -> str:
    """Make the role that owns `database` and runs its migrations; returns its DSN (with its password). Idempotent.

    `<database>_migrate` may create roles, and is neither superuser nor may it create databases. Its password is kept in
    the data directory's secrets under the role's name.
    """
    role = f"{database}_migrate"
    quoted = _identifier(role)
    password = server.secrets.secret(role)
    async with _superuser(server, database) as connection, connection.transaction():
        await _one_at_a_time(connection, role)
        existing = await connection.fetchrow("select rolpassword from pg_authid where rolname = $1", role)
        if existing is None:
            await connection.execute(f"create role {quoted}")
        attributes = "login createrole nosuperuser nocreatedb noreplication nobypassrls"
        verifier = None if existing is None else existing["rolpassword"]
        if not scram_matches(verifier, password):
            attributes += f" password '{scram_verifier(password)}'"
        await connection.execute(f"alter role {quoted} {attributes}")
        await connection.execute(f"alter database {_identifier(database)} owner to {quoted}")
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


async def _one_at_a_time(connection: asyncpg.Connection, what: str) -> None:
    """Catalogue rows cannot be changed by two transactions at once ("tuple concurrently updated"): queue instead."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", f"credit-gateway {what}")


def _identifier(name: str) -> str:
    if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise EmbeddedPostgresError(f"{name!r} cannot name a database or role: 1 to {_LONGEST_NAME} bytes, please")
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
