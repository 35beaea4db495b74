"""Pages and cursors of connections: `first` from 1 to 100, cursors of the order they were given for.

A cursor is a letter for the order, a day and the row's node id: `d2026-01-31` + 23 characters. Opaque to clients;
anything else is BadUserInput before any SQL.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from gateway.engine.bindings import Condition, Page
from gateway.engine.values import Arguments, Constant, Value
from gateway.errors import BadUserInput
from gateway.storage.identifiers import parse_node_id

LARGEST_PAGE = 100
_DATE = 10
_KINDS = {"c": "C"}  # whose ids stand in the cursors of an order, where they are not records'


def page_size(largest: int = LARGEST_PAGE) -> Callable[[Any], int]:
    """The check of `first`."""

    def check(first: Any) -> int:
        if not isinstance(first, int) or isinstance(first, bool) or not 1 <= first <= largest:
            raise BadUserInput(
                f"first must be from 1 to {largest}; what follows comes with after",
                f"first 必须在 1 到 {largest} 之间，其余内容请用 after 翻页",
            )
        return first

    return check


_CHECK = page_size()


def first_of(arguments: Arguments, default: int = 20) -> Value:
    """`first` as the statement's limit."""
    given = arguments.value("first") or Value(Constant(default))
    return given.typed("int", _CHECK)


def bad_cursor() -> BadUserInput:
    """The one error of cursors."""
    return BadUserInput(
        "after is not a cursor of this list in this order; take one from its pageInfo",
        "after 不是本列表当前排序下的游标，请使用 pageInfo 给出的游标",
    )


def parse_cursor(text: Any, letter: str) -> tuple[dt.date, uuid.UUID]:
    """Day and id of a cursor. Raises BadUserInput."""
    if not isinstance(text, str) or text[:1] != letter or not text.isascii():
        raise bad_cursor()
    try:
        day = dt.date.fromisoformat(text[1 : 1 + _DATE])
        if day.isoformat() != text[1 : 1 + _DATE]:
            raise bad_cursor()
        kind, external_id = parse_node_id(text[1 + _DATE :])
    except ValueError:
        raise bad_cursor() from None
    if kind != _KINDS.get(letter, "R"):
        raise bad_cursor()
    return day, external_id


class _CursorPart:
    """One half of a cursor as a parameter; equal for equal letters, so that plans compare."""

    __slots__ = ("_index", "_letter")

    def __init__(self, letter: str, index: int) -> None:
        self._letter = letter
        self._index = index

    def __call__(self, text: Any) -> Any:
        return parse_cursor(text, self._letter)[self._index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CursorPart) and (self._letter, self._index) == (other._letter, other._index)

    def __hash__(self) -> int:
        return hash((self._letter, self._index))


def after(cursor: Value | None, letter: str, column: str, *, descending: bool) -> tuple[Condition, ...]:
    """The condition that starts a page after a cursor's place; none without a cursor."""
    if cursor is None:
        return ()
    operator = "before" if descending else "after"
    values = (cursor.typed("date", _CursorPart(letter, 0)), cursor.typed("uuid", _CursorPart(letter, 1)))
    return (Condition(column, operator, values),)


def page(arguments: Arguments, letter: str, column: str, *, descending: bool) -> Page:
    """The page that the arguments ask for."""
    return Page(first_of(arguments), letter, column, descending, arguments.value("after") is not None)
