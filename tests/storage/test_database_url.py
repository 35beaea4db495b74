"""A GATEWAY_DATABASE_URL that can't be is refused in one line that says what to do, and not a word of it: it has a
password. Without the check a driver's stack trace, or "the database did not answer", is all there is.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import StorageError
from gateway.settings import Settings
from gateway.storage.database import open_database

BASE = "postgresql://migrate:s3cret@db.example/credit"
WRONG = {
    "another program's": ("mysql://migrate:s3cret@db.example/credit", "must be postgresql://"),
    "no URL": ("s3cret", "must be postgresql://"),
    "no database": ("postgresql://migrate:s3cret@db.example", "must be postgresql://"),
    "two databases": ("postgresql://migrate:s3cret@db.example/credit/more", "must be postgresql://"),
    "a port that is none": ("postgresql://migrate:s3cret@db.example:five/credit", "must be postgresql://"),
    "a password with #": ("postgresql://migrate:s3cret#1@db.example/credit", "%23"),
    "a password with /": ("postgresql://migrate:s3cret/1@db.example/credit", "%2F"),
    "a mode that is none": (f"{BASE}?sslmode=sure", "verify-full"),
}


def opened(url: str, folder: Path) -> str:
    """The name of the database that a URL names."""
    with open_database(Settings(data_dir=folder, database_url=SecretStr(url))) as database:
        return database.name


@pytest.mark.parametrize("kind", WRONG)
def test_what_can_not_be_is_told_without_the_password(kind: str, tmp_path: Path) -> None:
    url, said = WRONG[kind]
    with pytest.raises(StorageError) as refused:
        opened(url, tmp_path)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        BASE,
        f"{BASE}?sslmode=require",
        "postgresql://migrate:s3cret@one.example:5432,two.example:5433/credit",
        "postgresql://migrate@/credit?host=/run/postgresql",
        "postgres://migrate:p%23%2F%3F@[::1]:5432/credit?application_name=x",
    ],
)
def test_what_can_be_is_taken(url: str, tmp_path: Path) -> None:
    assert opened(url, tmp_path) == "credit"


def test_a_root_certificate_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    root = tmp_path / "authority.crt"
    with pytest.raises(StorageError, match=r"\.postgresql/root\.crt can't be read .*sslrootcert=FILE"):
        opened(f"{BASE}?sslmode=verify-full", tmp_path)
    with pytest.raises(StorageError, match=r"authority\.crt can't be read"):
        opened(f"{BASE}?sslmode=verify-ca&sslrootcert={root}", tmp_path)
    root.write_text("")
    assert opened(f"{BASE}?sslmode=verify-ca&sslrootcert={root}", tmp_path) == "credit"


def test_print_roles_takes_the_name_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"{BASE}?sslmode=verify-full&sslrootcert=/etc/ssl/authority.crt")
    shown = CliRunner().invoke(app, ["migrate", "--print-roles"])
    assert shown.exit_code == 0
    assert '"credit_public"' in shown.stdout
    assert "authority" not in shown.stdout
