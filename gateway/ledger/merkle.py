"""Merkle trees of RFC 9162 §2.1 over SHA-256: hashes, a growing edge, proofs and their verification.

In: entries or their leaf hashes, 32 bytes each. Out: roots and proofs. Nothing here does I/O: what a proof needs is
named first (`inclusion_parts`, `consistency_parts`), fetched by the caller, and put together afterwards, so that the
same code serves tables, tiles over HTTP, and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

EMPTY: Final = sha256(b"").digest()  # the root of no entries

Part: TypeAlias = "tuple[int, int]"  # the entries [start, end) whose Merkle Tree Hash is wanted
Node: TypeAlias = "tuple[int, int]"  # (height, index): a whole subtree, over [index * 2^height, (index + 1) * 2^height)


class ProofError(ValueError):
    """A proof that can't be made, or does not hold."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry: SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """One hash out of those of neighbouring whole subtrees, largest first: what RFC 9162 makes of them."""
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def whole(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring hashes of one height."""
    row: Sequence[bytes] = hashes
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


def root_of(hashes: Sequence[bytes]) -> bytes:
    """MTH of leaf hashes."""
    frontier = Frontier()
    for found in hashes:
        frontier.append(found)
    return frontier.root()


class Frontier:
    """A tree that only grows, as the roots of its whole subtrees: log2(size) hashes, whatever its size."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """`hashes`: roots of the whole subtrees of a tree of that size, largest first."""
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ProofError(f"a tree of {size} has {size.bit_count()} whole subtrees, not {len(self.hashes)}")

    def append(self, found: bytes) -> None:
        """One more leaf hash."""
        rest = self.size
        hashes = self.hashes
        while rest & 1:
            found = sha256(b"\x01" + hashes.pop() + found).digest()
            rest >>= 1
        hashes.append(found)
        self.size += 1

    def root(self) -> bytes:
        """MTH of what was appended."""
        return fold(self.hashes) if self.hashes else EMPTY


# What a proof is made of ---------------------------------------------------------------------------------------------


def _left(size: int) -> int:
    """The largest power of two smaller than `size` (> 1)."""
    return 1 << (size - 1).bit_length() - 1


def nodes_of(part: Part) -> list[Node]:
    """The whole subtrees that a part consists of, largest first. Parts of proofs begin where one of their size can."""
    start, end = part
    found = []
    while start < end:
        height = (end - start).bit_length() - 1
        if start % (1 << height):
            raise ProofError(f"no subtree of {end - start} begins at {start}")
        found.append((height, start >> height))
        start += 1 << height
    return found


def inclusion_parts(index: int, size: int) -> list[Part]:
    """Which hashes the proof consists of that entry `index` is in the tree of `size`, in its order (§2.1.3.1)."""
    if not 0 <= index < size:
        raise ProofError(f"there is no entry {index} in a tree of {size}")
    found: list[Part] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_parts(old: int, new: int) -> list[Part]:
    """Which hashes the proof consists of that the tree of `new` begins with that of `old`, in its order (§2.1.4.1).
    Empty for equal sizes, and for an old size of 0, which proves nothing."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} can't begin with one of {old}")
    if old in (0, new):
        return []
    found: list[Part] = []
    start, end = 0, new
    while end != old:
        middle = start + _left(end - start)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    if start:
        found.append((start, end))  # else the verifier has it: it is the old root
    return found[::-1]


def made_of(parts: Sequence[Part], node: Callable[[Node], bytes]) -> list[bytes]:
    """The proof, where `node` gives the hash of a whole subtree."""
    return [fold([node(found) for found in nodes_of(part)]) for part in parts]


# Verification --------------------------------------------------------------------------------------------------------


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that a proof leads to (§2.1.3.2). Raises ProofError for a path of another length than it must have."""
    if not 0 <= index < size:
        raise ProofError(f"there is no entry {index} in a tree of {size}")
    first, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ProofError("the proof is too long")
        if first & 1 or first == last:
            found = node_hash(step, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, step)
        first, last = first >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return found


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raises ProofError unless the leaf hash is at `index` in the tree of that size and root."""
    if root_from_inclusion(index, size, leaf, path) != root:
        raise ProofError(f"entry {index} is not in the tree of {size}: the proof leads to another root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raises ProofError unless the tree of size `new` and that root begins with the other (§2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} can't begin with one of {old}")
    if old in (0, new):
        if path:
            raise ProofError("nothing is to be proved, so the proof must be empty")
        if old == 0 and old_root != EMPTY:
            raise ProofError("a tree of nothing has another root")
        if old == new and old_root != new_root:
            raise ProofError(f"two different trees of {new} entries")
        return
    steps = list(path)
    if old & old - 1 == 0:
        steps.insert(0, old_root)  # a whole subtree: the verifier has its hash
    if not steps:
        raise ProofError("the proof is too short")
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    was = now = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if first & 1 or first == last:
            was, now = node_hash(step, was), node_hash(step, now)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            now = node_hash(now, step)
        first, last = first >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    if was != old_root or now != new_root:
        raise ProofError(f"the tree of {new} does not begin with that of {old}")
