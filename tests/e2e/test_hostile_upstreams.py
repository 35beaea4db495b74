"""Promises about upstreams that mean harm, several at once: the answer comes within the budget, a served gateway grows
by less than 64 MiB, redirects are not followed, names of certificates are held, nothing that an upstream said beside
its contract shows in an answer or a log, and all other parts are whole. `-m long` does it for longer, with more."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import itertools
import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.banks_data import load_summaries
from sandbox.data import load_rows
from sandbox.peer_data import load_peer_subjects
from sandbox.platform_data import load_platform_rows
from sandbox.server import Running, start_banks, start_courts, start_peer_region, start_region_platform
from scripts.source_faults import LIMITS, OWN
from scripts.source_knowledge import (
    BANKS,
    COURTS,
    PEER,
    PLATFORM,
    SOURCES,
    WHOLE,
    Knowledge,
    Section,
    sections,
)
from scripts.source_stage import Asker, Furnished, Stage, furnished, sandboxes, serving

MIB = 1 << 20
GROWTH = 64 * MIB
BUDGET = 2.5
SLACK = 0.5  # askers, upstreams and gateway share two processors; alone it is 0.1 (test_source_faults.py)
CROWDED = 3.0
WORDS = "ZX-upstream-words-81"  # what a refusal says
OF_THE_WIRE: tuple[dict[str, Any], ...] = (
    {"fault": "endless_body"},
    {"fault": "gzip_bomb"},
    {"fault": "huge_json"},  # 64 MiB
    {"fault": "dense_json"},
    {"fault": "deep_json"},  # 200,000 levels
    {"fault": "drip", "seconds": 0.02},
    {"fault": "html"},
)
OWN_FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    COURTS: ({"fault": "foreign_rows"}, {"fault": "one_foreign_row"}, {"fault": "endless_pages"}),
    BANKS: ({"fault": "foreign_uscc"}, {"fault": "consent_rejected", "text": WORDS}),
    PLATFORM: ({"fault": "foreign_rows"}, {"fault": "endless_pages"}, {"fault": "refused_status", "text": WORDS}),
    PEER: (
        *({"fault": "foreign_subject"}, {"fault": "endless_pages"}, {"fault": "bad_user_input", "text": WORDS}),
        {"fault": "errors_with_data", "text": WORDS},
    ),
}
RAW = re.compile(rf"{WORDS}|系统繁忙|样例他人|[A-Za-z]+(Error|Exception)\b|Traceback|https?://|<html|aiohttp".encode())


@pytest.fixture(scope="module")
def of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    with furnished(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture(scope="module")
def knowledge(of: Furnished) -> Knowledge:
    return Knowledge(of.usccs)


@pytest.fixture(scope="module")
def urls(of: Furnished, knowledge: Knowledge) -> Iterator[dict[str, str]]:
    with sandboxes(of.data_dir, knowledge.files(of.data_dir)) as made:
        yield made


@pytest.fixture(scope="module")
def subjects(knowledge: Knowledge) -> Iterator[str]:
    """Subjects, from the first again when all were asked about; but the last two, which stay cold."""
    return itertools.cycle(knowledge.usccs[:-2])


# Harm ----------------------------------------------------------------------------------------------------------------


class Memory:
    """Resident bytes of a process: what it has, and its peak since the last `forget`."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")

    def forget(self) -> int:
        """Begin a new peak; returns what is resident now."""
        (self._proc / "clear_refs").write_text("5")
        return self._read("VmRSS")

    def peak(self) -> int:
        return self._read("VmHWM")

    def _read(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", (self._proc / "status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


async def harmed(asker: Asker, knowledge: Knowledge, source: str, fault: dict[str, Any], uscc: str) -> float:
    """One question while a source means harm about the subject; how long it took. Everything else must be whole."""
    variables = {"uscc": uscc, "consent": await asker.consent(uscc)}
    own = (await asker.ask(OWN, variables)).subject
    await asker.upstreams[source].fault(**{"service": "*", "uscc": uscc, **fault})
    reply = await asker.ask(WHOLE, variables)
    assert RAW.search(reply.body) is None, reply.body
    subject = reply.subject
    assert {name: subject[name] for name in own} == own
    found = sections(subject)
    told = found[source]
    assert told.status not in ("ANSWERED", "CACHED"), (source, fault, told)
    if told.status == "STALE":
        assert told.rows == knowledge.rows[uscc][source]
    else:
        assert told.empty, (source, fault, told)
    for other in {*SOURCES} - {source}:
        assert found[other] == Section("ANSWERED", None, knowledge.rows[uscc][other]), (source, fault, found[other])
    return reply.seconds


async def rounds(stage: Stage, subjects: Iterator[str], count: int, width: int) -> None:
    """Every harm of every source, so many at once, so many times; then all together again."""
    async with stage.asker() as asker:
        for uscc in itertools.islice(subjects, 5):  # connections, plans, tokens
            await asker.ask(WHOLE, {"uscc": uscc, "consent": await asker.consent(uscc)})
        memory = Memory(stage.running.pid)
        before = memory.forget()
        for _ in range(count):
            for source in SOURCES:
                faults = (*OF_THE_WIRE, *OWN_FAULTS[source])
                for some in _some(faults, width):
                    took = await asyncio.gather(
                        *(harmed(asker, stage.knowledge, source, fault, next(subjects)) for fault in some)
                    )
                    assert max(took) < BUDGET + SLACK, some
                await asker.heal()
        growth = memory.peak() - before
        print(f"grown by {growth / MIB:.1f} MiB at most, from {before / MIB:.0f}")
        assert growth < GROWTH
        uscc = next(subjects)
        last = sections((await asker.ask(WHOLE, {"uscc": uscc, "consent": await asker.consent(uscc)})).subject)
        assert last == {source: Section("ANSWERED", None, rows) for source, rows in stage.knowledge.rows[uscc].items()}


def _some(faults: Sequence[dict[str, Any]], width: int) -> Iterator[list[dict[str, Any]]]:
    """In groups, each fault twice: of one kind and of several at once."""
    everything = [*faults, *itertools.chain.from_iterable(zip(faults, faults, strict=True))]
    for first in range(0, len(everything), width):
        yield everything[first : first + width]


def silent(log: Path, urls: dict[str, str], since: int = 0) -> None:
    """The gateway's log has nothing of what upstreams said, nor where they are."""
    said = log.read_bytes()[since:]
    assert b"sources: " in said  # it was told what went wrong
    for word in (WORDS, "系统繁忙", "样例他人", "Traceback", *urls.values()):
        assert word.encode() not in said


async def test_harm_of_every_source_several_at_once(
    of: Furnished, knowledge: Knowledge, urls: dict[str, str], subjects: Iterator[str]
) -> None:
    with serving(of, urls, knowledge, budget=BUDGET, **LIMITS) as stage:
        await rounds(stage, subjects, 1, 4)
    silent(of.log, urls)


@pytest.mark.long
async def test_harm_for_longer_and_more_at_once(
    of: Furnished, knowledge: Knowledge, urls: dict[str, str], subjects: Iterator[str]
) -> None:
    with serving(of, urls, knowledge, budget=BUDGET, **LIMITS) as stage:
        await rounds(stage, subjects, 5, 8)
    silent(of.log, urls)


async def test_all_four_mean_harm_at_once(
    of: Furnished, knowledge: Knowledge, urls: dict[str, str], subjects: Iterator[str]
) -> None:
    with serving(of, urls, knowledge, budget=BUDGET, **LIMITS) as stage:
        async with stage.asker() as asker:
            for uscc in itertools.islice(subjects, 5):
                await asker.ask(WHOLE, {"uscc": uscc, "consent": await asker.consent(uscc)})
            memory = Memory(stage.running.pid)
            before = memory.forget()
            for fault in ("endless_body", "gzip_bomb", "dense_json", "huge_json"):
                await asyncio.gather(*(upstream.fault(fault) for upstream in asker.upstreams.values()))
                chosen = list(itertools.islice(subjects, 4))
                asked = [{"uscc": uscc, "consent": await asker.consent(uscc)} for uscc in chosen]
                own = [(await asker.ask(OWN, variables)).subject for variables in asked]
                replies = await asyncio.gather(*(asker.ask(WHOLE, variables) for variables in asked))
                for local, reply in zip(own, replies, strict=True):
                    # Four upstreams that send as fast as they can, asker and gateway: six busy processes.
                    assert reply.seconds < BUDGET + CROWDED
                    assert {name: reply.subject[name] for name in local} == local
                    for source, told in sections(reply.subject).items():
                        assert told.reason in ("TOO_LARGE", "TIMEOUT"), (fault, source, told)
                await asker.heal()
            growth = memory.peak() - before
            print(f"grown by {growth / MIB:.1f} MiB at most, from {before / MIB:.0f}")
            assert growth < GROWTH


# Redirects -----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def elsewhere() -> AsyncIterator[tuple[list[str], list[str]]]:
    """Another host and a private address where somebody listens: their URLs, and who came."""
    came: list[str] = []

    async def arrived(request: web.Request) -> web.Response:
        came.append(f"{request.method} {request.url}")
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", arrived)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    found = []
    for host in ("127.0.0.1", "127.0.0.2"):
        site = web.TCPSite(runner, host, 0)
        await site.start()
        found.append(f"http://{host}:{runner.addresses[-1][1]}/elsewhere")
    try:
        yield [*found, found[0].replace("127.0.0.1", "localhost")], came
    finally:
        await runner.cleanup()


async def test_no_redirect_is_followed(
    of: Furnished, knowledge: Knowledge, urls: dict[str, str], subjects: Iterator[str]
) -> None:
    with serving(of, urls, knowledge, budget=BUDGET, **LIMITS) as stage:
        async with stage.asker() as asker, elsewhere() as (places, came):
            # Before there is any token or secret: not even those who hand them out lead anywhere.
            for source, service in ((COURTS, "refresh"), (BANKS, "token"), (PEER, "token")):
                await asker.upstreams[source].fault("redirect_away", service, location=places[0])
            uscc = next(subjects)
            variables = {"uscc": uscc, "consent": await asker.consent(uscc)}
            found = sections((await asker.ask(WHOLE, variables)).subject)
            assert {(s, t.reason) for s, t in found.items() if s != PLATFORM} == {
                (source, "THROTTLED") for source in SOURCES if source != PLATFORM
            }
            await asker.heal()
            away = [
                {"fault": "redirect_away", "status": status, "location": place}
                for status, place in zip(
                    (302, 301, 307, 308), (*places, "http://169.254.169.254/latest/meta-data/"), strict=True
                )
            ]
            for source, fault in itertools.product(SOURCES, away):
                await harmed(asker, knowledge, source, fault, next(subjects))
            for upstream in asker.upstreams.values():
                assert "redirected" not in {call["service"] for call in await upstream.calls()}
            assert came == []
            async with asker.session.get(places[1]):  # whoever comes is seen
                assert len(came) == 1
    silent(of.log, {"elsewhere": places[0], "private": places[1]})


# Names ---------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, address: str | None) -> ssl.SSLContext:
    """A server's context with a certificate that signs itself, for a name and, if given, an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if address is not None:
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / f"{name}.pem"
    path.write_bytes(pem + secret)
    with (folder / "trusted.pem").open("ab") as trusted:
        trusted.write(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@contextlib.asynccontextmanager
async def over_tls(knowledge: Knowledge, folder: Path, tls: ssl.SSLContext) -> AsyncIterator[dict[str, Running[Any]]]:
    """The four upstreams in this process, by HTTPS."""
    files = dict(zip(*[iter(knowledge.files(folder))] * 2, strict=True))
    known = {flag: Path(path) for flag, path in files.items()}
    async with contextlib.AsyncExitStack() as stack:
        yield {
            COURTS: await stack.enter_async_context(await start_courts(load_rows(known["--rows"]), tls=tls)),
            BANKS: await stack.enter_async_context(await start_banks(load_summaries(known["--banks-rows"]), tls=tls)),
            PLATFORM: await stack.enter_async_context(
                await start_region_platform(load_platform_rows(known["--platform-rows"]), tls=tls)
            ),
            PEER: await stack.enter_async_context(
                await start_peer_region(load_peer_subjects(known["--peer-rows"]), tls=tls)
            ),
        }


async def test_a_certificate_for_another_name_is_refused(
    of: Furnished,
    knowledge: Knowledge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong, right = certificate(tmp_path, "other.example", None), certificate(tmp_path, "right.example", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))  # both sign themselves and are trusted
    expected = ((right, "ANSWERED", None), (wrong, "UNAVAILABLE", "UNREACHABLE"))
    for uscc, (tls, status, reason) in zip(knowledge.usccs[-2:], expected, strict=True):
        async with over_tls(knowledge, tmp_path, tls) as upstreams:
            places = {source: running.url for source, running in upstreams.items()}
            assert all(place.startswith("https://") for place in places.values())
            with serving(of, places, knowledge, budget=BUDGET, **LIMITS) as stage:
                async with stage.asker() as asker:
                    reply = await asker.ask(WHOLE, {"uscc": uscc, "consent": await asker.consent(uscc)})
                    assert RAW.search(reply.body) is None
                    for source, told in sections(reply.subject).items():
                        rows = knowledge.rows[uscc][source] if reason is None else dict.fromkeys(told.rows, ())
                        assert told == Section(status, reason, rows)
            if reason is not None:
                assert all(running.upstream.calls.all() == [] for running in upstreams.values())
                silent(of.log, places)


def test_memory_that_grows_is_seen() -> None:
    memory = Memory(os.getpid())
    before = memory.forget()
    held = bytearray(b"x") * (80 * MIB)
    del held
    assert memory.peak() - before > GROWTH


def test_raw_words_are_found() -> None:
    for text in ("ServerDisconnectedError", "http://127.0.0.1:1/x", f"no: {WORDS}", "<html>"):
        assert RAW.search(text.encode())
    assert RAW.search(b'{"status":"UNAVAILABLE","reason":"SERVER_ERROR"}') is None
