"""The floor: what a good author writes by hand instead of a gateway. Starlette, asyncpg's own pool, one statement.

In: a GET or POST with codes. Out: PostgreSQL's JSON, passed through as bytes. It reads the project's own base tables by
their indices, with the same rows, filters and values as the views, and knows nothing of who asks. Its statements are
the fastest of those tried: strings put together in groups, not row_to_json; the page's rows taken by index before
anything is joined to them; to-one joins by key. Differences to the gateway's answers stop the run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_ROWS = {
    "restricted": "r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')",
    "public": "r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published"
    " and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today())",
}
_STATUS = {
    "restricted": "case when r.published_until < core.today() then 'EXPIRED' else r.status end",
    "public": "r.status",
}


def _masked(view: str, column: str) -> str:
    if view == "public":
        return f"case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.{column} end"
    return f"r.{column}"


def _text(key: str, sql: str) -> str:
    return f""" || (',"{key}":' || coalesce(to_json({sql})::text, 'null'))"""


def _bare(key: str, sql: str) -> str:
    """A value that needs no escaping and may be null."""
    return f""" || (',"{key}":' || coalesce('"' || {sql} || '"', 'null'))"""


_TO_ONE = (
    """ || (',"authority":' || case when a.id is null then 'null' else"""
    """ '{"uscc":' || coalesce('"' || a.uscc || '"', 'null')"""
    """ || ',"name":' || to_json(a.name)::text || '}' end)"""
    """ || (',"source":{"code":"' || o.code || '","name":' || to_json(o.name)::text || ',"kind":"' || o.kind || '"}')"""
)


def _record(view: str, *, full: bool) -> str:
    """One edge as JSON text."""
    text = """'{"node":{"id":"' || r.node_id || '","kind":"' || r.kind || '","area":"' || r.area || '"'"""
    if full:
        text += _bare("severity", "r.severity") + _text("catalogueItem", "r.catalogue_item")
    text += _text("title", "r.title") + _text("documentNumber", "r.document_number") + _TO_ONE
    text += """ || ',"decidedOn":"' || r.decided_on::text || '"'"""
    if full:
        text += """ || ',"publishedFrom":"' || r.published_from::text || '"'"""
    text += _bare("publishedUntil", "r.published_until::text")
    text += f""" || ',"status":"' || {_STATUS[view]} || '","underObjection":' || r.under_objection::text"""
    if full:
        text += _bare("repairableFrom", "r.repairable_from::text") + _text("basis", _masked(view, "basis"))
    text += _bare("amount", f"({_masked(view, 'amount')})::text")
    if full:
        text += _text("facts", _masked(view, "facts"))
    return text + " || '}}'"


_PAGE_COLUMNS = (
    "r.node_id, r.kind, r.area, r.severity, r.catalogue_item, r.title, r.document_number, r.authority_id,"
    " r.source_code, r.decided_on, r.published_from, r.published_until, r.status, r.under_objection, r.repairable_from,"
    " r.basis, r.amount, r.facts"
)


def _page(view: str, *, full: bool) -> str:
    """The page of a subject `s`: rows by the index first, then what is joined to each by key."""
    return (
        f"select string_agg({_record(view, full=full)}, ',') as j from (select {_PAGE_COLUMNS} from core.record r"
        f" where r.subject_id = s.id and {_ROWS[view]} order by r.decided_on desc, r.external_id desc limit 20) r"
        " left join lateral (select a.id, a.uscc, a.name from core.subject a"
        " where a.id = r.authority_id and a.class = 'ORGANISATION' limit 1) a on true"
        " left join lateral (select o.code, o.name, o.kind from core.source o"
        " where o.code = r.source_code limit 1) o on true"
    )


_SUBJECT = """'{"id":"' || s.node_id || '","uscc":"' || s.uscc || '","onRecord":true,"name":' || to_json(s.name)::text
 || ',"kind":"' || s.kind || '"'"""
_PROFILE = (
    """ || ',"formerNames":' || (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text
    from core.former_name f where f.subject_id = s.id)
 || ',"roles":' || (select coalesce(json_agg(x.role order by x.role), '[]')::text from core.subject_role x
    where x.subject_id = s.id and (x.valid_to is null or x.valid_to >= core.today()))
 || ',"region":' || case when g.code is null then 'null' else '{"code":"' || g.code || '","name":'
    || to_json(g.name)::text || ',"local":' || g.local::text || '}' end"""
    + _bare("registeredOn", "s.registered_on::text")
    + _text(
        "legalRepresentative",
        "case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**'"
        " else s.legal_representative end",
    )
)
_REGION = """ || ',"region":' || case when g.code is null then 'null' else '{"code":"' || g.code || '","name":'
 || to_json(g.name)::text || '}' end"""
_RECORDS = """ || ',"records":{"edges":[' || coalesce(q.j, '') || ']}}'"""


def statements(view: str) -> dict[str, str]:
    """The statement of each workload."""
    region = "left join core.region g on g.code = s.region_code"
    subject = f"{_SUBJECT}{_REGION}{_RECORDS}"
    return {
        name: f"""select '{{"data":{{"subject":' || {_SUBJECT}{_PROFILE}{_RECORDS} || '}}}}'
            from core.subject s {region}
            cross join lateral ({_page(view, full=full)}) q where s.uscc = $1 and s.class = 'ORGANISATION'"""
        for name, full in (("W1", False), ("W1F", True))
    } | {
        "W3": f"""select '{{"data":{{"subjects":[' || string_agg({subject}, ',' order by k.n) || ']}}}}'
            from unnest($1::text[]) with ordinality k (uscc, n)
            join core.subject s on s.uscc = k.uscc and s.class = 'ORGANISATION' {region}
            cross join lateral ({_page(view, full=False)}) q""",
    }


async def _as_bytes(connection: Connection) -> None:
    await connection.set_type_codec("text", schema="pg_catalog", encoder=str.encode, decoder=bytes, format="binary")


async def _no_reset(_: Connection) -> None:
    return None


def create_floor(dsn: str, *, reset: bool) -> Starlette:
    """The ASGI app. `reset` as asyncpg's pool comes, or disabled."""
    pool: asyncpg.Pool[asyncpg.Record] | None = None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal pool
        more: dict[str, Any] = {} if reset else {"reset": _no_reset}
        async with asyncpg.create_pool(dsn, init=_as_bytes, **more) as made:
            pool = made
            yield

    async def answer(sql: str, parameter: Any) -> Response:
        assert pool is not None
        body = await pool.fetchval(sql, parameter)
        return Response(body, media_type="application/json") if body is not None else Response(status_code=404)

    def by_code(sql: str) -> Any:
        async def profile(request: Request) -> Response:
            return await answer(sql, request.path_params["uscc"])

        return profile

    def by_codes(sql: str) -> Any:
        async def subjects(request: Request) -> Response:
            return await answer(sql, await request.json())

        return subjects

    routes = []
    for view in _ROWS:
        found = statements(view)
        routes += [Route(f"/{name.lower()}/{view}/{{uscc}}", by_code(found[name])) for name in ("W1", "W1F")]
        routes.append(Route(f"/w3/{view}", by_codes(found["W3"]), methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)
