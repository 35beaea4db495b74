"""PostgreSQL out of a wheel, kept behind this module: nobody else knows how it is made, started or found.

In: a data directory. Out: a running server that is shared by all processes that name the same directory, and is stopped
by the last of them. Called by app and cli where GATEWAY_DATABASE_URL is unset, before workers start.

What it promises, and tests/storage/test_embedded*.py hold:
- only through a unix socket in a folder that its account and root alone can enter, and only with a password
  (scram-sha-256; no trust, no peer, no TCP), the superuser included; passwords are random, in files of mode 0600;
- it works in any folder and as root (PostgreSQL itself refuses root: it then runs as the system account
  `credit-gateway`), and it widens no folder's rights;
- data outlive kill -9 of anybody; after it the next start finds the server again, or recovers it.

The package's own server class is not used: it trusts every local user, opens parent folders to everybody, and stops
counting after a kill -9. See embedded_cluster for how it works here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gateway.storage.embedded_account import choose_account
from gateway.storage.embedded_binaries import find_binaries
from gateway.storage.embedded_cluster import Cluster
from gateway.storage.embedded_config import configuration
from gateway.storage.embedded_databases import create_database, ensure_migrate_role
from gateway.storage.embedded_errors import EmbeddedPostgresError
from gateway.storage.embedded_server import RunningServer, hold, startup_lock
from gateway.storage.secrets import SecretFileError, SecretFiles

__all__ = [
    "EmbeddedPostgresError",
    "RunningServer",
    "create_database",
    "ensure_migrate_role",
    "ensure_running",
    "kept_in",
]

_NOTHING: Mapping[str, str] = MappingProxyType({})


def kept_in(data_dir: Path) -> bool:
    """Whether a server's data are kept there, running or not."""
    return (data_dir.expanduser() / "postgres").exists()


def ensure_running(
    data_dir: Path, *, fsync: bool = True, extra_settings: Mapping[str, str] = _NOTHING
) -> RunningServer:
    """The server of `data_dir`: found if it runs, else started, and made if it never was.

    A directory that is missing is made with mode 0700; one that exists keeps its rights. Blocks for some 0.3 s to start
    and 1 s more to make the data; waits while another process does the same. `fsync` off is for tests that throw their
    data away. `extra_settings` are postgresql.conf's and count when the server is started, not when one is joined.
    """
    directory = data_dir.expanduser().resolve()
    settings = configuration(fsync=fsync, extra_settings=extra_settings)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with startup_lock(directory):
            account = choose_account(directory, directory / "postgres")
            cluster = Cluster(directory, account, find_binaries(account))
            return hold(cluster, SecretFiles(directory / "secrets"), fsync=fsync, settings=settings)
    except SecretFileError as exc:
        raise EmbeddedPostgresError(str(exc)) from exc
    except OSError as exc:
        place = f" ({exc.filename})" if exc.filename else ""
        raise EmbeddedPostgresError(
            f"cannot keep PostgreSQL in {directory}: {exc.strerror}{place}; GATEWAY_DATA_DIR must be a folder of this "
            "user's, on a local file system with owners and rights"
        ) from exc
