"""The SQL of a search by name: which subjects match, ranked, without any of them twice. A pure function, no I/O.

In: a `Search` of the bindings, the view schema, how values become parameters. Out: a query of subject_id, tier, suffix.
It reads ranges of core.name_part (storage/names.py): exact matches come first in their range, then what begins with the
text, then what has it inside. A subject's other endings that match are known from `repeated` alone in most rows, and
in all of them where no more is typed than `repeated` compares. Backwards the same ranges are read from their ends.

A total reads so many endings at once that they nearly always have all the subjects it counts, and the first page is
taken from the same. Where they don't, because subjects have many each, both are looked for as other pages are.

Kind and region are in the index. Roles are not: where few subjects hold them a search begins with these and looks at
their names, else at the names, until the page is full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.engine.bindings import Search, SearchPlace
from gateway.engine.fragments import below
from gateway.engine.values import Value
from gateway.storage.names import LEAST

COUNTED = 1_000  # how far a total is exact
ENDINGS = 2_200  # that a total reads: most names match by two, one for each way of writing 有限责任公司
_OF_A_PAGE = 3  # endings read for each subject of a first page
FEW = 2_000  # holders of a role
NAMED = 20  # subjects that a total at most counts where it tells of each of them: of more it is a number
_TIERS = (0, 1)


Parameter: TypeAlias = Callable[[Value], str]


@dataclass(frozen=True, slots=True)
class _Between:
    """Which of the matches: places with the operator that a match has towards each, and from which side."""

    places: tuple[tuple[SearchPlace, str], ...] = ()
    backward: bool = False

    @property
    def direction(self) -> str:
        return "desc" if self.backward else "asc"


def page(schema: str, search: Search, parameter: Parameter, limit: str, alias: str, *, backward: bool) -> str:
    """The subjects of a page, at most `limit`, in the order of the list or, `backward`, in the opposite order.
    `alias`: of a common table expression."""
    places = tuple((place, sign) for place, sign in ((search.after, ">"), (search.before, "<")) if place is not None)
    return _matches(_Sql(schema, search, parameter, limit, _Between(places, backward)), alias)


def beyond(schema: str, search: Search, parameter: Parameter, alias: str, *, backward: bool) -> str:
    """One of the subjects on the other side of the cursor where a page begins, its own place included."""
    place, sign = (search.before, ">=") if backward else (search.after, "<=")
    assert place is not None
    return _matches(_Sql(schema, search, parameter, "1", _Between(((place, sign),), not backward)), alias)


@dataclass(frozen=True, slots=True)
class Total:
    """The subjects of all pages, at most one more than a total counts. `parts`: common table expressions, on which
    the others stand; `page`: the query of the first page, where it was asked for; `subjects`: of all that `number`
    counts, some several times."""

    parts: str
    number: str
    subjects: str
    page: str = ""


def total(
    schema: str, search: Search, parameter: Parameter, alias: Callable[[str], str], first: str | None = None
) -> Total:
    """`first`: how many subjects of the first page to find by the way. `alias` makes a new one.

    Raises ValueError for a first page among holders of roles or between cursors: it has a query of its own (`page`).
    """
    if first is not None and not with_total(search):
        raise ValueError("this page is not the first of all that is counted")
    every = _Sql(schema, search, parameter, str(COUNTED + 1), _Between())
    if search.roles is not None:
        all_of_them = alias("all")
        part = f"with {all_of_them} as materialized ({_matches(every, alias('few'))})"
        return Total(part, f"(select count(*) from {all_of_them})", f"select q.subject_id from {all_of_them} q")
    raw, once, lack, rest = alias("raw"), alias("once"), alias("lack"), alias("rest")
    short = f"o.endings >= {ENDINGS} and o.n <= {COUNTED}"
    parts = [
        f"{raw} as materialized (select r.*, row_number() over () as place from ({every.endings()}) r)",
        # Grouped by hash: count(distinct ...) would sort them.
        f"{once} as materialized (select count(*) as n, coalesce(sum(g.n), 0) as endings"
        f" from (select count(*) as n from {raw} r group by r.subject_id) g)",
    ]
    page = ""
    if first is not None:
        top = alias("top")
        few = f"least({_OF_A_PAGE} * ({first}), {ENDINGS} - 1)"
        short = f"{short} or o.endings > {few} and (select count(*) from {top}) < {first}"
        parts.append(
            f"{top} as materialized (select f.subject_id, f.tier, f.suffix, f.place from (select r.*,"
            f" row_number() over (partition by r.subject_id order by r.place) as of_subject from {raw} r"
            f" where r.place <= {few}) f where f.of_subject = 1 order by f.place limit {first})"
        )
        page = (
            f"select * from (select f.subject_id, f.tier, f.suffix from {top} f where not (select yes from {lack})"
            f" order by f.place) f union all select * from (select * from {rest} limit {first}) r"
        )
    parts += [
        f"{lack} as materialized (select o.n, {short} as yes from {once} o)",
        f"{rest} as materialized (select b.* from ({_matches(every, '')}) b where (select yes from {lack}))",
    ]
    number = f"(select case when l.yes then (select count(*) from {rest}) else l.n end from {lack} l)"
    # Where `raw` lacks some, `rest` has all; elsewhere it is empty.
    subjects = f"select r.subject_id from {raw} r union all select r.subject_id from {rest} r"
    return Total(f"with {', '.join(parts)}", number, subjects, page)


def with_total(search: Search) -> bool:
    """Whether a page from the beginning can be taken from what its total reads."""
    return search.roles is None and search.after is None and search.before is None


def _matches(sql: _Sql, alias: str) -> str:
    branches = [sql.names(tier) for tier in (reversed(_TIERS) if sql.between.backward else _TIERS)]
    if sql.search.roles is None:
        return f"{' union all '.join(f'({branch})' for branch in branches)} limit {sql.limit}"
    chosen = [sql.subjects(f"(select yes from {alias})")]
    chosen += [f"select b.* from ({branch}) b where not (select yes from {alias})" for branch in branches]
    few = f"select count(*) <= {FEW} as yes from ({sql.holders()} limit {FEW + 1}) c"
    return (
        f"with {alias} as materialized ({few})"
        f" select u.* from ({' union all '.join(f'({branch})' for branch in chosen)}) u limit {sql.limit}"
    )


class _Sql:
    """The pieces of one search."""

    def __init__(self, schema: str, search: Search, parameter: Parameter, limit: str, between: _Between) -> None:
        self.search = search
        self.limit = limit
        self.between = between
        self._schema = schema
        self._parameter = parameter

    def names(self, tier: int) -> str:
        """Subjects with a matching name or code, in the order of names, of one tier."""
        earlier = "o.tier = 0 and o.suffix < p.suffix" if tier == 0 else "(o.tier = 0 or o.suffix < p.suffix)"
        conditions = [*self._of_tier(tier), "d.earlier is null", *self._of_names()]
        for place, sign in self.between.places:
            ending, node = place.tiers[tier]
            conditions.append(f"(p.suffix, p.subject_id) {sign} ({self._parameter(ending)}, {self._id(place, node)})")
        view = f"{self._schema}.name_part_ranked_{self.between.direction}"
        return (
            f"select p.subject_id, p.tier, p.suffix from {view} p left join lateral"
            f" (select true as earlier from {self._schema}.name_part o where p.repeated"
            f" and o.subject_id = p.subject_id and {self._range('o')} and {earlier} limit 1) d on true"
            f" where {' and '.join(conditions)} limit {self.limit}"
        )

    def endings(self) -> str:
        """What matches, in the order of names, with subjects that match several times: ENDINGS at most, or, where each
        comes but once, one more than a total counts."""
        # Of the outer limit a plan knows nothing, of the inner ones it does: it reads the index in its order.
        branches = []
        for tier in _TIERS:
            conditions = [*self._of_tier(tier), *self._of_names()]
            branches.append(
                f"(select p.subject_id, p.tier, p.suffix from {self._schema}.name_part_ranked_asc p"
                f" where {' and '.join(conditions)} limit {ENDINGS})"
            )
        bound = f"case when {self._short()} then {COUNTED + 1} else {ENDINGS} end"
        return f"select * from ({' union all '.join(branches)} limit {ENDINGS}) e limit {bound}"

    def _short(self) -> str:
        """Whether no more is typed than `repeated` compares: then a subject's first match is the one without it."""
        return f"char_length({self._parameter(self.search.begin)}) = {LEAST}"

    def _of_tier(self, tier: int) -> list[str]:
        """The endings of a tier that match, and may be their subject's first match."""
        return [f"p.tier = {tier}", self._range("p"), f"(not p.repeated or not {self._short()})"]

    def subjects(self, when: str) -> str:
        """The same from the other side: holders of the roles, each with its best match."""
        conditions = [when, *self._of_subjects()]
        for place, sign in self.between.places:
            tier, suffix = self._parameter(place.tier), self._parameter(place.suffix)
            conditions.append(f"(m.tier, m.suffix, s.id) {sign} ({tier}, {suffix}, {self._id(place, place.node)})")
        order = ", ".join(f"{name} {self.between.direction}" for name in ("m.tier", "m.suffix", "s.id"))
        return (
            f"select s.id as subject_id, m.tier, m.suffix from {self._schema}.subject s cross join lateral"
            f" (select p.tier, p.suffix from {self._schema}.name_part p"
            f" where p.subject_id = s.id and {self._range('p')}"
            f" order by p.tier, p.suffix limit 1) m where {' and '.join(conditions)}"
            f" order by {order} limit {self.limit}"
        )

    def holders(self) -> str:
        """All subjects with one of the roles."""
        assert self.search.roles is not None
        return (
            f"select r.subject_id from {self._schema}.subject_role r"
            f" where r.role = any ({self._parameter(self.search.roles)})"
        )

    def _range(self, alias: str) -> str:
        begin, end = self._parameter(self.search.begin), self._parameter(self.search.end)
        return f"{alias}.suffix >= {begin} and {alias}.suffix < {end}"

    def _id(self, place: SearchPlace, node: Value) -> str:
        found = f"select v.id from {self._schema}.subject v where v.external_id = {self._parameter(node)}"
        return f"coalesce(({found}), {place.absent})"

    def _common(self, alias: str) -> list[str]:
        found = []
        if self.search.kinds is not None:
            found.append(f"{alias}.kind = any ({self._parameter(self.search.kinds)})")
        if self.search.region is not None:
            found.append(below(self._schema, f"{alias}.region_code", self._parameter(self.search.region)))
        return found

    def _of_names(self) -> list[str]:
        found = self._common("p")
        if self.search.roles is not None:
            found.append(f"exists ({self.holders()} and r.subject_id = p.subject_id)")
        return found

    def _of_subjects(self) -> list[str]:
        return [*self._common("s"), f"s.id = any (array ({self.holders()}))"]
