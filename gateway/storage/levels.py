"""View levels, and the five ways in which a database is read for them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.limits import CONTRACTS

__all__ = ["ACCESSES", "CONTRACTS", "INTERNAL", "PUBLIC", "RESTRICTED", "RESTRICTED_SCOPED", "SELF", "Access", "Level"]


class Level(enum.IntEnum):
    """Lowest view that has a field or a column: PUBLIC ⊂ RESTRICTED ⊂ INTERNAL."""

    PUBLIC = 0
    RESTRICTED = 1
    INTERNAL = 2


@dataclass(frozen=True, slots=True)
class Access:
    """One view schema with its role and its contract.

    `schema` is the schema of views in PostgreSQL and `role` the suffix of the role that may read it and nothing else.
    `scoped` says that rows depend on who asks: the session variable gateway.scope must then be set, else an error.
    """

    name: str
    contract: str
    level: Level
    scoped: bool

    @property
    def schema(self) -> str:
        return f"v_{self.name}"

    @property
    def disclosed(self) -> bool:
        """Whether nothing may leave before its disclosure is durable."""
        return self.name != "public"


PUBLIC = Access("public", "PUBLIC", Level.PUBLIC, scoped=False)
RESTRICTED = Access("restricted", "RESTRICTED", Level.RESTRICTED, scoped=False)
RESTRICTED_SCOPED = Access("restricted_scoped", "RESTRICTED", Level.RESTRICTED, scoped=True)
SELF = Access("self", "SELF", Level.RESTRICTED, scoped=True)
INTERNAL = Access("internal", "INTERNAL", Level.INTERNAL, scoped=True)

ACCESSES: tuple[Access, ...] = (PUBLIC, RESTRICTED, RESTRICTED_SCOPED, SELF, INTERNAL)
