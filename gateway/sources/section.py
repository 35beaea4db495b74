"""From parts to sections: the status of each subject's section, and the texts that the statement and the ledger get."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from connectors.base import FailureKind
from gateway.sources.told import ANSWERED, CACHED, STALE, STATUSES, NoAnswer, Reply, Told

# status (position in STATUSES), reason, as_of, rows as JSON text, fresh until. A tuple: one request may have thousands.
PartAnswer: TypeAlias = tuple[int, "str | None", "str | None", str, float]
SectionKey: TypeAlias = tuple[str, tuple[str, ...], str]  # source, parts, USCC

_SAID: Final = 1_000  # bytes of a section that has no rows, at most
_OVERHEAD: Final = 900  # bytes of an entry besides its text


class Section(NamedTuple):
    """One subject's object in the parameter, its line for the disclosure, its status, and how long it is fresh.

    Everything is pasted: codes are checked by `Sources`, reasons and parts are ours, rows are JSON already.
    """

    text: str
    line: str
    status: int
    fresh_until: float


def settled(kept: Told | None, reply: NoAnswer | None) -> PartAnswer:
    """A part that no call answered: fresh if there was no need for one, else stale, else nothing and why."""
    if reply is None:
        assert kept is not None
        return CACHED, None, kept.as_of, kept.rows, kept.fresh_until
    if kept is not None:
        return STALE, reply.reason, kept.as_of, kept.rows, 0.0
    return reply.status, reply.reason, None, "[]", 0.0


def at_once(reply: Reply) -> PartAnswer:
    """A part that was asked for this request."""
    if isinstance(reply, Told):
        return ANSWERED, None, reply.as_of, reply.rows, 0.0
    return settled(None, reply)


def section(parts: Sequence[str], answers: Sequence[PartAnswer]) -> Section:
    """As good as the worst of the parts asked for, and as old as the oldest that was answered."""
    status, reason, _, _, _ = max(answers, key=_status)
    as_of = min((answer[2] for answer in answers if answer[2] is not None), default=None)
    because, when = _text(reason), _text(as_of)
    rows = ",".join([f'"{part}":{answer[3]}' for part, answer in zip(parts, answers, strict=True)])
    said = "" if reason is None else f',"reason":{because}'
    listed = '","'.join(parts)
    return Section(
        f'{{"answer":{{"status":"{STATUSES[status]}","as_of":{when},"reason":{because}}},{rows}}}',
        f'{{"status":"{STATUSES[status]}","asOf":{when}{said},"parts":["{listed}"]}}',
        status,
        min(answer[4] for answer in answers),
    )


def unanswered(parts: Sequence[str], reason: str) -> Section:
    """None of the parts has an answer, all for the same reason."""
    return section(parts, [settled(None, NoAnswer(reason))] * len(parts))


def left_out(one: Section) -> Section:
    """In place of a section that is too large for its request."""
    return unanswered(json.loads(one.line)["parts"], FailureKind.TOO_LARGE.value)


def within(limit: int, several: Sequence[dict[str, Section]]) -> None:
    """Leave out, in order, what would make all texts together more than `limit` bytes; what is said without rows
    stays."""
    # A character has at most 4 bytes: texts are measured only where it matters.
    if sum([len(one.text) for sections in several for one in sections.values()]) * 4 <= limit:
        return
    left = limit
    for sections in several:
        for uscc, one in sections.items():
            size = len(one.text) if one.text.isascii() else len(one.text.encode())
            if size <= left:
                left -= size
            elif size > _SAID:
                sections[uscc] = left_out(one)


def parameter(sections: Mapping[str, Section]) -> str:
    """The jsonb text of one source, by subject."""
    return "{" + ",".join([f'"{uscc}":{made.text}' for uscc, made in sections.items()]) + "}"


def parameter_of_several(sources: Mapping[str, tuple[str, Mapping[str, Section]]]) -> str:
    """The jsonb text of several sources of a kind, by subject and source; each with what is to stand first in its
    object (`"key":value,`)."""
    by_subject: dict[str, list[str]] = {}
    for code, (first, sections) in sources.items():
        for uscc, made in sections.items():
            by_subject.setdefault(uscc, []).append(f'"{code}":{{{first}{made.text[1:]}')
    return "{" + ",".join([f'"{uscc}":{{{",".join(found)}}}' for uscc, found in by_subject.items()]) + "}"


def lines(sections: Mapping[str, Section]) -> str:
    """What the disclosure keeps of one source, as JSON text; "*" stands for all subjects where all have the same."""
    distinct = {made.line for made in sections.values()}
    if len(sections) > 1 and len(distinct) == 1:
        return f'{{"*":{distinct.pop()}}}'
    return "{" + ",".join([f'"{uscc}":{made.line}' for uscc, made in sections.items()]) + "}"


class FreshSections:
    """Sections of fresh kept answers alone, made once; at most `size` bytes, least recently used go first.

    None is served past the freshness of its parts, and no part gets a newer answer before that: nobody asks for it.
    """

    def __init__(self, size: int) -> None:
        self._limit = size
        self._size = 0
        self._made: OrderedDict[SectionKey, Section] = OrderedDict()

    def find(self, source: str, subjects: Mapping[str, tuple[str, ...]], now: float) -> dict[str, Section | None]:
        """Each subject in order, with its section where one is there and fresh at `now` (Unix seconds), else None."""
        made, found = self._made, dict[str, Section | None]()
        for uscc, parts in subjects.items():
            key = (source, parts, uscc)
            one = made.get(key)
            if one is not None:
                if one.fresh_until > now:
                    made.move_to_end(key)
                else:
                    self._drop(key)
                    one = None
            found[uscc] = one
        return found

    def put(self, key: SectionKey, one: Section) -> None:
        """Keep a section whose status is CACHED."""
        self._drop(key)
        self._made[key] = one
        self._size += _bytes(one)
        while self._made and self._size > self._limit:
            self._drop(next(iter(self._made)))

    def _drop(self, key: SectionKey) -> None:
        old = self._made.pop(key, None)
        if old is not None:
            self._size -= _bytes(old)


def _bytes(one: Section) -> int:
    return sys.getsizeof(one.text) + _OVERHEAD


def _status(answer: PartAnswer) -> int:
    return answer[0]


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
