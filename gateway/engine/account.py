"""What the engine gives account of, and to whom: the ledger implements `Account`, app.py hands it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One request above the public view: a row of ledger.disclosure but for its id and time, which the ledger gives.

    `subject_ids` is PostgreSQL's own text, UUIDs joined by commas (repeats allowed); `variables`, `sources` and
    `withheld` are JSON texts; `document_hash` is the SHA-256 of the document; `outcome` is ANSWERED or an error's code.
    """

    client_id: str
    organisation_uscc: str
    view: str
    matter: str
    case_number: str
    on_behalf_of: str | None
    outcome: str
    operation_name: str | None
    document_hash: bytes | None
    variables: str | None
    subject_ids: bytes
    snapshot: bytes | None
    sources: str
    withheld: str


class Account(Protocol):
    """Where disclosures become durable."""

    async def record(self, disclosure: Disclosure) -> None:
        """Returns once the disclosure is durable; raises LedgerUnavailable where it can't be."""
        ...
