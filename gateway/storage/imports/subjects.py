"""Finding and making subjects, set by set: no round trip for a single row.

In: `SubjectSpec`s of a batch. Out: their ids. Codes decide first; an invalid code or an organisation code together with
the name (an organisation code is also that of the USCC around it, made before or by the same batch); without any code
the source's own key of the row, else the name within that source: never a name alone across sources, since that would
lay one firm's record at another's door. An authority without a code is the one organ of that exact folded name, else a
new one; several of that name are ambiguous and the row is rejected.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import asyncpg

from gateway.storage.imports.connection import Connection
from gateway.storage.imports.subject_rows import Key, SubjectSpec, external_id_of
from gateway.storage.names import index_names
from gateway.storage.persons import IdentityKeys

ORGANS = ("ORGAN", "PUBLIC_INSTITUTION", "MASS_ORGANISATION", "TOWNSHIP", "PARK_COMMITTEE")

_BY_ID = """
    select s.id, s.external_id, s.class, s.name, s.name_folded,
           array (select f.name_folded from core.former_name f where f.subject_id = s.id) as former
    from core.subject s where s.external_id = any ($1::uuid[])
"""
_BY_IDENTIFIER = """
    select i.scheme, i.value, s.name_folded, s.id, s.external_id, s.class
    from unnest($1::text[], $2::text[]) w (scheme, value)
    join core.identifier i on i.scheme = w.scheme and i.value = w.value
    join core.subject s on s.id = i.subject_id
    order by s.id desc
"""
# Positions 9 to 17 of a USCC are the organisation code (GB 32100); the name must agree, too.
_BY_ORGANISATION_CODE = """
    select w.code, w.folded, s.id, s.external_id, s.class
    from unnest($1::text[], $2::text[]) w (code, folded)
    join core.subject s on s.name_folded = w.folded and substr(s.uscc, 9, 9) = w.code
"""
# Subjects that were made of an organisation code alone, before their USCC came. They keep their ids and their records:
# what was answered under an id must stay there.
_DOUBLED = """
    select w.uscc, s.name
    from unnest($1::text[], $2::text[]) w (uscc, folded)
    join core.identifier i on i.scheme = 'ORGANISATION_CODE' and i.value = substr(w.uscc, 9, 9)
    join core.subject s on s.id = i.subject_id and s.name_folded = w.folded and s.uscc is null
"""
_BY_BLIND_INDEX = """
    select p.blind_index, s.id, s.external_id, s.class, s.name, s.name_folded,
           array (select f.name_folded from core.former_name f where f.subject_id = s.id) as former
    from core.person_identity p join core.subject s on s.id = p.subject_id where p.blind_index = any ($1::bytea[])
"""
_BY_ORGAN_NAME = """
    select s.name_folded, s.id, s.external_id, s.class
    from core.subject s
    where s.name_folded = any ($1::text[]) and s.class = 'ORGANISATION' and s.kind = any ($2::text[])
"""
_SERVE = """
    update core.subject set class = 'SERVANT', kind = 'CIVIL_SERVANT', updated_at = now()
    where id = any ($1::bigint[]) and class = 'PERSON'
"""
_INSERT = """
    insert into core.subject (external_id, class, kind, uscc, name, name_folded, region_code, legal_representative,
                              registered_on, address)
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::date[], $10::text[])
    returning id, external_id
"""
_INSERT_IDENTIFIERS = """
    insert into core.identifier (subject_id, scheme, value)
    select * from unnest($1::bigint[], $2::text[], $3::text[]) on conflict do nothing
"""
_INSERT_IDENTITIES = """
    insert into core.person_identity (subject_id, masked, blind_index, ciphertext, wrapped_key, key_id)
    select * from unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[])
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A subject on record. `made`: by this batch. `name`, `folded`: its name, and all that it has had, folded; of one
    that was found by its USCC or its identity number."""

    id: int
    external_id: uuid.UUID
    subject_class: str
    made: bool = False
    name: str = ""
    folded: tuple[str, ...] = ()

    def called(self, folded: str) -> bool:
        """Is that its name, or one that it has had? Where no name is known, nothing speaks against it."""
        return not self.folded or folded in self.folded


@dataclass
class Subjects:
    """Keys to subjects, remembered for one run (imports of one database are one at a time)."""

    keys: IdentityKeys = field(repr=False)
    known: dict[Key, Known] = field(default_factory=dict)
    ambiguous: set[Key] = field(default_factory=set)
    _doubled: list[tuple[str, str]] = field(default_factory=list)

    def forget(self) -> None:
        """After a transaction that was rolled back."""
        self.known.clear()
        self._doubled.clear()

    def doubled_now(self) -> list[tuple[str, str]]:
        """Code and name of those that were made since the last call, and that are on record by organisation code alone
        as well."""
        found, self._doubled = self._doubled, []
        return found

    async def resolve(self, connection: Connection, specs: Iterable[SubjectSpec]) -> dict[Key, Known]:
        """Every subject of these specs, the missing ones made from the first spec that names them. A key that several
        organs answer to is left out (see `ambiguous`)."""
        wanted: dict[Key, SubjectSpec] = {}
        for spec in specs:
            # Of two specs with one key the one with more to say about the subject makes it.
            there = wanted.get(spec.key)
            if there is None or (spec.kind_given and not there.kind_given) or spec.subject_class == "SERVANT":
                wanted[spec.key] = spec
        unknown = [spec for key, spec in wanted.items() if key not in self.known]
        await self._find(connection, unknown)
        missing = [s for s in unknown if s.key not in self.known and s.key not in self.ambiguous]
        # What is named without a USCC may be made by this very batch under one: an organisation code is within it, an
        # authority has its name.
        later = ("ORGANISATION_CODE", "ORGAN")
        await self._make(connection, [spec for spec in missing if spec.key[0] not in later])
        for scheme in later:
            waiting = [spec for spec in missing if spec.key[0] == scheme]
            if waiting:
                await self._find(connection, waiting)
                await self._make(
                    connection, [s for s in waiting if s.key not in self.known and s.key not in self.ambiguous]
                )
        await self._serve(connection, wanted)
        return {key: self.known[key] for key in wanted if key in self.known}

    async def _serve(self, connection: Connection, wanted: dict[Key, SubjectSpec]) -> None:
        """Persons who are on record as such, and of whom a row tells that they serve: all that is said of them is for
        two matters alone from now on. Never the other way."""
        serving = [
            key
            for key, spec in wanted.items()
            if spec.subject_class == "SERVANT" and key in self.known and self.known[key].subject_class == "PERSON"
        ]
        if serving:
            ids = [self.known[key].id for key in serving]
            await connection.execute(_SERVE, ids)
            await index_names(connection, ids)
            for key in serving:
                self.known[key] = replace(self.known[key], subject_class="SERVANT")

    async def _find(self, connection: Connection, specs: Sequence[SubjectSpec]) -> None:
        by_kind: dict[str, list[Key]] = {}
        for spec in specs:
            by_kind.setdefault(spec.key[0], []).append(spec.key)
        if codes := by_kind.pop("USCC", None):
            ids = {external_id_of(key): key for key in codes}
            for row in await connection.fetch(_BY_ID, list(ids)):
                self.known[ids[row["external_id"]]] = replace(
                    _known(row), name=row["name"], folded=(row["name_folded"], *row["former"])
                )
        if persons := by_kind.pop("PERSON", None):
            for row in await connection.fetch(_BY_BLIND_INDEX, [bytes.fromhex(key[1]) for key in persons]):
                self.known[("PERSON", row["blind_index"].hex())] = replace(
                    _known(row), name=row["name"], folded=(row["name_folded"], *row["former"])
                )
        if organs := by_kind.pop("ORGAN", None):
            await self._find_organs(connection, organs)
        if rest := [key for keys in by_kind.values() for key in keys]:
            wanted = set(rest)
            rows = await connection.fetch(_BY_IDENTIFIER, [k[0] for k in rest], [k[1] for k in rest])
            for row in rows:
                for key in ((row["scheme"], row["value"]), (row["scheme"], row["value"], row["name_folded"])):
                    if key in wanted:
                        self.known[key] = _known(row)

        if codes := [key for key in by_kind.get("ORGANISATION_CODE", ()) if key not in self.known]:
            rows = await connection.fetch(_BY_ORGANISATION_CODE, [k[1] for k in codes], [k[2] for k in codes])
            for row in rows:
                self.known["ORGANISATION_CODE", row["code"], row["folded"]] = _known(row)

    async def _find_organs(self, connection: Connection, organs: list[Key]) -> None:
        found: dict[Key, list[asyncpg.Record]] = {}
        for row in await connection.fetch(_BY_ORGAN_NAME, [key[1] for key in organs], list(ORGANS)):
            found.setdefault(("ORGAN", row["name_folded"]), []).append(row)
        for key, rows in found.items():
            if len(rows) == 1:
                self.known[key] = _known(rows[0])
            else:
                self.ambiguous.add(key)

    async def _make(self, connection: Connection, specs: Sequence[SubjectSpec]) -> None:
        if not specs:
            return
        made = {external_id_of(spec.key) or uuid.uuid4(): spec for spec in specs}
        rows = await connection.fetch(
            _INSERT,
            list(made),
            [s.subject_class for s in made.values()],
            [s.kind for s in made.values()],
            [s.uscc for s in made.values()],
            [s.name for s in made.values()],
            [s.folded for s in made.values()],
            [s.region_code for s in made.values()],
            [s.legal_representative for s in made.values()],
            [s.registered_on for s in made.values()],
            [s.address for s in made.values()],
        )
        for row in rows:
            spec = made[row["external_id"]]
            self.known[spec.key] = Known(
                row["id"], row["external_id"], spec.subject_class, True, spec.name, (spec.folded,)
            )
        coded = [spec for spec in specs if spec.uscc is not None]
        if coded:
            found = await connection.fetch(_DOUBLED, [s.uscc for s in coded], [s.folded for s in coded])
            self._doubled += [(row["uscc"], row["name"]) for row in found]
        await self._identify(connection, specs)
        await index_names(connection, [row["id"] for row in rows], new=True)

    async def _identify(self, connection: Connection, specs: Sequence[SubjectSpec]) -> None:
        named = [s for s in specs if s.key[0] in ("ROW", "USCC_INVALID", "ORGANISATION_CODE")]
        if named:
            ids = [self.known[s.key].id for s in named]
            await connection.execute(_INSERT_IDENTIFIERS, ids, [s.key[0] for s in named], [s.key[1] for s in named])
        persons = [(s, self.known[s.key]) for s in specs if s.number is not None]
        if persons:
            sealed = [self.keys.seal(s.number or "", known.external_id) for s, known in persons]
            await connection.execute(
                _INSERT_IDENTITIES,
                [known.id for _, known in persons],
                [one.masked for one in sealed],
                [one.blind_index for one in sealed],
                [one.ciphertext for one in sealed],
                [one.wrapped_key for one in sealed],
                [one.key_id for one in sealed],
            )


def alike(folded: str, known: Known) -> bool:
    """Could this be the name of a person on record, or one that they have had: more than half of it the same?"""

    def shared(other: str) -> bool:
        common = sum((Counter(folded) & Counter(other)).values())
        return 2 * common > max(len(folded), len(other))

    return known.called(folded) or any(shared(one) for one in known.folded)


def _known(row: asyncpg.Record) -> Known:
    return Known(row["id"], row["external_id"], row["class"])
