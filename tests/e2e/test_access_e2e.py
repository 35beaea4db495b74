"""Promises: a subject's own account sees who was shown what of it, all of it, in order, numbered without a gap, and of
no other subject of the same request anything; an authority sees it on a recorded request under its case number, and
nobody else. What is proved by an entry's receipt id is this subject's own."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from e2e_stack import Reply, Stack, make_client
from typer.testing import CliRunner

from gateway.cli import access, app
from gateway.ledger.receipt import base64url
from gateway.storage.identifiers import node_id, organisation_uuid
from gateway.zone import today

ALL = """query ($subject: ID, $first: Int, $after: String, $last: Int, $before: String) { viewer {
  disclosures(subject: $subject, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { number at organisationUscc organisation { name } onBehalfOf view matter legalBasis caseNumber
      publicFields restrictedFields internalFields sources { code status asOf } logIndex receiptId } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
DEEP = "query ($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name records(first: 5) { edges { node { version } } } } }"
PLAIN = "query ($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name courts { answer { status } } } }"


class People:
    """Two subjects with accounts of their own, and who asks about them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.one, self.two, self.other = stack.enterprises()[:3]
        self.tokens: dict[str, str] = {}

    async def register(self) -> None:
        for name, uscc in (("one", self.one), ("two", self.two)):
            account = await make_client(
                self.stack.database, name, "subject:self", "SELF", organisation=uscc, subject_uscc=uscc
            )
            self.tokens[name] = await self.stack.fetch_token(account)

    async def entries(self, who: str, **variables: Any) -> list[dict[str, Any]]:
        """An account's entries, newest first, those of its own reading apart."""
        page = await self.page(self.tokens[who], **variables)
        return [edge["node"] for edge in page["edges"] if edge["node"]["matter"] != "SELF"]

    async def page(self, token: str, **variables: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self.stack.ask(ALL, variables, token=token)).data["viewer"]["disclosures"]
        return found

    async def settled(self) -> None:
        """Everything that was disclosed has its number."""
        await settled(self.stack)


async def settled(stack: Stack) -> None:
    """Everything that was disclosed has its number: at once, since not all of it waits for the sequencer's second."""
    for _ in range(600):
        await stack.owner.fetchval("select ledger.sequence(100000)")
        await stack.owner.fetchval("select ledger.fan_out(100000)")
        open_rows = await stack.owner.fetchval(
            "select (select count(*) from (select id from ledger.disclosure union all select id from ledger.event) r"
            " where not exists (select from ledger.leaf l where l.id = r.id)) + s.size - s.fanned"
            " from ledger.log_state s"
        )
        if not open_rows:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not in the log within a minute")


async def get(stack: Stack, path: str) -> Reply:
    """What is there, once a checkpoint covers it."""
    for _ in range(300):
        async with stack.session.get(f"{stack.base}{path}") as reply:
            found = Reply(reply.status, reply.headers, await reply.read(), 0.0)
        if found.status != 503:
            break
        await asyncio.sleep(0.1)
    return found


@pytest.fixture(scope="module")
async def people(stack: Stack) -> People:
    made = People(stack)
    await made.register()
    token = await stack.fetch_token(stack.clients["restricted"], case="shown", on_behalf_of=stack.organ)
    await stack.ask(PLAIN, {"usccs": [made.one, made.two]}, token=token)
    await stack.ask(PLAIN, {"usccs": [made.one]}, token=token)
    await stack.ask(DEEP, {"usccs": [made.two]}, "internal")
    await made.settled()
    return made


async def test_a_subject_sees_who_was_shown_what(people: People) -> None:
    alone, both = await people.entries("one")
    assert [alone["number"], both["number"]] == [2, 1]
    for entry in (alone, both):
        assert (entry["organisationUscc"], entry["onBehalfOf"]) == (people.stack.organ, people.stack.organ)
        assert entry["organisation"]["name"].endswith("发展和改革委员会")
        assert (entry["view"], entry["matter"], entry["caseNumber"]) == ("RESTRICTED", "GRANT", "shown")
        (told,) = entry["sources"]
        assert (told["code"], told["status"]) == ("COURTS", "CACHED" if entry is alone else "ANSWERED")
        assert abs(time.time() - _seconds(entry["at"])) < 60
    (row,) = await people.stack.owner.fetch(
        "select d.*, l.index from ledger.disclosure d join ledger.leaf l on l.id = d.id"
        " where d.case_number = 'shown' and cardinality(d.subject_ids) = 1"
    )
    assert alone["logIndex"] == row["index"]


async def test_its_entry_shows_no_other_subject_of_the_request(people: People) -> None:
    """Two entries of one request, one of which had a subject more: what tells them apart is when and where alone."""
    alone, both = await people.entries("one")
    told = {"number", "at", "logIndex", "receiptId", "sources"}
    assert {name: alone[name] for name in alone if name not in told} == {n: both[n] for n in both if n not in told}
    assert [source["code"] for source in both["sources"]] == ["COURTS"]
    whole = json.dumps(await people.page(people.tokens["one"]), ensure_ascii=False)
    for strange in (people.two, str(organisation_uuid(people.two)), node_id("S", organisation_uuid(people.two))):
        assert strange not in whole
    # The same request, as the other one sees it.
    theirs = (await people.entries("two"))[-1]
    assert (theirs["logIndex"], theirs["number"]) == (both["logIndex"], 1)
    assert theirs["receiptId"] != both["receiptId"]


async def test_a_receipt_id_is_of_one_subject_alone(people: People) -> None:
    stack = people.stack
    both, theirs = (await people.entries("one"))[-1], (await people.entries("two"))[-1]
    record = await stack.owner.fetchval(
        "select r.id from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1 limit 1",
        people.two,
    )
    before = [(await get(stack, f"/receipts/{entry['receiptId']}")).json for entry in (both, theirs)]
    assert before[0]["index"] == both["logIndex"]
    assert "disclosure" not in before[0]
    await stack.owner.execute("update core.record set under_objection = not under_objection where id = $1", record)
    after = [(await get(stack, f"/receipts/{entry['receiptId']}")).json for entry in (both, theirs)]
    assert before[0]["status"] == after[0]["status"]  # what became of the other is not told
    assert before[1]["status"] != after[1]["status"]
    await stack.owner.execute("update core.record set under_objection = not under_objection where id = $1", record)
    text = both["receiptId"]
    for wrong in (text[:-1] + ("A" if text[-1] != "A" else "B"), base64url(b"\0" * 40), text[:30]):
        assert (await get(stack, f"/receipts/{wrong}")).status in (400, 404)


async def test_pages_are_complete_both_ways(people: People) -> None:
    stack, token = people.stack, people.tokens["two"]
    for _ in range(5):
        await stack.ask(PLAIN, {"usccs": [people.two]}, "restricted")
    await people.settled()
    whole = await people.page(token, first=100)
    numbers = [edge["node"]["number"] for edge in whole["edges"]]
    assert numbers == list(range(len(numbers), 0, -1))
    await people.settled()  # reading is an entry, too
    forward: list[int] = []
    variables: dict[str, Any] = {"first": 2, "after": whole["pageInfo"]["startCursor"]}
    while True:
        page = await people.page(token, **variables)
        forward += [edge["node"]["number"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        variables["after"] = page["pageInfo"]["endCursor"]
    assert forward == numbers[1:]
    backward: list[int] = []
    variables = {"last": 3, "before": whole["pageInfo"]["endCursor"]}
    while True:
        page = await people.page(token, **variables)
        backward = [edge["node"]["number"] for edge in page["edges"]] + backward
        if not page["pageInfo"]["hasPreviousPage"] or backward[0] >= numbers[0]:
            break
        variables["before"] = page["pageInfo"]["startCursor"]
    assert backward[-len(numbers) + 1 :] == numbers[:-1]
    for cursor in ("x", "e1", "e0" + node_id("S", organisation_uuid(people.two)), whole["pageInfo"]["endCursor"] + "A"):
        assert (await stack.ask(ALL, {"after": cursor}, token=token)).code == "BAD_USER_INPUT"


async def test_reading_it_is_disclosed(people: People) -> None:
    await people.page(people.tokens["one"])
    await people.settled()
    newest = (await people.page(people.tokens["one"]))["edges"][0]["node"]
    assert (newest["matter"], newest["organisationUscc"], newest["view"]) == ("SELF", people.one, "SELF")


async def test_nobody_else_reads_it(people: People) -> None:
    stack = people.stack
    mine, theirs = (node_id("S", organisation_uuid(uscc)) for uscc in (people.one, people.two))
    assert (await stack.ask(ALL, {"subject": mine}, token=people.tokens["one"])).status == 200
    stranger = node_id("S", organisation_uuid("91652700MA00000000"))
    for token in (people.tokens["one"], stack.tokens["restricted"], stack.tokens["internal"], stack.tokens["scoped"]):
        replies = [await stack.ask(ALL, {"subject": id}, token=token) for id in (theirs, stranger)]
        assert [reply.code for reply in replies] == ["FORBIDDEN"] * 2
        assert replies[0].body == replies[1].body  # whether it is on record is not told
    for view in ("restricted", "internal", "scoped"):
        assert (await stack.ask(ALL, None, view)).code == "FORBIDDEN"
    assert (await stack.ask(ALL, None, "public")).code == "GRAPHQL_VALIDATION_FAILED"
    assert (await stack.ask(ALL, {"subject": "R" + mine[1:]}, token=people.tokens["one"])).code == "BAD_USER_INPUT"


async def test_an_authority_acts_on_a_recorded_request(people: People) -> None:
    stack = people.stack
    record = (
        "insert into ledger.access_request (subject_id, organisation_uscc, case_number, requester, basis, valid_until)"
        " values ($1, $2, $3, 'the subject', 'PIPL 45', core.today() + $4::int) returning id"
    )
    one, two = organisation_uuid(people.one), organisation_uuid(people.two)
    request = await stack.owner.fetchval(record, one, stack.organ, "access-1", 0)
    token = await stack.fetch_token(stack.clients["internal"], case="access-1")
    found = await people.page(token)  # one subject: it need not be named
    seen = [edge["node"]["number"] for edge in found["edges"]]
    assert seen == list(range(seen[0], 0, -1))
    assert [e["node"]["number"] for e in (await people.page(token, subject=node_id("S", one)))["edges"]][-1] == 1
    assert (await stack.ask(ALL, {"subject": node_id("S", two)}, token=token)).code == "FORBIDDEN"
    other_case = await stack.fetch_token(stack.clients["internal"], case="access-2")
    assert (await stack.ask(ALL, None, token=other_case)).code == "FORBIDDEN"
    elsewhere = await make_client(
        stack.database, "elsewhere", "view:internal", "SUPERVISION", organisation=people.other
    )
    assert (await stack.ask(ALL, None, token=await stack.fetch_token(elsewhere, case="access-1"))).code == "FORBIDDEN"

    await stack.owner.fetchval(record, two, stack.organ, "access-1", 0)
    assert (await stack.ask(ALL, None, token=token)).code == "BAD_USER_INPUT"
    assert (await people.page(token, subject=node_id("S", two)))["edges"] != []
    await people.settled()  # and what it read is in their accounts
    assert "access-1" in {entry["caseNumber"] for entry in await people.entries("two")}

    await stack.owner.execute("update ledger.access_request set ended_at = now() where id = $1", request)
    assert (await stack.ask(ALL, {"subject": node_id("S", one)}, token=token)).code == "FORBIDDEN"
    await stack.owner.execute("update ledger.access_request set valid_until = core.today() - 1")
    assert (await stack.ask(ALL, {"subject": node_id("S", two)}, token=token)).code == "FORBIDDEN"


async def test_requests_are_recorded_by_command(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(_: Any) -> Iterator[Any]:
        yield people.stack.database

    monkeypatch.setattr(access, "database_there", opened)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["ledger", "access-request", *arguments])

    stack, other = people.stack, people.other
    tomorrow = (today() + dt.timedelta(1)).isoformat()
    given = ["--organisation", stack.organ, "--case", "by-hand", "--requester", "a court", "--basis", "PIPL 45"]
    made = await asyncio.to_thread(run, "add", other, *given, "--until", tomorrow)
    assert made.exit_code == 0, made.output
    number = made.stdout.strip().splitlines()[-1]
    token = await stack.fetch_token(stack.clients["internal"], case="by-hand")
    assert (await stack.ask(ALL, None, token=token)).status == 200
    listed = json.loads((await asyncio.to_thread(run, "list", "--json")).stdout)
    assert (listed[-1]["subject"], listed[-1]["case_number"], listed[-1]["ended_at"]) == (other, "by-hand", None)
    assert (await asyncio.to_thread(run, "end", number)).exit_code == 0
    nobodys = await asyncio.to_thread(run, "end", str(int(number) + 1))
    assert (nobodys.exit_code, "credit-gateway ledger access-request list" in nobodys.stderr) == (1, True)
    assert (await stack.ask(ALL, None, token=token)).code == "FORBIDDEN"
    for wrong in (["91652700MA00000001"], ["Sxyz"], [stack.organ[:-1]]):
        assert (await asyncio.to_thread(run, "add", *wrong, *given, "--until", tomorrow)).exit_code == 1
    assert (await asyncio.to_thread(run, "add", other, *given, "--until", "2020-01-01")).exit_code == 1
    assert (await asyncio.to_thread(run, "end", "999999")).exit_code == 1


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()
