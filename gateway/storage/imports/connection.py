"""The connection of an import: the role, the lock, and what becomes of the database's errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg

from gateway.errors import StorageError
from gateway.storage.database import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
IMPORT_LOCK = 0x6372656469746769  # "creditgi": one writer of subjects and records at a time in a database


@contextlib.asynccontextmanager
async def import_connection(database: Database, *, lock: bool = True) -> AsyncIterator[Connection]:
    """A connection of the import role that holds the lock; errors of the database become StorageError."""
    try:
        connection = await asyncpg.connect(
            database.dsn("import"), timeout=10, server_settings={"application_name": "credit-gateway import"}
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise StorageError(
            f"cannot connect to database {database.name} as its import role: {error}; was `credit-gateway migrate` run?"
        ) from error
    try:
        if lock:
            await connection.execute("select pg_advisory_lock($1)", IMPORT_LOCK)
        yield connection
    except asyncpg.PostgresError as error:
        # Details of the server may quote a row: the message alone goes on.
        raise StorageError(f"the import stopped: {error.args[0] if error.args else type(error).__name__}") from error
    except (OSError, asyncpg.InterfaceError) as error:
        raise StorageError(f"the import lost its connection; run it again: {error}") from error
    finally:
        connection.terminate() if connection.is_in_transaction() else await connection.close(timeout=5)
