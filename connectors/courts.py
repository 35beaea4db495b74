"""The courts (UPSTREAMS §1): dishonest debtors, enforcement cases, consumption orders, judgments against organs.

In: subjects, asked one call each with the signed headers of the national exchange platform. Out: for each USCC all its
rows, normalised and read to the last page, or a typed Failure; never a part of the rows, never another subject's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final

from connectors.base import Answer, Connector, FailureKind, Outcome, Purpose, Row, SubjectRef
from connectors.http import (
    Allowance,
    HttpClient,
    HttpLimits,
    UnreadableDateError,
    UpstreamError,
    fail,
    json_bytes,
    read_date,
    read_int,
    read_object,
    read_required,
    read_text,
    utc_now,
)
from connectors.shared import Shared, unix_ms
from connectors.signing import ExchangeSigner, check_app_key, decrypt_secret

Value = str | list[str] | None

MAX_BODY_BYTES: Final = 2 * 1024 * 1024  # ten rows, whose longest texts are cut at 20,000 characters

_PAGE_ROWS: Final = 10
_CASE_NUMBER_CAP: Final = 200  # characters; real ones stay under 60, and a natural key must fit in a B-tree entry
_AMOUNT_CAP: Final = Decimal(10) ** 15  # yuan

_EXPIRED: Final = 40101
_CODES: Final = {
    _EXPIRED: FailureKind.CREDENTIALS,
    40102: FailureKind.CREDENTIALS,  # signature
    40103: FailureKind.CREDENTIALS,  # clock
    40001: FailureKind.REJECTED,  # body
    40301: FailureKind.FORBIDDEN,
}

_DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_BRACKETS: Final = str.maketrans("()", "（）")


@dataclass(frozen=True, slots=True)
class CourtsSettings:
    """Settings of the courts connector. Times in s; `service_ids` holds a sid for each part and one for `refresh`.

    `budget` bounds a whole ask; `clock` gives the aware present time. Raises ValueError where a part is missing or the
    app key is too short.
    """

    base_url: str
    requester_id: str
    app_key: str = field(repr=False)
    service_ids: Mapping[str, str]
    connect_timeout: float = 1.0
    budget: float = 4.0
    concurrency: int = 8
    requests_per_second: float = 20  # 0 = no limit
    max_pages: int = 50
    max_body_bytes: int = MAX_BODY_BYTES
    clock: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_app_key(self.app_key)
        missing = {"refresh", *_SHAPES} - set(self.service_ids)
        if missing:
            raise ValueError(f"no service id for {', '.join(sorted(missing))}")
        object.__setattr__(self, "service_ids", MappingProxyType(dict(self.service_ids)))


class CourtsConnector(Connector):
    """The connector for the courts. Repeats nothing but a call whose secret had expired, once."""

    code = "COURTS"
    parts = ("dishonest", "enforcement", "consumption", "judgments")

    def __init__(self, settings: CourtsSettings) -> None:
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        limits = HttpLimits(
            settings.connect_timeout, settings.concurrency, settings.requests_per_second, settings.max_body_bytes
        )
        self._http = HttpClient(limits, settings.clock)
        self._secrets = Shared(self._fetch_secret, settings.clock, settings.budget, "secret")

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """Ask one service about each subject; see `Connector.ask`. `purpose` isn't sent: the courts don't take one.

        Ends by `deadline` (loop time, s) and within the budget. Raises ValueError for an unknown part.
        """
        if part not in self.parts:
            raise ValueError(f"courts have no part {part!r}")
        by_uscc = {subject.uscc: subject for subject in subjects}
        end = min(deadline, asyncio.get_running_loop().time() + self._settings.budget)
        if len(by_uscc) == 1:  # as the gateway asks: without a task more for each call
            ((uscc, subject),) = by_uscc.items()
            return {uscc: await self._ask_one(part, subject, end)}
        async with asyncio.TaskGroup() as group:
            tasks = {uscc: group.create_task(self._ask_one(part, subject, end)) for uscc, subject in by_uscc.items()}
        return {uscc: task.result() for uscc, task in tasks.items()}

    async def close(self) -> None:
        """Let go of connections and of a refresh under way. Idempotent; a later ask fails as UNREACHABLE."""
        await self._secrets.close()
        await self._http.close()

    async def _ask_one(self, part: str, subject: SubjectRef, deadline: float) -> Outcome:
        asked_at = self._settings.clock()
        try:
            rows, unreadable = await self._all_pages(part, subject, deadline)
        except UpstreamError as error:
            return error.failure
        return Answer(rows, asked_at, unreadable)

    async def _all_pages(self, part: str, subject: SubjectRef, deadline: float) -> tuple[tuple[Row, ...], int]:
        """All rows and the number of unreadable fields. Raises UpstreamError where the pages don't add up."""
        rows: dict[str, Row] = {}  # by natural key
        unreadable, number = 0, 1
        first: _Page | None = None
        allowance = Allowance(2 * self._settings.max_body_bytes)
        while first is None or number <= first.total_pages:
            body = {"cardNum": subject.uscc, "pName": subject.name, "currentPage": number}
            page = _read_page(await self._call(part, body, allowance, deadline), number)
            first = first or page
            if page.total_pages > self._settings.max_pages:
                fail(FailureKind.MALFORMED, f"more than {self._settings.max_pages} pages")
            if (page.total_pages, page.total_rows) != (first.total_pages, first.total_rows):
                fail(FailureKind.MALFORMED, "totals change between pages")
            for raw in page.rows:
                row, unread = _normalise(part, raw, subject.uscc)
                key = str(row["natural_key"])
                if key in rows:
                    fail(FailureKind.MALFORMED, "a page or row repeats")
                rows[key] = row
                unreadable += unread
            number += 1
        if len(rows) != first.total_rows:
            fail(FailureKind.MALFORMED, "totalSize disagrees with the rows")
        return tuple(rows.values()), unreadable

    async def _call(self, part: str, body: Mapping[str, object], allowance: Allowance, deadline: float) -> object:
        """One page's JSON. A secret that the upstream calls expired is renewed and the call repeated once."""
        url = f"{self._base}/httpproxy/{part}"
        content = json_bytes(body)
        used: ExchangeSigner | None = None
        while True:
            signer = await self._secrets.current(deadline, stale=used)
            headers = _headers(signer, self._settings, part)
            reply = await self._http.send("POST", url, deadline=deadline, headers=headers, body=content)
            allowance.take(len(reply.body))
            value = reply.json()
            code = _error_code(value)
            if code is None:
                return value
            if code == _EXPIRED and used is None:
                used = signer
                continue
            kind = _CODES.get(code, FailureKind.REJECTED)
            if kind is FailureKind.CREDENTIALS:  # another's refresh may have ended this secret: don't keep it
                self._secrets.drop(signer)
            fail(kind, f"code {code}")

    async def _fetch_secret(self, deadline: float) -> tuple[ExchangeSigner, int]:
        """A signer with a fresh secret, and when that ends (Unix ms)."""
        settings = self._settings
        headers = _headers(ExchangeSigner(settings.requester_id, settings.app_key), settings, "refresh")
        url = f"{self._base}/sysapi/auth/refreshappsecret"
        reply = await self._http.send("POST", url, deadline=deadline, headers=headers, body=b"{}")
        answer = read_object(reply.json(), "refresh answer")
        code = read_int(answer, "code")
        if code != 0:
            fail(_CODES.get(code, FailureKind.REJECTED), f"refresh: code {code}")
        data = read_object(answer.get("data"), "data")
        encrypted, end_ms = data.get("secret"), read_int(data, "secretEndTime")
        if not isinstance(encrypted, str):
            fail(FailureKind.MALFORMED, "secret is not text")
        try:
            secret = decrypt_secret(settings.app_key, encrypted)
        except ValueError:
            fail(FailureKind.MALFORMED, "secret can't be decrypted")
        return ExchangeSigner(settings.requester_id, secret), end_ms


@dataclass(frozen=True, slots=True)
class _Page:
    total_pages: int
    total_rows: int
    rows: Sequence[object]


def _read_page(value: object, number: int) -> _Page:
    """Check one page's envelope against the contract and the number asked for."""
    if not isinstance(value, list) or len(value) != 1:
        fail(FailureKind.MALFORMED, "not a list of one object")
    sheet = read_object(value[0], "page")
    rows = sheet.get("result")
    total_pages, total_rows, current = (read_int(sheet, key) for key in ("totalPage", "totalSize", "currentPage"))
    if not isinstance(rows, list):
        fail(FailureKind.MALFORMED, "result is not a list")
    if current != number:
        fail(FailureKind.MALFORMED, "another page than asked for")
    if total_pages < 0 or total_rows < 0 or (total_pages == 0) != (total_rows == 0):
        fail(FailureKind.MALFORMED, "totals disagree with each other")
    if bool(rows) != (total_rows > 0) or len(rows) > min(_PAGE_ROWS, total_rows):
        fail(FailureKind.MALFORMED, "totals disagree with the rows")
    return _Page(total_pages, total_rows, rows)


def _text_or_number(value: object, key: str) -> str | None:
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else read_text(value, key)


def _grounds(value: object, key: str) -> list[str]:
    """The grounds of a listing, which come joined by commas of either width."""
    return [part.strip() for part in re.split("[,，]", read_text(value, key) or "") if part.strip()]


def _amount(value: object, key: str) -> str | None:
    """Yuan as decimal text with exactly two decimals (half-even), from a JSON number or decimal text, never a float."""
    if isinstance(value, str):
        value = read_text(value, key)
        if value is not None and _DECIMAL.fullmatch(value):
            value = Decimal(value)
    if value is None:
        return None
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        fail(FailureKind.MALFORMED, f"{key} is not an amount")
    try:
        amount = Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    except InvalidOperation:  # more digits than any amount of money
        amount = _AMOUNT_CAP
    if not 0 <= amount < _AMOUNT_CAP:
        fail(FailureKind.MALFORMED, f"{key} is out of range")
    return str(abs(amount))  # abs: -0.001 rounds to -0.00


def _error_code(value: object) -> int | None:
    """The code of an error that came with status 200; None where the value isn't such an error."""
    code = read_int(value, "code") if isinstance(value, dict) else None
    return code or None


@dataclass(frozen=True, slots=True)
class _Shape:
    """How rows of one service read: output name -> (key, reader); keys checked but not carried; keys that may lack."""

    card: str
    fields: Mapping[str, tuple[str, Callable[[object, str], Value]]]
    checked: tuple[str, ...] = ()
    may_lack: frozenset[str] = frozenset({"performance"})


_SHAPES: Final[Mapping[str, _Shape]] = {
    "dishonest": _Shape(
        "cardNum",
        {
            "court": ("courtName", read_required),
            "filed_on": ("regDate", read_date),
            "published_on": ("publishDate", read_date),
            "grounds": ("disruptTypeName", _grounds),
            "performance": ("performance", read_text),
            "basis_document": ("gistId", read_text),
            "duty": ("duty", read_text),
        },
        checked=("iname", "areaName", "businessEntity", "gistUnit", "partyTypeName"),
    ),
    "enforcement": _Shape(
        "partyCardNum",
        {
            "court": ("execCourtName", read_required),
            "filed_on": ("caseCreateTime", read_date),
            "state": ("caseState", read_text),
            "amount": ("execMoney", _amount),
        },
        checked=("pname",),
    ),
    "consumption": _Shape(
        "partyCardNum", {"court": ("execCourtName", read_required), "ordered_on": ("orderDate", read_date)}, ("pname",)
    ),
    "judgments": _Shape(
        "partyCardNum",
        {
            "court": ("courtName", read_required),
            "cause": ("caseCause", read_text),
            "judged_on": ("judgedOn", read_date),
            "result": ("result", read_text),
            "obligation": ("obligation", read_text),
            "performance": ("performance", read_text),
        },
    ),
}


def _normalise(service: str, raw: object, uscc: str) -> tuple[Row, int]:
    """One row in canonical form and the number of its unreadable dates. Raises UpstreamError."""
    row, shape = read_object(raw, "row"), _SHAPES[service]
    organisation = uscc[8:17]  # GB 11714, as contained in the code of GB 32100
    if read_required(row.get(shape.card), shape.card) not in (
        uscc,
        organisation,
        f"{organisation[:8]}-{organisation[8:]}",
    ):
        fail(FailureKind.FOREIGN_ROWS, "a row is about another subject")
    number = read_int(row, "id")
    case = read_required(row.get("caseCode"), "caseCode").translate(_BRACKETS)
    if not 0 <= number < 2**63 or len(case) > _CASE_NUMBER_CAP:
        fail(FailureKind.MALFORMED, "id or caseCode is out of range")
    out: dict[str, Value] = {"natural_key": f"{service}|{number}|{case}", "case_number": case}
    absent = ({key for key, _ in shape.fields.values()} | set(shape.checked)) - set(row) - shape.may_lack
    if absent:
        fail(FailureKind.MALFORMED, f"missing {', '.join(sorted(absent))}")
    for key in shape.checked:
        _text_or_number(row[key], key)
    unreadable = 0
    for name, (key, read) in shape.fields.items():
        try:
            out[name] = read(row.get(key), key)
        except UnreadableDateError:
            out[name] = None
            unreadable += 1
    return out, unreadable


def _headers(signer: ExchangeSigner, settings: CourtsSettings, service: str) -> dict[str, str]:
    """Signed headers of one call to `service`, with the present time."""
    signed = signer.headers(settings.service_ids[service], unix_ms(settings.clock()))
    return {"Content-Type": "application/json; charset=utf-8", **signed}
