"""Promises: two gateways with databases of their own are each other's peers. What one has on record is seen through the
other with its region and status; both sides account for it; nothing is asked that the asker or the matter may not; a
question goes one hop and no further."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from e2e_stack import courts_process, courts_source, make_client
from peers_stack import (
    AUTHORITY,
    BUDGET,
    CROWD,
    MANY,
    MANY_RECORDS,
    NOBODY,
    ONLY_A,
    ONLY_B,
    ORGAN,
    REGIONS,
    SHARED,
    WITHDRAWN,
    Region,
    befriend,
    code_of,
    penalty,
    put_in,
    region,
    subject,
)

from gateway.auth.clients import ClientStore
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.identifiers import live_record_id, node_id
from gateway.storage.pool import Pool

FIELDS = """uscc onRecord name records(first: 100) { totalCount }
  peers { region { code name } onRecord answer { status asOf reason source { code } }
    records { id kind title status documentNumber decidedOn publishedUntil authority { uscc name }
      source { code kind } subject { uscc onRecord } }
    courts { answer { status asOf } dishonestListings { caseNumber } } }"""
QUESTION = f"query Q($uscc: Uscc!) {{ subject(uscc: $uscc) {{ {FIELDS} }} }}"
SEVERAL = f"query Q($usccs: [Uscc!]!) {{ subjects(usccs: $usccs) {{ {FIELDS} }} }}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def regions(
    postgres: RunningServer, template: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Region]]:
    """A and B are each other's peers, B is C's and C is A's: a ring with a chord. B has courts."""
    folder = tmp_path_factory.mktemp("peers")
    async with (
        aiohttp.ClientSession() as session,
        region("A", postgres, template, folder, session) as a,
        region("B", postgres, template, folder, session) as b,
        region("C", postgres, template, folder, session) as c,
    ):
        await fill(a, b, c)
        await befriend(a, b, ("GRANT", "TENDERING", "PROJECT"), ("GRANT", "PROCUREMENT", "PROJECT"))
        await befriend(b, a, ("GRANT",), ("GRANT",))
        await befriend(b, c, ("GRANT",), ("GRANT",))
        await befriend(c, a, ("GRANT",), ("GRANT",))
        with courts_process(folder, [SHARED, ONLY_B]) as url:
            courts = b.settings.model_copy(update={"courts": courts_source(url)})
            async with a.served(), b.served(courts), c.served():
                for one in (a, b, c):
                    await introduce(one)
                yield {"A": a, "B": b, "C": c}


async def fill(a: Region, b: Region, c: Region) -> None:
    """Synthetic records: most in B, some in A, one in C."""
    many = [penalty(MANY, f"{number:04}", decided_on=f"2026-0{number % 7 + 1}-11") for number in range(MANY_RECORDS)]
    withdrawn = {"status": "REVOKED", "status_reason": "样例：经复议撤销"}
    repaired = {"status": "REPAIRED", "status_reason": "样例：已修复"}
    await put_in(
        b,
        [
            penalty(SHARED, "1"),
            penalty(SHARED, "2", decided_on="2019-01-10"),
            penalty(SHARED, "3", **withdrawn),
            penalty(SHARED, "4", **repaired),
            penalty(ONLY_B, "5"),
            penalty(WITHDRAWN, "6", **withdrawn),
            *many,
            *(penalty(uscc, f"9{number:04}") for number, uscc in enumerate(CROWD)),
        ],
        "records",
    )
    await put_in(a, [penalty(SHARED, "101"), penalty(ONLY_A, "102")], "records")
    await put_in(c, [penalty(SHARED, "201")], "records")


async def introduce(one: Region) -> None:
    """A department with a token for GRANT, and its other matters."""
    for matter in ("GRANT", "TENDERING", "PROCUREMENT", "PROJECT"):
        account = await make_client(
            one.database, f"department-{matter.lower()}", "view:restricted", matter, organisation=ORGAN[one.name]
        )
        one.clients[matter] = account
        one.tokens[matter] = await one.fetch_token(account)


@pytest.fixture(autouse=True)
def quiet(regions: dict[str, Region]) -> None:
    for one in regions.values():
        one.link.forget()


def section(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What one peer said of a subject."""
    (said,) = [peer for peer in found["peers"] if peer["answer"]["source"]["code"] == code_of(name)]
    return said


def brief(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(record["title"], record["status"]) for record in records]


async def test_what_one_has_on_record_is_seen_through_the_other(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    # B's own courts are asked for B's own department first: A then gets what is kept of them.
    own = (await b.ask(QUESTION, {"uscc": SHARED}, "GRANT")).data["subject"]
    local = (
        "query Q($uscc: Uscc!) { subject(uscc: $uscc) { courts { answer { status } dishonestListings { caseNumber } }"
    )
    known = (await b.ask(local + " } }", {"uscc": SHARED}, "GRANT")).data["subject"]["courts"]
    assert (known["answer"]["status"], len(known["dishonestListings"])) == ("ANSWERED", 2)
    b.link.forget()
    found = (await a.ask(QUESTION, {"uscc": SHARED}, "GRANT")).data["subject"]
    assert (found["onRecord"], found["records"]["totalCount"]) == (True, 1)
    said = section(found, "B")
    assert said["region"] == dict(zip(("code", "name"), REGIONS["B"], strict=True))
    assert (said["onRecord"], said["answer"]["status"], said["answer"]["reason"]) == (True, "ANSWERED", None)
    # What was revoked or repaired there is not told; what has expired says so.
    assert brief(said["records"]) == [("样例处罚1", "ACTIVE"), ("样例处罚2", "EXPIRED")]
    there = await b.owner.fetchval("select external_id from core.record where title = '样例处罚1'")
    assert said["records"][0] == {
        "id": node_id("R", live_record_id(code_of("B"), node_id("R", there))),  # ours, not B's: another record
        "kind": "PENALTY",
        "title": "样例处罚1",
        "status": "ACTIVE",
        "documentNumber": "样例乙市监〔2026〕1号",
        "decidedOn": "2026-07-01",
        "publishedUntil": "2029-07-01",
        "authority": {"uscc": AUTHORITY[0], "name": AUTHORITY[1]},
        "source": {"code": code_of("B"), "kind": "PEER_REGION"},
        "subject": {"uscc": SHARED, "onRecord": True},
    }
    assert said["courts"]["answer"]["status"] == "CACHED"
    assert sorted(one["caseNumber"] for one in said["courts"]["dishonestListings"]) == sorted(
        one["caseNumber"] for one in known["dishonestListings"]
    )
    assert section(own, "A")["onRecord"] is True
    # Kept, and never younger than it was.
    kept = section((await a.ask(QUESTION, {"uscc": SHARED}, "GRANT")).data["subject"], "B")
    assert (kept["answer"]["status"], kept["answer"]["asOf"]) == ("CACHED", said["answer"]["asOf"])
    assert kept["records"] == said["records"]
    assert len(b.link.hops) == 1
    shown = (await a.ask("query Q($id: ID!) { node(id: $id) { id } }", {"id": said["records"][0]["id"]}, "GRANT")).data
    assert shown == {"node": None}  # it is not on record here


async def test_not_on_record_here_there_and_nowhere(regions: dict[str, Region]) -> None:
    a = regions["A"]
    found = (await a.ask(QUESTION, {"uscc": ONLY_B}, "GRANT")).data["subject"]
    assert (found["onRecord"], found["name"], found["records"]["totalCount"]) == (False, None, 0)
    said = section(found, "B")
    assert (said["onRecord"], brief(said["records"])) == (True, [("样例处罚5", "ACTIVE")])
    assert said["records"][0]["subject"] == {"uscc": ONLY_B, "onRecord": False}
    # Of its courts B has kept nothing, and a hopped question asks nobody: that is not "no listing".
    assert said["courts"] == {"answer": {"status": "NOT_CONSULTED", "asOf": None}, "dishonestListings": []}
    for uscc, known in ((WITHDRAWN, True), (NOBODY, False)):
        said = section((await a.ask(QUESTION, {"uscc": uscc}, "GRANT")).data["subject"], "B")
        assert (said["answer"]["status"], said["onRecord"], said["records"]) == ("ANSWERED", known, [])


async def test_both_directions_at_once(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    pairs = [(a, ONLY_A, b), (b, ONLY_B, a)]
    tokens = [await case(asked, f"示例往来-{uscc}") for _, uscc, asked in pairs]
    replies = await asyncio.gather(
        *(
            asked.ask(QUESTION, {"uscc": uscc}, token=token)
            for (_, uscc, asked), token in zip(pairs, tokens, strict=True)
        )
    )
    for reply, (there, uscc, _) in zip(replies, pairs, strict=True):
        found = reply.data["subject"]
        said = section(found, there.name)
        assert (found["onRecord"], said["onRecord"], len(said["records"])) == (False, True, 1), uscc


async def case(one: Region, number: str, matter: str = "GRANT", **more: Any) -> str:
    """A token for a case of its own."""
    return await one.fetch_token(one.clients[matter], case=number, **more)


async def test_both_sides_account_for_it(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    number = "示例甲〔2026〕7号"
    asking = ORGAN["C"]  # a department that asks for another
    token = await case(a, number, on_behalf_of=asking)
    found = (await a.ask(QUESTION, {"uscc": CROWD[0]}, token=token)).data["subject"]
    assert section(found, "B")["onRecord"] is True
    (ours,) = await a.ledger(number)
    told = json.loads(ours["sources"])[code_of("B")][CROWD[0]]
    assert (told["status"], told["asOf"]) == ("ANSWERED", section(found, "B")["answer"]["asOf"])
    (theirs,) = await b.ledger(number)
    assert (theirs["client_id"], theirs["organisation_uscc"]) == ("gateway-a", ORGAN["A"])
    assert (theirs["matter"], theirs["on_behalf_of"], theirs["view"]) == ("GRANT", asking, "RESTRICTED")
    assert theirs["outcome"] == "ANSWERED"
    shown = await b.owner.fetchval("select external_id from core.subject where uscc = $1", CROWD[0])
    assert shown in theirs["subject_ids"]
    # Without another organisation the department itself is the one that asks.
    token = await case(a, number + "-2")
    await a.ask(QUESTION, {"uscc": CROWD[1]}, token=token)
    assert [row["on_behalf_of"] for row in await b.ledger(number + "-2")] == [ORGAN["A"]]


async def test_a_subject_with_more_records_than_a_page_has(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    said = section((await a.ask(QUESTION, {"uscc": MANY}, "GRANT")).data["subject"], "B")
    assert said["answer"]["status"] == "ANSWERED"
    assert {record["documentNumber"] for record in said["records"]} == {
        f"样例乙市监〔2026〕{number:04}号" for number in range(MANY_RECORDS)
    }
    assert len({record["id"] for record in said["records"]}) == MANY_RECORDS
    assert [[*body["variables"]] for body in b.link.bodies] == [["usccs"], ["uscc", "after"], ["uscc", "after"]]
    assert all("query" not in body for body in b.link.bodies)


async def test_more_subjects_than_a_call_takes(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    asked = CROWD[2:]  # none of them is kept
    found = (await a.ask(SEVERAL, {"usccs": asked}, "GRANT")).data["subjects"]
    assert [one["uscc"] for one in found] == asked
    assert {section(one, "B")["answer"]["status"] for one in found} == {"ANSWERED"}
    assert [record["title"] for one in found for record in section(one, "B")["records"]] == [
        f"样例处罚9{number:04}" for number in range(2, len(CROWD))
    ]
    assert sorted(len(body["variables"]["usccs"]) for body in b.link.bodies) == [8, 50]


async def test_a_deadline_shrinks_as_it_is_passed_on(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    number, most = 93_000, round(BUDGET * 1_000)
    for given, fits in ((None, most), (most, most), (800, 800), (400, 400)):
        b.link.forget()
        number += 1
        headers = {} if given is None else {"credit-deadline-ms": str(given)}
        await a.ask(QUESTION, {"uscc": subject(number)}, "GRANT", headers=headers)
        (left,) = b.link.deadlines
        assert 0 < left < fits, (given, left)


# Deny by default ------------------------------------------------------------------------------------------------------


async def test_a_matter_that_we_did_not_allow_makes_no_call(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    before = a.calls("B")
    said = section((await a.ask(QUESTION, {"uscc": SHARED}, "PROCUREMENT")).data["subject"], "B")
    assert (said["answer"]["status"], said["answer"]["reason"]) == ("NOT_CONSULTED", "MATTER")
    assert (said["onRecord"], said["records"], said["courts"]) == (None, [], None)
    assert (a.calls("B"), b.link.heads) == (before, [])


async def test_a_matter_that_they_did_not_grant_is_refused(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    # B's answer for GRANT is kept, and it is no answer for TENDERING.
    assert section((await a.ask(QUESTION, {"uscc": SHARED}, "GRANT")).data["subject"], "B")["onRecord"] is True
    b.link.forget()
    said = section((await a.ask(QUESTION, {"uscc": SHARED}, "TENDERING")).data["subject"], "B")
    assert (said["answer"]["status"], said["answer"]["reason"]) == ("REFUSED", "FORBIDDEN")
    assert (said["onRecord"], said["records"], said["courts"]) == (None, [], None)
    assert b.link.hops == []  # there is no token for it
    granted = section((await a.ask(QUESTION, {"uscc": SHARED}, "PROJECT")).data["subject"], "B")
    assert (granted["answer"]["status"], granted["onRecord"]) == ("ANSWERED", True)


async def test_a_client_that_nobody_registered(regions: dict[str, Region]) -> None:
    a = regions["A"]
    stranger = a.peers["B"].model_copy(update={"client_id": "gateway-nobody"})
    wrong_key = a.peers["B"].model_copy(update={"key_file": regions["C"].folder / "peer-A.jwk"})
    for peer in (stranger, wrong_key):
        async with a.another(peer) as other:
            token = await case(other, "示例冒名-1", "PROJECT")
            said = section((await other.ask(QUESTION, {"uscc": ONLY_B}, token=token)).data["subject"], "B")
            assert (said["answer"]["status"], said["answer"]["reason"]) == ("UNAVAILABLE", "CREDENTIALS")
            assert (said["onRecord"], said["records"]) == (None, [])


async def test_a_client_that_was_disabled_gets_nothing_within_two_seconds(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    brief_peer = a.peers["B"].model_copy(update={"fresh_seconds": 0, "negative_fresh_seconds": 0, "stale_seconds": 0})
    key = await make_client(b.database, "gateway-brief", "view:restricted", "GRANT", organisation=ORGAN["A"])
    file = a.folder / "brief.jwk"
    file.write_text(json.dumps(key.key.as_dict(private=True)), encoding="utf-8")
    async with a.another(brief_peer.model_copy(update={"client_id": key.id, "key_file": file})) as other:
        token = await case(other, "示例停用-1")

        async def answer() -> tuple[str, str | None]:
            said = section((await other.ask(QUESTION, {"uscc": ONLY_B}, token=token)).data["subject"], "B")
            return said["answer"]["status"], said["answer"]["reason"]

        assert await answer() == ("ANSWERED", None)
        pool = Pool(b.database.dsn("service"), size=1)
        try:
            assert await ClientStore(pool).disable(key.id)
        finally:
            await pool.close()
        await asyncio.sleep(2)
        assert await answer() == ("UNAVAILABLE", "CREDENTIALS")


# What is never asked --------------------------------------------------------------------------------------------------


async def test_the_public_asks_nobody_and_has_no_such_field(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    before = a.calls("B")
    reply = await a.ask(QUESTION, {"uscc": ONLY_B})
    assert (reply.status, reply.code) == (400, "GRAPHQL_VALIDATION_FAILED")
    await a.ask("query Q($uscc: Uscc!) { subject(uscc: $uscc) { onRecord courts { answer { status } } } }",
                {"uscc": ONLY_B})  # fmt: skip
    await asyncio.sleep(0.2)  # a refresh would have begun
    assert (a.calls("B"), b.link.heads) == (before, [])


async def test_a_section_that_is_not_selected_makes_no_call(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    left_out = QUESTION.replace("(", "($no: Boolean!, ", 1).replace("peers", "peers @include(if: $no)")
    assert "peers" not in (await a.ask(left_out, {"uscc": CROWD[0], "no": False}, "GRANT")).data["subject"]
    assert b.link.heads == []


async def test_a_subjects_own_account_asks_no_other_region(regions: dict[str, Region]) -> None:
    a, b = regions["A"], regions["B"]
    account = await make_client(a.database, "own-1", "subject:self", "SELF", organisation=SHARED, subject_uscc=SHARED)
    token = await a.fetch_token(account, case=None)
    said = section((await a.ask(QUESTION, {"uscc": SHARED}, token=token)).data["subject"], "B")
    assert (said["answer"]["status"], said["answer"]["reason"]) == ("NOT_CONSULTED", "MATTER")
    assert (said["records"], b.link.heads) == ([], [])


# Hops -----------------------------------------------------------------------------------------------------------------


async def test_a_ring_of_three_ends_after_one_hop(regions: dict[str, Region]) -> None:
    for number, (name, asked) in enumerate({"A": ["B"], "B": ["A", "C"], "C": ["A"]}.items()):
        for one in regions.values():
            one.link.forget()
        before = {(one.name, to): one.calls(to) for one in regions.values() for to in one.peers}
        found = (await regions[name].ask(QUESTION, {"uscc": subject(92_000 + number)}, "GRANT")).data["subject"]
        assert {said["answer"]["status"] for said in found["peers"]} == {"ANSWERED"}
        assert all("\ncredit-hops: 1\n" in head + "\n" for one in regions.values() for head in one.link.hops)
        made = {edge for edge, count in before.items() if regions[edge[0]].calls(edge[1]) > count}
        assert made == {(name, to) for to in asked}
        assert {one.name: len(one.link.hops) for one in regions.values()} == {one: int(one in asked) for one in regions}


async def test_a_question_that_has_hopped_is_answered_from_what_is_kept(regions: dict[str, Region]) -> None:
    """Whatever it selects. What a third region told us is not passed on, kept or not."""
    a, b = regions["A"], regions["B"]
    courts = QUESTION.replace("peers {", "own: courts { answer { status reason } dishonestListings { court } } peers {")
    uscc = subject(92_100)
    before = b.calls("A"), b.calls("C")
    for kept, status in ((uscc, "NOT_CONSULTED"), (SHARED, "CACHED")):
        if status == "CACHED":
            await b.ask(courts, {"uscc": kept}, "GRANT")
            before = b.calls("A"), b.calls("C")
        a.link.forget()
        found = (await b.ask(courts, {"uscc": kept}, "GRANT", headers={"credit-hops": "1"})).data["subject"]
        reason = "HOPS" if status == "NOT_CONSULTED" else None
        assert found["own"]["answer"] == {"status": status, "reason": reason}
        for said in found["peers"]:
            assert (said["answer"]["status"], said["answer"]["reason"]) == ("NOT_CONSULTED", "HOPS")
            assert (said["onRecord"], said["records"], said["courts"]) == (None, [], None)
        assert ((b.calls("A"), b.calls("C")), a.link.heads) == (before, [])


@pytest.mark.parametrize("hops", ["2", "10", "-1", "1.0", "one", ""])
async def test_more_than_one_hop_is_refused(regions: dict[str, Region], hops: str) -> None:
    b = regions["B"]
    reply = await b.ask(QUESTION, {"uscc": SHARED}, "GRANT", headers={"credit-hops": hops})
    assert (reply.status, reply.code) == (400, "BAD_USER_INPUT")
