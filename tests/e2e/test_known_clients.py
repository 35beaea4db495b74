"""Promise: clients of other hands get on with persisted documents as they come. Apollo Client and urql learn that a
hash is not known, send text and hash, and from then on the hash alone; without a token they learn to send texts."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from e2e_stack import ROOT, Stack

NPM, NODE = shutil.which("npm"), shutil.which("node")
TOOLS, BUILT = ROOT / "tools" / "clients", ROOT / "build" / "clients"

pytestmark = [pytest.mark.long, pytest.mark.skipif(NPM is None or NODE is None, reason="needs Node.js with npm")]


async def run(*arguments: str, cwd: Path) -> str:
    """What a command says; it must end with 0."""
    running = await asyncio.create_subprocess_exec(
        *arguments, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(180):
        said, errors = await running.communicate()
    assert running.returncode == 0, errors.decode()
    return said.decode()


@pytest.fixture(scope="module")
async def clients() -> Path:
    """A folder with the pinned clients."""
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "persisted.mjs"):
        shutil.copy(TOOLS / name, BUILT / name)
    await run(str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=BUILT)
    return BUILT


async def calls(clients: Path, stack: Stack, token: str) -> list[list[tuple[str, str]]]:
    """What each client sent: (method, hash or text)."""
    said = await run(str(NODE), "persisted.mjs", f"{stack.base}/graphql", token, cwd=clients)
    return [[(method, what) for method, what, _ in json.loads(line)] for line in said.splitlines()]


async def test_with_a_token(stack: Stack, clients: Path) -> None:
    expected = [("POST", "hash"), ("POST", "text"), ("POST", "hash"), ("POST", "hash")]
    assert await calls(clients, stack, stack.tokens["restricted"]) == [expected, expected]


async def test_without_a_token(stack: Stack, clients: Path) -> None:
    for found in await calls(clients, stack, ""):
        assert found[0] == ("GET", "hash")
        assert [what for _, what in found[1:]] == ["text"] * 3
