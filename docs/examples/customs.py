"""A worked example: the customs' credit ratings of enterprises (海关企业信用等级), an upstream that does not exist.

Its contract: `GET {base}/v1/ratings/{USCC}`, signed as a provincial platform signs (X-App-Key …), gives
`{"uscc": "…", "ratings": [{"level": "…", "validFrom": "YYYY-MM-DD"}]}`, or 404 with `{"error": "unknown"}` for one that
the customs don't know. Levels: 高级认证企业, 注册登记和备案企业, 失信企业. One subject a call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors.base import Answer, Connector, FailureKind, Outcome, Purpose, Row, SubjectRef
from connectors.http import HttpClient, HttpLimits, UpstreamError, fail, read_object, utc_now
from connectors.shared import unix_ms
from connectors.signing import AppKeySigner
from connectors.values import choice, day, items, string

_LEVELS = ("高级认证企业", "注册登记和备案企业", "失信企业")


@dataclass(frozen=True, slots=True)
class CustomsSettings:
    """Settings of the customs connector. Times in s."""

    base_url: str
    app_key: str
    secret: str = field(repr=False)
    connect_timeout: float = 1.0
    budget: float = 4.0
    concurrency: int = 8
    requests_per_second: float = 20
    clock: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)
    nonce: Callable[[], str] = field(default=lambda: secrets.token_hex(16), repr=False, compare=False)


class CustomsConnector(Connector):
    """The connector for the customs."""

    code = "CUSTOMS"
    parts = ("ratings",)

    def __init__(self, settings: CustomsSettings) -> None:
        self._settings = settings
        self._signer = AppKeySigner(settings.app_key, settings.secret, "SHA256")
        limits = HttpLimits(settings.connect_timeout, settings.concurrency, settings.requests_per_second)
        self._http = HttpClient(limits, settings.clock)

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """Ask about each subject; see `Connector.ask`. The customs are not told what for."""
        end = min(deadline, asyncio.get_running_loop().time() + self._settings.budget)
        usccs = list(dict.fromkeys(subject.uscc for subject in subjects))
        return dict(zip(usccs, await asyncio.gather(*[self._one(uscc, end) for uscc in usccs]), strict=True))

    async def close(self) -> None:
        """Let go of connections. Idempotent."""
        await self._http.close()

    async def _one(self, uscc: str, deadline: float) -> Outcome:
        asked_at = self._settings.clock()
        try:
            return Answer(await self._rows(uscc, deadline), asked_at)
        except UpstreamError as error:  # whatever went wrong, by name: never an empty answer
            return error.failure

    async def _rows(self, uscc: str, deadline: float) -> tuple[Row, ...]:
        reply = await self._http.send(
            "GET",
            f"{self._settings.base_url.rstrip('/')}/v1/ratings/{uscc}",
            deadline=deadline,
            headers=self._headers,  # signed when the call's turn has come
            expect=frozenset({200, 404}),
        )
        answer = read_object(reply.json(), "answer")
        if reply.status == 404:
            if answer.get("error") != "unknown":  # a 404 of somebody else's says nothing about the subject
                fail(FailureKind.REJECTED, "status 404")
            return ()
        if string(answer, "uscc") != uscc:
            fail(FailureKind.FOREIGN_ROWS, "another uscc")
        return tuple(_row(read_object(one, "rating")) for one in items(answer, "ratings"))

    def _headers(self) -> Mapping[str, str]:
        return self._signer.headers(b"", unix_ms(self._settings.clock()), self._settings.nonce())


def _row(rating: Mapping[str, object]) -> Row:
    """A rating as the gateway shows it; the natural key makes the same row the same again."""
    level, since = choice(rating, "level", _LEVELS), day(rating, "validFrom")
    return {"natural_key": f"{level}|{since}", "level": level, "valid_from": since}
