"""Made-up subjects: their codes, their names, and draws that come out the same every time.

In: a list of subjects, one `uscc,name` a line. Out: codes that hold (GB 32100), and for each subject the draws that
its data are made with. A subject whose name does not say 示例 or 样例 is refused, so that no made-up record
meets a real organisation.
"""

from __future__ import annotations

import csv
import hashlib
import random
import re
from datetime import date
from pathlib import Path
from typing import Any

Row = dict[str, Any]

USCC_FORM = re.compile(r"[0-9A-HJ-NPQRTUWXY]{18}")  # GB 32100: no I, O, S, V, Z
LATEST = date(2026, 6, 30)  # fixed: nothing made up is younger, and the same subject has the same data in every run
_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def load_subjects(path: Path) -> dict[str, str]:
    """Read `uscc,name` lines (UTF-8, a heading and empty lines allowed); ValueError names the line that is wrong."""
    subjects: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if not any(cells) or cells[0].strip().lower() == "uscc":
                continue
            if len(cells) < 2:
                raise ValueError(f"line {number}: uscc,name expected")
            uscc, name = cells[0].strip(), cells[1].strip()
            try:
                check_subject(uscc, name)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            subjects[uscc] = name
    return subjects


def check_subject(uscc: str, name: str) -> None:
    """ValueError where this is no code, or a name that might be somebody's."""
    if not USCC_FORM.fullmatch(uscc):
        raise ValueError(f"{uscc!r} is not a USCC")
    if "示例" not in name and "样例" not in name:
        raise ValueError(f"{name!r} does not say that it is made up (示例, 样例)")


def make_uscc(kind: str, division: str, serial: int) -> str:
    """A valid code (GB 32100) from two characters of kind, a division and a number: for made-up subjects."""
    body = f"{serial % 10**8:08d}"
    total = sum(int(digit) * weight for digit, weight in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    text = kind + division + body + "0123456789X0"[11 - total % 11]
    return text + _check_digit(text)


def is_uscc(value: object) -> bool:
    """Whether `value` is a code whose check digit holds."""
    return isinstance(value, str) and USCC_FORM.fullmatch(value) is not None and value[17] == _check_digit(value[:17])


def _check_digit(text: str) -> str:
    mod = sum(_ALPHABET.index(sign) * 3**place for place, sign in enumerate(text)) % 31
    return _ALPHABET[(31 - mod) % 31]


def other_uscc(uscc: str) -> str:
    """A valid code of nobody (its division is not assigned), the same for the same subject and never its own."""
    serial = int.from_bytes(hashlib.sha256(uscc.encode()).digest()[:4], "big")
    other = make_uscc("91", "659999", serial)
    return make_uscc("91", "659999", serial + 1) if other[8:17] == uscc[8:17] else other


def draws(seed: str, uscc: str, purpose: str) -> random.Random:
    """Randomness for one purpose about one subject: the same arguments draw the same."""
    digest = hashlib.sha256(f"{seed}\0{uscc}\0{purpose}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - the same rows every time, nothing secret
