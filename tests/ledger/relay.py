"""Something between a pool and PostgreSQL that a test can cut, silence and restore."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit


class Relay:
    """Listens on a Unix socket of its own; `dsn` is the given one, through it. In one event loop."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        self._host = query.get("host", [parts.hostname or "127.0.0.1"])[0]
        self._port = int(query.get("port", [parts.port or 5432])[0])
        self._folder = Path(tempfile.mkdtemp(prefix="relay"))
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.silent = False
        login = parts.netloc.rpartition("@")[0]
        self.dsn = urlunsplit(parts._replace(netloc=f"{login}@", query=f"host={quote(str(self._folder))}&port=5432"))

    async def __aenter__(self) -> Relay:
        await self.restore()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.cut()
        shutil.rmtree(self._folder)

    async def restore(self) -> None:
        """Listen, and pass everything on."""
        self.silent = False
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, str(self._folder / ".s.PGSQL.5432"))

    async def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        (self._folder / ".s.PGSQL.5432").unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            there = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, there[1]}
        for source, target in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if not self.silent:
                    target.write(data)
                    await target.drain()
        target.close()
        self._writers.discard(target)
