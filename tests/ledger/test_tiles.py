"""Tiles are those of C2SP tlog-tiles: paths in one spelling, widths of every size, proofs out of nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.merkle import (
    ProofError,
    consistency_parts,
    inclusion_parts,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
    whole,
)
from gateway.ledger.tiles import (
    HASH,
    WIDTH,
    Edge,
    Tile,
    TileHashes,
    bundle,
    number_path,
    split,
    tile_of_path,
    tiles_for,
    unbundle,
    width_in,
    widths,
)

HASHES = [leaf_hash(b"%d" % i) for i in range(66_100)]
ROWS = [HASHES]
while len(ROWS[-1]) >= WIDTH:
    ROWS.append([whole(ROWS[-1][i : i + WIDTH]) for i in range(0, len(ROWS[-1]) - WIDTH + 1, WIDTH)])


def stored(tile: Tile) -> bytes:
    return b"".join(ROWS[tile.level][tile.number * WIDTH : tile.number * WIDTH + tile.width])


@pytest.mark.parametrize(
    ("number", "path"), [(0, "000"), (5, "005"), (999, "999"), (1000, "x001/000"), (1_234_067, "x001/x234/067")]
)
def test_numbers(number: int, path: str) -> None:
    assert number_path(number) == path


def test_the_sizes_that_the_standard_shows() -> None:
    """A tree of 70,000: 273 full tiles and one of 112, one full and one of 17, one of 1; a tree of 256: 256 and 1."""
    assert widths(70_000) == [112, 17, 1]
    assert [width_in(0, 272, 70_000), width_in(0, 273, 70_000), width_in(0, 274, 70_000)] == [256, 112, 0]
    assert [width_in(1, 0, 70_000), width_in(1, 1, 70_000), width_in(2, 0, 70_000), width_in(3, 0, 70_000)] == [
        256,
        17,
        1,
        0,
    ]
    assert [width_in(0, 0, 256), width_in(1, 0, 256)] == [256, 1]


@given(st.integers(0, 5), st.integers(0, 10**12), st.integers(1, 256))
def test_a_path_is_read_as_it_was_made(level: int, number: int, width: int) -> None:
    for made in (Tile(level, number, width), Tile(-1, number, width)):
        assert tile_of_path(made.path.removeprefix("tile/")) == made


@pytest.mark.parametrize(
    "path",
    [
        "00/000",
        "0/0",
        "0/0000",
        "0/x000/001",
        "0/x001/x000",
        "0/001/000",
        "0/X001/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/000.p/",
        "0/000.p",
        "0/000/",
        "0/000 ",
        "0/\u0660\u0660\u0660",
        "64/000",
        "8/000",
        "-1/000",
        "entries/0",
        "entries/000.p/300",
        "Entries/000",
        "0/000\n",
        "",
        "0/../0/000",
    ],
)
def test_no_other_spelling(path: str) -> None:
    assert tile_of_path(path) is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 700), max_size=8), st.integers(0, 66_000))
def test_an_edge_grows_as_the_tree_does(steps: list[int], start: int) -> None:
    """Whatever it is given at once; and it can be taken up at any size."""
    edge = Edge(
        start,
        [
            ROWS[i][len(ROWS[i]) and (start >> 8 * i) // WIDTH * WIDTH : start >> 8 * i]
            for i in range(len(widths(start)))
        ],
    )
    for step in steps:
        end = min(edge.size + step, 66_100)
        before, copy = [*map(len, edge.rows)], edge.copy()
        start = edge.size
        full = edge.extend(HASHES[edge.size : end])
        assert sorted(full) == [
            (level, number, ROWS[level + 1][number])
            for level in range(len(ROWS) - 1)
            for number in range(start >> 8 * level + 8, end >> 8 * level + 8)
        ]
        assert [len(row) for row in edge.rows] == widths(end)
        assert [*map(len, copy.rows)] == before
    assert edge.root() == root_of(HASHES[: edge.size])


def test_an_edge_of_other_rows() -> None:
    with pytest.raises(ProofError):
        Edge(257, [[HASHES[0]]])
    with pytest.raises(ProofError):
        Edge(2, [[HASHES[0]]])


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from([1, 2, 255, 256, 257, 511, 512, 5_000, 65_535, 65_536, 65_537, 66_000]))
def test_proofs_out_of_tiles(data: st.DataObject, size: int) -> None:
    root = root_of(HASHES[:size])
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    for parts in (inclusion_parts(index, size), consistency_parts(old, size)):
        wanted = tiles_for(parts, size)
        assert all(tile.width == width_in(tile.level, tile.number, size) > 0 for tile in wanted)
        path = TileHashes(size, {tile: stored(tile) for tile in wanted}).proof(parts)
        if parts == inclusion_parts(index, size):
            verify_inclusion(index, size, HASHES[index], path, root)
        else:
            verify_consistency(old, size, root_of(HASHES[:old]), root, path)


def test_a_tile_that_is_missing_or_cut_off() -> None:
    parts = inclusion_parts(300, 1_000)
    tiles = {tile: stored(tile) for tile in tiles_for(parts, 1_000)}
    for tile in tiles:
        for wrong in ({k: v for k, v in tiles.items() if k != tile}, {**tiles, tile: tiles[tile][:-1]}):
            with pytest.raises(ProofError):
                TileHashes(1_000, wrong).proof(parts)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles(found: list[bytes]) -> None:
    assert unbundle(bundle(found)) == found


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x00\x01"])
def test_a_bundle_that_ends_early(data: bytes) -> None:
    with pytest.raises(ProofError):
        unbundle(data)


def test_rows() -> None:
    assert split(b"a" * HASH + b"b" * HASH) == [b"a" * HASH, b"b" * HASH]
    assert len(sha256(b"").digest()) == HASH
