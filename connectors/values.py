"""Strict readers for upstreams that promise types: nothing is guessed, what doesn't fit is UpstreamError(MALFORMED).

In: an object out of JSON and a key of it. Out: the value in canonical form. No value is ever copied into an error.
Called by the connectors alone; http.py has the readers for upstreams that are looser.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from connectors.base import FailureKind
from connectors.http import fail

INT_CAP: Final = 2**31  # GraphQL's Int has 32 bits

_AMOUNT: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_AMOUNT_CAP: Final = Decimal(10) ** 15  # yuan
_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)  # more digits than any amount that _AMOUNT lets in
_CENT: Final = Decimal("0.01")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def member(values: Mapping[str, object], key: str) -> object:
    """The value under `key`, null included; a missing key fails."""
    if key not in values:
        fail(FailureKind.MALFORMED, f"missing {key}")
    return values[key]


def string(values: Mapping[str, object], key: str) -> str:
    """Text under `key`, as it stands."""
    value = member(values, key)
    if not isinstance(value, str):
        fail(FailureKind.MALFORMED, f"{key} is not text")
    return value


def choice(values: Mapping[str, object], key: str, known: Collection[str]) -> str:
    """One of the `known` texts under `key`."""
    value = string(values, key)
    if value not in known:
        fail(FailureKind.MALFORMED, f"{key} is unknown")
    return value


def flag(values: Mapping[str, object], key: str) -> bool:
    """The boolean under `key`."""
    value = member(values, key)
    if not isinstance(value, bool):
        fail(FailureKind.MALFORMED, f"{key} is not a boolean")
    return value


def count(values: Mapping[str, object], key: str) -> int:
    """The integer under `key`, from 0 on, of 32 bits."""
    value = member(values, key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < INT_CAP:
        fail(FailureKind.MALFORMED, f"{key} is not a number of its range")
    return value


def items(values: Mapping[str, object], key: str) -> list[object]:
    """The list under `key`."""
    value = member(values, key)
    if not isinstance(value, list):
        fail(FailureKind.MALFORMED, f"{key} is not a list")
    return value


def yuan(values: Mapping[str, object], key: str, unit: int = 1) -> str:
    """The amount under `key`, decimal text in units of `unit` yuan, as yuan with exactly two decimals (half-even)."""
    text = string(values, key)
    if not _AMOUNT.fullmatch(text):
        fail(FailureKind.MALFORMED, f"{key} is not an amount")
    amount = _EXACT.quantize(_EXACT.multiply(Decimal(text), Decimal(unit)), _CENT)
    if abs(amount) >= _AMOUNT_CAP:
        fail(FailureKind.MALFORMED, f"{key} is out of range")
    return str(amount if amount else abs(amount))  # never -0.00


def day(values: Mapping[str, object], key: str) -> str:
    """The day under `key`, YYYY-MM-DD (ISO 8601), as it stands."""
    text = string(values, key)
    read: date | None = None
    with suppress(ValueError):
        read = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    if read is None:
        fail(FailureKind.MALFORMED, f"{key} is not a day")
    return read.isoformat()


def moment(values: Mapping[str, object], key: str) -> str:
    """The date-time under `key` (RFC 3339 §5.6), its offset kept, to the microsecond."""
    text = string(values, key)
    read: datetime | None = None
    with suppress(ValueError):
        read = datetime.fromisoformat(text.upper()) if _MOMENT.fullmatch(text) else None
    if read is None:
        fail(FailureKind.MALFORMED, f"{key} is not a time")
    return read.isoformat()
