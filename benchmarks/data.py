"""The data that is measured: seeded, made once in an embedded server of its own, kept while its fingerprint matches.

In: sizes and a data directory. Out: an opened, prepared database with subjects, records and statistics. Three groups of
subjects: a few with many records (whom profiles are asked of), some with 5 to 20 (lists), and the rest with few.
"""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from rich.console import Console

from gateway.settings import Settings
from gateway.storage import roles
from gateway.storage.database import EMBEDDED_DATABASE, Database, open_database, prepare
from gateway.storage.embedded import ensure_running
from gateway.storage.identifiers import fold_name, kind_of_uscc, organisation_uuid, uscc_check_digit
from gateway.storage.migrate import shipped
from gateway.storage.names import index_all

VERSION = 1  # of what is made here: another number makes the data anew
AUTHORITIES = 300
MANY_SHARE, SOME_SHARE = 0.025, 0.15  # of all subjects: those with many records, and those with 5 to 20
MANY, SOME = (28, 52), (5, 20)
PERSON_SHARE, SERVANT_SHARE = 0.01, 0.001  # hidden below the internal view: filters have something to do

# All of the data fits, as an operator would have it: what is measured is the work, not the page cache.
SERVER = {"shared_buffers": "2GB"}
EMPTY_LEDGER = (
    "truncate ledger.disclosure, ledger.event, ledger.leaf, ledger.tile, ledger.checkpoint, ledger.subject_entry;"
    " update ledger.log_state set size = 0, fanned = 0, snapshot = '3:3:'"
)
DIVISIONS = Path(__file__).resolve().parents[1] / "data" / "divisions"
PROVINCE = "65"  # where the subjects are; the scoped client is narrowed to it
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is; the same numbers make the same rows."""

    subjects: int = 200_000
    records: int = 1_000_000
    seed: int = 6527

    def fingerprint(self) -> dict[str, Any]:
        """What must match for data to be used again: sizes, this module's version, the tables' definitions."""
        tables = hashlib.sha256("".join(migration.sql for migration in shipped()).encode()).hexdigest()
        return {**asdict(self), "version": VERSION, "tables": tables}


def settings(data_dir: Path) -> Settings:
    """The product's own defaults, but for where data is kept, how long a token lasts, and how much may be asked: limits
    that nobody reaches, so that what it costs to count is measured, too."""
    return Settings(data_dir=data_dir, token_seconds=900, client_rate=1e9, public_rate=1e9)


@contextmanager
def opened(data_dir: Path, size: Size) -> Iterator[tuple[Database, int]]:
    """The database with its data, and the postmaster's process id. fsync is on."""
    with ensure_running(data_dir, extra_settings=SERVER) as server:
        marker = data_dir / "benchmark.json"
        wanted = size.fingerprint()
        fresh = not marker.is_file() or json.loads(marker.read_text()) != wanted
        if fresh:
            marker.unlink(missing_ok=True)
            asyncio.run(drop(server.dsn()))
        with open_database(settings(data_dir)) as database:
            asyncio.run(prepare(database))
            if fresh:
                asyncio.run(_fill(database, size))
                marker.write_text(json.dumps(wanted))
            asyncio.run(_settle(database, server.dsn(database.name), everything=fresh))
            yield database, server.pid


async def drop(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"drop database if exists {roles.quote(EMBEDDED_DATABASE)} with (force)")
    finally:
        await connection.close()


async def _settle(database: Database, superuser_dsn: str, *, everything: bool) -> None:
    """Statistics, visibility map and a checkpoint, so that none of it happens while something is timed."""
    owner = await asyncpg.connect(database.migrate_dsn)
    try:
        await owner.execute(EMPTY_LEDGER)
        if everything:
            await owner.execute("vacuum (analyze)")
    finally:
        await owner.close()
    superuser = await asyncpg.connect(superuser_dsn)
    try:
        await superuser.execute("checkpoint")
    finally:
        await superuser.close()


async def _fill(database: Database, size: Size) -> None:
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        with console.status(f"making {size.subjects:,} subjects"):
            async with connection.transaction():
                regions = await load_regions(connection)
                await _subjects(connection, size, regions)
        with console.status("indexing their names"):
            await index_all(connection, new=True)
        with console.status(f"making {size.records:,} records (a minute or two, once)"):
            async with connection.transaction():
                await _records(connection, size)
    finally:
        await connection.close()


# Regions and subjects ------------------------------------------------------------------------------------------------


async def load_regions(connection: Connection) -> list[str]:
    """The divisions that the product ships, down to counties; returns the codes of one region's counties."""
    rows: list[tuple[Any, ...]] = []
    for name, level, above in (
        ("provinces", "PROVINCE", None),
        ("cities", "PREFECTURE", "provinceCode"),
        ("areas", "COUNTY", "cityCode"),
    ):
        with (DIVISIONS / f"{name}.csv").open(encoding="utf-8") as file:
            rows += [(r["code"], r["name"], level, r[above] if above else None) for r in csv.DictReader(file)]
    await connection.copy_records_to_table(
        "region", schema_name="core", records=rows, columns=["code", "name", "level", "parent"]
    )
    await connection.execute(
        "insert into core.region_closure (ancestor, code) with recursive up (code, ancestor) as ("
        " select code, code from core.region union all"
        " select up.code, r.parent from up join core.region r on r.code = up.ancestor where r.parent is not null)"
        " select ancestor, code from up"
    )
    return [code for code, _, level, _ in rows if level == "COUNTY" and code.startswith(PROVINCE)]


_PLACES = ("博乐", "精河", "温泉", "阿拉山口", "双河", "塔城", "伊宁", "石河子", "昌吉", "奎屯")
_WORDS = ("华盛", "天山", "绿洲", "金桥", "丝路", "恒源", "瑞丰", "博达", "宏远", "嘉禾", "新天", "安信", "众诚")
_TRADES = ("建设工程", "棉业", "商贸", "农业科技", "物流", "矿业开发", "餐饮管理", "旅游发展", "新能源", "信息技术")
_OFFICES = ("财政局", "市场监督管理局", "发展和改革委员会", "住房和城乡建设局", "交通运输局", "生态环境局", "税务局")
_PREFIXES = ("91", "91", "91", "91", "91", "91", "92", "93", "52", "12")


def _subject_rows(size: Size, regions: list[str]) -> Iterator[tuple[Any, ...]]:
    """(id, external_id, class, kind, uscc, name, name_folded, region, legal representative, registered, address)."""
    rng = random.Random(size.seed)
    first_person = size.subjects - int(size.subjects * PERSON_SHARE)
    first_servant = size.subjects - int(size.subjects * SERVANT_SHARE)
    for n in range(1, size.subjects + 1):
        region = rng.choice(regions)
        if n > first_person:
            servant = n > first_servant
            of = ("SERVANT", "CIVIL_SERVANT") if servant else ("PERSON", "NATURAL_PERSON")
            name = f"测试人员{n}"
            yield (n, uuid.UUID(int=rng.getrandbits(128), version=4), *of, None, name, name, region, None, None, None)
            continue
        prefix = "11" if n <= AUTHORITIES else rng.choice(_PREFIXES)
        first = f"{prefix}{region}MB{n:07d}"
        code = first + uscc_check_digit(first)
        place = rng.choice(_PLACES)
        if prefix == "11":
            name = f"{place}市{rng.choice(_OFFICES)}第{n}分局"
        else:
            name = f"{place}{rng.choice(_WORDS)}{n}{rng.choice(_TRADES)}有限责任公司"
        registered = dt.date(2000, 1, 1) + dt.timedelta(days=rng.randrange(9_000))
        person = rng.choice("王李张刘陈杨赵黄周吴") + rng.choice("伟芳娜敏静丽强磊军洋")
        address = f"新疆{place}市团结路{rng.randrange(1, 400)}号"
        kind = kind_of_uscc(code)
        row = (n, organisation_uuid(code), "ORGANISATION", kind, code, name, fold_name(name), region)
        yield (*row, person, registered, address)


async def _subjects(connection: Connection, size: Size, regions: list[str]) -> None:
    columns = "id external_id class kind uscc name name_folded region_code legal_representative registered_on address"
    await connection.copy_records_to_table(
        "subject", schema_name="core", records=_subject_rows(size, regions), columns=columns.split()
    )
    await connection.execute("select setval(pg_get_serial_sequence('core.subject', 'id'), max(id)) from core.subject")
    await connection.execute(
        "insert into core.former_name (subject_id, name, name_folded, used_until)"
        " select id, replace(name, '有限责任公司', '总厂'), replace(name_folded, '有限公司', '总厂'),"
        " registered_on + 1000 from core.subject where id % 10 = 3 and class = 'ORGANISATION'"
    )
    await connection.execute(
        "insert into core.subject_role (subject_id, role, valid_from) select s.id, r.role, s.registered_on"
        " from core.subject s cross join (values ('BIDDER', 5), ('SUPPLIER', 7)) r (role, each)"
        " where s.class = 'ORGANISATION' and s.id % r.each = 0"
    )


# Records -------------------------------------------------------------------------------------------------------------


def group_bounds(size: Size) -> tuple[int, int]:
    """Subjects from AUTHORITIES + 1 up to the first bound have many records, up to the second some."""
    many = AUTHORITIES + int(size.subjects * MANY_SHARE)
    return many, many + int(size.subjects * SOME_SHARE)


def _owners(size: Size) -> list[int]:
    """The subject of each record, in the order of arrival: a subject's rows lie apart, as in real tables."""
    rng = random.Random(size.seed + 1)
    many, some = group_bounds(size)
    owners: list[int] = []
    for subject in range(AUTHORITIES + 1, some + 1):
        owners += [subject] * rng.randint(*(MANY if subject <= many else SOME))
    rest = range(some + 1, size.subjects + 1)
    owners += rng.choices(rest, k=max(size.records - len(owners), 0))
    rng.shuffle(owners)
    return owners[: size.records]


_RECORDS = """
insert into core.record (external_id, subject_id, subject_class, kind, area, severity, status, published,
    under_objection, authority_id, source_code, catalogue_item, decided_on, published_from, published_until,
    repairable_from, amount, title, document_number, basis, facts, detail, natural_key)
select overlay(overlay(md5('record' || d.n) placing '4' from 13) placing 'a' from 17)::uuid, d.subject_id, s.class,
    d.kind, d.area, d.severity, d.status, d.severity is distinct from 'MINOR' or d.e < 0.3, d.e > 0.97,
    1 + floor(d.f * $1)::bigint,
    case when d.kind = 'LIST_ENTRY' then 'WORLD_BANK' when d.kind = 'JUDGMENT' then 'COURTS' else 'LOCAL' end, i.item,
    d.decided, d.decided + 3,
    case when d.kind in ('LIST_ENTRY', 'JUDGMENT') then null
         else d.decided + case d.severity when 'MINOR' then 90 when 'GENERAL' then 900 else 1095 end end,
    case when d.severity is not null then d.decided + 95 end,
    case when d.kind in ('PENALTY', 'CONTRACT_BREACH') then round((d.g * d.g * 500000)::numeric, 2) end,
    d.place || '市' || i.name || '决定书：'
        || (array['未按规定取得施工许可证擅自施工',
        '销售不符合保障人体健康标准的产品', '逾期未履行合同约定义务',
        '违反道路运输管理规定超限运输', '未按期公示年度报告'])[1 + d.n % 5],
    '博' || (array['市监', '住建', '交罚', '环罚'])[1 + d.n % 4]
        || '〔' || extract(year from d.decided) || '〕' || d.n || '号',
    '《中华人民共和国行政处罚法》第' || (array['二十八', '三十二', '五十一', '五十七'])[1 + d.n % 4]
        || '条、《建设工程质量管理条例》第五十七条及《新疆维吾尔自治区社会信用条例》有关规定',
    '经查，当事人于' || to_char(d.decided - 40, 'YYYY"年"MM"月"DD"日"') || '在' || d.place
        || '市辖区内从事经营活动时，存在' || (array['未取得许可擅自开工建设', '使用不合格原材料', '未落实安全生产责任',
        '未按约定期限交付'])[1 + d.n % 4] || '的行为，现场检查笔录、询问笔录及相关票据"' || d.n
        || '"等证据在案佐证，事实清楚，证据确凿，当事人对上述事实未提出异议。',
    case d.kind
        when 'PENALTY' then jsonb_build_object('penalty_kinds', '["罚款"]'::jsonb, 'offence', '违反管理规定',
            'content', '处以罚款，并责令限期改正', 'fine', round((d.g * d.g * 500000)::numeric, 2)::text)
        when 'LICENCE' then jsonb_build_object('licence_kind', '普通', 'certificate_name', '经营许可证',
            'certificate_number', 'XJ' || d.n)
        when 'JUDGMENT' then jsonb_build_object('case_number', '（2025）新2701民初' || d.n || '号',
            'court', '博乐市人民法院')
        else jsonb_build_object('breach', '未按约定履行') end,
    'bench-' || d.n
from (
    select *, core.today() - (10 + floor(b * 1500))::int as decided,
        case when kind = 'PENALTY'
            then (array['MINOR', 'GENERAL', 'GENERAL', 'GENERAL', 'SERIOUS'])[1 + floor(c * 5)::int] end as severity,
        case when d1 < 0.93 then 'ACTIVE' when d1 < 0.97 then 'CORRECTED' when d1 < 0.99 then 'REPAIRED'
             else 'REVOKED' end as status,
        (array['GENERAL', 'GENERAL', 'GENERAL', 'PROCUREMENT', 'TENDERING', 'PPP'])[1 + floor(e * 6)::int] as area,
        (array['博乐', '精河', '温泉', '阿拉山口'])[1 + floor(f * 4)::int] as place
    from (
        select o.n, o.subject_id, random() b, random() c, random() d1, random() e, random() f, random() g,
            (array['PENALTY', 'PENALTY', 'PENALTY', 'PENALTY', 'LICENCE', 'LICENCE', 'LICENCE', 'JUDGMENT',
                   'CONTRACT_BREACH', 'HONOUR', 'LIST_ENTRY'])[1 + floor(random() * 11)::int] as kind
        from bench_owner o order by o.n
    ) drawn
) d
join core.subject s on s.id = d.subject_id
join (select c.kind, ci.code as item, ci.name from core.catalogue_default c
      join core.catalogue_item ci on ci.code = c.item) i
    on i.kind = d.kind
"""


async def _records(connection: Connection, size: Size) -> None:
    await connection.execute(
        f"set local synchronous_commit = off; set local work_mem = '128MB'; select setseed({size.seed / 10_000});"
        "create temporary table bench_owner (n bigint, subject_id bigint) on commit drop"
    )
    await connection.copy_records_to_table(
        "bench_owner", records=enumerate(_owners(size), 1), columns=["n", "subject_id"]
    )
    await connection.execute("analyze bench_owner")
    # What is there from the beginning is no change: without this a million rows of the outbox would wait for their
    # numbers, which the stacks would give them while they are measured.
    await connection.execute("alter table core.record disable trigger user")
    await connection.execute(_RECORDS, AUTHORITIES, timeout=1_800)
    await connection.execute("alter table core.record enable trigger user")
