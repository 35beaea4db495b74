"""Promise: kill -9 of the gateway, of its workers and of PostgreSQL under load leaves no answer without its disclosure,
no disclosure without its leaf, and no gap in a subject's numbers (scripts/kill_ledger.py; the long form in
`make test-long`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from e2e_stack import ROOT


def check(gateway: int, database: int, *arguments: str) -> None:
    command = [sys.executable, "-m", "scripts.kill_ledger", "--gateway-kills", str(gateway)]
    command += ["--database-kills", str(database), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-2_000:], sep="\n")
    counts = {name: int(n) for name, n in re.findall(r"^([a-z A-Z]+?)  +(\d+)", done.stdout, re.MULTILINE)}
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    assert counts["answers lacking theirs"] == counts["gaps"] == counts["strangers"] == 0
    assert counts["answers received whole"] >= 20 * (gateway + database)
    assert counts["leaves"] == counts["disclosures"] >= counts["answers received whole"]
    assert counts["entries"] == counts["shown"] > 0
    assert counts["checkpoints"] > 0
    assert "ledger verify            found nothing" in done.stdout


def test_a_few_kills() -> None:
    check(2, 1, "--workers", "2", "--load-seconds", "0.2", "0.5")


@pytest.mark.long
def test_a_hundred_kills_and_twenty_of_postgresql() -> None:
    check(100, 20)
