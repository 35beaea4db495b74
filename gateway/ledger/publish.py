"""What the sequencer calls after it has made leaves: full tiles are stored, and a checkpoint over all is signed.

In: a connection of the role `log`, the leaves in ledger.leaf. Out: rows of ledger.tile and ledger.checkpoint, in one
transaction. Whoever is killed leaves nothing half done; whoever comes next takes the edge out of the tables. Before it
signs, what was signed last must follow from the rows and be signed by our own key; where it does not, nothing is signed
any more until somebody has looked (`credit-gateway ledger verify`).
"""

from __future__ import annotations

import logging
import time
from typing import Final

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.auth.keys import KeyStore
from gateway.ledger.head import (
    CHECKPOINTS,
    COSIGNATURES,
    LAST,
    LEAVES,
    Fetch,
    Head,
    Tampered,
    log_name,
    of_connection,
    read_edge,
    read_head,
    signer,
)
from gateway.ledger.notes import Checkpoint, Signer, read_note
from gateway.ledger.tiles import Edge

logger = logging.getLogger(__name__)

_ALONE: Final = "select ledger.hold('publishing', true)"  # one publishes at a time, whoever believes to lead
_CHUNK: Final = 1_000  # leaves that are read at once: the loop serves answers between them
_SAID: Final = 60.0  # s between two lines of the log about the same
_SIZE: Final = "select size from ledger.log_state"
_TILES: Final = (
    "insert into ledger.tile (level, n, hash) select * from unnest($1::smallint[], $2::bigint[], $3::bytea[])"
)
_CHECKPOINT: Final = "insert into ledger.checkpoint (size, at, root, note) values ($1, clock_timestamp(), $2, $3)"


class Publisher:
    """Signs checkpoints of one log. `origin` empty: that of the last checkpoint, else the one of the issuer."""

    def __init__(self, keys: KeyStore, registry: CollectorRegistry, *, issuer: str, origin: str = "") -> None:
        self._keys = keys
        self._issuer = issuer
        self._origin = origin
        self._head: Head | None = None  # what we have seen or signed last
        self._signer: tuple[str, Signer] | None = None  # by the key's kid
        self._said = 0.0
        self._size = Gauge("credit_log_checkpoint_size", "Entries under the last checkpoint", registry=registry)
        self._at = Gauge("credit_log_checkpoint_seconds", "Unix time of the last checkpoint", registry=registry)
        self._signed = Counter("credit_log_checkpoints", "Checkpoints that this process has signed", registry=registry)
        self._tampered = Gauge(
            "credit_log_tampered", "1: rows do not give what was signed, and nothing is signed", registry=registry
        )

    async def publish(self, connection: asyncpg.Connection[asyncpg.Record]) -> bool:
        """Sign a checkpoint over all leaves, unless that has been done. False where nothing may be signed: that is
        said in the log and in credit_log_tampered, and looked at anew the next time. Raises what asyncpg raises."""
        try:
            async with connection.transaction():
                head, signed = await self._publish(connection)
        except Tampered as error:
            self._tampered.set(1)
            if time.monotonic() - self._said > _SAID:
                self._said = time.monotonic()
                logger.critical("the log is not signed any more: %s; run: credit-gateway ledger verify", error)
            return False
        if signed:
            self._signed.inc()
            self._at.set_to_current_time()
        self._head = head
        self._size.set(head.checkpoint.size)
        self._tampered.set(0)
        return True

    async def _publish(self, connection: asyncpg.Connection[asyncpg.Record]) -> tuple[Head, bool]:
        """The head over all leaves, and whether it was signed now."""
        await connection.execute(_ALONE)
        fetch = of_connection(connection)
        head = self._head
        last = await connection.fetchrow(LAST)
        if head is None or last is None or (last["size"], last["note"]) != (head.checkpoint.size, head.note):
            # We have just begun, another process has signed meanwhile, or whether we had committed was not known.
            seen, head = head, await read_head(fetch, self._keys)
            if last is not None:
                self._at.set(last["seconds"])
            if seen is not None:
                await _goes_on(fetch, seen, head)
        size = await connection.fetchval(_SIZE)
        was = head.checkpoint.size if head else 0
        if size < was:
            raise Tampered(f"{was} entries were signed, and there are {size}")
        made = self._signer_for(head)
        if head and size == was and _by(made, head):
            return head, False
        edge = head.edge.copy() if head else Edge()
        await self._extend(connection, edge, size)
        return await self._sign(connection, edge, made), True

    def _signer_for(self, head: Head | None) -> Signer:
        """The current key under the log's name, which stays what it was."""
        name = head.checkpoint.origin if head else log_name(self._origin, self._issuer)
        if self._origin and name != self._origin:
            raise Tampered(f"GATEWAY_LOG_ORIGIN is {self._origin}, and the log's checkpoints say {name}")
        kid = self._keys.current(CHECKPOINTS).kid
        if self._signer is None or self._signer[0] != kid or self._signer[1].name != name:
            self._signer = kid, signer(self._keys, CHECKPOINTS, name)
            self._keys.current(COSIGNATURES)  # made with it: other regions pin it before we have cosigned anything
        return self._signer[1]

    async def _extend(self, connection: asyncpg.Connection[asyncpg.Record], edge: Edge, size: int) -> None:
        """Grow the edge to that size, and store the roots of the tiles that have become full."""
        while edge.size < size:
            begin, end = edge.size, min(edge.size + _CHUNK, size)
            rows = await connection.fetch(LEAVES, begin, end)
            if len(rows) != end - begin:
                raise Tampered(f"of the entries {begin} to {end - 1} only {len(rows)} are there")
            full = edge.extend([row["hash"] for row in rows])
            if full:
                try:
                    await connection.execute(_TILES, *map(list, zip(*full, strict=True)))
                except asyncpg.UniqueViolationError:
                    raise Tampered(f"tiles are there beyond the {begin} entries that were signed") from None

    async def _sign(self, connection: asyncpg.Connection[asyncpg.Record], edge: Edge, made: Signer) -> Head:
        checkpoint = Checkpoint(made.name, edge.size, edge.root())
        note = str(checkpoint.signed([made]))
        await connection.execute(_CHECKPOINT, checkpoint.size, checkpoint.root, note)
        return Head(checkpoint, note, edge)


async def _goes_on(fetch: Fetch, seen: Head, head: Head | None) -> None:
    """Raises Tampered unless the log still begins with what this process has seen of it."""
    size = seen.checkpoint.size
    if head is None or head.checkpoint.size < size:
        raise Tampered(f"the checkpoint at {size} entries is no longer there")
    if (await read_edge(fetch, size)).root() != seen.checkpoint.root:
        raise Tampered(f"the first {size} entries are no longer those that were signed")


def _by(made: Signer, head: Head) -> bool:
    """Whether the head was signed with this key: after a rotation it is signed once more."""
    return any(made.verifier.made(signature) for signature in read_note(head.note.encode()).signatures)
