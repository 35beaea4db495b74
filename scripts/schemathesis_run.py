"""Schemathesis against a gateway of its own: `python -m scripts.schemathesis_run --minutes 10`.

The time is shared out among the contract of each view (introspected, with a token of that view) and docs/openapi.json,
which has everything that is answered over HTTP. Status 1 where a check failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.malformed import what_is_known
from scripts.served import ROOT, Target, served

OPENAPI = ROOT / "docs" / "openapi.json"
OPENAPI_CHECKS = "not_a_server_error,content_type_conformance,status_code_conformance,response_schema_conformance,sound"
VIEWS = ("", "restricted", "internal")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="by default another each time")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**31) if options.seed is None else options.seed
    seconds = max(5, round(options.minutes * 60 / (len(VIEWS) + 1)))
    with tempfile.TemporaryDirectory(prefix="schemathesis-") as folder, served(Path(folder)) as target:
        known = asyncio.run(what_is_known(target))
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": "scripts.schemathesis_hooks",
            "CREDIT_KNOWN": json.dumps({"usccs": target.usccs[:50], "ids": [known.record_id]}),
            "PYTHONPATH": str(ROOT),
        }
        failed = [name for name, line in runs(target, seconds, seed) if not passed(name, line, environment, folder)]
    print(f"seed {seed}; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def runs(target: Target, seconds: int, seed: int) -> list[tuple[str, list[str]]]:
    """(what is tested, arguments of Schemathesis)."""
    common = ["--max-time", str(seconds), "--seed", str(seed), "--generation-database", "none", "--no-color"]
    common += [
        "--warnings",
        "off",
        "--continue-on-failure",
        "--suppress-health-check",
        "all",
        "--request-timeout",
        "10",
    ]
    made = []
    for view in VIEWS:
        token = ["-H", f"Authorization: Bearer {target.tokens[view]}"] if view else []
        made.append((view or "public", [f"{target.base}/graphql", "--checks", "sound", *token, *common]))
    made.append(("HTTP", [str(OPENAPI), "--url", target.base, "--checks", OPENAPI_CHECKS, *common]))
    return made


def passed(name: str, line: Sequence[str], environment: dict[str, str], folder: str) -> bool:
    """Run Schemathesis; what it says is shown, with the counts of its summary."""
    print(f"--- {name}", flush=True)
    command = [sys.executable, "-m", "schemathesis.cli", "run", *line]
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
