"""A relay between the gateway and PostgreSQL that damages replies, or swallows them: what a bad network card, a bad
middlebox or a dead path does. Listens on a Unix socket of its own; runs in one event loop.

`rate` of the pieces that come from the server are damaged: a bit flipped, bytes overwritten, left out, repeated or put
in, or the connection cut in the middle of a piece. `silent`: nothing passes either way, and what was under way is lost.
Used by scripts/storage_faults.py and the tests of the same faults.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

KINDS = ("bit", "overwrite", "leave out", "repeat", "put in", "cut")


class Garbler:
    """In: a DSN. Out: `dsn`, the same through the relay. `damaged` counts pieces by kind."""

    def __init__(self, dsn: str, chance: random.Random) -> None:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        self._there = query.get("host", [parts.hostname or "127.0.0.1"])[0], query.get("port", [parts.port or 5432])[0]
        self._folder = Path(tempfile.mkdtemp(prefix="garbler"))
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.kinds = KINDS
        self.rate = 0.0
        self.silent = False
        self.damaged: dict[str, int] = dict.fromkeys(KINDS, 0)
        login = parts.netloc.rpartition("@")[0]
        self.dsn = urlunsplit(parts._replace(netloc=f"{login}@", query=f"host={quote(str(self._folder))}&port=5432"))

    async def __aenter__(self) -> Garbler:
        self._folder.chmod(0o755)
        self._server = await asyncio.start_unix_server(self._serve, str(self._folder / ".s.PGSQL.5432"))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the transports close in the loop's next turn
        shutil.rmtree(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host, port = self._there
            if str(host).startswith("/"):
                there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            else:
                there = await asyncio.open_connection(str(host), int(port))
        except OSError:
            writer.close()
            return
        self._writers |= {writer, there[1]}
        ways = ((reader, there[1], False), (there[0], writer, True))
        for source, target, replies in ways:
            task = asyncio.create_task(self._pump(source, target, replies))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, replies: bool) -> None:
        dead = False
        with suppress(OSError):
            while data := await source.read(65_536):
                dead = dead or self.silent
                if dead:
                    continue  # also after the silence: bytes are missing, and TCP would never have let that happen
                if replies and self._chance.random() < self.rate:
                    kind = self._chance.choice(self.kinds)
                    self.damaged[kind] += 1
                    data = self.garbled(data, kind)
                    if kind == "cut":
                        target.write(data)
                        break
                target.write(data)
                await target.drain()
        target.close()
        self._writers.discard(target)

    def garbled(self, data: bytes, kind: str) -> bytes:
        """The piece, damaged."""
        made, place = bytearray(data), self._chance.randrange(len(data))
        length = self._chance.randint(1, 8)
        if kind == "bit":
            made[place] ^= 1 << self._chance.randrange(8)
        elif kind == "overwrite":
            made[place : place + length] = self._chance.randbytes(len(made[place : place + length]))
        elif kind == "leave out":
            del made[place : place + length]
        elif kind == "repeat":
            made[place:place] = made[place : place + length]
        elif kind == "put in":
            made[place:place] = self._chance.randbytes(length)
        else:
            del made[place:]
        return bytes(made)
