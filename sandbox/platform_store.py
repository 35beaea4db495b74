"""The regional platform's state: rows by key, the feed of changes, batches and applications for repair.

In: rows to put in, to look up and to withdraw. Out: rows in the contract's order, pieces of the feed behind opaque
cursors, results that are the same for the same batch. No I/O; sandbox/region_platform.py speaks HTTP around it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from typing import Any

from sandbox.platform_tables import Key, key_of
from sandbox.subjects import Row

REPAIR_STATES = ("RECEIVED", "WITH_AUTHORITY", "APPROVED", "REJECTED")
WITHDRAWN_FOR = ("repaired", "revoked", "corrected", "expired")


class PlatformStore:
    """Rows, feed, batches and repairs. `rows` are there from the start, and come first in the feed."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        # Cursors don't expire while the store lives; those of another life are refused, not misread.
        self._life = secrets.token_hex(4)
        self._rows: dict[Key, Row] = {}
        self._of: dict[str, dict[Key, Row]] = {}
        self._feed: list[Row] = []
        self.batches: dict[tuple[str, str], Any] = {}
        self.repairs: dict[str, Row] = {}
        self._repaired: dict[str, Key] = {}
        for row in rows:
            self.upsert(row)

    def upsert(self, row: Row) -> None:
        """Put a row in, in the place of the one with its key."""
        key = key_of(row)
        self._rows[key] = row
        self._of.setdefault(key.tyshxydm, {})[key] = row
        self._feed.append({"op": "upsert", **row})

    def has(self, key: Key) -> bool:
        """Whether a row is there (and not withdrawn)."""
        return key in self._rows

    def withdraw(self, key: Key, reason: str, effective_on: str) -> bool:
        """Take a row out; the feed tells it whole. False where there is none."""
        row = self._rows.pop(key, None)
        if row is None:
            return False
        del self._of[key.tyshxydm][key]
        self._feed.append({"op": "withdraw", **row, "reason": reason, "effectiveOn": effective_on})
        return True

    def find(self, usccs: Iterable[str]) -> list[Row]:
        """The rows about these subjects, by tyshxydm, table_name and wsh."""
        found = [item for uscc in set(usccs) for item in self._of.get(uscc, {}).items()]
        return [row for _, row in sorted(found, key=lambda item: item[0])]

    def changes(self, since: str, size: int) -> tuple[list[Row], str, bool] | None:
        """What came after a cursor (empty: everything), the cursor behind it, and whether more follows.

        None where the cursor is not one of this store.
        """
        first = self._position(since)
        if first is None:
            return None
        last = min(first + size, len(self._feed))
        return self._feed[first:last], self.cursor(last), last < len(self._feed)

    def cursor(self, position: int, salt: str = "") -> str:
        """The opaque cursor of a position in the feed; another `salt` makes another cursor of the same position."""
        return base64.urlsafe_b64encode(f"{self._life}.{position}.{salt}".encode()).decode().rstrip("=")

    def same_place(self, cursor: str) -> str:
        """Another cursor of the place where a cursor of this store is."""
        return self.cursor(self._position(cursor) or 0, secrets.token_hex(4))

    def _position(self, cursor: str) -> int | None:
        if cursor == "":
            return 0
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        except (ValueError, binascii.Error):
            return None
        life, _, rest = text.partition(".")
        place, _, salt = rest.partition(".")
        if life != self._life or not place.isdigit() or self.cursor(int(place), salt) != cursor:
            return None
        return int(place) if int(place) <= len(self._feed) else None

    def apply(self, repair_no: str, key: Key) -> Row:
        """Take an application for repair; the same number again is the same application."""
        if repair_no not in self.repairs:
            self.repairs[repair_no] = {"repairNo": repair_no, "state": "RECEIVED", "reason": None, "decidedOn": None}
            self._repaired[repair_no] = key
        return self.repairs[repair_no]

    def decide(self, repair_no: str, state: str, reason: str | None = None, decided_on: str | None = None) -> None:
        """Let the authority move an application on; an approval withdraws the row. KeyError where there is none."""
        if state not in REPAIR_STATES:
            raise ValueError(f"unknown state {state!r}: one of {' '.join(REPAIR_STATES)}")
        if state == "APPROVED" and decided_on is None:
            raise ValueError("an approval has its day, decidedOn")
        self.repairs[repair_no] |= {"state": state, "reason": reason, "decidedOn": decided_on}
        if state == "APPROVED" and decided_on is not None:
            self.withdraw(self._repaired[repair_no], "repaired", decided_on)
