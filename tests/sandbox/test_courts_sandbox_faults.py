"""Each fault of the courts' sandbox does what its name says, and only to the calls that it was asked for."""

import asyncio
import json
import zlib
from typing import Any

import aiohttp
import pytest
from courts_sandbox_client import FEW, MANY, NOBODY, Client

from sandbox.courts import Courts
from sandbox.data import SERVICES
from sandbox.server import Running
from tests.storage.eventually import eventually


async def test_faults_are_listed_counted_and_cleared(client: Client) -> None:
    secret = await client.secret()
    await client.fault("no_right", uscc=MANY, times=2)
    await client.fault("bad_body", "*", uscc=MANY)
    assert len(await client.query("enforcement", secret, FEW)) == 1
    codes = [(await client.query("enforcement", secret, MANY))["code"] for _ in range(3)]
    assert codes == [40301, 40301, 40001]
    [left] = await (await client.session.get(f"{client.base}/_faults")).json()
    assert (left["fault"], left["service"], left["times"]) == ("bad_body", "*", None)
    assert (await client.session.delete(f"{client.base}/_faults")).status == 204
    assert (await client.query("enforcement", secret, MANY))[0]["totalSize"] == 25


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"service": "dishonest"},
        {"service": "weddings", "fault": "down"},
        {"service": "*", "fault": "up"},
        {"service": "refresh", "fault": "foreign_rows"},
        {"service": "*", "fault": "down", "times": 0},
        {"service": "*", "fault": "slow", "seconds": "1"},
        {"service": "*", "fault": "server_error", "status": 200},
        {"service": "*", "fault": "down", "usc": FEW},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(client: Client, body: Any) -> None:
    async with client.session.post(f"{client.base}/_faults", json=body) as response:
        assert (response.status, list(await response.json())) == (400, ["error"])


async def test_star_leaves_the_refresh_alone_but_for_the_wire(client: Client) -> None:
    await client.fault("expired_secret", "*", times=1)
    secret = await client.secret()
    assert (await client.query("judgments", secret, FEW))["code"] == 40101
    await client.fault("down", "*")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.refresh()


async def test_refresh_with_a_key_missing_or_of_a_wrong_type(client: Client) -> None:
    for name, key, left in (("missing_key", "secret", {"secretEndTime"}), ("missing_key", "data", None)):
        await client.fault(name, "refresh", times=1, key=key)
        answer = await client.refresh()
        assert (set(answer["data"]) if left else answer.get("data")) == left
    await client.fault("wrong_type", "refresh", times=1)
    assert (await client.refresh())["data"]["secretEndTime"] == {"unexpected": True}


REFUSALS = {
    "expired_secret": 40101,
    "bad_signature": 40102,
    "clock_off": 40103,
    "no_right": 40301,
    "bad_body": 40001,
    "unknown_code": 59999,
}


@pytest.mark.parametrize(("name", "code"), REFUSALS.items())
async def test_refusal_faults(client: Client, name: str, code: int) -> None:
    secret = await client.secret()
    for service in SERVICES:
        await client.fault(name, service, times=1)
        assert (await client.query(service, secret, MANY))["code"] == code
    await client.fault(name, "refresh")
    assert (await client.refresh())["code"] == code


async def _false_page(client: Client, name: str, uscc: str, page: int = 1, **options: Any) -> Any:
    await client.fault(name, times=1, **options)
    [answer] = await client.query("enforcement", await client.secret(), uscc, page)
    return answer


async def test_faults_of_the_rows(client: Client) -> None:
    for uscc in (MANY, NOBODY):  # where the subject has no row, the fault brings one
        foreign = await _false_page(client, "foreign_rows", uscc)
        assert foreign["result"]
        assert all(uscc[8:17] not in row["partyCardNum"].replace("-", "") for row in foreign["result"])
    one = await _false_page(client, "one_foreign_row", MANY)
    assert [row["partyCardNum"] == MANY for row in one["result"]] == [True] * 9 + [False]
    missing = await _false_page(client, "missing_key", MANY)
    assert all("caseCode" not in row for row in missing["result"])
    assert "totalSize" not in await _false_page(client, "missing_key", MANY, key="totalSize")
    wrong = await _false_page(client, "wrong_type", MANY)
    assert all(isinstance(row["caseCode"], dict) for row in wrong["result"])
    assert isinstance((await _false_page(client, "wrong_type", MANY, key="result"))["result"], dict)
    assert (await _false_page(client, "bad_date", NOBODY))["result"][0]["caseCreateTime"] == "2017年13月45日"
    assert (await _false_page(client, "wrong_totals", MANY))["totalSize"] == 26


async def test_faults_of_the_paging(client: Client) -> None:
    first, second = [await _false_page(client, "repeated_page", MANY, page) for page in (1, 2)]
    assert first["result"] == second["result"]
    assert (first["currentPage"], second["currentPage"], first["totalSize"]) == (1, 2, 20)
    ids = set()
    for page in (1, 2, 70):
        endless = await _false_page(client, "endless_pages", MANY, page)
        assert (endless["currentPage"], endless["totalPage"], len(endless["result"])) == (page, page + 1, 10)
        ids |= {row["id"] for row in endless["result"]}
    assert len(ids) == 30
    assert (await _false_page(client, "too_many_pages", MANY))["totalPage"] == 51


BODY = {"cardNum": MANY, "pName": "", "currentPage": 1}


@pytest.mark.parametrize(
    ("name", "options", "status", "retry_after"),
    [
        ("redirect", {}, 302, None),
        ("throttled_412", {}, 412, None),
        ("throttled_412", {"retry_after": 7}, 412, "7"),
        ("throttled_429", {}, 429, "30"),
        ("throttled_429_date", {"retry_after": 60}, 429, "Thu, 01 Jan 2026 00:01:00 GMT"),
        ("server_error", {}, 500, None),
        ("server_error", {"status": 503}, 503, None),
        ("html", {}, 200, None),
    ],
)
async def test_faults_that_answer_html(
    client: Client, name: str, options: dict[str, Any], status: int, retry_after: str | None
) -> None:
    await client.fault(name, **options)
    async with client.post("enforcement", await client.secret(), BODY) as response:
        assert (response.status, response.headers.get("Retry-After")) == (status, retry_after)
        assert response.content_type == "text/html"
        assert "系统繁忙" in await response.text()


async def test_a_followed_redirect_shows_in_the_calls(client: Client, courts: Running[Courts]) -> None:
    await client.fault("redirect")
    async with client.post("enforcement", await client.secret(), BODY) as response:
        assert "redirected" not in [call.service for call in courts.upstream.calls.all()]
        async with client.session.get(client.base + response.headers["Location"]) as page:
            assert page.status == 200
    assert courts.upstream.calls.all()[-1].service == "redirected"


async def _raw(client: Client, name: str, **options: Any) -> tuple[aiohttp.ClientResponse, bytes]:
    """The whole body that comes back under a fault, as it came over the wire."""
    await client.fault(name, times=1, **options)
    async with client.post("enforcement", await client.secret(), BODY) as response:
        assert response.status == 200
        return response, await response.read()


async def asked(courts: Running[Courts]) -> None:
    """Until the last call is a question."""
    assert await eventually(lambda: courts.upstream.calls.all()[-1].service == "enforcement")


async def test_down_and_black_hole(client: Client, courts: Running[Courts]) -> None:
    secret = await client.secret()
    await client.fault("down", times=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.query("enforcement", secret, MANY)
    await client.fault("black_hole", times=1)
    secret = await client.secret()
    hole = asyncio.ensure_future(client.query("enforcement", secret, MANY))
    await asked(courts)
    assert await asyncio.wait({hole}, timeout=0.2) == (set(), {hole})
    hole.cancel()
    assert (await client.query("enforcement", secret, MANY))[0]["totalSize"] == 25


async def test_close_does_not_wait_for_a_black_hole(client: Client, courts: Running[Courts]) -> None:
    await client.fault("black_hole")
    waiting = asyncio.ensure_future(client.query("enforcement", await client.secret(), MANY))
    await asked(courts)
    await asyncio.wait_for(courts.close(), 30)
    with pytest.raises(aiohttp.ClientError):
        await waiting
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.refresh()


async def test_slow_and_drip_take_their_time(client: Client) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    _, body = await _raw(client, "slow", seconds=0.2)
    assert loop.time() - began >= 0.2
    assert json.loads(body)[0]["totalSize"] == 25
    await client.fault("drip", uscc=NOBODY, seconds=0.002)
    began = loop.time()
    [page] = await client.query("enforcement", await client.secret(), NOBODY)
    assert page["totalSize"] == 0
    assert loop.time() - began >= 0.1  # some 70 bytes


async def test_bodies_that_are_cut(client: Client) -> None:
    response, body = await _raw(client, "cut_json")
    assert int(response.headers["Content-Length"]) == len(body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    with pytest.raises(aiohttp.ClientPayloadError):
        await _raw(client, "cut_body")


async def test_bodies_without_an_answer(client: Client) -> None:
    assert (await _raw(client, "null_body"))[1] == b"null"
    assert (await _raw(client, "empty_list"))[1] == b"[]"


async def test_answer_in_gb18030(client: Client) -> None:
    response, body = await _raw(client, "gb18030")
    assert response.charset == "GB18030"
    assert json.loads(body.decode("gb18030"))[0]["result"][0]["pname"] == "示例二"
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")


async def test_gzip_bomb_is_small_on_the_wire_and_true_when_unpacked(client: Client) -> None:
    response, body = await _raw(client, "gzip_bomb")
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(body) < 2**20
    unpacker, size, rest = zlib.decompressobj(31), 0, body
    start = unpacker.decompress(rest, 2**20)
    assert json.loads(start)[0]["totalSize"] == 25
    size, rest = len(start), unpacker.unconsumed_tail
    while rest:
        size += len(unpacker.decompress(rest, 2**22))
        rest = unpacker.unconsumed_tail
    assert unpacker.eof  # the checksum and the length at its end hold as well
    assert size > 256 * 2**20


async def test_huge_and_deep_answers_are_json(client: Client) -> None:
    response, body = await _raw(client, "huge_json")
    assert len(body) == int(response.headers["Content-Length"]) > 64 * 2**20
    assert json.loads(body)[0]["totalSize"] == 25
    _, body = await _raw(client, "deep_json")
    assert body.count(b"[") == body.count(b"]") > 200_000
    with pytest.raises(RecursionError):
        json.loads(body)


async def test_endless_body_goes_on_until_the_caller_leaves(client: Client) -> None:
    await client.fault("endless_body", times=1)
    secret = await client.secret()
    async with client.post("enforcement", secret, BODY) as response:
        assert len(await response.content.readexactly(8 * 2**20)) == 8 * 2**20
        response.close()
    assert (await client.query("enforcement", secret, MANY))[0]["totalSize"] == 25


async def test_faults_of_the_wire_reach_the_refresh(client: Client) -> None:
    for name in ("huge_json", "slow", "gb18030"):
        await client.fault(name, "refresh", times=1, seconds=0)
        assert (await client.refresh())["code"] == 0
