"""Another region's gateway (UPSTREAMS §4): what it has on record about subjects, GraphQL by persisted documents alone.

In: subjects, asked up to 50 a call, and the purpose, which a token of its own carries. Out: for each USCC one row with
all its records, read to the last page, or a typed Failure; never a part of the records, never another's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Final

from connectors.base import Answer, Connector, Failure, FailureKind, Outcome, Purpose, SubjectRef
from connectors.http import (
    DEFAULT_MAX_BODY_BYTES,
    Allowance,
    HttpClient,
    HttpLimits,
    Reply,
    UpstreamError,
    fail,
    json_bytes,
    read_object,
    retry_after,
    status_failure,
    utc_now,
)
from connectors.oauth import PrivateKeyJwt, Token, Tokens, read_signing_key
from connectors.peer_rows import PAGE_ROWS, Records, Subject, read_page, read_subject
from connectors.values import items, member, string

MAX_SUBJECTS: Final = 50  # a call


def _document(name: str) -> str:
    """The hash under which peers keep a document: hex SHA-256 of the file's bytes."""
    return hashlib.sha256((files("connectors") / "documents" / name).read_bytes()).hexdigest()


SUBJECTS_DOCUMENT: Final = _document("peer.graphql")
PAGE_DOCUMENT: Final = _document("peer-page.graphql")

_EXPECTED: Final = frozenset({200, 400, 401, 403})  # the other statuses say enough without their bodies
_CODES: Final = {
    "UNAUTHENTICATED": FailureKind.CREDENTIALS,
    "FORBIDDEN": FailureKind.FORBIDDEN,
    "PURPOSE_REQUIRED": FailureKind.FORBIDDEN,
    "MATTER_NOT_GRANTED": FailureKind.FORBIDDEN,
    "RATE_LIMITED": FailureKind.THROTTLED,
    "STORAGE_UNAVAILABLE": FailureKind.SERVER_ERROR,
    "LEDGER_UNAVAILABLE": FailureKind.SERVER_ERROR,
    "INTERNAL": FailureKind.SERVER_ERROR,
    "PERSISTED_DOCUMENT_NOT_FOUND": FailureKind.REJECTED,
    "BAD_USER_INPUT": FailureKind.REJECTED,
    "QUERY_TOO_COSTLY": FailureKind.REJECTED,
    "GRAPHQL_PARSE_FAILED": FailureKind.REJECTED,
    "GRAPHQL_VALIDATION_FAILED": FailureKind.REJECTED,
}
_HEADERS: Final = {
    "Content-Type": "application/json; charset=utf-8",
    "Accept": "application/graphql-response+json",
    "Credit-Hops": "1",
}


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Settings of the connector for one peer. Times in s; `code` is the source's, such as PEER_659000.

    `key` is the client's private key, PEM (PKCS #8) or a JWK as JSON, EC on P-256 or Ed25519; `kid` names it where it
    doesn't itself. `budget` bounds a whole ask, `max_pages` of 100 records one subject; what is read for one call of 50
    subjects, further pages included, stays within twice `max_body_bytes`. Raises ValueError for a key that can't be
    used.
    """

    code: str
    base_url: str
    issuer: str
    client_id: str
    key: str = field(repr=False)
    kid: str | None = None
    connect_timeout: float = 1.0
    budget: float = 4.0
    concurrency: int = 8
    requests_per_second: float = 20  # 0 = no limit
    max_pages: int = 50
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    clock: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.authentication()

    def authentication(self) -> PrivateKeyJwt:
        """How the client says who it is at the peer's authorization server."""
        return PrivateKeyJwt(self.client_id, self.issuer, read_signing_key(self.key, self.kid))


@dataclass(frozen=True, slots=True)
class _Case:
    """What a token is for."""

    matter: str
    case_number: str
    on_behalf_of: str

    def parameters(self) -> dict[str, str]:
        """The form of a request for its token: the restricted view, and the purpose by RFC 9396."""
        purpose = {
            "type": "credit_purpose",
            "matter": self.matter,
            "case_number": self.case_number,
            "max_subjects": MAX_SUBJECTS,
            "on_behalf_of": self.on_behalf_of,
        }
        details = json_bytes([purpose]).decode()
        return {"scope": "view:restricted", "authorization_details": details}


class _Batch:
    """One call's subjects and what belongs to it: purpose, deadline (loop time, s), and how much may still be read."""

    def __init__(self, case: _Case, deadline: float, max_bytes: int) -> None:
        self.case = case
        self.deadline = deadline
        self.allowance = Allowance(max_bytes)


class PeerConnector(Connector):
    """The connector for one peer. Repeats nothing but a call whose token was refused, once."""

    parts = ("subject",)

    def __init__(self, settings: PeerSettings) -> None:
        self.code = settings.code
        self._settings = settings
        self._url = f"{settings.base_url.rstrip('/')}/graphql"
        limits = HttpLimits(
            settings.connect_timeout, settings.concurrency, settings.requests_per_second, settings.max_body_bytes
        )
        self._http = HttpClient(limits, settings.clock)
        self._tokens = Tokens(
            self._http,
            f"{settings.issuer.rstrip('/')}/oauth/token",
            settings.authentication(),
            clock=settings.clock,
            budget=settings.budget,
            parameters=_Case.parameters,
        )

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """Ask about all subjects, 50 a call; see `Connector.ask`. Without a purpose and the organisation that asks the
        outcome is FORBIDDEN, and nothing is sent.

        Ends by `deadline` (loop time, s) and within the budget. Raises ValueError for an unknown part.
        """
        if part not in self.parts:
            raise ValueError(f"peers have no part {part!r}")
        codes = list(dict.fromkeys(subject.uscc for subject in subjects))
        if purpose is None or not purpose.on_behalf_of:
            return dict.fromkeys(codes, Failure(FailureKind.FORBIDDEN, detail="no purpose was given"))
        case = _Case(purpose.matter, purpose.case_number, purpose.on_behalf_of)
        end = min(deadline, asyncio.get_running_loop().time() + self._settings.budget)
        outcomes: dict[str, Outcome] = {}
        async with asyncio.TaskGroup() as group:
            batches = [codes[first : first + MAX_SUBJECTS] for first in range(0, len(codes), MAX_SUBJECTS)]
            tasks = [group.create_task(self._ask_batch(batch, case, end)) for batch in batches]
        for task in tasks:
            outcomes |= task.result()
        return outcomes

    async def close(self) -> None:
        """Let go of connections and of fetches of tokens under way. Idempotent; a later ask fails as UNREACHABLE."""
        await self._tokens.close()
        await self._http.close()

    async def _ask_batch(self, codes: Sequence[str], case: _Case, deadline: float) -> Mapping[str, Outcome]:
        """Outcomes of one call. What is wrong with the answer fails all of its subjects, what is wrong within one
        subject's part that subject alone."""
        asked_at = self._settings.clock()
        batch = _Batch(case, deadline, 2 * self._settings.max_body_bytes)
        try:
            data = await self._query(SUBJECTS_DOCUMENT, {"usccs": list(codes)}, batch)
            elements = _elements(data, codes)
        except UpstreamError as error:
            return dict.fromkeys(codes, error.failure)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._complete(element, batch, asked_at)) for element in elements]
        return {uscc: task.result() for uscc, task in zip(codes, tasks, strict=True)}

    async def _complete(self, element: Mapping[str, object] | None, batch: _Batch, asked_at: datetime) -> Outcome:
        """One element's row, with all pages of its records. Null means that the peer refuses to tell."""
        if element is None:
            return Failure(FailureKind.FORBIDDEN, detail="the peer refused this subject")
        try:
            subject = read_subject(element)
            await self._follow(subject, batch)
        except UpstreamError as error:
            return error.failure
        return Answer((subject.row(),), asked_at)

    async def _follow(self, subject: Subject, batch: _Batch) -> None:
        """Read the further pages of a subject's records, until they are as many as were announced."""
        records: Records = subject.records
        if records.total > self._settings.max_pages * PAGE_ROWS:
            fail(FailureKind.TOO_LARGE, f"more than {self._settings.max_pages} pages")
        while (after := records.next_cursor) is not None:
            data = await self._query(PAGE_DOCUMENT, {"uscc": subject.uscc, "after": after}, batch)
            element = member(data, "subject")
            if element is None:
                fail(FailureKind.FORBIDDEN, "the peer refused this subject")
            records.add(read_page(read_object(element, "subject")))
        records.check_complete()

    async def _query(self, sha256: str, variables: Mapping[str, object], batch: _Batch) -> Mapping[str, object]:
        """The data of one persisted document. Raises UpstreamError for errors of any kind, even beside data."""
        persisted = {"persistedQuery": {"version": 1, "sha256Hash": sha256}}
        body = json_bytes({"extensions": persisted, "variables": variables})

        async def send(token: Token) -> Mapping[str, object]:
            def headers() -> Mapping[str, str]:
                left = int((batch.deadline - asyncio.get_running_loop().time()) * 1000)
                if left < 1:
                    fail(FailureKind.TIMEOUT, "deadline")
                return {**_HEADERS, **token.headers, "Credit-Deadline-Ms": str(left)}

            reply = await self._http.send(
                "POST", self._url, deadline=batch.deadline, headers=headers, body=body, expect=_EXPECTED
            )
            batch.allowance.take(len(reply.body))
            return _data(reply, self._settings.clock())

        return await self._tokens.call(batch.case, batch.deadline, send)


def _data(reply: Reply, now: datetime) -> Mapping[str, object]:
    """The data of a response (GraphQL over HTTP); what its errors or its status say is raised."""
    wait = retry_after(reply.headers, now)
    try:
        response = read_object(reply.json(), "response")
    except UpstreamError as error:
        raise error if reply.status == 200 else UpstreamError(status_failure(reply.status, wait)) from None
    if response.get("errors") is not None:
        raise UpstreamError(_error(items(response, "errors"), wait))
    if reply.status != 200:
        raise UpstreamError(status_failure(reply.status, wait))
    return read_object(member(response, "data"), "data")


def _error(errors: Sequence[object], wait: float | None) -> Failure:
    """The failure that the first known code of a list of errors means."""
    for error in errors:
        extensions = error.get("extensions") if isinstance(error, dict) else None
        code = extensions.get("code") if isinstance(extensions, dict) else None
        if isinstance(code, str) and code in _CODES:
            return Failure(_CODES[code], wait, f"peer: {code}")
    return Failure(FailureKind.REJECTED, wait, "peer: errors without a code that is known")


def _elements(data: Mapping[str, object], codes: Sequence[str]) -> list[Mapping[str, object] | None]:
    """The elements of `subjects`, each about the subject asked for at its place, or null."""
    found = items(data, "subjects")
    if len(found) != len(codes):
        fail(FailureKind.MALFORMED, "another number of subjects than asked for")
    elements = [None if element is None else read_object(element, "subject") for element in found]
    for uscc, element in zip(codes, elements, strict=True):
        if element is not None and string(element, "uscc") != uscc:
            fail(FailureKind.FOREIGN_ROWS, "another subject than asked for at its place")
    return elements
