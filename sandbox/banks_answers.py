"""The banks' answers to a request that holds: a summary, or the ways in which it can be false; and the consent's check.

In: what is known, the request and the fault that the call meets. Out: the answer by the banks' wire contract, no I/O.
sandbox/banks.py calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import date
from typing import Any

from sandbox.banks_data import make_summary
from sandbox.faults import Fault
from sandbox.oauth import TOKEN, TOKEN_FAULTS
from sandbox.subjects import Row, draws, is_uscc, other_uscc
from sandbox.upstream import text_of, without, wrong_in
from sandbox.wire import Answer

SUMMARIES, POLL = "summaries", "poll"
SERVICES = (SUMMARIES, POLL)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def failure(status: int, error: str, reason: str | None = None) -> Answer:
    """A refusal in the contract's words."""
    return Answer({"error": error} if reason is None else {"error": error, "reason": reason}, status)


def refused_consent(consent: Any, today: date) -> str | None:
    """Why a consent cannot carry a query on the day `today`, or None."""
    if not text_of(consent, "id"):
        return "consent without an id"
    if not _SHA256.fullmatch(text_of(consent, "documentSha256") or ""):
        return "documentSha256 is no SHA-256 in lower case"
    if not text_of(consent, "purpose"):
        return "consent without a purpose"
    if not is_uscc(text_of(consent, "grantee")):
        return "grantee is no USCC"
    until = text_of(consent, "validTo") or ""
    try:
        ended = date.fromisoformat(until) < today if re.fullmatch(r"\d{4}-\d\d-\d\d", until) else True
    except ValueError:
        ended = True
    return "consent has ended" if ended else None


def pending(request_id: str, retry_after: int) -> Answer:
    """The answer that there is none yet."""
    return Answer({"requestId": request_id, "status": "pending"}, 202, {"Retry-After": str(retry_after)})


def refused_by(fault: Fault | None, request_id: str) -> Answer | None:
    """The refusal that a fault asks for; None where it asks for none."""
    if fault is None:
        return None
    if fault.fault == "consent_rejected":
        return failure(403, "consent_rejected", fault.text or "consent withdrawn")
    if fault.fault == "conflict":
        return failure(409, "conflict")
    if fault.fault == "unknown_subject":
        return failure(404, "unknown_subject")
    if fault.fault == "unknown_error":
        return failure(404, fault.text or "unknown_branch")
    if fault.fault == "pending_other":
        return Answer({"requestId": "00000000-0000-4000-8000-000000000000", "status": "pending"}, 202)
    return None


def summary_answer(request_id: str, uscc: str, as_of: str, summary: Row, fault: Fault | None) -> Answer:
    """The answer itself, or what a fault makes of it; `summary` is not changed."""
    body: Row = {"requestId": request_id, "uscc": uscc, "asOf": as_of, "summary": deepcopy(summary)}
    if fault is not None and (spoil := _SPOILED.get(fault.fault)) is not None:
        spoil(body, fault)
    return Answer(body)


def filler(uscc: str) -> Row:
    """A summary about a subject that has none: what is false needs something to be false about."""
    return make_summary(draws("filler", uscc, "bank"))


# --- faults of the answer


def _wrong_request_id(body: Row, fault: Fault) -> None:
    body["requestId"] = "00000000-0000-4000-8000-000000000000"


def _foreign_uscc(body: Row, fault: Fault) -> None:
    body["uscc"] = other_uscc(body["uscc"])


def _unknown_classification(body: Row, fault: Fault) -> None:
    body["summary"]["classification"] = fault.text or "欠佳"


def _unknown_unit(body: Row, fault: Fault) -> None:
    body["summary"]["unit"] = fault.text or "亿元"


def _unknown_event(body: Row, fault: Fault) -> None:
    event = {"kind": fault.text or "其他", "amount": "1.00", "occurredOn": "2025-01-02", "settledOn": None}
    body["summary"]["events"].append(event)


def _bad_amount(body: Row, fault: Fault) -> None:
    body["summary"][fault.key or "overdueBalance"] = fault.text or "1,200.00"


def _bad_date(body: Row, fault: Fault) -> None:
    event = {"kind": "违约", "amount": "1.00", "occurredOn": fault.text or "2017-13-45", "settledOn": None}
    body["summary"]["events"].append(event)


def _missing_key(body: Row, fault: Fault) -> None:
    without(body, fault.key or "loanBalance")


def _wrong_type(body: Row, fault: Fault) -> None:
    wrong_in(body, fault.key or "overdueDays")


_SPOILED: Mapping[str, Callable[[Row, Fault], None]] = {
    "wrong_request_id": _wrong_request_id,
    "foreign_uscc": _foreign_uscc,
    "unknown_classification": _unknown_classification,
    "unknown_unit": _unknown_unit,
    "unknown_event": _unknown_event,
    "bad_amount": _bad_amount,
    "bad_date": _bad_date,
    "missing_key": _missing_key,
    "wrong_type": _wrong_type,
}
SPOILED = tuple(_SPOILED)
# Which services each of the banks' own faults makes sense for.
ANSWER_FAULTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(TOKEN_FAULTS, (TOKEN,)),
    **dict.fromkeys(_SPOILED, SERVICES),
    **dict.fromkeys(("consent_rejected", "unknown_subject", "unknown_error", "pending_other"), SERVICES),
    **dict.fromkeys(("pending", "lost_request"), SERVICES),
    **dict.fromkeys(("token_refused", "missing_key", "wrong_type"), (TOKEN, *SERVICES)),
    "conflict": (SUMMARIES,),
}
