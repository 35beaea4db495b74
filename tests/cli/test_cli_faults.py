"""A command that can't read or write says so in one line, and shows no stack trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, out: int | None = subprocess.PIPE, given: str = "{ viewer { view } }") -> tuple[int, str]:
    """Status and stderr of credit-gateway in a process of its own, whose stdout is `out`."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, input=given, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        status, said = run("schema", out=full.fileno())
    assert (status, said) == (1, "error: cannot write: No space left on device; make room, then run it again\n")


def test_explain_says_what_it_can_not_read() -> None:
    assert run("explain", "nowhere.graphql") == (1, "error: cannot read nowhere.graphql: No such file or directory\n")
    assert run("explain", sys.executable) == (1, f"error: {sys.executable} is not UTF-8; give a GraphQL document\n")
    for wrong in ("[1]", "null", "{"):
        status, said = run("explain", "-", "--variables", wrong)
        assert (status, "must be a JSON object" in said) == (2, True)
