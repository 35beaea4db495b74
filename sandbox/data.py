"""What the courts' sandbox knows: made-up court publications, the same for the same subject every time.

In: subjects (sandbox/subjects.py) or a JSON file of rows by service. Out: the rows of one subject in one service,
spelled as courts spell them: dates, brackets and codes vary from row to row. Nothing here is about anybody.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from sandbox.subjects import LATEST, Row, check_subject, draws

# The names with `as` are found here, too, beside the courts' own.
from sandbox.subjects import USCC_FORM as USCC_FORM
from sandbox.subjects import load_subjects as load_subjects
from sandbox.subjects import make_uscc as make_uscc

SERVICES = ("dishonest", "enforcement", "consumption", "judgments")

# Courts of the prefecture: name, code in case numbers.
_COURTS = (
    ("新疆维吾尔自治区博尔塔拉蒙古自治州中级人民法院", "新27"),
    ("博乐市人民法院", "新2701"),
    ("阿拉山口市人民法院", "新2702"),
    ("精河县人民法院", "新2722"),
    ("温泉县人民法院", "新2723"),
)
_GROUNDS = (
    "有履行能力而拒不履行生效法律文书确定义务",
    "以伪造证据、暴力、威胁等方法妨碍、抗拒执行",
    "以虚假诉讼、虚假仲裁或者以隐匿、转移财产等方法规避执行",
    "违反财产报告制度",
    "违反限制消费令",
    "被执行人无正当理由拒不履行执行和解协议",
)
_PERFORMED = ("全部未履行", "部分未履行", "全部已履行", "暂无", None)  # None: the key is missing
_THIRD_PARTIES = ("示例建材有限公司", "样例商贸有限责任公司", "示例劳务有限公司", "样例租赁（博乐）有限公司")
_CAUSES = ("买卖合同纠纷", "建设工程施工合同纠纷", "行政协议纠纷", "行政赔偿", "租赁合同纠纷")


class CourtData(Protocol):
    """What the courts know of one subject."""

    def rows(self, service: str, uscc: str) -> Sequence[Row]:
        """Every row of `service` about `uscc`, in the order of the pages; none where it is unknown."""
        ...


@dataclass(frozen=True)
class Given:
    """Rows as a JSON file gives them, `{"dishonest": [row, …], …}`; served exactly as they are written."""

    services: Mapping[str, Sequence[Row]]

    def __post_init__(self) -> None:
        if unknown := set(self.services) - set(SERVICES):
            raise ValueError(f"unknown services: {' '.join(sorted(unknown))}")

    def rows(self, service: str, uscc: str) -> Sequence[Row]:
        """The rows whose code is the USCC or its organisation code, with or without the hyphen."""
        codes = {uscc, uscc[8:17]}
        return [row for row in self.services.get(service, ()) if _card(row).replace("-", "") in codes]


def _card(row: Row) -> str:
    return str(row.get("cardNum") or row.get("partyCardNum") or "").upper()


def load_rows(path: Path) -> Given:
    """Read the rows of a JSON file, whose decimal numbers keep their digits; ValueError where it is no such file."""
    services = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    if not isinstance(services, dict) or not all(isinstance(rows, list) for rows in services.values()):
        raise ValueError("an object of lists of rows, by service, expected")
    if not all(isinstance(row, dict) for rows in services.values() for row in rows):
        raise ValueError("a row is an object")
    return Given(services)


@dataclass(frozen=True)
class Synthetic:
    """Rows made from each subject's code: `subjects` maps USCC to name, `seed` gives another world."""

    subjects: Mapping[str, str]
    seed: str = "1"

    def __post_init__(self) -> None:
        for uscc, name in self.subjects.items():
            check_subject(uscc, name)

    def rows(self, service: str, uscc: str) -> Sequence[Row]:
        """About 25 % of subjects have 1–25 enforcement cases, 15 % are listed, 10 % may not consume; of organs
        and institutions (11…, 12…), about 30 % have lost 1–12 cases.
        """
        name = self.subjects.get(uscc)
        if name is None:
            return []
        return [make_row(service, uscc, name, index, self.seed) for index in range(self._count(service, uscc))]

    def _count(self, service: str, uscc: str) -> int:
        draw = draws(self.seed, uscc, "profile")
        luck, cases, listed, barred = draw.random(), draw.randint(1, 25), draw.randint(1, 3), draw.random()
        lost, judgments = draw.random(), draw.randint(1, 12)
        if service == "enforcement":
            return cases if luck < 0.25 else 0
        if service == "dishonest":
            # Whoever is listed has cases: the listing is of one of them.
            return min(listed, cases) if luck < 0.15 else 0
        if service == "consumption":
            return min(listed, cases) if luck < 0.15 and barred < 2 / 3 else 0
        if service == "judgments":
            return judgments if uscc[:2] in ("11", "12") and lost < 0.3 else 0
        return 0


def make_row(service: str, uscc: str, name: str, index: int, seed: str = "1") -> Row:
    """Row `index` of `service` about a subject; the same arguments give the same row."""
    case = _case_of(uscc, index, seed)
    draw = draws(seed, uscc, f"{service} {index}")
    number = int.from_bytes(hashlib.sha256(f"{service} {uscc}".encode()).digest()[:4], "big") % 10**7
    row: Row = {"id": number * 1000 + index, "caseCode": draw.choice((case.code, _narrow(case.code)))}
    return {**row, **_MAKERS[service](draw, case, uscc, name)}


@dataclass(frozen=True)
class _Case:
    """What the services say about the same enforcement case, before it is spelled."""

    code: str
    court: str
    opened: date
    listed: date
    money: Decimal
    basis: str


def _case_of(uscc: str, index: int, seed: str) -> _Case:
    draw = draws(seed, uscc, f"case {index}")
    court, court_code = draw.choice(_COURTS)
    opened = LATEST - timedelta(days=draw.randint(60, 6 * 365))
    money = Decimal(draw.randint(100_000, 900_000_000)) / 100
    # The index is part of the number, so no two cases of a subject share one.
    number = draw.randint(1, 90) * 100 + index % 100
    basis = f"（{opened.year - 1}）{court_code}民初{draw.randint(1, 4000)}号"
    listed = min(opened + timedelta(days=draw.randint(20, 300)), LATEST)
    return _Case(f"（{opened.year}）{court_code}执{number}号", court, opened, listed, money, basis)


def _dishonest(draw: random.Random, case: _Case, uscc: str, name: str) -> Row:
    other = draw.choice(_THIRD_PARTIES)
    row: Row = {
        "iname": name,
        "age": 0,
        "cardNum": _code(draw, uscc),
        "businessEntity": f"示例人{draw.choice('甲乙丙丁')}",
        "courtName": case.court,
        "areaName": "新疆",
        "partyTypeName": draw.choice((581, "581")),
        "gistId": draw.choice((case.basis, _narrow(case.basis))),
        "gistUnit": case.court,
        "regDate": _date(draw, case.opened),
        "publishDate": _date(draw, case.listed),
        "duty": f"一、{name}于判决生效后十日内支付{other}货款{case.money}元；\r\n二、案件受理费由{name}负担。",
        "performedPart": "暂无",
        "unperformPart": "暂无",
        "disruptTypeName": ",".join(draw.sample(_GROUNDS, draw.choice((1, 1, 2)))),
        "focusNumber": draw.randint(0, 5000),
    }
    return _performance(draw, row)


def _enforcement(draw: random.Random, case: _Case, uscc: str, name: str) -> Row:
    return {
        "caseState": draw.choice(("执行中", "已结案", "终结本次执行程序")),
        "execCourtName": case.court,
        "execMoney": draw.choice((case.money, f"{case.money:.2f}", int(case.money))),
        "partyCardNum": _code(draw, uscc),
        "pname": name,
        "caseCreateTime": _date(draw, case.opened),
    }


def _consumption(draw: random.Random, case: _Case, uscc: str, name: str) -> Row:
    return {
        "execCourtName": case.court,
        "pname": name,
        "partyCardNum": _code(draw, uscc),
        "orderDate": _date(draw, case.listed),
    }


def _judgments(draw: random.Random, case: _Case, uscc: str, name: str) -> Row:
    kind = draw.choice(("民初", "行初"))
    code = case.code.replace("执", kind)
    row: Row = {
        "caseCode": draw.choice((code, _narrow(code))),
        "courtName": case.court,
        "caseCause": draw.choice(_CAUSES),
        "judgedOn": _date(draw, case.opened),
        "result": draw.choice(("败诉", "部分败诉", "和解")),
        "obligation": f"{name}于本判决生效之日起三十日内支付{draw.choice(_THIRD_PARTIES)}{case.money}元",
        "partyCardNum": _code(draw, uscc),
    }
    return _performance(draw, row)


_MAKERS = {
    "dishonest": _dishonest,
    "enforcement": _enforcement,
    "consumption": _consumption,
    "judgments": _judgments,
}


def _performance(draw: random.Random, row: Row) -> Row:
    performance = draw.choice(_PERFORMED)
    return row if performance is None else {**row, "performance": performance}


def _date(draw: random.Random, day: date) -> str:
    year, month, rest = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
    return draw.choice((f"{year}年{month}月{rest}日", f"{year}{month}{rest}", f"{year}-{month}-{rest} 00:00:00"))


def _code(draw: random.Random, uscc: str) -> str:
    organisation = uscc[8:17]
    return draw.choice((uscc, uscc, uscc, organisation, f"{organisation[:8]}-{organisation[8]}"))


def _narrow(code: str) -> str:
    return code.replace("（", "(").replace("）", ")")
