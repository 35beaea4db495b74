"""Working days in China: the calendar of the package chinesecalendar, and what an operator's table says beyond it.

In: rows of core.working_day. Out: how many working days lie between two days, and which years nobody knows. Holidays
are set by the State Council's office for one year at a time, late in the year before; no rule foretells them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import chinese_calendar  # type: ignore[import-untyped]  # it has no stubs

AHEAD = dt.timedelta(days=31)  # how long before its first day a year should be known
_SATURDAY = 5
# For readyz: the years with a row, and today; both as text.
YEARS = (
    "select coalesce(string_agg(distinct extract(year from day)::text, ','), '') as years, core.today()::text as today"
    " from core.working_day"
)


@dataclass
class WorkingDays:
    """The calendar. `own`: days of the operator's table, which go before the package's."""

    own: Mapping[dt.date, bool] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)  # years that were asked for and are not known
    _known: dict[int, bool] = field(default_factory=dict, repr=False)
    _counted: dict[tuple[dt.date, dt.date], int] = field(default_factory=dict, repr=False)

    def knows(self, year: int) -> bool:
        """Are the holidays of this year known, from the package or from a row of the operator's table?"""
        if year not in self._known:
            self._known[year] = _packaged(dt.date(year, 1, 1)) is not None or any(d.year == year for d in self.own)
        return self._known[year]

    def is_working(self, day: dt.date) -> bool:
        """Is this a working day? Of a year that is not known, Monday to Friday are (and the year is noted)."""
        own = self.own.get(day)
        if own is not None:
            return own
        if not self.knows(day.year):
            self.unknown.add(day.year)
        packaged = _packaged(day)
        return day.weekday() < _SATURDAY if packaged is None else packaged

    def between(self, start: dt.date, end: dt.date) -> int:
        """Working days after `start`, up to and with `end`; none where `end` is not later."""
        pair = (start, end)
        if pair not in self._counted:
            days = (start + dt.timedelta(days=n) for n in range(1, (end - start).days + 1))
            self._counted[pair] = sum(map(self.is_working, days))
        return self._counted[pair]

    def is_late(self, start: dt.date, end: dt.date, limit: int) -> bool:
        """More than `limit` working days from `start` to `end`? Counts no further than it must."""
        if (end - start).days > 3 * limit + 30:
            end = start + dt.timedelta(days=3 * limit + 30)  # no holidays are that long
        return self.between(start, end) > limit

    def lacking(self, today: dt.date) -> list[int]:
        """The years, of today and of the weeks to come, whose holidays are not known."""
        return [year for year in sorted({today.year, (today + AHEAD).year}) if not self.knows(year)]


def warnings_of(years: str, today: str) -> list[str]:
    """What readyz says: the result of YEARS, and what of it an operator should mend."""
    days = WorkingDays({dt.date(int(year), 1, 1): False for year in years.split(",") if year})
    lacking = days.lacking(dt.date.fromisoformat(today))
    return [advice(lacking)] if lacking else []


def _packaged(day: dt.date) -> bool | None:
    """What the package says; None for a year that it lacks."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return None


def advice(years: list[int]) -> str:
    """What an operator reads about years that are not known."""
    named = ", ".join(map(str, years))
    return f"working days of {named} are not known: put its holidays into core.working_day (docs/import.md)"
