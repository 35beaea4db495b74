"""What a request wants of sources, what it gets, under which consents and seals: words that the engine shares with
them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from connectors.base import Consent, Purpose
from gateway.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Wanted:
    """Parts of one source, or of each source of a group, about subjects (18-character USCCs), in order.

    `parts` is never empty. `feed` is the name under which the answers are wanted; by default the source's.
    `under_consent`: asked under the consent of that UUID alone, None where the asker named no such thing.
    """

    source: str
    parts: tuple[str, ...]
    subjects: tuple[str, ...]
    feed: str = ""
    consent: str | None = None
    under_consent: bool = False

    @property
    def name(self) -> str:
        return self.feed or self.source


@dataclass(frozen=True, slots=True)
class Consulted:
    """Answers by feed as jsonb text, in the shape of storage.source_functions, and what the disclosure keeps.

    `statuses` is JSON text {source: {USCC: {"status", "asOf", "reason"?, "parts"}}}; where all subjects of a source
    have the same, one entry "*" stands for them. `behind` has, by source, the subjects without a fresh answer: in the
    public view those of them that are on record are for `Sources.refresh`. `until`: Unix seconds before which the
    public view would be told the same again; 0.0 where that is not known.
    """

    parameters: Mapping[str, str]
    statuses: str
    behind: Mapping[str, tuple[str, ...]]
    until: float = 0.0


class Consents(Protocol):
    """Where consents are found (storage/consents.py)."""

    async def matching(
        self, pairs: Sequence[tuple[str, str]], *, grantee: str, matter: str, scope: str
    ) -> Mapping[tuple[str, str], Consent]:
        """Of (UUID of a consent, USCC) those under which `grantee` may ask `scope` about the subject in the matter
        today. Raises StorageUnavailable."""
        ...


class NoConsents:
    """Nobody has consented to anything."""

    async def matching(
        self, pairs: Sequence[tuple[str, str]], *, grantee: str, matter: str, scope: str
    ) -> Mapping[tuple[str, str], Consent]:
        """None."""
        return {}


MOMENT: Final = 0.1  # s of patience with a process that stood still: within milliseconds it knows its seals again


class Seals(Protocol):
    """Where seals are found (storage/seals.py)."""

    def cover(self, client_id: str, matter: str, case_number: str) -> bool:
        """Whether a seal in force covers what this client asks for this matter under this case number; True, too, where
        that can't be known."""
        ...

    async def ready(self, patience: float) -> None:
        """Wait until it can be known, at most `patience` s."""
        ...


class NoSeals:
    """Nothing is sealed."""

    def cover(self, client_id: str, matter: str, case_number: str) -> bool:
        """Never."""
        return False

    async def ready(self, patience: float) -> None:
        """At once."""


# Told of source and subjects before a source is asked under a consent; what it raises keeps it from being asked.
Inquire: TypeAlias = Callable[[str, Sequence[str]], Awaitable[None]]


async def nobody_to_tell(source: str, usccs: Sequence[str]) -> None:
    """For whoever gives no account of inquiries: tests."""


def purpose_of(principal: Principal) -> Purpose:
    """Matter, case, and the organisation that asks: whoever it asks for, else itself."""
    asking = principal.on_behalf_of or principal.organisation_uscc
    return Purpose(principal.matter or "", principal.case_number or "", asking)
