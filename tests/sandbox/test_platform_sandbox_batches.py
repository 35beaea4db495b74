"""The sandbox keeps the regional platform's contract of reports, withdrawals and repairs: codes, batches, the feed."""

from typing import Any

import pytest
from platform_sandbox_client import FEW, HONOUR, NOBODY, OTHER, PENALTY, PlatformClient

from sandbox.platform_answers import ANSWER_FAULTS

GOOD = PENALTY | {"CF_XDR_SHXYM": OTHER, "CF_WSH": "示罚字[2025]9号", "CF_NR_FK": "1.5"}
WSH = "示罚字（2024）1号"  # FEW's, in other brackets


def item(**changes: Any) -> dict[str, Any]:
    made = {"table_name": "xzcf", "wsh": WSH, "tyshxydm": FEW, "reason": "corrected", "effectiveOn": "2026-01-01"}
    return {name: value for name, value in (made | changes).items() if value is not None}


def codes(answer: Any) -> dict[int, str]:
    return {row["rowNo"]: row["code"] for row in answer["data"]["rejected"]}


async def test_report_comes_back_in_query_and_feed(platform_client: PlatformClient) -> None:
    since = (await platform_client.changes())["data"]["next"]
    answer = await platform_client.report("b-1", {"rowNo": 7} | GOOD)
    assert answer == {"status": 1, "message": "", "data": {"batchNo": "b-1", "accepted": [7], "rejected": []}}
    [row] = (await platform_client.query(OTHER))["data"]["list"]
    assert (row["tyshxydm"], row["entity"]["CF_NR_FK"], row["entity"]["CF_YXQ"]) == (OTHER, "1.5", None)
    assert "rowNo" not in row["entity"]
    assert row["updateTime"] == "2026-01-01 08:00:00"
    assert (await platform_client.changes(since))["data"]["list"] == [{"op": "upsert"} | row]


async def test_report_of_another_table(platform_client: PlatformClient) -> None:
    row = {"rowNo": 1, "tyshxydm": NOBODY} | HONOUR
    assert (await platform_client.report("b-1", row, table="honour"))["data"]["accepted"] == [1]
    [found] = (await platform_client.query(NOBODY))["data"]["list"]
    assert found["entity"] == HONOUR | {"valid_to": None}
    assert codes(await platform_client.report("b-2", {"rowNo": 1} | HONOUR, table="honour")) == {1: "E101"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"rowNo": None}, "E100"),
        ({"rowNo": "2"}, "E100"),
        ({"rowNo": 0}, "E100"),
        ({"rowNo": True}, "E100"),
        ({"rowNo": 1}, "E100"),  # the first row's
        ({"CF_XDR_MC": ""}, "E101"),
        ({"CF_WSH": None}, "E101"),
        ({"CF_WSH": 5}, "E101"),
        ({"CF_XDR_SHXYM": "/"}, "E101"),
        ({"CF_XDR_SHXYM": OTHER[:17]}, "E102"),
        ({"CF_XDR_SHXYM": [OTHER]}, "E102"),
        ({"CF_JDRQ": "2024年01月02日"}, "E103"),
        ({"CF_JDRQ": "2024-02-30"}, "E103"),
        ({"CF_GSJZQ": "20250101"}, "E103"),
        ({"CF_NR_FK": 1.5}, "E104"),
        ({"CF_NR_FK": "1.5万元"}, "E104"),
        ({"CF_NR_WFFF": "-1"}, "E104"),
        ({"CF_NR_WFFF": "0.0000001"}, "E104"),
    ],
)
async def test_codes_of_rejected_rows(platform_client: PlatformClient, changes: dict[str, Any], code: str) -> None:
    bad = {"rowNo": 2} | GOOD | {"CF_WSH": "示罚字[2025]10号"} | changes
    answer = await platform_client.report("b-1", {"rowNo": 1} | GOOD, bad)
    assert answer["data"]["accepted"] == [1]
    [rejected] = answer["data"]["rejected"]
    assert rejected["code"] == code
    assert rejected["rowNo"] == (1 if changes.get("rowNo") == 1 and changes["rowNo"] is not True else 2)
    assert rejected["message"]
    assert (await platform_client.query(OTHER))["data"]["total"] == 1


async def test_the_same_batch_again_is_the_same_result(platform_client: PlatformClient) -> None:
    first = await platform_client.report("b-1", {"rowNo": 1} | GOOD)
    again = await platform_client.report("b-1", {"rowNo": 9}, table="honour")
    assert first == again
    assert (await platform_client.post("report", {"batchNo": "b-1"})).json == first  # whatever the body
    # The numbers of withdrawals are others.
    assert (await platform_client.withdraw("b-1", item()))["data"]["accepted"] == [1]
    assert (await platform_client.withdraw("b-1", item()))["data"]["accepted"] == [1]


@pytest.mark.parametrize(
    "body",
    [
        {"table_name": "xzcf", "rows": [{"rowNo": 1}]},
        {"batchNo": "", "table_name": "xzcf", "rows": [{"rowNo": 1}]},
        {"batchNo": "n" * 65, "table_name": "xzcf", "rows": [{"rowNo": 1}]},
        {"batchNo": "b-1", "table_name": "weddings", "rows": [{"rowNo": 1}]},
        {"batchNo": "b-1", "table_name": "xzcf", "rows": []},
        {"batchNo": "b-1", "table_name": "xzcf", "rows": [1]},
        {"batchNo": "b-1", "table_name": "xzcf", "rows": [{"rowNo": n} for n in range(1, 502)]},
    ],
)
async def test_a_refused_batch_is_not_remembered(platform_client: PlatformClient, body: Any) -> None:
    assert (await platform_client.post("report", body)).json["status"] == 2001
    assert (await platform_client.report("b-1", {"rowNo": 1} | GOOD))["data"]["accepted"] == [1]


async def test_five_hundred_rows(platform_client: PlatformClient) -> None:
    rows = [GOOD | {"rowNo": n, "CF_WSH": f"示罚字〔2025〕{n}号"} for n in range(1, 501)]
    assert len((await platform_client.report("b-1", *rows))["data"]["accepted"]) == 500


async def test_withdraw(platform_client: PlatformClient) -> None:
    since = (await platform_client.changes())["data"]["next"]
    [row] = [row for row in (await platform_client.query(FEW))["data"]["list"] if row["table_name"] == "xzcf"]
    answer = await platform_client.withdraw("w-1", item())
    assert answer["data"] == {"batchNo": "w-1", "accepted": [1], "rejected": []}
    assert [row["table_name"] for row in (await platform_client.query(FEW))["data"]["list"]] == ["honour"]
    more = {"op": "withdraw", "reason": "corrected", "effectiveOn": "2026-01-01"}
    assert (await platform_client.changes(since))["data"]["list"] == [row | more]
    assert codes(await platform_client.withdraw("w-2", item())) == {1: "E201"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"wsh": None}, "E101"),
        ({"table_name": ""}, "E101"),
        ({"tyshxydm": "x"}, "E102"),
        ({"tyshxydm": NOBODY}, "E201"),
        ({"wsh": "示罚字〔2024〕2号"}, "E201"),
        ({"table_name": "xzxk"}, "E201"),
        ({"table_name": "weddings"}, "E201"),
        ({"table_name": ["xzcf"]}, "E201"),
        ({"reason": "boredom"}, "E202"),
        ({"reason": ["repaired"]}, "E202"),
        ({"effectiveOn": "2026-13-01"}, "E202"),
        ({"effectiveOn": "2026年1月1日"}, "E202"),
    ],
)
async def test_codes_of_rejected_withdrawals(
    platform_client: PlatformClient, changes: dict[str, Any], code: str
) -> None:
    answer = await platform_client.withdraw("w-1", item(**changes), item())
    assert (codes(answer), answer["data"]["accepted"]) == ({1: code}, [2])


async def test_repair_until_it_is_approved(platform_client: PlatformClient) -> None:
    since = (await platform_client.changes())["data"]["next"]
    state = {"repairNo": "修-1/甲", "state": "RECEIVED", "reason": None, "decidedOn": None}
    assert (await platform_client.repair("修-1/甲"))["data"] == state
    path = "/_repairs/%E4%BF%AE-1%2F%E7%94%B2"
    await platform_client.send("POST", path, json={"state": "WITH_AUTHORITY"})
    assert (await platform_client.repair("修-1/甲"))["data"] == state | {"state": "WITH_AUTHORITY"}
    assert (await platform_client.send("POST", path, json={"state": "APPROVED"})).status == 400  # on which day?
    decided = {"state": "APPROVED", "reason": "已履行", "decidedOn": "2026-01-05"}
    assert (await platform_client.send("POST", path, json=decided)).status == 201
    url, headers = platform_client.base + "/api/v1/credit/repairs/", platform_client.headers(b"")
    async with platform_client.session.get(url + "%E4%BF%AE-1%2F%E7%94%B2", headers=headers) as response:
        assert (await response.json())["data"] == state | decided
    [withdrawal] = (await platform_client.changes(since))["data"]["list"]
    assert (withdrawal["op"], withdrawal["reason"], withdrawal["effectiveOn"]) == ("withdraw", "repaired", "2026-01-05")
    # The same number again is the same application, though its row has gone.
    assert (await platform_client.repair("修-1/甲"))["data"]["state"] == "APPROVED"


async def test_repair_rejected_leaves_the_row(platform_client: PlatformClient) -> None:
    await platform_client.repair("r-1")
    decided = {"state": "REJECTED", "reason": "未履行", "decidedOn": "2026-01-05"}
    await platform_client.send("POST", "/_repairs/r-1", json=decided)
    assert (await platform_client.get("repairs/r-1"))["data"] == {"repairNo": "r-1"} | decided
    assert (await platform_client.query(FEW))["data"]["total"] == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"commitment": False}, 2005),
        ({"commitment": "true"}, 2005),
        ({"commitment": 1}, 2005),
        ({"wsh": "示罚字〔2024〕2号"}, 2004),
        ({"tyshxydm": OTHER}, 2004),
        ({"statement": ""}, 2001),
        ({"appliedOn": "1 January"}, 2001),
    ],
)
async def test_repairs_that_are_refused(platform_client: PlatformClient, changes: dict[str, Any], status: int) -> None:
    assert (await platform_client.repair("r-1", **changes))["status"] == status
    assert (await platform_client.get("repairs/r-1"))["status"] == 2006
    for state in ("APPROVED", "x"):
        assert (await platform_client.send("POST", "/_repairs/r-1", json={"state": state})).status == 400


async def test_calls_tell_batches_and_subjects(platform_client: PlatformClient) -> None:
    await platform_client.report("b-1", {"rowNo": 1} | GOOD)
    await platform_client.withdraw("w-1", item())
    await platform_client.repair("r-1")
    report, withdrawal, repair = await platform_client.calls()
    assert (report["batchNo"], report["uscc"], report["table_name"]) == ("b-1", OTHER, "xzcf")
    assert (withdrawal["service"], withdrawal["batchNo"], withdrawal["uscc"]) == ("withdraw", "w-1", FEW)
    assert (repair["service"], repair["repairNo"], repair["usccs"]) == ("repairs", "r-1", [FEW])


async def test_faults_of_batches(platform_client: PlatformClient) -> None:
    rows = ({"rowNo": 1} | GOOD, {"rowNo": 2} | GOOD)
    await platform_client.fault("reject_rows", "report", times=1, text="E103")
    assert codes(await platform_client.report("b-1", *rows)) == {1: "E103", 2: "E103"}
    assert (await platform_client.query(OTHER))["data"]["total"] == 0
    for number, (name, wrong) in enumerate(
        (
            ("wrong_batch", lambda data: data["batchNo"].endswith("-other")),
            ("missing_row", lambda data: len(data["accepted"]) + len(data["rejected"]) == 1),
            ("missing_key", lambda data: "accepted" not in data),
            ("wrong_type", lambda data: isinstance(data["rejected"], dict)),
        )
    ):
        await platform_client.fault(name, "report", times=1)
        assert wrong((await platform_client.report(f"b-{number + 2}", *rows))["data"]), name
        assert not wrong((await platform_client.report(f"b-{number + 2}", *rows))["data"]), name


async def test_a_report_whose_reply_is_lost_was_taken(platform_client: PlatformClient) -> None:
    await platform_client.fault("lost_reply", "report", times=1)
    with pytest.raises(Exception, match="disconnected"):
        await platform_client.report("b-1", {"rowNo": 1} | GOOD)
    since = (await platform_client.changes())["data"]["next"]
    assert (await platform_client.report("b-1", {"rowNo": 1} | GOOD))["data"]["accepted"] == [1]
    assert (await platform_client.changes(since))["data"]["list"] == []  # once is enough


async def test_faults_of_repairs(platform_client: PlatformClient) -> None:
    for name, wrong in (
        ("wrong_repair_no", lambda answer: answer["data"]["repairNo"] != "r-1"),
        ("unknown_state", lambda answer: answer["data"]["state"] == "LOST"),
        ("missing_key", lambda answer: "state" not in answer["data"]),
        ("wrong_type", lambda answer: isinstance(answer["data"]["state"], dict)),
    ):
        await platform_client.fault(name, times=2)
        assert wrong(await platform_client.repair("r-1")), name
        assert wrong(await platform_client.get("repairs/r-1")), name
    for name, status in (("no_row", 2004), ("no_commitment", 2005)):
        await platform_client.fault(name, "repairs", times=1)
        assert (await platform_client.repair("r-1"))["status"] == status
    await platform_client.fault("unknown_number", "repair_state")
    assert (await platform_client.get("repairs/r-1"))["status"] == 2006


def test_every_fault_of_batches_and_repairs_is_tried() -> None:
    tried = {"reject_rows", "wrong_batch", "missing_row", "missing_key", "wrong_type", "wrong_repair_no"}
    tried |= {"unknown_state", "no_row", "no_commitment", "unknown_number"}
    everywhere = {"bad_signature", "clock_off", "nonce_seen", "bad_body", "refused_status"}
    others = {name for name, services in ANSWER_FAULTS.items() if set(services) - {"query", "changes"}}
    assert others == tried | everywhere
