"""One call for the same question, however many ask: a flight is keyed by what is asked, never by who asks."""

from __future__ import annotations

import asyncio
import math
from typing import TypeAlias

from connectors.base import Purpose
from gateway.sources.told import NoAnswer, Reply

FlightKey: TypeAlias = "tuple[str, str, Purpose | None]"


class Flight:
    """A question on its way: part, USCC and, where the source is told it, the purpose.

    `future` ends with a Reply and is never cancelled: waiters come and go (`waiters` counts those who are there), the
    question goes on. `start_by` (loop time, s) is the latest deadline among those who waited; nobody is served by a
    call that starts later. `ends` (loop time, s) is when its call is given up, where that is before the source's whole
    budget is up; `overtaken` counts the flights of the same question that it left behind for being such.
    """

    __slots__ = ("ends", "future", "overtaken", "part", "purpose", "start_by", "started", "uscc", "waiters")

    def __init__(self, part: str, uscc: str, purpose: Purpose | None, start_by: float) -> None:
        self.part = part
        self.uscc = uscc
        self.purpose = purpose
        self.start_by = start_by
        self.started = False
        self.ends = math.inf
        self.overtaken = 0
        self.waiters = 0
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    @property
    def key(self) -> FlightKey:
        return self.part, self.uscc, self.purpose

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
