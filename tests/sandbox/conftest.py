"""One sandbox of each upstream a test, on a port of its own, with a clock that only the test moves, and a caller."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from banks_sandbox_client import GIVEN, BanksClient
from courts_sandbox_client import ROWS, Client, Clock
from peer_sandbox_client import GIVEN as PEER_GIVEN
from peer_sandbox_client import PeerClient
from platform_sandbox_client import ROWS as PLATFORM_ROWS
from platform_sandbox_client import PlatformClient

from sandbox.banks import Banks
from sandbox.banks_data import GivenSummaries
from sandbox.courts import Courts
from sandbox.data import Given
from sandbox.peer_data import GivenSubjects
from sandbox.peer_region import PeerRegion
from sandbox.platform_data import given_rows
from sandbox.region_platform import RegionPlatform
from sandbox.server import Running, start_banks, start_courts, start_peer_region, start_region_platform


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


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as made:
        yield made


@pytest_asyncio.fixture
async def banks(clock: Clock) -> AsyncIterator[Running[Banks]]:
    async with await start_banks(GivenSummaries(GIVEN), clock=clock) as running:
        yield running


@pytest_asyncio.fixture
async def banks_client(banks: Running[Banks], session: aiohttp.ClientSession, clock: Clock) -> BanksClient:
    return BanksClient(banks.url, session, clock)


@pytest_asyncio.fixture
async def platform(clock: Clock) -> AsyncIterator[Running[RegionPlatform]]:
    async with await start_region_platform(given_rows(PLATFORM_ROWS), clock=clock) as running:
        yield running


@pytest_asyncio.fixture
async def platform_client(
    platform: Running[RegionPlatform], session: aiohttp.ClientSession, clock: Clock
) -> PlatformClient:
    return PlatformClient(platform.url, session, clock)


@pytest_asyncio.fixture
async def peer(clock: Clock) -> AsyncIterator[Running[PeerRegion]]:
    async with await start_peer_region(GivenSubjects(PEER_GIVEN), clock=clock) as running:
        yield running


@pytest_asyncio.fixture
async def peer_client(peer: Running[PeerRegion], session: aiohttp.ClientSession, clock: Clock) -> PeerClient:
    return PeerClient(peer.url, session, clock)
