"""The kinds of file, each with its columns: what `--as` takes.

In: the columns of columns.py. Out: KINDS; parsing, rejects, templates, docs and loaders go by them. A new kind of file
is an entry here. 双公示 has two generations: the present one (CF_CFLB, XK_XKLB …) and the older one (CF_CFLB1, XK_SPLB
…), which says the same in other columns, and some of it with other codes.
"""

from __future__ import annotations

from gateway.storage.imports.columns import (
    BREACH_KINDS,
    DETAIL_COLUMNS,
    LICENCE_KINDS,
    LICENCE_STATES,
    LIST_KIND,
    NAME,
    NUMBER,
    OLD_PENALTY_KINDS,
    OLD_STATES,
    PERSON_COLUMNS,
    RECORD_COLUMNS,
    RECORD_KINDS,
    SUBJECT_COLUMNS,
    SUBJECT_ROLES,
    TEXT,
    Column,
    FileKind,
    details,
    more,
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


def _publicity(prefix: str) -> tuple[Column, ...]:
    """Columns of 双公示 that are kept with the row as received, and nowhere else; and the remark."""
    other = (
        ("registration_number", ("GSZC", "GSDJ"), ("行政相对人代码_2(工商注册号)", "行政相对人代码_3(工商登记码)")),
        ("tax_number", ("SWDJ",), ("行政相对人代码_4(税务登记号)",)),
        ("institution_number", ("SYDW",), ("行政相对人代码_5(事业单位证书号)",)),
        ("association_number", ("SHZZ",), ("行政相对人代码_6(社会组织登记证号)",)),
    )
    codes = tuple(
        Column(name, "noted", (*chinese, *(f"{prefix}_XDR_{code}" for code in ours)), longest=NUMBER)
        for name, ours, chinese in other
    )
    sources = ("SJLY", "SJLYDM") if prefix == "CF" else ("LYDW", "LYDWDM")
    return (
        *codes,
        Column("representative_identity_type", "noted", ("法定代表人证件类型", f"{prefix}_FR_ZJLX"), longest=40),
        Column("data_source", "noted", ("数据来源单位", f"{prefix}_{sources[0]}"), longest=NAME),
        Column("data_source_uscc", "noted", ("数据来源单位统一社会信用代码", f"{prefix}_{sources[1]}"), longest=64),
        Column("area_code", "noted", ("地方编码", "DFBM"), longest=40),
        Column("updated_at", "noted", ("数据更新时间戳", "SJC"), longest=60),
        Column("remark", headings=("备注", "BZ"), longest=2_000),
    )


def _subject_headings(prefix: str) -> dict[str, dict[str, object]]:
    return {
        "name": {"headings": ("行政相对人名称", f"{prefix}_XDR_MC")},
        "uscc": {"headings": ("行政相对人代码_1(统一社会信用代码)", "行政相对人代码_1", f"{prefix}_XDR_SHXYM")},
        "subject_kind": {"headings": ("行政相对人类别", f"{prefix}_XDR_LB")},
        "organisation_code": {
            "headings": ("行政相对人代码_2(组织机构代码)", f"{prefix}_XDR_ZZJG", f"{prefix}_XDR_ZDM")
        },
        "legal_representative": {"headings": ("法定代表人", f"{prefix}_FRDB", f"{prefix}_FDDB", f"{prefix}_FR")},
        "legal_representative_identity": {"headings": ("法定代表人证件号码", f"{prefix}_FR_ZJHM", f"{prefix}_FR_SFZH")},
        "identity_type": {"headings": ("证件类型", f"{prefix}_XDR_ZJLX")},
        "identity_number": {
            "headings": ("证件号码", "行政相对人代码_5(居民身份证号)", f"{prefix}_XDR_ZJHM", f"{prefix}_XDR_SFZ")
        },
        "published_until": {"headings": ("公示截止期", f"{prefix}_GSJZQ")},
    }


_OLD_STATE = Column("old_state", "choice", ("当前状态",), choices=OLD_STATES, generation="older")

PENALTIES = FileKind(
    "penalties",
    "records",
    more(
        (
            *RECORD_COLUMNS,
            *details("penalty_kinds offence content fine confiscated licence_effect valid_until"),
            Column("kinds_1", "penalties", ("处罚类别1", "CF_CFLB1"), choices=OLD_PENALTY_KINDS, into="penalty_kinds"),
            Column("kinds_2", "penalties", ("处罚类别2", "CF_CFLB2"), choices=OLD_PENALTY_KINDS, into="penalty_kinds"),
            more((_OLD_STATE,), {"old_state": {"headings": ("CF_ZT",), "generation": ""}})[0],
            *_publicity("CF"),
        ),
        _subject_headings("CF")
        | {
            "document_number": {"headings": ("行政处罚决定书文号", "行政处罚决定文书号", "CF_WSH"), "required": True},
            # The older generation names the case after the offence; both make the title.
            "offence": {"headings": ("违法行为类型", "CF_WFXW", "处罚名称", "案件名称", "CF_CFMC", "CF_AJMC")},
            "facts": {"headings": ("违法事实", "CF_SY", "处罚事由")},
            "basis": {"headings": ("处罚依据", "CF_YJ")},
            "penalty_kinds": {"headings": ("处罚类别", "CF_CFLB"), "required": True},
            "content": {"headings": ("处罚内容", "CF_NR", "处罚结果", "CF_JG")},
            # A unit in the heading goes before the type; where it has none, the cells must name it (headings.py).
            "fine": {
                "headings": ("罚款金额（万元）", "CF_NR_FK", "罚款（万元）", "罚款（元）", "罚款金额", "罚款"),
                "type": "wan",
            },
            "amount": {
                "headings": ("金额（元）", "处罚金额（元）", "处罚金额（万元）", "处罚金额", "金额（万元）"),
            },
            "confiscated": {
                "headings": ("没收违法所得、没收非法财物的金额（万元）", "没收金额（万元）", "CF_NR_WFFF",
                             "没收违法所得、没收非法财物的金额", "没收违法所得、没收非法财物的金额（元）", "没收金额"),
                "type": "wan",
            },
            "licence_effect": {"headings": ("暂扣或吊销证照名称及编号", "CF_NR_ZKDX")},
            "decided_on": {"headings": ("处罚决定日期", "CF_JDRQ")},
            "valid_until": {"headings": ("处罚有效期", "CF_YXQ", "处罚截止期", "CF_JZRQ")},
            "authority_name": {"headings": ("处罚机关", "CF_CFJG", "CF_XZJG")},
            "authority_uscc": {"headings": ("处罚机关统一社会信用代码", "CF_CFJGDM")},
        },
    ),
    "PENALTY",
    older=("CF_CFLB1", "CF_CFLB2", "CF_CFMC", "CF_JG", "CF_XZJG", "CF_XDR_ZDM", "CF_XDR_GSDJ", "处罚类别1"),
    title="行政处罚",
)  # fmt: skip
LICENCES = FileKind(
    "licences",
    "records",
    more(
        (
            *RECORD_COLUMNS,
            *details("licence_kind certificate_name certificate_number content valid_from valid_until"),
            Column(
                "licence_state",
                "choice",
                ("当前状态", "XK_ZT"),
                choices=LICENCE_STATES,
                detail=True,
                generation="present",
            ),
            more((_OLD_STATE,), {"old_state": {"headings": ("XK_ZT",)}})[0],
            *_publicity("XK"),
        ),
        _subject_headings("XK")
        | {
            "name": {"headings": ("行政相对人名称", "XK_XDR_MC", "XK_XDR")},
            "title": {"headings": ("行政许可决定文书名称", "XK_XKWS", "项目名称", "许可项目名称", "XK_XMMC")},
            "document_number": {"headings": ("行政许可决定文书号", "行政许可决定书文号", "XK_WSH")},
            "licence_kind": {
                "headings": ("许可类别", "XK_XKLB", "审批类别", "XK_SPLB"),
                "type": "licence_kind",
                "choices": LICENCE_KINDS,
            },
            "certificate_name": {"headings": ("许可证书名称", "XK_XKZS")},
            "certificate_number": {"headings": ("许可编号", "许可证编号", "XK_XKBH")},
            "content": {"headings": ("许可内容", "XK_NR")},
            "decided_on": {"headings": ("许可决定日期", "XK_JDRQ", "许可生效期")},
            "valid_from": {"headings": ("有效期自", "XK_YXQZ")},
            "valid_until": {"headings": ("有效期至", "XK_YXQZI", "许可截止期", "许可截止日期", "XK_JZQ")},
            "authority_name": {"headings": ("许可机关", "XK_XKJG", "XK_XZJG")},
            "authority_uscc": {"headings": ("许可机关统一社会信用代码", "XK_XKJGDM")},
        },
    ),
    "LICENCE",
    older=("XK_XMMC", "XK_SPLB", "XK_XDR", "XK_XZJG", "XK_JZQ", "XK_XDR_ZDM", "XK_XDR_GSDJ", "审批类别", "许可截止期"),
    title="行政许可",
)
JUDGMENTS = FileKind(
    "judgments",
    "records",
    more(
        (*RECORD_COLUMNS, *details("case_number court cause result obligation performance")),
        {
            "name": {"headings": ("当事人", "当事人名称", "被告名称", "被执行人名称")},
            "case_number": {"headings": ("案号", "裁判文书号"), "required": True},
            "court": {"headings": ("审理法院", "执行法院", "法院名称")},
            "decided_on": {"headings": ("裁判日期", "判决日期", "生效日期")},
            "amount": {
                "headings": (
                    "判决金额（元）",
                    "标的金额（元）",
                    "判决金额（万元）",
                    "标的金额（万元）",
                    "判决金额",
                    "标的金额",
                    "金额（万元）",
                )
            },
        },
    ),
    "JUDGMENT",
    title="司法判决",
)
DISCIPLINARY = FileKind(
    "disciplinary",
    "records",
    more(
        (*RECORD_COLUMNS, *details("sanction effective_until")),
        {
            "name": {"headings": ("姓名", "被处分人", "被处分单位")},
            "sanction": {"headings": ("处分种类", "处分类型"), "required": True},
            "decided_on": {"headings": ("处分日期", "处分决定日期")},
            "authority_name": {"headings": ("处分机关", "处分决定机关")},
        },
    ),
    "DISCIPLINARY_ACTION",
    title="纪律处分",
)
ACCOUNTABILITY = FileKind(
    "accountability",
    "records",
    more(
        (*RECORD_COLUMNS, *details("form")),
        {
            "name": {"headings": ("姓名", "被问责单位", "被问责人")},
            "form": {"headings": ("问责方式", "问责形式"), "required": True},
            "decided_on": {"headings": ("问责日期", "问责决定日期")},
            "authority_name": {"headings": ("问责机关", "问责决定机关")},
            "facts": {"headings": ("问责事由",)},
        },
    ),
    "ACCOUNTABILITY",
    title="问责处理",
)
BREACHES = FileKind(
    "breaches",
    "records",
    (
        Column("kind", "choice", ("失信类型", "信息类别"), required=True, choices=BREACH_KINDS),
        *more(
            (*RECORD_COLUMNS, *details("breach contract counterparty promise due_on rectified_on")),
            {
                "title": {"headings": ("事项名称",), "required": True},
                "contract": {"headings": ("合同名称", "合同编号")},
                "breach": {"headings": ("失信情形",)},
                "amount": {"headings": ("涉及金额（元）", "涉及金额（万元）", "涉及金额", "金额（万元）")},
            },
        ),
    ),
    title="违约和承诺失信",
)
HONOURS = FileKind(
    "honours",
    "records",
    more(
        (*RECORD_COLUMNS, *details("honour_level")),
        {
            "title": {"headings": ("荣誉名称", "表彰名称", "奖励名称"), "required": True},
            "honour_level": {"headings": ("荣誉级别",)},
            "decided_on": {"headings": ("表彰日期", "授予日期")},
            "authority_name": {"headings": ("表彰机关", "授予机关")},
        },
    ),
    "HONOUR",
    title="表彰奖励",
)
LISTS = FileKind(
    "lists",
    "records",
    more(
        (*RECORD_COLUMNS, *details("list_name removed_on grounds"), LIST_KIND),
        {
            "decided_on": {"headings": ("列入日期",)},
            "list_name": {"required": True},
            "authority_name": {"headings": ("列入机关",)},
        },
    ),
    "LIST_ENTRY",
    title="名单",
)
RECORDS = FileKind(
    "records",
    "records",
    (
        Column("kind", "choice", ("信息类别",), required=True, choices=RECORD_KINDS),
        *more(RECORD_COLUMNS, {"title": {"required": True}}),
        *more(
            DETAIL_COLUMNS,
            {
                "fine": {"headings": ("罚款金额（元）", "罚款金额（万元）", "罚款（万元）", "罚款（元）", "罚款金额")},
                "confiscated": {"headings": ("没收金额（元）", "没收金额（万元）", "没收金额")},
            },
        ),
        LIST_KIND,
    ),
    title="各类记录",
)
ORGANISATIONS = FileKind("organisations", "subjects", ORGANISATION_COLUMNS, title="组织")
CIVIL_SERVANTS = FileKind(
    "civil-servants",
    "subjects",
    more(
        (*(c for c in SUBJECT_COLUMNS if c.name in ("name", "region_code", "source")), *PERSON_COLUMNS),
        {"name": {"headings": ("姓名",)}, "identity_number": {"required": True}},
    ),
    title="公务员",
)
DIVISIONS = FileKind(
    "divisions",
    "divisions",
    (
        Column("code", headings=("区划代码", "代码"), required=True, longest=12),
        Column("name", headings=("名称",), required=True, longest=NAME),
        Column("parent", headings=("上级代码",), longest=12),
        Column("local", "flag", ("本地代码",)),
    ),
    title="行政区划",
)
COURTS = FileKind(
    "courts",
    "courts",
    (
        Column("code", headings=("法院代字", "court_code"), required=True, longest=12),
        Column("name", headings=("法院名称", "court_name"), required=True, longest=NAME),
        Column("division_code", headings=("行政区划代码",), longest=12),
        Column("level", "integer", ("法院级别", "kind")),
    ),
    title="法院",
)
KINDS: dict[str, FileKind] = {
    kind.name: kind
    for kind in (
        ORGANISATIONS, PENALTIES, LICENCES, JUDGMENTS, DISCIPLINARY, ACCOUNTABILITY, BREACHES, HONOURS, LISTS,
        CIVIL_SERVANTS, DIVISIONS, COURTS, RECORDS,
    )
}  # fmt: skip
