"""Malformed requests against a gateway of its own: `python -m scripts.malformed --requests 20000 --seed 1`.

Two workers, the three views, real HTTP. Prints counts by status and code; status 1 where an answer was a 5xx, came too
late, told raw error text, or where a good request in between went wrong (tests/e2e/malformed.py makes the requests).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from scripts.served import Target, served
from tests.bad_input.cases import Known
from tests.e2e.malformed_run import PATIENCE, Report, resident, run

RECORD = "{ records(first: 1) { edges { cursor node { id } } } }"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="of the requests; by default another each time")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    with (
        tempfile.TemporaryDirectory(prefix="malformed-") as folder,
        served(Path(folder), workers=options.workers) as target,
    ):
        report, seconds, memory = asyncio.run(attack(target, seed, options.requests))
    print("\n".join(report.lines()))
    print(
        f"{seconds:.0f} s, seed {seed}; memory of the workers {memory[0] >> 20} MB before, {memory[1] >> 20} MB after"
    )
    return 1 if report.wrong else 0


async def attack(
    target: Target, seed: int, count: int, *, patience: float = PATIENCE
) -> tuple[Report, float, tuple[int, int]]:
    """Send, and look at the memory before and after."""
    known = await what_is_known(target)
    await run(
        target.base, known, seed=seed + 1, count=min(1_000, count // 4), patience=patience
    )  # whatever is made once, is made now
    before, began = resident(target.workers()), time.monotonic()
    report = await run(target.base, known, seed=seed, count=count, patience=patience)
    return report, time.monotonic() - began, (before, resident(target.workers()))


async def what_is_known(target: Target) -> Known:
    """A record and its cursor, asked of the gateway itself."""
    body, headers = json.dumps({"query": RECORD}), {"content-type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{target.base}/graphql", data=body, headers=headers) as reply,
    ):
        found = (await reply.json(content_type=None))["data"]["records"]["edges"][0]
    return Known(target.tokens, target.usccs[-1], target.usccs, found["node"]["id"], found["cursor"])


if __name__ == "__main__":
    sys.exit(main())
