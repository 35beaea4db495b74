"""Identity numbers that are kept: one is read for an answer.

In: the pool of the role `service`, the keys. Out: the number of one person. A view's role decides whether it may be
revealed (writes.py) and never has its ciphertext; whoever has the ciphertext has no key, which is not in the database.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from gateway.storage.persons import IdentityKeys
from gateway.storage.pool import Pool, same

_READ = (
    "select encode(ciphertext, 'hex') as number, encode(wrapped_key, 'hex') as key from core.sealed_identity($1::uuid)"
)


class Identities:
    """Reads identity numbers, one at a time."""

    def __init__(self, pool: Pool, keys: IdentityKeys) -> None:
        self._pool = pool
        self._keys = keys

    async def reveal(self, subject: uuid.UUID, *, until: float) -> str | None:
        """The person's number; None where there is none, or the person was erased (forget.py). By `until`
        (time.monotonic(), s). Raises StorageUnavailable, and StorageError where it was sealed under other keys."""
        found = await self._pool.fetch(_READ, (subject,), until=until, read=_first, again=same)
        if found is None:
            return None
        ciphertext, wrapped_key = found
        return self._keys.reveal(ciphertext, wrapped_key, subject)


def _first(rows: Sequence[Any]) -> tuple[bytes, bytes] | None:
    if not rows:
        return None
    return bytes.fromhex(rows[0]["number"].decode()), bytes.fromhex(rows[0]["key"].decode())
