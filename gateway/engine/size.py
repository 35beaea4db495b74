"""How large a document is, before anything else looks at it: later stages walk it once for each place that it means,
and a few hundred bytes of fragments can mean millions of places.

In: a parsed document, valid or not. Out: nothing, or Refused with QUERY_TOO_COSTLY. Linear in the document: a fragment
is measured once, however often it is spread.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
)

from gateway.errors import QueryTooCostly, Refused

# The rule that fields of one name can merge compares all pairs of them: bounded before it runs.
MOST_SELECTIONS = 150  # in one selection set
MOST_REPEATED = 10  # of one response key in one selection set
MOST_DEPTH = 40  # selections one inside the other, fragments included
MOST_FIELDS = 2_000  # with every fragment put in each of its places


def check_size(document: DocumentNode) -> None:
    """Raises Refused where a document is too deep, too long, or means too many fields."""
    measure = _Measure(document)
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            measure.fragment(definition.name.value, 0)
        elif isinstance(definition, OperationDefinitionNode):
            measure.selection_set(definition.selection_set, 0)


def nested_too_deeply(locations: Sequence[tuple[int, int]] = ()) -> QueryTooCostly:
    """The refusal of a document that is nested too deeply."""
    return QueryTooCostly(
        f"the document is nested too deeply, {MOST_DEPTH} levels are allowed; ask in several requests",
        f"查询文档嵌套过深，最多 {MOST_DEPTH} 层，请分多次查询",
        locations=locations,
    )


class _Measure:
    """Levels and fields of selection sets. Nothing is deeper on the stack than a document may be."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._known: dict[str, tuple[int, int]] = {}

    def fragment(self, name: str, level: int) -> tuple[int, int]:
        """Levels and fields of a fragment; none of one that does not exist or is being measured (validation refuses
        both)."""
        known = self._known.get(name)
        if known is None:
            definition = self._fragments.get(name)
            if definition is None:
                return 0, 0
            self._known[name] = (0, 0)
            known = self._known[name] = self.selection_set(definition.selection_set, level)
        return known

    def selection_set(self, node: SelectionSetNode, level: int) -> tuple[int, int]:
        """Levels and fields of a selection set that stands at `level`."""
        if level >= MOST_DEPTH:
            raise Refused([nested_too_deeply([_place(node)])])
        deepest = total = 0
        keys: dict[str, int] = {}
        for selection in node.selections:
            levels = fields = 0
            if isinstance(selection, FragmentSpreadNode):
                levels, fields = self.fragment(selection.name.value, level + 1)
            elif isinstance(selection, FieldNode | InlineFragmentNode):
                if isinstance(selection, FieldNode):
                    key = (selection.alias or selection.name).value
                    keys[key] = keys.get(key, 0) + 1
                    fields = 1
                if selection.selection_set is not None:
                    levels, inner = self.selection_set(selection.selection_set, level + 1)
                    fields += inner
            deepest = max(deepest, levels)
            total += fields
        if level + deepest >= MOST_DEPTH:
            raise Refused([nested_too_deeply([_place(node)])])
        if len(node.selections) > MOST_SELECTIONS or max(keys.values(), default=0) > MOST_REPEATED:
            raise Refused([_too_long(node)])
        if total > MOST_FIELDS:
            raise Refused([_too_many(node)])
        return deepest + 1, total


def _too_long(node: Node) -> QueryTooCostly:
    return QueryTooCostly(
        f"a selection may have {MOST_SELECTIONS} entries, and one response key {MOST_REPEATED} times; ask for fewer",
        f"一个选择集最多 {MOST_SELECTIONS} 项，同一响应键最多出现 {MOST_REPEATED} 次，请减少",
        locations=[_place(node)],
    )


def _too_many(node: Node) -> QueryTooCostly:
    return QueryTooCostly(
        f"with its fragments the document asks for more than {MOST_FIELDS} fields; ask in several requests",
        f"展开片段后查询超过 {MOST_FIELDS} 个字段，请分多次查询",
        locations=[_place(node)],
    )


def _place(node: Node) -> tuple[int, int]:
    token = node.loc.start_token if node.loc else None
    return (token.line, token.column) if token is not None else (1, 1)
