"""The log in its order: leaves, the roots that were signed, tiles.

In: a connection in a transaction that sees one moment, and the keys of the log. Out: findings. A checkpoint is looked
at when the tree has its size; two trees grow beside each other, since one gives roots and the other tiles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import asyncpg

from gateway.counted import counted
from gateway.ledger.findings import Findings
from gateway.ledger.merkle import Frontier
from gateway.ledger.notes import Checkpoint, Note, NoteError, UnknownKey, Verifier, checkpoint_of, read_note
from gateway.ledger.tiles import HEIGHT, Edge

_BATCH: Final = 2_000
_LEAVES: Final = "select index, entry, hash from ledger.leaf order by index"
_CHECKPOINTS: Final = "select size, at, root, note from ledger.checkpoint order by size, at"
_COSIGNED: Final = "select size, name, root from ledger.cosignature order by size, at"
_TILES: Final = "select level, n, hash from ledger.tile"


@dataclass(slots=True)
class NotGiven:
    """What is signed by keys of this log that were not among those given: of this nothing is shown."""

    checkpoints: int = 0
    newest: bool = False  # whether the newest checkpoint is one of these
    events: int = 0
    vouched: int = 0  # entries under the last checkpoint that a key given has signed

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.events)


@dataclass
class Leaves:
    """One walk over the log. `others`: its keys that were not given. What they have signed is no finding as long as a
    key given has signed a checkpoint, too: then keys were changed, and whose the others are is not for this machine to
    say. Where none has, nothing shows that it is the log whose key was kept."""

    connection: asyncpg.Connection[asyncpg.Record]
    keys: Callable[[str], Sequence[Verifier]]
    findings: Findings
    others: Callable[[str], Sequence[Verifier]] = lambda origin: ()
    not_given: NotGiven = field(default_factory=NotGiven)
    size: int = 0
    checkpoints: int = 0
    signed: int = 0  # entries under the last checkpoint that holds
    origin: str = ""
    _held: int = 0  # size of the last checkpoint whose root the leaves give
    _broken: int = 0  # checkpoints whose root they don't give
    _given: bool = False  # whether a key given has signed one
    _tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)

    _missing: list[tuple[int, int]] = field(default_factory=list)

    async def run(self, progress: Callable[[int], None]) -> None:
        """All of it. `progress` gets the number of entries that were seen."""
        for level, number, root in await self.connection.fetch(_TILES):
            self._tiles[level, number] = root
        frontier, edge = Frontier(), Edge()
        signed = _Ahead(self.connection, _CHECKPOINTS)
        cosigned = _Ahead(self.connection, _COSIGNED)
        await self._heads(signed, cosigned, frontier)
        cursor = await self.connection.cursor(_LEAVES)
        while batch := await cursor.fetch(_BATCH):
            found: list[bytes] = []
            for index, entry, given in batch:
                made = sha256(b"\x00" + entry).digest()
                if index != self.size + len(found):
                    where = f"entry {self.size + len(found)}"
                    self.findings.add("LEAF_MISSING", where, f"it is missing, {index} follows")
                    self.size = index - len(found)
                if made != given or len(entry) != 32:
                    self.findings.add("LEAF_CHANGED", f"entry {index}", "its hash is another")
                found.append(made)
            for made in found:
                frontier.append(made)
                if frontier.size == signed.size or frontier.size == cosigned.size:
                    await self._heads(signed, cosigned, frontier)
            for level, number, made in edge.extend(found):
                self._tile(level, number, made)
            self.size += len(found)
            progress(self.size)
        await self._ahead(signed, cosigned)
        if self.not_given.checkpoints and not self._given:
            self.findings.add(
                "CHECKPOINT_SIGNATURE",
                counted(self.not_given.checkpoints, "checkpoint"),
                "signed by keys of this machine's folder, none by a key that was given: whose log it is was not shown",
            )
        for level, number in self._missing:
            # One that is full and under no checkpoint yet has no root: nobody has published it.
            if (number + 1) << HEIGHT * (level + 1) <= self.signed:
                self.findings.add("TILE_CHANGED", f"tile {level}/{number}", "its root is missing")
        for level, number in sorted(self._tiles):
            self.findings.add("TILE_CHANGED", f"tile {level}/{number}", "it is not full yet, and has a root")
        if self._broken > 1:
            self.findings.counts["CHECKPOINT_ROOT"] += self._broken - 1

    def _tile(self, level: int, number: int, made: bytes) -> None:
        found = self._tiles.pop((level, number), None)
        if found == made:
            return
        if found is None:
            self._missing.append((level, number))
        else:
            self.findings.add("TILE_CHANGED", f"tile {level}/{number}")

    async def _heads(self, signed: _Ahead, cosigned: _Ahead, frontier: Frontier) -> None:
        """Every checkpoint of this size, and what others have cosigned."""
        root = frontier.root()
        while row := await signed.take(frontier.size):
            self.checkpoints += 1
            self._checkpoint(row, root)
        while row := await cosigned.take(frontier.size):
            if row["root"] != root:
                self.findings.add("COSIGNATURE", f"{row['name']} at {frontier.size} entries")

    def _checkpoint(self, row: Any, root: bytes) -> None:
        size = row["size"]
        where = f"checkpoint at {size} entries of {row['at']:%Y-%m-%d %H:%M:%S} UTC"
        self._signature(row, where)
        self.signed = max(self.signed, size)
        if row["root"] == root:
            if not self._broken:
                self._held = size
            return
        self._broken += 1
        if self._broken == 1:
            since = f"the one at {self._held} entries holds: look at entries {self._held} to {size - 1}"
            self.findings.add("CHECKPOINT_ROOT", where, f"the leaves do not give its root; {since}")

    def _signature(self, row: Any, where: str) -> None:
        try:
            note = read_note(row["note"].encode())
            said = checkpoint_of(note.text)
            if self.origin and said.origin != self.origin:
                raise NoteError("it is of another log")
            if (said.size, said.root) != (row["size"], row["root"]):
                raise NoteError("its note says something else")
            self._signed(note, said)
            self.origin = said.origin
        except NoteError as error:
            self.findings.add("CHECKPOINT_SIGNATURE", where, str(error))

    def _signed(self, note: Note, said: Checkpoint) -> None:
        """Raises NoteError where it is signed by no key of the log, or a key of these has not signed it."""
        try:
            note.held_by(self.keys(said.origin))
        except UnknownKey:
            try:
                note.held_by(self.others(said.origin))
            except UnknownKey:
                raise NoteError("signed by no key that was given or is in this machine's folder of keys") from None
            self.not_given.checkpoints += 1
            self.not_given.newest = True
        else:
            self._given = True
            self.not_given.newest = False
            self.not_given.vouched = max(self.not_given.vouched, said.size)

    async def _ahead(self, signed: _Ahead, cosigned: _Ahead) -> None:
        """What was signed beyond the entries that there are."""
        while row := await signed.take(None):
            self.checkpoints += 1
            where = f"checkpoint at {row['size']} entries"
            self._signature(row, where)
            self.findings.add("CHECKPOINT_AHEAD", where, f"there are {self.size} entries")
        while row := await cosigned.take(None):
            self.findings.add("COSIGNATURE", f"{row['name']} at {row['size']} entries", f"there are {self.size}")


class _Ahead:
    """Rows in the order of their size, one of which has been read ahead."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], sql: str) -> None:
        self._rows = self._read(connection, sql)
        self._next: Any = None
        self._begun = False

    @property
    def size(self) -> int | None:
        """Of the next row; None after the last."""
        return self._next["size"] if self._next is not None else None

    async def take(self, size: int | None) -> Any:
        """The next row if it has that size (None: any), else None."""
        if not self._begun:
            self._begun = True
            self._next = await anext(self._rows, None)
        found = self._next
        if found is None or (size is not None and found["size"] != size):
            return None
        self._next = await anext(self._rows, None)
        return found

    @staticmethod
    async def _read(connection: asyncpg.Connection[asyncpg.Record], sql: str) -> AsyncIterator[Any]:
        cursor = await connection.cursor(sql)
        while batch := await cursor.fetch(_BATCH):
            for row in batch:
                yield row
