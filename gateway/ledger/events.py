"""Events of the log are signed, with the key of job `checkpoints`, which the database has not.

In: a transaction that has written an event (ledger.event), what the keys are. Out: its content with time, kind and
number, and a C2SP signature line over it. The text that is signed begins with another line than a checkpoint's, whose
first is the log's origin: neither can be taken for the other. For whoever writes events, and for what verifies them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger.commitment import time_of
from gateway.ledger.head import CHECKPOINTS, LAST, held, log_name, signer
from gateway.ledger.notes import Signer, Verifier, signature_lines
from gateway.storage.canonical import canonical_json

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Keys: TypeAlias = Callable[[str], Sequence[Verifier]]  # of the log of that origin

_WRITTEN: Final = """select id, at, kind, content, (select coalesce(max(number), 0) + 1 from ledger.event) as number
    from ledger.event where xid = pg_current_xact_id() and signature is null"""
_SIGN: Final = "select ledger.sign_event($1, $2, $3, $4)"
_SIGNED: Final = "select exists (select from ledger.event where number is not null)"
_BEGIN: Final = "select ledger.begin_signing($1)"


def text_of_event(origin: str, content: str) -> str:
    """What is signed of an event of the log of that origin."""
    return f"credit-event/v1\n{origin}\n{content}\n"


class Events:
    """Signs. `origin` as in gateway.ledger.publish.Publisher."""

    def __init__(self, keys: KeyStore, *, issuer: str, origin: str = "") -> None:
        self._keys = keys
        self._issuer = issuer
        self._origin = origin

    async def sign(self, connection: Connection, kind: str) -> None:
        """Sign the event that this transaction has written, which holds ledger.log_state. Raises OperatorError where it
        is not one, of this kind: whoever has the database could put another beside it."""
        rows = await connection.fetch(_WRITTEN)
        if [row["kind"] for row in rows] != [kind]:
            found = ", ".join(row["kind"] for row in rows) or "none"
            raise OperatorError(f"one event of kind {kind} was to be signed, and there are: {found}; nothing was done")
        (row,) = rows
        told = {**json.loads(row["content"]), "at": time_of(row["at"]), "kind": kind, "number": row["number"]}
        content = canonical_json(told)
        made = await self._signer(connection)
        signature = made.sign(text_of_event(made.name, content))
        await connection.execute(_SIGN, row["id"], content, row["number"], signature.line)

    async def begin(self, connection: Connection) -> None:
        """The event from which on events are signed, where there is none yet. Called by who begins to lead."""
        if await connection.fetchval(_SIGNED):
            return
        async with connection.transaction():
            await connection.execute(_BEGIN, str((await self._signer(connection)).verifier))
            await self.sign(connection, "KEY")

    async def _signer(self, connection: Connection) -> Signer:
        """The current key under the log's name: that of its last checkpoint, which must be ours. Raises Tampered."""
        last = await connection.fetchrow(LAST)
        name = held(last["note"], self._keys).origin if last else log_name(self._origin, self._issuer)
        return signer(self._keys, CHECKPOINTS, name)


def signed(row: Mapping[str, Any], keys: Keys) -> bool:
    """Whether one of these keys has signed the content of an event."""
    try:
        (line,) = signature_lines(row["signature"] or "")
    except ValueError:  # no line of a signature (NoteError), or several
        return False
    text = text_of_event(line.name, row["content"])
    return any(key.made(line) and key.holds(text, line) for key in keys(line.name))
