"""Promise: GraphiQL loads from our own host alone, runs under a policy without inline scripts, offers both headers,
and leaves no query, variable, token or purpose in the browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from chromium import CHROMIUM, opened
from graphql import execute, parse, validate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.auth.purpose import parse_header
from gateway.schema.contracts import build_contracts
from gateway.web.graphiql import ASSETS, BUILT, PAGE_HEADERS, POLICY, graphiql_page

SOURCES = Path(__file__).resolve().parents[2] / "gateway" / "web"
PINNED = Path(__file__).resolve().parents[2] / "tools" / "graphiql" / "package-lock.json"
# What a person reads in the editors.
LINES = "Array.from(document.querySelectorAll('.view-line'), line => line.textContent).join(' ')"
built = pytest.mark.skipif(not BUILT.is_dir(), reason="GraphiQL is not built; `make graphiql` does it")


def constant(name: str) -> str:
    """A template string of graphiql.js."""
    found = re.search(rf"^const {name} = `(.*?)`;$", (SOURCES / "graphiql.js").read_text("utf-8"), re.M | re.S)
    assert found, name
    return found[1]


@pytest.mark.parametrize("name", ["graphiql.html", "graphiql.js", "graphiql.css"])
def test_our_own_files_name_no_other_host(name: str) -> None:
    assert not re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", (SOURCES / name).read_text("utf-8"))


def test_page_loads_assets_alone_and_has_no_script_of_its_own() -> None:
    page = (SOURCES / "graphiql.html").read_text("utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) == 3
    assert all(address == "data:," or address.startswith("/graphql/assets/") for address in addresses)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.S) == [""]
    assert not re.search(r"\son\w+=", page)


def test_policy_takes_no_inline_script_and_no_other_host() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["worker-src"] == rules["connect-src"] == "'self'"
    assert not re.search(r"unsafe-eval|http|\*|blob:", POLICY)


def test_default_query_is_valid_in_the_public_contract() -> None:
    assert not validate(build_contracts()["PUBLIC"], parse(constant("QUERY")))


def test_hint_names_both_headers_and_sends_none() -> None:
    hint = constant("HEADERS")
    assert "Authorization" in hint
    assert "Credit-Purpose" in hint
    assert json.loads(re.sub(r"^\s*//.*$", "", hint, flags=re.M)) == {}


def test_packages_are_pinned_by_hash_without_a_registry() -> None:
    packages: dict[str, dict[str, Any]] = json.loads(PINNED.read_text("utf-8"))["packages"]
    installed = [package for path, package in packages.items() if path]
    assert all("integrity" in package and "resolved" not in package for package in installed)


@built
def test_built_page_refers_to_files_that_exist() -> None:
    page = graphiql_page()
    assert page is not None
    addresses = re.findall(r'"/graphql/assets/([^"?]+)\?v=[0-9a-f]{12}"', page.decode())
    assert sorted(addresses) == ["graphiql.css", "graphiql.js"]
    assert all((ASSETS / name).is_file() for name in (*addresses, "editor.worker.js", "graphql.worker.js"))


@built
def test_built_assets_load_nothing_from_elsewhere() -> None:
    for style in ASSETS.glob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", style.read_text("utf-8")), style.name
    elsewhere = re.compile(r"(?:import|from|fetch\(|importScripts\()\s*[\"'](?:https?:)?//")
    for script in ASSETS.glob("*.js"):
        assert not elsewhere.findall(script.read_text("utf-8")), script.name


class Gateway:
    """The page, its assets, and a /graphql that answers introspection; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.introspected = asyncio.Event()
        self._schema = build_contracts()["PUBLIC"]
        routes = [
            Route("/graphql", self._page, methods=["GET"]),
            Route("/graphql", self._answer, methods=["POST"]),
            Mount("/graphql/assets", StaticFiles(directory=ASSETS)),
        ]
        self.app = Starlette(routes=routes)

    async def _page(self, _: Request) -> Response:
        page = Response(graphiql_page(), media_type="text/html")
        page.raw_headers.extend(PAGE_HEADERS)
        return page

    async def _answer(self, request: Request) -> Response:
        asked = await request.json()
        self.asked.append((dict(request.headers), asked))
        if asked.get("operationName") != "IntrospectionQuery":
            return JSONResponse({"data": {"subject": {"name": "示例博州发展和改革委员会"}}})
        self.introspected.set()
        result = execute(self._schema, parse(asked["query"]))
        assert not asyncio.iscoroutine(result)
        return JSONResponse(result.formatted)  # type: ignore[union-attr]


@contextlib.asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The app on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn tells by a flag only)
        await asyncio.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@built
@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)")
async def test_in_a_browser(tmp_path: Path) -> None:
    gateway = Gateway()
    async with served(gateway.app) as url, opened(f"{url}/graphql", tmp_path / "profile") as page:
        await page.until("document.querySelector('.graphiql-execute-button')")
        await page.until(f"{LINES}.includes('公开视图')")
        await page.until(f"{LINES}.includes('Credit-Purpose')")
        await gateway.introspected.wait()
        assert not {"authorization", "credit-purpose"} & gateway.asked[0][0].keys()
        await page.screenshot(tmp_path / "opened.png")

        headers = {"Authorization": "Bearer s3cret", "Credit-Purpose": 'matter="GRANT", case="博发改〔2026〕17号"'}
        editor = "__MONACO.editor.getModels().find(m => m.uri.path.endsWith('request-headers.json'))"
        await page.value(f"{editor}.setValue({json.dumps(json.dumps(headers))})")
        await asyncio.sleep(1)  # the editor debounces what it keeps
        await page.value("document.querySelector('.graphiql-execute-button').click()")
        await page.until("document.querySelector('.result-window')?.textContent.includes('示例博州')")
        sent, body = gateway.asked[-1]
        assert sent["authorization"] == "Bearer s3cret"
        assert parse_header(sent["credit-purpose"]).case_number == "博发改〔2026〕17号"
        assert "cookie" not in sent
        assert body["operationName"] == "CreditStanding"
        await page.screenshot(tmp_path / "answered.png")

        kept = await page.value("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert not re.search("s3cret|GRANT|博发改|subject|uscc", kept), kept
        assert page.complaints == []
        assert {address.split("/")[2] for address in page.requests if not address.startswith("data:")} == {
            url.removeprefix("http://")
        }
