"""How large a document is, before anything else looks at it: later stages walk it once for each place that it means,
and a few hundred bytes of fragments can mean millions of places.

In: a parsed document, valid or not. Out: its size, or Refused with QUERY_TOO_COSTLY. Linear in the document: a fragment
is measured once, however often it is spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from graphql import (
    ConstDirectiveNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from gateway.errors import QueryTooCostly, Refused
from gateway.limits import CEILINGS, QueryLimits

# The rule that fields of one name can merge compares all pairs of them: bounded before it runs.
MOST_SELECTIONS = 150  # in one selection set
MOST_REPEATED = 10  # of one response key in one selection set
MOST_DEPTH = CEILINGS["depth"]  # selections one inside the other, fragments included
MOST_FIELDS = CEILINGS["fields"]  # with every fragment put in each of its places
# Rules on fragments and variables walk what each operation reaches, an operation after the other.
MOST_DEFINITIONS = 100  # operations and fragments
MOST_PLACES = 4_000  # fields, spreads and uses of variables, of all operations together
MOST_VARIABLES = 150  # of an operation
MOST_ARGUMENTS = 50  # of a field or a directive; fields of an object
MOST_DIRECTIVES = 10  # at one place
MOST_ITEMS = 1_000  # of a list
_WHAT = {
    "tokens": ("tokens", "个词法单元"),
    "depth": ("levels", "层嵌套"),
    "fields": ("fields, fragments included", "个字段（含片段）"),
    "aliases": ("aliases, fragments included", "个别名（含片段）"),
    "fragments": ("fragments", "个片段"),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How large a document is; of several operations, the largest of each. Names as in QueryLimits."""

    tokens: int
    depth: int
    fields: int
    aliases: int
    fragments: int


class _Size(NamedTuple):
    """Levels, fields and aliases of a selection set, and all that rules look at: fields, spreads, uses of variables."""

    levels: int = 0
    fields: int = 0
    aliases: int = 0
    places: int = 0


_NOTHING: Final = _Size()


def check_size(document: DocumentNode) -> Size:
    """The document's size. Raises Refused where it is too deep, too long, or means too many fields for anybody."""
    if len(document.definitions) > MOST_DEFINITIONS:
        raise _too_many(document, "operations and fragments", "操作和片段", MOST_DEFINITIONS)
    measure = _Measure(document)
    depth = fields = aliases = places = fragments = 0
    for definition in document.definitions:
        found = _NOTHING
        if isinstance(definition, FragmentDefinitionNode):
            fragments += 1
            found = measure.fragment(definition.name.value, 0)
        elif isinstance(definition, OperationDefinitionNode):
            measure.variables(definition)
            found = measure.selection_set(definition.selection_set, 0)
            places += found.places
            if places > MOST_PLACES:
                raise _too_many(definition, "fields and uses of variables", "字段和变量引用", MOST_PLACES)
        depth, fields, aliases = max(depth, found.levels), max(fields, found.fields), max(aliases, found.aliases)
    return Size(_tokens(document), depth, fields, aliases, fragments)


def fits(size: Size, limits: QueryLimits) -> bool:
    """Whether a document is within these limits."""
    return all(getattr(size, name) <= getattr(limits, name) for name in _WHAT)


def check_limits(size: Size, limits: QueryLimits) -> None:
    """Raises Refused where a document is larger than these limits."""
    for name, (what, zh) in _WHAT.items():
        count, most = getattr(size, name), getattr(limits, name)
        if count > most:
            error = QueryTooCostly(
                f"the document has {count} {what}, {most} are allowed; ask in several requests",
                f"查询文档包含 {count} {zh}，上限为 {most} {zh[0]}，请分多次查询",
            )
            raise Refused([error])


def _tokens(document: DocumentNode) -> int:
    """How many tokens there are, comments among them, as the parser counts them."""
    count, token = 0, document.loc.start_token.next if document.loc else None
    while token is not None:
        count, token = count + 1, token.next
    return max(0, count - 1)  # without the end of the file


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
        self._known: dict[str, _Size] = {}

    def fragment(self, name: str, level: int) -> _Size:
        """The size of a fragment; nothing of one that does not exist or is being measured (validation refuses both)."""
        known = self._known.get(name)
        if known is None:
            definition = self._fragments.get(name)
            if definition is None:
                return _NOTHING
            self._known[name] = _NOTHING
            known = self._known[name] = self.selection_set(definition.selection_set, level)
        return known

    def selection_set(self, node: SelectionSetNode, level: int) -> _Size:
        """The size of a selection set that stands at `level`."""
        if level >= MOST_DEPTH:
            raise Refused([nested_too_deeply([_place(node)])])
        deepest = total = aliases = places = 0
        keys: dict[str, int] = {}
        for selection in node.selections:
            inner = _NOTHING
            places += 1 + _values_of(selection)
            if isinstance(selection, FragmentSpreadNode):
                inner = self.fragment(selection.name.value, level + 1)
            elif isinstance(selection, FieldNode | InlineFragmentNode):
                if isinstance(selection, FieldNode):
                    key = (selection.alias or selection.name).value
                    keys[key] = keys.get(key, 0) + 1
                    total += 1
                    aliases += selection.alias is not None
                if selection.selection_set is not None:
                    inner = self.selection_set(selection.selection_set, level + 1)
            if inner is not _NOTHING:
                deepest = max(deepest, inner.levels)
                total += inner.fields
                aliases += inner.aliases
                places += inner.places
        if level + deepest >= MOST_DEPTH:
            raise Refused([nested_too_deeply([_place(node)])])
        if len(node.selections) > MOST_SELECTIONS or max(keys.values(), default=0) > MOST_REPEATED:
            raise Refused([_too_long(node)])
        if total > MOST_FIELDS:
            raise Refused([_too_many_fields(node)])
        return _Size(deepest + 1, total, aliases, places)

    @staticmethod
    def variables(operation: OperationDefinitionNode) -> None:
        """Raises Refused where an operation has too many variables, or too large a default."""
        definitions = operation.variable_definitions or ()
        if len(definitions) > MOST_VARIABLES:
            raise _too_many(operation, "variables", "变量", MOST_VARIABLES)
        for definition in definitions:
            _directives(definition.directives or (), definition)
            if definition.default_value is not None:
                _value(definition.default_value)
        _directives(operation.directives or (), operation)


def _values_of(selection: Any) -> int:
    """Uses of variables in a selection's own arguments and directives. Raises Refused where these are too many."""
    used = 0
    if selection.directives:
        used += _directives(selection.directives, selection)
    if isinstance(selection, FieldNode) and selection.arguments:
        used += _arguments(selection)
    return used


def _directives(directives: Sequence[DirectiveNode | ConstDirectiveNode], at: Node) -> int:
    if len(directives) > MOST_DIRECTIVES:
        raise _too_many(at, "directives at one place", "同一处的指令", MOST_DIRECTIVES)
    return sum(_arguments(directive) for directive in directives)


def _arguments(node: FieldNode | DirectiveNode | ConstDirectiveNode) -> int:
    arguments = node.arguments or ()
    if len(arguments) > MOST_ARGUMENTS:
        raise _too_many(node, "arguments at one place", "同一处的参数", MOST_ARGUMENTS)
    return sum(_value(argument.value) for argument in arguments)


def _value(value: Node) -> int:
    """Uses of variables in a value. Raises Refused where a list or an object in it is too long."""
    used, waiting = 0, [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, VariableNode):
            used += 1
        elif isinstance(node, ListValueNode) and node.values:
            if len(node.values) > MOST_ITEMS:
                raise _too_many(node, "values in one list", "同一列表中的值", MOST_ITEMS)
            waiting += node.values
        elif isinstance(node, ObjectValueNode) and node.fields:
            if len(node.fields) > MOST_ARGUMENTS:
                raise _too_many(node, "fields in one object", "同一对象中的字段", MOST_ARGUMENTS)
            waiting += [field.value for field in node.fields]
    return used


def _too_long(node: Node) -> QueryTooCostly:
    return QueryTooCostly(
        f"a selection may have {MOST_SELECTIONS} entries, and one response key {MOST_REPEATED} times; ask for fewer",
        f"一个选择集最多 {MOST_SELECTIONS} 项，同一响应键最多出现 {MOST_REPEATED} 次，请减少",
        locations=[_place(node)],
    )


def _too_many_fields(node: Node) -> QueryTooCostly:
    return QueryTooCostly(
        f"with its fragments the document asks for more than {MOST_FIELDS} fields; ask in several requests",
        f"展开片段后查询超过 {MOST_FIELDS} 个字段，请分多次查询",
        locations=[_place(node)],
    )


def _too_many(node: Node, what: str, zh: str, most: int) -> Refused:
    return Refused(
        [
            QueryTooCostly(
                f"the document has more than {most} {what}; ask in several requests, or by variables",
                f"查询文档的{zh}超过 {most} 个，请分多次查询或使用变量",
                locations=[_place(node)],
            )
        ]
    )


def _place(node: Node) -> tuple[int, int]:
    token = node.loc.start_token if node.loc else None
    return (token.line, token.column) if token is not None else (1, 1)
