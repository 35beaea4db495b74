"""The sandbox keeps the regional platform's wire contract: the vector, signatures, nonces, queries, the feed."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from courts_sandbox_client import START, Clock
from platform_sandbox_client import APP_KEY, FEW, HONOUR, MANY, NOBODY, OTHER, PENALTY, ROWS, SECRET, PlatformClient

from sandbox.platform_answers import ANSWER_FAULTS
from sandbox.platform_data import given_rows, synthetic_rows
from sandbox.platform_tables import TABLES, Key, key_of
from sandbox.region_platform import PlatformCredentials, RegionPlatform, sign_call
from sandbox.server import Running, start_region_platform
from sandbox.subjects import make_uscc

NOW = str(int(START * 1000))


def test_vector_of_the_contract() -> None:
    expected = "5db10fa19d1b1a5a27544001273e04b5b967e7de8f09740326dcdd13802bbcbb"
    assert sign_call(PlatformCredentials(APP_KEY, SECRET), "1767225600000", "n1", b'{"a":1}') == expected


async def test_signature_with_sha256(session: aiohttp.ClientSession, clock: Clock) -> None:
    credentials = PlatformCredentials(scheme="SHA256")
    async with await start_region_platform(given_rows(ROWS), credentials=credentials, clock=clock) as running:
        caller = PlatformClient(running.url, session, clock)
        assert (await caller.query(FEW))["status"] == 1001
        caller.scheme = "SHA256"
        assert (await caller.query(FEW))["data"]["total"] == 2
    with pytest.raises(ValueError, match="scheme"):
        PlatformCredentials(scheme="MD5")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"sign": "00" * 32}, 1001),
        ({"sign": "签名"}, 1001),
        ({"key": "gw-other"}, 1001),
        ({"secret": "other"}, 1001),
        ({"nonce": "n" * 65}, 1001),
        ({"nonce": ""}, 1001),
        ({"at": ""}, 1002),
        ({"at": "1767225600.0"}, 1002),
        ({"at": str(int(NOW) - 300_001)}, 1002),
        ({"at": str(int(NOW) + 300_001)}, 1002),
    ],
)
async def test_wrong_headers_are_refused(platform_client: PlatformClient, wrong: dict[str, str], status: int) -> None:
    assert (await platform_client.query(FEW, **wrong))["status"] == status
    assert (await platform_client.get("changes?since=&size=1", **wrong))["status"] == status


async def test_time_five_minutes_off_is_taken(platform_client: PlatformClient) -> None:
    for off in (-300_000, 300_000):
        assert (await platform_client.query(FEW, at=str(int(NOW) + off)))["status"] == 1


async def test_the_body_is_signed_and_the_query_string_is_not(platform_client: PlatformClient) -> None:
    headers = platform_client.headers(b'{"a":1}')
    reply = await platform_client.send("POST", "/api/v1/credit/query", data=b'{"a":2}', headers=headers)
    assert reply.json["status"] == 1001
    headers = platform_client.headers(b"")
    reply = await platform_client.send("GET", "/api/v1/credit/changes?since=&size=7", headers=headers)
    assert reply.json["status"] == 1


async def test_a_nonce_is_used_once_and_only_by_who_signs(platform_client: PlatformClient, clock: Clock) -> None:
    assert (await platform_client.query(FEW, nonce="n-1", secret="other"))["status"] == 1001
    assert (await platform_client.query(FEW, nonce="n-1"))["status"] == 1
    assert (await platform_client.query(FEW, nonce="n-1"))["status"] == 1003
    clock.now += 600
    assert (await platform_client.query(FEW, nonce="n-1"))["status"] == 1003
    clock.now += 3600
    assert (await platform_client.query(FEW, nonce="n-1"))["status"] == 1


async def test_query(platform_client: PlatformClient) -> None:
    answer = await platform_client.query(FEW)
    honour, penalty = answer["data"].pop("list")
    assert answer == {"status": 1, "message": "", "data": {"total": 2, "totalSize": 1, "page": 1}}
    assert (honour["table_name"], honour["entity"]) == ("honour", HONOUR | {"valid_to": None})
    assert set(penalty["entity"]) == set(TABLES["xzcf"].columns)
    assert penalty["entity"]["CF_XDR_MC"] == "示例公司"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", penalty["updateTime"])


async def test_decimal_numbers_keep_their_digits(platform_client: PlatformClient) -> None:
    raw = f'{{"tyshxydmList":["{FEW}"],"page":1,"size":100}}'.encode()
    url, headers = f"{platform_client.base}/api/v1/credit/query", platform_client.headers(raw)
    async with platform_client.session.post(url, data=raw, headers=headers) as response:
        assert '"CF_NR_FK":0.10,' in await response.text()


async def test_rows_are_in_order_whatever_the_order_of_the_codes(platform_client: PlatformClient) -> None:
    first = (await platform_client.query(MANY, NOBODY, FEW, MANY))["data"]
    assert (first["total"], first["totalSize"], len(first["list"])) == (132, 2, 100)
    second = (await platform_client.query(FEW, MANY, page=2))["data"]
    assert (second["total"], second["page"], len(second["list"])) == (132, 2, 32)
    keys = [(row["tyshxydm"], row["table_name"], row["entity"].get("XK_WSH")) for row in first["list"] + second["list"]]
    assert [key[1] for key in keys if key[0] == FEW] == ["honour", "xzcf"]
    numbers = [key[2] for key in keys if key[0] == MANY]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 130
    assert (await platform_client.query(MANY, page=3))["data"]["list"] == []


async def test_nobody_is_no_row(platform_client: PlatformClient) -> None:
    assert (await platform_client.query(NOBODY))["data"] == {"total": 0, "totalSize": 0, "page": 1, "list": []}


def _codes(count: int) -> list[str]:
    return [make_uscc("91", "652799", serial) for serial in range(1000, 1000 + count)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 2001),
        ({"tyshxydmList": [FEW], "page": 1}, 2001),
        ({"tyshxydmList": [FEW], "page": 0, "size": 100}, 2001),
        ({"tyshxydmList": [FEW], "page": True, "size": 100}, 2001),
        ({"tyshxydmList": [FEW], "page": 1, "size": 101}, 2001),
        ({"tyshxydmList": FEW, "page": 1, "size": 100}, 2001),
        ({"tyshxydmList": [], "page": 1, "size": 100}, 2002),
        ({"tyshxydmList": _codes(51), "page": 1, "size": 100}, 2002),
        ({"tyshxydmList": [FEW, FEW[:17] + ("0" if FEW[17] != "0" else "1")], "page": 1, "size": 100}, 2002),
        ({"tyshxydmList": [FEW, None], "page": 1, "size": 100}, 2002),
    ],
)
async def test_bad_queries_are_refused_whole(platform_client: PlatformClient, body: Any, status: int) -> None:
    reply = await platform_client.post("query", body)
    assert (reply.json["status"], set(reply.json)) == (status, {"status", "message"})


async def test_fifty_codes_are_taken(platform_client: PlatformClient) -> None:
    assert (await platform_client.query(*_codes(49), FEW))["data"]["total"] == 2


async def test_feed(platform_client: PlatformClient) -> None:
    seen, since = [], ""
    for _ in range(3):
        data = (await platform_client.changes(since, 50))["data"]
        seen += data["list"]
        assert data["more"] is (len(seen) < len(ROWS))
        since = data["next"]
    assert [(row["op"], row["table_name"], row["tyshxydm"]) for row in seen] == [
        ("upsert", row["table_name"], row["tyshxydm"]) for row in ROWS
    ]
    end = (await platform_client.changes(since))["data"]
    assert end == {"next": since, "more": False, "list": []}


@pytest.mark.parametrize("since", ["x", "AAAA", "游标", "a" * 200])
async def test_a_cursor_of_nobody_is_refused(platform_client: PlatformClient, since: str) -> None:
    assert (await platform_client.changes(since))["status"] == 2003


async def test_a_cursor_of_another_life_is_refused(
    platform_client: PlatformClient, session: aiohttp.ClientSession, clock: Clock
) -> None:
    since = (await platform_client.changes())["data"]["next"]
    async with await start_region_platform(given_rows(ROWS), clock=clock) as running:
        assert (await PlatformClient(running.url, session, clock).changes(since))["status"] == 2003


@pytest.mark.parametrize("size", ["0", "501", "-1", "x", ""])
async def test_bad_sizes_of_the_feed(platform_client: PlatformClient, size: str) -> None:
    assert (await platform_client.get(f"changes?since=&size={size}"))["status"] == 2001


async def test_what_others_report_comes_in_the_feed(platform_client: PlatformClient) -> None:
    since = (await platform_client.changes())["data"]["next"]
    row = {"op": "upsert", "table_name": "honour", "tyshxydm": NOBODY, "entity": HONOUR}
    assert (await platform_client.send("POST", "/_changes", json=row)).status == 201
    item = {"op": "withdraw", "table_name": "honour", "tyshxydm": NOBODY, "wsh": "示例称号|2024-03-04"}
    item |= {"reason": "revoked", "effectiveOn": "2026-01-01"}
    assert (await platform_client.send("POST", "/_changes", json=item)).status == 201
    upsert, withdrawal = (await platform_client.changes(since))["data"]["list"]
    assert (upsert["op"], withdrawal["op"]) == ("upsert", "withdraw")
    more = {"op": "withdraw", "reason": "revoked", "effectiveOn": "2026-01-01"}
    assert withdrawal == upsert | more  # the whole row
    assert (await platform_client.query(NOBODY))["data"]["total"] == 0
    for wrong in (item, {"op": "x"}, [], row | {"table_name": "x"}, row | {"tyshxydm": "x"}):
        assert (await platform_client.send("POST", "/_changes", json=wrong)).status == 400


async def test_calls_are_recorded_without_secrets(platform_client: PlatformClient) -> None:
    await platform_client.query(FEW, MANY, nonce="n-7")
    await platform_client.query(FEW, page=2)
    [first, second] = await platform_client.calls("query")
    assert (first["uscc"], first["usccs"], first["nonce"]) == (None, [FEW, MANY], "n-7")
    assert (second["uscc"], second["usccs"], second["page"]) == (FEW, [FEW], 2)
    assert SECRET not in str(await platform_client.calls())


REFUSALS = {
    "bad_signature": 1001,
    "clock_off": 1002,
    "nonce_seen": 1003,
    "bad_body": 2001,
    "refused_status": 9999,
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_on_request(platform_client: PlatformClient, name: str) -> None:
    await platform_client.fault(name, text="MARK-7")
    answers = [
        await platform_client.query(FEW),
        await platform_client.changes(),
        await platform_client.report("b-1", {"rowNo": 1}),
        await platform_client.withdraw("b-1", {}),
        await platform_client.repair("r-1"),
        await platform_client.get("repairs/r-1"),
    ]
    assert answers == [{"status": REFUSALS[name], "message": "MARK-7"}] * 6


FALSE: dict[str, Callable[[dict[str, Any]], bool]] = {
    "foreign_rows": lambda data: all(row["tyshxydm"] not in (FEW, NOBODY) for row in data["list"]),
    "one_foreign_row": lambda data: [row["tyshxydm"] in (FEW, NOBODY) for row in data["list"]][-1] is False,
    "foreign_code_in_row": lambda data: any(
        row["tyshxydm"] in (FEW, NOBODY) and row["entity"].get("CF_XDR_SHXYM") not in (FEW, NOBODY, "/", None)
        for row in data["list"]
    ),
    "wrong_totals": lambda data: data["total"] == len(data["list"]) + 1,
    "wrong_page": lambda data: data["page"] == 2,
    "unknown_table": lambda data: data["list"][0]["table_name"] not in TABLES,
    "bad_date": lambda data: "2017年13月45日" in str(data["list"]),
    "missing_key": lambda data: all("tyshxydm" not in row for row in data["list"]),
    "wrong_type": lambda data: all(row["entity"] == {"unexpected": True} for row in data["list"]),
}


@pytest.mark.parametrize("name", FALSE)
async def test_false_rows(platform_client: PlatformClient, name: str) -> None:
    true = (await platform_client.query(FEW))["data"]
    assert not FALSE[name](true)
    await platform_client.fault(name, "query", times=2)
    for uscc in (FEW, NOBODY):  # where the subject has no row, the fault brings one
        data = (await platform_client.query(uscc))["data"]
        assert data["list"]
        assert FALSE[name](data)
    assert (await platform_client.query(FEW))["data"] == true  # what the platform has is not spoiled


async def test_more_false_rows(platform_client: PlatformClient) -> None:
    await platform_client.fault("bad_amount", "query", times=1)
    rows = (await platform_client.query(FEW))["data"]["list"]
    assert [row["entity"]["CF_NR_FK"] for row in rows if row["table_name"] == "xzcf"] == ["若干"]
    await platform_client.fault("missing_key", "query", times=1, key="total")
    assert "total" not in (await platform_client.query(FEW))["data"]
    await platform_client.fault("bad_codes", "query", uscc=OTHER)
    assert (await platform_client.query(FEW, MANY))["status"] == 1
    assert (await platform_client.query(FEW, OTHER))["status"] == 2002


async def test_false_pages(platform_client: PlatformClient) -> None:
    await platform_client.fault("repeated_page", "query", times=2)
    first, second = [(await platform_client.query(FEW, page=page))["data"] for page in (1, 2)]
    assert first["list"] == second["list"]
    assert (first["total"], first["totalSize"], len(first["list"]), second["page"]) == (200, 2, 100, 2)
    for name in ("endless_pages", "too_many_pages"):
        await platform_client.fault(name, "query", times=3)
        numbers = set()
        for page in (1, 2, 70):
            data = (await platform_client.query(FEW, page=page, size=10))["data"]
            assert (data["page"], len(data["list"]), data["totalSize"] > page) == (page, 10, True)
            numbers |= {row["entity"]["CF_WSH"] for row in data["list"]}
        assert len(numbers) == 30
    await platform_client.fault("too_many_rows", "query")
    data = (await platform_client.query(FEW, size=10))["data"]
    assert (data["total"], len(data["list"])) == (11, 11)


async def test_false_feeds(platform_client: PlatformClient) -> None:
    whole = (await platform_client.changes())["data"]
    await platform_client.fault("cursor_stuck", "changes", times=1)
    stuck = (await platform_client.changes(whole["next"]))["data"]
    assert (stuck["next"], stuck["more"]) == (whole["next"], True)
    await platform_client.fault("cursor_refused", "changes", times=1)
    assert (await platform_client.changes(whole["next"]))["status"] == 2003
    await platform_client.fault("endless_changes", "changes", times=3)
    seen, since = {whole["next"]}, whole["next"]
    for _ in range(3):
        data = (await platform_client.changes(since))["data"]
        since = data["next"]
        assert (data["more"], data["list"], since in seen) == (True, [], False)
        seen.add(since)
    assert (await platform_client.changes(since))["data"]["more"] is False  # a cursor as good as any
    for name, wrong in (
        ("unknown_op", lambda data: data["list"][0]["op"] not in ("upsert", "withdraw")),
        ("unknown_table", lambda data: data["list"][0]["table_name"] not in TABLES),
        ("foreign_code_in_row", lambda data: data["list"][0]["entity"]["CF_XDR_SHXYM"] != data["list"][0]["tyshxydm"]),
        ("missing_key", lambda data: "next" not in data),
        ("wrong_type", lambda data: isinstance(data["list"], dict)),
    ):
        for since in ("", whole["next"]):
            await platform_client.fault(name, "changes", times=1)
            assert wrong((await platform_client.changes(since))["data"]), name


def test_every_fault_of_queries_and_the_feed_is_tried_here() -> None:
    tried = {*REFUSALS, *FALSE, "bad_amount", "bad_codes", "repeated_page", "endless_pages", "too_many_pages"}
    tried |= {"too_many_rows", "cursor_stuck", "cursor_refused", "endless_changes", "unknown_op"}
    assert {name for name, services in ANSWER_FAULTS.items() if {"query", "changes"} & set(services)} == tried


FIRMS = {make_uscc("91", "652799", serial): f"示例公司{serial}" for serial in range(1500)}


def test_made_up_rows_are_the_same_every_time_and_spelled_in_every_way() -> None:
    rows = synthetic_rows(FIRMS)
    assert rows == synthetic_rows(FIRMS)
    assert rows != synthetic_rows(FIRMS, "2")
    assert len({key_of(row) for row in rows}) == len(rows)
    penalised = {row["tyshxydm"] for row in rows if row["table_name"] == "xzcf"}
    assert 0.25 < len(penalised) / len(FIRMS) < 0.35
    assert max(sum(row["tyshxydm"] == uscc for row in rows) for uscc in penalised) <= 150
    entities = [row["entity"] for row in rows if row["table_name"] == "xzcf"]
    assert {type(entity["CF_NR_FK"]) for entity in entities} == {Decimal, str, type(None)}
    texts = [entity["CF_NR_FK"] for entity in entities if isinstance(entity["CF_NR_FK"], str)]
    assert all(re.fullmatch(r"\d+(\.\d+)?(万元|元)?|/|无|暂无|", text) for text in texts)
    assert {re.sub(r"\d", "", entity["CF_JDRQ"]) for entity in entities} == {"--", "年月日", "", "//"}
    assert {sign for entity in entities for sign in entity["CF_CFLB"] if sign in ";；、,，"} == set(";；、,，")
    assert {entity["CF_XDR_SHXYM"] in ("/", row["tyshxydm"]) for entity, row in _with_rows(rows)} == {True}
    assert {entity["CF_WSH"][3 if entity["CF_WSH"][3] in "〔【[(（" else 4] for entity in entities} == set("〔【[(（")


def _with_rows(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(row["entity"], row) for row in rows if row["table_name"] == "xzcf"]


def test_keys_fold_brackets_and_stand_for_numbers() -> None:
    [row] = given_rows([{"table_name": "xzcf", "tyshxydm": FEW, "entity": PENALTY}])
    assert key_of(row) == Key(FEW, "xzcf", "示罚字〔2024〕1号")
    [row] = given_rows([{"table_name": "honour", "tyshxydm": FEW, "entity": HONOUR}])
    assert key_of(row) == Key(FEW, "honour", "示例称号|2024-03-04")


@pytest.mark.parametrize("rows", [{}, [1], [{"table_name": "x"}], [{"table_name": "xzcf", "entity": {}}]])
def test_given_rows_that_are_none(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|has a table|USCC"):
        given_rows(rows)


async def test_a_row_takes_the_place_of_the_one_with_its_key(platform: Running[RegionPlatform]) -> None:
    entity = PENALTY | {"CF_WSH": "示罚字（2024）1号", "CF_XDR_MC": "示例新名"}
    platform.upstream.store.upsert(given_rows([{"table_name": "xzcf", "tyshxydm": FEW, "entity": entity}])[0])
    rows = [row for row in platform.upstream.store.find([FEW]) if row["table_name"] == "xzcf"]
    assert [row["entity"]["CF_XDR_MC"] for row in rows] == ["示例新名"]
