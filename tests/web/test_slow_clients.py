"""Promise: 200 slow clients and 2,000 idle connections make a good client's p99 at most 1.5 times its own
(scripts/slow_clients.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_slow_clients_do_not_slow_a_good_one() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "scripts.slow_clients", "--rounds", "5"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-2_000:], sep="\n")
    assert "p99 beside / alone" in done.stdout
    assert done.returncode == 0, done.stdout
