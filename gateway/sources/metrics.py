"""What operators see of the sources: calls, outcomes, latency, breakers, and the statuses that were given."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class SourceMetrics:
    """Metrics of all sources of one process; labels are codes alone, never a subject or an asker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "credit_source_calls", "Calls to a source by outcome", ("source", "part", "outcome"), registry=registry
        )
        self.latency = Histogram(
            "credit_source_call_seconds", "Duration of a call", ("source",), buckets=_SECONDS, registry=registry
        )
        self.breaker = Gauge(
            "credit_source_breaker_state", "0 closed, 1 half-open, 2 open", ("source",), registry=registry
        )
        self.answers = Counter(
            "credit_source_answers", "Sections given, by status", ("source", "status"), registry=registry
        )
        self.unreadable = Counter(
            "credit_source_unreadable_fields", "Fields that could not be read, null", ("source",), registry=registry
        )
        self.lost = Counter(
            "credit_source_answers_not_kept", "Answers given but not kept: queue full or refused", registry=registry
        )
