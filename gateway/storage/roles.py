"""The roles of one database: one a view schema, and one for each thing that the gateway writes.

In: a connection of the migrate role (CREATEROLE, no superuser) and the secrets. Out: roles with passwords and settings,
or the same as a script for an administrator. Role names begin with the database's name: roles are global to a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

import asyncpg

from gateway.errors import StorageError
from gateway.storage.levels import ACCESSES
from gateway.storage.secrets import scram_verifier

SERVICE_ROLES = ("import", "service", "ledger", "log")
ROLES: tuple[str, ...] = (*(access.name for access in ACCESSES), *SERVICE_ROLES)

# Generic plans and index-driven joins: a view's plan must not flip with the parameters (measured, decision 0003).
VIEW_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "enable_memoize": "off",
    # A search by name takes a millisecond; starting workers for it takes ten.
    "max_parallel_workers_per_gather": "0",
}
# A body statement writes its own disclosure, nothing else (decision 0011); whatever the server's default, durable means
# on disk.
_DISCLOSED = {"default_transaction_read_only": "off", "synchronous_commit": "on"}
_READING = {"default_transaction_read_only": "on"}
_OF_SERVICE = {
    "import": {"statement_timeout": "0"},
    "service": {},
    "ledger": {"synchronous_commit": "on"},
    # What it has published must not be lost. The first leaves of an old ledger take their time.
    "log": {"synchronous_commit": "on", "statement_timeout": "0"},
}
# What writes large objects, which any role may by default; nothing here needs them.
LARGE_OBJECTS = (
    "lo_creat(integer)",
    "lo_create(oid)",
    "lo_from_bytea(oid, bytea)",
    "lo_put(oid, bigint, bytea)",
    "lo_truncate(integer, integer)",
    "lo_truncate64(integer, bigint)",
    "lo_unlink(oid)",
    "lowrite(integer, bytea)",
)
ALL_SETTINGS = {
    "jit": "off",
    "datestyle": "ISO, YMD",
    "timezone": "Asia/Shanghai",
    "search_path": "pg_catalog, public",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",
}


def role_name(prefix: str, role: str) -> str:
    """The full name of a role: `<database>_<role>`."""
    return f"{prefix}_{role}"


def quote(identifier: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def _settings(role: str) -> dict[str, str]:
    if role in SERVICE_ROLES:
        return {**ALL_SETTINGS, **_OF_SERVICE[role]}
    disclosed = next(access.disclosed for access in ACCESSES if access.name == role)
    return {**ALL_SETTINGS, **VIEW_SETTINGS, **(_DISCLOSED if disclosed else _READING)}


def statements_of(role: str, prefix: str, database: str, password: str) -> Iterator[str]:
    """SQL that makes one role; `password` is a verifier, or the text to stand in its place."""
    name = quote(role_name(prefix, role))
    yield f"create role {name} login nosuperuser nocreatedb nocreaterole noinherit"
    yield f"alter role {name} password '{password}'"
    for setting, value in _settings(role).items():
        yield f"alter role {name} set {setting} = {_literal(setting, value)}"
    yield f"grant connect on database {quote(database)} to {name}"


def _literal(setting: str, value: str) -> str:
    if setting in ("datestyle", "search_path"):
        return value
    return "'" + value.replace("'", "''") + "'"


async def ensure_roles(
    connection: asyncpg.Connection[asyncpg.Record], prefix: str, database: str, dsn: Callable[[str], str]
) -> None:
    """Make what is missing and change what differs, nothing else; nobody but these roles may connect.

    `dsn` gives a role's own DSN, password included. Where everything fits already no right to make roles is needed.
    Raises StorageError where it is needed and missing.
    """
    rows = await connection.fetch("select rolname, rolconfig from pg_roles where rolname like $1", f"{prefix}%")
    existing = {row["rolname"]: set(row["rolconfig"] or ()) for row in rows}
    try:
        # First, so that no role seems to fit by a right that everybody has.
        if await connection.fetchval("select has_database_privilege('public', current_database(), 'connect')"):
            await connection.execute(f"revoke all on database {quote(database)} from public")
        for role in ROLES:
            name = role_name(prefix, role)
            if name in existing and await _fits(role, existing[name], dsn(role)):
                continue
            password = scram_verifier(unquote(urlsplit(dsn(role)).password or ""))
            for statement in statements_of(role, prefix, database, password):
                if not (statement.startswith("create role") and name in existing):
                    await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StorageError(
            f"roles of database {database} are missing or differ, and this user may not change them ({error});"
            " let an administrator run the script of `credit-gateway migrate --print-roles`, with the passwords that"
            " stand in the secrets folder"
        ) from error


async def _fits(role: str, config: set[str], dsn: str) -> bool:
    """Whether a role has its settings, its password and the right to connect."""
    wanted = {f"{name}={value}" for name, value in _settings(role).items()}
    if not {_normal(entry) for entry in wanted} <= {_normal(entry) for entry in config}:
        return False
    try:
        probe = await asyncpg.connect(dsn, timeout=10)
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        return False
    except asyncpg.InsufficientPrivilegeError:
        return False  # it may not connect yet
    await probe.close()
    return True


def _normal(entry: str) -> str:
    name, _, value = entry.partition("=")
    return f"{name.lower()}={value.replace(chr(34), '').replace(' ', '').lower()}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def script(prefix: str, database: str) -> str:
    """For an administrator whose policy lets nobody else make roles (`migrate --print-roles`)."""
    lines = [f"-- Roles of the credit gateway in database {database}. Put passwords in place of the ‹…›."]
    for role in ROLES:
        lines += [f"{sql};" for sql in statements_of(role, prefix, database, f"‹{role_name(prefix, role)}›")]
    # Whatever the server logs: the parameters of these roles' statements have what banks say (docs/security.md).
    disclosed = [access.name for access in ACCESSES if access.disclosed]
    for role in disclosed:
        lines.append(f"alter role {quote(role_name(prefix, role))} set log_parameter_max_length = 0;")
        lines.append(f"alter role {quote(role_name(prefix, role))} set log_parameter_max_length_on_error = 0;")
    lines.append(f"revoke all on database {quote(database)} from public;")
    lines.append("revoke usage on language plpgsql from public;")
    # Triggers are made in it, by the owner of the database.
    owner = f"(select pg_get_userbyid(datdba) from pg_database where datname = {_text(database)})"
    lines.append(f"do $$ begin execute format('grant usage on language plpgsql to %I', {owner}); end $$;")
    lines += [f"revoke execute on function {function} from public;" for function in LARGE_OBJECTS]
    return "\n".join(lines) + "\n"
