"""What is asked: documents, parameters, and the floor's statement for each, in one table.

In: a database with data. Out: `Workload`s with several hundred to several thousand seeded parameters, so that no single
row is hot. A new workload is an entry here; nothing else changes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from benchmarks.data import AUTHORITIES, Size, group_bounds

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PROFILES, LISTS, LIST_LENGTH = 4_000, 400, 100

_RECORD_FULL = """id kind area severity catalogueItem title documentNumber authority { uscc name }
        source { code name kind } decidedOn publishedFrom publishedUntil status underObjection repairableFrom
        basis amount facts"""
_RECORD_SHORT = """id kind area title documentNumber authority { uscc name } source { code name kind }
        decidedOn publishedUntil status underObjection amount"""

_PROFILE = """query Profile($uscc: Uscc!) {
  subject(uscc: $uscc) {
    id uscc onRecord name kind formerNames roles region { code name local } registeredOn legalRepresentative
    records(first: 20) { edges { node {
        %s
    } } }
  }
}"""
SUBJECTS = f"""query Subjects($usccs: [Uscc!]!) {{
  subjects(usccs: $usccs) {{
    id uscc onRecord name kind region {{ code name }}
    records(first: 20) {{ edges {{ node {{
        {_RECORD_SHORT}
    }} }} }}
  }}
}}"""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table. `path` and `body` make the floor's request out of the variables of the gateway's."""

    name: str
    title: str
    document: str
    views: frozenset[str]
    variables: Sequence[Mapping[str, Any]]
    floor_method: str = "GET"

    def graphql(self, variables: Mapping[str, Any]) -> bytes:
        """The body of a POST to /graphql."""
        return json.dumps({"query": self.document, "variables": variables}).encode()

    def floor(self, view: str, variables: Mapping[str, Any]) -> tuple[str, bytes]:
        """Path and body of the floor's request."""
        path = f"/{self.name.lower()}/{view}"
        if self.floor_method == "GET":
            return f"{path}/{next(iter(variables.values()))}", b""
        return path, json.dumps(next(iter(variables.values()))).encode()


_VISIBLE = "r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')"
_CODES = f"""
select s.uscc from core.subject s join core.record r on r.subject_id = s.id
where s.id > $1 and s.id <= $2 and s.uscc is not null and {_VISIBLE}
group by s.id having count(*) between $3 and $4 order by s.id"""


async def _codes(connection: Connection, bounds: tuple[int, int], counts: tuple[int, int]) -> list[str]:
    return [row["uscc"] for row in await connection.fetch(_CODES, *bounds, *counts)]


async def workloads(connection: Connection, size: Size, only: Sequence[str]) -> list[Workload]:
    """Those of the table that are asked for, with their parameters."""
    rng = random.Random(size.seed + 2)
    many, _ = group_bounds(size)
    profiles = await _codes(connection, (AUTHORITIES, many), (20, 1_000))
    rng.shuffle(profiles)
    # Lists are drawn from all subjects alike, five records each on average and some with none.
    rows = await connection.fetch("select uscc from core.subject where id > $1 and uscc is not null", AUTHORITIES)
    everyone = [row["uscc"] for row in rows]
    made = (
        Workload(
            "W1",
            "profile: a subject with 20 records, each with source, authority and flags",
            _PROFILE % _RECORD_SHORT,
            frozenset({"public", "restricted"}),
            [{"uscc": code} for code in profiles[:PROFILES]],
        ),
        Workload(
            "W1F",
            "the same with every text of the decisions: basis, facts, catalogue item",
            _PROFILE % _RECORD_FULL,
            frozenset({"public", "restricted"}),
            [{"uscc": code} for code in profiles[:PROFILES]],
        ),
        Workload(
            "W3",
            "list: 100 subjects with their records",
            SUBJECTS,
            frozenset({"restricted"}),  # the public view lists 20 at most
            [{"usccs": rng.sample(everyone, LIST_LENGTH)} for _ in range(LISTS)],
            floor_method="POST",
        ),
    )
    unknown = set(only) - {workload.name for workload in made}
    if unknown:
        raise SystemExit(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(w.name for w in made)}")
    return [workload for workload in made if not only or workload.name in only]
