"""Promises of the whole gateway: who asks too much is told so, with a moment at which to go on, in its own language,
and nobody else is; the ledger has one row for a client's many refusals, the log a line without the question for those
that have no account; odd paths and methods are refused plainly; every response has the headers that all have."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from e2e_stack import GRAPHQL, Stack, assertion, make_client

from gateway.web.throttle import Throttle

SETTINGS = {
    "public_rate": 0.2, "public_burst": 10, "client_rate": 0.2, "client_burst": 10, "token_rate": 0.2,
    "token_burst": 10, "trusted_proxies": ("127.0.0.0/8",),
}  # fmt: skip
PROTOCOLS = ("graphql-transport-ws",)
NAME = "query Name($uscc: Uscc!) { subject(uscc: $uscc) { name } }"


async def ask(stack: Stack, view: str | None, address: str, **more: Any) -> Any:
    """A question from an address, as our proxy tells it."""
    headers = {"x-forwarded-for": address, **more.pop("headers", {})}
    return await stack.ask(NAME, {"uscc": stack.enterprises()[0]}, view, headers=headers, **more)


async def test_strangers_by_address(stack: Stack) -> None:
    replies = [await ask(stack, None, "203.0.113.1") for _ in range(13)]
    assert [reply.status for reply in replies[:10]] == [200] * 10
    late = replies[-1]
    assert (late.status, late.code) == (429, "RATE_LIMITED")
    assert 1 <= int(late.headers["retry-after"]) <= 5
    assert late.headers["cache-control"] == "no-store"
    chinese = await ask(stack, None, "203.0.113.1", headers={"accept-language": "zh"})
    assert "请求过于频繁" in chinese.json["errors"][0]["message"]
    assert (await ask(stack, None, "203.0.113.2")).status == 200  # a neighbour
    assert (await ask(stack, "restricted", "203.0.113.1")).status == 200  # and a client behind the same address


async def test_what_reads_all_records_counts_as_many(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stranger's address and of a client alike. Without the control each would be one request."""
    headers = {"x-forwarded-for": "203.0.113.9"}

    async def total(day: int, view: str | None = None, **more: Any) -> int:
        query = "query T($d: Date!) { records(filter: {decidedFrom: $d}) { totalCount } }"
        given = {"d": f"2024-01-0{day}"}  # not out of the cache
        return int((await stack.ask(query, given, view, headers=headers, **more)).status)

    assert [await total(day) for day in (1, 2)] == [200, 429]
    assert (await ask(stack, None, "203.0.113.9")).status == 429
    account = await make_client(stack.database, "counting", "view:restricted", "GRANT", organisation=stack.organ)
    token = await stack.fetch_token(account, case="door-counting")
    assert [await total(day, "restricted", token=token) for day in (1, 2)] == [200, 429]
    monkeypatch.setattr(Throttle, "more", lambda *_: 0.0)
    headers = {"x-forwarded-for": "203.0.113.10"}
    assert [await total(day) for day in range(3, 8)] == [200] * 5


async def by_post(stack: Stack, query: str, headers: dict[str, str]) -> str:
    return (await stack.ask(query, headers=headers)).body.decode()


async def by_get(stack: Stack, query: str, headers: dict[str, str]) -> str:
    asked = "?" + urlencode({"query": query})
    return (await stack.send("GET", None, {"accept": GRAPHQL, **headers}, query=asked)).body.decode()


async def by_events(stack: Stack, query: str, headers: dict[str, str]) -> str:
    return (await stack.ask(query, headers={**headers, "accept": "text/event-stream"})).body.decode()


async def by_socket(stack: Stack, query: str, headers: dict[str, str]) -> str:
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(f"{stack.base}/graphql", protocols=PROTOCOLS, headers=headers)
        except aiohttp.WSServerHandshakeError as refused:  # the socket is a request of the address, too
            return "RATE_LIMITED" if refused.status == 429 else str(refused)
        await socket.send_json({"type": "connection_init"})
        await socket.receive_json()
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
        return str(await socket.receive_json())


WAYS = [by_post, by_get, by_events, by_socket]


@pytest.mark.parametrize("way", WAYS)
async def test_totals_count_whichever_way_they_come(
    stack: Stack, way: Callable[[Stack, str, dict[str, str]], Awaitable[str]]
) -> None:
    """And under whatever name: two at once are one more than a bucket has."""
    headers = {"x-forwarded-for": f"203.0.113.{80 + WAYS.index(way)}"}
    many = "a: records { totalCount } b: records(first: 1) { totalCount }"
    assert "totalCount" in await way(stack, f"query By_{way.__name__} {{ {many} }}", headers)
    assert "RATE_LIMITED" in await way(stack, f"query Again_{way.__name__} {{ {many} }}", headers)


async def test_a_forged_hop_is_no_other_address(stack: Stack) -> None:
    replies = [await ask(stack, None, f"198.51.100.{number}, 203.0.113.3") for number in range(12)]
    assert [reply.status for reply in replies].count(429) >= 1
    # Without the control (every hop believed) each would have been another client:
    assert {(await ask(stack, None, f"198.51.100.{number}")).status for number in range(12)} == {200}


async def test_a_client_and_its_one_row(stack: Stack) -> None:
    account = await make_client(stack.database, "hasty", "view:restricted", "GRANT", organisation=stack.organ)
    token = await stack.fetch_token(account, case="door-hasty")
    replies = [await ask(stack, None, "203.0.113.4", token=token) for _ in range(30)]
    refused = [reply for reply in replies if reply.status == 429]
    assert {reply.status for reply in replies} == {200, 429}
    assert {reply.code for reply in refused} == {"RATE_LIMITED"}
    assert len(refused) >= 15
    rows = await stack.disclosures("door-hasty")
    limited = [row for row in rows if row["outcome"] == "RATE_LIMITED"]
    assert len(rows) - len(limited) == len(replies) - len(refused)
    assert [(row["client_id"], json.loads(row["variables"])) for row in limited] == [("hasty", {"refused": 1})]
    assert limited[0]["document_hash"] is None
    assert (await ask(stack, "scoped", "203.0.113.4")).status == 200  # another client


async def test_tokens_that_do_not_hold_end_in_429_and_hold_back_nobody_who_is_known(stack: Stack) -> None:
    assert (await ask(stack, "internal", "203.0.113.5")).status == 200
    statuses = [(await ask(stack, None, "203.0.113.5", token=f"no.token.{n}")).status for n in range(14)]
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429
    assert (await ask(stack, "internal", "203.0.113.5")).status == 200
    assert (await ask(stack, None, "203.0.113.5")).status == 200


async def test_a_neighbours_bad_tokens_hold_back_no_token_of_ours(stack: Stack) -> None:
    """Neither one that was never seen, nor one that was not seen for longer than a registration is kept."""
    account = await make_client(stack.database, "neighbour", "view:restricted", "GRANT", organisation=stack.organ)
    here = {"x-forwarded-for": "203.0.113.15"}
    idle = await stack.fetch_token(account, case="door-idle", headers=here)
    assert (await ask(stack, None, "203.0.113.15", token=idle)).status == 200
    await asyncio.sleep(2.0)
    statuses = [(await ask(stack, None, "203.0.113.15", token=f"bad.token.{n}")).status for n in range(14)]
    assert statuses[-1] == 429
    fresh = await stack.fetch_token(account, case="door-fresh", headers=here)
    for token in (idle, fresh):
        assert (await ask(stack, None, "203.0.113.15", token=token)).status == 200
    assert (await ask(stack, None, "203.0.113.15", token="bad.token.again")).status == 429


@pytest.mark.parametrize("refused", ["PURPOSE_REQUIRED", "MATTER_NOT_GRANTED", "BAD_USER_INPUT"])
async def test_refusals_before_the_question_count_for_their_client(stack: Stack, refused: str) -> None:
    """Else each of them would be a durable row, as many as somebody likes to send."""
    name = f"flood-{refused.lower().replace('_', '-')}"
    account = await make_client(stack.database, name, "view:restricted", "GRANT", organisation=stack.organ)
    case = None if refused != "BAD_USER_INPUT" else f"door-{name}"
    token = await stack.fetch_token(account, case=case, headers={"x-forwarded-for": "203.0.113.16"})
    headers = {
        "PURPOSE_REQUIRED": {},
        "MATTER_NOT_GRANTED": {"credit-purpose": f'matter="DEBT", case="door-{name}"'},
        "BAD_USER_INPUT": {"credit-hops": "9"},
    }[refused]
    replies = [await ask(stack, None, "203.0.113.16", token=token, headers=dict(headers)) for _ in range(30)]
    codes = [reply.code for reply in replies]
    assert codes[0] == refused
    assert codes.count("RATE_LIMITED") >= 15
    rows = await stack.owner.fetch("select outcome from ledger.disclosure where client_id = $1", name)
    assert len(rows) <= codes.count(refused) + 1


async def test_the_token_endpoint(stack: Stack) -> None:
    account = stack.clients["plain"]
    found = []
    for _ in range(13):
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion(account, stack.base),
        }
        async with stack.session.post(
            f"{stack.base}/oauth/token", data=form, headers={"x-forwarded-for": "203.0.113.6"}
        ) as reply:
            found.append((reply.status, reply.headers.get("retry-after"), await reply.json(content_type=None)))
    assert [status for status, _, _ in found[:10]] == [200] * 10
    status, after, body = found[-1]
    assert (status, body["error"]) == (429, "temporarily_unavailable")
    assert after is not None
    assert 1 <= int(after) <= 5


async def test_other_pages_count_as_the_public_does_and_health_does_not(stack: Stack) -> None:
    async def statuses(path: str, address: str) -> set[int]:
        found = set()
        for _ in range(12):
            async with stack.session.get(f"{stack.base}{path}", headers={"x-forwarded-for": address}) as reply:
                found.add(reply.status)
        return found

    assert await statuses("/schema/public.graphql", "203.0.113.7") == {200, 429}
    assert await statuses("/healthz", "203.0.113.7") == {200}


async def test_refusals_of_strangers_are_lines_without_the_question(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.sleep(1.1)  # the last line is older than a second
    with caplog.at_level(logging.INFO, "gateway.web.throttle"):
        reply = await stack.ask("{ secretOfMine }", headers={"x-forwarded-for": "203.0.113.8"})
    assert reply.code == "GRAPHQL_VALIDATION_FAILED"
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.web.throttle"]
    assert line.startswith("refused GRAPHQL_VALIDATION_FAILED from 203.0.113.8; ")
    assert "secretOfMine" not in line


ODD = {
    ("GET", "//graphql"): 404,
    ("GET", "/graphql/"): 404,
    ("GET", "/healthz/"): 404,  # no redirect to whatever host was sent
    ("GET", "/graphql/assets/%00"): 404,
    ("GET", "/graphql/assets/..%2f..%2fsettings.py"): 404,
    ("TRACE", "/graphql"): 405,
    ("OPTIONS", "/graphql"): 405,
    ("HEAD", "/graphql"): 405,
    ("PROPFIND", "/graphql"): 405,
    ("TRACE", "/healthz"): 405,
    ("PUT", "/oauth/token"): 405,
    ("OPTIONS", "/oauth/token"): 405,
}


@pytest.mark.parametrize(("method", "path"), ODD, ids=lambda part: part)
async def test_odd_paths_and_methods(stack: Stack, method: str, path: str) -> None:
    heard = await raw(stack, f"{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert heard.startswith(b"HTTP/1.1 %d " % ODD[method, path]), heard
    assert heard.count(b"HTTP/1.1 ") == 1
    assert b"evil.example" not in heard
    assert b"x-content-type-options: nosniff\r\n" in heard


async def raw(stack: Stack, request: bytes) -> bytes:
    """What the gateway answers to these bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stack.base.rpartition(":")[2]))
    writer.write(request.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.90\r\n\r\n", 1))
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_page_elsewhere_can_send_without_asking_is_refused(stack: Stack, kind: str) -> None:
    """Cross-site request forgery: a browser sends these without a preflight, and asks first for anything else."""
    body = json.dumps({"query": "{ viewer { view } }"}).encode()
    headers = {"content-type": kind, "accept": GRAPHQL, "x-forwarded-for": "203.0.113.91"}
    reply = await stack.send("POST", body, {**headers, "origin": "https://evil.example"})
    assert reply.status == 415
    # With the type that needs a preflight the same is answered, but no other origin may ever read it.
    reply = await stack.send(
        "POST", body, {**headers, "content-type": "application/json", "origin": "https://e.example"}
    )
    assert reply.status == 200
    assert not any(name.lower().startswith("access-control") for name in reply.headers)


async def test_the_session_is_one_of_many_connections(stack: Stack) -> None:
    """Connections from our own proxies are not counted by address, so that one proxy can bring everybody."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def healthy() -> int:
            async with session.get(f"{stack.base}/healthz") as reply:
                return reply.status

        assert set(await asyncio.gather(*(healthy() for _ in range(50)))) == {200}
