"""What can be answered only under a scope: rows that depend on who asks, in a view that is otherwise the same for all.

In: a plan for an access without a scope. Out: the plan without such rows, and the values whose presence would ask for
them; or None, where it can't be answered but under a scope. Requests under different scopes share no statement, hence
nobody else has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from gateway.auth.principal import Principal
from gateway.engine import plan as p
from gateway.engine.values import Value
from gateway.errors import BadUserInput
from gateway.storage.catalogue import RELATIONS


class Scoped(Protocol):
    """What is compiled (compile.Compiled)."""

    scoped: bool
    scoped_if: tuple[Value, ...]


def without_scope(plan: p.Plan) -> tuple[p.Plan, tuple[Value, ...]] | None:
    """The plan without alternatives of `node` that an access without a scope lacks, and what would be their ids."""
    fields: list[p.Field] = []
    left_out: list[p.One] = []
    for field in plan.fields:
        if isinstance(field, p.OneOf):
            left_out += [one for one in field.alternatives if RELATIONS[one.rows.relation].scoped]
            field = p.OneOf(field.key, tuple(one for one in field.alternatives if one not in left_out))
        fields.append(field)
    walked = list(p.walk(tuple(fields)))
    if any(isinstance(f, p.One | p.Many | p.Connection) and RELATIONS[f.rows.relation].scoped for f in walked):
        return None
    if not left_out:
        return plan, ()
    asked = {field.feed for field in walked if isinstance(field, p.Section)}
    sources = tuple(feed for feed in plan.sources if feed in asked)
    values = tuple(value for one in left_out for condition in one.rows.where for value in condition.values)
    return replace(plan, fields=tuple(fields), sources=sources), values


def needs_scope(compiled: Scoped, variables: Mapping[str, Any], principal: Principal) -> bool:
    """Whether this request, compiled for an access without a scope, asks for rows that depend on who asks."""
    if compiled.scoped:
        return True
    for value in compiled.scoped_if:
        try:
            if value.resolve(variables, principal, {}) is not None:
                return True
        except BadUserInput:
            return False  # told by whoever takes the value
    return False
