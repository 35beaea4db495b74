"""`python -m sandbox`: serve the four upstreams until SIGTERM, each on a port of its own.

The first line on stdout is JSON, `{"courts": <port>, "banks": …, "region_platform": …, "peer_region": …}`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.banks import DEV_BANKS_CLIENT_ID, DEV_BANKS_CLIENT_SECRET, BanksCredentials
from sandbox.banks_data import BankData, GivenSummaries, SyntheticSummaries, load_summaries
from sandbox.courts import DEV_APP_KEY, DEV_RID, DEV_SIDS, SECRET_SECONDS, CourtsCredentials
from sandbox.data import CourtData, Given, Synthetic, load_rows
from sandbox.oauth import TOKEN_SECONDS
from sandbox.peer_data import GivenSubjects, PeerData, SyntheticPeer, load_peer_subjects
from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_MATTERS, DEV_PEER_PUBLIC_JWK, DEV_PEER_REGION
from sandbox.peer_tokens import PublicKeys, load_keys, public_keys
from sandbox.platform_data import load_platform_rows, synthetic_rows
from sandbox.region_platform import DEV_PLATFORM_APP_KEY, DEV_PLATFORM_SECRET, SCHEMES, PlatformCredentials
from sandbox.server import LOCAL, Running, start_banks, start_courts, start_peer_region, start_region_platform
from sandbox.subjects import Row, load_subjects

EPILOG = """\
The upstreams know nobody, unless --subjects or --…rows says otherwise; a file for one upstream goes before --subjects.
Credentials are development values in the open. Every upstream has, beside its contract:

  POST /_faults    {"service": "*", "fault": "slow", "seconds": 3, "times": 1}   ask for a fault
  GET /_faults     those that wait          DELETE /_faults   forget them
  GET /_calls      what was asked           DELETE /_calls    forget it

docs/connectors.md lists the faults. The regional platform also takes POST /_changes (what others report) and
POST /_repairs/{repairNo} (what the authority decides).

  python -m sandbox --subjects subjects.csv --seed 2 --latency-ms 20
  python -m sandbox --banks-rows banks.json --peer-client-jwk client.jwk.json
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments; credentials default to development values."""
    made = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="The upstream systems as small servers, with faults on request and a record of the calls.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--host", default=LOCAL)
    made.add_argument("--latency-ms", type=float, default=0.0, help="wait before every answer, of every upstream")
    made.add_argument("--seed", default="1", help="another seed gives the subjects other rows")
    for name, flags in _PORTS.items():
        what = name.replace("_", " ")
        made.add_argument(*flags, dest=f"{name}_port", type=int, default=0, help=f"port of the {what}; 0: a free one")
        prefix = flags[-1].removesuffix("-port")
        made.add_argument(f"{prefix}-latency-ms", dest=f"{name}_latency_ms", type=float, help=f"of the {what} alone")
    _add_files(made)
    _add_credentials(made)
    return made


_PORTS: Mapping[str, tuple[str, ...]] = {
    "courts": ("--port", "--courts-port"),
    "banks": ("--banks-port",),
    "region_platform": ("--platform-port",),
    "peer_region": ("--peer-port",),
}


def _add_files(made: argparse.ArgumentParser) -> None:
    source = made.add_mutually_exclusive_group()
    source.add_argument("--subjects", type=Path, help="made-up subjects, `uscc,name` a line; their rows are generated")
    source.add_argument("--rows", type=Path, help='rows of the courts as JSON, {"dishonest": [row, …], …}')
    made.add_argument("--banks-rows", type=Path, help='summaries as JSON, {"<USCC>": {"summary": {…}}, …}')
    made.add_argument("--platform-rows", type=Path, help='rows as JSON, [{"table_name", "tyshxydm", "entity"}, …]')
    made.add_argument("--peer-rows", type=Path, help='subjects as JSON, {"subjects": [{"uscc", "name", …}], …}')


def _add_credentials(made: argparse.ArgumentParser) -> None:
    courts = made.add_argument_group("courts")
    courts.add_argument("--secret-seconds", type=float, default=SECRET_SECONDS, help="how long a secret is valid")
    courts.add_argument("--rid", default=DEV_RID)
    courts.add_argument("--app-key", default=DEV_APP_KEY)
    for service, sid in DEV_SIDS.items():
        courts.add_argument(f"--sid-{service}", default=sid)
    banks = made.add_argument_group("banks")
    banks.add_argument("--banks-client-id", default=DEV_BANKS_CLIENT_ID)
    banks.add_argument("--banks-client-secret", default=DEV_BANKS_CLIENT_SECRET)
    platform = made.add_argument_group("regional platform")
    platform.add_argument("--platform-app-key", default=DEV_PLATFORM_APP_KEY)
    platform.add_argument("--platform-secret", default=DEV_PLATFORM_SECRET)
    platform.add_argument("--platform-scheme", choices=tuple(SCHEMES), default="SM3", help="of its signatures")
    peer = made.add_argument_group("peer region")
    peer.add_argument("--peer-client-id", default=DEV_PEER_CLIENT_ID)
    peer.add_argument(
        "--peer-client-jwk", type=Path, help="the client's public JWK or JWK Set; else the development key"
    )
    peer.add_argument("--peer-issuer", help="whom assertions are made for; else the peer's base URL")
    peer.add_argument("--peer-matter", action="append", metavar="CODE", help="a matter that is granted; several times")
    peer.add_argument("--peer-region", default=DEV_PEER_REGION["code"], help="code of its region")
    peer.add_argument("--peer-region-name", default=DEV_PEER_REGION["name"])
    made.add_argument(
        "--token-seconds", type=float, default=TOKEN_SECONDS, help="how long banks' and peers' tokens live"
    )


@dataclass(frozen=True)
class Knowledge:
    """What the upstreams know, and the peer's clients."""

    courts: CourtData
    banks: BankData
    platform: Sequence[Row]
    peer: PeerData
    peer_keys: Mapping[str, PublicKeys]


def knowledge_of(options: argparse.Namespace) -> Knowledge:
    """What the upstreams will know, from the arguments; OSError or ValueError where a file cannot be used."""
    subjects = load_subjects(options.subjects) if options.subjects is not None else {}
    courts: CourtData = Synthetic(subjects, options.seed) if subjects else Given({})
    banks: BankData = SyntheticSummaries(subjects, options.seed) if subjects else GivenSummaries({})
    peer: PeerData = SyntheticPeer(subjects, options.seed) if subjects else GivenSubjects({})
    given, jwk = options.platform_rows, options.peer_client_jwk
    return Knowledge(
        courts=load_rows(options.rows) if options.rows is not None else courts,
        banks=load_summaries(options.banks_rows) if options.banks_rows is not None else banks,
        platform=load_platform_rows(given) if given is not None else synthetic_rows(subjects, options.seed),
        peer=load_peer_subjects(options.peer_rows) if options.peer_rows is not None else peer,
        peer_keys={options.peer_client_id: public_keys(dict(DEV_PEER_PUBLIC_JWK)) if jwk is None else load_keys(jwk)},
    )


async def run(options: argparse.Namespace, known: Knowledge) -> None:
    """Serve until SIGTERM or SIGINT; OSError where a port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        ports = {name: await _enter(stack, started) for name, started in _starts(options, known).items()}
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await stop.wait()


async def _enter(stack: contextlib.AsyncExitStack, starting: Callable[[], Awaitable[Running[Any]]]) -> int:
    running = await stack.enter_async_context(await starting())
    return int(running.port)


def _starts(options: argparse.Namespace, known: Knowledge) -> dict[str, Callable[[], Awaitable[Running[Any]]]]:
    """What starts each of the upstreams, by its name."""

    def where(name: str) -> dict[str, Any]:
        own = getattr(options, f"{name}_latency_ms")
        latency = options.latency_ms if own is None else own
        return {"host": options.host, "port": getattr(options, f"{name}_port"), "latency_ms": latency}

    sids = {service: getattr(options, f"sid_{service}") for service in DEV_SIDS}
    platform = PlatformCredentials(options.platform_app_key, options.platform_secret, options.platform_scheme)
    return {
        "courts": lambda: start_courts(
            known.courts,
            credentials=CourtsCredentials(options.rid, options.app_key, sids),
            secret_seconds=options.secret_seconds,
            **where("courts"),
        ),
        "banks": lambda: start_banks(
            known.banks,
            credentials=BanksCredentials(options.banks_client_id, options.banks_client_secret),
            token_seconds=options.token_seconds,
            **where("banks"),
        ),
        "region_platform": lambda: start_region_platform(
            known.platform, credentials=platform, **where("region_platform")
        ),
        "peer_region": lambda: start_peer_region(
            known.peer,
            keys=known.peer_keys,
            matters=options.peer_matter or DEV_PEER_MATTERS,
            region={"code": options.peer_region, "name": options.peer_region_name},
            issuer=options.peer_issuer,
            token_seconds=options.token_seconds,
            **where("peer_region"),
        ),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments, then serve; a file that cannot be used, or a port that is taken, ends it with status 2."""
    made = parser()
    options = made.parse_args(arguments)
    try:
        known = knowledge_of(options)
        asyncio.run(run(options, known))
    except (OSError, ValueError) as error:
        made.error(str(error))


if __name__ == "__main__":
    main()
