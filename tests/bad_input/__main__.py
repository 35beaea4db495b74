"""`python -m tests.bad_input --write`: send every case to a gateway and keep in answers.json what it answered."""

from __future__ import annotations

import argparse
import os

import pytest

from tests.bad_input import FILE, RECORD

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help=f"write {FILE.name}")
    parser.parse_args()
    os.environ[RECORD] = "1"
    raise SystemExit(pytest.main(["-q", str(FILE.parents[1] / "e2e" / "test_bad_input.py")]))
