"""Columns of files: what one is, the labels that cells use, and the columns that several kinds of file share.

In: nothing. Out: frozen definitions. `definitions.py` puts them together, kind by kind. Headings: our own name, Chinese
names, and the codes of 双公示 in both generations (CF_…, XK_…); `headings.py` says which spellings are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# Labels that files use beside the codes.
AREAS = {
    "综合": "GENERAL",
    "政府采购": "PROCUREMENT",
    "政府和社会资本合作": "PPP",
    "招标投标": "TENDERING",
    "招商引资": "INVESTMENT_PROMOTION",
    "地方政府债务": "GOVERNMENT_DEBT",
    "街道和乡镇": "TOWNSHIP",
}
SEVERITIES = {"轻微": "MINOR", "一般": "GENERAL", "严重": "SERIOUS"}
STATUSES = {
    "公示中": "ACTIVE",
    "有效": "ACTIVE",
    "已更正": "CORRECTED",
    "已撤销": "REVOKED",
    "撤销": "REVOKED",
    "已修复": "REPAIRED",
}
RECORD_KINDS = {
    "行政处罚": "PENALTY",
    "行政许可": "LICENCE",
    "司法判决": "JUDGMENT",
    "纪律处分": "DISCIPLINARY_ACTION",
    "问责处理": "ACCOUNTABILITY",
    "违约": "CONTRACT_BREACH",
    "承诺失信": "PROMISE_BREACH",
    "表彰奖励": "HONOUR",
    "名单": "LIST_ENTRY",
}
LIST_KINDS = {"严重失信名单": "SERIOUS", "严重失信主体名单": "SERIOUS", "其他名单": "OTHER", "其他": "OTHER"}
BREACH_KINDS = {
    "违约": "CONTRACT_BREACH",
    "合同违约": "CONTRACT_BREACH",
    "合同履约失信": "CONTRACT_BREACH",
    "承诺失信": "PROMISE_BREACH",
    "承诺未兑现": "PROMISE_BREACH",
    "政策承诺未兑现": "PROMISE_BREACH",
}
ORGANISATION = "ORGANISATION"  # as a kind: an organisation of whatever kind, and no person
SUBJECT_KINDS = {
    "行政机关": "ORGAN",
    "机关法人": "ORGAN",
    "事业单位": "PUBLIC_INSTITUTION",
    "群众团体": "MASS_ORGANISATION",
    "乡镇街道": "TOWNSHIP",
    "街道和乡镇": "TOWNSHIP",
    "园区管理委员会": "PARK_COMMITTEE",
    "村民委员会": "VILLAGE_COMMITTEE",
    "居民委员会": "RESIDENTS_COMMITTEE",
    "企业": "ENTERPRISE",
    "企业法人": "ENTERPRISE",
    "个体工商户": "INDIVIDUAL_BUSINESS",
    "个体户": "INDIVIDUAL_BUSINESS",
    "农民专业合作社": "COOPERATIVE",
    "社会组织": "SOCIAL_ORGANISATION",
    "公务员": "CIVIL_SERVANT",
    "自然人": "NATURAL_PERSON",
    "其他": "OTHER",
    # CF_XDR_LB: the code of the subject tells its kind more exactly than these do
    "法人及非法人组织": ORGANISATION,
    "法人和非法人组织": ORGANISATION,
    "法人或其他组织": ORGANISATION,
    "法人": ORGANISATION,
    "非法人组织": ORGANISATION,
}
SUBJECT_ROLES = {
    "招标代理机构": "TENDERING_AGENCY",
    "投标人": "BIDDER",
    "采购人": "PURCHASER",
    "供应商": "SUPPLIER",
    "社会资本方": "PPP_PARTNER",
    "投资者": "INVESTOR",
    "信用评级机构": "RATING_AGENCY",
}
# 行政处罚法 Art. 9, and the spellings that are met.
PENALTY_KINDS = {
    kind: kind
    for kind in (
        "警告", "通报批评", "罚款", "没收违法所得", "没收非法财物", "暂扣许可证件", "降低资质等级", "吊销许可证件",
        "限制开展生产经营活动", "责令停产停业", "责令关闭", "限制从业", "行政拘留", "其他",
    )
} | {
    "暂扣许可证": "暂扣许可证件",
    "暂扣执照": "暂扣许可证件",
    "吊销许可证": "吊销许可证件",
    "吊销执照": "吊销许可证件",
    "吊销营业执照": "吊销许可证件",
    "停产停业": "责令停产停业",
    "拘留": "行政拘留",
}  # fmt: skip
# The older generation writes a digit. 4 means either of two kinds whose classes differ, so it is no answer.
OLD_PENALTY_KINDS = PENALTY_KINDS | {
    "0": "警告", "1": "罚款", "2": "没收违法所得、没收非法财物", "3": "责令停产停业", "5": "行政拘留", "6": "其他",
}  # fmt: skip
LICENCE_KINDS = {kind: kind for kind in ("普通", "特许", "认可", "核准", "登记", "其他")} | {"特别许可": "特许"}
LICENCE_STATES = {"1": "VALID", "2": "INVALID", "有效": "VALID", "无效": "INVALID", "正常": "VALID", "失效": "INVALID"}
# CF_ZT and XK_ZT of the older generation; 当前状态 in words.
OLD_STATES = {
    "0": "NORMAL", "1": "REVOKED", "2": "OBJECTION", "3": "OTHER",
    "正常": "NORMAL", "有效": "NORMAL", "撤销": "REVOKED", "已撤销": "REVOKED", "异议": "OBJECTION", "其他": "OTHER",
}  # fmt: skip

NAME, NUMBER, TEXT, LONG = 200, 200, 500, 20_000  # longest cells, in characters


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file. `type` names a parser of parse.py; `detail`: goes to record.detail under its name.

    `into`: its list goes to that column, so that two headings make one value. `generation`: the heading means this only
    in a file of the older (`older`) or the present (`present`) generation; "" in both. `note`: for the template.
    """

    name: str
    type: str = "text"
    headings: tuple[str, ...] = ()
    required: bool = False
    longest: int = TEXT
    detail: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    into: str = ""
    generation: str = ""
    note: str = ""

    @property
    def chinese(self) -> str:
        """Its first Chinese heading: what people call it. Its own name where it has none."""
        return next((name for name in self.headings if re.search(r"[一-鿿]", name)), self.name)

    def choice_codes(self) -> frozenset[str]:
        """The codes that a cell may have, besides its labels."""
        return frozenset(self.choices.values()) - {""}

    @property
    def meaning(self) -> str:
        """The column that a value of this one goes to."""
        return self.into or self.name


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file: its columns, and which loader takes the rows (`target`).

    `older`: headings that only the older generation has; one of them makes the file one of that generation.
    """

    name: str
    target: str
    columns: tuple[Column, ...]
    record_kind: str | None = None
    older: tuple[str, ...] = ()
    title: str = ""  # in Chinese, for people

    def column(self, name: str) -> Column | None:
        """The column of that name, None where this kind has none."""
        return next((column for column in self.columns if column.name == name), None)


def more(columns: tuple[Column, ...], changes: Mapping[str, Mapping[str, object]]) -> tuple[Column, ...]:
    """The columns with changes by name; headings come before those that were there, everything else is replaced."""
    made = []
    for column in columns:
        change = dict(changes.get(column.name, {}))
        headings = change.pop("headings", ())
        assert isinstance(headings, tuple)
        made.append(replace(column, headings=tuple(dict.fromkeys((*headings, *column.headings))), **change))  # type: ignore[arg-type]
    return tuple(made)


def details(names: str) -> tuple[Column, ...]:
    """Columns of DETAIL_COLUMNS by their names, separated by spaces."""
    found = {column.name: column for column in DETAIL_COLUMNS}
    return tuple(found[name] for name in names.split())


SUBJECT_COLUMNS = (
    Column("name", "name", ("名称", "主体名称", "单位名称", "企业名称"), required=True, longest=NAME),
    Column("uscc", "uscc", ("统一社会信用代码", "信用代码", "社会信用代码"), longest=64),
    Column("subject_kind", "choice", ("主体类型", "主体类别"), choices=SUBJECT_KINDS),
    Column("region_code", "region", ("行政区划代码", "行政区划"), longest=NAME),
    Column(
        "legal_representative",
        headings=("法定代表人", "法定代表人姓名", "负责人", "法人代表", "法定代表人（负责人）"),
        longest=NAME,
    ),
    Column("row_key", "key", ("行标识",), longest=NUMBER),
    Column("source", "source", ("来源代码",), longest=40),
)
PERSON_COLUMNS = (
    Column("identity_type", headings=("证件类型",), longest=40),
    Column(
        "identity_number",
        "identity",
        ("证件号码", "身份证号", "身份证号码", "公民身份号码", "居民身份证号"),
        longest=40,
    ),
)
RECORD_COLUMNS = (
    *SUBJECT_COLUMNS,
    *PERSON_COLUMNS,
    Column("organisation_code", "organisation_code", ("组织机构代码",), longest=64),
    Column(
        "legal_representative_identity",
        "dropped",
        ("法定代表人证件号码", "法定代表人身份证号", "法定代表人身份证号码"),
        longest=40,
    ),
    Column("area", "choice", ("领域",), choices=AREAS),
    Column("severity", "choice", ("失信等级", "失信程度"), choices=SEVERITIES),
    Column("status", "choice", ("状态", "信息状态"), choices=STATUSES),
    Column("status_reason", headings=("变更原因", "撤销原因"), longest=TEXT),
    Column("withdrawn_on", "date", ("撤销日期",)),
    Column("published", "flag", ("是否公示",)),
    Column("under_objection", "flag", ("异议标注",)),
    Column("catalogue_item", headings=("目录项", "目录编码"), longest=40),
    Column("title", headings=("标题",), longest=TEXT),
    Column("document_number", "document", ("文号", "决定书文号"), longest=NUMBER),
    Column("authority_name", "name", ("认定机关", "决定机关"), longest=NAME),
    Column("authority_uscc", "uscc", ("认定机关统一社会信用代码", "决定机关统一社会信用代码"), longest=64),
    Column("decided_on", "date", ("决定日期", "认定日期"), required=True),
    Column("published_from", "date", ("公示开始日期", "公示日期")),
    Column("published_until", "date", ("公示截止期", "公示截止日期")),
    Column("basis", headings=("依据",), longest=LONG),
    Column("facts", headings=("事实", "事由"), longest=LONG),
    Column("amount", "yuan", ("金额（元）", "金额"), longest=60),
)
DETAIL_COLUMNS = tuple(
    replace(column, detail=True)
    for column in (
        Column("penalty_kinds", "penalties", ("处罚类别", "处罚种类"), choices=PENALTY_KINDS),
        Column("offence", headings=("违法行为类型",), longest=2_000),
        Column("content", headings=("处罚内容", "许可内容"), longest=LONG),
        Column("fine", "yuan", ("罚款金额（元）",), longest=60),
        Column("confiscated", "yuan", ("没收金额（元）",), longest=60),
        Column("licence_effect", headings=("暂扣或吊销证照名称及编号",)),
        Column("valid_from", "date", ("有效期自",)),
        Column("valid_until", "until", ("有效期至",)),
        Column("licence_kind", headings=("许可类别",)),
        Column("certificate_name", headings=("许可证书名称",)),
        Column("certificate_number", headings=("许可编号",), longest=NUMBER),
        Column("case_number", "case", ("案号",), longest=NUMBER),
        Column("court", headings=("法院",), longest=NAME),
        Column("cause", headings=("案由",)),
        Column("result", headings=("裁判结果",), longest=LONG),
        Column("obligation", headings=("履行义务",), longest=LONG),
        Column("performance", headings=("履行情况",)),
        Column("sanction", headings=("处分种类",)),
        Column("effective_until", "date", ("影响期至",)),
        Column("form", headings=("问责方式",)),
        Column("breach", headings=("违约情形",), longest=LONG),
        Column("contract", headings=("合同",)),
        Column("counterparty", headings=("相对方",), longest=NAME),
        Column("promise", headings=("承诺内容",), longest=LONG),
        Column("due_on", "date", ("应履行日期",)),
        Column("rectified_on", "date", ("整改完成日期",)),
        Column("honour_level", headings=("表彰级别",)),
        Column("list_name", headings=("名单名称",), longest=NAME),
        Column("removed_on", "date", ("移出日期",)),
        Column("grounds", headings=("列入事由",), longest=2_000),
    )
)
# What its publication term goes by; of no view.
LIST_KIND = Column(
    "list_kind",
    "choice",
    ("名单性质",),
    choices=LIST_KINDS,
    note="留空按严重失信名单处理，公示最长三年；其他名单公示到移出或其公示截止期 / empty: of serious dishonesty,"
    " published for three years at most; 其他名单: until it is removed or its own end",
)
