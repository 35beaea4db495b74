"""What a query may cost, known before it runs: rows that it may read, list sizes multiplied along each path.

In: a plan; sizes of its lists as the request gives them. Out: a number, and the sizes of its key lists.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.engine import plan as p
from gateway.engine.values import Value

SECTION = 10  # a source's part counts as ten rows


def sizes(plan: p.Plan) -> tuple[tuple[Value, bool], ...]:
    """Values that decide how long lists are: (`first` of a page or key list, whether it is a key list)."""
    found: dict[tuple[Value, bool], None] = {}
    for field in p.walk(plan.fields):
        if isinstance(field, p.Connection):
            found[(field.page.first, False)] = None
        elif isinstance(field, p.Many) and field.rows.keys is not None:
            found[(field.rows.keys.usccs, True)] = None
    return tuple(found)


def cost(fields: tuple[p.Field, ...], size: Callable[[Value], int]) -> int:
    """Rows that the fields may read."""
    return sum(_cost(field, size) for field in fields)


def _cost(field: p.Field, size: Callable[[Value], int]) -> int:
    below = cost(p.children(field), size)
    match field:
        case p.Connection(page=page, items=items):
            total = any(isinstance(item, p.TotalCount) for item in items)
            return size(page.first) * (1 + below) + (10 if total else 0)
        case p.Many(rows=rows):
            return (size(rows.keys.usccs) if rows.keys is not None else rows.cost) * (1 + below)
        case p.One() | p.OneOf():
            return 1 + below
        case p.Section(parts=parts):
            return SECTION * len(parts)
        case _:
            return below
