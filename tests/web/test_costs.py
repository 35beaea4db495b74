"""Promise of costs.py: what Prometheus reads is a histogram by view, every request in the buckets it belongs to."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, generate_latest

from gateway.web.costs import Costs


def test_a_histogram_by_view() -> None:
    costs, registry = Costs(["PUBLIC", "INTERNAL"]), CollectorRegistry()
    registry.register(costs)
    for cost in (0, 10, 11, 100, 7_000, 1_000_000):
        costs.add("PUBLIC", cost)
    text = generate_latest(registry).decode()
    found = dict(re.findall(r'^credit_request_cost_rows_bucket{le="([^"]+)",view="PUBLIC"} ([0-9.]+)', text, re.M))
    assert {bound: float(found[bound]) for bound in ("10.0", "100.0", "5000.0", "10000.0", "+Inf")} == {
        "10.0": 2,
        "100.0": 4,
        "5000.0": 4,
        "10000.0": 5,
        "+Inf": 6,
    }
    assert 'credit_request_cost_rows_count{view="PUBLIC"} 6.0' in text
    assert 'credit_request_cost_rows_sum{view="PUBLIC"} 1.007121e+06' in text
    assert 'credit_request_cost_rows_count{view="INTERNAL"} 0.0' in text
