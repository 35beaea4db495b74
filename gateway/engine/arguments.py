"""Arguments of a field as the plan sees them: literals, variables and defaults become values or structure.

In: a field's definition, its node, the coerced variables (for their shape alone). Out: Arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    ListValueNode,
    Node,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    value_from_ast,
)

from gateway.engine.values import Argument, Arguments, Constant, FromVariable, Known, ListOf, Places, Value
from gateway.errors import BadUserInput


def place_of(node: Node) -> Places:
    """Where a node stands in its document, as errors tell it."""
    token = node.loc.start_token if node.loc else None
    return ((token.line, token.column),) if token is not None else ()


def steers(type_: GraphQLInputType) -> bool:
    """Whether a value of this type is part of the plan (an order, a direction) and not a parameter of it."""
    return isinstance(type_, GraphQLEnumType) and bool(type_.extensions.get("steers"))


def read_arguments(field: GraphQLField, node: FieldNode, given: Mapping[str, Any]) -> Arguments:
    """The arguments of one field."""
    nodes = {argument.name.value: argument.value for argument in node.arguments or ()}
    found: dict[str, Argument] = {}
    defaults = set()
    for name, definition in field.args.items():
        value = _read(definition.type, nodes.get(name), given)
        if value is Undefined and definition.default_value is not Undefined:
            value = constant(definition.type, definition.default_value)
            defaults.add(name)
        if value is None and isinstance(definition.type, GraphQLNonNull):
            raise null_given(name, nodes[name])
        if value is not Undefined:
            found[name] = value
    return Arguments(found, frozenset(defaults))


def null_given(name: str, node: Node) -> BadUserInput:
    """The refusal of null where a value is required: a variable that has a default may stand there, and be null."""
    return BadUserInput(
        f"{name} must not be null; give a value, or leave the variable out",
        f"{name} 不能为 null，请给出取值或省略该变量",
        locations=place_of(node),
    )


def constant(type_: GraphQLInputType, value: Any, places: Places = ()) -> Argument:
    """A coerced value (a literal's, a default's) as structure and constants."""
    bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if value is None:
        return None
    if isinstance(bare, GraphQLInputObjectType) and isinstance(value, Mapping):
        return {name: constant(bare.fields[name].type, inner, places) for name, inner in value.items()}
    if steers(bare):
        return Known(value)
    if isinstance(bare, GraphQLList):
        return Value(Constant(tuple(value) if isinstance(value, list | tuple) else (value,)), places=places)
    return Value(Constant(value), places=places)


def _read(type_: GraphQLInputType, node: ValueNode | None, given: Mapping[str, Any]) -> Any:
    """Undefined where nothing is given."""
    bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if node is None:
        return Undefined
    if isinstance(node, VariableNode):
        name = node.name.value
        return variable(bare, FromVariable(name), given[name], place_of(node)) if name in given else Undefined
    if isinstance(node, NullValueNode):
        return None
    if isinstance(bare, GraphQLInputObjectType) and isinstance(node, ObjectValueNode):
        return _object(bare, node, given)
    if isinstance(bare, GraphQLList) and isinstance(node, ListValueNode) and _has_variables(node):
        return Value(
            ListOf(tuple(_item(bare.of_type, item, given) for item in node.values or ())), places=place_of(node)
        )
    return constant(bare, value_from_ast(node, bare), place_of(node))


def _object(bare: GraphQLInputObjectType, node: ObjectValueNode, given: Mapping[str, Any]) -> dict[str, Argument]:
    nodes = {field.name.value: field.value for field in node.fields or ()}
    found: dict[str, Argument] = {}
    for name, field in bare.fields.items():
        value = _read(field.type, nodes.get(name), given)
        if value is Undefined and field.default_value is not Undefined:
            value = constant(field.type, field.default_value)
        if value is None and isinstance(field.type, GraphQLNonNull):
            raise null_given(name, nodes[name])
        if value is not Undefined:
            found[name] = value
    return found


def _has_variables(node: ListValueNode) -> bool:
    return any(isinstance(item, VariableNode) for item in node.values or ())


def _item(type_: GraphQLInputType, node: ValueNode, given: Mapping[str, Any]) -> FromVariable | Constant:
    if isinstance(node, VariableNode):
        name = node.name.value
        if given.get(name) is None and isinstance(type_, GraphQLNonNull):
            raise null_given(f"${name}", node)
        return FromVariable(name) if name in given else Constant(None)
    return Constant(value_from_ast(node, type_))


def variable(type_: GraphQLInputType, origin: FromVariable, value: Any, places: Places = ()) -> Argument:
    """A variable's value: structure down to the leaves, whose values stay in the variable."""
    bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if value is None:
        return None
    if isinstance(bare, GraphQLInputObjectType):
        return {
            name: variable(bare.fields[name].type, FromVariable(origin.name, (*origin.path, name)), inner, places)
            for name, inner in value.items()
        }
    if steers(bare):
        return Known(value)
    if isinstance(get_named_type(bare), GraphQLInputObjectType):
        raise TypeError("lists of input objects are for mutations, which do not come here")
    return Value(origin, places=places)
