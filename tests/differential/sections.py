"""Sections of sources in this world: courts and platform are down and have kept answers, the others are not set up.

In: a subject, what is selected of its section. Out: the section, by docs/faults.md: the worst status of its parts, the
oldest time, and why there is nothing newer.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from graphql import FieldNode, GraphQLIncludeDirective, GraphQLSkipDirective, InlineFragmentNode
from graphql.execution.values import get_directive_values

from tests.differential.objects import TYPES, holds, moment, snake, subject
from tests.differential.visible import Asker, Row, Seen
from tests.differential.world import COURT_PARTS, NOW, TODAY

FRESH, STALE = dt.timedelta(days=1), dt.timedelta(days=30)  # of what the courts said, in this world
COURTS_LISTS = dict(
    zip(("dishonestListings", "enforcementCases", "consumptionOrders", "judgments"), COURT_PARTS, strict=True)
)
WORST = ("ANSWERED", "CACHED", "STALE", "PENDING", "CONSENT_REQUIRED", "NOT_CONSULTED", "REFUSED", "UNAVAILABLE")


class Sections:
    """What sources say to one asker."""

    _seen: Seen
    _rows: dict[str, list[Row]]
    _asker: Asker
    _public: bool
    _asked: set[tuple[str, str]]

    def _source(self, code: str) -> Any:
        raise NotImplementedError

    def Subject_courts(self, row: Row, info: Any) -> Any:
        """Kept answers of the courts: fresh, or stale since the courts are down. The public view never asks them."""
        parts = [part for name, part in COURTS_LISTS.items() if name in _selected(info)] or ["dishonest"]
        answer, rows = self._said("COURTS", parts, row)
        return {"answer": answer, **{snake(name): rows.get(part, []) for name, part in COURTS_LISTS.items()}}

    def Subject_regionPlatform(self, row: Row) -> Any:
        """Kept answers of the platform, with records."""
        answer, rows = self._said("REGION_PLATFORM", ["records"], row)
        return {"answer": answer, "records": [live_record(one, row) for one in rows.get("records", [])]}

    def Subject_peers(self, row: Row) -> Any:
        return []  # none is set up

    def Subject_bank(self, row: Row, consentId: str) -> Any:
        reason = "NOT_CONFIGURED" if self._asks(f"BANKS {consentId}", row) else None
        answer = {"source": "BANKS", "status": "NOT_CONSULTED", "as_of": None, "reason": reason}
        values = ("loan_balance", "overdue_balance", "overdue_days", "classification", "guarantee_balance")
        return {"answer": answer, "events": [], **dict.fromkeys(values)}

    def SourceAnswer_source(self, answer: Row) -> Any:
        return self._source(answer["source"])

    def _said(self, source: str, parts: Sequence[str], row: Row) -> tuple[Row, dict[str, list[Row]]]:
        """The answer, as good as the worst of its parts and as old as the oldest, and the rows of each part."""
        answer = {"source": source, "status": "NOT_CONSULTED", "as_of": None, "reason": None}
        if not self._asks(source, row):
            return answer, {}
        if not self._public and (self._seen.matter is None or source not in self._seen.matter["sources_allowed"]):
            return answer | {"reason": "MATTER"}, {}
        kept = {part: self._kept(source, part, row["uscc"]) for part in parts}
        status, reason, _, _ = max((kept[part] for part in parts), key=lambda one: WORST.index(one[0]))
        when = min((one[2] for one in kept.values() if one[2] is not None), default=None)
        rows = {part: one[3] for part, one in kept.items()}
        return answer | {"status": status, "as_of": moment(when), "reason": reason}, rows

    def _asks(self, feed: str, row: Row) -> bool:
        """Whether a source is asked about a subject. Under a narrowing an authority is seen, not asked about: what it
        shows are the answers that were asked for at another place of the same operation."""
        if row.get("uscc") is None:
            return False
        if not (self._asker.narrowed and row["authority"]):
            self._asked.add((feed, row["uscc"]))
        return (feed, row["uscc"]) in self._asked

    def _kept(self, source: str, part: str, uscc: str) -> tuple[str, str | None, dt.datetime | None, list[Row]]:
        """Status, reason, time and rows of one part."""
        wanted = (source, part, uscc)
        kept = [
            row
            for row in self._rows["source_answer"]
            if (row["source_code"], row["part"], row["uscc"]) == wanted and NOW - row["asked_at"] < STALE
        ]
        newest = max(kept, key=lambda row: row["asked_at"], default=None)
        if newest is None:
            return (
                ("NOT_CONSULTED", "PUBLIC_NOT_KEPT", None, []) if self._public else ("UNAVAILABLE", "TIMEOUT", None, [])
            )
        if NOW - newest["asked_at"] < FRESH:
            return "CACHED", None, newest["asked_at"], newest["rows"]
        return "STALE", "PUBLIC" if self._public else "TIMEOUT", newest["asked_at"], newest["rows"]

    def _of_live_record(self, row: Row, name: str) -> Any:
        """A record that a source gave has what the source said, the identity of subject and authority, and no past."""
        given = row["live"]
        match name:
            case "id":
                return given["node_id"]
            case "subject":
                asked = row["asked"]
                known = self._seen.subjects.get(asked.get("id", 0), {})
                return subject(
                    {**known, "uscc": asked["uscc"], "external_id": asked["external_id"]}, on_record=bool(known)
                )
            case "authority":
                return self._live_authority(given)
            case "source":
                return self._source("REGION_PLATFORM")
            case "status":
                ends = [end for end in (given.get("published_until"), given.get("removed_on")) if end is not None]
                over = given["status"] in ("ACTIVE", "CORRECTED") and ends and min(ends) < TODAY.isoformat()
                return "EXPIRED" if over else given["status"]
            case "catalogueItem":
                return self._item(given["kind"])
            case "history":
                return []
            case "version" | "area" | "underObjection":
                return given.get(snake(name), {"version": 1, "area": "GENERAL", "underObjection": False}[name])
        return given.get(snake(name))

    def _live_authority(self, given: Row) -> Any:
        """By the code that the source gave, else by its name alone; null where it named nobody."""
        if "authority_external_id" not in given:
            return None
        known = next((one for one in self._seen.authorities.values() if one["uscc"] == given["authority_uscc"]), {})
        told = {"uscc": given["authority_uscc"], "name": given["authority_name"]}
        external = uuid.UUID(given["authority_external_id"])
        if given["authority_uscc"] is None:
            known = {}
        return subject({**known, **told, "external_id": external}, on_record=bool(known), authority=True)

    def _item(self, kind: str) -> str:
        """The item that allows such records today."""
        items = [row for row in self._rows["catalogue_default"] if row["kind"] == kind and holds(row)]
        return str(max(items, key=lambda row: row["valid_from"])["item"])


def live_record(given: Row, asked: Row) -> Row:
    """A row of a source as an object of its kind's type."""
    return {"__typename": TYPES[given["kind"]], "live": given, "asked": asked}


def _selected(info: Any) -> set[str]:
    """Names of the fields selected of the object at hand, fragments and directives followed."""
    found: set[str] = set()
    todo = [node.selection_set for node in info.field_nodes]
    while todo:
        for node in todo.pop().selections:
            skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values) or {}
            include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values) or {}
            if skip.get("if") or not include.get("if", True):
                continue
            if isinstance(node, FieldNode):
                found.add(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                todo.append(node.selection_set)
            else:
                fragment = info.fragments[node.name.value]
                todo.append(getattr(fragment, "definition", fragment).selection_set)
    return found
