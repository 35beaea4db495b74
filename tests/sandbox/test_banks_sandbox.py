"""The sandbox keeps the banks' wire contract: tokens, keys, consents, answers that come later, each of its faults."""

import re
import uuid
from typing import Any

import pytest
from banks_sandbox_client import GIVEN, GRANTEE, KNOWN, LATER, NOBODY, SECRET, BanksClient, consent
from courts_sandbox_client import Clock

from sandbox.banks import Banks
from sandbox.banks_answers import ANSWER_FAULTS
from sandbox.banks_data import CLASSIFICATIONS, EVENTS, GivenSummaries, SyntheticSummaries
from sandbox.server import Running
from sandbox.subjects import make_uscc

KEY = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
AMOUNT = re.compile(r"-?\d+(\.\d+)?")


async def test_token_by_client_secret_basic_form_encoded(banks_client: BanksClient) -> None:
    reply = await banks_client.fetch_token()
    assert (reply.status, reply.json["token_type"], reply.json["expires_in"]) == (200, "Bearer", 300)
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("pair", "form", "status", "error"),
    [
        (f"gw-bortala-test:{SECRET}", {}, 401, "invalid_client"),  # not form-encoded
        ("gw-bortala-test:wrong", {}, 401, "invalid_client"),
        ("gw-other:Bk7%2Bdev%3Asecret%2F9%25x", {}, 401, "invalid_client"),
        ("gw-bortala-test", {}, 401, "invalid_client"),
        (None, {"grant_type": "password"}, 400, "unsupported_grant_type"),
        (None, {"client_secret": SECRET}, 400, "invalid_request"),
    ],
)
async def test_token_refused(
    banks_client: BanksClient, pair: str | None, form: dict[str, str], status: int, error: str
) -> None:
    reply = await banks_client.fetch_token(pair=pair, **form)
    assert (reply.status, reply.json["error"]) == (status, error)


async def test_token_ends(banks_client: BanksClient, clock: Clock) -> None:
    assert (await banks_client.ask(KNOWN)).status == 200
    clock.now += 300
    assert (await banks_client.ask(KNOWN)).status == 401
    await banks_client.fetch_token()
    assert (await banks_client.ask(KNOWN)).status == 200


async def test_summary(banks_client: BanksClient) -> None:
    reply = await banks_client.ask(KNOWN, KEY)
    given = GIVEN[KNOWN]["summary"]
    clean = {"overdueBalance": "0.00", "overdueDays": 0, "guaranteeBalance": "0.00"}
    assert (reply.status, reply.json) == (
        200,
        {"requestId": KEY, "uscc": KNOWN, "asOf": "2025-12-31T08:00:00+08:00", "summary": clean | given},
    )


@pytest.mark.parametrize("key", ["", "no-uuid"])
async def test_without_a_key_that_is_one(banks_client: BanksClient, key: str) -> None:
    assert (await banks_client.ask(KNOWN, key)).status == 400


@pytest.mark.parametrize(
    "changes", [{"requestId": str(uuid.UUID(int=1))}, {"uscc": KNOWN[:17] + "?"}, {"uscc": None}, {"uscc": [KNOWN]}]
)
async def test_bad_body(banks_client: BanksClient, changes: dict[str, Any]) -> None:
    assert (await banks_client.ask(**({"uscc": KNOWN, "key": KEY} | changes))).status == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"documentSha256": "AB" * 32},
        {"documentSha256": "ab" * 31},
        {"purpose": ""},
        {"grantee": GRANTEE[:-1]},
        {"validTo": "2025-12-31"},
        {"validTo": "2026-02-30"},
        {"validTo": "20270101"},
        {"validTo": None},
    ],
)
async def test_consent_rejected(banks_client: BanksClient, wrong: dict[str, Any]) -> None:
    reply = await banks_client.ask(KNOWN, consent=consent(**wrong))
    assert (reply.status, reply.json["error"]) == (403, "consent_rejected")
    assert reply.json["reason"]


async def test_no_consent_at_all(banks_client: BanksClient) -> None:
    assert (await banks_client.ask(KNOWN, consent=None)).status == 403


async def test_consent_is_checked_at_every_call(banks_client: BanksClient, clock: Clock, banks: Running[Banks]) -> None:
    assert (await banks_client.ask(KNOWN, KEY)).status == 200
    banks.upstream.rejected_consents.add("consent-1")
    assert (await banks_client.ask(KNOWN, KEY)).status == 403
    assert (await banks_client.poll(KEY)).status == 403
    banks.upstream.rejected_consents.clear()
    assert (await banks_client.poll(KEY)).status == 200
    clock.now += 16 * 3600  # midnight in Shanghai: the clock began at 8
    await banks_client.fetch_token()
    assert (await banks_client.ask(KNOWN, KEY)).status == 403
    assert (await banks_client.poll(KEY)).status == 403


async def test_the_same_key_and_body_is_the_same_request(banks_client: BanksClient, banks: Running[Banks]) -> None:
    first = await banks_client.ask(KNOWN, KEY)
    banks.upstream.data = GivenSummaries({KNOWN: {"summary": {"loanBalance": "2.00"}}})
    body = {"consent": dict(reversed(consent().items())), "uscc": KNOWN, "requestId": KEY}
    again = await banks_client.post(body, {"Idempotency-Key": KEY})
    assert (again.status, again.json) == (200, first.json)
    assert (await banks_client.ask(KNOWN)).json["summary"]["loanBalance"] == "2.00"


async def test_the_same_key_and_another_body_is_a_conflict(banks_client: BanksClient) -> None:
    assert (await banks_client.ask(NOBODY, KEY, extra=1)).status == 404
    for changes in ({"extra": True}, {"extra": 1, "uscc": KNOWN}, {}):
        assert (await banks_client.ask(**({"uscc": NOBODY, "key": KEY} | changes))).status == 409
    assert (await banks_client.ask(NOBODY, KEY, extra=1)).status == 404


async def test_a_refused_request_leaves_its_key_free(banks_client: BanksClient) -> None:
    assert (await banks_client.ask(KNOWN, KEY, consent=consent(validTo="2020-01-01"))).status == 403
    assert (await banks_client.ask(KNOWN, KEY)).status == 200


async def test_a_subject_whose_answer_comes_later(banks_client: BanksClient, clock: Clock) -> None:
    first = await banks_client.ask(LATER, KEY)
    assert (first.status, first.json) == (202, {"requestId": KEY, "status": "pending"})
    assert first.headers["Retry-After"] == "1"
    clock.now += 4
    assert (await banks_client.poll(KEY)).status == 202
    ready = await banks_client.poll(KEY)
    assert (ready.status, ready.json["requestId"], ready.json["summary"]["loanBalance"]) == (200, KEY, "1.00")
    assert (await banks_client.ask(LATER, KEY)).json == ready.json


async def test_pending_on_request(banks_client: BanksClient, clock: Clock) -> None:
    await banks_client.fault("pending", "summaries", times=1, polls=2, retry_after=7)
    assert (await banks_client.ask(KNOWN, KEY)).headers["Retry-After"] == "7"
    assert [(await banks_client.poll(KEY)).status for _ in range(3)] == [202, 202, 200]
    await banks_client.fault("pending", "summaries", times=1, seconds=5)
    key = str(uuid.uuid4())
    assert (await banks_client.ask(KNOWN, key)).status == 202
    clock.now += 4.9
    assert (await banks_client.ask(KNOWN, key)).status == 202
    clock.now += 0.1
    assert (await banks_client.ask(KNOWN, key)).status == 200


async def test_what_is_unknown(banks_client: BanksClient) -> None:
    reply = await banks_client.ask(NOBODY)
    assert (reply.status, reply.json) == (404, {"error": "unknown_subject"})
    reply = await banks_client.poll(KEY)
    assert (reply.status, reply.json) == (404, {"error": "unknown_request"})


async def test_no_token_no_answer(banks_client: BanksClient) -> None:
    banks_client.token = "made-up"
    for reply in (await banks_client.ask(KNOWN), await banks_client.poll(KEY)):
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_calls_are_recorded_without_secrets(banks_client: BanksClient, clock: Clock) -> None:
    await banks_client.ask(LATER, KEY)
    await banks_client.poll(KEY)
    calls = await banks_client.calls()
    at = int(clock.now * 1000)
    more = {"request_id": KEY, "consent_id": "consent-1", "purpose": "GRANT", "grantee": GRANTEE}
    assert calls == [
        {"service": "token", "uscc": None, "page": None, "at": at},
        {"service": "summaries", "uscc": LATER, "page": None, "at": at, **more},
        {"service": "poll", "uscc": LATER, "page": None, "at": at, "request_id": KEY},
    ]
    assert banks_client.token not in str(calls)


FALSE = {
    "wrong_request_id": lambda json: json["requestId"] != KEY,
    "foreign_uscc": lambda json: json["uscc"] != KNOWN,
    "unknown_classification": lambda json: json["summary"]["classification"] not in CLASSIFICATIONS,
    "unknown_unit": lambda json: json["summary"]["unit"] not in ("元", "万元"),
    "unknown_event": lambda json: any(event["kind"] not in EVENTS for event in json["summary"]["events"]),
    "bad_amount": lambda json: not AMOUNT.fullmatch(json["summary"]["overdueBalance"]),
    "bad_date": lambda json: "2017-13-45" in str(json["summary"]["events"]),
    "missing_key": lambda json: "loanBalance" not in json["summary"],
    "wrong_type": lambda json: isinstance(json["summary"]["overdueDays"], dict),
}


@pytest.mark.parametrize("name", FALSE)
async def test_false_answers(banks_client: BanksClient, name: str) -> None:
    assert not FALSE[name]((await banks_client.ask(KNOWN, KEY)).json)
    await banks_client.fault(name, times=2)
    for reply in (await banks_client.ask(KNOWN, KEY), await banks_client.poll(KEY)):
        assert reply.status == 200
        assert FALSE[name](reply.json)
    assert not FALSE[name]((await banks_client.poll(KEY)).json)
    await banks_client.fault(name, "summaries")  # about a subject that has no summary, too
    assert FALSE[name]((await banks_client.ask(NOBODY)).json)


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("token_refused", 401, "invalid_token"),
        ("consent_rejected", 403, "consent_rejected"),
        ("unknown_subject", 404, "unknown_subject"),
        ("unknown_error", 404, "unknown_branch"),
    ],
)
async def test_refusals_on_request(banks_client: BanksClient, name: str, status: int, error: str) -> None:
    await banks_client.ask(KNOWN, KEY)
    for service, call in (("summaries", banks_client.ask(KNOWN, KEY)), ("poll", banks_client.poll(KEY))):
        await banks_client.fetch_token()
        await banks_client.fault(name, service, times=1)
        reply = await call
        assert (reply.status, reply.json["error"]) == (status, error)


async def test_more_refusals_on_request(banks_client: BanksClient) -> None:
    await banks_client.fault("conflict", times=1)
    assert (await banks_client.ask(KNOWN)).status == 409
    await banks_client.fault("consent_rejected", times=1, text="MARK-7")
    assert (await banks_client.ask(KNOWN)).json["reason"] == "MARK-7"
    await banks_client.fault("pending_other", times=1)
    reply = await banks_client.ask(KNOWN, KEY)
    assert (reply.status, reply.json["requestId"] == KEY) == (202, False)
    await banks_client.fault("missing_key", times=1, key="summary")
    assert "summary" not in (await banks_client.ask(KNOWN)).json
    await banks_client.fault("bad_amount", times=1, key="loanBalance", text="1e3")
    assert (await banks_client.ask(KNOWN)).json["summary"]["loanBalance"] == "1e3"


async def test_a_token_refused_on_request_stays_refused(banks_client: BanksClient) -> None:
    await banks_client.fetch_token()
    await banks_client.fault("token_refused", "summaries", times=1)
    assert [(await banks_client.ask(KNOWN)).status for _ in range(2)] == [401, 401]
    await banks_client.fetch_token()
    assert (await banks_client.ask(KNOWN)).status == 200


async def test_a_lost_request_is_asked_anew(banks_client: BanksClient) -> None:
    await banks_client.fault("lost_request", "summaries", times=1)
    assert (await banks_client.ask(KNOWN, KEY)).status == 202
    assert (await banks_client.poll(KEY)).json == {"error": "unknown_request"}
    assert (await banks_client.ask(KNOWN, KEY)).status == 200
    await banks_client.fault("lost_request", "poll", times=1)
    assert [(await banks_client.poll(KEY)).status for _ in range(2)] == [404, 404]
    assert (await banks_client.ask(KNOWN, KEY)).status == 200


async def test_a_fault_of_one_subject_reaches_its_polls(banks_client: BanksClient) -> None:
    await banks_client.fault("bad_amount", "poll", uscc=LATER)
    await banks_client.ask(KNOWN, KEY)
    assert (await banks_client.poll(KEY)).json["summary"]["overdueBalance"] == "0.00"


async def test_faults_of_the_token(banks_client: BanksClient) -> None:
    for name, wrong in (
        ("token_refused", lambda json: json["error"] == "invalid_client"),
        ("wrong_token_type", lambda json: json["token_type"] == "DPoP"),
        ("missing_key", lambda json: "access_token" not in json),
        ("wrong_type", lambda json: isinstance(json["expires_in"], dict)),
    ):
        await banks_client.fault(name, "token", times=1)
        assert wrong((await banks_client.fetch_token()).json), name


def test_every_fault_is_tried_here() -> None:
    tried = {*FALSE, "token_refused", "consent_rejected", "unknown_subject", "unknown_error", "conflict"}
    assert set(ANSWER_FAULTS) == tried | {"pending", "pending_other", "lost_request", "wrong_token_type"}


def test_made_up_summaries_are_the_same_every_time_and_hold() -> None:
    firms = {make_uscc("91", "652799", serial): f"示例公司{serial}" for serial in range(1000)}
    organ = make_uscc("11", "652799", 1)
    data, again = SyntheticSummaries(firms | {organ: "样例局"}), SyntheticSummaries(firms)
    known = {uscc: found for uscc in firms if (found := data.of(uscc)) is not None}
    assert 600 < len(known) < 800
    assert data.of(organ) is None
    assert SyntheticSummaries(firms, "2").of(next(iter(known))) != known[next(iter(known))]
    for uscc, found in known.items():
        assert again.of(uscc) == found
        summary = found.summary or {}
        amounts = [summary[name] for name in ("loanBalance", "overdueBalance", "guaranteeBalance")]
        assert all(AMOUNT.fullmatch(amount) for amount in [*amounts, *(e["amount"] for e in summary["events"])])
        assert summary["classification"] in CLASSIFICATIONS
        assert {event["kind"] for event in summary["events"]} <= set(EVENTS)


@pytest.mark.parametrize(
    "wrong",
    [{"x": {"summary": {}}}, {KNOWN: {}}, {KNOWN: {"summary": []}}, {KNOWN: {"summary": {}, "pending": {"x": 1}}}],
)
def test_given_summaries_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"USCC|expected|objects|pending"):
        GivenSummaries(wrong)
