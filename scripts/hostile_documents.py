"""What documents cost that are written to cost:  python -m scripts.hostile_documents [--seconds 10]

Starts an embedded PostgreSQL and one gateway process in a folder of its own. Sends each kind of
scripts/hostile_kinds.py to it over HTTP, and tells its code and the CPU that the process took for one (median of some).
Then a good client asks restricted questions one after the other, in turns alone and beside 20 hostile documents a
second, each of another kind; prints its p99 in both. Status 1 where a kind takes more than 20 ms, or p99 beside them is
more than 20 ms above that alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from statistics import median

import aiohttp

from benchmarks.load import Outcome, http, load
from scripts.hostile_kinds import KINDS, Hostile
from scripts.served import Target, served

MOST_CPU = 20.0  # ms
MOST_MORE = 20.0  # ms of p99
A_SECOND = 20
TIMES = 5  # a kind is sent
QUESTION = """query Q($u: Uscc!) { subject(uscc: $u) { name region { name }
  records(first: 20) { edges { node { title kind decidedOn status } } } } }"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn of the good client")
    parser.add_argument("--rounds", type=int, default=3, help="turns alone, and as many beside")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder, served(Path(folder), workers=1) as target:
        return asyncio.run(_measure(target, options))


async def _measure(target: Target, options: argparse.Namespace) -> int:
    failed = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        print(f"{'kind':<58}{'bytes':>10}  {'status':<7}{'code':<28}{'CPU, ms':>8}")
        for name, kind in KINDS.items():
            status, code, cost = await _one(session, target, kind)
            failed += cost > MOST_CPU
            print(f"{name:<58}{len(kind.body()):>10}  {status:<7}{code:<28}{cost:>8.1f}", flush=True)
        alone, beside = await _beside(session, target, options)
    p99 = [median(outcome.percentile(0.99) for outcome in outcomes) for outcomes in (alone, beside)]
    lost = sum(len(outcome.failures) for outcome in (*alone, *beside))
    print(f"the good client's p99: {p99[0]:.1f} ms alone, {p99[1]:.1f} ms beside {A_SECOND} a second; {lost} failures")
    print(f"{failed} kinds above {MOST_CPU:.0f} ms")
    return int(failed > 0 or lost > 0 or p99[1] - p99[0] > MOST_MORE)


def _cpu(pid: int) -> int:
    """ns that a process has run so far."""
    return sum(
        int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()
    )


async def _one(session: aiohttp.ClientSession, target: Target, kind: Hostile) -> tuple[int, str, float]:
    """Status, code and CPU in ms. Each is sent with a mark of its own, so that no cache answers."""
    (worker,) = target.workers()
    costs = []
    status, code = 0, ""
    for number in range(TIMES):
        body = Hostile(f"{kind.query}#{number}", kind.variables).body()
        before = _cpu(worker)
        status, code = await _send(session, target, body)
        costs.append((_cpu(worker) - before) / 1e6)
    return status, code, median(costs)


async def _send(session: aiohttp.ClientSession, target: Target, body: bytes) -> tuple[int, str]:
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    async with session.post(f"{target.base}/graphql", data=body, headers=headers) as reply:
        found = await reply.json(content_type=None)
    if "errors" not in found:
        return reply.status, "answered"
    return reply.status, str(found["errors"][0]["extensions"]["code"])


async def _beside(
    session: aiohttp.ClientSession, target: Target, options: argparse.Namespace
) -> tuple[list[Outcome], list[Outcome]]:
    """What the good client saw alone, and beside the others, in turns."""
    port = int(target.base.rpartition(":")[2])
    token = {"authorization": f"Bearer {target.tokens['restricted']}", "content_type": "application/json"}
    requests = [
        http("POST", "/graphql", json.dumps({"query": QUESTION, "variables": {"u": uscc}}).encode(), **token)
        for uscc in target.usccs
    ]
    await load(port, requests, connections=1, seconds=2)  # plans and caches
    alone, beside = [], []
    for _ in range(options.rounds):
        alone.append(await load(port, requests, connections=1, seconds=options.seconds))
        others = asyncio.create_task(_attack(session, target))
        beside.append(await load(port, requests, connections=1, seconds=options.seconds))
        others.cancel()
    return alone, beside


async def _attack(session: aiohttp.ClientSession, target: Target) -> None:
    waiting: set[asyncio.Task[tuple[int, str]]] = set()
    bodies = [kind.body() for kind in KINDS.values()]
    began = time.monotonic()
    for number, body in enumerate(cycle(bodies)):
        waiting.add(task := asyncio.create_task(_send(session, target, body)))
        task.add_done_callback(waiting.discard)
        await asyncio.sleep(max(0.0, began + (number + 1) / A_SECOND - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())
