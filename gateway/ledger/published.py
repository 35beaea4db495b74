"""What the log shows to everybody: its checkpoints, tiles and entries, and what it has cosigned for others.

In: a pool of the role `log`. Out: bytes as C2SP tlog-tiles has them, or None where there is nothing of that name.
Nothing beyond the last signed checkpoint is shown, so whatever is shown can be verified.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from gateway.auth.keys import KeyStore
from gateway.ledger.head import CHECKPOINTS, COSIGNATURES, UNSIGNED, Tampered, held, read_head, verifiers
from gateway.ledger.notes import NoteError, checkpoint_of, read_note
from gateway.ledger.retention import WAITING
from gateway.ledger.tiles import WIDTH, Tile, width_in
from gateway.storage.pool import Pool, same

MOST_COSIGNATURES: Final = 32  # of one checkpoint that are shown, one of each witness
_FRESH: Final = 0.2  # s for which the last checkpoint is not asked for again
_LINES: Final = f"""(select string_agg(s.line, '' order by s.at, s.line) from (
    select distinct on (name) name, line, at from ledger.cosignature s where s.size = c.size and s.root = c.root
    order by name, at desc, line limit {MOST_COSIGNATURES}) s)"""
_LAST: Final = f"""select c.note, coalesce({_LINES}, '') as lines
    from ledger.checkpoint c order by c.size desc, c.at desc limit $1"""
_COSIGNED: Final = f"""select c.note, {_LINES} as lines from ledger.checkpoint c
    where c.size = (select max(size) from ledger.cosignature) order by c.at desc limit 1"""
_BACK: Final = 32  # checkpoints that are looked through for one of ours where the last is none
_WITNESSED: Final = """select size, note from ledger.witnessed
    where encode(sha256(convert_to(origin, 'UTF8')), 'hex') = $1 order by size desc, at desc limit 1"""
_ENTRIES: Final = """select count(*) as count,
    string_agg(int2send(octet_length(entry)::int2) || entry, '' order by index) as found
    from ledger.leaf where index >= $1 and index < $2"""
_LEAVES: Final = """select string_agg(hash, '' order by index) as found, count(*) as count
    from ledger.leaf where index >= $1 and index < $2"""
_SEALED: Final = "select day, total from ledger.sealed_total order by day desc limit 1"
_LATE: Final = 60  # s after which a disclosure should be under a checkpoint whatever happens
_TILE: Final = """select string_agg(hash, '' order by n) as found, count(*) as count
    from ledger.tile where level = $3 and n >= $1 and n < $2"""


class Published:
    """The public side of our log."""

    def __init__(self, pool: Pool, keys: KeyStore) -> None:
        self._pool = pool
        self._keys = keys
        self._last: tuple[float, int, bytes] | None = None
        self._asking = asyncio.Lock()
        self._held: tuple[int, bytes] | None = None  # size and note of the one that was verified last

    async def checkpoint(self) -> bytes | None:
        """The last checkpoint with its cosignatures; None before the first."""
        return (await self._latest())[1]

    async def cosigned(self) -> bytes | None:
        """The last checkpoint that another region has cosigned."""
        rows = await self._pool.fetch(_COSIGNED, (), again=same)
        found = self._ours(rows[0]) if rows and rows[0]["lines"] else None
        return found[1] if found else None

    async def witnessed(self, origin: str) -> bytes | None:
        """The last checkpoint of another log that we have cosigned, by the SHA-256 of its origin in hex."""
        rows = await self._pool.fetch(_WITNESSED, (origin,), again=same)
        if not rows:
            return None
        data = bytes(rows[0]["note"])
        try:
            note = read_note(data)
        except NoteError:
            return None
        # Ours by whatever name we had: a name alone makes no signature.
        names = {line.name for line in note.signatures}
        own = [key for name in names for key in verifiers(self._keys, name, (COSIGNATURES,))]
        ours = any(key.made(line) and key.holds(note.text, line) for key in own for line in note.signatures)
        return data if ours else None

    async def tile(self, tile: Tile) -> bytes | None:
        """A tile or a bundle of entries; None where the last checkpoint has none of that width."""
        size = self._last[1] if self._last else 0
        if width_in(tile.level, tile.number, size) < tile.width:
            size = (await self._latest())[0]
            if width_in(tile.level, tile.number, size) < tile.width:
                return None
        begin = tile.number * WIDTH
        end = begin + tile.width
        if tile.level > 0:
            rows = await self._pool.fetch(_TILE, (begin, end, tile.level - 1), again=same)
        else:
            rows = await self._pool.fetch(_ENTRIES if tile.level < 0 else _LEAVES, (begin, end), again=same)
        found: bytes | None = rows[0]["found"]
        return found if rows[0]["count"] == tile.width else None

    async def sealed(self) -> bytes:
        """How many entries were sealed when the day began, in the whole log, as JSON: nothing else of them is told."""
        rows = await self._pool.fetch(_SEALED, (), again=same)
        day, total = (rows[0]["day"].isoformat(), rows[0]["total"]) if rows else (None, 0)
        return json.dumps({"day": day, "total": total}).encode()

    async def verifiers(self) -> bytes | None:
        """The verifier keys, one a line: those that sign checkpoints, then those that cosign others', each newest first
        and with those that are retired; None before the first checkpoint."""
        note = await self.checkpoint()
        if note is None:
            return None
        origin = checkpoint_of(read_note(note).text).origin
        found = verifiers(self._keys, origin, (CHECKPOINTS, COSIGNATURES))
        return "".join(f"{key}\n" for key in found).encode()

    async def warnings(self) -> list[str]:
        """What an operator should look at: rows that do not give what was signed, or that nobody takes; months that
        are to go at once."""

        async def fetch(sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
            return await self._pool.fetch(sql, arguments, again=same)

        try:
            await read_head(fetch, self._keys)
        except Tampered as error:
            return [f"the log: {error}; nothing more is signed, run: credit-gateway ledger verify"]
        rows = await self._pool.fetch(UNSIGNED, (), again=same)
        if rows and (seconds := round(rows[0]["seconds"])) > _LATE:
            return [
                f"the log: disclosures of {seconds} s ago are under no checkpoint; no process sequences and signs,"
                " see its log"
            ]
        rows = await self._pool.fetch(WAITING, (), again=same)
        if rows and rows[0]["months"] > 1:
            return [
                f"the ledger: {rows[0]['months']} months of disclosures are to go, from {rows[0]['earliest']} on; if"
                " that is not meant, mend the database's clock or ledger.retention (credit-gateway ledger retention)"
            ]
        return []

    async def _latest(self) -> tuple[int, bytes | None]:
        """Size and note of the last checkpoint. Asked for by one at a time, five times a second at most."""
        async with self._asking:
            last = self._last
            if last is not None and time.monotonic() - last[0] < _FRESH:
                return last[1], last[2]
            # Whoever has the role of the log could put a row there: shown is what our keys have signed, else what was
            # shown before, else the last that they have.
            rows = await self._pool.fetch(_LAST, (1,), again=same)
            found = self._ours(rows[0]) if rows else None
            if found is None and rows:
                found = (last[1], last[2]) if last else await self._further_back()
            if found is None:
                return 0, None
            self._last = (time.monotonic(), *found)
            return found

    async def _further_back(self) -> tuple[int, bytes] | None:
        rows = await self._pool.fetch(_LAST, (_BACK,), again=same)
        return next((found for row in rows if (found := self._ours(row))), None)

    def _ours(self, row: Any) -> tuple[int, bytes] | None:
        """Size and bytes of a stored checkpoint with its cosignatures; None where our keys have not signed it. Lines
        that are none are left out."""
        own, lines = bytes(row["note"]), bytes(row["lines"])
        if self._held is None or self._held[1] != own:
            try:
                self._held = held(own.decode(), self._keys).size, own
            except (Tampered, UnicodeDecodeError):
                return None
        try:
            read_note(own + lines)
        except NoteError:
            lines = b""
        return self._held[0], own + lines
