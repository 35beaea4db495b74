"""Receipts: made of the disclosure's own row, and proved by the log afterwards.

In: a pool of the role `log`, the keys, what the log has published. Out: the receipt of a disclosure that was just
committed; and for its id, which nobody can guess, where it is in the log and what became of it since.
"""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final

from gateway.auth.keys import KeyStore
from gateway.errors import BadUserInput, LedgerUnavailable
from gateway.ledger import receipt
from gateway.ledger.commitment import of_disclosure
from gateway.ledger.head import origin_of
from gateway.ledger.merkle import inclusion_parts
from gateway.ledger.notes import checkpoint_of, read_note
from gateway.ledger.published import Published
from gateway.ledger.tiles import TileHashes, tiles_for
from gateway.storage.identifiers import mask_identity_numbers_in
from gateway.storage.lane import Record
from gateway.storage.pool import Pool, same

# Whatever is written after this has a greater transaction id.
MOST_VARIABLES: Final = 131_072  # characters of JSON, of which a receipt can be made
_BEFORE: Final = "select pg_snapshot_xmax(pg_current_snapshot())::text as before"
# Between two bounds, which take the index on xid whatever the plan: nothing else leads to a row that was just written.
_WRITTEN: Final = """
select d.id, d.at, d.salt, d.client_id, d.organisation_uscc, d.view, d.matter, d.case_number, d.on_behalf_of, d.outcome,
    d.operation_name, d.document_hash, d.variables, d.subject_ids, d.snapshot, d.sources, d.withheld, d.fields_hash,
    d.basis_hash, f.text as fields
from ledger.disclosure d left join ledger.told f on f.hash = d.fields_hash
where d.xid >= $1::text::xid8 and d.xid < pg_snapshot_xmax(pg_current_snapshot()) and d.id = $2::text::uuid"""
# By the leaf, which says where the row is, and stays when the row's time is over.
_FOUND: Final = """
select l.index, l.entry, case when d.id is null then 'NOT_KEPT'
    else ledger.standing(d.subject_ids, d.snapshot::pg_snapshot, d.at, d.view, d.matter, d.organisation_uscc)
    end as standing
from ledger.leaf l left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id
where l.id = $1::uuid and l.kind = 'D'"""
_ENTRY: Final = """
select l.index, l.entry, case when d.id is null then 'NOT_KEPT'
    else ledger.standing(array[e.subject_id], d.snapshot::pg_snapshot, d.at, 'SELF', d.matter, d.organisation_uscc)
    end as standing
from ledger.subject_entry e join ledger.leaf l on l.index = e.leaf_index
left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id
where e.subject_id = $1::text::uuid and e.number = $2
    and ledger.entry_receipt(e.subject_id, e.number) = $3::text"""
# Not in the log yet: one of the last, or none.
_WAITING: Final = """
select exists (select from ledger.log_state s join ledger.disclosure d on d.xid >= pg_snapshot_xmax(s.snapshot)
    where d.id = $1::uuid)
or exists (select from ledger.log_state s cross join pg_snapshot_xip(s.snapshot) x(id)
    join ledger.disclosure d on d.xid = x.id where d.id = $1::uuid) as waiting"""


class NotYet(Exception):
    """The disclosure is there and will be in the log within seconds."""


class Receipts:
    """Makes receipts. `origin`: of our log, as long as it has not said one itself; empty: that of the issuer."""

    def __init__(self, pool: Pool, keys: KeyStore, log: Published, *, issuer: str, origin: str = "") -> None:
        self._pool = pool
        self._keys = keys
        self._log = log
        self._issuer = issuer
        self._origin = origin or origin_of(issuer)
        self._known_origin = ""

    async def before(self, until: float) -> str:
        """A mark that stands before whatever is written from now on."""
        self._keys.current(receipt.JOB)  # a key that can't be read is found before anything is written
        rows = await self._pool.fetch(_BEFORE, (), until=until, again=same)
        return str(rows[0]["before"].decode())

    def digest(self, document_hash: bytes, operation_name: str | None, variables: Mapping[str, Any]) -> bytes:
        """receipt.request_digest without identity numbers, which could be tried until one fits. Raises BadUserInput."""
        if len(json.dumps(variables)) > MOST_VARIABLES:  # looked through for numbers, which takes its time
            raise BadUserInput(
                f"a receipt is of variables with at most {MOST_VARIABLES} characters of JSON; send less of them",
                f"出具回执的变量最多 {MOST_VARIABLES} 个 JSON 字符，请减少多余内容",
            )
        masked = mask_identity_numbers_in(variables)
        assert isinstance(masked, dict)
        try:
            return receipt.request_digest(document_hash, operation_name, masked)
        except ValueError:
            raise BadUserInput(
                "a receipt can't be made of these variables; numbers may have 53 bits, texts must be Unicode",
                "无法为这些变量出具回执；数值不得超过 53 位，文本必须为合法的 Unicode",
            ) from None

    async def issue(self, disclosure_id: str, since: str, digest: bytes, until: float) -> str:
        """The receipt of a disclosure that was committed since the mark. Raises LookupError where there is none."""
        rows = await self._pool.fetch(_WRITTEN, (since, disclosure_id), until=until, again=same)
        if len(rows) != 1:
            raise LookupError("the disclosure is not there under its id")
        row = rows[0]
        known = {name: value.decode() if name in _TEXTS and value is not None else value for name, value in row.items()}
        claims = {
            "iss": self._issuer,
            "iat": int(time.time()),
            "disclosure": str(uuid.UUID(disclosure_id)),
            "entry": receipt.base64url(of_disclosure(known).entry),
            "request": receipt.base64url(digest),
            "view": known["view"],
            "client": known["client_id"],
            "organisation": known["organisation_uscc"],
            "on_behalf_of": known["on_behalf_of"],
            "purpose": {"matter": known["matter"], "case_number": known["case_number"]},
            "subjects": [str(found) for found in known["subject_ids"]],
            "sources": json.loads(known["sources"]),
            "fields": json.loads(known["fields"] or "{}"),
            "withheld": json.loads(known["withheld"]),
            "verdicts": [],
            "policy": None,
            "log": {"origin": await self._log_origin(), "promise": {"seconds": receipt.PROMISE}},
        }
        return receipt.signed(claims, self._keys.current(receipt.JOB))

    async def proof(self, disclosure_id: uuid.UUID) -> Mapping[str, Any] | None:
        """Where a disclosure is in the log, and what became of it, as JSON; None for an id that is none. Raises NotYet,
        StorageUnavailable, LedgerUnavailable."""
        rows = await self._pool.fetch(_FOUND, (str(disclosure_id),), again=same)
        if not rows:
            waiting = await self._pool.fetchrow(_WAITING, (str(disclosure_id),))
            if waiting["waiting"]:
                raise NotYet
            # Its leaf may have been made between the two looks.
            rows = await self._pool.fetch(_FOUND, (str(disclosure_id),), again=same)
            if not rows:
                return None
        return {"disclosure": str(disclosure_id), **await self._included(rows[0])}

    async def proof_of_entry(self, receipt_id: str) -> Mapping[str, Any] | None:
        """The same of one subject's entry, by its receiptId: of this subject alone."""
        subject, number = entry_named(receipt_id)
        rows = await self._pool.fetch(_ENTRY, (str(subject), number, receipt_id), again=same)
        return {"receiptId": receipt_id, **await self._included(rows[0])} if rows else None

    async def _included(self, row: Record) -> dict[str, Any]:
        index = row["index"]
        note = await self._log.checkpoint()
        if note is None:
            raise NotYet
        checkpoint = checkpoint_of(read_note(note).text)
        if index >= checkpoint.size:
            raise NotYet
        parts = inclusion_parts(index, checkpoint.size)
        tiles = {}
        for tile in tiles_for(parts, checkpoint.size):
            found = await self._log.tile(tile)
            if found is None:
                raise LedgerUnavailable("a tile of the log is missing", "日志数据缺失")
            tiles[tile] = found
        path = TileHashes(checkpoint.size, tiles).proof(parts)
        return {
            "entry": receipt.base64url(row["entry"]),
            "index": index,
            "size": checkpoint.size,
            "path": [b64encode(step).decode() for step in path],
            "checkpoint": note.decode(),
            "status": row["standing"].decode(),
        }

    async def _log_origin(self) -> str:
        """The log's name, which it keeps for ever: what its checkpoints say."""
        if not self._known_origin:
            note = await self._log.checkpoint()
            if note is None:
                return self._origin
            self._known_origin = checkpoint_of(read_note(note).text).origin
        return self._known_origin


def entry_named(receipt_id: str) -> tuple[uuid.UUID, int]:
    """Subject and number in the receipt id of an entry (ledger.entry_receipt), whether there is one or not."""
    data = urlsafe_b64decode(receipt_id + "==")
    return uuid.UUID(bytes=data[:16]), int.from_bytes(data[16:24], "big", signed=True)


_TEXTS: Final = frozenset(
    (
        "client_id", "organisation_uscc", "view", "matter", "case_number", "on_behalf_of", "outcome", "operation_name",
        "variables", "snapshot", "sources", "withheld", "fields",
    )
)  # fmt: skip
