"""A hostile peer over real HTTP on 127.0.0.1, what it answers when it is well, and who asks it.

It checks assertions and headers with code of its own; a test sets `reply` (the first document), `page` (the second) or
`token` to what it wants to go wrong. Fixtures are in conftest.py.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hostile import PATIENCE, Handler, returns, silent

from connectors.base import Answer, Failure, Outcome, Purpose, SubjectRef
from connectors.peer_region import PAGE_DOCUMENT, SUBJECTS_DOCUMENT, PeerConnector, PeerSettings

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


class Asker:
    """A connector with short limits, and one subject or many asked in a line."""

    def __init__(self, peer: Peer, **changes: Any) -> None:
        options: dict[str, Any] = {"budget": PATIENCE, "connect_timeout": PATIENCE, "requests_per_second": 0, **changes}
        options.setdefault("clock", lambda: peer.now)
        settings = PeerSettings("PEER_659007", peer.url, f"{peer.url}/as", "gw-bortala", PEM, "key-1", **options)
        self.connector = PeerConnector(settings)

    async def all(
        self, codes: list[str], purpose: Purpose | None = PURPOSE, within: float = PATIENCE
    ) -> dict[str, Outcome]:
        deadline = asyncio.get_running_loop().time() + within
        subjects = [SubjectRef(uscc) for uscc in codes]
        return dict(await self.connector.ask("subject", subjects, purpose, deadline))

    async def ask(self, within: float = PATIENCE, purpose: Purpose | None = PURPOSE) -> Outcome:
        return (await self.all([USCC], purpose, within))[USCC]

    async def failure(self, within: float = PATIENCE) -> Failure:
        outcome = await self.ask(within)
        assert isinstance(outcome, Failure), outcome
        return outcome

    async def row(self) -> Any:
        outcome = await self.ask()
        assert isinstance(outcome, Answer), outcome
        return outcome.rows[0]


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
