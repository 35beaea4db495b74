"""Synthetic demo data: organisations, civil servants and records that say in their names that they are made up.

    python -m scripts.make_demo_data --today 2026-11-01 --out data/synthetic

Deterministic: the same day gives the same bytes. Statuses are relative to `--today` (default: today), since terms of
publication run out: what is committed was made for the day in data/README.md, and `make demo` makes it anew for its own
day. Codes are valid but can't be assigned: their division 652799 does not exist and their organisation codes begin
with YL (样例). The same division stands in the identity numbers, so nobody can have them. The courts' code 新2799 is
free too.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stdnum.cn import ric

from gateway.storage.identifiers import organisation_code_check_digit, uscc_check_digit
from gateway.zone import today

DIVISION = "652799"
# Kind of file and name, in the order of import.
FILES = (
    ("organisations", "organisations"),
    ("civil-servants", "civil-servants"),
    ("penalties", "penalties"),
    ("penalties", "penalties-withdrawn"),
    ("records", "records"),
    ("records", "records-withdrawn"),
)
REGIONS = ("652701", "652702", "652722", "652723", "6527L1", "6527L2")
AREAS = ("GENERAL", "PROCUREMENT", "PPP", "TENDERING", "INVESTMENT_PROMOTION", "GOVERNMENT_DEBT", "TOWNSHIP")
SEVERITIES = ("MINOR", "GENERAL", "SERIOUS")
STATUSES = ("ACTIVE", "CORRECTED", "EXPIRED", "REVOKED", "REPAIRED")
CLASSED = ("PENALTY", "JUDGMENT", "DISCIPLINARY_ACTION", "ACCOUNTABILITY", "CONTRACT_BREACH", "PROMISE_BREACH")
UNCLASSED = ("LICENCE", "HONOUR", "LIST_ENTRY")
ROLES = ("招标代理机构", "投标人", "采购人", "供应商", "社会资本方", "投资者", "信用评级机构")
PENALTIES = {"MINOR": "警告", "GENERAL": "罚款;没收违法所得", "SERIOUS": "吊销许可证件;罚款"}
PLACES = ("博州", "博乐", "阿拉山口", "精河", "温泉", "赛里木湖", "五台")
TRADES = ("棉业", "农机", "建材", "物流", "乳业", "旅游", "矿泉水", "光伏", "畜牧", "枸杞")
# name, first two characters of the code, kind, how many
SORTS = (
    ("样例{place}{trade}有限公司", "91", "ENTERPRISE", 190),
    ("样例{place}{trade}商行", "92", "INDIVIDUAL_BUSINESS", 40),
    ("样例{place}{trade}农民专业合作社", "93", "COOPERATIVE", 25),
    ("样例{place}{trade}协会", "51", "SOCIAL_ORGANISATION", 15),
    ("示例{place}{trade}服务中心", "12", "PUBLIC_INSTITUTION", 25),
    ("示例{place}{trade}联合会", "13", "MASS_ORGANISATION", 10),
    ("示例{place}镇人民政府", "11", "TOWNSHIP", 20),
    ("示例{place}园区管理委员会", "11", "PARK_COMMITTEE", 8),
    ("示例{place}{trade}村民委员会", "54", "VILLAGE_COMMITTEE", 15),
    ("示例{place}{trade}社区居民委员会", "55", "RESIDENTS_COMMITTEE", 15),
    ("样例{place}{trade}股份经济合作社", "N2", "OTHER", 10),
)
ORGANS = (
    "发展和改革委员会", "财政局", "市场监督管理局", "住房和城乡建设局", "交通运输局", "水利局", "自然资源局",
    "生态环境局", "应急管理局", "卫生健康委员会", "文化体育广播电视和旅游局", "农业农村局", "商务和工业信息化局",
    "人力资源和社会保障局", "民政局", "教育局", "行政服务中心", "监察机关", "审计局", "统计局",
)  # fmt: skip
COURTS = ("示例博州中级人民法院", "示例博乐人民法院", "示例精河人民法院")


@dataclass
class Organisation:
    name: str
    uscc: str
    kind: str
    region: str
    row: dict[str, str] = field(default_factory=dict)


def uscc(prefix: str, number: int) -> str:
    body = f"YL{number:06d}"
    first = prefix + DIVISION + body + organisation_code_check_digit(body)
    return first + uscc_check_digit(first)


def identity_number(rng: random.Random, number: int) -> str:
    born = dt.date(1960, 1, 1) + dt.timedelta(days=rng.randrange(14_000))
    first = f"{DIVISION}{born:%Y%m%d}{number % 1000:03d}"
    return first + ric.calc_check_digit(first + "0")


class Demo:
    """All rows of one day."""

    def __init__(self, today: dt.date) -> None:
        self.today = today
        self.rng = random.Random(6527)
        self.numbers = iter(range(1, 1_000_000))
        self.documents = iter(range(1, 1_000_000))
        self.organs = [self._organ(name) for name in ORGANS]
        self.courts = [self._organisation(name, "11", "ORGAN", "6527") for name in COURTS]
        self.others = [self._other(*sort, index) for sort in SORTS for index in range(sort[3])]
        self.servants = [
            (f"示例公务员{i:03d}", identity_number(self.rng, i), self.rng.choice(REGIONS)) for i in range(1, 41)
        ]
        self.persons = [(f"样例自然人{i:03d}", identity_number(self.rng, 500 + i)) for i in range(1, 41)]

    def _organisation(self, name: str, prefix: str, kind: str, region: str) -> Organisation:
        code = uscc(prefix, next(self.numbers))
        registered = dt.date(1985, 1, 1) + dt.timedelta(days=self.rng.randrange(12_000))
        row = {
            "name": name,
            "uscc": code,
            "subject_kind": kind,
            "region_code": region,
            "legal_representative": f"样例人{self.rng.randrange(1000):03d}",
            "registered_on": registered.isoformat(),
            "address": f"示例路{self.rng.randrange(1, 300)}号",
        }
        return Organisation(name, code, kind, region, row)

    def _organ(self, name: str) -> Organisation:
        return self._organisation(f"示例博州{name}", "11", "ORGAN", "6527")

    def _other(self, name: str, prefix: str, kind: str, _: int, index: int) -> Organisation:
        place, trade = PLACES[index % len(PLACES)], TRADES[index // len(PLACES) % len(TRADES)]
        full = name.format(place=place, trade=trade)
        serial = index // (len(PLACES) * len(TRADES)) if "{trade}" in name else index // len(PLACES)
        full = full if serial == 0 else full[:2] + "一二三四五六七八九"[serial] + full[2:]
        made = self._organisation(full, prefix, kind, REGIONS[index % len(REGIONS)])
        if kind == "ENTERPRISE" and index % 3 == 0:
            made.row["roles"] = ";".join({ROLES[index // 3 % len(ROLES)]: 1, ROLES[index % len(ROLES)]: 1})
        if kind == "ENTERPRISE" and index % 11 == 0:
            made.row["former_names"] = f"样例旧名{index:03d}有限责任公司"
        return made

    def organisations(self) -> Iterator[dict[str, str]]:
        """Predecessors first: organs of 2018 that were merged or renamed since."""
        old = [
            self._organisation(f"示例博州{name}", "11", "ORGAN", "6527")
            for name in ("卫生和计划生育委员会", "法制办公室", "工商行政管理局", "质量技术监督局", "旅游局")
        ]
        successors = {"卫生健康委员会": [0], "市场监督管理局": [2, 3], "文化体育广播电视和旅游局": [4], "监察机关": [1]}
        for organ, name in zip(self.organs, ORGANS, strict=True):
            if name in successors:
                organ.row["predecessors"] = ";".join(old[i].uscc for i in successors[name])
                organ.row["succession_on"] = "2019-03-01"
                organ.row["succession_basis"] = "示例机构改革方案"
        for made in (*old, *self.organs, *self.courts, *self.others):
            yield made.row

    def civil_servants(self) -> Iterator[dict[str, str]]:
        for name, number, region in self.servants:
            yield {"name": name, "identity_number": number, "region_code": region}

    def penalties(self, count: int = 640) -> Iterator[dict[str, str]]:
        """Under the headings of 双公示, amounts in 万元; every sixteenth is of a natural person."""
        subjects = [o for o in self.others if o.kind in ("ENTERPRISE", "INDIVIDUAL_BUSINESS", "COOPERATIVE")]
        for index in range(count):
            severity = SEVERITIES[index % 3]
            status = ("ACTIVE", "ACTIVE", "ACTIVE", "EXPIRED", "REPAIRED", "REVOKED")[index // 3 % 6]
            subject, authority = subjects[index % len(subjects)], self.organs[index % len(self.organs)]
            decided = self._decided(severity, status)
            row = {
                "CF_XDR_MC": subject.name,
                "CF_XDR_LB": "个体工商户" if subject.kind == "INDIVIDUAL_BUSINESS" else "法人及非法人组织",
                "CF_XDR_SHXYM": subject.uscc,
                "CF_FRDB": subject.row["legal_representative"],
                "CF_WSH": self._document(authority, decided),
                "CF_WFXW": self.rng.choice(
                    ("未按规定公示年度报告", "未按规定保持安全生产条件", "超限运输", "虚假宣传")
                ),
                "CF_SY": "样例违法事实，由程序生成，不涉及任何真实主体",
                "CF_YJ": "《中华人民共和国行政处罚法》",
                "CF_CFLB": PENALTIES[severity],
                "CF_NR": "样例处罚内容",
                "CF_NR_FK": {"MINOR": "", "GENERAL": f"{self.rng.randrange(4, 900) / 10}", "SERIOUS": "120.5"}[
                    severity
                ],
                "CF_NR_WFFF": f"{self.rng.randrange(1, 90) / 100}" if severity == "GENERAL" else "",
                "CF_JDRQ": decided.isoformat(),
                "CF_CFJG": authority.name,
                "CF_CFJGDM": authority.uscc,
                **self._state(index, severity, status, "状态", "变更原因", "是否公示", "异议标注"),
            }
            if index % 16 == 5:
                name, number = self.persons[index // 16 % len(self.persons)]
                row |= {"CF_XDR_MC": name, "CF_XDR_LB": "自然人", "CF_XDR_SHXYM": "", "CF_FRDB": ""}
                row |= {"CF_XDR_ZJLX": "身份证", "CF_XDR_ZJHM": number}
            yield row

    def records(self) -> Iterator[dict[str, str]]:
        """Every kind × area × class × status."""
        index = 0
        for kind in (*CLASSED, *UNCLASSED):
            for area in AREAS:
                for severity in SEVERITIES if kind in CLASSED else ("",):
                    for status in STATUSES:
                        index += 1
                        yield self._record(index, kind, area, severity, status)

    def _record(self, index: int, kind: str, area: str, severity: str, status: str) -> dict[str, str]:
        authority = self.courts[index % 3] if kind == "JUDGMENT" else self.organs[index % len(self.organs)]
        decided = self._decided(severity or "SERIOUS", status)
        row = {
            "kind": kind,
            "area": area,
            "title": f"样例{index:04d}",
            "authority_name": authority.name,
            "authority_uscc": authority.uscc,
            "document_number": self._document(authority, decided),
            "decided_on": decided.isoformat(),
            "basis": "样例依据",
            "facts": "样例事实，由程序生成，不涉及任何真实主体",
            **self._subject(index, kind, area),
            **self._state(index, severity, status, "status", "status_reason", "published", "under_objection"),
            **self._detail(index, kind, severity, decided),
        }
        if not severity and status == "EXPIRED":
            row["published_until"] = (decided + dt.timedelta(days=90)).isoformat()
        if kind not in ("PENALTY", *UNCLASSED):
            row["severity"] = severity
        return row

    def _subject(self, index: int, kind: str, area: str) -> dict[str, str]:
        if kind == "DISCIPLINARY_ACTION" or (kind == "ACCOUNTABILITY" and index % 2):
            name, number, region = self.servants[index % len(self.servants)]
            return {"name": name, "identity_number": number, "subject_kind": "CIVIL_SERVANT", "region_code": region}
        official = ("ORGAN", "TOWNSHIP", "PARK_COMMITTEE", "PUBLIC_INSTITUTION", "VILLAGE_COMMITTEE")
        by_government = kind in ("ACCOUNTABILITY", "CONTRACT_BREACH", "PROMISE_BREACH")
        if kind == "JUDGMENT":
            by_government = index % 2 == 0
        if by_government:
            choice = [o for o in (*self.organs, *self.others) if o.kind in official]
            if area == "TOWNSHIP":
                choice = [o for o in choice if o.kind == "TOWNSHIP"]
        else:
            choice = [o for o in self.others if o.kind not in official]
        subject = choice[index * 7 % len(choice)]
        return {"name": subject.name, "uscc": subject.uscc}

    def _detail(self, index: int, kind: str, severity: str, decided: dt.date) -> dict[str, str]:
        later = (decided + dt.timedelta(days=400)).isoformat()
        if kind == "PENALTY":
            money = {"MINOR": "", "GENERAL": f"{5_000 + index * 10}.00", "SERIOUS": "1200000.00"}[severity]
            return {
                "penalty_kinds": PENALTIES[severity],
                "offence": "样例违法行为",
                "fine": money,
                "content": "样例处罚内容",
            }
        if kind == "LICENCE":
            return {
                "licence_kind": ("普通", "特许", "认可", "核准", "登记")[index % 5],
                "certificate_name": "样例许可证",
                "certificate_number": f"样例{index:06d}",
                "content": "样例许可内容",
                "valid_from": decided.isoformat(),
                "valid_until": (decided + dt.timedelta(days=1_800)).isoformat(),
            }
        if kind == "JUDGMENT":
            number = f"（{decided.year}）新2799民初{index}号"
            return {
                "document_number": number, "case_number": number, "court": COURTS[index % 3], "cause": "样例合同纠纷",
                "result": "样例裁判结果", "obligation": "样例履行义务", "amount": f"{index * 1000}.00",
                "performance": ("全部未履行", "部分未履行", "全部已履行")[index % 3],
            }  # fmt: skip
        if kind == "DISCIPLINARY_ACTION":
            return {"sanction": ("警告", "记过", "记大过", "降级", "撤职")[index % 5], "effective_until": later}
        if kind == "ACCOUNTABILITY":
            return {"form": ("通报", "诫勉", "停职检查", "责令公开道歉")[index % 4]}
        if kind == "CONTRACT_BREACH":
            return {"contract": f"样例合同{index:04d}", "counterparty": "样例相对方有限公司",
                    "breach": "样例逾期未付款", "amount": f"{index * 2500}.50",
                    "due_on": decided.isoformat()}  # fmt: skip
        if kind == "PROMISE_BREACH":
            rectified = later if index % 3 == 0 and later <= self.today.isoformat() else ""
            return {"promise": "样例公开承诺", "breach": "样例承诺未兑现", "due_on": decided.isoformat(),
                    "rectified_on": rectified}  # fmt: skip
        if kind == "HONOUR":
            return {"honour_level": ("国家级", "自治区级", "州级", "县级")[index % 4]}
        return {"list_name": "样例重点关注名单", "grounds": "样例列入事由"}

    def _decided(self, severity: str, status: str) -> dt.date:
        """A day that makes the status true on `today`: within the term, or beyond the longest one."""
        days = {
            "EXPIRED": {"MINOR": (120, 900), "GENERAL": (400, 1_100), "SERIOUS": (1_130, 1_800)},
            "REPAIRED": {"MINOR": (20, 60), "GENERAL": (110, 300), "SERIOUS": (400, 900)},
        }.get(status, {"MINOR": (8, 50), "GENERAL": (8, 250), "SERIOUS": (8, 800)})[severity]
        return self.today - dt.timedelta(days=self.rng.randrange(*days))

    def _document(self, authority: Organisation, decided: dt.date) -> str:
        return f"样例{authority.name[4:6]}〔{decided.year}〕{next(self.documents)}号"

    def _state(
        self, index: int, severity: str, status: str, state: str, reason: str, published: str, objection: str
    ) -> dict[str, str]:
        made = {}
        if status in ("CORRECTED", "REVOKED", "REPAIRED"):
            made[state] = status
            made[reason] = {
                "CORRECTED": "样例：金额有误",
                "REVOKED": "样例：经复议撤销",
                "REPAIRED": "样例：完成信用修复",
            }[status]
        if severity == "MINOR":
            made[published] = "是" if index // 3 % 2 else "否"
        if status == "ACTIVE" and index % 17 == 0:
            made[objection] = "是"
        return made


def sent_twice(
    rows: list[dict[str, str]], state: str, reason: str
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """A record is withdrawn after it was there: all rows as the authority sends them first, and those sent again."""
    withdrawn = [row for row in rows if row.get(state) == "REVOKED"]
    return [{**row, state: "", reason: ""} if row.get(state) == "REVOKED" else row for row in rows], withdrawn


def write(path: Path, rows: Iterable[dict[str, str]]) -> int:
    taken = list(rows)
    headings = list(dict.fromkeys(name for row in taken for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, headings, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(taken)
    return len(taken)


def main(arguments: list[str] | None = None) -> None:
    """Write the files; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--today", type=dt.date.fromisoformat, help="day that the statuses are relative to")
    parser.add_argument("--out", type=Path, default=Path("data/synthetic"))
    options = parser.parse_args(arguments)
    demo = Demo(options.today or today())
    options.out.mkdir(parents=True, exist_ok=True)
    penalties = list(demo.penalties())
    organisations, servants = list(demo.organisations()), list(demo.civil_servants())
    first, withdrawn = sent_twice(penalties, "状态", "变更原因")
    records, records_withdrawn = sent_twice(list(demo.records()), "status", "status_reason")
    rows = (organisations, servants, first, withdrawn, records, records_withdrawn)
    for (_, name), part in zip(FILES, rows, strict=True):
        print(f"{name}: {write(options.out / f'{name}.csv', part)} rows")


if __name__ == "__main__":
    main()
