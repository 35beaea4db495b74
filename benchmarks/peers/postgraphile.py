"""What PostGraphile 5 serves: a schema of views and functions over the base tables, as somebody who knows it writes it.

In: the owner's connection; workloads; data of either server. Out: the schema `peers`, PostGraphile's requests for W1 to
W4, and data in one shape. Fields and values are the gateway's. The tool dictates an
order as an argument where the gateway has a default, conditions instead of a filter, and cursors of its own.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg

from benchmarks.floor_lists import COUNTED, MATCHES
from benchmarks.floor_sql import ROWS, STATUS
from benchmarks.load import ask, http
from benchmarks.workloads import Workload

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Json: TypeAlias = Any

# Views have no constraints of their own: smart tags say what is unique and what refers to what. PostgreSQL computes
# the columns that are asked for and no others.
SCHEMA = f"""
drop schema if exists peers cascade;
create schema peers;
create view peers.region as select code, name, local from core.region;
create view peers.source as select code, name, kind from core.source;
create view peers.subject as select s.id, s.node_id, s.uscc, true as on_record, s.name, s.kind,
    array (select f.name from core.former_name f where f.subject_id = s.id order by f.used_until, f.name)
        as former_names,
    array (select x.role from core.subject_role x where x.subject_id = s.id
        and (x.valid_to is null or x.valid_to >= core.today()) order by x.role) as roles,
    s.region_code, s.registered_on,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**'
        else s.legal_representative end as legal_representative
  from core.subject s where s.class = 'ORGANISATION';
create view peers.record as select r.id, r.external_id, r.node_id, r.subject_id, r.authority_id, r.source_code, r.kind,
    r.area, r.title, r.document_number, r.decided_on, r.published_from, r.published_until,
    {STATUS["restricted"]} as status, r.under_objection, r.amount
  from core.record r where {ROWS["restricted"]};
create view peers.record_count as select r.subject_id, r.area, r.kind, count(*)::integer as count
  from core.record r where {ROWS["restricted"]} group by r.subject_id, r.area, r.kind;
comment on view peers.region is '@primaryKey code';
comment on view peers.source is '@primaryKey code';
comment on view peers.subject is E'@primaryKey id\\n@unique uscc\\n'
    '@foreignKey (region_code) references peers.region (code)|@fieldName region';
comment on view peers.record is E'@primaryKey id\\n@unique external_id\\n'
    '@foreignKey (subject_id) references peers.subject (id)|@fieldName subject|@foreignFieldName records\\n'
    '@foreignKey (authority_id) references peers.subject (id)|@fieldName authority|@foreignFieldName decisions\\n'
    '@foreignKey (source_code) references peers.source (code)|@fieldName source';
comment on view peers.record_count is E'@primaryKey subject_id,area,kind\\n@foreignKey (subject_id) references'
    ' peers.subject (id)|@foreignSimpleFieldName recordCounts|@behavior +list -connection';
create function peers.subjects(usccs text[]) returns setof peers.subject language sql stable rows 100 as $$
    select s.* from unnest(usccs) with ordinality k (uscc, n) join peers.subject s on s.uscc = k.uscc order by k.n $$;
comment on function peers.subjects is '@behavior -connection +list';
-- As much of the gateway's folding of names as the names that are measured need.
create function peers.folded(query text) returns text language sql immutable as $$
    select upper(replace(regexp_replace(normalize(query, NFKC), '\\s', '', 'g'), '有限责任公司', '有限公司')) $$;
comment on function peers.folded is '@behavior -*';
create function peers.matches(text, text) returns table (subject_id bigint, n bigint) language sql stable as $$
    with {MATCHES} select subject_id, n from m where n <= {COUNTED} $$;
comment on function peers.matches is '@behavior -*';
create function peers.search_subjects(query text) returns setof peers.subject language sql stable as $$
    select s.* from peers.matches(peers.folded(query), peers.folded(query) || U&'\\+10FFFF') m
    join peers.subject s on s.id = m.subject_id order by m.n $$;
"""

_SHORT = """id: nodeId kind area title documentNumber authority { uscc name } source { code name kind }
        decidedOn publishedUntil status underObjection amount"""
_RECORDS = f"""records(first: 20, orderBy: [DECIDED_ON_DESC, EXTERNAL_ID_DESC]) {{ edges {{ node {{
        {_SHORT}
    }} }} }}"""
DOCUMENTS = {
    "W1": f"""query Profile($uscc: String!) {{
  subject: subjectByUscc(uscc: $uscc) {{
    id: nodeId uscc onRecord name kind formerNames roles region {{ code name local }} registeredOn legalRepresentative
    {_RECORDS}
  }}
}}""",
    "W2": """query Search($text: String!) {
  searchSubjects(query: $text, first: 20) {
    totalCount
    edges { node { id: nodeId uscc name kind region { code name }
        recordCounts(orderBy: [AREA_ASC, KIND_ASC]) { area kind count } } }
    pageInfo { hasNextPage endCursor }
  }
}""",
    "W3": f"""query Subjects($usccs: [String!]!) {{
  subjects: subjectsList(usccs: $usccs) {{
    id: nodeId uscc onRecord name kind region {{ code name }}
    {_RECORDS}
  }}
}}""",
    "W4": """query Records($condition: RecordCondition, $orderBy: [RecordOrderBy!], $after: Cursor) {
  records: allRecords(condition: $condition, orderBy: $orderBy, first: 20, after: $after) {
    edges { cursor node {
        id: nodeId kind area title documentNumber subject { id: nodeId uscc name } authority { uscc name }
        source { code name kind } decidedOn publishedUntil status underObjection amount
    } }
    pageInfo { hasNextPage endCursor }
  }
}""",
}


_ORDERS = {
    (field, direction): [f"{field}_{direction}", f"EXTERNAL_ID_{direction}"]
    for field in ("DECIDED_ON", "PUBLISHED_FROM")
    for direction in ("DESC", "ASC")
}
_CONDITIONS = {"kinds": "kindIn", "areas": "areaIn"}  # the others have the filter's names
_FIRST = "query ($orderBy: [RecordOrderBy!]) { allRecords(first: 1, orderBy: $orderBy) { edges { cursor } } }"


async def make(owner: Connection) -> None:
    """The schema, made anew."""
    await owner.execute(SCHEMA)


async def drop(owner: Connection) -> None:
    """Nothing of it is left for who uses the data next."""
    await owner.execute("drop schema if exists peers cascade")


async def requests(port: int, workload: Workload) -> list[bytes]:
    """A workload's requests, in PostGraphile's words."""
    marks: dict[tuple[str, str], str] = {}
    if workload.name == "W4":
        for order, names in _ORDERS.items():
            _, answer = await ask(port, _request(_FIRST, {"orderBy": names}))
            marks[order] = _values(json.loads(answer)["data"]["allRecords"]["edges"][0]["cursor"])[0]
    made = []
    for variables in workload.variables:
        given = variables if workload.name != "W4" else _listed(variables, marks)
        made.append(_request(DOCUMENTS[workload.name], given))
    return made


def _request(document: str, variables: Mapping[str, Any]) -> bytes:
    body = json.dumps({"query": document, "variables": variables}).encode()
    return http("POST", "/graphql", body, content_type="application/json", accept="application/json")


def _listed(variables: Mapping[str, Any], marks: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """W4's variables. A cursor has the mark of its order, and the same place in it as the gateway's."""
    order = variables.get("orderBy", {"field": "DECIDED_ON", "direction": "DESC"})
    key = (order["field"], order["direction"])
    made = {
        "condition": {_CONDITIONS.get(name, name): value for name, value in variables["filter"].items()},
        "orderBy": _ORDERS[key],
    }
    if "after" in variables:
        text = json.dumps([marks[key], *_place(variables["after"])], separators=(",", ":"))
        made["after"] = base64.b64encode(text.encode()).decode()
    return made


def normalised(data: Json) -> Json:
    """Data with places instead of cursors, which each server writes in its own way."""
    if isinstance(data, list):
        return [normalised(each) for each in data]
    if not isinstance(data, dict):
        return data
    return {
        key: _place(value) if key in ("cursor", "endCursor") and value is not None else normalised(value)
        for key, value in data.items()
    }


def _values(cursor: str) -> list[Any]:
    found: list[Any] = json.loads(base64.b64decode(cursor))
    return found


def _place(cursor: str) -> list[str]:
    """Day and row of a cursor of records, PostGraphile's or the gateway's; of a search only that there is one, since
    PostGraphile counts where the gateway has the name."""
    if cursor[0] in "dp":
        return [cursor[1:11], str(uuid.UUID(bytes=base64.urlsafe_b64decode(cursor[11:] + "=")[1:]))]
    if cursor[0] == "n":
        return []
    mark, *values = _values(cursor)
    return [] if mark == "natural" else values
