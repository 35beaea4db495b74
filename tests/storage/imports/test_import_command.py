"""Promises: `credit-gateway import` says what became of the rows: status 0, 1, 2 or 3, one line for each trouble."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app as whole
from gateway.cli.imports import import_command
from gateway.storage.database import Database

app = typer.Typer()
app.command("import")(import_command)
app.command("other")(lambda: None)
GOOD = "code,name\n99,样例省\n"


@pytest.fixture(autouse=True)
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", database.migrate_dsn)
    monkeypatch.setenv("GATEWAY_ROLE_PREFIX", database.prefix)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(database.secrets.folder.parent))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_in(tmp_path: Path) -> None:
    path = file(tmp_path, GOOD)
    result = run(path, "--as", "divisions", "--dry-run")
    assert (result.exit_code, "nothing was kept" in result.stderr) == (0, True)
    assert [run(path, "--as", "divisions").exit_code for _ in range(2)] == [0, 0]
    assert not (tmp_path / "file.rejects.csv").exists()


def test_some_rejected(tmp_path: Path) -> None:
    result = run(file(tmp_path, GOOD + "8801,样例市\n"), "--as", "divisions", "--rejects", tmp_path / "r.csv")
    assert result.exit_code == 3
    assert "1 rows rejected" in result.stderr
    assert "3,code,8801" not in (tmp_path / "r.csv").read_text(encoding="utf-8-sig")  # the parent is what lacks
    assert "3,parent,88," in (tmp_path / "r.csv").read_text(encoding="utf-8-sig")


def test_failures_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.csv", file(tmp_path, "")):
        result = run(path, "--as", "divisions")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr


def test_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path / "x.csv", "--as", "natural-persons").exit_code == 2
    assert run(tmp_path / "x.csv").exit_code == 2


def test_organisations_without_a_valid_code_are_told_of(tmp_path: Path) -> None:
    """A mistyped code makes a second organisation: nobody would notice by counts of rows."""
    right, wrong = "91652799YL0099999P", "91652799YL00999990"
    path = file(tmp_path, f"name,uscc\n样例甲有限公司,{right}\n样例乙有限公司,{wrong}\n")
    result = run(path, "--as", "organisations")
    assert result.exit_code == 0
    assert "1 new organisations have no valid code" in result.stderr.replace("\n", " ")
    again = run(path, "--as", "organisations")
    assert "no valid code" not in again.stderr


def test_the_version() -> None:
    result = CliRunner().invoke(whole, ["--version"])
    assert (result.exit_code, result.stdout.strip()) == (0, version("credit-gateway"))
