"""The floor's searches and lists: two handlers that build their statement from what is asked, as one does by hand.

In: the query string of a GET. Out: a statement and its parameters. Same rows, filters, values and cursors as the
gateway's; base tables by the project's own indices. Among those tried these were the fastest: page and total of a
search from one scan, the keys of a page of records found in the index of its order alone, then their rows.
"""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from benchmarks.floor_sql import ROWS, STATUS, TO_ONE, bare, masked, text
from gateway.storage.names import LEAST, end_of, folded

PAGE, COUNTED = 20, 1_000  # rows of a page; how far a total is exact
_ENDINGS = 2_200

# Searches ------------------------------------------------------------------------------------------------------------


def _endings(tier: int, more: str, limit: int) -> str:
    """Rows of the range, in their order."""
    return (
        "(select p.subject_id, p.tier, p.suffix from core.name_part p"
        f" where not p.personal and p.tier = {tier} and p.suffix >= $1 and p.suffix < $2{more}"
        f" order by p.suffix, p.subject_id limit {limit})"
    )


def _first_only(tier: int) -> str:
    """The condition that no other ending of the subject matches earlier; looked at where there may be one."""
    earlier = "o.tier = 0 and o.suffix < p.suffix" if tier == 0 else "(o.tier = 0 or o.suffix < p.suffix)"
    return (
        " and not (p.repeated and exists (select from core.name_part o where not o.personal"
        f" and o.subject_id = p.subject_id and o.suffix >= $1 and o.suffix < $2 and {earlier}))"
    )


# Each subject once, in the order of its first ending: `m`, at most one more than a total counts. Most names have two
# endings that match, one for each way of writing 有限责任公司, so a little more than twice as many rows have them all,
# and a window over these costs less than half of a look at each row's other endings, which is left for where they
# don't. Of two characters the first ending of a subject is the one that is not `repeated`: once each, no more is read.
_SHORT = f"char_length($1) = {LEAST}"
_MAYBE = f" and (not p.repeated or not {_SHORT})"
MATCHES = f"""
  raw as materialized (select q.*, row_number() over () as place from (
    select * from ({_endings(0, _MAYBE, _ENDINGS)} union all {_endings(1, _MAYBE, _ENDINGS)} limit {_ENDINGS}) e
    limit case when {_SHORT} then {COUNTED + 1} else {_ENDINGS} end) q),
  once as materialized (select q.subject_id, q.tier, q.suffix, q.place from (
    select r.*, row_number() over (partition by r.subject_id order by r.place) as of_subject from raw r) q
    where q.of_subject = 1 order by q.place limit {COUNTED + 1}),
  enough as materialized (select count(*) > {COUNTED} or (select count(*) from raw) < {_ENDINGS} as yes from once),
  m as materialized (select q.subject_id, q.tier, q.suffix, row_number() over () as n from (
    select * from (select o.subject_id, o.tier, o.suffix from once o where (select yes from enough) order by o.place) a
    union all select * from ({_endings(0, _first_only(0), COUNTED + 1)} union all
      {_endings(1, _first_only(1), COUNTED + 1)} limit {COUNTED + 1}) b where not (select yes from enough)) q)"""


def search(view: str) -> str:
    """The statement of W2; $1 and $2 are the range of endings."""
    counts = (
        """select string_agg('{"area":"' || c.area || '","kind":"' || c.kind || '","count":' || c.count || '}', ','"""
        " order by c.area, c.kind) as j from (select r.area, r.kind, count(*) from core.record r"
        f" where r.subject_id = s.id and {ROWS[view]} group by r.area, r.kind) c"
    )
    node = (
        """'{"node":{"id":"' || s.node_id || '"' """
        + bare("uscc", "s.uscc")
        + text("name", "s.name")
        + """ || ',"kind":"' || s.kind || '","region":' || case when g.code is null then 'null' else '{"code":"'"""
        """ || g.code || '","name":' || json_scalar(g.name)::text || '}' end"""
        """ || ',"recordCounts":[' || coalesce(c.j, '') || ']}}'"""
    )
    cursor = "'n' || m.tier || translate(encode(convert_to(m.suffix, 'UTF8'), 'base64'), E'+/=\\n', '-_') || s.node_id"
    return f"""with {MATCHES},
      t as (select count(*) as n from m)
      select '{{"data":{{"searchSubjects":{{"totalCount":' || least(t.n, {COUNTED}) || ',"edges":['
        || coalesce(p.j, '') || '],"pageInfo":{{"hasNextPage":' || (t.n > {PAGE})::text || ',"endCursor":'
        || coalesce('"' || p.cursor || '"', 'null') || '}}}}}}}}'
      from t cross join lateral (
        select string_agg({node}, ',' order by m.n) as j,
          max({cursor}) filter (where m.n = least(t.n, {PAGE})) as cursor
        from m join core.subject s on s.id = m.subject_id left join core.region g on g.code = s.region_code
        cross join lateral ({counts}) c where m.n <= {PAGE}) p"""


def searched(parameters: Mapping[str, str]) -> tuple[str, str]:
    """Parameters of W2's statement."""
    begin = folded(parameters["text"])
    return begin, end_of(begin)


# Records by filter ---------------------------------------------------------------------------------------------------

_ORDERS = {
    "decided_desc": ("decided_on", "desc", "<", "d"),
    "decided_asc": ("decided_on", "asc", ">", "d"),
    "published_desc": ("published_from", "desc", "<", "p"),
    "published_asc": ("published_from", "asc", ">", "p"),
}


def _listed(view: str, letter: str, column: str) -> str:
    """One edge as JSON text."""
    return (
        f"""'{{"cursor":"{letter}' || r.{column}::text || r.node_id || '","node":{{"id":"' || r.node_id"""
        """ || '","kind":"' || r.kind || '","area":"' || r.area || '"'"""
        + text("title", "r.title")
        + text("documentNumber", "r.document_number")
        + """ || ',"subject":{"id":"' || s.node_id || '"'"""
        + bare("uscc", "s.uscc")
        + text("name", "s.name")
        + " || '}'"
        + TO_ONE
        + """ || ',"decidedOn":"' || r.decided_on::text || '"'"""
        + bare("publishedUntil", "r.published_until::text")
        + f""" || ',"status":"' || {STATUS[view]} || '","underObjection":' || r.under_objection::text"""
        + bare("amount", f"({masked(view, 'amount')})::text")
        + " || '}}'"
    )


def records(view: str, parameters: Mapping[str, str]) -> tuple[str, list[Any]]:
    """W4's statement for the filters that are there, and its parameters."""
    column, direction, beyond, letter = _ORDERS[parameters.get("order", "decided_desc")]
    conditions, values = [ROWS[view]], []

    def given(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    for name in ("kind", "area"):
        if name in parameters:
            conditions.append(f"r.{name} = any ({given(parameters[name].split(','))}::text[])")
    for name, operator in (("from", ">="), ("to", "<=")):
        if name in parameters:
            conditions.append(f"r.decided_on {operator} {given(dt.date.fromisoformat(parameters[name]))}")
    if "after" in parameters:
        cursor = parameters["after"]
        row = uuid.UUID(bytes=base64.urlsafe_b64decode(cursor[11:] + "=")[1:])
        conditions.append(
            f"(r.{column}, r.external_id) {beyond} ({given(dt.date.fromisoformat(cursor[1:11]))}, {given(row)})"
        )
    if "region" in parameters:
        conditions.append(
            "s.region_code = any (array (select c.code from core.region_closure c"
            f" where c.ancestor = {given(parameters['region'])}))"
        )
    # Without a region it is not looked at, and PostgreSQL takes no inner join away.
    subject = " join core.subject s on s.id = r.subject_id" if "region" in parameters else ""
    order = f"{column} {direction}, r.external_id {direction}"
    return (
        f"""select '{{"data":{{"records":{{"edges":[' || coalesce(string_agg(e.j, ',' order by e.n) filter
        (where e.n <= {PAGE}), '') || '],"pageInfo":{{"hasNextPage":' || (count(*) > {PAGE})::text || ',"endCursor":'
        || coalesce('"' || max(e.cursor) filter (where e.n = least(e.total, {PAGE})) || '"', 'null') || '}}}}}}}}'
        from (select {_listed(view, letter, column)} as j, '{letter}' || r.{column}::text || r.node_id as cursor,
            k.n, k.total
          from (select r.id, row_number() over () as n, count(*) over () as total from (
            select r.id from core.record r{subject}
            where {" and ".join(conditions)}
            order by r.{order} limit {PAGE + 1}) r) k
          join core.record r on r.id = k.id join core.subject s on s.id = r.subject_id
          left join lateral (select a.id, a.uscc, a.name from core.subject a
            where a.id = r.authority_id and a.class = 'ORGANISATION' limit 1) a on true
          left join lateral (select o.code, o.name, o.kind from core.source o
            where o.code = r.source_code limit 1) o on true) e""",
        values,
    )
