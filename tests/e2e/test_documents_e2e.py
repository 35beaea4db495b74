"""Promises over HTTP: documents are named as GraphQL over HTTP and as Apollo's protocol do it; a client names its own
alone, and where it may send no other it can't by any of the ways in; refusals are disclosed. A public answer by GET has
a strong ETag, of which a browser is told that it has it already, until the answer changes; errors have none. The cost
is told to whoever asks, and in the metrics. Batches are refused; what is unforeseen is masked, with an id in the log.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from e2e_stack import GRAPHQL, Reply, Stack, make_client, serving

from gateway.auth.clients import ClientStore
from gateway.auth.documents import PUBLIC_OWNER, StoredDocuments
from gateway.engine.persisted import Persisted
from gateway.storage.pool import Pool
from gateway.web import conditional, graphql, respond

VIEW = "query View { viewer { view clientId } }"
NAME = "query Name($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
NOT_FOUND = "PERSISTED_DOCUMENT_NOT_FOUND"


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def apq(text: str) -> dict[str, Any]:
    """`extensions` of automatic persisted queries."""
    return {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}


def row(text: str, id_: str = "") -> dict[str, str]:
    return {"id": id_ or hash_of(text), "sha256": hash_of(text), "name": "", "body": text}


async def post(stack: Stack, token: str | None, headers: dict[str, str] | None = None, **body: Any) -> Reply:
    sent = {"accept": GRAPHQL, "content-type": "application/json", **(headers or {})}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    return await stack.send("POST", json.dumps(body).encode(), sent)


async def get(stack: Stack, headers: dict[str, str] | None = None, **parameters: Any) -> Reply:
    given = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return await stack.send("GET", None, {"accept": GRAPHQL, **(headers or {})}, f"?{urlencode(given)}")


@pytest.fixture(scope="module")
async def store(stack: Stack) -> AsyncIterator[StoredDocuments]:
    """The operator's hand."""
    pool = Pool(stack.database.dsn("service"), size=1)
    yield StoredDocuments(pool)
    await pool.close()


async def token_of(stack: Stack, store: StoredDocuments, name: str, *texts: dict[str, str], **more: Any) -> str:
    """A client with these documents, registered before it asks anything."""
    account = await make_client(stack.database, name, "view:restricted", "GRANT", organisation=stack.organ, **more)
    if texts:
        await store.add(name, texts)
    return await stack.fetch_token(account, case=f"case-{name}")


# Documents -----------------------------------------------------------------------------------------------------------


async def test_automatic_persisted_queries(stack: Stack, store: StoredDocuments) -> None:
    token = await token_of(stack, store, "apq")
    first = await post(stack, token, extensions=apq(VIEW))
    assert (first.status, first.code) == (400, NOT_FOUND)
    assert first.json["errors"][0]["message"] == "PersistedQueryNotFound"
    # With the media type that older clients ask for the status says nothing (GraphQL over HTTP).
    for headers in ({"accept": "application/json"}, {"accept": "application/json", "accept-language": "zh"}):
        old = await post(stack, token, headers, extensions=apq(VIEW))
        assert (old.status, old.json["errors"][0]["message"]) == (200, "PersistedQueryNotFound")
    assert (await post(stack, token, query=VIEW, extensions=apq(VIEW))).data["viewer"]["clientId"] == "apq"
    assert (await post(stack, token, extensions=apq(VIEW))).data["viewer"]["clientId"] == "apq"
    assert (await post(stack, token, documentId=f"sha256:{hash_of(VIEW)}")).status == 200
    rows = await stack.disclosures("case-apq")
    assert [r["outcome"] for r in rows] == [NOT_FOUND] * 3 + ["ANSWERED"] * 3
    assert {r["document_hash"] for r in rows[3:]} == {bytes.fromhex(hash_of(VIEW))}
    other = await token_of(stack, store, "apq-other")
    for token in (other, stack.tokens["internal"], stack.tokens["plain"], None):
        assert (await post(stack, token, extensions=apq(VIEW))).code == NOT_FOUND


async def test_a_hash_of_another_text(stack: Stack, store: StoredDocuments, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who could keep a text under another's hash would be answered, and accounted for, as that."""
    token = await token_of(stack, store, "mismatch")
    refused = await post(stack, token, query=NAME, extensions=apq(VIEW))
    assert (refused.status, refused.code) == (400, "BAD_USER_INPUT")
    assert (await post(stack, token, extensions=apq(VIEW))).code == NOT_FOUND

    def unchecked(body: bytes, language: str) -> graphql.Request:
        found = json.loads(body)
        named = found["extensions"]["persistedQuery"]["sha256Hash"]
        return graphql.Request(found.get("query", ""), None, {}, language, persisted=named, automatic=True)

    monkeypatch.setattr(graphql, "from_body", unchecked)
    poison = "{ __typename }"
    assert (await post(stack, token, query=poison, extensions=apq(VIEW))).status == 200
    assert (await post(stack, token, extensions=apq(VIEW))).data == {"__typename": "Query"}


async def test_a_client_names_its_own_alone(stack: Stack, store: StoredDocuments) -> None:
    one = await token_of(stack, store, "owner-1", row(VIEW, "View"))
    two = await token_of(stack, store, "owner-2", row(NAME, "Name"))
    assert (await post(stack, one, documentId="View")).data["viewer"]["clientId"] == "owner-1"
    for token, body in (
        (two, {"documentId": "View"}),
        (two, {"documentId": hash_of(VIEW)}),
        (two, {"extensions": apq(VIEW)}),
        (None, {"documentId": "View"}),
        (stack.tokens["internal"], {"documentId": "View"}),
    ):
        assert (await post(stack, token, **body)).code == NOT_FOUND


async def test_only_registered_by_every_way_in(
    stack: Stack, store: StoredDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await token_of(stack, store, "strict", row(VIEW, "View"), documents="REGISTERED")
    ways: list[dict[str, Any]] = [
        {"query": NAME, "variables": {"uscc": stack.enterprises()[0]}},
        {"query": "{ __schema { types { name } } }"},
        {"query": "{ __typename }", "extensions": apq("{ __typename }")},
        {"extensions": apq("{ __typename }")},
        {"query": "{ __typename }", "documentId": f"sha256:{hash_of('{ __typename }')}"},
        {"query": VIEW + " "},
        {"query": ""},
    ]
    for body in ways:
        refused = await post(stack, token, **body)
        assert refused.code == NOT_FOUND, body
        chinese = await post(stack, token, {"accept-language": "zh"}, **body)
        assert "已登记" in chinese.json["errors"][0]["message"]
    stream = await post(stack, token, {"accept": "text/event-stream"}, query="subscription { __typename }")
    assert NOT_FOUND.encode() in stream.body  # where answers come one by one, too
    assert (await post(stack, token, documentId="View")).status == 200
    assert (await post(stack, token, query=VIEW)).status == 200  # it is one of them, however it is sent
    sent = {"accept": GRAPHQL, "authorization": f"Bearer {token}"}
    by_get = await stack.send("GET", None, sent, "?" + urlencode({"query": "{ __typename }"}))
    assert by_get.status == 405
    outcomes = [r["outcome"] for r in await stack.disclosures("case-strict")]
    assert outcomes.count(NOT_FOUND) == 2 * len(ways) + 1

    async def careless(self: Persisted, principal: Any, request: Any) -> str:
        return await text(self, replace(principal, only_registered=False), request)

    text = Persisted.text
    monkeypatch.setattr(Persisted, "text", careless)
    assert (await post(stack, token, **ways[0])).status == 200


async def test_the_public_view_with_registered_ones_alone(stack: Stack, store: StoredDocuments) -> None:
    await store.add(PUBLIC_OWNER, [row(NAME, "Portal.Name"), row(VIEW, "Portal.View")])
    variables = {"uscc": stack.enterprises()[0]}
    settings = stack.settings.model_copy(update={"public_documents": "registered"})
    async with serving(settings, stack.database) as base, aiohttp.ClientSession() as session:
        portal = replace(stack, base=base, session=session)
        for reply in (
            await get(portal, documentId="Portal.Name", variables=variables),
            await get(portal, documentId=f"sha256:{hash_of(NAME)}", variables=variables),
            await get(portal, extensions=apq(NAME), variables=variables),
            await post(portal, None, documentId="Portal.Name", variables=variables),
        ):
            assert reply.data["subject"]["name"]
        for reply in (
            await get(portal, query="{ __typename }"),
            await get(portal, query="{ __typename }", extensions=apq("{ __typename }")),
            await post(portal, None, query="{ __typename }"),
            await post(portal, None, query="{ __typename }", extensions=apq("{ __typename }")),
            await get(portal, documentId="Portal.Nothing"),
        ):
            assert (reply.code, reply.headers.get("etag")) == (NOT_FOUND, None)
        # Who has a token is a client, with a policy of its own.
        portal.tokens = {"restricted": await portal.fetch_token(stack.clients["restricted"])}
        assert (await portal.ask("{ __typename }", view="restricted")).status == 200
    assert (await get(stack, query="{ __typename }")).status == 200  # the setting's default


# Conditional GET -----------------------------------------------------------------------------------------------------


async def test_get_with_an_etag(stack: Stack, store: StoredDocuments, monkeypatch: pytest.MonkeyPatch) -> None:
    uscc = stack.enterprises()[1]
    asked = {"query": NAME, "variables": {"uscc": uscc}}
    first = await get(stack, **asked)
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[\x21\x23-\x7e]{32,}"', tag)
    assert first.headers["cache-control"] == "no-cache"
    vary = {name.strip() for name in first.headers["vary"].split(",")}
    assert vary == {"authorization", "accept", "credit-cost"}
    again = await get(stack, {"if-none-match": f'"other", {tag}'}, **asked)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == "no-cache"
    assert again.headers["vary"] == first.headers["vary"]
    assert "content-length" not in again.headers
    assert "transfer-encoding" not in again.headers
    # Another representation of the same bytes, another body, another question: other tags.
    as_json = await get(stack, {"accept": "application/json", "if-none-match": tag}, **asked)
    assert (as_json.status, as_json.body) == (200, first.body)
    assert (await get(stack, {"credit-cost": "request", "if-none-match": tag}, **asked)).status == 200
    assert (await post(stack, None, {"if-none-match": tag}, **asked)).status == 200  # no GET, no condition
    try:
        await stack.owner.execute("update core.subject set name = name || '改' where uscc = $1", uscc)
        changed = await get(stack, {"if-none-match": tag}, **asked)
        assert (changed.status, changed.headers["etag"] != tag) == (200, True)
        # A tag that were not of the bytes would leave the old answer where it is.
        monkeypatch.setattr(respond, "etag", lambda *_: tag.encode())
        assert (await get(stack, {"if-none-match": tag}, **asked)).status == 304
    finally:
        await stack.owner.execute("update core.subject set name = rtrim(name, '改') where uscc = $1", uscc)
    assert conditional.etag(GRAPHQL.encode(), first.body).decode() == tag


@pytest.mark.parametrize("query", ["{", "{ nothing }", "mutation { x }", "{ subject(uscc: 1) { name } }"])
async def test_errors_have_no_etag(stack: Stack, query: str) -> None:
    for accept in (GRAPHQL, "application/json"):
        reply = await get(stack, {"accept": accept, "if-none-match": "*"}, query=query)
        assert "etag" not in reply.headers
        assert reply.headers["cache-control"] == "no-store"
        assert "accept-language" in reply.headers["vary"]
        assert reply.json["errors"]


async def test_no_etag_above_the_public_view(stack: Stack) -> None:
    reply = await stack.ask(VIEW, view="restricted", headers={"if-none-match": "*"})
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in reply.headers


# Cost and limits -----------------------------------------------------------------------------------------------------


async def test_the_cost_when_asked_for(stack: Stack) -> None:
    query = "{ records(first: 7) { edges { node { title } } } }"
    for view, limit in ((None, 5_000), ("restricted", 50_000), ("scoped", 50_000)):
        plain = await stack.ask(query, view=view)
        told = await stack.ask(query, view=view, headers={"credit-cost": "request"})
        assert told.json.pop("extensions") == {"cost": {"units": 7, "limit": limit}}
        assert {**plain.json, "extensions": told.json["extensions"]} == told.json
    for value in ("", "yes", "request;x", "?1", '"request"', "request, request"):
        refused = await stack.ask(query, view="restricted", headers={"credit-cost": value})
        assert refused.code == "BAD_USER_INPUT", value


async def test_a_clients_own_limits(stack: Stack, store: StoredDocuments) -> None:
    token = await token_of(stack, store, "limited", limits={"cost": 10, "depth": 4})
    query = "query R($n: Int) { records(first: $n) { edges { node { title } } } }"
    told = await stack.ask(query, {"n": 10}, token=token, headers={"credit-cost": "request"})
    assert told.json["extensions"] == {"cost": {"units": 10, "limit": 10}}
    assert (await stack.ask(query, {"n": 11}, token=token)).code == "QUERY_TOO_COSTLY"
    deep = "{ records { edges { node { subject { name } } } } }"
    assert (await stack.ask(deep, token=token)).code == "QUERY_TOO_COSTLY"
    assert (await stack.ask(deep, view="restricted")).status == 200
    pool = Pool(stack.database.dsn("service"), size=1)
    try:
        assert await ClientStore(pool).set_use("limited", documents=None, limits={})
    finally:
        await pool.close()


async def test_a_batch_is_refused_and_the_unforeseen_is_masked(
    stack: Stack, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {"accept": GRAPHQL, "content-type": "application/json"}
    batch = await stack.send("POST", json.dumps([{"query": VIEW}, {"query": VIEW}]).encode(), sent)
    assert (batch.status, batch.code) == (400, "BAD_USER_INPUT")
    assert "one by one" in batch.json["errors"][0]["message"]

    async def broken(*_: object) -> str:
        raise RuntimeError("secret of mine")

    monkeypatch.setattr(Persisted, "text", broken)
    with caplog.at_level(logging.ERROR):
        reply = await post(stack, None, documentId="View")
    assert (reply.status, reply.code) == (500, "INTERNAL")
    assert b"secret" not in reply.body
    (incident,) = re.findall(r"[0-9a-f]{16}", reply.json["errors"][0]["message"])
    assert any(incident in record.getMessage() for record in caplog.records)
