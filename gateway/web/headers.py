"""The headers of a question: who asks, in which language, for what media type, and what the body is.

In: raw headers as ASGI has them. Out: what they say; NotHttp, BadUserInput where it can't be taken.
"""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from gateway.errors import BadUserInput
from gateway.web.reading import NotHttp
from gateway.web.refusals import language_of
from gateway.web.sse import EVENTS

GRAPHQL = b"application/graphql-response+json"
JSON = b"application/json"
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_UNWANTED = re.compile(rb"(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)
_WHO_OR_MORE = frozenset((b"authorization", b"dpop", b"idempotency-key"))  # and what begins with credit-
_EACH_TIME = frozenset((b"dpop", b"idempotency-key"))  # another value with each request
_PURPOSE = b"credit-purpose"


class Usual(NamedTuple):
    """What the headers of a question say that are in order and ask for nothing special."""

    media: bytes  # of the answer
    language: str
    nobody: bool  # nothing says who asks
    authorization: str | None
    purpose: str | None


class Headers:
    """The raw headers of a request; lower case by ASGI."""

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
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
        """Whether one of these headers is there."""
        return any(key in names for key, _ in self._raw)

    def announces_at_most(self, most_bytes: int) -> bool:
        """Whether the body's length, if it is given, is one and within the bound."""
        length = self.get(b"content-length")
        return length is None or (length.isdigit() and int(length) <= most_bytes)

    def usual(self, most_bytes: int) -> Usual | None:
        """What they say, where they are those of a POST of `most_bytes` at most that is neither refused for them nor
        answered otherwise than most: no stream, no proof or key of its own, nothing about the answer."""
        if any(key in _EACH_TIME or (key.startswith(b"credit-") and key != _PURPOSE) for key, _ in self._raw):
            return None
        try:
            media = self.response_type()
            check_content(self)
            authorization, purpose = self.only(b"authorization"), self.only(_PURPOSE)
        except (NotHttp, BadUserInput):
            return None
        if media == EVENTS or not self.announces_at_most(most_bytes):
            return None
        authorization = authorization and sys.intern(authorization)  # one text for all that differ in their length
        return Usual(media, self.language(), self.of_nobody(), authorization, purpose)

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a header."""
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
        """Whether a browser asks for a page."""
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


def check_content(headers: Headers) -> None:
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
