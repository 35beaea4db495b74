"""What another region's sandbox gateway knows: made-up subjects of its own with their records, the same every time.

In: subjects (sandbox/subjects.py), or a JSON file that says exactly what is there. Out: one subject with everything
that the peers' document may select. Nothing here is about anybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sandbox.subjects import LATEST, Row, check_subject, draws, is_uscc, make_uscc
from sandbox.upstream import text_of

_AS_OF = "2026-07-01T08:30:00.000+08:00"
TYPE_NAMES = {
    "PENALTY": "Penalty",
    "LICENCE": "Licence",
    "JUDGMENT": "Judgment",
    "DISCIPLINARY_ACTION": "DisciplinaryAction",
    "ACCOUNTABILITY": "AccountabilityAction",
    "CONTRACT_BREACH": "ContractBreach",
    "PROMISE_BREACH": "PromiseBreach",
    "HONOUR": "Honour",
    "LIST_ENTRY": "ListEntry",
}
_TITLES = {"PENALTY": "示例行政处罚", "LICENCE": "示例行政许可", "HONOUR": "示例表彰", "LIST_ENTRY": "示例名单"}
_KINDS = (("9", "ENTERPRISE"), ("11", "ORGAN"), ("12", "PUBLIC_INSTITUTION"), ("5", "SOCIAL_ORGANISATION"))
# An authority that does not exist, with a code of a division that is not assigned.
_AUTHORITY = {"uscc": make_uscc("11", "652799", 7101), "name": "示例邻州市场监督管理局"}
NO_COURTS: Row = {"answer": {"status": "NOT_CONSULTED", "asOf": None}, "dishonestListings": []}

_NO_LISTING: Row = dict.fromkeys(("caseNumber", "court", "publishedOn", "performance"))


@dataclass(frozen=True)
class PeerSubject:
    """A subject on record in the peer's region; `records` are nodes, newest first; `region` None is the peer's own."""

    uscc: str
    name: str
    kind: str
    records: Sequence[Row] = ()
    courts: Row = field(default_factory=lambda: NO_COURTS)
    region: Row | None = None


class PeerData(Protocol):
    """What the peer knows of one subject."""

    def of(self, uscc: str) -> PeerSubject | None:
        """The subject; None where it is not on record there."""
        ...

    def refuses(self, uscc: str) -> bool:
        """Whether the peer refuses to say anything about a subject: a null element."""
        ...


class GivenSubjects:
    """Subjects as a JSON file gives them: `{"subjects": [{"uscc", "name", "records": [{…}], …}], "refused": ["…"]}`.

    `kind`, `records`, `courts` and `region` may be left out, and in a record every key: it is a penalty then.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        if not isinstance(given, dict) or set(given) - {"subjects", "refused"}:
            raise ValueError("an object with subjects, and perhaps refused, expected")
        self._subjects = {entry.uscc: entry for entry in map(_subject, given.get("subjects", []))}
        self._refused = frozenset(given.get("refused", []))

    def of(self, uscc: str) -> PeerSubject | None:
        """The subject that is given."""
        return self._subjects.get(uscc)

    def refuses(self, uscc: str) -> bool:
        """Whether the code is among those refused."""
        return uscc in self._refused


def _subject(entry: Any) -> PeerSubject:
    uscc, name = text_of(entry, "uscc"), text_of(entry, "name")
    if not is_uscc(uscc) or uscc is None or name is None:
        raise ValueError("a subject has a uscc that holds, and a name")
    if unknown := set(entry) - {"uscc", "name", "kind", "records", "courts", "region"}:
        raise ValueError(f"{uscc}: unknown keys: {' '.join(sorted(unknown))}")
    records = [make_record(uscc, index, **given) for index, given in enumerate(entry.get("records", []))]
    courts = {**NO_COURTS, **entry.get("courts", {})}
    courts["dishonestListings"] = [{**_NO_LISTING, **listing} for listing in courts["dishonestListings"]]
    return PeerSubject(uscc, name, entry.get("kind") or kind_of(uscc), records, courts, entry.get("region"))


def load_peer_subjects(path: Path) -> GivenSubjects:
    """Read the subjects of a JSON file; ValueError where it is no such file."""
    return GivenSubjects(json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))


def kind_of(uscc: str) -> str:
    """A kind of subject that fits a code."""
    return next((kind for start, kind in _KINDS if uscc.startswith(start)), "OTHER")


@dataclass(frozen=True)
class SyntheticPeer:
    """Subjects made from their codes: `subjects` maps USCC to name, `seed` gives another world."""

    subjects: Mapping[str, str]
    seed: str = "1"

    def __post_init__(self) -> None:
        for uscc, name in self.subjects.items():
            check_subject(uscc, name)

    def of(self, uscc: str) -> PeerSubject | None:
        """About 20 % are on record there, with 0–5 records, a few with 230 (three pages); 10 % of them are listed."""
        name = self.subjects.get(uscc)
        draw = draws(self.seed, uscc, "peer")
        if name is None or draw.random() >= 0.2:
            return None
        count = 230 if draw.random() < 0.02 else draw.randint(0, 5)
        records = sorted(
            (make_record(uscc, index, self.seed) for index in range(count)),
            key=lambda record: str(record["decidedOn"]),
            reverse=True,
        )
        listings = [_listing(uscc, self.seed)] if draw.random() < 0.1 else []
        courts = {"answer": {"status": "CACHED", "asOf": _AS_OF}, "dishonestListings": listings}
        return PeerSubject(uscc, name, kind_of(uscc), records, courts)

    def refuses(self, uscc: str) -> bool:
        """Nobody is refused."""
        return False


def make_record(uscc: str, index: int, seed: str = "1", **given: Any) -> Row:
    """Record `index` of a subject, with what is given in the place of what is made up."""
    draw = draws(seed, uscc, f"record {index}")
    kind = given.get("kind") or ("PENALTY" if given else draw.choice(tuple(_TITLES)))
    decided = LATEST - timedelta(days=draw.randint(0, 700))
    made = {
        "__typename": TYPE_NAMES.get(kind, "Penalty"),
        "id": _node_id(seed, uscc, index),
        "kind": kind,
        "area": draw.choice(("GENERAL", "PROCUREMENT", "TENDERING")),
        "severity": draw.choice(("MINOR", "GENERAL", "SERIOUS")) if kind in ("PENALTY", "LIST_ENTRY") else None,
        "catalogueItem": "示例目录-01",
        "title": _TITLES.get(kind, "示例记录"),
        "documentNumber": f"示邻罚字〔{decided.year}〕{index + 1}号",
        "authority": _AUTHORITY,
        "decidedOn": decided.isoformat(),
        "publishedFrom": decided.isoformat(),
        "publishedUntil": (decided + timedelta(days=1095)).isoformat(),
        "status": "ACTIVE",
        "underObjection": draw.random() < 0.05,
        "basis": "《示例条例》第一条",
        "amount": f"{Decimal(draw.randint(10_000, 90_000_000)) / 100:.2f}" if kind == "PENALTY" else None,
        "facts": "示例事实",
        "version": 1,
    }
    return {**made, **given}


def _node_id(seed: str, uscc: str, index: int) -> str:
    digest = hashlib.sha256(f"{seed} {uscc} {index}".encode()).digest()[:16]
    return base64.urlsafe_b64encode(b"R" + uuid.UUID(bytes=digest, version=4).bytes).decode().rstrip("=")


def _listing(uscc: str, seed: str) -> Row:
    draw = draws(seed, uscc, "listing")
    day = LATEST - timedelta(days=draw.randint(30, 700))
    return {
        "caseNumber": f"（{day.year}）新42执{draw.randint(1, 4000)}号",
        "court": "示例邻州中级人民法院",
        "publishedOn": day.isoformat(),
        "performance": draw.choice(("全部未履行", "部分未履行", None)),
    }
