"""What the mechanism has to know of one source; times in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateway.settings import Settings
from gateway.source_settings import KeptLimits, SourceLimits
from gateway.sources.live import as_given, passed_records, platform_record

COURTS, BANKS, REGION_PLATFORM, PEERS = "COURTS", "BANKS", "REGION_PLATFORM", "PEER_REGION"
BATCH = 50  # subjects of one call, where a source takes several

Complete: TypeAlias = Callable[[str, str, Any], Any]


def _no_row(rows: str) -> bool:
    return rows == "[]"


def _no_record(rows: str) -> bool:
    """Of a peer's answer, which is a row even where it has nothing to say of the subject."""
    return '"records":[]' in rows and '"dishonest":[]' in rows


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """Limits and freshness of one source, as this process may use them.

    `fresh` and `negative_fresh`: how long an answer with and without rows needs no new call. `stale`: how old an answer
    may be shown, marked STALE, where the source could not answer. `fresh_of_part`, `stale_of_part`: the same for some
    parts. `budget`: how long one request waits for the source, and how long one call may take. `requests_per_second` 0
    means no limit. `batch`: subjects in one call. `keep` False: an answer is shown once and kept nowhere. `by_purpose`:
    the source is told what it is asked for, so that questions of different purposes are different questions.
    `tells_deadline`: the source is told how long it is waited for, so that a call ends when nobody waits any more.
    `attempts`: calls for one question where repeating it is safe. `group`: the section that it stands in with others of
    its kind, with its `region` (code, name). `matters`: those in which it may be asked, None for all that the matter's
    own sources allow. `complete(source, USCC, row)`: what the gateway itself says of a row; `negative`: whether rows
    say "no record".
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
    tells_deadline: bool = False
    attempts: int = 2
    group: str = ""
    region: tuple[str, str] = ("", "")
    matters: frozenset[str] | None = None
    fresh_of_part: Mapping[str, float] = field(default_factory=dict)
    stale_of_part: Mapping[str, float] = field(default_factory=dict)
    complete: Complete = as_given
    negative: Callable[[str], bool] = _no_row

    @property
    def horizon(self) -> float:
        """Age in seconds beyond which a kept answer is of no use at all."""
        return max(
            self.fresh, self.negative_fresh, self.stale, *self.fresh_of_part.values(), *self.stale_of_part.values()
        )

    def terms(self, part: str, rows: str) -> tuple[float, float]:
        """How long an answer is fresh, and how old it may be shown."""
        fresh = self.negative_fresh if self.negative(rows) else self.fresh_of_part.get(part, self.fresh)
        return fresh, max(fresh, self.stale_of_part.get(part, self.stale))


def policies(settings: Settings) -> list[SourcePolicy]:
    """All sources that settings can set up, whether they are or not; what upstreams allow is shared by the workers."""
    workers = settings.workers
    made = [
        _kept(COURTS, settings.courts, workers),
        _kept(REGION_PLATFORM, settings.region_platform, workers, batch=BATCH, complete=platform_record),
        _policy(BANKS, settings.banks, workers, keep=False, by_purpose=True),
    ]
    for peer in settings.peers:
        made.append(
            _kept(
                peer.code,
                peer,
                workers,
                batch=BATCH,
                by_purpose=True,
                tells_deadline=True,
                group=PEERS,
                region=(peer.region_code, peer.region_name),
                matters=frozenset(peer.matters),
                complete=passed_records,
                negative=_no_record,
            )
        )
    return made


def _kept(code: str, limits: KeptLimits, workers: int, **more: Any) -> SourcePolicy:
    return _policy(
        code,
        limits,
        workers,
        fresh=limits.fresh_seconds,
        negative_fresh=limits.negative_fresh_seconds,
        stale=limits.stale_seconds,
        fresh_of_part=limits.fresh_seconds_of,
        stale_of_part=limits.stale_seconds_of,
        **more,
    )


def _policy(code: str, limits: SourceLimits, workers: int, **more: Any) -> SourcePolicy:
    terms = {"fresh": 0.0, "negative_fresh": 0.0, "stale": 0.0}
    return SourcePolicy(
        code=code,
        budget=limits.budget,
        concurrency=max(1, limits.concurrency // workers),
        requests_per_second=limits.requests_per_second / workers,
        breaker_failures=limits.breaker_failures,
        breaker_seconds=limits.breaker_seconds,
        **{**terms, **more},
    )
