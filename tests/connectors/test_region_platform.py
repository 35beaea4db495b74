"""Promises: the regional platform's connector gives each subject all its rows and no other's, or says how it failed.

Signed anew at every call, batches of 50, every page; a fault of the platform is never "no record". Rows themselves:
test_region_platform_rows.py; reports, withdrawals and the feed: test_region_platform_exchange.py.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hostile import PATIENCE, lasting

from connectors.base import Answer, Failure, FailureKind, Outcome, SubjectRef
from connectors.region_platform import RegionPlatformConnector, RegionPlatformSettings
from tests.connectors.platform_upstream import APP_KEY, SECRET, Platform, code, ok, page, penalty, row, serving

USCC, OTHER = code("91", 1), code("91", 2)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with serving(Platform()) as server:
        yield server


def connector(platform: Platform, **changes: Any) -> RegionPlatformConnector:
    options: dict[str, Any] = {"budget": PATIENCE, "connect_timeout": PATIENCE, "requests_per_second": 0, **changes}
    options.setdefault("clock", lambda: platform.now)
    return RegionPlatformConnector(RegionPlatformSettings(platform.url, APP_KEY, SECRET, **options))


async def ask(platform: Platform, *codes: str, within: float = PATIENCE, **changes: Any) -> dict[str, Outcome]:
    asked = connector(platform, **changes)
    try:
        deadline = asyncio.get_running_loop().time() + within
        return dict(await asked.ask("records", [SubjectRef(one) for one in codes or (USCC,)], None, deadline))
    finally:
        await asked.close()


async def failure(platform: Platform, *codes: str, **changes: Any) -> Failure:
    """The failure that all the codes asked for end in."""
    outcomes = list((await ask(platform, *codes, **changes)).values())
    assert isinstance(outcomes[0], Failure), outcomes
    assert all(one == outcomes[0] for one in outcomes)
    return outcomes[0]


async def test_rows_go_to_the_subject_that_their_code_names(platform: Platform) -> None:
    platform.reply = lambda path, asked: page([penalty(USCC), penalty(USCC, "样例[2026]2号"), penalty(OTHER)])
    outcomes = await ask(platform, USCC, OTHER, code("91", 3))
    numbers = {
        uscc: [one["document_number"] for one in outcome.rows]
        for uscc, outcome in outcomes.items()
        if isinstance(outcome, Answer)
    }
    assert numbers == {USCC: ["样例〔2026〕1号", "样例〔2026〕2号"], OTHER: ["样例〔2026〕1号"], code("91", 3): []}
    assert all(isinstance(one, Answer) and one.asked_at == platform.now for one in outcomes.values())
    assert platform.asked == [("query", {"tyshxydmList": [USCC, OTHER, code("91", 3)], "page": 1, "size": 100})]


async def test_no_rows_is_an_answer(platform: Platform) -> None:
    for pages in (0, 1):
        platform.reply = lambda path, asked, pages=pages: page([], pages=pages)
        outcome = (await ask(platform))[USCC]
        assert isinstance(outcome, Answer)
        assert outcome.rows == ()


async def test_batches_hold_50_distinct_codes(platform: Platform) -> None:
    codes = [code("91", number) for number in range(101)]
    platform.reply = lambda path, asked: page([penalty(asked["tyshxydmList"][0])])
    outcomes = await ask(platform, *codes, *codes)
    assert sorted(len(asked["tyshxydmList"]) for _, asked in platform.asked) == [1, 50, 50]
    assert list(outcomes) == codes
    assert [uscc for uscc in codes if isinstance(one := outcomes[uscc], Answer) and one.rows] == [
        codes[0],
        codes[50],
        codes[100],
    ]


async def test_a_code_that_does_not_hold_is_not_sent(platform: Platform) -> None:
    outcomes = await ask(platform, USCC, "91652799YL0000010X")
    assert [asked["tyshxydmList"] for _, asked in platform.asked] == [[USCC]]
    assert isinstance(outcomes[USCC], Answer)
    assert outcomes["91652799YL0000010X"] == Failure(FailureKind.REJECTED, detail="not a valid code")


async def test_all_pages_are_read(platform: Platform) -> None:
    rows = [penalty(USCC, f"样例[2026]{number}号") for number in range(250)]
    platform.reply = lambda path, asked: page(
        rows[asked["page"] * 100 - 100 : asked["page"] * 100], asked["page"], 3, 250
    )
    outcome = (await ask(platform))[USCC]
    assert isinstance(outcome, Answer)
    assert [one["document_number"] for one in outcome.rows] == [f"样例〔2026〕{number}号" for number in range(250)]
    assert [asked["page"] for _, asked in platform.asked] == [1, 2, 3]


async def test_all_pages_of_one_batch_have_twice_the_limit_of_a_body(platform: Platform) -> None:
    rows = [penalty(USCC, f"样例[2026]{number}号") for number in range(1000)]
    platform.reply = lambda path, asked: page(
        rows[asked["page"] * 100 - 100 : asked["page"] * 100], asked["page"], 10, 1000
    )
    size = len(json.dumps(platform.reply("query", {"page": 5})).encode())
    found = await failure(platform, max_body_bytes=2 * size)
    assert found == Failure(FailureKind.TOO_LARGE, detail="too much for one question")
    assert len(platform.asked) < 6
    assert isinstance((await ask(platform, max_body_bytes=6 * size))[USCC], Answer)


async def test_calls_are_signed_by_either_algorithm_and_never_with_the_same_nonce(platform: Platform) -> None:
    for algorithm, name in (("sm3", "SM3"), ("sha256", "SHA256")):
        platform.algorithm = algorithm
        for _ in range(2):
            assert isinstance((await ask(platform, algorithm=name))[USCC], Answer)
    assert len(platform.nonces) == 4
    assert (await failure(platform, algorithm="SM3")).kind is FailureKind.REJECTED
    assert SECRET not in json.dumps(platform.headers)


async def test_the_secret_shows_nowhere(platform: Platform) -> None:
    settings = RegionPlatformSettings(platform.url, APP_KEY, SECRET)
    assert SECRET not in repr(settings)
    assert SECRET not in repr(vars(RegionPlatformConnector(settings)))
    with pytest.raises(ValueError, match="neither SM3 nor SHA256") as caught:
        RegionPlatformSettings(platform.url, APP_KEY, SECRET, algorithm="MD5")  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


async def test_a_nonce_used_before_is_refused_and_is_no_empty_answer(platform: Platform) -> None:
    assert isinstance((await ask(platform, nonce=lambda: "n1"))[USCC], Answer)
    assert await failure(platform, nonce=lambda: "n1") == Failure(FailureKind.REJECTED, detail="status 0")


ODD: list[Any] = [None, [], "x", {}, {"status": 1}, {"status": True, "data": page([])["data"]}, {"status": "1"}]


@pytest.mark.parametrize("answer", ODD)
async def test_an_answer_without_its_envelope_is_malformed(platform: Platform, answer: Any) -> None:
    platform.reply = lambda path, asked: answer
    assert (await failure(platform, USCC, OTHER)).kind is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"total": 2}, FailureKind.MALFORMED),
        ({"total": -1}, FailureKind.MALFORMED),
        ({"total": 0}, FailureKind.MALFORMED),
        ({"total": "1"}, FailureKind.MALFORMED),
        ({"totalSize": 0}, FailureKind.MALFORMED),
        ({"totalSize": 2}, FailureKind.MALFORMED),  # the same page again
        ({"totalSize": 51}, FailureKind.TOO_LARGE),
        ({"page": 2}, FailureKind.MALFORMED),
        ({"list": None}, FailureKind.MALFORMED),
        ({"list": []}, FailureKind.MALFORMED),
        ({"list": [None]}, FailureKind.MALFORMED),
        ({"list": [penalty(USCC)] * 101, "total": 101}, FailureKind.MALFORMED),
        ({"list": [penalty(USCC)] * 2, "total": 2}, FailureKind.MALFORMED),  # a row twice
        ({"list": [penalty(USCC) | {"tyshxydm": None}]}, FailureKind.MALFORMED),
        ({"list": [penalty(OTHER)]}, FailureKind.FOREIGN_ROWS),
        ({"list": [penalty(USCC) | {"tyshxydm": OTHER}]}, FailureKind.FOREIGN_ROWS),
        ({"list": [penalty(USCC, CF_XDR_SHXYM=OTHER)]}, FailureKind.FOREIGN_ROWS),
    ],
)
async def test_what_does_not_add_up_fails_the_whole_batch(
    platform: Platform, changes: dict[str, Any], kind: FailureKind
) -> None:
    platform.reply = lambda path, asked: ok(
        page([penalty(USCC)], asked["page"])["data"] | {"page": asked["page"]} | changes
    )
    assert (await failure(platform, USCC, code("91", 3))).kind is kind


async def test_totals_that_change_between_pages_are_malformed(platform: Platform) -> None:
    platform.reply = lambda path, asked: page(
        [penalty(USCC, f"样例{asked['page']}号")], asked["page"], 2, 1 + asked["page"]
    )
    assert (await failure(platform)).detail == "totals change between pages"


async def test_a_row_that_breaks_the_contract_fails_its_own_subject_alone(platform: Platform) -> None:
    platform.reply = lambda path, asked: page([penalty(USCC), penalty(USCC, "二号", CF_JDRQ="昨天"), penalty(OTHER)])
    outcomes = await ask(platform, USCC, OTHER)
    assert outcomes[USCC] == Failure(FailureKind.MALFORMED, detail="CF_JDRQ can't be read as a date")
    assert isinstance(outcomes[OTHER], Answer)
    assert len(outcomes[OTHER].rows) == 1


async def test_dates_that_may_lack_are_null_and_counted(platform: Platform) -> None:
    rows = [penalty(USCC, CF_YXQ="不久", CF_GSJZQ="以后"), row("honour", USCC, HONOUR | {"valid_to": "?!"})]
    platform.reply = lambda path, asked: page(rows)
    outcome = (await ask(platform))[USCC]
    assert isinstance(outcome, Answer)
    assert outcome.unreadable == 3
    assert [one["valid_until"] for one in outcome.rows] == [None, None]


HONOUR = {"title": "示例先进单位", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": None}


def plain(status: int = 200, body: bytes = b"", **headers: str) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **headers})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (plain(302, Location="/login"), Failure(FailureKind.THROTTLED, None, "status 302")),
        (plain(429, **{"Retry-After": "7"}), Failure(FailureKind.THROTTLED, 7.0, "status 429")),
        (plain(412), Failure(FailureKind.THROTTLED, None, "status 412")),
        (plain(503), Failure(FailureKind.SERVER_ERROR, None, "status 503")),
        (plain(401), Failure(FailureKind.CREDENTIALS, None, "status 401")),
        (plain(403), Failure(FailureKind.FORBIDDEN, None, "status 403")),
        (plain(404), Failure(FailureKind.REJECTED, None, "status 404")),
        (plain(204), Failure(FailureKind.MALFORMED, None, "status 204")),
        (plain(body=b"<html>login</html>"), Failure(FailureKind.MALFORMED, None, "body is not JSON")),
        (plain(body=json.dumps(page([])).encode()[:-9]), Failure(FailureKind.MALFORMED, None, "body is not JSON")),
        (plain(body=b'{"data":' + b"[" * 100_000), Failure(FailureKind.MALFORMED, None, "JSON nested too deep")),
        (plain(body=b" " * 3_000), Failure(FailureKind.TOO_LARGE, None, "body over 2000 bytes")),
        (
            plain(body=gzip.compress(b" " * 10**6), **{"Content-Encoding": "gzip"}),
            Failure(FailureKind.TOO_LARGE, None, "body over 2000 bytes"),
        ),
        (plain(body=b'{"status":0,"message":"no"}'), Failure(FailureKind.REJECTED, None, "status 0")),
    ],
)  # fmt: skip
async def test_faults_of_http_have_their_kinds(platform: Platform, answer: web.Response, expected: Failure) -> None:
    platform.raw = answer
    limit = 200_000 if expected.detail == "JSON nested too deep" else 2_000
    assert await failure(platform, USCC, OTHER, max_body_bytes=limit) == expected


async def test_an_answer_in_gb18030_is_read(platform: Platform) -> None:
    body = json.dumps(page([penalty(USCC)]), ensure_ascii=False).encode("gb18030")
    platform.raw = plain(body=body, **{"Content-Type": "application/json; charset=gb18030"})
    outcome = (await ask(platform))[USCC]
    assert isinstance(outcome, Answer)
    assert outcome.rows[0]["subject_name"] == "样例一有限公司"


async def test_silence_ends_with_the_deadline_and_a_closed_door_at_once() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_data = True
        while with_data:
            with_data = bool(await reader.read(1_000))
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    platform = Platform()
    platform.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    with lasting(0.4, 1.0):
        assert (await failure(platform, within=0.2)).kind is FailureKind.TIMEOUT
        assert (await failure(platform, budget=0.2)).kind is FailureKind.TIMEOUT
    server.close()
    await server.wait_closed()
    assert (await failure(platform)).kind is FailureKind.UNREACHABLE


async def test_another_part_is_an_error_and_a_closed_connector_fails(platform: Platform) -> None:
    asked = connector(platform)
    with pytest.raises(ValueError, match="no part"):
        await asked.ask("judgments", [], None, 0)
    await asked.close()
    await asked.close()
    outcomes = await asked.ask("records", [SubjectRef(USCC)], None, asyncio.get_running_loop().time() + 1)
    assert outcomes == {USCC: Failure(FailureKind.UNREACHABLE, detail="connector is closed")}
