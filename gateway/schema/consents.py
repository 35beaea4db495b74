"""Consents: what allows a client to ask a bank about a subject."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.engine.changes import written
from gateway.resolvers import consents
from gateway.schema.enums import ConsentMethod, ConsentParty
from gateway.schema.fields import R, by_engine, column, inherits, of_change, related
from gateway.schema.paging import PageInfo
from gateway.schema.scalars import Date, DateTime, Uscc
from gateway.schema.subjects import Node, Subject


@strawberry.type(
    description="A subject's consent that an organisation asks a source about it; seen by the two of them alone"
)
class Consent(Node):
    id: strawberry.ID = column("node_id", "The same in every view; opaque", R)
    uscc: Uscc = column("uscc", "Whose consent it is", R)
    subject: Subject | None = related(consents.subject, "Whose consent it is; null where it is not on record here", R)
    grantee_uscc: Uscc = column("grantee_uscc", "The organisation that may ask under it", R)
    grantee: Subject | None = related(
        consents.grantee, "The organisation that may ask under it; null where it is not on record here", R, shown=False
    )
    matter: str = column("matter", "The matter for which alone it may ask", R)
    scope: list[str] = column("scope", 'What it may ask for: codes of codeList(name: "ConsentScope")', R)
    valid_from: Date = column("valid_from", "First day on which it holds", R)
    valid_to: Date = column("valid_to", "Last day on which it holds", R)
    method: ConsentMethod = column("method", "How it was given", R)
    document_sha256: str = column("document_sha256", "SHA-256 of the document, hexadecimal", R)
    recorded_at: DateTime = column("recorded_at", "When it was recorded", R)
    revoked_at: DateTime | None = column("revoked_at", "When it was revoked; null while it is not", R)
    revoked_by: ConsentParty | None = column("revoked_by", "By which side it was revoked", R)
    revocation_reason: str | None = column("revocation_reason", "Why, if the side that revoked it said so", R)


@strawberry.type(description="A consent in a list")
class ConsentEdge:
    cursor: str = inherits("Its place in the list")
    node: Consent = inherits("The consent")


@strawberry.type(description="A page of consents (Relay cursor specification)")
class ConsentConnection:
    edges: list[ConsentEdge] = inherits("The consents of this page")
    page_info: PageInfo = inherits("Where the page stands")
    total_count: int = inherits("How many there are on all pages")


@strawberry.input(description="A consent that was given to the client's own organisation")
class RecordConsentInput:
    uscc: Uscc = strawberry.field(description="Whose consent it is")
    grantee_uscc: Uscc = strawberry.field(description="The client's own organisation")
    matter: str = strawberry.field(description="The matter of this request")
    scope: list[str] = strawberry.field(description='What may be asked for: codes of codeList(name: "ConsentScope")')
    valid_from: Date = strawberry.field(description="First day on which it holds")
    valid_to: Date = strawberry.field(description="Last day on which it holds; at most 3 years after the first")
    document_sha256: str = strawberry.field(description="SHA-256 of the signed document, 64 hexadecimal digits")
    method: ConsentMethod = strawberry.field(description="How it was given")


@strawberry.input(description="Which consent is revoked")
class RevokeConsentInput:
    consent_id: strawberry.ID = strawberry.field(description="The consent's id")
    reason: str | None = strawberry.field(
        default=strawberry.UNSET, description="Why; the other side reads it. At most 500 characters"
    )


@strawberry.type(description="What recordConsent has recorded")
class RecordConsentPayload:
    consent_id: strawberry.ID = of_change(written("consent_id"), "The id to ask a bank under", R)
    consent: Consent = related(consents.changed, "The consent", R)


@strawberry.type(description="What revokeConsent has revoked")
class RevokeConsentPayload:
    consent: Consent = related(consents.changed, "The consent, revoked now or before", R)


def record(
    input: Annotated[RecordConsentInput, strawberry.argument(description="The consent")],
) -> RecordConsentPayload:
    by_engine()


def revoke(input: Annotated[RevokeConsentInput, strawberry.argument(description="Which one")]) -> RevokeConsentPayload:
    by_engine()
