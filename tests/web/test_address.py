"""Promises: a header tells a client's address only from our own proxies, and only the header that they write; forged
hops to the left of what they wrote count for nothing; one IPv6 subscriber is one client."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from gateway.errors import SettingsError
from gateway.settings import load
from gateway.web.address import Peers, counted_as

OURS = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")]


def scope(peer: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    found = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"client": None if peer is None else (peer, 4711), "headers": found}


@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),  # nobody of ours says so
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),  # the client's own invention stands left
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.2.0.4", "203.0.113.9"),  # two proxies of ours
        ("10.0.0.1", "10.9.9.9, 10.2.0.4", "10.9.9.9"),  # from our own network
        ("10.0.0.1", "203.0.113.9:5555", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8:9::1]:80", "2001:db8:9::1"),
        ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, ", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("2001:db8:1::5", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        (None, "203.0.113.9", ""),
    ],
)
def test_the_rightmost_hop_that_is_not_ours(peer: str | None, told: str, expected: str) -> None:
    assert Peers(OURS).client_address(scope(peer, ("X-Forwarded-For", told))) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ('proto=https;For="[2001:db8:9::1]:4711"', "2001:db8:9::1"),
        ("for=1.1.1.1, for=203.0.113.9", "203.0.113.9"),
        ('for="1.1.1.1, for=203.0.113.9', "203.0.113.9"),  # a quotation that the client never ended
        ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
    ],
)
def test_forwarded(told: str, expected: str) -> None:
    assert Peers(OURS, "Forwarded").client_address(scope("10.0.0.1", ("Forwarded", told))) == expected


def test_the_header_that_our_proxies_do_not_write_is_ignored() -> None:
    asked = scope("10.0.0.1", ("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "203.0.113.9"))
    assert Peers(OURS).client_address(asked) == "203.0.113.9"
    assert Peers(OURS, "Forwarded").client_address(asked) == "1.1.1.1"


def test_headers_in_several_lines_are_one_list() -> None:
    asked = scope("10.0.0.1", ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.9"))
    assert Peers(OURS).client_address(asked) == "203.0.113.9"


def test_a_long_list_is_not_walked_to_its_end() -> None:
    asked = scope("10.0.0.1", ("X-Forwarded-For", "203.0.113.9, " + "10.0.0.2," * 5_000 + "10.0.0.3"))
    assert Peers(OURS).client_address(asked) == "10.0.0.2"


def test_without_proxies_nobody_is_believed() -> None:
    asked = scope("10.0.0.1", ("X-Forwarded-For", "203.0.113.9"))
    assert Peers([]).client_address(asked) == "10.0.0.1"
    assert not Peers([]).is_trusted(asked)
    assert Peers(OURS).is_trusted(asked)
    assert not Peers(OURS).is_trusted(scope("11.0.0.1"))
    assert not Peers(OURS).is_trusted(scope(None))


def test_what_an_address_counts_as() -> None:
    assert counted_as("203.0.113.9") == counted_as("::ffff:203.0.113.9") == "203.0.113.9"
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff:0:0:1%eth0") == "2001:db8::/64"
    assert counted_as("2001:db8:0:1::1") != counted_as("2001:db8::1")
    assert counted_as("") == ""


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8:1::/48")
    assert [*load().trusted_proxies] == OURS
    monkeypatch.setenv("GATEWAY_TRUSTED_PROXIES", '["10.0.0.0/8", "2001:db8:1::/48"]')
    assert [*load().trusted_proxies] == OURS
    for wrong in ("10.0.0.1/8", "proxy.example", "[", '{"a": 1}'):
        monkeypatch.setenv("GATEWAY_TRUSTED_PROXIES", wrong)
        with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
            load()
