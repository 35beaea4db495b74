"""A world small enough to know by heart: two regions, an organ and its predecessor, two firms, seven records.

Ids and dates are fixed and no term of publication ends, so answers are the same on every day.
"""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg

from gateway.storage.identifiers import fold_name, node_id, organisation_uuid, uscc_check_digit
from gateway.storage.names import index_names


def code(first: str) -> str:
    """A USCC for its first 17 characters."""
    return first + uscc_check_digit(first)


ORGAN = code("11652799YL0000012")
OLD_ORGAN = code("11652799YL0000020")
FIRM = code("91652799YL0000039")
SHOP = code("92652799YL0000047")
STRANGER = code("91652799YL0009999")
RECORD_IDS = [uuid.UUID(int=0x6527_0000_4000_8000_0000_0000_0000_0000 + n) for n in range(1, 8)]
FIRM_ID = node_id("S", organisation_uuid(FIRM))
FIRST_RECORD_ID = node_id("R", RECORD_IDS[0])

SUBJECTS: list[tuple[str, str, str, str, str | None]] = [
    (ORGAN, "ORGAN", "示例博州财政局", "6527", "样例人甲"),
    (OLD_ORGAN, "ORGAN", "示例博州财务局", "6527", None),
    (FIRM, "ENTERPRISE", '示例"引号"有限公司', "652701", "样例人乙"),
    (SHOP, "INDIVIDUAL_BUSINESS", "样例商行", "652701", "样例人丙"),
]
# ruff: noqa: E501 -- a table, a record a line
# subject, kind, area, severity, status, day, title, amount, detail
RECORDS: list[tuple[str, str, str, str | None, str, str, str, str | None, str]] = [
    (FIRM, "PENALTY", "GENERAL", "GENERAL", "ACTIVE", "2026-03-01", "罚款一", "5000.00", '{"fine": "5000.00", "penalty_kinds": ["罚款"]}'),
    (FIRM, "HONOUR", "GENERAL", None, "ACTIVE", "2026-02-01", "荣誉一", None, '{"honour_level": "州级"}'),
    (FIRM, "LICENCE", "TENDERING", None, "CORRECTED", "2026-01-15", "许可一\n二行", None, '{"certificate_number": "证1"}'),
    (FIRM, "PENALTY", "PROCUREMENT", "SERIOUS", "REVOKED", "2026-01-10", "已撤销", "9.00", "{}"),
    (FIRM, "JUDGMENT", "PPP", None, "ACTIVE", "2025-12-01", "判决一", "1.50", '{"court": "示例法院", "obligation": "付款"}'),
    (ORGAN, "ACCOUNTABILITY", "GENERAL", "GENERAL", "ACTIVE", "2026-01-01", "问责一", "7.00", '{"form": "通报"}'),
    (SHOP, "LIST_ENTRY", "GENERAL", None, "ACTIVE", "2026-03-01", "名单一", None, '{"list_name": "示例名单"}'),
]  # fmt: skip

LIVE_IDS = [uuid.UUID(int=0x6527_0000_5000_8000_0000_0000_0000_0000 + n) for n in range(1, 4)]
CONSENT = uuid.UUID(int=0x6527_0000_4000_8000_0000_0000_0000_0099)
CONSENT_ID = node_id("C", CONSENT)
_ANSWERED = {"status": "ANSWERED", "as_of": "2026-04-01T10:00:00.000+08:00", "reason": None}


def answer(source: str, parts: tuple[str, ...], uscc: str) -> dict[str, Any]:
    """What a source says of a subject, in the shape that a statement gets it."""
    if source == "COURTS":
        rows = {part: [{"case_number": f"（2026）新2701执{part}号", "court": "示例法院"}] for part in parts}
        return {"answer": _ANSWERED, **rows}
    if source == "REGION_PLATFORM":
        return {"answer": _ANSWERED, "records": [_live(0, uscc, "PENALTY", fine="100.00"), _live(1, uscc, "HONOUR")]}
    if source == "BANKS":
        event = {"kind": "违约", "amount": "20.00", "occurred_on": "2026-01-01", "settled_on": None}
        summary = {"loan_balance": "12000000.00", "overdue_days": 0, "classification": "正常", "events": [event]}
        return {"answer": _ANSWERED, "summary": [summary]}
    assert source == "PEER_REGION"
    listing = {
        "case_number": "（2026）兵0501执1号",
        "court": "示例法院",
        "published_on": "2026-01-02",
        "performance": None,
    }
    courts = {"status": "ANSWERED", "as_of": "2026-03-31T09:00:00.000+08:00", "dishonest": [listing]}
    found = {"on_record": True, "records": [_live(2, uscc, "PENALTY", catalogue_item="X01")], "courts": courts}
    down = {"status": "UNAVAILABLE", "as_of": None, "reason": "TIMEOUT"}
    kept = _ANSWERED | {"status": "STALE", "reason": "TIMEOUT"}
    return {
        "PEER_A": {"region": {"code": "659007", "name": "双河市"}, "answer": kept, "subject": [found]},
        "PEER_B": {"region": {"code": "6540", "name": "示例州"}, "answer": down, "subject": []},
    }


def _live(number: int, uscc: str, kind: str, **more: Any) -> dict[str, Any]:
    """A record that a source gave, as gateway/sources hands it over."""
    return {
        "external_id": str(LIVE_IDS[number]),
        "node_id": node_id("R", LIVE_IDS[number]),
        "subject_external_id": str(organisation_uuid(uscc)),
        "subject_node_id": node_id("S", organisation_uuid(uscc)),
        "authority_external_id": str(organisation_uuid(ORGAN)),
        "authority_node_id": node_id("S", organisation_uuid(ORGAN)),
        "authority_uscc": ORGAN,
        "authority_name": "别处写的名称",
        "kind": kind,
        "title": f'示例"{number}"',
        "decided_on": "2026-03-05",
        **more,
    }


async def build(owner: asyncpg.Connection[Any]) -> None:
    """Put it into an empty, migrated database."""
    await owner.execute(
        "insert into core.region (code, name, level, parent) values"
        " ('65', '新疆', 'PROVINCE', null), ('6527', '博州', 'PREFECTURE', '65'), ('652701', '博乐市', 'COUNTY', '6527');"
        " insert into core.region_closure select a.code, b.code from core.region a join core.region b"
        " on b.code like a.code || '%'"
    )
    ids = {}
    for uscc, kind, name, region, person in SUBJECTS:
        ids[uscc] = await owner.fetchval(
            "insert into core.subject (external_id, class, kind, uscc, name, name_folded, region_code,"
            " legal_representative) values ($1, 'ORGANISATION', $2, $3, $4, $5, $6, $7) returning id",
            organisation_uuid(uscc), kind, uscc, name, fold_name(name), region, person,
        )  # fmt: skip
    await owner.execute(
        "insert into core.succession (predecessor_id, successor_id) values ($1, $2)", ids[OLD_ORGAN], ids[ORGAN]
    )
    await owner.execute("insert into core.former_name values ($1, '旧名', '旧名', '2020-01-01')", ids[FIRM])
    await owner.execute("insert into core.subject_role (subject_id, role) values ($1, 'BIDDER')", ids[FIRM])
    await index_names(owner, list(ids.values()), new=True)
    # Of the predecessor: no other test counts its consents.
    await owner.execute(
        "insert into core.consent (external_id, subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to,"
        " document_sha256, method, client_id, case_number, recorded_at, recorded_on) values ($1, $2, $3, 'GRANT',"
        " '{BANKS}', '2026-01-01', '2028-12-31', repeat('0', 64), 'PAPER_SIGNED', 'client', '1',"
        " '2026-04-01 09:30:00.5+08', '2026-04-01')",
        CONSENT, OLD_ORGAN, ORGAN,
    )  # fmt: skip
    for record_id, row in zip(RECORD_IDS, RECORDS, strict=True):
        await _record(owner, record_id, ids[row[0]], ids[ORGAN], *row[1:])


async def _record(
    owner: asyncpg.Connection[Any],
    external_id: uuid.UUID,
    subject: int,
    authority: int,
    kind: str,
    area: str,
    severity: str | None,
    status: str,
    day: str,
    title: str,
    amount: str | None,
    detail: str,
) -> None:
    record = await owner.fetchval(
        "insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,"
        " authority_id, source_code, catalogue_item, decided_on, published_from, title, amount, natural_key, detail)"
        " values ($1, $2, 'ORGANISATION', $3, $4, $5, $6, true, $7, 'LOCAL', 'QG-04', $8::text::date,"
        " $8::text::date + 1, $9, $10::text::numeric, $11, $12::text::jsonb) returning id",
        external_id, subject, kind, area, severity, status, authority, day, title, amount, str(external_id), detail,
    )  # fmt: skip
    await owner.execute(
        "insert into core.record_version (record_id, subject_id, version, status, content, content_hash, decided_on,"
        " published_from, reason, entered_by, received_at, known_at) values ($1, $2, 1, $3, '{}', '\\x00',"
        " $4::text::date, $4::text::date, '首次录入', '测试', '2026-04-01 08:00+08', '2026-04-01 09:30:00.5+08')",
        record, subject, status, day,
    )  # fmt: skip
