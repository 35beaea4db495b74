"""What each fault of each source must become: written by hand from docs/faults.md and the wire contracts.

In: nothing. Out: FAULTS, frozen. scripts/source_faults.py holds the gateway to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.source_knowledge import (
    BANKS,
    COURTS,
    PEER,
    PLATFORM,
    SOURCES,
)


@dataclass(frozen=True)
class Fault:
    """A fault of a sandbox and what the section must say of it. `reasons`: one of them; several only where the speed of
    the machine decides.

    `alone`: it is not of one subject, or it opens the breaker, so nobody else may be asking. `heavy`: it keeps the
    upstream itself busy, so nobody else should.
    """

    source: str
    name: str
    status: str
    reasons: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    service: str = "*"
    alone: bool = False
    heavy: bool = False

    @property
    def title(self) -> str:
        """As the table has it."""
        said = ", ".join([f"{self.service} alone"] * (self.service != "*") + [f"{v}" for v in self.options.values()])
        return f"{self.name} ({said})" if said else self.name


def _of(source: str, status: str, reason: str, *names: str, **more: Any) -> list[Fault]:
    return [Fault(source, name, status, (reason,), **more) for name in names]


def _of_the_wire(source: str) -> list[Fault]:
    ill, busy = "UNAVAILABLE", "REFUSED"
    return [
        *_of(source, ill, "UNREACHABLE", "down", "lost_reply", "cut_body"),
        *_of(source, ill, "TIMEOUT", "black_hole"),
        *_of(source, ill, "TIMEOUT", "slow", options={"seconds": 20}),
        *_of(source, ill, "TIMEOUT", "drip", options={"seconds": 0.25}),
        *_of(source, busy, "THROTTLED", "redirect", "redirect_away", "throttled_412"),
        # Retry-After opens the breaker for as long as it says.
        *_of(source, busy, "THROTTLED", "throttled_429", "throttled_429_date", options={"retry_after": 1}, alone=True),
        *_of(source, ill, "SERVER_ERROR", "server_error", options={"status": 500}),
        *_of(source, ill, "SERVER_ERROR", "server_error", options={"status": 503}),
        *_of(source, busy, "REJECTED", "not_found"),
        *_of(source, ill, "MALFORMED", "html", "cut_json", "null_body", "empty_list", "deep_json"),
        *(
            Fault(source, name, ill, ("TOO_LARGE", "TIMEOUT"), heavy=True)
            for name in ("endless_body", "gzip_bomb", "huge_json", "dense_json")
        ),
    ]


_ILL, _BUSY = "UNAVAILABLE", "REFUSED"
_COURTS = [
    *_of(COURTS, _ILL, "CREDENTIALS", "expired_secret", "bad_signature", "clock_off"),
    *_of(COURTS, _BUSY, "FORBIDDEN", "no_right"),
    *_of(COURTS, _BUSY, "REJECTED", "bad_body", "unknown_code"),
    *_of(COURTS, _ILL, "FOREIGN_ROWS", "foreign_rows", "one_foreign_row"),
    *_of(COURTS, _ILL, "MALFORMED", "wrong_totals", "repeated_page", "endless_pages", "too_many_pages"),
    *_of(COURTS, _ILL, "MALFORMED", "missing_key", "wrong_type"),
    *_of(COURTS, _ILL, "MALFORMED", "missing_key", options={"key": "totalSize"}),
    *_of(COURTS, _ILL, "MALFORMED", "wrong_type", options={"key": "result"}),
    *_of(COURTS, _ILL, "TIMEOUT", "black_hole", service="judgments"),
    *_of(COURTS, _ILL, "SERVER_ERROR", "server_error", service="consumption"),
    *_of(COURTS, _ILL, "FOREIGN_ROWS", "one_foreign_row", service="enforcement"),
]
_BANKS = [
    *_of(BANKS, "PENDING", "LATER", "pending"),
    *_of(BANKS, "CONSENT_REQUIRED", "CONSENT_REJECTED", "consent_rejected"),
    *_of(BANKS, _BUSY, "REJECTED", "conflict", "unknown_error"),
    *_of(BANKS, _ILL, "FOREIGN_ROWS", "foreign_uscc"),
    *_of(BANKS, _ILL, "MALFORMED", "wrong_request_id", "pending_other", "unknown_classification", "unknown_unit"),
    *_of(BANKS, _ILL, "MALFORMED", "unknown_event", "bad_amount", "bad_date", "missing_key", "wrong_type"),
    *_of(BANKS, _ILL, "CREDENTIALS", "token_refused", service="summaries", alone=True),
]
_PLATFORM = [
    *_of(PLATFORM, _BUSY, "REJECTED", "refused_status", "bad_signature", "clock_off", "nonce_seen", "bad_body"),
    *_of(PLATFORM, _ILL, "FOREIGN_ROWS", "foreign_rows", "one_foreign_row", "foreign_code_in_row"),
    *_of(PLATFORM, _ILL, "MALFORMED", "repeated_page", "endless_pages", "too_many_rows", "wrong_totals", "wrong_page"),
    *_of(PLATFORM, _ILL, "TOO_LARGE", "too_many_pages"),
    *_of(PLATFORM, _ILL, "MALFORMED", "unknown_table", "bad_date", "bad_amount", "missing_key", "wrong_type"),
]
_PEER = [
    *_of(PEER, _ILL, "CREDENTIALS", "unauthenticated"),
    *_of(PEER, _ILL, "CREDENTIALS", "token_refused", service="subjects", alone=True),
    *_of(PEER, _BUSY, "FORBIDDEN", "forbidden", "null_element"),
    *_of(PEER, _BUSY, "REJECTED", "bad_user_input", "document_not_found"),
    *_of(PEER, _BUSY, "THROTTLED", "rate_limited"),
    *_of(PEER, _ILL, "SERVER_ERROR", "storage_unavailable", "errors_with_data", "execution_error"),
    *_of(PEER, _ILL, "FOREIGN_ROWS", "foreign_subject", "wrong_order"),
    *_of(PEER, _ILL, "MALFORMED", "wrong_length", "endless_pages", "empty_pages", "repeated_cursor", "wrong_total"),
    *_of(PEER, _ILL, "MALFORMED", "repeated_record", "unknown_kind", "unknown_status", "bad_date", "bad_amount"),
    *_of(PEER, _ILL, "MALFORMED", "missing_key", "wrong_type"),
]
FAULTS: tuple[Fault, ...] = tuple(
    fault
    for source, own in zip(SOURCES, (_COURTS, _BANKS, _PLATFORM, _PEER), strict=True)
    for fault in (*_of_the_wire(source), *own)
)
