"""Promises: a setting that can't be is named by its variable, in one line, without the inside of any library."""

from __future__ import annotations

import pytest

from gateway.errors import SettingsError
from gateway.settings import load


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_TRUSTED_ISSUERS", "{"),
        ("GATEWAY_TRUSTED_PROXIES", "nonsense"),
        ("GATEWAY_WORKERS", "many"),
        ("GATEWAY_COURTS__BUDGET", "-1"),
        ("GATEWAY_PORT", "99999"),
    ],
)
def test_a_bad_value_is_named_by_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"settings: {name}")
    assert "LAX" not in message
    assert "Source" not in message
    assert "\n" not in message


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PROT", "1")
    with pytest.raises(SettingsError, match="unknown setting GATEWAY_PROT"):
        load()
