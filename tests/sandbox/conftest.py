"""One courts' sandbox a test, on a port of its own, with a clock that only the test moves, and a caller for it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from courts_sandbox_client import ROWS, Client, Clock

from sandbox.courts import Courts
from sandbox.data import Given
from sandbox.server import Running, start_courts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def courts(clock: Clock) -> AsyncIterator[Running[Courts]]:
    async with await start_courts(Given(ROWS), clock=clock) as running:
        yield running


@pytest_asyncio.fixture
async def client(courts: Running[Courts], clock: Clock) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(courts.url, session, clock)
