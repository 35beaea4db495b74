"""Refusals of the routes beside /graphql: no such path, another method, and what nobody foresaw.

In: an exception that Starlette or a route raised. Out: JSON of the form that /graphql has, in the language that was
asked for; under /oauth/ of the form that RFC 6749 has; under /log/, which has no JSON of ours, plain text.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.errors import BadUserInput

_WORDS = {
    404: (
        "there is nothing at this path; questions go to /graphql, contracts are at /schema/{public,restricted,internal,"
        "self}.graphql",
        "该路径不存在；查询请使用 /graphql，各视图契约见 /schema/{public,restricted,internal,self}.graphql",
    ),
    405: ("this path takes {allow} alone; use it", "该路径只支持 {allow}，请改用"),
}
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)
_OTHER = ("the request can't be taken; correct it", "无法处理该请求，请改正")


async def refuse(request: Request, error: Exception) -> Response:
    """The handler of HTTPException for the Starlette app."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    allowed = ", ".join(sorted(headers.get("Allow", "").split(", ")))  # Starlette has a set of them
    words = [text.replace("{allow}", allowed) for text in _WORDS.get(error.status_code, _OTHER)]
    return refusal(request, error.status_code, words[0], words[1], headers)


def refusal(request: Request, status: int, en: str, zh: str, headers: dict[str, str] | None = None) -> Response:
    """A refusal in the language of the request."""
    headers = {"vary": "accept-language", **(headers or {})}
    if request.url.path.startswith("/oauth/"):
        return JSONResponse({"error": "invalid_request", "error_description": en}, status, headers)
    message = zh if language_of(request.headers.get("accept-language", "")) == "zh" else en
    if request.url.path.startswith("/log/") or request.url.path == "/log":
        return PlainTextResponse(message + "\n", status, headers)
    found = {"message": message, "extensions": {"code": BadUserInput.code}}
    return JSONResponse({"errors": [found]}, status, headers)


def language_of(accepted: str) -> str:
    """zh or en, whichever Accept-Language (RFC 9110 §12.5.4) prefers; of equals the first."""
    best, found = 0.0, "en"
    for part in accepted.split(","):
        language, _, parameters = part.strip().partition(";")
        if language[:2].lower() in ("zh", "en") and (weight := _weight(parameters)) > best:
            best, found = weight, language[:2].lower()
    return found


def _weight(parameters: str) -> float:
    given = _QUALITY.fullmatch(parameters)
    return float(given[1]) if given is not None else 1.0
