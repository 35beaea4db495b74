"""The second wall as SQL: the view schemas, made from the catalogue.

In: the catalogue. Out: the text of migrations/views.sql, which `migrate` applies whenever it differs from what the
database has. Nothing is kept in these schemas, so they are dropped and made anew.
"""

from __future__ import annotations

import pathlib

from gateway.storage import writes
from gateway.storage.catalogue import RELATIONS, Relation
from gateway.storage.conditions import base, conditions
from gateway.storage.levels import ACCESSES, INTERNAL, Access
from gateway.storage.source_functions import SOURCE_FUNCTIONS, SourceFunction

_HEADER = """\
-- Made from gateway/storage/catalogue.py by `python -m gateway.storage.views`; a test holds both together.
-- One schema a view, one role a schema. Barrier views: no function of the asker's sees a row that the view hides.
"""


def view(relation: Relation, access: Access, order: str = "") -> str:
    """CREATE VIEW for a relation, in one of its orders or in none."""
    columns = [(c.name, c.at(access.level)) for c in relation.columns]
    listed = ",\n    ".join(f"{sql} as {name}" for name, sql in columns if sql is not None)
    where = "\n  and ".join(f"({condition})" for condition in conditions(relation, access))
    name = f"{relation.name}_{order}" if order else relation.name
    tables = base(relation, access)
    return (
        f"create view {access.schema}.{name} with (security_barrier) as select\n    {listed}\nfrom {tables}"
        + (f"\nwhere {where}" if where else "")
        + (f"\ngroup by {relation.group_by}" if relation.group_by else "")
        + (f"\norder by {relation.orders[order]}" if order else "")
        + ";\n"
    )


def function(definition: SourceFunction, access: Access) -> str:
    """CREATE FUNCTION: the rows of one subject's part of a source's answers, with this view's columns alone."""
    columns = [(c.name, c.type, c.at(access.level)) for c in definition.columns]
    table = ", ".join(f"{name} {type_}" for name, type_, sql in columns if sql is not None)
    found = ",\n        ".join(sql for _, _, sql in columns if sql is not None)
    body = f"select\n        {found}\n    from {definition.rows}".replace("{schema}", access.schema)
    takes = "answers jsonb, subject text" + (", source text" if definition.by_source else "")
    # What names another schema is read when it is made: its caller may run core.today(), but not look into core.
    body = f"begin atomic\n    {body};\nend" if "core." in body else f"as $$\n    {body} $$"
    return (
        f"create function {access.schema}.{definition.name}({takes}) returns table ({table})\n"
        f"    language sql stable parallel safe {body};\n"
    )


# What a body statement hands to its view's function `disclose` of each of its answers, as one text in this order, first
# the id (account.py gives new ones); subjects and snapshot it has found itself.
_CELLS = {
    "id": "::uuid",
    "client_id": "",
    "organisation_uscc": "",
    "matter": "",
    "case_number": "",
    "on_behalf_of": "",
    "operation_name": "",
    "document_hash": "",
    "variables": "",
    "sources": "",
    "withheld": "",
    "fields_hash": "",
    "basis_hash": "",
}
_HASHES = ("document_hash", "fields_hash", "basis_hash")
CELLS = tuple(_CELLS)
BETWEEN, ABSENT = "\x1f", "\x1e"  # of an answer's cells; a null among them
APART = b"\x1d"  # of several answers in one parameter
# The salts of several answers are made of one UUID, which the statement draws and nobody keeps: to draw one opens the
# system's source of randomness, where PostgreSQL was built without OpenSSL. A subselect by itself is evaluated once.
_SALT = "left(encode(sha256(uuid_send((select gen_random_uuid())) || int8send(d.n)), 'hex'), 32)::uuid"
NOT_SHOWN = "-"  # in place of the subjects: nothing came out, nothing is disclosed


def _values() -> str:
    """The cells of a row `d`, as what they are."""
    cells = [(name, f"d.cell[{place}]", cast) for place, (name, cast) in enumerate(_CELLS.items(), 1)]
    return ", ".join(f"decode({cell}, 'hex')" if name in _HASHES else f"{cell}{cast}" for name, cell, cast in cells)


def disclose(access: Access) -> str:
    """CREATE FUNCTION, twice: how a view's role writes what it shows (decision 0011); what it changes: writes.py.

    They add disclosures of answers in this view and return how many; nothing else can be done with them.

    `cells` has those of an answer, the unit separator (0x1F) between them; 0x1E is null. Of `disclose` it has those of
    several answers, the group separator (0x1D) between them, and `shown` has the subjects' UUIDs, comma separated, of
    each answer, semicolons between; `-` where nothing came out. `disclose_one` takes the subjects of its one answer as
    an array: null where nothing came out.
    """
    between, absent, apart = (f"e'\\x{ord(byte):02x}'" for byte in (BETWEEN, ABSENT, APART))
    columns = f"{', '.join(_CELLS)}, view, outcome, subject_ids, snapshot"
    # `offset 0`: cut once, not for each cell.
    return f"""\
create function {access.schema}.disclose_one(cells text, shown uuid[], snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure ({columns})
        select {_values()},
            '{access.contract}', 'ANSWERED', disclose_one.shown, disclose_one.snapshot
        from (select string_to_array(disclose_one.cells, {between}, {absent}) as cell offset 0) d
        where disclose_one.shown is not null
        returning 1
    )
    select count(*) from written;
end;
create function {access.schema}.disclose(cells text, shown text, snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure ({columns}, salt)
        select {_values()},
            '{access.contract}', 'ANSWERED', string_to_array(coalesce(d.shown, ''), ',')::uuid[], disclose.snapshot,
            {_SALT}
        from (
            select string_to_array(a.cells, {between}, {absent}) as cell, a.shown, a.n
            from unnest(string_to_array(disclose.cells, {apart}), string_to_array(disclose.shown, ';'))
                with ordinality a(cells, shown, n)
            offset 0
        ) d
        where d.shown is distinct from '{NOT_SHOWN}'
        returning 1
    )
    select count(*) from written;
end;
"""


def changes(access: Access) -> str:
    """CREATE FUNCTION: cursors of changes, and the last place that there is. Places are printed to nobody."""
    return f"""\
create function {access.schema}.change_place(cursor text) returns bigint language sql stable security definer
begin atomic
    select core.change_place(change_place.cursor);
end;
create function {access.schema}.change_cursor(place bigint) returns text language sql volatile security definer
begin atomic
    select core.change_cursor(change_cursor.place);
end;
create function {access.schema}.change_end() returns bigint language sql stable security definer
begin atomic
    select e.position from core.change_end e;
end;
"""


def reference_version(access: Access) -> str:
    """CREATE VIEW: how new what is filled into an answer must be (engine/references.py)."""
    return f"""\
create view {access.schema}.reference_version with (security_barrier) as select
    v.version as version
from core.reference_version v;
"""


def large_region(access: Access) -> str:
    """CREATE VIEW: of which regions records are found in the order of all (engine/pages.py). Under a scope what is left
    of a large region may be little: there is none."""
    if access.scoped:
        return ""
    return f"""\
create view {access.schema}.large_region with (security_barrier) as select
    l.code as code
from core.large_region l;
"""


def json_text(access: Access) -> str:
    """CREATE FUNCTION: a text as a JSON string, in a schema that the view's role may name. It is inlined."""
    return f"""\
create function {access.schema}.json_text(value text) returns text language sql stable parallel safe
begin atomic
    select core.json_text(json_text.value);
end;
"""


def statements(access: Access) -> list[str]:
    """Everything of one view schema, rights included."""
    made = [
        f"drop schema if exists {access.schema} cascade;\n",
        f"create schema {access.schema};\n",
        f"revoke all on schema {access.schema} from public;\n",
    ]
    for relation in RELATIONS.values():
        if access.level >= relation.level and (access.scoped or not relation.scoped):
            made.append(view(relation, access))
            made.extend(view(relation, access, order) for order in relation.orders)
    for definition in SOURCE_FUNCTIONS.values():
        if access.level >= definition.level:
            made.append(function(definition, access))
    made.append(reference_version(access))
    made.append(large_region(access))
    made.append(json_text(access))
    made.append(changes(access))
    if access.disclosed:
        made.append(disclose(access))
    if access is INTERNAL:
        made.append(writes.person(access))
    made.extend(writes.functions(access))
    made.append(f"revoke execute on all functions in schema {access.schema} from public;\n")
    made.append(f"grant usage on schema {access.schema} to @{access.name}@;\n")
    made.append(f"grant select on all tables in schema {access.schema} to @{access.name}@;\n")
    made.append(f"grant execute on all functions in schema {access.schema} to @{access.name}@;\n")
    made.append(f"grant execute on function core.today(), core.json_text(text) to @{access.name}@;\n")
    made.append(f"grant execute on function ledger.as_object(text), ledger.as_moment(text) to @{access.name}@;\n")
    return made


def sql() -> str:
    """The whole file."""
    # What was printed out of other views is printed anew (engine/references.py).
    anew = "update core.reference_version set version = core.next_version(version);\n"
    return _HEADER + "\n" + "\n".join("".join(statements(access)) for access in ACCESSES) + "\n" + anew


if __name__ == "__main__":
    pathlib.Path(__file__).with_name("migrations").joinpath("views.sql").write_text(sql(), encoding="utf-8")
