"""What is kept because it was costly to make: bounded in number and in weight, what was used least recently goes first.

In: keys, values and what each weighs. Out: the value that is still there. A bound in number alone would let a thousand
of the largest documents fill the memory that thousands of ordinary ones share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """At most `most` values that weigh at most `weight` together; what weighs more by itself is not kept at all."""

    __slots__ = ("_most", "_values", "_weighs", "_weight")

    def __init__(self, most: int, weight: int) -> None:
        self._most = most
        self._weight = weight
        self._weighs = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value of a key, which then counts as used; None where it is not kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value."""
        before = self._values.pop(key, None)
        if before is not None:
            self._weighs -= before[1]
        if weight > self._weight:
            return
        self._values[key] = (value, weight)
        self._weighs += weight
        while len(self._values) > self._most or self._weighs > self._weight:
            _, (_, gone) = self._values.popitem(last=False)
            self._weighs -= gone
