"""Promises: a peer's subjects come out whole, typed and in the order asked, or it is told how they failed; never a part
of the records, never another's; a token serves one matter and case alone; no key or token in a failure or repr.

The peer is a small hostile server over real HTTP on 127.0.0.1 that checks assertions and headers with code of its own;
a test sets `reply` (GraphQL) or `token` to what it wants to go wrong. Over 400 lines, as rows, pages and faults are all
held against this one server.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hostile import (
    GZIP,
    SOON,
    Fault,
    Handler,
    K,
    bomb,
    changed,
    returns,
    serving,
    silent,
    trickle,
    wire_faults,
    without,
)

from connectors.base import Answer, Failure, FailureKind, Outcome, Purpose, SubjectRef
from connectors.peer_region import PAGE_DOCUMENT, SUBJECTS_DOCUMENT, PeerConnector, PeerSettings

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT.parent / "shared" / "contract"
USCC = "11652700010583567A"
ORGANISATION = "11652700MB1234567X"
PURPOSE = Purpose("GRANT", "博州补〔2026〕1号", ORGANISATION)
KEY = Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

RECORD = {
    "__typename": "Penalty", "id": "cmVjb3JkLTE", "kind": "PENALTY", "area": "TENDERING", "severity": "SERIOUS",
    "catalogueItem": "xzcf", "title": "示例处罚", "documentNumber": "博市监罚〔2026〕1号",
    "authority": {"uscc": ORGANISATION, "name": "示例局"}, "decidedOn": "2026-01-01", "publishedFrom": "2026-01-02",
    "publishedUntil": "2028-12-31", "status": "ACTIVE", "underObjection": False, "basis": "示例条例",
    "amount": "1200.5", "facts": "示例\x00事实", "version": 3,
}  # fmt: skip
ROW = {
    "id": "cmVjb3JkLTE", "type": "Penalty", "kind": "PENALTY", "area": "TENDERING", "severity": "SERIOUS",
    "catalogue_item": "xzcf", "title": "示例处罚", "document_number": "博市监罚〔2026〕1号",
    "authority_uscc": ORGANISATION, "authority_name": "示例局", "decided_on": "2026-01-01",
    "published_from": "2026-01-02", "published_until": "2028-12-31", "status": "ACTIVE", "under_objection": False,
    "basis": "示例条例", "amount": "1200.50", "facts": "示例事实", "version": 3,
}  # fmt: skip
LISTING = {
    "caseNumber": "（2025）新2701执1号", "court": "示例法院", "publishedOn": "2025-05-01", "performance": "全部未履行"
}  # fmt: skip
KINDS = {
    "Penalty": "PENALTY", "Licence": "LICENCE", "Judgment": "JUDGMENT", "DisciplinaryAction": "DISCIPLINARY_ACTION",
    "AccountabilityAction": "ACCOUNTABILITY", "ContractBreach": "CONTRACT_BREACH", "PromiseBreach": "PROMISE_BREACH",
    "Honour": "HONOUR", "ListEntry": "LIST_ENTRY",
}  # fmt: skip


def records(nodes: list[Any], total: int | None = None, after: str | None = None) -> dict[str, Any]:
    info = {"hasNextPage": after is not None, "endCursor": after}
    edges = [{"node": node} for node in nodes]
    return {"totalCount": len(nodes) if total is None else total, "pageInfo": info, "edges": edges}


def subject(uscc: str = USCC, **changes: Any) -> dict[str, Any]:
    courts = {"answer": {"status": "CACHED", "asOf": "2026-01-01T08:00:00.000+08:00"}, "dishonestListings": [LISTING]}
    made = {
        "uscc": uscc, "onRecord": True, "name": "示例公司", "kind": "ENTERPRISE",
        "region": {"code": "659007", "name": "双河市"}, "records": records([RECORD]), "courts": courts,
    }  # fmt: skip
    return {**made, **changes}


def off_record(uscc: str) -> dict[str, Any]:
    return subject(uscc, onRecord=False, name=None, kind=None, region=None, records=records([]))


def each(make: Callable[[str], Any] = subject, **more: Any) -> Handler:
    """Answers the first document with what `make` gives for each code asked."""

    async def handle(request: web.Request, asked: dict[str, Any]) -> web.Response:
        return web.json_response({"data": {"subjects": [make(uscc) for uscc in asked["usccs"]]}, **more})

    return handle


def errors(*codes: Any, data: Any = ..., **options: Any) -> Handler:
    body: dict[str, Any] = {"errors": [{"message": "?", "extensions": {"code": code}} for code in codes]}
    return returns(body if data is ... else {**body, "data": data}, **options)


class Peer:
    """The hostile peer. `asked` are the variables of each call, `forms` those of each request for a token."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.reply: Handler = each()
        self.page: Handler = silent
        self.token: Handler | None = None
        self.forms: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.left: list[int] = []
        self.bearers: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/as/oauth/token":
            form = dict(parse_qsl(await request.text(), strict_parsing=True))
            self.check_assertion(form.pop("client_assertion"))
            self.forms.append({**form, "authorization_details": json.loads(form["authorization_details"])})
            if self.token:
                return await self.token(request, {})
            token = f"token-{len(self.forms)}"
            return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 300})
        assert (request.method, request.path, request.query_string) == ("POST", "/graphql", "")
        assert request.headers["Accept"] == "application/graphql-response+json"
        assert request.headers["Credit-Hops"] == "1"
        assert request.content_type == "application/json"
        self.left.append(int(request.headers["Credit-Deadline-Ms"]))
        self.bearers.append(request.headers["Authorization"].removeprefix("Bearer "))
        body = json.loads(await request.read())
        assert set(body) == {"extensions", "variables"}
        persisted = body["extensions"].pop("persistedQuery")
        assert (body["extensions"], persisted["version"], set(persisted)) == ({}, 1, {"version", "sha256Hash"})
        self.asked.append(body["variables"])
        first = set(body["variables"]) == {"usccs"}
        assert first or set(body["variables"]) == {"uscc", "after"}
        assert persisted["sha256Hash"] == (SUBJECTS_DOCUMENT if first else PAGE_DOCUMENT)
        return await (self.reply if first else self.page)(request, body["variables"])

    def check_assertion(self, text: str) -> None:
        head, body, signature = (base64.urlsafe_b64decode(part + "==") for part in text.split("."))
        KEY.public_key().verify(signature, text.rpartition(".")[0].encode())
        assert json.loads(head) == {"alg": "EdDSA", "typ": "JWT", "kid": "key-1"}
        claims = json.loads(body)
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("gw-bortala", "gw-bortala", f"{self.url}/as")
        assert claims["iat"] == self.now.timestamp()
        assert 0 < claims["exp"] - claims["iat"] <= 300


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    server = Peer()
    async with serving(server.handle) as server.url:
        yield server


class Asker:
    """A connector with short limits, and one subject or many asked in a line."""

    def __init__(self, peer: Peer, **changes: Any) -> None:
        options: dict[str, Any] = {"budget": 2.0, "requests_per_second": 0, "clock": lambda: peer.now, **changes}
        settings = PeerSettings("PEER_659007", peer.url, f"{peer.url}/as", "gw-bortala", PEM, "key-1", **options)
        self.connector = PeerConnector(settings)

    async def all(self, codes: list[str], purpose: Purpose | None = PURPOSE, within: float = 2.0) -> dict[str, Outcome]:
        deadline = asyncio.get_running_loop().time() + within
        subjects = [SubjectRef(uscc) for uscc in codes]
        return dict(await self.connector.ask("subject", subjects, purpose, deadline))

    async def ask(self, within: float = 2.0, purpose: Purpose | None = PURPOSE) -> Outcome:
        return (await self.all([USCC], purpose, within))[USCC]

    async def failure(self, within: float = 2.0) -> Failure:
        outcome = await self.ask(within)
        assert isinstance(outcome, Failure), outcome
        return outcome

    async def row(self) -> Any:
        outcome = await self.ask()
        assert isinstance(outcome, Answer), outcome
        return outcome.rows[0]


@pytest.fixture
async def asker(peer: Peer) -> AsyncIterator[Asker]:
    made = Asker(peer)
    yield made
    await made.connector.close()


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
    asker = Asker(peer, concurrency=1)
    await asker.all([f"{n:018}" for n in range(100)])  # the second batch waits for the first
    await asker.connector.close()
    assert len(peer.left) == 2
    assert 1900 < peer.left[0] <= 2000
    assert 250 < peer.left[0] - peer.left[1] < 450


# ---- rows


async def test_a_subject_comes_out_as_a_row(peer: Peer, asker: Asker) -> None:
    assert await asker.ask() == Answer(
        (
            {
                "on_record": True, "name": "示例公司", "kind": "ENTERPRISE", "region_code": "659007",
                "region_name": "双河市", "records": [ROW],
                "courts": {
                    "status": "CACHED", "as_of": "2026-01-01T08:00:00+08:00",
                    "dishonest": [
                        {
                            "case_number": "（2025）新2701执1号", "court": "示例法院", "published_on": "2025-05-01",
                            "performance": "全部未履行",
                        }
                    ],
                },
            },
        ),
        peer.now,
    )  # fmt: skip


async def test_not_on_record_is_a_row_that_says_so(peer: Peer, asker: Asker) -> None:
    peer.reply = each(off_record)
    row = await asker.row()
    assert (row["on_record"], row["name"], row["kind"], row["region_code"]) == (False, None, None, None)
    assert (row["records"], len(row["courts"]["dishonest"])) == ([], 1)


async def test_every_type_has_its_kind(peer: Peer, asker: Asker) -> None:
    nodes = [{**RECORD, "id": kind, "__typename": name, "kind": kind} for name, kind in KINDS.items()]
    peer.reply = each(lambda uscc: subject(uscc, records=records(nodes)))
    assert [(row["type"], row["kind"]) for row in (await asker.row())["records"]] == list(KINDS.items())
    for name in KINDS:
        peer.reply = each(
            lambda uscc, name=name: subject(uscc, records=records([{**RECORD, "__typename": name, "kind": "LICENCE"}]))  # type: ignore[misc]
        )
        assert isinstance(await asker.ask(), Answer if name == "Licence" else Failure)


async def test_subjects_are_asked_fifty_a_call_in_order(peer: Peer, asker: Asker) -> None:
    codes = [f"{n:018}" for n in range(120)]
    outcomes = await asker.all([*codes, *codes[:7]])
    assert list(outcomes) == codes
    assert all(isinstance(outcome, Answer) for outcome in outcomes.values())
    assert sorted(asked["usccs"] for asked in peer.asked) == [codes[:50], codes[50:100], codes[100:]]
    assert len(peer.forms) == 1
    assert await asker.all([]) == {}


async def test_a_null_element_is_refused_and_the_others_are_not(peer: Peer, asker: Asker) -> None:
    peer.reply = each(lambda uscc: None if uscc == "b" else subject(uscc))
    outcomes = await asker.all(["a", "b", "c"])
    assert [type(outcomes[uscc]) for uscc in "ac"] == [Answer, Answer]
    assert outcomes["b"] == Failure(K.FORBIDDEN, detail="the peer refused this subject")


async def test_what_is_wrong_with_one_subject_is_its_own(peer: Peer, asker: Asker) -> None:
    peer.reply = each(lambda uscc: subject(uscc, kind="UNHEARD_OF") if uscc == "b" else subject(uscc))
    outcomes = await asker.all(["a", "b", "c"])
    assert [type(outcomes[uscc]) for uscc in "abc"] == [Answer, Failure, Answer]
    assert outcomes["b"] == Failure(K.MALFORMED, detail="kind is unknown")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ([subject("b"), subject("a")], K.FOREIGN_ROWS),
        ([subject("a"), subject("c")], K.FOREIGN_ROWS),
        ([None, subject("c")], K.FOREIGN_ROWS),
        ([subject("a")], K.MALFORMED),
        ([subject("a"), subject("b"), subject("b")], K.MALFORMED),
        ([], K.MALFORMED),
        ([subject("a"), "b"], K.MALFORMED),
        ([subject("a"), {**subject("b"), "uscc": None}], K.MALFORMED),
        (None, K.MALFORMED),
        ({"a": subject("a")}, K.MALFORMED),
    ],
)
async def test_another_list_than_asked_for_fails_all(peer: Peer, asker: Asker, made: Any, kind: FailureKind) -> None:
    peer.reply = returns({"data": {"subjects": made}})
    outcomes = await asker.all(["a", "b"])
    assert [outcome.kind for outcome in outcomes.values()] == [kind, kind]  # type: ignore[union-attr]


# ---- what the contract names


NULLABLE = {
    ("region",), ("kind",), ("courts", "answer", "asOf"), ("courts", "dishonestListings", 0, "publishedOn"),
    ("courts", "dishonestListings", 0, "performance"), ("records", "pageInfo", "endCursor"),
    *(
        ("records", "edges", 0, "node", key)
        for key in (
            "severity", "documentNumber", "authority", "publishedFrom", "publishedUntil", "basis", "amount", "facts",
        )
    ),
    ("records", "edges", 0, "node", "authority", "uscc"), ("records", "edges", 0, "node", "authority", "name"),
}  # fmt: skip


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in steps:
        path = (*before, step)
        found += ([path] if isinstance(step, str) else []) + paths(below, path)
    return found


FREE = {  # any text will do
    "name", "code", "id", "catalogueItem", "title", "documentNumber", "uscc", "basis", "facts", "caseNumber", "court",
    "performance", "endCursor",
}  # fmt: skip
PATHS = [path for path in paths(subject()) if path != ("uscc",)]


def test_the_paths_are_those_of_the_document() -> None:
    """Every field that peer.graphql selects stands among what is tried below."""
    text = (ROOT / "connectors" / "documents" / "peer.graphql").read_text(encoding="utf-8")
    words = set(text.replace("{", " ").replace("}", " ").partition(")")[2].split()) - {"subjects(usccs:", "$usccs)"}
    named = {str(path[-1]) for path in PATHS} | {"uscc"}
    assert {word for word in words if word.isidentifier()} | {"records"} == named


@pytest.mark.parametrize("path", PATHS, ids=str)
async def test_every_named_key_must_be_there(peer: Peer, asker: Asker, path: tuple[Any, ...]) -> None:
    for new in (..., [True], 1.5, None, {}, "?", -1):
        made = without(subject(), path) if new is ... else changed(subject(), path, new)
        peer.reply = each(lambda uscc, made=made: made)  # type: ignore[misc]
        outcome = await asker.ask()
        if (new is None and path in NULLABLE) or (new == "?" and path[-1] in FREE):
            assert isinstance(outcome, Answer), (new, outcome)
        else:
            assert isinstance(outcome, Failure), (new, outcome)
            assert outcome.kind is K.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "penalty"}, {"kind": "LICENCE"}, {"__typename": "CreditRecord"}, {"area": "SPORTS"},
        {"severity": "minor"}, {"status": "DELETED"}, {"decidedOn": "2026-02-30"}, {"decidedOn": "20260101"},
        {"decidedOn": "2026-01-01T00:00:00Z"}, {"publishedFrom": ""}, {"amount": 1200}, {"amount": "1,200"},
        {"amount": "1e3"}, {"amount": "万"}, {"amount": "1" + "0" * 15}, {"version": "3"}, {"version": True},
        {"version": 2**31}, {"underObjection": "false"}, {"underObjection": 0}, {"id": ""}, {"id": "x" * 1001},
        {"id": 7}, {"title": " "}, {"authority": "示例局"},
    ],
)  # fmt: skip
async def test_wrong_values_fail_the_subject(peer: Peer, asker: Asker, change: dict[str, Any]) -> None:
    peer.reply = each(lambda uscc: subject(uscc, records=records([{**RECORD, **change}])))
    assert (await asker.failure()).kind is K.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"onRecord": False, "name": None},  # with a record
        {"name": None},
        {"onRecord": None},
        {"kind": "PERSON"},
        {"courts": {"answer": {"status": "FINE", "asOf": None}, "dishonestListings": []}},
        {"courts": {"answer": {"status": "CACHED", "asOf": "2026-01-01"}, "dishonestListings": []}},
        {"records": records([], total=1)},
        {"records": records([RECORD], total=0)},
        {"records": records([RECORD], total=2)},
        {"records": records([RECORD, RECORD])},
        {"records": {**records([RECORD]), "edges": [None]}},
        {"records": {**records([RECORD]), "edges": [{"node": None}]}},
        {"records": {**records([RECORD]), "totalCount": 1.0}},
        {"records": records([{**RECORD, "id": str(n)} for n in range(101)])},
    ],
)
async def test_a_subject_that_contradicts_itself_fails(peer: Peer, asker: Asker, change: dict[str, Any]) -> None:
    peer.reply = each(lambda uscc: subject(uscc, **change))
    assert (await asker.failure()).kind is K.MALFORMED


# ---- pages


def numbered(first: int, count: int) -> list[dict[str, Any]]:
    return [{**RECORD, "id": f"r{n}"} for n in range(first, first + count)]


def paged(total: int, size: int = 100, **oddities: Any) -> tuple[Handler, Handler]:
    """The first document and the pages of `total` records; oddities change a page's connection (by its cursor)."""

    def page(begin: int) -> dict[str, Any]:
        end = min(total, begin + size)
        made = records(numbered(begin, end - begin), total, str(end) if end < total else None)
        return {**made, **{key: value(end) for key, value in oddities.items() if begin}}

    async def further(request: web.Request, asked: dict[str, Any]) -> web.Response:
        connection = page(int(asked["after"]))
        connection.pop("totalCount")
        return web.json_response({"data": {"subject": {"records": connection}}})

    return each(lambda uscc: subject(uscc, records=page(0))), further


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
    outcomes = await asker.all(["a", "b"], within=0.4)
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
    tracemalloc.start()
    try:
        assert (await asker.failure()).kind is K.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 24 << 20  # the limit of 8 MiB, doubled while the buffer grows
    finally:
        tracemalloc.stop()


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
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert (await asker.failure(within=0.4)).kind is K.TIMEOUT
    assert 0.39 <= loop.time() - start < 0.5


async def test_the_budget_holds_where_the_deadline_is_later(peer: Peer) -> None:
    asker = Asker(peer, budget=0.3)
    peer.reply = silent
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert (await asker.failure(within=5)).kind is K.TIMEOUT
    assert loop.time() - start < 0.4
    assert peer.left[0] <= 300
    await asker.connector.close()


async def test_after_close_asks_fail_and_nothing_is_sent(peer: Peer, asker: Asker) -> None:
    peer.token = silent
    waiting = asyncio.create_task(asker.failure())
    await asyncio.sleep(0.05)
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
