"""Entities of the federation: which rows representations mean.

In: representations, coerced to codes (schema/federation.py); None where one has no code. Out: rows by key, as
`subjects` has them: one statement, whatever their number.
"""

from __future__ import annotations

from typing import Any

from gateway.engine.bindings import GAP, Resolve, Rows, SubjectKeys
from gateway.engine.values import Arguments
from gateway.errors import BadUserInput
from gateway.resolvers.subjects import MOST_SUBJECTS
from gateway.storage.identifiers import organisation_hash


def _codes(found: Any) -> list[str]:
    if not 1 <= len(found) <= MOST_SUBJECTS:
        raise BadUserInput(
            f"representations must have from 1 to {MOST_SUBJECTS} elements; ask in several requests",
            f"representations 必须包含 1 到 {MOST_SUBJECTS} 个元素，请分多次查询",
        )
    return [code for code in found if code is not None]


def _texts(found: Any) -> str:
    return ",".join([GAP if code is None else code for code in found])


def _hashes(found: Any) -> str:
    return ",".join([GAP if code is None else organisation_hash(code) for code in found])


def by_representations(*, joint: bool) -> Resolve:
    """Query._entities. `joint`: the entity is there for every code, and what this gateway has stands in a field."""

    def resolve(arguments: Arguments) -> Rows:
        given = arguments.value("representations")
        assert given is not None  # required by the schema
        keys = SubjectKeys(
            given.typed("text[]", _codes),
            given.typed("text", _texts),
            given.typed("text", _hashes),
            many=True,
            gaps=True,
            joint=joint,
        )
        return Rows("subject", keys=keys)

    return resolve
