"""Fragments that SQL is made of: JSON text in the making, and the row at hand.

In: columns of the catalogue, literals. Out: SQL expressions of type text. Identifiers come from the catalogue alone.
"""

from __future__ import annotations

from gateway.storage.catalogue import Column
from gateway.storage.source_functions import column_of

_ESCAPED = {number: f"\\x{number:02x}" for number in range(32)} | {ord("\\"): "\\\\", ord("'"): "''"}


def quoted(text: str) -> str:
    """An SQL string literal (standard_conforming_strings); one with control characters as an escape string, so that a
    person can read the statement."""
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return f"e'{text.translate(_ESCAPED)}'"


def below(schema: str, column: str, ancestor: str) -> str:
    """Whether `column` has a region or anything below it. Without a join: a barrier view is computed whole for one."""
    return f"{column} = any (array (select c.code from {schema}.region_closure c where c.ancestor = {ancestor}))"


def under_scope(sql: str, scope: str) -> str:
    """`sql`, evaluated in a transaction that carries the scope from then on (decision 0021)."""
    return f"case when set_config('gateway.scope', {scope}, true) is not null then {sql} end"


class Text:
    """JSON in the making: literals and SQL expressions of type text, neighbours among the literals joined."""

    def __init__(self) -> None:
        self._parts: list[tuple[bool, str]] = []

    def literal(self, text: str) -> Text:
        if self._parts and not self._parts[-1][0]:
            self._parts[-1] = (False, self._parts[-1][1] + text)
        else:
            self._parts.append((False, text))
        return self

    def sql(self, expression: str) -> Text:
        self._parts.append((True, expression))
        return self

    def extend(self, other: Text) -> Text:
        for is_sql, text in other._parts:
            if is_sql:
                self.sql(text)
            else:
                self.literal(text)
        return self

    def render(self) -> str:
        return " || ".join(text if is_sql else quoted(text) for is_sql, text in self._parts) or "''"


def json_value(schema: str, kind: str, sql: str, *, null: bool, empty: str = "null") -> Text:
    """A value as JSON text. `code` is known to need no escaping; `json` is JSON already."""
    match kind:
        case "code" | "decimal" | "date":
            bare = sql if kind == "code" else f"{sql}::text"
            if not null:
                return Text().literal('"').sql(bare).literal('"')
            return Text().sql(f"coalesce('\"' || {bare} || '\"', {quoted(empty)})")
        case "text":
            found = f"{schema}.json_text({sql})"
        case "timestamp":
            printed = f"to_char({sql} at time zone 'Asia/Shanghai', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"+08:00\"')"
            found = f"{schema}.json_text({printed})"
        case "bool" | "int":
            found = f"{sql}::text"
        case "json":
            found = sql
        case _:
            raise ValueError(f"a column of kind {kind} cannot be printed")
    return Text().sql(f"coalesce({found}, {quoted(empty)})" if null else found)


class Row:
    """The row at hand: alias, its relation, the columns used so far, what is joined to it, overridden columns."""

    def __init__(self, alias: str, relation: str, prefix: str = "") -> None:
        self.alias = alias
        self.relation = relation
        self.prefix = prefix  # of the names by which this row's columns stand in another one, where it is inlined
        self.used: dict[str, None] = {}
        self.joins: list[str] = []
        self.shown: list[str] = []  # ids of the subjects shown: UUIDs, or text with several of them
        self.several = False  # `shown` has more than the row's own
        self.overrides: dict[str, str] = {}
        self.optional = False  # the row may be missing (a code that is not on record)
        self.answers = self.uscc = self.source = ""  # of a section: what its functions take

    def definition(self, name: str) -> Column:
        """The column's definition in the catalogue (of a view or of a source's function)."""
        return column_of(self.relation, name.removeprefix(self.prefix))

    def column(self, name: str) -> str:
        if name in self.overrides:
            return self.overrides[name]
        self.used[self.definition(name).name] = None
        return f"{self.alias}.{name.removeprefix(self.prefix)}"
