"""What each kind of file has: one table of columns, their headings as exchanged in China, their types.

In: nothing. Out: frozen definitions; parsing, the rejects and the loaders go by them. A new kind of file is an entry
here. Headings: 双公示 names (CF_…), Chinese names, our own; others come by a mapping file.
"""

from __future__ import annotations

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
ORGANISATION = "ORGANISATION"  # as a kind: an organisation of whatever kind, and no person
SUBJECT_KINDS = {
    "行政机关": "ORGAN",
    "事业单位": "PUBLIC_INSTITUTION",
    "群众团体": "MASS_ORGANISATION",
    "乡镇街道": "TOWNSHIP",
    "街道和乡镇": "TOWNSHIP",
    "园区管理委员会": "PARK_COMMITTEE",
    "村民委员会": "VILLAGE_COMMITTEE",
    "居民委员会": "RESIDENTS_COMMITTEE",
    "企业": "ENTERPRISE",
    "个体工商户": "INDIVIDUAL_BUSINESS",
    "农民专业合作社": "COOPERATIVE",
    "社会组织": "SOCIAL_ORGANISATION",
    "公务员": "CIVIL_SERVANT",
    "自然人": "NATURAL_PERSON",
    "其他": "OTHER",
    # CF_XDR_LB: the code of the subject tells its kind more exactly than this does
    "法人及非法人组织": ORGANISATION,
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
}  # fmt: skip

NAME, NUMBER, TEXT, LONG = 200, 200, 500, 20_000  # longest cells, in characters


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file. `type` names a parser of parse.py; `detail`: goes to record.detail under its name."""

    name: str
    type: str = "text"
    headings: tuple[str, ...] = ()
    required: bool = False
    longest: int = TEXT
    detail: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)

    def choice_codes(self) -> frozenset[str]:
        """The codes that a cell may have, besides its labels."""
        return frozenset(self.choices.values()) - {""}


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file: its columns, and which loader takes the rows (`target`)."""

    name: str
    target: str
    columns: tuple[Column, ...]
    record_kind: str | None = None

    def column(self, name: str) -> Column | None:
        """The column of that name, None where this kind has none."""
        return next((column for column in self.columns if column.name == name), None)


def _more(columns: tuple[Column, ...], changes: Mapping[str, Mapping[str, object]]) -> tuple[Column, ...]:
    """The columns with changes by name; headings are added, everything else replaced."""
    made = []
    for column in columns:
        change = dict(changes.get(column.name, {}))
        more = change.pop("headings", ())
        assert isinstance(more, tuple)
        made.append(replace(column, headings=(*column.headings, *more), **change))  # type: ignore[arg-type]
    return tuple(made)


SUBJECT_COLUMNS = (
    Column("name", headings=("名称", "主体名称", "单位名称", "企业名称"), required=True, longest=NAME),
    Column("uscc", "uscc", ("统一社会信用代码", "信用代码"), longest=64),
    Column("subject_kind", "choice", ("主体类型", "主体类别"), choices=SUBJECT_KINDS),
    Column("region_code", "region", ("行政区划代码", "行政区划"), longest=12),
    Column("legal_representative", headings=("法定代表人", "法定代表人姓名", "负责人"), longest=NAME),
    Column("row_key", headings=("行标识",), longest=NUMBER),
    Column("source", "source", ("来源代码",), longest=40),
)
_PERSON_COLUMNS = (
    Column("identity_type", headings=("证件类型",), longest=40),
    Column("identity_number", "identity", ("证件号码", "身份证号", "公民身份号码"), longest=40),
)
ORGANISATION_COLUMNS = (
    *SUBJECT_COLUMNS,
    Column("registered_on", "date", ("成立日期", "登记日期", "注册日期")),
    Column("address", headings=("地址", "住所"), longest=TEXT),
    Column("former_names", "names", ("曾用名",), longest=2_000),
    Column("roles", "choices", ("角色", "参与角色"), choices=SUBJECT_ROLES),
    Column("predecessors", "usccs", ("前身统一社会信用代码",), longest=400),
    Column("succession_on", "date", ("承继日期",)),
    Column("succession_basis", headings=("承继依据",)),
)
_RECORD_COLUMNS = (
    *SUBJECT_COLUMNS,
    *_PERSON_COLUMNS,
    Column("legal_representative_identity", "dropped", ("法定代表人证件号码",), longest=40),
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
    Column("authority_name", headings=("认定机关", "决定机关"), longest=NAME),
    Column("authority_uscc", "uscc", ("认定机关统一社会信用代码", "决定机关统一社会信用代码"), longest=64),
    Column("decided_on", "date", ("决定日期", "认定日期"), required=True),
    Column("published_from", "date", ("公示开始日期", "公示日期")),
    Column("published_until", "date", ("公示截止期", "公示截止日期")),
    Column("basis", headings=("依据",), longest=LONG),
    Column("facts", headings=("事实", "事由"), longest=LONG),
    Column("amount", "yuan", ("金额", "金额（元）"), longest=60),
)
_DETAIL_COLUMNS = tuple(
    replace(column, detail=True)
    for column in (
        Column("penalty_kinds", "penalties", ("处罚类别",), choices=PENALTY_KINDS),
        Column("offence", headings=("违法行为类型",), longest=2_000),
        Column("content", headings=("处罚内容", "许可内容"), longest=LONG),
        Column("fine", "yuan", ("罚款金额（元）",), longest=60),
        Column("confiscated", "yuan", ("没收金额（元）",), longest=60),
        Column("licence_effect", headings=("暂扣或吊销证照名称及编号",)),
        Column("valid_from", "date", ("有效期自",)),
        Column("valid_until", "date", ("有效期至",)),
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


def _only(names: str) -> tuple[Column, ...]:
    wanted = names.split()
    found = {column.name: column for column in _DETAIL_COLUMNS}
    return tuple(found[name] for name in wanted)


PENALTIES = FileKind(
    "penalties",
    "records",
    _more(
        (*_RECORD_COLUMNS, *_only("penalty_kinds offence content fine confiscated licence_effect valid_until")),
        {
            "name": {"headings": ("CF_XDR_MC", "行政相对人名称")},
            "uscc": {"headings": ("CF_XDR_SHXYM", "行政相对人代码_1", "行政相对人代码_1（统一社会信用代码）")},
            "subject_kind": {"headings": ("CF_XDR_LB", "行政相对人类别")},
            "legal_representative": {"headings": ("CF_FRDB",)},
            "legal_representative_identity": {"headings": ("CF_FR_ZJHM",)},
            "identity_type": {"headings": ("CF_XDR_ZJLX",)},
            "identity_number": {"headings": ("CF_XDR_ZJHM",)},
            "document_number": {"headings": ("CF_WSH", "行政处罚决定书文号"), "required": True},
            "offence": {"headings": ("CF_WFXW",)},
            "facts": {"headings": ("CF_SY", "违法事实")},
            "basis": {"headings": ("CF_YJ", "处罚依据")},
            "penalty_kinds": {"headings": ("CF_CFLB",), "required": True},
            "content": {"headings": ("CF_NR",)},
            "fine": {"headings": ("CF_NR_FK", "罚款金额（万元）"), "type": "wan"},
            "confiscated": {
                "headings": ("CF_NR_WFFF", "没收违法所得、没收非法财物的金额（万元）"),
                "type": "wan",
            },
            "licence_effect": {"headings": ("CF_NR_ZKDX",)},
            "decided_on": {"headings": ("CF_JDRQ", "处罚决定日期")},
            "valid_until": {"headings": ("CF_YXQ", "处罚有效期")},
            "published_until": {"headings": ("CF_GSJZQ",)},
            "authority_name": {"headings": ("CF_CFJG", "处罚机关")},
            "authority_uscc": {"headings": ("CF_CFJGDM", "处罚机关统一社会信用代码")},
        },
    ),
    "PENALTY",
)
LISTS = FileKind(
    "lists",
    "records",
    _more(
        (*_RECORD_COLUMNS, *_only("list_name removed_on grounds")),
        {
            "decided_on": {"headings": ("列入日期",)},
            "list_name": {"required": True},
            "authority_name": {"headings": ("列入机关",)},
        },
    ),
    "LIST_ENTRY",
)
RECORDS = FileKind(
    "records",
    "records",
    (
        Column("kind", "choice", ("信息类别",), required=True, choices=RECORD_KINDS),
        *_more(_RECORD_COLUMNS, {"title": {"required": True}}),
        *_DETAIL_COLUMNS,
    ),
)
ORGANISATIONS = FileKind("organisations", "subjects", ORGANISATION_COLUMNS)
CIVIL_SERVANTS = FileKind(
    "civil-servants",
    "subjects",
    _more(
        (*(c for c in SUBJECT_COLUMNS if c.name in ("name", "region_code", "source")), *_PERSON_COLUMNS),
        {"name": {"headings": ("姓名",)}, "identity_number": {"required": True}},
    ),
)
DIVISIONS = FileKind(
    "divisions",
    "divisions",
    (
        Column("code", headings=("代码", "区划代码"), required=True, longest=12),
        Column("name", headings=("名称",), required=True, longest=NAME),
        Column("parent", headings=("上级代码",), longest=12),
        Column("local", "flag", ("本地代码",)),
    ),
)
COURTS = FileKind(
    "courts",
    "courts",
    (
        Column("code", headings=("court_code", "法院代字"), required=True, longest=12),
        Column("name", headings=("court_name", "法院名称"), required=True, longest=NAME),
        Column("division_code", headings=("行政区划代码",), longest=12),
        Column("level", "integer", ("kind", "法院级别")),
    ),
)
KINDS: dict[str, FileKind] = {
    kind.name: kind for kind in (ORGANISATIONS, PENALTIES, LISTS, DIVISIONS, COURTS, RECORDS, CIVIL_SERVANTS)
}

# Never recorded (征信业管理条例 Art. 14; DOMAIN): a file with such a heading is refused whole.
FORBIDDEN_PARTS = (
    "宗教", "信仰", "民族", "种族", "族别", "基因", "指纹", "血型", "疾病", "病史", "病历", "健康", "生物识别",
    "人脸", "虹膜", "声纹", "掌纹", "残疾", "婚育", "religio", "ethnic", "fingerprint", "biometric", "bloodtype",
    "genetic", "disease", "illness", "faceimage", "healthstatus",
)  # fmt: skip
FORBIDDEN_WORDS = frozenset(
    ("race", "gene", "genes", "health", "blood", "iris", "dna", "mz", "mzdm", "mzmc", "zjxy", "jkzk", "xuexing")
)
