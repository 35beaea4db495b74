"""PageInfo, by the Relay cursor specification."""

from __future__ import annotations

import strawberry

from gateway.schema.fields import inherits


@strawberry.type(description="Where a page stands in its list")
class PageInfo:
    has_next_page: bool = inherits("Whether more follow")
    has_previous_page: bool = inherits("Whether some precede")
    start_cursor: str | None = inherits("Cursor of the first; null on an empty page")
    end_cursor: str | None = inherits("Cursor of the last; null on an empty page")
