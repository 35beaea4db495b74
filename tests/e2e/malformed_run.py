"""Sends malformed requests to a gateway and says what came back; looks at good ones in between.

In: a base URL, what is known of the gateway, a seed. Out: a Report: counts by status and code, and every answer that
must not be: a 5xx, none in time, raw error text, a body that its type belies; and good requests that went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.bad_input.cases import Known
from tests.e2e.malformed import VIEWS, Made, good, requests

CONNECTIONS = 8
PATIENCE = 3.0  # seconds for one answer
EVERY = 200  # malformed requests between good ones
# Words of Python, of its libraries and of PostgreSQL, which no error of ours has.
RAW = re.compile(
    r"Traceback|\w+Error\b|Exception|<class|\bdict\b|\.py\b|asyncpg|asyncio|graphql[-_]core|postgres|\bpg_|SQLSTATE"
    r"|relation \"|column \"|line \d+, in|Expecting|codec can't|v_(?:public|restricted|internal)"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Status 0: nothing, the connection was closed."""

    status: int
    content_type: str
    body: bytes
    seconds: float


@dataclass
class Report:
    """What happened."""

    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    layers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    goods: int = 0

    @property
    def sent(self) -> int:
        """Malformed requests sent."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """For a person."""
        rows = [f"{count:>7}  {status or 'closed'}  {code}" for (status, code), count in sorted(self.counts.items())]
        layers = ", ".join(f"{name} {count}" for name, count in sorted(self.layers.items()))
        return [
            *rows,
            f"sent {self.sent}, of which changed in {layers}",
            f"slowest answer {self.slowest:.2f} s; good requests in between {self.goods}, all answered"
            if not self.wrong
            else f"WRONG {len(self.wrong)}:",
            *self.wrong[:20],
        ]


class Connection:
    """One connection at a time, made anew when the gateway closes it."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, made: Made, patience: float) -> Answer:
        """The answer. Raises TimeoutError."""
        began = time.monotonic()
        async with asyncio.timeout(patience):
            for attempt in (1, 2):
                fresh = self._streams is None
                reader, writer = self._streams or await asyncio.open_connection(self._host, self._port)
                self._streams = (reader, writer)
                try:
                    writer.write(made.wire())
                    await writer.drain()
                    found = await _read(reader, made.method)
                except (ConnectionError, asyncio.IncompleteReadError):
                    found = None
                if found is not None:
                    status, headers, body = found
                    if made.length is not None or headers.get("connection") == "close" or status == 101:
                        await self.close()  # what is left of the body would be the next request
                    return Answer(status, headers.get("content-type", ""), body, time.monotonic() - began)
                await self.close()
                if fresh or attempt == 2:  # a kept connection may have been closed before
                    break
        return Answer(0, "", b"", time.monotonic() - began)

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, method: str) -> tuple[int, dict[str, str], bytes] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    status = int(first.split(" ")[1])
    if status == 100:
        return await _read(reader, method)
    if method == "HEAD" or status in (204, 304):
        return status, headers, b""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return status, headers, body
    if "content-length" in headers:
        return status, headers, await reader.readexactly(int(headers["content-length"]))
    return status, headers | {"connection": "close"}, await reader.read()


async def run(base: str, known: Known, *, seed: int, count: int, patience: float = PATIENCE) -> Report:
    """Send them all, by several connections."""
    report = Report()
    waiting = iter(requests(seed, count, known))

    async def lane() -> None:
        connection = Connection(base)
        for made in waiting:
            await _one(connection, made, report, patience)
            if report.sent % EVERY == 0:
                await _goods(base, known, report, patience)
        await connection.close()

    await asyncio.gather(*(lane() for _ in range(CONNECTIONS)))
    await _goods(base, known, report, patience)
    return report


async def _one(connection: Connection, made: Made, report: Report, patience: float) -> None:
    for name in set(made.layers):
        report.layers[name] += 1
    try:
        answer = await connection.ask(made, patience)
    except TimeoutError:
        await connection.close()
        report.counts[(0, "NO ANSWER IN TIME")] += 1
        report.wrong.append(f"no answer in {patience} s: {_shown(made)}")
        return
    except OSError:
        report.counts[(0, "NOBODY LISTENS")] += 1
        report.wrong.append(f"nobody listens any more: {_shown(made)}")
        return
    report.slowest = max(report.slowest, answer.seconds)
    code, complaint = judge(made, answer)
    report.counts[(answer.status, code)] += 1
    if complaint:
        report.wrong.append(f"{complaint}: {_shown(made)} -> {answer.status} {answer.body[:300]!r}")


# What is answered to what is no request yet: a line of text.
BEFORE_HTTP = {
    400: b"The request can't be read as HTTP/1.1.\n",
    413: b"The body is too long.\n",
    414: b"The request target is too long.\n",
    431: b"The headers are too long or too many.\n",
}


def judge(made: Made, answer: Answer) -> tuple[str, str]:
    """(code, what is wrong with the answer or nothing)."""
    if answer.status >= 500:
        return "5xx", "a server error"
    if answer.status == 0:
        return "", "" if made.length is not None else "closed without an answer"
    if "json" not in answer.content_type:
        log = made.path.startswith("/log/") and answer.content_type.startswith("text/plain")  # it has no JSON of ours
        known = answer.status < 400 or answer.body == BEFORE_HTTP.get(answer.status)
        complaint = "" if known or (log and not RAW.search(answer.body.decode("utf-8", "replace"))) else "no JSON"
        return "", complaint if made.method != "HEAD" else ""
    if not answer.body:
        return "", "" if made.method == "HEAD" else "an empty body"
    try:
        found = json.loads(answer.body)
    except ValueError:
        return "", "not JSON, whatever its type says"
    errors = found.get("errors", [])
    messages = [error["message"] for error in errors] + [found.get("error_description", "")]
    if any(RAW.search(message) for message in messages):
        return "", "raw error text"
    if answer.status >= 400 and not errors and "error" not in found and "ready" not in found:
        return "", "a refusal without an error"
    if errors and "data" in found and any("path" not in error for error in errors):
        return "", "a request error beside data"
    code = errors[0]["extensions"]["code"] if errors else found.get("error", "")
    return code, "masked, but unforeseen" if code == "INTERNAL" else ""


async def _goods(base: str, known: Known, report: Report, patience: float) -> None:
    for view in VIEWS:
        connection = Connection(base)
        try:
            answer = await connection.ask(good(known, view), patience)
        except OSError:  # TimeoutError is one
            report.wrong.append(f"no answer to a good request in {patience} s")
            continue
        finally:
            await connection.close()
        report.goods += 1
        name = view.upper() or "PUBLIC"
        expected: object = {"data": {"subject": {"uscc": known.uscc}, "viewer": {"view": name}}}
        if answer.status != 200 or _parsed(answer.body) != expected:
            report.wrong.append(f"a good request in {name} -> {answer.status} {answer.body[:300]!r}")


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _shown(made: Made) -> str:
    return f"[{', '.join(made.layers)}] {made.wire()[:700]!r}"


def resident(pids: Iterable[int]) -> int:
    """Memory of processes in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))
    return total
