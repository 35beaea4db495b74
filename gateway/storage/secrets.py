"""Passwords in files: what is random and must outlive a process, one file each, readable by its owner alone.

In: the name of a role. Out: its password, made on first use. Used by the embedded server and by the migrations; a
server of the operator's own gets its passwords from its administrator instead.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import StorageError

_ENTROPY = 32  # bytes of randomness in a password
_LONGEST = 4096  # bytes read from a file: more is not a password
_ITERATIONS = 4096  # PostgreSQL's own default (scram_iterations); the passwords are random, so more buys nothing
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


class SecretFileError(StorageError):
    """A secret cannot be read or kept safely. The message names the file and what to do, never what is in it."""


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """Secrets in a folder of mode 0700, each in a file of mode 0600.

    Run by root, the folder and its files get the owner of the folder above, so that somebody who once used sudo on
    their own data is not locked out afterwards.
    """

    folder: Path

    def secret(self, name: str) -> str:
        """The secret called `name` (32 random bytes, URL-safe); made now if there is none. Safe between processes."""
        found = self.find(name)
        return found if found is not None else self._create(name)

    def find(self, name: str) -> str | None:
        """The secret called `name`, or None if there is none."""
        path = self.path(name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise SecretFileError(f"cannot read {path}: {exc.strerror}; it must be a file of this user's") from exc
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise SecretFileError(f"{path} is not a plain file; remove it")
            if info.st_mode & 0o077:
                raise SecretFileError(f"{path} can be read by others; run: chmod 600 '{path}'")
            value = file.read(_LONGEST).decode("ascii", "replace").strip()
        if not value:
            raise SecretFileError(f"{path} is empty; restore it from a backup")
        return value

    def path(self, name: str) -> Path:
        """Where the secret called `name` is kept. Names are quoted, so that none of them leaves the folder."""
        if not name:
            raise ValueError("a secret needs a name")
        quoted = urllib.parse.quote(name, safe="")
        return self.folder / (f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted)

    def _create(self, name: str) -> str:
        path = self.path(name)
        try:
            owner = self._ensure_folder()
            fd, temporary = tempfile.mkstemp(prefix=".new-", dir=self.folder)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(secrets.token_urlsafe(_ENTROPY).encode("ascii") + b"\n")
                    _give_to(fd, owner)
                    file.flush()
                    os.fsync(fd)
                # A link, unlike a rename, never replaces: of two processes one wins, and both read the winner's.
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, path)
            finally:
                os.unlink(temporary)
            _sync_folder(self.folder)
        except OSError as exc:
            raise SecretFileError(f"cannot write {path}: {exc.strerror}") from exc
        value = self.find(name)
        if value is None:
            raise SecretFileError(f"{path} vanished while it was written; try again")
        return value

    def _ensure_folder(self) -> os.stat_result:
        """Make the folder if it is missing, refuse an unsafe one; returns its lstat."""
        try:
            os.mkdir(self.folder, 0o700)
        except FileExistsError:
            pass
        else:
            above = self.folder.parent.stat()
            if os.geteuid() == 0:
                os.chown(self.folder, above.st_uid, above.st_gid, follow_symlinks=False)
        info = self.folder.lstat()
        if not stat.S_ISDIR(info.st_mode):
            raise SecretFileError(f"{self.folder} is not a folder; remove it")
        if info.st_mode & 0o077:
            raise SecretFileError(f"{self.folder} is open to others; run: chmod 700 '{self.folder}'")
        return info


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for `password` (RFC 5803): statements carry this, so no statement holds the password."""
    salt = secrets.token_bytes(16)
    stored_key, server_key = _scram_keys(password, salt, _ITERATIONS)
    parts = [base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def scram_matches(verifier: str | None, password: str) -> bool:
    """Does `verifier` (pg_authid.rolpassword) belong to `password`? Then the role need not be altered."""
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None:
        return False
    salt, stored_key, server_key = (base64.b64decode(part) for part in match.groups()[1:])
    expected = _scram_keys(password, salt, int(match[1]))
    return hmac.compare_digest(expected[0] + expected[1], stored_key + server_key)


def _scram_keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of RFC 5802, section 3. The passwords here are ASCII, so SASLprep changes nothing."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def _give_to(fd: int, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may leave a cluster whose password was never written down."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
