"""Promises of person(): both number and name must be right, everything else is one null; the number comes in the
variables of a POST alone, and is in no statement, disclosure or error. Of revealIdentity: one number, its disclosure
durable with it, a repeated reply masked."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.engine import documents, persons
from gateway.engine.execute import Engine, Request
from gateway.engine.mutate import _Run
from gateway.engine.persons import MOST_NAMES, WINDOW, Hidden, Tries
from gateway.errors import RateLimited, Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.forget import find, forget
from gateway.storage.identities import Identities
from gateway.storage.persons import identity_keys, masked_identity
from gateway.storage.pool import Pool
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.mutating import Connection, ask, process
from tests.engine.persons_world import PERSON, REVEAL, Person, add, asker, number

NOBODY = {"person": None}


@pytest.fixture(scope="module")
async def engine(database: Database, world: World) -> AsyncIterator[Engine]:
    async with process(database) as made:
        yield made


@pytest.fixture(scope="module")
async def people(database: Database, world: World, owner: Connection) -> dict[str, Person]:
    added = (
        ("person", "示例 甲·乙", number(1), {}),
        ("other", "示例丙", number(2), {}),
        ("servant", "示例丁", number(3), {"kind": "CIVIL_SERVANT"}),
        ("ordered", "示例戊", number(4), {"kind": "CIVIL_SERVANT"}),
        ("elsewhere", "示例己", number(5), {"region": "652701"}),
    )
    found = {key: await add(owner, database, name, given, **more) for key, name, given, more in added}
    await owner.execute(
        "insert into core.publication_order values ($1, '示例', current_date - 1, current_date + 1)",
        found["ordered"].row,
    )
    return found


def of(person: Person, **changes: str) -> dict[str, Any]:
    return {"number": person.number, "name": person.name} | changes


async def last(owner: Connection, case: str = "示例〔2026〕1号") -> Any:
    return await owner.fetchrow("select * from ledger.disclosure where case_number = $1 order by at desc limit 1", case)


# Who is found --------------------------------------------------------------------------------------------------------


async def test_found_by_number_and_name(engine: Engine, world: World, people: dict[str, Person], owner: Any) -> None:
    person = people["person"]
    expected = {"person": {"id": person.node, "name": person.name, "kind": "NATURAL_PERSON"}}
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in person.number)
    for given in (person.number, person.number.lower(), wide, f" {person.number[:6]} {person.number[6:]}"):
        assert await ask(engine, asker(world), PERSON, of(person, number=given)) == expected
    assert await ask(engine, asker(world), PERSON, of(person, name="示例甲•乙")) == expected
    row = await last(owner)
    assert [*row["subject_ids"]] == [person.id]


async def test_as_the_page_for_clients_shows_it(engine: Engine, world: World, people: dict[str, Person]) -> None:
    """Its two requests, of a person who is on record here."""
    person = people["person"]
    page = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
    blocks = page.partition("\n## Persons\n")[2].partition("\n## ")[0].split("```json\n")[1:]
    asked, revealed = (json.loads(block.partition("```")[0]) for block in blocks)
    found = await ask(engine, asker(world), asked["query"], dict.fromkeys(asked["variables"]) | of(person))
    assert found["person"]["id"] == person.node
    given = {"person": found["person"]["id"], "reason": revealed["variables"]["reason"]}
    assert given.keys() == revealed["variables"].keys()
    found = await ask(engine, asker(world), revealed["query"], given)
    assert found["revealIdentity"]["identityNumber"] == person.number


async def test_everything_else_is_one_null(engine: Engine, world: World, people: dict[str, Person], owner: Any) -> None:
    """Unknown, another's name, another's number, hidden by matter or narrowing: the same, and nobody disclosed."""
    wrong = [
        (asker(world), of(people["person"], name="示例丙")),
        (asker(world), of(people["other"], number=people["person"].number)),
        (asker(world), of(people["person"], number=number(900))),
        (asker(world, regions=["652701"]), of(people["person"])),
    ]
    for who, given in wrong:
        assert await ask(engine, who, PERSON, given) == NOBODY
        assert [*(await last(owner))["subject_ids"]] == []
    assert (await ask(engine, asker(world, regions=["652701"]), PERSON, of(people["elsewhere"])))["person"] is not None


async def test_civil_servants_by_matter_and_order(
    engine: Engine, world: World, people: dict[str, Person], owner: Connection
) -> None:
    """A matter that identifies persons but does not show civil servants has those of an order alone."""
    await owner.execute("update auth.matter set identifies_persons = true where code = 'GRANT'")
    try:
        grant = replace(asker(world, "GRANT"), identifies_persons=True)
        assert await ask(engine, grant, PERSON, of(people["servant"])) == NOBODY
        assert (await ask(engine, grant, PERSON, of(people["ordered"])))["person"]["kind"] == "CIVIL_SERVANT"
    finally:
        await owner.execute("update auth.matter set identifies_persons = false where code = 'GRANT'")
    for matter in ("SUPERVISION", "APPOINTMENT"):
        assert (await ask(engine, asker(world, matter), PERSON, of(people["servant"])))["person"] is not None


async def test_aliases_fragments_and_other_fields(engine: Engine, world: World, people: dict[str, Person]) -> None:
    query = """query P($a: String!, $b: String!, $x: String!, $yes: Boolean!) {
      one: person(identityNumber: $a, name: $x) { ...F }
      ... @include(if: $yes) { two: person(identityNumber: $b, name: "示例丙") { ...F } }
      ...Roots
      viewer { view } }
    fragment F on Subject { name identityNumber records(first: 1) { totalCount } }
    fragment Roots on Query { wrong: person(identityNumber: $a, name: "示例丙") { id } }"""
    person, other = people["person"], people["other"]
    given = {"a": person.number, "b": other.number, "x": person.name, "yes": True}
    found = await ask(engine, asker(world), query, given)
    assert found["one"] == {
        "name": person.name,
        "identityNumber": masked_identity(person.number),
        "records": {"totalCount": 0},
    }
    assert found["two"]["name"] == other.name
    assert found["wrong"] is None
    assert [*await ask(engine, asker(world), query, given | {"yes": False})] == ["one", "wrong", "viewer"]


async def test_in_no_view_below(world: World, people: dict[str, Person]) -> None:
    for view in ("public", "restricted", "self"):
        assert await world.refused(view, PERSON, of(people["person"])) == ["GRAPHQL_VALIDATION_FAILED"]
    for name, schema in build_contracts().items():
        assert ("person" in schema.query_type.fields) == (name == "INTERNAL")  # type: ignore[union-attr]


async def test_the_matter_must_allow_it(engine: Engine, world: World, people: dict[str, Person], owner: Any) -> None:
    who = asker(world, "GRANT")
    ((code, message),) = await ask(engine, who, PERSON, of(people["person"]))
    assert code == "FORBIDDEN"
    assert people["person"].number not in message
    row = await last(owner)
    assert (row["outcome"], row["variables"]) == ("FORBIDDEN", None)
    # Behind the engine the view's own function holds the matter against the table.
    assert await ask(engine, replace(who, identifies_persons=True), PERSON, of(people["person"])) == NOBODY


# Where the number may stand ------------------------------------------------------------------------------------------

LITERALS = {
    "literal": '{ person(identityNumber: "{}", name: "示例") { id } }',
    "in a fragment": '{ ...F } fragment F on Query { person(identityNumber: "{}", name: "示例") { id } }',
    "default": 'query ($n: String! = "{}") { person(identityNumber: $n, name: "示例") { id } }',
    "block string": '{ person(identityNumber: """{}""", name: "示例") { id } }',
    "another operation": 'query A { viewer { view } } query B { person(identityNumber: "{}", name: "示例") { id } }',
    "skipped": '{ viewer { view } person(identityNumber: "{}", name: "示例") @skip(if: true) { id } }',
}


@pytest.mark.parametrize("case", LITERALS)
@pytest.mark.parametrize("persisted", [False, True])
async def test_never_in_a_document(engine: Engine, world: World, case: str, persisted: bool, owner: Any) -> None:
    """Whatever the document is sent or named by, and in whatever form."""
    text = LITERALS[case].replace("{}", number(1))
    before = await owner.fetchval("select pg_stat_get_xact_tuples_returned('core.person_identity'::regclass)")
    named: dict[str, Any] = {"persisted": "ab" * 32, "automatic": True} if persisted else {}
    with pytest.raises(Refused) as caught:
        await engine.answer(asker(world), Request(text, None, {}, **named))
    codes = {error.code for error in caught.value.errors}
    assert codes == {"BAD_USER_INPUT"}
    assert all(number(1) not in error.en + error.zh for error in caught.value.errors)
    assert all(error.locations for error in caught.value.errors)
    assert before == await owner.fetchval("select pg_stat_get_xact_tuples_returned('core.person_identity'::regclass)")


ANYWHERE = {
    "another field": '{ searchSubjects(query: "{}") { totalCount } }',
    "escaped": '{ searchSubjects(query: "\\u00{0}") { totalCount } }',
    "apart": '{ searchSubjects(query: """{0:.6}\n{0:.14}""") { totalCount } }',
    "a default": 'query ($q: String = "{}") { searchSubjects(query: $q) { totalCount } }',
    "an alias": "{ a{}: viewer { view } }",
    "a comment": "{ viewer { view } } # {}",
    "the operation's name": "query Q{} { viewer { view } }",
}


def written(case: str, told: str) -> str:
    """A document with a number in it."""
    match case:
        case "escaped":
            return ANYWHERE[case].replace("{0}", f"{ord(told[0]):x}{told[1:]}")
        case "apart":
            return ANYWHERE[case].replace("{0:.6}", told[:6]).replace("{0:.14}", f"{told[6:14]}\n{told[14:]}")
        case _:
            return ANYWHERE[case].replace("{}", told)


@pytest.mark.parametrize("case", ANYWHERE)
async def test_nowhere_in_a_document_whatever_it_asks(world: World, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account has the hash of a document: without the control whoever has a copy of it finds the number, by trying
    those of a thousand days and people."""
    world.account.disclosures.clear()
    text = written(case, number(1))
    assert await world.refused("restricted", text) == ["BAD_USER_INPUT"]
    (refusal,) = world.account.disclosures
    assert (refusal.document_hash, refusal.variables) == (None, None)
    monkeypatch.setattr(documents, "refuse_numbers", lambda *_: None)
    await world.ask("restricted", text)
    kept = world.account.disclosures[-1].document_hash
    assert number(1) in {
        one for one in map(number, range(1_000)) if sha256(written(case, one).encode()).digest() == kept
    }


async def test_a_code_is_no_number_of_a_person(world: World) -> None:
    """What stands in documents every day goes on: codes, cursors and ids, days, hashes."""
    for text in (
        f'{{ subject(uscc: "{small_world.FIRM}") {{ id }} }}',
        f'{{ node(id: "{small_world.FIRM_ID}") {{ id }} }} # {"0123456789abcdef" * 4}',
        '{ records(filter: {decidedFrom: "2026-01-01", decidedTo: "2026-12-31"}) { totalCount } } # 2026-11-27 13:00',
    ):
        await world.ask("restricted", text)


@pytest.mark.parametrize(
    "more", ["searchSubjects(query: $n) { totalCount }", "node(id: $i) { id } x: codeList(name: $n) { code }"]
)
async def test_its_variable_is_its_own(engine: Engine, world: World, more: str) -> None:
    variables = "$n: String!" + (", $i: ID!" if "$i" in more else "")
    query = f'query ({variables}) {{ person(identityNumber: $n, name: "示例") {{ id }} {more} }}'
    given = {"n": number(1), "i": "x"}
    assert {code for code, _ in await ask(engine, asker(world), query, given)} == {"BAD_USER_INPUT"}


@pytest.mark.parametrize("how", [{"reads_only": True}, {"posted": False}])
async def test_by_post_alone(engine: Engine, world: World, people: dict[str, Person], how: dict[str, bool]) -> None:
    ((code, message),) = await ask(engine, asker(world), PERSON, of(people["person"]), **how)
    assert (code, "POST" in message) == ("BAD_USER_INPUT", True)


@pytest.mark.parametrize("wrong", ["", "1", number(1)[:-1], number(1)[:-1] + "\0", "9" * 18, "甲" * 18, number(1) * 9])
async def test_what_is_no_number(engine: Engine, world: World, wrong: str) -> None:
    ((code, message),) = await ask(engine, asker(world), PERSON, {"number": wrong, "name": "示例"})
    assert code == "BAD_USER_INPUT"
    assert not wrong or wrong == "1" or wrong not in message


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800"])
async def test_a_name_that_cannot_be_stored(engine: Engine, world: World, wrong: str) -> None:
    ((code, _),) = await ask(engine, asker(world), PERSON, {"number": number(1), "name": wrong})
    assert code == "BAD_USER_INPUT"


# What is kept of it --------------------------------------------------------------------------------------------------


async def test_the_account_has_neither_number_nor_name(
    engine: Engine, world: World, people: dict[str, Person], database: Database, owner: Any
) -> None:
    """The blind index, by which it is known who asked for a person; of the name a hash that is bound to the number."""
    person, other = people["person"], people["other"]
    keys = identity_keys(database.secrets)
    query = """query P($a: String!, $b: String!, $x: String!) { one: person(identityNumber: $a, name: $x) { id }
      two: person(identityNumber: $b, name: $x) { id } searchSubjects(query: $x) { totalCount } }"""
    given = {"a": person.number, "b": other.number, "x": person.name, "more": person.number}
    await ask(engine, asker(world), query, given)
    kept = json.loads((await last(owner))["variables"])
    assert {*kept} == {"a", "b", "x"}
    assert kept["a"] == f"hmac-sha256:{keys.blind_index(person.number).hex()}"
    assert kept["b"] == f"hmac-sha256:{keys.blind_index(other.number).hex()}"
    assert kept["x"].startswith("hmac-sha256:")
    await ask(engine, asker(world), PERSON, of(person))
    one = json.loads((await last(owner))["variables"])
    await ask(engine, asker(world), PERSON, of(person, number=other.number))
    two = json.loads((await last(owner))["variables"])
    assert one["name"] != two["name"]  # equal names of two numbers don't read alike


async def test_another_operation_of_the_document_keeps_its_variables(engine: Engine, world: World, owner: Any) -> None:
    query = PERSON + " query S($name: String!) { searchSubjects(query: $name) { totalCount } }"
    await engine.answer(asker(world), Request(query, "S", {"name": "示例商行", "number": number(1)}))
    assert json.loads((await last(owner))["variables"]) == {"name": "示例商行"}


async def test_no_statement_has_seen_the_number(
    database: Database, world: World, people: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent to the database, of a question and of a number that is revealed."""
    sent: list[str] = []
    fetch, transaction = Pool.fetch, Pool.transaction

    async def spied(self: Pool, sql: str, arguments: Sequence[Any], **more: Any) -> Any:
        sent.append(sql + repr(arguments))
        return await fetch(self, sql, arguments, **more)

    async def spied_on(self: Pool, work: Any, scope: str, **more: Any) -> Any:
        async def spy(ask_: Any) -> Any:
            async def asks(sql: str, arguments: Sequence[Any]) -> Any:
                sent.append(sql + repr(arguments))
                return await ask_(sql, arguments)

            return await work(asks)

        return await transaction(self, spy, scope, **more)

    monkeypatch.setattr(Pool, "fetch", spied)
    monkeypatch.setattr(Pool, "transaction", spied_on)
    person = people["person"]
    async with process(database) as engine:
        assert (await ask(engine, asker(world), PERSON, of(person)))["person"] is not None
        found = await ask(
            engine, asker(world), REVEAL, {"subject": person.node, "reason": "示例"}, idempotency_key="sent"
        )
        assert found["revealIdentity"]["identityNumber"] == person.number
    assert len(sent) >= 6
    assert not [text for text in sent if person.number in text]
    assert any(identity_keys(database.secrets).blind_index(person.number).hex() in text for text in sent)


async def test_without_the_hiding_the_number_is_kept(
    database: Database, world: World, people: dict[str, Person], owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control taken away: literals are taken, the number is a parameter, and the account has the name in clear."""
    monkeypatch.setattr("gateway.engine.documents.secrets_of", lambda *_: persons.NONE)
    sent: list[str] = []
    fetch = Pool.fetch

    async def spied(self: Pool, sql: str, arguments: Sequence[Any], **more: Any) -> Any:
        sent.append(repr(arguments))
        return await fetch(self, sql, arguments, **more)

    monkeypatch.setattr(Pool, "fetch", spied)
    monkeypatch.setattr(documents, "refuse_numbers", lambda *_: None)
    person = people["person"]
    async with process(database) as engine:
        assert await ask(engine, asker(world), PERSON, of(person)) == NOBODY
        assert json.loads((await last(owner))["variables"])["name"] == person.name
        assert await ask(engine, asker(world), LITERALS["literal"].replace("{}", number(1))) == NOBODY
    assert len([text for text in sent if number(1) in text]) == 2


async def test_names_of_one_number_are_counted(database: Database, world: World, people: dict[str, Person]) -> None:
    """Of one on record and of one that nobody has, alike; names that were tried already go on."""
    async with process(database) as engine:
        for given in (people["person"].number, number(901)):
            names = [f"示例{n}" for n in range(MOST_NAMES)]
            for name in (*names, *names):
                assert await ask(engine, asker(world), PERSON, {"number": given, "name": name}) == NOBODY
            ((code, message),) = await ask(engine, asker(world), PERSON, {"number": given, "name": "示例 甲·乙"})
            assert (code, given in message) == ("RATE_LIMITED", False)
        other = replace(asker(world), client_id="another")
        assert (await ask(engine, other, PERSON, of(people["person"])))["person"] is not None


def test_names_are_forgotten_in_time() -> None:
    now = [0.0]
    tries = Tries(clock=lambda: now[0])
    for name in "abcde":
        tries.count("client", Hidden({}, {}, (("number", name),)))
        now[0] += 1
    with pytest.raises(RateLimited) as caught:
        tries.count("client", Hidden({}, {}, (("number", "f"),)))
    assert caught.value.retry_after == WINDOW - 4
    now[0] += caught.value.retry_after
    tries.count("client", Hidden({}, {}, (("number", "f"),)))


def test_other_numbers_make_no_room_for_more_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client can't have its guesses forgotten by asking for many others; nor does it take room from another."""
    monkeypatch.setattr(persons, "MOST_NUMBERS", 3)
    now = [0.0]
    tries = Tries(clock=lambda: now[0])

    def ask_for(number: str, name: str, client: str = "client") -> None:
        tries.count(client, Hidden({}, {}, ((number, name),)))

    for name in "abcde":
        ask_for("number", name)
    now[0] = 1.0
    for other in ("1", "2"):
        ask_for(other, "a")
    for asked in ("3", "number"):
        with pytest.raises(RateLimited):
            ask_for(asked, "f")
    ask_for("1", "a")
    ask_for("3", "f", "another")
    now[0] = WINDOW  # the first number's time is over, the others' is not
    ask_for("3", "f")
    with pytest.raises(RateLimited) as caught:
        ask_for("4", "f")
    assert caught.value.retry_after == 2


# revealIdentity ------------------------------------------------------------------------------------------------------


async def test_a_number_is_revealed_and_disclosed(
    engine: Engine, world: World, people: dict[str, Person], owner: Connection
) -> None:
    person = people["person"]
    query = """mutation R($subject: ID!, $reason: String!) {
      a: revealIdentity(input: {subject: $subject, reason: $reason}) {
      n: identityNumber m: identityNumber subject { id identityNumber } } __typename }"""
    given = {"subject": person.node, "reason": "核对 659999199001010015 号"}
    found = await ask(engine, asker(world), query, given)
    assert found["a"] == {
        "n": person.number,
        "m": person.number,
        "subject": {"id": person.node, "identityNumber": masked_identity(person.number)},
    }
    row = await last(owner)
    assert [*row["subject_ids"]] == [person.id]
    kept = json.loads(row["variables"])
    assert kept["subject"] == person.node
    (told,) = kept["@revealed"]
    assert (told["subject"], told["field"], told["view"]) == (str(person.id), "Subject.identityNumber", "INTERNAL")
    assert told["reason"].startswith("核对 6599")
    assert "659999199001010015" not in row["variables"]


async def test_a_subject_that_is_not_selected_is_disclosed_all_the_same(
    engine: Engine, world: World, people: dict[str, Person], owner: Connection
) -> None:
    query = REVEAL.replace("identityNumber", "__typename")
    await ask(engine, asker(world), query, {"subject": people["other"].node, "reason": "示例"})
    row = await last(owner)
    assert [*row["subject_ids"]] == [people["other"].id]
    assert json.loads(row["variables"])["@revealed"][0]["reason"] == "示例"


async def test_a_token_for_one_subject_reveals_one(
    engine: Engine, world: World, people: dict[str, Person], owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom the changes of one request show counts together. Without the control each counts for itself, and a token for
    one has twenty numbers."""
    query = """mutation R($a: ID!, $b: ID!) { a: revealIdentity(input: {subject: $a, reason: "示例"}) { identityNumber }
      b: revealIdentity(input: {subject: $b, reason: "示例"}) { identityNumber } }"""
    one, other = people["person"], people["other"]
    token = replace(asker(world), max_subjects=1)
    before = await owner.fetchval("select count(*) from ledger.disclosure where outcome = 'ANSWERED'")
    ((code, message),) = await ask(engine, token, query, {"a": one.node, "b": other.node}, idempotency_key="one")
    assert (code, "the 1 subjects" in message) == ("BAD_USER_INPUT", True)
    assert await owner.fetchval("select count(*) from ledger.disclosure where outcome = 'ANSWERED'") == before
    twice = await ask(engine, token, query, {"a": one.node, "b": one.node})
    assert twice["b"] == {"identityNumber": one.number}
    monkeypatch.setattr(_Run, "_check_shown", lambda *_: None)
    both = await ask(engine, token, query, {"a": one.node, "b": other.node})
    assert both["b"] == {"identityNumber": other.number}


async def test_a_repeated_reply_is_masked(
    engine: Engine, world: World, people: dict[str, Person], owner: Connection
) -> None:
    person = people["person"]
    given = {"subject": person.node, "reason": "重复"}
    first = await ask(engine, asker(world), REVEAL, given, idempotency_key="again")
    again = await ask(engine, asker(world), REVEAL, given, idempotency_key="again")
    assert first["revealIdentity"]["identityNumber"] == person.number
    assert again["revealIdentity"]["identityNumber"] == masked_identity(person.number)
    assert "@revealed" not in (await last(owner))["variables"]
    assert [*(await last(owner))["subject_ids"]] == [person.id]
    kept = await owner.fetch("select reply, shown from core.idempotent_reply")
    assert kept
    assert not [row for row in kept if person.number in row["reply"] + row["shown"]]


async def test_who_is_not_revealed(
    engine: Engine, world: World, people: dict[str, Person], owner: Connection, database: Database
) -> None:
    """The matter does not allow it, or nobody of that id has a number for this asker: forbidden, nothing revealed."""
    person, firm = people["person"], "UwAAAAAAAAAAAAAAAAAAAAA"
    organisation = await owner.fetchval("select node_id from core.subject where class = 'ORGANISATION' limit 1")
    unknown = Person("", "", uuid.uuid4(), 0).node
    cases = [
        (asker(world, "APPOINTMENT"), person.node),
        (asker(world, "APPOINTMENT", reveals=True), person.node),  # the view's own function
        (asker(world, regions=["652701"]), person.node),
        (asker(world), organisation),
        (asker(world), unknown),
        (asker(world), firm),
    ]
    messages = []
    for who, node in cases:
        ((code, message),) = await ask(engine, who, REVEAL, {"subject": node, "reason": "示例"})
        assert code == "FORBIDDEN", node
        messages.append(message)
        assert (await last(owner))["outcome"] == "FORBIDDEN"
    assert len({*messages}) == 2  # of the matter, and one for everybody who is not there


@pytest.mark.parametrize(
    "given",
    [
        {"subject": "x"},
        {"subject": "UjRlMzQ1Njc4OTAxMjM0NTY"},
        {"reason": " "},
        {"reason": "\u200b\u3000"},
        {"reason": "示" * 501},
        {"reason": "\0"},
    ],
)
async def test_bad_input_of_a_reveal(
    engine: Engine, world: World, people: dict[str, Person], given: dict[str, str]
) -> None:
    whole = {"subject": people["person"].node, "reason": "示例"} | given
    assert {code for code, _ in await ask(engine, asker(world), REVEAL, whole)} == {"BAD_USER_INPUT"}


async def test_nothing_is_revealed_without_its_disclosure(
    database: Database, world: World, people: dict[str, Person], owner: Connection
) -> None:
    """The account's table refuses: neither the number nor a kept reply comes out."""
    await owner.execute("alter table ledger.disclosure add constraint nothing check (case_number <> '不写') not valid")
    try:
        who = asker(world)
        scope = json.dumps(json.loads(who.scope or "") | {"case": "不写"})
        who = replace(who, case_number="不写", scope=scope)
        async with process(database) as engine:
            given = {"subject": people["person"].node, "reason": "示例"}
            with pytest.raises(Refused, match="could not be recorded") as caught:
                await engine.answer(who, Request(REVEAL, None, given, idempotency_key="unwritten"))
        assert people["person"].number not in repr(caught.value)
    finally:
        await owner.execute("alter table ledger.disclosure drop constraint nothing")
    assert not await owner.fetchval("select count(*) from core.idempotent_reply where reply is null")


async def test_an_erased_person_is_neither_found_nor_revealed(
    engine: Engine, world: World, database: Database, owner: Connection, service_pool: Pool
) -> None:
    gone = await add(owner, database, "示例庚", number(77))
    assert (await ask(engine, asker(world), PERSON, of(gone)))["person"] is not None
    given = {"subject": gone.node, "reason": "示例"}
    found = await ask(engine, asker(world), REVEAL, given, idempotency_key="before it was erased")
    assert found["revealIdentity"]["identityNumber"] == gone.number
    async with owner.transaction():
        person = await find(owner, gone.id)
        assert person is not None
        await forget(owner, person)
    assert not await owner.fetchval("select count(*) from core.idempotent_reply where shown like $1", f"%{gone.id}%")
    assert await ask(engine, asker(world), PERSON, of(gone)) == NOBODY
    ((code, _),) = await ask(engine, asker(world), REVEAL, {"subject": gone.node, "reason": "示例"})
    assert code == "FORBIDDEN"
    read = Identities(service_pool, identity_keys(database.secrets)).reveal
    assert await read(gone.id, until=1e18) is None
