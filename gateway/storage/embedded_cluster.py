"""One cluster on disk: made, started, found again and stopped. The caller holds the startup lock throughout.

    data_dir/postgres      the data (PGDATA), owned by the server's account, 0700
    data_dir/secrets       passwords, out of that account's reach
    data_dir/socket, log   links for people: where the socket is now, where the server's log is
    data_dir/*.lock        startup (one at a time), holders (who uses the server), server (held by the server itself)

Two things are unusual, and both are there so that it works in any folder. As root the server is started *in* PGDATA
and told its path as /proc/self/cwd: it never walks the folders above, so these may be closed to it, and stay closed.
And the server inherits a locked file: while any of its processes lives, the kernel says so, whatever became of its pid
file, of its parent, or of the pid (which may be another program's by now, or invisible from another container).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.storage import embedded_config as config
from gateway.storage.embedded_account import Account, run_with_input
from gateway.storage.embedded_errors import EmbeddedPostgresError

SUPERUSER = "postgres"
_MAJOR = "18"
_DRAFT = "postgres.new-"
_LOCALE = "C.UTF-8" if sys.platform != "darwin" else "en_US.UTF-8"
_SOCKET_PATH_LIMIT = 107 if sys.platform != "darwin" else 103  # sun_path less its closing zero
_POLL = 0.01
_ORPHANS_PATIENCE = 5.0  # seconds for a dead server's last processes, before they are told to quit
_LOCK_TIMEOUT = 15.0
_START_TIMEOUT = 300.0  # recovery after a crash replays at most some GB of WAL
_STOP_TIMEOUT = 60.0
_KEPT_LOGS = 10


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A running server, as its pid file tells."""

    pid: int
    socket_dir: Path
    ready: bool

    @property
    def socket(self) -> Path:
        return self.socket_dir / f".s.PGSQL.{config.PORT}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster in `data_dir`, run by `account` with the programs in `binaries`."""

    data_dir: Path
    account: Account
    binaries: Path

    @property
    def pgdata(self) -> Path:
        return self.data_dir / "postgres"

    def ensure_initialised(self, password: str, *, fsync: bool) -> None:
        """Make the cluster if there is none; refuse one of another major version."""
        for leftover in self.data_dir.glob(f"{_DRAFT}*"):
            # A start was killed here. Its initdb may still be writing, so no draft's name is used twice.
            shutil.rmtree(leftover, ignore_errors=True)
        version = self._read("PG_VERSION").strip() if self.pgdata.exists() else None
        if version == _MAJOR:
            return
        if version is not None:
            raise EmbeddedPostgresError(
                f"{self.pgdata} is of PostgreSQL {version or 'an unknown version'}, the programs are {_MAJOR}: "
                "dump it with the old version and load it into a new GATEWAY_DATA_DIR, or restore the folder"
            )
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.data_dir))
        self.account.owns(draft)
        command = [
            str(self.binaries / "initdb"),
            f"--pgdata={self._path_for_server(draft)}",
            f"--username={SUPERUSER}",
            "--encoding=UTF8",
            f"--locale={_LOCALE}",  # not the environment's: under C, pg_trgm finds no letters in Chinese
            # The same order and letters as C.UTF-8, by PostgreSQL's own tables: it does not change with the libc, and
            # compares by memcmp, so that ranges and LIKE 'x%' use an ordinary index.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--text-search-config=simple",
            "--auth=scram-sha-256",
            "--pwfile=/dev/stdin",
            "--no-instructions",
            *([] if fsync else ["--no-sync"]),
        ]
        code, said = run_with_input(self.account, command, password.encode() + b"\n", cwd=draft)
        if code:
            raise EmbeddedPostgresError(
                f"initdb failed in {draft} (is GATEWAY_DATA_DIR on a local file system with owners and rights?): "
                f"{_last_lines(said)}"
            )
        draft.rename(self.pgdata)

    def find(self) -> Postmaster | None:
        """The running server of this cluster, whoever started it; None if none is seen."""
        lines = self._read("postmaster.pid").splitlines()
        if len(lines) < 5 or not lines[0].strip().isdigit():
            return None
        pid = int(lines[0])
        if not self._is_ours(pid):
            return None
        ready = len(lines) >= 8 and lines[7].strip() == "ready"
        return Postmaster(pid, Path(lines[4].strip()), ready)

    def start(self, *, settings: str) -> Postmaster:
        """Start the server, or join one that is just starting, and wait until it takes connections."""
        lock = self._server_lock()
        if lock is None:
            return self.wait_until_ready()
        try:
            shell = self.account.shell
            shell('printf "%s" "$1" > pg_hba.conf', config.HBA, cwd=self.pgdata)
            shell("cat > postgresql.conf", cwd=self.pgdata, stdin=settings.encode())
            prune = 'ls -1t log | tail -n "+$1" | while read -r name; do rm -f -- "log/$name"; done'
            shell(f"if [ -d log ]; then {prune}; fi", str(_KEPT_LOGS), cwd=self.pgdata)
            # No process of this cluster lives (we hold its lock), so the file is stale; left alone it would stop the
            # server wherever its pid has meanwhile gone to another program of the same account.
            (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
            socket_dir = self._socket_folder()
            _replace_link(self.data_dir / "log", "postgres/log")
            pid = self._launch(socket_dir, lock)
        finally:
            os.close(lock)  # the server has its own copy
        return self.wait_until_ready(pid)

    def wait_until_ready(self, pid: int | None = None) -> Postmaster:
        """Wait for the server (`pid`, if we started it) to take connections; it may have to recover first."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            found = self.find()
            if found is not None and found.ready:
                return found
            if (found is None and pid is None) or (pid is not None and not _alive(pid)):
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start; it said: {_last_lines(self._startup_output())} "
                    f"(more in {self.data_dir / 'log'})"
                )
            time.sleep(_POLL)
        raise EmbeddedPostgresError(
            f"PostgreSQL is still not ready after {_START_TIMEOUT:.0f} s, perhaps recovering from a crash: "
            f"see {self.data_dir / 'log'}, and start again later"
        )

    def stop(self) -> None:
        """Stop the server in fast mode: open transactions are rolled back, everything committed is on disk."""
        found = self.find()
        if found is None:
            return
        for sign, patience in ((signal.SIGINT, _STOP_TIMEOUT), (signal.SIGQUIT, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, sign)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if not _alive(found.pid):
                    self._remove_socket_folder(found.socket_dir)
                    return
                time.sleep(_POLL)
        raise EmbeddedPostgresError(f"PostgreSQL (pid {found.pid}) does not stop: see {self.data_dir / 'log'}")

    def _launch(self, socket_dir: Path, lock: int) -> int:
        """Start the server as nobody's child; returns its pid.

        A shell starts it in the background and ends, so the server outlives us, and when it ends no zombie is left in
        our process.
        """
        command = [
            *("/bin/sh", "-c", '"$@" >&2 & echo $!', "sh"),
            *(str(self.binaries / "postgres"), "-D", self._path_for_server(self.pgdata)),
            *config.fixed_options(socket_dir),
        ]
        with open(self.data_dir / "startup.log", "wb", opener=_private) as output:
            done = self.account.run(command, cwd=self.pgdata, stderr=output, pass_fds=(lock,))
        try:
            return int(done.stdout)
        except ValueError:
            raise EmbeddedPostgresError(f"PostgreSQL did not start: {_last_lines(self._startup_output())}") from None

    def _server_lock(self) -> int | None:
        """The lock that says no process of this server lives; None if a server has come up instead."""
        lock = open_lock(self.data_dir / "server.lock")
        started = time.monotonic()
        told = False
        while not try_lock(lock):
            waited = time.monotonic() - started
            if self.find() is not None:
                os.close(lock)
                return None
            if waited > _ORPHANS_PATIENCE and not told:
                told = True
                for pid in self._processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGQUIT)
            if waited > _LOCK_TIMEOUT:
                os.close(lock)
                raise EmbeddedPostgresError(
                    f"processes of another PostgreSQL still use {self.pgdata}, perhaps in another container: stop them"
                )
            time.sleep(_POLL)
        return lock

    def _processes(self) -> Iterator[int]:
        """Processes that run in PGDATA as the account: a dead server's orphans."""
        if os.path.isdir("/proc/self"):
            yield from filter(self._is_ours, [int(name) for name in os.listdir("/proc") if name.isdigit()])

    def _is_ours(self, pid: int) -> bool:
        """Is `pid`, out of a file that only the account guards, a process of this cluster? Only such are signalled."""
        if not os.path.isdir("/proc/self"):
            lock = open_lock(self.data_dir / "server.lock")
            try:
                return _alive(pid) and not try_lock(lock)
            finally:
                os.close(lock)
        try:
            owner = os.stat(f"/proc/{pid}").st_uid
            return owner == self.account.uid and os.path.samefile(f"/proc/{pid}/cwd", self.pgdata)
        except OSError:
            return False

    def _path_for_server(self, folder: Path) -> str:
        if not self.account.switch:
            return str(folder)
        if not os.path.isdir("/proc/self"):
            raise EmbeddedPostgresError("as root, embedded PostgreSQL needs /proc: start as an ordinary user")
        return "/proc/self/cwd"

    def _socket_folder(self) -> Path:
        """A short folder of the account's own, 0700: the last one if it is still sound, else a new one."""
        link = self.data_dir / "socket"
        base = Path("/tmp").resolve()  # noqa: S108 — mkdtemp below is safe there; short is what counts
        with contextlib.suppress(OSError):
            last = Path(os.readlink(link))
            info = last.lstat()
            sound = stat.S_ISDIR(info.st_mode) and info.st_uid == self.account.uid and info.st_mode & 0o777 == 0o700
            if sound and last.parent == base and last.name.startswith("cgw-"):
                for name in os.listdir(last):
                    (last / name).unlink()  # of a server that was killed
                return last
        folder = Path(tempfile.mkdtemp(prefix="cgw-", dir=base))
        self.account.owns(folder)
        if len(os.fsencode(folder / f".s.PGSQL.{config.PORT}")) > _SOCKET_PATH_LIMIT:
            raise EmbeddedPostgresError(f"{folder} is too long a path for a socket: set GATEWAY_DATABASE_URL instead")
        _replace_link(link, str(folder))
        return folder

    def _remove_socket_folder(self, folder: Path) -> None:
        link = self.data_dir / "socket"
        with contextlib.suppress(OSError):
            if os.readlink(link) == str(folder):
                folder.rmdir()
                link.unlink()

    def _read(self, name: str) -> str:
        """A small file in PGDATA, or "". Links and pipes are not followed: the folder is the account's, not ours."""
        try:
            fd = os.open(self.pgdata / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        with os.fdopen(fd, "rb") as file:
            return file.read(4096).decode("utf-8", "replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""

    def _startup_output(self) -> str:
        try:
            return (self.data_dir / "startup.log").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""


def open_lock(path: Path) -> int:
    """Open a lock file (made if missing; with its folder's owner, if we are root) and return its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.fchown(fd, above.st_uid, above.st_gid)
    return fd


def try_lock(fd: int) -> bool:
    """Take the file's exclusive lock if nobody else has any."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: int) -> bool:
    """Does `pid` run? A zombie (where pid 1 of a container reaps nothing) does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        if os.path.isdir("/proc/self"):
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _replace_link(link: Path, target: str) -> None:
    """Point `link` to `target`; what is there and no link is left alone, for it is not ours."""
    if link.is_symlink():
        link.unlink()
    with contextlib.suppress(FileExistsError):
        link.symlink_to(target)


def _last_lines(text: str, count: int = 5) -> str:
    lines = [re.sub(r"\s+", " ", line) for line in text.strip().splitlines()]
    return " | ".join(lines[-count:]) or "nothing"
