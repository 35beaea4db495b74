"""Promise: kill -9 at random moments of an import, run again: the same database as without (scripts/kill_import.py; its
short form, with kills between batches, is test_import_killed.py)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.long
def test_twenty_kills_leave_the_same_database() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "scripts.kill_import", "--kills", "20"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-2_000:], sep="\n")
    counts = {name: int(number) for name, number in re.findall(r"^([a-z -]+?)  +(\d+)", done.stdout, re.MULTILINE)}
    assert done.returncode == 0
    assert counts["killed half-way"] >= 5
    assert counts["databases that differ"] == 0
    assert counts["other faults"] == 0
