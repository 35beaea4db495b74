"""Passwords in files: made once, 0600 in a 0700 folder, never shown; and their SCRAM verifiers."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.storage.secrets import SecretFileError, SecretFiles, scram_matches, scram_verifier


def test_secrets_are_made_once_and_stay_in_their_folder(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    names = ["a", "../b", ".", "..", "数据", "a/b"]
    values = {files.secret(name) for name in names}
    assert len(values) == len(names)
    assert {SecretFiles(tmp_path / "secrets").secret(name) for name in names} == values
    assert min(map(len, values)) >= 43  # 32 bytes in base64
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert files.find("unknown") is None


def test_secrets_that_others_can_read_are_refused_and_not_shown(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    value = files.secret("role")
    files.path("role").chmod(0o640)
    with pytest.raises(SecretFileError, match="chmod 600") as caught:
        files.secret("role")
    assert value not in str(caught.value)
    (tmp_path / "secrets").chmod(0o755)
    with pytest.raises(SecretFileError, match="chmod 700"):
        files.secret("new")


def test_scram_verifiers_tell_passwords_apart() -> None:
    verifier = scram_verifier("secret")
    assert scram_matches(verifier, "secret")
    assert not scram_matches(verifier, "Secret")
    assert not scram_matches("md5abc", "secret")
    assert not scram_matches(None, "secret")
