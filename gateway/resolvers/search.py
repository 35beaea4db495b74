"""Which subjects a name, a part of one or a code means.

The text is folded as names are (storage/names.py). A cursor is `n`, the tier, the ending that matched (base64url) and
the subject's id: opaque to clients; one of another list or of another search is BadUserInput before any SQL.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Any

from gateway.engine.bindings import Page, Rows, Search
from gateway.engine.values import Arguments, Constant, FromVariable, ListOf, Value
from gateway.errors import BadUserInput
from gateway.resolvers.paging import bad_cursor, first_of
from gateway.resolvers.regions import region_code
from gateway.storage import names
from gateway.storage.identifiers import parse_node_id, valid_organisation_code

LETTER = "n"
LONGEST = 500  # characters as sent
_NODE_ID = 23


def _begin(query: Any) -> str:
    """The folded text. Raises BadUserInput where nothing can be searched by it."""
    if len(query) > LONGEST:
        raise BadUserInput(
            f"query may have {LONGEST} characters; a part of the name is enough",
            f"query 最多 {LONGEST} 字，输入名称的一部分即可",
        )
    folded = names.folded(query)
    if valid_organisation_code(folded.replace("-", "")):
        folded = folded.replace("-", "")
    if len(folded) < names.LEAST:
        raise BadUserInput(
            f"query must have at least {names.LEAST} characters, spaces apart; add more of the name or the code",
            f"query 至少须有 {names.LEAST} 个字（空格不计），请多输入几个字",
        )
    return folded


def _end(query: Any) -> str:
    return names.end_of(_begin(query))


def parse_cursor(text: Any, begin: str) -> tuple[int, str, uuid.UUID]:
    """Tier, ending and id of a cursor of the search for `begin`. Raises BadUserInput."""
    try:
        if not isinstance(text, str) or text[:2] not in (f"{LETTER}0", f"{LETTER}1"):
            raise bad_cursor()
        encoded = text[2:-_NODE_ID]
        padded = encoded + "=" * (-len(encoded) % 4)
        suffix = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        letter, external_id = parse_node_id(text[-_NODE_ID:])
    except (ValueError, binascii.Error):
        raise bad_cursor() from None
    if letter != "S" or not suffix.startswith(begin) or len(suffix) > names.LONGEST or "\0" in suffix:
        raise bad_cursor()
    return int(text[1]), suffix, external_id


class _Of:
    """A part of the place where a page begins; equal for equal ones, so that plans compare."""

    __slots__ = ("_part", "_tier")

    def __init__(self, part: str, tier: int = 0) -> None:
        self._part = part
        self._tier = tier

    def __call__(self, given: Any) -> Any:
        query, cursor = given
        begin = _begin(query)
        tier, suffix, external_id = parse_cursor(cursor, begin)
        match self._part:
            case "tier":
                return tier
            case "suffix":
                return suffix
            case "id":
                return external_id
            case "low":  # where a tier begins: the cursor's place in its own, all or nothing in the others
                return suffix if tier == self._tier else begin if tier < self._tier else names.end_of(begin)
            case _:
                return external_id if tier == self._tier else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Of) and (self._part, self._tier) == (other._part, other._tier)

    def __hash__(self) -> int:
        return hash((self._part, self._tier))


def _both(query: Value, after: Value) -> ListOf:
    origins = (query.origin, after.origin)
    assert all(isinstance(origin, FromVariable | Constant) for origin in origins)
    return ListOf(origins)  # type: ignore[arg-type]


def _place(origin: ListOf) -> tuple[tuple[Value, Value, Value], tuple[tuple[Value, Value], ...]]:
    """Where a page begins, as a whole and for each tier."""
    place = (
        Value(origin, "smallint", _Of("tier")),
        Value(origin, "text", _Of("suffix")),
        Value(origin, "uuid", _Of("id")),
    )
    return place, tuple(
        (Value(origin, "text", _Of("low", tier)), Value(origin, "uuid", _Of("own", tier))) for tier in (0, 1)
    )


def by_name(arguments: Arguments) -> Rows:
    """Query.searchSubjects."""
    query, after = arguments.value("query"), arguments.value("after")
    assert query is not None
    given = arguments.object("filter")
    kinds, roles, region = (given.value(name) for name in ("kinds", "roles", "regionCode"))
    return Rows(
        "subject",
        search=Search(
            query.typed("text", _begin),
            query.typed("text", _end),
            kinds.typed("text[]") if kinds is not None else None,
            roles.typed("text[]") if roles is not None else None,
            region.typed("text", region_code) if region is not None else None,
            *(_place(_both(query, after)) if after is not None else (None, ())),
        ),
        page=Page(first_of(arguments), LETTER, "", False, after is not None),
    )
