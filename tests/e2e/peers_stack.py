"""What the tests of peers stand on: regions with a database and a gateway each, links between them that can be cut and
that remember what went over them, clients that are registered at each other, and synthetic subjects.

A region's public address is its link's: assertions, tokens and questions all go through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from e2e_stack import Account, Gateway, clone, drop, make_client, serving, valid
from prometheus_client import CollectorRegistry

from gateway.app import Parts
from gateway.settings import Settings
from gateway.source_settings import PeerSource
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.imports import import_file

BUDGET = 1.5  # s, of each peer
SLACK = 0.3  # what an answer may take on top of the budget
REGIONS = {"A": ("652700", "示例甲州"), "B": ("654200", "示例乙地区"), "C": ("659001", "示例丙市")}
ORGAN = {name: valid(f"11652799YL00081{number}") for number, name in enumerate(REGIONS, 10)}
AUTHORITY = (valid("11652799YL0008201"), "示例乙地区市场监督管理局")


def subject(number: int) -> str:
    """The code of a synthetic enterprise."""
    return valid(f"91652799YL00{number:05}")


SHARED, ONLY_B, MANY, NOBODY, WITHDRAWN, ONLY_A = (subject(90_000 + number) for number in range(6))
CROWD = [subject(91_000 + number) for number in range(60)]
MANY_RECORDS = 230

# Links ----------------------------------------------------------------------------------------------------------------


class Link:
    """A TCP proxy in front of a server. It can refuse, swallow everything, and pass on again."""

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self.taken = 0  # connections
        self.heads: list[str] = []  # of the requests that came to /graphql
        self.bodies: list[dict[str, Any]] = []  # of those with Credit-Hops
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._through = asyncio.Event()
        self._through.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def hops(self) -> list[str]:
        """Heads of the questions that another gateway asked."""
        return [head for head in self.heads if "\ncredit-hops:" in head]

    @property
    def deadlines(self) -> list[int]:
        """Milliseconds that those who asked said they had."""
        return [int(found[1]) for head in self.hops if (found := re.search(r"\ncredit-deadline-ms: (\d+)", head))]

    def forget(self) -> None:
        """Nothing has come yet."""
        self.heads.clear()
        self.bodies.clear()

    async def open(self) -> None:
        """Take connections and pass everything on."""
        self._through.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._through.set()  # what it swallowed goes nowhere any more
        for writer in [*self._writers]:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait({*self._tasks}, timeout=5)

    def swallow(self) -> None:
        """Take everything and pass nothing on, until it is opened again."""
        self._through.clear()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.taken += 1
        self._tasks.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(there)
            await asyncio.gather(self._pump(reader, there, _Requests(self)), self._pump(back, writer, None))
        except OSError:
            writer.transport.abort()
        finally:
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    one.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: _Requests | None) -> None:
        try:
            while data := await reader.read(65_536):
                await self._through.wait()
                if seen is not None:
                    seen.add(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class _Requests:
    """The requests of one connection: Content-Length alone, which is what our clients send."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffer = b""

    def add(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1").replace("\r\n", "\n")
            named, *fields = head.split("\n")
            head = "\n".join(
                [named, *(field.partition(":")[0].lower() + ":" + field.partition(":")[2] for field in fields)]
            )
            length = re.search(r"\ncontent-length: (\d+)", head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            if " /graphql " in named:
                self._link.heads.append(head)
                if "\ncredit-hops:" in head:
                    self._link.bodies.append(json.loads(body))


# Regions --------------------------------------------------------------------------------------------------------------


@dataclass
class Region(Gateway):
    """One region: gateway, database, its link, its clients. `peers` are its settings of others, by their names."""

    name: str = ""
    link: Link = field(default_factory=Link)
    database: Database = None  # type: ignore[assignment]
    owner: asyncpg.Connection[asyncpg.Record] = None  # type: ignore[assignment]
    folder: Path = Path()
    peers: dict[str, PeerSource] = field(default_factory=dict)
    clients: dict[str, Account] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.folder, peers=tuple(self.peers.values()))

    def calls(self, to: str) -> float:
        """Calls of its connector to a peer so far, whatever came of them."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "credit_source_calls_total" and sample.labels["source"] == code_of(to)
        )

    async def ledger(self, case: str) -> list[asyncpg.Record]:
        """Its disclosures of a case."""
        return await self.owner.fetch("select * from ledger.disclosure where case_number = $1 order by at", case)

    @contextlib.asynccontextmanager
    async def served(self, settings: Settings | None = None) -> AsyncIterator[None]:
        """The gateway behind its link."""
        self.registry = CollectorRegistry()
        parts = Parts(registry=self.registry)
        async with serving(settings or self.settings, self.database, parts, issuer=self.link.url) as base:
            self.link.target = int(base.rpartition(":")[2])
            yield

    @contextlib.asynccontextmanager
    async def another(self, *peers: PeerSource, **changes: Any) -> AsyncIterator[Region]:
        """One more gateway over the same database, with these peers and nothing in its memory."""
        registry = CollectorRegistry()
        settings = self.settings.model_copy(update={"peers": peers, **changes})
        async with serving(settings, self.database, Parts(registry=registry)) as base:
            made = Region(base, self.session, name=self.name, database=self.database, owner=self.owner)
            made.folder, made.clients, made.registry = self.folder, self.clients, registry
            yield made


def code_of(name: str) -> str:
    """The code of a region as a source."""
    return f"PEER_{REGIONS[name][0]}"


async def befriend(asking: Region, asked: Region, matters: Sequence[str], granted: Sequence[str], **more: Any) -> None:
    """What both operators do: a key at the one, a client at the other, an entry in GATEWAY_PEERS."""
    client_id = f"gateway-{asking.name.lower()}"
    account = await make_client(asked.database, client_id, "view:restricted", *granted, organisation=ORGAN[asking.name])
    file = asking.folder / f"peer-{asked.name}.jwk"
    file.write_text(json.dumps(account.key.as_dict(private=True)), encoding="utf-8")
    region, name = REGIONS[asked.name]
    asking.peers[asked.name] = PeerSource(
        code=code_of(asked.name),
        name=f"{name}信用网关",
        region_code=region,
        region_name=name,
        base_url=asked.link.url,
        issuer=asked.link.url,
        client_id=client_id,
        key_file=file,
        matters=tuple(matters),
        **{"budget": BUDGET, "connect_timeout": 0.5, "requests_per_second": 0, "breaker_failures": 1_000, **more},
    )


@contextlib.asynccontextmanager
async def region(
    name: str, postgres: RunningServer, template: Database, folder: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Region]:
    """A region with an empty database of its own, not served yet."""
    database = await clone(postgres, template, f"credit_peer_{name.lower()}")
    made = Region("", session, name=name, database=database, folder=folder / name)
    made.folder.mkdir()
    await made.link.open()
    made.base = made.link.url
    made.owner = await asyncpg.connect(database.migrate_dsn)
    try:
        yield made
    finally:
        await made.owner.close()
        await made.link.cut()
        await drop(postgres, database.name)


# Data -----------------------------------------------------------------------------------------------------------------


def penalty(uscc: str, number: str, **more: str) -> dict[str, str]:
    """A row of a file of records: a penalty that is in force."""
    return {
        "kind": "PENALTY",
        "area": "GENERAL",
        "title": f"样例处罚{number}",
        "authority_name": AUTHORITY[1],
        "authority_uscc": AUTHORITY[0],
        "document_number": f"样例乙市监〔2026〕{number}号",
        "decided_on": "2026-07-01",
        "basis": "样例依据",
        "facts": "样例事实，由程序生成，不涉及任何真实主体",
        "name": f"样例{uscc[-6:]}有限公司",
        "uscc": uscc,
        "penalty_kinds": "吊销许可证件",
        "offence": "样例违法行为",
        "content": "样例处罚内容",
        **more,
    }


async def put_in(made: Region, rows: Iterable[Mapping[str, str]], name: str) -> None:
    """Import records, and with them their subjects; what has ended as it was first, then again with its end."""
    rows = list(rows)
    ended = [row for row in rows if "status" in row]
    if ended:
        first = [{key: cell for key, cell in row.items() if not key.startswith("status")} for row in rows]
        await put_in(made, first, f"{name}-first")
        rows = ended
    path = made.folder / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    report = await import_file(
        made.database, path, "records", mapping=None, rejects=path.with_suffix(".rejects.csv"), entered_by="e2e",
        progress=None,
    )  # fmt: skip
    assert not report.rejected, path.with_suffix(".rejects.csv").read_text(encoding="utf-8")
