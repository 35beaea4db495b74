"""`python -m sandbox`: serve the upstreams until SIGTERM; the first line on stdout is JSON, `{"courts": <port>}`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.courts import DEV_APP_KEY, DEV_RID, DEV_SIDS, SECRET_SECONDS, CourtsCredentials
from sandbox.data import CourtData, Given, Synthetic, load_rows, load_subjects
from sandbox.server import LOCAL, start_courts


def parser() -> argparse.ArgumentParser:
    """The command's arguments; credentials default to development values."""
    made = argparse.ArgumentParser(prog="python -m sandbox", description="The upstream systems as small servers.")
    made.add_argument("--host", default=LOCAL)
    made.add_argument("--port", type=int, default=0, help="port of the courts; 0 takes a free one")
    source = made.add_mutually_exclusive_group()
    source.add_argument("--subjects", type=Path, help="made-up subjects, `uscc,name` a line; their rows are generated")
    source.add_argument("--rows", type=Path, help='rows as JSON, {"dishonest": [row, …], …}')
    made.add_argument("--seed", default="1", help="another seed gives the subjects other rows")
    made.add_argument("--latency-ms", type=float, default=0.0, help="wait before every answer")
    made.add_argument("--secret-seconds", type=float, default=SECRET_SECONDS, help="how long a secret is valid")
    made.add_argument("--rid", default=DEV_RID)
    made.add_argument("--app-key", default=DEV_APP_KEY)
    for service, sid in DEV_SIDS.items():
        made.add_argument(f"--sid-{service}", default=sid)
    return made


def data_of(options: argparse.Namespace) -> CourtData:
    """What the courts will know, from the arguments; OSError or ValueError where a file cannot be used."""
    if options.subjects is not None:
        return Synthetic(load_subjects(options.subjects), options.seed)
    if options.rows is not None:
        return load_rows(options.rows)
    return Given({})


async def run(options: argparse.Namespace, data: CourtData) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sids = {service: getattr(options, f"sid_{service}") for service in DEV_SIDS}
    courts = await start_courts(
        data,
        credentials=CourtsCredentials(options.rid, options.app_key, sids),
        host=options.host,
        port=options.port,
        latency_ms=options.latency_ms,
        secret_seconds=options.secret_seconds,
    )
    async with courts:
        sys.stdout.write(json.dumps({"courts": courts.port}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments, then serve; a file that cannot be used ends it with status 2."""
    made = parser()
    options = made.parse_args(arguments)
    try:
        data = data_of(options)
    except (OSError, ValueError) as error:
        made.error(str(error))
    asyncio.run(run(options, data))


if __name__ == "__main__":
    main()
