"""Promises: a command in a folder that is not the gateway's says so in a line, and what to do; it makes no database
there, and no traceback. So does one on a database that was never migrated, or not to this version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.common import reported
from gateway.storage.pool import storage_unavailable

COMMANDS = (
    "clients list",
    "clients documents list x",
    "ledger seals",
    "ledger verify",
    "ledger consistency 1 2",
    "ledger access-request list",
    "erase 86b22881-3267-466a-afe0-ac9db907a0ad --basis x --dry-run",
    "changes status",
    "import --report",
)


@pytest.mark.parametrize("line", COMMANDS)
def test_no_database_is_made_by_who_only_looks(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    found = CliRunner().invoke(app, line.split())
    assert found.exit_code == 1, found.output
    assert found.stderr.startswith(f"error: there is no database in {tmp_path / 'data'}: ")
    assert "GATEWAY_DATA_DIR" in found.stderr
    assert "credit-gateway migrate" in found.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("line", ["clients list", "ledger seals", "ledger verify", "import --report", "changes status"])
def test_a_database_that_was_never_migrated(
    line: str, postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_DATABASE_URL", postgres.dsn())
    monkeypatch.setenv("GATEWAY_ROLE_PREFIX", "nobody_made_these")
    found = CliRunner().invoke(app, line.split())
    assert found.exit_code == 1, found.output
    assert "credit-gateway migrate" in found.stderr.splitlines()[-1]


def test_what_is_not_there_is_an_older_database(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (asyncpg.UndefinedColumnError('column "x" does not exist'), storage_unavailable()):
        with pytest.raises(typer.Exit) as raised, reported():
            raise error
        assert raised.value.exit_code == 1
        assert "`credit-gateway migrate`" in capsys.readouterr().err
