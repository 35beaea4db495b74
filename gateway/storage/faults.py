"""What went wrong between a pool and PostgreSQL, sorted by what may be done about it. Called by pool and lane.

refused(error)        the server said no, in order: the connection is sound, and asking again would change nothing
broken(error)         the connection is at fault: the statement may be asked once more on another
garbled(error)        what came is not what PostgreSQL sends: other connections may have been damaged unnoticed
asked_wrongly(error)  of a cursor of changes, which the database alone can read: the client's fault, not ours
beneath(error)        the cause of a transaction's failure
nobody_there(error)   there is no server now: everybody who waits for a connection may be told
described(error)      for the log, without any text of the server's
told_of(error)        for the log of what no client's values go into: with the server's own first line
"""

from __future__ import annotations

import re
import traceback
from typing import Final

import asyncpg

from gateway.storage.framing import Misframed

_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
# The server ends the connection: by an administrator, a crash, while it starts or stops, for being idle.
_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05"})


class NoLane(Exception):
    """There was no connection for a statement; its cause says why. Nothing was asked."""


class NotBegun(Exception):
    """A transaction did not begin; its cause says why. Nothing was asked."""


class Unsure(Exception):
    """Nobody knows whether a transaction was committed; its cause says why."""


def beneath(error: BaseException) -> BaseException:
    """What went wrong with a transaction, wherever in it that was."""
    return (error.__cause__ or error) if isinstance(error, NotBegun | Unsure) else error


def refused(error: BaseException) -> bool:
    """Whether the connection is as good as before. A reply without a known code is no answer of PostgreSQL's."""
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, ValueError)  # a value that the driver can't encode: nothing was sent
    if not isinstance(error, asyncpg.PostgresError) or isinstance(error, asyncpg.UnknownPostgresError):
        return False
    if isinstance(error, asyncpg.InvalidCachedStatementError | asyncpg.InvalidSQLStatementNameError):
        return False  # what was prepared on this connection holds no longer
    code = error.sqlstate or ""
    return _SQLSTATE.fullmatch(code) is not None and not code.startswith("08") and code not in _ENDED


def asked_wrongly(error: BaseException | None) -> bool:
    """Whether core.change_place refused a cursor (migration 0014)."""
    return isinstance(error, asyncpg.InvalidCursorNameError) or changes_gone(error)


def changes_gone(error: BaseException | None) -> bool:
    """Whether the changes behind a cursor are no longer kept."""
    return isinstance(error, asyncpg.SnapshotTooOldError)


def broken(error: BaseException) -> bool:
    """Whether another connection may do better. Whatever the driver raises that is no answer of PostgreSQL's is its
    connection's fault, and so is a reply that can't be read; time that ran out is nobody's."""
    return isinstance(error, Exception) and not isinstance(error, TimeoutError | NoLane) and not refused(error)


def garbled(error: BaseException) -> bool:
    """Whether bytes were damaged on the way, as far as that can be told. A connection that ends is another thing: the
    driver may notice in the middle of a message (InternalClientError, InterfaceError)."""
    if isinstance(error.__cause__, Misframed) or isinstance(error, Misframed):
        return True
    if not broken(error) or isinstance(error, OSError | asyncpg.InterfaceError):
        return False
    if isinstance(error, asyncpg.PostgresError):
        return _SQLSTATE.fullmatch(error.sqlstate or "") is None or isinstance(error, asyncpg.UnknownPostgresError)
    return type(error) is not asyncpg.InternalClientError


def nobody_there(error: BaseException) -> bool:
    """Whether the server takes no connection at all: not there, not yet, or not any more."""
    if isinstance(error, asyncpg.CannotConnectNowError):
        return True
    # BlockingIOError: the queue of a Unix socket is full, which a server that is stopped fills.
    return isinstance(error, OSError) and not isinstance(error, TimeoutError | BlockingIOError)


def described(error: BaseException) -> str:
    """The error for the log: its kind and place, never its text, which may quote a value."""
    code = getattr(error, "sqlstate", None)
    if code is not None:
        return f"{type(error).__name__} {code}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    cause = f" after {described(error.__cause__)}" if isinstance(error, NoLane) and error.__cause__ else ""
    return f"{type(error).__name__}{place}{cause}"


def told_of(error: BaseException) -> str:
    """The error for the log, where values are no part of what was asked: kind, code and primary message. What follows
    it (DETAIL, CONTEXT) quotes rows."""
    if isinstance(error, asyncpg.PostgresError):
        first = str(error.args[0]).partition("\n")[0] if error.args else ""
        return f"{described(error)}: {first}"
    return f"{type(error).__name__}: {error}"
