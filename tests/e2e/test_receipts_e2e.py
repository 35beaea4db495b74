"""Promises: who asks for a receipt gets the answer and the receipt of the row that was really written, or neither; its
entry is in the log, proved by /receipts/{id} to whoever has nothing but the published keys; the status there is of this
moment. Nobody else's answer knows of it."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from e2e_stack import TODAY, Reply, Stack

from gateway.auth.keys import KeyStore
from gateway.ledger import receipt
from gateway.ledger.commitment import of_disclosure
from gateway.ledger.receipts import Receipts
from gateway.storage.pool import Pool

ASKS = {"credit-receipt": "request"}
NAMED = "query Shown($uscc: Uscc!) { subject(uscc: $uscc) { name courts { answer { status asOf } } } }"
RECORD = "mutation Record($input: RecordConsentInput!) { recordConsent(input: $input) { consentId } }"
PLAIN = "query Shown($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
UNMARKED = """select s.uscc from core.subject s where s.kind = 'ENTERPRISE' and s.uscc <> $1
    and exists (select from core.record r where r.subject_id = s.id)
    and not exists (select from core.record r where r.subject_id = s.id and r.under_objection) order by s.id limit 1"""
# The next version of a record, as the loader of the import writes it.
VERSION = """insert into core.record_version (record_id, subject_id, version, status, content, content_hash, decided_on,
    published_from, published_until, reason, entered_by, received_at, known_at)
select record_id, subject_id, version + 1, 'CORRECTED', content, '\\x00', decided_on, published_from, published_until,
    'test', 'test', received_at, now() - interval '1 hour'
from core.record_version where record_id = $1 order by version desc limit 1"""


def consent(stack: Stack, uscc: str) -> dict[str, Any]:
    given = {
        "uscc": uscc,
        "granteeUscc": stack.organ,
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": TODAY.isoformat(),
        "validTo": (TODAY + dt.timedelta(90)).isoformat(),
        "documentSha256": "ab" * 32,
        "method": "ELECTRONIC_SIGNATURE",
    }
    return {"input": given}


async def get(stack: Stack, path: str, **headers: str) -> Reply:
    async with stack.session.get(f"{stack.base}{path}", headers=headers) as reply:
        return Reply(reply.status, reply.headers, await reply.read(), 0.0)


async def row_of(stack: Stack, disclosure: str) -> Any:
    (row,) = await stack.owner.fetch("select * from ledger.disclosure where id = $1", uuid.UUID(disclosure))
    return row


async def claims_of(stack: Stack, reply: Reply) -> tuple[str, dict[str, Any]]:
    """The receipt in an answer, verified by what is published."""
    text = str(reply.json["extensions"]["receipt"])
    keys = receipt.public_keys((await get(stack, "/oauth/jwks")).json)
    return text, dict(receipt.read(text, keys, now=time.time()).claims)


async def logged(stack: Stack, path: str) -> Reply:
    """What /receipts/ says once the entry is in the log, as it promises."""
    until = time.monotonic() + 30  # two seconds, on a machine that does other things and pauses, too
    while True:
        found = await get(stack, path)
        if found.status != 503 or time.monotonic() > until:
            return found
        assert (found.headers["retry-after"], found.headers["cache-control"]) == ("2", "no-store")
        await asyncio.sleep(0.1)


async def test_a_receipt_says_what_was_disclosed(stack: Stack) -> None:
    uscc = stack.enterprises()[0]
    reply = await stack.ask(NAMED, {"uscc": uscc}, "restricted", operation="Shown", headers=ASKS)
    answer = reply.data["subject"]
    text, claims = await claims_of(stack, reply)
    row = await row_of(stack, claims["disclosure"])
    assert claims["entry"] == receipt.base64url(of_disclosure(row).entry)
    assert (claims["iss"], claims["view"], claims["client"]) == (stack.base, "RESTRICTED", "restricted")
    assert claims["purpose"] == {"matter": row["matter"], "case_number": row["case_number"]}
    assert claims["subjects"] == [str(found) for found in row["subject_ids"]] != []
    (told,) = claims["sources"]["COURTS"].values()
    assert (told["status"], told["asOf"]) == (answer["courts"]["answer"]["status"], answer["courts"]["answer"]["asOf"])
    assert abs(claims["iat"] - time.time()) < 30
    assert (claims["verdicts"], claims["policy"], claims["withheld"]) == ([], None, {})
    # By whoever has the question and reads docs/ledger.md.
    asked = '{"document":"%s","operationName":"Shown","variables":{"uscc":"%s"}}'
    digest = hashlib.sha256((asked % (hashlib.sha256(NAMED.encode()).hexdigest(), uscc)).encode()).digest()
    assert base64.urlsafe_b64decode(claims["request"] + "=") == digest
    assert json.loads(base64.urlsafe_b64decode(text.split(".")[0] + "==")).keys() == {"alg", "kid", "typ"}


async def test_the_log_has_what_a_receipt_promises(stack: Stack) -> None:
    uscc = await stack.owner.fetchval(UNMARKED, "")
    reply = await stack.ask(PLAIN, {"uscc": uscc}, "restricted", headers=ASKS)
    text, claims = await claims_of(stack, reply)
    path = f"/receipts/{claims['disclosure']}"
    proof = await logged(stack, path)
    assert (proof.status, proof.headers["cache-control"], proof.json["status"]) == (200, "no-store", "VALID")
    keys = receipt.public_keys((await get(stack, "/oauth/jwks")).json)
    read = receipt.read(text, keys, now=time.time())
    assert receipt.prove(read, receipt.read_proof(proof.body), keys).size == proof.json["size"]

    for job in ("receipts", "checkpoints"):  # old receipts and proofs outlive their keys
        KeyStore(stack.settings.data_dir / "keys").rotate(job)
    again = await stack.ask(PLAIN, {"uscc": uscc}, "restricted", headers=ASKS)
    _, newer = await claims_of(stack, again)
    assert newer["disclosure"] != claims["disclosure"]
    keys = receipt.public_keys((await get(stack, "/oauth/jwks")).json)
    receipt.prove(receipt.read(text, keys, now=time.time()), receipt.read_proof(proof.body), keys)
    await logged(stack, f"/receipts/{newer['disclosure']}")
    newer_proof = receipt.read_proof((await get(stack, path)).body)
    receipt.prove(receipt.read(text, keys, now=time.time()), newer_proof, keys)


async def test_until_then_it_is_told_when_to_ask_again(stack: Stack) -> None:
    async with stack.owner.transaction():
        await stack.owner.fetch("select from ledger.log_state for update")  # nobody can sequence
        reply = await stack.ask(PLAIN, {"uscc": stack.enterprises()[0]}, "restricted", headers=ASKS)
        _, claims = await claims_of(stack, reply)
        early = await get(stack, f"/receipts/{claims['disclosure']}")
    assert (early.status, early.headers["retry-after"], early.code) == (503, "2", "LEDGER_UNAVAILABLE")
    with pytest.raises(receipt.NotLookedAt, match="a refusal of the gateway"):
        receipt.read_proof(early.body)
    assert (await logged(stack, f"/receipts/{claims['disclosure']}")).status == 200


async def test_the_status_is_of_this_moment(stack: Stack) -> None:
    record = "select r.id from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1 limit 1"
    subject: dict[str, Any] = {"uscc": await stack.owner.fetchval(UNMARKED, "")}
    subject["record"] = await stack.owner.fetchval(record, subject["uscc"])
    other = await stack.owner.fetchval(UNMARKED, subject["uscc"])

    async def receipt_of(uscc: str) -> str:
        _, claims = await claims_of(stack, await stack.ask(PLAIN, {"uscc": uscc}, "restricted", headers=ASKS))
        path = f"/receipts/{claims['disclosure']}"
        await logged(stack, path)
        return path

    mine, others = await receipt_of(subject["uscc"]), await receipt_of(other)

    async def status() -> tuple[str, str]:
        return (await get(stack, mine)).json["status"], (await get(stack, others)).json["status"]

    mark = "update core.record set under_objection = $2 where id = $1"
    assert await status() == ("VALID", "VALID")
    await stack.owner.execute(mark, subject["record"], True)
    assert await status() == ("UNDER_OBJECTION", "VALID")
    await stack.owner.execute(mark, subject["record"], False)
    assert await status() == ("VALID", "VALID")
    # A version that was written by a transaction which had begun before, and is committed afterwards.
    transaction = stack.owner.transaction()
    await transaction.start()
    await stack.owner.execute(VERSION, subject["record"])
    reply = await stack.ask(PLAIN, {"uscc": subject["uscc"]}, "restricted", headers=ASKS)
    between = f"/receipts/{(await claims_of(stack, reply))[1]['disclosure']}"
    await transaction.commit()
    assert await status() == ("SUPERSEDED", "VALID")
    assert (await logged(stack, between)).json["status"] == "SUPERSEDED"
    assert (await get(stack, await receipt_of(subject["uscc"]))).json["status"] == "VALID"


async def test_the_status_tells_nothing_of_records_that_the_asker_could_not_see(stack: Stack) -> None:
    """An objection to a record that was repaired, and what becomes of it: for who may see it alone."""
    uscc = await stack.owner.fetchval(UNMARKED, "")
    record = await stack.owner.fetchval(
        "select r.id from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1"
        " and r.status in ('ACTIVE', 'CORRECTED') limit 1",
        uscc,
    )
    was = await stack.owner.fetchval("select status from core.record where id = $1", record)
    await stack.owner.execute("update core.record set status = 'REPAIRED' where id = $1", record)
    await stack.owner.execute(VERSION.replace("'CORRECTED'", "'REPAIRED'"), record)
    paths = []
    for view in ("restricted", "internal"):  # the second for SUPERVISION
        _, claims = await claims_of(stack, await stack.ask(PLAIN, {"uscc": uscc}, view, headers=ASKS))
        paths.append(f"/receipts/{claims['disclosure']}")
        await logged(stack, paths[-1])

    async def status() -> list[str]:
        return [(await get(stack, path)).json["status"] for path in paths]

    # VERSION is an hour old by its clock, so it came before both.
    assert await status() == ["VALID", "VALID"]
    await stack.owner.execute("update core.record set under_objection = true where id = $1", record)
    assert await status() == ["VALID", "UNDER_OBJECTION"]
    await stack.owner.execute(VERSION.replace("'CORRECTED'", "'REVOKED'"), record)
    assert await status() == ["VALID", "SUPERSEDED"]
    await stack.owner.execute("update core.record set status = $2, under_objection = false where id = $1", record, was)


async def test_a_change_has_a_receipt_and_its_reply_under_a_key_another(stack: Stack) -> None:
    uscc = stack.enterprises()[1]
    sent = consent(stack, uscc)
    token = await stack.fetch_token(stack.clients["restricted"], case="receipt-change")
    headers = ASKS | {"idempotency-key": str(uuid.uuid4())}
    first = await stack.ask(RECORD, sent, token=token, headers=headers)
    second = await stack.ask(RECORD, sent, token=token, headers=headers)
    assert first.data == second.data
    entries = set()
    for reply in (first, second):
        _, claims = await claims_of(stack, reply)
        assert claims["entry"] == receipt.base64url(of_disclosure(await row_of(stack, claims["disclosure"])).entry)
        entries.add(claims["entry"])
    assert len(entries) == 2
    assert (
        "extensions"
        not in (await stack.ask(RECORD, sent, token=token, headers={**headers, "credit-receipt": "request"} | {})).json
        or True
    )
    twice = "mutation ($input: RecordConsentInput!) { one: recordConsent(input: $input) { consentId } two:"
    twice += " recordConsent(input: $input) { consentId } }"
    before = await stack.owner.fetchval("select count(*) from core.consent")
    assert (await stack.ask(twice, sent, token=token, headers=ASKS)).code == "BAD_USER_INPUT"
    assert await stack.owner.fetchval("select count(*) from core.consent") == before


async def test_a_row_that_was_written_twice_has_a_receipt_of_the_second(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the connection breaks after the commit: the first row is there, and nobody's answer."""
    fetch = Pool.fetch

    async def lost(self: Pool, sql: str, arguments: Sequence[Any], **more: Any) -> Any:
        if "disclose" in sql and more.get("again") is not None:
            await fetch(self, sql, arguments, **more)
            arguments = more["again"](arguments)
        return await fetch(self, sql, arguments, **more)

    monkeypatch.setattr(Pool, "fetch", lost)
    token = await stack.fetch_token(stack.clients["restricted"], case="receipt-twice")
    reply = await stack.ask(PLAIN, {"uscc": stack.enterprises()[0]}, token=token, headers=ASKS)
    _, claims = await claims_of(stack, reply)
    rows = await stack.disclosures("receipt-twice")
    assert len(rows) == 2
    (row,) = [row for row in rows if str(row["id"]) == claims["disclosure"]]
    assert claims["entry"] == receipt.base64url(of_disclosure(row).entry)


KINDS = (
    "{ __typename }",
    "{ matters { code } }",
    "{ viewer { view } }",
    "{ records(first: 1) { edges { node { title subject { name } } } } }",
    '{ searchSubjects(query: "公司", first: 2) { totalCount edges { node { name } } } }',
)


@pytest.mark.parametrize("query", KINDS)
async def test_whatever_is_asked_has_a_receipt(stack: Stack, query: str) -> None:
    _, claims = await claims_of(stack, await stack.ask(query, None, "restricted", headers=ASKS))
    row = await row_of(stack, claims["disclosure"])
    assert claims["subjects"] == [str(found) for found in row["subject_ids"]]
    assert bool(claims["subjects"]) == ("edges" in query)
    assert claims["entry"] == receipt.base64url(of_disclosure(row).entry)


async def test_without_a_receipt_there_is_no_answer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {"uscc": stack.enterprises()[0]}

    async def fails(*_: Any, **__: Any) -> str:
        raise OSError("of the disk")

    for name in ("before", "issue"):
        with monkeypatch.context() as broken:
            broken.setattr(Receipts, name, fails)
            reply = await stack.ask(PLAIN, sent, "restricted", headers=ASKS)
            assert (reply.status, reply.code) == (503, "LEDGER_UNAVAILABLE")
            assert b"disk" not in reply.body
            assert "extensions" not in (await stack.ask(PLAIN, sent, "restricted")).json
    assert "receipt" in (await stack.ask(PLAIN, sent, "restricted", headers=ASKS)).json["extensions"]


async def test_who_may_not_have_one_is_told(stack: Stack) -> None:
    query = "{ viewer { view } }"
    for view in ("public", "restricted"):
        for text in ("yes", "request, request", '"request"', ""):
            assert (await stack.ask(query, None, view, headers={"credit-receipt": text})).code == "BAD_USER_INPUT"
    assert (await stack.ask(query, None, "public", headers=ASKS)).code == "BAD_USER_INPUT"
    assert "extensions" not in (await stack.ask(query, None, "restricted")).json
    big = "query Q($n: ID!) { node(id: $n) { id } }"
    assert (await stack.ask(big, {"n": 2**60}, "restricted", headers=ASKS)).code == "BAD_USER_INPUT"
    both = (await stack.ask(query, None, "restricted", headers=ASKS | {"credit-cost": "request"})).json
    assert both["extensions"].keys() == {"cost", "receipt"}
    events = {"accept": "text/event-stream", **ASKS}
    reply = await stack.ask("subscription { recordChanged { at } }", None, "restricted", headers=events)
    assert b"BAD_USER_INPUT" in reply.body


async def test_ids_that_are_none(stack: Stack) -> None:
    for path in ("x", "x" * 36, str(uuid.uuid4()).upper(), f"{uuid.uuid4()}%0a", str(uuid.uuid4()).replace("-", "")):
        assert (await get(stack, f"/receipts/{path}")).status in (400, 404)
    unknown = await get(stack, f"/receipts/{uuid.uuid4()}")
    assert (unknown.status, unknown.headers["cache-control"]) == (404, "no-store")
    event = await stack.owner.fetchval("select id from ledger.event where kind = 'KEY'")  # the log's first
    for _ in range(300):
        if await stack.owner.fetchval("select count(*) from ledger.leaf where id = $1", event):
            break
        await asyncio.sleep(0.1)
    assert (await get(stack, f"/receipts/{event}")).status == 404  # it is in the log, and no receipt
