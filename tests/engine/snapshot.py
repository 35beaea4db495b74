"""Cases of the snapshot tests: a document with its view and variables in comments; plan, SQL and JSON beside it.

`python -m tests.engine.snapshot NAME` prints plan and SQL of a case; `--write` writes those two. The JSON is written by
a person from small_world.py.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.auth.principal import Principal
from gateway.engine.compile import compile_operation
from gateway.engine.documents import prepare
from gateway.engine.explain import describe, describe_step, parameters
from gateway.engine.mutate import compile_mutation
from gateway.schema.contracts import build_contracts
from gateway.storage.levels import ACCESSES
from tests.engine import small_world

FOLDER = Path(__file__).with_name("snapshots")
_NAMES = {
    "RECORD_ID": small_world.FIRST_RECORD_ID,
    "RECORD1": small_world.node_id("R", small_world.RECORD_IDS[1]),
    "FIRM_ID": small_world.FIRM_ID,
    "CONSENT_ID": small_world.CONSENT_ID,
    "STRANGER": small_world.STRANGER,
    "FIRM": small_world.FIRM,
    "SHOP": small_world.SHOP,
    "GRANTEE": small_world.ORGAN,
}


@dataclass(frozen=True)
class Case:
    """One query in one view."""

    view: str
    variables: dict[str, Any]
    query: str


def read_case(name: str) -> Case:
    """The case of that name."""
    text = (FOLDER / f"{name}.graphql").read_text(encoding="utf-8")
    first, second, query = text.split("\n", 2)
    variables = second.removeprefix("# variables: ")
    for short, long in _NAMES.items():
        variables = variables.replace(short, long)
    return Case(first.removeprefix("# view: "), json.loads(variables), query)


def explained(case: Case) -> tuple[str, str]:
    """Plan and SQL."""
    access = next(a for a in ACCESSES if a.name == case.view)
    document = prepare(access.contract, build_contracts()[access.contract], case.query)
    operation = document.operation(None)
    principal, variables = Principal(access), operation.coerce(case.variables)[0]
    if operation.mutation:
        principal = principal.under_scope()
        steps = compile_mutation(document, operation, variables, principal)
        plans, statements = zip(*(describe_step(step, principal.access) for step in steps), strict=True)
        return "".join(plans), "".join(statements).replace(" left join lateral", "\n left join lateral")
    compiled = compile_operation(document, operation, variables, principal)
    if compiled.scoped:
        compiled = compile_operation(document, operation, variables, principal.under_scope())
    lines = []
    for source, keys in compiled.keys.items():
        lines.append(f"-- subjects of {source}: {keys.statement.text if keys.statement else 'from the arguments'}")
    assert compiled.body is not None
    lines.append(compiled.body.text.replace(" left join lateral", "\n left join lateral"))
    lines += parameters(compiled.body)
    return describe(compiled.plan), "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if name != "--write":
            plan, sql = explained(read_case(name))
            if "--write" in sys.argv:
                (FOLDER / f"{name}.plan").write_text(plan, encoding="utf-8")
                (FOLDER / f"{name}.sql").write_text(sql, encoding="utf-8")
            else:
                print(plan, sql, sep="\n")
