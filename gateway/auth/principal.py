"""Who asks, for what, and therefore how the database is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.storage.levels import PUBLIC, RESTRICTED, RESTRICTED_SCOPED, Access


@dataclass(frozen=True, slots=True)
class Principal:
    """The outcome of authentication, authorization and purpose of one request; made by auth/, read by everyone else.

    `scope` is the JSON text that the scoped view schemas read from gateway.scope (None where access is not scoped):
    {"client": <id>, "organisation": <subject id>, "uscc": <its code>, "matter": "GRANT", "case": <number>, "subject":
    <own subject id>, "regions": [...], "kinds": [...], "list": "..."}; absent keys mean no narrowing. `own_scope` is
    the same where the access is not scoped, for what is read under one all the same. `withheld` is the JSON text that
    disclosures keep of the narrowing. `only_registered`, `documents` and `limits` are the registration's (clients.py),
    `legal_basis` the matter's.
    """

    access: Access
    client_id: str | None = None
    organisation_uscc: str | None = None
    matter: str | None = None
    case_number: str | None = None
    on_behalf_of: str | None = None
    max_subjects: int | None = None
    sources: frozenset[str] = frozenset()  # codes of the sources that the matter allows
    scope: str | None = None
    withheld: str = "{}"
    hops: int = 0
    own_scope: str | None = None
    only_registered: bool = False
    documents: int | None = None
    limits: tuple[tuple[str, int], ...] | None = None
    identifies_persons: bool = False  # the matter lets persons be asked for by identity number
    reveals_identity: bool = False  # … lets an identity number be revealed
    legal_basis: str | None = None

    @property
    def view(self) -> str:
        """The contract's name, as `viewer { view }` tells it."""
        return self.access.contract

    def under_scope(self) -> Principal:
        """The same, asking in the view of the same contract whose rows depend on who asks."""
        if self.access is not RESTRICTED:
            return self
        return replace(self, access=RESTRICTED_SCOPED, scope=self.own_scope)

    @property
    def narrowed(self) -> bool:
        """Whether a code outside the asker's scope must not be told from one that is not on record."""
        return self.access.name == "self" or self.withheld != "{}"


ANONYMOUS = Principal(PUBLIC)
