"""Promises: whatever is sent to a served gateway (two workers, the three views, real HTTP), it answers in time and
without a server error or raw error text, goes on answering good requests rightly, and does not grow; and the run that
shows it notices every answer that must not be. Likewise for what Schemathesis makes of contracts and OpenAPI.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app import create_app
from gateway.settings import Settings
from scripts import schemathesis_hooks, schemathesis_run
from scripts.malformed import attack, main
from scripts.served import served
from tests.bad_input.cases import Known
from tests.e2e.malformed import LAYERS, requests
from tests.e2e.malformed_run import Answer, judge, run

KNOWN = Known({"restricted": "a.b.c", "internal": "d.e.f"}, "91652799YL000024X2", (), "UgAAAAAAAAAAAAAAAAAAAAA", "d")
MOST_GROWTH = 64 << 20  # bytes, of both workers; caches have their bounds
PATIENCE = 20.0  # a busy machine's; by hand it is 3 s


def test_the_same_seed_makes_the_same_requests_in_every_layer() -> None:
    first, again = (list(requests(7, 400, KNOWN)) for _ in range(2))
    assert [made.wire() for made in first] == [made.wire() for made in again]
    assert [made.wire() for made in first] != [made.wire() for made in requests(8, 400, KNOWN)]
    assert {layer for made in first for layer in made.layers} == {name for name, _ in LAYERS}
    assert all(f"{len(made.body)}".encode() in made.wire() for made in first if made.length is None)


def test_a_thousand_malformed_requests(tmp_path: Path) -> None:
    with served(tmp_path) as target:
        report, _, (before, after) = asyncio.run(attack(target, 2026, 1_000, patience=PATIENCE))
    assert report.wrong == []
    assert report.sent == 1_000
    assert report.goods >= 15
    assert {code for _, code in report.counts} >= {
        "BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "UNAUTHENTICATED", "invalid_client",
    }  # fmt: skip
    assert after - before < MOST_GROWTH
    assert "Traceback" not in (tmp_path / "data" / "gateway.log").read_text(encoding="utf-8")


@pytest.mark.long
def test_twenty_thousand_malformed_requests(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--requests", "20000"])
    print(said := capsys.readouterr().out)
    assert status == 0, said


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\n{}", "a server error"),
        (
            b'HTTP/1.1 400 X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"errors":[{"message":'
            b'"invalid input syntax: KeyError","extensions":{"code":"BAD_USER_INPUT"}}]}',
            "raw error text",
        ),
        (b"HTTP/1.1 400 X\r\ncontent-type: text/html\r\ncontent-length: 1\r\n\r\nx", "no JSON"),
        (b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\nx", "not JSON"),
        (b"", "closed without an answer"),
        (None, "no answer in"),
    ],
)
async def test_the_run_notices_what_must_not_be(reply: bytes | None, complaint: str) -> None:
    handlers: set[asyncio.Task[None] | None] = set()

    async def careless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        await reader.read(65_536)
        if reply is None:
            await reader.read()  # until the client has enough
        else:
            writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(careless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        report = await run(f"http://127.0.0.1:{port}", KNOWN, seed=1, count=8, patience=0.5)
    finally:
        server.close()
        await asyncio.gather(*(handler for handler in handlers if handler), return_exceptions=True)
    assert any(line.startswith(complaint) for line in report.wrong), report.wrong
    assert any("good request" in line for line in report.wrong)


def test_a_masked_error_counts_as_wrong() -> None:
    body = b'{"errors":[{"message":"Quote 0a to the operator","extensions":{"code":"INTERNAL"}}]}'
    made = next(iter(requests(1, 1, KNOWN)))
    assert judge(made, Answer(200, "application/json", body, 0.1)) == ("INTERNAL", "masked, but unforeseen")


# Schemathesis --------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_minute_of_schemathesis() -> None:
    assert schemathesis_run.main(["--minutes", "1"]) == 0


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (500, "application/json", {"data": {}}),
        (200, "text/html", {"data": {}}),
        (200, "application/json", []),
        (200, "application/json", {"errors": []}),
        (200, "application/json", {"data": {}, "more": 1}),
        (400, "application/json", {"errors": [{"message": "x", "extensions": {"code": "OTHER"}}]}),
        (400, "application/json", {"errors": [{"message": "asyncpg", "extensions": {"code": "BAD_USER_INPUT"}}]}),
        (200, "application/json", {"data": {}, "errors": [{"message": "x", "extensions": {"code": "FORBIDDEN"}}]}),
    ],
)
def test_the_check_of_schemathesis_notices(status: int, kind: str, body: Any) -> None:
    response: Any = SimpleNamespace(
        status_code=status,
        headers={"content-type": [kind]},
        json=lambda: body,
        request=SimpleNamespace(method="POST"),
    )
    case: Any = SimpleNamespace(operation=SimpleNamespace(path="/graphql"))
    with pytest.raises(AssertionError):
        schemathesis_hooks.sound(SimpleNamespace(), response, case)  # type: ignore[arg-type]


async def test_every_route_is_in_the_openapi_document(seeded: Any, tmp_path: Path) -> None:
    front = create_app(Settings(data_dir=tmp_path), seeded[0])
    served_ = {
        (route.path.replace(":path}", "}"), method)
        for route in front.rest.routes
        if not route.path.startswith("/graphql/assets")  # the files of GraphiQL, where it was built
        if route.include_in_schema  # all but those that say what is not there
        for method in route.methods - {"HEAD"}
    } | {("/graphql", "GET"), ("/graphql", "POST")}
    document = json.loads(schemathesis_run.OPENAPI.read_text(encoding="utf-8"))
    assert served_ == {(path, method.upper()) for path, item in document["paths"].items() for method in item}
