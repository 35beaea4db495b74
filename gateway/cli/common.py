"""What the commands share: settings, the database, and errors as one line on stderr.

In: a coroutine function. Out: its result, or an exit with status 1 and one line that says what to do next. Results go
to stdout, everything else to stderr, so that output can be piped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn, TypeVar

import asyncpg
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from gateway.auth.keys import KeyStore
from gateway.errors import ClientError, OperatorError, StorageError, StorageUnavailable
from gateway.ledger.events import Events
from gateway.ledger.head import LAST, log_name
from gateway.ledger.notes import check_name
from gateway.settings import Settings, load
from gateway.storage.database import Database, open_database
from gateway.storage.embedded import kept_in
from gateway.storage.nearly import masked
from gateway.storage.pool import Pool

T = TypeVar("T")
_PREPARED: Final = "was `credit-gateway migrate` run, and is GATEWAY_DATA_DIR the gateway's own folder?"
_NOT_THERE: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn what this project raises on purpose into one line on stderr and exit status 1; all else is a bug."""
    try:
        yield
    except StorageUnavailable as error:
        fail(f"{error.en} ({_PREPARED})")
    except ClientError as error:
        fail(error.en)
    except OperatorError as error:
        fail(str(error), getattr(error, "zh", ""))
    except asyncpg.ClientConfigurationError as error:
        fail(f"GATEWAY_DATABASE_URL or a PG… variable can't be used: {error}")
    except _NOT_THERE as error:
        fail(f"the database is not at this program's version: {error}; run `credit-gateway migrate`")


def fail(message: str, zh: str = "") -> NoReturn:
    """One line on stderr, and one in Chinese where there is one; exit status 1. Names of files may have identity
    numbers in them: they are masked."""
    typer.echo(f"error: {masked(message)}", err=True)
    if zh:
        typer.echo(f"错误：{masked(zh)}", err=True)
    raise typer.Exit(1)


def note(message: str) -> None:
    """A line for the reader, on stderr."""
    typer.echo(message, err=True)


@contextlib.contextmanager
def database_there(settings: Settings) -> Iterator[Database]:
    """The database of these settings, for commands that ask what is there: in a folder where nobody has made one, none
    is made. Raises StorageError."""
    if settings.database_url is None and not kept_in(settings.data_dir):
        raise StorageError(
            f"there is no database in {settings.data_dir.absolute()}: go to the gateway's own folder or set"
            " GATEWAY_DATA_DIR, GATEWAY_DATABASE_URL; `credit-gateway migrate` makes a new one"
        )
    with open_database(settings) as database:
        yield database


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `work()`, run to its end; errors are reported."""
    with reported():
        return asyncio.run(work())
    raise AssertionError("reported() does not return")  # for the type checker: it leaves by an exception


def run_with_database(work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """The result of `work(database)` on the database of the settings; errors are reported."""
    with reported(), database_there(load()) as database:
        return asyncio.run(work(database))
    raise AssertionError("reported() does not return")


def run_with_pool(role: str, work: Callable[[Pool], Coroutine[Any, Any, T]]) -> T:
    """The result of `work(pool)` with connections of one role (gateway.storage.roles); errors are reported."""

    async def with_pool(database: Database) -> T:
        pool = Pool(database.dsn(role), size=1, name="credit-gateway cli")
        try:
            return await work(pool)
        finally:
            await pool.close()

    return run_with_database(with_pool)


def events_of(settings: Settings) -> Events:
    """What signs events of the log, with the keys of this machine's folder."""
    return Events(KeyStore(settings.data_dir / "keys"), issuer=settings.issuer, origin=settings.log_origin)


async def own_origin(settings: Settings, connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """The name of our own log: that of its last checkpoint, else what it is going to be. Raises NoteError."""
    last = await connection.fetchrow(LAST)
    return check_name(last["note"].partition("\n")[0]) if last else log_name(settings.log_origin, settings.issuer)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout. An id in two is no id: a terminal that is too narrow gets a cell a line."""
    shown = [[_printable(cell) for cell in row] for row in rows]
    table = Table(*(Column(name, no_wrap=True) for name in columns))
    for row in shown:
        table.add_row(*(escape(cell) for cell in row))
    wide = Console(width=100_000)
    width = wide.measure(table).maximum
    if wide.is_terminal and width > Console().width:
        most = max(map(len, columns))
        blocks = [
            "\n".join(f"{name:<{most}}  {cell}".rstrip() for name, cell in zip(columns, row, strict=True))
            for row in shown
        ]
        typer.echo("\n\n".join(blocks))
    else:
        Console(width=width).print(table)


def _printable(cell: str) -> str:
    """Without what a terminal would obey: names come from files."""
    return "".join(character if character.isprintable() else "\ufffd" for character in cell)


def show_json(value: object) -> None:
    """JSON on stdout, for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
