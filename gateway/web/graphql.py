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
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, Counter

from gateway.auth.authenticate import Authenticator
from gateway.auth.possession import Shown
from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.dependence import Basis
from gateway.engine.execute import Done, Engine, Request
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
from gateway.storage.levels import CONTRACTS
from gateway.web import asked, sse, websocket
from gateway.web.client_cert import ClientCertificates
from gateway.web.conditional import etag, has_it
from gateway.web.graphiql import PAGE_HEADERS
from gateway.web.kept import Entry, Kept
from gateway.web.leaving import Leaving, Left
from gateway.web.reading import NotHttp, from_body, from_query, token_elsewhere
from gateway.web.refusals import language_of
from gateway.web.seats import Seats
from gateway.web.sse import EVENTS
from gateway.web.streams import Stopping, Streams
from gateway.web.throttle import RefusalLog, RefusedClients, Throttle, too_many
from gateway.web.websocket import Sockets

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

GRAPHQL = b"application/graphql-response+json"
JSON = b"application/json"
# With application/json the standard has 200 for a request error of the document; status codes tell only the new type.
_DOCUMENT_ERRORS = (ParseFailed, ValidationFailed, BadUserInput, QueryTooCostly, DocumentNotFound)
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_UNWANTED = re.compile(rb"(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)
_MOST_SEEN, _MOST_SEEN_BYTES = 1_000, 2_048  # sets of headers that are remembered, and of each
_WHO_OR_MORE = frozenset((b"authorization", b"dpop", b"idempotency-key"))  # and what begins with credit-
_ASKING = (b"credit-hops", b"idempotency-key", b"credit-deadline-ms", b"credit-cost")
_ERRORS = b'{"errors"'  # how an answer begins that has some: its words depend on the asker's language
# What an answer without errors depends on beside its URL.
_VARY = b"authorization, accept, credit-cost"
_VARY_WITH_ERRORS = b"authorization, accept, accept-language"


class GraphQLEndpoint:
    """The ASGI callable. `url` is its own public URL (auth.dpop.comparable), which proofs of possession name; `page` is
    the HTML for browsers, None where it was not installed; `kept` the public answers that may be shown again."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        registry: CollectorRegistry,
        throttle: Throttle,
        *,
        url: str,
        certificates: ClientCertificates,
        max_body_bytes: int,
        page: bytes | None = None,
        kept: Kept | None = None,
        streams: Streams | None = None,
    ) -> None:
        self._engine = engine
        self._kept = kept
        self._authenticator = authenticator
        self._url = url
        self._certificates = certificates
        self._throttle = throttle
        self._refusals = RefusalLog()
        self._refused_clients = RefusedClients()
        self._max_body = max_body_bytes
        self._page = page
        self._leaving = Leaving()
        self._seen: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}
        self._streams = streams or Streams(Seats(most=1_000, client=50, public=5))
        self._sockets = Sockets(engine, authenticator, self._streams, self, url=url)
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
        principal: Principal | None = None
        try:
            method = scope["method"]
            if method == "GET" and self._page is not None and headers.wants_html():
                await _send(send, 200, b"text/html; charset=utf-8", self._page, PAGE_HEADERS)
                return
            kept = self._kept
            if kept is not None and (usual := self._usual(scope, headers)):
                media = usual
                self._throttle.stranger(scope)
                raw: bytes | str = await self._body(headers, receive)
            else:
                media = headers.response_type()
                self._admit(scope, headers)
                raw = await self._raw(scope, headers, receive)
                kept = kept if headers.of_nobody() and media != EVENTS else None
            if kept is not None and (entry := await kept.find(raw)) is not None:
                self._answered[ANONYMOUS.view].inc()
                if method == "GET":
                    await _give(send, headers, media, entry.body, entry.tags)
                else:
                    await _send_again(send, media, entry)
                return
            begun = None if kept is None else kept.begin()
            request = _request(raw, headers.language())
            principal = await self._principal(scope, headers, request)
            view = principal.view
            principal, request = await self._asked(headers, principal, request)
            if method == "GET" and principal.access.disclosed:
                await self._engine.account_for_refusal(principal, request, BadUserInput.code)
                raise NotHttp(
                    405,
                    "GET is for the public alone; with a token use POST",
                    "使用令牌时请以 POST 方式查询",
                    ((b"allow", b"POST"),),
                )
            if media == EVENTS:
                await self._leaving.unless_left(receive, self._stream(scope, headers, send, principal, request))
                self._answered[view].inc()
                return
            basis = None if begun is None else Basis()
            body = await self._leaving.unless_left(receive, self._engine.answer(principal, request, basis))
            if kept is not None and begun is not None and basis is not None:
                kept.put(raw, begun, basis, body)
            self._answered[view].inc()
            if method == "GET" and not body.startswith(_ERRORS):
                await _give(send, headers, media, body)
            else:
                await _send(send, 200, media, body, _cache(principal))
        except Left:
            self._requests.labels(view, "LEFT").inc()
        except NotHttp as error:
            self._requests.labels(view, BadUserInput.code).inc()
            self._log(principal, error, BadUserInput.code, scope)
            if principal is None:
                self._failed(scope, headers)
            found = {"message": error.message(headers.language()), "extensions": {"code": BadUserInput.code}}
            body = json.dumps({"errors": [found]}, ensure_ascii=False).encode("utf-8", "replace")
            await _send(send, error.status, JSON if media == EVENTS else media, body, error.headers)
        except (Refused, ClientError) as error:
            self._requests.labels(view, error.code).inc()
            self._log(principal, error, error.code, scope)
            if isinstance(error, Unauthenticated):
                self._failed(scope, headers)
            await _refuse(send, error, media, headers.language())
        except Exception as error:
            self._requests.labels(view, Internal.code).inc()
            await _refuse(send, _masked(error), media, headers.language())

    def _usual(self, scope: Scope, headers: _Headers) -> bytes:
        """The media type of the answer where a public question comes with headers that were found in order before: a
        client's are the same each time, and looking through them costs more than the answer does. Else b""."""
        if scope["method"] != "POST" or scope["query_string"]:
            return b""
        known = headers.known()
        media = self._seen.get(known)
        if media is None:
            try:
                media = headers.response_type() if headers.of_nobody() else b""
                media = b"" if media == EVENTS else media  # a stream is no answer to be kept
                _check_content(headers)
            except (NotHttp, BadUserInput):
                media = b""  # it is refused on the long way
            if sum(len(name) + len(value) for name, value in known) <= _MOST_SEEN_BYTES:
                if len(self._seen) >= _MOST_SEEN:
                    self._seen.clear()
                self._seen[known] = media
        return media

    async def _stream(
        self, scope: Scope, headers: _Headers, send: Send, principal: Principal, request: Request
    ) -> None:
        """The response as a stream of events. Raises what refuses it before it has begun."""
        subscription = await self._engine.subscribe(principal, request)
        if subscription is None:
            await sse.whole(send, await self._engine.answer(principal, request))
            return
        with self._streams.seats.seat(principal, self._throttle.address(scope)):
            authorization, purpose = headers.only(b"authorization"), headers.only(b"credit-purpose")
            who = self._streams.who(self._authenticator, authorization, purpose)
            await sse.begin(send)
            try:
                async with aclosing(subscription.events(who)) as events:
                    await sse.pump(send, events)
            except Stopping:
                pass
            except (Refused, ClientError) as error:
                self._requests.labels(principal.view, error.code).inc()
                self._log(principal, error, error.code, scope)
                await sse.part(send, sse.next_event(_errors(error, headers.language())))
            except Exception as error:
                masked = _masked(error)
                self._requests.labels(principal.view, masked.code).inc()
                await sse.part(send, sse.next_event(_errors(masked, headers.language())))
            await sse.end(send)

    def _admit(self, scope: Scope, headers: _Headers) -> None:
        """Before anything is read: raises RateLimited for an address that asks too much without a token, or with tokens
        that don't hold. A token of ours is not held back by its neighbours' that are none."""
        if headers.get(b"authorization") is None:
            self._throttle.stranger(scope)
        elif self._throttle.any_failed and (wait := self._throttle.suspect(scope, self._vouched_for(headers))):
            raise too_many(wait)

    def _failed(self, scope: Scope, headers: _Headers) -> None:
        """A request was not let in: it counts for its address, and for whom its token names, if it is one of ours."""
        if headers.get(b"authorization") is None:
            return
        try:
            client_id = self._vouched_for(headers)
        except BadUserInput:  # a header that stands twice names nobody
            client_id = ""
        self._throttle.failed(scope, client_id)

    def _vouched_for(self, headers: _Headers) -> str:
        return self._authenticator.vouched_for(headers.only(b"authorization"), headers.only(b"credit-purpose"))

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket."""
        headers = _Headers(scope["headers"])
        wait = 0.0
        if headers.get(b"authorization") is None:
            wait = self._throttle.public_request(scope)
        elif self._throttle.any_failed:
            wait = self._throttle.suspect(scope, self._vouched_for(headers))
        if wait or b"access_token" in scope["query_string"]:
            await websocket.refuse(receive, send, wait)
            return
        proofs = tuple(value.decode("latin-1") for value in headers.all(b"dpop"))
        shown = Shown("GET", self._url, proofs, lambda: self._certificates.thumbprint(scope))
        await self._sockets.serve(scope, receive, send, shown, self._throttle.address(scope), headers.language())

    async def refused(self, error: ClientError, request: Request) -> None:
        """Account for a refusal of somebody who is known, but may not ask so. Raises RateLimited."""
        if isinstance(error.principal, Principal):
            await self.count(error.principal, request)
            await self._engine.account_for_refusal(error.principal, request, error.code)

    def told(self, view: str, error: Exception, scope: Scope) -> Refused | ClientError:
        """What a client is told of an error, counted and logged; the unforeseen is masked."""
        told = error if isinstance(error, Refused | ClientError) else _masked(error)
        self._requests.labels(view, told.code).inc()
        self._log(None, told, told.code, scope)
        if isinstance(told, Unauthenticated):
            self._throttle.failed(scope, "")
        return told

    def answered(self, view: str) -> None:
        """Count an answer."""
        self._answered[view].inc()

    async def count(self, principal: Principal, request: Request) -> None:
        """Take one of a client's requests. Raises RateLimited; a row in the ledger stands for many such refusals."""
        if principal.client_id is None or not (wait := self._throttle.client(principal.client_id)):
            return
        if times := self._refused_clients.add(principal.client_id):
            nothing = Request("", language=request.language)
            await self._engine.account_for_refusal(principal, nothing, RateLimited.code, Done(refusals=times))
        refusal = too_many(wait)
        refusal.principal = principal
        raise refusal

    def _log(self, principal: Principal | None, error: Exception, code: str, scope: Scope) -> None:
        """A refusal that no disclosure tells of: a line of the log."""
        principal = principal or getattr(error, "principal", None)
        if principal is None or not principal.access.disclosed:
            self._refusals.add(code, self._throttle.address(scope))

    async def _principal(self, scope: Scope, headers: _Headers, request: Request) -> Principal:
        authorization, purpose = headers.only(b"authorization"), headers.only(b"credit-purpose")
        principal = self._authenticator.cached(authorization, purpose)
        if principal is None:
            proofs = tuple(value.decode("latin-1") for value in headers.all(b"dpop"))
            shown = Shown(scope["method"], self._url, proofs, lambda: self._certificates.thumbprint(scope))
            try:
                principal = await self._authenticator.authenticate(authorization, purpose, shown)
            except ClientError as error:
                await self.refused(error, request)
                raise
        await self.count(principal, request)
        return principal

    async def _asked(self, headers: _Headers, principal: Principal, request: Request) -> tuple[Principal, Request]:
        """With what the request's other headers say. Raises BadUserInput, disclosed for whom it is known."""
        if not headers.any_of(_ASKING):
            return principal, request
        try:
            hops, key, deadline, cost = (headers.only(name) for name in _ASKING)
            if hops is not None:
                principal = replace(principal, hops=asked.hops(hops))
            return principal, replace(
                request,
                idempotency_key=None if key is None else asked.idempotency_key(key),
                deadline=None if deadline is None else asked.deadline(deadline),
                tells_cost=cost is not None and asked.requested("Credit-Cost", cost),
            )
        except BadUserInput as error:
            await self._engine.account_for_refusal(principal, request, error.code)
            raise

    async def _raw(self, scope: Scope, headers: _Headers, receive: Receive) -> bytes | str:
        """What holds the request's parameters (GraphQL over HTTP), as it came: the body of a POST, the query of a GET.
        Raises NotHttp, BadUserInput."""
        if scope["method"] == "GET":
            query: bytes = scope["query_string"]
            return query.decode("latin-1")
        if b"access_token" in scope["query_string"]:
            raise token_elsewhere()
        if scope["method"] != "POST":
            raise NotHttp(
                405,
                "only POST is taken, and GET in the public view; use one of them",
                "只支持 POST，公开视图也支持 GET，请改用",
                ((b"allow", b"GET, POST"),),
            )
        _check_content(headers)
        return await self._body(headers, receive)

    def _too_long(self) -> NotHttp:
        return NotHttp(
            413,
            f"the body may have at most {self._max_body} bytes; ask in several requests",
            f"正文最多 {self._max_body} 字节，请分多次查询",
        )

    async def _body(self, headers: _Headers, receive: Receive) -> bytes:
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > self._max_body):
            raise self._too_long()
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._max_body:
                raise self._too_long()
            return body
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise NotHttp(400, "the client left", "客户端已断开")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_body:
                raise self._too_long()
        return b"".join(chunks)


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

    def known(self) -> tuple[tuple[bytes, bytes], ...]:
        """All of them, as a key."""
        return tuple(self._raw)

    def of_nobody(self) -> bool:
        """Whether no header says who asks or asks for more: the answer then depends on the parameters alone."""
        return not any(key in _WHO_OR_MORE or key.startswith(b"credit-") for key, _ in self._raw)

    def any_of(self, names: tuple[bytes, ...]) -> bool:
        return any(key in names for key, _ in self._raw)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self._raw if key == name]

    def only(self, name: bytes) -> str | None:
        """The header's one value. Raises BadUserInput where it stands twice."""
        values = self.all(name)
        if len(values) > 1:
            text = name.decode()
            raise BadUserInput(f"{text} is given twice; send one", f"请求头 {text} 重复，请只发送一个")
        return values[0].decode("latin-1") if values else None

    def language(self) -> str:
        """zh or en, whichever Accept-Language names first."""
        return language_of((self.get(b"accept-language") or b"").decode("latin-1"))

    def wants_html(self) -> bool:
        accept = self.get(b"accept") or b""
        return b"text/html" in accept and b"json" not in accept

    def response_type(self) -> bytes:
        """The media type of the response. Raises NotHttp 406 where none of ours is accepted."""
        accept = self.get(b"accept")
        if accept is None:
            return JSON
        for part in accept.split(b","):
            kind, _, rest = part.partition(b";")
            kind = kind.strip().lower()
            if rest and _UNWANTED.search(rest):
                continue
            if kind in (GRAPHQL, EVENTS):
                return kind
            if kind in (JSON, b"application/*", b"*/*"):
                return JSON
        raise NotHttp(
            406,
            "answers are JSON; accept application/graphql-response+json or application/json, or for events"
            " text/event-stream",
            "答复为 JSON，请在 Accept 中接受 application/graphql-response+json 或 application/json；订阅请接受"
            " text/event-stream",
        )


def _cache(principal: Principal) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"cache-control", b"no-store" if principal.access.disclosed else b"no-cache"),)


async def _give(
    send: Send, headers: _Headers, media: bytes, body: bytes, tags: dict[bytes, bytes] | None = None
) -> None:
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
        await _send(send, 200, media, body, kept, vary=_VARY)


def _errors(error: Refused | ClientError, language: str) -> bytes:
    errors = error.errors if isinstance(error, Refused) else (error,)
    return json.dumps({"errors": [e.as_json(language) for e in errors]}, ensure_ascii=False).encode("utf-8", "replace")


async def _refuse(send: Send, error: Refused | ClientError, media: bytes, language: str) -> None:
    errors = error.errors if isinstance(error, Refused) else (error,)
    status = errors[0].status
    if media == EVENTS:
        if status == 400 and isinstance(errors[0], _DOCUMENT_ERRORS):
            await sse.whole(send, _errors(error, language))  # as its protocol wants it
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
    await _send(send, status, media, _errors(error, language), more)


def _masked(error: Exception) -> Internal:
    incident = secrets.token_hex(8)
    logger.error("incident %s", incident, exc_info=error)
    return Internal(
        f"something went wrong here; nothing was disclosed. Quote {incident} to the operator",
        f"系统内部错误，未披露任何信息，请将编号 {incident} 告知运维人员",
    )


def _check_content(headers: _Headers) -> None:
    """That the body is JSON as it is read here. Raises NotHttp 415, BadUserInput."""
    content = (headers.only(b"content-type") or "").encode("latin-1")
    kind, _, rest = content.partition(b";")
    if kind.strip().lower() != b"application/json":
        raise NotHttp(
            415,
            "the body must be JSON; send it with Content-Type: application/json",
            "正文必须是 JSON，请使用 Content-Type: application/json",
        )
    charset = _CHARSET.search(rest)
    if charset is not None and charset[1].lower() != b"utf-8":
        raise NotHttp(415, "the body must be UTF-8; encode it so", "正文必须使用 UTF-8 编码")
    if headers.get(b"content-encoding") not in (None, b"identity"):
        raise NotHttp(415, "compressed bodies are not taken; send it uncompressed", "不接受压缩的正文，请不压缩发送")


def _request(raw: bytes | str, language: str) -> Request:
    """The request's parameters. Raises NotHttp, BadUserInput."""
    return from_query(raw.encode("latin-1"), language) if isinstance(raw, str) else from_body(raw, language)


async def _send_again(send: Send, media: bytes, entry: Entry) -> None:
    headers = entry.headers.get(media)
    if headers is None:
        headers = entry.headers[media] = _headers(media, entry.body, ((b"cache-control", b"no-cache"),))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": entry.body})


async def _send(
    send: Send,
    status: int,
    media: bytes,
    body: bytes,
    more: tuple[tuple[bytes, bytes], ...] = (),
    *,
    vary: bytes = _VARY_WITH_ERRORS,
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _headers(media, body, more, vary)})
    await send({"type": "http.response.body", "body": body})


def _headers(
    media: bytes, body: bytes, more: tuple[tuple[bytes, bytes], ...], vary: bytes = _VARY_WITH_ERRORS
) -> list[tuple[bytes, bytes]]:
    if media in (JSON, GRAPHQL):
        media += b"; charset=utf-8"
    return [
        (b"content-type", media),
        (b"content-length", str(len(body)).encode()),
        (b"vary", vary),
        *more,
    ]
