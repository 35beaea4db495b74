"""GraphQL over WebSocket: the subprotocol graphql-transport-ws, as its protocol document says; legacy graphql-ws is not
spoken.

In: a WebSocket at /graphql, as ASGI has it. Out: messages. Who asks is told once, by connection_init or the handshake's
own headers, and looked up again before each operation and event, and twice a second: the socket ends with the token.
What a client sends is read one message at a time, and what it does not take keeps the next event from being looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from gateway.auth.authenticate import Authenticator
from gateway.auth.possession import Shown
from gateway.auth.principal import Principal
from gateway.engine.execute import Engine, Request
from gateway.engine.subscribe import CHECK, Who
from gateway.errors import ClientError, RateLimited, Refused, StorageUnavailable, Unauthenticated
from gateway.web.reading import NotHttp, json_object, parameters
from gateway.web.sse import Receive, Scope, Send
from gateway.web.streams import Stopping, Streams
from gateway.web.upgrade import KNOWN

SUBPROTOCOL: Final = "graphql-transport-ws"
INIT: Final = 3.0  # s until connection_init
MOST_OPERATIONS: Final = 100  # of one socket at once
_LONGEST_ID: Final = 100
_LONGEST_REASON: Final = 120  # bytes; a close frame has room for 123
_TYPES: Final = frozenset(("connection_init", "ping", "pong", "subscribe", "complete"))


class Closed(Exception):
    """The socket is to be closed: code, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Asked(Protocol):
    """What the endpoint of /graphql does for both ways in (graphql.GraphQLEndpoint)."""

    async def count(self, principal: Principal, request: Request) -> None:
        """Take one of a client's requests. Raises RateLimited."""
        ...

    def stranger(self, scope: Scope) -> None:
        """Take one of the requests that an address has without a token. Raises RateLimited."""
        ...

    def more(self, scope: Scope, principal: Principal, requests: int) -> None:
        """Take so many requests more of who asks. Raises RateLimited."""
        ...

    async def refused(self, error: ClientError, request: Request) -> None:
        """Account for a refusal of somebody who is known."""
        ...

    def told(self, view: str, error: Exception, scope: Scope) -> Refused | ClientError:
        """What a client is told of an error, counted and logged."""
        ...

    def answered(self, view: str) -> None:
        """Count an answer."""
        ...


class Sockets:
    """All sockets of a process. `url` is the endpoint's own, which proofs of possession name."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        streams: Streams,
        endpoint: Asked,
        *,
        url: str,
    ) -> None:
        self.engine = engine
        self.authenticator = authenticator
        self.streams = streams
        self.endpoint = endpoint
        self.url = url

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, shown: Shown, address: str, language: str
    ) -> None:
        """One socket, from its handshake to its end."""
        await receive()  # websocket.connect
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await _close(send, Closed(4406, f"Subprotocol not acceptable; offer {SUBPROTOCOL}"))
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        await _Socket(self, scope, receive, send, shown, address, language).run()


class _Socket:
    def __init__(
        self, sockets: Sockets, scope: Scope, receive: Receive, send: Send, shown: Shown, address: str, language: str
    ) -> None:
        self._all = sockets
        self._scope = scope
        self._receive = receive
        self._send = send
        self._shown = shown
        self._address = address
        self._language = language
        self._asked = False  # connection_init has come
        self._who: Who | None = None  # who asks; None until that is acknowledged
        self._view = ""
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the client leaves, or something closes the socket."""
        tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._watch())]
        closed: Closed | None = None
        try:
            await asyncio.wait((self._end, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for ended in (self._end, *tasks):
                if ended.done() and not ended.cancelled() and (error := ended.exception()) is not None:
                    closed = error if isinstance(error, Closed) else self._closed_by(error)
                    break
        finally:
            every = [*tasks, *self._operations.values()]
            for task in every:
                task.cancel()
            self._end.cancel()
            await asyncio.gather(*every, return_exceptions=True)
        if closed is not None:
            with contextlib.suppress(Exception):  # it may have left meanwhile
                await _close(self._send, closed)

    def _closed_by(self, error: BaseException) -> Closed:
        if isinstance(error, Stopping):
            return Closed(1012, "the server restarts; connect again")
        if not isinstance(error, Exception):
            raise error
        told = self._all.endpoint.told(self._view, error, self._scope)
        first = told.errors[0] if isinstance(told, Refused) else told
        if first.status == 503:
            return Closed(1013, first.en)
        if first.status >= 500:
            return Closed(4500, first.en)
        return Closed(4403, f"Forbidden: {first.en}")

    # What comes ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + INIT
        while True:
            left = None if self._asked else until - loop.time()
            try:
                async with asyncio.timeout(left):
                    message = await self._receive()
            except TimeoutError:
                raise Closed(4408, "Connection initialisation timeout") from None
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                raise Closed(4400, "Invalid message: send text")
            await self._message(_read_message(text))

    async def _message(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                if self._asked:
                    raise Closed(4429, "Too many initialisation requests")
                self._asked = True
                await self._begin(message.get("payload") or {})
            case "ping":
                await self._say('{"type":"pong"}')
            case "pong":
                pass
            case "subscribe":
                if self._who is None:
                    raise Closed(4401, "Unauthorized")
                self._subscribe(message)
            case _:
                task = self._operations.pop(_id_of(message), None)
                if task is not None:
                    task.cancel()

    async def _begin(self, payload: Mapping[str, Any]) -> None:
        """Who asks, by connection_init or the handshake: in one of the two places."""
        given = {
            name.lower(): value
            for name, value in payload.items()
            if name.lower() in ("authorization", "credit-purpose")
        }
        if len(given) < sum(name.lower() in given for name in payload):
            raise Closed(4400, "Invalid message: a header stands twice in payload")
        headers = {
            "authorization": self._shown_header(b"authorization"),
            "credit-purpose": self._shown_header(b"credit-purpose"),
        }
        for name, value in given.items():
            if not isinstance(value, str):
                raise Closed(4400, f"Invalid message: {name} in payload must be a text")
            if headers[name] is not None:
                raise Closed(4400, f"Invalid message: {name} stands in payload and in the handshake; send it once")
            headers[name] = value
        authorization, purpose = headers["authorization"], headers["credit-purpose"]
        try:
            principal = await self._all.authenticator.authenticate(authorization, purpose, self._shown)
        except ClientError as error:
            await self._all.endpoint.refused(error, Request("", language=self._language))
            raise
        if principal.client_id is not None and (known := self._scope.get(KNOWN)) is not None:
            known()
        self._view = principal.view
        self._who = self._all.streams.who(self._all.authenticator, authorization, purpose)
        await self._say('{"type":"connection_ack"}')

    def _shown_header(self, name: bytes) -> str | None:
        values = [value for key, value in self._scope["headers"] if key == name]
        if len(values) > 1:
            raise Closed(4400, f"Invalid message: {name.decode()} stands twice in the handshake")
        return values[0].decode("latin-1") if values else None

    def _subscribe(self, message: Mapping[str, Any]) -> None:
        id_ = _id_of(message)
        if id_ in self._operations:
            raise Closed(4409, f"Subscriber for {id_} already exists")
        try:
            request = replace(parameters(message["payload"], self._language), posted=False)
        except NotHttp as error:
            raise Closed(4400, f"Invalid message: {error.en}") from None
        if len(self._operations) >= MOST_OPERATIONS:
            raise Closed(4400, f"Invalid message: at most {MOST_OPERATIONS} operations at once")
        self._operations[id_] = asyncio.ensure_future(self._operate(id_, request))

    # What goes -------------------------------------------------------------------------------------------------------

    async def _operate(self, id_: str, request: Request) -> None:
        """One operation, to its end; what ends the socket is told to `run`."""
        name = json.dumps(id_, ensure_ascii=False)
        try:
            assert self._who is not None
            principal = await self._who()
            try:
                if principal.client_id is None:
                    self._all.endpoint.stranger(self._scope)  # a socket is one request, and what is asked by it others
                await self._all.endpoint.count(principal, request)
                await self._answers(name, principal, request)
                await self._say(f'{{"id":{name},"type":"complete"}}')
            except (Stopping, Unauthenticated):
                raise
            except Exception as error:
                told = self._all.endpoint.told(self._view, error, self._scope)
                errors = told.errors if isinstance(told, Refused) else [told]
                payload = json.dumps([e.as_json(self._language) for e in errors], ensure_ascii=False)
                await self._say(f'{{"id":{name},"type":"error","payload":{payload}}}')
        except Exception as error:
            if not self._end.done():
                self._end.set_exception(error)
        finally:
            if self._operations.get(id_) is asyncio.current_task():
                del self._operations[id_]

    async def _answers(self, name: str, principal: Principal, request: Request) -> None:
        subscription = await self._all.engine.subscribe(principal, request)
        if subscription is None:
            more = partial(self._all.endpoint.more, self._scope)
            answer = self._all.engine.answer(principal, request, None, more, lambda: self._address)
            await self._next(name, await answer)
            self._all.endpoint.answered(self._view)
            return
        assert self._who is not None
        with self._all.streams.seats.seat(principal, self._address):
            async with aclosing(subscription.events(self._who)) as events:
                async for body in events:
                    await self._next(name, body)

    async def _next(self, name: str, body: bytes) -> None:
        await self._say(f'{{"id":{name},"type":"next","payload":{body.decode()}}}')

    async def _say(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def _watch(self) -> None:
        """The socket ends with the token, whether anything is asked or not."""
        while True:
            await asyncio.sleep(CHECK)
            if self._who is not None:
                with contextlib.suppress(StorageUnavailable):
                    await self._who()


def _read_message(text: str) -> Mapping[str, Any]:
    """A message, read as strictly as a body. Raises Closed."""
    try:
        found = json_object(text.encode("utf-8", "surrogatepass"), "the message", "消息")
    except NotHttp as error:
        raise Closed(4400, f"Invalid message: {error.en}") from None
    kind = found.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Closed(4400, "Invalid message: type is none of this protocol's")
    payload = found.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise Closed(4400, "Invalid message: payload must be an object")
    if kind == "subscribe" and payload is None:
        raise Closed(4400, "Invalid message: subscribe needs a payload")
    return found


def _id_of(message: Mapping[str, Any]) -> str:
    found = message.get("id")
    if not isinstance(found, str) or not 1 <= len(found) <= _LONGEST_ID or not found.isprintable():
        raise Closed(4400, f"Invalid message: id must be a text of 1 to {_LONGEST_ID} characters")
    return found


async def _close(send: Send, closed: Closed) -> None:
    reason = closed.reason.encode()[:_LONGEST_REASON].decode("utf-8", "ignore")
    await send({"type": "websocket.close", "code": closed.code, "reason": reason})


async def refuse(receive: Receive, send: Send, error: RateLimited | NotHttp) -> None:
    """Refuse a handshake."""
    await receive()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error.en.encode() + b"\n"})
