"""The most that one request may ask for: by contract from settings, by client from its registration.

In: numbers by name, of GATEWAY_LIMITS or of a registration. Out: checked ones, or ValueError that says which is wrong.
Above the ceilings no setting goes: they keep every step that follows linear in a small number (docs/limits.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

CONTRACTS: Final = ("PUBLIC", "RESTRICTED", "INTERNAL", "SELF")

CEILINGS: Final[Mapping[str, int]] = {
    "cost": 10_000_000,
    "subjects": 1_000,
    "tokens": 1_500,
    "depth": 40,
    "fields": 2_000,
    "aliases": 500,
    "fragments": 100,
    "root_fields": 20,
}


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Limits of one request. `cost` in rows that it may read, `subjects` that are asked for by their codes; the others
    are of the document: `tokens` and `fragments` count what is written, else a fragment counts in each of its places.
    """

    cost: int
    subjects: int
    tokens: int = CEILINGS["tokens"]
    depth: int = CEILINGS["depth"]
    fields: int = CEILINGS["fields"]
    aliases: int = CEILINGS["aliases"]
    fragments: int = CEILINGS["fragments"]
    root_fields: int = CEILINGS["root_fields"]

    def with_own(self, own: tuple[tuple[str, int], ...] | None) -> QueryLimits:
        """These with a client's own in their place."""
        return replace(self, **dict(own)) if own else self


def checked(given: Mapping[str, object]) -> dict[str, int]:
    """The limits of these names. Raises ValueError."""
    made: dict[str, int] = {}
    for name, value in given.items():
        most = CEILINGS.get(name)
        if most is None:
            raise ValueError(f"no such limit: {name}; limits are {', '.join(CEILINGS)}")
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"{name} must be a whole number from 1 to {most}")
        made[name] = value
    return made
