"""A headless Chromium for tests, driven through its DevTools protocol with aiohttp: no driver package is needed.

In: a URL. Out: what the page asked for, what it complained about, the value of an expression, a picture.
"""
# ruff: noqa: ASYNC110, ASYNC240 (a browser is another process: what it has done can only be asked again)

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without these Chromium looks for its maker's hosts at every start, and fails loudly where there is no network.
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1400,900", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """One tab. `requests` has the URLs asked for, `complaints` the console's errors, exceptions and refusals."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the browser says until it leaves."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:1000])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(json.dumps(params["args"])[:1000])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command's result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(self._waiting[number], 30)
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        said = await self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, expression: str, seconds: float = 30) -> None:
        """Wait until the expression holds."""
        async with asyncio.timeout(seconds):
            while not await self.value(f"Boolean({expression})"):
                await asyncio.sleep(0.1)

    async def screenshot(self, path: Path) -> None:
        """A PNG of what a person would see."""
        path.write_bytes(base64.b64decode((await self.command("Page.captureScreenshot"))["data"]))


@contextlib.asynccontextmanager
async def opened(url: str, profile: Path) -> AsyncIterator[Page]:
    """The page at `url` in a browser of its own; `profile` is a new folder."""
    assert CHROMIUM is not None
    flags = (*FLAGS, "--no-sandbox") if os.geteuid() == 0 else FLAGS  # its sandbox refuses root
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, *flags, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (tab,) = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                listener = asyncio.create_task(page.listen())
                for domain in ("Network", "Runtime", "Log", "Page"):
                    await page.command(f"{domain}.enable")
                await page.command("Page.navigate", url=url)
                yield page
                listener.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            browser.terminate()
        await browser.wait()


async def _port(file: Path) -> int:
    async with asyncio.timeout(60):
        while not (file.is_file() and file.read_text().strip()):
            await asyncio.sleep(0.1)
    return int(file.read_text().split()[0])
