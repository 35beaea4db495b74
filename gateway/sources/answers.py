"""Kept answers: a bounded LRU in the process over core.source_answer.

In: keys (source, part, USCC). Out: the newest answer of each that is not past its stale limit, fresh or not. Rows are
text from the connector to the body statement: they are pasted, never parsed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from connectors.base import Purpose
from gateway.sources.policy import SourcePolicy
from gateway.sources.told import Told, told
from gateway.storage.pool import Pool, same, storage_unavailable

Key: TypeAlias = tuple[str, str, str]  # source, part (`of_purpose`), USCC

_RECHECK: Final = 2.0  # s before the database, which other processes write to, is asked again for the same
_ABSENT: Final = 20_000  # keys remembered as not kept
_OVERHEAD: Final = 600  # bytes of an entry besides its rows: key, slot, Told and its texts

# One descent of the index for each key; the newest answer alone is read.
_FIND: Final = """
select k.i::int8 as i, extract(epoch from a.asked_at)::float8 as asked_at, a.rows
from unnest($1::text[], $2::text[], $3::text[], $4::float8[]) with ordinality k (source, part, uscc, since, i)
cross join lateral (
    select s.asked_at, s.rows::text as rows from core.source_answer s
    where s.uscc = k.uscc and s.source_code = k.source and s.part = k.part and s.asked_at > to_timestamp(k.since)
    order by s.asked_at desc limit 1
) a"""


def of_purpose(part: str, purpose: Purpose | None) -> str:
    """The part as it is kept; by matter and asking organisation where the source decides by them what it tells: what
    it told another is no answer for this one, whom it may refuse. None: a source that is not told who asks."""
    return part if purpose is None else f"{part}:{purpose.matter}:{purpose.on_behalf_of or ''}"


class _Slot:
    __slots__ = ("checked", "size", "told")

    def __init__(self, told: Told, checked: float) -> None:
        self.told = told
        self.checked = checked  # when the database was last known to have nothing newer
        self.size = sys.getsizeof(told.rows) + _OVERHEAD


class KeptAnswers:
    """Newest answers by key; at most `entries` and `size` bytes in memory, everything else in the database."""

    def __init__(
        self,
        policies: Mapping[str, SourcePolicy],
        pool: Pool,
        *,
        entries: int = 50_000,
        size: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policies = policies
        self._pool = pool
        self._entries = entries
        self._limit = size
        self._clock = clock
        self._size = 0
        self._slots: OrderedDict[Key, _Slot] = OrderedDict()
        self._absent: OrderedDict[Key, float] = OrderedDict()

    async def find(self, keys: Sequence[Key], deadline: float, *, traceless: bool = False) -> dict[Key, Told]:
        """What is kept of `keys`, by one statement at most. `deadline` in loop time, s. `traceless`: nobody finds
        anything else afterwards, or faster, than if it had not been asked.

        Raises StorageUnavailable where the database fails or is not back by the deadline. Past the deadline nothing is
        asked and what the process has is all.
        """
        now = self._clock()
        found: dict[Key, Told] = {}
        missing: list[Key] = []
        slots = self._slots
        for key in keys:
            slot = slots.get(key)
            if slot is None:
                if now - self._absent.get(key, 0.0) >= _RECHECK:
                    missing.append(key)
                continue
            if slot.told.until > now:
                found[key] = slot.told
                if not traceless:
                    slots.move_to_end(key)
            if slot.told.fresh_until <= now and now - slot.checked >= _RECHECK:
                missing.append(key)
        if missing and asyncio.get_running_loop().time() < deadline:
            got = await self._load(missing, now, deadline)
            if traceless:
                found |= {key: one for key, one in got.items() if one.until > now and _newer(one, found.get(key))}
            else:
                self._take(missing, got, found, now)
                for key in keys:  # what landed while the database was read: no reason to ask again
                    slot = slots.get(key)
                    if slot is not None and slot.told.until > now:
                        found[key] = slot.told
        return found

    def fresh(self, key: Key) -> bool:
        """Whether the process itself has a fresh answer."""
        slot = self._slots.get(key)
        return slot is not None and slot.told.fresh_until > self._clock()

    def put(self, key: Key, answer: Told, checked: float | None = None) -> Told:
        """Keep `answer` in the process, unless a newer one is there; returns the newest."""
        checked = self._clock() if checked is None else checked
        self._absent.pop(key, None)
        old = self._slots.get(key)
        if old is not None:
            if old.told.asked_at >= answer.asked_at:
                old.checked = max(old.checked, checked)
                return old.told
            self._size -= old.size
        slot = _Slot(answer, checked)
        self._slots[key] = slot
        self._slots.move_to_end(key)
        self._size += slot.size
        while self._slots and (len(self._slots) > self._entries or self._size > self._limit):
            self._size -= self._slots.popitem(last=False)[1].size
        return answer

    async def _load(self, keys: list[Key], now: float, deadline: float) -> dict[Key, Told]:
        """What the database has."""
        arguments = (
            [key[0] for key in keys],
            [key[1] for key in keys],
            [key[2] for key in keys],
            [now - self._policies[key[0]].horizon for key in keys],
        )
        try:
            async with asyncio.timeout_at(deadline):
                got: dict[Key, Told] = await self._pool.fetch(
                    _FIND, arguments, read=partial(self._read, keys), again=same
                )
                return got
        except TimeoutError:
            raise storage_unavailable() from None

    def _take(self, keys: list[Key], got: Mapping[Key, Told], found: dict[Key, Told], now: float) -> None:
        """Keep in the process what the database had of `keys`, and that it had nothing."""
        for key in keys:
            answer = got.get(key)
            if answer is not None:
                answer = self.put(key, answer, now)  # which may not keep it, where there are very many
                if answer.until > now:
                    found[key] = answer
            elif (slot := self._slots.get(key)) is not None:
                slot.checked = now
            else:
                self._absent[key] = now
                self._absent.move_to_end(key)
                if len(self._absent) > _ABSENT:
                    self._absent.popitem(last=False)

    def _read(self, keys: Sequence[Key], rows: Sequence[Mapping[str, Any]]) -> dict[Key, Told]:
        """What was kept. Raises where it is not what was written: it would be pasted into everybody's statement."""
        found = {}
        for row in rows:
            text = row["rows"].decode()
            if not 0 < row["i"] <= len(keys) or not isinstance(json.loads(text), list):
                raise ValueError("not what was asked for, or no list")
            key = keys[row["i"] - 1]
            found[key] = told(self._policies[key[0]], key[1].partition(":")[0], row["asked_at"], text)
        return found


def _newer(one: Told, than: Told | None) -> bool:
    return than is None or one.asked_at > than.asked_at
