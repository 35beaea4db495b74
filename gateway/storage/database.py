"""Opening the database that the settings name: embedded PostgreSQL, or an ordinary server of the operator's.

In: settings. Out: a `Database` that knows the DSN of each role. `prepare` brings roles, schemas and views up to date.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import asyncpg

from gateway.errors import StorageError
from gateway.settings import Settings
from gateway.storage import roles
from gateway.storage.embedded import create_database, ensure_migrate_role, ensure_running
from gateway.storage.migrate import migrate
from gateway.storage.secrets import SecretFiles

EMBEDDED_DATABASE = "credit"
_FORM: Final = (
    "GATEWAY_DATABASE_URL must be postgresql://user:password@host/database; in the password # / ? @ and % are written"
    " %23 %2F %3F %40 and %25"
)
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


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
        name = database_name(url)
        _check_tls(url)
        yield Database(name, settings.role_prefix or name, url, secrets)
        return
    with ensure_running(settings.data_dir) as server, server.kept_running() if keep else nullcontext():

        async def ready() -> str:
            await create_database(server, EMBEDDED_DATABASE)
            return await ensure_migrate_role(server, EMBEDDED_DATABASE)

        dsn = asyncio.run(ready())
        yield Database(EMBEDDED_DATABASE, settings.role_prefix or EMBEDDED_DATABASE, dsn, secrets, embedded=True)


def database_name(url: str) -> str:
    """The database that the operator's URL names. Raises StorageError, without a word of the URL: it has a password."""
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # several hosts have a port each, which urlsplit does not know
            _ = parts.port
    except ValueError:
        raise StorageError(_FORM) from None
    name = parts.path.lstrip("/")
    if parts.scheme not in ("postgresql", "postgres") or not name or "/" in name or parts.fragment:
        raise StorageError(_FORM)
    return name


def _check_tls(url: str) -> None:
    """That there is what TLS is verified with, where libpq looks for it, too: a driver that finds none says so in each
    process anew, and not what to do. Raises StorageError."""
    given = {key: values[-1] for key, values in parse_qs(urlsplit(url).query).items()}
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE", "")
    if mode and mode not in _MODES:
        raise StorageError(f"GATEWAY_DATABASE_URL: there is no such sslmode; it is one of {', '.join(_MODES)}")
    if not mode.startswith("verify-"):
        return
    named = given.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    path = Path(named) if named else Path.home() / ".postgresql" / "root.crt"
    try:
        path.open("rb").close()
    except OSError as error:
        raise StorageError(
            f"GATEWAY_DATABASE_URL: sslmode={mode} needs the certificate of the authority that signed the server's, and"
            f" {path} can't be read ({error.strerror}); put it there, or name its file with &sslrootcert=FILE"
        ) from None


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
