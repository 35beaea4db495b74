"""Erasure of a person: what is stored of them, and that they stand in disclosures. The log stays whole.

In: a database, the person's id, the basis in law. Out: `Erased`. In each disclosure that showed the person, their leaf
and those of variables and sources become tombstones: the leaf's hash is kept in ledger.erased, its content and its salt
are gone, so nobody can tell any more, by trying, whom it named. The salts of what stays are kept one by one
(ledger.kept_salt), since the row's own would give all of them. An event in the log names the tombstones: one without
an event is a change that nobody may make, and `ledger verify` says so.

One transaction: it is done, or nothing is. The log is brought up to date in it first, since what is not in the log yet
could not be committed to afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import asyncpg

from gateway.errors import OperatorError
from gateway.ledger import commitment
from gateway.ledger.events import Events
from gateway.ledger.sequence import take_all
from gateway.storage.canonical import canonical_json
from gateway.storage.database import Database
from gateway.storage.forget import find, forget
from gateway.storage.identifiers import node_id

_WAIT: Final = "30s"  # for the sequencer, a fan-out, or another erasure to end
_LOCKED: Final = "select from ledger.log_state for update"

_CONCERNED: Final = """select d.*, l.entry as entry from ledger.disclosure d
    left join ledger.leaf l on l.id = d.id and l.kind = 'D'
    where $1::uuid = any (d.subject_ids)
        or exists (select from unnest($2::text[]) sign where strpos(d.variables, sign) > 0)
    order by d.at, d.id"""
_ERASED: Final = "select place, leaf_hash from ledger.erased where disclosure_id = $1"
_KEPT: Final = "select place, salt from ledger.kept_salt where disclosure_id = $1"
_ADD_ERASED: Final = "insert into ledger.erased (disclosure_id, place, leaf_hash) values ($1, $2, $3)"
_ADD_KEPT: Final = "insert into ledger.kept_salt (disclosure_id, place, salt) values ($1, $2, $3)"
_DROP_KEPT: Final = "delete from ledger.kept_salt where disclosure_id = $1 and place = any ($2::integer[])"
_EMPTIED: Final = """update ledger.disclosure
    set salt = null, variables = null, sources = '{}', subject_ids = $4
    where xid = $1 and at = $2 and id = $3"""  # (xid) has an index
_REQUESTS: Final = "delete from ledger.access_request where subject_id = $1"  # with the name of who asked
_NUMBERS: Final = "delete from ledger.subject_entry where subject_id = $1"
_EVENT: Final = "insert into ledger.event (kind, content) values ('ERASURE', $1)"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did, or would do. `on_record`: whether the person was still on record; `who`: of whom it would
    be, masked, and empty once it is done."""

    on_record: bool
    records: int
    disclosures: int
    who: str = ""


async def erase(database: Database, subject: UUID, basis: str, events: Events, *, dry_run: bool = False) -> Erased:
    """Erase a person. Raises OperatorError where there is nothing of that id, where it is an organisation's, or where
    a disclosure is not what the log committed to."""
    if subject == commitment.ERASED_SUBJECT:
        raise OperatorError("this id stands for persons who were erased")
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"set local lock_timeout = '{_WAIT}'")
            made = await _erase(connection, subject, basis, events)
            if not dry_run:
                made = replace(made, who="")
        except BaseException:
            await transaction.rollback()
            raise
        if dry_run:
            await transaction.rollback()
        else:
            await transaction.commit()
        return made
    finally:
        await connection.close()


async def _erase(connection: asyncpg.Connection[asyncpg.Record], subject: UUID, basis: str, events: Events) -> Erased:
    person = await find(connection, subject)
    records = 0 if person is None else await forget(connection, person)
    # By what a variable may have named the person, in requests that did not show them too.
    signs = [node_id("S", subject)]
    if person is not None and person.blind_index is not None:
        signs.append(person.blind_index.hex())
    await connection.execute(_LOCKED)
    await take_all(connection)
    rows = await connection.fetch(_CONCERNED, subject, signs)
    if person is None and not rows:
        raise OperatorError(
            f"nobody is known by {subject}: ids are those of answers, or their UUIDs; who was erased is no longer known"
        )
    places = {str(row["id"]): await _puncture(connection, dict(row), subject) for row in rows}
    await connection.execute(_NUMBERS, subject)
    await connection.execute(_REQUESTS, subject)
    content = canonical_json({"basis": basis, "erased": places})
    await connection.execute(_EVENT, content)
    await events.sign(connection, "ERASURE")
    return Erased(person is not None, records, len(rows), "" if person is None else person.who)


async def _puncture(connection: asyncpg.Connection[asyncpg.Record], row: Mapping[str, Any], subject: UUID) -> list[int]:
    """Make tombstones of what names the subject in one disclosure; returns their places, those that are new."""
    found = row["id"]
    if row["entry"] is None:
        raise OperatorError("disclosures are being written about this person; try again in some seconds")
    before = {r["place"]: r["leaf_hash"] for r in await connection.fetch(_ERASED, found)}
    kept = {r["place"]: r["salt"] for r in await connection.fetch(_KEPT, found)}
    made = commitment.of_disclosure(row, before, kept)
    if made.entry != row["entry"]:
        raise OperatorError(
            f"disclosure {found} is not what the log committed to, so nothing was erased;"
            " run: credit-gateway ledger verify"
        )
    subjects = list(row["subject_ids"])
    own = [commitment.SUBJECTS + place for place, one in enumerate(subjects) if one == subject]
    gone = [place for place in (commitment.VARIABLES, commitment.SOURCES, *own) if place not in before]
    await connection.executemany(_ADD_ERASED, [(found, place, made.hashes[place]) for place in gone])
    if row["salt"] is not None:
        salts = commitment.salts_of(row["salt"], len(made.hashes))
        stays = [(found, place, salt) for place, salt in enumerate(salts) if place not in gone]
        await connection.executemany(_ADD_KEPT, [(found, commitment.OF_ENTRY, made.salt), *stays])
    else:
        await connection.execute(_DROP_KEPT, found, gone)
    emptied = [commitment.ERASED_SUBJECT if one == subject else one for one in subjects]
    await connection.execute(_EMPTIED, row["xid"], row["at"], found, emptied)
    return gone
