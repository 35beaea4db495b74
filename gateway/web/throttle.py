"""How many requests one client may make: token buckets, in each process, bounded in memory.

In: an address or a client's id. Out: nothing, or RateLimited with the seconds after which the next would pass. Who is
not known yet counts by address, who is known by client; tokens that do not hold, and requests for tokens, have buckets
of their own, so that nobody's public questions use up somebody else's way in.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import RateLimited
from gateway.web.address import Peers, counted_as

logger = logging.getLogger(__name__)

_MOST: Final = 20_000  # buckets of one kind; who was not seen longest is forgotten, and begins with a full one


class Buckets:
    """One bucket for each key: `burst` requests at once, and `rate` a second after that.

    A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm).
    """

    def __init__(
        self, rate: float, burst: float, *, most: int = _MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1.0 / rate
        self._patience = max(burst, 1.0) * self._interval
        self._most = most
        self._clock = clock
        self._full: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, requests: int = 1) -> float:
        """Take so many; 0.0, or the seconds after which there will be as many (then none was taken). More than half a
        bucket is taken once that half is there: the bucket is empty for longer then."""
        now = self._clock()
        full = self._full.get(key, now)
        if full < now:
            full = now
        taken = requests * self._interval
        late = full - now + min(taken, max(self._interval, self._patience / 2)) - self._patience
        full += taken
        if late > 1e-9:
            self._full.move_to_end(key)
            return late
        self._full[key] = full
        self._full.move_to_end(key)
        if len(self._full) > self._most:
            self._full.popitem(last=False)
        return 0.0

    def wait(self, key: str) -> float:
        """The seconds that `take` would return; takes nothing."""
        full = self._full.get(key)
        return 0.0 if full is None else max(0.0, full + self._interval - self._clock() - self._patience)

    def __len__(self) -> int:
        return len(self._full)


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second and at once, over all processes; a rate of 0 is no limit."""

    client: float = 200.0
    client_burst: float = 1_000.0
    public: float = 20.0
    public_burst: float = 100.0
    token: float = 5.0
    token_burst: float = 50.0


class Throttle:
    """The buckets of one process, which has its share of the rates."""

    def __init__(self, rates: Rates, peers: Peers, *, workers: int = 1) -> None:
        def made(rate: float, burst: float) -> Buckets | None:
            return Buckets(rate / workers, burst / workers) if rate else None

        self._peers = peers
        self._clients = made(rates.client, rates.client_burst)
        self._public = made(rates.public, rates.public_burst)
        self._tokens = made(rates.token, rates.token_burst)
        self._failures = made(rates.public, rates.public_burst)

    def address(self, scope: MutableMapping[str, Any]) -> str:
        """What the client's address counts as."""
        return counted_as(self._peers.client_address(scope))

    def public_request(self, scope: MutableMapping[str, Any]) -> float:
        """A request without a token, by its address: the seconds to wait, 0.0 for none."""
        return 0.0 if self._public is None else self._public.take(self.address(scope))

    def stranger(self, scope: MutableMapping[str, Any]) -> None:
        """The same for a question. Raises RateLimited."""
        if wait := self.public_request(scope):
            raise too_many(wait)

    def token_request(self, scope: MutableMapping[str, Any]) -> float:
        """A request for a token, by its address: the seconds to wait, 0.0 for none."""
        return 0.0 if self._tokens is None else self._tokens.take(self.address(scope))

    def client(self, client_id: str) -> float:
        """A request of a client that is known: the seconds to wait, 0.0 for none."""
        return 0.0 if self._clients is None else self._clients.take(client_id)

    def more(self, scope: MutableMapping[str, Any], client_id: str | None, requests: int) -> float:
        """So many more of a client, or of the address of nobody's request: the seconds to wait, 0.0 for none."""
        if client_id is not None:
            return 0.0 if self._clients is None else self._clients.take(client_id, requests)
        return 0.0 if self._public is None else self._public.take(self.address(scope), requests)

    def failed(self, scope: MutableMapping[str, Any], client_id: str) -> None:
        """A request that could not be let in came from this address; `client_id` where its token is of that client's.

        Who holds a client's token but not what it is bound to counts apart: neither the address nor the client,
        wherever it asks from, has to pay for it.
        """
        if self._failures is not None:
            self._failures.take(f"{self.address(scope)} {client_id}")

    @property
    def any_failed(self) -> bool:
        """Whether there is anything to look for: almost every request comes when nobody has failed."""
        return bool(self._failures)

    def suspect(self, scope: MutableMapping[str, Any], client_id: str) -> float:
        """The seconds for which nothing more like it is looked at, 0.0 for none."""
        return self._failures.wait(f"{self.address(scope)} {client_id}") if self._failures else 0.0


def too_many(wait: float) -> RateLimited:
    """The refusal, with its Retry-After in whole seconds."""
    seconds = max(1, math.ceil(wait))
    return RateLimited(
        f"too many requests; go on after {seconds} s, and more slowly",
        f"请求过于频繁，请在 {seconds} 秒后重试并降低频率",
        retry_after=seconds,
    )


class RefusalLog:
    """Refusals of those who have no account, as lines of the log: one a second at most, with the count of the others.

    Neither the question nor a token is in them.
    """

    def __init__(self, *, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = 0.0
        self._silent = 0

    def add(self, code: str, address: str) -> None:
        """A request was refused with this code."""
        now = self._clock()
        if now < self._next:
            self._silent += 1
            return
        self._next = now + self._seconds
        logger.info("refused %s from %s; %d more since the last line", code, address or "nowhere", self._silent)
        self._silent = 0


@dataclass(slots=True)
class _Seen:
    since: float
    count: int = 0


class RefusedClients:
    """Which RATE_LIMITED of a client is disclosed: the first at once, then one in so many seconds with the count of
    those since: a client that is throttled can't flood the ledger."""

    def __init__(
        self, *, seconds: float = 60.0, most: int = _MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def add(self, client_id: str) -> int:
        """A refusal; the number of refusals that its row stands for, 0 where it gets none of its own."""
        now = self._clock()
        seen = self._seen.get(client_id)
        if seen is not None:
            seen.count += 1
            if now - seen.since < self._seconds:
                return 0
            count, seen.since, seen.count = seen.count, now, 0
            return count
        self._seen[client_id] = _Seen(now)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return 1
