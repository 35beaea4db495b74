"""Pools by view: each connects as the view's own role and returns rows whose text columns are bytes.

In: SQL of a plan and its parameters. Out: one row. Prepared statements live on a small stash of connections that is
never reset between requests, which is why nothing may ever set session state on them: a scope lives in its transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gateway.errors import StorageUnavailable

Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
logger = logging.getLogger(__name__)

# InternalClientError: the server has ended the connection, and its end has not arrived yet.
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
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

    def known(self, sql: str) -> PreparedStatement[Record] | None:
        """The statement, where it is prepared already."""
        found = self.statements.get(sql)
        if found is not None:
            self.statements.move_to_end(sql)
        return found

    async def statement(self, sql: str) -> PreparedStatement[Record]:
        """The statement, prepared now where it must be."""
        found = self.known(sql)
        if found is not None:
            return found
        # Named by us: with asyncpg's own cache off it would use the unnamed statement, parsed and planned at each use.
        self._prepared += 1
        made = await self.connection.prepare(sql, name=f"gateway_{self._prepared}")
        self.statements[sql] = made
        if len(self.statements) > _STATEMENTS:
            self.statements.popitem(last=False)  # asyncpg deallocates it once nothing refers to it
        return made


class Pool:
    """Connections of one role. `fetchrow` runs one statement; a broken connection is dropped, never used again.

    A lane is handed from one request to the next without a reset between, and without waiting where one is idle: both
    are measured (docs/performance.md). Waiters are served in their order. Times are in seconds. `durable`:
    a commit has reached the disk when it returns, whatever the server's, the database's or the role's setting.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int,
        timeout: float = 5.0,
        lock_timeout: float | None = None,
        durable: bool = False,
        name: str = "credit-gateway",
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._timeout = timeout
        self._settings = {"application_name": name}
        if lock_timeout is not None:
            self._settings["lock_timeout"] = f"{lock_timeout * 1000:.0f}ms"
        if durable:
            self._settings["synchronous_commit"] = "on"  # outranks what a role or its database has been given
        self._idle: list[_Lane] = []
        self._open = 0  # lanes that are there or being made
        self._waiting: deque[asyncio.Future[_Lane | None]] = deque()
        self._closed = False

    async def fetchrow(self, sql: str, arguments: Sequence[Any], scope: str | None = None) -> Record:
        """The one row of `sql`. With a scope, in a transaction of its own that carries it.

        Raises StorageUnavailable for every fault of the database; its own words reach nobody.
        """
        rows = await self.fetch(sql, arguments, scope)
        return rows[0]

    async def fetch(self, sql: str, arguments: Sequence[Any], scope: str | None = None) -> list[Record]:
        """All rows of `sql`; otherwise as fetchrow."""
        try:
            lane = self._at_once() or await self._wait()
            try:
                if scope is None:
                    rows = await (lane.known(sql) or await lane.statement(sql)).fetch(*arguments)
                else:
                    rows = await _scoped(lane, sql, arguments, scope)
            except BaseException as error:
                # Whatever ended the statement, a refusal by the server apart, leaves the connection in doubt.
                refused = isinstance(error, asyncpg.PostgresError) and not lane.connection.is_in_transaction()
                self._give(lane, sound=refused)
                raise
            self._give(lane, sound=True)
            return rows
        except _FAULTS as error:
            # Not the error's text: it may quote a value.
            logger.error("storage: %s %s", type(error).__name__, getattr(error, "sqlstate", ""))
            raise storage_unavailable() from error

    # Lanes -----------------------------------------------------------------------------------------------------------

    def _at_once(self) -> _Lane | None:
        """An idle lane whose connection still stands."""
        while self._idle:
            lane = self._idle.pop()
            if not lane.connection.is_closed():
                return lane
            self._lost()
        return None

    async def _wait(self) -> _Lane:
        """A lane: a new one while there may be more, else the next that comes back."""
        if self._open >= self._size:
            waiter: asyncio.Future[_Lane | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                async with asyncio.timeout(self._timeout):
                    lane = await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled() and (handed := waiter.result()) is not None:
                    self._give(handed, sound=True)  # it came in the moment in which we left
                raise
            if lane is not None:
                return lane
        self._open += 1
        try:
            return await self._connect()
        except BaseException:
            self._lost()
            raise

    def _give(self, lane: _Lane, *, sound: bool) -> None:
        """Hand a lane to who waits longest, or keep it; one that is not sound is dropped."""
        if not sound or self._closed or lane.connection.is_closed():
            lane.connection.terminate()
            self._lost()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(lane)
                return
        self._idle.append(lane)

    def _lost(self) -> None:
        """A lane is gone: who waits longest may make another."""
        self._open -= 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _connect(self) -> _Lane:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._timeout,
            command_timeout=self._timeout,
            statement_cache_size=0,
            server_settings=self._settings,
        )
        await _text_as_bytes(connection)
        return _Lane(connection)

    async def execute(self, sql: str, arguments: Sequence[Any] = ()) -> None:
        """Run `sql`, whatever it returns."""
        await self.fetch(sql, arguments)

    async def ping(self) -> None:
        """One round trip; raises StorageUnavailable."""
        await self.fetch("select 1", ())

    async def close(self) -> None:
        """Close what is idle; lanes in use close when they come back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for lane in idle:
            await lane.connection.close(timeout=2)


async def _scoped(lane: _Lane, sql: str, arguments: Sequence[Any], scope: str) -> list[Record]:
    """Run `sql` in a transaction that carries the scope."""
    await lane.connection.execute(_begin(scope))
    try:
        rows = await (await lane.statement(sql)).fetch(*arguments)
    except asyncpg.PostgresError:
        await lane.connection.execute("rollback")
        raise
    await lane.connection.execute("commit")
    return rows


def _begin(scope: str) -> str:
    # One message for both; hex, so that nothing in the scope can be read as SQL.
    return f"begin; select set_config('gateway.scope', convert_from('\\x{scope.encode().hex()}', 'UTF8'), true)"
