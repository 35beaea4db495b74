"""The running server as its users see it: where it listens, its superuser, and the lock that keeps it running."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.storage import embedded_config as config
from gateway.storage.embedded_cluster import SUPERUSER, Cluster, Postmaster, open_lock, try_lock
from gateway.storage.embedded_errors import EmbeddedPostgresError
from gateway.storage.secrets import SecretFiles

logger = logging.getLogger(__name__)

_LOOK = 0.25  # s between two looks whether the server lives: a file to read
_LONGEST_PAUSE = 30.0  # s between attempts to start one that doesn't


@dataclass(slots=True, eq=False)
class RunningServer:
    """A running embedded PostgreSQL that stays up at least until `release()`; a context manager that calls it.

    Each process (and each call of `ensure_running`) holds a share of its own; the kernel drops it when a process dies,
    whatever the way. The last one to release stops the server. A forked child shares its parent's hold.
    """

    data_dir: Path
    pgdata: Path
    socket_dir: Path
    pid: int
    secrets: SecretFiles
    password: str = field(repr=False)
    _cluster: Cluster = field(repr=False)
    _hold: int | None = field(repr=False)  # descriptor with a shared lock; None once released
    _settings: str = field(repr=False)
    port: int = config.PORT
    user: str = SUPERUSER

    def dsn(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A postgresql:// URL for asyncpg and libpq; the superuser's unless another role is named.

        It contains the password: not for logs.
        """
        if user is None:
            user, password = self.user, self.password
        if password is None:
            raise ValueError("every role connects with a password")
        who = f"{urllib.parse.quote(user, safe='')}:{urllib.parse.quote(password, safe='')}"
        where = urllib.parse.urlencode({"host": str(self.socket_dir), "port": self.port})
        return f"postgresql://{who}@/{urllib.parse.quote(database, safe='')}?{where}"

    def release(self) -> None:
        """Let go of the server; stop it (fast mode) if nobody else holds it. Calling it again does nothing."""
        hold, self._hold = self._hold, None
        if hold is None:
            return
        try:
            with startup_lock(self.data_dir):
                os.close(hold)  # not LOCK_UN: that would take a forked process's share as well
                hold = None
                holders = open_lock(self.data_dir / "holders.lock")
                try:
                    if try_lock(holders):
                        self._cluster.stop()
                finally:
                    os.close(holders)
        except OSError as exc:
            raise EmbeddedPostgresError(
                f"cannot stop PostgreSQL (pid {self.pid}) by way of {self.data_dir}: {exc.strerror}; if that folder "
                "was removed, the server ends by itself within a minute"
            ) from exc
        finally:
            if hold is not None:
                os.close(hold)

    def revive(self) -> bool:
        """Start the server where it has died, with the data as they were; whether it had. Not after `release`.

        Blocks while it recovers. Raises EmbeddedPostgresError where it does not start, or not at its old address.
        """
        if self._cluster.find() is not None:
            return False
        with startup_lock(self.data_dir):
            if self._cluster.find() is not None:
                return False  # another process was quicker
            found = self._cluster.start(settings=self._settings)
        self.pid = found.pid
        if found.socket_dir != self.socket_dir:
            raise EmbeddedPostgresError(
                f"PostgreSQL is back, but its socket has moved to {found.socket_dir}: start the gateway again"
            )
        return True

    @contextlib.contextmanager
    def kept_running(self) -> Iterator[None]:
        """While the block runs a thread sees to it that the server does: nobody else starts an embedded one again."""
        done = threading.Event()

        def keep() -> None:
            pause = _LOOK
            while not done.wait(pause):
                try:
                    if self.revive():
                        logger.warning("PostgreSQL had ended and was started again (pid %d)", self.pid)
                    pause = _LOOK
                except Exception as error:
                    logger.error("PostgreSQL has ended and does not start: %s", error)
                    pause = min(max(1.0, pause * 2), _LONGEST_PAUSE)

        thread = threading.Thread(target=keep, name="embedded-postgres", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextlib.contextmanager
def startup_lock(data_dir: Path) -> Iterator[None]:
    """One process at a time makes, starts, joins or stops the server of `data_dir`; the others wait."""
    fd = open_lock(data_dir / "startup.lock")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def hold(cluster: Cluster, secrets: SecretFiles, *, fsync: bool, settings: str) -> RunningServer:
    """Take a share of the cluster's server, starting it if it does not run. The caller holds the startup lock."""
    holders = open_lock(cluster.data_dir / "holders.lock")
    try:
        alone = try_lock(holders)
        fcntl.flock(holders, fcntl.LOCK_SH)  # never waits: exclusive locks are taken under the startup lock only
        password = _superuser_password(cluster, secrets)
        found = _running(cluster, alone=alone)
        if found is None:
            cluster.ensure_initialised(password, fsync=fsync)
            found = cluster.start(settings=settings)
    except BaseException:
        os.close(holders)
        raise
    return RunningServer(
        data_dir=cluster.data_dir,
        pgdata=cluster.pgdata,
        socket_dir=found.socket_dir,
        pid=found.pid,
        secrets=secrets,
        password=password,
        _cluster=cluster,
        _hold=holders,
        _settings=settings,
    )


def _running(cluster: Cluster, *, alone: bool) -> Postmaster | None:
    """The server if it runs and can be reached from here."""
    found = cluster.find()
    if found is None:
        return None
    found = cluster.wait_until_ready(found.pid)
    if found.socket.is_socket():
        return found
    if not alone:
        raise EmbeddedPostgresError(
            f"PostgreSQL (pid {found.pid}) runs for other processes, but its socket in {found.socket_dir} is not "
            "visible here (a private /tmp, as systemd's PrivateTmp gives?): run all processes with the same /tmp"
        )
    cluster.stop()  # its socket was swept away and nobody uses it
    return None


def _superuser_password(cluster: Cluster, secrets: SecretFiles) -> str:
    if cluster.pgdata.exists() and secrets.find(SUPERUSER) is None:
        raise EmbeddedPostgresError(
            f"{secrets.path(SUPERUSER)}, the password of the data in {cluster.pgdata}, is missing: restore it from a "
            "backup, or move the data away to begin anew"
        )
    return secrets.secret(SUPERUSER)
