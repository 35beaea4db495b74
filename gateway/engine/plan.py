"""The plan: frozen data between the document and the SQL.

In: made by the planner. Out: read by sql.py (a pure function of it), by execute.py (sources, cost) and by `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from gateway.engine.bindings import Page, Rows
from gateway.engine.values import Value


@dataclass(frozen=True, slots=True)
class Leaf:
    """`key`: a column of the row at hand (full name, prefix included)."""

    key: str
    column: str


@dataclass(frozen=True, slots=True)
class Place:
    """`key`: the cursor of the row at hand, a change."""

    key: str
    column: str


@dataclass(frozen=True, slots=True)
class TypeName:
    """`key`: __typename where it is known."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class TypeNameOf:
    """`key`: __typename by a column's value."""

    key: str
    column: str
    types: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Given:
    """`key`: a value of the request, as a parameter. `kind` as in the catalogue; `json` is pasted."""

    key: str
    value: Value
    kind: str
    null: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """The fields for some values of the discriminator; `values` None: for every row."""

    values: tuple[str, ...] | None
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """An object's fields, by type where an interface's types differ."""

    variants: tuple[Variant, ...]
    discriminator: str = ""

    def __hash__(self) -> int:
        # Of the outside alone: a plan is compared with others at each level, and whole trees take long to hash. Equal
        # ones are told by comparing them, which ends early where they share what lies below.
        return hash((self.discriminator, *[(variant.values, len(variant.fields)) for variant in self.variants]))


@dataclass(frozen=True, slots=True)
class Same:
    """`key`: an object out of the row at hand; null where column `presence` is null.

    `reference`: the prefix under which it stands there, where it may be filled in from outside of the row."""

    key: str
    body: Body
    presence: str | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """`key`: an object out of the keyed row at hand; null as that row's own object would be."""

    key: str
    body: Body


@dataclass(frozen=True, slots=True)
class One:
    """`key`: one row, or null. `shown`: its subject counts as disclosed."""

    key: str
    rows: Rows
    body: Body
    shown: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """`key`: the first of several that has a row, or null."""

    key: str
    alternatives: tuple[One, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """`key`: a list of rows (null for a key without row where the view has it so)."""

    key: str
    rows: Rows
    body: Body
    shown: bool


@dataclass(frozen=True, slots=True)
class Edges:
    """`key`: the edges of a connection; `items` are Cursor, TypeName and One-less node bodies in order."""

    key: str
    items: tuple[EdgeItem, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """`key`: an edge's cursor."""

    key: str


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """`key`: an edge's node."""

    key: str
    body: Body


@dataclass(frozen=True, slots=True)
class PageInfo:
    """`key`: page information; `items` are (key, name) with name of the four fields or __typename."""

    key: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TotalCount:
    """`key`: how many rows the conditions have, pages apart."""

    key: str


EdgeItem: TypeAlias = Cursor | EdgeNode | TypeName


@dataclass(frozen=True, slots=True)
class TotalIsExact:
    """`key`: whether the total is no more than a search counts."""

    key: str


ConnectionItem: TypeAlias = Edges | PageInfo | TotalCount | TotalIsExact | TypeName


@dataclass(frozen=True, slots=True)
class Connection:
    """`key`: a connection (Relay cursor specification)."""

    key: str
    rows: Rows
    page: Page
    items: tuple[ConnectionItem, ...]
    shown: bool


@dataclass(frozen=True, slots=True)
class EmptyList:
    """`key`: a list that nobody was asked for; the answer beside it says so."""

    key: str


@dataclass(frozen=True, slots=True)
class SectionAnswer:
    """`key`: status, time, reason of a section's answer, and its source."""

    key: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class PartRows:
    """`key`: rows of one function of the catalogue out of the answers."""

    key: str
    function: str
    body: Body


@dataclass(frozen=True, slots=True)
class Section:
    """`key`: a source's section of the subject at hand; `parts` are what its fields make necessary to ask.

    `feed` names the answers that it reads: sections of one source share them, unless they stand under different
    consents. `several`: a list, an object for each source of that kind.
    """

    key: str
    source: str
    feed: str
    answer: str
    parts: tuple[str, ...]
    fields: tuple[Field, ...]
    several: bool = False
    consent: Value | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """`key`: what the source of the section at hand passed on of another; null where column `presence` is null."""

    key: str
    answer: str
    presence: str
    fields: tuple[Field, ...]


Field: TypeAlias = (
    Leaf
    | Place
    | TypeName
    | TypeNameOf
    | Given
    | Same
    | Whole
    | One
    | OneOf
    | Many
    | Connection
    | Section
    | Passed
    | SectionAnswer
    | PartRows
    | EmptyList
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One operation in one contract, for one shape of its variables."""

    operation: str | None
    fields: tuple[Field, ...]
    introspection: tuple[str, ...]  # response keys that graphql-core answers
    sources: tuple[str, ...]  # feeds of the sections that stand somewhere in it


def children(field: Field) -> tuple[Field, ...]:
    """The fields directly below a field, whatever it is."""
    match field:
        case Same(body=body) | Whole(body=body) | One(body=body) | Many(body=body) | PartRows(body=body):
            return _fields(body)
        case OneOf(alternatives=alternatives):
            return alternatives
        case Connection(items=items):
            return tuple(
                f
                for edges in items
                if isinstance(edges, Edges)
                for node in edges.items
                if isinstance(node, EdgeNode)
                for f in _fields(node.body)
            )
        case Section(fields=fields) | SectionAnswer(fields=fields) | Passed(fields=fields):
            return fields
        case _:
            return ()


def _fields(body: Body) -> tuple[Field, ...]:
    return tuple(f for variant in body.variants for f in variant.fields)


def values(plan: Plan) -> tuple[Value, ...]:
    """Every value of the plan's conditions, whether a statement needs it or not (a count needs no cursor)."""
    return tuple(value for field in walk(plan.fields) for value in _of_field(field))


def _of_field(field: Field) -> Iterator[Value]:
    if isinstance(field, One | Many | Connection):
        yield from _of_rows(field.rows)
        if isinstance(field, Connection):
            yield from (*(field.page.after or ()), *(field.page.before or ()))
            if field.page.sealed is not None:
                yield field.page.sealed
    elif isinstance(field, Section) and field.consent is not None:
        yield field.consent


def _of_rows(rows: Rows) -> Iterator[Value]:
    for condition in rows.where:
        yield from condition.values
    if rows.search is not None:
        yield from rows.search.values
    if rows.following is not None and rows.following.behind is not None:
        yield rows.following.behind


def walk(fields: tuple[Field, ...]) -> Iterator[Field]:
    """Every field, parents first."""
    for field in fields:
        yield field
        yield from walk(children(field))
