"""Which changes of records: behind a cursor, of some subjects, in some areas."""

from __future__ import annotations

import re
from typing import Any

from gateway.engine.bindings import Condition, Following, Page, Rows
from gateway.engine.bookmarks import bad_bookmark
from gateway.engine.values import Arguments, Constant, Value
from gateway.resolvers.paging import page_size
from gateway.resolvers.subjects import bounded, keys_of

RELATION = "record_change"


_SEALED = re.compile(r"[A-Za-z0-9_-]{32}")


def sealed(cursor: Any) -> Any:
    """A cursor by its form; what is in it only the database can tell. Raises BadUserInput."""
    if cursor is not None and not (isinstance(cursor, str) and _SEALED.fullmatch(cursor)):
        raise bad_bookmark()
    return cursor


def _filters(arguments: Arguments, areas: str) -> tuple[Condition, ...]:
    found = []
    usccs, given = arguments.value("usccs"), arguments.value(areas)
    if usccs is not None:
        found.append(Condition("subject_uscc", "any", (usccs.typed("text[]", bounded),)))
    if given is not None:
        found.append(
            Condition("area", "any", (given.typed("text[]"),)) if areas == "areas" else Condition("area", "=", (given,))
        )
    return tuple(found)


def listed(arguments: Arguments) -> Rows:
    """Query.recordChanges: oldest first."""
    after = arguments.value("after")
    place = (after or Value(Constant(None))).typed("text", sealed)
    usccs = arguments.value("usccs")
    return Rows(
        RELATION,
        where=_filters(arguments, "areas"),
        about=None if usccs is None else keys_of(usccs),
        order="position",
        page=Page(page_size(arguments)[0], "", "position", sealed=place),
    )


def following(arguments: Arguments) -> Rows:
    """Subscription.recordChanged."""
    after = arguments.value("after")
    behind = None if after is None else after.typed("text", sealed)
    return Rows(RELATION, where=_filters(arguments, "area"), order="position", following=Following("position", behind))


def record(_: Arguments) -> Rows:
    """RecordChange.record: as it is now; what the change has taken away has none."""
    return Rows("record", match=(("present_id", "id"),))
