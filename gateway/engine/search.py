"""The SQL of a search by name: which subjects match, ranked, without any of them twice. A pure function, no I/O.

In: a `Search` of the bindings, the view schema, how values become parameters. Out: a query of subject_id, tier, suffix.
It reads ranges of core.name_part (storage/names.py): exact matches come first in their range, then what begins with the
text, then what has it inside. A subject's other endings that match are known from `repeated` alone in most rows.
Backwards the same ranges are read from their ends.

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

COUNTED = 1_000  # how far a total is exact
FEW = 2_000  # holders of a role
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


def counted(schema: str, search: Search, parameter: Parameter, alias: str) -> str:
    """The subjects of all pages, at most one more than a total counts."""
    return _matches(_Sql(schema, search, parameter, str(COUNTED + 1), _Between()), alias)


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
        conditions = [f"p.tier = {tier}", self._range("p"), "d.earlier is null", *self._of_names()]
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
