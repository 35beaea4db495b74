"""The roles of one database: one a view schema, and one for each thing that the gateway writes.

In: a connection of the migrate role (CREATEROLE, no superuser) and the secrets. Out: roles with passwords and settings,
or the same as a script for an administrator. Role names begin with the database's name: roles are global to a cluster.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random
from collections.abc import Callable, Iterator

import asyncpg

from gateway.storage.levels import ACCESSES

SERVICE_ROLES = ("import", "service", "ledger")
ROLES: tuple[str, ...] = (*(access.name for access in ACCESSES), *SERVICE_ROLES)

# Generic plans and index-driven joins: a view's plan must not flip with the parameters (measured, decision 0003).
VIEW_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "default_transaction_read_only": "on",
}
_OF_SERVICE = {
    "import": {"statement_timeout": "0"},
    "service": {},
    "ledger": {"synchronous_commit": "on"},  # whatever the server's default: durable means on disk
}
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


def scram_verifier(password: str, iterations: int = 4096) -> str:
    """What PostgreSQL stores for a password (RFC 5803), made here so that no server log can hold the password."""
    salt = random.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    b64 = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{b64[0]}${b64[1]}:{b64[2]}"


def _settings(role: str) -> dict[str, str]:
    if role in SERVICE_ROLES:
        return {**ALL_SETTINGS, **_OF_SERVICE[role]}
    return {**ALL_SETTINGS, **VIEW_SETTINGS}


def statements(prefix: str, database: str, password: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """(role, SQL) for all roles; `password` gives a role's password or the text to stand in its place."""
    for role in ROLES:
        name = quote(role_name(prefix, role))
        yield role, f"create role {name} login nosuperuser nocreatedb nocreaterole noinherit"
        yield role, f"alter role {name} password '{password(role)}'"
        for setting, value in _settings(role).items():
            yield role, f"alter role {name} set {setting} = {_literal(setting, value)}"
        yield role, f"grant connect on database {quote(database)} to {name}"


def _literal(setting: str, value: str) -> str:
    if setting in ("datestyle", "search_path"):
        return value
    return "'" + value.replace("'", "''") + "'"


async def ensure_roles(
    connection: asyncpg.Connection[asyncpg.Record], prefix: str, database: str, secret: Callable[[str], str]
) -> None:
    """Make what is missing, set passwords and settings anew; nobody but these roles may connect."""
    existing = {row["rolname"] for row in await connection.fetch("select rolname from pg_roles")}
    for role, statement in statements(prefix, database, lambda role: scram_verifier(secret(role_name(prefix, role)))):
        if statement.startswith("create role") and role_name(prefix, role) in existing:
            continue
        await connection.execute(statement)
    await connection.execute(f"revoke all on database {quote(database)} from public")


def script(prefix: str, database: str) -> str:
    """For an administrator whose policy lets nobody else make roles (`migrate --print-roles`)."""
    lines = [f"-- Roles of the credit gateway in database {database}. Put passwords in place of the ‹…›."]
    lines += [f"{sql};" for _, sql in statements(prefix, database, lambda role: f"‹password of {role}›")]
    lines.append(f"revoke all on database {quote(database)} from public;")
    lines.append("revoke usage on language plpgsql from public;")
    return "\n".join(lines) + "\n"
