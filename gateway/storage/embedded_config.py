"""What the embedded server is told: postgresql.conf, pg_hba.conf and the options on its command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.storage.embedded_errors import EmbeddedPostgresError

PORT = 5432  # names the socket's file; there is no TCP

# Connections are by unix socket, and every role shows its password: no trust, no peer, no TCP, no replication.
HBA = "# Written at every start.\n# TYPE  DATABASE  USER  METHOD\nlocal   all       all   scram-sha-256\n"

_SETTINGS: Mapping[str, str] = {
    "max_connections": "500",  # a process of the gateway may open 52: all pools of nine of them
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, YMD",
    "jit": "off",  # statements take milliseconds; compiling them takes longer
    "shared_preload_libraries": "",
    # The log tells how the server fares, never what was asked: no statements, no parameters, and no messages of failed
    # statements (they quote values), which the gateway logs itself in its own, masked way.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%Y-%m-%d_%H%M%S.log",
    "log_file_mode": "0600",
    "log_rotation_size": "10MB",
    "log_rotation_age": "0",  # by size alone; old files are removed at each start
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_connections": "",
    "log_checkpoints": "off",
}
# Where the server listens and whom it lets in is not for settings: it holds the promises of the package's docstring.
_FIXED = frozenset(
    {
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "unix_socket_permissions",
        "data_directory",
        "config_file",
        "hba_file",
        "ident_file",
        "external_pid_file",
        "logging_collector",
        "log_directory",
    }
)
_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


def configuration(*, fsync: bool, extra_settings: Mapping[str, str]) -> str:
    """The text of postgresql.conf. `extra_settings` win over ours, except for those that open the server."""
    settings = dict(_SETTINGS)
    settings["fsync"] = "on" if fsync else "off"
    settings["full_page_writes"] = settings["fsync"]
    for name, value in extra_settings.items():
        if name in _FIXED:
            raise EmbeddedPostgresError(f"setting {name} cannot be changed on the embedded PostgreSQL: leave it out")
        if not _NAME.fullmatch(name) or not value.isprintable():
            raise EmbeddedPostgresError(f"setting {name!r} is not a PostgreSQL setting of one line: correct it")
        settings[name] = value
    lines = [f"{name} = {_quote(value)}" for name, value in settings.items()]
    return "\n".join(["# Written at every start: change the gateway's settings instead.", *lines, ""])


def fixed_options(socket_dir: Path) -> list[str]:
    """Options of the command line, which neither a file nor ALTER SYSTEM overrides."""
    fixed = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": _list_element(str(socket_dir)),
        "unix_socket_permissions": "0700",
    }
    return [part for name, value in fixed.items() for part in ("-c", f"{name}={value}")]


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _list_element(value: str) -> str:
    escaped = value.replace('"', '""')
    return f'"{escaped}"'
