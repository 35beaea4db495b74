"""Which subjects: by code, by place in another row, the asker's own organisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.engine.bindings import Condition, Rows, SubjectKeys
from gateway.engine.values import Arguments, FromPrincipal, Value
from gateway.errors import BadUserInput
from gateway.storage.identifiers import organisation_hash

MOST_SUBJECTS = 1000


def _code(uscc: str) -> str:
    """The code as it is. A conversion of its own keeps the parameter apart from others of the same variable: in a
    statement that several requests share it has all their codes."""
    return uscc


def _hashes(usccs: Any) -> str:
    return ",".join(map(organisation_hash, usccs))


def _texts(usccs: Any) -> str:
    return ",".join(usccs)


def bounded(usccs: Any) -> list[str]:
    """A list of codes, neither empty nor too long. Raises BadUserInput."""
    if not 1 <= len(usccs) <= MOST_SUBJECTS:
        raise BadUserInput(
            f"usccs must have from 1 to {MOST_SUBJECTS} codes; ask in several requests",
            f"usccs 必须包含 1 到 {MOST_SUBJECTS} 个代码，请分多次查询",
        )
    return list(usccs)


def by_uscc(arguments: Arguments) -> Rows:
    """Query.subject: one code."""
    uscc = arguments.value("uscc")
    assert uscc is not None
    return Rows("subject", keys=key_of(uscc))


def by_usccs(arguments: Arguments) -> Rows:
    """Query.subjects: codes in order, each answered by itself."""
    usccs = arguments.value("usccs")
    assert usccs is not None
    return Rows("subject", keys=keys_of(usccs))


def key_of(uscc: Value) -> SubjectKeys:
    """One code."""
    return SubjectKeys(uscc, uscc.typed("text", _code), uscc.typed("text", organisation_hash), many=False)


def keys_of(usccs: Value) -> SubjectKeys:
    """A list of codes, in their order."""
    given = usccs.typed("text[]", bounded)
    return SubjectKeys(given, usccs.typed("text", _texts), usccs.typed("text", _hashes), many=True)


def at(column: str, relation: str = "subject") -> Callable[[Arguments], Rows]:
    """The subject (or the authority) whose internal id stands in `column` of the row at hand."""

    def resolve(_: Arguments) -> Rows:
        return Rows(relation, match=((column, "id"),))

    return resolve


def own_organisation(_: Arguments) -> Rows:
    """Viewer.organisation."""
    return Rows("authority", where=(Condition("uscc", "=", (Value(FromPrincipal("organisation_uscc"), "text"),)),))


def predecessors(_: Arguments) -> Rows:
    """Subject.predecessors."""
    return Rows("predecessor", match=(("id", "successor_id"),), sort=("id",), cost=3)


def successors(_: Arguments) -> Rows:
    """Subject.successors."""
    return Rows("successor", match=(("id", "predecessor_id"),), sort=("id",), cost=3)
