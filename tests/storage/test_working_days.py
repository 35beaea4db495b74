"""Promises: working days are those of the State Council's notices; an operator's table adds years and changes days; a
year that nobody knows is counted Monday to Friday, and said."""

from __future__ import annotations

import datetime as dt

from gateway.storage.working_days import AHEAD, WorkingDays, warnings_of

DAY = dt.date


def test_holidays_and_weekends_that_are_worked() -> None:
    days = WorkingDays()
    # National Day 2023: 29 September to 6 October off, 7 and 8 October (a weekend) worked.
    assert days.between(DAY(2023, 9, 28), DAY(2023, 10, 6)) == 0
    assert days.between(DAY(2023, 10, 6), DAY(2023, 10, 8)) == 2
    # An ordinary week.
    assert days.between(DAY(2024, 3, 1), DAY(2024, 3, 8)) == 5
    assert days.between(DAY(2024, 3, 8), DAY(2024, 3, 8)) == 0
    assert days.between(DAY(2024, 3, 8), DAY(2024, 3, 1)) == 0
    assert not days.unknown


def test_the_seventh_working_day_is_in_time_and_the_eighth_is_late() -> None:
    days = WorkingDays()
    assert not days.is_late(DAY(2024, 3, 1), DAY(2024, 3, 12), 7)
    assert days.is_late(DAY(2024, 3, 1), DAY(2024, 3, 13), 7)
    assert not days.is_late(DAY(2023, 9, 28), DAY(2023, 10, 13), 7)  # 7 and 8 October, then five days
    assert days.is_late(DAY(2023, 9, 28), DAY(2023, 10, 16), 7)
    assert days.is_late(DAY(1990, 1, 1), DAY(2024, 1, 1), 7)


def test_a_year_that_nobody_knows() -> None:
    days = WorkingDays()
    assert days.between(DAY(2050, 1, 2), DAY(2050, 1, 9)) == 5  # a Sunday to the next
    assert days.unknown == {2050}


def test_the_operators_table_goes_before() -> None:
    own = {DAY(2050, 1, 3): False, DAY(2050, 1, 8): True, DAY(2024, 3, 4): False}
    days = WorkingDays(own)
    assert days.between(DAY(2050, 1, 2), DAY(2050, 1, 9)) == 5  # one day less, one weekend day more
    assert not days.is_working(DAY(2050, 1, 3))
    assert days.is_working(DAY(2050, 1, 8))
    assert not days.is_working(DAY(2024, 3, 4))
    assert not days.unknown


def test_warnings_come_before_the_year_does() -> None:
    before = DAY(2050, 1, 1) - AHEAD - dt.timedelta(days=1)
    assert warnings_of("2049", before.isoformat()) == []
    [told] = warnings_of("2049", (before + dt.timedelta(days=1)).isoformat())
    assert "2050" in told
    assert warnings_of("2049,2050", DAY(2049, 12, 31).isoformat()) == []
    assert warnings_of("", DAY(2025, 6, 1).isoformat()) == []
    [told] = warnings_of("", DAY(2049, 12, 31).isoformat())
    assert "2049, 2050" in told
