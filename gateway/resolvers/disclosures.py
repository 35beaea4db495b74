"""Entries of the account: who was shown what of a subject, for the subject itself and on a recorded request.

In: arguments of fields. Out: rows. Whose entries an asker may read is the views' to decide (storage/catalogue.py).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from gateway.engine.bindings import SOLE, Condition, Page, Rows
from gateway.engine.values import Arguments, Value
from gateway.errors import BadUserInput
from gateway.resolvers import paging
from gateway.storage.identifiers import id_of

_LETTER = "e"
_CURSOR = re.compile(r"e([1-9][0-9]{0,17})([A-Za-z0-9_-]{23})", re.ASCII)


def listed(arguments: Arguments) -> Rows:
    """Viewer.disclosures: newest first."""
    subject = arguments.value("subject")
    wanted = SOLE if subject is None else subject.typed("uuid", _subject)
    size, backward = paging.page_size(arguments)
    after, before = (_place(arguments, name) for name in ("after", "before"))
    return Rows(
        "disclosure",
        where=(Condition("external_id", "=", (wanted,)),),
        order="number_desc",
        page=Page(size, _LETTER, "number", True, backward, after, before, largest=paging.LARGEST_PAGE),
        permitted="accessible",
    )


def organisation(_: Arguments) -> Rows:
    """Disclosure.organisation: who asked, which narrowing does not hide."""
    return Rows("authority", match=(("organisation_uscc", "uscc"),))


def sources(_: Arguments) -> Rows:
    """Disclosure.sources."""
    return Rows(
        "disclosed_source", match=(("external_id", "external_id"), ("number", "number")), sort=("code",), cost=5
    )


def _subject(text: Any) -> uuid.UUID:
    external_id = id_of("S", text)
    if external_id is None:
        raise BadUserInput(
            "subject is not the id of a subject; take the id of a Subject",
            "subject 不是主体的标识，请使用 Subject 的 id",
        )
    return external_id


@dataclass(frozen=True, slots=True)
class _Part:
    """One half of a cursor as a parameter; equal for equal ones, so that plans compare."""

    name: str
    index: int

    def __call__(self, text: Any) -> Any:
        found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
        external_id = None if found is None else id_of("S", found[2])
        if found is None or external_id is None:
            raise paging.bad_cursor(self.name)
        return (int(found[1]), external_id)[self.index]


def _place(arguments: Arguments, name: str) -> tuple[Value, Value] | None:
    cursor = arguments.value(name)
    if cursor is None:
        return None
    return cursor.typed("bigint", _Part(name, 0)), cursor.typed("uuid", _Part(name, 1))
