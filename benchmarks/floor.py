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

from benchmarks.floor_lists import records, search, searched
from benchmarks.floor_sql import ROWS, STATUS, TO_ONE, bare, masked, text

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def _record(view: str, *, full: bool) -> str:
    """One edge as JSON text."""
    made = """'{"node":{"id":"' || r.node_id || '","kind":"' || r.kind || '","area":"' || r.area || '"'"""
    if full:
        made += bare("severity", "r.severity") + text("catalogueItem", "r.catalogue_item")
    made += text("title", "r.title") + text("documentNumber", "r.document_number") + TO_ONE
    made += """ || ',"decidedOn":"' || r.decided_on::text || '"'"""
    if full:
        made += """ || ',"publishedFrom":"' || r.published_from::text || '"'"""
    made += bare("publishedUntil", "r.published_until::text")
    made += f""" || ',"status":"' || {STATUS[view]} || '","underObjection":' || r.under_objection::text"""
    if full:
        made += bare("repairableFrom", "r.repairable_from::text") + text("basis", masked(view, "basis"))
    made += bare("amount", f"({masked(view, 'amount')})::text")
    if full:
        made += text("facts", masked(view, "facts"))
    return made + " || '}}'"


_PAGE_COLUMNS = (
    "r.node_id, r.kind, r.area, r.severity, r.catalogue_item, r.title, r.document_number, r.authority_id,"
    " r.source_code, r.decided_on, r.published_from, r.published_until, r.status, r.under_objection, r.repairable_from,"
    " r.basis, r.amount, r.facts"
)


def _page(view: str, *, full: bool) -> str:
    """The page of a subject `s`: rows by the index first, then what is joined to each by key."""
    return (
        f"select string_agg({_record(view, full=full)}, ',') as j from (select {_PAGE_COLUMNS} from core.record r"
        f" where r.subject_id = s.id and {ROWS[view]} order by r.decided_on desc, r.external_id desc limit 20) r"
        " left join lateral (select a.id, a.uscc, a.name from core.subject a"
        " where a.id = r.authority_id and a.class = 'ORGANISATION' limit 1) a on true"
        " left join lateral (select o.code, o.name, o.kind from core.source o"
        " where o.code = r.source_code limit 1) o on true"
    )


_SUBJECT = """'{"id":"' || s.node_id || '","uscc":"' || s.uscc || '","onRecord":true'
 || ',"name":' || json_scalar(s.name)::text || ',"kind":"' || s.kind || '"'"""
_PROFILE = (
    """ || ',"formerNames":' || (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text
    from core.former_name f where f.subject_id = s.id)
 || ',"roles":' || (select coalesce(json_agg(x.role order by x.role), '[]')::text from core.subject_role x
    where x.subject_id = s.id and (x.valid_to is null or x.valid_to >= core.today()))
 || ',"region":' || case when g.code is null then 'null' else '{"code":"' || g.code || '","name":'
    || json_scalar(g.name)::text || ',"local":' || g.local::text || '}' end"""
    + bare("registeredOn", "s.registered_on::text")
    + text(
        "legalRepresentative",
        "case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**'"
        " else s.legal_representative end",
    )
)
_REGION = """ || ',"region":' || case when g.code is null then 'null' else '{"code":"' || g.code || '","name":'
 || json_scalar(g.name)::text || '}' end"""
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


# What one sets for short statements: to plan W2's anew takes as long as to run it.
SERVER = {"plan_cache_mode": "force_generic_plan", "jit": "off", "max_parallel_workers_per_gather": "0"}


async def as_bytes(connection: Connection) -> None:
    """JSON comes as text and leaves as bytes."""
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
        async with asyncpg.create_pool(dsn, init=as_bytes, server_settings=SERVER, **more) as made:
            pool = made
            yield

    async def answer(sql: str, *parameters: Any) -> Response:
        assert pool is not None
        body = await pool.fetchval(sql, *parameters)
        return Response(body, media_type="application/json") if body is not None else Response(status_code=404)

    def by_code(sql: str) -> Any:
        async def profile(request: Request) -> Response:
            return await answer(sql, request.path_params["uscc"])

        return profile

    def by_codes(sql: str) -> Any:
        async def subjects(request: Request) -> Response:
            return await answer(sql, await request.json())

        return subjects

    def by_name(sql: str) -> Any:
        async def subjects(request: Request) -> Response:
            return await answer(sql, *searched(request.query_params))

        return subjects

    def by_filter(view: str) -> Any:
        async def found(request: Request) -> Response:
            sql, parameters = records(view, request.query_params)
            return await answer(sql, *parameters)

        return found

    routes = []
    for view in ROWS:
        found = statements(view)
        routes.append(Route(f"/w2/{view}", by_name(search(view))))
        routes.append(Route(f"/w4/{view}", by_filter(view)))
        routes += [Route(f"/{name.lower()}/{view}/{{uscc}}", by_code(found[name])) for name in ("W1", "W1F")]
        routes.append(Route(f"/w3/{view}", by_codes(found["W3"]), methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)
