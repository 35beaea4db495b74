"""Changes of records: as a list for who polls, one by one for who subscribes."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.resolvers import changes as change_rows
from gateway.resolvers import subjects
from gateway.schema.enums import Area, RecordChangeKind, WithdrawalCause
from gateway.schema.fields import P, by_engine, column, inherits, inline, place, related
from gateway.schema.paging import PageInfo
from gateway.schema.scalars import DateTime, Uscc
from gateway.schema.subjects import CreditRecord, Subject

Bookmark = Annotated[
    str | None,
    strawberry.argument(description="endCursor of the page before, or an event's cursor; without it, the oldest kept"),
]
Usccs = Annotated[list[Uscc] | None, strawberry.argument(description="Of these subjects alone, at most 1,000")]
Areas = Annotated[list[Area] | None, strawberry.argument(description="In these areas alone")]


@strawberry.type(description="What was changed of a record, as far as the view may know of it")
class RecordChange:
    cursor: str = place("position", "Its place: with it as after, the changes behind it", P)
    kind: RecordChangeKind = column("kind", "What it was to this view", P)
    cause: WithdrawalCause | None = column("cause", "Of one that is gone: why", P)
    at: DateTime = column("at", "When it became known here; of a term that begins or ends, its first moment", P)
    reason: str | None = column("reason", "Of a revoked publication: the reason in its notice", P)
    record_id: strawberry.ID = column("record_node_id", "The record's id", P)
    record: CreditRecord | None = related(
        change_rows.record, "The record as it is now; null where the change has taken it away", P, shown=False
    )
    subject: Subject = inline("subject_", "Whom it is about", P, otherwise=subjects.at("subject_id"))


@strawberry.type(description="A change in a list")
class RecordChangeEdge:
    cursor: str = inherits("Its place in the list")
    node: RecordChange = inherits("The change")


@strawberry.type(
    description="A page of changes, oldest first; endCursor is where to go on, also on a page that has nothing, which"
    " may have others behind it (hasNextPage)"
)
class RecordChangeConnection:
    edges: list[RecordChangeEdge] = inherits("The changes of this page")
    page_info: PageInfo = inherits("Where the page stands")


def _record_changed(
    usccs: Usccs = strawberry.UNSET,
    area: Annotated[Area | None, strawberry.argument(description="In this area alone")] = strawberry.UNSET,
    after: Annotated[
        str | None, strawberry.argument(description="A cursor of changes: what lies behind it first; else from now on")
    ] = strawberry.UNSET,
) -> RecordChange:
    by_engine()


@strawberry.type(
    description="What is told when it happens: over WebSocket (graphql-transport-ws) and as text/event-stream"
)
class Subscription:
    record_changed: RecordChange = related(
        change_rows.following,
        "A change of a record, one by one, as recordChanges lists them",
        P,
        arguments=_record_changed,
    )
