"""Whom the demo asks about: subjects of whom the sandbox's sources have something to say, so that its tables show it.

In: the synthetic organisations, and what the views have of them. Out: codes. No source is asked: what the sandbox makes
up follows from the code alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sandbox.banks_data import SyntheticSummaries
from sandbox.data import Synthetic
from sandbox.peer_data import SyntheticPeer
from sandbox.platform_data import synthetic_rows

# README's first query is about it. Left alone, its answers there are those of a source that nobody has asked yet.
README = "91652799YL0001402W"


def told(names: Mapping[str, str]) -> dict[str, set[str]]:
    """Which sources have something to say of each, by code; `names` is all that the sandbox knows. Whoever the courts
    have listed has enforcement cases, too."""
    courts, banks, peer = Synthetic(names), SyntheticSummaries(names), SyntheticPeer(names)
    platform = {str(row["tyshxydm"]) for row in synthetic_rows(names)}
    found = {}
    for uscc in names:
        there = peer.of(uscc)
        says = {
            "courts": courts.rows("dishonest", uscc),
            "banks": banks.of(uscc),
            "peer": there and there.records,
            "platform": uscc in platform,
        }
        found[uscc] = {source for source, rows in says.items() if rows}
    return found


def for_sources(names: Mapping[str, str], kinds: Mapping[str, str]) -> list[str]:
    """Two enterprises for the table of sources: the one of whom most sources have something to say, and another of whom
    the two have that it shows of it."""
    return _for_sources(told(names), kinds)


def _for_sources(says: Mapping[str, set[str]], kinds: Mapping[str, str]) -> list[str]:
    ranked = sorted(_enterprises(kinds), key=lambda uscc: (-len(says[uscc]), uscc))
    second = max(ranked[1:], key=lambda uscc: len(says[uscc] & {"courts", "peer"}))  # of equals the first
    return [ranked[0], second]


def for_views(names: Mapping[str, str], kinds: Mapping[str, str], statuses: Mapping[str, Sequence[str]]) -> str:
    """An enterprise for the three views: listed by the courts, and of those the one whose records differ most by their
    statuses. None that the other table asks about, since its sources would be kept already."""
    says = told(names)
    taken = _for_sources(says, kinds)

    def rank(uscc: str) -> tuple[bool, int, str]:
        return "courts" in says[uscc], len(set(statuses.get(uscc, ()))), uscc

    return max((uscc for uscc in _enterprises(kinds) if uscc not in taken), key=rank)


def _enterprises(kinds: Mapping[str, str]) -> list[str]:
    return [uscc for uscc, kind in kinds.items() if kind == "ENTERPRISE" and uscc != README]
