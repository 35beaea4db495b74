"""Who sees which rows: DESIGN.md section 3, row by row, in plain Python over plain rows.

In: the world's rows, who asks. Out: the rows that exist for this asker.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.differential.world import TODAY, World

Row = dict[str, Any]


@dataclass(frozen=True)
class Asker:
    """Who asks: view (public, restricted, internal, self), organisation (name), matter, own subject, narrowing."""

    name: str
    view: str
    organisation: str | None = None
    matter: str | None = None
    subject: str | None = None
    scoped: bool = False
    regions: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    list: str | None = None

    @property
    def contract(self) -> str:
        return self.view.upper()

    @property
    def narrowing(self) -> dict[str, Any]:
        given = {"regions": self.regions, "kinds": self.kinds, "list": self.list}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def narrowed(self) -> bool:
        """Whether a code outside the scope must not be told from one that is not on record."""
        return self.view == "self" or bool(self.narrowing)


@dataclass
class Seen:
    """What one asker sees."""

    world: World
    asker: Asker
    all_subjects: dict[int, Row] = field(default_factory=dict)
    subjects: dict[int, Row] = field(default_factory=dict)  # by internal id, in its order
    authorities: dict[int, Row] = field(default_factory=dict)
    records: list[Row] = field(default_factory=list)
    records_of: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    regions: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.world.rows
        self.regions = {row["code"]: row for row in rows["region"]}
        self.all_subjects = {row["id"]: row for row in sorted(rows["subject"], key=lambda row: row["id"])}
        self.matter = next((row for row in rows["matter"] if row["code"] == self.asker.matter), None)
        self.organisation = self.world.ids.get(self.asker.organisation or "")
        self.own = self.world.ids.get(self.asker.subject or "")
        self.subjects = {key: row for key, row in self.all_subjects.items() if self._sees_subject(row)}
        self.authorities = {key: row for key, row in self.all_subjects.items() if row["class"] == "ORGANISATION"}
        self.records = [row for row in rows["record"] if row["subject_id"] in self.subjects and self._sees_record(row)]
        for row in self.records:
            self.records_of[row["subject_id"]].append(row)

    # Subjects --------------------------------------------------------------------------------------------------------

    def _sees_subject(self, row: Row) -> bool:
        if self.asker.view == "self":
            return bool(row["id"] == self.own)
        if row["class"] == "SERVANT":
            seen = self.asker.view == "internal" and (self._matter_shows("shows_servants") or self._ordered(row["id"]))
        elif row["class"] == "PERSON":
            seen = self.asker.view == "internal"
        else:
            seen = True
        return seen and self._in_scope(row)

    def _matter_shows(self, flag: str) -> bool:
        return self.matter is not None and bool(self.matter[flag])

    def _ordered(self, subject: int) -> bool:
        orders = (row for row in self.world.rows["publication_order"] if row["subject_id"] == subject)
        return any(row["valid_from"] <= TODAY <= row["valid_until"] for row in orders)

    def _in_scope(self, row: Row) -> bool:
        asker = self.asker
        if asker.regions is not None and not any(self.is_below(row["region_code"], code) for code in asker.regions):
            return False
        if asker.kinds is not None and row["kind"] not in asker.kinds:
            return False
        listed = {(entry["list"], entry["subject_id"]) for entry in self.world.rows["client_list"]}
        return asker.list is None or (asker.list, row["id"]) in listed

    def is_below(self, code: str | None, ancestor: str) -> bool:
        """Whether a region is another or lies below it, by what the regions say of their parents."""
        while code is not None:
            if code == ancestor:
                return True
            code = self.regions[code]["parent"]
        return False

    # Records ---------------------------------------------------------------------------------------------------------

    def _sees_record(self, row: Row) -> bool:
        """Its subject is seen already."""
        in_force = row["status"] in ("ACTIVE", "CORRECTED")
        match self.asker.view:
            case "public":
                return in_force and row["published"] and row["published_from"] <= TODAY and not is_over(row)
            case "restricted":
                return in_force
            case "self":
                return True
            case _:
                determined = self.organisation is not None and row["authority_id"] == self.organisation
                return in_force or determined or self._matter_shows("shows_withdrawn")

    def authority(self, row: Row) -> Row | None:
        """Who determined a record or withdrew it: an organisation, whatever the narrowing."""
        return self.authorities.get(row["authority_id"])

    def consents(self) -> list[Row]:
        """Given to the asker's organisation, or by the account's own subject; for nobody else."""
        by_code = {row["uscc"]: row for row in self.all_subjects.values() if row["uscc"]}
        if self.asker.view == "public":
            return []
        if self.asker.view == "self":
            own = self.all_subjects.get(self.own or 0, {}).get("uscc")
            return [row for row in self.world.rows["consent"] if own is not None and row["subject_uscc"] == own]
        grantee = self.world.code_of.get(self.asker.organisation or "")
        return [
            row
            for row in self.world.rows["consent"]
            if row["grantee_uscc"] == grantee
            and (not self.asker.narrowing or self._scope_has(by_code.get(row["subject_uscc"])))
        ]

    def _scope_has(self, subject: Row | None) -> bool:
        return subject is not None and self._in_scope(subject)


def is_over(record: Row) -> bool:
    """Whether its last day of publication has passed; days are inclusive."""
    return record["published_until"] is not None and record["published_until"] < TODAY
