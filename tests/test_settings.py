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
        ("GATEWAY_BANKS__BASE_URL", "exchange.example"),
        ("GATEWAY_COURTS__BASE_URL", "https://user@exchange.example"),
        ("GATEWAY_COURTS__FRESH_SECONDS_OF", '{"judgement": 5}'),
        ("GATEWAY_PEERS", '[{"code": "PEER_1"}]'),
        ("GATEWAY_ISSUER", "credit.example"),
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


@pytest.mark.parametrize(
    ("group", "lacking"),
    [("COURTS", "APP_KEY"), ("BANKS", "CLIENT_SECRET"), ("REGION_PLATFORM", "SECRET")],
)
def test_a_source_that_is_half_set_up_is_none(group: str, lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"GATEWAY_{group}__BASE_URL", "https://exchange.example")
    with pytest.raises(SettingsError, match=f"settings: GATEWAY_{group}: .*with a base URL it also needs .*{lacking}"):
        load()


def test_a_peers_member_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PEERS", '[{"code": "PEER_1"}]')
    with pytest.raises(SettingsError, match="GATEWAY_PEERS: element 1, region_code: Field required"):
        load()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("GATEWAY_PORT", "x", "must be a whole number"),
        ("GATEWAY_LEDGER_TIMEOUT", "soon", "must be a number"),
    ],
)
def test_what_is_no_number_is_told_in_our_words(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^settings: {name}: {told}$"):
        load()


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ('{"PUBLIC": {"depth": 99}}', "GATEWAY_LIMITS: PUBLIC: depth must be a whole number from 1 to 40"),
        ('{"NONE": {"depth": 9}}', "GATEWAY_LIMITS: no such contract: NONE; contracts are PUBLIC"),
    ],
)
def test_limits_that_cannot_be(limits: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LIMITS", limits)
    with pytest.raises(SettingsError, match=f"^settings: {told}"):
        load()
