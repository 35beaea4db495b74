"""Promises: what is sealed is in the log at once, and nobody can tell from any public answer, number or count, nor from
what the subject itself is shown, whether a given subject has a sealed entry; when the seal ends, the entry gets the
next number with its true time, and numbers have no gap. Taken away, the seal is missed by the same look."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from e2e_stack import Gateway, Reply, Stack, make_client, serving
from test_access_e2e import ALL, get, settled
from typer.testing import CliRunner

from gateway.app import Parts
from gateway.auth.keys import KeyStore
from gateway.cli import access, app
from gateway.cli import ledger as ledger_command
from gateway.cli import seals as seals_command
from gateway.ledger.events import Events
from gateway.ledger.findings import Findings
from gateway.ledger.head import verifiers
from gateway.ledger.judged import columns, judge, seals
from gateway.ledger.verify import EVENTS, HELD_BACK, SEALS
from gateway.sources.wanted import NoSeals
from gateway.storage.identifiers import node_id, organisation_uuid

PLAIN = "query ($uscc: Uscc!) { subject(uscc: $uscc) { name recordCounts { count } records(first: 3) { totalCount } } }"
SEARCH = "query ($name: String!) { searchSubjects(query: $name) { totalCount edges { node { name } } } }"
SECRET = "secret-case"


class Look:
    """All that the public, a subject and others may see of one subject, its own names and moments apart."""

    def __init__(self, stack: Stack, uscc: str, account: str, receipt: str) -> None:
        self.stack, self.uscc, self.account, self.receipt = stack, uscc, account, receipt
        self.id = node_id("S", organisation_uuid(uscc))

    async def __call__(self) -> dict[str, Any]:
        stack = self.stack
        public = await stack.ask(PLAIN, {"uscc": self.uscc}, "public")
        name = public.data["subject"]["name"]
        found = await stack.ask(SEARCH, {"name": name}, "public")
        restricted = await stack.ask(PLAIN, {"uscc": self.uscc}, "restricted")
        receipt = await get(stack, f"/receipts/{self.receipt}")
        unknown = await get(stack, f"/receipts/{uuid.uuid4()}")
        await settled(stack)
        own = await stack.ask(ALL, {"first": 100}, token=self.account)
        sealed = await get(stack, "/log/sealed")
        seen = {
            "public": public.body, "search": found.body, "restricted": restricted.body, "sealed": sealed.body,
            "status": receipt.json["status"], "unknown": unknown.body,
            "headers": [_headers(reply) for reply in (public, found, restricted, receipt, unknown, own, sealed)],
        }  # fmt: skip
        edges = own.data["viewer"]["disclosures"]["edges"]
        seen["numbers"] = [edge["node"]["number"] for edge in edges]
        seen["entries"] = [(e["node"]["caseNumber"], e["node"]["matter"], e["node"]["publicFields"]) for e in edges]
        seen["info"] = sorted(own.data["viewer"]["disclosures"]["pageInfo"])
        return seen


def disclosure_of(reply: Reply) -> str:
    """The disclosure's id out of the receipt in an answer."""
    payload = reply.json["extensions"]["receipt"].split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=="))["disclosure"])


def _headers(reply: Reply) -> list[str]:
    return sorted(name.lower() for name in reply.headers)


async def differ(one: Look, other: Look, before: tuple[dict[str, Any], dict[str, Any]]) -> list[str]:
    """In what the two looks have changed otherwise since `before`."""
    after = await one(), await other()
    constant = ("public", "search", "restricted", "status", "unknown", "headers", "sealed", "info")
    told = [name for name in constant for was, now in zip(before, after, strict=True) if was[name] != now[name]]
    grown = [
        (len(now["numbers"]) - len(was["numbers"]), now["numbers"][0] - was["numbers"][0],
         now["entries"][: len(now["entries"]) - len(was["entries"])])
        for was, now in zip(before, after, strict=True)
    ]  # fmt: skip
    for _, now in zip(before, after, strict=True):
        assert now["numbers"] == list(range(len(now["numbers"]), 0, -1))
    return [*told, *(["entries"] if grown[0] != grown[1] else [])]


@pytest.fixture(scope="module")
async def looks(stack: Stack) -> tuple[Look, Look]:
    """Two subjects who were asked about alike, and their accounts."""
    made = []
    for name, uscc in zip(("sealed-one", "sealed-two"), stack.enterprises()[3:5], strict=True):
        account = await make_client(stack.database, name, "subject:self", "SELF", organisation=uscc, subject_uscc=uscc)
        reply = await stack.ask(PLAIN, {"uscc": uscc}, "restricted", headers={"credit-receipt": "request"})
        made.append(Look(stack, uscc, await stack.fetch_token(account), disclosure_of(reply)))
    await settled(stack)
    return made[0], made[1]


async def sealed_leaves(stack: Stack) -> int:
    return int(await stack.owner.fetchval("select count(*) from ledger.sealed_entry"))


async def as_written(stack: Stack, kind: str, sql: str, *arguments: Any) -> Any:
    """What a statement gives that writes an event, which is signed."""
    async with stack.owner.transaction():
        made = await stack.owner.fetchval(sql, *arguments)
        keys = KeyStore(stack.settings.data_dir / "keys")
        await Events(keys, issuer=stack.settings.issuer).sign(stack.owner, kind)
    return made


async def held_back(stack: Stack) -> list[int]:
    """The leaves that `ledger verify` knows to wait for the end of a seal."""
    keys, findings = KeyStore(stack.settings.data_dir / "keys"), Findings()
    events = judge(await stack.owner.fetch(EVENTS), lambda origin: verifiers(keys, origin), findings)
    in_force, _ = seals(events, await stack.owner.fetch(SEALS), findings)
    return [row[0] for row in await stack.owner.fetch(HELD_BACK, *columns(in_force))]


async def seal(stack: Stack, seconds: float, **which: Any) -> Any:
    return await as_written(
        stack,
        "SEAL",
        "select ledger.add_seal('a court', 'law', $1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))",
        which.get("client"), which.get("matter"), which.get("case"), which.get("disclosure"), seconds,
    )  # fmt: skip


async def test_nobody_can_tell(stack: Stack, looks: tuple[Look, Look]) -> None:
    one, other = looks
    token = await stack.fetch_token(stack.clients["internal"], case=SECRET)
    identity = await seal(stack, 3_600, case=SECRET)
    before = await one(), await other()
    asked_at = await stack.owner.fetchval("select now()")
    reply = await stack.ask(PLAIN, {"uscc": one.uscc}, token=token, headers={"credit-receipt": "request"})
    assert reply.status == 200
    await settled(stack)
    assert await sealed_leaves(stack) == 1
    assert await differ(one, other, before) == []
    # The log has it at once: its receipt is proved like any other.
    assert (await get(stack, f"/receipts/{disclosure_of(reply)}")).json["status"] == before[0]["status"]
    # Whoever acts on a request of the subject sees no more than the subject.
    await stack.owner.execute(
        "insert into ledger.access_request (subject_id, organisation_uscc, case_number, requester, basis, valid_until)"
        " values ($1, $2, 'sealed-access', 'r', 'b', core.today())",
        organisation_uuid(one.uscc),
        stack.organ,
    )
    acting = await stack.fetch_token(stack.clients["internal"], case="sealed-access")
    found = (await stack.ask(ALL, {"first": 100}, token=acting)).data["viewer"]["disclosures"]["edges"]
    assert SECRET not in {edge["node"]["caseNumber"] for edge in found}
    # Every place in the log that somebody else's entries leave out has other reasons, too: the log has all subjects'.
    assert json.loads((await get(stack, "/log/sealed")).body)["total"] == 0

    # And ends: the next number, with its true time, after those that came meanwhile.
    await stack.ask(PLAIN, {"uscc": one.uscc}, "restricted")
    await settled(stack)
    last = (await one())["numbers"][0]
    assert await as_written(stack, "UNSEAL", "select ledger.end_seal($1)", identity) == 1
    assert await sealed_leaves(stack) == 0
    edges = (await stack.ask(ALL, {"first": 100}, token=one.account)).data["viewer"]["disclosures"]["edges"]
    (entry,) = [edge["node"] for edge in edges if edge["node"]["caseNumber"] == SECRET]
    assert entry["number"] in (last + 1, last + 2)  # the look itself was an entry, too
    assert abs((dt.datetime.fromisoformat(entry["at"]) - asked_at).total_seconds()) < 5
    assert entry["logIndex"] < max(edge["node"]["logIndex"] for edge in edges)
    assert [edge["node"]["number"] for edge in edges] == list(range(len(edges), 0, -1))
    kinds = await stack.owner.fetch("select kind from ledger.event where content like '%' || $1 || '%'", str(identity))
    assert sorted(row["kind"] for row in kinds) == ["SEAL", "UNSEAL"]


async def test_without_the_seal_the_same_look_tells(stack: Stack, looks: tuple[Look, Look]) -> None:
    one, other = looks
    token = await stack.fetch_token(stack.clients["internal"], case="not-sealed")
    before = await one(), await other()
    await stack.ask(PLAIN, {"uscc": one.uscc}, token=token)
    await settled(stack)
    assert await differ(one, other, before) == ["entries"]


COURT = "query ($uscc: Uscc!) { subject(uscc: $uscc) { courts { answer { status asOf reason } } } }"
ASKED = re.compile(rb'(?<="asOf":")[^"]*')


async def of_sources(stack: Stack, uscc: str, tokens: Iterable[str | None]) -> list[Any]:
    """What each is told of the courts' answer about a subject, in this order: statuses, reasons, whether it has a
    moment, which can be no other's than of the looks themselves."""
    seen: list[Any] = []
    began = dt.datetime.now(dt.UTC)
    for token in tokens:
        reply = await stack.ask(COURT, {"uscc": uscc}, token=token)
        earlier = [at for at in ASKED.findall(reply.body) if dt.datetime.fromisoformat(at.decode()) < began]
        seen.append((reply.status, ASKED.sub(b"", reply.body), earlier, _headers(reply)))
        await asyncio.sleep(0.15)  # what the public's look has queued is there, and the writer has lingered
    return seen


async def answers_kept(stack: Stack, uscc: str, least: int = 0) -> int:
    """So many, or more; where nobody waits for more, as many as there are once the writer has lingered."""
    await asyncio.sleep(0.3)
    sql = "select count(*) from core.source_answer where uscc = $1"
    for _ in range(300):
        if (found := int(await stack.owner.fetchval(sql, uscc))) >= least:
            break
        await asyncio.sleep(0.1)
    return found


LOOKS = [(True, "public"), (True, "restricted"), (False, "public")]


@pytest.mark.parametrize("number", range(len(LOOKS)))
async def test_a_source_that_was_asked_tells_nobody(stack: Stack, number: int) -> None:
    """Of two subjects one is asked about at the courts under a seal, the other not at all; then all look at both. The
    control taken away, the same looks tell."""
    controlled, first = LOOKS[number]
    one, other = stack.enterprises()[10 + 2 * number : 12 + 2 * number]
    accounts = []
    for uscc in (one, other):
        client = await make_client(
            stack.database, f"self-{uscc}", "subject:self", "SELF", organisation=uscc, subject_uscc=uscc
        )
        accounts.append(await stack.fetch_token(client))
    identity = await seal(stack, 3_600, case=f"at-court-{number}")
    await asyncio.sleep(0.3)
    health = await stack.owner.fetchval("select last_answer_at from core.source_health where source_code = 'COURTS'")
    parts = Parts(sequences=False) if controlled else Parts(sequences=False, seals=NoSeals())
    async with serving(stack.settings, stack.database, parts) as base:
        asking = Gateway(base, stack.session)
        token = await asking.fetch_token(stack.clients["internal"], case=f"at-court-{number}")
        reply = await asking.ask(COURT, {"uscc": one}, token=token)
    assert reply.data["subject"]["courts"]["answer"]["status"] == "ANSWERED"
    assert (await answers_kept(stack, one, 0 if controlled else 1) == 0) is controlled
    if controlled:
        now = await stack.owner.fetchval("select last_answer_at from core.source_health where source_code = 'COURTS'")
        assert now == health
    looks = []
    for uscc, account in zip((one, other), accounts, strict=True):
        tokens = {
            "public": None,
            "own": account,
            "restricted": stack.tokens["restricted"],
            "scoped": stack.tokens["scoped"],
        }
        looks.append(await of_sources(stack, uscc, [tokens.pop(first), *tokens.values()]))
    same = looks[0] == looks[1]
    assert same is controlled, looks
    assert any(seen[2] for seen in looks[0]) is not controlled  # a moment before anybody had asked
    if controlled:
        assert await answers_kept(stack, one, 1) == await answers_kept(stack, other, 1) > 0  # of the others' own looks
    await as_written(stack, "UNSEAL", "select ledger.end_seal($1)", identity)


async def test_it_ends_by_itself_and_another_seal_holds_on(stack: Stack, looks: tuple[Look, Look]) -> None:
    one, _ = looks
    token = await stack.fetch_token(stack.clients["internal"], case="both")
    short, long = await seal(stack, 2, case="both"), await seal(stack, 3_600, client="internal")
    await stack.ask(PLAIN, {"uscc": one.uscc}, token=token)
    await settled(stack)
    assert await sealed_leaves(stack) == 1

    async def ended(identity: Any) -> bool:
        return bool(await stack.owner.fetchval("select ended_at is not null from ledger.seal where id = $1", identity))

    for _ in range(600):
        if await ended(short):
            break
        await asyncio.sleep(0.1)
    assert (await ended(short), await ended(long), await sealed_leaves(stack)) == (True, False, 1)
    assert await held_back(stack) != []  # what `ledger verify` knows of it
    await as_written(stack, "UNSEAL", "select ledger.end_seal($1)", long)
    assert await sealed_leaves(stack) == 0
    # A row that nothing seals is no excuse for a missing entry.
    await stack.owner.execute(
        "insert into ledger.sealed_entry select index, at, gen_random_uuid() from ledger.leaf where kind = 'D' limit 1"
    )
    assert await held_back(stack) == []
    await stack.owner.execute("delete from ledger.sealed_entry")


async def test_the_one_number_is_of_the_day_and_of_all(stack: Stack, looks: tuple[Look, Look]) -> None:
    one, _ = looks
    identity = await seal(stack, 3_600, matter="SUPERVISION")
    await stack.ask(PLAIN, {"uscc": one.uscc}, "internal")
    await settled(stack)
    first = (await get(stack, "/log/sealed")).json
    await stack.owner.execute("select ledger.count_sealed()")
    assert (await get(stack, "/log/sealed")).json == first  # whatever is sealed in the day's course
    await stack.owner.execute("update ledger.sealed_total set day = day - 1")
    await stack.owner.execute("select ledger.count_sealed()")
    assert (await get(stack, "/log/sealed")).json == {"day": first["day"], "total": 1}
    await as_written(stack, "UNSEAL", "select ledger.end_seal($1)", identity)


async def test_a_month_with_sealed_entries_is_kept(stack: Stack, looks: tuple[Look, Look]) -> None:
    """Else the entry could never be told."""
    await stack.owner.execute(
        "create table ledger.disclosure_2020_01 partition of ledger.disclosure for values from"
        " ('2020-01-01 00:00+08') to ('2020-02-01 00:00+08'); update ledger.retention set months = 12;"
        " insert into ledger.lived select core.today() - n, ledger.due() from generate_series(0, 6) n"
        " on conflict (day) do update set due = excluded.due"
    )
    identity = await seal(stack, 3_600, case="old")
    await settled(stack)
    await stack.owner.execute(
        "insert into ledger.disclosure (id, at, client_id, organisation_uscc, view, matter, case_number, outcome,"
        " subject_ids, sources, withheld) values (gen_random_uuid(), '2020-01-15', 'c', $1, 'INTERNAL', 'SUPERVISION',"
        " 'old', 'ANSWERED', $2, '{}', '{}')",
        stack.organ,
        [organisation_uuid(looks[0].uscc)],
    )
    await settled(stack)
    assert await sealed_leaves(stack) == 1
    assert await stack.owner.fetchval("select ledger.let_go()") == 0
    assert await as_written(stack, "UNSEAL", "select ledger.end_seal($1)", identity) == 1
    assert await as_written(stack, "RETENTION", "select ledger.let_go()") == 1
    await stack.owner.execute("update ledger.retention set months = null; truncate ledger.lived")
    edges = (await stack.ask(ALL, {"first": 100}, token=looks[0].account)).data["viewer"]["disclosures"]["edges"]
    (entry,) = [edge["node"] for edge in edges if edge["node"]["at"].startswith("2020-01-15")]
    assert (entry["caseNumber"], entry["organisationUscc"], entry["publicFields"]) == (None, None, [])
    kept = (await get(stack, f"/receipts/{entry['receiptId']}")).json
    assert (kept["status"], kept["index"]) == ("NOT_KEPT", entry["logIndex"])


async def test_seals_are_made_by_command(
    stack: Stack, looks: tuple[Look, Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def opened(_: Any) -> Iterator[Any]:
        yield stack.database

    for module in (access, ledger_command):
        monkeypatch.setattr(module, "database_there", opened)
    for module in (ledger_command, seals_command):
        monkeypatch.setattr(module, "load", lambda: stack.settings)

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, ["ledger", *arguments])

    one, _ = looks
    order = ("--authority", "a court", "--basis", "law 1", "--until", "2999-01-01T08:00")
    made = await run("seal", *order, "--case", "by-command")
    assert made.exit_code == 0, made.output
    identity = made.stdout.strip().splitlines()[-1]
    assert f"credit-gateway ledger unseal {identity}" in made.stderr
    token = await stack.fetch_token(stack.clients["internal"], case="by-command")
    await stack.ask(PLAIN, {"uscc": one.uscc}, token=token)
    await settled(stack)
    assert await sealed_leaves(stack) == 1
    verified = await run("verify", "--json")
    assert verified.exit_code == 0, verified.output  # an entry that waits is none that is missing
    listed = json.loads((await run("seals", "--json")).stdout)
    assert (listed[-1]["id"], listed[-1]["covers"], listed[-1]["ended_at"]) == (identity, "case by-command", None)
    assert listed[-1]["until"] == "2999-01-01T08:00:00+08:00"
    assert (await run("unseal", identity)).exit_code == 0
    assert await sealed_leaves(stack) == 0
    for nothing in (identity, "7"):
        refused = await run("unseal", nothing)
        assert (refused.exit_code, "see: credit-gateway ledger seals" in refused.stderr) == (1, True)
    numbered = await stack.owner.fetchval("select disclosure_id::text from ledger.subject_entry limit 1")
    for wrong in (["--disclosure", numbered], ["--disclosure", str(uuid.uuid4())], ["--disclosure", "x"],
                  ["--client", "nobody"], ["--matter", "GRUNT"]):  # fmt: skip
        refused = await run("seal", *order, *wrong)
        assert refused.exit_code == 1
    assert "GRANT" in refused.stderr  # a mistyped one would seal nothing: those that there are
    assert (await run("seal", *order)).exit_code == 2
    assert (await run("seal", *order[:4], "--until", "tomorrow", "--case", "a")).exit_code == 2
    # A day is meant with its end: what is sealed until the first is not told on the first.
    day = await run("seal", *order[:4], "--until", "2999-01-01", "--case", "a")
    assert (day.exit_code, "sealed until 2999-01-02T00:00:00+08:00" in day.stderr) == (0, True)
    assert (await run("seal", *order, "--case", "a", "--matter", "GRANT")).exit_code == 2
    assert (await run("seal", *order[:4], "--until", "2020-01-01", "--case", "a")).exit_code == 1
