"""What the engine gives account of, and to whom: the ledger implements `Account`, app.py hands it in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final, Protocol

import asyncpg

from gateway.errors import LedgerUnavailable, StorageUnavailable
from gateway.storage.views import ABSENT, APART, BETWEEN, CELLS


def new_id() -> str:
    """128 random bits in hex: the id of a disclosure, which nobody can guess."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Told:
    """A text that many disclosures point to by its SHA-256: a row of ledger.told."""

    text: str
    hash: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", sha256(self.text.encode()).digest())


told = lru_cache(maxsize=1_000)(Told)


@dataclass(slots=True)  # frozen it takes four times as long to make, for every request
class Disclosure:
    """One request above the public view: a row of ledger.disclosure; `at` is the database's own.

    `outcome` is ANSWERED or the code of a refusal. `subject_ids` is the comma-separated text of UUIDs, and `snapshot`
    the text of the pg_snapshot, both as the body statement returned them. `variables` (identity numbers blinded),
    `sources` and `withheld` are JSON text. `document_hash` is the SHA-256 of the document, `id` hex. `fields`: what was
    released, by view level (released.py); `basis`: the matter's legal basis as it stood.
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
    fields: Told | None = None
    basis: Told | None = None

    @property
    def fields_hash(self) -> bytes | None:
        """Of `fields`."""
        return None if self.fields is None else self.fields.hash

    @property
    def basis_hash(self) -> bytes | None:
        """Of `basis`."""
        return None if self.basis is None else self.basis.hash


class Account(Protocol):
    """Where disclosures become durable.

    `in_statement`: the body statement writes the disclosure of its answer itself, in its own transaction (decision
    0011); `record` gets what has no statement, refusals and questions without rows. Otherwise it gets all.
    """

    in_statement: bool

    async def record(self, disclosure: Disclosure) -> None:
        """Returns once the disclosure is durable; raises LedgerUnavailable where it can't be."""
        ...

    async def tell(self, disclosure: Disclosure) -> None:
        """Where `in_statement`: returns once the texts that a disclosure points to are durable; raises
        LedgerUnavailable where they can't be. Before its statement."""
        ...


_cells = attrgetter(*CELLS)


def cells(disclosure: Disclosure) -> bytes:
    """The values of CELLS, as a view's function takes them. Raises LedgerUnavailable for text that can't be stored."""
    made = list(_cells(disclosure))
    for place in _HASHES:
        if made[place] is not None:
            made[place] = made[place].hex()
    try:
        texts = [v if isinstance(v, str) else ABSENT if v is None else str(v, "utf-8") for v in made]
        line = BETWEEN.join(texts)
        # No purpose and no JSON has separators: it would be cut at the wrong place.
        found = line.count(BETWEEN), line.count(ABSENT)
        if found != (len(CELLS) - 1, made.count(None)) or _APART in line or "\0" in line:
            raise ledger_unavailable()
        return line.encode()
    except UnicodeError as error:
        raise ledger_unavailable() from error


def joined(lines: Sequence[bytes]) -> bytes:
    """The cells of several answers, of one statement."""
    return APART.join(lines)


def with_new_ids(arguments: Sequence[Any]) -> list[Any]:
    """The parameters of a body statement for a second attempt: each of its disclosures gets another id.

    Whether the first attempt was committed nobody knows. Then it is a disclosure of an answer that never left, which
    is allowed; two rows of one id would not be.
    """
    lines: bytes = arguments[0]
    again = [new_id().encode() + line[line.index(_BETWEEN) :] for line in lines.split(APART)]
    return [joined(again), *arguments[1:]]


def id_in(arguments: Sequence[Any]) -> str:
    """The id of the one disclosure that these parameters of a body statement write."""
    line: bytes = arguments[0]
    return line[: line.index(_BETWEEN)].decode()


_HASHES: Final = tuple(CELLS.index(name) for name in ("document_hash", "fields_hash", "basis_hash"))
_BETWEEN, _APART = BETWEEN.encode(), APART.decode()


def ledger_unavailable() -> LedgerUnavailable:
    """What a client gets for any fault here. A row that was written after all is harmless: it disclosed nothing."""
    return LedgerUnavailable(
        "the disclosure could not be recorded, so nothing was disclosed; try again later",
        "查询记录无法写入，因此未披露任何信息，请稍后再试",
    )


def of_the_account(error: StorageUnavailable) -> bool:
    """Whether a body statement failed by what only its disclosure does: write."""
    cause = error.__cause__
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return "disclos" in str(cause)  # the function's name, or the table's; everything else is a wall's
    return isinstance(cause, _OF_WRITING)


_OF_WRITING: Final = (
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or an operator who has made it read-only
    asyncpg.DiskFullError,
    asyncpg.LockNotAvailableError,  # readers wait for no lock
    asyncpg.IntegrityConstraintViolationError,  # a partition that is lacking too
)
