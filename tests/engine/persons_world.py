"""Persons of the small world: synthetic numbers of a division that does not exist (659999), and who asks for them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import asyncpg
from stdnum.cn import ric

from gateway.auth.principal import Principal
from gateway.storage.database import Database
from gateway.storage.identifiers import fold_name, node_id
from gateway.storage.persons import identity_keys
from tests.engine.conftest import World

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PERSON = "query P($number: String!, $name: String!) { person(identityNumber: $number, name: $name) { id name kind } }"
REVEAL = """mutation R($subject: ID!, $reason: String!) { revealIdentity(input: {subject: $subject, reason: $reason}) {
  identityNumber } }"""


def number(index: int) -> str:
    """The index-th synthetic identity number."""
    first = f"65999919{70 + index // 10_000 % 20:02d}{1 + index // 1000 % 10:02d}{10 + index // 100 % 10:02d}"
    first = f"{first}{index % 1000:03d}"
    return first + str(ric.calc_check_digit(first + "0"))


@dataclass(frozen=True)
class Person:
    name: str
    number: str
    id: uuid.UUID
    row: int

    @property
    def node(self) -> str:
        return node_id("S", self.id)


async def add(
    owner: Connection, database: Database, name: str, number: str, *, kind: str = "NATURAL_PERSON", region: str = "6527"
) -> Person:
    """A person on record, as the import writes one."""
    external = uuid.uuid4()
    sealed = identity_keys(database.secrets).seal(number, external)
    row = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded, region_code)"
        " values ($1, $2, $3, $4, $5, $6) returning id",
        external,
        "SERVANT" if kind == "CIVIL_SERVANT" else "PERSON",
        kind,
        name,
        fold_name(name),
        region,
    )
    await owner.execute(
        "insert into core.person_identity values ($1, $2, $3, $4, $5, $6)",
        row,
        sealed.masked,
        sealed.blind_index,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_id,
    )
    return Person(name, number, external, row)


def asker(world: World, matter: str = "SUPERVISION", *, reveals: bool | None = None, **scope: Any) -> Principal:
    """Somebody who asks in the internal view, as authentication makes of the shipped matters."""
    identifies = matter in ("SUPERVISION", "APPOINTMENT")
    who = world.principal("internal", **({"matter": matter} | scope))
    withheld = {name: value for name, value in scope.items() if name in ("regions", "kinds", "list")}
    return replace(
        who,
        matter=matter,
        withheld="{}" if not withheld else who.withheld,
        identifies_persons=identifies,
        reveals_identity=matter == "SUPERVISION" if reveals is None else reveals,
    )
