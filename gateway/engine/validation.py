"""Validation as graphql-core does it, without the rules that can't find anything in the document at hand.

In: a contract schema, a parsed document with its text. Out: errors, the same and in the same order as with all rules
(GraphQL §5). Setting up and asking each rule at each node is most of what validating a new document costs, and most
documents have no directive and no fragment. What a rule looks for is told by characters that cannot be left out of its
syntax; they may stand in strings and comments too, where the rule is asked for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NullValueNode,
    OperationDefinitionNode,
    ParallelVisitor,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    Undefined,
    VariableDefinitionNode,
    assert_valid_schema,
    type_from_ast,
    visit,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS
from graphql.validation import ValidationContext, specified_rules
from graphql.validation.rules import ASTValidationRule
from graphql.validation.rules.variables_in_allowed_position import VariablesInAllowedPositionRule
from graphql.validation.validate import ValidationAbortedError
from graphql.validation.validation_context import VariableUsage

from gateway.engine.plain import is_plainly_valid
from gateway.engine.size import MOST_PLACES
from gateway.engine.usages import may_stand, usages_of

# What is walked: no rule looks at descriptions, or at names apart from what has them, and names are half of all nodes.
_PASSED_BY: Final = {"description", "name", "alias"}
_KEYS: Final = {kind: tuple(key for key in keys if key not in _PASSED_BY) for kind, keys in QUERY_DOCUMENT_KEYS.items()}

# Any of the texts → rules that find something only where one of them stands.
_ONLY_WITH: Final[tuple[tuple[tuple[str, ...], frozenset[str]], ...]] = (
    (
        ("@",),
        frozenset(
            {
                "KnownDirectivesRule",
                "UniqueDirectivesPerLocationRule",
                "DeferStreamDirectiveOnRootField",
                "DeferStreamDirectiveOnValidOperationsRule",
                "DeferStreamDirectiveLabel",
                "StreamDirectiveOnListField",
            }
        ),
    ),
    (
        ("...", "fragment"),
        frozenset(
            {
                "FragmentsOnCompositeTypesRule",
                "UniqueFragmentNamesRule",
                "KnownFragmentNamesRule",
                "NoUnusedFragmentsRule",
                "PossibleFragmentSpreadsRule",
                "NoFragmentCyclesRule",
            }
        ),
    ),
    (("__",), frozenset({"MaxIntrospectionDepthRule"})),
    (
        ("$",),
        frozenset(
            {
                "UniqueVariableNamesRule",
                "VariablesAreInputTypesRule",
                "NoUndefinedVariablesRule",
                "NoUnusedVariablesRule",
                "VariablesInAllowedPositionRule",
            }
        ),
    ),
    (("subscription",), frozenset({"SingleFieldSubscriptionsRule"})),
)


def errors_of(schema: GraphQLSchema, document: DocumentNode, text: str, most: int) -> list[GraphQLError]:
    """Errors of a document, `most` of them, without suggestions. Raises RecursionError where it is too deep."""
    assert_valid_schema(schema)
    if is_plainly_valid(schema, document):
        return []
    present = tuple(any(part in text for part in parts) for parts, _ in _ONLY_WITH)
    errors: list[GraphQLError] = []

    def add(error: GraphQLError) -> None:
        if len(errors) == most:
            raise ValidationAbortedError("Too many validation errors, error limit reached. Validation aborted.")
        errors.append(error)

    info = TypeInfo(schema)
    context = _Context(schema, document, info, add, hide_suggestions=True)
    rules = [rule(context) for rule in _rules(present)]
    together = ParallelVisitor(rules)
    walk = TypeInfoVisitor(info, together)
    try:
        visit(document, walk, _KEYS)
    except ValidationAbortedError as error:  # without the frames of all that it came through
        error.__context__ = None
        errors.append(error.with_traceback(None))
    for visitor in (*rules, together, walk):  # each knows its own methods, and the document: a circle
        visitor.enter_leave_map.clear()
    return errors


class _InPosition(VariablesInAllowedPositionRule):
    """graphql-core's rule, asked where a place does not plainly take its variable: it looks at each use for itself,
    however many there are of one kind."""

    def leave_operation_definition(self, operation: OperationDefinitionNode, *rest: Any) -> None:
        """What is wrong with the uses of an operation's variables."""
        schema = self.context.schema
        defined = {
            definition.variable.name.value: (type_from_ast(schema, definition.type), _has_value(definition))
            for definition in operation.variable_definitions or ()
        }
        seen: set[tuple[object, ...]] = set()
        for node, place, around, default, _ in self.context.get_recursive_variable_usages(operation):
            kind = (node.name.value, id(place), id(around), default is Undefined)
            if kind in seen:
                continue
            seen.add(kind)
            if place is None or node.name.value not in defined:  # other rules say so
                continue
            given, has_value = defined[node.name.value]
            plainly = given is not None and not (isinstance(around, GraphQLInputObjectType) and around.is_one_of)
            has_default = default is not Undefined
            if not plainly or not may_stand(schema, given, place, has_value=has_value, has_default=has_default):
                super().leave_operation_definition(operation, *rest)
                return


_OURS: Final[Mapping[type[ASTValidationRule], type[ASTValidationRule]]] = {VariablesInAllowedPositionRule: _InPosition}


def _has_value(definition: VariableDefinitionNode) -> bool:
    return definition.default_value is not None and not isinstance(definition.default_value, NullValueNode)


class _Context(ValidationContext):
    """What rules ask about a document, kept by the node itself: graphql-core keeps it by the node's contents, which are
    all of an operation, and hashes these each time."""

    def __init__(self, schema: GraphQLSchema, *rest: Any, **options: Any) -> None:
        super().__init__(schema, *rest, **options)
        self._usages: dict[int, list[VariableUsage]] = {}
        self._all_usages: dict[int, list[VariableUsage]] = {}
        self._spreads: dict[int, list[FragmentSpreadNode]] = {}
        self._left = MOST_PLACES

    def get_fragment_spreads(self, node: SelectionSetNode) -> list[FragmentSpreadNode]:
        """Spreads in a selection set, those in fragments apart."""
        found = self._spreads.get(id(node))
        if found is None:
            found = self._spreads[id(node)] = []
            waiting = [node]
            while waiting:
                for selection in waiting.pop().selections:
                    if isinstance(selection, FragmentSpreadNode):
                        found.append(selection)
                    elif isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set is not None:
                        waiting.append(selection.selection_set)
        return found

    def get_variable_usages(self, node: Any) -> list[VariableUsage]:
        """Uses of variables in an operation or a fragment, those in its fragments apart."""
        found = self._usages.get(id(node))
        if found is None:
            found = self._usages[id(node)] = usages_of(self.schema, node)
        return found

    def get_recursive_variable_usages(self, operation: OperationDefinitionNode) -> list[VariableUsage]:
        """Uses of variables in an operation and all its fragments. Raises ValidationAbortedError where all operations
        have more of them than size.py lets pass: in a circle of fragments it does not see them all."""
        found = self._all_usages.get(id(operation))
        if found is None:
            found = list(self.get_variable_usages(operation))
            for fragment in self.get_recursively_referenced_fragments(operation):
                found += self.get_variable_usages(fragment)
            self._all_usages[id(operation)] = found
            self._left -= len(found)
            if self._left < 0:
                raise ValidationAbortedError("Validation aborted.")
        return found


@lru_cache
def _rules(present: tuple[bool, ...]) -> tuple[type[ASTValidationRule], ...]:
    left_out = {name for there, (_, names) in zip(present, _ONLY_WITH, strict=True) if not there for name in names}
    return tuple(_OURS.get(rule, rule) for rule in specified_rules if rule.__name__ not in left_out)
