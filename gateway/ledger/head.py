"""The head of our own log: what was signed last, held against what the rows give.

In: a way to ask the database (role `log`), and the keys that may have signed. Out: the last checkpoint with the tree's
edge at its size, or Tampered: then somebody has changed what was published, and nothing may be signed on top of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey

from gateway.auth.keys import KeyStore, SigningKey
from gateway.errors import OperatorError
from gateway.ledger.merkle import ProofError
from gateway.ledger.notes import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    NoteError,
    Signer,
    Verifier,
    check_name,
    checkpoint_of,
    read_note,
)
from gateway.ledger.tiles import HEIGHT, Edge, widths

CHECKPOINTS: Final = "checkpoints"  # the jobs of keys (gateway.auth.keys)
COSIGNATURES: Final = "cosignatures"
SIGNED_WITH: Final = {CHECKPOINTS: ED25519, COSIGNATURES: COSIGNATURE}

Fetch: TypeAlias = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]  # rows of a statement

LAST: Final = """select size, root, note, extract(epoch from at)::float8 as seconds from ledger.checkpoint
    order by size desc, at desc limit 1"""
LEAVES: Final = "select hash from ledger.leaf where index >= $1 and index < $2 order by index"
# A row for each full tile: its root, which is a hash of the level above.
TILES: Final = "select hash from ledger.tile where level = $1 and n >= $2 and n < $3 order by n"
# Seconds that the oldest disclosure has waited: one that is no leaf yet, by the index on transactions, or the first
# leaf that no checkpoint is over. No row where none waits.
UNSIGNED: Final = """select extract(epoch from now() - min(o.at))::float8 as seconds from ledger.log_state s
    cross join lateral (
        (select d.at from ledger.disclosure d where d.xid >= pg_snapshot_xmax(s.snapshot) order by d.xid limit 1)
        union all
        (select l.at from ledger.leaf l where l.index = (select coalesce(max(c.size), 0) from ledger.checkpoint c))
    ) o having min(o.at) is not null"""


class Tampered(OperatorError):
    """What the rows give is not what was signed: `credit-gateway ledger verify` says where they differ."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last checkpoint with its note, and the edge of the tree at its size."""

    checkpoint: Checkpoint
    note: str
    edge: Edge


def origin_of(issuer: str) -> str:
    """The origin of the log of an issuer: its URL without the scheme, and /log. Raises NoteError where none fits."""
    parts = urlsplit(issuer)
    return check_name(f"{parts.netloc}{parts.path.rstrip('/')}/log")


def log_name(origin: str, issuer: str) -> str:
    """The name of a log that has no checkpoint yet: `origin` where one is set, else after the issuer. Raises
    NoteError."""
    return check_name(origin or origin_of(issuer))


def of_connection(connection: asyncpg.Connection[asyncpg.Record]) -> Fetch:
    """A connection as what is asked."""

    async def fetch(sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return await connection.fetch(sql, *arguments)

    return fetch


def text_of(value: str | bytes) -> str:
    """A column of text: pools give bytes."""
    return value if isinstance(value, str) else value.decode()


def verifiers(keys: KeyStore, origin: str, jobs: Iterable[str] = (CHECKPOINTS,)) -> list[Verifier]:
    """The verifier keys of these jobs under that name, newest first, retired ones included."""
    return [
        Verifier(origin, SIGNED_WITH[job], _public(key).public_bytes_raw())
        for job in jobs
        for key in reversed(keys.all())
        if key.job == job
    ]


def signer(keys: KeyStore, job: str, name: str) -> Signer:
    """The current key of a job as a signer; made now where there is none yet."""
    key = keys.current(job).key
    private = key.private_key if isinstance(key, OKPKey) else None
    if not isinstance(private, Ed25519PrivateKey):
        raise OperatorError(f"the key of job {job} is no Ed25519 key; run: credit-gateway keys rotate --job {job}")
    return Signer(name, SIGNED_WITH[job], private)


def _public(key: SigningKey) -> Ed25519PublicKey:
    public = key.key.public_key if isinstance(key.key, OKPKey) else None
    if not isinstance(public, Ed25519PublicKey):
        raise OperatorError(f"the key {key.kid} of job {key.job} is no Ed25519 key")
    return public


async def read_head(fetch: Fetch, keys: KeyStore) -> Head | None:
    """The head of the log; None where nothing was signed yet. Raises Tampered."""
    rows = await fetch(LAST, ())
    if not rows:
        return None
    note = text_of(rows[0]["note"])
    checkpoint = held(note, keys)
    if (checkpoint.size, checkpoint.root) != (rows[0]["size"], rows[0]["root"]):
        raise Tampered(f"the checkpoint stored as of {rows[0]['size']} entries says something else")
    edge = await read_edge(fetch, checkpoint.size)
    if edge.root() != checkpoint.root:
        raise Tampered(f"the stored leaves and tiles do not give the root that was signed at {checkpoint.size} entries")
    return Head(checkpoint, note, edge)


def held(note: str, keys: KeyStore) -> Checkpoint:
    """The checkpoint of a note that one of our own keys has signed, whatever the origin then was. Raises Tampered."""
    try:
        read = read_note(note.encode())
        checkpoint = checkpoint_of(read.text)
        read.held_by(verifiers(keys, check_name(checkpoint.origin)))
    except NoteError as error:
        raise Tampered(
            f"a stored checkpoint is not what this log has signed: {error}; or this machine has other keys: machines"
            " that serve one database share the folder of keys"
        ) from None
    return checkpoint


async def read_edge(fetch: Fetch, size: int) -> Edge:
    """The edge of the tree of that size, out of its leaves and the roots of its full tiles. Raises Tampered."""
    rows: list[list[bytes]] = []
    for level, width in enumerate(widths(size)):
        end = size >> HEIGHT * level
        begin = end - width
        if not width:
            rows.append([])
            continue
        if level:
            found = await fetch(TILES, (level - 1, begin, end))
        else:
            found = await fetch(LEAVES, (begin, end))
        rows.append([row["hash"] for row in found])
    try:
        return Edge(size, rows)
    except ProofError:
        raise Tampered(f"leaves or tiles are missing below {size} entries") from None
