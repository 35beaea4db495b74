"""/graphql: GraphQL over HTTP, as a bare ASGI callable inside the Starlette app (a router and its objects cost more
than the whole of a profile's Python otherwise).

In: an HTTP request. Out: a response of media type application/graphql-response+json, or application/json for clients
that ask for nothing else. Errors leave through `_refuse`; the unforeseen is masked, with an id that is in the log.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from prometheus_client import CollectorRegistry, Counter

from gateway.auth.authenticate import Authenticator
from gateway.auth.principal import Principal
from gateway.engine.execute import Engine, Request
from gateway.errors import (
    BadUserInput,
    ClientError,
    Forbidden,
    Internal,
    ParseFailed,
    QueryTooCostly,
    Refused,
    ValidationFailed,
)
from gateway.storage.levels import CONTRACTS
from gateway.web.graphiql import PAGE_HEADERS
from gateway.web.leaving import Leaving, Left

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

GRAPHQL = b"application/graphql-response+json"
JSON = b"application/json"
# With application/json the standard has 200 for a request error of the document; status codes tell only the new type.
_DOCUMENT_ERRORS = (ParseFailed, ValidationFailed, BadUserInput, QueryTooCostly)
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_HOPS = re.compile(r"[0-9]{1,3}")


class NotHttp(Exception):
    """Refused before GraphQL begins: status, and a line that says what to do."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class GraphQLEndpoint:
    """The ASGI callable. `page` is the HTML for browsers, None where it was not installed."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        registry: CollectorRegistry,
        *,
        max_body_bytes: int,
        page: bytes | None = None,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._max_body = max_body_bytes
        self._page = page
        self._leaving = Leaving()
        self._requests = Counter(
            "credit_requests",
            "Requests by view and outcome: ANSWERED, LEFT by the client, or the code",
            ("view", "outcome"),
            registry=registry,
        )
        self._answered = {name: self._requests.labels(name, "ANSWERED") for name in CONTRACTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _Headers(scope["headers"])
        media, view = JSON, ""  # unknown until somebody is known to ask
        try:
            method = scope["method"]
            if method == "GET" and self._page is not None and headers.wants_html():
                await _send(send, 200, b"text/html; charset=utf-8", self._page, PAGE_HEADERS)
                return
            media = headers.response_type()
            request = await self._read(scope, headers, receive)
            principal = await self._principal(headers, request)
            view = principal.view
            if method == "GET" and principal.access.disclosed:
                await self._engine.account_for_refusal(principal, request, BadUserInput.code)
                raise NotHttp(405, "above the public view use POST", ((b"allow", b"POST"),))
            body = await self._leaving.unless_left(receive, self._engine.answer(principal, request))
            self._answered[view].inc()
            await _send(send, 200, media, body, _cache(principal))
        except Left:
            self._requests.labels(view, "LEFT").inc()
        except NotHttp as error:
            self._requests.labels(view, BadUserInput.code).inc()
            body = json.dumps({"errors": [{"message": str(error), "extensions": {"code": "BAD_USER_INPUT"}}]}).encode()
            await _send(send, error.status, media, body, error.headers)
        except (Refused, ClientError) as error:
            self._requests.labels(view, error.code).inc()
            await _refuse(send, error, media, headers.language())
        except Exception as error:
            self._requests.labels(view, Internal.code).inc()
            await _refuse(send, _masked(error), media, headers.language())

    async def _principal(self, headers: _Headers, request: Request) -> Principal:
        authorization, purpose = headers.only(b"authorization"), headers.only(b"credit-purpose")
        principal = self._authenticator.cached(authorization, purpose)
        if principal is None:
            try:
                principal = await self._authenticator.authenticate(authorization, purpose)
            except ClientError as error:
                if isinstance(error.principal, Principal):
                    await self._engine.account_for_refusal(error.principal, request, error.code)
                raise
        try:
            hops = headers.only(b"credit-hops")
            if hops is None:
                return principal
            if not _HOPS.fullmatch(hops) or int(hops) > 1:
                raise BadUserInput("Credit-Hops may be 0 or 1", "Credit-Hops 只能为 0 或 1")
        except BadUserInput as error:
            await self._engine.account_for_refusal(principal, request, error.code)
            raise
        return replace(principal, hops=int(hops))

    async def _read(self, scope: Scope, headers: _Headers, receive: Receive) -> Request:
        """The request's parameters (GraphQL over HTTP). Raises NotHttp, BadUserInput."""
        if scope["method"] == "GET":
            return self._from_query(scope["query_string"], headers)
        if scope["method"] != "POST":
            raise NotHttp(405, "use POST, or GET in the public view", ((b"allow", b"GET, POST"),))
        content = (headers.only(b"content-type") or "").encode("latin-1")
        kind, _, rest = content.partition(b";")
        if kind.strip().lower() != b"application/json":
            raise NotHttp(415, "the body must be application/json")
        charset = _CHARSET.search(rest)
        if charset is not None and charset[1].lower() != b"utf-8":
            raise NotHttp(415, "the body must be UTF-8")
        if headers.get(b"content-encoding") not in (None, b"identity"):
            raise NotHttp(415, "compressed bodies are not taken")
        return _parameters(_json_object(await self._body(headers, receive)), headers.language())

    async def _body(self, headers: _Headers, receive: Receive) -> bytes:
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > self._max_body):
            raise NotHttp(413, f"the body may have {self._max_body} bytes")
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._max_body:
                raise NotHttp(413, f"the body may have {self._max_body} bytes")
            return body
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise NotHttp(400, "the client left")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_body:
                raise NotHttp(413, f"the body may have {self._max_body} bytes")
        return b"".join(chunks)

    def _from_query(self, query: bytes, headers: _Headers) -> Request:
        try:
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError:
            raise NotHttp(400, "the query string is not valid") from None
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise NotHttp(400, f"{name[:40]} is given twice")
            found[name] = value
        for name in ("variables", "extensions"):
            if found.get(name):
                found[name] = _json_object(found[name].encode(), what=name)
            else:
                found.pop(name, None)
        if not found.get("operationName"):
            found.pop("operationName", None)
        return _parameters(found, headers.language())


def _json_object(body: bytes, what: str = "the body") -> dict[str, Any]:
    try:
        found = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NotHttp(400, f"{what} is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise NotHttp(400, f"{what} must be a JSON object; batches are not taken")
    return found


def _parameters(found: Mapping[str, Any], language: str) -> Request:
    query, name = found.get("query"), found.get("operationName")
    variables, extensions = found.get("variables"), found.get("extensions")
    if not isinstance(query, str):
        raise NotHttp(400, "query must be a string")
    if name is not None and not isinstance(name, str):
        raise NotHttp(400, "operationName must be a string")
    if variables is not None and not isinstance(variables, dict):
        raise NotHttp(400, "variables must be an object")
    if extensions is not None and not isinstance(extensions, dict):
        raise NotHttp(400, "extensions must be an object")
    return Request(query, name, variables or {}, language)


class _Headers:
    """The raw headers of a request; lower case by ASGI."""

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def get(self, name: bytes) -> bytes | None:
        for key, value in self._raw:
            if key == name:
                return value
        return None

    def only(self, name: bytes) -> str | None:
        """The header's one value. Raises BadUserInput where it stands twice."""
        values = [value for key, value in self._raw if key == name]
        if len(values) > 1:
            raise BadUserInput(f"{name.decode()} is given twice", f"{name.decode()} 重复")
        return values[0].decode("latin-1") if values else None

    def language(self) -> str:
        """zh or en, whichever Accept-Language names first."""
        for part in (self.get(b"accept-language") or b"").split(b","):
            if part.strip()[:2].lower() in (b"zh", b"en"):
                return part.strip()[:2].lower().decode()
        return "en"

    def wants_html(self) -> bool:
        accept = self.get(b"accept") or b""
        return b"text/html" in accept and b"json" not in accept

    def response_type(self) -> bytes:
        """The media type of the response. Raises NotHttp 406 where none of ours is accepted."""
        accept = self.get(b"accept")
        if accept is None:
            return JSON
        for part in accept.split(b","):
            kind = part.partition(b";")[0].strip().lower()
            if kind == GRAPHQL:
                return GRAPHQL
            if kind in (JSON, b"application/*", b"*/*"):
                return JSON
        raise NotHttp(406, "accept application/graphql-response+json or application/json")


def _cache(principal: Principal) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"cache-control", b"no-store" if principal.access.disclosed else b"no-cache"),)


async def _refuse(send: Send, error: Refused | ClientError, media: bytes, language: str) -> None:
    errors = error.errors if isinstance(error, Refused) else (error,)
    status = errors[0].status
    if media == JSON and isinstance(errors[0], _DOCUMENT_ERRORS):
        status = 200
    more: tuple[tuple[bytes, bytes], ...] = ((b"cache-control", b"no-store"),)
    if status == 401:
        more += ((b"www-authenticate", b'Bearer error="invalid_token"'),)
    elif isinstance(errors[0], Forbidden):
        more += ((b"www-authenticate", b'Bearer error="insufficient_scope"'),)
    body = json.dumps({"errors": [e.as_json(language) for e in errors]}, ensure_ascii=False).encode("utf-8", "replace")
    await _send(send, status, media, body, more)


def _masked(error: Exception) -> Internal:
    incident = secrets.token_hex(8)
    logger.error("incident %s", incident, exc_info=error)
    return Internal(
        f"something went wrong here; nothing was disclosed. Quote {incident} to the operator",
        f"系统内部错误，未披露任何信息，请将编号 {incident} 告知运维人员",
    )


async def _send(send: Send, status: int, media: bytes, body: bytes, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    if media in (JSON, GRAPHQL):
        media += b"; charset=utf-8"
    headers = [
        (b"content-type", media),
        (b"content-length", str(len(body)).encode()),
        (b"vary", b"authorization, accept, accept-language"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
