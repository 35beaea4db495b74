"""The rule of consents for whoever asks a source, and the requests that are still pending under one.

In: the pool of the role `service`; which subject is asked about, under which consent, by whom, for what. Out: the
consent where all of it matches today, else None: unknown, another's, revoked, ended and not yet begun are one answer.
Called by sources/ before a bank is asked.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.base import Consent
from gateway.storage.pool import Pool, same

BANKS = "BANKS"  # the scope that lets banks be asked (codeList ConsentScope)

# The day is the database's, in the statement: a process whose clock is wrong asks under no consent that has ended.
_MATCH = """select p.n::int as n, c.external_id::text as id, c.subject_uscc as uscc, c.grantee_uscc as grantee,
    c.matter as matter, c.document_sha256 as sha256, c.valid_to::text as valid_to
from unnest($1::uuid[], $2::text[]) with ordinality p(id, uscc, n)
join core.consent c on c.external_id = p.id and c.subject_uscc = p.uscc
where c.grantee_uscc = $3 and c.matter = $4 and $5 = any (c.scope)
    and core.today() between c.valid_from and c.valid_to
    and not exists (select from core.consent_revocation w where w.consent_id = c.id)"""
_FIND = """select request_id::text as id from core.pending_request
where source_code = $1 and uscc = $2 and consent_id = $3 and apart = $4 and until >= core.today()"""
_KEEP = """insert into core.pending_request (source_code, uscc, consent_id, apart, request_id, until)
values ($1, $2, $3, $4, $5, $6)
on conflict (source_code, uscc, consent_id, apart)
do update set request_id = excluded.request_id, until = excluded.until"""
_FORGET = "delete from core.pending_request where source_code = $1 and uscc = $2 and consent_id = $3 and apart = $4"
# Requests whose last day has passed.
SWEEP_PENDING = "delete from core.pending_request where until < core.today()"


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent that holds today for the subject, grantee, matter and scope that were asked for."""

    id: uuid.UUID
    uscc: str
    grantee_uscc: str
    matter: str
    document_sha256: str
    valid_to: dt.date


async def match(
    pool: Pool,
    pairs: Sequence[tuple[uuid.UUID, str]],
    *,
    grantee_uscc: str,
    matter: str,
    scope: str = BANKS,
    until: float | None = None,
) -> list[ConsentRow | None]:
    """For each pair (consent, subject's code) its consent, in their order; None where it does not match, never why.

    One statement, by `until` (time.monotonic(), s). Raises StorageUnavailable: then nobody may be asked.
    """
    if not pairs:
        return []
    ids, usccs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = await pool.fetch(_MATCH, (ids, usccs, grantee_uscc, matter, scope), until=until, read=_rows, again=same)
    return [found.get(place) for place in range(1, len(pairs) + 1)]


def _rows(rows: Iterable[Any]) -> dict[int, ConsentRow]:
    return {
        row["n"]: ConsentRow(
            uuid.UUID(row["id"].decode()),
            row["uscc"].decode(),
            row["grantee"].decode(),
            row["matter"].decode(),
            row["sha256"].decode(),
            dt.date.fromisoformat(row["valid_to"].decode()),
        )
        for row in rows
    }


class StoredConsents:
    """The consents of the database, as sources/ asks for them (sources/wanted.Consents)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def matching(
        self, pairs: Sequence[tuple[str, str]], *, grantee: str, matter: str, scope: str
    ) -> dict[tuple[str, str], Consent]:
        """Of (UUID of a consent as text, USCC) those that match today. Raises StorageUnavailable."""
        asked = [(uuid.UUID(consent), uscc) for consent, uscc in pairs]
        rows = await match(self._pool, asked, grantee_uscc=grantee, matter=matter, scope=scope)
        return {
            pair: Consent(str(row.id), row.document_sha256, row.grantee_uscc, row.valid_to.isoformat())
            for pair, row in zip(pairs, rows, strict=True)
            if row is not None
        }


class PendingRequests:
    """Questions of one source that it will answer later, shared by all processes: by which request they go on. `apart`:
    for whom (connectors/base.RequestBook).

    Consents are UUIDs as text. Every method raises StorageUnavailable where the database does not answer.
    """

    def __init__(self, pool: Pool, source_code: str) -> None:
        self._pool = pool
        self._source = source_code

    async def find(self, uscc: str, consent_id: str, apart: str = "") -> str | None:
        """The request's id, if one is pending and its last day has not passed."""
        rows = await self._pool.fetch(_FIND, (self._source, uscc, uuid.UUID(consent_id), apart), again=same)
        return str(rows[0]["id"], "ascii") if rows else None

    async def keep(self, uscc: str, consent_id: str, request_id: str, until_iso: str, apart: str = "") -> None:
        """Keep that a question is pending until that day (YYYY-MM-DD), in the place of an older one."""
        day = dt.date.fromisoformat(until_iso)
        values = (self._source, uscc, uuid.UUID(consent_id), apart, uuid.UUID(request_id), day)
        await self._pool.fetch(_KEEP, values, again=same)

    async def forget(self, uscc: str, consent_id: str, apart: str = "") -> None:
        """It was answered, or is lost."""
        await self._pool.fetch(_FORGET, (self._source, uscc, uuid.UUID(consent_id), apart), again=same)
