"""Which fields an operation releases, by view level: what its disclosures point to.

In: an operation that is valid in its contract, whose fields carry their level. Out: RFC 8785 JSON, such as
{"PUBLIC":["Query.subjects","Subject.name"],"RESTRICTED":["Penalty.amount"]}; fields of an interface under its name.
Fields without a level of their own (of connections and edges) have that of what returns them, and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)

from gateway.engine.selection import Document, included


def released(document: Document, node: OperationDefinitionNode) -> str:
    """The fields that are selected, whatever rows there are."""
    root = document.schema.get_root_type(node.operation)
    assert root is not None
    found: dict[str, set[str]] = {}
    for parent, name in _selected(document, root, node.selection_set, set()):
        field = parent.fields.get(name)
        level = None if field is None else field.extensions.get("level")
        if level is not None:
            found.setdefault(level.name, set()).add(f"{parent.name}.{name}")
    listed = {level: sorted(names) for level, names in found.items()}
    return json.dumps(listed, sort_keys=True, separators=(",", ":"))


def _selected(
    document: Document, parent: GraphQLNamedType, selections: SelectionSetNode, seen: set[str]
) -> Iterator[tuple[GraphQLObjectType | GraphQLInterfaceType, str]]:
    """Every field with the type that it stands in; of a fragment once, its type says where it stands."""
    todo = [(parent, selections)]
    while todo:
        parent, selections = todo.pop()
        for node in selections.selections:
            if not included(node.directives, document.conditions):
                continue
            if isinstance(node, FieldNode):
                if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
                    continue  # __typename of a union
                yield parent, node.name.value
                field = parent.fields.get(node.name.value)
                if field is not None and node.selection_set is not None:
                    todo.append((get_named_type(field.type), node.selection_set))
                continue
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in seen:
                    continue
                seen.add(node.name.value)
                inner: FragmentDefinitionNode | InlineFragmentNode = document.fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node
            condition = inner.type_condition
            at = parent if condition is None else document.schema.type_map[condition.name.value]
            todo.append((at, inner.selection_set))
