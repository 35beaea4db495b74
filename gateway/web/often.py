"""How often each of many keys was asked for lately, about, in bounded memory: what a full cache decides by.

In: keys. Out: their counts, which are halved again and again, so that what was popular once leaves (TinyLFU's way,
Einziger and others, 2017). Keys are known by their hashes, which Python salts for each process: who asks can't make two
of them equal.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

_KEYS: Final = 20_000  # that are counted at once, at most
_LATELY: Final = 10 * _KEYS  # counts until all are halved


class Often:
    """Counts. `keys`: how many are held at once."""

    def __init__(self, keys: int = _KEYS, lately: int = _LATELY) -> None:
        self._keys = keys
        self._lately = lately
        self._counted = 0
        self._counts: dict[int, int] = {}

    def of(self, key: Hashable) -> int:
        """How often it was counted."""
        return self._counts.get(hash(key), 0)

    def count(self, key: Hashable) -> int:
        """Once more; returns how often that makes."""
        found = hash(key)
        made = self._counts[found] = self._counts.get(found, 0) + 1
        self._counted += 1
        if self._counted >= self._lately or len(self._counts) > self._keys:
            self._halve()
        return made

    def _halve(self) -> None:
        """What was asked for once is forgotten."""
        self._counts = {found: count // 2 for found, count in self._counts.items() if count > 1}
        self._counted = sum(self._counts.values())
