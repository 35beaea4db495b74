"""The courts' made-up data: the same every time, in the proportions promised, spelled as courts do, about nobody."""

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from courts_sandbox_client import Client, Clock
from stdnum.cn import uscc as stdnum_uscc

from sandbox.courts import Courts
from sandbox.data import SERVICES, Given, Synthetic, load_rows, load_subjects, make_uscc
from sandbox.server import Running, start_courts

FIRMS = {make_uscc("91", "652701", serial): f"示例公司{serial}" for serial in range(2000)}
ORGANS = {make_uscc("11", "652722", serial): f"样例局{serial}" for serial in range(500)}
DATES = r"\d{4}年\d\d月\d\d日|\d{8}|\d{4}-\d\d-\d\d 00:00:00"
CODE = r"(（\d{4}）|\(\d{4}\))新27(0[12]|2[23])?(执|民初|行初)\d+号"


def _every(services: Sequence[str] = SERVICES) -> list[tuple[str, str, dict[str, Any]]]:
    data = Synthetic(FIRMS | ORGANS)
    return [(name, uscc, row) for name in services for uscc in data.subjects for row in data.rows(name, uscc)]


def test_codes_are_valid() -> None:
    assert len(FIRMS) == 2000
    for uscc in [*FIRMS, *ORGANS]:
        assert stdnum_uscc.is_valid(uscc), uscc


def test_the_same_subject_has_the_same_rows() -> None:
    first, again, other = Synthetic(FIRMS), Synthetic(dict(reversed(FIRMS.items()))), Synthetic(FIRMS, seed="2")
    for service in SERVICES:
        assert [first.rows(service, uscc) for uscc in FIRMS] == [again.rows(service, uscc) for uscc in FIRMS]
    assert [first.rows("dishonest", uscc) for uscc in FIRMS] != [other.rows("dishonest", uscc) for uscc in FIRMS]


@pytest.mark.parametrize(
    ("service", "subjects", "share", "most"),
    [
        ("dishonest", FIRMS, 0.15, 3),
        ("enforcement", FIRMS, 0.25, 25),
        ("consumption", FIRMS, 0.10, 3),
        ("judgments", FIRMS, 0.0, 0),
        ("judgments", ORGANS, 0.30, 12),
    ],
)
def test_proportions(service: str, subjects: dict[str, str], share: float, most: int) -> None:
    data = Synthetic(subjects)
    counts = [len(data.rows(service, uscc)) for uscc in subjects]
    assert abs(sum(count > 0 for count in counts) / len(counts) - share) < 0.05
    assert max(counts) == most


def test_listings_are_of_the_subject_s_own_cases() -> None:
    data = Synthetic(FIRMS)
    for uscc in FIRMS:
        cases = {row["caseCode"].strip("(（")[:4] + row["caseCode"][6:] for row in data.rows("enforcement", uscc)}
        listed = {row["caseCode"].strip("(（")[:4] + row["caseCode"][6:] for row in data.rows("dishonest", uscc)}
        assert listed <= cases
        assert len(cases) == len(data.rows("enforcement", uscc))


def test_every_spelling_occurs_and_no_other() -> None:
    spellings: dict[str, set[Any]] = {"date": set(), "card": set(), "bracket": set(), "money": set(), "done": set()}
    for _, uscc, row in _every():
        assert re.fullmatch(CODE, row["caseCode"]), row["caseCode"]
        spellings["bracket"].add(row["caseCode"][0])
        for key in {"regDate", "publishDate", "caseCreateTime", "orderDate", "judgedOn"} & set(row):
            assert re.fullmatch(DATES, row[key]), row[key]
            spellings["date"].add(re.sub(r"\d+", "", row[key]))
        card = row.get("cardNum") or row["partyCardNum"]
        assert card.replace("-", "") in (uscc, uscc[8:17])
        spellings["card"].add(len(card))
        if "execMoney" in row:
            spellings["money"].add(type(row["execMoney"]))
        if "duty" in row:
            spellings["done"].add(row.get("performance"))
    assert spellings == {
        "date": {"年月日", "", "-- ::"},
        "card": {18, 9, 10},
        "bracket": {"(", "（"},
        "money": {Decimal, str, int},
        "done": {"全部未履行", "部分未履行", "全部已履行", "暂无", None},
    }


def test_ids_are_unique_within_a_subject_and_names_are_made_up() -> None:
    seen = set()
    for service, uscc, row in _every():
        assert (service, uscc, row["id"]) not in seen
        seen.add((service, uscc, row["id"]))
        named = " ".join(str(row.get(key, "")) for key in ("iname", "pname", "duty", "obligation", "businessEntity"))
        assert "示例" in named or "样例" in named


def test_a_real_name_or_a_malformed_code_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "subjects.csv"
    [uscc] = list(FIRMS)[:1]
    listed.write_text(f"uscc,name\n{uscc},示例公司\n\n{uscc},某某公司\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 4: .*made up"):
        load_subjects(listed)
    listed.write_text("12345,示例公司\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1: .*not a USCC"):
        load_subjects(listed)
    listed.write_text(f"{uscc},示例公司\n", encoding="utf-8-sig")
    assert load_subjects(listed) == {uscc: "示例公司"}


def test_rows_from_a_file(tmp_path: Path) -> None:
    [uscc] = list(FIRMS)[:1]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"enforcement": [{"partyCardNum": uscc[8:17], "execMoney": 1.5}]}), encoding="utf-8")
    assert load_rows(file).rows("enforcement", uscc) == [{"partyCardNum": uscc[8:17], "execMoney": Decimal("1.5")}]
    assert load_rows(file).rows("dishonest", uscc) == []
    for wrong in ("[]", '{"dishonest": {}}', '{"dishonest": [1]}', '{"weddings": []}'):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(ValueError, match=r"expected|is an object|unknown services"):
            load_rows(file)


async def test_latency_is_waited(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    async with (
        await start_courts(Given({}), clock=clock, latency_ms=100) as running,
        aiohttp.ClientSession() as session,
    ):
        began = loop.time()
        await Client(running.url, session, clock).refresh()
        assert loop.time() - began >= 0.1


async def test_synthetic_rows_over_the_wire(courts: Running[Courts], client: Client) -> None:
    data = Synthetic(FIRMS)
    courts.upstream.data = data
    uscc = next(uscc for uscc in FIRMS if len(data.rows("enforcement", uscc)) == 25)
    pages = [(await client.query("enforcement", await client.secret(), uscc, page))[0] for page in (1, 2, 3)]
    ids = [row["id"] for page in pages for row in page["result"]]
    assert ids == [row["id"] for row in data.rows("enforcement", uscc)]


async def test_as_a_process(tmp_path: Path) -> None:
    [(uscc, name)] = list(FIRMS.items())[:1]
    subjects = tmp_path / "subjects.csv"
    subjects.write_text(f"{uscc},{name}\n", encoding="utf-8")
    command = ("-m", "sandbox", "--port", "0", "--subjects", str(subjects), "--sid-refresh", "sid-x")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout is not None
        port = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["courts"]
        async with aiohttp.ClientSession() as session:
            clock = Clock()
            clock.now = time.time()  # a process goes by the clock of the machine
            caller = Client(f"http://127.0.0.1:{port}", session, clock)
            assert (await caller.refresh())["code"] == 40301
            assert (await caller.refresh(sid="sid-x"))["code"] == 0
            async with session.get(f"http://127.0.0.1:{port}/_calls") as response:
                assert [call["service"] for call in await response.json()] == ["refresh", "refresh"]
    finally:
        process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 60) == 0
