"""Which fields an operation releases, by view level: what its disclosures point to.

In: an operation that is valid in its contract, whose fields carry their level. Out: RFC 8785 JSON, such as
{"PUBLIC":["Query.subjects","Subject.name"],"RESTRICTED":["Penalty.amount"]}; fields of an interface under its name.
Fields without a level of their own (of connections and edges) have that of what returns them, and are left out.
"""

from __future__ import annotations

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
from gateway.storage.canonical import canonical_json
from gateway.storage.levels import Level


def released(document: Document, node: OperationDefinitionNode) -> str:
    """The fields that are selected, whatever rows there are. One walk: a new document waits for it."""
    root = document.schema.get_root_type(node.operation)
    assert root is not None
    found: dict[Level, set[str]] = {}
    seen: set[str] = set()  # fragments: of each once, its type says where it stands
    todo: list[tuple[GraphQLNamedType, SelectionSetNode]] = [(root, node.selection_set)]
    while todo:
        parent, selections = todo.pop()
        fields = parent.fields if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else {}
        for selected in selections.selections:
            if selected.directives and not included(selected.directives, document.conditions):
                continue
            if isinstance(selected, FieldNode):
                name = selected.name.value
                field = fields.get(name)
                if field is None:  # __typename, introspection
                    continue
                level = field.extensions["level"]
                if level is not None:
                    found.setdefault(level, set()).add(f"{parent.name}.{name}")
                if selected.selection_set is not None:
                    todo.append((get_named_type(field.type), selected.selection_set))
                continue
            inner: FragmentDefinitionNode | InlineFragmentNode
            if isinstance(selected, FragmentSpreadNode):
                if selected.name.value in seen:
                    continue
                seen.add(selected.name.value)
                inner = document.fragments[selected.name.value]
            else:
                assert isinstance(selected, InlineFragmentNode)
                inner = selected
            condition = inner.type_condition
            at = parent if condition is None else document.schema.type_map[condition.name.value]
            todo.append((at, inner.selection_set))
    return canonical_json({level.name: sorted(names) for level, names in found.items()})
