"""Arguments and PageInfo of connections, by the Relay cursor specification."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.schema.fields import inherits

First = Annotated[
    int | None,
    strawberry.argument(
        description="How many at most, from 1 to 100, the first ones; the default holds only where last is not given"
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(description="Instead of first: how many at most, from 1 to 100, the last ones"),
]
After = Annotated[str | None, strawberry.argument(description="A cursor of this list: what follows it")]
Before = Annotated[str | None, strawberry.argument(description="A cursor of this list: what precedes it")]


@strawberry.type(description="Where a page stands in its list")
class PageInfo:
    has_next_page: bool = inherits(
        "Of a page of the first ones: whether more follow, up to before. Of the last ones: whether any follow before"
    )
    has_previous_page: bool = inherits(
        "Of a page of the last ones: whether more precede, down to after. Of the first ones: whether any precede after"
    )
    start_cursor: str | None = inherits("Cursor of the first; null on an empty page")
    end_cursor: str | None = inherits("Cursor of the last; null on an empty page, but of changes")
