"""The events of the log, judged: which of them hold, and so may excuse what is gone.

In: rows of ledger.event with their leaves, the keys of the log. Out: what each says, and findings. From the first event
on that says that it is signed, in the log's order, each must be; what is older is believed as the leaf has it. That
event is in the log itself, so nobody can take it out, put one in before it, or move it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from gateway.ledger.commitment import of_event, time_of
from gateway.ledger.events import Keys, signed
from gateway.ledger.findings import Findings
from gateway.storage.canonical import canonical_json
from gateway.zone import SHANGHAI

_OURS: Final = ("at", "number")  # what signing adds


@dataclass(frozen=True, slots=True)
class Event:
    """One row: what it says, and whether that is as it should be: in the log, or on its way there."""

    row: Any
    content: Mapping[str, Any]
    right: bool

    @property
    def holds(self) -> bool:
        """Whether it is as it should be, and in the log."""
        return self.right and self.row["index"] is not None

    @property
    def kind(self) -> str:
        """As the row has it."""
        return str(self.row["kind"])


def judge(rows: Sequence[Any], keys: Keys, findings: Findings) -> list[Event]:
    """All of them, those that don't hold with a finding."""
    contents = [_object(row["content"]) for row in rows]
    claims = [_number(row, content) is not None for row, content in zip(rows, contents, strict=True)]
    begins = min(
        (row["index"] for row, claim in zip(rows, claims, strict=True) if claim and row["index"] is not None),
        default=None,
    )
    made = []
    for row, content, claim in zip(rows, contents, claims, strict=True):
        later = begins is not None and (row["index"] is None or row["index"] > begins)
        wrong = _wrong(row, content, signed_from_here=claim or later, keys=keys)
        if wrong:
            findings.add(wrong, f"event {row['id']} ({row['kind']}) of {row['at']:%Y-%m-%d %H:%M:%S} UTC")
        made.append(Event(row, content, not wrong))
    _numbers([_number(row, content) for row, content in zip(rows, contents, strict=True)], findings)
    return made


def _wrong(row: Mapping[str, Any], content: Mapping[str, Any], *, signed_from_here: bool, keys: Keys) -> str:
    """The kind of finding; empty where it is as it should be."""
    if row["index"] is None and row["taken"]:
        return "ROW_ADDED"
    if row["index"] is not None and (of_event(row).entry != row["entry"] or not row["fits"]):
        return "EVENT_CHANGED"
    if content.get("kind", row["kind"]) != row["kind"]:
        return "EVENT_CHANGED"
    if not signed_from_here:
        return ""
    if not signed(row, keys):
        return "EVENT_SIGNATURE"
    said = (content.get("kind"), content.get("at"), content.get("number"))
    return "" if said == (row["kind"], time_of(row["at"]), row["number"]) else "EVENT_CHANGED"


def _numbers(found: Iterable[Any], findings: Findings) -> None:
    expected = 1
    for number in sorted(number for number in found if isinstance(number, int)):
        if number != expected:
            what = f"number {expected} is missing" if number > expected else "two have it"
            findings.add("EVENT_NUMBERS", f"event number {number}", what)
        expected = number + 1


def _number(row: Mapping[str, Any], content: Mapping[str, Any]) -> Any:
    """The number that it claims to have as one that is signed."""
    return content.get("number", row["number"])


def let_go(events: Iterable[Event]) -> Iterator[tuple[int, tuple[dt.datetime, dt.datetime]]]:
    """How many disclosures of which months were let go, as events say that hold."""
    for event in events:
        if event.kind == "RETENTION" and event.holds:
            try:
                begin, end = (dt.datetime.fromisoformat(event.content[name]) for name in ("from", "until"))
                if begin.tzinfo and end.tzinfo and _is_month(begin, end) and end <= event.row["at"]:
                    yield int(event.content["disclosures"]), (begin, end)
            except (KeyError, ValueError, TypeError):
                continue  # it tells of nothing: what is gone is then found to be gone


def erased(events: Iterable[Event]) -> set[tuple[UUID, int]]:
    """The tombstones that erasures tell of, by disclosure and place, as far as they can be read."""
    found: set[tuple[UUID, int]] = set()
    for event in events:
        if event.kind == "ERASURE" and event.holds:
            with suppress(AttributeError, ValueError, TypeError, KeyError):
                for identity, places in event.content["erased"].items():
                    found |= {(UUID(identity), int(place)) for place in places}
    return found


def seals(events: Iterable[Event], rows: Iterable[Any]) -> list[UUID]:
    """Of seals, given with what their event must say, those that have one that holds."""
    said = {
        canonical_json({name: value for name, value in event.content.items() if name not in _OURS})
        for event in events
        if event.kind == "SEAL" and event.holds
    }
    return [row["id"] for row in rows if canonical_json(_object(row["told"])) in said]


@dataclass(frozen=True, slots=True)
class Opened:
    """What seals covered that have ended: whose requests, or which."""

    clients: tuple[str, ...] = ()
    matters: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    disclosures: tuple[str, ...] = ()


_COVERED: Final = ("client_id", "matter", "case_number", "disclosure")


def opened(events: Iterable[Event]) -> Opened:
    """As the ends of seals say. They give the numbers at once, and are in the log a little later."""
    ended = [event.content for event in events if event.kind == "UNSEAL" and event.right]
    return Opened(*(tuple(sorted({s[n] for s in ended if isinstance(s.get(n), str)})) for n in _COVERED))


def _is_month(begin: dt.datetime, end: dt.datetime) -> bool:
    """Whether that is one month of ours, as the runner lets go of: no cover for some rows of a month, or for the
    present one, whoever wrote the event."""
    first = begin.astimezone(SHANGHAI)  # months of partitions begin there (ledger.add_partitions)
    after = (first.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return (first.day, first.time()) == (1, dt.time()) and end.astimezone(SHANGHAI) == after


def _object(content: str) -> dict[str, Any]:
    """The JSON object of an event; empty for what is none: then it was changed."""
    try:
        made = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return made if isinstance(made, dict) else {}
