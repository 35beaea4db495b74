"""The audit of GraphQL over HTTP, as npm's graphql-http publishes it:  python -m scripts.http_audit [URL]

Against the public view of a gateway at URL, else of one that it starts in a folder of its own. Prints each audit that
is not met and the count; status 1 where one is not. Needs Node.js with npm, and the npm registry once: the packages
that tools/http_audit/package-lock.json pins by hash go into build/http_audit/; their install scripts are not run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.served import served

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "http_audit"
WORK = ROOT / "build" / "http_audit"
FILES = ("package.json", "package-lock.json", "audit.mjs")
SECONDS = 120  # for npm, and for the audit


class NoAudit(Exception):
    """Node.js or the packages can't be had; says why."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One of them. `status`: ok, or notice, warn, error where a MAY, SHOULD, MUST of the standard is not met."""

    id: str
    name: str
    status: str
    reason: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", nargs="?", help="of /graphql")
    options = parser.parse_args(arguments)
    if options.url:
        return told(audits(options.url))
    with tempfile.TemporaryDirectory(prefix="http-audit-") as folder, served(Path(folder), workers=1) as target:
        return told(audits(f"{target.base}/graphql"))


def told(found: Sequence[Audit]) -> int:
    """Print what is not met; the exit status."""
    missed = [audit for audit in found if audit.status != "ok"]
    for audit in missed:
        print(f"{audit.id} {audit.status}: {audit.name}: {audit.reason}")
    print(f"{len(found) - len(missed)} of {len(found)}")
    return int(bool(missed) or not found)


def audits(url: str) -> list[Audit]:
    """All audits against a URL. Raises NoAudit."""
    node = shutil.which("node")
    if node is None:
        raise NoAudit("there is no Node.js on the PATH")
    install()
    run = _run([node, WORK / "audit.mjs", url])
    return [Audit(**json.loads(line)) for line in run.splitlines()]


def install() -> None:
    """The pinned packages into WORK, unless they are there. Raises NoAudit."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoAudit("there is no npm on the PATH")
    WORK.mkdir(parents=True, exist_ok=True)
    wanted = (TOOL / "package-lock.json").read_bytes()
    installed = WORK / "node_modules" / ".from-lock.json"
    for name in FILES:
        shutil.copyfile(TOOL / name, WORK / name)
    if installed.is_file() and installed.read_bytes() == wanted:
        return
    _run([npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--prefix", WORK])
    installed.write_bytes(wanted)


def _run(command: Sequence[str | Path]) -> str:
    try:
        done = subprocess.run(command, cwd=WORK, capture_output=True, text=True, timeout=SECONDS, check=True)
    except subprocess.TimeoutExpired:
        raise NoAudit(f"{command[0]} took more than {SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise NoAudit(f"{command[0]}: {error.stderr.strip()[-400:]}") from None
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
