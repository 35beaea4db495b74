"""Natural persons: who is meant by identity number and name, and whose identity number is revealed.

In: arguments of fields. Out: rows, or the change with what its refusals mean. The number itself does not come here: its
blind index stands in its place (gateway/engine/persons.py).
"""

from __future__ import annotations

import uuid
from typing import Any

from gateway.engine.bindings import Condition, Rows
from gateway.engine.changes import Change, Own, written
from gateway.engine.persons import folded
from gateway.engine.values import Arguments, Constant, Value
from gateway.errors import BadUserInput, ClientError, Forbidden
from gateway.storage.identifiers import id_of, mask_identity_numbers, squeeze_name

MOST_REASON = 500  # characters


def by_number(arguments: Arguments) -> Rows:
    """Query.person."""
    number, name = arguments.value("identityNumber"), arguments.value("name")
    assert number is not None  # required by the schema
    assert name is not None
    return Rows("subject", where=(Condition("id", "person", (number, name.typed("text", folded))),))


def revealed(_: Arguments) -> Rows:
    """The person whose identity number a mutation has revealed."""
    return Rows("subject", where=(Condition("external_id", "=", (written("subject", "uuid"),)),))


def reveal(arguments: Arguments) -> Change:
    """Mutation.revealIdentity."""
    given = arguments.object("input")
    subject, reason = given.value("subject"), given.value("reason")
    assert subject is not None  # required by the schema
    assert reason is not None
    reason = reason.typed("text", _reason)
    return Change(
        "reveal_identity",
        (subject.typed("uuid", _subject_id),),
        {"SUBJECT": no_person},
        _not_in_this_view,
        own=(Own(Value(Constant(True), "boolean"), "reveals_identity", _not_for_this_matter),),
        reveals=reason,
    )


def _subject_id(text: Any) -> uuid.UUID:
    external_id = id_of("S", text)
    if external_id is None:
        raise BadUserInput(
            "subject is not the id of a subject; take one from the field id of an answer",
            "subject 不是主体的标识，请使用答复中 id 字段的值",
        )
    return external_id


def _reason(text: Any) -> str:
    if not squeeze_name(text):  # nor of what is not seen
        raise BadUserInput(
            "reason must not be empty; write what the number is needed for", "reason 不得为空，请填写用途"
        )
    if len(text) > MOST_REASON:
        raise BadUserInput(
            f"reason may have at most {MOST_REASON} characters; shorten it", f"reason 最多 {MOST_REASON} 个字符，请缩短"
        )
    return mask_identity_numbers(text)


def no_person() -> ClientError:
    """Unknown, hidden, an organisation, or a person whose number is not kept: the same."""
    return Forbidden(
        "no person of that id has an identity number that this client may see; take an id from a person's answer",
        "没有该标识对应的自然人，或本客户端无权查看其证件号码，请使用自然人答复中的 id",
    )


def _not_for_this_matter() -> ClientError:
    return Forbidden(
        "the matter of this request does not allow identity numbers to be revealed; ask in one that does (SUPERVISION,"
        " unless your prefecture has set it otherwise)",
        "本次请求的事项不允许显示证件号码，请使用允许的事项（SUPERVISION，本地另有设置的除外）",
    )


def _not_in_this_view() -> ClientError:
    return Forbidden("identity numbers are revealed in the internal view alone", "证件号码仅在内部视图中显示")
