"""What streams of both kinds (SSE, WebSocket) share: seats, who asks at each moment, and that the server stops.

In: the headers that a stream began with. Out: `who` for the engine: asked before each event and twice a second, it ends
the stream when the token does, when its client is disabled, or when the server stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.auth.authenticate import Authenticator
from gateway.auth.principal import Principal
from gateway.engine.subscribe import Who
from gateway.web.seats import Seats


class Stopping(Exception):
    """The server stops: the client may come again, to another process."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Streams:
    """`stopping`: whether the server does."""

    seats: Seats
    stopping: Callable[[], bool] = _never

    def who(self, authenticator: Authenticator, authorization: str | None, purpose: str | None) -> Who:
        """Who asks by these headers, each time it is called."""

        async def who() -> Principal:
            if self.stopping():
                raise Stopping
            return await authenticator.still(authorization, purpose)

        return who
