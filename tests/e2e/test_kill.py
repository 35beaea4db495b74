"""Promise: kill -9 under load leaves no answer without its disclosure (scripts/kill_gateway.py, the long form in
`make test-long`), and the check would find one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from e2e_stack import script


def check(kills: int, *arguments: str) -> None:
    status, counts, said = script("kill_gateway", "--kills", str(kills), *arguments)
    assert status == 0, said
    assert counts["kills"] == kills
    assert counts["answers lacking theirs"] == 0
    assert counts["answers received whole"] >= 20 * kills
    assert counts["disclosures in ledger"] >= counts["answers received whole"]
    assert counts["requests cut off"] >= kills  # the kills came while answers were on their way


def test_two_kills_lose_no_disclosure() -> None:
    check(2, "--load-seconds", "0.3", "0.8")


@pytest.mark.long
def test_twenty_kills_lose_no_disclosure() -> None:
    check(20)


def test_an_account_that_answers_first_is_found_out() -> None:
    careless = str(Path(__file__).with_name("careless_gateway.py"))
    status, counts, said = script(
        "kill_gateway", "--kills", "1", "--load-seconds", "0.5", "0.6", "--serve", sys.executable, careless, "serve"
    )
    assert status == 1, said
    assert counts["answers lacking theirs"] > 0
