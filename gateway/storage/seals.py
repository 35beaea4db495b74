"""Which seals are in force (docs/ledger.md, Sealing), known in every process without asking for each request.

In: the listener, the pool of the role `log`. Out: whether one covers a request; yes wherever that is not known. A seal
that was committed BOUND seconds ago (storage/listener.py) is known everywhere, or nothing is: whoever records one waits
that long. Which seals there are is read from the database and never sent: anybody may listen.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter

from gateway.errors import StorageUnavailable
from gateway.storage.listener import Listener
from gateway.storage.pool import Pool

logger = logging.getLogger(__name__)

_PAUSE: Final = 0.05  # s between two tries to know it
_LOOK: Final = 0.01  # s between two looks of those who wait for it
_Covered: TypeAlias = tuple[frozenset[str], frozenset[str], frozenset[str]]  # clients, matters, case numbers

# As ledger.fan_out has it: a seal whose time is over holds until its entries have their numbers. A single disclosure's
# request is over when it is sealed.
_IN_FORCE: Final = """select json_build_object(
    'clients', coalesce(json_agg(s.client_id) filter (where s.client_id is not null), '[]'),
    'matters', coalesce(json_agg(s.matter) filter (where s.matter is not null), '[]'),
    'cases', coalesce(json_agg(s.case_number) filter (where s.case_number is not null), '[]'))::text as found
from ledger.seal s where s.ended_at is null"""


class StoredSeals:
    """The seals of the database, as sources/ asks for them (sources/wanted.Seals).

    They are read after the listener has confirmed that it hears: what is committed from then on is told. Whatever is
    told, and any doubt, makes all of it unknown until it has been read again.
    """

    def __init__(self, listener: Listener, pool: Pool, registry: CollectorRegistry | None = None) -> None:
        self._listener = listener
        self._pool = pool
        self._known: _Covered | None = None
        self._told = 0  # how often it changed, or may have
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unknown = Counter(
            "credit_seals_unknown",
            "Times that something was taken for sealed, since nobody could say",
            registry=registry or CollectorRegistry(),
        )
        listener.subscribe("seal", lambda _: self._forget(), self._forget)

    def start(self) -> None:
        """Begin to know."""
        self._loop = asyncio.get_running_loop()
        self._forget()

    async def ready(self, patience: float) -> None:
        """Wait until it is known, at most `patience` s."""
        for _ in range(round(patience / _LOOK)):
            if self._known is not None and self._listener.confirmed:
                return
            await asyncio.sleep(_LOOK)

    async def close(self) -> None:
        """Know nothing any more. Idempotent."""
        self._loop, self._known = None, None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def cover(self, client_id: str, matter: str, case_number: str) -> bool:
        """Whether a seal in force covers what this client asks for this matter under this case number; True, too, where
        nobody can say."""
        known = self._known
        if known is None or not self._listener.confirmed:
            self._unknown.inc()
            return True
        clients, matters, cases = known
        return client_id in clients or matter in matters or case_number in cases

    def _forget(self) -> None:
        self._known = None
        self._told += 1
        if self._loop is not None and self._task is None:
            self._task = self._loop.create_task(self._read())

    async def _read(self) -> None:
        try:
            while self._known is None:
                told = self._told
                found = await self._once()
                if found is not None and told == self._told:  # else something changed while it was read
                    self._known = found
                elif found is None:
                    await asyncio.sleep(_PAUSE)
        finally:
            self._task = None

    async def _once(self) -> _Covered | None:
        """What is in force; None where it can't be known now."""
        try:
            if not await self._listener.confirm():
                return None
            row = json.loads((await self._pool.fetchrow(_IN_FORCE, ()))["found"])
            return frozenset(row["clients"]), frozenset(row["matters"]), frozenset(row["cases"])
        except StorageUnavailable:
            return None  # the pool has said so in the log
        except Exception:
            logger.exception("seals: trying again")
            return None
