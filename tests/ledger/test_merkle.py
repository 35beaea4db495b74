"""Trees and proofs are those of RFC 9162 §2.1: the published roots, pymerkle as the oracle, and the definition itself.

Promises: whatever the sizes, a proof made out of tiles verifies, and one that was changed anywhere does not.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from gateway.ledger.merkle import (
    EMPTY,
    Frontier,
    ProofError,
    consistency_parts,
    inclusion_parts,
    leaf_hash,
    made_of,
    nodes_of,
    root_of,
    verify_consistency,
    verify_inclusion,
    whole,
)

# The eight entries that Certificate Transparency's implementations share, and the roots of their prefixes.
ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(hashes: list[bytes]) -> bytes:
    """The definition of §2.1.1, as slow as it stands there."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def entries(size: int) -> list[bytes]:
    return [b"%d" % i for i in range(size)]


def oracle(size: int) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for entry in entries(size):
        tree.append_entry(entry)
    return tree


def proof(hashes: list[bytes], parts: list[tuple[int, int]]) -> list[bytes]:
    return made_of(parts, lambda node: whole(hashes[node[1] << node[0] : node[1] + 1 << node[0]]))


SIZE = 67
HASHES = [leaf_hash(entry) for entry in entries(SIZE)]
ORACLE = oracle(SIZE)


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert root_of([leaf_hash(entry) for entry in ENTRIES[:size]]).hex() == ROOTS[size]


def test_every_size_as_the_definition_and_the_oracle_have_it() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY
    for size in range(1, SIZE + 1):
        frontier.append(HASHES[size - 1])
        assert frontier.root() == mth(HASHES[:size]) == ORACLE.get_root(size)
        assert Frontier(size, frontier.hashes).root() == frontier.root()


def test_every_inclusion_proof_is_the_oracles() -> None:
    for size in range(1, SIZE + 1):
        for index in range(size):
            made = proof(HASHES, inclusion_parts(index, size))
            theirs = ORACLE.prove_inclusion(index + 1, size).serialize()["path"][1:]
            assert [found.hex() for found in made] == theirs
            verify_inclusion(index, size, HASHES[index], made, mth(HASHES[:size]))


def test_every_consistency_proof_verifies_and_proves_the_roots_of_the_oracle() -> None:
    for new in range(SIZE + 1):
        for old in range(new + 1):
            made = proof(HASHES, consistency_parts(old, new))
            roots = [ORACLE.get_root(size) if size else EMPTY for size in (old, new)]
            verify_consistency(old, new, roots[0], roots[1], made)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [(3, 7, [(2, 3), (3, 4), (0, 2), (4, 7)]), (4, 7, [(4, 7)]), (6, 7, [(4, 6), (6, 7), (0, 4)])],
)
def test_the_consistency_proofs_that_the_standard_shows(old: int, new: int, parts: list[tuple[int, int]]) -> None:
    """RFC 9162 §2.1.5."""
    assert consistency_parts(old, new) == parts


@pytest.mark.parametrize(
    ("index", "parts"),
    [
        (0, [(1, 2), (2, 4), (4, 7)]),
        (3, [(2, 3), (0, 2), (4, 7)]),
        (4, [(5, 6), (6, 7), (0, 4)]),
        (6, [(4, 6), (0, 4)]),
    ],
)
def test_the_inclusion_proofs_that_the_standard_shows(index: int, parts: list[tuple[int, int]]) -> None:
    """RFC 9162 §2.1.5."""
    assert inclusion_parts(index, 7) == parts


@settings(deadline=None)
@given(st.data(), st.integers(1, SIZE))
def test_a_changed_inclusion_proof_does_not_hold(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, root = proof(HASHES, inclusion_parts(index, size)), mth(HASHES[:size])
    other = data.draw(st.integers(0, SIZE - 1).filter(lambda place: place != index))
    with pytest.raises(ProofError):
        verify_inclusion(index, size, HASHES[other], path, root)
    for wrong in ([*path, root], path[:-1] if path else [root]):
        with pytest.raises(ProofError):
            verify_inclusion(index, size, HASHES[index], wrong, root)
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        changed = [*path]
        changed[place] = bytes([path[place][0] ^ 1]) + path[place][1:]
        with pytest.raises(ProofError):
            verify_inclusion(index, size, HASHES[index], changed, root)


@settings(deadline=None)
@given(st.data(), st.integers(2, SIZE))
def test_a_forked_tree_is_never_consistent(data: st.DataObject, new: int) -> None:
    """Whoever changes an entry of the past finds no proof, whichever of the two trees it is made of."""
    old = data.draw(st.integers(1, new - 1))
    place = data.draw(st.integers(0, old - 1))
    forked = [*HASHES[:new]]
    forked[place] = leaf_hash(b"another")
    parts = consistency_parts(old, new)
    for path in (proof(HASHES, parts), proof(forked, parts)):
        with pytest.raises(ProofError):
            verify_consistency(old, new, mth(HASHES[:old]), mth(forked), path)
    honest, root = proof(HASHES, parts), mth(HASHES[:new])
    for wrong in ([*honest, root], honest[:-1]):
        with pytest.raises(ProofError):
            verify_consistency(old, new, mth(HASHES[:old]), root, wrong)


def test_what_can_not_be_proved() -> None:
    for old, new in ((3, 2), (-1, 2)):
        with pytest.raises(ProofError):
            consistency_parts(old, new)
        with pytest.raises(ProofError):
            verify_consistency(old, new, EMPTY, EMPTY, [])
    for index, size in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ProofError):
            inclusion_parts(index, size)
        with pytest.raises(ProofError):
            verify_inclusion(index, size, EMPTY, [], EMPTY)
    with pytest.raises(ProofError):
        verify_consistency(2, 2, HASHES[0], HASHES[1], [])
    with pytest.raises(ProofError):
        verify_consistency(0, 2, HASHES[0], HASHES[1], [])
    with pytest.raises(ProofError):
        nodes_of((1, 3))
    with pytest.raises(ProofError):
        Frontier(3, [EMPTY])
