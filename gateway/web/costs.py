"""What requests cost, for operators: a histogram by view.

In: contract and rows of each request that is about to be answered. Out: a Prometheus collector. Counted by hand: the
library's own histogram takes its lock three times for each request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

_BOUNDS = (10, 100, 500, 1_000, 2_500, 5_000, 10_000, 50_000)  # rows


class Costs(Collector):
    """`credit_request_cost_rows` by view: rows that requests may have read."""

    def __init__(self, views: Sequence[str]) -> None:
        self._counts = {view: [0] * (len(_BOUNDS) + 1) for view in views}
        self._sums = dict.fromkeys(views, 0)

    def add(self, view: str, cost: int) -> None:
        """One more request."""
        self._counts[view][bisect_left(_BOUNDS, cost)] += 1
        self._sums[view] += cost

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """See prometheus_client."""
        family = HistogramMetricFamily(
            "credit_request_cost_rows", "Rows that requests may have read, by view", labels=("view",)
        )
        for view, counts in self._counts.items():
            buckets, total = [], 0
            for bound, count in zip((*map(float, _BOUNDS), "+Inf"), counts, strict=True):
                total += count
                buckets.append((str(bound), float(total)))
            family.add_metric((view,), buckets, float(self._sums[view]))
        yield family
