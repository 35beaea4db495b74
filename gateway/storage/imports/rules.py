"""Class and publication term of a record: the dated rules of core, applied as of the day of the decision.

In: rows of core.penalty_class_rule, publication_term, catalogue_default, catalogue_item. Out: severity, days, items.
国办发〔2025〕22号 has three classes with a shortest and a longest term, which run from the document that determined the
act. Changing the law is an insert into those tables, never a change here.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import asyncpg

_GRAVITY = {"MINOR": 0, "GENERAL": 1, "SERIOUS": 2}


@dataclass(frozen=True, slots=True)
class Period:
    """Days on which a rule is in force, both inclusive; no end: still in force."""

    start: dt.date
    end: dt.date | None

    def holds(self, day: dt.date) -> bool:
        """Is the rule in force on this day?"""
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True)
class ClassRule:
    """A penalty of this kind (None: any) of at least this much money (yuan; None: any) has this class.

    `amount_unknown`: the rule is for penalties whose fine is not known, and for no others.
    """

    penalty_kind: str | None
    fine_from: Decimal | None
    severity: str
    period: Period
    amount_unknown: bool = False

    def fits(self, kinds: Iterable[str], money: Decimal | None, fine_known: bool) -> bool:
        """Is it about such a penalty? An amount that is not known reaches none of the amounts of rules."""
        if self.penalty_kind is not None and self.penalty_kind not in kinds:
            return False
        if self.amount_unknown and fine_known:
            return False
        return self.fine_from is None or (money is not None and money >= self.fine_from)


@dataclass(frozen=True, slots=True)
class Term:
    """How long a record of a class is published, in months from the decision."""

    severity: str
    shortest_months: int
    longest_months: int
    published_by_default: bool
    period: Period


@dataclass(frozen=True, slots=True)
class Rules:
    """The law as the database has it."""

    classes: tuple[ClassRule, ...]
    terms: tuple[Term, ...]
    defaults: tuple[tuple[str, str, Period], ...]  # kind, item, when
    items: dict[str, Period]

    def severity(
        self, kinds: Iterable[str], money: Decimal | None, day: dt.date, *, fine_known: bool = True
    ) -> str | None:
        """The class of a penalty: the gravest rule that fits. `money`: fine and confiscation together, yuan, as far as
        they are known."""
        wanted = set(kinds)
        fitting = [
            rule.severity for rule in self.classes if rule.period.holds(day) and rule.fits(wanted, money, fine_known)
        ]
        return max(fitting, key=_GRAVITY.__getitem__, default=None)

    def term(self, severity: str, day: dt.date) -> Term | None:
        """The term of a class, as of the day of the decision."""
        return next((t for t in self.terms if t.severity == severity and t.period.holds(day)), None)

    def default_item(self, kind: str, day: dt.date) -> str | None:
        """The catalogue item that allows this kind of record where the row names none."""
        return next((item for of, item, period in self.defaults if of == kind and period.holds(day)), None)

    def allows(self, item: str, day: dt.date) -> bool:
        """Is the item in a catalogue on this day?"""
        return item in self.items and self.items[item].holds(day)


def add_months(day: dt.date, months: int) -> dt.date:
    """The same day so many months later; the last day of the month where that one is too short."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def publication_until(own: dt.date | None, decided_on: dt.date, term: Term | None) -> dt.date | None:
    """The last day of publication: the row's own or the end of the longest term, whichever is earlier."""
    longest = add_months(decided_on, term.longest_months) if term else None
    return min((day for day in (own, longest) if day is not None), default=None)


async def load_rules(connection: asyncpg.Connection[asyncpg.Record]) -> Rules:
    """All rules; the newer of two in force comes first."""
    classes = await connection.fetch("select * from core.penalty_class_rule order by valid_from desc")
    terms = await connection.fetch("select * from core.publication_term order by valid_from desc")
    defaults = await connection.fetch("select * from core.catalogue_default order by valid_from desc")
    items = await connection.fetch("select code, valid_from, valid_to from core.catalogue_item")
    return Rules(
        tuple(
            ClassRule(r["penalty_kind"], r["fine_from"], r["severity"], _period(r), r["amount_unknown"])
            for r in classes
        ),
        tuple(
            Term(r["severity"], r["shortest_months"], r["longest_months"], r["published_by_default"], _period(r))
            for r in terms
        ),
        tuple((r["kind"], r["item"], _period(r)) for r in defaults),
        {r["code"]: _period(r) for r in items},
    )


def _period(row: asyncpg.Record) -> Period:
    return Period(row["valid_from"], row["valid_to"])
