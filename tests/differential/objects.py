"""Plain rows as objects of GraphQL, and pages of them. In: rows, arguments of pages. Out: dicts by columns."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError

from tests.differential.visible import Row
from tests.differential.world import TODAY

SHANGHAI = dt.timezone(dt.timedelta(hours=8))
TYPES = {
    "PENALTY": "Penalty", "LICENCE": "Licence", "JUDGMENT": "Judgment", "DISCIPLINARY_ACTION": "DisciplinaryAction",
    "ACCOUNTABILITY": "AccountabilityAction", "CONTRACT_BREACH": "ContractBreach", "PROMISE_BREACH": "PromiseBreach",
    "HONOUR": "Honour", "LIST_ENTRY": "ListEntry",
}  # fmt: skip
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def snake(name: str) -> str:
    """A field's name as a column's."""
    return _CAPITAL.sub("_", name).lower()


def day(value: dt.date | None) -> str | None:
    """Date."""
    return None if value is None else value.isoformat()


def moment(value: dt.datetime | None) -> str | None:
    """DateTime: milliseconds at +08:00; what is beyond milliseconds is cut off."""
    return None if value is None else value.astimezone(SHANGHAI).isoformat(timespec="milliseconds")


class OutsideScope(GraphQLError):
    """A code that the asker's scope does not have, or that is not on record: null, and this at its path."""

    code = "FORBIDDEN"

    def __init__(self) -> None:
        super().__init__("outside", original_error=Outside())


class Outside(Exception):
    """What carries the code."""

    code = "FORBIDDEN"


def subject(row: Row, *, on_record: bool = True, authority: bool = False) -> Row:
    """A subject as an object. `authority`: it stands there as who determined something."""
    return {**row, "__typename": "Subject", "on_record": on_record, "authority": authority}


def record(row: Row) -> Row:
    """A record as an object of its kind's type."""
    return {**row, "__typename": TYPES[row["kind"]]}


def consent(row: Row) -> Row:
    """A consent as an object."""
    return {**row, "__typename": "Consent"}


def holds(row: Row) -> bool:
    return (row["valid_from"] is None or row["valid_from"] <= TODAY) and (
        row["valid_to"] is None or row["valid_to"] >= TODAY
    )


def position(row: Row) -> tuple[int, str]:
    return row["position"], row["code"]


def connection(
    edges: list[Row], page: Mapping[str, Any], place: Callable[[str, bool], Any], *, descending: bool = False
) -> Row:
    """A page by the Relay cursor specification: after and before bound a range, first and last take of its ends."""
    after, before = (
        None if page.get(name) is None else place(page[name], name == "before") for name in ("after", "before")
    )

    def precedes(one: Any, other: Any) -> bool:
        return bool(one > other if descending else one < other)

    between = [
        edge
        for edge in edges
        if (after is None or precedes(after, edge["place"])) and (before is None or precedes(edge["place"], before))
    ]
    if page.get("last") is not None:
        shown = between[-page["last"] :]
        previous = len(between) > len(shown)
        following = before is not None and any(not precedes(edge["place"], before) for edge in edges)
    else:
        shown = between[: page.get("first") or 20]
        following = len(between) > len(shown)
        previous = after is not None and any(not precedes(after, edge["place"]) for edge in edges)
    return {
        "edges": shown,
        "page_info": {
            "has_next_page": following,
            "has_previous_page": previous,
            "start_cursor": shown[0]["cursor"] if shown else None,
            "end_cursor": shown[-1]["cursor"] if shown else None,
        },
        "total_count": len(edges),
        "total_count_exact": True,
    }
