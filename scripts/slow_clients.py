"""A good client beside slow ones:  python -m scripts.slow_clients --rounds 5

Starts an embedded PostgreSQL and the gateway in a folder of its own. A good client asks restricted questions one after
the other, in turns alone and beside 200 clients that send a byte a second (half of them of a header, half of a body)
and 2,000 connections that are idle, all from another process. Prints p50 and p99 of both, the medians of the rounds,
and their ratio; status 1 where p99 beside them is more than 1.5 times that alone, or where they were not there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp

from benchmarks.load import Outcome, http, load
from gateway.settings import Settings
from gateway.storage.database import open_database
from gateway.web.server import allow_files
from scripts.kill_gateway import QUESTION, fetch_token, furnish
from scripts.served import SERVE, free_port, ready, start

MOST = 1.5  # p99 beside the others over p99 alone
HEADER = b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
IDLE_REQUEST = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@dataclass
class Rounds:
    """What the good client saw, alone and beside the others, and how many connections there were."""

    alone: list[Outcome] = field(default_factory=list)
    beside: list[Outcome] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each turn; slow ones last ten")
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--idle", type=int, default=2_000)
    parser.add_argument("--attack", type=int, metavar="PORT", help="be the others")
    options = parser.parse_args(arguments)
    allow_files(options.slow + options.idle)
    if options.attack is not None:
        attack(options.attack, options.slow, options.idle)
        return 0
    with tempfile.TemporaryDirectory(prefix="slow-clients-") as folder:
        data_dir = Path(folder) / "data"
        with open_database(Settings(data_dir=data_dir)) as database:
            usccs, key = asyncio.run(furnish(database, data_dir))
            base, admin = f"http://127.0.0.1:{free_port()}", free_port()
            running = start(
                SERVE,
                data_dir,
                base,
                GATEWAY_ADMIN_PORT=str(admin),
                GATEWAY_MAX_CONNECTIONS_PER_ADDRESS="0",  # all of them come from one machine here
                GATEWAY_CLIENT_RATE="0",
                GATEWAY_PUBLIC_RATE="0",
            )
            try:
                rounds = asyncio.run(measure(running, base, admin, usccs, key, options))
            finally:
                running.terminate()
                running.wait()
    return told(rounds, options)


def told(rounds: Rounds, options: argparse.Namespace) -> int:
    """Print the figures; the exit status."""
    p99 = {}
    for name, outcomes in (("alone", rounds.alone), ("beside", rounds.beside)):
        p50, p99[name] = (median(outcome.percentile(share) for outcome in outcomes) for share in (0.5, 0.99))
        each = ", ".join(f"{outcome.percentile(0.99):.2f}" for outcome in outcomes)
        rate = median(outcome.rate for outcome in outcomes)
        print(f"{name:<8} p50 {p50:.2f} ms   p99 {p99[name]:.2f} ms   {rate:.0f} requests/s   (p99 of each: {each})")
    ratio = p99["beside"] / p99["alone"]
    print(f"others   {rounds.connections} connections; closed: {rounds.refused}")
    print(f"p99 beside / alone   {ratio:.2f}   (at most {MOST})")
    there = min(rounds.connections) >= 0.95 * (options.slow + options.idle)
    caught = all(rounds.refused.get(reason, 0) >= options.slow // 4 for reason in ("slow header", "slow body"))
    failed = [failure for outcome in (*rounds.alone, *rounds.beside) for failure in outcome.failures]
    if not there or not caught or failed:
        print(f"not tested: there {there}, closed for slowness {caught}, failures {failed[:1]}")
        return 1
    return int(ratio > MOST)


async def measure(
    running: subprocess.Popen[bytes], base: str, admin: int, usccs: list[str], key: object, options: argparse.Namespace
) -> Rounds:
    """All rounds: alone, beside, alone, beside …"""
    made, port = Rounds(), int(base.rpartition(":")[2])
    async with aiohttp.ClientSession() as session:
        await ready(session, base, running)
        token = await fetch_token(session, base, key)  # type: ignore[arg-type]
        requests = [question(token, uscc) for uscc in usccs]
        command = [sys.executable, "-m", "scripts.slow_clients", "--attack", str(port)]
        command += ["--slow", str(options.slow), "--idle", str(options.idle)]
        others = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert others.stdin is not None
        assert others.stdout is not None
        await load(port, requests, connections=1, seconds=3)  # plans and caches
        for _ in range(options.rounds):
            made.alone.append(await load(port, requests, connections=1, seconds=options.seconds))
            others.stdin.write(b"open\n")
            await others.stdout.readline()
            made.beside.append(await load(port, requests, connections=1, seconds=options.seconds))
            made.connections.append(await metrics(session, admin, made.refused))
            others.stdin.write(b"close\n")
            await others.stdout.readline()
        others.stdin.close()
        await others.wait()
    return made


def question(token: str, uscc: str) -> bytes:
    """The good client's request."""
    body = json.dumps({"query": QUESTION, "variables": {"uscc": uscc}}).encode()
    purpose = 'matter="GRANT", case="slow clients"'
    headers = {"authorization": f"Bearer {token}", "credit-purpose": purpose, "content_type": "application/json"}
    return http("POST", "/graphql", body, accept="application/json", **headers)


async def metrics(session: aiohttp.ClientSession, admin: int, refused: dict[str, int]) -> int:
    """Open connections; `refused` gets what was closed so far, by reason."""
    async with session.get(f"http://127.0.0.1:{admin}/metrics") as reply:
        text = await reply.text()
    for reason, count in re.findall(r'^credit_connections_refused_total\{reason="([^"]+)"\} ([0-9.]+)', text, re.M):
        refused[reason] = int(float(count))
    return int(float(re.findall(r"^credit_connections ([0-9.]+)", text, re.M)[0]))


# The others -----------------------------------------------------------------------------------------------------------

TICK = 0.05  # s; a slow client's byte is due in one of the ticks of each second


class Others:
    """Sockets without a task each: what they cost here, on the gateway's own processors, must stay next to nothing."""

    def __init__(self, port: int, slow: int, idle: int) -> None:
        self._address = ("127.0.0.1", port)
        self._slow = slow
        self._poll = select.epoll()
        self._open: dict[int, tuple[socket.socket, int]] = {}  # file descriptor → socket, number of the client
        self._by_number: dict[int, socket.socket] = {}
        self._told: set[int] = set()  # numbers of the idle ones that have had their answer
        for number in range(slow + idle):
            self._connect(number)
            if number % 50 == 0:
                time.sleep(0.05)
        while len(self._told) < idle:
            self.heard(TICK)

    def _connect(self, number: int) -> None:
        client = socket.create_connection(self._address)
        client.setblocking(False)
        if number >= self._slow:
            client.send(IDLE_REQUEST)
        else:
            client.send(HEADER if number % 2 == 0 else HEADER + b"content-length: 1000\r\n\r\n")
        self._by_number[number] = client
        self._open[client.fileno()] = (client, number)
        self._poll.register(client, select.EPOLLIN | select.EPOLLRDHUP)

    def heard(self, seconds: float) -> None:
        """For so long read what comes; who was sent away comes again."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left, 64):
                client, number = self._open[descriptor]
                with contextlib.suppress(OSError):
                    if client.recv(65_536):
                        self._told.add(number)
                        continue
                self._close(client, number)
                self._connect(number)

    def drip(self, tick: int) -> None:
        """A byte from each slow client whose turn it is."""
        ticks = round(1 / TICK)
        for number in range(tick % ticks, self._slow, ticks):
            with contextlib.suppress(OSError):
                self._by_number[number].send(b"x")

    def _close(self, client: socket.socket, number: int) -> None:
        self._poll.unregister(client)
        del self._open[client.fileno()]
        client.close()

    def close(self) -> None:
        """All of them leave."""
        for client, number in list(self._open.values()):
            self._close(client, number)
        self._poll.close()


def attack(port: int, slow: int, idle: int) -> None:
    """Open and close all of them, as standard input says."""
    others: Others | None = None
    tick = 0
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0 if others else None)
        if ready:
            line = sys.stdin.readline()
            if not line:
                return
            if line == "open\n":
                others = Others(port, slow, idle)
            elif others:
                others.close()
                others = None
            print(line.strip(), flush=True)
        elif others:
            others.drip(tick)
            others.heard(TICK)
            tick += 1


if __name__ == "__main__":
    sys.exit(main())
