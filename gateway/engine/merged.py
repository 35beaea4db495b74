"""Many requests, one statement (together.py): their arguments as its own, and its one row cut into theirs.

In: a statement that several requests may share, the arguments of each; the row that came. Out: the arguments of all;
each one's own row, or RuntimeError where an answer could go to somebody else. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.engine.account import joined
from gateway.engine.sql import Statement


def only(rows: Sequence[Any]) -> Any:
    """The row of one that asks by itself."""
    (row,) = rows
    return row


def merge(statement: Statement, batch: Sequence[Sequence[Any]]) -> list[Any]:
    """The arguments of all as those of one statement."""
    merged = list(batch[0])
    if statement.accounts:
        merged[0] = joined([arguments[0] for arguments in batch])
    for place in statement.keys:
        merged[place] = ",".join([arguments[place] for arguments in batch])
    for place in statement.apiece:
        merged[place] = [text for arguments in batch for text in arguments[place]]
    return merged


def keys_of(statement: Statement, arguments: Sequence[Any]) -> str:
    """What the statement says of what it was asked, as sql.py puts it together."""
    if statement.keys:
        return str(arguments[statement.keys[0]])
    rows = zip(*[arguments[place] for place in statement.apiece], strict=True)
    return "\x1d".join(["\x1f".join(["\x1e" if text is None else text for text in row]) for row in rows])


def cut(keys: str, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The row of several requests as a row for each. Raises RuntimeError where its columns do not agree, and whatever
    else a reply does that is not the statement's."""
    (row,) = found
    # Twice sure that an answer goes to who asked for it: by its place and by what it says it was asked.
    if row["keys"].decode() != keys:
        raise RuntimeError("answers to other questions than were asked")
    columns = dict(row.items())
    body, lengths = columns.pop("body"), [int(length) for length in columns.pop("lengths").split(b",")]
    if sum(lengths) != len(body):
        raise RuntimeError("answers whose lengths do not add up")
    del columns["keys"]
    snapshot, disclosed = columns.pop("snapshot", None), columns.pop("disclosed", None)
    version = columns.pop("version", 0)
    if disclosed not in (None, sum(length > 0 for length in lengths)):
        raise RuntimeError("answers and disclosures of another number")
    rest = {name: value.split(b";") for name, value in columns.items()}
    rows, begin = [], 0
    for place, length in enumerate(lengths):
        own: dict[str, Any] = {name: values[place] for name, values in rest.items()}
        own["body"], own["snapshot"], own["version"] = body[begin : begin + length], snapshot, version
        own["disclosed"] = None if disclosed is None else int(length > 0)
        begin += length
        rows.append(own)
    return rows
