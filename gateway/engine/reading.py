"""How the database is read for who asks: what a statement depends on beside its plan, and by what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.auth.principal import Principal
from gateway.storage.levels import Access


class Reader(Protocol):
    """A pool, as the engine needs it (storage/pool.py says what the arguments mean)."""

    async def fetch(
        self,
        sql: str,
        arguments: Sequence[Any],
        *,
        until: float | None = None,
        read: Callable[[Sequence[Any]], Any],
        again: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    ) -> Any:
        """What `read` makes of the rows of a statement."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How the database is read: the view schema, and what stands for a code that is not there.

    `absent_is_null`: in the public view and under a narrowing; elsewhere such a code is a subject with onRecord false.
    `limited`: the token allows so many subjects and no more. `accounts`: body statements write their disclosure.
    `refers`: what is one of few is left for the gateway to fill in (references.py).
    """

    access: Access
    absent_is_null: bool
    reports_denied: bool
    limited: bool
    accounts: bool
    refers: bool


def reading(principal: Principal, *, accounts: bool, refers: bool) -> Reading:
    """How the database is read for who asks; `accounts` matters above the public view."""
    access, narrowed = principal.access, principal.narrowed
    limited = access.disclosed and principal.max_subjects is not None
    absent_is_null = narrowed or not access.disclosed
    return Reading(access, absent_is_null, narrowed, limited, accounts and access.disclosed, refers)
