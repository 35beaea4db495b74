"""What a public answer depends on, so that it can be kept until something of that changes.

In: a compiled plan, the variables, what was consulted. Out: a `Basis`. Pure; web/kept.py keeps the answers.

What is asked for by code depends on those subjects, as far as one hop goes: storage/migrations tells of a subject
whenever a row of its own changes, and of everything when what changes may be shown by others (an authority's name, a
predecessor). Whatever else reads rows, lists, searches and what stands two hops away, depends on every change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.auth.principal import Principal
from gateway.engine import plan as p
from gateway.engine.values import FromPrincipal, Value

# Relations of which every change is told to every process (migration 0016). What reads another one is never kept.
TOLD: Final = frozenset({
    "subject", "record", "record_count", "authority", "predecessor", "successor", "name_part", "subject_role",
    "withdrawal", "source", "region_closure", "code_label",
})  # fmt: skip
# Rows that belong to the subject at hand; and what they may tell of others: who they are, nothing that has rows itself.
_OWN: Final = frozenset({"record", "record_count", "withdrawal", "subject_role", "predecessor", "successor"})
_BESIDE_OWN: Final = frozenset({"authority", "source"})
_IN_SECTIONS: Final = frozenset({"source"})
_NOTHING: Final = frozenset[str]()


@dataclass(slots=True)
class Basis:
    """What an answer stands on. `codes`: the subjects asked for; None: everything. `until`: Unix seconds after which
    sources may tell another thing; 0.0 where the answer must not be kept."""

    codes: frozenset[str] | None = None
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Dependence:
    """Of a plan: the values with the codes that it asks for; `everything` where that is not all it reads."""

    keys: tuple[Value, ...]
    everything: bool

    def codes(self, variables: Mapping[str, Any], principal: Principal) -> frozenset[str] | None:
        """The subjects that one request asks for; None where it reads more."""
        if self.everything:
            return None
        codes: set[str] = set()
        for value in self.keys:
            found = value.resolve(variables, principal, {})
            codes.update([found] if isinstance(found, str) else found)
        return frozenset(codes)


def dependence(plan: p.Plan) -> Dependence | None:
    """None where the answer depends on who asks, on what nobody is told of, or on the schema alone."""
    found = [*p.walk(plan.fields)]
    if any(isinstance(f, p.One | p.Many | p.Connection) and f.rows.relation not in TOLD for f in found):
        return None
    given = [field.value for field in found if isinstance(field, p.Given)]
    if plan.introspection or any(isinstance(value.origin, FromPrincipal) for value in (*given, *p.values(plan))):
        return None
    keys: list[Value] = []
    everything = False
    for field in plan.fields:
        if isinstance(field, p.One | p.Many) and field.rows.keys is not None:
            keys.append(field.rows.keys.usccs)
            everything |= not all(_own(child) for child in p.children(field))
        else:
            everything |= not isinstance(field, p.TypeName)
    return Dependence(tuple(keys), everything)


def _own(field: p.Field) -> bool:
    """Whether a field of a subject that is asked for by code reads what belongs to this subject alone."""
    below = p.children(field)
    if isinstance(field, p.One | p.Many | p.Connection) and field.rows.relation in _OWN:
        return all(_only(child, _BESIDE_OWN) for child in below)
    if isinstance(field, p.Section):
        return all(_only(child, _IN_SECTIONS) for child in below)
    if isinstance(field, p.One | p.Many | p.Connection | p.OneOf):
        return _only(field, _IN_SECTIONS)
    return all(_own(child) for child in below)


def _only(field: p.Field, relations: frozenset[str]) -> bool:
    """Whether no other rows are read here than these relations', and none below them."""
    below = p.children(field)
    if isinstance(field, p.One | p.Many | p.Connection):
        return field.rows.relation in relations and all(_only(child, _NOTHING) for child in below)
    return not isinstance(field, p.OneOf | p.Section) and all(_only(child, relations) for child in below)
