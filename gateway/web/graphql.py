"""/graphql: GraphQL over HTTP, as a bare ASGI callable inside the Starlette app (a router and its objects cost more
than the whole of a profile's Python otherwise).

In: an HTTP request. Out: a response of media type application/graphql-response+json, or application/json for clients
that ask for nothing else. Errors leave through `refuse`; the unforeseen is masked, with an id that is in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from prometheus_client import Counter

from gateway.auth.authenticate import Authenticator
from gateway.auth.possession import Shown
from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.dependence import Basis
from gateway.engine.execute import Done, Engine, Request
from gateway.errors import (
    BadUserInput,
    ClientError,
    Internal,
    RateLimited,
    Refused,
    Unauthenticated,
)
from gateway.storage.levels import CONTRACTS
from gateway.web import asked, sse, websocket
from gateway.web.again import LOOKED, RAW, TRIED, Again
from gateway.web.client_cert import ClientCertificates
from gateway.web.graphiql import PAGE_HEADERS
from gateway.web.headers import JSON, Headers, Usual, check_content
from gateway.web.kept import Entry, Kept, Key
from gateway.web.leaving import Leaving, Left
from gateway.web.reading import NotHttp, from_body, from_query, token_elsewhere
from gateway.web.respond import answer_at_once, errors_of, give, masked, refuse, send_again, send_whole
from gateway.web.seats import Seats
from gateway.web.sse import EVENTS
from gateway.web.streams import Stopping, Streams
from gateway.web.throttle import RefusalLog, RefusedClients, Throttle, too_many
from gateway.web.websocket import Sockets

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

_MOST_SEEN = 1_000  # sets of headers that are remembered
_MOST_HEADERS, _MOST_SEEN_BYTES = 24, 2_048  # of each
_ASKING = (b"credit-hops", b"idempotency-key", b"credit-deadline-ms", b"credit-cost", b"credit-receipt")
_ERRORS = b'{"errors"'  # how an answer begins that has some: its words depend on the asker's language


class GraphQLEndpoint:
    """The ASGI callable. `url` is its own public URL (auth.dpop.comparable), which proofs of possession name; `page` is
    the HTML for browsers, None where it was not installed; `kept` the public answers that may be shown again, `again`
    what is told of requests that were answered so."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        requests: Counter,
        throttle: Throttle,
        *,
        url: str,
        certificates: ClientCertificates,
        max_body_bytes: int,
        page: bytes | None = None,
        kept: Kept | None = None,
        again: Again | None = None,
        streams: Streams | None = None,
    ) -> None:
        self._engine = engine
        self._kept = kept
        self._again = again
        self._authenticator = authenticator
        self._url = url
        self._certificates = certificates
        self._throttle = throttle
        self._refusals = RefusalLog()
        self._refused_clients = RefusedClients()
        self._max_body = max_body_bytes
        self._page = page
        self._leaving = Leaving()
        self._seen: dict[tuple[tuple[bytes, bytes], ...], Usual | None] = {}
        self._streams = streams or Streams(Seats(most=1_000, client=50, public=5))
        self._sockets = Sockets(engine, authenticator, self._streams, self, url=url)
        self._requests = requests
        self._answered = {name: self._requests.labels(name, "ANSWERED") for name in CONTRACTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope["headers"])
        media, view = JSON, ""  # unknown until somebody is known to ask
        principal: Principal | None = None
        try:
            method = scope["method"]
            if method == "GET" and self._page is not None and headers.wants_html():
                await send_whole(send, 200, b"text/html; charset=utf-8", self._page, PAGE_HEADERS)
                return
            if usual := self._usual(scope, headers):
                media = usual.media
                kept, tried = (self._kept, scope.get(TRIED)) if usual.nobody else (None, None)
                if not tried:
                    self._admit(scope, headers, usual.authorization)
                raw: bytes | str = await self._body(receive)
            else:
                tried, media = None, headers.response_type()
                self._admit(scope, headers, headers.get(b"authorization"))
                raw = await self._raw(scope, headers, receive)
                kept = self._kept if headers.of_nobody() and media != EVENTS else None
            if kept is not None and tried != LOOKED and (entry := await kept.find(raw)) is not None:
                self._learn(scope, raw, entry, usual, headers)
                self._answered[ANONYMOUS.view].inc()
                if method == "GET":
                    await give(send, headers, media, entry.body, entry.tags)
                else:
                    await send_again(send, media, entry)
                return
            begun = None if kept is None else kept.begin(raw)
            request = _request(raw, usual.language if usual else headers.language())
            who = (usual.authorization, usual.purpose) if usual else _who(headers)
            principal = await self._principal(scope, headers, request, *who)
            view = principal.view
            if not usual:
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
            body = await self._leaving.unless_left(receive, self._answer(scope, principal, request, basis))
            if kept is not None and begun is not None and basis is not None:
                self._learn(scope, raw, kept.put(raw, begun, basis, body), usual, headers)
            self._answered[view].inc()
            if method == "GET" and not body.startswith(_ERRORS):
                await give(send, headers, media, body)
            elif not answer_at_once(scope, media, body, cache := _cache(principal)):
                await send_whole(send, 200, media, body, ((b"cache-control", cache),))
        except Left:
            self._requests.labels(view, "LEFT").inc()
        except NotHttp as error:
            self._requests.labels(view, BadUserInput.code).inc()
            self._log(principal, error, BadUserInput.code, scope)
            if principal is None:
                self._failed(scope, headers)
            found = {"message": error.message(headers.language()), "extensions": {"code": BadUserInput.code}}
            body = json.dumps({"errors": [found]}, ensure_ascii=False).encode("utf-8", "replace")
            await send_whole(send, error.status, JSON if media == EVENTS else media, body, error.headers)
        except (Refused, ClientError) as error:
            self._requests.labels(view, error.code).inc()
            self._log(principal, error, error.code, scope)
            if isinstance(error, Unauthenticated):
                self._failed(scope, headers)
            await refuse(send, error, media, headers.language())
        except Exception as error:
            self._requests.labels(view, Internal.code).inc()
            await refuse(send, masked(error), media, headers.language())

    def _learn(self, scope: Scope, key: Key, entry: Entry | None, usual: Usual | None, headers: Headers) -> None:
        """That the bytes of a usual request lead to an entry, where they came as one."""
        if usual and entry is not None and self._again is not None and (raw := scope.get(RAW)) is not None:
            self._again.learn(raw, key, entry, usual.media, headers)

    def _usual(self, scope: Scope, headers: Headers) -> Usual | None:
        """What the headers of a question say, where they are usual ones: a client's are the same each time, and looking
        through them costs more than many an answer. None: it goes the long way, which may refuse it."""
        if scope["method"] != "POST" or scope["query_string"]:
            return None
        known = headers.known()
        try:
            return self._seen[known]
        except KeyError:
            usual = headers.usual(self._max_body)
        if len(known) <= _MOST_HEADERS and sum([len(name) + len(value) for name, value in known]) <= _MOST_SEEN_BYTES:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen[known] = usual
        return usual

    def _answer(
        self, scope: Scope, principal: Principal, request: Request, basis: Basis | None = None
    ) -> Coroutine[Any, Any, bytes]:
        """The engine's answer to who asks in `scope`."""
        more, address = partial(self.more, scope), partial(self._throttle.address, scope)
        return self._engine.answer(principal, request, basis, more, address)

    async def _stream(self, scope: Scope, headers: Headers, send: Send, principal: Principal, request: Request) -> None:
        """The response as a stream of events. Raises what refuses it before it has begun."""
        subscription = await self._engine.subscribe(principal, request)
        if subscription is None:
            await sse.whole(send, await self._answer(scope, principal, request))
            return
        with self._streams.seats.seat(principal, self._throttle.address(scope)):
            who = self._streams.who(self._authenticator, *_who(headers))
            await sse.begin(send)
            try:
                async with aclosing(subscription.events(who)) as events:
                    await sse.pump(send, events)
            except Stopping:
                pass
            except (Refused, ClientError) as error:
                self._requests.labels(principal.view, error.code).inc()
                self._log(principal, error, error.code, scope)
                await sse.part(send, sse.next_event(errors_of(error, headers.language())))
            except Exception as error:
                told = masked(error)
                self._requests.labels(principal.view, told.code).inc()
                await sse.part(send, sse.next_event(errors_of(told, headers.language())))
            await sse.end(send)

    def _admit(self, scope: Scope, headers: Headers, authorization: bytes | str | None) -> None:
        """Before anything is read: raises RateLimited for an address that asks too much without a token, or with tokens
        that don't hold. A token of ours is not held back by its neighbours' that are none."""
        if authorization is None:
            self._throttle.stranger(scope)
        elif self._throttle.any_failed and (wait := self._throttle.suspect(scope, self._vouched_for(headers))):
            raise too_many(wait)

    def _failed(self, scope: Scope, headers: Headers) -> None:
        """A request was not let in: it counts for its address, and for whom its token names, if it is one of ours."""
        if headers.get(b"authorization") is None:
            return
        try:
            client_id = self._vouched_for(headers)
        except BadUserInput:  # a header that stands twice names nobody
            client_id = ""
        self._throttle.failed(scope, client_id)

    def _vouched_for(self, headers: Headers) -> str:
        return self._authenticator.vouched_for(*_who(headers))

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket."""
        headers = Headers(scope["headers"])
        try:
            self._admit(scope, headers, headers.get(b"authorization"))
            if b"access_token" in scope["query_string"]:
                raise token_elsewhere()
        except (RateLimited, NotHttp) as error:
            await websocket.refuse(receive, send, error)
            return
        proofs = tuple(value.decode("latin-1") for value in headers.all(b"dpop"))
        shown = Shown("GET", self._url, proofs, lambda: self._certificates.thumbprint(scope))
        await self._sockets.serve(scope, receive, send, shown, self._throttle.address(scope), headers.language())

    def stranger(self, scope: Scope) -> None:
        """Take one of the requests that an address has without a token. Raises RateLimited."""
        self._throttle.stranger(scope)

    def more(self, scope: Scope, principal: Principal, requests: int) -> None:
        """Take so many requests more of who asks, for one that counts as several. Raises RateLimited."""
        if wait := self._throttle.more(scope, principal.client_id, requests):
            raise too_many(wait)

    async def refused(self, error: ClientError, request: Request) -> None:
        """Account for a refusal of somebody who is known, but may not ask so. Raises RateLimited."""
        if isinstance(error.principal, Principal):
            await self.count(error.principal, request)
            await self._engine.account_for_refusal(error.principal, request, error.code)

    def told(self, view: str, error: Exception, scope: Scope) -> Refused | ClientError:
        """What a client is told of an error, counted and logged; the unforeseen is masked."""
        told = error if isinstance(error, Refused | ClientError) else masked(error)
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

    async def _principal(
        self, scope: Scope, headers: Headers, request: Request, authorization: str | None, purpose: str | None
    ) -> Principal:
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

    async def _asked(self, headers: Headers, principal: Principal, request: Request) -> tuple[Principal, Request]:
        """With what the request's other headers say. Raises BadUserInput, disclosed for whom it is known."""
        if not headers.any_of(_ASKING):
            return principal, request
        try:
            hops, key, deadline, cost, receipt = (headers.only(name) for name in _ASKING)
            if hops is not None:
                principal = replace(principal, hops=asked.hops(hops))
            return principal, replace(
                request,
                idempotency_key=None if key is None else asked.idempotency_key(key),
                deadline=None if deadline is None else asked.deadline(deadline),
                tells_cost=cost is not None and asked.requested("Credit-Cost", cost),
                wants_receipt=receipt is not None and asked.requested("Credit-Receipt", receipt),
            )
        except BadUserInput as error:
            await self._engine.account_for_refusal(principal, request, error.code)
            raise

    async def _raw(self, scope: Scope, headers: Headers, receive: Receive) -> bytes | str:
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
        check_content(headers)
        if not headers.announces_at_most(self._max_body):
            raise self._too_long()
        return await self._body(receive)

    def _too_long(self) -> NotHttp:
        return NotHttp(
            413,
            f"the body may have at most {self._max_body} bytes; ask in several requests",
            f"正文最多 {self._max_body} 字节，请分多次查询",
        )

    async def _body(self, receive: Receive) -> bytes:
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


def _request(raw: bytes | str, language: str) -> Request:
    """The request's parameters. Raises NotHttp, BadUserInput."""
    return from_query(raw.encode("latin-1"), language) if isinstance(raw, str) else from_body(raw, language)


def _who(headers: Headers) -> tuple[str | None, str | None]:
    """Authorization and Credit-Purpose. Raises BadUserInput where one stands twice."""
    return headers.only(b"authorization"), headers.only(b"credit-purpose")


def _cache(principal: Principal) -> bytes:
    """Cache-Control of who is answered."""
    return b"no-store" if principal.access.disclosed else b"no-cache"
