"""Promise: kill -9 of the gateway, of its workers and of PostgreSQL under load leaves no answer without its disclosure,
no disclosure without its leaf, and no gap in a subject's numbers (scripts/kill_ledger.py; the long form in
`make test-long`)."""

from __future__ import annotations

import pytest
from e2e_stack import script


def check(gateway: int, database: int, *arguments: str) -> None:
    kills = ("--gateway-kills", str(gateway), "--database-kills", str(database))
    status, counts, said = script("kill_ledger", *kills, *arguments)
    assert status == 0, said
    assert counts["answers lacking theirs"] == counts["gaps"] == counts["strangers"] == 0
    assert counts["answers received whole"] >= 20 * (gateway + database)
    assert counts["leaves"] == counts["disclosures"] >= counts["answers received whole"]
    assert counts["entries"] == counts["shown"] > 0
    assert counts["checkpoints"] > 0
    assert "ledger verify            found nothing" in said


def test_a_few_kills() -> None:
    check(2, 1, "--workers", "2", "--load-seconds", "0.2", "0.5")


@pytest.mark.long
def test_a_hundred_kills_and_twenty_of_postgresql() -> None:
    check(100, 20)
