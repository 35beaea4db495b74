"""How often each of many keys was asked for lately, about, in bounded memory: what a full cache decides by.

In: keys. Out: their counts, which are halved again and again, so that what was popular once leaves (TinyLFU's way,
Einziger and others, 2017), and which end at a number that a short time makes up for: who asks for the same for an hour
is no more popular than who does for a minute. Keys are known by their hashes, which Python salts for each process: who
asks can't make two of them equal.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

_KEYS: Final = 20_000  # that are counted at once, at most
MOST: Final = 15  # a count ends there


class Often:
    """Counts. `keys`: how many are held at once; `lately`: after how many questions all counts are halved."""

    def __init__(self, keys: int = _KEYS, lately: int = 10 * _KEYS) -> None:
        self.lately = lately
        self._keys = keys
        self._counted = 0
        self._counts: dict[int, int] = {}

    def of(self, key: Hashable) -> int:
        """How often it was counted."""
        return self._counts.get(hash(key), 0)

    def count(self, key: Hashable) -> int:
        """Once more; returns how often that makes."""
        found = hash(key)
        made = self._counts[found] = min(self._counts.get(found, 0) + 1, MOST)
        self._counted += 1
        if self._counted >= self.lately or len(self._counts) > self._keys:
            self._halve()
        return made

    def _halve(self) -> None:
        """What was asked for once is forgotten."""
        self._counts = {found: count // 2 for found, count in self._counts.items() if count > 1}
        self._counted //= 2
