"""As whom the embedded server runs, and how a child process becomes that user.

PostgreSQL refuses to run as root, and should not own more than its data. In: who we are and who owns the data. Out: an
Account, and children that run as it. Everything that happens inside a folder of that account's is done by such a child:
root that wrote there itself would follow whatever links a compromised server had planted.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gateway.storage.embedded_errors import EmbeddedPostgresError

SYSTEM_ACCOUNT = "credit-gateway"
_SPARE_ACCOUNT = "postgres"  # made by distributions for the same purpose
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# LC_ALL and nothing of ours: PGDATA, PGOPTIONS, LANG and passwords in the environment must not reach the server.
_ENVIRONMENT = {"PATH": _SYSTEM_PATH, "LC_ALL": "C.UTF-8" if sys.platform != "darwin" else "en_US.UTF-8"}


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that owns the data and runs the server."""

    name: str
    uid: int
    gid: int
    switch: bool  # we are root, and children have to become this user

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.STDOUT,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `command` as this account in `cwd`; its output is captured (and stderr, unless sent elsewhere).

        The working directory is entered before the rights are dropped, so folders above `cwd` may be closed to the
        account. A session of its own keeps the terminal's Ctrl-C from the server, which must outlive the requests.
        """
        rights: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}
        return subprocess.run(  # noqa: S603 — a fixed program, no shell text from outside
            list(command),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=cwd,
            env=_ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
            pass_fds=pass_fds,
            check=False,
            **rights,
        )

    def shell(self, script: str, *arguments: str, cwd: Path, stdin: bytes = b"") -> None:
        """Run a fixed `script` as this account with `arguments` as $1 …; raises if it fails."""
        with _filled_pipe(stdin, self) as pipe:
            done = self.run(["/bin/sh", "-c", script, "sh", *arguments], cwd=cwd, stdin=pipe)
        if done.returncode:
            said = done.stdout.decode("utf-8", "replace").strip()
            raise EmbeddedPostgresError(
                f"account {self.name} cannot write in {cwd}: {said}; check its owner and rights"
            )

    def owns(self, path: Path) -> None:
        """Give `path`, which we have just made, to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def _filled_pipe(content: bytes, account: Account) -> IO[bytes]:
    """The reading end of a pipe that already holds `content` (a few kB) and belongs to the account.

    Ownership matters where a program opens /dev/stdin by name (initdb --pwfile): the kernel then checks the pipe's own
    rights, and a pipe made by root is closed to everybody else.
    """
    reading, writing = os.pipe()
    try:
        if account.switch:
            os.fchown(reading, account.uid, account.gid)
        os.write(writing, content)
    finally:
        os.close(writing)
    return os.fdopen(reading, "rb")


def run_with_input(account: Account, command: Sequence[str], content: bytes, *, cwd: Path) -> tuple[int, str]:
    """Run `command` with `content` on its standard input; returns its exit code and what it printed."""
    with _filled_pipe(content, account) as pipe:
        done = account.run(command, cwd=cwd, stdin=pipe)
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def choose_account(data_dir: Path, cluster: Path) -> Account:
    """As whom to run the server on `cluster` inside `data_dir`.

    An ordinary user runs it as themselves. Root runs it as the owner of existing data; for new data as the owner of
    `data_dir` if that is an ordinary user, else as the system account `credit-gateway`, which is made if missing.
    """
    euid = os.geteuid()
    owner = cluster.stat().st_uid if cluster.exists() else None
    if euid != 0:
        if owner not in (None, euid):
            raise EmbeddedPostgresError(
                f"{cluster} belongs to uid {owner}, not to this user (uid {euid}): start as that user or as root, "
                "or choose another GATEWAY_DATA_DIR"
            )
        return Account(str(euid), euid, os.getegid(), switch=False)
    if owner == 0:
        raise EmbeddedPostgresError(
            f"{cluster} belongs to root, as whom PostgreSQL never runs: give it back to its user"
        )
    if owner is not None:
        group = cluster.stat().st_gid
        return Account(_name_of(owner) or str(owner), owner, group, switch=True)
    folder = data_dir.stat()
    name = _name_of(folder.st_uid)
    if folder.st_uid != 0 and name is not None:  # initdb needs an account with a name
        return Account(name, folder.st_uid, pwd.getpwuid(folder.st_uid).pw_gid, switch=True)
    return _system_account()


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _system_account() -> Account:
    entry = _entry(SYSTEM_ACCOUNT)
    if entry is None:
        _create_system_account()
        entry = _entry(SYSTEM_ACCOUNT) or _entry(_SPARE_ACCOUNT)
    if entry is None or entry.pw_uid == 0:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and the system account {SYSTEM_ACCOUNT} could not be made. Make it "
            f"(useradd --system {SYSTEM_ACCOUNT}), start as an ordinary user, or set GATEWAY_DATABASE_URL"
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create_system_account() -> None:
    """Make the account without home, password or shell. Failure is not an error here: another account may do."""
    variants = (  # shadow-utils, then busybox
        ("useradd", "-r", "-U", "-M", "-d", "/nonexistent", "-s", "/bin/false"),
        ("adduser", "-S", "-D", "-H", "-s", "/bin/false"),
    )
    for program, *options in variants:
        found = shutil.which(program, path=_SYSTEM_PATH)
        if found is None:
            continue
        command = [found, *options, SYSTEM_ACCOUNT]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
        if done.returncode == 0 or _entry(SYSTEM_ACCOUNT) is not None:
            return
