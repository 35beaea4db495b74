"""What a query may cost, known before it runs: rows that it may read, list sizes multiplied along each path.

In: a plan; sizes of its lists as the request gives them. Out: a number, and the sizes of its key lists.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.engine import plan as p
from gateway.engine.bindings import WINDOW
from gateway.engine.search import COUNTED
from gateway.engine.values import Value
from gateway.errors import QueryTooCostly
from gateway.limits import CEILINGS

SECTION = 10  # a source's part counts as ten rows
FEED = WINDOW // 40  # a page of a feed: so many places that it passes over take as long as a row that it shows
LEAVES = 16  # so many values of a row count as one row more: each is copied for each row
MOST_ROOT_FIELDS = CEILINGS["root_fields"]
MOST_RELATIONS = 80  # PostgreSQL's planning grows faster than their number
MOST_INTROSPECTION = 2  # root fields that graphql-core answers


def check_shape(plan: p.Plan) -> None:
    """Bounds of what a plan makes PostgreSQL plan, whatever the sizes of its lists. Raises QueryTooCostly."""
    relations = sum(isinstance(field, p.One | p.Many | p.Connection | p.PartRows) for field in p.walk(plan.fields))
    for count, most, what, zh in (
        (len(plan.fields), MOST_ROOT_FIELDS, "root fields", "根字段"),
        (relations, MOST_RELATIONS, "relations", "关联"),
        (len(plan.introspection), MOST_INTROSPECTION, "introspection fields", "内省字段"),
    ):
        if count > most:
            raise QueryTooCostly(
                f"the query has {count} {what}, {most} are allowed; ask in several requests",
                f"查询包含 {count} 个{zh}，上限为 {most} 个，请分多次查询",
            )


def subjects(plan: p.Plan) -> int:
    """How many subjects are asked for by a single code each."""
    return sum(isinstance(field, p.One) and field.rows.keys is not None for field in plan.fields)


def sizes(plan: p.Plan) -> tuple[tuple[Value, bool], ...]:
    """Values that decide how long lists are: (size of a page or key list, whether it is a key list)."""
    found: list[tuple[Value, bool]] = []  # a list asked for twice counts twice
    for field in p.walk(plan.fields):
        if isinstance(field, p.Connection):
            found.append((field.page.size, False))
        elif isinstance(field, p.Many) and field.rows.keys is not None:
            found.append((field.rows.keys.usccs, True))
    return tuple(found)


def cost(fields: tuple[p.Field, ...], size: Callable[[Value], int]) -> int:
    """Rows that the fields may read."""
    return sum(_cost(field, size) for field in fields)


def _cost(field: p.Field, size: Callable[[Value], int]) -> int:
    children = p.children(field)
    below = cost(children, size) + sum(isinstance(child, p.Leaf) for child in children) // LEAVES
    match field:
        case p.Connection(page=page, items=items):
            total = any(isinstance(item, p.TotalCount | p.TotalIsExact) for item in items)
            counted = COUNTED if field.rows.search is not None else 10
            passed = FEED if page.sealed is not None else 0
            return size(page.size) * (1 + below) + (counted if total else 0) + passed
        case p.Many(rows=rows):
            return (size(rows.keys.usccs) if rows.keys is not None else rows.cost) * (1 + below)
        case p.One() | p.OneOf():
            return 1 + below
        case p.Section(parts=parts):
            return SECTION * len(parts)
        case _:
            return below
