"""Which records: of a subject, of all, with filters and orders; their counts, versions, withdrawals."""

from __future__ import annotations

from gateway.engine.bindings import Condition, Rows
from gateway.engine.values import Arguments
from gateway.resolvers import paging
from gateway.resolvers.regions import region_code

_ORDER_COLUMNS = {"DECIDED_ON": ("decided", "decided_on", "d"), "PUBLISHED_FROM": ("published", "published_from", "p")}


def _filters(arguments: Arguments) -> tuple[Condition, ...]:
    """RecordFilter. An empty list means none of the values, so no row."""
    given = arguments.object("filter")
    found = []
    for name, column in (("kinds", "kind"), ("areas", "area"), ("statuses", "status"), ("severities", "severity")):
        value = given.value(name)
        if value is not None:
            found.append(Condition(column, "any", (value.typed("text[]"),)))
    for name, operator in (("decidedFrom", ">="), ("decidedTo", "<=")):
        value = given.value(name)
        if value is not None:
            found.append(Condition("decided_on", operator, (value.typed("date"),)))
    region = given.value("regionCode")
    if region is not None:
        found.append(Condition("subject_region_code", "below", (region.typed("text", region_code),)))
    return tuple(found)


def _listed(arguments: Arguments, match: tuple[tuple[str, str], ...]) -> Rows:
    order = arguments.object("orderBy")
    name, column, letter = _ORDER_COLUMNS[order.known("field", "DECIDED_ON")]
    descending = order.known("direction", "DESC") == "DESC"
    return Rows(
        "record",
        match=match,
        where=_filters(arguments),
        order=f"{name}_{'desc' if descending else 'asc'}",
        page=paging.page(arguments, letter, column, descending=descending),
    )


def of_subject(arguments: Arguments) -> Rows:
    """Subject.records."""
    return _listed(arguments, (("id", "subject_id"),))


def everywhere(arguments: Arguments) -> Rows:
    """Query.records."""
    return _listed(arguments, ())


def counts(_: Arguments) -> Rows:
    """Subject.recordCounts."""
    return Rows("record_count", match=(("id", "subject_id"),), sort=("area", "kind"), cost=10)


def history(_: Arguments) -> Rows:
    """CreditRecord.history."""
    return Rows("record_version", match=(("id", "record_id"),), sort=("version",), cost=5)


def withdrawals(_: Arguments) -> Rows:
    """Subject.withdrawals."""
    sort = ("withdrawn_on", "authority_id", "reason")  # several on one day keep their order from one answer to the next
    return Rows("withdrawal", match=(("id", "subject_id"),), sort=sort, cost=3)
