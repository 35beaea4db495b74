"""Proves that a plain document is valid, in one walk; of any other it says nothing.

In: a contract schema and a parsed document. Out: True where no rule of GraphQL §5 can find anything in it. Plain is
what most clients send: one query or mutation without directives and named fragments, no response key twice in a
selection set. All rules at once walk such a document in milliseconds, since each is asked at each node (decision 0029).

Nothing is refused here. What is not proved, valid or not, is left to graphql-core (validation.py), which has the errors
and their words: a mistake on the careful side costs time and nothing else. A test compares the two on documents that
were valid and then changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    TypeNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    is_input_type,
    is_required_argument,
    type_from_ast,
)
from graphql.utilities import do_types_overlap, validate_input_literal

from gateway.engine.usages import may_stand

_TYPENAME: Final = "__typename"
_INTROSPECTION: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}
# The rule on the depth of introspection counts these inside of each other, and allows two.
_LISTS: Final = frozenset({"fields", "interfaces", "possibleTypes", "inputFields"})
_MOST_LISTS: Final = 2
_COMPOSITE: Final = (GraphQLObjectType, GraphQLInterfaceType, GraphQLUnionType)


def is_plainly_valid(schema: GraphQLSchema, document: DocumentNode) -> bool:
    """Whether the document is plain, and valid. Raises RecursionError where it is too deep."""
    if len(document.definitions) != 1:
        return False
    operation = document.definitions[0]
    if not isinstance(operation, OperationDefinitionNode) or operation.directives:
        return False
    if operation.operation is OperationType.QUERY:
        root = schema.query_type
    elif operation.operation is OperationType.MUTATION:
        root = schema.mutation_type
    else:
        return False
    if root is None:
        return False
    try:
        walk = _Walk(schema, operation)
        walk.selection_set(root, operation.selection_set, set())
    except _NotProvedError:
        return False
    return walk.used == walk.variables.keys()


class _NotProvedError(Exception):
    """Something that is not plain, or not valid."""


class _Walk:
    """One walk over one operation. `used`: names of the variables that were met in a place that takes them."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._lists = 0
        self.used: set[str] = set()
        self.variables: dict[str, tuple[Any, bool]] = {}  # the type, and whether there is a default that is not null
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            if definition.directives or name in self.variables:
                raise _NotProvedError
            kind = self._input_type(definition.type)
            default = definition.default_value
            if default is not None:
                self._literal(default, kind)
            self.variables[name] = (kind, default is not None and not isinstance(default, NullValueNode))

    def selection_set(self, parent: Any, node: SelectionSetNode, keys: set[str]) -> None:
        """`keys`: response keys of the set so far, those of inline fragments around it included."""
        if not node.selections:
            raise _NotProvedError
        for selection in node.selections:
            if selection.directives:
                raise _NotProvedError
            if isinstance(selection, FieldNode):
                key = (selection.alias or selection.name).value
                if key in keys:
                    raise _NotProvedError
                keys.add(key)
                self._field(parent, selection)
            elif isinstance(selection, InlineFragmentNode):
                self.selection_set(self._narrowed(parent, selection), selection.selection_set, keys)
            else:
                raise _NotProvedError

    def _narrowed(self, parent: Any, fragment: InlineFragmentNode) -> Any:
        condition = fragment.type_condition
        if condition is None:
            return parent
        narrowed = self._schema.get_type(condition.name.value)
        if not isinstance(narrowed, _COMPOSITE) or not do_types_overlap(self._schema, parent, narrowed):
            raise _NotProvedError
        return narrowed

    def _field(self, parent: Any, node: FieldNode) -> None:
        name = node.name.value
        if name == _TYPENAME:
            if node.arguments or node.selection_set is not None:
                raise _NotProvedError
            return
        if isinstance(parent, GraphQLUnionType):
            raise _NotProvedError
        field: GraphQLField | None = parent.fields.get(name)
        if field is None and parent is self._schema.query_type:
            field = _INTROSPECTION.get(name)
        if field is None:
            raise _NotProvedError
        if node.arguments or field.args:
            self._arguments(node.arguments or (), field)
        kind = get_named_type(field.type)
        if isinstance(kind, _COMPOSITE):
            if node.selection_set is None:
                raise _NotProvedError
            lists = name in _LISTS and parent.name.startswith("__")
            self._lists += lists
            if self._lists > _MOST_LISTS:
                raise _NotProvedError
            self.selection_set(kind, node.selection_set, set())
            self._lists -= lists
        elif node.selection_set is not None:
            raise _NotProvedError

    def _arguments(self, nodes: Sequence[ArgumentNode], field: GraphQLField) -> None:
        given: set[str] = set()
        for node in nodes:
            name = node.name.value
            argument = field.args.get(name)
            if argument is None or name in given:
                raise _NotProvedError
            given.add(name)
            self._value(node.value, argument)
        for name, argument in field.args.items():
            if name not in given and is_required_argument(argument):
                raise _NotProvedError

    def _value(self, value: ValueNode, place: GraphQLArgument | GraphQLInputField) -> None:
        """A value where `place` takes one."""
        if isinstance(value, VariableNode):
            self._variable(value, place.type, has_default=_has_default(place))
            return
        self._literal(value, place.type)
        self._inside(value, place.type)

    def _literal(self, value: ValueNode, kind: GraphQLInputType) -> None:
        """Variables inside are passed by: `_inside` sees them."""
        validate_input_literal(value, kind, _not_proved, None, None, True)

    def _inside(self, value: ValueNode, kind: Any) -> None:
        """The variables in a literal that is correct but for these."""
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        if isinstance(value, ListValueNode):
            item = kind.of_type if isinstance(kind, GraphQLList) else None
            for element in value.values:
                self._element(element, item)
        elif isinstance(value, ObjectValueNode):
            if not isinstance(kind, GraphQLInputObjectType) or kind.is_one_of:
                raise _NotProvedError
            given: set[str] = set()
            for node in value.fields:
                name = node.name.value
                if name in given or name not in kind.fields:
                    raise _NotProvedError
                given.add(name)
                self._value(node.value, kind.fields[name])

    def _element(self, value: ValueNode, kind: Any) -> None:
        if kind is None:
            raise _NotProvedError
        if isinstance(value, VariableNode):
            self._variable(value, kind, has_default=False)
        else:
            self._inside(value, kind)

    def _variable(self, node: VariableNode, kind: Any, *, has_default: bool) -> None:
        """GraphQL §5.8.5: all variable usages are allowed."""
        name = node.name.value
        found = self.variables.get(name)
        if found is None:
            raise _NotProvedError
        given, has_value = found
        if not may_stand(self._schema, given, kind, has_value=has_value, has_default=has_default):
            raise _NotProvedError
        self.used.add(name)

    def _input_type(self, node: TypeNode) -> Any:
        kind = type_from_ast(self._schema, node)
        if kind is None or not is_input_type(kind):
            raise _NotProvedError
        return kind


def _has_default(place: GraphQLArgument | GraphQLInputField) -> bool:
    return place.default is not None or place.default_value is not Undefined


def _not_proved(*_: object) -> None:
    raise _NotProvedError
