"""Which fields a selection has for one concrete type: fragments, directives and merging as the specification says.

In: selection sets of a validated document. Out: response key → field nodes, in order. Linear: a fragment is spread once
for each selection set, however often it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
)
from graphql.language import BooleanValueNode, DirectiveNode, VariableNode

from gateway.engine.arguments import null_given
from gateway.engine.values import Variables


@dataclass(frozen=True, slots=True)
class Document:
    """What collecting needs: the contract schema, the fragments and the variables that stand under @skip/@include."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    conditions: Variables


def included(directives: Iterable[DirectiveNode] | None, conditions: Variables) -> bool:
    """Whether @skip and @include let a selection in."""
    for directive in directives or ():
        name = directive.name.value
        if name not in ("skip", "include"):
            continue
        node = (directive.arguments or ())[0].value
        if isinstance(node, VariableNode):
            value = conditions[node.name.value]
            if value is None:
                raise null_given(f"${node.name.value}", node)
        else:
            value = isinstance(node, BooleanValueNode) and node.value
        if value == (name == "skip"):
            return False
    return True


def collect(
    document: Document, object_type: GraphQLObjectType | GraphQLInterfaceType, sets: Iterable[SelectionSetNode]
) -> dict[str, list[FieldNode]]:
    """CollectFields of the specification, over several selection sets that merge into one object."""
    grouped: dict[str, list[FieldNode]] = {}
    visited: set[str] = set()
    stack = [iter(s.selections) for s in sets]
    stack.reverse()
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            continue
        if not included(node.directives, document.conditions):
            continue
        match node:
            case FieldNode():
                key = node.alias.value if node.alias else node.name.value
                grouped.setdefault(key, []).append(node)
            case InlineFragmentNode():
                condition = node.type_condition
                if condition is None or _applies(document.schema, condition.name.value, object_type):
                    stack.append(iter(node.selection_set.selections))
            case FragmentSpreadNode():
                name = node.name.value
                if name in visited:
                    continue
                visited.add(name)
                fragment = document.fragments[name]
                if _applies(document.schema, fragment.type_condition.name.value, object_type):
                    stack.append(iter(fragment.selection_set.selections))
    return grouped


def _applies(schema: GraphQLSchema, condition: str, object_type: GraphQLObjectType | GraphQLInterfaceType) -> bool:
    if condition == object_type.name:
        return True
    named = schema.type_map.get(condition)
    if isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
        if isinstance(object_type, GraphQLInterfaceType):
            return named in object_type.interfaces
        return schema.is_sub_type(named, object_type)
    return False


def names_types(document: Document, sets: Iterable[SelectionSetNode]) -> bool:
    """Whether a selection tells concrete types apart, so that each has to be looked at on its own."""
    seen: set[str] = set()
    todo = list(sets)
    while todo:
        for node in todo.pop().selections:
            if isinstance(node, FieldNode):
                continue
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in seen:
                    continue
                seen.add(node.name.value)
                inner: InlineFragmentNode | FragmentDefinitionNode = document.fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node
            condition = inner.type_condition
            if condition is not None:
                named = get_named_type(document.schema.type_map.get(condition.name.value))
                if isinstance(named, GraphQLObjectType):
                    return True
            todo.append(inner.selection_set)
    return False
