"""Promises: a peer's records come whole or it is told how they failed, never a part of them; a token serves one matter
and case alone; no key or token in a failure or repr.

Against the hostile peer of hostile_peer.py; a test sets `reply`, `page` or `token` to what it wants to go wrong. Time
limits are real, so they are kept short.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hostile import (
    GZIP,
    PATIENCE,
    SOON,
    Fault,
    Handler,
    K,
    allocating,
    bomb,
    lasting,
    returns,
    silent,
    trickle,
    wire_faults,
)
from hostile_peer import (
    ORGANISATION,
    PEM,
    PURPOSE,
    RECORD,
    USCC,
    Asker,
    Peer,
    each,
    errors,
    numbered,
    off_record,
    paged,
    records,
    subject,
)

from connectors.base import Answer, Failure, FailureKind, Purpose
from connectors.peer_region import PAGE_DOCUMENT, SUBJECTS_DOCUMENT, PeerSettings
from tests.storage.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT.parent / "shared" / "contract"

# ---- documents, tokens, headers


@pytest.mark.skipif(not CONTRACT.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize("name", ["peer.graphql", "peer-page.graphql"])
def test_documents_are_the_contract_s_byte_for_byte(name: str) -> None:
    assert (ROOT / "connectors" / "documents" / name).read_bytes() == (CONTRACT / name).read_bytes()


def test_hashes_are_of_the_shipped_bytes() -> None:
    for name, sha256 in [("peer.graphql", SUBJECTS_DOCUMENT), ("peer-page.graphql", PAGE_DOCUMENT)]:
        content = (ROOT / "connectors" / "documents" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256


async def test_a_token_is_for_one_matter_and_case(peer: Peer, asker: Asker) -> None:
    purposes = [PURPOSE, Purpose("GRANT", "2", ORGANISATION), Purpose("DEBT", "2", ORGANISATION), PURPOSE]
    purposes.append(Purpose("DEBT", "2", USCC))
    for purpose in purposes:
        assert isinstance(await asker.ask(purpose=purpose), Answer)
    assert peer.bearers == ["token-1", "token-2", "token-3", "token-1", "token-4"]
    assert peer.forms[0] == {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "scope": "view:restricted",
        "authorization_details": [
            {
                "type": "credit_purpose", "matter": "GRANT", "case_number": "博州补〔2026〕1号", "max_subjects": 50,
                "on_behalf_of": ORGANISATION,
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize("purpose", [None, Purpose("GRANT", "1"), Purpose("GRANT", "1", "")])
async def test_without_a_purpose_nothing_is_asked(peer: Peer, asker: Asker, purpose: Purpose | None) -> None:
    assert await asker.ask(purpose=purpose) == Failure(K.FORBIDDEN, detail="no purpose was given")
    assert (peer.forms, peer.asked) == ([], [])


async def test_the_time_left_is_told_when_the_request_is_sent(peer: Peer) -> None:
    async def slow(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return await each()(request, asked)

    peer.reply = slow
    asker, began = Asker(peer, concurrency=1), time.monotonic()
    await asker.all([f"{n:018}" for n in range(100)])  # the second batch waits for the first
    took = (time.monotonic() - began) * 1000 + 1
    await asker.connector.close()
    assert len(peer.left) == 2
    assert PATIENCE * 1000 - took <= peer.left[0] <= PATIENCE * 1000
    assert 290 < peer.left[0] - peer.left[1] < took


# ---- pages


async def test_pages_are_followed_to_the_last(peer: Peer, asker: Asker) -> None:
    peer.reply, peer.page = paged(450)
    row = await asker.row()
    assert [record["id"] for record in row["records"]] == [f"r{n}" for n in range(450)]
    assert peer.asked[1:] == [{"uscc": USCC, "after": after} for after in ("100", "200", "300", "400")]
    assert set(peer.bearers) == {"token-1"}


def more(end: int) -> dict[str, Any]:
    return {"hasNextPage": True, "endCursor": str(end)}


@pytest.mark.parametrize(
    ("total", "size", "oddities"),
    [
        (450, 100, {"pageInfo": lambda end: more(100)}),  # the cursor repeats
        (300, 100, {"pageInfo": lambda end: {"hasNextPage": False, "endCursor": None}, "edges": lambda end: []}),
        (450, 100, {"pageInfo": lambda end: {"hasNextPage": False, "endCursor": str(end)}}),
        (450, 100, {"pageInfo": lambda end: {"hasNextPage": True, "endCursor": None}}),
        (450, 100, {"pageInfo": lambda end: {"hasNextPage": True, "endCursor": ""}}),
        (450, 100, {"pageInfo": lambda end: {"hasNextPage": True, "endCursor": "x" * 1001}}),
        (450, 100, {"pageInfo": lambda end: {"hasNextPage": True}}),
        (450, 100, {"edges": lambda end: []}),
        (450, 100, {"edges": lambda end: [{"node": {**RECORD, "id": "r1"}}]}),  # a record repeats
        (450, 100, {"edges": lambda end: [{"node": node} for node in numbered(1000, 101)]}),
        (150, 100, {"edges": lambda end: [{"node": node} for node in numbered(1000, 51)]}),
        (150, 100, {"edges": lambda end: [{"node": node} for node in numbered(1000, 49)]}),
        (150, 100, {"edges": lambda end: [{"node": {**RECORD, "status": "?"}}]}),
        (150, 100, {"edges": lambda end: None}),
    ],
)
async def test_pages_that_do_not_add_up_fail(
    peer: Peer, asker: Asker, total: int, size: int, oddities: dict[str, Any]
) -> None:
    peer.reply, peer.page = paged(total, size, **oddities)
    assert (await asker.failure()).kind is K.MALFORMED
    assert len(peer.asked) <= 3


async def test_a_cursor_that_repeats_fails_though_the_records_are_new(peer: Peer, asker: Asker) -> None:
    async def further(request: web.Request, asked: dict[str, Any]) -> web.Response:
        connection = records(numbered(100 * len(peer.asked), 100), after="100")
        return web.json_response({"data": {"subject": {"records": connection}}})

    peer.reply, peer.page = paged(1000)[0], further
    assert await asker.failure() == Failure(K.MALFORMED, detail="a cursor repeats")
    assert len(peer.asked) == 2


async def test_pages_without_end_are_not_followed(peer: Peer, asker: Asker) -> None:
    peer.reply, peer.page = paged(5001)
    assert (await asker.failure()).kind is K.TOO_LARGE
    assert len(peer.asked) == 1

    async def one_more(request: web.Request, asked: dict[str, Any]) -> web.Response:
        begin = int(asked["after"])
        connection = records(numbered(begin, 100), after=str(begin + 100))
        return web.json_response({"data": {"subject": {"records": connection}}})

    peer.reply, peer.page = paged(250)[0], one_more
    assert (await asker.failure()).kind is K.MALFORMED


async def test_pages_may_not_fill_the_memory(peer: Peer) -> None:
    asker = Asker(peer, max_body_bytes=300_000)
    peer.reply, peer.page = paged(2000)
    assert (await asker.failure()).kind is K.TOO_LARGE
    assert len(peer.asked) < 15
    await asker.connector.close()


async def test_unfinished_pages_are_a_timeout_of_that_subject(peer: Peer, asker: Asker) -> None:
    first, _ = paged(150)

    async def handle(request: web.Request, asked: dict[str, Any]) -> web.Response:
        answer = json.loads((await first(request, asked)).body)  # type: ignore[attr-defined]
        answer["data"]["subjects"][1] = subject(asked["usccs"][1])
        return web.json_response(answer)

    peer.reply, peer.page = handle, silent
    for _ in range(20):
        outcomes = await asker.all(["a", "b"], within=0.4)
        if len(peer.asked) == 2:
            break
        peer.asked.clear()  # the machine paused until the time was over, before a page was asked for
    assert isinstance(outcomes["b"], Answer)
    assert outcomes["a"] == Failure(K.TIMEOUT, detail="deadline")


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (returns({"data": {"subject": None}}), K.FORBIDDEN),
        (returns({"data": {}}), K.MALFORMED),
        (returns({"data": None}), K.MALFORMED),
        (errors("FORBIDDEN", data={"subject": None}), K.FORBIDDEN),
    ],
)
async def test_a_page_that_is_refused_fails_the_subject(
    peer: Peer, asker: Asker, page: Handler, kind: FailureKind
) -> None:
    peer.reply, peer.page = paged(150)[0], page
    assert (await asker.failure()).kind is kind


# ---- faults: none is ever "no record"


GOOD = {"data": {"subjects": [off_record(USCC)]}}
CASES: list[Fault] = [
    *wire_faults(json.dumps(GOOD).encode()),
    (returns(GOOD, status=404), K.REJECTED, None),
    (returns(GOOD, status=400), K.REJECTED, None),
    (returns(GOOD, status=403), K.FORBIDDEN, None),
    (returns(GOOD, status=202), K.MALFORMED, None),
    (returns("<html>", status=400), K.REJECTED, None),
    (returns("<html>", status=403), K.FORBIDDEN, None),
    (errors("PERSISTED_DOCUMENT_NOT_FOUND", status=400), K.REJECTED, None),
    (errors("BAD_USER_INPUT", status=400), K.REJECTED, None),
    (errors("FORBIDDEN", status=403), K.FORBIDDEN, None),
    (errors("MATTER_NOT_GRANTED", status=403), K.FORBIDDEN, None),
    (errors("PURPOSE_REQUIRED", status=400), K.FORBIDDEN, None),
    (errors("RATE_LIMITED", status=429, headers=SOON), K.THROTTLED, 7.0),
    (errors("RATE_LIMITED", headers=SOON), K.THROTTLED, 7.0),
    (errors("STORAGE_UNAVAILABLE", status=503), K.SERVER_ERROR, None),
    (errors("STORAGE_UNAVAILABLE", data=GOOD["data"]), K.SERVER_ERROR, None),
    (errors("LEDGER_UNAVAILABLE"), K.SERVER_ERROR, None),
    (errors("INTERNAL", status=500), K.SERVER_ERROR, None),
    (errors("FORBIDDEN", data=GOOD["data"]), K.FORBIDDEN, None),
    (errors("?", data=GOOD["data"]), K.REJECTED, None),
    (errors(["FORBIDDEN"], data=GOOD["data"]), K.REJECTED, None),
    (errors(data=GOOD["data"]), K.REJECTED, None),
    (returns({**GOOD, "errors": ["?"]}), K.REJECTED, None),
    (returns({**GOOD, "errors": "?"}), K.MALFORMED, None),
    (returns({**GOOD, "errors": False}), K.MALFORMED, None),
    (returns({"data": None}), K.MALFORMED, None),
    (returns({"data": []}), K.MALFORMED, None),
    (returns({"data": {"subjects": None}}), K.MALFORMED, None),
    (returns({"data": {"subjects": []}}), K.MALFORMED, None),
]


@pytest.mark.parametrize(("reply", "kind", "wait"), CASES)
@pytest.mark.parametrize("where", ["reply", "page"])
async def test_faults_are_told_apart(
    peer: Peer, asker: Asker, where: str, reply: Handler, kind: FailureKind, wait: float | None
) -> None:
    peer.reply = paged(150)[0]
    setattr(peer, where, reply)
    failure = await asker.failure()
    assert (failure.kind, failure.retry_after) == (kind, wait)
    assert len(peer.asked) == (1 if where == "reply" else 2)


@pytest.mark.parametrize(
    ("reply", "kind", "wait"),
    [
        *wire_faults(b'{"access_token":"t","token_type":"Bearer","expires_in":9}'),
        (returns({"error": "invalid_authorization_details"}, status=400), K.FORBIDDEN, None),
        (returns({"error": "invalid_client"}, status=401), K.CREDENTIALS, None),
        (returns({"access_token": "t", "token_type": "DPoP", "expires_in": 9}), K.MALFORMED, None),
    ],
)
async def test_faults_of_the_token_endpoint(
    peer: Peer, asker: Asker, reply: Handler, kind: FailureKind, wait: float | None
) -> None:
    peer.token = reply
    failure = await asker.failure()
    assert (failure.kind, failure.retry_after) == (kind, wait)
    assert (len(peer.forms), peer.asked) == (1, [])
    peer.token = None  # a failure isn't kept
    assert isinstance(await asker.ask(), Answer)


@pytest.mark.parametrize(
    "refused", [returns("", status=401), errors("UNAUTHENTICATED", status=401), errors("UNAUTHENTICATED")]
)
async def test_a_refused_token_is_renewed_once(peer: Peer, asker: Asker, refused: Handler) -> None:
    async def once(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        return await (refused if len(peer.asked) == 1 else each())(request, asked)

    peer.reply = once
    assert isinstance(await asker.ask(), Answer)
    assert peer.bearers == ["token-1", "token-2"]
    peer.reply = refused
    assert (await asker.failure()).kind is K.CREDENTIALS
    assert peer.bearers[2:] == ["token-2", "token-3"]


async def test_a_token_is_renewed_before_it_ends(peer: Peer, asker: Asker) -> None:
    for seconds, bearer in [(0, "token-1"), (260, "token-1"), (20, "token-2")]:
        peer.now += timedelta(seconds=seconds)
        assert isinstance(await asker.ask(), Answer)
        assert peer.bearers[-1] == bearer


async def test_a_bomb_does_not_grow_the_memory(peer: Peer, asker: Asker) -> None:
    await asker.ask()
    peer.reply = returns(bomb(500), **GZIP)
    with allocating(less_than=24 << 20):  # the limit of 8 MiB, doubled while the buffer grows
        assert (await asker.failure()).kind is K.TOO_LARGE


async def test_no_server_is_unreachable(peer: Peer, unused_tcp_port: int) -> None:
    peer.url = f"http://127.0.0.1:{unused_tcp_port}"
    asker = Asker(peer)
    assert (await asker.failure()).kind is K.UNREACHABLE
    await asker.connector.close()


@pytest.mark.parametrize("reply", [silent, trickle])
@pytest.mark.parametrize("where", ["reply", "page", "token"])
async def test_the_deadline_holds_within_100_ms(peer: Peer, asker: Asker, where: str, reply: Handler) -> None:
    if where == "page":
        peer.reply = paged(150)[0]
    setattr(peer, where, reply)
    with lasting(0.39, 0.5):
        assert (await asker.failure(within=0.4)).kind is K.TIMEOUT


async def test_the_budget_holds_where_the_deadline_is_later(peer: Peer) -> None:
    asker = Asker(peer, budget=0.3)
    peer.reply = silent
    with lasting(0.0, 0.4):
        assert (await asker.failure(within=5)).kind is K.TIMEOUT
    assert all(left <= 300 for left in peer.left)
    await asker.connector.close()


async def test_after_close_asks_fail_and_nothing_is_sent(peer: Peer, asker: Asker) -> None:
    peer.token = silent
    waiting = asyncio.create_task(asker.failure())
    assert await eventually(lambda: peer.forms)
    await asker.connector.close()
    await asker.connector.close()
    assert (await waiting).kind is K.UNREACHABLE
    assert (await asker.failure()).kind is K.UNREACHABLE
    assert (len(peer.forms), peer.asked) == (1, [])


# ---- secrets and settings


async def test_nothing_secret_is_shown(peer: Peer, asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    connector = asker.connector
    shown = [repr(connector._settings), repr(connector._settings.authentication()), repr(vars(connector))]
    word = "s3cr3t-of-the-body"
    faults = [errors(word), errors("FORBIDDEN", data=word), returns({"data": {"subjects": [{"uscc": word}]}})]
    faults += [
        each(lambda uscc, key=key: subject(uscc, **{key: word})) for key in ("kind", "onRecord", "region", "records")
    ]  # type: ignore[misc]
    for peer.reply in faults:
        shown.append(repr(await asker.failure()))
    peer.reply = each()
    assert isinstance(await asker.ask(), Answer)
    shown += [record.getMessage() + repr(vars(record)) for record in caplog.records if record.name != "aiohttp.access"]
    for secret in (word, "token-1", "PRIVATE KEY", PEM.splitlines()[1]):
        assert secret not in "\n".join(shown)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="signing key") as caught:
        PeerSettings("PEER_659007", "http://peer", "http://peer", "gw", "s3cr3t")
    assert "s3cr3t" not in str(caught.value)


async def test_an_unknown_part_is_a_fault_of_ours(asker: Asker) -> None:
    assert asker.connector.code == "PEER_659007"
    with pytest.raises(ValueError, match="no part"):
        await asker.connector.ask("records", [], PURPOSE, 0.0)
