"""The SQL of connections: pages of rows with their cursors and totals. A pure function, no I/O.

In: a connection of a plan, the row at hand. Out: what fields.py makes of every other field.

A page counted from the end reads the view of the opposite order, from where the page ends, and turns its few rows
round: a barrier view keeps a sort outside, so each order that is offered has its opposite in the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from gateway.engine import plan as p
from gateway.engine.bindings import WINDOW, Condition, Page, Rows, SubjectKeys
from gateway.engine.fields import EXTERNAL_ID, Fields, aggregated, joined
from gateway.engine.fragments import Row, Text
from gateway.engine.search import COUNTED, NAMED, Total, beyond, with_total
from gateway.engine.search import page as found_page
from gateway.engine.search import total as found_total
from gateway.engine.values import Value, absent
from gateway.storage.catalogue import RELATIONS

FEW = 200  # subjects of a region: their records are read, those of more are found in the order of all
_OPPOSITE = {"asc": "desc", "desc": "asc"}
# On each side of a list ordered by day and id: what no row is beside, and the id that none is, either.
_OUTERMOST = {
    "<": ("infinity", "00000000-0000-0000-0000-000000000000"),
    ">": ("-infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
}


def opposite(order: str) -> str:
    """The order that reads a list from its end: orders of the catalogue end in _asc or _desc."""
    name, _, direction = order.rpartition("_")
    return f"{name}_{_OPPOSITE[direction]}"


class Pages(Fields):
    """Fields with connections among them."""

    def _connection(self, field: p.Connection, row: Row) -> Text:
        page, rows = field.page, field.rows
        own = Row(self._alias("t"), rows.relation)
        edges = [item for item in field.items if isinstance(item, p.Edges)]
        infos = {name for item in field.items if isinstance(item, p.PageInfo) for _, name in item.items}
        alias = self._alias("x")
        more = ("hasPreviousPage" if page.backward else "hasNextPage") in infos
        place = "" if page.sealed is None else self._opened(field, page.sealed, row)
        more = more or bool(place and "endCursor" in infos)
        if rows.about is not None and self._mode == "shown":
            self._tell_all(rows.about, row)
        if not edges and not more and not infos & {"startCursor", "endCursor"}:
            self._check_scope(rows, row)  # whatever of it is skipped, it was asked for
            return self._connection_text(field, alias, edges, row)  # counts alone read no page
        found, total = "", None
        counts = any(isinstance(item, p.TotalCount | p.TotalIsExact) for item in field.items)
        if rows.search is not None:
            found = self._alias("m")
            own.overrides |= {"tier": f"{found}.tier", "suffix": f"{found}.suffix"}
        texts = [self._edge(item, page, own) for item in edges]
        region = next((c for c in rows.where if c.operator == "below" and not rows.match), None)
        listed = RELATIONS[rows.relation].by_key and bool(rows.order) and not rows.match
        if not listed:
            beside = self._ahead(page, own, place) if place else self._between(page, own)
            where = self._where(rows, own, row, beside)
        size = self._parameter(page.size)
        limit = f"{size}{' + 1' if more else ''}"
        inner = [f"{text.render()} as e{n}" for n, text in enumerate(texts)] if self._mode != "keys" else []
        if more or page.backward or "startCursor" in infos:
            inner.append("row_number() over () as n")
        if infos & {"startCursor", "endCursor"}:
            # Sealed once each, not for every row.
            inner.append(f"{self._cursor(page, own) if page.sealed is None else own.column(page.order_column)} as c")
        self._show(own, field.shown)
        if own.shown:
            inner.append(f"{joined(own.shown)} as i")
        onward = self._mode == "shown" and field.shown and more and rows.search is not None
        if onward and len(own.shown) > 1:
            inner.append(f"{own.shown[-1]} as o")
        read = replace(rows, order=opposite(rows.order)) if page.backward and rows.order else rows
        # Of all rows there are. PostgreSQL takes a limit that it doesn't know for a tenth of these, and would sort all
        # that a filter leaves rather than read in the list's order until the page is full: 0.8 s, not 4 ms.
        bound = str(page.largest + 1) if page.largest and not rows.match else limit
        if listed:
            source, where = self._listed(replace(field, rows=read), region, own, row, bound), ""
        else:
            if rows.search is not None and counts and not page.backward and with_total(rows.search):
                total = found_total(self._schema, rows.search, self._parameter, self._alias, limit)
            source = self._found(field, found, own, limit, total) if rows.search else self._from(read, own)
        query = f"select {', '.join(inner) or '1'} from {source}{where} limit {bound}"
        if bound is not limit:
            query = f"select * from ({query}) b limit {limit}"
        if page.backward:
            query = f"select * from ({query}) r order by r.n desc"
        outer = self._outer(page, infos, len(edges), size, place, more=more)
        if own.shown:
            outer.append(f"{_told(own, size, more=more, onward=onward)} as i")
        before = ""
        if total is not None:
            before = f"{total.parts} "
            outer.append(f"{total.number} as total")
            outer += self._counted(total, row, alias, beyond=size)
        row.joins.append(f"left join lateral ({before}select {', '.join(outer)} from ({query}) q) {alias} on true")
        self._pass_on(own, alias, row)
        if self._mode == "keys":
            return Text().literal("null")
        return self._connection_text(field, alias, edges, row, f"{alias}.total" if total is not None else "")

    def _outer(self, page: Page, infos: set[str], edges: int, size: str, place: str, *, more: bool) -> list[str]:
        """A page's columns. `more` is whether it has read one row more than it shows, to know of it. A feed's page has
        more behind it, too, where its window ends before all does: `place` is where it begins.

        No ORDER BY in the aggregates: the rows come in their order, and one order would reorder all of them.
        """
        kept = f" filter (where q.n <= {size})" if more else ""
        outer = []
        if self._mode != "keys":
            outer += [f"string_agg(q.e{n}, ','){kept} as e{n}" for n in range(edges)]
        if more:
            beyond = f" or {place} + {WINDOW} < {self._schema}.change_end()" if place else ""
            outer.append(f"(count(*) > {size}{beyond})::text as more")
        # Rows are numbered as they are read: the first is that of the end from which the page is counted.
        near = "max(q.c) filter (where q.n = 1)"
        far = f"(array_agg(q.c))[{f'1 + (count(*) > {size})::int' if page.backward else f'least(count(*), {size})'}]"
        if page.sealed is not None:
            near = self._sealed(near)
            end = f"least({place} + {WINDOW}, {self._schema}.change_end())"
            far = f"case when count(*) > {size} then (array_agg(q.c))[{size}] else {end} end"
            far = self._sealed(far)
        if "startCursor" in infos:
            outer.append(f"{far if page.backward else near} as sc")
        if "endCursor" in infos:
            outer.append(f"{near if page.backward else far} as ec")
        return outer

    @staticmethod
    def _ahead(page: Page, own: Row, place: str) -> list[str]:
        """The conditions of a feed's page: a window, since what a view, a scope or a filter leaves out is read as well,
        and may be all there is."""
        column = own.column(page.order_column)
        return [f"{column} > {place}", f"{column} <= {place} + {WINDOW}"]

    def _between(self, page: Page, own: Row) -> list[str]:
        """The conditions that keep a page between its cursors; those of a search are in search.py."""
        signs = ("<", ">") if page.descending else (">", "<")
        places = zip((page.after, page.before), signs, strict=True)
        return [self._beside(page, own, place, sign) for place, sign in places if place is not None]

    def _beside(self, page: Page, own: Row, place: tuple[Value, Value], sign: str) -> str:
        day, node = (self._parameter(value) for value in place)
        return f"({own.column(page.order_column)}, {own.column('external_id')}) {sign} ({day}, {node})"

    def _beyond(self, field: p.Connection, row: Row) -> Text:
        """Whether there is anything on the other side of the cursor where the page begins, as the cursor's own row is:
        one row of the opposite order."""
        rows, page = field.rows, field.page
        if rows.search is not None:
            if (rows.search.before if page.backward else rows.search.after) is None:
                return Text().literal("false")
            query = beyond(self._schema, rows.search, self._parameter, self._alias("few"), backward=page.backward)
            if self._mode != "shown":
                return _any(f"({query}) q")
            # That there is somebody of this name is told of them.
            alias = self._alias("x")
            found = f"(select v.external_id from {self._schema}.subject v where v.id = q.subject_id limit 1)"
            row.joins.append(f"left join lateral (select {found}::text as i from ({query}) q) {alias} on true")
            self._tell(row, f"{alias}.i")
            return Text().sql(f"({alias}.i is not null)::text")
        if page.sealed is not None:
            own = Row(self._alias("t"), rows.relation)
            begin, column = self._places[field], own.column(page.order_column)
            where = self._where(rows, own, row, [f"{column} <= {begin}", f"{column} > {begin} - {WINDOW}"])
            return _any(f"{self._from(rows, own)}{where}")
        place = page.before if page.backward else page.after
        if place is None:
            return Text().literal("false")
        own = Row(self._alias("t"), rows.relation)
        sign = "<=" if page.backward == page.descending else ">="
        where = self._where(rows, own, row, [self._beside(page, own, place, sign)])
        read = rows if page.backward else replace(rows, order=opposite(rows.order))
        return _any(f"{self._from(read, own)}{where}")

    def _connection_text(
        self, field: p.Connection, alias: str, edges: list[p.Edges], row: Row, total: str = ""
    ) -> Text:
        """`total`: where the page has it already."""
        text = Text().literal("{")
        if not total and any(isinstance(item, p.TotalCount | p.TotalIsExact) for item in field.items):
            total = self._total(field, row)
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
                    text.extend(self._page_info(items, field, alias, row))
        return text.literal("}")

    def _found(self, field: p.Connection, alias: str, own: Row, limit: str, total: Total | None) -> str:
        """The subjects that a search finds, with exactly the columns used, in the order in which they are read; those
        of a first page from what its total reads."""
        search, backward = field.rows.search, field.page.backward
        assert search is not None
        if total is not None:
            query = total.page
        else:
            query = found_page(self._schema, search, self._parameter, limit, self._alias("few"), backward=backward)
        own.used.setdefault("id")
        return f"({query}) {alias}{self._rows_of(own, f'{alias}.subject_id')}"

    def _listed(self, field: p.Connection, region: Condition | None, own: Row, row: Row, limit: str) -> str:
        """A page of all rows, with exactly the columns used, in its order: their keys, found in the order's index
        alone, then the rows themselves. What a filter leaves out is not read (decision 0028)."""
        key = Row(self._alias("v"), field.rows.relation)
        rows, conditions = self._ordered(field, key)
        if region is None:
            where = self._where(rows, key, row, conditions)
            keys = f"select {key.column('id')} from {self._from(rows, key)}{where} limit {limit}"
        else:
            keys = self._of_region(field.page, rows, region, key, row, conditions, limit)
        found = self._alias("k")
        return f"({keys}) {found}{self._rows_of(own, f'{found}.id')}"

    def _ordered(self, field: p.Connection, key: Row) -> tuple[Rows, list[str]]:
        """The rows of a page of all, and the conditions of its order's index; not its region.

        Where requests may share the statement these are always in it, and an absent one is met by everything: filters
        that differ in what they have would be as many statements (decision 0043).
        """
        page, rows = field.page, field.rows
        rest = tuple(condition for condition in rows.where if condition.operator != "below")
        if not self._together:
            return replace(rows, where=rest), self._between(page, key)
        given = {(condition.column, condition.operator): condition for condition in rest}
        found = []
        for column in ("kind", "area"):
            own = self._own_or(given.pop((column, "any"), None), absent(column, "text[]"))
            found.append(f"({own} is null or {key.column(column)} = any ({own}))")
        beside = f"({key.column(page.order_column)}, {key.column('external_id')})"
        for sign, (day, node) in _OUTERMOST.items():
            operator = f"{sign}="
            condition = given.pop(("decided_on", operator), None)
            place = self._place(page, sign)
            if page.order_column == "decided_on":
                limit = self._own_or(condition, absent(operator, "date", day))
                found.append(f"{beside} {sign} {_bound(sign, limit, node, place)}")
                continue
            # No range of days in another order than theirs: it would be a reason to sort.
            limit = self._own_or(condition, absent(operator, "date"))
            found.append(f"({limit} is null or {key.column('decided_on')} {operator} {limit})")
            if place is not None:
                found.append(f"{beside} {sign} ({', '.join(place)})")
        return replace(rows, where=tuple(given.values())), found

    def _place(self, page: Page, sign: str) -> tuple[str, str] | None:
        """Day and id of the cursor on this side of a page; on the side where it goes on, if it has none, of what all
        rows are beside."""
        after = sign == ("<" if page.descending else ">")
        place = page.after if after else page.before
        if place is None and after == page.backward:
            return None
        day, node = place or (None, None)
        outermost = _OUTERMOST[sign]
        return (
            self._own_or(day, absent(f"{sign} day", "date", outermost[0])),
            self._own_or(node, absent(f"{sign} id", "uuid", outermost[1])),
        )

    def _own_or(self, given: Condition | Value | None, none: Value) -> str:
        """A parameter of each request's own: what is given, or else `none`."""
        return self._own((given.values[0] if isinstance(given, Condition) else given) or none)

    def _rows_of(self, own: Row, key: str) -> str:
        """The row of each key, with exactly the columns used, and what is joined to it."""
        used = ", ".join(f"v.{name}" for name in own.used) or "1"
        row = f"(select {used} from {self._schema}.{own.relation} v where v.id = {key} limit 1)"
        return f" cross join lateral {row} {own.alias}" + "".join(f" {join}" for join in own.joins)

    def _of_region(
        self, page: Page, rows: Rows, region: Condition, key: Row, row: Row, conditions: Sequence[str], limit: str
    ) -> str:
        """The keys of a page of all records whose subjects are in a region, in its order.

        Where few subjects are there, by them; else in the order of all records until the page is full. Which it is the
        statement finds out: a generic plan would begin with the region, and a large one has too many (decision 0025).
        """
        few, code = self._alias("few"), self._parameter(region.values[0])
        # A case is not strict: the join to the subject stays an outer one, which no plan begins with.
        inside = f"case when {self._condition(region, key)} then true else false end"
        # Region by region, and as a range, of which few rows are expected: by its index, however large the table.
        subjects = (
            f"select s.id from {self._schema}.region_closure c cross join lateral (select s.id"
            f" from {self._schema}.subject s where s.region_code >= c.code and s.region_code <= c.code"
            f" limit {FEW + 1}) s where c.ancestor = {code} limit {FEW + 1}"
        )
        yes = f"(select count(*) <= {FEW} from ({subjects}) s)"
        if not self._how.access.scoped:  # of what a scope leaves there may be few
            yes = f"not exists (select from {self._schema}.large_region l where l.code = {code}) and {yes}"
        # Found out once, beside the row: what is not taken is not begun then.
        row.joins.append(f"left join lateral (select {yes} as yes offset 0) {few} on true")
        of_few = f"{key.column('subject_id')} = any (array ({subjects}))"
        by_subject = self._where(rows, key, row, [*conditions, inside, f"{few}.yes", of_few])
        by_order = self._where(rows, key, row, [*conditions, inside, f"not {few}.yes"])
        direction = rows.order.rpartition("_")[2]
        order = ", ".join(f"{key.column(name)} {direction}" for name in (page.order_column, "external_id"))
        view = f"{self._schema}.{rows.relation}"
        return (
            f"(select {key.column('id')} from {view} {key.alias}{by_subject} order by {order} limit {limit}) union all"
            f" (select {key.column('id')} from {view}_{rows.order} {key.alias}{by_order} limit {limit})"
        )

    def _total(self, field: p.Connection, row: Row) -> str:
        """The number of rows, pages apart; of a search one more than it counts means more."""
        rows = field.rows
        if rows.search is not None:
            alias = self._alias("c")
            made = found_total(self._schema, rows.search, self._parameter, self._alias)
            columns = ", ".join([f"{made.number} as n", *self._counted(made, row, alias)])
            row.joins.append(f"left join lateral ({made.parts} select {columns}) {alias} on true")
            return f"{alias}.n"
        if self._mode == "shown" and rows.relation == "record" and not rows.match:
            return self._total_of_all(rows, row)
        return f"({self._count(rows, row)})"

    def _count(self, rows: Rows, row: Row) -> str:
        own = Row(self._alias("t"), rows.relation)
        return f"select count(*) from {self._schema}.{rows.relation} {own.alias}{self._where(rows, own, row)}"

    def _total_of_all(self, rows: Rows, row: Row) -> str:
        """The number of records, whosever they are. A filter may leave one: that it is there is shown of its subject,
        as the total of a search is of those of a name. So the first are read; where there are more they are counted."""
        first, alias = self._alias("f"), self._alias("c")
        own = Row(self._alias("t"), rows.relation)
        where = self._where(rows, own, row)
        subject, view = own.column("subject_id"), f"{self._schema}.{rows.relation}"
        found = f"select {subject} as subject_id from {view} {own.alias}{where} limit {NAMED + 1}"
        few = f"{first}.n <= {NAMED}"
        row.joins.append(
            f"left join lateral (select case when {few} then {first}.n else ({self._count(rows, row)}) end as n,"
            f" case when {few} then ({self._ids(f'select unnest({first}.s) as subject_id')}) end as counted"
            f" from (select count(*) as n, array_agg(r.subject_id) as s from ({found}) r) {first}) {alias} on true"
        )
        self._tell(row, f"{alias}.counted")
        return f"{alias}.n"

    def _counted(self, total: Total, row: Row, alias: str, beyond: str = "0") -> list[str]:
        """The column of a total that tells whom it counted, for the account: how many bear a name is what is shown of
        somebody of that name. `beyond`: the page beside it has so many of them."""
        if self._mode != "shown":
            return []
        self._tell(row, f"{alias}.counted")
        ids = self._ids(total.subjects)
        return [f"case when {total.number} > {beyond} and {total.number} <= {NAMED} then ({ids}) end as counted"]

    def _ids(self, subjects: str) -> str:
        """A statement with the ids of subjects, each once, out of one with their keys."""
        return (
            f"select string_agg(s.external_id::text, ',') from (select distinct c.subject_id from ({subjects}) c)"
            f" c cross join lateral (select v.external_id from {self._schema}.subject v where v.id = c.subject_id"
            " limit 1) s"
        )

    def _tell_all(self, keys: SubjectKeys, row: Row) -> None:
        """Whoever was asked for by code is told: that there is nothing of them is an answer about them, too."""
        k, s, alias = self._alias("k"), self._alias("s"), self._alias("x")
        given = ", ".join(self._key(value, many=True, gap=None) for value in (keys.texts, keys.hashes))
        found = EXTERNAL_ID.format(row=f"{s}.external_id", hash=f"{k}.hash")
        row.joins.append(
            f"left join lateral (select string_agg({found}::text, ',') as i from unnest({given}) {k}(uscc, hash)"
            f" left join lateral (select v.external_id from {self._schema}.subject v where v.uscc = {k}.uscc limit 1)"
            f" {s} on true) {alias} on true"
        )
        self._tell(row, f"{alias}.i")

    @staticmethod
    def _tell(row: Row, ids: str) -> None:
        row.shown.append(ids)
        row.several = True

    def _page_info(self, items: tuple[tuple[str, str], ...], field: p.Connection, alias: str, row: Row) -> Text:
        text = Text().literal("{")
        for number, (key, name) in enumerate(items):
            text.literal(("," if number else "") + json.dumps(key) + ":")
            match name:
                case "hasNextPage" | "hasPreviousPage":
                    onward = (name == "hasPreviousPage") == field.page.backward
                    text.extend(Text().sql(f"{alias}.more") if onward else self._beyond(field, row))
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

    def _opened(self, field: p.Connection, cursor: Value, row: Row) -> str:
        """The place in a cursor of changes. Joined, and looked at: it fails where the cursor is none or too old, and
        must do so where there is no row to compare it with, too."""
        alias = self._alias("w")
        opened = f"{self._schema}.change_place({self._parameter(cursor)})"
        row.joins.append(f"join lateral (select {opened} as place offset 0) {alias} on {alias}.place is not null")
        place = self._places[field] = f"{alias}.place"
        return place

    def _sealed(self, place: str) -> str:
        """A cursor of changes. Null has none."""
        return f"{self._schema}.change_cursor({place})"

    def _cursor(self, page: Page, own: Row) -> str:
        if page.sealed is not None:
            return self._sealed(own.column(page.order_column))
        if not page.order_column:
            # A search: the tier, the ending that matched, the subject. resolvers/search.py reads it.
            ending = f"translate(encode(convert_to({own.column('suffix')}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"
            return f"'{page.cursor}' || {own.column('tier')} || {ending} || {own.column('node_id')}"
        # The order's letter, the day and the row's node id: opaque to clients, checked by resolvers/paging.py.
        return f"'{page.cursor}' || {own.column(page.order_column)}::text || {own.column('node_id')}"


def _bound(sign: str, day: str, node: str, place: tuple[str, str] | None) -> str:
    """What is beside a page on one side: the day up to which it goes, as what follows all of that day's rows, or a
    cursor within it. One bound for both: an index that has two is read from that of the day on, not from the cursor."""
    beyond = f"{day} {'+' if sign == '<' else '-'} 1"
    if place is None:
        return f"({beyond}, '{node}'::uuid)"
    within = f"case when {place[0]} {sign}= {day} then"
    return f"({within} {place[0]} else {beyond} end, {within} {place[1]} else '{node}' end)"


def _told(own: Row, size: str, *, more: bool, onward: bool) -> str:
    """Whom a page shows. That there is one more of a name (`onward`) is told of them, as a count of few is; of what
    stands below them nothing was."""
    if onward:
        each = "q.i::text" if len(own.shown) == 1 else f"case when q.n <= {size} then q.i::text else q.o::text end"
        return f"string_agg({each}, ',')"
    return f"string_agg(q.i::text, ','){f' filter (where q.n <= {size})' if more else ''}"


def _any(rows: str) -> Text:
    """Whether there is one of these rows, in JSON."""
    return Text().sql(f"coalesce((select 'true' from {rows} limit 1), 'false')")
