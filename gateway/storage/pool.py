"""Pools by view: each connects as the view's own role and returns rows whose text columns are bytes.

In: SQL of a plan and its parameters. Out: one row. Prepared statements live on a small stash of connections that is
never reset between requests, which is why nothing may ever set session state on them: a scope lives in its transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gateway.errors import StorageUnavailable

Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
logger = logging.getLogger(__name__)

_STATEMENTS = 200  # prepared statements kept on a connection


def storage_unavailable() -> StorageUnavailable:
    """The one message that a client gets for any fault of the database."""
    return StorageUnavailable(
        "the database did not answer; nothing was disclosed, try again later",
        "数据库暂时无法答复，未披露任何信息，请稍后再试",
    )


async def _text_as_bytes(connection: Connection) -> None:
    # The body of an answer is text in PostgreSQL and bytes on the wire: never decoded, never encoded again.
    await connection.set_type_codec("text", schema="pg_catalog", encoder=_encode, decoder=bytes, format="binary")


def _encode(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


class _Lane:
    """A connection with its prepared statements, least recently used last to go."""

    __slots__ = ("_prepared", "connection", "statements")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._prepared = 0
        self.statements: OrderedDict[str, PreparedStatement[Record]] = OrderedDict()

    async def statement(self, sql: str) -> PreparedStatement[Record]:
        found = self.statements.get(sql)
        if found is not None:
            self.statements.move_to_end(sql)
            return found
        # Named by us: with asyncpg's own cache off it would use the unnamed statement, parsed and planned at each use.
        self._prepared += 1
        made = await self.connection.prepare(sql, name=f"gateway_{self._prepared}")
        self.statements[sql] = made
        if len(self.statements) > _STATEMENTS:
            self.statements.popitem(last=False)  # asyncpg deallocates it once nothing refers to it
        return made


class Pool:
    """Connections of one role. `fetchrow` runs one statement; a broken connection is dropped, never used again."""

    def __init__(self, dsn: str, *, size: int, timeout: float = 5.0, name: str = "credit-gateway") -> None:
        self._dsn = dsn
        self._size = size
        self._timeout = timeout
        self._name = name
        self._idle: list[_Lane] = []
        self._permits = asyncio.Semaphore(size)
        self._lanes: set[_Lane] = set()
        self._closed = False

    async def _connect(self) -> _Lane:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._timeout,
            command_timeout=self._timeout,
            statement_cache_size=0,
            server_settings={"application_name": self._name},
        )
        await _text_as_bytes(connection)
        lane = _Lane(connection)
        self._lanes.add(lane)
        return lane

    def _drop(self, lane: _Lane) -> None:
        self._lanes.discard(lane)
        lane.connection.terminate()

    @asynccontextmanager
    async def _lane(self) -> AsyncIterator[_Lane]:
        async with asyncio.timeout(self._timeout):
            await self._permits.acquire()
        lane: _Lane | None = None
        try:
            while self._idle and lane is None:
                lane = self._idle.pop()
                if lane.connection.is_closed():
                    self._drop(lane)
                    lane = None
            if lane is None:
                lane = await self._connect()
            yield lane
        except BaseException as error:
            # Whatever ended the statement, a refusal by the server apart, leaves the connection in doubt.
            if lane is not None:
                if isinstance(error, asyncpg.PostgresError) and not lane.connection.is_closed():
                    if lane.connection.is_in_transaction():
                        self._drop(lane)
                    else:
                        self._idle.append(lane)
                else:
                    self._drop(lane)
            raise
        else:
            if self._closed:
                self._drop(lane)
            else:
                self._idle.append(lane)
        finally:
            self._permits.release()

    async def fetchrow(self, sql: str, arguments: Sequence[Any], scope: str | None = None) -> Record:
        """The one row of `sql`. With a scope, in a transaction of its own that carries it.

        Raises StorageUnavailable for every fault of the database; its own words go to the log alone.
        """
        rows = await self.fetch(sql, arguments, scope)
        return rows[0]

    async def fetch(self, sql: str, arguments: Sequence[Any], scope: str | None = None) -> list[Record]:
        """All rows of `sql`; otherwise as fetchrow."""
        try:
            async with self._lane() as lane:
                if scope is None:
                    return await (await lane.statement(sql)).fetch(*arguments)
                await lane.connection.execute(_begin(scope))
                try:
                    rows = await (await lane.statement(sql)).fetch(*arguments)
                except asyncpg.PostgresError:
                    await lane.connection.execute("rollback")
                    raise
                await lane.connection.execute("commit")
                return rows
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            logger.error("storage: %s: %s", type(error).__name__, error)
            raise storage_unavailable() from error

    async def execute(self, sql: str, arguments: Sequence[Any] = ()) -> None:
        """Run `sql`, whatever it returns."""
        await self.fetch(sql, arguments)

    async def ping(self) -> None:
        """One round trip; raises StorageUnavailable."""
        await self.fetch("select 1", ())

    async def close(self) -> None:
        """Close what is idle; lanes in use close when they come back."""
        self._closed = True
        for lane in list(self._idle):
            self._lanes.discard(lane)
            await lane.connection.close(timeout=2)
        self._idle.clear()


def _begin(scope: str) -> str:
    # One message for both; hex, so that nothing in the scope can be read as SQL.
    return f"begin; select set_config('gateway.scope', convert_from('\\x{scope.encode().hex()}', 'UTF8'), true)"
