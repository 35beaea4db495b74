"""The SQL of connections: pages of rows with their cursors and totals. A pure function, no I/O.

In: a connection of a plan, the row at hand. Out: what fields.py makes of every other field.
"""

from __future__ import annotations

import json

from gateway.engine import plan as p
from gateway.engine.bindings import Page, Rows, Search
from gateway.engine.fields import Fields, aggregated, joined
from gateway.engine.fragments import Row, Text
from gateway.engine.search import COUNTED, counted
from gateway.engine.search import page as found_page


class Pages(Fields):
    """Fields with connections among them."""

    def _connection(self, field: p.Connection, row: Row) -> Text:
        page, rows = field.page, field.rows
        own = Row(self._alias("t"), rows.relation)
        edges = [item for item in field.items if isinstance(item, p.Edges)]
        infos = {name for item in field.items if isinstance(item, p.PageInfo) for _, name in item.items}
        alias = self._alias("x")
        if not edges and not infos & {"hasNextPage", "startCursor", "endCursor"}:
            return self._connection_text(field, alias, edges, row)  # counts alone read no page
        found = ""
        if rows.search is not None:
            found = self._alias("m")
            own.overrides |= {"tier": f"{found}.tier", "suffix": f"{found}.suffix"}
        texts = [self._edge(item, page, own) for item in edges]
        where = self._where(rows, own, row)
        first = self._parameter(page.first)
        more = "hasNextPage" in infos
        limit = f"{first}{' + 1' if more else ''}"
        numbered = more or "startCursor" in infos
        inner = [f"{text.render()} as e{n}" for n, text in enumerate(texts)] if self._mode != "keys" else []
        if numbered:
            inner.append("row_number() over () as n")
        if infos & {"startCursor", "endCursor"}:
            inner.append(f"{self._cursor(page, own)} as c")
        self._show(own, field.shown)
        if own.shown:
            inner.append(f"{joined(own.shown)} as i")
        kept = f" filter (where q.n <= {first})" if more else ""
        outer = []
        if self._mode != "keys":
            outer += [f"string_agg(q.e{n}, ','){kept} as e{n}" for n in range(len(edges))]
        if own.shown:
            outer.append(f"string_agg(q.i::text, ','){kept} as i")
        if more:
            outer.append(f"(count(*) > {first})::text as more")
        if "startCursor" in infos:
            outer.append("max(q.c) filter (where q.n = 1) as sc")
        if "endCursor" in infos:
            # No ORDER BY in the aggregates: the rows come in the view's order, and one order would reorder all of them.
            outer.append(f"(array_agg(q.c))[least(count(*), {first})] as ec")
        row.joins.append(
            f"left join lateral (select {', '.join(outer)} from (select {', '.join(inner) or '1'} from"
            f" {self._found(rows.search, found, own, limit) if rows.search else self._from(rows, own)}{where}"
            f" limit {limit}) q) {alias} on true"
        )
        self._pass_on(own, alias, row)
        if self._mode == "keys":
            return Text().literal("null")
        return self._connection_text(field, alias, edges, row)

    def _connection_text(self, field: p.Connection, alias: str, edges: list[p.Edges], row: Row) -> Text:
        text = Text().literal("{")
        counts = any(isinstance(item, p.TotalCount | p.TotalIsExact) for item in field.items)
        total = self._total(field, row) if counts else ""
        for number, item in enumerate(field.items):
            text.literal(("," if number else "") + json.dumps(item.key) + ":")
            match item:
                case p.Edges():
                    text.extend(aggregated(f"{alias}.e{edges.index(item)}"))
                case p.TypeName(name=name):
                    text.literal(json.dumps(name))
                case p.TotalCount():
                    text.sql(f"least({total}, {COUNTED})::text" if field.rows.search else f"{total}::text")
                case p.TotalIsExact():
                    text.sql(f"({total} <= {COUNTED})::text" if field.rows.search else "'true'")
                case p.PageInfo(items=items):
                    text.extend(self._page_info(items, field.page, alias))
        return text.literal("}")

    def _found(self, search: Search, alias: str, own: Row, limit: str) -> str:
        """The subjects that a search finds, with exactly the columns used, in its order."""
        query = found_page(self._schema, search, self._parameter, limit, self._alias("few"))
        own.used.setdefault("id")
        used = ", ".join(f"v.{name}" for name in own.used)
        return (
            f"({query}) {alias} cross join lateral (select {used} from {self._schema}.{own.relation} v"
            f" where v.id = {alias}.subject_id limit 1) {own.alias}" + "".join(f" {join}" for join in own.joins)
        )

    def _total(self, field: p.Connection, row: Row) -> str:
        """The number of rows, pages apart; of a search one more than it counts means more."""
        rows = field.rows
        if rows.search is not None:
            alias = self._alias("c")
            query = counted(self._schema, rows.search, self._parameter, self._alias("few"))
            row.joins.append(f"left join lateral (select count(*) as n from ({query}) q) {alias} on true")
            return f"{alias}.n"
        own = Row(self._alias("t"), rows.relation)
        everything = tuple(c for c in rows.where if c.operator not in ("after", "before"))
        where = self._where(Rows(rows.relation, rows.match, everything), own, row)
        return f"(select count(*) from {self._schema}.{rows.relation} {own.alias}{where})"

    def _page_info(self, items: tuple[tuple[str, str], ...], page: Page, alias: str) -> Text:
        text = Text().literal("{")
        for number, (key, name) in enumerate(items):
            text.literal(("," if number else "") + json.dumps(key) + ":")
            match name:
                case "hasNextPage":
                    text.sql(f"{alias}.more")
                case "hasPreviousPage":
                    text.literal("true" if page.has_after else "false")
                case "startCursor":
                    text.sql(f"coalesce('\"' || {alias}.sc || '\"', 'null')")
                case "endCursor":
                    text.sql(f"coalesce('\"' || {alias}.ec || '\"', 'null')")
                case _:
                    text.literal('"PageInfo"')
        return text.literal("}")

    def _edge(self, edges: p.Edges, page: Page, own: Row) -> Text:
        text = Text().literal("{")
        for number, item in enumerate(edges.items):
            text.literal(("," if number else "") + json.dumps(item.key) + ":")
            match item:
                case p.Cursor():
                    text.literal('"').sql(self._cursor(page, own)).literal('"')
                case p.EdgeNode(body=body):
                    text.extend(self._body(body, own))
                case p.TypeName(name=name):
                    text.literal(json.dumps(name))
        return text.literal("}")

    @staticmethod
    def _cursor(page: Page, own: Row) -> str:
        if not page.order_column:
            # A search: the tier, the ending that matched, the subject. resolvers/search.py reads it.
            ending = f"translate(encode(convert_to({own.column('suffix')}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"
            return f"'{page.cursor}' || {own.column('tier')} || {ending} || {own.column('node_id')}"
        # The order's letter, the day and the row's node id: opaque to clients, checked by resolvers/paging.py.
        return f"'{page.cursor}' || {own.column(page.order_column)}::text || {own.column('node_id')}"
