"""`credit-gateway erase`: what is stored of a natural person, and their place in disclosures; the log stays whole."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.common import database_there, events_of, reported, show_json
from gateway.counted import counted
from gateway.errors import OperatorError
from gateway.ledger.erasure import Erased, erase
from gateway.settings import load
from gateway.storage.identifiers import id_of

MOST_BASIS = 500


def erase_command(
    subject: Annotated[str, typer.Argument(help="The person's id in answers, or its UUID; never an identity number")],
    basis: Annotated[str, typer.Option(help="The basis in law, or the decision; it is kept in the log: name nobody")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask; nothing here can be undone")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False,
) -> None:
    """Erase a natural person: identity number and data key, names, what records say, and their place in disclosures.

    Receipts of answers that showed the person stay genuine and become SUPERSEDED.

    The log stays whole: tombstones stand where the person was, and an event in the log names them
    (docs/ledger.md). What backups have is beyond its reach; their retention is yours. Try --dry-run first.
    """
    with reported():
        found = _subject(subject)
        given = basis.strip()
        if not 0 < len(given) <= MOST_BASIS:
            raise OperatorError(f"--basis takes 1 to {MOST_BASIS} characters")
        settings = load()
        with database_there(settings) as database:
            if not dry_run and not yes:
                first = asyncio.run(erase(database, found, given, events_of(settings), dry_run=True))
                question = f"{_said(first, dry_run=True)}. This can't be undone. Erase?"
                typer.confirm(question, abort=True, err=True)
            made = asyncio.run(erase(database, found, given, events_of(settings), dry_run=dry_run))
        if as_json:
            show_json(asdict(made))
        else:
            typer.echo(_said(made, dry_run=dry_run))


def _subject(text: str) -> UUID:
    found = id_of("S", text)
    if found is not None:
        return found
    try:
        return UUID(text)
    except ValueError:
        raise OperatorError(
            "SUBJECT is the id of a person as answers have it (person { id }), or its UUID; never an identity number"
        ) from None


def _said(made: Erased, *, dry_run: bool) -> str:
    what = f"{counted(made.records, 'record')} and {counted(made.disclosures, 'disclosure')}"
    verb = "would be" if dry_run else "were"
    person = "" if made.on_record else "; the person was no longer on record"
    goes = f"{made.who}: name and number go, " if made.who else ""
    return f"{goes}{what} {verb} emptied{person}"
