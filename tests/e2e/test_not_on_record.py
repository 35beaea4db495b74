"""Promises: a valid code that is not on record is null in PUBLIC and nobody is asked about it; above PUBLIC it is a
Subject that says so, with what the courts say of it, and the disclosure names it."""

from __future__ import annotations

import asyncio
from typing import Any

from e2e_stack import STRANGER, Stack, valid

from gateway.storage.identifiers import organisation_uuid

COURTS = {"requests_per_second": 100}  # a tenth of it is for the public view's refreshes
QUESTION = """query Q($uscc: Uscc!) { subject(uscc: $uscc) { id uscc onRecord name kind
  records { totalCount edges { node { id } } } recordCounts { count }
  courts { answer { status asOf } dishonestListings { caseNumber } %s } } }"""
RESTRICTED = QUESTION % "enforcementCases { caseNumber } consumptionOrders { caseNumber } judgments { caseNumber }"
# One element of a list, by the same rules.
LIST = "query L($usccs: [Uscc!]!) { subjects(usccs: $usccs) { uscc onRecord courts { answer { status } } } }"


async def quiet(stack: Stack, wait: float = 0.6) -> list[dict[str, Any]]:
    """Calls that have reached the courts once what is queued at low priority had its time."""
    await asyncio.sleep(wait)
    return await stack.courts.calls()


async def test_in_public_it_is_null_and_nobody_is_asked(stack: Stack) -> None:
    await stack.courts.heal()
    for _ in range(2):
        assert (await stack.ask(QUESTION % "", {"uscc": STRANGER})).data == {"subject": None}
    assert await quiet(stack) == []
    known = stack.enterprises()[0]
    found = (await stack.ask(LIST, {"usccs": [STRANGER, known]})).data["subjects"]
    assert [None if s is None else s["uscc"] for s in found] == [None, known]
    calls = await quiet(stack)
    assert {call["uscc"] for call in calls} == {known}  # the refresh of what is on record; of the other: never
    assert (await stack.ask(LIST, {"usccs": [known]})).data["subjects"][0]["courts"]["answer"]["status"] == "CACHED"


async def test_above_public_it_is_a_subject_with_what_the_courts_say(stack: Stack) -> None:
    await stack.courts.heal()
    case = "not on record 1"
    token = await stack.fetch_token(stack.clients["restricted"], case=case)
    subject = (await stack.ask(RESTRICTED, {"uscc": STRANGER}, token=token)).data["subject"]
    assert (subject["uscc"], subject["onRecord"], subject["name"], subject["kind"]) == (STRANGER, False, None, None)
    assert subject["records"] == {"totalCount": 0, "edges": []}
    assert subject["recordCounts"] == []
    courts = subject["courts"]
    assert courts["answer"]["status"] == "ANSWERED"
    assert [len(courts[n]) for n in ("dishonestListings", "enforcementCases", "consumptionOrders", "judgments")] == [
        2, 12, 1, 1,
    ]  # fmt: skip
    services = [call["service"] for call in await stack.courts.calls()]
    assert sorted(services) == ["consumption", "dishonest", "enforcement", "enforcement", "judgments"]  # two pages
    (row,) = await stack.disclosures(case)
    assert row["subject_ids"] == [organisation_uuid(STRANGER)]
    again = (await stack.ask(RESTRICTED, {"uscc": STRANGER}, "internal")).data["subject"]
    assert again["id"] == subject["id"]
    # Asked about with authority, it stays null for the public, whatever is kept by now.
    await stack.courts.heal()
    assert (await stack.ask(QUESTION % "", {"uscc": STRANGER})).data == {"subject": None}
    assert await quiet(stack, 0.3) == []


async def test_a_code_that_nobody_knows_anywhere(stack: Stack) -> None:
    nobody = valid("91652799YL0088888")
    subject = (await stack.ask(RESTRICTED, {"uscc": nobody}, "restricted")).data["subject"]
    assert subject["onRecord"] is False
    assert subject["courts"]["answer"]["status"] == "ANSWERED"  # "no record" is an answer, and says so
    assert subject["courts"]["dishonestListings"] == subject["courts"]["enforcementCases"] == []


async def test_a_narrowed_client_can_not_tell_it_from_what_lies_outside_its_scope(stack: Stack) -> None:
    await stack.courts.heal()
    outside = next(row["uscc"] for row in stack.organisations if row["subject_kind"] != "ENTERPRISE")
    replies = [(await stack.ask(RESTRICTED, {"uscc": uscc}, "scoped")).json for uscc in (STRANGER, outside)]
    assert replies[0] == replies[1]
    assert replies[0]["data"] == {"subject": None}
    assert [e["extensions"]["code"] for e in replies[0]["errors"]] == ["FORBIDDEN"]
    assert await stack.courts.calls() == []  # a code passes the scope before any source is asked about it
