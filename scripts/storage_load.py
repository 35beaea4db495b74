"""Load on a gateway while its database has a fault: closed loops of restricted and public questions.

In: base URL, a token, the answers that are right (taken before the fault). Out: outcomes, and what they say of a fault:
answers, errors by code, the slowest, when it was over. Used by scripts/storage_faults.py and the tests of the same.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from gateway.engine.account import ledger_unavailable
from gateway.errors import CLIENT_ERRORS
from gateway.storage.pool import storage_unavailable

PROFILE = """query Profile($uscc: Uscc!) { subject(uscc: $uscc) { name records(first: 20) { totalCount
  edges { node { title status decidedOn } } } } }"""
LIST = (
    "query List($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name records(first: 5) { edges { node { title } } } } }"
)
LENGTH = 10  # subjects of a list
PAUSE = 0.02  # s that a client waits after an error
TIMEOUT = aiohttp.ClientTimeout(total=15)
# All that a client may read of a fault of the database, word for word.
_SAID = {error.en for error in (storage_unavailable(), ledger_unavailable())}
_CODES = {error.code for error in CLIENT_ERRORS}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it began (time.monotonic()), how long it took (s), and how it ended. `code`: RIGHT, WRONG (an
    answer that is not the one of before), CUT OFF, or the code of the error. `raw`: text that no client should see."""

    began: float
    seconds: float
    code: str
    view: str
    case: str | None = None
    raw: str | None = None


@dataclass(slots=True)
class Load:
    """Questions for a gateway: `expected` is the body by (view, subject) for a profile, by view for the list."""

    base: str
    token: str
    usccs: Sequence[str]
    expected: dict[tuple[str, str], bytes] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    _cases: int = 0

    async def learn(self, session: aiohttp.ClientSession) -> None:
        """Take the answers that are right. Raises SystemExit where there is none."""
        for view in ("public", "restricted"):
            for key in (*self.usccs, "list"):
                status, body, _ = await self._post(session, view, key)
                if status != 200 or b'"errors"' in body or b'"name":"' not in body:
                    raise SystemExit(f"no answer to compare with: {status} {body[:200]!r}")
                self.expected[view, key] = body

    async def run(self, connections: int, until: asyncio.Event) -> None:
        """Ask until told to stop, over so many connections, each for both views in turn; a list every eighth time."""

        async def loop(lane: int) -> None:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), timeout=TIMEOUT) as session:
                turn = lane
                while not until.is_set():
                    turn += 1
                    view = "restricted" if (turn // 2 + lane) % 2 else "public"
                    key = "list" if turn % 8 == 0 else self.usccs[turn % len(self.usccs)]
                    outcome = await self.ask(session, view, key)
                    self.outcomes.append(outcome)
                    if outcome.code != "RIGHT":
                        await asyncio.sleep(PAUSE)

        await asyncio.gather(*(loop(lane) for lane in range(connections)))

    async def ask(self, session: aiohttp.ClientSession, view: str, key: str) -> Outcome:
        """One question, with a case number of its own above the public view."""
        began, case, raw = time.monotonic(), None, None
        try:
            status, body, case = await self._post(session, view, key)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Outcome(began, time.monotonic() - began, "CUT OFF", view)
        seconds = time.monotonic() - began
        if status == 200:
            code = "RIGHT" if body == self.expected[view, key] else "WRONG"
        else:
            code, raw = _code(body)
        return Outcome(began, seconds, code, view, case, raw)

    async def _post(self, session: aiohttp.ClientSession, view: str, key: str) -> tuple[int, bytes, str | None]:
        headers = {"accept": "application/graphql-response+json"}
        case = None
        if view == "restricted":
            self._cases += 1
            case = f"fault {id(self):x}-{self._cases}"
            headers |= {"authorization": f"Bearer {self.token}", "credit-purpose": f'matter="GRANT", case="{case}"'}
        body: dict[str, object] = {"query": PROFILE, "variables": {"uscc": key}}
        if key == "list":
            body = {"query": LIST, "variables": {"usccs": list(self.usccs[:LENGTH])}}
        async with session.post(f"{self.base}/graphql", json=body, headers=headers) as reply:
            return reply.status, await reply.read(), case


def _code(body: bytes) -> tuple[str, str | None]:
    """The code of an error, and what it says that it shouldn't."""
    try:
        (error,) = json.loads(body)["errors"]
        code, message = error["extensions"]["code"], error["message"]
    except (ValueError, LookupError, TypeError):
        return "NO ERROR OF OURS", body[:200].decode("utf-8", "replace")
    if code not in _CODES:
        return "NO ERROR OF OURS", message
    allowed = message in _SAID or (code == "INTERNAL" and message.startswith("something went wrong here; nothing was"))
    return code, None if allowed and set(error) == {"message", "extensions"} else message


@dataclass(frozen=True, slots=True)
class Summary:
    """What outcomes say of a fault that began and ended (time.monotonic())."""

    right: int
    wrong: int
    errors: dict[str, int]
    slowest: float
    recovery: float  # s from its end to the beginning of the last request that did not get its answer, 0 at least
    raw: tuple[str, ...]
    share: float  # % of errors among all requests from its beginning to a second after its end

    @property
    def in_all(self) -> int:
        """Requests."""
        return self.right + self.wrong + sum(self.errors.values())


def summary(outcomes: Sequence[Outcome], began: float, ended: float) -> Summary:
    """The figures of a fault. A request that began before it and ended in it counts, too."""
    of_it = [o for o in outcomes if o.began + o.seconds >= began]
    codes = Counter(o.code for o in of_it)
    right, wrong = codes.pop("RIGHT", 0), codes.pop("WRONG", 0)
    bad = [o.began - ended for o in of_it if o.code != "RIGHT"]
    near = [o for o in of_it if o.began <= ended + 1]
    return Summary(
        right,
        wrong,
        dict(sorted(codes.items())),
        max((o.seconds for o in of_it), default=0.0),
        max(0.0, max(bad, default=0.0)),
        tuple(o.raw for o in of_it if o.raw is not None),
        100 * sum(o.code not in ("RIGHT", "WRONG") for o in near) / max(1, len(near)),
    )
