"""From parts to sections: the status of each subject's section, and the texts that the statement and the ledger get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from gateway.sources.answers import Key
from gateway.sources.told import CACHED, STALE, STATUSES, NoAnswer, Told

# status (position in STATUSES), reason, as_of, rows as JSON text. A tuple: there are thousands in one request.
PartAnswer: TypeAlias = tuple[int, "str | None", "str | None", str]
Board: TypeAlias = dict[Key, PartAnswer]


def settled(kept: Told | None, reply: NoAnswer | None) -> PartAnswer:
    """A part that no call answered: fresh if there was no need for one, else stale, else nothing and why."""
    if reply is None:
        assert kept is not None
        return CACHED, None, kept.as_of, kept.rows
    if kept is not None:
        return STALE, reply.reason, kept.as_of, kept.rows
    return reply.status, reply.reason, None, "[]"


def compose(
    plan: Mapping[str, Mapping[str, tuple[str, ...]]], board: Board
) -> tuple[dict[str, str], str, Counter[tuple[str, int]]]:
    """jsonb text by source, JSON text of the statuses for the disclosure, and how often each status was given.

    Everything is pasted: codes are checked by `Sources`, reasons and parts are ours, rows are JSON already.
    """
    parameters: dict[str, str] = {}
    statuses: list[str] = []
    counts: Counter[tuple[str, int]] = Counter()
    for source, subjects in plan.items():
        sections: list[str] = []
        lines: dict[str, str] = {}
        for uscc, parts in subjects.items():
            answers = [board[source, part, uscc] for part in parts]
            status, reason, _, _ = max(answers, key=_status)
            as_of = min((answer[2] for answer in answers if answer[2] is not None), default=None)
            because, when = _text(reason), _text(as_of)
            rows = ",".join([f'"{part}":{answer[3]}' for part, answer in zip(parts, answers, strict=True)])
            sections.append(
                f'"{uscc}":{{"answer":{{"status":"{STATUSES[status]}","as_of":{when},"reason":{because}}},{rows}}}'
            )
            said = "" if reason is None else f',"reason":{because}'
            listed = '","'.join(parts)
            lines[uscc] = f'{{"status":"{STATUSES[status]}","asOf":{when}{said},"parts":["{listed}"]}}'
            counts[source, status] += 1
        parameters[source] = "{" + ",".join(sections) + "}"
        statuses.append(f'"{source}":{_lines(lines)}')
    return parameters, "{" + ",".join(statuses) + "}", counts


def _lines(lines: Mapping[str, str]) -> str:
    distinct = set(lines.values())
    if len(lines) > 1 and len(distinct) == 1:
        return f'{{"*":{distinct.pop()}}}'
    return "{" + ",".join([f'"{uscc}":{line}' for uscc, line in lines.items()]) + "}"


def _status(answer: PartAnswer) -> int:
    return answer[0]


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
