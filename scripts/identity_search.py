"""No identity number in clear text, anywhere:  python -m scripts.identity_search --persons 1000

Starts an embedded PostgreSQL that logs every statement with its parameters, imports synthetic persons (of a division
that does not exist), and serves a gateway on it. Each person is asked for by number and name over HTTP, wrongly too;
numbers are sent wherever they must not stand: in documents, defaults, URLs, case numbers, names, reasons; some are
revealed, and the reply repeated. Then all bytes of the data folder (tables, indices, WAL, logs of PostgreSQL and of the
gateway), the disclosures, the refusals and the metrics are searched for each number: in UTF-8, UTF-16, full width, hex
and base64. One more number is written in clear on purpose, and must be found. Prints the figures; status 1 where a
number was found, the planted one was not, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import csv
import json
import sys
import tempfile
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from stdnum.cn import ric

from gateway.settings import Settings
from gateway.storage.database import Database, open_database
from gateway.storage.embedded import ensure_running
from gateway.storage.identifiers import valid_uscc
from gateway.storage.imports import import_file
from gateway.storage.persons import identity_keys, masked_identity
from scripts import served

LOG_ALL = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "log_min_error_statement": "debug1",
    "log_error_verbosity": "verbose",
}
CLIENT, SCOPE, MATTER = "search", "view:internal", "SUPERVISION"
PERSON = "query P($n: String!, $x: String!) { person(identityNumber: $n, name: $x) { id name identityNumber } }"
REVEAL = "mutation R($s: ID!, $w: String!) { revealIdentity(input: {subject: $s, reason: $w}) { identityNumber } }"
AT_ONCE = 8
KNOWN = 17  # characters that are searched for: all but the check digit


def number(index: int) -> str:
    """The index-th synthetic number."""
    first = f"659999{1970 + index // 10_000}0110{index % 1_000:03d}"
    first = f"{first[:12]}{10 + index // 1_000 % 10}{first[14:]}"
    return first + str(ric.calc_check_digit(first + "0"))


@dataclass
class Outcome:
    """What was answered; `bodies`: of refusals, and of metrics."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--persons", type=int, default=1_000)
    options = parser.parse_args(arguments)
    numbers = [number(index) for index in range(options.persons + 1)]
    planted = numbers.pop()
    with tempfile.TemporaryDirectory(prefix="identity-search-") as folder:
        data = Path(folder) / "data"
        with ensure_running(data, extra_settings=LOG_ALL) as server, open_database(Settings(data_dir=data)) as database:
            outcome = asyncio.run(_ask_all(database, Path(folder), data, numbers))
            disclosures, logged = asyncio.run(_written(server.dsn(database.name), database, numbers, planted))
        found, files, size = search(data, [*numbers, planted], disclosures, outcome.bodies)
    for name, count in sorted(outcome.counts.items()):
        print(f"{name:<44} {count}")
    print(f"{'disclosures':<44} {len(disclosures)}")
    print(f"{'bytes searched':<44} {size:,} in {files} files, each number in {len(forms(planted))} forms")
    print(f"{'blind indices logged':<44} {logged}")
    places = {place for place, what in found if what == planted}
    print(f"{'planted number found in':<44} {', '.join(sorted(places))}")
    leaked = sorted({(place, masked_identity(what)) for place, what in found if what != planted})
    print(f"{'numbers found in clear text':<44} {len({what for _, what in found} - {planted})}   {leaked[:5]}")
    print(f"{'wrong answers':<44} {len(outcome.wrong)}   {outcome.wrong[:3]}")
    seen = {"pg_wal", "base", "log"} <= places and logged > 0
    return 0 if seen and not leaked and not outcome.wrong else 1


# Asking --------------------------------------------------------------------------------------------------------------


async def _ask_all(database: Database, folder: Path, data: Path, numbers: Sequence[str]) -> Outcome:
    _, clients = await served.furnish(database, folder, ((CLIENT, SCOPE, MATTER),))
    await _import(database, folder, numbers)
    base = f"http://127.0.0.1:{served.free_port()}"
    admin = served.free_port()
    settings = {**served.LIMITS_OFF, "GATEWAY_ADMIN_PORT": str(admin), "GATEWAY_TOKEN_SECONDS": "900"}
    running = served.start(served.SERVE, data, base, **settings)
    outcome = Outcome()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            await served.ready(session, base, running, data / "gateway.log")
            token = await served.fetch_token(session, base, CLIENT, SCOPE, MATTER, clients[CLIENT][2])
            asking = _Asking(session, base, token, outcome)
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(index: int, given: str) -> None:
                async with gate:
                    await asking.person(index, given, numbers[index - 1])

            await asyncio.gather(*(one(index, given) for index, given in enumerate(numbers)))
            async with session.get(f"http://127.0.0.1:{admin}/metrics") as reply:
                outcome.bodies.append(await reply.read())
                outcome.counts["metrics, bytes"] = len(outcome.bodies[-1])
    finally:
        running.terminate()
        running.wait(30)
    return outcome


async def _import(database: Database, folder: Path, numbers: Sequence[str]) -> None:
    """Every other one is a civil servant, the others have penalties, whose facts have the number once more."""
    servants, penalties = folder / "servants.csv", folder / "penalties.csv"
    with (
        servants.open("w", encoding="utf-8", newline="") as one,
        penalties.open("w", encoding="utf-8", newline="") as two,
    ):
        people, rows = csv.writer(one), csv.writer(two)
        people.writerow(("姓名", "证件号码"))
        rows.writerow(["CF_XDR_MC", "CF_XDR_LB", "CF_XDR_ZJHM", "CF_WSH", "CF_CFLB", "CF_JDRQ", "CF_CFJG", "CF_SY"])
        for index, given in enumerate(numbers):
            if index % 2:
                people.writerow((name(index), given))
            else:
                facts = f"示例事实，身份证号{given}，另有{given[:6]} {given[6:14]} {given[14:]}"
                document = f"样例〔2026〕{index}号"
                rows.writerow((name(index), "自然人", given, document, "警告", "2026-01-05", "示例博州财政局", facts))
    for kind, path in (("civil-servants", servants), ("penalties", penalties)):
        report = await import_file(
            database, path, kind, mapping=None, rejects=folder / "data" / f"rejects-{kind}.csv",
            entered_by="search", progress=None,
        )  # fmt: skip
        print(f"{f'imported, {kind}':<44} {report.read} rows", file=sys.stderr)


def name(index: int) -> str:
    """A made-up name."""
    digits = "零一二三四五六七八九"
    return "样例" + "".join(digits[int(digit)] for digit in str(index))


@dataclass
class _Asking:
    session: aiohttp.ClientSession
    base: str
    token: str
    outcome: Outcome

    async def person(self, index: int, given: str, other: str) -> None:
        """All that is asked with one number."""
        found = await self._data(PERSON, {"n": given, "x": name(index)})
        person = found.get("person")
        self._check(
            "found by number and name", bool(person) and person["identityNumber"] == masked_identity(given), index
        )
        wrong = await self._data(PERSON, {"n": other, "x": name(index)})
        self._check("of another name: null", wrong == {"person": None}, index)
        if valid_uscc(given):
            self.outcome.counts["numbers that hold as codes"] += 1
        if (index % 10 == 0 or valid_uscc(given)) and person:
            given_why = {"s": person["id"], "w": f"核对身份证号{given}"}
            refused = await self._data(REVEAL, given_why, **{"idempotency-key": f"reveal-{index}-{given}"})
            self._check("refused as a key", not refused.get("revealIdentity"), index)
            key = {"idempotency-key": str(uuid.uuid4())}
            for expected, what in ((given, "revealed"), (masked_identity(given), "repeated, masked")):
                told = await self._data(REVEAL, given_why, **key)
                self._check(what, told.get("revealIdentity", {}).get("identityNumber") == expected, index)
            for what, body, headers in misplaced(given):
                self.outcome.counts["sent where it must not stand"] += 1
                status, raw = await self._send(body, headers)
                self.outcome.bodies.append(raw)
                self._check("answered without it", status < 500 and given.encode() not in raw, f"{what} {index}")
            for query in (f"?query={{viewer{{view}}}}&operationName={given}", "?" + _url(given, name(index))):
                headers = {"authorization": f"Bearer {self.token}"}
                async with self.session.get(f"{self.base}/graphql{query}", headers=headers) as reply:
                    self.outcome.bodies.append(await reply.read())
                self.outcome.counts["sent in URLs"] += 1

    async def _data(self, query: str, variables: dict[str, Any], **headers: str) -> dict[str, Any]:
        _, raw = await self._send({"query": query, "variables": variables}, headers)
        found: dict[str, Any] = json.loads(raw)
        if "errors" in found:
            self.outcome.counts[f"refused: {found['errors'][0]['extensions']['code']}"] += 1
        return found.get("data") or {}

    async def _send(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, bytes]:
        every = {"authorization": f"Bearer {self.token}", "accept": "application/graphql-response+json", **headers}
        async with self.session.post(f"{self.base}/graphql", json=body, headers=every) as reply:
            return reply.status, await reply.read()

    def _check(self, what: str, right: bool, which: object) -> None:
        self.outcome.counts[what] += right
        if not right:
            self.outcome.wrong.append(f"{what} ({which})")


def misplaced(given: str) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Requests with a number where it does not belong."""
    yield "literal", {"query": f'{{ person(identityNumber: "{given}", name: "样例") {{ id }} }}'}, {}
    yield "default", {"query": PERSON.replace("$n: String!", f'$n: String! = "{given}"'), "variables": {"x": "样"}}, {}
    yield "comment", {"query": f"# {given}\n{{ viewer {{ view }} }}"}, {}
    yield "a search", {"query": "query S($q: String!) { searchSubjects(query: $q) { totalCount } }",
                       "variables": {"q": given}}, {}  # fmt: skip
    yield "a search's literal", {"query": f'{{ searchSubjects(query: "{given}") {{ totalCount }} }}'}, {}
    yield "a code", {"query": "query S($q: Uscc!) { subject(uscc: $q) { name } }", "variables": {"q": given}}, {}
    yield "an id", {"query": "query S($q: ID!) { node(id: $q) { id } }", "variables": {"q": given}}, {}
    yield "a name", {"query": PERSON, "variables": {"n": given, "x": given}}, {}
    yield "an integer", {"query": PERSON, "variables": {"n": int(given[:17]), "x": "样"}}, {}
    yield "an unknown variable", {"query": "{ viewer { view } }", "variables": {given: given}}, {}
    yield "an operation", {"query": f"query N{given} {{ viewer {{ view }} }}", "operationName": f"N{given}"}, {}
    yield "a case", {"query": "{ viewer { view } }"}, {"credit-purpose": f'matter="SUPERVISION", case="{given}"'}
    yield "a hash", {"query": "{ viewer { view } }", "documentId": given}, {}
    yield "a header", {"query": "{ viewer { view } }"}, {"user-agent": given, "referer": f"https://x.example/{given}"}


def _url(given: str, called: str) -> str:
    return urllib.parse.urlencode({"query": PERSON, "variables": json.dumps({"n": given, "x": called})})


# Searching -----------------------------------------------------------------------------------------------------------


async def _written(dsn: str, database: Database, numbers: Sequence[str], planted: str) -> tuple[list[str], int]:
    """The disclosures as text, and how many blind indices the log has: that it has parameters at all. Plants a number
    in a table, hence in the WAL and in the log, and writes everything to the files."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select d::text as row from ledger.disclosure d")
        await connection.execute("create table public.planted (number text)")
        await connection.execute("insert into public.planted values ($1)", planted)
        await connection.execute("checkpoint")
    finally:
        await connection.close()
    keys = identity_keys(database.secrets)
    logs = b"".join(path.read_bytes() for path in (database.secrets.folder.parent / "postgres").rglob("*.log"))
    return [row["row"] for row in rows], sum(keys.blind_index(each).hex().encode() in logs for each in numbers)


def forms(given: str) -> list[bytes]:
    """How a number may stand in bytes: UTF-8, full width, UTF-16 of both orders, hex, base64 wherever it begins."""
    text = given[:KNOWN]
    plain = text.encode()
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in text)
    made = [plain, wide.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"), wide.encode("utf-16-le")]
    made += [plain.hex().encode(), plain.hex().upper().encode(), text.encode("utf-16-le").hex().encode()]
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + given.encode())
        cut = (before * 8 + 5) // 6  # characters that have bits of what stands before; at the end, of what follows
        made.append(coded[cut : (before + len(given)) * 8 // 6])
    return made


def search(
    data: Path, numbers: Sequence[str], disclosures: Sequence[str], bodies: Iterable[bytes]
) -> tuple[set[tuple[str, str]], int, int]:
    """(where, number) of what was found, how many files were searched, and how many bytes in all."""
    needles = [dict(zip(column, numbers, strict=True)) for column in zip(*map(forms, numbers), strict=True)]
    starts = [_common(min(column), max(column)) for column in needles]
    found: set[tuple[str, str]] = set()
    files = size = 0

    def look(where: str, text: bytes) -> None:
        for column, start in zip(needles, starts, strict=True):
            length = len(next(iter(column)))
            at = text.find(start)
            while at >= 0:
                if (given := column.get(text[at : at + length])) is not None:
                    found.add((where, given))
                at = text.find(start, at + 1)

    for path in sorted(data.rglob("*")):
        if path.is_file() and not path.is_symlink():
            files += 1
            text = path.read_bytes()
            size += len(text)
            look(_kind_of(path, data), text)
    look("disclosures", "\n".join(disclosures).encode())
    look("answers", b"\n".join(bodies))
    return found, files, size


def _common(first: bytes, last: bytes) -> bytes:
    """What all begin with, of the first and the last of them in order."""
    length = next((at for at, pair in enumerate(zip(first, last, strict=True)) if pair[0] != pair[1]), len(first))
    return first[:length]


def _kind_of(path: Path, data: Path) -> str:
    parts = path.relative_to(data).parts
    return next((kind for kind in ("pg_wal", "base", "log") if kind in parts), "/".join(parts[-2:]))


if __name__ == "__main__":
    sys.exit(main())
