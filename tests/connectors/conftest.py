"""Fixtures of the peers' tests: the hostile server, and a connector with short limits that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hostile import serving
from hostile_peer import Asker, Peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    server = Peer()
    async with serving(server.handle) as server.url:
        yield server


@pytest.fixture
async def asker(peer: Peer) -> AsyncIterator[Asker]:
    made = Asker(peer)
    yield made
    await made.connector.close()
