"""Which rows of reference data: sources, code lists, matters; and `node`, which may be of several relations."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from gateway.engine.bindings import Choice, Condition, Rows
from gateway.engine.values import Arguments, FromPrincipal, Value
from gateway.errors import BadUserInput
from gateway.storage.identifiers import parse_node_id

_LETTERS = "SRC"


def sources(_: Arguments) -> Rows:
    """Query.sources."""
    return Rows("source", sort=("position", "code"), cost=10)


def answering_source(_: Arguments) -> Rows:
    """SourceAnswer.source: the one whose answer is at hand."""
    return Rows("source", match=(("source_code", "code"),))


def code_list(arguments: Arguments) -> Rows:
    """Query.codeList."""
    name = arguments.value("name")
    assert name is not None
    return Rows(
        "code_label", where=(Condition("list", "=", (name,)),), sort=("position", "code", "valid_from"), cost=40
    )


def matters(_: Arguments) -> Rows:
    """Query.matters."""
    return Rows("matter", sort=("code",), cost=20)


def own_matter(_: Arguments) -> Rows:
    """Viewer.matter."""
    return Rows("matter", where=(Condition("code", "=", (Value(FromPrincipal("matter")),)),))


def required_sources(_: Arguments) -> Rows:
    """Matter.requiredSources."""
    return Rows("required_source", match=(("code", "matter_code"),), sort=("position", "code"), cost=5)


def _id_of(letter: str) -> Callable[[Any], uuid.UUID | None]:
    def convert(text: Any) -> uuid.UUID | None:
        try:
            found, external_id = parse_node_id(text)
        except ValueError:
            found = ""
        if found not in _LETTERS or not found:
            raise BadUserInput(
                "id is not an id of this gateway; take one from the field id of an answer",
                "id 不是本系统的标识，请使用答复中 id 字段的值",
            )
        return external_id if found == letter else None

    return convert


_SUBJECT_ID, _RECORD_ID, _CONSENT_ID = _id_of("S"), _id_of("R"), _id_of("C")


def node(arguments: Arguments) -> Choice:
    """Query.node: subject, record or consent, by the letter in the id; well formed but unknown or hidden: null."""
    given = arguments.value("id")
    assert given is not None

    def rows(relation: str, convert: Callable[[Any], uuid.UUID | None]) -> Rows:
        return Rows(relation, where=(Condition("external_id", "=", (given.typed("uuid", convert),)),))

    return Choice(
        (
            ("Subject", rows("subject", _SUBJECT_ID)),
            ("CreditRecord", rows("record", _RECORD_ID)),
            ("Consent", rows("consent", _CONSENT_ID)),
        )
    )
