"""Promises: the same rows make the same database, whether they come in the present generation's columns, in the older
one's, in GB18030, or as a workbook; and a file in another form changes nothing that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.storage.database import Database
from tests.storage.imports.rows_of_a_clerk import code, counts, csv_bytes, load, table, workbook

ROWS = 120
KINDS = ("警告", "罚款;没收违法所得", "吊销许可证件", "没收非法财物、警告")
ORGANS = [(f"示例{n}局", code("11", 910_000 + n)) for n in range(5)]
_CLEAR = "truncate core.record, core.record_version, core.withdrawal, core.import_run restart identity cascade"
# Everything but what is random (ids of records), the moment, and the row as it was received.
_STATE = {
    "record": """
        select s.external_id as subject, subject_class, r.kind, area, severity, status, published, under_objection,
               version, a.external_id as authority, source_code, catalogue_item, decided_on, published_from,
               published_until, repairable_from, amount, title, document_number, basis, facts, detail, natural_key
        from core.record r join core.subject s on s.id = r.subject_id left join core.subject a on a.id = r.authority_id
    """,
    "record_version": """
        select r.natural_key, v.version, v.status, v.content, v.content_hash, v.decided_on, v.published_from,
               v.published_until, v.reason, v.entered_by, v.received_at
        from core.record_version v join core.record r on r.id = v.record_id
    """,
    "subject": """
        select external_id, class, kind, uscc, name, name_folded, region_code, legal_representative
        from core.subject
    """,
    "identifier": """
        select s.external_id, scheme, value from core.identifier i join core.subject s on s.id = i.subject_id
    """,
}


def present(n: int) -> dict[str, str]:
    organ, uscc = ORGANS[n % 5]
    return {
        "CF_XDR_MC": f"样例{n}有限公司",
        "CF_XDR_LB": "法人及非法人组织",
        "CF_XDR_SHXYM": code("91", 810_000 + n),
        "CF_FRDB": f"样例人{n}",
        "CF_WSH": f"样例罚〔2026〕{n}号",
        "CF_WFXW": "样例违法行为",
        "CF_SY": f"样例事实，第{n}件",
        "CF_YJ": "《中华人民共和国行政处罚法》",
        "CF_CFLB": KINDS[n % 4],
        "CF_NR": "样例处罚内容",
        "CF_JDRQ": f"2026-03-{n % 28 + 1:02d}",
        "CF_CFJG": organ,
        "CF_CFJGDM": uscc,
    }


def older(n: int) -> dict[str, str]:
    """The same row as the older generation has it: other columns, kinds in two cells, digits, no code of the organ."""
    row = present(n)
    first, _, second = row["CF_CFLB"].replace("、", ";").partition(";")
    year, month, day = row["CF_JDRQ"].split("-")
    return {
        "CF_WSH": f"样例罚[2026]{n}号",
        "CF_CFMC": row["CF_WFXW"],
        "CF_CFLB1": {"警告": "0", "罚款": "1"}.get(first, first),
        "CF_CFLB2": second or "/",
        "CF_SY": row["CF_SY"],
        "CF_YJ": row["CF_YJ"],
        "CF_XDR_MC": row["CF_XDR_MC"].replace("有限公司", "有限公司 "),
        "CF_XDR_SHXYM": row["CF_XDR_SHXYM"],
        "CF_XDR_ZDM": row["CF_XDR_SHXYM"][8:17],
        "CF_XDR_GSDJ": "无",
        "CF_XDR_SWDJ": "/",
        "CF_XDR_SFZ": "/",
        "CF_FR": row["CF_FRDB"],
        "CF_JG": row["CF_NR"],
        "CF_JDRQ": f"{year}年{int(month)}月{int(day)}日",
        "CF_XZJG": row["CF_CFJG"],
        "CF_ZT": "0",
        "DFBM": "652700",
        "SJC": "2026/04/01",
        "BZ": "",
    }


CHINESE = {
    "CF_XDR_MC": "行政相对人名称", "CF_XDR_LB": "行政相对人类别",
    "CF_XDR_SHXYM": "行政相对人代码_1（统一社会信用代码）",
    "CF_FRDB": "法定代表人", "CF_WSH": "行政处罚决定书文号", "CF_WFXW": "违法行为类型", "CF_SY": "违法事实",
    "CF_YJ": "处罚依据", "CF_CFLB": "处罚类别", "CF_NR": "处罚内容", "CF_JDRQ": "处罚决定日期", "CF_CFJG": "处罚机关",
    "CF_CFJGDM": "处罚机关统一社会信用代码",
}  # fmt: skip


def forms(folder: Path) -> dict[str, Path]:
    """The rows as files."""
    rows, old = [present(n) for n in range(ROWS)], [older(n) for n in range(ROWS)]
    chinese = [{f"*{CHINESE[name]}": cell for name, cell in row.items()} for row in rows]
    files = {
        "UTF-8": csv_bytes(rows),
        "GB18030": csv_bytes(rows, "gb18030"),
        "Unicode text": csv_bytes(rows, "utf-16", "\t"),
        "Chinese headings": csv_bytes(chinese, above="博州行政处罚信息表,,\r\n"),
        "older": csv_bytes(old),
        "older in GB18030": csv_bytes(old, "gb18030"),
    }
    made = {}
    for number, (name, content) in enumerate(files.items()):
        made[name] = folder / f"{number}.csv"
        made[name].write_bytes(content)
    made["workbook"] = workbook(folder / "w.xlsx", {"数据": [["行政处罚"], *table(rows)]})
    made["older as a workbook"] = workbook(folder / "o.xlsx", {"数据": table(old)})
    return made


NAMES = (
    "GB18030", "Unicode text", "Chinese headings", "older", "older in GB18030", "workbook", "older as a workbook",
)  # fmt: skip


async def state(db: asyncpg.Connection[asyncpg.Record]) -> dict[str, list[str]]:
    """The tables as sorted text."""
    return {name: sorted(str(tuple(row)) for row in await db.fetch(sql)) for name, sql in _STATE.items()}


@pytest.fixture(scope="module")
async def prepared(
    owner: asyncpg.Connection[asyncpg.Record], database: Database, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The organs on record, the files, and the database after the first of them."""
    folder = tmp_path_factory.mktemp("forms")
    organs = folder / "organs.csv"
    organs.write_bytes(csv_bytes([{"name": name, "uscc": uscc} for name, uscc in ORGANS]))
    assert counts(await load(database, organs, "organisations")) == (5, 5, 0, 0, 0)
    files = forms(folder)
    assert counts(await load(database, files["UTF-8"])) == (ROWS, ROWS, 0, 0, 0)
    return files, await state(owner)


@pytest.mark.parametrize("name", NAMES)
async def test_the_same_rows_make_the_same_database(
    name: str, prepared: Any, database: Database, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    files, first = prepared
    await owner.execute(_CLEAR)
    await owner.execute("delete from core.subject where kind <> 'ORGAN'")
    assert counts(await load(database, files[name])) == (ROWS, ROWS, 0, 0, 0)
    assert await state(owner) == first
    assert counts(await load(database, files["UTF-8"])) == (ROWS, 0, 0, ROWS, 0)
    assert await state(owner) == first
