"""Documents: parsed and validated once for each contract, kept in a bounded cache.

In: the text of a document. Out: a Document with its operations, each with the coercers of its variables; or Refused
with the request errors. Suggestions are off: an error must not tell what lies above the asker's contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    visit,
)
from graphql.validation.rules import overlapping_fields_can_be_merged

from gateway.engine import wording
from gateway.engine.kept import Kept
from gateway.engine.persons import NONE, Secrets, refuse_numbers, secrets_of
from gateway.engine.size import Size, check_limits, check_size, fits, nested_too_deeply
from gateway.engine.syntax import parse, unlink
from gateway.engine.validation import errors_of
from gateway.engine.variables import Coercer
from gateway.errors import BadUserInput, ClientError, ParseFailed, QueryTooCostly, Refused, ValidationFailed
from gateway.limits import CEILINGS, QueryLimits

MOST_TOKENS = CEILINGS["tokens"]
MOST_CHARACTERS = 32_768
MOST_ERRORS = 5  # told at once
MOST_KEPT = 100_000  # characters of all documents that are kept; as trees they take a hundred bytes each
# What the rule on merging may compare: pairs of fields and of fragments, which are more than the square of a document.
# Its module reads it whenever a validation begins.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = MOST_COMPARED = 2_000
# Root fields that are for a POST alone and for no cache: they tell of who asks, or are asked with a secret.
POSTED: Final = frozenset({"viewer", "progress"})
# How graphql-core says that a bound of ours, of its own or of Python's stack is passed; a test holds each.
_TOO_MANY = ("tokens. Parsing aborted.", "comments. Parsing aborted.")
_TOO_DEEP = ("Document is nested too deeply.", "Validation aborted.", "Maximum introspection depth exceeded")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its node, its variables' coercers, the variables that stand under @skip or @include, and those
    that have identity numbers (persons.py). `posted`: it asks for something that is for a POST alone."""

    name: str | None  # unique in a document, so part of a plan's key
    node: OperationDefinitionNode
    coerce: Coercer
    conditions: tuple[str, ...]
    secrets: Secrets = NONE
    mutation: bool = False
    subscription: bool = False
    posted: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document of one contract. `hash` is the SHA-256 of its text."""

    contract: str
    hash: bytes
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    operations: Mapping[str | None, Operation]
    node: DocumentNode = field(repr=False)
    size: Size
    fits: bool = True  # the contract's limits, so that only a client's own are looked at again

    def operation(self, name: str | None) -> Operation:
        """The operation to execute. Raises BadUserInput where the name doesn't decide."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        found = self.operations.get(name) if name is not None else None
        if found is None:
            raise BadUserInput(
                "the document has several operations, or none of that name; give operationName one of its names",
                "文档包含多个操作，或没有该名称的操作，请在 operationName 中指定其一",
            )
        return found


class Documents:
    """The cache of documents of all contracts, least recently used first to go."""

    def __init__(
        self,
        contracts: Mapping[str, GraphQLSchema],
        *,
        limits: Mapping[str, QueryLimits] | None = None,
        size: int = 1_000,
    ) -> None:
        self._contracts = contracts
        self._limits = limits or {}
        self._kept: Kept[tuple[str, str], Document] = Kept(size, MOST_KEPT)

    def knows(self, contract: str, text: str) -> bool:
        """Whether a document is kept: looking through another takes some milliseconds of the process."""
        return self._kept.get((contract, text)) is not None

    def get(self, contract: str, text: str, own: tuple[tuple[str, int], ...] | None = None) -> Document:
        """The document of that text, within the contract's limits or the asker's `own` in their place. Raises Refused
        with PARSE or VALIDATION errors, or QUERY_TOO_COSTLY."""
        key = (contract, text)
        found = self._kept.get(key)
        if found is not None:
            if own is not None or not found.fits:
                check_limits(found.size, self._limits[contract].with_own(own))
            return found
        limits = self._limits.get(contract)
        made = prepare(contract, self._contracts[contract], text, None if limits is None else limits.with_own(own))
        if own is not None and limits is not None and not fits(made.size, limits):
            made = replace(made, fits=False)
        self._kept.put(key, made, len(text))
        return made


def prepare(contract: str, schema: GraphQLSchema, text: str, limits: QueryLimits | None = None) -> Document:
    """Parse, measure and validate. Raises Refused."""
    if len(text) > MOST_CHARACTERS:
        raise Refused(
            [
                QueryTooCostly(
                    f"a document may have at most {MOST_CHARACTERS} characters; ask in several requests",
                    f"查询文档最多 {MOST_CHARACTERS} 个字符，请分多次查询",
                )
            ]
        )
    try:
        node = parse(text, MOST_TOKENS)
    except GraphQLSyntaxError as error:
        raise Refused([_syntax_error(error)]) from None
    try:
        size = check_size(node)
        if limits is not None:
            check_limits(size, limits)
        try:
            errors = errors_of(schema, node, text, MOST_ERRORS)
        except RecursionError:
            raise Refused([nested_too_deeply()]) from None
        if errors:
            raise Refused([_validation_error(error, schema, contract) for error in errors])
        made = _document(contract, schema, text, node, size)
        refuse_numbers(text, node)
        return made
    finally:
        unlink(node.loc.start_token if node.loc else None)


def _document(contract: str, schema: GraphQLSchema, text: str, node: DocumentNode, size: Size) -> Document:
    fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
    operations: dict[str | None, Operation] = {}
    conditions = _conditions(node)
    secrets = secrets_of(schema, node, text)
    posted = any(name in text for name in POSTED)
    for definition in node.definitions:
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else None
            kind = definition.operation
            coerce = Coercer(schema, definition)
            operations[name] = Operation(
                name,
                definition,
                coerce,
                conditions,
                secrets.of(coerce.names),
                mutation=kind is OperationType.MUTATION,
                subscription=kind is OperationType.SUBSCRIPTION,
                posted=posted and not POSTED.isdisjoint(_root_fields(definition, fragments)),
            )
    if not operations:
        raise Refused([ValidationFailed("the document has no operation", "文档中没有操作")])
    return Document(contract, hashlib.sha256(text.encode()).digest(), schema, fragments, operations, node, size)


def _root_fields(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> set[str]:
    """The names of all fields of the root, whatever their aliases and conditions. Each fragment is looked at once."""
    found: set[str] = set()
    seen: set[str] = set()
    left = [operation.selection_set]
    while left:
        for selection in left.pop().selections:
            if isinstance(selection, FieldNode):
                found.add(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                left.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                seen.add(selection.name.value)
                left.append(fragments[selection.name.value].selection_set)
    return found


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


def _places(error: GraphQLError) -> list[tuple[int, int]]:
    return [(place.line, place.column) for place in error.locations or ()]


def _syntax_error(error: GraphQLSyntaxError) -> ClientError:
    if error.message.endswith(_TOO_MANY):
        return QueryTooCostly(
            f"a document may have at most {MOST_TOKENS} tokens; ask in several requests",
            f"查询文档最多 {MOST_TOKENS} 个词法单元，请分多次查询",
            locations=_places(error),
        )
    if any(words in error.message for words in _TOO_DEEP):
        return nested_too_deeply(_places(error))
    return ParseFailed(*wording.syntax(error.message), locations=_places(error))


def _validation_error(error: GraphQLError, schema: GraphQLSchema, contract: str) -> ClientError:
    cause = error.original_error
    if isinstance(cause, BadUserInput):
        return BadUserInput(cause.en, cause.zh, locations=_places(error))
    if error.message.startswith(_TOO_DEEP):
        return nested_too_deeply(_places(error))
    return ValidationFailed(*wording.validation(error.message, schema, contract), locations=_places(error))
