"""Witnessing: another log's checkpoint is cosigned only if it goes on from what we have seen of that log.

In: a connection of the role `log`, notes from elsewhere, a way to a proof. Out: rows of ledger.witnessed and
ledger.cosignature, C2SP tlog-cosignature. What is found to be forked is never cosigned; the two checkpoints that the
log's own key has signed are the proof, and are in the error.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import asyncpg

from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger.head import COSIGNATURES, of_connection, read_edge, signer, verifiers
from gateway.ledger.merkle import Part, ProofError, consistency_parts, verify_consistency
from gateway.ledger.notes import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    Note,
    NoteError,
    Verifier,
    WrongSignature,
    check_name,
    checkpoint_of,
    cosigned_at,
    read_note,
)

Prove: TypeAlias = Callable[[Sequence[Part], int], Awaitable[list[bytes]]]  # hashes of parts of the tree of a size
AHEAD: Final = 300  # s that another's clock may be ahead of ours
_LAST: Final = "select size, root, note from ledger.witnessed where origin = $1 order by size desc, at desc limit 1"
_KEEP: Final = "insert into ledger.witnessed (origin, size, root, note) values ($1, $2, $3, $4)"
_ALONE: Final = "select ledger.hold('witnessing', true)"
_COSIGNATURE: Final = """insert into ledger.cosignature (size, root, name, line) values ($1, $2, $3, $4)
    on conflict do nothing"""


class Forked(OperatorError):
    """Two checkpoints of one log that no one history has. `evidence`: both notes."""

    def __init__(self, message: str, evidence: Sequence[str]) -> None:
        super().__init__(message)
        self.evidence = tuple(evidence)


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint whose signature holds, with its note."""

    checkpoint: Checkpoint
    note: Note


def seen(data: bytes, keys: Sequence[Verifier]) -> Seen:
    """A checkpoint out of its bytes, signed by one of these keys under its own name. Raises NoteError, and of
    these WrongSignature where a key of these has not signed what it says."""
    note = read_note(data)
    checkpoint = checkpoint_of(note.text)
    own = [key for key in keys if key.kind == ED25519 and key.name == checkpoint.origin]
    if not own:
        others = ", ".join(sorted({key.name for key in keys})) or "none"
        raise NoteError(
            f"it is a checkpoint of {check_name(checkpoint.origin)}, and the verifier keys given are of {others};"
            " /log/verifiers there has its key: have it confirmed by its operator, and give it with --key VKEY"
        )
    note.held_by(own)
    return Seen(checkpoint, note)


async def consistent(old: Seen, new: Seen, prove: Prove) -> None:
    """Raises Forked unless the tree of `new` begins with that of `old`, and ProofError or what `prove` raises where its
    tiles don't even give its own root."""
    if old.checkpoint.origin != new.checkpoint.origin:
        raise OperatorError("these are checkpoints of two different logs")
    if old.checkpoint.size > new.checkpoint.size:
        old, new = new, old
    was, now = old.checkpoint, new.checkpoint
    parts = consistency_parts(was.size, now.size)
    try:
        verify_consistency(was.size, now.size, was.root, now.root, await prove(parts, now.size) if parts else [])
    except ProofError as error:
        raise Forked(
            f"{was.origin} has forked, or its tiles are not those of its checkpoint: {error}",
            (str(old.note), str(new.note)),
        ) from None


async def cosign(
    connection: asyncpg.Connection[asyncpg.Record], keys: KeyStore, name: str, new: Seen, prove: Prove
) -> Note:
    """Check the checkpoint against the last one that we have cosigned of its log, cosign it under our `name`, and keep
    it. Returns it with our cosignature. Raises Forked; nothing is cosigned or kept then."""
    origin, checkpoint = new.checkpoint.origin, new.checkpoint
    async with connection.transaction():
        # Looking and keeping are one step, so that no slower one puts an older checkpoint in place of a newer.
        await connection.execute(_ALONE)
        row = await connection.fetchrow(_LAST, origin)
        if row is not None:
            note = read_note(row["note"].encode())
            old = Seen(checkpoint_of(note.text), note)
            if old.checkpoint.size > checkpoint.size:
                raise Forked(
                    f"{origin} shows {checkpoint.size} entries, and had shown {old.checkpoint.size}: it was set back, "
                    "or this is an old copy",
                    (str(old.note), str(new.note)),
                )
            await consistent(old, new, prove)
        made = signer(keys, COSIGNATURES, name)
        cosigned = Note(new.note.text, (*_own(new), made.sign(new.note.text, int(time.time()))))
        await connection.execute(_KEEP, origin, checkpoint.size, checkpoint.root, str(cosigned))
    return cosigned


def _own(new: Seen) -> list[Any]:
    """The log's own signatures: what others put there is not ours to pass on."""
    return [signature for signature in new.note.signatures if signature.name == new.checkpoint.origin]


async def keep_cosignatures(
    connection: asyncpg.Connection[asyncpg.Record], keys: KeyStore, data: bytes, witnesses: Sequence[Verifier]
) -> tuple[Checkpoint, list[str]]:
    """Keep what these witnesses have cosigned of our own log, out of a note of theirs. Returns the checkpoint, and the
    names of those who did. Raises NoteError, of these WrongSignature where a key of ours or of theirs has not signed
    what is there, Forked where it is not our tree."""
    note = read_note(data)
    checkpoint = checkpoint_of(note.text)
    try:
        note.held_by(verifiers(keys, check_name(checkpoint.origin)))
    except WrongSignature:
        raise WrongSignature("our own log has not signed what was cosigned: its signature does not hold") from None
    except NoteError as error:
        raise NoteError(
            f"what was cosigned is not of our own log, by the keys of this machine: {error}; machines that serve one"
            " database share the folder of keys"
        ) from None
    own = [key for key in witnesses if key.kind == COSIGNATURE]
    there = {line.name for line in note.signatures} - {checkpoint.origin}
    if not there & {key.name for key in own}:
        others = ", ".join(sorted({key.name for key in own})) or "none"
        raise NoteError(
            f"it is cosigned by {', '.join(sorted(there)) or 'nobody'}, and the verifier keys given are of {others}"
        )
    lines = note.held_by(own)
    if any(cosigned_at(line) > time.time() + AHEAD for line in lines):
        raise NoteError("a cosignature is of the future")

    size = await connection.fetchval("select max(size) from ledger.checkpoint")
    if size is None or checkpoint.size > size:
        raise Forked(f"{checkpoint.size} entries were cosigned of our log, which has signed {size or 0}", (str(note),))
    if (await read_edge(of_connection(connection), checkpoint.size)).root() != checkpoint.root:
        raise Forked(f"another tree of {checkpoint.size} entries was cosigned of our log", (str(note),))
    for line in lines:
        await connection.execute(_COSIGNATURE, checkpoint.size, checkpoint.root, line.name, line.line)
    return checkpoint, [line.name for line in lines]
