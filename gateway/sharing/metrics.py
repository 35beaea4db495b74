"""What operators see of a feed that is followed: what became of its changes.

In: the worker's counts. Out: a Prometheus collector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from gateway.storage.feed_writer import Applied


class ChangesMetrics(Collector):
    """`credit_changes_total` by source and what became of them; `applied` gives the counts since the start."""

    def __init__(self, source: str, applied: Callable[[], Applied]) -> None:
        self._source = source
        self._applied = applied

    def collect(self) -> Iterator[CounterMetricFamily]:
        """See prometheus_client."""
        family = CounterMetricFamily(
            "credit_changes", "Changes of a source that were read, by what became of them", labels=("source", "outcome")
        )
        applied = self._applied()
        for one in fields(applied):
            if one.name != "reasons":
                family.add_metric((self._source, one.name.upper()), getattr(applied, one.name))
        yield family
