"""Values of arguments: out of the world most of the time, beside it some of the time, malformed now and then.

In: the coordinate of a field, dice. Out: its arguments by name; those that are left out are missing.
"""

from __future__ import annotations

import base64
import datetime as dt
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLSchema

from gateway.storage.identifiers import node_id, organisation_uuid
from tests.differential.world import World

BAD_TEXTS = ("", "x", "a\0b", "n0", "d2026-02-30x", "ＡＢ", "c2026-01-01", "'; drop table core.record; --")


@dataclass(frozen=True)
class Enum:
    """An enum's value, which a literal writes without quotation marks."""

    name: str


class Values:
    """Draws arguments for one contract."""

    def __init__(self, world: World, schema: GraphQLSchema) -> None:
        rows = world.rows
        self._codes = world.codes
        self._strangers = world.strangers
        self._subjects = [node_id("S", row["external_id"]) for row in rows["subject"]]
        self._records = rows["record"]
        self._consents = rows["consent"]
        self._parts: list[dict[str, Any]] = rows["name_part"]
        self._external = {row["id"]: row["external_id"] for row in rows["subject"]}
        self._names = [row["name"] for row in (*rows["subject"], *rows["former_name"])]
        self._regions = [row["code"] for row in rows["region"]]
        self._lists = sorted({row["list"] for row in rows["code_label"]})
        self._days = sorted({row["decided_on"] for row in rows["record"]})
        self._enums: dict[str, list[str]] = {
            name: list(named.values) for name, named in schema.type_map.items() if hasattr(named, "values")
        }
        fields = schema.query_type.fields if schema.query_type else {}
        self._back = "last" in fields["records"].args

    def of(self, parent: str, name: str, dice: random.Random) -> dict[str, Any]:
        """The arguments of a field."""
        own: Callable[[random.Random], dict[str, Any]] | None = getattr(self, f"_{parent}_{name}".lower(), None)
        if own is None and name == "records" and parent in ("Subject", "Query"):
            own = self._listed
        return own(dice) if own is not None else {}

    # Fields ----------------------------------------------------------------------------------------------------------

    def _query_node(self, dice: random.Random) -> dict[str, Any]:
        return {"id": self._id(dice)}

    def _query_subject(self, dice: random.Random) -> dict[str, Any]:
        return {"uscc": self._code(dice)}

    def _query_subjects(self, dice: random.Random) -> dict[str, Any]:
        count = dice.choices((0, 1, 2, 3, 5, 9, 21), (1, 10, 10, 10, 5, 5, 1))[0]
        return {"usccs": [self._code(dice) for _ in range(count)]}

    def _query_codelist(self, dice: random.Random) -> dict[str, Any]:
        return {
            "name": dice.choice(
                [*self._lists, *self._lists, "NoSuchList", "", "a\0"] if dice.random() < 0.1 else self._lists
            )
        }

    def _subject_bank(self, dice: random.Random) -> dict[str, Any]:
        consent = dice.choice(self._consents)
        return {"consentId": dice.choice([node_id("C", consent["external_id"]), self._id(dice)])}

    def _viewer_consents(self, dice: random.Random) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if dice.random() < 0.3:
            found["uscc"] = self._code(dice)

        def cursor() -> str:
            consent = dice.choice(self._consents)
            return f"c{consent['recorded_on']}{node_id('C', consent['external_id'])}"

        return found | self._page(dice, cursor)

    def _query_searchsubjects(self, dice: random.Random) -> dict[str, Any]:
        query, begin = self._query(dice)
        found: dict[str, Any] = {"query": query}
        if dice.random() < 0.35:
            found["filter"] = self._some(dice, {
                "kinds": lambda: self._several(dice, "SubjectKind"),
                "roles": lambda: self._several(dice, "SubjectRole"),
                "regionCode": lambda: self._region(dice),
            })  # fmt: skip
        matching = [part for part in self._parts if begin and part["suffix"].startswith(begin)] or self._parts[:3]

        def cursor() -> str:
            part = dice.choice(matching)
            ending = base64.urlsafe_b64encode(part["suffix"].encode()).decode().rstrip("=")
            return f"n{part['tier']}{ending}{node_id('S', self._external[part['subject_id']])}"

        return found | self._page(dice, cursor)

    def _listed(self, dice: random.Random) -> dict[str, Any]:
        found: dict[str, Any] = {}
        field = "DECIDED_ON"
        if dice.random() < 0.5:
            order = self._some(dice, {
                "field": lambda: Enum(dice.choice(["DECIDED_ON", "PUBLISHED_FROM"])),
                "direction": lambda: Enum(dice.choice(["ASC", "DESC"])),
            })  # fmt: skip
            order = {name: value for name, value in order.items() if value is not None}
            field = order["field"].name if "field" in order else field
            found["orderBy"] = order if dice.random() < 0.95 else None
            field = field if found["orderBy"] is not None else "DECIDED_ON"
        if dice.random() < 0.4:
            found["filter"] = self._some(dice, {
                "kinds": lambda: self._several(dice, "RecordKind"),
                "areas": lambda: self._several(dice, "Area"),
                "statuses": lambda: self._several(dice, "RecordStatus"),
                "severities": lambda: self._several(dice, "Severity"),
                "decidedFrom": lambda: self._day(dice),
                "decidedTo": lambda: self._day(dice),
                "regionCode": lambda: self._region(dice),
            })  # fmt: skip
        letter, column = ("p", "published_from") if field == "PUBLISHED_FROM" else ("d", "decided_on")

        def cursor() -> str:
            row = dice.choice(self._records)
            return f"{letter}{row[column]}{node_id('R', row['external_id'])}"

        return found | self._page(dice, cursor)

    # Parts -----------------------------------------------------------------------------------------------------------

    def _page(self, dice: random.Random, cursor: Callable[[], str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if dice.random() < 0.7:
            found["first"] = dice.choices((1, 2, 3, 7, 20, 100, None, 0, 101), (20, 20, 20, 20, 10, 10, 3, 1, 1))[0]
        if self._back and dice.random() < 0.3:
            found["last"] = found.pop("first", None)
            if dice.random() < 0.02:
                found["first"] = 1
        for name in ("after", "before") if self._back else ("after",):
            if dice.random() < 0.25:
                found[name] = cursor() if dice.random() < 0.96 else dice.choice([*BAD_TEXTS, None])
        return found

    @staticmethod
    def _some(dice: random.Random, made: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        share = dice.choice([0.15, 0.3])
        found = {name: one() for name, one in made.items() if dice.random() < share}
        return {name: None if dice.random() < 0.04 else value for name, value in found.items()}

    def _several(self, dice: random.Random, enum: str) -> list[Enum]:
        return [Enum(name) for name in dice.choices(self._enums[enum], k=dice.choice([0, 1, 1, 2, 3, 3, 5]))]

    def _code(self, dice: random.Random) -> str:
        kind = dice.random()
        if kind < 0.88:
            return dice.choice(self._codes)
        return (
            dice.choice(self._strangers)
            if kind < 0.985
            else dice.choice(["91652701MA0000000X", "", self._codes[0].lower()])
        )

    def _id(self, dice: random.Random) -> str:
        match dice.choices(range(6), (35, 45, 10, 5, 3, 2))[0]:
            case 0:
                return dice.choice(self._subjects)
            case 1:
                return node_id("R", dice.choice(self._records)["external_id"])
            case 2:
                return node_id("C", dice.choice(self._consents)["external_id"])
            case 3:
                return node_id(dice.choice("SRC"), organisation_uuid(self._strangers[0]))
            case 4:
                return node_id(dice.choice("XTs"), uuid.UUID(int=dice.getrandbits(128)))
            case _:
                return dice.choice(BAD_TEXTS)

    def _query(self, dice: random.Random) -> tuple[str, str]:
        """What is typed, and with what the endings begin that it may find."""
        kind = dice.random()
        if kind < 0.75:
            suffix = dice.choice(self._parts)["suffix"]
            begin = suffix[: dice.choice([2, 2, 3, 4, 64])]
            return begin, begin
        if kind < 0.93:
            return dice.choice(self._names), ""
        if kind < 0.97:
            return dice.choice(["无此名称", "ｓｈｉ", "  示 范 ", '"\\', "%_", "示范%"]), ""
        return dice.choice(["", "示", " ", "a\0b", "示" * 501]), ""

    def _region(self, dice: random.Random) -> str:
        return (
            dice.choice(self._regions) if dice.random() < 0.9 else dice.choice(["99", "659001", "6", "", "六五", "65x"])
        )

    def _day(self, dice: random.Random) -> str:
        if dice.random() < 0.02:
            return dice.choice(["2026-02-30", "20260101", ""])
        return str(dice.choice(self._days) + dt.timedelta(days=dice.choice([-1, 0, 0, 1])))
