"""How many subscriptions there may be: of a client, of an address without a token, of a process.

In: who subscribes. Out: a seat until it is left, or RateLimited, Forbidden.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge

from gateway.auth.principal import Principal
from gateway.errors import Forbidden, RateLimited

_AGAIN = 30  # s, for Retry-After


class Seats:
    """Those of one process, which has its share of the limits. `client` 0: no limit; `public` 0: none."""

    def __init__(
        self, *, most: int, client: int, public: int, workers: int = 1, registry: CollectorRegistry | None = None
    ) -> None:
        self._most = most
        self._client = math.ceil(client / workers)
        self._public = math.ceil(public / workers)
        self._taken: Counter[str] = Counter()
        self._all = 0
        Gauge("credit_subscriptions", "Open subscriptions", registry=registry or CollectorRegistry()).set_function(
            lambda: self._all
        )

    @contextmanager
    def seat(self, principal: Principal, address: str) -> Iterator[None]:
        """A seat for as long as the block lasts. Raises RateLimited, Forbidden."""
        known = principal.client_id is not None
        if not known and not self._public:
            raise Forbidden(
                "subscriptions need a token here; poll recordChanges, or ask with one",
                "此处订阅需要访问令牌，请轮询 recordChanges 或携带令牌订阅",
            )
        key = f"client {principal.client_id}" if known else f"address {address}"
        most = self._client if known else self._public
        if self._all >= self._most or (most and self._taken[key] >= most):
            raise RateLimited(
                "too many subscriptions; end some, or put several subjects into one",
                "订阅过多，请结束部分订阅，或将多个主体合并到一个订阅中",
                retry_after=_AGAIN,
            )
        self._all += 1
        self._taken[key] += 1
        try:
            yield
        finally:
            self._all -= 1
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
