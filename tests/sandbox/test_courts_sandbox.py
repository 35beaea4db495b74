"""The sandbox keeps the courts' wire contract (docs/connectors.md): vectors, headers, secrets, pages, bodies."""

import json
from typing import Any

import pytest
from courts_sandbox_client import FEW, KEY, MANY, NOBODY, ROWS, START, Client, Clock

from sandbox.courts import Courts, encrypt_secret, sign
from sandbox.data import SERVICES
from sandbox.server import Running


def test_vectors_of_the_contract() -> None:
    expected = "FnPXUo0uUXq5zgQCFwhXOCB4XwFHL6BI91LgsSpXkBE="
    assert sign(KEY, "sid-courts-all", "gw-bortala-test", "1767225600000") == expected
    cipher = "bJgQ6rQrY9JQkUcMzarSysADQ3wHPEwaWXzVpvDVs3gRXNsSG9Kjw2sg+JJCnF/2"
    assert encrypt_secret(KEY, "0123456789abcdefghijklmnopqrstuv") == cipher


async def test_refresh_then_query(client: Client) -> None:
    answer = await client.refresh()
    assert (answer["code"], answer["data"]["secretEndTime"]) == (0, int(START * 1000) + 600_000)
    secret = await client.secret()
    [page] = await client.query("dishonest", secret, FEW)
    assert page == {"totalPage": 1, "totalSize": 1, "currentPage": 1, "result": ROWS["dishonest"]}


async def test_pages_of_ten_and_nothing_past_the_last(client: Client) -> None:
    secret, seen = await client.secret(), []
    for number, length in ((1, 10), (2, 10), (3, 5), (4, 0)):
        [page] = await client.query("enforcement", secret, MANY, number)
        assert (page["totalPage"], page["totalSize"], page["currentPage"]) == (3, 25, number)
        assert len(page["result"]) == length
        seen += [row["id"] for row in page["result"]]
    assert seen == list(range(1, 26))


async def test_unknown_subject_is_an_empty_page(client: Client) -> None:
    secret = await client.secret()
    for service in SERVICES:
        answer = await client.query(service, secret, NOBODY)
        assert answer == [{"totalPage": 0, "totalSize": 0, "currentPage": 1, "result": []}]


async def test_decimal_numbers_keep_their_digits(client: Client) -> None:
    body = {"cardNum": MANY, "pName": "", "currentPage": 1}
    async with client.post("enforcement", await client.secret(), body) as response:
        assert '"execMoney":0.10}' in await response.text()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"sign": "AAAA"}, 40102),
        ({"sign": "签名"}, 40102),
        ({"rid": "gw-other"}, 40102),
        ({"sid": "sid-courts-judgments"}, 40301),
        ({"sid": ""}, 40301),
        ({"rtime": ""}, 40103),
        ({"rtime": "1767225600.0"}, 40103),
        ({"rtime": str(int(START * 1000) - 300_001)}, 40103),
        ({"rtime": str(int(START * 1000) + 300_001)}, 40103),
    ],
)
async def test_wrong_headers_are_refused(client: Client, wrong: dict[str, str], code: int) -> None:
    assert (await client.query("dishonest", await client.secret(), FEW, **wrong))["code"] == code
    if "sid" not in wrong:
        assert (await client.refresh(**wrong))["code"] == code


async def test_time_five_minutes_off_is_taken(client: Client) -> None:
    secret = await client.secret()
    for off in (-300_000, 300_000):
        [page] = await client.query("dishonest", secret, FEW, rtime=str(int(START * 1000) + off))
        assert page["totalSize"] == 1


async def test_each_call_has_its_own_key_and_sid(client: Client) -> None:
    secret = await client.secret()
    assert (await client.query("dishonest", KEY, FEW))["code"] == 40102
    assert (await client.refresh(key=secret))["code"] == 40102
    assert (await client.refresh(sid="sid-courts-dishonest"))["code"] == 40301
    assert (await client.query("weddings", secret, FEW))["code"] == 40301


async def test_missing_headers_are_refused_without_an_error(client: Client) -> None:
    async with client.session.post(f"{client.base}/httpproxy/dishonest", json={}) as response:
        assert (response.status, (await response.json())["code"]) == (200, 40103)


async def test_secret_ends_and_earlier_ones_last_until_their_own_end(
    client: Client, clock: Clock, courts: Running[Courts]
) -> None:
    first = await client.secret()
    clock.now += 500
    second = await client.secret()
    assert first != second
    clock.now += 99
    assert (await client.query("dishonest", first, FEW))[0]["totalSize"] == 1
    clock.now += 1
    assert (await client.query("dishonest", first, FEW))["code"] == 40101
    assert (await client.query("dishonest", second, FEW))[0]["totalSize"] == 1
    courts.upstream.end_secrets()
    assert (await client.query("dishonest", second, FEW))["code"] == 40101


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"cardNum": FEW, "currentPage": 1},
        {"cardNum": "x", "pName": "", "currentPage": 1},
        {"cardNum": FEW, "pName": "", "currentPage": 0},
        {"cardNum": FEW, "pName": "", "currentPage": "1"},
        {"cardNum": FEW, "pName": "", "currentPage": True},
    ],
)
async def test_bad_body_is_refused(client: Client, body: Any) -> None:
    async with client.post("dishonest", await client.secret(), body) as response:
        assert (await response.json())["code"] == 40001


async def test_calls_are_recorded_without_secrets(client: Client) -> None:
    secret = await client.secret()
    await client.query("enforcement", secret, MANY, 2)
    await client.query("dishonest", "wrong key", FEW)
    async with client.session.get(f"{client.base}/_calls") as response:
        text = await response.text()
    at = int(START * 1000)
    assert json.loads(text) == [
        {"service": "refresh", "uscc": None, "page": None, "at": at},
        {"service": "enforcement", "uscc": MANY, "page": 2, "at": at},
        {"service": "dishonest", "uscc": FEW, "page": 1, "at": at},
    ]
    assert secret not in text
    assert (await client.session.delete(f"{client.base}/_calls")).status == 204
    assert await (await client.session.get(f"{client.base}/_calls")).json() == []
