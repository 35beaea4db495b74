"""Pages and cursors of connections, both ways: `first` and `after`, or `last` and `before`, by the Relay cursor
specification. Sizes are from 1 to 100, cursors of the order they were given for, and two cursors bound a range.

A cursor is a letter for the order, a day and the row's node id: `d2026-01-31` + 23 characters. Opaque to clients;
anything else is BadUserInput before any SQL.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from gateway.engine.bindings import Page
from gateway.engine.values import Arguments, Constant, Value
from gateway.errors import BadUserInput
from gateway.storage.identifiers import parse_node_id

LARGEST_PAGE = 100
DEFAULT_PAGE = 20
_DATE = 10
_KINDS = {"c": "C"}  # whose ids stand in the cursors of an order, where they are not records'
_GOES_ON = {"first": ("what follows comes with after", "其余内容请用 after 翻页"),
            "last": ("what precedes comes with before", "之前的内容请用 before 翻页")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageSize:
    """The check of `first` or `last`."""

    name: str
    largest: int = LARGEST_PAGE

    def __call__(self, size: Any) -> int:
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= self.largest:
            en, zh = _GOES_ON[self.name]
            raise BadUserInput(
                f"{self.name} must be from 1 to {self.largest}; {en}",
                f"{self.name} 必须在 1 到 {self.largest} 之间，{zh}",
            )
        return size


def page_size(arguments: Arguments) -> tuple[Value, bool]:
    """The page's size as the statement's limit, and whether it is counted from the end. Raises BadUserInput.

    `first` has a default for those who say nothing; whoever gives `last` has said it.
    """
    first, last = arguments.given("first"), arguments.given("last")
    if last is None:
        first = arguments.value("first") or Value(Constant(DEFAULT_PAGE))
        return first.typed("int", PageSize("first")), False
    if first is not None:
        raise BadUserInput(
            "first and last can't be given together; give first to read on, or last to read back",
            "first 与 last 不能同时使用：向后读取请用 first，向前读取请用 last",
            locations=last.places,
        )
    return last.typed("int", PageSize("last")), True


def bad_cursor(name: str) -> BadUserInput:
    """The one error of cursors, for the argument `name`."""
    return BadUserInput(
        f"{name} is not a cursor of this list in this order; take one from its pageInfo",
        f"{name} 不是本列表当前排序下的游标，请使用 pageInfo 给出的游标",
    )


def parse_cursor(text: Any, letter: str, name: str) -> tuple[dt.date, uuid.UUID]:
    """Day and id of a cursor. Raises BadUserInput."""
    if not isinstance(text, str) or text[:1] != letter or not text.isascii():
        raise bad_cursor(name)
    try:
        day = dt.date.fromisoformat(text[1 : 1 + _DATE])
        if day.isoformat() != text[1 : 1 + _DATE]:
            raise bad_cursor(name)
        kind, external_id = parse_node_id(text[1 + _DATE :])
    except ValueError:
        raise bad_cursor(name) from None
    if kind != _KINDS.get(letter, "R"):
        raise bad_cursor(name)
    return day, external_id


@dataclass(frozen=True, slots=True)
class _CursorPart:
    """One half of a cursor as a parameter; equal for equal ones, so that plans compare."""

    letter: str
    name: str
    index: int

    def __call__(self, text: Any) -> Any:
        return parse_cursor(text, self.letter, self.name)[self.index]


def _place(arguments: Arguments, name: str, letter: str) -> tuple[Value, Value] | None:
    cursor = arguments.value(name)
    if cursor is None:
        return None
    return cursor.typed("date", _CursorPart(letter, name, 0)), cursor.typed("uuid", _CursorPart(letter, name, 1))


def page(arguments: Arguments, letter: str, column: str, *, descending: bool) -> Page:
    """The page that the arguments ask for. Raises BadUserInput where they ask for two."""
    size, backward = page_size(arguments)
    after, before = (_place(arguments, name, letter) for name in ("after", "before"))
    return Page(size, letter, column, descending, backward, after, before, largest=LARGEST_PAGE)
