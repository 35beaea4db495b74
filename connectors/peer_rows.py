"""A peer's subjects and records as rows: every key of the document there, of its type, enums known.

In: objects out of the answer to documents/peer.graphql or documents/peer-page.graphql. Out: a `Subject` whose records
grow page by page until they are complete, or UpstreamError. Called by peer_region alone. Nullable is what the shared
schema calls so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from connectors.base import Cell, FailureKind, Row
from connectors.http import fail, read_object, read_required, read_text
from connectors.values import choice, count, day, flag, items, member, moment, string, yuan

PAGE_ROWS: Final = 100  # as the documents ask for
_LONGEST: Final = 1_000  # characters of an id or a cursor

_KINDS: Final = {  # __typename → kind
    "Penalty": "PENALTY",
    "Licence": "LICENCE",
    "Judgment": "JUDGMENT",
    "DisciplinaryAction": "DISCIPLINARY_ACTION",
    "AccountabilityAction": "ACCOUNTABILITY",
    "ContractBreach": "CONTRACT_BREACH",
    "PromiseBreach": "PROMISE_BREACH",
    "Honour": "HONOUR",
    "ListEntry": "LIST_ENTRY",
}
# fmt: off
_SUBJECT_KINDS: Final = frozenset({
    "ORGAN", "PUBLIC_INSTITUTION", "MASS_ORGANISATION", "TOWNSHIP", "PARK_COMMITTEE", "VILLAGE_COMMITTEE",
    "RESIDENTS_COMMITTEE", "ENTERPRISE", "INDIVIDUAL_BUSINESS", "COOPERATIVE", "SOCIAL_ORGANISATION", "CIVIL_SERVANT",
    "NATURAL_PERSON", "OTHER",
})
_AREAS: Final = frozenset({
    "GENERAL", "PROCUREMENT", "PPP", "TENDERING", "INVESTMENT_PROMOTION", "GOVERNMENT_DEBT", "TOWNSHIP",
})
_SEVERITIES: Final = frozenset({"MINOR", "GENERAL", "SERIOUS"})
_STATUSES: Final = frozenset({"ACTIVE", "CORRECTED", "EXPIRED", "REVOKED", "REPAIRED"})
_ANSWERS: Final = frozenset({
    "ANSWERED", "CACHED", "STALE", "UNAVAILABLE", "REFUSED", "CONSENT_REQUIRED", "PENDING", "NOT_CONSULTED",
})
# fmt: on


class Page:
    """One page of a subject's records: rows, and the cursor after which the next one begins (None: the last)."""

    def __init__(self, connection: Mapping[str, object]) -> None:
        edges = items(connection, "edges")
        if len(edges) > PAGE_ROWS:
            fail(FailureKind.MALFORMED, "more records than a page holds")
        self.rows = [_record(read_object(member(read_object(edge, "edge"), "node"), "node")) for edge in edges]
        info = read_object(member(connection, "pageInfo"), "pageInfo")
        more = flag(info, "hasNextPage")
        cursor = _or_null(info, "endCursor", string)
        self.next_cursor = cursor if more else None
        if more and (not cursor or len(cursor) > _LONGEST or not edges):
            fail(FailureKind.MALFORMED, "a page that others follow has no records or no cursor")


class Records:
    """A subject's records so far; `total` is how many the peer has announced."""

    def __init__(self, total: int, first: Page) -> None:
        self.total = total
        self.rows: dict[str, Row] = {}  # by id
        self.next_cursor: str | None = None
        self._cursors: set[str] = set()
        self.add(first)

    def add(self, page: Page) -> None:
        """Take the next page. UpstreamError where a cursor or record repeats, or there are more than announced."""
        for row in page.rows:
            if self.rows.setdefault(str(row["id"]), row) is not row:
                fail(FailureKind.MALFORMED, "a record repeats")
        if len(self.rows) > self.total:
            fail(FailureKind.MALFORMED, "more records than totalCount")
        self.next_cursor = page.next_cursor
        if page.next_cursor is not None:
            if page.next_cursor in self._cursors:
                fail(FailureKind.MALFORMED, "a cursor repeats")
            self._cursors.add(page.next_cursor)

    def check_complete(self) -> None:
        """UpstreamError where the records are not as many as announced."""
        if len(self.rows) != self.total:
            fail(FailureKind.MALFORMED, "fewer records than totalCount")


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as a peer tells of it; `facts` are all cells of its row but the records."""

    uscc: str
    facts: Row
    records: Records

    def row(self) -> Row:
        """The row, with all records so far."""
        return {**self.facts, "records": list(self.records.rows.values())}


def read_subject(element: Mapping[str, object]) -> Subject:
    """An element of `subjects`. Its uscc has been held against the one asked for."""
    on_record = flag(element, "onRecord")
    name = _or_null(element, "name", _required)
    region = _object_or_null(element, "region")
    connection = read_object(member(element, "records"), "records")
    records = Records(count(connection, "totalCount"), Page(connection))
    if (on_record and name is None) or (records.total and not on_record):
        fail(FailureKind.MALFORMED, "onRecord disagrees with the name or the records")
    facts: Row = {
        "on_record": on_record,
        "name": name,
        "kind": _or_null(element, "kind", lambda values, key: choice(values, key, _SUBJECT_KINDS)),
        "region_code": None if region is None else _required(region, "code"),
        "region_name": None if region is None else _required(region, "name"),
        "courts": _courts(read_object(member(element, "courts"), "courts")),
    }
    return Subject(string(element, "uscc"), facts, records)


def read_page(element: Mapping[str, object]) -> Page:
    """The `subject` of a further page."""
    return Page(read_object(member(element, "records"), "records"))


def _record(node: Mapping[str, object]) -> Row:
    kind_of_type = _KINDS[choice(node, "__typename", _KINDS)]
    if choice(node, "kind", _KINDS.values()) != kind_of_type:
        fail(FailureKind.MALFORMED, "kind does not fit __typename")
    if not 0 < len(string(node, "id")) <= _LONGEST:
        fail(FailureKind.MALFORMED, "id is empty or too long")
    authority = _object_or_null(node, "authority")
    return {
        "id": _required(node, "id"),
        "type": string(node, "__typename"),
        "kind": kind_of_type,
        "area": choice(node, "area", _AREAS),
        "severity": _or_null(node, "severity", lambda values, key: choice(values, key, _SEVERITIES)),
        "catalogue_item": _required(node, "catalogueItem"),
        "title": _required(node, "title"),
        "document_number": _text(node, "documentNumber"),
        "authority_uscc": None if authority is None else _text(authority, "uscc"),
        "authority_name": None if authority is None else _text(authority, "name"),
        "decided_on": day(node, "decidedOn"),
        "published_from": _or_null(node, "publishedFrom", day),
        "published_until": _or_null(node, "publishedUntil", day),
        "status": choice(node, "status", _STATUSES),
        "under_objection": flag(node, "underObjection"),
        "basis": _text(node, "basis"),
        "amount": _or_null(node, "amount", yuan),
        "facts": _text(node, "facts"),
        "version": count(node, "version"),
    }


def _courts(section: Mapping[str, object]) -> dict[str, Cell]:
    answer = read_object(member(section, "answer"), "answer")
    listings: list[Cell] = []
    for listed in items(section, "dishonestListings"):
        listing = read_object(listed, "listing")
        listings.append(
            {
                "case_number": _required(listing, "caseNumber"),
                "court": _required(listing, "court"),
                "published_on": _or_null(listing, "publishedOn", day),
                "performance": _text(listing, "performance"),
            }
        )
    return {
        "status": choice(answer, "status", _ANSWERS),
        "as_of": _or_null(answer, "asOf", moment),
        "dishonest": listings,
    }


def _required(values: Mapping[str, object], key: str) -> str:
    return read_required(member(values, key), key)


def _text(values: Mapping[str, object], key: str) -> str | None:
    return read_text(member(values, key), key)


def _or_null(values: Mapping[str, object], key: str, read: Callable[[Mapping[str, object], str], str]) -> str | None:
    return None if member(values, key) is None else read(values, key)


def _object_or_null(values: Mapping[str, object], key: str) -> Mapping[str, object] | None:
    value = member(values, key)
    return None if value is None else read_object(value, key)
