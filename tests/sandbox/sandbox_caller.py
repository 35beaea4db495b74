"""What the plain callers of the sandbox's upstreams have in common: asking for faults, and reading the calls.

They are written from the contracts alone: they share no code with the servers, nor with the connectors.
"""

from dataclasses import dataclass
from typing import Any

import aiohttp
from courts_sandbox_client import Clock


@dataclass(frozen=True)
class Reply:
    """Status, headers and parsed body of an answer."""

    status: int
    headers: Any
    json: Any


class Caller:
    """A caller of one upstream at `base`."""

    def __init__(self, base: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.base, self.session, self.clock = base, session, clock

    async def send(self, method: str, path: str, **options: Any) -> Reply:
        async with self.session.request(method, self.base + path, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.json(content_type=None))

    async def fault(self, name: str, service: str = "*", **options: Any) -> None:
        body = {"service": service, "fault": name, **options}
        async with self.session.post(f"{self.base}/_faults", json=body) as response:
            assert response.status == 201, await response.text()

    async def heal(self) -> None:
        assert (await self.session.delete(f"{self.base}/_faults")).status == 204

    async def calls(self, service: str | None = None) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.base}/_calls") as response:
            return [call for call in await response.json() if service in (None, call["service"])]
