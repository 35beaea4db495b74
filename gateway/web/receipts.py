"""GET /receipts/{id}: where a receipt's entry is in the log, and what became of what it says. For whoever has the id.

In: the id of a disclosure, 128 random bits that its receipt alone tells, or that of one subject's entry. Out: JSON,
kept by nobody on the way: its status is of this moment.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import LedgerUnavailable, StorageUnavailable
from gateway.ledger.receipts import NotYet, Receipts
from gateway.web.refusals import language_of, refusal

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_ENTRY: Final = re.compile(r"[A-Za-z0-9_-]{54}", re.ASCII)  # of one subject's entry: Disclosure.receiptId
_HEADERS: Final = {"cache-control": "no-store"}


def receipt_routes(receipts: Receipts) -> list[Route]:
    """The route."""

    async def found(request: Request) -> Response:
        text = request.path_params["id"]
        if _ID.fullmatch(text) is None and _ENTRY.fullmatch(text) is None:
            return refusal(
                request, 400, "not the id of a receipt; take its claim disclosure, a UUID in small letters",
                "不是回执的编号，请使用回执中 disclosure 的值（小写 UUID）", _HEADERS,
            )  # fmt: skip
        try:
            if _ENTRY.fullmatch(text):
                proof = await receipts.proof_of_entry(text)
            else:
                proof = await receipts.proof(uuid.UUID(text))
        except NotYet:
            return _later(
                request, LedgerUnavailable("it will be in the log soon; ask again", "即将进入日志，请稍后再查")
            )
        except (StorageUnavailable, LedgerUnavailable) as error:
            return _later(request, error)
        if proof is None:
            return refusal(
                request, 404, "there is no receipt of this id; take its claim disclosure",
                "没有该编号的回执，请使用回执中 disclosure 的值", _HEADERS,
            )  # fmt: skip
        return JSONResponse(dict(proof), headers=_HEADERS)

    return [Route("/receipts/{id}", found)]


def _later(request: Request, error: StorageUnavailable | LedgerUnavailable) -> Response:
    language = language_of(request.headers.get("accept-language", ""))
    headers = {**_HEADERS, "retry-after": "2", "vary": "accept-language"}
    return JSONResponse({"errors": [error.as_json(language)]}, 503, headers)
