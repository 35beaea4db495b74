"""What is asked: documents, parameters, and the floor's request for each, in one table.

In: a database with data. Out: `Workload`s with several hundred to several thousand seeded parameters, so that no single
row is hot. A new workload is an entry here and a statement of the floor's; nothing else changes.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlencode

import asyncpg

from benchmarks.data import AUTHORITIES, PROVINCE, Size, group_bounds

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Variables: TypeAlias = Mapping[str, Any]
PROFILES, LISTS, LIST_LENGTH, SEARCHES, PAGES = 4_000, 400, 100, 2_000, 400

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
SEARCH = """query Search($text: String!) {
  searchSubjects(query: $text, first: 20) {
    totalCount
    edges { node { id uscc name kind region { code name } recordCounts { area kind count } } }
    pageInfo { hasNextPage endCursor }
  }
}"""
RECORDS = """query Records($filter: RecordFilter, $orderBy: RecordOrder, $after: String) {
  records(filter: $filter, orderBy: $orderBy, first: 20, after: $after) {
    edges { cursor node {
        id kind area title documentNumber subject { id uscc name } authority { uscc name } source { code name kind }
        decidedOn publishedUntil status underObjection amount
    } }
    pageInfo { hasNextPage endCursor }
  }
}"""
_NEW = itertools.count(1)  # of the documents that nobody has sent before


@dataclass(frozen=True, slots=True)
class Asked:
    """The floor's request."""

    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table. `floor` makes the floor's request out of a view and the variables of the gateway's.

    `fresh`: each request has a document of its own, in another operation name and with other aliases of its root field
    and of one below, so that PostgreSQL has not seen its statement either.
    `stacks`: those it is measured on, where it is not all that have one of its `views`.
    """

    name: str
    title: str
    document: str
    views: frozenset[str]
    variables: Sequence[Variables]
    floor: Callable[[str, Variables], Asked]
    fresh: bool = False
    stacks: frozenset[str] | None = None

    def graphql(self, variables: Variables) -> bytes:
        """The body of a POST to /graphql."""
        document = self.document
        if self.fresh:
            document = document.replace("Profile", f"Profile{(number := next(_NEW))}", 1)
            document = document.replace("subject(", f"s{number}: subject(", 1)
            document = document.replace("records(", f"r{number}: records(", 1)
        return json.dumps({"query": document, "variables": variables}).encode()

    def wants(self, stack: str, view: str) -> bool:
        """Is it measured on this stack?"""
        return view in self.views and (self.stacks is None or stack in self.stacks)

    def plain(self, data: Any) -> Any:
        """The data of an answer without what is new in its document."""
        if not self.fresh or not data:
            return data
        (subject,) = data.values()
        names = {name: "records" if name[1:].isdecimal() else name for name in subject}
        return {"subject": {names[name]: value for name, value in subject.items()}}


def _by_code(path: str) -> Callable[[str, Variables], Asked]:
    return lambda view, variables: Asked(f"/{path}/{view}/{variables['uscc']}")


def _by_codes(view: str, variables: Variables) -> Asked:
    return Asked(f"/w3/{view}", json.dumps(variables["usccs"]).encode())


def _by_name(view: str, variables: Variables) -> Asked:
    return Asked(f"/w2/{view}?{urlencode({'text': variables['text']})}")


_ORDER_NAMES = {"DECIDED_ON": "decided", "PUBLISHED_FROM": "published"}


def filter_parameters(variables: Variables) -> dict[str, str]:
    """W4's filters, order and cursor as the floor is given them."""
    found: dict[str, str] = {}
    for key, name in (("kinds", "kind"), ("areas", "area")):
        if key in variables["filter"]:
            found[name] = ",".join(variables["filter"][key])
    for key, name in (("decidedFrom", "from"), ("decidedTo", "to"), ("regionCode", "region")):
        if key in variables["filter"]:
            found[name] = variables["filter"][key]
    if "orderBy" in variables:
        order = variables["orderBy"]
        found["order"] = f"{_ORDER_NAMES[order['field']]}_{order['direction'].lower()}"
    if "after" in variables:
        found["after"] = variables["after"]
    return found


def _by_filter(view: str, variables: Variables) -> Asked:
    return Asked(f"/w4/{view}?{urlencode(filter_parameters(variables))}")


# Parameters ----------------------------------------------------------------------------------------------------------

_VISIBLE = "r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')"
_CODES = f"""
select s.uscc from core.subject s join core.record r on r.subject_id = s.id
where s.id > $1 and s.id <= $2 and s.uscc is not null and {_VISIBLE}
group by s.id having count(*) between $3 and $4 order by s.id"""


async def _codes(connection: Connection, bounds: tuple[int, int], counts: tuple[int, int]) -> list[str]:
    return [row["uscc"] for row in await connection.fetch(_CODES, *bounds, *counts)]


async def _texts(connection: Connection, rng: random.Random) -> list[Variables]:
    """What is typed: whole names; the part that makes a name (a brand, here a word with three or four digits), which
    up to a hundred have; and, one in ten, two characters that many thousands have."""
    rows = await connection.fetch(
        "select name from core.subject where id > $1 and class = 'ORGANISATION' order by id", AUTHORITIES
    )
    made = []
    for row in rng.sample(rows, SEARCHES):
        name, drawn = row["name"], rng.random()
        digits = next(place for place, character in enumerate(name) if character.isdigit())
        if drawn < 0.35:
            made.append({"text": name})
        elif drawn < 0.9:
            made.append({"text": name[digits - 2 : digits + rng.choice((3, 3, 4))]})
        else:
            made.append({"text": name[digits - 2 : digits]})
    return made


_KINDS = ("PENALTY", "PENALTY", "LICENCE", "JUDGMENT", "CONTRACT_BREACH", "HONOUR", "LIST_ENTRY")
_AREAS = ("GENERAL", "PROCUREMENT", "TENDERING", "PPP")
# Which filters stand together, and how often in a hundred.
_SHAPES = {
    ("kinds", "region"): 25,
    ("kinds", "areas"): 20,
    ("kinds", "dates"): 20,
    ("areas", "region"): 15,
    ("kinds", "areas", "dates"): 10,
    ("region", "dates"): 10,
}
_WITH_CURSOR = 0.4


def _filter(rng: random.Random, shape: Sequence[str], regions: Sequence[str], today: Any) -> Variables:
    made: dict[str, Any] = {}
    for name in shape:
        if name == "kinds":
            made["kinds"] = sorted(set(rng.choices(_KINDS, k=rng.choice((1, 1, 2)))))
        elif name == "areas":
            made["areas"] = sorted(set(rng.choices(_AREAS, k=rng.choice((1, 1, 2)))))
        elif name == "dates":
            first = today.replace(day=1, month=rng.choice((1, 4, 7, 10)), year=today.year - rng.randint(1, 3))
            made["decidedFrom"] = first.isoformat()
            made["decidedTo"] = first.replace(month=first.month + 2, day=28).isoformat()
        else:
            made["regionCode"] = rng.choice(regions)
    return made


# Each with 6 to 12 in a hundred subjects, as large a part as a county has of its prefecture.
_REGIONS = """
select c.ancestor as code from core.region_closure c join core.region r on r.code = c.ancestor and r.parent = $1
join core.subject s on s.region_code = c.code group by c.ancestor
having count(*) > 0.06 * (select count(*) from core.subject) order by c.ancestor"""


async def _filters(connection: Connection, rng: random.Random) -> list[Variables]:
    """Filters with their order, some of them beyond the first page: the cursor stands at the end of a page 1 to 5."""
    rows = await connection.fetch(_REGIONS, PROVINCE)
    regions = [row["code"] for row in rows]
    today = await connection.fetchval("select core.today()")
    made: list[Variables] = []
    for _ in range(PAGES):
        shape = rng.choices(list(_SHAPES), weights=list(_SHAPES.values()))[0]
        found = {"filter": _filter(rng, shape, regions, today)}
        if "dates" not in shape and rng.random() < 0.2:
            found["orderBy"] = {"field": "PUBLISHED_FROM", "direction": "DESC"}
        elif "dates" in shape and rng.random() < 0.2:
            found["orderBy"] = {"field": "DECIDED_ON", "direction": "ASC"}
        if rng.random() < _WITH_CURSOR:
            cursor = await _cursor(connection, found, rng.randint(1, 5) * 20)
            found |= {"after": cursor} if cursor is not None else {}
        made.append(found)
    return made


async def _cursor(connection: Connection, variables: Variables, place: int) -> str | None:
    """The cursor of the row at this place of the list, or none where the list is shorter."""
    given, order = variables["filter"], variables.get("orderBy", {"field": "DECIDED_ON", "direction": "DESC"})
    column, direction = order["field"].lower(), order["direction"].lower()
    conditions, values = [_VISIBLE], []
    for key, condition in (
        ("kinds", "r.kind = any ({})"),
        ("areas", "r.area = any ({})"),
        ("decidedFrom", "r.decided_on >= {}::text::date"),
        ("decidedTo", "r.decided_on <= {}::text::date"),
        ("regionCode", "s.region_code in (select code from core.region_closure where ancestor = {})"),
    ):
        if key in given:
            values.append(given[key])
            conditions.append(condition.format(f"${len(values)}"))
    cursor: str | None = await connection.fetchval(
        f"select '{column[0]}' || r.{column}::text || r.node_id from core.record r"
        f" join core.subject s on s.id = r.subject_id where {' and '.join(conditions)}"
        f" order by r.{column} {direction}, r.external_id {direction} offset {place - 1} limit 1",
        *values,
    )
    return cursor


# The table -----------------------------------------------------------------------------------------------------------

_BOTH = frozenset({"public", "restricted"})
_RESTRICTED = frozenset({"restricted"})


async def list_workload(connection: Connection, rng: random.Random, length: int, count: int) -> Workload:
    """W3 with so many subjects a list, and so many lists."""
    # Lists are drawn from all subjects alike, five records each on average and some with none.
    rows = await connection.fetch(
        "select uscc from core.subject where id > $1 and uscc is not null order by id", AUTHORITIES
    )
    everyone = [row["uscc"] for row in rows]
    lists = [{"usccs": rng.sample(everyone, length)} for _ in range(count)]
    title = f"list: {length} subjects with their records"
    return Workload("W3", title, SUBJECTS, _RESTRICTED, lists, _by_codes)  # the public view lists 20 at most


async def workloads(connection: Connection, size: Size, only: Sequence[str]) -> list[Workload]:
    """Those of the table that are asked for, with their parameters."""
    rng = random.Random(size.seed + 2)
    many, _ = group_bounds(size)
    codes = await _codes(connection, (AUTHORITIES, many), (20, 1_000))
    rng.shuffle(codes)
    profiles = [{"uscc": code} for code in codes[:PROFILES]]
    searches = await _texts(connection, random.Random(size.seed + 3)) if not only or "W2" in only else []
    filters = await _filters(connection, random.Random(size.seed + 4)) if not only or "W4" in only else []
    title = "profile: a subject with 20 records, each with source, authority and flags"
    made = (
        Workload("W1", title, _PROFILE % _RECORD_SHORT, _BOTH, profiles, _by_code("w1")),
        Workload(
            "W1F",
            "the same with every text of the decisions: basis, facts, catalogue item",
            _PROFILE % _RECORD_FULL,
            _BOTH,
            profiles,
            _by_code("w1f"),
        ),
        Workload(
            "W2", "search by name: a page, the total, counts of each one's records", SEARCH, _BOTH, searches, _by_name
        ),
        await list_workload(connection, rng, LIST_LENGTH, LISTS),
        Workload(
            "W4", "records by kind, area, region and date, a page of 20", RECORDS, _RESTRICTED, filters, _by_filter
        ),
        Workload(
            "W5",
            "W1 with a new document each time",
            _PROFILE % _RECORD_SHORT,
            _RESTRICTED,
            profiles,
            _by_code("w1"),
            fresh=True,
            stacks=frozenset({"floor", "gateway-restricted", "gateway-restricted-ledger"}),
        ),
    )
    unknown = set(only) - {workload.name for workload in made}
    if unknown:
        raise SystemExit(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(w.name for w in made)}")
    return [workload for workload in made if not only or workload.name in only]
