"""Validation as graphql-core does it, without the rules that can't find anything in the document at hand.

In: a contract schema, a parsed document with its text. Out: errors, the same and in the same order as with all rules
(GraphQL §5). Setting up and asking each rule at each node is most of what validating a new document costs, and most
documents have no directive and no fragment. What a rule looks for is told by characters that cannot be left out of its
syntax; they may stand in strings and comments too, where the rule is asked for nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from graphql import DocumentNode, GraphQLError, GraphQLSchema, validate
from graphql.validation import specified_rules
from graphql.validation.rules import ASTValidationRule

from gateway.engine.plain import is_plainly_valid

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
    (("subscription",), frozenset({"SingleFieldSubscriptionsRule"})),
)


def errors_of(schema: GraphQLSchema, document: DocumentNode, text: str, most: int) -> list[GraphQLError]:
    """Errors of a document, `most` of them, without suggestions. Raises RecursionError where it is too deep."""
    if is_plainly_valid(schema, document):
        return []
    present = tuple(any(part in text for part in parts) for parts, _ in _ONLY_WITH)
    return validate(schema, document, _rules(present), max_errors=most, hide_suggestions=True)


@lru_cache
def _rules(present: tuple[bool, ...]) -> tuple[type[ASTValidationRule], ...]:
    left_out = {name for there, (_, names) in zip(present, _ONLY_WITH, strict=True) if not there for name in names}
    return tuple(rule for rule in specified_rules if rule.__name__ not in left_out)
