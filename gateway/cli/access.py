"""credit-gateway ledger access-request: on whose request an authority may read a subject's entries of the account.

In: the subject, the authority and its case number, who asked for it and on what basis, until when. Out: a row that the
views go by; ended, it stays for the record.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeAlias, TypeVar

import asyncpg
import typer

from gateway.cli.common import database_there, fail, note, reported, show_json, show_table
from gateway.errors import StorageError
from gateway.settings import load
from gateway.storage.identifiers import id_of, valid_uscc
from gateway.zone import shown, today

app = typer.Typer(
    help="Who may read a subject's entries besides itself (docs/ledger.md, Access).", no_args_is_help=True
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")
_SUBJECT = "select external_id from core.subject where uscc = $1 or external_id = $2"
_ADD = """insert into ledger.access_request
    (subject_id, organisation_uscc, case_number, requester, basis, valid_until)
values ($1, $2, $3, $4, $5, $6) returning id"""
_LIST = """select q.id, coalesce(s.uscc, s.node_id, q.subject_id::text) as subject, q.organisation_uscc, q.case_number,
    q.requester, q.basis, q.valid_until, q.recorded_at, q.ended_at
from ledger.access_request q left join core.subject s on s.external_id = q.subject_id order by q.id"""
_END = "update ledger.access_request set ended_at = coalesce(ended_at, now()) where id = $1 returning id"


def on_ledger(work: Callable[[Connection], Awaitable[T]]) -> T:
    """What `work` makes of a connection of the role that owns the ledger; errors are reported."""

    async def connected(dsn: str) -> T:
        try:
            connection = await asyncpg.connect(dsn, timeout=10)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise StorageError(f"the database does not answer ({type(error).__name__})") from None
        try:
            return await work(connection)
        finally:
            await connection.close()

    with reported(), database_there(load()) as database:
        return asyncio.run(connected(database.migrate_dsn))
    raise AssertionError("reported() does not return")


async def subject_named(connection: Connection, text: str) -> uuid.UUID:
    """The subject of a USCC or of a node id; exits where there is none."""
    external_id = None
    if not valid_uscc(text):
        external_id = id_of("S", text)
        if external_id is None:
            fail(f"{text} is neither a unified social credit code nor the id of a subject")
    found: uuid.UUID | None = await connection.fetchval(_SUBJECT, text, external_id)
    if found is None:
        fail("this subject is not on record here")
    return found


@app.command()
def add(
    subject: Annotated[str, typer.Argument(help="Its USCC, or the id of a Subject")],
    organisation: Annotated[str, typer.Option(help="USCC of the authority that acts on the request")],
    case: Annotated[str, typer.Option(help="Case number under which it asks")],
    requester: Annotated[str, typer.Option(help="Who asked for it: the subject itself, a court …")],
    basis: Annotated[str, typer.Option(help="The legal basis")],
    until: Annotated[
        dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day on which it holds, in Asia/Shanghai")
    ],
) -> None:
    """Record a request: from now on the authority's clients see viewer.disclosures of this subject under this case."""
    if not valid_uscc(organisation):
        fail(f"{organisation} is not a unified social credit code")
    if until.date() < today():
        fail("--until lies in the past; give the last day on which the request holds")

    async def work(connection: Connection) -> int:
        found = await subject_named(connection, subject)
        return int(await connection.fetchval(_ADD, found, organisation, case, requester, basis, until.date()))

    number = on_ledger(work)
    note(f"recorded; end it with: credit-gateway ledger access-request end {number}")
    typer.echo(number)


def _told(value: object) -> object:
    """Times with the offset of Asia/Shanghai; days are of there."""
    if isinstance(value, dt.datetime):
        return shown(value)
    return value.isoformat() if isinstance(value, dt.date) else value


@app.command("list")
def list_requests(as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False) -> None:
    """All of them, ended ones included."""
    rows = on_ledger(lambda connection: connection.fetch(_LIST))
    told: list[dict[str, Any]] = [{name: _told(value) for name, value in row.items()} for row in rows]
    if as_json:
        show_json(told)
    else:
        columns = ("id", "subject", "organisation", "case", "requester", "basis", "until", "recorded", "ended")
        show_table(columns, [tuple(str(value or "") for value in row.values()) for row in told])


@app.command()
def end(request: Annotated[int, typer.Argument(help="Its number, as `list` has it")]) -> None:
    """End a request at once. Its record stays."""
    if on_ledger(lambda connection: connection.fetchval(_END, request)) is None:
        fail("there is no such request; see: credit-gateway ledger access-request list")
    note("ended")
