"""The root of mutations: what can be changed."""

from __future__ import annotations

import strawberry

from gateway.resolvers import consents, persons
from gateway.schema.consents import RecordConsentPayload, RevokeConsentPayload, record, revoke
from gateway.schema.fields import I, R, changes
from gateway.schema.persons import RevealIdentityPayload, reveal


@strawberry.type(description="Changes; each takes an Idempotency-Key, and all of one request are made or none")
class Mutation:
    record_consent: RecordConsentPayload = changes(
        consents.record,
        "Record that a subject consents to being asked about by the client's own organisation",
        R,
        arguments=record,
    )
    revoke_consent: RevokeConsentPayload = changes(
        consents.revoke,
        "Revoke a consent at once and for good, by its subject or by the organisation that it was given to",
        R,
        arguments=revoke,
    )
    reveal_identity: RevealIdentityPayload = changes(
        persons.reveal,
        "Reveal one person's identity number, where the matter allows it; who asked, and why, is disclosed with it",
        I,
        arguments=reveal,
    )
