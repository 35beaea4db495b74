"""One stack in a process of its own: `python -m benchmarks.serve STACK --data-dir DIR`.

Out: a line with the port on stdout, then requests until SIGTERM. uvicorn as the product runs it, one worker, nothing
pinned; the floor with uvicorn's own protocol. The null ledger is made here and handed to create_app: no setting of
the product can do it.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.bare import WORKLOADS, create_bare
from benchmarks.data import settings
from benchmarks.floor import create_floor
from gateway.app import Parts, create_app
from gateway.engine.account import Disclosure
from gateway.storage.database import Database, open_database
from gateway.web.server import config, settle


class NullAccount:
    """Forgets what it is told, to measure what the ledger costs."""

    in_statement = False

    async def record(self, disclosure: Disclosure) -> None:
        """Done at once."""


@dataclass(frozen=True, slots=True)
class Stack:
    """How it is asked (`view`, `client`) and what serves it."""

    name: str
    kind: str  # floor, gateway or bare
    view: str = "restricted"
    client: str | None = None  # restricted, scoped
    ledger: bool = False
    sequences: bool = False  # the ledger's runner is in it: the log, and the subjects' entries
    reset: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)  # settings
    workloads: frozenset[str] | None = None  # those it can answer, where not all of its view

    def app(self, database: Database, data_dir: Path) -> Any:
        """The ASGI app."""
        if self.kind == "floor":
            return create_floor(database.migrate_dsn, reset=self.reset)
        if self.kind == "bare":
            return create_bare(database.migrate_dsn, data_dir)
        given = settings(data_dir).model_copy(update=dict(self.more))
        return create_app(given, database, Parts(None if self.ledger else NullAccount(), sequences=self.sequences))


STACKS = {
    stack.name: stack
    for stack in (
        Stack("floor", "floor"),
        Stack("floor-resetless", "floor", reset=False),
        Stack("bare", "bare", view="public", workloads=frozenset(WORKLOADS)),
        Stack("gateway-public", "gateway", view="public", more={"public_cache_bytes": 0}),
        Stack("gateway-public-cached", "gateway", view="public"),
        Stack("gateway-restricted", "gateway", client="restricted"),
        Stack("gateway-restricted-ledger", "gateway", client="restricted", ledger=True, sequences=True),
        Stack("gateway-restricted-rows", "gateway", client="restricted", ledger=True, workloads=frozenset({"W3"})),
        Stack("gateway-scoped", "gateway", client="scoped", workloads=frozenset({"W1", "W3"})),
    )
}


def main() -> None:
    """Serve one stack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stack", choices=STACKS)
    parser.add_argument("--data-dir", type=Path, required=True)
    given = parser.parse_args()
    with open_database(settings(given.data_dir)) as database, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        app = STACKS[given.stack].app(database, given.data_dir)
        settle()
        # The same of uvicorn for all, apart from its protocol: the gateway has its own.
        found = config(app, app.door) if STACKS[given.stack].kind == "gateway" else config(app, http="httptools")
        uvicorn.Server(found).run(sockets=[listener])


if __name__ == "__main__":
    main()
