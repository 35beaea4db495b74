"""What a case of bad input is, and how it is sent."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

GRAPHQL = "application/graphql-response+json"
JSON_BODY = ("content-type", "application/json")

# Codes of DESIGN §8, by the names that the lists of cases use.
PARSE = "GRAPHQL_PARSE_FAILED"
VALID = "GRAPHQL_VALIDATION_FAILED"
INPUT = "BAD_USER_INPUT"
COSTLY = "QUERY_TOO_COSTLY"
NOT_FOUND = "PERSISTED_DOCUMENT_NOT_FOUND"
FORBIDDEN = "FORBIDDEN"
WHO = "UNAUTHENTICATED"
PURPOSE = "PURPOSE_REQUIRED"
MATTER = "MATTER_NOT_GRANTED"


@dataclass(frozen=True, slots=True)
class Known:
    """What a case may need to know of the gateway. Tokens: restricted, internal, plain, and those of header_cases."""

    tokens: Mapping[str, str]
    uscc: str  # of an organisation on record
    usccs: tuple[str, ...]  # 1,001 valid ones, on record or not
    record_id: str
    cursor: str  # of a list of records, newest decision first
    organ: str = ""  # the organisation of the clients


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. Headers may repeat; Accept and Accept-Language are added where they are missing."""

    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    path: str = "/graphql"


Make = Callable[[Known], Sent]


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of bad input. `name` is its key in answers.json, `en` and `zh` describe it in docs/errors.md."""

    name: str
    en: str
    zh: str
    make: Make
    code: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes

    @property
    def errors(self) -> list[tuple[str, str]]:
        """(code, message) of each error, of GraphQL or of OAuth."""
        if not self.body:
            return []
        found = json.loads(self.body)
        if "errors" in found:
            assert "data" not in found, found
            return [(error["extensions"]["code"], error["message"]) for error in found["errors"]]
        return [(found["error"], found["error_description"])]


async def send(session: aiohttp.ClientSession, base: str, sent: Sent, language: str) -> Answer:
    """The answer to a case, in a language."""
    headers = list(sent.headers)
    for name, value in (("accept", GRAPHQL), ("accept-language", language)):
        if not any(given.lower() == name for given, _ in headers):
            headers.append((name, value))
    async with session.request(
        sent.method,
        f"{base}{sent.path}",
        data=io.BytesIO(sent.body) if sent.body else sent.body,  # bytes of this size make aiohttp warn
        headers=headers,
        skip_auto_headers=("Accept", "Content-Type"),
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=20),
    ) as reply:
        return Answer(reply.status, reply.headers.get("content-type", ""), await reply.read())


# Ways to make a request ----------------------------------------------------------------------------------------------


def raw(body: bytes, content_type: str = "application/json", **headers: str) -> Make:
    """A body as it is."""
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return lambda _: Sent(body, (("content-type", content_type), *more))


def members(**found: Any) -> Make:
    """A JSON object with these members."""
    return raw(json.dumps(found).encode())


def ask(query: str, view: str = "", more: tuple[tuple[str, str], ...] = (), **variables: Any) -> Make:
    """A question. In texts @USCC, @RECORD and @CURSOR stand for what is known; `view` names a token."""

    def make(known: Known) -> Sent:
        body = json.dumps({"query": query, "variables": variables} if variables else {"query": query})
        for name, value in (("@USCC", known.uscc), ("@RECORD", known.record_id), ("@CURSOR", known.cursor)):
            body = body.replace(name, value)
        token = (("authorization", f"Bearer {known.tokens[view]}"),) if view else ()
        return Sent(body.encode(), (JSON_BODY, *token, *more))

    return make


def http(method: str, path: str, *headers: tuple[str, str], view: str = "", body: bytes | None = None) -> Make:
    """A request by its method and path."""

    def make(known: Known) -> Sent:
        token = (("authorization", f"Bearer {known.tokens[view]}"),) if view else ()
        return Sent(body, (*headers, *token), method, path)

    return make
