"""Opening the database that the settings name: embedded PostgreSQL, or an ordinary server of the operator's.

In: settings. Out: a `Database` that knows the DSN of each role. `prepare` brings roles, schemas and views up to date.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from gateway.errors import StorageError
from gateway.settings import Settings
from gateway.storage import roles
from gateway.storage.embedded import create_database, ensure_migrate_role, ensure_running
from gateway.storage.migrate import migrate
from gateway.storage.secrets import SecretFiles

EMBEDDED_DATABASE = "credit"


@dataclass(frozen=True)
class Database:
    """One database with its roles. Passwords come from files of mode 0600 under <data_dir>/secrets."""

    name: str
    prefix: str
    migrate_dsn: str = field(repr=False)
    secrets: SecretFiles = field(repr=False)
    embedded: bool = False

    def dsn(self, role: str) -> str:
        """The DSN of one of roles.ROLES (public, restricted, …, import, service, ledger, log)."""
        name = roles.role_name(self.prefix, role)
        parts = urlsplit(self.migrate_dsn)
        host = parts.netloc.rpartition("@")[2]
        login = f"{quote(name, safe='')}:{quote(self.secrets.secret(name), safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


@contextmanager
def open_database(settings: Settings, *, keep: bool = False) -> Iterator[Database]:
    """The database of these settings; embedded PostgreSQL is started if nobody has yet, and let go at the end. With
    `keep` it is started again, too, whenever it ends meanwhile.

    Raises StorageError with what to do next.
    """
    secrets = SecretFiles(settings.data_dir / "secrets")
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = urlsplit(url).path.lstrip("/")
        if not name:
            raise StorageError("GATEWAY_DATABASE_URL must name a database: postgresql://user:password@host/database")
        yield Database(name, settings.role_prefix or name, url, secrets)
        return
    with ensure_running(settings.data_dir) as server, server.kept_running() if keep else nullcontext():

        async def ready() -> str:
            await create_database(server, EMBEDDED_DATABASE)
            return await ensure_migrate_role(server, EMBEDDED_DATABASE)

        dsn = asyncio.run(ready())
        yield Database(EMBEDDED_DATABASE, settings.role_prefix or EMBEDDED_DATABASE, dsn, secrets, embedded=True)


async def prepare(database: Database) -> list[str]:
    """Roles, migrations, views and partitions; returns what was applied. Raises StorageError."""
    try:
        connection = await asyncpg.connect(database.migrate_dsn, timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        raise StorageError(f"cannot connect to database {database.name}: {error}") from error
    try:
        await roles.ensure_roles(connection, database.prefix, database.name, database.dsn)
        return await migrate(connection, database.prefix)
    finally:
        await connection.close()
