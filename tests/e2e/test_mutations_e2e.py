"""Promises of changes over HTTP: a consent is recorded by who may ask under it, seen and revoked by its two sides, and
opens nothing for anybody else; the same request with the same Idempotency-Key is done once by two gateways of one
database; registered documents are found by their hash, and a client's own deadline ends its waiting."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import time
import uuid
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from e2e_stack import CASE, GRAPHQL, TODAY, Gateway, Reply, Stack, make_client, serving

from gateway.engine.persisted import shipped

RECORD = """mutation Record($input: RecordConsentInput!) {
  recordConsent(input: $input) { consentId consent { uscc validTo revokedAt } } }"""
REVOKE = "mutation ($id: ID!) { revokeConsent(input: {consentId: $id}) { consent { revokedAt revokedBy } } }"
SEEN = """query ($id: ID!) { node(id: $id) { ... on Consent { uscc revokedAt } }
  viewer { consents(first: 100) { edges { node { id } } } } }"""
PEER = {"version": 1, "sha256Hash": "df7fd231285e52756e1e15834b7fea9b9ae8386f6008aeb5ac5a8631abbff76d"}


def given(stack: Stack, **changes: Any) -> dict[str, Any]:
    whole = {
        "uscc": stack.enterprises()[0],
        "granteeUscc": stack.organ,
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": TODAY.isoformat(),
        "validTo": (TODAY + dt.timedelta(90)).isoformat(),
        "documentSha256": hashlib.sha256(b"consent").hexdigest(),
        "method": "ELECTRONIC_SIGNATURE",
    }
    return {"input": whole | changes}


async def consents(stack: Stack) -> int:
    return int(await stack.owner.fetchval("select count(*) from core.consent"))


async def test_a_consent_from_its_recording_to_its_revocation(stack: Stack) -> None:
    subject = stack.enterprises()[0]
    reply = await stack.ask(RECORD, given(stack), "restricted")
    recorded = reply.data["recordConsent"]
    last = (TODAY + dt.timedelta(90)).isoformat()
    assert recorded["consent"] == {"uscc": subject, "validTo": last, "revokedAt": None}
    assert reply.headers["cache-control"] == "no-store"
    id = {"id": recorded["consentId"]}
    assert (await stack.ask(SEEN, id, "restricted")).data["node"] == {"uscc": subject, "revokedAt": None}
    own = await make_client(stack.database, "own", "subject:self", "SELF", organisation=subject, subject_uscc=subject)
    stranger = await make_client(
        stack.database, "stranger", "view:restricted", "GRANT", organisation=stack.organisations[-1]["uscc"]
    )
    tokens = {"own": await stack.fetch_token(own, case=None), "stranger": await stack.fetch_token(stranger)}
    assert (await stack.ask(SEEN, id, token=tokens["own"])).data["node"]["uscc"] == subject
    nothing = (await stack.ask(SEEN, id, token=tokens["stranger"])).data
    assert nothing == {"node": None, "viewer": {"consents": {"edges": []}}}
    assert (await stack.ask("query ($id: ID!) { node(id: $id) { id } }", id)).data == {"node": None}
    assert (await stack.ask(REVOKE, id, token=tokens["stranger"])).code == "FORBIDDEN"
    revoked = (await stack.ask(REVOKE, id, token=tokens["own"])).data["revokeConsent"]["consent"]
    assert revoked["revokedBy"] == "SUBJECT"
    assert (await stack.ask(SEEN, id, "restricted")).data["node"]["revokedAt"] == revoked["revokedAt"]
    rows = await stack.owner.fetch(
        "select outcome from ledger.disclosure where client_id in ('own', 'stranger') order by at"
    )
    assert [row[0] for row in rows] == ["ANSWERED", "ANSWERED", "FORBIDDEN", "ANSWERED"]


async def test_refusals_over_http(stack: Stack) -> None:
    before = await consents(stack)
    other = stack.organisations[-1]["uscc"]
    for status, code, changes in (
        (403, "FORBIDDEN", {"granteeUscc": other}),
        (400, "BAD_USER_INPUT", {"matter": "TENDERING"}),
        (400, "BAD_USER_INPUT", {"validTo": "2020-01-01", "validFrom": "2020-01-01"}),
    ):
        reply = await stack.ask(RECORD, given(stack, **changes), "restricted")
        assert (reply.status, reply.code) == (status, code)
    organ = next(row["uscc"] for row in stack.organisations if row["subject_kind"] == "ORGAN")
    assert (await stack.ask(RECORD, given(stack, uscc=organ), "scoped")).code == "FORBIDDEN"
    assert (await stack.ask(RECORD, given(stack))).code == "GRAPHQL_VALIDATION_FAILED"
    get = f"?query={quote(RECORD)}&variables={quote(json.dumps(given(stack)))}"
    sent = {"accept": GRAPHQL, "authorization": f"Bearer {stack.tokens['restricted']}"}
    assert (await stack.send("GET", None, sent, get)).status == 405
    assert await consents(stack) == before


@pytest.mark.parametrize("spelling", ["{}", '"{}"'])
async def test_a_key_over_http(stack: Stack, spelling: str) -> None:
    key = {"idempotency-key": spelling.format(uuid.uuid4())}
    before = await consents(stack)
    first = await stack.ask(RECORD, given(stack), "restricted", headers=key)
    assert "recordConsent" in first.data
    bare = {"idempotency-key": key["idempotency-key"].strip('"')}
    assert (await stack.ask(RECORD, given(stack), "restricted", headers=bare)).body == first.body
    assert await consents(stack) == before + 1
    changed = await stack.ask(RECORD, given(stack, method="PAPER_SIGNED"), "restricted", headers=key)
    assert (changed.status, changed.code) == (400, "BAD_USER_INPUT")
    query = "{ viewer { view } }"  # a query is read anew: the key is not its
    assert (await stack.ask(query, view="restricted", headers=key)).data == {"viewer": {"view": "RESTRICTED"}}


async def test_two_gateways_do_it_once(stack: Stack) -> None:
    changes = {"audience": stack.settings.audience}
    settings = stack.settings.model_copy(update=changes)
    async with serving(settings, stack.database) as base, aiohttp.ClientSession() as session:
        second = Gateway(base, session)
        token = await second.fetch_token(stack.clients["restricted"])
        for _ in range(5):
            key = {"idempotency-key": str(uuid.uuid4())}
            before = await consents(stack)
            asked = [stack.ask(RECORD, given(stack), "restricted", headers=key) for _ in range(4)]
            asked += [second.ask(RECORD, given(stack), token=token, headers=key) for _ in range(4)]
            replies = await asyncio.gather(*asked)
            assert {reply.status for reply in replies} == {200}
            assert len({reply.body for reply in replies}) == 1
            assert await consents(stack) == before + 1


async def test_a_client_that_leaves_has_changed_nothing(stack: Stack) -> None:
    before = await consents(stack)
    async with stack.owner.transaction():
        await stack.owner.execute("lock table core.consent in exclusive mode")
        with pytest.raises(TimeoutError):
            await stack.ask(RECORD, given(stack), "restricted", seconds=0.5)
        await asyncio.sleep(1.0)
    await asyncio.sleep(0.3)
    assert await consents(stack) == before


# Registered documents ----------------------------------------------------------------------------------------------


async def persisted(stack: Stack, given: Any, view: str | None = "restricted", **more: Any) -> Reply:
    body = {"extensions": {"persistedQuery": given}, **more}
    headers = {"accept": GRAPHQL, "content-type": "application/json"}
    if view:
        headers["authorization"] = f"Bearer {stack.tokens[view]}"
    return await stack.send("POST", json.dumps(body).encode(), headers)


async def test_a_peers_document_by_its_hash(stack: Stack) -> None:
    usccs = stack.enterprises()[:3]
    reply = await persisted(stack, PEER, variables={"usccs": usccs})
    assert [subject["uscc"] for subject in reply.data["subjects"]] == usccs
    text = shipped().find(PEER["sha256Hash"])
    whole = await persisted(stack, PEER, query=text, variables={"usccs": usccs})
    assert [subject["name"] for subject in whole.data["subjects"]] == [s["name"] for s in reply.data["subjects"]]
    row = await stack.owner.fetchrow(
        "select document_hash from ledger.disclosure where case_number = $1 order by at desc limit 1", CASE
    )
    assert row["document_hash"].hex() == PEER["sha256Hash"]


async def test_hashes_that_find_nothing(stack: Stack) -> None:
    unknown = PEER | {"sha256Hash": "0" * 64}
    reply = await persisted(stack, unknown)
    assert (reply.status, reply.code) == (400, "PERSISTED_DOCUMENT_NOT_FOUND")
    text = "{ viewer { view } }"
    mine = {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}
    assert (await persisted(stack, mine, None, query=text)).data == {"viewer": {"view": "PUBLIC"}}
    unkept = await persisted(stack, mine, None)
    assert unkept.code == "PERSISTED_DOCUMENT_NOT_FOUND"  # without a token nobody registers by asking
    for wrong in (
        PEER | {"version": 2},
        PEER | {"version": True},
        PEER | {"sha256Hash": PEER["sha256Hash"].upper()},
        PEER | {"sha256Hash": "0" * 63},
        {"version": 1},
        "x",
        None,
    ):
        reply = await persisted(stack, wrong)
        assert (reply.status, reply.code) == (400, "BAD_USER_INPUT"), wrong
    assert (await persisted(stack, mine, query=text + " ")).code == "BAD_USER_INPUT"
    get = f"?extensions={quote(json.dumps({'persistedQuery': unknown}))}"
    reply = await stack.send("GET", None, {"accept": GRAPHQL}, get)
    assert (reply.status, reply.code) == (400, "PERSISTED_DOCUMENT_NOT_FOUND")
    get = f"?extensions={quote(json.dumps({'persistedQuery': PEER}))}"
    reply = await stack.send("GET", None, {"accept": GRAPHQL}, get)  # it is no document of the public's
    assert (reply.status, reply.code) == (400, "GRAPHQL_VALIDATION_FAILED")


# Credit-Deadline-Ms -------------------------------------------------------------------------------------------------


async def test_a_deadline_bounds_the_courts_and_the_database(stack: Stack) -> None:
    query = "query ($u: Uscc!) { subject(uscc: $u) { name courts { judgments { caseNumber } answer { status } } } }"
    fresh = iter(stack.enterprises()[5:])
    soon = {"credit-deadline-ms": "60000"}
    reply = await stack.ask(query, {"u": next(fresh)}, "restricted", headers=soon)
    assert reply.data["subject"]["courts"]["answer"]["status"] == "ANSWERED"
    await stack.courts.fault("black_hole")
    try:
        for _ in range(5):  # a machine that pauses may have no time left for the database
            reply = await stack.ask(query, {"u": next(fresh)}, "restricted", headers={"credit-deadline-ms": "600"})
            if reply.status == 200:
                break
    finally:
        await stack.courts.heal()
    assert reply.data["subject"]["courts"]["answer"]["status"] in ("UNAVAILABLE", "NOT_CONSULTED")
    assert reply.seconds < 1.0
    async with stack.owner.transaction():
        await stack.owner.execute("lock table core.consent in access exclusive mode")
        began = time.monotonic()
        listed = "{ viewer { consents { totalCount } } }"
        reply = await stack.ask(listed, view="restricted", headers={"credit-deadline-ms": "300"})
        took = time.monotonic() - began
    assert (reply.status, reply.code) == (503, "STORAGE_UNAVAILABLE")
    assert took > 0.2
    assert reply.seconds < 1.0
