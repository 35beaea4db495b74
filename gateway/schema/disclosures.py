"""The account as its subjects see it: who was shown what of them."""

from __future__ import annotations

import strawberry

from gateway.resolvers import disclosures
from gateway.schema.enums import SourceStatus, View
from gateway.schema.fields import R, column, inherits, related
from gateway.schema.paging import PageInfo
from gateway.schema.scalars import DateTime, Uscc
from gateway.schema.subjects import Subject


@strawberry.type(description="What a source said of the subject in a request")
class DisclosedSource:
    code: str = column("code", "The source's code", R)
    status: SourceStatus = column("status", "What it said, or why it said nothing", R)
    as_of: DateTime | None = column("as_of", "How old the answer was; null without one", R)


@strawberry.type(
    description="That a subject was shown to somebody. Once the time for which disclosures are kept is over, number,"
    " time and place in the log are left"
)
class Disclosure:
    number: int = column("number", "Of this subject's entries, from 1 without gaps, in the order of the log", R)
    at: DateTime = column("at", "When it was", R)
    organisation_uscc: Uscc | None = column("organisation_uscc", "The organisation that asked", R)
    organisation: Subject | None = related(
        disclosures.organisation, "The organisation that asked; null where it is not on record here", R, shown=False
    )
    on_behalf_of: Uscc | None = column("on_behalf_of", "For which other organisation it asked", R)
    view: View | None = column("view", "The view in which it was answered", R)
    matter: str | None = column("matter", "What it was for", R)
    legal_basis: str | None = column("legal_basis", "The matter's legal basis, as it stood", R)
    case_number: str | None = column("case_number", "The number of the case", R)
    public_fields: list[str] = column("public_fields", "Fields of the answer that anybody may ask for", R)
    restricted_fields: list[str] = column("restricted_fields", "Fields of the answer from the restricted view on", R)
    internal_fields: list[str] = column("internal_fields", "Fields of the answer of the internal view alone", R)
    sources: list[DisclosedSource] = related(disclosures.sources, "What other sources were asked", R, shown=False)
    log_index: int = column("log_index", "The entry's place in the transparency log, from 0", R)
    receipt_id: str = column("receipt_id", "For /receipts/: proves the entry, and tells no other subject of it", R)


@strawberry.type(description="A disclosure in a list")
class DisclosureEdge:
    cursor: str = inherits("Its place in the list")
    node: Disclosure = inherits("The disclosure")


@strawberry.type(description="A page of disclosures (Relay cursor specification); the newest number is their count")
class DisclosureConnection:
    edges: list[DisclosureEdge] = inherits("The disclosures of this page")
    page_info: PageInfo = inherits("Where the page stands")
