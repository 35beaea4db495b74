"""What the mechanism has to know of one source; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import CourtsSource


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """Limits and freshness of one source, as this process may use them.

    `fresh` and `negative_fresh`: how long an answer with and without rows needs no new call. `stale`: how old an answer
    may be shown, marked STALE, where the source could not answer. `budget`: how long one request waits for the source,
    and how long one call may take. `requests_per_second` 0 means no limit. `batch`: subjects in one call. `keep` False:
    an answer is shown once and kept nowhere. `by_purpose`: the source is told what it is asked for, so that questions
    of different purposes are different questions. `attempts`: calls for one question where repeating it is safe.
    """

    code: str
    fresh: float
    negative_fresh: float
    stale: float
    budget: float
    concurrency: int
    requests_per_second: float
    breaker_failures: int
    breaker_seconds: float
    batch: int = 1
    keep: bool = True
    by_purpose: bool = False
    attempts: int = 2

    @property
    def horizon(self) -> float:
        """Age in seconds beyond which a kept answer is of no use at all."""
        return max(self.fresh, self.negative_fresh, self.stale)


def courts_policy(settings: CourtsSource, workers: int = 1) -> SourcePolicy:
    """The courts as the settings have them; what the upstream allows is shared out among the processes."""
    return SourcePolicy(
        code="COURTS",
        fresh=settings.fresh_seconds,
        negative_fresh=settings.negative_fresh_seconds,
        stale=settings.stale_seconds,
        budget=settings.budget,
        concurrency=max(1, settings.concurrency // workers),
        requests_per_second=settings.requests_per_second / workers,
        breaker_failures=settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
    )
