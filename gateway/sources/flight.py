"""One call for the same question, however many ask: a flight is keyed by what is asked, not by who asks.

Unless a seal covers the question (docs/decisions/0037): then it is its asker's alone.
"""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple, TypeAlias

from connectors.base import Purpose
from gateway.sources.told import NoAnswer, Reply
from gateway.sources.wanted import Seals

FlightKey: TypeAlias = "tuple[str, str, Purpose | None, Asker | None]"


class Asker(NamedTuple):
    """Who asks, as seals tell requests from each other; `sealed`: whether one covered the request when it came."""

    client_id: str
    matter: str
    case_number: str
    sealed: bool = False


class Flight:
    """A question on its way: part, USCC and, where the source is told it, the purpose.

    `askers` are all who have ever waited for it, None for the public, which is never sealed; `alone` is the one whom
    a seal covers, where it is nobody else's.

    `future` ends with a Reply and is never cancelled: waiters come and go (`waiters` counts those who are there), the
    question goes on. `start_by` (loop time, s) is the latest deadline among those who waited; nobody is served by a
    call that starts later. `ends` (loop time, s) is when its call is given up, where that is before the source's whole
    budget is up; `overtaken` counts the flights of the same question that it left behind for being such.
    """

    __slots__ = (
        "alone", "askers", "ends", "future", "overtaken", "part", "purpose", "start_by", "started", "uscc", "waiters"
    )  # fmt: skip

    def __init__(
        self, part: str, uscc: str, purpose: Purpose | None, start_by: float, asker: Asker | None = None
    ) -> None:
        self.part = part
        self.uscc = uscc
        self.purpose = purpose
        self.alone = asker if asker is not None and asker.sealed else None
        self.askers: set[Asker | None] = {asker}
        self.start_by = start_by
        self.started = False
        self.ends = math.inf
        self.overtaken = 0
        self.waiters = 0
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    @property
    def key(self) -> FlightKey:
        return self.part, self.uscc, self.purpose, self.alone

    def sealed(self, seals: Seals) -> bool:
        """Whether nobody else may know of it: seals cover all who have asked, from the first or by now."""
        if self.alone is not None:
            return True
        return all(asker is not None and seals.cover(*asker[:3]) for asker in self.askers)

    def reply(self, unfinished: str, unstarted: str) -> Reply:
        """What is known now; the reasons for a call that has not ended, and for one that has not begun."""
        if self.future.done():
            return self.future.result()
        return NoAnswer(unfinished if self.started else unstarted)


async def land(flights: list[Flight], deadline: float) -> None:
    """Wait until all have ended, or the deadline (loop time, s). Being cancelled leaves the flights alone."""
    waiting = {flight.future for flight in flights if not flight.future.done()}
    left = deadline - asyncio.get_running_loop().time()
    if waiting and left > 0:
        await asyncio.wait(waiting, timeout=left)
