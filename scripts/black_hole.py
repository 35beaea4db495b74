"""One source answers nothing at all, 50 users:  python -m scripts.black_hole --minutes 5

Starts an embedded PostgreSQL, the sandbox's courts, platform and peer, and a gateway that asks them, in a folder of its
own. 50 users ask for profiles with the sections of all three: mostly of subjects whose answers are kept, fresh for some
seconds only, now and then of one that nobody has asked about. In turns all is well, and the courts are a black hole; at
the end they stay one for some minutes. Prints the p95 of whole responses before the breaker opened and once it was
open, against that without the fault in the same round, and the gateway's memory over those minutes; writes
benchmarks/results/black_hole.json. Status 1 where one is beyond its limit, or another source's part was not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import asyncpg
import uvloop

from benchmarks import machine
from benchmarks.run import commit
from benchmarks.sources import enrol
from gateway.settings import Settings
from gateway.storage.database import Database, open_database
from scripts.served import LIMITS_OFF, SERVE, fetch_token, free_port, furnish, ready, start
from scripts.upstreams import COURTS, PEER, PLATFORM, Upstreams, upstreams

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "black_hole.json"
USERS = 50
PERIOD = 1.0  # s from one question of a user to the next, where the answer comes in time
BUDGET = 2.0  # s of each source
FRESH = 5  # s; most questions about kept subjects are answered at once, the others ask all sources again
BREAKER_SECONDS = 5.0
COLD_SHARE = 0.1  # of the questions
KEPT, STRANGERS = 60, 300  # subjects whose answers are kept, and those that are asked about in the fault alone
CLIENT = ("restricted", "view:restricted", "GRANT")
WHOLE = {"ANSWERED", "CACHED"}
BROKEN_SHARE = 0.005  # of the other sources' parts; on a busy machine one of them may come too late, too
QUESTION = """query Profile($uscc: Uscc!) { subject(uscc: $uscc) { name
  records(first: 20) { totalCount edges { node { title status } } }
  courts { answer { status reason } dishonestListings { caseNumber } enforcementCases { caseNumber }
    consumptionOrders { caseNumber } judgments { caseNumber } }
  regionPlatform { answer { status reason } records { id title } }
  peers { region { code } answer { status reason } records { id title } } } }"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One response: when it was asked for (monotonic, s), how long it took (s), what it says of the courts."""

    sent: float
    seconds: float
    courts: str
    reason: str | None


@dataclass
class Crowd:
    """50 users. `cold` gives subjects that the courts have not answered about."""

    session: aiohttp.ClientSession
    base: str
    token: str
    kept: Sequence[str]
    cold: Iterator[str]
    chance: random.Random
    seen: list[Seen] = field(default_factory=list)
    asked: int = 0
    broken: Counter[str] = field(default_factory=Counter)  # what was not whole, and how often

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """They ask until the end of the block; questions under way are answered then."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(USERS):
                group.create_task(self._user(stop))
            try:
                yield
            finally:
                stop.set()

    async def _user(self, stop: asyncio.Event) -> None:
        await self._pause(stop, self.chance.random() * PERIOD)
        while not stop.is_set():
            uscc = next(self.cold) if self.chance.random() < COLD_SHARE else self.chance.choice(self.kept)
            one = await self.ask(uscc)
            await self._pause(stop, PERIOD * self.chance.uniform(0.8, 1.2) - one.seconds)

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(seconds, 0.001))

    async def ask(self, uscc: str) -> Seen:
        """One profile; what is not whole in it is counted."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        body = json.dumps({"query": QUESTION, "variables": {"uscc": uscc}}).encode()
        sent = time.monotonic()
        async with self.session.post(f"{self.base}/graphql", data=body, headers=headers) as reply:
            raw = await reply.read()
        took = time.monotonic() - sent
        found: dict[str, Any] = json.loads(raw)
        if "errors" in found or found["data"]["subject"]["name"] is None:
            raise SystemExit(f"not an answer: {reply.status} {raw[:600].decode()}")
        subject = found["data"]["subject"]
        for name, section in (("platform", subject["regionPlatform"]), *(("peer", peer) for peer in subject["peers"])):
            if section["answer"]["status"] not in WHOLE:
                self.broken[f"{name} {section['answer']['status']} {section['answer']['reason']}"] += 1
        if len(subject["peers"]) != 1:
            self.broken["no peer"] += 1
        answer = subject["courts"]["answer"]
        one = Seen(sent, took, answer["status"], answer["reason"])
        self.seen.append(one)
        self.asked += 1
        return one

    def taken(self) -> list[Seen]:
        """What was seen since the last time."""
        taken, self.seen = self.seen, []
        return taken


@dataclass
class Round:
    """p95 (s) without the fault, of what was asked before the breaker opened, and of what was asked after that."""

    well: float
    before: float
    opened: float
    statuses: dict[str, dict[str, int]]


def p95(seen: Sequence[Seen]) -> float:
    """Seconds within which 95 of 100 responses came. SystemExit where there were too few to say."""
    if len(seen) < 20:
        raise SystemExit(f"only {len(seen)} responses: nothing was tested")
    return sorted(one.seconds for one in seen)[int(len(seen) * 0.95)]


def statuses(seen: Sequence[Seen]) -> dict[str, int]:
    """How often the courts' section had which status, with its reason."""
    return dict(Counter(f"{one.courts} {one.reason}" if one.reason else one.courts for one in seen).most_common())


# Rounds ---------------------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """Users, upstreams and gateway of a run."""

    session: aiohttp.ClientSession
    sources: Upstreams
    crowd: Crowd
    newcomers: Iterator[str]
    strangers: Sequence[str]
    pid: int

    async def well(self, seconds: float) -> list[Seen]:
        """Responses of so many seconds without a fault. Their cold subjects are new, each of them once."""
        self.crowd.cold = self.newcomers
        self.crowd.taken()
        async with self.crowd.asking():
            await asyncio.sleep(seconds)
        return self.crowd.taken()

    async def fault(self, seconds: float) -> tuple[list[Seen], list[Seen]]:
        """Responses asked for before the breaker opened, and of so many seconds after that. The courts stay ill."""
        await self.sources.fault(self.session, COURTS, "black_hole")
        self.crowd.cold = self._strangers()
        self.crowd.taken()
        async with self.crowd.asking():
            opened = await self._opened()
            await asyncio.sleep(seconds)
        seen = self.crowd.taken()
        return [one for one in seen if one.sent < opened], [one for one in seen if one.sent >= opened]

    async def heal(self) -> None:
        """The courts are well again, and the breaker has found out. SystemExit where it does not."""
        await self.sources.heal(self.session, COURTS)
        deadline = time.monotonic() + BREAKER_SECONDS + 10 * BUDGET
        while time.monotonic() < deadline:
            if (await self.crowd.ask(self.crowd.kept[0])).courts in WHOLE:
                return
            await asyncio.sleep(0.1)
        raise SystemExit("the courts are well again, and are not asked")

    async def _opened(self) -> float:
        """When (monotonic, s) the first was told that the breaker is open; else when it should have been."""
        latest = time.monotonic() + 3 * BUDGET
        while time.monotonic() < latest:
            if any(one.reason == "BREAKER_OPEN" for one in self.crowd.seen):
                break
            await asyncio.sleep(0.01)
        return time.monotonic()

    def _strangers(self) -> Iterator[str]:
        while True:
            yield self.crowd.chance.choice(self.strangers)


async def measure(scene: Scene, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds, then the minutes; returns what black_hole.json gets."""
    rounds = []
    for number in range(options.rounds):
        if number:
            await scene.heal()
        await scene.well(FRESH)  # the kept subjects are all past their freshness; at first there are no plans either
        well = await scene.well(options.seconds)
        before, opened = await scene.fault(options.seconds)
        told = {"well": statuses(well), "before": statuses(before), "open": statuses(opened)}
        rounds.append(Round(p95(well), p95(before), p95(opened), told))
        print_round(number, rounds[-1])
    memory: list[float] = []
    held = 0.0
    if options.minutes:
        async with scene.crowd.asking():
            for _ in range(round(options.minutes * 60)):
                await asyncio.sleep(1)
                memory.append(machine.resident_memory(scene.pid))
        held = p95(scene.crowd.taken())
    ratio = median(one.opened / one.well for one in rounds)
    return {
        "users": USERS,
        "budget_ms": BUDGET * 1e3,
        "rounds": len(rounds),
        "well_p95_ms": _ms(median(one.well for one in rounds)),
        "before_p95_ms": _ms(median(one.before for one in rounds)),
        "open_p95_ms": _ms(median(one.opened for one in rounds)),
        "ratio": round(ratio, 3),
        "ratios": [round(one.opened / one.well, 3) for one in rounds],
        "minutes": options.minutes,
        "held_p95_ms": _ms(held),
        "memory_mb": _sixths(memory),
        "statuses": rounds[-1].statuses,
        "responses": scene.crowd.asked,
        "broken": dict(scene.crowd.broken),
    }


def print_round(number: int, one: Round) -> None:
    """A round's figures."""
    print(
        f"round {number + 1}   p95 well {_ms(one.well)} ms, before {_ms(one.before)} ms, open {_ms(one.opened)} ms",
        *(f"  {phase:<6} courts {told}" for phase, told in one.statuses.items()),
        sep="\n",
        flush=True,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


def _sixths(memory: Sequence[float]) -> list[float]:
    """Medians (MB) of the sixths of the time."""
    size = len(memory) // 6
    return [round(median(memory[at * size : (at + 1) * size]), 1) for at in range(6)] if size else []


def verdict(result: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """What is beyond its limit."""
    found = []
    if result["ratio"] > options.most:
        found.append(f"p95 with the breaker open is {result['ratio']} of that without the fault")
    if result["before_p95_ms"] > BUDGET * 1e3 + options.slack_ms:
        found.append(f"p95 before the breaker opened is {result['before_p95_ms']} ms")
    if sum(result["broken"].values()) > BROKEN_SHARE * result["responses"]:
        found.append(f"parts of other sources were not whole: {result['broken']}")
    if not any("BREAKER_OPEN" in told for told in result["statuses"]["open"]):
        found.append("nobody was told that the breaker is open")
    memory = result["memory_mb"]
    if memory and memory[-1] - memory[1] > options.growth_mb:  # the first sixth is for buffers to find their size
        found.append(f"memory has grown by {memory[-1] - memory[1]:.1f} MB")
    return found


# The run --------------------------------------------------------------------------------------------------------------


async def _run(database: Database, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    known, keys = await furnish(database, folder, (CLIENT,))
    newcomers = round(2 * COLD_SHARE * USERS / PERIOD * options.rounds * (options.seconds + FRESH))
    made = await enrol(database, folder, STRANGERS + newcomers)
    owner = await asyncpg.connect(database.migrate_dsn)
    version = str(await owner.fetchval("show server_version")).split()[0]
    await owner.close()
    kept, cold = known[:KEPT], [uscc for uscc, _ in made]
    listed = [*((uscc, f"样例{uscc}") for uscc in kept), *made]
    base = f"http://127.0.0.1:{free_port()}"
    with upstreams(folder, listed, "--latency-ms", "10") as sources:
        limits = {"budget": BUDGET, "requests_per_second": 0, "fresh_seconds": FRESH, "negative_fresh_seconds": FRESH}
        limits |= {"breaker_seconds": BREAKER_SECONDS, "breaker_failures": options.breaker_failures}
        settings = {**LIMITS_OFF, **sources.settings(COURTS, PLATFORM, PEER, **limits)}
        running = start(SERVE, folder / "data", base, GATEWAY_TOKEN_SECONDS="900", **settings)
        try:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                await ready(session, base, running, folder / "data" / "gateway.log")
                token = await fetch_token(session, base, CLIENT[0], *keys[CLIENT[0]])
                crowd = Crowd(session, base, token, kept, iter(()), random.Random(5))
                scene = Scene(session, sources, crowd, iter(cold[STRANGERS:]), cold[:STRANGERS], running.pid)
                result = await measure(scene, options)
        finally:
            running.terminate()
            running.wait()
    return {"commit": commit(), "machine": machine.describe(version), **result}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="that the courts stay a black hole at the end")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each half of a round")
    parser.add_argument("--most", type=float, default=1.2, help="p95 with the breaker open over p95 without the fault")
    parser.add_argument("--slack-ms", type=float, default=100.0, help="beyond the budget, before the breaker opens")
    parser.add_argument("--growth-mb", type=float, default=8.0, help="of memory over the minutes")
    parser.add_argument("--breaker-failures", type=int, default=5, help="a million: a gateway without a breaker")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="black-hole-") as folder,
        open_database(Settings(data_dir=Path(folder) / "data")) as database,
    ):
        result = uvloop.run(_run(database, Path(folder), options))
    print(f"p95 without the fault       {result['well_p95_ms']} ms   (medians of {result['rounds']} rounds)")
    print(f"p95 before the breaker      {result['before_p95_ms']} ms   (budget {result['budget_ms']:.0f} ms)")
    print(f"p95 with the breaker open   {result['open_p95_ms']} ms   ratio {result['ratio']} {result['ratios']}")
    print(f"p95 over the minutes        {result['held_p95_ms']} ms   ({result['minutes']} minutes)")
    print(f"memory over the minutes     {result['memory_mb']} MB, sixth by sixth")
    print(f"other sources               {result['broken'] or 'always whole'}   (of {result['responses']} responses)")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beyond = verdict(result, options)
    print(*beyond, sep="\n")
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main())
