"""Promises: the gravest rule that fits decides the class; rules and terms are those of the day of the decision."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from gateway.storage.imports.rules import ClassRule, Period, Rules, Term, add_months, publication_until

OLD, NEW = Period(dt.date(2018, 1, 1), dt.date(2024, 12, 31)), Period(dt.date(2025, 1, 1), None)
ALWAYS = Period(dt.date(2018, 1, 1), None)
RULES = Rules(
    classes=(
        ClassRule("警告", None, "MINOR", ALWAYS),
        ClassRule("罚款", Decimal("0.00"), "MINOR", ALWAYS),
        ClassRule("罚款", Decimal("3000.01"), "GENERAL", OLD),
        ClassRule("罚款", Decimal("10000.00"), "GENERAL", NEW),
        ClassRule("罚款", None, "GENERAL", ALWAYS, amount_unknown=True),
        ClassRule("吊销许可证件", None, "SERIOUS", ALWAYS),
        ClassRule(None, Decimal("5000000.00"), "SERIOUS", ALWAYS),
    ),
    terms=(Term("GENERAL", 3, 12, True, OLD), Term("GENERAL", 3, 6, True, NEW)),
    defaults=(("PENALTY", "QG-04", ALWAYS),),
    items={"QG-04": OLD},
)
DAY = dt.date(2024, 6, 1)


@pytest.mark.parametrize(
    ("kinds", "money", "day", "severity"),
    [
        (["警告"], "0", DAY, "MINOR"),
        (["警告", "吊销许可证件"], "0", DAY, "SERIOUS"),
        (["罚款"], "3000.00", DAY, "MINOR"),
        (["罚款"], "3000.01", DAY, "GENERAL"),
        (["罚款"], "3000.01", dt.date(2024, 12, 31), "GENERAL"),
        (["罚款"], "3000.01", dt.date(2025, 1, 1), "MINOR"),
        (["警告"], "5000000", DAY, "SERIOUS"),
        (["行政拘留"], "0", DAY, None),
        (["警告"], "0", dt.date(2017, 12, 31), None),
    ],
)
def test_the_gravest_rule_in_force_decides(kinds: list[str], money: str, day: dt.date, severity: str | None) -> None:
    assert RULES.severity(kinds, Decimal(money), day) == severity


@pytest.mark.parametrize(
    ("kinds", "money", "severity"),
    [
        (["罚款"], None, "GENERAL"),
        (["罚款", "警告"], None, "GENERAL"),
        (["罚款", "吊销许可证件"], None, "SERIOUS"),
        (["罚款"], "5000000", "SERIOUS"),  # what is known of it, the confiscation, is enough
        (["警告"], None, "MINOR"),
    ],
)
def test_a_fine_that_is_not_known_is_not_a_small_one(kinds: list[str], money: str | None, severity: str) -> None:
    known = None if money is None else Decimal(money)
    assert RULES.severity(kinds, known, DAY, fine_known=False) == severity
    assert RULES.severity(["罚款"], Decimal("1"), DAY) == "MINOR"


def test_terms_are_those_of_the_day_of_the_decision() -> None:
    old, new = RULES.term("GENERAL", DAY), RULES.term("GENERAL", dt.date(2025, 3, 1))
    assert (old and old.longest_months, new and new.longest_months) == (12, 6)
    assert RULES.term("MINOR", DAY) is None


def test_publication_ends_with_the_earlier_of_own_day_and_longest_term() -> None:
    term = RULES.term("GENERAL", DAY)
    assert publication_until(None, DAY, term) == dt.date(2025, 6, 1)
    assert publication_until(dt.date(2024, 9, 1), DAY, term) == dt.date(2024, 9, 1)
    assert publication_until(dt.date(2030, 1, 1), DAY, term) == dt.date(2025, 6, 1)
    assert publication_until(None, DAY, None) is None
    assert publication_until(dt.date(2030, 1, 1), DAY, None) == dt.date(2030, 1, 1)


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        (dt.date(2026, 1, 31), 1, dt.date(2026, 2, 28)),
        (dt.date(2024, 1, 31), 1, dt.date(2024, 2, 29)),
        (dt.date(2026, 11, 30), 3, dt.date(2027, 2, 28)),
        (dt.date(2026, 12, 1), 12, dt.date(2027, 12, 1)),
        (dt.date(2026, 5, 5), 0, dt.date(2026, 5, 5)),
    ],
)
def test_months(day: dt.date, months: int, then: dt.date) -> None:
    assert add_months(day, months) == then


def test_catalogue_items_end() -> None:
    assert RULES.default_item("PENALTY", DAY) == "QG-04"
    assert RULES.default_item("HONOUR", DAY) is None
    assert RULES.allows("QG-04", DAY)
    assert not RULES.allows("QG-04", dt.date(2025, 1, 1))
    assert not RULES.allows("XX", DAY)
