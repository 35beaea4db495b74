"""The second wall: a role of PostgreSQL reads its own view schema, exactly the columns of its level, and nothing else.

Every column of every view × every role by direct SELECT, every base table × role × right, every function × role; and
that a role can make, change and become nothing. Expected columns and rights: expected_columns.py, by hand.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
from expected_columns import (
    BY_SOURCE,
    COLUMNS,
    FINDING,
    FUNCTIONS,
    GRANTS,
    PLACES,
    ROLES,
    SERVICE_ROLES,
    WRITING,
    columns,
    function_columns,
    offered,
    views,
)
from expected_levels import I
from walls_support import pairs

from gateway.storage.database import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ALL_ROLES = (*ROLES, *SERVICE_ROLES)
SCOPE = '{"matter": "GRANT", "organisation": 0, "subject": 0}'
DENIED = "InsufficientPrivilegeError"
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")


@pytest.fixture(scope="module")
async def connections(database: Database) -> AsyncIterator[dict[str, Connection]]:
    """One connection a role, with a scope for the session: here columns count, not rows."""
    made = {}
    for role in ALL_ROLES:
        made[role] = await asyncpg.connect(database.dsn(role), statement_cache_size=0)
        await made[role].execute(f"select set_config('gateway.scope', '{SCOPE}', false)")
    yield made
    for connection in made.values():
        await connection.close()


async def outcome(connection: Connection, sql: str) -> str:
    """`ok`, or the name of PostgreSQL's refusal."""
    try:
        await connection.execute(sql)
    except asyncpg.PostgresError as error:
        return type(error).__name__
    return "ok"


def expected_select(role: str, schema: str, relation: str, column: str) -> str:
    """What SELECT of a column of a view says to a role."""
    if role != schema:
        return DENIED
    if not offered(relation, schema):
        return "UndefinedTableError"
    return "ok" if column in offered(relation, schema) else "UndefinedColumnError"


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_every_column_of_every_view(connections: dict[str, Connection], role: str) -> None:
    wrong, checked = [], 0
    for schema in ROLES:
        for relation in COLUMNS:
            for view in views(relation):
                for column in sorted(columns(relation, I)):
                    found = await outcome(connections[role], f"select {column} from v_{schema}.{view} limit 1")
                    if found != expected_select(role, schema, relation, column):
                        wrong.append((schema, view, column, found))
                    checked += 1
    assert wrong == []
    pairs.count("column × view × role by SELECT", checked)


async def test_views_have_no_other_columns(owner: Connection) -> None:
    """No view and no column that the table doesn't know."""
    rows = await owner.fetch(
        "select substr(table_schema, 3) as schema, table_name as view, column_name as name"
        " from information_schema.columns where table_schema like 'v\\_%'"
    )
    found = {(row["schema"], row["view"], row["name"]) for row in rows}
    assert found == {
        (schema, view, column)
        for schema in ROLES
        for relation in COLUMNS
        for view in views(relation)
        for column in offered(relation, schema)
    } | {
        *((schema, "reference_version", "version") for schema in ROLES),  # a number that is of no row
        *((schema, "large_region", "code") for schema in ("public", "restricted")),  # a hint, where nothing is narrowed
    }


async def test_every_view_is_a_barrier(owner: Connection) -> None:
    """Without security_barrier a cheap function of the asker's sees rows before the view's conditions do."""
    open_ones = await owner.fetch(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname like 'v\\_%' and (c.relkind <> 'v'"
        " or coalesce(not 'security_barrier=true' = any (c.reloptions), true))"
    )
    assert open_ones == []


async def test_a_leaky_condition_sees_no_hidden_row(database: Database, owner: Connection) -> None:
    """A condition that fails on a hidden servant's name does not fail; on a view without barrier it would."""
    await owner.execute(
        "insert into core.subject (external_id, class, kind, name, name_folded) values"
        " (gen_random_uuid(), 'SERVANT', 'CIVIL_SERVANT', '甲某', '甲某')"
    )
    definition = await owner.fetchval("select pg_get_viewdef('v_internal.subject'::regclass)")
    await owner.execute(f"create view v_internal.open_subject as {definition}")
    await owner.execute(f'grant select on v_internal.open_subject to "{database.prefix}_internal"')
    connection = await asyncpg.connect(database.dsn("internal"))
    try:
        await connection.execute(f"select set_config('gateway.scope', '{SCOPE}', false)")
        leak = "select count(*) from v_internal.{} where name::int = 0"
        assert await outcome(connection, leak.format("subject")) == "ok"
        assert await outcome(connection, leak.format("open_subject")) == "InvalidTextRepresentationError"
    finally:
        await connection.close()
        await owner.execute("drop view v_internal.open_subject; delete from core.subject")


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_functions_of_sources(connections: dict[str, Connection], role: str) -> None:
    checked = 0
    for schema, level in ROLES.items():
        for function in FUNCTIONS:
            source = ", 'y'" if function in BY_SOURCE else ""
            call = f"from v_{schema}.{function}('{{}}'::jsonb, 'x'{source})"
            for column in function_columns(function, I):
                found = await outcome(connections[role], f"select {column} {call}")
                if role != schema:
                    assert found == DENIED, (schema, function)
                elif not function_columns(function, level):
                    assert found == "UndefinedFunctionError", (schema, function)
                else:
                    hidden = column not in function_columns(function, level)
                    assert found == ("UndefinedColumnError" if hidden else "ok"), (schema, function, column)
                checked += 1
    pairs.count("function column × role", checked)


async def test_functions_return_no_other_columns(owner: Connection) -> None:
    rows = await owner.fetch(
        "select substr(n.nspname, 3) as schema, p.proname as name, p.prosecdef as definer,"
        " p.proargnames[p.pronargs + 1:] as returns from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname like 'v\\_%'"
    )
    disclosing = ("disclose", "disclose_one")
    acting = {*disclosing, *PLACES, *(name for made in (WRITING, FINDING) for names in made.values() for name in names)}
    own = {(row["schema"], row["name"]) for row in rows if row["name"] in acting}
    printing = {(row["schema"], row["name"]) for row in rows if row["name"] == "json_text"}
    assert printing == {(schema, "json_text") for schema in ROLES}  # reads nothing: a text as a JSON string
    found = {
        (row["schema"], row["name"]): set(row["returns"])
        for row in rows
        if row["name"] not in acting and row["name"] != "json_text"
    }
    assert found == {
        (schema, function): set(function_columns(function, level))
        for schema, level in ROLES.items()
        for function in FUNCTIONS
        if function_columns(function, level)
    }
    # The only functions that act with their owner's rights: a view's own disclosures, not for the public, what may be
    # changed under a scope, what finds a person by blind index and name, and those that read and write cursors of
    # changes.
    disclosures = {(schema, name) for schema in ROLES if schema != "public" for name in disclosing}
    writing = {(schema, name) for made in (WRITING, FINDING) for schema, names in made.items() for name in names}
    assert own == disclosures | writing | {(schema, name) for schema in ROLES for name in PLACES}
    assert {(row["schema"], row["name"]) for row in rows if row["definer"]} == own


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_places_of_changes_by_schema(connections: dict[str, Connection], role: str) -> None:
    for schema in ROLES:
        for call in ("change_place(null)", "change_cursor(1)", "change_end()"):
            found = await outcome(connections[role], f"select v_{schema}.{call}")
            assert found == ("ok" if role == schema else DENIED), (schema, call)
    # The order of all changes is nobody's to make or to read but through these.
    for call in ("number_changes(1)", "sweep_changes(1)"):
        expected = "ok" if role == "service" else DENIED
        assert await outcome(connections[role], f"select core.{call}") == expected, call
    for call in ("turn_day(true)", "change_place(null)", "change_cursor(1)"):
        assert await outcome(connections[role], f"select core.{call}") == DENIED, call


DISCLOSE = (
    "select v_{}.disclose('{}' || translate('|c|o|m|n|~|~|00|~|{{}}|{{}}|11|~', '|~', e'\\x1f\\x1e'), '{}', '1:1:')",
    "select v_{}.disclose_one('{}' || translate('|c|o|m|n|~|~|00|~|{{}}|{{}}|11|~', '|~', e'\\x1f\\x1e'), '{{{}}}',"
    " '1:1:')",
)


@pytest.mark.parametrize("call", DISCLOSE)
@pytest.mark.parametrize("role", ALL_ROLES)
async def test_a_view_role_adds_disclosures_of_its_own_view_and_no_others(
    connections: dict[str, Connection], owner: Connection, role: str, call: str
) -> None:
    shown = str(uuid.uuid4())
    for schema in ROLES:
        id = uuid.uuid4()
        expected = "ok" if schema == role != "public" else "UndefinedFunctionError" if schema == role else DENIED
        assert await outcome(connections[role], call.format(schema, id, shown)) == expected
        rows = await owner.fetch("select * from ledger.disclosure where id = $1", id)
        if expected != "ok":
            assert rows == []
            continue
        (row,) = rows
        view = {"restricted_scoped": "RESTRICTED"}.get(role, role.upper())
        assert (row["view"], row["outcome"], row["snapshot"]) == (view, "ANSWERED", "1:1:")
        assert row["subject_ids"] == [uuid.UUID(shown)]
        assert (row["on_behalf_of"], row["operation_name"], row["variables"]) == (None, None, None)
        assert (row["document_hash"], row["fields_hash"], row["basis_hash"]) == (b"\0", b"\x11", None)
    pairs.count("disclose × role", len(ROLES))


async def test_disclosures_of_several_answers(connections: dict[str, Connection], owner: Connection) -> None:
    """Of the second of three answers nothing came out, the third shows no subject and has few cells."""
    first, second, third = (str(uuid.uuid4()) for _ in range(3))
    all_of, few = "|{}|o|m|n|x|x|00|x|{{}}|{{}}|11|22", "|{}|o|m|n|~|~|~|~|{{}}|{{}}|~|~"
    lines = (first + all_of.format("c"), second + all_of.format("d"), third + few.format("f"))
    cells = f"translate('{'^'.join(lines)}', '|~^', e'\\x1f\\x1e\\x1d')"
    shown = f"'{first},{second};-;'"
    sql = f"select v_restricted.disclose({cells}, {shown}, '1:1:')"
    assert await connections["restricted"].fetchval(sql) == 2
    rows = await owner.fetch(
        "select id::text, client_id, subject_ids::text[] as shown from ledger.disclosure where id = any ($1::uuid[])"
        " order by client_id",
        [first, second, third],
    )
    assert [tuple(row) for row in rows] == [(first, "c", [first, second]), (third, "f", [])]


async def test_each_disclosure_has_a_salt_of_its_own(connections: dict[str, Connection], owner: Connection) -> None:
    """In whatever statement: the same cells are written ten times, under other ids, some of them by one statement and
    several statements by one transaction. Else who knows one row could try out another's."""
    cells = "translate('|c|o|m|salted|~|~|~|~|{}|{}|~|~', '|~', e'\\x1f\\x1e')"
    lines = f"select string_agg(gen_random_uuid() || {cells}, e'\\x1d') from generate_series(1, 10)"
    sql = f"select v_restricted.disclose(({lines}), repeat(';', 9), '1:1:')"
    async with connections["restricted"].transaction():
        assert [await connections["restricted"].fetchval(sql) for _ in range(10)] == [10] * 10
    one = f"select v_restricted.disclose_one(gen_random_uuid() || {cells}, '{{}}', '1:1:')"
    assert [await connections["restricted"].fetchval(one) for _ in range(10)] == [1] * 10
    salts = [r["salt"] for r in await owner.fetch("select salt from ledger.disclosure where case_number = 'salted'")]
    assert None not in salts
    assert len(set(salts)) == len(salts) == 110
    # What is the same in all of them is nothing: each byte takes many values.
    assert min(len(set(column)) for column in zip(*[salt.bytes for salt in salts[:100]], strict=True)) > 50


PERSON = "select v_{}.person(repeat('00', 32), '示例')"


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_persons_are_found_in_the_internal_view_alone(connections: dict[str, Connection], role: str) -> None:
    """By a blind index that only the key makes; under a scope; and nobody but the gateway's own role reads what is
    sealed, one at a time."""
    connection = connections[role]
    for schema in ROLES:
        expected = DENIED if schema != role else "ok" if schema in FINDING else "UndefinedFunctionError"
        assert await outcome(connection, PERSON.format(schema)) == expected, schema
    if role in FINDING:
        await connection.execute("select set_config('gateway.scope', '', false)")
        assert await outcome(connection, PERSON.format(role)) == "InvalidTextRepresentationError"
        await connection.execute(f"select set_config('gateway.scope', '{SCOPE}', false)")
    sealed = "select * from core.sealed_identity(gen_random_uuid())"
    assert await outcome(connection, sealed) == ("ok" if role == "service" else DENIED)
    pairs.count("person × role", len(ROLES) + 1)


WRITES = {
    "record_consent": "select v_{}.record_consent('', array['BANKS'], '2026-01-01', '2026-01-01', '', '')",
    "revoke_consent": "select v_{}.revoke_consent(gen_random_uuid(), null)",
    "reveal_identity": "select v_{}.reveal_identity(gen_random_uuid())",
    "claim_key": "select * from v_{}.claim_key('00', '01')",
    "keep_reply": "select v_{}.keep_reply('ff', '', '')",
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("role", ALL_ROLES)
async def test_a_role_changes_by_the_functions_of_its_view_alone(
    connections: dict[str, Connection], owner: Connection, role: str, name: str
) -> None:
    """None at all without a scope, and none of another view; that what they refuse changes nothing: tests/engine."""
    connection = connections[role]
    for schema in ROLES:
        call = WRITES[name].format(schema)
        own = schema == role and name in WRITING.get(schema, ())
        expected = "ok" if own else "UndefinedFunctionError" if schema == role else DENIED
        scope = '{"matter": "GRANT", "uscc": "11652799YL0000012", "client": "c", "case": "1"}'
        await connection.execute(f"select set_config('gateway.scope', '{scope}', false)")
        assert await outcome(connection, call) == expected, schema
        await connection.execute("select set_config('gateway.scope', '', false)")
        if own:  # an empty text is no scope
            assert await outcome(connection, call) == "InvalidTextRepresentationError"
    await connection.execute(f"select set_config('gateway.scope', '{SCOPE}', false)")
    await owner.execute("delete from core.idempotent_reply")
    assert await owner.fetchval("select count(*) from core.consent") == 0
    pairs.count("change × role", len(ROLES))


# Base tables ---------------------------------------------------------------------------------------------------------


async def tables(owner: Connection) -> list[str]:
    """Every table of the project, partitions included."""
    return [
        row[0]
        for row in await owner.fetch(
            "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname in ('core', 'auth', 'ledger', 'migration', 'public')"
            " and c.relkind in ('r', 'p', 'v', 'm', 'S')"
        )
    ]


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_base_tables_by_right(database: Database, owner: Connection, role: str) -> None:
    """Each right on each table: a service role has what the table says, a view role none."""
    rows = await owner.fetch(
        "select t, r, has_table_privilege($1, t, r) or (r in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and"
        " has_any_column_privilege($1, t, r)) as has from unnest($2::text[]) t, unnest($3::text[]) r",
        f"{database.prefix}_{role}",
        [t for t in await tables(owner) if not t.endswith("_seq")],
        list(RIGHTS),
    )
    assert len(rows) > 250
    wrong = {
        (row["t"], row["r"], row["has"])
        for row in rows
        if row["has"] != (row["r"] in GRANTS.get((role, row["t"]), "").split())
    }
    assert wrong == set()
    pairs.count("right × table × role", len(rows))


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_base_tables_by_select(connections: dict[str, Connection], owner: Connection, role: str) -> None:
    checked = 0
    for table in await tables(owner):
        granted = "SELECT" in GRANTS.get((role, table), "")
        assert await outcome(connections[role], f"select 1 from {table} limit 1") == ("ok" if granted else DENIED), (
            table
        )
        checked += 1
    for secret in ("pg_authid", "pg_statistic", "pg_hba_file_rules", "pg_largeobject", "pg_user_mapping"):
        assert await outcome(connections[role], f"select * from {secret}") == DENIED, secret
        checked += 1
    pairs.count("table × role by SELECT", checked)


SPECIFIC = (
    (
        "ledger",
        "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,"
        " subject_ids, sources, withheld) values (gen_random_uuid(), '', '', '', '', '', '', '{}', '{}', '{}')",
        "ok",
    ),
    ("ledger", "select * from ledger.disclosure", DENIED),
    ("ledger", "update ledger.disclosure set matter = ''", DENIED),
    ("ledger", "delete from ledger.disclosure", DENIED),
    ("ledger", "select 1 from core.subject", DENIED),
    ("ledger", "insert into ledger.told values (sha256('x'), 'x') on conflict do nothing", "ok"),
    ("ledger", "select 1 from ledger.told", DENIED),
    *(("ledger", f"insert into ledger.disclosure ({own}) values (default)", DENIED) for own in ("at", "xid", "salt")),
    ("ledger", "select ledger.sequence(1)", DENIED),
    ("log", "select ledger.sequence(1)", "ok"),
    ("log", "insert into ledger.disclosure default values", DENIED),
    ("log", "insert into ledger.leaf default values", DENIED),
    ("log", "update ledger.log_state set size = 0", DENIED),
    ("log", "delete from ledger.checkpoint", DENIED),
    ("log", "select 1 from core.subject", DENIED),
    ("service", "select 1 from core.record", DENIED),
    ("service", "select 1 from core.person_identity", DENIED),
    ("service", "insert into ledger.disclosure default values", DENIED),
    ("service", "delete from core.source_answer", DENIED),
    ("service", "update core.source_answer set rows = '[]'", DENIED),
    ("import", "select secret_hash from auth.client", DENIED),
    ("import", "select 1 from ledger.disclosure", DENIED),
    ("import", "select 1 from core.source_answer", DENIED),
    ("import", "update core.record_version set reason = ''", DENIED),
    ("import", "delete from core.record", DENIED),
)


@pytest.mark.parametrize(("role", "sql", "expected"), SPECIFIC)
async def test_service_roles(connections: dict[str, Connection], role: str, sql: str, expected: str) -> None:
    assert await outcome(connections[role], sql) == expected


# What no role can do -------------------------------------------------------------------------------------------------

IMPOSSIBLE = (
    "create table public.made (x int)",
    "create table core.made (x int)",
    "create table v_public.made (x int)",
    "create temporary table made (x int)",
    "create view public.made as select 1",
    "create temporary view made as select 1",
    "create sequence public.made",
    "create schema made",
    "create function public.made() returns int language sql as 'select 1'",
    "create function pg_temp.made() returns int language sql as 'select 1'",
    "create type public.made as enum ('x')",
    "create extension pg_buffercache",
    "create role made",
    "create database made",
    "create publication made",
    "create server made foreign data wrapper postgresql",
    "set session authorization postgres",
    "copy (select 1) to '/tmp/made'",
    "copy (select 1) to program 'true'",
    "select pg_read_file('PG_VERSION')",
    "select pg_ls_dir('.')",
    "select pg_stat_file('PG_VERSION')",
    "select lo_import('/etc/hostname')",
    "select lo_from_bytea(0, 'made')",
    "select lo_create(0)",
    "select lo_creat(-1)",
    "select lo_put(0, 0, 'made')",
    "select lo_unlink(0)",
    "select pg_logical_emit_message(false, 'made', 'made')",
    "select pg_reload_conf()",
    "select core.node_id('S', gen_random_uuid())",
    "lock table core.record in access share mode",
    "alter view v_public.subject reset (security_barrier)",
    "drop view v_public.subject",
    "grant select on migration.applied to public",
    "alter table core.record disable trigger all",
    "alter system set jit = on",
    "set session_replication_role = replica",
    "comment on schema core is 'x'",
)


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_roles_can_make_and_change_nothing(
    database: Database, connections: dict[str, Connection], role: str
) -> None:
    connection = connections[role]
    # read-only transactions are a setting that a session may undo: rights must hold by themselves
    await connection.execute("set default_transaction_read_only = off")
    others = [f'set role "{database.prefix}_{other}"' for other in (*ALL_ROLES, "migrate") if other != role]
    becoming = [*others, "set role postgres"]
    # import and service may name core's functions, since their tables' columns are generated by them
    allowed = {"select core.node_id('S', gen_random_uuid())"} if role in ("import", "service") else set()
    selects = {"lock table core.record in access share mode"} if role == "import" else set()
    for sql in (*IMPOSSIBLE, *becoming):
        found = await outcome(connection, sql)
        if sql in allowed:
            continue
        if sql in selects:
            assert found == "NoActiveSQLTransactionError"
            continue
        assert found in (DENIED, "FeatureNotSupportedError", "NoActiveSQLTransactionError", "UndefinedObjectError"), sql
        assert found == DENIED or sql.startswith(("create extension", "lock", "create server", "create publication")), (
            sql
        )
    pairs.count("forbidden statement × role", len(IMPOSSIBLE) + len(becoming))


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_plpgsql_is_refused(connections: dict[str, Connection], role: str) -> None:
    assert await outcome(connections[role], "do $$ begin perform 1; end $$") == DENIED


@pytest.mark.parametrize("role", ROLES)
async def test_view_roles_write_through_no_view(connections: dict[str, Connection], role: str) -> None:
    """Simple views can be written through, where somebody grants it: nobody does."""
    connection = connections[role]
    await connection.execute("set default_transaction_read_only = off")
    for relation in COLUMNS:
        if not offered(relation, role):
            continue
        column = sorted(offered(relation, role))[0]
        for sql in (
            f"insert into v_{role}.{relation} default values",
            f"update v_{role}.{relation} set {column} = null",
            f"delete from v_{role}.{relation}",
            f"truncate v_{role}.{relation}",
        ):
            found = await outcome(connection, sql)
            # views with joins can't be written at all, which PostgreSQL says first
            assert found in (DENIED, "ObjectNotInPrerequisiteStateError", "WrongObjectTypeError"), (sql, found)


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_a_role_sees_nothing_of_other_sessions(
    database: Database, connections: dict[str, Connection], role: str
) -> None:
    """Neither statements of others, nor statistics of columns that it may not read."""
    other = await asyncpg.connect(database.migrate_dsn)
    try:
        running = asyncio.create_task(other.fetchval("select 'canary', pg_sleep(0.2)"))
        await asyncio.sleep(0.05)
        texts = await connections[role].fetch("select query from pg_stat_activity where pid <> pg_backend_pid()")
        await running
    finally:
        await other.close()
    assert not any("canary" in (row["query"] or "") for row in texts)
    if role in ROLES:
        assert (
            await connections[role].fetch("select 1 from pg_stats where schemaname in ('core', 'auth', 'ledger')") == []
        )
    masked = "select bool_and(rolpassword = '********') from pg_roles"
    assert await connections[role].fetchval(masked)


async def test_a_role_needs_its_password(database: Database) -> None:
    for role in ALL_ROLES:
        for password in ("", "wrong"):
            with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
                await asyncpg.connect(database.dsn(role), password=password)
