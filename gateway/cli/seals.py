"""credit-gateway ledger seal | unseal | seals: what subjects learn of later, by order of an authority.

In: who orders it and on what basis, until when, and which disclosures: a client's, a matter's, a case's, or one. Out: a
seal, which the log has an event of. What is sealed is in the log at once; its subjects have their entry when it ends.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from typing import Annotated, Any

import asyncpg
import typer

from gateway.cli.access import Connection, on_ledger
from gateway.cli.common import events_of, fail, note, show_json, show_table
from gateway.counted import counted
from gateway.ledger.sequence import take_all
from gateway.settings import load
from gateway.storage.listener import BOUND
from gateway.zone import SHANGHAI, shown

_ADD = "select ledger.add_seal($1, $2, $3, $4, $5, $6, $7)"
_KNOWN = "select exists (select from auth.client where id = $1)"
_MATTERS = "select coalesce(string_agg(code, ', ' order by code), 'none') from auth.matter"
_LIST = """select s.id, s.authority, s.basis, case when s.client_id is not null then 'client ' || s.client_id
        when s.matter is not null then 'matter ' || s.matter
        when s.case_number is not null then 'case ' || s.case_number
        else 'disclosure ' || s.disclosure_id end as covers,
    s.until, s.sealed_at, s.ended_at
from ledger.seal s order by s.sealed_at, s.id"""
_UNSEAL = "select ledger.end_seal($1)"
_LOGGED = 30.0  # s for the seal's event to get into the log


def _end(text: str) -> dt.datetime:
    """When a seal ends that lasts until a day, or a minute: a period's last day is over at 24:00 (民法典 art. 203)."""
    for form, more in (("%Y-%m-%d", dt.timedelta(days=1)), ("%Y-%m-%dT%H:%M", dt.timedelta())):
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=SHANGHAI) + more
        except (ValueError, OverflowError):
            continue
    raise typer.BadParameter("give the last day, 2027-06-30, or the minute at which it ends, 2027-06-30T18:00")


def seal(
    authority: Annotated[str, typer.Option(help="Who orders it")],
    basis: Annotated[str, typer.Option(help="The legal basis and the order's number")],
    until: Annotated[
        dt.datetime,
        typer.Option(
            parser=_end,
            metavar="DAY",
            help="The last day of it, or when it ends that day (2027-06-30T18:00), Asia/Shanghai",
        ),
    ],
    client: Annotated[str | None, typer.Option(help="What this client asks from now on")] = None,
    matter: Annotated[str | None, typer.Option(help="What is asked for this matter from now on")] = None,
    case: Annotated[str | None, typer.Option(help="What is asked under this case number from now on")] = None,
    disclosure: Annotated[str | None, typer.Option(help="One disclosure whose subjects have no entry yet")] = None,
) -> None:
    """Seal disclosures: their subjects have no entry of them until it ends. Record it before anything is asked.

    Entries that subjects have already stay: their numbers have no gaps. Prints the seal's id when it holds everywhere.
    """
    if sum(value is not None for value in (client, matter, case, disclosure)) != 1:
        raise typer.BadParameter("give one of --client, --matter, --case, --disclosure")
    if until <= dt.datetime.now(dt.UTC):
        fail("--until lies in the past; give the time at which the seal ends")
    one: uuid.UUID | None = None
    if disclosure is not None:
        try:
            one = uuid.UUID(disclosure)
        except ValueError:
            fail("a disclosure is named by its id, a UUID")

    async def work(connection: Connection) -> Any:
        if client is not None and not await connection.fetchval(_KNOWN, client):
            fail("there is no such client; `credit-gateway clients list` has them")
        if matter is not None and matter not in (known := str(await connection.fetchval(_MATTERS))).split(", "):
            fail(f"there is no such matter; there are {known}")
        async with connection.transaction():
            made = await connection.fetchval(_ADD, authority, basis, client, matter, case, one, until)
            if made is not None:
                await events_of(load()).sign(connection, "SEAL")
        if made is not None:
            await _in_the_log(connection)
        return made

    made = on_ledger(work)
    if made is None:
        fail("there is no such disclosure, or its subjects have their entry already")
    time.sleep(BOUND)  # then every process knows it, or keeps nothing because it knows nothing
    note(f"sealed until {shown(until)}; what was numbered before stays")
    note(f"end it early with: credit-gateway ledger unseal {made}")
    typer.echo(made)


async def _in_the_log(connection: Connection) -> None:
    """A seal covers what stands behind its event: once that is in the log, all that is asked."""
    try:
        async with asyncio.timeout(_LOGGED):
            await take_all(connection)
    except (TimeoutError, asyncpg.PostgresError) as error:
        note(f"the seal is made, but not in the log yet ({type(error).__name__}); see: credit-gateway ledger verify")
        note("a gateway that runs puts it there, within seconds; what is asked before that is not sealed")


def unseal(which: Annotated[str, typer.Argument(metavar="SEAL", help="Its id, as `seals` has it")]) -> None:
    """End a seal now: its entries get their numbers, with their true time, unless another seal covers them."""
    try:
        identity = uuid.UUID(which)
    except ValueError:
        fail("a seal is named by its id, a UUID; see: credit-gateway ledger seals")

    async def work(connection: Connection) -> int:
        async with connection.transaction():
            ended = int(await connection.fetchval(_UNSEAL, identity))
            if ended >= 0:
                await events_of(load()).sign(connection, "UNSEAL")
        return ended

    given = on_ledger(work)
    if given < 0:
        fail("there is no such seal, or it has ended; see: credit-gateway ledger seals")
    note(f"ended; {counted(given, 'disclosure is', 'disclosures are')} told to whom it concerns")


def seals(as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False) -> None:
    """All seals, ended ones included; times of Asia/Shanghai."""
    rows = on_ledger(lambda connection: connection.fetch(_LIST))
    told = [
        {name: shown(value) if isinstance(value, dt.datetime) else value for name, value in row.items()} for row in rows
    ]
    if as_json:
        show_json([{**row, "id": str(row["id"])} for row in told])
    else:
        columns = ("id", "authority", "basis", "covers", "until", "sealed", "ended")
        show_table(columns, [tuple(str(value or "") for value in row.values()) for row in told])
