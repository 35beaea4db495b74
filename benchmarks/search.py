"""Search by name among a million: `python -m benchmarks.search`.

One client asks over HTTP, one request after the other, in the public and in the restricted view (with its disclosure).
Texts are drawn from the distinct beginnings and middles of all names, from whole names, and from names as somebody else
writes them; the name that a whole one was drawn from must be the first of the answer. Out: a table and
benchmarks/results/search.json: latencies in ms, as the client sees them.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.data import DIVISIONS, PROVINCE, SERVER, drop, load_regions, settings
from benchmarks.load import http
from benchmarks.run import ROOT, Server, clients, commit, ready, served, token
from benchmarks.serve import STACKS
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.embedded import ensure_running
from gateway.storage.identifiers import fold_name, organisation_uuid, uscc_check_digit
from gateway.storage.names import VERSION as FOLDING
from gateway.storage.names import index_all

VERSION = 2  # of the data: another number makes them anew
RESULTS = Path(__file__).resolve().parent / "results" / "search.json"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
console = Console(width=max(Console().width, 110))

_CHARACTERS = (
    "华瑞鑫源达盛丰泰安康宁和顺兴旺隆昌荣茂宏伟博远志诚信德仁义礼智勇天地杰灵光明辉煌星辰日月山川河海江湖林森木金水石玉宝珍珠"
    "琪琳美丽佳艺文武双全百千万亿福禄寿喜财禧吉祥如意平春夏秋冬东南西北中上下左右前后里外高低长新大小多红黄蓝绿紫白青云雨雪风雷电龙"
    "虎凤鹤鹰马牛羊豹鹏飞腾跃进步升创业联合众力协同共赢利民惠农富强建设发展"
)
_TRADES = (
    *(
        "商贸",
        "建筑工程",
        "农业科技",
        "生物科技",
        "运输",
        "物流",
        "餐饮管理",
        "房地产开发",
        "棉业",
        "矿业",
        "能源",
        "电力",
    ),
    *(
        "信息技术",
        "文化传媒",
        "旅游开发",
        "畜牧",
        "养殖",
        "种植",
        "机械租赁",
        "装饰",
        "劳务",
        "物业服务",
        "环保",
        "食品",
    ),
    *("医药", "石油化工", "纺织", "酒店管理", "汽车服务", "咨询"),
)
_FORMS = (
    ["有限公司"] * 60
    + ["有限责任公司"] * 15
    + ["农民专业合作社"] * 8
    + ["商行"] * 5
    + ["经营部"] * 5
    + ["中心"] * 3
    + ["股份有限公司"] * 4
)
QUERY = """query Search($text: String!, $filter: SubjectFilter) {
  searchSubjects(query: $text, filter: $filter, first: 20) {
    totalCount totalCountExact
    edges { node { id uscc name kind region { code name } } }
    pageInfo { hasNextPage endCursor }
  }
}"""


def names(count: int, seed: int) -> Iterator[str]:
    """Names as firms of the region have them, most of them once."""
    rng = random.Random(seed)
    places = ["新疆", "新疆维吾尔自治区", "博尔塔拉蒙古自治州", "博州", ""]
    for file, column in (("areas", "provinceCode"), ("cities", "provinceCode")):
        with (DIVISIONS / f"{file}.csv").open(encoding="utf-8") as rows:
            places += [row["name"] for row in csv.DictReader(rows) if row[column] == PROVINCE]
    for _ in range(count):
        brand = "".join(rng.choice(_CHARACTERS) for _ in range(rng.randint(2, 4)))
        branch = rng.choice(("（新疆）", "(博州)")) if rng.random() < 0.1 else ""
        yield rng.choice(places) + brand + branch + rng.choice(_TRADES) + rng.choice(_FORMS)


@contextmanager
def opened(data_dir: Path, count: int) -> Iterator[tuple[Database, int]]:
    """The database with its names, made once, and the postmaster's process id."""
    with ensure_running(data_dir, extra_settings=SERVER) as server:
        marker = data_dir / "benchmark.json"
        wanted = [VERSION, FOLDING, count]
        if not marker.is_file() or json.loads(marker.read_text()) != wanted:
            marker.unlink(missing_ok=True)
            asyncio.run(drop(server.dsn()))
            with open_database(settings(data_dir)) as database:
                asyncio.run(prepare(database))
                asyncio.run(_fill(database, count))
            marker.write_text(json.dumps(wanted))
        with open_database(settings(data_dir)) as database:
            asyncio.run(prepare(database))
            yield database, server.pid


async def _fill(database: Database, count: int) -> None:
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        with console.status(f"making {count:,} names"):
            regions = await load_regions(connection)
            await connection.copy_records_to_table(
                "subject", schema_name="core", records=_rows(count, regions),
                columns=["external_id", "class", "kind", "uscc", "name", "name_folded", "region_code"],
            )  # fmt: skip
        with console.status("indexing them (a few minutes, once)"):
            began = time.perf_counter()
            await index_all(connection, new=True)
            seconds = time.perf_counter() - began
        await connection.execute("vacuum (analyze)")
        size = await connection.fetchval(
            "select pg_size_pretty(sum(pg_total_relation_size(inhrelid))) from pg_inherits"
            " where inhparent = 'core.name_part'::regclass"
        )
        console.print(f"indexed in {seconds:.0f} s, {count / seconds:,.0f} names a second; {size} with indexes")
    finally:
        await connection.close()


def _rows(count: int, regions: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    rng = random.Random(1)
    for number, name in enumerate(names(count, 6527)):
        region = rng.choice(regions)
        first = f"91{region}MC{number:07d}"
        code = first + uscc_check_digit(first)
        person = number % 200 == 199
        of = ("PERSON", "NATURAL_PERSON", None) if person else ("ORGANISATION", "ENTERPRISE", code)
        yield (uuid.uuid4() if person else organisation_uuid(code), *of, name, fold_name(name), region)


# What is asked ------------------------------------------------------------------------------------------------------


def texts(all_names: Sequence[str], regions: Sequence[str], asked: int) -> dict[str, list[tuple[str, str, str]]]:
    """Kind of search → (text, region or none, the name that must come first or none)."""
    rng = random.Random(2)
    two = {folded[:2] for folded in map(fold_name, all_names)}
    for name in all_names:
        folded = fold_name(name)
        two |= {folded[at : at + 2] for at in range(1, len(folded) - 1)}
    some = rng.sample(all_names, asked)
    often = ["公司", "有限", "新疆", "科技", "博州", "农业", "博乐", "商贸", "有限公司", "限公"]
    return {
        f"two characters (of {len(two):,})": [(text, "", "") for text in rng.sample(sorted(two), asked)],
        "two characters that most names have": [(rng.choice(often), "", "") for _ in range(asked // 4)],
        "a whole name": [(name, "", name) for name in some],
        "a name as others write it": [(_variant(name, rng), "", name) for name in some],
        "two characters in a county": [(text, rng.choice(regions), "") for text in rng.sample(sorted(two), asked // 4)],
        "what most have, in a county": [(rng.choice(often), rng.choice(regions), "") for _ in range(asked // 10)],
    }


def _variant(name: str, rng: random.Random) -> str:
    pairs = (
        ("有限责任公司", "有限公司"),
        ("新疆维吾尔自治区", "新疆"),
        ("博尔塔拉蒙古自治州", "博州"),
        ("（", "("),
        ("）", ")"),
    )
    for one, other in pairs:
        name = name.replace(one, other) if one in name else name.replace(other, one)
    at = rng.randrange(1, len(name))
    return f" {name[:at]}\u3000{name[at:]}"


class _Asker:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        self._reader, self._writer, self._headers = reader, writer, headers

    async def ask(self, text: str, region: str) -> tuple[float, dict[str, Any]]:
        """Milliseconds and the answer's data."""
        variables = {"text": text, "filter": {"regionCode": region} if region else None}
        request = http(
            "POST", "/graphql", json.dumps({"query": QUERY, "variables": variables}).encode(), **self._headers
        )
        began = time.perf_counter()
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        body = await self._reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r", 1)[0]))
        took = (time.perf_counter() - began) * 1e3
        answer = json.loads(body)
        if "data" not in answer:
            raise SystemExit(f"{text!r}: {body.decode()}")
        return took, answer["data"]["searchSubjects"]


async def measure(database: Database, given: argparse.Namespace) -> dict[str, Any]:
    """Ask everything in both views; returns what search.json gets."""
    owner = await asyncpg.connect(database.migrate_dsn)
    version = str(await owner.fetchval("show server_version")).split()[0]
    found = await owner.fetch("select distinct name from core.subject where class = 'ORGANISATION'")
    regions = [r["code"] for r in await owner.fetch("select code from core.region where parent like '65%'")]
    persons = {r["name"] for r in await owner.fetch("select name from core.subject where class = 'PERSON'")}
    await owner.close()
    asked = texts([row["name"] for row in found], regions, given.texts)
    made = await clients(database)
    rows = []
    with ExitStack() as stack:
        servers = [
            stack.enter_context(served(STACKS[name], given.data_dir))
            for name in ("gateway-public", "gateway-restricted-ledger")
        ]
        for server in servers:
            await ready(server)
            rows += [await _series(server, kind, some, made, persons) for kind, some in asked.items()]
    return {"commit": commit(), "machine": machine.describe(version), "names": given.names, "rows": rows}


async def _series(
    server: Server, kind: str, some: Sequence[tuple[str, str, str]], made: dict[str, Any], persons: set[str]
) -> dict[str, Any]:
    headers = {"content_type": "application/json", "accept": "application/json"}
    if server.stack.client is not None:
        headers["authorization"] = f"Bearer {await token(server, made[server.stack.client])}"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**22)
    asker = _Asker(reader, writer, headers)
    await asker.ask("预热", "")
    took, inexact = [], 0
    for text, region, name in some:
        milliseconds, answer = await asker.ask(text, region)
        took.append(milliseconds)
        inexact += not answer["totalCountExact"]
        shown = [edge["node"]["name"] for edge in answer["edges"]]
        if name and name not in persons and fold_name(shown[0]) != fold_name(name):
            raise SystemExit(f"{text!r} does not find {name!r} first, but {shown[:3]}")
    writer.close()
    took.sort()
    return {
        "view": server.stack.view,
        "search": kind,
        "asked": len(took),
        "p50_ms": round(took[len(took) // 2], 2),
        "p95_ms": round(took[int(len(took) * 0.95)], 2),
        "max_ms": round(took[-1], 2),
        "more_than_1000": inexact,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--texts", type=int, default=2_000, help="of each kind")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "build" / "bench-names")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    with opened(given.data_dir, given.names) as (database, _):
        result = uvloop.run(measure(database, given))
    table = Table("view", "search", *(f"{c}" for c in ("asked", "p50 ms", "p95 ms", "max ms", "over 1,000")))
    for row in result["rows"]:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"written: {os.path.relpath(given.results, ROOT)}")


if __name__ == "__main__":
    main()
