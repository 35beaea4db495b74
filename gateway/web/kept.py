"""Answers of the public view that are kept, and shown only while they are what would be answered now.

In: the raw bytes of public requests, answers with what they stand on. Out: the same answers again, or None.

An answer is shown again only if all that was committed before its request arrived is known here and has changed nothing
of what it stands on: a heartbeat that was sent after the request's arrival has come back (storage/listener.py), with
the database's own day. So it is the answer that the statement would give, and the process's clock decides nothing but
the freshness of sources, as it does there.

Changes are numbered as they are heard. An answer has the number of when its request began to be answered: what was
heard since of its subjects may be missing in it, whether it was heard before the answer was kept or after.

Where there is no more room, an answer is kept if it is clearly asked for more often than the one that would go first.
Who asks for all subjects in turn, one after the other, would else push out each answer just before it is asked for
again, and each miss would pay for an entry in vain.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.engine.dependence import Basis
from gateway.storage.listener import Listener, OnBack
from gateway.web.often import Often

Key: TypeAlias = "bytes | str"  # the body of a POST, the query of a GET

TOPIC: Final = "public"
ALL: Final = "*"
_OVERHEAD: Final = 700  # bytes of an entry besides key and body
_CODES: Final = 20_000  # changes of subjects that are remembered one by one
_SHARE: Final = 128  # of the whole size, for one entry at most; with less than that left there is no more room
_LATELY: Final = 10  # questions for each entry until counts are halved: seconds to minutes, and a while for a few
_AT_LEAST: Final = 1_000  # questions
_CLEARLY: Final = 2  # times more; of those that are asked for in turn one is always once ahead
_SPELLINGS: Final = 4  # whole requests that are known of one entry
_SPELLING: Final = 400  # bytes of one besides its own and its headers'


class Entry:
    """One answer. `began`: number of the newest change that it has for sure; `day`: the database's when it began."""

    __slots__ = ("began", "body", "codes", "day", "headers", "size", "spellings", "tags", "until")

    def __init__(self, began: int, day: str) -> None:
        self.began = began
        self.day = day
        self.body = b""
        self.codes: frozenset[str] | None = None
        self.until = 0.0
        self.size = 0
        self.spellings: list[bytes] = []  # whole requests that are known to lead here
        # By media type; web/respond.py fills them.
        self.headers: dict[bytes, list[tuple[bytes, bytes]]] = {}
        self.tags: dict[bytes, bytes] = {}


class Whole:
    """What the bytes of a whole request lead to. `head`: of the response, after its date, to its end; `headers`: of
    the request, which may say for whom a proxy asks."""

    __slots__ = ("entry", "head", "headers", "key")

    def __init__(self, key: Key, entry: Entry, head: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.key = key
        self.entry = entry
        self.head = head
        self.headers = headers


class Kept:
    """The answers of one process, at most `size` bytes of them. First to go is what was asked for least recently,
    and it goes for what is asked for more often."""

    def __init__(
        self,
        listener: Listener,
        registry: CollectorRegistry | None = None,
        *,
        size: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._listener = listener
        self._limit = size
        self._clock = clock
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._wholes: dict[bytes, Whole] = {}
        self.whole = self._wholes.get
        self._bytes = 0
        self._heard = 0  # number of the newest change
        self._all = 0  # of the newest one of everything
        self._by_code: OrderedDict[str, int] = OrderedDict()  # of a subject
        self._forgotten = 0  # of the newest one that is not remembered by its subject any more
        self._often = Often()
        listener.subscribe(TOPIC, self._changed, self._doubt)
        registry = registry or CollectorRegistry()
        asked = Counter("credit_public_cache", "Public requests by what the cache had", ("outcome",), registry=registry)
        self._hit, self._old, self._missed, self._unconfirmed = (
            asked.labels(outcome) for outcome in ("HIT", "OLD", "MISS", "UNCONFIRMED")
        )
        self._passed = Counter(
            "credit_public_cache_passed",
            "Public answers that were not kept: there is no room, and what would go is asked for as often",
            registry=registry,
        )
        Gauge("credit_public_cache_bytes", "Bytes of kept public answers", registry=registry).set_function(
            lambda: self._bytes
        )

    async def find(self, key: Key) -> Entry | None:
        """The answer to a request that has just arrived, if it is what would be answered now."""
        entry = self._entries.get(key)
        if entry is None:
            self._missed.inc()
            return None
        return entry if self.is_now(key, entry, known=await self._listener.confirm()) else None

    def is_now(self, key: Key, entry: Entry, *, known: bool) -> bool:
        """Whether the entry is what would be answered to a request that came before a heartbeat was sent that has just
        come back; `known`: whether it has."""
        if not known:
            self._unconfirmed.inc()
            return False
        if self._stands(entry):
            self._hit.inc()
            self._often.count(key)
            if self._entries.get(key) is entry:
                self._entries.move_to_end(key)
            return True
        self._old.inc()
        if self._entries.get(key) is entry:
            self._drop(key)
        return False

    @property
    def ready(self) -> bool:
        """Whether anything can be confirmed now."""
        return self._listener.confirmed

    def then(self, back: OnBack) -> None:
        """Call back with what `is_now` has to know of a request that has just arrived (Listener.then)."""
        self._listener.then(back)

    def begin(self, key: Key) -> Entry | None:
        """Called before a request that may be kept is answered; None where it can't be now, or is not worth it."""
        if not self._listener.confirmed:
            return None
        self._often.lately = _AT_LEAST + _LATELY * len(self._entries)
        asked = self._often.count(key)
        if self._bytes * _SHARE > self._limit * (_SHARE - 1):
            first, entry = next(iter(self._entries.items()))
            if not self._stands(entry):
                self._drop(first)
            elif asked < self._often.of(first) + _CLEARLY:
                self._passed.inc()
                return None
        return Entry(self._heard, self._listener.day)

    def put(self, key: Key, entry: Entry, basis: Basis, body: bytes) -> Entry | None:
        """Keep the answer that began with `entry`; None where it can't be."""
        entry.codes, entry.until, entry.body = basis.codes, basis.until, body
        if entry.until <= self._clock() or not self._holds(entry) or not body.startswith(b'{"data":'):
            return None
        entry.size = sys.getsizeof(key) + sys.getsizeof(body) + _OVERHEAD + 100 * len(entry.codes or ())
        if entry.size * _SHARE > self._limit:
            return None
        self._drop(key)
        self._entries[key] = entry
        self._bytes += entry.size
        self._shrink()
        return entry

    def learn(self, raw: bytes, whole: Whole) -> None:
        """That these bytes of a whole request lead to an entry: a few spellings of each, the newest."""
        entry = whole.entry
        if raw in self._wholes or self._entries.get(whole.key) is not entry:
            return
        if len(entry.spellings) >= _SPELLINGS:
            self._forget(entry, entry.spellings.pop(0))
        entry.spellings.append(raw)
        self._wholes[raw] = whole
        size = _size_of(raw)
        entry.size += size
        self._bytes += size
        self._shrink()

    def _forget(self, entry: Entry, raw: bytes) -> None:
        del self._wholes[raw]
        size = _size_of(raw)
        entry.size -= size
        self._bytes -= size

    def _shrink(self) -> None:
        while self._bytes > self._limit:
            self._drop(next(iter(self._entries)))

    def _stands(self, entry: Entry) -> bool:
        """Whether the entry would be answered now, as far as it is known here."""
        return entry.day == self._listener.day and entry.until > self._clock() and self._holds(entry)

    def _holds(self, entry: Entry) -> bool:
        """Whether nothing that was heard since it began is of what it stands on."""
        began, codes = entry.began, entry.codes
        if began == self._heard:
            return True
        if codes is None or began < self._all or began < self._forgotten:
            return False
        by_code = self._by_code
        return not any(by_code.get(code, 0) > began for code in codes)

    def _changed(self, payload: str) -> None:
        """Codes with commas, none where only lists have changed, or ALL."""
        self._heard += 1
        if payload == ALL:
            self._all = self._heard
            self._by_code.clear()
            return
        for code in payload.split(",") if payload else ():
            self._by_code[code] = self._heard
            self._by_code.move_to_end(code)
        while len(self._by_code) > _CODES:
            self._forgotten = self._by_code.popitem(last=False)[1]

    def _doubt(self) -> None:
        """Whatever is here or under way may have changed unnoticed."""
        self._heard += 1
        self._all = self._heard
        self._by_code.clear()
        self._entries.clear()
        self._wholes.clear()
        self._bytes = 0

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            for raw in entry.spellings:
                del self._wholes[raw]
            self._bytes -= entry.size


def _size_of(raw: bytes) -> int:
    return 3 * len(raw) + _SPELLING
