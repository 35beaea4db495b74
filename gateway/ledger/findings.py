"""What verification may find, and in which words it says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

KINDS: Final = {
    "ROW_CHANGED": "a disclosure is not what its entry in the log commits to",
    "ROW_REMOVED": "the log has an entry whose disclosure or event is gone",
    "ROW_ADDED": "a disclosure or event stands among those that were logged, and is not in the log",
    "ROW_DOUBLE": "several disclosures have one id",
    "EVENT_CHANGED": "an event is not what its entry in the log commits to, or says another time, kind or number",
    "EVENT_SIGNATURE": "an event was not signed by the log's key: the gateway has not written it",
    "EVENT_NUMBERS": "signed events are not numbered from 1, each once",
    "LEAF_CHANGED": "a leaf's hash is not that of its entry, or it points elsewhere",
    "LEAF_MISSING": "leaves are not numbered from 0 without gaps",
    "TILE_CHANGED": "a tile's root is not that of its leaves, or is missing, or there is one too many",
    "CHECKPOINT_ROOT": "the leaves do not give the root that was signed",
    "CHECKPOINT_AHEAD": "more entries were signed than there are",
    "CHECKPOINT_SIGNATURE": "a checkpoint was not signed by the log's key, or not as it is stored",
    "COSIGNATURE": "another region has cosigned another tree",
    "NUMBERS": "a subject's entries are not numbered from 1 without gaps, in the order of the log",
    "SUBJECT_ENTRIES": "what subjects are shown is not what was disclosed of them",
    "SEAL_CHANGED": "a seal is not what its event in the log says, has none, or is gone",
    "TOMBSTONE": "something was erased without, or otherwise than, its event in the log says",
    "RETENTION": "more or fewer disclosures are gone than the event in the log says",
    "TEXT_CHANGED": "a text that disclosures point to is another, or gone",
}
MOST: Final = 100  # of each kind that are told one by one


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was signed: which kind, where, and what."""

    kind: str
    where: str
    what: str


@dataclass(slots=True)
class Findings:
    """All of them, the first hundred of each kind in full."""

    told: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, where: str, what: str = "") -> None:
        """One more."""
        assert kind in KINDS
        self.counts[kind] += 1
        if self.counts[kind] <= MOST:
            self.told.append(Finding(kind, where, what or KINDS[kind]))

    def __len__(self) -> int:
        return self.counts.total()
