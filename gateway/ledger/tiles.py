"""The tiles of a log: C2SP tlog-tiles, 256 hashes wide and 8 levels of the tree high.

In: tree sizes, positions, rows of hashes. Out: paths of tiles, which tiles a proof needs, and its hashes out of them;
and `Edge`, the right edge of the tree in tiles, which grows by leaf hashes and says which tiles have become full.
Level 0 has the leaf hashes; a hash of level l + 1 is that of a full tile of level l.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.ledger.merkle import (
    EMPTY,
    Node,
    Part,
    ProofError,
    fold,
    made_of,
    nodes_of,
    whole,
)

WIDTH: Final = 256
HEIGHT: Final = 8  # levels of the tree in one tile
HASH: Final = 32  # bytes
TILE_BYTES: Final = WIDTH * HASH
MOST_LEVEL: Final = 7  # 2^63 entries, PostgreSQL's bigint, have no higher one

_NUMBER: Final = r"(?P<n>(?:x\d{3}/){0,6}\d{3})(?:\.p/(?P<w>[1-9]\d{0,2}))?"
_TILE: Final = re.compile(rf"(?P<l>0|[1-9]\d?)/{_NUMBER}", re.ASCII)
_ENTRIES: Final = re.compile(rf"entries/{_NUMBER}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile by its level and number; `width` hashes, 256 where it is full. Level -1: the bundle of entries."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Below the log's prefix: tile/0/x001/234, tile/entries/005.p/17."""
        level = "entries" if self.level < 0 else str(self.level)
        return f"tile/{level}/{number_path(self.number)}" + ("" if self.width == WIDTH else f".p/{self.width}")


def number_path(number: int) -> str:
    """A tile's number in path elements of three digits, all but the last with an x before them."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.append(f"x{number % 1000:03d}")
    return "/".join(reversed(parts))


def tile_of_path(path: str) -> Tile | None:
    """The tile of a path below tile/; None for one that the standard doesn't have, whatever it may mean."""
    found = _TILE.fullmatch(path) or _ENTRIES.fullmatch(path)
    if found is None:
        return None
    level = int(found["l"]) if "l" in found.groupdict() else -1
    number = int(found["n"].replace("x", "").replace("/", ""))
    width = int(found["w"] or WIDTH)
    if found["w"] and width >= WIDTH:
        return None
    tile = Tile(level, number, width)
    # One spelling alone: no leading elements of zeroes.
    return tile if tile.path == f"tile/{path}" and level <= MOST_LEVEL else None


def width_in(level: int, number: int, size: int) -> int:
    """How many hashes a tile has in the tree of `size`: 0 where it has none."""
    return max(0, min(WIDTH, (size >> HEIGHT * max(level, 0)) - number * WIDTH))


def tiles_for(parts: Iterable[Part], size: int) -> list[Tile]:
    """The tiles of the tree of `size` out of which the hashes of these parts can be made."""
    return sorted({_tile_of(node, size) for part in parts for node in nodes_of(part)})


def _tile_of(node: Node, size: int) -> Tile:
    height, index = node
    level = height // HEIGHT
    number = (index << height % HEIGHT) // WIDTH
    return Tile(level, number, width_in(level, number, size))


class TileHashes:
    """Hashes of whole subtrees, out of tiles that were fetched. Raises ProofError where one is missing or too short."""

    def __init__(self, size: int, tiles: Mapping[Tile, bytes]) -> None:
        self._size = size
        self._tiles = tiles

    def node(self, node: Node) -> bytes:
        """The hash of a whole subtree."""
        height, index = node
        tile = _tile_of(node, self._size)
        rows = self._tiles.get(tile)
        first, count = (index << height % HEIGHT) % WIDTH, 1 << height % HEIGHT
        if rows is None or len(rows) != tile.width * HASH or first + count > tile.width:
            raise ProofError(f"{tile.path} is missing or has not {tile.width} hashes")
        return whole(split(rows[first * HASH : (first + count) * HASH]))

    def proof(self, parts: Sequence[Part]) -> list[bytes]:
        """The hashes of these parts."""
        return made_of(parts, self.node)


def split(rows: bytes) -> list[bytes]:
    """The hashes of a row of them."""
    return [rows[i : i + HASH] for i in range(0, len(rows), HASH)]


def bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as tlog-tiles serves them: each with its length before it, uint16 big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundle(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises ProofError where it ends within one."""
    found, place = [], 0
    while place < len(data):
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if place + 2 > len(data) or end > len(data):
            raise ProofError("a bundle of entries ends within an entry")
        found.append(data[place + 2 : end])
        place = end
    return found


class Edge:
    """The last tile of each level, as far as it is filled: all that a growing tree needs of itself.

    `rows[l]` are the hashes of level l that are in no full tile yet: size // 256^l mod 256 of them.
    """

    __slots__ = ("rows", "size")

    def __init__(self, size: int = 0, rows: Iterable[Sequence[bytes]] = ()) -> None:
        """The edge of a tree of that size. Raises ProofError for rows that no such tree has."""
        self.size = size
        self.rows = [list(row) for row in rows] or [[]]
        if widths(size) != [len(row) for row in self.rows]:
            raise ProofError(f"a tree of {size} has other rows than {[len(row) for row in self.rows]}")

    def copy(self) -> Edge:
        """Another one, which may grow while this one stays."""
        return Edge(self.size, self.rows)

    def extend(self, hashes: Iterable[bytes]) -> list[tuple[int, int, bytes]]:
        """More leaf hashes. Returns the tiles that have become full, as level, number and root: what was in them is
        not kept here."""
        full: list[tuple[int, int, bytes]] = []
        rows = self.rows
        for found in hashes:
            rows[0].append(found)
            self.size += 1
            level = 0
            while len(rows[level]) == WIDTH:
                made = whole(rows[level])
                rows[level] = []
                full.append((level, (self.size >> HEIGHT * (level + 1)) - 1, made))
                level += 1
                if level == len(rows):
                    rows.append([])
                rows[level].append(made)
        return full

    def root(self) -> bytes:
        """The root of the tree."""
        parts: list[bytes] = []  # whole subtrees, largest first
        for row in reversed(self.rows):
            place = 0
            for height in reversed(range(HEIGHT)):
                if len(row) >> height & 1:
                    parts.append(whole(row[place : place + (1 << height)]))
                    place += 1 << height
        return fold(parts) if parts else EMPTY


def widths(size: int) -> list[int]:
    """How many hashes of each level are in no full tile, from level 0 up, in the tree of `size`."""
    found = [size % WIDTH]
    while size := size // WIDTH:
        found.append(size % WIDTH)
    return found
