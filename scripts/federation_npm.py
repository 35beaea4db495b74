"""The npm packages of the federation's example, in build/: installed once for each list of versions.

In: docs/examples/federation/package.json, every version exact. Out: a folder with the packages and the example's own
programs. Raises NotThere, with one line, where there is no Node.js or no registry. No package's install scripts run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "federation"
WORK = ROOT / "build" / "federation"
OLDEST_NODE = 20
SECONDS = 600
DONE = "installed.json"  # the package.json of what is there


class NotThere(Exception):
    """The packages can't be had; the message is for the reader."""


def installed() -> Path:
    """The folder, after installing where that is to do."""
    wanted = (EXAMPLE / "package.json").read_text(encoding="utf-8")
    WORK.mkdir(parents=True, exist_ok=True)
    for path in EXAMPLE.iterdir():
        shutil.copy(path, WORK)
    done = WORK / DONE
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        _install()
        done.write_text(wanted, encoding="utf-8")
    return WORK


def _install() -> None:
    if shutil.which("npm") is None or _node() < OLDEST_NODE:
        raise NotThere(f"Node.js {OLDEST_NODE} or newer with npm is needed")
    shutil.rmtree(WORK / "node_modules", ignore_errors=True)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    options += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--no-package-lock"]
    try:
        done = subprocess.run(
            ["npm", "install", *options], cwd=WORK, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotThere(f"npm install: no end after {SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        raise NotThere(f"npm install: {lines[0]}")


def _node() -> int:
    if shutil.which("node") is None:
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False, env=os.environ).stdout
    major = said.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0
