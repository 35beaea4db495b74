"""The response's bytes: from the statement's row, or without one.

In: the row of a body statement, or what introspection found (introspection.py). Out: the response as bytes; errors at
their paths where a narrowed client asked for what it does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.auth.principal import Principal
from gateway.engine import plan as p
from gateway.engine.compile import Compiled
from gateway.errors import Forbidden


@dataclass(slots=True)  # frozen it takes four times as long to make
class Found:
    """What the statement found: the response's bytes, ids shown, snapshot, places denied by response key; how new must
    be what is filled in."""

    body: bytes
    shown: bytes
    snapshot: bytes | None
    denied: Mapping[str, Sequence[int]]
    version: int = 0


def read_row(compiled: Compiled, row: Any, principal: Principal) -> Found:
    """The statement's row as one answer. A long body is copied once here, a short one never."""
    statement = compiled.body
    assert statement is not None
    narrowed, accounted = principal.narrowed, statement.accounts
    shows = not accounted and (principal.access.disclosed or bool(compiled.plan.sources))
    snapshot = row["snapshot"] if shows and principal.access.disclosed else None
    shown = (row["shown"] or b"") if shows else b""
    version = row["version"] if statement.gaps.kinds else 0
    if not statement.keyed:
        return Found(row["body"], shown, snapshot, json.loads(row["denied"]) if narrowed else {}, version)
    body = row["body"]
    if statement.around is not None:
        body = b"".join((statement.around[0], body, statement.around[1]))
    places = [int(place) for place in (row["denied"] or b"").split(b",") if place] if narrowed else []
    return Found(body, shown, snapshot, {compiled.plan.fields[0].key: places}, version)


def response(found: Found, language: str) -> bytes:
    """The bytes, with the errors of denied places first."""
    if any(found.denied.values()):
        data = json.loads(found.body)["data"]
        errors = json.dumps(_denied(found.denied, data, language), ensure_ascii=False)
        return b'{"errors":' + errors.encode() + b"," + found.body[1:]
    return found.body


def _denied(denied: Mapping[str, Sequence[int]], body: Mapping[str, Any], language: str) -> list[dict[str, object]]:
    """FORBIDDEN at the path of each code that the asker's scope does not have, or that is not on record: the same."""
    errors = []
    for key, places in denied.items():
        for place in places:
            path: list[str | int] = [key, place - 1] if isinstance(body[key], list) else [key]
            message = "not within the scope of this client, or not on record"
            errors.append(Forbidden(message, "不在本客户端的授权范围内，或无记录", path=path).as_json(language))
    return errors


def without_rows(plan: p.Plan, fed: Mapping[str, Any]) -> bytes:
    """The response of a plan that needs no row: type names and introspection (`fed`)."""
    parts = []
    for found in plan.fields:
        value = json.dumps(found.name) if isinstance(found, p.TypeName) else fed[f"introspection:{found.key}"]
        parts.append(f"{json.dumps(found.key)}:{value}")
    return ("{" + ",".join(parts) + "}").encode()
