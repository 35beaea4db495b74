"""What a query may cost, known before it runs: rows that it may read, list sizes multiplied along each path.

In: a plan; sizes of its lists as the request gives them. Out: a number, and the sizes of its key lists; how much of it
is for what reads all records there are, and how many requests that counts as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.engine import plan as p
from gateway.engine.bindings import WINDOW
from gateway.engine.search import COUNTED
from gateway.engine.values import Value
from gateway.errors import QueryTooCostly
from gateway.limits import CEILINGS
from gateway.storage.catalogue import RELATIONS

SECTION = 10  # a source's part counts as ten rows
FEED = WINDOW // 40  # a page of a feed: so many places that it passes over take as long as a row that it shows
EVERY = 1_000  # the total of all records: an index is read to its end
SOUGHT = 100  # a page of them with a filter: so is it where the filter leaves nearly nothing, which is rare
REQUEST = 50  # so many of these units count as one request more (web/throttle.py)
LEAVES = 16  # so many values of a row count as one row more: each is copied for each row
NAME = 32  # so many characters of a value's name count as a value: it is written in each row
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


def scanned(plan: p.Plan) -> int:
    """Units for what may read all records."""
    return sum(_scanned(field) for field in p.walk(plan.fields) if isinstance(field, p.Connection))


def lists_all(plan: p.Plan) -> bool:
    """Whether a list of all records is asked for: behind a cursor, a day or a filter may be nothing that is shown."""
    return any(isinstance(field, p.Connection) and _of_all(field) for field in p.walk(plan.fields))


def counts_all(plan: p.Plan) -> bool:
    """Whether a total of all records is asked for, which certainly reads them."""
    return any(isinstance(field, p.Connection) and _of_all(field) and _counts(field) for field in p.walk(plan.fields))


def _of_all(field: p.Connection) -> bool:
    """Whether its rows are those of all subjects: nothing but their order and its filters bounds them."""
    return RELATIONS[field.rows.relation].by_key and bool(field.rows.order) and not field.rows.match


def _counts(field: p.Connection) -> bool:
    return any(isinstance(item, p.TotalCount | p.TotalIsExact) for item in field.items)


def _scanned(field: p.Connection) -> int:
    if not _of_all(field):
        return 0
    # Days bound the index of their own order, everything else is looked at row by row.
    sought = any(condition.column != field.page.order_column for condition in field.rows.where)
    return (EVERY if _counts(field) else 0) + (SOUGHT if sought else 0)


def _cost(field: p.Field, size: Callable[[Value], int]) -> int:
    children = p.children(field)
    below = cost(children, size) + _written(field, children) // LEAVES
    match field:
        case p.Connection(page=page):
            counted = COUNTED if field.rows.search is not None else 10
            total = counted if _counts(field) and not _of_all(field) else 0
            passed = FEED if page.sealed is not None else 0
            return size(page.size) * (1 + below) + total + passed + _scanned(field)
        case p.Many(rows=rows):
            return (size(rows.keys.usccs) if rows.keys is not None else rows.cost) * (1 + below)
        case p.One() | p.OneOf():
            return 1 + below
        case p.Section(parts=parts, fields=fields):
            return SECTION * len(parts) * (1 + _names(p.walk(fields)) // LEAVES)
        case _:
            return below


def _written(field: p.Field, children: tuple[p.Field, ...]) -> int:
    """What is written in each row, in values: what a document needs no alias for, as `__typename`, is not counted."""
    edges = [edge for edge in field.items if isinstance(edge, p.Edges)] if isinstance(field, p.Connection) else []
    items = [item for edge in edges for item in edge.items]
    values = sum(isinstance(child, p.Leaf) or _again(child) for child in children) + sum(map(_again, items))
    return values + _names((*children, *items))


def _names(written: Iterable[p.Field | p.EdgeItem]) -> int:
    """What names that are longer than most are as so many values."""
    return sum(len(field.key) // NAME for field in written)


def _again(field: p.Field | p.EdgeItem) -> bool:
    """Whether it is what a row says once, under a name of the asker's own."""
    own = {p.TypeName: "__typename", p.TypeNameOf: "__typename", p.Cursor: "cursor"}.get(type(field))
    return own is not None and field.key != own
