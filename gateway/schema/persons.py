"""Natural persons: the number that identifies one, revealed."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.engine.changes import REVEALED, written
from gateway.resolvers import persons
from gateway.schema.fields import I, by_engine, of_change, related
from gateway.schema.subjects import Subject


@strawberry.input(description="Whose identity number is revealed, and why")
class RevealIdentityInput:
    subject: strawberry.ID = strawberry.field(description="The person's id")
    reason: str = strawberry.field(
        description="What it is needed for; kept with the disclosure, at most 500 characters"
    )


@strawberry.type(description="What revealIdentity has revealed")
class RevealIdentityPayload:
    identity_number: str = of_change(
        written(REVEALED), "The identity number; masked where a kept reply is repeated (Idempotency-Key)", I
    )
    subject: Subject = related(persons.revealed, "Whose it is", I)


def reveal(
    input: Annotated[RevealIdentityInput, strawberry.argument(description="Whose, and why")],
) -> RevealIdentityPayload:
    by_engine()
