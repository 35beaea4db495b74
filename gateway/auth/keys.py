"""Signing keys, each with one job, in files that their owner alone can read.

In: <data_dir>/keys. Out: the key to sign with, and the public keys (JWKS, RFC 7517), retired ones included. Another
process may rotate: the folder's time of change is looked at before a key is used.

A file is `<job>.<made, ns>.<kid>.json`, mode 0600, in a folder of mode 0700. Retiring a key removes its private part.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, OKPKey

from gateway.auth.jose import JwtError, Key, import_key
from gateway.errors import OperatorError

# Measured with joserfc 1.8, µs to verify / to sign: ES256 130 / 82, EdDSA 160 / 70, RS256 65 / 720, PS256 71 / 740.
# Tokens are verified once and issued once, so the sum counts: ES256. Receipts and checkpoints are EdDSA by contract.
JOBS: dict[str, str] = {"tokens": "ES256", "receipts": "EdDSA", "checkpoints": "EdDSA", "cosignatures": "EdDSA"}

_RACY_NS = 100_000_000  # two changes within one tick of the file system's clock have the same time
_FORCED_NS = 1_000_000_000  # an unknown kid makes us look again, but not more often than this


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of one job. `retired_at` (Unix seconds) is None for the current one; a retired key has no private part."""

    job: str
    kid: str
    algorithm: str
    created_at: float
    retired_at: float | None
    key: Key = field(repr=False)

    def public(self) -> dict[str, Any]:
        """The public JWK."""
        public = dict(self.key.as_dict(private=False))
        return public | {"kid": self.kid, "alg": self.algorithm, "use": "sig"}


class KeyStore:
    """The keys in one folder. Raises OperatorError for a folder or file that is open to others or damaged."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._keys: tuple[SigningKey, ...] = ()
        self._by_kid: dict[str, SigningKey] = {}
        self._stamp: int | None = None
        self._forced_at = 0

    def current(self, job: str) -> SigningKey:
        """The key to sign with; made now if the job has none yet."""
        _check_job(job)
        for _ in range(2):
            self._refresh()
            for key in reversed(self._keys):
                if key.job == job and key.retired_at is None:
                    return key
            self._first(job)
        raise OperatorError(f"no key for {job} in {self._directory}; run: credit-gateway keys rotate --job {job}")

    def find(self, job: str, kid: str) -> SigningKey | None:
        """The key of that job and kid, None where there is none; looked for in our own folder alone."""
        self._refresh()
        found = self._by_kid.get(kid)
        if found is None and time.monotonic_ns() - self._forced_at > _FORCED_NS:
            self._forced_at = time.monotonic_ns()
            self._load()
            found = self._by_kid.get(kid)
        return found if found is not None and found.job == job else None

    def public(self, job: str) -> dict[str, list[dict[str, Any]]]:
        """The JWKS of a job: the current key first, then retired ones."""
        _check_job(job)
        self._refresh()
        return {"keys": [key.public() for key in reversed(self._keys) if key.job == job]}

    def all(self) -> tuple[SigningKey, ...]:
        """Every key, oldest first."""
        self._refresh()
        return self._keys

    def rotate(self, job: str) -> SigningKey:
        """A new key for the job; older ones lose their private part and stay published."""
        _check_job(job)
        with self._locked():
            self._load()
            made = self._make(job)
            for old in self._keys:
                if old.job == job and old.retired_at is None:
                    self._retire(old)
            self._load()
        return made

    def _first(self, job: str) -> None:
        with self._locked():
            self._load()
            if not any(key.job == job and key.retired_at is None for key in self._keys):
                self._make(job)
            self._load()

    def _make(self, job: str) -> SigningKey:
        key: Key
        if JOBS[job] == "ES256":
            key = ECKey.generate_key("P-256")
        else:
            key = OKPKey.generate_key("Ed25519")
        created = time.time_ns()
        made = SigningKey(job, key.thumbprint(), JOBS[job], created / 1e9, None, key)
        self._write(made, f"{job}.{created:020d}.{made.kid}.json", private=True)
        return made

    def _retire(self, old: SigningKey) -> None:
        public: Key = import_key(old.key.as_dict(private=False))
        retired = SigningKey(old.job, old.kid, old.algorithm, old.created_at, time.time(), public)
        for path in self._directory.glob(f"{old.job}.*.{old.kid}.json"):
            self._write(retired, path.name, private=False)

    def _write(self, key: SigningKey, name: str, *, private: bool) -> None:
        content = {
            "job": key.job,
            "kid": key.kid,
            "alg": key.algorithm,
            "created_at": key.created_at,
            "retired_at": key.retired_at,
            "jwk": key.key.as_dict(private=private),
        }
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self._directory)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._directory / name)
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise OperatorError(f"cannot write {self._directory / name}: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time makes or retires keys."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._directory / ".lock", flags, 0o600)
        except OSError as error:
            raise OperatorError(f"cannot use {self._directory}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _refresh(self) -> None:
        try:
            stamp = self._directory.stat().st_mtime_ns
        except FileNotFoundError:
            self._keys, self._by_kid, self._stamp = (), {}, None
            return
        if stamp != self._stamp:
            self._load()

    def _load(self) -> None:
        try:
            info = self._directory.lstat()
            if not stat.S_ISDIR(info.st_mode) or info.st_mode & 0o077:
                raise OperatorError(f"{self._directory} is open to others; run: chmod 700 '{self._directory}'")
            started = time.time_ns()
            found = tuple(_read(path) for path in sorted(self._directory.glob("*.json")))
        except FileNotFoundError:
            found, info, started = (), None, 0
        self._keys = tuple(sorted(found, key=lambda key: key.created_at))
        self._by_kid = {key.kid: key for key in found}
        racy = info is None or started - info.st_mtime_ns < _RACY_NS
        self._stamp = None if racy or info is None else info.st_mtime_ns


def _check_job(job: str) -> None:
    if job not in JOBS:
        raise OperatorError(f"no such job: {job}; jobs are {', '.join(JOBS)}")


def _read(path: Path) -> SigningKey:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            if os.fstat(descriptor).st_mode & 0o077:
                raise OperatorError(f"{path} can be read by others; run: chmod 600 '{path}'")
            data = json.load(file)
        key = import_key(data["jwk"])
        retired = data["retired_at"]
        if retired is None and not key.is_private:
            raise OperatorError(f"{path} has lost its private part; restore it or run: credit-gateway keys rotate")
        return SigningKey(
            data["job"], data["kid"], data["alg"], data["created_at"], None if retired is None else float(retired), key
        )
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}; it must belong to the user of the server") from None
    except (ValueError, KeyError, TypeError, JwtError):
        # Without the cause: its text may quote the file.
        raise OperatorError(f"cannot read the key in {path}; restore it from a backup") from None
