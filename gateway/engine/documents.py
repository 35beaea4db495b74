"""Documents: parsed and validated once for each contract, kept in a bounded cache.

In: the text of a document. Out: a Document with its operations, each with the coercers of its variables; or Refused
with the request errors. Suggestions are off: an error must not tell what lies above the asker's contract.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    validate,
    visit,
)

from gateway.engine.variables import Coercer
from gateway.errors import BadUserInput, ClientError, ParseFailed, QueryTooCostly, Refused, ValidationFailed

MOST_TOKENS = 2_000
MOST_CHARACTERS = 65_536
# The rule that fields of one name can merge compares all pairs of them: bounded before it runs.
MOST_SELECTIONS = 150  # in one selection set
MOST_REPEATED = 10  # of one response key in one selection set
_MOST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its node, its variables' coercers, and the variables that stand under @skip or @include."""

    name: str | None  # unique in a document, so part of a plan's key
    node: OperationDefinitionNode
    coerce: Coercer
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document of one contract. `hash` is the SHA-256 of its text."""

    contract: str
    hash: bytes
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    operations: Mapping[str | None, Operation]
    node: DocumentNode = field(repr=False)

    def operation(self, name: str | None) -> Operation:
        """The operation to execute. Raises BadUserInput where the name doesn't decide."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        found = self.operations.get(name) if name is not None else None
        if found is None:
            raise BadUserInput(
                "operationName must name an operation of the document", "operationName 必须是文档中的一个操作"
            )
        return found


class Documents:
    """The cache of documents of all contracts, least recently used first to go."""

    def __init__(self, contracts: Mapping[str, GraphQLSchema], *, size: int = 1_000) -> None:
        self._contracts = contracts
        self._size = size
        self._kept: OrderedDict[tuple[str, str], Document] = OrderedDict()

    def get(self, contract: str, text: str) -> Document:
        """The document of that text. Raises Refused with PARSE or VALIDATION errors."""
        key = (contract, text)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        made = prepare(contract, self._contracts[contract], text)
        self._kept[key] = made
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return made


def prepare(contract: str, schema: GraphQLSchema, text: str) -> Document:
    """Parse and validate. Raises Refused."""
    if len(text) > MOST_CHARACTERS:
        message = f"a document may have {MOST_CHARACTERS} characters", f"查询文档最多 {MOST_CHARACTERS} 个字符"
        raise Refused([QueryTooCostly(*message)])
    try:
        node = parse(text, max_tokens=MOST_TOKENS)
    except GraphQLSyntaxError as error:
        raise Refused([_client_error(ParseFailed, error)]) from None
    except RecursionError:
        raise Refused([ParseFailed("the document is nested too deeply", "文档嵌套过深")]) from None
    try:
        visit(node, _Repetition())
        errors = validate(schema, node, max_errors=_MOST_ERRORS, hide_suggestions=True)
    except RecursionError:
        raise Refused([ValidationFailed("the document is nested too deeply", "文档嵌套过深")]) from None
    if errors:
        raise Refused([_validation_error(error) for error in errors])
    return _document(contract, schema, text, node)


def _document(contract: str, schema: GraphQLSchema, text: str, node: DocumentNode) -> Document:
    fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
    operations: dict[str | None, Operation] = {}
    for definition in node.definitions:
        if isinstance(definition, OperationDefinitionNode):
            if definition.operation is not OperationType.QUERY:
                message = (
                    f"this contract has no {definition.operation.value}",
                    f"当前视图没有 {definition.operation.value}",
                )
                raise Refused([ValidationFailed(*message)])
            name = definition.name.value if definition.name else None
            operations[name] = Operation(name, definition, Coercer(schema, definition), _conditions(node))
    if not operations:
        raise Refused([ValidationFailed("the document has no operation", "文档中没有操作")])
    return Document(contract, hashlib.sha256(text.encode()).digest(), schema, fragments, operations, node)


class _Repetition(Visitor):
    """Refuses selection sets that are long or repeat themselves. Linear."""

    def enter_selection_set(self, node: Any, *_: Any) -> None:
        keys: dict[str, int] = {}
        for selection in node.selections:
            if isinstance(selection, FieldNode):
                key = selection.alias.value if selection.alias else selection.name.value
                keys[key] = keys.get(key, 0) + 1
        if len(node.selections) > MOST_SELECTIONS or max(keys.values(), default=0) > MOST_REPEATED:
            raise Refused(
                [
                    QueryTooCostly(
                        f"a selection may have {MOST_SELECTIONS} entries, and one response key {MOST_REPEATED} times",
                        f"一个选择集最多 {MOST_SELECTIONS} 项，同一响应键最多出现 {MOST_REPEATED} 次",
                    )
                ]
            )


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def enter_directive(self, node: Any, *_: Any) -> None:
        if node.name.value in ("skip", "include"):
            for argument in node.arguments or ():
                if isinstance(argument.value, VariableNode):
                    self.names[argument.value.name.value] = None


def _conditions(node: DocumentNode) -> tuple[str, ...]:
    if "@" not in (node.loc.source.body if node.loc else "@"):
        return ()
    visitor = _Conditions()
    visit(node, visitor)
    return tuple(visitor.names)


def _client_error(kind: type[ClientError], error: GraphQLError, zh: str = "") -> ClientError:
    locations = [(place.line, place.column) for place in error.locations or ()]
    return kind(error.message, zh or f"查询文档有误：{error.message}", locations=locations)


def _validation_error(error: GraphQLError) -> ClientError:
    cause = error.original_error
    if isinstance(cause, BadUserInput):
        locations = [(place.line, place.column) for place in error.locations or ()]
        return BadUserInput(cause.en, cause.zh, locations=locations)
    return _client_error(ValidationFailed, error)
