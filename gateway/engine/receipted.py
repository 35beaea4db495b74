"""Answers with a receipt (docs/ledger.md): what is checked before, and made of the row that was really written.

In: a request with Credit-Receipt, its answer, what makes receipts (the ledger, handed in). Out: the answer and its
receipt, or neither.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from gateway.engine.documents import Document, Operation
from gateway.engine.request import Done, Limits, Request, ends_at
from gateway.errors import BadUserInput, LedgerUnavailable

logger = logging.getLogger(__name__)


class Receipts(Protocol):
    """What makes receipts of disclosures (docs/ledger.md)."""

    async def before(self, until: float) -> str:
        """A mark that stands before whatever is written from now on. By `until` (time.monotonic(), s)."""
        ...

    def digest(self, document_hash: bytes, operation_name: str | None, variables: Mapping[str, Any]) -> bytes:
        """What a receipt has of the question. Raises BadUserInput for variables of which there is none."""
        ...

    async def issue(self, disclosure_id: str, since: str, digest: bytes, until: float) -> str:
        """The receipt of the disclosure of this id (hex), which was committed since the mark. Raises whatever it
        likes: then there is none."""
        ...


async def with_receipt(
    receipts: Receipts | None,
    asked: tuple[Document, Operation],
    answer: Callable[[], Awaitable[bytes]],
    request: Request,
    limits: Limits,
    done: Done,
) -> bytes:
    """The answer, awaited once its receipt seems possible; `done` then has the receipt. Raises BadUserInput,
    LedgerUnavailable, and what the answer raises."""
    document, operation = asked
    if receipts is None:
        raise without_receipt(changed=False)
    digest = receipts.digest(document.hash, request.operation_name, request.variables)
    since = await _made(receipts.before(ends_at(request, limits, done)), changed=False)
    body = await answer()
    work = receipts.issue(done.disclosure, since, digest, ends_at(request, limits, done))
    done.receipt = await _made(work, changed=operation.mutation)
    return body


async def _made(work: Awaitable[str], *, changed: bool) -> str:
    try:
        return await work
    except Exception as error:
        logger.error("no receipt: %s: %s", type(error).__name__, error)
        raise without_receipt(changed=changed) from error


def in_public() -> BadUserInput:
    """The refusal of a receipt in the public view."""
    return BadUserInput(
        "there are no receipts in the public view, which keeps no account; leave Credit-Receipt out",
        "公开视图不记录查询，也不出具回执，请去掉 Credit-Receipt",
    )


def of_events() -> BadUserInput:
    """The refusal of receipts for a subscription."""
    return BadUserInput(
        "events have no receipts; leave Credit-Receipt out, or ask by a query",
        "订阅事件不出具回执，请去掉 Credit-Receipt，或改用查询",
    )


def of_several() -> BadUserInput:
    """The refusal of one receipt for several changes, each of which has a disclosure of its own."""
    return BadUserInput(
        "a receipt is of one change; send each in a request of its own",
        "一份回执对应一项变更，请将各项变更分别提交",
    )


def without_receipt(*, changed: bool) -> LedgerUnavailable:
    """What a client gets where the receipt that it wanted can't be made. `changed`: it may be a change that is
    done."""
    if changed:
        return LedgerUnavailable(
            "it may have been done, but no receipt of it could be made; send it again with the same Idempotency-Key for"
            " the reply with a receipt, or look whether it was done",
            "操作可能已完成，但无法出具回执；请使用同一 Idempotency-Key 重发以取得答复和回执，未使用时请先核实",
        )
    return LedgerUnavailable(
        "no receipt could be made, so nothing was disclosed; try again later, or without Credit-Receipt",
        "无法出具回执，因此未披露任何信息；请稍后再试，或不带 Credit-Receipt",
    )
