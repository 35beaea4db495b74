"""Where a document uses variables, found in one walk over the places that can have any.

In: a contract schema, an operation or a fragment. Out: the usages that graphql-core's rules on variables ask for, the
same in the same order (GraphQL §5.8): each with the type that its place takes. graphql-core finds them by its general
visitor, which looks at every name of the document for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    NamedTypeNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    Undefined,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_input_type,
    is_output_type,
    is_type_sub_type_of,
)
from graphql.validation.validation_context import VariableUsage


def usages_of(schema: GraphQLSchema, node: OperationDefinitionNode | FragmentDefinitionNode) -> list[VariableUsage]:
    """The usages in an operation or a fragment, those of the fragments that it spreads apart."""
    walk = _Walk(schema)
    if isinstance(node, OperationDefinitionNode):
        parent: Any = schema.get_root_type(node.operation)
    else:
        parent = walk.condition(node.type_condition)
    walk.directives(node.directives or ())
    walk.selection_set(node.selection_set, parent)
    return walk.found


def may_stand(schema: GraphQLSchema, given: Any, place: Any, *, has_value: bool, has_default: bool) -> bool:
    """Whether a variable of the type `given` may stand in a place of the type `place` (GraphQL §5.8.5). `has_value`: it
    has a default that is not null; `has_default`: the place has one."""
    if isinstance(place, GraphQLNonNull) and not isinstance(given, GraphQLNonNull):
        if not has_value and not has_default:
            return False
        place = place.of_type
    return given is place or is_type_sub_type_of(schema, given, place)


class _Walk:
    """One walk. Types are None where the document is wrong there: rules of their own say so."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.found: list[VariableUsage] = []

    def condition(self, node: NamedTypeNode) -> Any:
        """The type that a fragment stands on."""
        named = self._schema.get_type(node.name.value)
        return named if is_output_type(named) else None

    def selection_set(self, node: SelectionSetNode, parent: Any) -> None:
        """What is selected of a type."""
        if not is_composite_type(parent):
            parent = None
        for selection in node.selections:
            self._selection(selection, parent)

    def _selection(self, node: SelectionNode, parent: Any) -> None:
        if isinstance(node, FieldNode):
            field = None
            if parent is not None and (node.arguments or node.selection_set is not None):
                field = self._schema.get_field(parent, node.name.value)
            if node.arguments:
                self._arguments(node.arguments, field)
            if node.directives:
                self.directives(node.directives)
            if node.selection_set is not None:
                self.selection_set(node.selection_set, None if field is None else get_named_type(field.type))
            return
        if node.directives:
            self.directives(node.directives)
        if isinstance(node, InlineFragmentNode):
            narrowed = node.type_condition
            self.selection_set(node.selection_set, parent if narrowed is None else self.condition(narrowed))

    def directives(self, nodes: Iterable[DirectiveNode]) -> None:
        """What directives are given."""
        for node in nodes:
            if node.arguments:
                self._arguments(node.arguments, self._schema.get_directive(node.name.value))

    def _arguments(self, nodes: Iterable[ArgumentNode], taker: Any) -> None:
        for node in nodes:
            place: GraphQLArgument | None = None if taker is None else taker.args.get(node.name.value)
            self._value(node.value, None if place is None else place.type, None, _default(place))

    def _value(self, node: Any, kind: Any, around: Any, default: Any) -> None:
        """`around`: the type of the list's or the object's own place; `default`: of the place."""
        if isinstance(node, VariableNode):
            self.found.append(VariableUsage(node, kind, around, default, None))
        elif isinstance(node, ListValueNode):
            of = None if kind is None else get_nullable_type(kind)
            item = of.of_type if isinstance(of, GraphQLList) else None
            for value in node.values:
                self._value(value, item, kind, Undefined)
        elif isinstance(node, ObjectValueNode):
            named = None if kind is None else get_named_type(kind)
            fields = named.fields if isinstance(named, GraphQLInputObjectType) else {}
            for each in node.fields:
                place = fields.get(each.name.value)
                taken = place.type if place is not None and is_input_type(place.type) else None
                self._value(each.value, taken, kind, _default(place))


def _default(place: GraphQLArgument | GraphQLInputField | None) -> Any:
    if place is None:
        return Undefined
    return place.default_value if place.default is None else place.default
