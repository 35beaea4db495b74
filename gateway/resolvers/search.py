"""Which subjects a name, a part of one or a code means.

The text is folded as names are (storage/names.py). A cursor is `n`, the tier, the ending that matched (base64url) and
the subject's id: opaque to clients; one of another list or of another search is BadUserInput before any SQL.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from typing import Any

from gateway.engine.bindings import Page, Rows, Search, SearchPlace
from gateway.engine.values import Arguments, Constant, FromVariable, ListOf, Value
from gateway.errors import BadUserInput
from gateway.resolvers.paging import bad_cursor, page_size
from gateway.resolvers.regions import region_code
from gateway.storage import names
from gateway.storage.identifiers import parse_node_id, valid_organisation_code

LETTER = "n"
LONGEST = 500  # characters as sent
_NODE_ID = 23
_LARGEST_ID = 2**63 - 1


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


def parse_cursor(text: Any, begin: str, name: str) -> tuple[int, str, uuid.UUID]:
    """Tier, ending and id of a cursor of the search for `begin`. Raises BadUserInput."""
    try:
        if not isinstance(text, str) or text[:2] not in (f"{LETTER}0", f"{LETTER}1"):
            raise bad_cursor(name)
        encoded = text[2:-_NODE_ID]
        padded = encoded + "=" * (-len(encoded) % 4)
        suffix = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        letter, external_id = parse_node_id(text[-_NODE_ID:])
    except (ValueError, binascii.Error):
        raise bad_cursor(name) from None
    if letter != "S" or not suffix.startswith(begin) or len(suffix) > names.LONGEST or "\0" in suffix:
        raise bad_cursor(name)
    return int(text[1]), suffix, external_id


@dataclass(frozen=True, slots=True)
class _Of:
    """A part of the place of a cursor, for the range of one tier; equal for equal ones, so that plans compare."""

    name: str  # of the argument: after or before
    part: str
    tier: int = 0

    def __call__(self, given: Any) -> Any:
        query, cursor = given
        begin = _begin(query)
        tier, suffix, external_id = parse_cursor(cursor, begin, self.name)
        match self.part:
            case "tier":
                return tier
            case "suffix":
                return suffix
            case "id":
                return external_id
            case "ending":  # the place in its own tier; in the others before or behind all of them
                if tier == self.tier:
                    return suffix
                return "" if tier < self.tier else names.end_of(begin)
            case _:
                return external_id if tier == self.tier else None


def _both(query: Value, cursor: Value) -> ListOf:
    origins = (query.origin, cursor.origin)
    assert all(isinstance(origin, FromVariable | Constant) for origin in origins)
    return ListOf(origins)  # type: ignore[arg-type]


def _place(arguments: Arguments, name: str, query: Value) -> SearchPlace | None:
    """The place of a cursor, as a whole and for each tier."""
    cursor = arguments.value(name)
    if cursor is None:
        return None
    both = Value(_both(query, cursor), places=cursor.places)
    return SearchPlace(
        both.typed("smallint", _Of(name, "tier")),
        both.typed("text", _Of(name, "suffix")),
        both.typed("uuid", _Of(name, "id")),
        tuple(
            (both.typed("text", _Of(name, "ending", tier)), both.typed("uuid", _Of(name, "own", tier)))
            for tier in (0, 1)
        ),
        0 if name == "after" else _LARGEST_ID,
    )


def by_name(arguments: Arguments) -> Rows:
    """Query.searchSubjects."""
    query = arguments.value("query")
    assert query is not None
    given = arguments.object("filter")
    kinds, roles, region = (given.value(name) for name in ("kinds", "roles", "regionCode"))
    size, backward = page_size(arguments)
    return Rows(
        "subject",
        search=Search(
            query.typed("text", _begin),
            query.typed("text", _end),
            kinds.typed("text[]") if kinds is not None else None,
            roles.typed("text[]") if roles is not None else None,
            region.typed("text", region_code) if region is not None else None,
            *(_place(arguments, name, query) for name in ("after", "before")),
        ),
        page=Page(size, LETTER, backward=backward),
    )
