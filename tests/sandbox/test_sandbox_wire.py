"""Every fault of the wire fits every upstream and spoils only the call it was asked for; TLS; latency; one process."""

import asyncio
import json
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from banks_sandbox_client import KNOWN, BanksClient
from courts_sandbox_client import FEW, Client, Clock
from peer_sandbox_client import SUBJECTS_HASH, PeerClient, persisted
from platform_sandbox_client import SECRET, PlatformClient
from sandbox_caller import Caller

from sandbox.faults import WIRE_FAULTS
from sandbox.server import start_banks, start_region_platform
from sandbox.subjects import make_uscc

Ask = Callable[[], Awaitable[aiohttp.ClientResponse]]


async def _courts(client: Client) -> Ask:
    secret = await client.secret()
    body = {"cardNum": FEW, "pName": "", "currentPage": 1}
    return lambda: client.post("dishonest", secret, body)


async def _banks(client: BanksClient) -> Ask:
    await client.fetch_token()
    body = {"requestId": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "uscc": KNOWN, "consent": _consent()}
    headers = {"Authorization": f"Bearer {client.token}", "Idempotency-Key": str(body["requestId"])}
    return lambda: client.session.post(f"{client.base}/credit/v1/summaries", json=body, headers=headers, **STAY)


def _consent() -> dict[str, str]:
    made = {"id": "c", "documentSha256": "ab" * 32, "purpose": "GRANT", "validTo": "2099-12-31"}
    return made | {"grantee": make_uscc("11", "652799", 1)}


async def _platform(client: PlatformClient) -> Ask:
    raw = b'{"tyshxydmList":["%s"],"page":1,"size":100}' % KNOWN.encode()
    return lambda: client.session.post(
        f"{client.base}/api/v1/credit/query", data=raw, headers=client.headers(raw), **STAY
    )


async def _peer(client: PeerClient) -> Ask:
    await client.fetch_token()
    headers = {"Authorization": f"Bearer {client.token}", "Credit-Hops": "1"}
    body = persisted(SUBJECTS_HASH, usccs=[KNOWN])
    return lambda: client.session.post(f"{client.base}/graphql", json=body, headers=headers, **STAY)


STAY: dict[str, Any] = {"allow_redirects": False}
UPSTREAMS = ("courts", "banks", "region_platform", "peer_region")


@pytest_asyncio.fixture
async def asks(
    client: Client, banks_client: BanksClient, platform_client: PlatformClient, peer_client: PeerClient
) -> AsyncIterator[dict[str, tuple[Any, Ask]]]:
    """A caller and a true question of each upstream."""
    yield {
        "courts": (client, await _courts(client)),
        "banks": (banks_client, await _banks(banks_client)),
        "region_platform": (platform_client, await _platform(platform_client)),
        "peer_region": (peer_client, await _peer(peer_client)),
    }


STATUS = {
    "redirect": 302,
    "redirect_away": 307,
    "not_found": 404,
    "throttled_412": 412,
    "throttled_429": 429,
    "throttled_429_date": 429,
    "server_error": 500,
}
NO_ANSWER = {"down", "black_hole", "lost_reply", "cut_body", "endless_body"}
NO_JSON = {"html", "cut_json", "deep_json", "gzip_bomb"}


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_faults_of_the_wire(asks: dict[str, tuple[Any, Ask]], upstream: str) -> None:
    caller, ask = asks[upstream]
    async with await ask() as response:
        assert response.status == 200
        true = await response.json(content_type=None)
    for name in WIRE_FAULTS:
        await caller.fault(name, "*", times=1, seconds=0.0)
        if name in NO_ANSWER:
            seen = calls = len(await caller.calls())
            while seen == calls:  # the machine may pause before the call is there
                with pytest.raises((aiohttp.ClientError, TimeoutError)):
                    await asyncio.wait_for(_read(ask), 0.5)
                calls = len(await caller.calls())
        else:
            status, body = await _read(ask)
            assert status == STATUS.get(name, 200), name
            if status == 200 and name not in NO_JSON | {"null_body", "empty_list"}:
                charset = "gb18030" if name == "gb18030" else "utf-8"
                assert _without_padding(json.loads(body.decode(charset))) == true, name
            elif name in NO_JSON:
                with pytest.raises((ValueError, RecursionError)):
                    json.loads(body)
        status, body = await _read(ask)  # the next call is true again
        assert (status, json.loads(body)) == (200, true), name


async def _read(ask: Ask) -> tuple[int, bytes]:
    async with await ask() as response:
        return response.status, await response.read()


def _without_padding(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_without_padding(item) for item in answer]
    return {key: value for key, value in answer.items() if key != "padding"}


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_redirect_goes_where_it_is_told(asks: dict[str, tuple[Any, Ask]], upstream: str) -> None:
    caller, ask = asks[upstream]
    await caller.fault("redirect_away", "*", times=1, location="http://169.254.0.1/x", status=302)
    async with await ask() as response:
        assert (response.status, response.headers["Location"]) == (302, "http://169.254.0.1/x")
    await caller.fault("redirect_away", "*", times=1)
    async with await ask() as response:
        assert (response.status, response.headers["Location"]) == (307, "http://127.0.0.2:9/")


@pytest.mark.parametrize(
    "options",
    [{"status": 200}, {"status": 500}, {"location": "http://x\r\nSet-Cookie: a=b"}, {"polls": -1}, {"location": 1}],
)
async def test_options_that_make_no_sense(banks_client: BanksClient, options: dict[str, Any]) -> None:
    body = {"service": "*", "fault": "redirect_away", **options}
    assert (await banks_client.send("POST", "/_faults", json=body)).status == 400


async def test_a_dense_body_is_small_and_many(banks_client: BanksClient) -> None:
    ask = await _banks(banks_client)
    await banks_client.fault("dense_json", "summaries")
    _, body = await _read(ask)
    assert len(body) < 8 * 2**20
    assert len(json.loads(body)["padding"]) > 2_000_000


async def test_over_tls(clock: Clock, tmp_path: Path, session: aiohttp.ClientSession) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path, "upstream.example"))
    async with await start_banks(clock=clock, tls=context) as running:
        assert running.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(tmp_path / "upstream.pem"))
        with pytest.raises(aiohttp.ClientConnectorCertificateError):  # 127.0.0.1 is another name
            await session.get(f"{running.url}/_calls", ssl=trusting)
        trusting.check_hostname = False
        async with session.get(f"{running.url}/_calls", ssl=trusting) as response:
            assert await response.json() == []


def _certificate(folder: Path, name: str) -> Path:
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "upstream.pem"
    path.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_latency_is_waited(clock: Clock, session: aiohttp.ClientSession) -> None:
    async with await start_region_platform(clock=clock, latency_ms=100) as running:
        began = asyncio.get_running_loop().time()
        await PlatformClient(running.url, session, clock).query(KNOWN)
        assert asyncio.get_running_loop().time() - began >= 0.1


class Process:
    """`python -m sandbox` with arguments, until the block ends."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    async def __aenter__(self) -> dict[str, int]:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox", *self.arguments),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        ports: dict[str, int] = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 60))
        return ports

    async def __aexit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(self.process.wait(), 60) == 0


async def test_one_process_serves_all_four(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    rows = {
        "banks": {KNOWN: {"summary": {"loanBalance": "31415926.53"}}},
        "platform": [{"table_name": "honour", "tyshxydm": KNOWN, "entity": {"title": "示例"}}],
        "peer": {"subjects": [{"uscc": KNOWN, "name": "示例公司"}]},
    }
    for name, given in rows.items():
        (tmp_path / name).write_text(json.dumps(given), encoding="utf-8")
    flags = [text for name in rows for text in (f"--{name}-rows", str(tmp_path / name))]
    clock = Clock()
    clock.now = time.time()  # a process goes by the clock of the machine
    async with Process(*flags, "--latency-ms", "1", "--peer-region", "650200") as ports:
        assert list(ports) == list(UPSTREAMS)
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        answer = await _read(await _banks(BanksClient(urls["banks"], session, clock)))
        assert b"31415926.53" in answer[1]
        platform = PlatformClient(urls["region_platform"], session, clock)
        assert (await platform.query(KNOWN))["data"]["total"] == 1
        reply = await PeerClient(urls["peer_region"], session, clock).subjects(KNOWN)
        assert reply.json["data"]["subjects"][0]["region"]["code"] == "650200"
        assert (await Client(urls["courts"], session, clock).refresh())["code"] == 0
        for name, expected in (("banks", ["token", "summaries"]), ("region_platform", ["query"])):
            calls = await Caller(urls[name], session, clock).calls()
            assert [call["service"] for call in calls] == expected
            assert SECRET not in str(calls)


async def test_all_four_know_the_same_subjects_and_a_seed_changes_them(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    firms = [make_uscc("91", "652799", serial) for serial in range(50)]
    listed = tmp_path / "subjects.csv"
    listed.write_text("".join(f"{uscc},示例公司\n" for uscc in firms), encoding="utf-8")
    clock, totals = Clock(), []
    clock.now = time.time()
    for seed in ("1", "1", "2"):
        async with Process("--subjects", str(listed), "--seed", seed) as ports:
            url = f"http://127.0.0.1:{ports['region_platform']}"
            totals.append((await PlatformClient(url, session, clock).query(*firms))["data"])
    assert totals[0] == totals[1]
    assert totals[0] != totals[2]


@pytest.mark.parametrize(
    ("flag", "text"),
    [("--banks-rows", "[]"), ("--platform-rows", "{}"), ("--peer-rows", "[]"), ("--peer-client-jwk", "{}")],
)
async def test_a_file_that_cannot_be_used_ends_it(tmp_path: Path, flag: str, text: str) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", flag, str(tmp_path / "file")),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, "expected" in said.decode()) == (2, True)
