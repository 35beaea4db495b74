"""The regional platform (UPSTREAMS §3): what it knows of subjects, reports and withdrawals to it, its feed of changes.

In: subjects, asked in batches of up to 50 with the headers of a provincial app key. Out: for each USCC all its rows,
read to the last page and attributed by their code, or a typed Failure. Beside `ask`, which gateway.sources calls, the
typed methods of the other direction, which gateway.sharing calls. Nothing is repeated here: a retry is a new call, and
every call is signed anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from urllib.parse import urlencode

from connectors.base import Answer, Connector, Failure, FailureKind, Outcome, Purpose, Row, SubjectRef
from connectors.http import (
    DEFAULT_MAX_BODY_BYTES,
    Allowance,
    HttpClient,
    HttpLimits,
    UpstreamError,
    fail,
    json_bytes,
    read_int,
    read_object,
    utc_now,
)
from connectors.region_platform_feed import ChangesPage, read_changes
from connectors.region_platform_reports import Batch, BatchResult, Withdrawal, read_result, report_batch, withdraw_batch
from connectors.region_platform_rows import normalise, uscc_of
from connectors.region_platform_values import valid_uscc
from connectors.signing import AppKeySigner

BATCH: Final = 50  # codes in a query
PAGE_ROWS: Final = 100
CHANGES_PAGE: Final = 500
_ACCEPTED: Final = 1  # the status of whatever is no refusal


@dataclass(frozen=True, slots=True)
class RegionPlatformSettings:
    """Settings of the regional platform's connector. Times in s.

    `algorithm` serves for signature and digest; `budget` bounds a whole call; `clock` gives the aware present time,
    `nonce` a text of 1 to 64 characters that was never used before. Raises ValueError for another algorithm.
    """

    base_url: str
    app_key: str
    secret: str = field(repr=False)
    algorithm: Literal["SM3", "SHA256"] = "SM3"
    connect_timeout: float = 1.0
    budget: float = 4.0
    concurrency: int = 8
    requests_per_second: float = 20  # 0 = no limit
    max_pages: int = 50
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    clock: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)
    nonce: Callable[[], str] = field(default=lambda: secrets.token_hex(16), repr=False, compare=False)

    def __post_init__(self) -> None:
        AppKeySigner(self.app_key, self.secret, self.algorithm)


class RegionPlatformConnector(Connector):
    """The connector for the regional platform."""

    code = "REGION_PLATFORM"
    parts = ("records",)

    def __init__(self, settings: RegionPlatformSettings) -> None:
        self._settings = settings
        self._base = f"{settings.base_url.rstrip('/')}/api/v1/credit"
        self._signer = AppKeySigner(settings.app_key, settings.secret, settings.algorithm)
        limits = HttpLimits(
            settings.connect_timeout, settings.concurrency, settings.requests_per_second, settings.max_body_bytes
        )
        self._http = HttpClient(limits, settings.clock)

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """Ask about each subject, 50 a call; see `Connector.ask`. `purpose` isn't sent: the platform doesn't take one.

        A fault of a call is one of all its subjects, a row that is not by the contract one of its own subject alone;
        a row about a code that was not asked fails the call. Ends by `deadline` (loop time, s) and within the budget.
        Raises ValueError for an unknown part.
        """
        if part not in self.parts:
            raise ValueError(f"the regional platform has no part {part!r}")
        end = self._end(deadline)
        codes = list(dict.fromkeys(subject.uscc for subject in subjects))
        # One malformed code would have the platform refuse the whole batch.
        refused = Failure(FailureKind.REJECTED, detail="not a valid code")
        outcomes: dict[str, Outcome] = {uscc: refused for uscc in codes if not valid_uscc(uscc)}
        good = [uscc for uscc in codes if uscc not in outcomes]
        batches = [good[start : start + BATCH] for start in range(0, len(good), BATCH)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask_batch(batch, end)) for batch in batches]
        for task in tasks:
            outcomes |= task.result()
        return {uscc: outcomes[uscc] for uscc in codes}

    async def report(self, batch_no: str, table: str, rows: Sequence[Row], deadline: float) -> BatchResult | Failure:
        """Report up to 500 rows of one table, in the form that `ask` gives them; a row's number is its place from 1.

        The same `batch_no` again gives the first result. Raises ValueError for rows that can't be said in the contract.
        """
        return await self._send_batch("report", report_batch(batch_no, table, rows), deadline)

    async def withdraw(self, batch_no: str, items: Sequence[Withdrawal], deadline: float) -> BatchResult | Failure:
        """Withdraw rows that were reported; as `report`, with batch numbers of its own."""
        return await self._send_batch("withdraw", withdraw_batch(batch_no, items), deadline)

    async def changes(self, since: str, deadline: float, size: int = CHANGES_PAGE) -> ChangesPage | Failure:
        """The page of the feed behind the cursor `since` (empty: from the beginning), at most `size` changes.

        A change that can't be read is in it, with `problem` set. A refused cursor is a Failure of kind REJECTED.
        """
        query = urlencode({"since": since, "size": size})
        try:
            data = await self._call("GET", f"{self._base}/changes?{query}", None, self._end(deadline))
            return read_changes(data, since, size)
        except UpstreamError as error:
            return error.failure

    async def close(self) -> None:
        """Let go of connections. Idempotent; a later call fails as UNREACHABLE."""
        await self._http.close()

    def _end(self, deadline: float) -> float:
        return min(deadline, asyncio.get_running_loop().time() + self._settings.budget)

    async def _send_batch(self, path: str, batch: Batch, deadline: float) -> BatchResult | Failure:
        try:
            data = await self._call("POST", f"{self._base}/{path}", json_bytes(batch.body), self._end(deadline))
            return read_result(data, batch)
        except UpstreamError as error:
            return error.failure

    async def _ask_batch(self, codes: Sequence[str], deadline: float) -> Mapping[str, Outcome]:
        asked_at = self._settings.clock()
        collected = _Collected(codes)
        try:
            await self._all_pages(codes, collected, deadline)
        except UpstreamError as error:
            return dict.fromkeys(codes, error.failure)
        return collected.outcomes(asked_at)

    async def _all_pages(self, codes: Sequence[str], collected: _Collected, deadline: float) -> None:
        """Read every page into `collected`. Raises UpstreamError where the pages don't add up."""
        number, first = 1, None
        allowance = Allowance(2 * self._settings.max_body_bytes)
        while first is None or number <= first.pages:
            body = json_bytes({"tyshxydmList": list(codes), "page": number, "size": PAGE_ROWS})
            page = _read_page(await self._call("POST", f"{self._base}/query", body, deadline, allowance), number)
            first = first or page
            if page.pages > self._settings.max_pages:
                fail(FailureKind.TOO_LARGE, f"more than {self._settings.max_pages} pages")
            if (page.pages, page.total) != (first.pages, first.total):
                fail(FailureKind.MALFORMED, "totals change between pages")
            collected.add(page.rows)
            number += 1
        if collected.count != first.total:
            fail(FailureKind.MALFORMED, "total disagrees with the rows")

    async def _call(
        self, method: str, url: str, body: bytes | None, deadline: float, allowance: Allowance | None = None
    ) -> object:
        """One signed call; returns `data`. Raises UpstreamError, REJECTED for a refusal: the contract has no codes that
        tell a signature from a batch or a cursor, and the upstream's words are not ours to interpret."""
        settings = self._settings
        headers = self._signer.headers(body or b"", int(settings.clock().timestamp() * 1000), settings.nonce())
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        reply = await self._http.send(method, url, deadline=deadline, headers=headers, body=body)
        if allowance is not None:
            allowance.take(len(reply.body))
        answer = read_object(reply.json(), "answer")
        status = read_int(answer, "status")
        if status != _ACCEPTED:
            fail(FailureKind.REJECTED, f"status {status}" if abs(status) < 10**6 else "another status")
        return answer.get("data")


@dataclass(frozen=True, slots=True)
class _Page:
    pages: int
    total: int
    rows: Sequence[object]


def _read_page(value: object, number: int) -> _Page:
    """Check one page's envelope against the contract and the number asked for."""
    data = read_object(value, "data")
    rows = data.get("list")
    total, pages, current = (read_int(data, key) for key in ("total", "totalSize", "page"))
    if not isinstance(rows, list):
        fail(FailureKind.MALFORMED, "list is not a list")
    if current != number:
        fail(FailureKind.MALFORMED, "another page than asked for")
    # Without rows there are no pages, or one that is empty.
    if total < 0 or pages < 0 or (total > 0 and pages == 0) or (total == 0 and pages > 1):
        fail(FailureKind.MALFORMED, "totals disagree with each other")
    if bool(rows) != (total > 0) or len(rows) > min(PAGE_ROWS, total):
        fail(FailureKind.MALFORMED, "totals disagree with the rows")
    return _Page(pages, total, rows)


class _Collected:
    """The rows of one batch, by subject: what its answers are made of."""

    def __init__(self, codes: Iterable[str]) -> None:
        self.count = 0
        self._rows: dict[str, list[Row]] = {uscc: [] for uscc in codes}
        self._unreadable = dict.fromkeys(self._rows, 0)
        self._failures: dict[str, Failure] = {}
        self._keys: set[str] = set()

    def add(self, rows: Iterable[object]) -> None:
        """Take one page's rows. Raises UpstreamError for what fails the batch: a row without a code, about a code that
        was not asked, of two subjects at once (one of them then lacks it), or one that repeats."""
        for value in rows:
            raw = read_object(value, "row")
            uscc = uscc_of(raw)
            if uscc not in self._rows:
                fail(FailureKind.FOREIGN_ROWS, "a row is about another subject")
            self.count += 1
            try:
                made = normalise(raw)
            except UpstreamError as error:
                if error.failure.kind is FailureKind.FOREIGN_ROWS:
                    raise
                self._failures.setdefault(uscc, error.failure)
                continue
            key = str(made.row["natural_key"])
            if key in self._keys:
                fail(FailureKind.MALFORMED, "a page or row repeats")
            self._keys.add(key)
            self._rows[uscc].append(made.row)
            self._unreadable[uscc] += made.unreadable

    def outcomes(self, asked_at: datetime) -> dict[str, Outcome]:
        """An outcome for each subject; one without rows has no record there."""
        return {
            uscc: self._failures.get(uscc) or Answer(tuple(rows), asked_at, self._unreadable[uscc])
            for uscc, rows in self._rows.items()
        }
