"""Plain Strawberry with its caches, as somebody who knows it writes it: a dataloader for each relation, asyncpg's pool.

In: `python -m benchmarks.peers.plain_strawberry --dsn DSN`. Out: a line with the port, then requests until SIGTERM.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import socket
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NewType

import asyncpg
import strawberry
import uvicorn
from starlette.applications import Starlette
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info

from benchmarks.floor import SERVER
from benchmarks.floor_lists import MATCHES, PAGE, searched
from benchmarks.peers.rows import RECORD, SUBJECT, VISIBLE

Uscc = NewType("Uscc", str)
Row = Any


class Loaders:
    """Those of one request."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.by_code: DataLoader[str, Row] = DataLoader(
            self._one(
                f"select {SUBJECT} from core.subject s where s.uscc = any ($1) and s.class = 'ORGANISATION'", "uscc"
            )
        )
        self.by_id: DataLoader[int, Row] = DataLoader(
            self._one(f"select {SUBJECT} from core.subject s where s.id = any ($1) and s.class = 'ORGANISATION'", "id")
        )
        self.regions: DataLoader[str, Row] = DataLoader(
            self._one("select code, name, local from core.region where code = any ($1)", "code")
        )
        self.sources: DataLoader[str, Row] = DataLoader(
            self._one("select code, name, kind from core.source where code = any ($1)", "code")
        )
        self.names: DataLoader[int, list[Row]] = DataLoader(
            self._many(
                "select subject_id, name from core.former_name where subject_id = any ($1) order by used_until, name"
            )
        )
        self.roles: DataLoader[int, list[Row]] = DataLoader(
            self._many(
                "select subject_id, role from core.subject_role where subject_id = any ($1)"
                " and (valid_to is null or valid_to >= core.today()) order by role"
            )
        )
        self.counts: DataLoader[int, list[Row]] = DataLoader(
            self._many(
                "select r.subject_id, r.area, r.kind, count(*) from core.record r where r.subject_id = any ($1)"
                f" and {VISIBLE} group by r.subject_id, r.area, r.kind order by r.area, r.kind"
            )
        )
        self.records: DataLoader[int, list[Row]] = DataLoader(
            self._many(
                f"select q.* from unnest($1::bigint[]) k (id) cross join lateral (select {RECORD} from core.record r"
                f" where r.subject_id = k.id and {VISIBLE} order by r.decided_on desc, r.external_id desc limit 20) q"
            )
        )

    def _one(self, sql: str, key: str) -> Any:
        async def load(keys: list[Any]) -> list[Row]:
            found = {row[key]: row for row in await self.pool.fetch(sql, keys)}
            return [found.get(each) for each in keys]

        return load

    def _many(self, sql: str) -> Any:
        async def load(keys: list[int]) -> list[list[Row]]:
            found = defaultdict(list)
            for row in await self.pool.fetch(sql, keys):
                found[row["subject_id"]].append(row)
            return [found[each] for each in keys]

        return load


def of(info: Info) -> Loaders:
    """The loaders of this request."""
    found: Loaders = info.context["loaders"]
    return found


@strawberry.type
class Region:
    code: str
    name: str
    local: bool


@strawberry.type
class Source:
    code: str
    name: str
    kind: str


@strawberry.type
class RecordCount:
    area: str
    kind: str
    count: int


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Subject:
    row: strawberry.Private[Row]
    id: strawberry.ID
    uscc: Uscc | None
    name: str | None
    kind: str | None
    registered_on: str | None
    legal_representative: str | None
    on_record: bool = True

    @strawberry.field
    async def former_names(self, info: Info) -> list[str]:
        return [row["name"] for row in await of(info).names.load(self.row["id"])]

    @strawberry.field
    async def roles(self, info: Info) -> list[str]:
        return [row["role"] for row in await of(info).roles.load(self.row["id"])]

    @strawberry.field
    async def region(self, info: Info) -> Region | None:
        row = await of(info).regions.load(self.row["region_code"]) if self.row["region_code"] else None
        return Region(**row) if row else None

    @strawberry.field
    async def record_counts(self, info: Info) -> list[RecordCount]:
        rows = await of(info).counts.load(self.row["id"])
        return [RecordCount(area=row["area"], kind=row["kind"], count=row["count"]) for row in rows]

    @strawberry.field
    async def records(
        self, info: Info, first: int = 20
    ) -> Annotated[CreditRecordConnection, strawberry.lazy(__name__)]:
        return page([record(row, "d") for row in await of(info).records.load(self.row["id"])], first)


def subject(row: Row) -> Subject:
    """A subject out of its row."""
    day = row["registered_on"]
    return Subject(
        row=row,
        id=strawberry.ID(row["node_id"]),
        uscc=row["uscc"],
        name=row["name"],
        kind=row["kind"],
        registered_on=day and day.isoformat(),
        legal_representative=row["legal_representative"],
    )


@strawberry.type
class CreditRecord:
    row: strawberry.Private[Row]
    id: strawberry.ID
    kind: str
    area: str
    title: str
    document_number: str | None
    decided_on: str
    published_until: str | None
    status: str
    under_objection: bool
    amount: str | None

    @strawberry.field
    async def subject(self, info: Info) -> Subject:
        return subject(await of(info).by_id.load(self.row["subject_id"]))

    @strawberry.field
    async def authority(self, info: Info) -> Subject | None:
        row = await of(info).by_id.load(self.row["authority_id"]) if self.row["authority_id"] else None
        return subject(row) if row else None

    @strawberry.field
    async def source(self, info: Info) -> Source:
        return Source(**await of(info).sources.load(self.row["source_code"]))


@strawberry.type
class CreditRecordEdge:
    cursor: str
    node: CreditRecord


@strawberry.type
class CreditRecordConnection:
    edges: list[CreditRecordEdge]
    page_info: PageInfo


@strawberry.type
class SubjectEdge:
    cursor: str
    node: Subject


@strawberry.type
class SubjectConnection:
    total_count: int
    edges: list[SubjectEdge]
    page_info: PageInfo


def record(row: Row, letter: str) -> CreditRecordEdge:
    """An edge out of a record's row."""
    until, amount = row["published_until"], row["amount"]
    day = row["decided_on" if letter == "d" else "published_from"]
    node = CreditRecord(
        row=row,
        id=strawberry.ID(row["node_id"]),
        decided_on=row["decided_on"].isoformat(),
        published_until=until and until.isoformat(),
        amount=None if amount is None else str(amount),
        **{name: row[name] for name in ("kind", "area", "title", "document_number", "status", "under_objection")},
    )
    return CreditRecordEdge(cursor=f"{letter}{day.isoformat()}{row['node_id']}", node=node)


def page(edges: list[CreditRecordEdge], first: int) -> CreditRecordConnection:
    """The first ones, of one more where there are more."""
    shown = edges[:first]
    info = PageInfo(has_next_page=len(edges) > first, end_cursor=shown[-1].cursor if shown else None)
    return CreditRecordConnection(edges=shown, page_info=info)


@strawberry.input
class RecordFilter:
    kinds: list[str] | None = None
    areas: list[str] | None = None
    decided_from: str | None = None
    decided_to: str | None = None
    region_code: str | None = None


@strawberry.input
class RecordOrder:
    field: str
    direction: str


@strawberry.type
class Query:
    @strawberry.field
    async def subject(self, info: Info, uscc: Uscc) -> Subject | None:
        row = await of(info).by_code.load(uscc)
        return subject(row) if row else None

    @strawberry.field
    async def subjects(self, info: Info, usccs: list[Uscc]) -> list[Subject | None]:
        return [subject(row) if row else None for row in await of(info).by_code.load_many(usccs)]

    @strawberry.field
    async def search_subjects(self, info: Info, query: str, first: int = PAGE) -> SubjectConnection:
        rows = await of(info).pool.fetch(
            f"with {MATCHES} select t.n as total, m.tier, m.suffix, {SUBJECT} from (select count(*) as n from m) t,"
            f" m join core.subject s on s.id = m.subject_id where m.n <= {PAGE} order by m.n",
            *searched({"text": query}),
        )
        edges = []
        for row in rows:
            suffix = base64.urlsafe_b64encode(row["suffix"].encode()).decode().rstrip("=")
            edges.append(SubjectEdge(cursor=f"n{row['tier']}{suffix}{row['node_id']}", node=subject(row)))
        total = rows[0]["total"] if rows else 0
        info_ = PageInfo(has_next_page=total > first, end_cursor=edges[-1].cursor if edges else None)
        return SubjectConnection(total_count=min(total, 1_000), edges=edges, page_info=info_)

    @strawberry.field
    async def records(
        self,
        info: Info,
        filter: RecordFilter | None = None,
        order_by: RecordOrder | None = None,
        first: int = 20,
        after: str | None = None,
    ) -> CreditRecordConnection:
        column, letter = (
            ("published_from", "p") if order_by and order_by.field == "PUBLISHED_FROM" else ("decided_on", "d")
        )
        ascending = bool(order_by and order_by.direction == "ASC")
        conditions, values = [VISIBLE], []
        given = filter or RecordFilter()
        region = "s.region_code = any (array (select code from core.region_closure where ancestor = {}))"
        for value, condition in (
            (given.kinds, "r.kind = any ({})"),
            (given.areas, "r.area = any ({})"),
            (given.decided_from and dt.date.fromisoformat(given.decided_from), "r.decided_on >= {}"),
            (given.decided_to and dt.date.fromisoformat(given.decided_to), "r.decided_on <= {}"),
            (given.region_code, region),
        ):
            if value is not None:
                values.append(value)
                conditions.append(condition.format(f"${len(values)}"))
        if after is not None:
            row = uuid.UUID(bytes=base64.urlsafe_b64decode(after[11:] + "=")[1:])
            values += [dt.date.fromisoformat(after[1:11]), row]
            beyond = ">" if ascending else "<"
            conditions.append(f"(r.{column}, r.external_id) {beyond} (${len(values) - 1}, ${len(values)})")
        way = "asc" if ascending else "desc"
        rows = await of(info).pool.fetch(
            f"select {RECORD} from core.record r join core.subject s on s.id = r.subject_id"
            f" where {' and '.join(conditions)} order by r.{column} {way}, r.external_id {way} limit {first + 1}",
            *values,
        )
        return page([record(row, letter) for row in rows], first)


class App(GraphQL[Any, Any]):
    """Loaders for each request."""

    pool: Any = None

    async def get_context(self, request: Any, response: Any) -> Any:
        return {"request": request, "response": response, "loaders": Loaders(self.pool)}


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    given = parser.parse_args()
    config = StrawberryConfig(scalar_map={Uscc: strawberry.scalar(name="Uscc", serialize=str, parse_value=str)})
    schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache], config=config)
    graphql = App(schema, graphql_ide=None)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(given.dsn, server_settings=SERVER) as pool:
            graphql.pool = pool
            yield

    app = Starlette(lifespan=lifespan)
    app.mount("/graphql", graphql)
    app.add_route("/graphql", graphql)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        server = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
        uvicorn.Server(server).run(sockets=[listener])


if __name__ == "__main__":
    main()
