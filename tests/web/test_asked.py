"""Promises of asked.py: what a header asks is taken in its one spelling, or refused with what to send instead."""

from __future__ import annotations

import pytest

from gateway.errors import BadUserInput
from gateway.web import asked

UUID = "8e03978e-40d5-43dd-bc93-6894a57f9324"
KEYS = [
    (f'"{UUID}"', UUID),
    (UUID, UUID),
    ("a", "a"),
    ("x" * 255, "x" * 255),
    ('"' + "x" * 255 + '"', "x" * 255),
    ('"two words"', "two words"),
    (r'"a\"b\\c"', r'a"b\c'),
    ("AbC_-.~+/=:", "AbC_-.~+/=:"),
]
NO_KEYS = ["", " ", '""', '" "', "x" * 256, '"' + "x" * 256 + '"', '"open', 'a"b', "a b", "a,b", "a;b", '"a";b=1']
NO_KEYS += ['"a", "b"', "博", "\x7f", "a\tb", '"\x01"', "(a)", ":YQ==:;x", '"a" b']


@pytest.mark.parametrize(("sent", "key"), KEYS)
def test_a_key_with_its_quotes_or_without(sent: str, key: str) -> None:
    assert asked.idempotency_key(sent) == key


@pytest.mark.parametrize("sent", NO_KEYS)
def test_what_is_no_key(sent: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        asked.idempotency_key(sent)
    assert "UUID" in refused.value.en
    assert "UUID" in refused.value.zh


@pytest.mark.parametrize(
    "sent", ["659999199001010015", '"659999 1990-0101 0015"', "reveal-659999199001010015", "659999900101001:2"]
)
def test_an_identity_number_is_no_key(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key's plain hash is kept for a day, and there are few enough numbers to try them all."""
    with pytest.raises(BadUserInput, match="reads as a resident identity number"):
        asked.idempotency_key(sent)
    monkeypatch.setattr(asked, "holds_identity_number", lambda _: False)
    assert asked.idempotency_key(sent) == sent.strip('"')


@pytest.mark.parametrize("sent", ["91652799YL000024X2", "20261127135400123456", "20261127-1354-0012-3456", "1" * 255])
def test_other_numbers_are_keys(sent: str) -> None:
    assert asked.idempotency_key(sent) == sent


@pytest.mark.parametrize(("sent", "seconds"), [("1", 0.001), ("4000", 4.0), ("999999999", 999_999.999)])
def test_a_deadline_in_whole_milliseconds(sent: str, seconds: float) -> None:
    assert asked.deadline(sent) == seconds


@pytest.mark.parametrize("sent", ["", "0", "-1", "1.5", "1e3", " 5", "05", "5000000000", "٥", "4s"])
def test_what_is_no_deadline(sent: str) -> None:
    with pytest.raises(BadUserInput):
        asked.deadline(sent)


def test_hops() -> None:
    assert (asked.hops("0"), asked.hops("1")) == (0, 1)
    for sent in ("2", "", "-1", "one", "1.0", "٠"):
        with pytest.raises(BadUserInput):
            asked.hops(sent)
