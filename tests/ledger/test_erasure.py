"""Promise: nothing is left of a person who was erased, in what is stored and in disclosures; the log stays what it was,
and what stays of the same disclosures can be proved as before. An erasure is all or nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from gateway import cli
from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger import commitment
from gateway.ledger.erasure import erase
from gateway.ledger.events import Events
from gateway.storage.database import Database
from gateway.storage.identifiers import node_id
from gateway.storage.imports import import_file

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
NUMBER, NAME, FACTS = "652799197802210021", "示例被删者", "示例事实在此"
OTHER = uuid4()
PENALTY = (
    "CF_XDR_MC,CF_XDR_LB,CF_XDR_ZJHM,CF_WSH,CF_CFLB,CF_JDRQ,CF_CFJG,CF_SY\n"
    f"{NAME},自然人,{NUMBER},样例〔2026〕77号,警告,2026-01-05,示例博州财政局,{FACTS}\n"
)


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(KeyStore(tmp_path / "keys"), issuer="https://gateway.example")


@pytest.fixture
async def person(database: Database, owner: Connection, tmp_path: Path) -> UUID:
    """Somebody on record, with a penalty."""
    path = tmp_path / "penalties.csv"
    path.write_text(PENALTY, encoding="utf-8")
    await import_file(
        database, path, "penalties", mapping=None, rejects=tmp_path / "rejects.csv", entered_by="test", progress=None
    )
    return UUID(str(await owner.fetchval("select external_id from core.subject where name = $1", NAME)))


async def disclosed(owner: Connection, subjects: list[UUID], variables: str | None = None, sources: str = "{}") -> UUID:
    """A disclosure that showed these."""
    made = uuid4()
    await owner.execute(
        "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,"
        " variables, subject_ids, sources, withheld) values ($1, 'c', 'u', 'INTERNAL', 'SUPERVISION', '1',"
        " 'ANSWERED', $2, $3, $4, '{}')",
        made,
        variables,
        subjects,
        sources,
    )
    return made


async def sequenced(owner: Connection) -> None:
    while await owner.fetchval("select ledger.sequence(1000)"):
        pass


async def committed(owner: Connection, disclosure: UUID) -> tuple[bytes, bytes, Mapping[str, Any]]:
    """The log's entry, and the one that the row gives now."""
    row = await owner.fetchrow("select * from ledger.disclosure where id = $1", disclosure)
    entry = await owner.fetchval("select entry from ledger.leaf where id = $1", disclosure)
    erased = await owner.fetch("select place, leaf_hash from ledger.erased where disclosure_id = $1", disclosure)
    kept = await owner.fetch("select place, salt from ledger.kept_salt where disclosure_id = $1", disclosure)
    made = commitment.of_disclosure(row, dict(map(tuple, erased)), dict(map(tuple, kept)))
    return entry, made.entry, row


async def everything(owner: Connection) -> str:
    """All rows of all tables, as text."""
    tables = await owner.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('core', 'auth', 'ledger')"
    )
    found = []
    for table in tables:
        found += [row[0] for row in await owner.fetch(f"select t::text from {table['name']} t")]
    return "\n".join(found)


async def test_nothing_is_left_and_the_log_is_the_same(
    database: Database, owner: Connection, events: Events, person: UUID
) -> None:
    index = (await owner.fetchval("select blind_index from core.person_identity")).hex()
    shown = await disclosed(owner, [OTHER, person], json.dumps({"id": node_id("S", person)}), '{"COURTS":{}}')
    asked = await disclosed(owner, [], json.dumps({"identityNumber": index, "name": "x"}))
    beside = await disclosed(owner, [OTHER], '{"a":1}')
    await owner.execute(
        "insert into ledger.access_request (subject_id, organisation_uscc, case_number, requester, basis, valid_until)"
        " values ($1, 'u', '1', $2, '示例', '2099-01-01')",
        person,
        f"{NAME}本人",
    )
    await sequenced(owner)
    before = await everything(owner)
    signs = [NAME, FACTS, "样例〔2026〕77号", str(person), node_id("S", person), index, "6527**********0021"]
    assert [sign for sign in signs if sign not in before] == []

    made = await erase(database, person, "示例依据", events, dry_run=True)
    assert (made.on_record, made.records, made.disclosures) == (True, 1, 2)
    assert await everything(owner) == before

    assert await erase(database, person, "示例依据", events) == replace(made, who="")
    await sequenced(owner)
    after = await everything(owner)
    assert [sign for sign in signs if sign in after] == []
    for disclosure in (shown, asked, beside):
        entry, now, row = await committed(owner, disclosure)
        assert entry == now
        assert (row["salt"] is None) == (disclosure != beside)
    # Who else was shown stands where it stood, with a salt of its own.
    row = await owner.fetchrow("select subject_ids from ledger.disclosure where id = $1", shown)
    assert row is not None
    assert list(row["subject_ids"]) == [OTHER, UUID(int=0)]
    content = json.loads(await owner.fetchval("select content from ledger.event where kind = 'ERASURE'"))
    assert (content.pop("kind"), content.pop("number"), content.pop("at")[-1]) == ("ERASURE", 1, "Z")
    assert content == {"basis": "示例依据", "erased": {str(shown): [1, 2, 4], str(asked): [1, 2]}}
    assert await owner.fetchval("select count(*) from ledger.leaf where kind = 'E'") == 1


async def test_the_command_says_on_stdout_what_was_done(
    database: Database, owner: Connection, person: UUID, tmp_path: Path
) -> None:
    await disclosed(owner, [person])
    await disclosed(owner, [person])
    await sequenced(owner)
    environment = {
        "GATEWAY_DATA_DIR": str(database.secrets.folder.parent),
        "GATEWAY_DATABASE_URL": database.migrate_dsn,
        "GATEWAY_ROLE_PREFIX": database.prefix,
    }

    async def run(*arguments: str) -> Any:
        command = ["erase", str(person), "--basis", "示例依据", *arguments]
        return await asyncio.to_thread(CliRunner().invoke, cli.app, command, env=environment)

    tried = await run("--dry-run")
    who = f"NATURAL_PERSON 示****, {NUMBER[:4]}**********{NUMBER[-4:]}: name and number go"
    assert tried.stdout == f"{who}, 1 record and 2 disclosures would be emptied\n", tried.output
    assert tried.exit_code == 0
    asked = await run()  # nobody answers
    assert asked.exit_code == 1
    assert "1 record and 2 disclosures would be emptied. This can't be undone. Erase?" in asked.stderr
    found = await run("--yes", "--json")
    assert json.loads(found.stdout) == {"on_record": True, "records": 1, "disclosures": 2, "who": ""}
    await disclosed(owner, [person])
    await sequenced(owner)
    found = await run("--yes")
    assert found.stdout == "0 records and 1 disclosure were emptied; the person was no longer on record\n", found.output


async def test_what_was_erased_cannot_be_tried_out(database: Database, owner: Connection, events: Events) -> None:
    """Whoever holds the row, its tombstones and the right guess can't confirm it: the salt is nowhere."""
    guess = uuid4()
    shown = await disclosed(owner, [guess])
    await sequenced(owner)
    salt = await owner.fetchval("select salt from ledger.disclosure where id = $1", shown)
    hidden = commitment.salts_of(salt, 4)[3]
    assert (await erase(database, guess, "b", events)).on_record is False
    assert (
        await owner.fetchval("select count(*) from ledger.kept_salt where disclosure_id = $1 and place = 3", shown) == 0
    )
    assert str(salt) not in await everything(owner)
    assert hidden.hex() not in await everything(owner)


async def test_two_persons_of_one_disclosure(database: Database, owner: Connection, events: Events) -> None:
    one, two = uuid4(), uuid4()
    shown = await disclosed(owner, [one, OTHER, two], '{"a":1}')
    await sequenced(owner)
    for person in (one, two):
        await erase(database, person, "b", events)
        entry, now, _ = await committed(owner, shown)
        assert entry == now
    places = await owner.fetch("select place from ledger.erased where disclosure_id = $1 order by 1", shown)
    assert [row["place"] for row in places] == [1, 2, 3, 5]


async def test_what_is_not_in_the_log_yet_is_taken_in_first(
    database: Database, owner: Connection, events: Events
) -> None:
    person = uuid4()
    shown = await disclosed(owner, [person])
    await erase(database, person, "b", events)
    entry, now, _ = await committed(owner, shown)
    assert entry == now


async def test_so_it_is_of_a_ledger_that_was_put_back(
    database: Database, owner: Connection, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There slices of it make no leaves, since these are there already."""
    monkeypatch.setattr("gateway.ledger.sequence.AT_ONCE", 5)
    for _ in range(30):
        await disclosed(owner, [OTHER])
    await sequenced(owner)
    await owner.execute("update ledger.log_state set cluster = 1")
    assert await owner.fetchval("select ledger.adopt()") is True
    person = uuid4()
    shown = await disclosed(owner, [person])
    assert (await erase(database, person, "b", events)).disclosures == 1
    entry, now, _ = await committed(owner, shown)
    assert entry == now


async def test_a_disclosure_that_was_changed_is_not_erased_over(
    database: Database, owner: Connection, events: Events
) -> None:
    """Erasing would make what somebody changed look as if it had always been so."""
    person = uuid4()
    shown = await disclosed(owner, [person])
    await sequenced(owner)
    await owner.execute("update ledger.disclosure set matter = 'GRANT' where id = $1", shown)
    with pytest.raises(OperatorError, match="not what the log committed to"):
        await erase(database, person, "b", events)
    assert await owner.fetchval("select salt from ledger.disclosure where id = $1", shown) is not None


async def test_who_is_not_there_and_who_may_not(database: Database, owner: Connection, events: Events) -> None:
    with pytest.raises(OperatorError, match="nobody is known"):
        await erase(database, uuid4(), "b", events)
    with pytest.raises(OperatorError, match="were erased"):
        await erase(database, UUID(int=0), "b", events)
    firm = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded) values (gen_random_uuid(),"
        " 'ORGANISATION', 'ENTERPRISE', '示例', '示例') returning external_id"
    )
    with pytest.raises(OperatorError, match="organisation"):
        await erase(database, UUID(str(firm)), "b", events)
