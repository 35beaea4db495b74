"""Subjects and records of every class, kind, status and term, for the tests of rows. Today is 2026-06-15 in Shanghai.

Names are keys: a subject is known by its name here, a record by its title.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

import asyncpg

from gateway.storage.identifiers import node_id, organisation_uuid, uscc_check_digit

TODAY, YESTERDAY, TOMORROW = "2026-06-15", "2026-06-14", "2026-06-16"
Connection = "asyncpg.Connection[asyncpg.Record]"

# name → class, kind, region, legal representative
SUBJECTS: dict[str, tuple[str, str, str, str | None]] = {
    "机关甲": ("ORGANISATION", "ORGAN", "652701", "李局长"),  # the asker's organisation in most tests
    "机关乙": ("ORGANISATION", "ORGAN", "652722", "赵局长"),
    "旧机关": ("ORGANISATION", "ORGAN", "652701", "钱局长"),  # merged into 机关甲
    "企业": ("ORGANISATION", "ENTERPRISE", "652701", "孙经理"),
    "个体户": ("ORGANISATION", "INDIVIDUAL_BUSINESS", "652722", "王小明"),
    "外地企业": ("ORGANISATION", "ENTERPRISE", "650102", "周经理"),
    "自然人": ("PERSON", "NATURAL_PERSON", "652701", None),
    "公务员无令": ("SERVANT", "CIVIL_SERVANT", "652701", None),
    "公务员有令": ("SERVANT", "CIVIL_SERVANT", "652701", None),  # its publication order begins and ends today
    "公务员令满": ("SERVANT", "CIVIL_SERVANT", "652701", None),  # ended yesterday
    "公务员令前": ("SERVANT", "CIVIL_SERVANT", "652701", None),  # begins tomorrow
}
ORDERS = {"公务员有令": (TODAY, TODAY), "公务员令满": ("2026-01-01", YESTERDAY), "公务员令前": (TOMORROW, "2027-01-01")}
SUCCESSION = (
    ("旧机关", "机关甲"),
    ("公务员无令", "机关甲"),
)  # (predecessor, successor); the second stays hidden with its class
LISTED = ("企业", "机关乙")  # on list "重点"


@dataclass(frozen=True)
class R:
    """A record: subject, kind, severity, status, published, term, determining authority."""

    subject: str
    kind: str = "PENALTY"
    severity: str | None = "GENERAL"
    status: str = "ACTIVE"
    published: bool = True
    begins: str = "2026-01-01"
    ends: str | None = "2026-12-31"
    authority: str | None = "机关甲"


RECORDS: dict[str, R] = {
    # terms are inclusive days
    "r-within": R("企业"),
    "r-no-end": R("企业", ends=None),
    "r-ends-today": R("企业", ends=TODAY),
    "r-ended": R("企业", ends=YESTERDAY),
    "r-begins-today": R("企业", begins=TODAY),
    "r-begins-tomorrow": R("企业", begins=TOMORROW),
    "r-corrected": R("企业", status="CORRECTED"),
    "r-corrected-ended": R("企业", status="CORRECTED", ends=YESTERDAY),
    # severity and publication
    "r-minor": R("企业", severity="MINOR"),
    "r-minor-unpublished": R("企业", severity="MINOR", published=False),
    "r-serious": R("企业", severity="SERIOUS"),
    # withdrawn, by authority
    "r-revoked-a": R("企业", status="REVOKED"),
    "r-revoked-b": R("企业", status="REVOKED", authority="机关乙"),
    "r-revoked-nobody": R("企业", status="REVOKED", authority=None),
    "r-repaired-a": R("企业", status="REPAIRED"),
    "r-repaired-b": R("企业", status="REPAIRED", authority="机关乙"),
    "r-repaired-ended": R("企业", status="REPAIRED", ends=YESTERDAY),
    # kinds
    "r-licence": R("企业", "LICENCE", None),
    "r-judgment": R("企业", "JUDGMENT", None, authority=None),
    "r-honour": R("企业", "HONOUR", None),
    "r-list": R("企业", "LIST_ENTRY", None),
    "r-contract": R("机关甲", "CONTRACT_BREACH", authority="机关乙"),
    "r-promise": R("机关甲", "PROMISE_BREACH", authority="机关乙"),
    "r-accountability": R("机关甲", "ACCOUNTABILITY", authority="机关乙"),
    "r-disciplinary": R("机关乙", "DISCIPLINARY_ACTION"),
    "r-organ-repaired": R("机关甲", "CONTRACT_BREACH", status="REPAIRED", authority="机关乙"),
    "r-old": R("旧机关", "PROMISE_BREACH", authority="机关乙"),
    "r-business": R("个体户", authority="机关乙"),
    "r-elsewhere": R("外地企业", authority="机关乙"),
    # natural persons and servants
    "p-penalty": R("自然人"),
    "p-licence": R("自然人", "LICENCE", None),
    "p-honour": R("自然人", "HONOUR", None),
    "p-revoked-b": R("自然人", status="REVOKED", authority="机关乙"),
    "s-none": R("公务员无令", "DISCIPLINARY_ACTION"),
    "s-none-revoked-a": R("公务员无令", "DISCIPLINARY_ACTION", status="REVOKED"),
    "s-order": R("公务员有令", "DISCIPLINARY_ACTION"),
    "s-order-revoked-b": R("公务员有令", "DISCIPLINARY_ACTION", status="REVOKED", authority="机关乙"),
    "s-order-over": R("公务员令满", "DISCIPLINARY_ACTION"),
    "s-order-ahead": R("公务员令前", "DISCIPLINARY_ACTION"),
}


def code_of(name: str) -> str:
    """The USCC of an organisation."""
    first = f"9165270100{list(SUBJECTS).index(name):07d}"
    return first + uscc_check_digit(first)


NOBODY = code_of("机关甲")[:10] + "9999999"
NOBODY += uscc_check_digit(NOBODY)


@dataclass
class World:
    """What was seeded: internal ids and node ids by name, and the way back."""

    ids: dict[str, int]
    nodes: dict[str, str]
    record_nodes: dict[str, str]


async def seed(owner: Any) -> World:
    """Everything above, with today fixed."""
    await owner.execute(
        "create or replace function core.today() returns date language sql stable parallel safe"
        f" as $$ select date '{TODAY}' $$"
    )
    await owner.execute("update core.change_day set day = core.today()")
    await owner.execute(
        "insert into core.region (code, name, level, parent) values ('65', '新疆', 'PROVINCE', null),"
        " ('6527', '博州', 'PREFECTURE', '65'), ('652701', '博乐市', 'COUNTY', '6527'), ('652722', '精河县', 'COUNTY',"
        " '6527'), ('6501', '乌鲁木齐市', 'PREFECTURE', '65'), ('650102', '天山区', 'COUNTY', '6501');"
        "insert into core.region_closure select a.code, b.code from core.region a, core.region b"
        " where b.code like a.code || '%'"
    )
    world = World({}, {}, {})
    for name, (class_, kind, region, representative) in SUBJECTS.items():
        code = code_of(name) if class_ == "ORGANISATION" else None
        external = organisation_uuid(code) if code else uuid.uuid4()
        world.nodes[name] = node_id("S", external)
        world.ids[name] = await owner.fetchval(
            "insert into core.subject (external_id, class, kind, uscc, name, name_folded, region_code,"
            " legal_representative) values ($1, $2, $3, $4, $5, $5, $6, $7) returning id",
            external, class_, kind, code, name, region, representative,
        )  # fmt: skip
        if class_ != "ORGANISATION":
            await owner.execute(
                "insert into core.person_identity values ($1, '6527**********1234', $2, '\\x00', '\\x00', 'k')",
                world.ids[name], name.encode(),
            )  # fmt: skip
    for name, (begins, ends) in ORDERS.items():
        await owner.execute(
            f"insert into core.publication_order values ({world.ids[name]}, '依据', '{begins}', '{ends}')"
        )
    for before, after in SUCCESSION:
        await owner.execute(f"insert into core.succession values ({world.ids[before]}, {world.ids[after]})")
    for name in LISTED:
        await owner.execute(f"insert into auth.client_list values ('重点', {world.ids[name]})")
    for title, record in RECORDS.items():
        await _record(owner, world, title, record)
    for subject in ("企业", "自然人", "公务员无令"):
        await owner.execute(
            "insert into core.withdrawal (subject_id, record_id, authority_id, withdrawn_on, reason)"
            f" select subject_id, id, {world.ids['机关乙']}, '2026-06-01', '撤销' from core.record"
            f" where subject_id = {world.ids[subject]} limit 1"
        )
    return world


async def _record(owner: Any, world: World, title: str, record: R) -> None:
    external = uuid.uuid4()
    world.record_nodes[title] = node_id("R", external)
    class_ = SUBJECTS[record.subject][0]
    found = await owner.fetchval(
        "insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,"
        " authority_id, source_code, catalogue_item, decided_on, published_from, published_until, title, basis, amount,"
        " facts, natural_key, detail) values ($1, $2, $3, $4, 'GENERAL', $5, $6, $7, $8, 'LOCAL', 'QG-04',"
        " '2026-01-01', $9::text::date, $10::text::date, $11, '依据', 100, '事实', $11, $12) returning id",
        external, world.ids[record.subject], class_, record.kind, record.severity, record.status, record.published,
        world.ids[record.authority] if record.authority else None, record.begins, record.ends, title,
        json.dumps({"obligation": "义务", "sanction": "处分", "form": "方式", "counterparty": "相对方"}),
    )  # fmt: skip
    await owner.execute(
        "insert into core.record_version (record_id, subject_id, version, status, content, content_hash, decided_on,"
        " published_from, entered_by, received_at) values ($1, $2, 1, $3, '{}', '\\x00', '2026-01-01', '2026-01-01',"
        " 'x', now())", found, world.ids[record.subject], record.status,
    )  # fmt: skip


def seed_now(dsn: str) -> World:
    """`seed` over a connection of its own."""

    async def run() -> World:
        connection = await asyncpg.connect(dsn)
        try:
            return await seed(connection)
        finally:
            await connection.close()

    return asyncio.run(run())
