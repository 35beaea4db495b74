"""The account of requests that asked sources and then ended without an answer: left, timed out, failed; and of those
that their client's own deadline ended.

In: how far such a request came. Out: its disclosure, written behind it. What a source was asked can't be taken back, so
it is told all the same: who asked, for what, about whom; `INTERRUPTED` where nobody knows what came of it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from gateway.auth.principal import Principal
from gateway.engine.account import Account, Disclosure
from gateway.engine.request import Done, Request, disclosure
from gateway.errors import LedgerUnavailable

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 20
_PAUSE: Final = 1.0  # s between two of them
_DRAIN: Final = 3.0  # s that closing waits
_MOST: Final = 10_000  # waiting at once
_REFUSED: Final = 1_000  # waiting at once, before one more that asked no source is not taken


class Afterwards:
    """Disclosures that are written when their request has ended already, tried again while the ledger is away."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, principal: Principal, request: Request, done: Done, outcome: str, *, refused: bool = False) -> None:
        """Account for a request that asked sources, or was `refused`; nothing for any other, or for the public. Of one
        that asked none no variables are kept, as of any refusal."""
        if not principal.access.disclosed or not (done.asked_sources or refused):
            return
        done, most = replace(done, shown=b"", snapshot=None), _MOST
        if not done.asked_sources:
            done.operation, most = None, _REFUSED
        told = disclosure(principal, request, done, outcome)
        if len(self._tasks) >= most:
            self._lost(told)
            return
        task = asyncio.get_running_loop().create_task(self._write(told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Write what is still to be written, for some seconds at most."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=_DRAIN)
            for task in late:
                task.cancel()

    async def _write(self, told: Disclosure) -> None:
        for _ in range(_ATTEMPTS):
            try:
                await self._account.record(told)
            except LedgerUnavailable:
                await asyncio.sleep(_PAUSE)
            else:
                return
        self._lost(told)

    @staticmethod
    def _lost(told: Disclosure) -> None:
        # The log is what is left: who and for what, no variable and no answer.
        logger.error(
            "account: %s of client %s, matter %s, could not be written: %s",
            told.outcome, told.client_id, told.matter, told.sources,
        )  # fmt: skip
