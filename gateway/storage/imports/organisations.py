"""Organisations and civil servants: made or brought up to date by their code.

In: typed rows. Out: core.subject with former names, roles and succession. A cell that is empty changes nothing; a name
that changes leaves the old one among the former names, and is not given back by an older file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gateway.storage.identifiers import fold_name, organisation_uuid
from gateway.storage.imports.connection import Connection
from gateway.storage.imports.outcome import Outcome, Seen
from gateway.storage.imports.read import Row
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.rows import canonical
from gateway.storage.imports.subject_rows import Reference, SubjectSpec, Values, check_kind_said, subject_spec
from gateway.storage.imports.subjects import Known, Subjects, alike
from gateway.storage.names import index_names
from gateway.storage.persons import masked_identity

# What the row would make of each subject, beside what it is; a kind told by a code alone only replaces OTHER.
_TARGET = """
    with target as (
        select s.id, s.name as old_name, s.name_folded as old_folded,
               w.name, w.folded,
               case when w.kind_given or s.kind = 'OTHER' then w.kind else s.kind end as kind,
               case when w.class = 'SERVANT' then w.class else s.class end as class,
               coalesce(w.region, s.region_code) as region, coalesce(w.representative, s.legal_representative)
                   as representative, coalesce(w.registered, s.registered_on) as registered,
               coalesce(w.address, s.address) as address
        from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::text[],
                    $9::date[], $10::text[])
             w (id, name, folded, kind, kind_given, class, region, representative, registered, address)
        join core.subject s on s.id = w.id
        where (s.name, s.kind, s.class, s.region_code, s.legal_representative, s.registered_on, s.address)
              is distinct from
              (w.name, case when w.kind_given or s.kind = 'OTHER' then w.kind else s.kind end,
               case when w.class = 'SERVANT' then w.class else s.class end, coalesce(w.region, s.region_code),
               coalesce(w.representative, s.legal_representative), coalesce(w.registered, s.registered_on),
               coalesce(w.address, s.address))
    ),
    renamed as (
        insert into core.former_name (subject_id, name, name_folded)
        select id, old_name, old_folded from target where name <> old_name on conflict do nothing
    )
    update core.subject s
    set name = t.name, name_folded = t.folded, kind = t.kind, class = t.class, region_code = t.region,
        legal_representative = t.representative, registered_on = t.registered, address = t.address, updated_at = now()
    from target t where s.id = t.id
    returning s.id
"""
_OLDER_NAMES = """
    select s.id
    from unnest($1::bigint[], $2::text[], $3::text[]) w (id, name, folded)
    join core.subject s on s.id = w.id and s.name <> w.name
    where exists (select from core.former_name f where f.subject_id = s.id
                  and (f.name = w.name or (f.name_folded = w.folded and s.name_folded <> w.folded)))
"""
_FORMER_NAMES = """
    insert into core.former_name (subject_id, name, name_folded)
    select * from unnest($1::bigint[], $2::text[], $3::text[]) on conflict do nothing returning subject_id
"""
_ROLES = """
    insert into core.subject_role (subject_id, role)
    select * from unnest($1::bigint[], $2::text[]) on conflict do nothing returning subject_id
"""
_KNOWN_CODES = "select external_id, id from core.subject where external_id = any ($1::uuid[])"
_SUCCESSION = """
    insert into core.succession (predecessor_id, successor_id, effective_on, basis)
    select * from unnest($1::bigint[], $2::bigint[], $3::date[], $4::text[]) on conflict (predecessor_id, successor_id)
    do update set effective_on = excluded.effective_on, basis = excluded.basis
    where (succession.effective_on, succession.basis) is distinct from (excluded.effective_on, excluded.basis)
    returning successor_id
"""


@dataclass
class OrganisationLoader:
    """Loads organisations, or civil servants where `kind` says so."""

    reference: Reference
    subjects: Subjects
    kind: str | None = None
    apply_older: bool = False  # give names back that were replaced since
    seen: Seen = field(default_factory=Seen)

    def rolled_back(self) -> None:
        """Forget what the batch made."""
        self.subjects.forget()

    def problems(self, row: Row) -> list[CellError]:
        """What else is wrong with a row whose cells have faults already."""
        needed = {"name", "uscc", "subject_kind", "region_code", "identity_number"}
        if needed & row.failed:
            return []
        try:
            self._spec({**row.values, "subject_kind": self.kind} if self.kind else row.values)
        except CellError as error:
            return [error]
        return []

    def _spec(self, values: Values) -> SubjectSpec:
        spec = subject_spec(values, self.reference, self.subjects.keys.blind_index)
        if self.kind is None and spec.subject_class != "ORGANISATION":
            raise CellError("subject_kind", spec.kind, "个人不能作为组织导入", "a person is not an organisation")
        check_kind_said(values, spec)
        return spec

    async def load(self, connection: Connection, rows: list[Row]) -> Outcome:
        """Write the batch."""
        outcome = Outcome()
        taken = self._specs(rows, outcome)
        taken = await self._with_predecessors(connection, taken, outcome)
        if not taken:
            return outcome
        known = await self.subjects.resolve(connection, [spec for _, spec in taken])
        older = await self._older_names(connection, [(spec, known[spec.key]) for _, spec in taken])
        for row, spec in taken:
            on = known[spec.key]
            if on.id in older:
                outcome.older += 1
                outcome.remarks.older_content(row.line, None)
            elif spec.number is not None and not alike(spec.folded, on):
                outcome.remarks.other_person(row.line, masked_identity(spec.number))
        pairs = [(row.values, spec, known[spec.key]) for row, spec in taken if known[spec.key].id not in older]
        changed = await self._update(connection, [(spec, on) for _, spec, on in pairs if not on.made])
        changed |= await self._belongings(connection, [(values, on) for values, _, on in pairs])
        await index_names(connection, list(changed))
        new = {on.id for _, _, on in pairs if on.made}
        outcome.new += len(new)
        outcome.changed += len(changed - new)
        outcome.same += len(pairs) - len(new) - len(changed - new)
        for key in known:
            # Made by this batch, but on record for the next.
            self.subjects.known[key] = replace(self.subjects.known[key], made=False)
        return outcome

    def _specs(self, rows: list[Row], outcome: Outcome) -> list[tuple[Row, SubjectSpec]]:
        taken = []
        for row in rows:
            values: Values = {**row.values, "subject_kind": self.kind} if self.kind else row.values
            try:
                spec = self._spec(values)
                content = canonical({name: value for name, value in values.items() if name != "identity_number"})
                if self.seen.twice(spec.key, row, content):
                    outcome.same += 1
                    continue
            except CellError as error:
                outcome.reject(row, error)
                continue
            taken.append((row, spec))
        return taken

    async def _with_predecessors(
        self, connection: Connection, taken: list[tuple[Row, SubjectSpec]], outcome: Outcome
    ) -> list[tuple[Row, SubjectSpec]]:
        """Rows whose predecessors are on record or in this batch; the others are rejected."""
        wanted = {code for row, _ in taken for code in row.values.get("predecessors", ())}  # type: ignore[attr-defined]
        if not wanted:
            return taken
        rows = await connection.fetch(_KNOWN_CODES, [organisation_uuid(code) for code in wanted])
        on_record = {row["external_id"] for row in rows}
        here = {spec.uscc for _, spec in taken}
        kept = []
        for row, spec in taken:
            codes: Any = row.values.get("predecessors", ())
            lost = [code for code in codes if code not in here and organisation_uuid(code) not in on_record]
            if lost or spec.uscc in codes:
                outcome.reject(row, _no_predecessor((lost or [spec.uscc])[0]))
            else:
                kept.append((row, spec))
        return kept

    async def _older_names(self, connection: Connection, pairs: list[tuple[SubjectSpec, Known]]) -> set[int]:
        """Those whose name in the row is one that they have had before: an older file must not give it back."""
        there = [(on.id, spec.name, spec.folded) for spec, on in pairs if not on.made]
        if self.apply_older or not there:
            return set()
        rows = await connection.fetch(_OLDER_NAMES, *[[one[i] for one in there] for i in range(3)])
        return {row["id"] for row in rows}

    async def _update(self, connection: Connection, pairs: list[tuple[SubjectSpec, Known]]) -> set[int]:
        if not pairs:
            return set()
        specs = [spec for spec, _ in pairs]
        rows = await connection.fetch(
            _TARGET,
            [on.id for _, on in pairs],
            [s.name for s in specs],
            [s.folded for s in specs],
            [s.kind for s in specs],
            [s.kind_given for s in specs],
            [s.subject_class for s in specs],
            [s.region_code for s in specs],
            [s.legal_representative for s in specs],
            [s.registered_on for s in specs],
            [s.address for s in specs],
        )
        return {row["id"] for row in rows}

    async def _belongings(self, connection: Connection, pairs: list[tuple[Values, Known]]) -> set[int]:
        """Former names, roles, predecessors; returns the subjects for which there was something new."""
        touched: set[int] = set()
        names = [(on.id, name) for values, on in pairs for name in values.get("former_names", ())]
        if names:
            ids, texts = [i for i, _ in names], [name for _, name in names]
            rows = await connection.fetch(_FORMER_NAMES, ids, texts, [fold_name(name) for name in texts])
            touched |= {row["subject_id"] for row in rows}
        roles = [(on.id, role) for values, on in pairs for role in values.get("roles", ())]
        if roles:
            rows = await connection.fetch(_ROLES, [i for i, _ in roles], [role for _, role in roles])
            touched |= {row["subject_id"] for row in rows}
        links = [
            (organisation_uuid(code), on.id, values.get("succession_on"), values.get("succession_basis"))
            for values, on in pairs
            for code in values.get("predecessors", ())
        ]
        if links:
            rows = await connection.fetch(_KNOWN_CODES, list({link[0] for link in links}))
            ids_by = {row["external_id"]: row["id"] for row in rows}
            known = [(ids_by[link[0]], *link[1:]) for link in links if link[0] in ids_by]
            rows = await connection.fetch(_SUCCESSION, *[[one[i] for one in known] for i in range(4)])
            touched |= {row["successor_id"] for row in rows}
        return touched


def _no_predecessor(code: str | None) -> CellError:
    return CellError(
        "predecessors",
        code or "",
        "前身单位尚未入库，或就是本单位",
        "the predecessor is not on record yet, or is the organisation itself",
    )
