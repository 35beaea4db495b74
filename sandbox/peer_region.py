"""Another region's gateway as a server: tokens for a purpose, and two documents by their hash.

By the peers' wire contract (docs/connectors.md), and from it alone. In: client assertions, and persisted queries with
the hops behind them and the time left. Out: subjects with their records, GraphQL errors, or what a fault on request
makes of them. sandbox/server.py starts it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from sandbox import peer_answers as answers
from sandbox.faults import Fault
from sandbox.oauth import TOKEN, TOKEN_SECONDS, Tokens, form_of, refusal
from sandbox.peer_answers import GRAPHQL, PAGE, SUBJECTS, Document, bad_input, cursor_of
from sandbox.peer_data import GivenSubjects, PeerData
from sandbox.peer_tokens import MOST_SUBJECTS, SCOPE, Clients, PeerGrant, PublicKeys, public_keys
from sandbox.subjects import Row, is_uscc
from sandbox.upstream import Asked, Upstream, only, parsed, text_of, texts_of
from sandbox.wire import Answer

CALLS_KEPT = 10_000  # each may hold 50 codes
UNKNOWN = "unknown"  # the service of a hash that is not served, in the record of calls

# Development values, in the open on purpose: they unlock nothing but a sandbox.
DEV_PEER_CLIENT_ID = "gw-bortala-test"
DEV_PEER_PUBLIC_JWK: Mapping[str, str] = MappingProxyType(
    {"kty": "OKP", "crv": "Ed25519", "kid": "dev-peer-1", "x": "L3dwIUt5MpjPHWMYOKJCzQ8zHn1RZyFSwno3mtBKE8k"}
)
DEV_PEER_PRIVATE_JWK: Mapping[str, str] = MappingProxyType(
    {**DEV_PEER_PUBLIC_JWK, "d": "dk4XdP4fV5gmYWw1wA3vHTgaot4mxWexRo0qiefIqnc"}
)
DEV_PEER_MATTERS = ("GRANT", "PROJECT", "PROCUREMENT", "TENDERING", "PPP", "INVESTMENT", "SUPERVISION")
DEV_PEER_REGION: Mapping[str, Any] = MappingProxyType({"code": "654200", "name": "塔城地区"})
_HOPS = re.compile(r"[01]")
_MILLISECONDS = re.compile(r"[0-9]{1,9}")


class PeerRegion(Upstream):
    """The peer's state: its data, its clients and the tokens in force, beside what every upstream has.

    `keys` are the public keys of each client id, `matters` what they may ask for (nothing else), `region` the peer's
    own, `issuer` the URL that assertions are made for (None: the base URL, known once it is served).
    """

    def __init__(
        self,
        data: PeerData | None = None,
        *,
        keys: Mapping[str, PublicKeys] | None = None,
        matters: Collection[str] = DEV_PEER_MATTERS,
        region: Mapping[str, Any] = DEV_PEER_REGION,
        issuer: str | None = None,
        latency_ms: float = 0.0,
        token_seconds: float = TOKEN_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            answers.ANSWER_FAULTS,
            (TOKEN, *answers.SERVICES),
            by_name_only=(TOKEN,),
            latency_ms=latency_ms,
            clock=clock,
            calls_kept=CALLS_KEPT,
        )
        if keys is None:
            keys = {DEV_PEER_CLIENT_ID: public_keys(dict(DEV_PEER_PUBLIC_JWK))}
        self.data: PeerData = GivenSubjects({}) if data is None else data
        self.issuer = issuer
        self.region: Row = dict(region)
        self.tokens: Tokens[PeerGrant] = Tokens(token_seconds, clock)
        self._clients = Clients(keys, matters, clock)
        self._documents = answers.load_documents()

    def routes(self) -> list[web.RouteDef]:
        """The token endpoint and GraphQL."""
        return [web.post("/oauth/token", self._token), web.post("/graphql", self._graphql)]

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        details = parsed((form or {}).get("authorization_details", "").encode())
        detail = details[0] if isinstance(details, list) and details else None
        more = {name: text_of(detail, name) for name in ("matter", "case_number", "on_behalf_of")}
        asked = Asked(TOKEN, more={"scope": (form or {}).get("scope"), **more})
        return await self.answer(request, asked, lambda fault: self._token_answer(form, fault))

    def _token_answer(self, form: Mapping[str, str] | None, fault: Fault | None) -> Answer:
        if fault is not None and fault.fault == "token_refused":
            return refusal("invalid_client", fault.text or "the assertion does not hold", 401)
        if fault is not None and fault.fault == "matter_refused":
            return refusal("invalid_authorization_details", fault.text or "the matter is not granted")
        granted = self._clients.grant(form, self.issuer or "")
        if isinstance(granted, Answer):
            return granted
        detail = {
            "type": "credit_purpose",
            "matter": granted.matter,
            "case_number": granted.case_number,
            "max_subjects": granted.max_subjects,
            "on_behalf_of": granted.on_behalf_of,
        }
        scope = "view:public" if fault is not None and fault.fault == "wrong_scope" else SCOPE
        return self.tokens.issue(granted, fault, scope=scope, authorization_details=[detail])

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        body = parsed(await request.read())
        digest = _hash_of(body)
        document = self._documents.get(digest or "")
        service = document.service if document is not None else UNKNOWN
        variables = body.get("variables") if isinstance(body, dict) else None
        usccs = texts_of(variables, "usccs") if service != PAGE else [text_of(variables, "uscc") or ""]
        granted = self.tokens.granted(request)
        more = {
            "usccs": usccs,
            "hops": only(request, "Credit-Hops"),
            "deadline_ms": only(request, "Credit-Deadline-Ms"),
            "accept": only(request, "Accept"),
            "hash": digest,
            "sent_query": isinstance(body, dict) and "query" in body,
            "matter": granted.matter if granted is not None else None,
            "case_number": granted.case_number if granted is not None else None,
            "on_behalf_of": granted.on_behalf_of if granted is not None else None,
        }
        asked = Asked(service, usccs, more=more)
        return await self.answer(request, asked, lambda fault: self._answered(request, body, document, fault))

    def _answered(self, request: web.Request, body: Any, document: Document | None, fault: Fault | None) -> Answer:
        if self.tokens.refused(request, fault):
            return answers.error(*answers.ERRORS["unauthenticated"], "no token that holds")
        if (refused := answers.refused_by(fault) or _wrong_head(request) or _wrong_body(body)) is not None:
            return refused
        if document is None:
            return answers.error(*answers.ERRORS["document_not_found"], "no document with this hash is served")
        if body.get("operationName") not in (None, document.name):
            return bad_input("no such operation in the document")
        granted = self.tokens.granted(request)
        most = granted.max_subjects if granted is not None else 0
        variables = body.get("variables")
        if document.service == SUBJECTS:
            return self._subjects(document, variables, most, fault)
        return self._page(document, variables, fault)

    def _subjects(self, document: Document, variables: Any, most: int, fault: Fault | None) -> Answer:
        usccs = variables.get("usccs") if isinstance(variables, dict) else None
        if not isinstance(usccs, list) or not 1 <= len(usccs) <= min(most, MOST_SUBJECTS):
            return bad_input(f"1 to {min(most, MOST_SUBJECTS)} codes expected")
        if set(variables) != {"usccs"} or not all(is_uscc(uscc) for uscc in usccs):
            return bad_input("a code is malformed, or a variable unknown")
        return answers.subjects_answer(document, self.data, self.region, usccs, fault)

    def _page(self, document: Document, variables: Any, fault: Fault | None) -> Answer:
        uscc, after = text_of(variables, "uscc"), text_of(variables, "after")
        if uscc is None or not is_uscc(uscc) or after is None or set(variables) != {"uscc", "after"}:
            return bad_input("a code that holds, and a cursor, expected")
        cursor = cursor_of(after, uscc)
        if cursor is None:
            return bad_input("the cursor is none of this subject's")
        return answers.page_answer(document, self.data, self.region, uscc, cursor, fault)


def _hash_of(body: Any) -> str | None:
    """The hash of a persisted query; None where the body is none, or of another version."""
    extensions = body.get("extensions") if isinstance(body, dict) else None
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    version = persisted.get("version") if isinstance(persisted, dict) else None
    return text_of(persisted, "sha256Hash") if type(version) is int and version == 1 else None


def _wrong_head(request: web.Request) -> Answer | None:
    """The error of a request by its headers."""
    hops, deadline = request.headers.getall("Credit-Hops", []), request.headers.getall("Credit-Deadline-Ms", [])
    if len(hops) > 1 or not all(_HOPS.fullmatch(value) for value in hops):
        return bad_input("Credit-Hops is 0 or 1")
    if len(deadline) > 1 or not all(_MILLISECONDS.fullmatch(value) for value in deadline):
        return bad_input("Credit-Deadline-Ms is a whole number of milliseconds")
    if request.content_type != "application/json":
        return answers.error(415, "BAD_USER_INPUT", "application/json expected")
    accepted = request.headers.get("Accept", "*/*")
    if not any(kind in accepted for kind in (GRAPHQL, "application/*", "*/*")):
        return answers.error(406, "BAD_USER_INPUT", f"the answer is {GRAPHQL}")
    return None


def _wrong_body(body: Any) -> Answer | None:
    """The error of a body that is no persisted query."""
    if not isinstance(body, dict):
        return bad_input("a JSON object expected")
    if "query" in body:
        return bad_input("persisted documents only, by their hash")
    return bad_input("extensions.persistedQuery with version 1 and a hash expected") if _hash_of(body) is None else None
