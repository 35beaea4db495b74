"""Responses of /graphql: answers, answers that the asker has already, and refusals.

In: bodies, errors. Out: messages to an ASGI `send`. The unforeseen is masked, with an id that is in the log.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from gateway.errors import (
    BadUserInput,
    ClientError,
    DocumentNotFound,
    Forbidden,
    Internal,
    ParseFailed,
    QueryTooCostly,
    RateLimited,
    Refused,
    Unauthenticated,
    ValidationFailed,
)
from gateway.web import sse
from gateway.web.conditional import etag, has_it
from gateway.web.headers import GRAPHQL, JSON, Headers
from gateway.web.kept import Entry
from gateway.web.sse import EVENTS
from gateway.web.transport import WHOLE, lines

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

# With application/json the standard has 200 for a request error of the document; status codes tell only the new type.
_DOCUMENT_ERRORS = (ParseFailed, ValidationFailed, BadUserInput, QueryTooCostly, DocumentNotFound)
# What an answer without errors depends on beside its URL.
_VARY = b"authorization, accept, credit-cost"
_VARY_WITH_ERRORS = b"authorization, accept, accept-language"


async def give(send: Send, headers: Headers, media: bytes, body: bytes, tags: dict[bytes, bytes] | None = None) -> None:
    """A public answer by GET, or that the asker has it already. `tags`: of a kept one, by media type."""
    tag = None if tags is None else tags.get(media)
    if tag is None:
        tag = etag(media, body)
        if tags is not None:
            tags[media] = tag
    kept = ((b"cache-control", b"no-cache"), (b"etag", tag))
    given = headers.all(b"if-none-match")
    if given and has_it(given, tag):
        await send({"type": "http.response.start", "status": 304, "headers": [*kept, (b"vary", _VARY)]})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send_whole(send, 200, media, body, kept, vary=_VARY)


def headers_again(media: bytes, entry: Entry) -> list[tuple[bytes, bytes]]:
    """The headers of a kept answer to a POST."""
    headers = entry.headers.get(media)
    if headers is None:
        headers = entry.headers[media] = headers_of(media, entry.body, ((b"cache-control", b"no-cache"),))
    return headers


async def send_again(send: Send, media: bytes, entry: Entry) -> None:
    """A kept answer to a POST."""
    await send({"type": "http.response.start", "status": 200, "headers": headers_again(media, entry)})
    await send({"type": "http.response.body", "body": entry.body})


def answer_at_once(scope: MutableMapping[str, Any], media: bytes, body: bytes, cache: bytes) -> bool:
    """An answer of status 200 to a POST, where the connection can take it whole. `cache`: Cache-Control."""
    whole: Callable[[bytes, bytes], bool] | None = scope.get(WHOLE)
    return whole is not None and whole(lines(headers_of(media, body, ((b"cache-control", cache),))), body)


async def send_whole(
    send: Send,
    status: int,
    media: bytes,
    body: bytes,
    more: tuple[tuple[bytes, bytes], ...] = (),
    *,
    vary: bytes = _VARY_WITH_ERRORS,
) -> None:
    """A response in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers_of(media, body, more, vary)})
    await send({"type": "http.response.body", "body": body})


def headers_of(
    media: bytes, body: bytes, more: tuple[tuple[bytes, bytes], ...], vary: bytes = _VARY_WITH_ERRORS
) -> list[tuple[bytes, bytes]]:
    """The headers of a response with this body."""
    if media in (JSON, GRAPHQL):
        media += b"; charset=utf-8"
    return [
        (b"content-type", media),
        (b"content-length", str(len(body)).encode()),
        (b"vary", vary),
        *more,
    ]


async def refuse(send: Send, error: Refused | ClientError, media: bytes, language: str) -> None:
    """A refusal, with what its status wants beside it."""
    errors = error.errors if isinstance(error, Refused) else (error,)
    status = errors[0].status
    if media == EVENTS:
        if status == 400 and isinstance(errors[0], _DOCUMENT_ERRORS):
            await sse.whole(send, errors_of(error, language))  # as its protocol wants it
            return
        media = JSON
    if media == JSON and status == 400 and isinstance(errors[0], _DOCUMENT_ERRORS):
        status = 200
    more: tuple[tuple[bytes, bytes], ...] = ((b"cache-control", b"no-store"),)
    if isinstance(errors[0], Unauthenticated):
        more += tuple((b"www-authenticate", challenge.encode()) for challenge in errors[0].challenges)
    elif isinstance(errors[0], Forbidden):
        more += ((b"www-authenticate", b'Bearer error="insufficient_scope"'),)
    elif isinstance(errors[0], RateLimited):
        more += ((b"retry-after", b"%d" % errors[0].retry_after),)
    elif status == 405:
        more += ((b"allow", b"POST"),)
    await send_whole(send, status, media, errors_of(error, language), more)


def errors_of(error: Refused | ClientError, language: str) -> bytes:
    """The body of a refusal."""
    errors = error.errors if isinstance(error, Refused) else (error,)
    return json.dumps({"errors": [e.as_json(language) for e in errors]}, ensure_ascii=False).encode("utf-8", "replace")


def masked(error: Exception) -> Internal:
    """What is told of what nobody foresaw: an id, under which the log has it."""
    incident = secrets.token_hex(8)
    logger.error("incident %s", incident, exc_info=error)
    return Internal(
        f"something went wrong here; nothing was disclosed. Quote {incident} to the operator",
        f"系统内部错误，未披露任何信息，请将编号 {incident} 告知运维人员",
    )
