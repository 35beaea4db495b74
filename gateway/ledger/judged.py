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
from dataclasses import astuple, dataclass, replace
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


_LAST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Covering:
    """One seal, as its event says: what it covers by which of four, and behind which entry of the log. One disclosure
    is covered wherever it stands: that its subjects had no entry was looked at when the seal was made."""

    by: str
    value: str
    behind: int
    before: int = _LAST  # the entry that tells of its end


def covered(first: int) -> str:
    """SQL: whether a disclosure `d` with its leaf `l` is covered. Its four parameters, by number, are `columns`."""
    arrays = ", ".join(f"${first + i}::{of}[]" for i, of in enumerate(("text", "text", "bigint", "bigint")))
    return (
        f"exists (select from unnest({arrays}) c (by, value, behind, before) where l.index > c.behind"
        " and l.index < c.before and c.value = case c.by when 'client_id' then d.client_id when 'matter' then d.matter"
        " when 'case_number' then d.case_number else d.id::text end)"
    )


_COVERED_BY: Final = ("client_id", "matter", "case_number", "disclosure")


def columns(covering: Sequence[Covering]) -> list[list[Any]]:
    """The parameters of `covered`."""
    return [list(column) for column in zip(*map(astuple, covering), strict=True)] or [[], [], [], []]


def seals(events: Sequence[Event], rows: Sequence[Any], findings: Findings) -> tuple[list[Covering], list[Covering]]:
    """What seals cover that have not ended and are not over, and what those covered that have ended, as far as events
    say so that hold. `rows`: all of ledger.seal, with what their events must say, and whether their time is over; one
    that says otherwise is a finding, and excuses nothing."""
    said = {kind: _by_id(events, kind) for kind in ("SEAL", "UNSEAL")}
    known = {str(row["id"]) for row in rows}
    for identity in sorted(said["SEAL"].keys() - known):
        findings.add("SEAL_CHANGED", f"seal {identity}", "the log has its event, and it is gone")
    in_force, ended = [], []
    for row in rows:
        identity, begin, end = str(row["id"]), *(said[kind].get(str(row["id"])) for kind in ("SEAL", "UNSEAL"))
        if begin is None or _told(begin) != canonical_json(_object(row["told"])):
            findings.add("SEAL_CHANGED", f"seal {identity}", "it is not what its event in the log says")
        elif (row["ended_at"] is None) != (end is None):
            findings.add("SEAL_CHANGED", f"seal {identity}", "whether it has ended is not what the log says")
        elif begin.row["index"] is not None:
            by = next((by for by in _COVERED_BY if begin.content.get(by) is not None), "disclosure")
            behind = -1 if by == "disclosure" else begin.row["index"]
            made = Covering(by, str(begin.content.get(by)), behind)
            if end is not None:
                ended.append(made if end.row["index"] is None else replace(made, before=end.row["index"]))
            elif not row["over"]:
                in_force.append(made)
    return in_force, ended


def _by_id(events: Iterable[Event], kind: str) -> dict[str, Event]:
    """Those of a kind that are right, by the seal they tell of; the first where there are several."""
    found: dict[str, Event] = {}
    for event in events:
        if event.kind == kind and event.right:
            found.setdefault(str(event.content.get("id")), event)
    return found


def _told(event: Event) -> str:
    return canonical_json({name: value for name, value in event.content.items() if name not in _OURS})


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
