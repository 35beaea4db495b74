"""The long form: `python -m tests.differential --operations 20000 --view public`.

A server of its own, the world, so many operations of each view. Prints shares and rates, and every difference with
what makes it again; ends with 1 where there is one. A difference that is found goes into kept.json (kept.py),
with which every run begins.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import asyncpg

from gateway.storage.database import Database, prepare
from gateway.storage.embedded import create_database, ensure_migrate_role, ensure_running
from gateway.storage.secrets import SecretFiles
from tests.differential import world
from tests.differential.runner import ASKERS, Counts, running

NAME = "credit_differential"


class Progress:
    """Tells on stderr how far a view is, and each difference as it is found."""

    def __init__(self, view: str) -> None:
        self._view = view
        self._told = 0
        self._thousands = 0

    def __call__(self, counts: Counts) -> None:
        for difference in counts.differences[self._told :]:
            print(difference, flush=True)
        self._told = len(counts.differences)
        if counts.operations // 1_000 > self._thousands:
            self._thousands = counts.operations // 1_000
            print(f"{self._view}: {counts}", file=sys.stderr, flush=True)


async def run(database: Database, views: list[str], operations: int, seed: str, most: int) -> int:
    """How many differences there are."""
    owner = await asyncpg.connect(database.migrate_dsn)
    await world.build(owner)
    await owner.execute("analyze")
    made = await world.load(owner)
    await owner.close()
    async with running(database, made) as runner:
        before = await runner.again()
        for difference in before:
            print(difference, flush=True)
        found = len(before)
        for view in views:
            counts = await runner.run(view, seed, operations, most=most, at_once=12, told=Progress(view))
            print(f"{view}, seed {seed}: {counts}; {len(counts.differences)} differences", flush=True)
            print(f"{view}: never with a value: {', '.join(runner.unreached(view)) or 'none'}", flush=True)
            found += len(counts.differences)
    return found


def main() -> None:
    """Parse, start a server, run."""
    parser = argparse.ArgumentParser(prog="tests.differential", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--operations", type=int, default=20_000, help="of each view")
    parser.add_argument("--view", action="append", choices=list(ASKERS), help="default: all, one after the other")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--most", type=int, default=20, help="differences after which a view ends")
    given = parser.parse_args()
    logging.disable(logging.ERROR)

    async def prepared(server: object) -> Database:
        await create_database(server, NAME)  # type: ignore[arg-type]
        dsn = await ensure_migrate_role(server, NAME)  # type: ignore[arg-type]
        database = Database(NAME, NAME, dsn, SecretFiles(server.data_dir / "secrets"), embedded=True)  # type: ignore[attr-defined]
        await prepare(database)
        return database

    with tempfile.TemporaryDirectory() as folder, ensure_running(Path(folder), fsync=False) as server:

        async def all_of_it() -> int:
            return await run(
                await prepared(server), given.view or list(ASKERS), given.operations, given.seed, given.most
            )

        found = asyncio.run(all_of_it())
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
