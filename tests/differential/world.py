"""A small dirty world, seeded: every kind, status, term, class and severity, persons, civil servants, organs that were
merged, former names, codes that do not hold, kept answers of the courts. Today is 2026-06-15 in Shanghai.

In: a migrated, empty database. Out: its rows, as `select *` gives them: what the reference answers from.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from gateway.storage.identifiers import fold_name, node_id, organisation_uuid, uscc_check_digit
from gateway.storage.names import index_names

TODAY = dt.date(2026, 6, 15)
NOW = dt.datetime(2026, 6, 15, 12, tzinfo=dt.timezone(dt.timedelta(hours=8)))
SEED = 6527
_DAYS = [TODAY + dt.timedelta(days=days) for days in (-400, -90, -1, 0, 1, 200)]
ORGANS = ("机关甲", "机关乙")  # whose clients ask
SUCCESSION = (("旧机关二", "机关甲"), ("旧机关一", "机关甲"), ("更旧机关", "旧机关一"), ("公务员一", "机关乙"))
ORDERS = {"公务员二": (0, 0), "公务员三": (-100, -1), "公务员四": (1, 100)}  # first and last day, from today
LISTED = ('示范"引号"有限责任公司', "机关乙", "自然人一")

# name → class, kind, beginning of its code (None: has none), region
_ORGANISATIONS: list[tuple[str, str, str | None, str | None]] = [
    ("机关甲", "ORGAN", "11", "652701"),
    ("机关乙", "ORGAN", "11", "652722"),
    ("旧机关一", "ORGAN", "11", "652701"),
    ("旧机关二", "ORGAN", "11", None),
    ("更旧机关", "ORGAN", "11", "6527"),
    ('示范"引号"有限责任公司', "ENTERPRISE", "91", "652701"),
    ("示范\\反斜杠\t制表公司", "ENTERPRISE", "91", "652722"),
    ("示范公司\n第二行", "ENTERPRISE", "91", "650102"),
    ("ＳＨＩＦＡＮ示范 株式会社😀", "ENTERPRISE", "91", "652701K1"),
    ("博尔塔拉蒙古自治州示范学校", "PUBLIC_INSTITUTION", "12", "6527"),
    ("示范商行", "INDIVIDUAL_BUSINESS", "92", "652722"),
    ("示范商行", "INDIVIDUAL_BUSINESS", "92", "652701"),  # of the same name
    ("无码示范企业", "ENTERPRISE", None, "652701"),
    ("错码示范企业", "ENTERPRISE", None, None),  # its code does not hold
    ("示范合作社", "COOPERATIVE", "93", "650102"),
    ("示范协会", "SOCIAL_ORGANISATION", "51", "652701"),
    ("示范村委会", "VILLAGE_COMMITTEE", "54", "652722"),
    ("示范街道", "TOWNSHIP", "11", "652701"),
    ("示范团体", "MASS_ORGANISATION", "13", "65"),
    ("示范园区", "PARK_COMMITTEE", "12", "652701K1"),
    ("示范居委会", "RESIDENTS_COMMITTEE", "55", "652701"),
    ("示范其他", "OTHER", "N2", "652722"),
]
_PERSONS = ("自然人一", "自然人二", "公务员一", "公务员二", "公务员三", "公务员四")
_KINDS = ("PENALTY", "LICENCE", "JUDGMENT", "DISCIPLINARY_ACTION", "ACCOUNTABILITY", "CONTRACT_BREACH",
          "PROMISE_BREACH", "HONOUR", "LIST_ENTRY")  # fmt: skip
_AREAS = ("GENERAL", "PROCUREMENT", "PPP", "TENDERING", "INVESTMENT_PROMOTION", "GOVERNMENT_DEBT", "TOWNSHIP")
_ROLES = ("TENDERING_AGENCY", "BIDDER", "PURCHASER", "SUPPLIER", "PPP_PARTNER", "INVESTOR", "RATING_AGENCY")
_TEXTS = ("", "一行", '有"引号"', "两\n行", "反\\斜\\u0041杠", "制\t表\x7f", "😀𠮷", "</script>", "null", "{}", None)
# Fields of the kinds, in any of them: a row may have those of another kind, nulls and nothing at all.
_DETAIL: dict[str, tuple[Any, ...]] = {
    "penalty_kinds": (["罚款"], ["警告", '其"他"'], [], None),
    "fine": ("5000.00", "0.01", None),
    "confiscated": ("1.00", None),
    "valid_from": ("2026-01-01", None),
    "valid_until": ("2027-12-31", None),
    "effective_until": ("2026-12-31", None),
    "rectified_on": ("2026-02-03", None),
    "due_on": ("2026-02-28", None),
    "removed_on": ("2026-03-01", None),
    **dict.fromkeys(
        ("offence", "content", "licence_effect", "licence_kind", "certificate_name", "certificate_number",
         "case_number", "court", "cause", "result", "obligation", "performance", "sanction", "form", "breach",
         "contract", "counterparty", "promise", "honour_level", "list_name", "grounds"), _TEXTS),
}  # fmt: skip
_TABLES = (
    "core.region", "core.source", "core.source_health", "core.code_label", "core.subject", "core.identifier",
    "core.former_name", "core.succession", "core.subject_role", "core.person_identity", "core.publication_order",
    "core.record", "core.record_version", "core.withdrawal", "core.name_part", "core.consent",
    "core.consent_revocation", "core.source_answer", "core.catalogue_default", "auth.matter", "auth.client_list",
)  # fmt: skip


@dataclass
class World:
    """All rows by table, and what operations ask by."""

    rows: dict[str, list[dict[str, Any]]]
    codes: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)  # of subjects by name; of one name the first
    code_of: dict[str, str] = field(default_factory=dict)


def code(prefix: str, number: int) -> str:
    """The USCC of that prefix and number."""
    first = f"{prefix}652701{number:09d}"
    return first + uscc_check_digit(first)


async def build(owner: Any) -> None:
    """Put the world into an empty, migrated database, with today fixed."""
    dice = random.Random(SEED)
    await owner.execute(
        "create or replace function core.today() returns date language sql stable parallel safe"
        f" as $$ select date '{TODAY}' $$"
    )
    await owner.execute(
        "insert into core.region (code, name, level, parent, local) values ('65', '新疆', 'PROVINCE', null, false),"
        " ('6527', '博州', 'PREFECTURE', '65', false), ('652701', '博\"乐\"市', 'COUNTY', '6527', false),"
        " ('652722', '精河县', 'COUNTY', '6527', false), ('652701K1', '某园区', 'LOCAL', '652701', true),"
        " ('6501', '乌鲁木齐市', 'PREFECTURE', '65', false), ('650102', '天山区', 'COUNTY', '6501', false);"
        " insert into core.region_closure select a.code, b.code from core.region a join core.region b"
        " on b.code like a.code || '%';"
        " update core.source_health set healthy = false, last_answer_at = '2026-06-01 08:00:00.123456+00'"
        " where source_code = 'COURTS'; delete from core.source_health where source_code = 'WORLD_BANK'"
    )
    await owner.execute(
        "insert into core.code_label (list, code, zh, en, position, level, valid_from, valid_to) values"
        " ('Area', 'PPP', '旧\"称\"', 'Old', 3, 'PUBLIC', '2001-01-01', '2001-12-31'),"
        " ('Area', 'PPP', '更旧', 'Older', 3, 'PUBLIC', '2000-01-01', '2000-12-31'),"
        " ('Area', 'SECRET', '内', 'Inside', 9, 'INTERNAL', null, null);"
        " update auth.matter set valid_to = '2026-06-14' where code = 'PROJECT';"
        " update auth.matter set valid_from = '2026-06-15', valid_to = '2026-06-15' where code = 'INVESTMENT'"
    )
    ids: list[int] = []
    by_name: dict[str, int] = {}
    for number, (name, kind, prefix, region) in enumerate(_ORGANISATIONS, 1):
        uscc = code(prefix, number) if prefix else None
        external = organisation_uuid(uscc) if uscc else _uuid(dice)
        person = dice.choice(["王小明", '欧阳"甲"', None, "😀", "a"])
        registered = dice.choice([None, dt.date(2001, 2, 3)])
        found = await _subject(owner, external, "ORGANISATION", kind, uscc, name, region, person, registered)
        by_name.setdefault(name, found)
        ids.append(found)
    for name in _PERSONS:
        klass, kind = ("PERSON", "NATURAL_PERSON") if name.startswith("自") else ("SERVANT", "CIVIL_SERVANT")
        found = await _subject(owner, _uuid(dice), klass, kind, None, name, "652701", None, None)
        by_name[name] = found
        ids.append(found)
        if name != "自然人二":
            await owner.execute(
                "insert into core.person_identity values ($1, '6527**********123X', $2, '\\x00', '\\x00', 'k')",
                found, name.encode(),
            )  # fmt: skip
    await owner.execute(
        "insert into core.identifier (subject_id, scheme, value) values ($1, 'USCC_INVALID', '91652701MA0000000X')",
        by_name["错码示范企业"],
    )
    for name, (first, last) in ORDERS.items():
        days = (TODAY + dt.timedelta(days=first), TODAY + dt.timedelta(days=last))
        await owner.execute("insert into core.publication_order values ($1, '依据', $2, $3)", by_name[name], *days)
    for before, after in SUCCESSION:
        await owner.execute(
            "insert into core.succession (predecessor_id, successor_id) values ($1, $2)",
            by_name[before],
            by_name[after],
        )
    for name in LISTED:
        await owner.execute("insert into auth.client_list values ('重点', $1)", by_name[name])
    for subject in ids:
        for name in dice.sample(["曾用名示范", '旧"名"', "博尔塔拉旧名", "曾用名"], dice.choice([0, 0, 1, 2, 3])):
            until = dice.choice([None, dt.date(2019, 1, 1), dt.date(2020, 1, 1)])
            await owner.execute(
                "insert into core.former_name values ($1, $2, $3, $4)", subject, name, fold_name(name), until
            )
        for role in dice.sample(_ROLES, dice.choice([0, 0, 1, 2, 3])):
            until = dice.choice([None, None, TODAY, TODAY - dt.timedelta(days=1)])
            since = dice.choice([None, None, TODAY, TODAY + dt.timedelta(days=1)])
            if until is None or since is None or since <= until:
                await owner.execute(
                    "insert into core.subject_role values ($1, $2, $3, $4)", subject, role, since, until
                )
    await index_names(owner, ids, new=True)
    await _records(owner, dice, by_name, ids)
    await _consents(owner, dice)
    await _kept_answers(owner, dice)


def _uuid(dice: random.Random) -> uuid.UUID:
    return uuid.UUID(int=dice.getrandbits(128), version=4)


async def _subject(
    owner: Any, external: uuid.UUID, klass: str, kind: str, uscc: str | None, name: str, region: str | None,
    person: str | None, registered: dt.date | None,
) -> int:  # fmt: skip
    found: int = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, uscc, name, name_folded, region_code,"
        " legal_representative, registered_on) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
        external, klass, kind, uscc, name, fold_name(name), region, person, registered,
    )  # fmt: skip
    return found


async def _records(owner: Any, dice: random.Random, by_name: dict[str, int], ids: list[int]) -> None:
    """Records of every kind, status and term; most subjects have some, two have many, some none."""
    authorities = [
        by_name["机关甲"],
        by_name["机关甲"],
        by_name["机关乙"],
        None,
        by_name["公务员一"],
        by_name["示范街道"],
    ]
    classes = {row["id"]: row["class"] for row in await owner.fetch("select id, class from core.subject")}
    for number in range(170):
        subject = dice.choice([by_name['示范"引号"有限责任公司'], by_name["机关甲"], *ids[1:-1]])
        kind = _KINDS[number % len(_KINDS)]
        status = dice.choices(("ACTIVE", "CORRECTED", "REVOKED", "REPAIRED"), (12, 3, 2, 2))[0]
        begins = dice.choices(_DAYS, (4, 4, 2, 2, 1, 1))[0]
        ends = dice.choice([None, None, *(day for day in _DAYS if day >= begins)])
        detail = {name: dice.choice(values) for name, values in _DETAIL.items() if dice.random() < 0.5}
        record = await owner.fetchrow(
            "insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,"
            " under_objection, version, authority_id, source_code, catalogue_item, decided_on, published_from,"
            " published_until, repairable_from, amount, title, document_number, basis, facts, detail, natural_key)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'QG-04', $13, $14, $15, $16,"
            " $17::text::numeric, $18, $19, $20, $21, $22::text::jsonb, $23) returning id, version",
            _uuid(dice), subject, classes[subject], kind, dice.choice(_AREAS),
            dice.choice(["MINOR", "GENERAL", "SERIOUS", None]), status, dice.random() < 0.85, dice.random() < 0.2,
            dice.choice([1, 1, 2, 3]), dice.choice(authorities), dice.choice(["LOCAL", "LOCAL", "WORLD_BANK"]),
            dice.choice(_DAYS[:4]), begins, ends, dice.choice([None, TODAY]),
            dice.choice([None, "0.00", "5000.00", "123456789012345678.90", "-1.50"]),
            f"记录{number}{dice.choice(_TEXTS) or ''}", *(dice.choice(_TEXTS) for _ in range(3)),
            json.dumps(detail, ensure_ascii=False), f"key-{number}",
        )  # fmt: skip
        for version in range(1, record["version"] + 1):
            await owner.execute(
                "insert into core.record_version (record_id, subject_id, version, status, content, content_hash,"
                " decided_on, published_from, reason, entered_by, received_at, original, known_at) values ($1, $2, $3,"
                " $4, '{}', '\\x00', $5, $5, $6, '测试', $7, $8, $9)",
                record["id"], subject, version, status if version == record["version"] else "ACTIVE", TODAY,
                dice.choice(_TEXTS), NOW - dt.timedelta(days=9, microseconds=number),
                dice.choice(_TEXTS), NOW - dt.timedelta(days=8 - version, microseconds=number * 999),
            )  # fmt: skip
        if status == "REVOKED":
            await owner.execute(
                "insert into core.withdrawal (subject_id, record_id, authority_id, withdrawn_on, reason)"
                " values ($1, $2, $3, $4, $5)", subject, record["id"],
                dice.choice([by_name["机关乙"], by_name["旧机关一"], by_name["公务员一"]]),
                TODAY - dt.timedelta(days=number % 3), f'撤销"原因"\n{number % 7}',
            )  # fmt: skip


async def _consents(owner: Any, dice: random.Random) -> None:
    codes = [code(prefix, number) for number, (_, _, prefix, _) in enumerate(_ORGANISATIONS, 1) if prefix]
    for number in range(14):
        subject = dice.choice([codes[0], *codes[3:9], code("91", 9_000)])
        day = TODAY - dt.timedelta(days=dice.choice([1, 1, 5, 30]))
        consent = await owner.fetchval(
            "insert into core.consent (external_id, subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to,"
            " document_sha256, method, client_id, case_number, recorded_at, recorded_on) values ($1, $2, $3, $4,"
            " '{BANKS}', $5, $6, $7, $8, 'client', '1', $9, $10) returning id",
            _uuid(dice), subject, dice.choice([codes[0], codes[0], codes[1]]), dice.choice(["GRANT", "PPP"]),
            dt.date(2026, 1, 1), dice.choice([dt.date(2026, 3, 1), dt.date(2028, 12, 31)]),
            f"{number:064x}", dice.choice(["PAPER_SIGNED", "ELECTRONIC_SIGNATURE"]),
            dt.datetime.combine(day, dt.time(1, 2, 3, 456_789), NOW.tzinfo), day,
        )  # fmt: skip
        if number % 4 == 0:
            await owner.execute(
                "insert into core.consent_revocation values ($1, $2, $3, 'client', $4, '1', $5)", consent,
                NOW - dt.timedelta(hours=number, microseconds=1), dice.choice(["GRANTEE", "SUBJECT"]), codes[0],
                dice.choice(_TEXTS),
            )  # fmt: skip


COURT_PARTS = ("dishonest", "enforcement", "consumption", "judgments")


async def _kept_answers(owner: Any, dice: random.Random) -> None:
    """What courts and platform said of a part: an hour ago (fresh), 3 days (stale), 60 days (too old), or nothing."""
    codes = [code(prefix, number) for number, (_, _, prefix, _) in enumerate(_ORGANISATIONS, 1) if prefix]
    for uscc in [*codes[:-4], code("91", 9_000)]:
        for part in (*COURT_PARTS, "records"):
            source = "REGION_PLATFORM" if part == "records" else "COURTS"
            for hours in dice.sample([1, 2, 72, 60 * 24], dice.choice([0, 1, 1, 2])):
                rows = [
                    _platform_row(dice, uscc, number, codes) if part == "records" else _court_row(dice, number)
                    for number in range(dice.choice([0, 1, 3]))
                ]
                await owner.execute(
                    "insert into core.source_answer (asked_at, source_code, part, uscc, rows)"
                    " values ($1, $5, $2, $3, $4::text::jsonb)",
                    NOW - dt.timedelta(hours=hours, milliseconds=dice.randrange(10**6)), part, uscc,
                    json.dumps(rows, ensure_ascii=False), source,
                )  # fmt: skip


def _platform_row(dice: random.Random, uscc: str, number: int, codes: list[str]) -> dict[str, Any]:
    """A record that the platform gave, as gateway/sources keeps it: with ids, and with what it lacks left out."""
    external, authority = _uuid(dice), dice.choice([codes[0], codes[1], code("11", 9_001), None])
    row: dict[str, Any] = {
        "natural_key": f"table|{uscc}|{number}",
        "external_id": str(external),
        "node_id": node_id("R", external),
        "subject_external_id": str(organisation_uuid(uscc)),
        "subject_node_id": node_id("S", organisation_uuid(uscc)),
        "kind": dice.choice(_KINDS),
        "title": f'平台"记录"{number}',
        "status": dice.choice(["ACTIVE", "ACTIVE", "CORRECTED"]),
        "decided_on": "2026-03-04",
        "authority_uscc": authority,
        "authority_name": dice.choice(['别处写的"名称"', None]),
    }
    if authority or row["authority_name"]:
        made = organisation_uuid(authority) if authority else _uuid(dice)
        row |= {"authority_external_id": str(made), "authority_node_id": node_id("S", made)}
    optional: dict[str, tuple[Any, ...]] = {
        "area": _AREAS,
        "severity": ("GENERAL", "SERIOUS", None),
        "version": (1, 3),
        "under_objection": (True, False),
        "published_from": ("2026-03-05", None),
        "published_until": ("2026-06-14", "2026-06-15", "2027-01-01", None),
        "amount": ("12.00", None),
        **dict.fromkeys(("basis", "facts", "document_number"), _TEXTS),
        **_DETAIL,
    }
    return row | {name: dice.choice(values) for name, values in optional.items() if dice.random() < 0.5}


def _court_row(dice: random.Random, number: int) -> dict[str, Any]:
    """A row with the keys of all four lists."""
    texts = ("performance", "basis_document", "duty", "state", "cause", "result", "obligation")
    return {
        "case_number": f"（2026）新27执{number}号",
        "court": dice.choice(["某法院", '"院"']),
        "filed_on": dice.choice([None, "2026-01-02"]),
        "published_on": "2026-02-03",
        "grounds": dice.choice([[], ['有能力"拒不"履行', "其他"]]),
        "amount": dice.choice([None, "12.00"]),
        "ordered_on": dice.choice([None, "2026-03-04"]),
        "judged_on": None,
        **{name: dice.choice(_TEXTS) for name in texts},
    }


async def load(owner: Any) -> World:
    """Every table as it stands."""
    rows = {}
    for table in _TABLES:
        rows[table.partition(".")[2]] = [dict(row) for row in await owner.fetch(f"select * from {table}")]
    for name in ("detail",):
        for row in rows["record"]:
            row[name] = json.loads(row[name])
    for row in rows["source_answer"]:
        row["rows"] = json.loads(row["rows"])
    made = World(rows)
    for row in sorted(rows["subject"], key=lambda row: row["id"]):
        made.ids.setdefault(row["name"], row["id"])
        if row["uscc"]:
            made.codes.append(row["uscc"])
            made.code_of.setdefault(row["name"], row["uscc"])
    made.strangers = [code("91", 9_000), code("11", 9_001)]
    return made


def record_node_id(external: uuid.UUID) -> str:
    """The node id of a record."""
    return node_id("R", external)
