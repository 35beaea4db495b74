"""Plans that are kept: of operations that come again, by what makes them differ.

In: an operation with its variables, who asks. Out: its plan with the SQL, made once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.auth.principal import Principal
from gateway.engine.compile import Compiled, compile_operation
from gateway.engine.documents import Document, Operation
from gateway.engine.kept import Kept
from gateway.engine.mutate import Step, compile_mutation

# Characters of the statements of all plans that are kept; a plan takes three bytes for each.
MOST_SQL: Final = 1_500_000


class Unplanned(NamedTuple):
    """An operation with its variables and their shape (variables.py), and who asks."""

    document: Document
    operation: Operation
    variables: Mapping[str, Any]
    shape: tuple[Any, ...]
    principal: Principal

    @property
    def key(self) -> tuple[Any, ...]:
        """What its plan depends on."""
        return (
            self.principal.access.name,
            self.principal.narrowed,
            self.principal.max_subjects is not None,
            self.document.hash,
            self.operation.name,
            tuple([self.variables.get(name) for name in self.operation.conditions]),
            self.shape,
        )


class Plans:
    """At most `most` of them. `accounts`: statements write their disclosures (account.Account)."""

    def __init__(self, most: int, *, accounts: bool) -> None:
        self._accounts = accounts
        self._kept: Kept[tuple[Any, ...], Compiled | tuple[Step, ...]] = Kept(most, MOST_SQL)

    def __len__(self) -> int:
        return len(self._kept)

    def compiled(self, one: Unplanned) -> Compiled:
        """The plan of a query, with its SQL."""
        key = one.key
        found = self._kept.get(key)
        if isinstance(found, Compiled):
            return found
        made = compile_operation(one.document, one.operation, one.variables, one.principal, accounts=self._accounts)
        self._kept.put(key, made, made.characters)
        return made

    def steps(self, one: Unplanned) -> tuple[Step, ...]:
        """The steps of a mutation."""
        key = one.key
        found = self._kept.get(key)
        if isinstance(found, tuple):
            return found
        made = compile_mutation(one.document, one.operation, one.variables, one.principal)
        self._kept.put(key, made, sum(step.payload.characters for step in made if step.payload is not None))
        return made
