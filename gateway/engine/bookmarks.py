"""Cursors of changes: what a client is told whose bookmark is none, or too old.

In: what the database said of it (migration 0014, core.change_place). Out: client errors. The database alone can read a
bookmark, in the statement that answers: so what is kept and what is shown are of one moment.
"""

from __future__ import annotations

from gateway.errors import BadUserInput, StorageUnavailable
from gateway.storage.faults import asked_wrongly, changes_gone


def bad_bookmark() -> BadUserInput:
    """Of what this gateway never gave."""
    return BadUserInput(
        "after is not a cursor of changes; take one from pageInfo.endCursor or an event, or leave it out",
        "after 不是变更记录的游标，请使用 pageInfo.endCursor 或事件给出的值，或不带 after 重新开始",
    )


def old_bookmark() -> BadUserInput:
    """Of changes that are no longer kept: what lies between is not known any more."""
    return BadUserInput(
        "the changes after this cursor are no longer all kept; fetch the records anew, then follow without after",
        "该游标之后的变更已超出保留期，请重新获取全部记录，再不带 after 继续接收变更",
    )


def of_the_bookmark(error: StorageUnavailable) -> BadUserInput | None:
    """The client's error, where the statement failed by its bookmark."""
    cause = error.__cause__
    if not asked_wrongly(cause):
        return None
    return old_bookmark() if changes_gone(cause) else bad_bookmark()
