"""Make .venv: the locked packages and this project, so that .venv/bin/credit-gateway exists. `make env` runs it.

Runs before anything is installed, on whatever `python3` is, so: standard library only, and no syntax that an older
Python 3 can't parse, or the message about its age would never be seen. The second time costs nothing: a stamp in .venv
has the hash of all that it was made from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements" / "dev.txt"
STAMP = VENV / "installed.sha256"
PYTHON = VENV / "bin" / "python"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def stop(message: str) -> NoReturn:
    """End with one line that says what to do."""
    sys.exit("env: " + message)


def wanted() -> str:
    """Hash of what .venv is made from; the place counts too, since its scripts have absolute paths."""
    digest = hashlib.sha256()
    for part in (LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode(), VERSION.encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def run(command: Sequence[object], what: str) -> None:
    """Run a command; what it says on stderr is shown."""
    words = [str(part) for part in command]
    if subprocess.call(words, cwd=str(ROOT), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
        stop(what + " failed; see above")


def need_venv() -> None:
    """Debian and Ubuntu keep what `venv` needs in a package of its own."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    package = f"python{VERSION}-venv"
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    if shutil.which("apt-get") is None:
        stop("this Python has no venv module; install it with your system's package manager, then run make again")
    if os.geteuid() != 0:
        stop(f"this Python has no venv module; run `sudo apt-get install {package}`, then make again")
    print(f"env: installing {package} by apt-get", flush=True)
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run(["apt-get", "update", "-qq"], "apt-get update")
    run(install, "apt-get install")


def same_python() -> bool:
    """Whether .venv's own Python still runs and is of our version."""
    ask = [str(PYTHON), "-c", "import sys; print('{}.{}'.format(*sys.version_info[:2]))"]
    try:
        answer = subprocess.check_output(ask, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.decode().strip() == VERSION


def main() -> None:
    """Compare the stamp; make what is missing."""
    if sys.version_info < OLDEST:
        stop(f"{sys.executable} is Python {VERSION}, 3.11 or newer is needed; name another: make PYTHON=python3.12 …")
    stamp = wanted()
    if STAMP.is_file() and STAMP.read_text() == stamp and same_python():
        return
    need_venv()
    began = time.time()
    print("env: installing the locked packages into .venv (about a minute, once)", flush=True)
    if STAMP.is_file():
        STAMP.unlink()  # what is interrupted must not count as done
    if not same_python():
        # The Python that runs this may be that of an activated .venv: then the one that it was made with.
        base = getattr(sys, "_base_executable", sys.executable)
        run([base, "-m", "venv", "--clear", VENV], "python -m venv")
    pip = [PYTHON, "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    pip += ["--root-user-action=ignore"]
    run([*pip, "--require-hashes", "-r", LOCK], "installing requirements/dev.txt")
    run([*pip, "--no-deps", "--editable", ROOT], "installing the project")
    STAMP.write_text(stamp)
    print(f"env: ready, {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
