"""What the engine gives account of, and to whom: the ledger implements `Account`, app.py hands it in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol


def new_id() -> str:
    """128 random bits in hex: the id of a disclosure, which nobody can guess."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One request above the public view: a row of ledger.disclosure; `at` is the database's own.

    `outcome` is ANSWERED or the code of a refusal. `subject_ids` is the comma-separated text of UUIDs, and `snapshot`
    the text of the pg_snapshot, both as the body statement returned them. `variables` (identity numbers blinded),
    `sources` and `withheld` are JSON text. `document_hash` is the SHA-256 of the document, `id` hex.
    """

    client_id: str
    organisation_uscc: str
    view: str
    matter: str
    case_number: str
    outcome: str
    on_behalf_of: str | None = None
    operation_name: str | None = None
    document_hash: bytes | None = None
    variables: str | bytes | None = None
    subject_ids: str | bytes = b""
    snapshot: str | bytes | None = None
    sources: str | bytes = b"{}"
    withheld: str | bytes = b"{}"
    id: str = field(default_factory=new_id)


class Account(Protocol):
    """Where disclosures become durable."""

    async def record(self, disclosure: Disclosure) -> None:
        """Returns once the disclosure is durable; raises LedgerUnavailable where it can't be."""
        ...
