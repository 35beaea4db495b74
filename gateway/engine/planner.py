"""From a validated operation to its plan: the operation is walked once.

In: an operation, the contract schema with its bindings, the shape of the variables. Out: a frozen Plan. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
)

from gateway.engine import bindings as b
from gateway.engine import plan as p
from gateway.engine.arguments import read_arguments
from gateway.engine.selection import Document, collect, names_types
from gateway.engine.values import Fed, Value
from gateway.errors import QueryTooCostly, ValidationFailed
from gateway.storage.catalogue import RELATIONS
from gateway.storage.source_functions import SOURCE_FUNCTIONS, columns_of

# A selection that differs by type is planned for each type, those below it as well: a document's fields mean many more.
MOST_PLANNED = 4_000


class Planner:
    """Plans one operation. `given` has, for each variable, its coerced value or nothing; only its shape is read."""

    def __init__(self, document: Document, given: Mapping[str, Any]) -> None:
        self._document = document
        self._given = given
        self._feeds: dict[tuple[str, Value | None], str] = {}
        self._planned = 0
        self._once: dict[tuple[object, ...], p.Field] = {}
        self._related_once: dict[tuple[object, ...], tuple[p.Field, int]] = {}

    @property
    def _schema(self) -> GraphQLSchema:
        return self._document.schema

    def plan(self, operation: OperationDefinitionNode) -> p.Plan:
        """The plan of a query, or of what a subscription answers with."""
        subscribes = operation.operation is OperationType.SUBSCRIPTION
        root = self._schema.subscription_type if subscribes else self._schema.query_type
        assert root is not None
        fields: list[p.Field] = []
        introspection: list[str] = []
        for key, nodes in collect(self._document, root, [operation.selection_set]).items():
            if _of_schema(root, nodes[0].name.value):
                introspection.append(key)
                fields.append(p.Given(key, Value(Fed(f"introspection:{key}")), "json", null=True))
            else:
                fields.append(self._field(root, key, nodes, _Place("", "")))
        name = operation.name.value if operation.name else None
        return p.Plan(name, tuple(fields), tuple(introspection), tuple(self._feeds.values()))

    def payload(self, key: str, nodes: list[FieldNode]) -> p.Plan:
        """The plan of what one field of a mutation answers."""
        root = self._schema.mutation_type
        assert root is not None
        field = self._field(root, key, nodes, _Place("", ""))
        return p.Plan(None, (field,), (), tuple(self._feeds.values()))

    # One field -------------------------------------------------------------------------------------------------------

    def _field(
        self, parent: GraphQLObjectType | GraphQLInterfaceType, key: str, nodes: list[FieldNode], place: _Place
    ) -> p.Field:
        name = nodes[0].name.value
        self._count()
        if name == "__typename":
            if place.discriminator is not None and isinstance(parent, GraphQLInterfaceType):
                return p.TypeNameOf(key, place.column(place.discriminator.column), place.discriminator.types)
            return p.TypeName(key, parent.name)
        field = parent.fields[name]
        binding: b.Binding = field.extensions["binding"]
        named = get_named_type(field.type)
        match binding:
            case b.Column(column):
                return p.Leaf(key, place.column(column))
            case b.Place(column):
                return p.Place(key, place.column(column))
            case b.FromRequest(value, kind, null):
                return p.Given(key, value, kind, null)
            case b.Empty() | b.Changes():
                return p.Same(key, self._body(named, nodes, place))
            case b.Whole():
                return p.Whole(key, self._body(named, nodes, place))
            case b.OfSchema():
                raise TypeError(f"{name} stands at the root alone")
            case b.Inline():
                return self._inline(binding, field, named, key, nodes, place)
            case b.Related(resolve, shown):
                return self._related(resolve, shown, field, named, key, nodes)
            case b.Section():
                return self._section(binding, field, named, key, nodes)
            case b.Passed():
                return self._passed(binding, named, key, nodes, place)
            case b.SectionAnswer():
                return p.SectionAnswer(key, self._fields(named, nodes, _Place("", place.relation)))
            case b.Part(function):
                if place.functions is not None:
                    if function not in place.functions:
                        return p.EmptyList(key)
                    function = place.functions[function]
                return p.PartRows(key, function, self._body(named, nodes, _Place("", function)))

    def _fields(self, named: GraphQLNamedType, nodes: list[FieldNode], place: _Place) -> tuple[p.Field, ...]:
        assert isinstance(named, GraphQLObjectType | GraphQLInterfaceType)
        collected = collect(self._document, named, _sets(nodes))
        return tuple(self._field(named, key, inner, place) for key, inner in collected.items())

    def _body(self, named: GraphQLNamedType, nodes: list[FieldNode], place: _Place) -> p.Body:
        """The fields of an object or, where an interface's types differ, of each of its types."""
        if not isinstance(named, GraphQLInterfaceType):
            return p.Body((p.Variant(None, self._fields(named, nodes, place)),))
        discriminator: b.Discriminator = named.extensions["discriminator"]
        place = _Place(place.prefix, place.relation, discriminator)
        if not names_types(self._document, _sets(nodes)):
            return p.Body((p.Variant(None, self._fields(named, nodes, place)),))
        by_fields: dict[tuple[p.Field, ...], list[str]] = {}
        for value, type_name in discriminator.types:
            fields = self._fields_of_type(self._schema.type_map[type_name], nodes, place)
            by_fields.setdefault(fields, []).append(value)
        variants = tuple(p.Variant(tuple(values), fields) for fields, values in by_fields.items())
        return p.Body(variants, place.column(discriminator.column))

    def _fields_of_type(self, named: GraphQLNamedType, nodes: list[FieldNode], place: _Place) -> tuple[p.Field, ...]:
        """The fields of one of an interface's types. What several types have from the same nodes is planned once:
        levels inside of each other would be as many plans as types, to the power of the levels."""
        assert isinstance(named, GraphQLObjectType)
        fields = []
        for key, inner in collect(self._document, named, _sets(nodes)).items():
            name = inner[0].name.value
            definition = named.fields.get(name)  # none of __typename
            if definition is None:
                fields.append(self._field(named, key, inner, place))
                continue
            known = (key, definition.extensions["binding"], str(definition.type), place, *map(id, inner))
            if known not in self._once:
                self._once[known] = self._field(named, key, inner, place)
            else:
                self._count()
            fields.append(self._once[known])
        return tuple(fields)

    def _count(self, fields: int = 1) -> None:
        self._planned += fields
        if self._planned > MOST_PLANNED:
            raise _too_many()

    # Objects and lists -----------------------------------------------------------------------------------------------

    def _inline(
        self,
        binding: b.Inline,
        field: GraphQLField,
        named: GraphQLNamedType,
        key: str,
        nodes: list[FieldNode],
        at: _Place,
    ) -> p.Field:
        place = _Place(at.prefix + binding.prefix, at.relation)
        if binding.otherwise is not None and not self._stands_in_row(named, nodes, place):
            if at.relation in SOURCE_FUNCTIONS:
                raise _identity_alone(key)
            return self._related(binding.otherwise, binding.shown, field, named, key, nodes)
        presence = None if binding.presence is None else at.column(binding.presence)
        body = self._body(named, nodes, place)
        return p.Same(key, body, presence, place.prefix if _is_reference(body, place, presence) else "")

    def _stands_in_row(self, named: GraphQLNamedType, nodes: list[FieldNode], place: _Place) -> bool:
        """Whether all that is selected of an inlined object are columns of the row at hand."""
        assert isinstance(named, GraphQLObjectType)
        names = {column.name for column in columns_of(place.relation)}
        for inner in collect(self._document, named, _sets(nodes)).values():
            name = inner[0].name.value
            if name == "__typename":
                continue
            binding = named.fields[name].extensions["binding"]
            if isinstance(binding, b.Column):
                if place.column(binding.name) not in names:
                    return False
            elif isinstance(binding, b.Inline):
                if binding.presence is None or place.column(binding.presence) not in names:
                    return False
            else:
                return False
        return True

    def _related(
        self,
        resolve: b.Resolve,
        shown: bool,
        field: GraphQLField,
        named: GraphQLNamedType,
        key: str,
        nodes: list[FieldNode],
    ) -> p.Field:
        """Rows that a resolver says, wherever the field stands: of a fragment in several places it is planned once."""
        known = (key, id(field), *map(id, nodes))
        if known in self._related_once:
            made, fields = self._related_once[known]
            self._count(fields)
            return made
        before = self._planned
        made = self._rows(resolve, shown, field, named, key, nodes)
        self._related_once[known] = (made, self._planned - before)
        return made

    def _rows(
        self,
        resolve: b.Resolve,
        shown: bool,
        field: GraphQLField,
        named: GraphQLNamedType,
        key: str,
        nodes: list[FieldNode],
    ) -> p.Field:
        rows = resolve(read_arguments(field, nodes[0], self._given))
        if isinstance(rows, b.Choice):
            return p.OneOf(
                key,
                tuple(
                    p.One(key, own, self._body(self._schema.type_map[name], nodes, _Place("", own.relation)), shown)
                    for name, own in rows.alternatives
                    if name in self._schema.type_map
                ),
            )
        if rows.page is not None:
            return self._connection(rows, rows.page, shown, named, key, nodes)
        if isinstance(named, GraphQLUnionType):
            (named,) = named.types  # _Entity: a contract has one kind of entity
        body = self._body(named, nodes, _Place("", rows.relation))
        is_list = _is_list(field)
        return p.Many(key, rows, body, shown) if is_list else p.One(key, rows, body, shown)

    def _connection(
        self, rows: b.Rows, page: b.Page, shown: bool, named: GraphQLNamedType, key: str, nodes: list[FieldNode]
    ) -> p.Connection:
        assert isinstance(named, GraphQLObjectType)
        items: list[p.ConnectionItem] = []
        for own, inner in collect(self._document, named, _sets(nodes)).items():
            match inner[0].name.value:
                case "__typename":
                    items.append(p.TypeName(own, named.name))
                case "totalCount":
                    items.append(p.TotalCount(own))
                case "totalCountExact":
                    items.append(p.TotalIsExact(own))
                case "pageInfo":
                    collected = collect(self._document, _object(named, "pageInfo"), _sets(inner))
                    items.append(p.PageInfo(own, tuple((k, n[0].name.value) for k, n in collected.items())))
                case "edges":
                    items.append(self._edges(own, _object(named, "edges"), inner, rows))
        return p.Connection(key, rows, page, tuple(items), shown)

    def _edges(self, key: str, edge: GraphQLObjectType, nodes: list[FieldNode], rows: b.Rows) -> p.Edges:
        items: list[p.EdgeItem] = []
        for own, inner in collect(self._document, edge, _sets(nodes)).items():
            match inner[0].name.value:
                case "__typename":
                    items.append(p.TypeName(own, edge.name))
                case "cursor":
                    items.append(p.Cursor(own))
                case "node":
                    node_type = get_named_type(edge.fields["node"].type)
                    items.append(p.EdgeNode(own, self._body(node_type, inner, _Place("", rows.relation))))
        return p.Edges(key, tuple(items))

    # Sources ---------------------------------------------------------------------------------------------------------

    def _section(
        self, binding: b.Section, field: GraphQLField, named: GraphQLNamedType, key: str, nodes: list[FieldNode]
    ) -> p.Section:
        consent = read_arguments(field, nodes[0], self._given).value(binding.consent) if binding.consent else None
        if consent is not None:
            consent = consent.typed("uuid", binding.consent_id)
        # One consent is one feed: what is asked under it is not what is asked under another.
        name = binding.source if consent is None else f"{binding.source}:{len(self._feeds)}"
        feed = self._feeds.setdefault((binding.source, consent), name)
        fields = self._fields(named, nodes, _Place("", binding.answer))
        parts = tuple(
            dict.fromkeys(SOURCE_FUNCTIONS[f.function].part for f in p.walk(fields) if isinstance(f, p.PartRows))
        )
        return p.Section(
            key, binding.source, feed, binding.answer, parts or (binding.basic,), fields, binding.several, consent
        )

    def _passed(
        self, binding: b.Passed, named: GraphQLNamedType, key: str, nodes: list[FieldNode], at: _Place
    ) -> p.Passed:
        functions = dict(binding.functions)
        fields = self._fields(named, nodes, _Place("", binding.answer, functions=functions))
        answer = binding.unasked if any(isinstance(f, p.EmptyList) for f in fields) else binding.answer
        return p.Passed(key, answer, at.column(binding.presence), fields)


class _Place:
    """Where fields are read: relation, prefix of an inlined object, discriminator, and the functions that stand for
    those which the lists of a section name."""

    __slots__ = ("discriminator", "functions", "prefix", "relation")

    def __init__(
        self,
        prefix: str,
        relation: str,
        discriminator: b.Discriminator | None = None,
        functions: Mapping[str, str] | None = None,
    ) -> None:
        self.prefix = prefix
        self.relation = relation
        self.discriminator = discriminator
        self.functions = functions

    def column(self, name: str) -> str:
        """The full name of a column in the row at hand."""
        return self.prefix + name


def _is_reference(body: p.Body, place: _Place, presence: str | None) -> bool:
    """Whether an inlined object is one of few, and nothing is asked of it but what seldom changes."""
    relation = RELATIONS.get(place.relation)
    reference = relation.references.get(place.prefix) if relation is not None else None
    return reference is not None and all(
        column.removeprefix(place.prefix) in reference.columns for column in _columns(p.Same("", body, presence))
    )


def _columns(field: p.Field) -> Iterator[str]:
    """The columns that a field reads of the row at hand; an empty name of what is no column."""
    match field:
        case p.Leaf(column=column):
            yield column
        case p.TypeName():
            pass
        case p.Same(body=body, presence=presence):
            if presence is not None:
                yield presence
            for inner in p.children(field):
                yield from _columns(inner)
            if body.discriminator:
                yield body.discriminator
        case _:
            yield ""


def _of_schema(root: GraphQLObjectType, name: str) -> bool:
    """Whether a root field asks for the contract itself: introspection, or the SDL of a subgraph."""
    if name.startswith("__"):
        return name != "__typename"
    return isinstance(root.fields[name].extensions["binding"], b.OfSchema)


def _identity_alone(key: str) -> ValidationFailed:
    return ValidationFailed(
        f"{key} of a record that a source gave has its identity alone; ask for the rest by its code at the root",
        f"来源答复的记录中，{key} 仅有身份信息，其余内容请在根字段按代码查询",
    )


def _too_many() -> QueryTooCostly:
    return QueryTooCostly(
        f"with the fields of each type of record the query has more than {MOST_PLANNED}; ask in several requests",
        f"按记录类型展开后查询超过 {MOST_PLANNED} 个字段，请分多次查询",
    )


def _sets(nodes: list[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set is not None]


def _object(parent: GraphQLObjectType, name: str) -> GraphQLObjectType:
    named = get_named_type(parent.fields[name].type)
    assert isinstance(named, GraphQLObjectType)
    return named


def _is_list(field: GraphQLField) -> bool:
    return "[" in str(field.type)
