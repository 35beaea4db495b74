"""Promise: no amount that a bank answered is anywhere afterwards: not in the database's files or its WAL, not in
PostgreSQL's log or ours (at DEBUG, too), not in the metrics; nor where bank, statement or gateway failed. The same
search finds amounts that were kept or planted in each of these places, in every spelling. `-m long` asks 100 times."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import re
import signal
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scripts.served import free_port
from scripts.source_faults import LIMITS
from scripts.source_knowledge import (
    BANKS,
    COURTS,
    WHOLE,
    Knowledge,
    Section,
    question,
    sections,
)
from scripts.source_stage import Asker, Furnished, Stage, furnished, sandboxes, serving

MARK = "735192"  # how every amount begins: eleven digits before the point, in yuan
AT_DEBUG = (
    *(sys.executable, "-X", "dev", "-c"),
    "import logging; logging.basicConfig(level=logging.DEBUG); logging.debug('begins');"
    " from gateway.cli import main; main()",
    "serve",
)
BUDGET = 2.0


# Amounts and where they are -------------------------------------------------------------------------------------------


@dataclass
class Amounts:
    """Amounts that are made once each, and found again by the digits before the point."""

    chance: random.Random
    made: set[str]

    def new(self) -> str:
        """An amount in yuan that was not made before: digits, a point, two decimals."""
        while (digits := f"{MARK}{self.chance.randrange(10**5):05d}") in self.made:
            pass
        self.made.add(digits)
        return f"{digits}.{self.chance.randrange(10, 99)}"


def found_in(data: bytes, digits: set[str]) -> set[str]:
    """Which amounts stand in the data: with decimals or without, with commas, in 万元, as a numeric of PostgreSQL."""
    seen = {match[0].decode() for match in re.finditer(rb"735192\d{5}", data)}
    seen |= {match[0].replace(b".", b"").decode() for match in re.finditer(rb"735192\d\.\d{4}", data)}
    seen |= {match[0].replace(b",", b"").decode() for match in re.finditer(rb"73,519,2\d\d,\d{3}", data)}
    # Base 10,000 in 16 bits: 735, 192x, xxxx; on disk as the processor has it, on the wire high byte first.
    for order in "<>":
        first = struct.pack(f"{order}h", int(MARK[:3]))
        at = data.find(first)
        while at >= 0:
            groups = struct.unpack(f"{order}3h", data[at : at + 6]) if at + 6 <= len(data) else (0, 0, 0)
            if 1920 <= groups[1] < 1930 and 0 <= groups[2] < 10**4:
                seen.add(f"{groups[0]}{groups[1]}{groups[2]:04d}")
            at = data.find(first, at + 2)
    return seen & digits


async def search(of: Furnished, digits: set[str], *more: bytes) -> dict[str, set[str]]:
    """Amounts by the place where they stand: files of the database, WAL, its log, the gateway's folder, `more`."""
    owner = await of.owner()
    try:
        await owner.execute("checkpoint")  # what is in memory alone is not yet in the files
    finally:
        await owner.close()
    found: dict[str, set[str]] = {}
    for folder in (of.server.pgdata, of.data_dir, of.server.data_dir):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            with contextlib.suppress(FileNotFoundError):  # temporary files of the server go at any time
                if seen := found_in(path.read_bytes(), digits):
                    found.setdefault(place_of(path), set()).update(seen)
    for text in more:
        if seen := found_in(text, digits):
            found.setdefault("more", set()).update(seen)
    return found


def place_of(path: Path) -> str:
    """What kind of file it is."""
    names = {"base": "base", "pg_wal": "wal", "log": "server log"}
    return next((names[part] for part in path.parts if part in names), path.name)


def test_every_spelling_is_found() -> None:
    digits = {f"{MARK}46281"}
    for text in ("x73519246281.37y", "73519246281", "73,519,246,281.37", "7351924.628137", "7351924.6281"):
        assert found_in(text.encode(), digits) == digits, text
    for order in "<>":
        assert found_in(b"\x07" + struct.pack(f"{order}4h", 735, 1924, 6281, 3700), digits) == digits
    assert found_in(b"73519246282 735192.46281 7351924628", digits) == set()


# Questions ------------------------------------------------------------------------------------------------------------


@dataclass
class Ground:
    """Subjects whose amounts are known, banks that say them, and nobody in front yet."""

    of: Furnished
    urls: dict[str, str]
    knowledge: Knowledge
    amounts: Amounts
    kept: set[str]  # of the courts, whose answers are kept
    subjects: Iterator[str]

    @property
    def of_banks(self) -> set[str]:
        return self.amounts.made - self.kept


async def uncompressed(of: Furnished) -> None:
    """Let the server store every value as it is: compressed, an amount would not be found where it is."""
    owner = await of.owner()
    try:
        columns = await owner.fetch(
            "select a.attrelid::regclass::text as of, quote_ident(a.attname) as name from pg_attribute a"
            " join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace"
            " where a.attstorage in ('x', 'm') and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p')"
            " and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        )
        for column in columns:
            await owner.execute(f"alter table {column['of']} alter column {column['name']} set storage external")
        assert await owner.fetchval("show wal_compression") == "off"
    finally:
        await owner.close()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    amounts = Amounts(random.Random(81), set())
    with furnished(tmp_path_factory.mktemp("bytes")) as of:
        asyncio.run(uncompressed(of))
        knowledge = Knowledge(of.usccs)
        for number, uscc in enumerate(of.usccs):
            loan, overdue, event = amounts.new(), amounts.new(), amounts.new()
            scale = 10_000 if number % 2 else 1  # in 万元 every other time

            def said(yuan: str, scale: int = scale) -> str:
                return f"{Decimal(yuan) / scale:f}"

            summary = {
                "loanBalance": said(loan),
                "overdueBalance": said(overdue),
                "unit": "万元" if scale > 1 else "元",
                "events": [{"kind": "违约", "amount": said(event), "occurredOn": "2026-01-05", "settledOn": None}],
            }
            knowledge.say_of_banks(uscc, summary, amounts=(loan, overdue), events=(event,))
        case = amounts.new()
        knowledge.say_of_cases(of.usccs[0], case)
        folder = tmp_path_factory.mktemp("upstreams")  # apart from what is searched
        with sandboxes(folder, knowledge.files(folder)) as urls:
            yield Ground(of, urls, knowledge, amounts, {case.partition(".")[0]}, iter(of.usccs[1:]))


@contextlib.contextmanager
def running(ground: Ground, **more: str) -> Iterator[tuple[Stage, str]]:
    """The gateway at DEBUG, and the address of its metrics."""
    port = str(free_port())
    settings = {"admin_port": port, **more}
    with serving(
        ground.of, ground.urls, ground.knowledge, budget=BUDGET, serve=AT_DEBUG, more=settings, **LIMITS
    ) as stage:
        yield stage, f"http://127.0.0.1:{port}/metrics"


async def answered(ground: Ground, asker: Asker, uscc: str) -> None:
    """One question that the bank answers: all its amounts are shown, so they were in the statement."""
    reply = await asker.ask(WHOLE, {"uscc": uscc, "consent": await asker.consent(uscc)})
    assert sections(reply.subject)[BANKS] == Section("ANSWERED", None, ground.knowledge.rows[uscc][BANKS])


SPOILT: tuple[dict[str, Any], ...] = (
    {"fault": "cut_json"},
    {"fault": "cut_body"},
    {"fault": "unknown_classification"},
    {"fault": "foreign_uscc"},
    {"fault": "wrong_request_id"},
    {"fault": "missing_key", "key": "guaranteeBalance"},
    {"fault": "wrong_type"},
    {"fault": "bad_date"},
    {"fault": "slow", "seconds": 3.0},
    {"fault": "pending", "polls": 0, "seconds": 0.0},
)


async def spoilt(ground: Ground, asker: Asker) -> None:
    """What a bank says wrongly, with amounts inside."""
    bank = asker.upstreams[BANKS]
    extra = f"{MARK}{next(iter(ground.of_banks))[6:]}"
    faults = [*SPOILT, {"fault": "bad_amount", "text": f"{extra},37"}, {"fault": "unknown_event", "text": extra}]
    faults += [{"fault": "consent_rejected", "text": extra}, {"fault": "unknown_error", "text": extra}]
    asked = []
    for fault in faults:
        uscc = next(ground.subjects)
        await bank.fault(**{"service": "*", "uscc": uscc, **fault})
        asked.append({"uscc": uscc, "consent": await asker.consent(uscc)})
    replies = await asyncio.gather(*(asker.ask(question(BANKS), variables) for variables in asked))
    told = [sections(reply.subject)[BANKS] for reply in replies]
    assert all(section.status != "ANSWERED" and section.empty for section in told)
    for variables in asked[:4]:  # and once more: requests that are taken up
        await asker.ask(question(BANKS), variables)
    await bank.heal()


async def cancelled(ground: Ground, asker: Asker) -> None:
    """Statements that carry amounts and end otherwise: no lock, a client that leaves, a backend that is ended."""
    owner, killer = await ground.of.owner(), await ground.of.owner()
    try:
        for ending in ("timeout", "left", "terminated"):
            chosen = list(itertools.islice(ground.subjects, 3))
            asked = [{"uscc": uscc, "consent": await asker.consent(uscc)} for uscc in chosen]
            async with owner.transaction():
                await owner.execute("lock table core.record in access exclusive mode")
                tasks = [asyncio.create_task(asker.ask(question(BANKS), variables)) for variables in asked]
                for _ in range(1_500):
                    waiting = "select count(*) from pg_locks where not granted and relation = 'core.record'::regclass"
                    if await killer.fetchval(waiting) >= len(tasks):
                        break
                    await asyncio.sleep(0.02)
                else:
                    raise AssertionError("no statement waits")
                if ending == "left":
                    for task in tasks:
                        task.cancel()
                    await asyncio.sleep(0.5)
                elif ending == "terminated":
                    await killer.execute(
                        "select pg_terminate_backend(pid) from pg_locks where not granted"
                        " and relation = 'core.record'::regclass"
                    )
                if ending != "timeout":
                    await asyncio.sleep(0.2)
                else:
                    await asyncio.wait(tasks, timeout=60)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            if ending == "timeout":
                assert {end.status for end in ends if not isinstance(end, BaseException)} == {503}
    finally:
        await owner.close()
        await killer.close()


async def killed(ground: Ground) -> None:
    """kill -9 while banks answer."""
    with running(ground) as (stage, _):
        async with stage.asker() as asker:
            chosen = list(itertools.islice(ground.subjects, 12))
            asked = [{"uscc": uscc, "consent": await asker.consent(uscc)} for uscc in chosen]
            tasks = [asyncio.create_task(asker.ask(WHOLE, variables)) for variables in asked]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            os.kill(stage.running.pid, signal.SIGKILL)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert any(isinstance(end, aiohttp.ClientError) for end in ends)  # cut off


async def asked_and_searched(ground: Ground, count: int) -> None:
    with running(ground) as (stage, metrics):
        async with stage.asker() as asker:
            found = await asker.ask(question(COURTS), {"uscc": ground.of.usccs[0]})
            assert sections(found.subject)[COURTS].status == "ANSWERED"
            for some in _batches(itertools.islice(ground.subjects, count), 10):
                await asyncio.gather(*(answered(ground, asker, uscc) for uscc in some))
            await spoilt(ground, asker)
            await cancelled(ground, asker)
            async with asker.session.get(metrics) as reply:
                told = await reply.read()
            assert b"credit_source_calls_total" in told
    await killed(ground)
    log = ground.of.log.read_bytes()
    assert b"DEBUG:root:begins" in log
    assert b"sources: BANKS" in log  # failures were told
    places = await search(ground.of, ground.amounts.made, told)
    # What the courts said is kept, and found in its files and on the way there: the search sees such things.
    assert {place: seen for place, seen in places.items() if seen - ground.kept} == {}
    assert {"base", "wal"} <= places.keys()


def _batches(subjects: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    them = list(subjects)
    for first in range(0, len(them), size):
        yield them[first : first + size]


async def test_no_amount_of_a_bank_is_anywhere_afterwards(ground: Ground) -> None:
    await asked_and_searched(ground, 30)


@pytest.mark.long
async def test_no_amount_of_a_hundred_questions_is_anywhere_afterwards(ground: Ground) -> None:
    await asked_and_searched(ground, 100)


async def test_what_is_planted_is_found_in_every_place(ground: Ground) -> None:
    """Runs last: then the search would fail for good."""
    planted = {place: ground.amounts.new().partition(".")[0] for place in ("text", "numeric", "log", "ours")}
    owner = await ground.of.owner()
    try:
        await owner.execute("create table planted (said jsonb, amount numeric(20, 2))")
        text = f'{{"loan_balance": "{planted["text"]}.00"}}'
        await owner.execute("insert into planted values ($1, $2)", text, Decimal(f"{planted['numeric']}.37"))
        await owner.execute(f"do $$ begin raise log 'amount {planted['log']}'; end $$")
    finally:
        await owner.close()
    with ground.of.log.open("a", encoding="utf-8") as log:
        log.write(f"DEBUG a row was {planted['ours']}.37\n")
    await asyncio.sleep(0.3)  # the server's log is written by a process of its own
    places = await search(ground.of, set(planted.values()))
    assert places["base"] >= {planted["text"], planted["numeric"]}
    assert places["wal"] >= {planted["text"], planted["numeric"]}
    assert places["server log"] == {planted["log"]}
    assert places["gateway.log"] == {planted["ours"]}
