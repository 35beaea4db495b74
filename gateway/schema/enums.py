"""Enums. Values above PUBLIC are named in HIDDEN; a contract below their level lacks them."""

from __future__ import annotations

import enum

import strawberry

from gateway.storage.levels import Level


def _v(code: str, description: str) -> str:
    return strawberry.enum_value(code, description=description)  # type: ignore[return-value]


@strawberry.enum(description="The view in which a request is answered")
class View(enum.Enum):
    PUBLIC = _v("PUBLIC", "公开: what the law publishes")
    RESTRICTED = _v("RESTRICTED", "授权: for departments, with matter and case number")
    INTERNAL = _v("INTERNAL", "内部: for determining and supervising authorities")
    SELF = _v("SELF", "本人: a subject's own account")


@strawberry.enum(description="Kinds of subject")
class SubjectKind(enum.Enum):
    ORGAN = _v("ORGAN", "行政机关")
    PUBLIC_INSTITUTION = _v("PUBLIC_INSTITUTION", "事业单位")
    MASS_ORGANISATION = _v("MASS_ORGANISATION", "群众团体")
    TOWNSHIP = _v("TOWNSHIP", "街道和乡镇")
    PARK_COMMITTEE = _v("PARK_COMMITTEE", "园区管理委员会")
    VILLAGE_COMMITTEE = _v("VILLAGE_COMMITTEE", "村民委员会")
    RESIDENTS_COMMITTEE = _v("RESIDENTS_COMMITTEE", "居民委员会")
    ENTERPRISE = _v("ENTERPRISE", "企业")
    INDIVIDUAL_BUSINESS = _v("INDIVIDUAL_BUSINESS", "个体工商户")
    COOPERATIVE = _v("COOPERATIVE", "农民专业合作社")
    SOCIAL_ORGANISATION = _v("SOCIAL_ORGANISATION", "社会组织")
    CIVIL_SERVANT = _v("CIVIL_SERVANT", "公务员")
    NATURAL_PERSON = _v("NATURAL_PERSON", "自然人")
    OTHER = _v("OTHER", "其他")


@strawberry.enum(description="Roles of a subject in the key areas")
class SubjectRole(enum.Enum):
    TENDERING_AGENCY = _v("TENDERING_AGENCY", "招标代理机构")
    BIDDER = _v("BIDDER", "投标人")
    PURCHASER = _v("PURCHASER", "采购人")
    SUPPLIER = _v("SUPPLIER", "供应商")
    PPP_PARTNER = _v("PPP_PARTNER", "社会资本方")
    INVESTOR = _v("INVESTOR", "投资者")
    RATING_AGENCY = _v("RATING_AGENCY", "信用评级机构")


@strawberry.enum(description="The nine kinds of record")
class RecordKind(enum.Enum):
    PENALTY = _v("PENALTY", "行政处罚")
    LICENCE = _v("LICENCE", "行政许可")
    JUDGMENT = _v("JUDGMENT", "司法判决")
    DISCIPLINARY_ACTION = _v("DISCIPLINARY_ACTION", "纪律处分")
    ACCOUNTABILITY = _v("ACCOUNTABILITY", "问责处理")
    CONTRACT_BREACH = _v("CONTRACT_BREACH", "违约")
    PROMISE_BREACH = _v("PROMISE_BREACH", "承诺失信")
    HONOUR = _v("HONOUR", "表彰奖励")
    LIST_ENTRY = _v("LIST_ENTRY", "名单")


@strawberry.enum(description="Key areas of government credit")
class Area(enum.Enum):
    GENERAL = _v("GENERAL", "综合")
    PROCUREMENT = _v("PROCUREMENT", "政府采购")
    PPP = _v("PPP", "政府和社会资本合作")
    TENDERING = _v("TENDERING", "招标投标")
    INVESTMENT_PROMOTION = _v("INVESTMENT_PROMOTION", "招商引资")
    GOVERNMENT_DEBT = _v("GOVERNMENT_DEBT", "地方政府债务")
    TOWNSHIP = _v("TOWNSHIP", "街道和乡镇")


@strawberry.enum(description="Class of dishonest information (国办发〔2025〕22号)")
class Severity(enum.Enum):
    MINOR = _v("MINOR", "轻微: normally not published, at most 3 months")
    GENERAL = _v("GENERAL", "一般: 3 months to 1 year")
    SERIOUS = _v("SERIOUS", "严重: 1 to 3 years")


@strawberry.enum(description="Status of a record")
class RecordStatus(enum.Enum):
    ACTIVE = _v("ACTIVE", "公示中")
    CORRECTED = _v("CORRECTED", "已更正")
    EXPIRED = _v("EXPIRED", "公示期满: its longest term of publication has passed")
    REVOKED = _v("REVOKED", "已撤销")
    REPAIRED = _v("REPAIRED", "已修复")


@strawberry.enum(description="What records are ordered by")
class RecordOrderField(enum.Enum):
    DECIDED_ON = _v("DECIDED_ON", "Day of the decision")
    PUBLISHED_FROM = _v("PUBLISHED_FROM", "First day of publication")


@strawberry.enum(description="Direction of an order")
class Direction(enum.Enum):
    ASC = _v("ASC", "Oldest first")
    DESC = _v("DESC", "Newest first")


@strawberry.enum(description="What a source said, or why it said nothing; only ANSWERED and CACHED can mean no record")
class SourceStatus(enum.Enum):
    ANSWERED = _v("ANSWERED", "It answered now")
    CACHED = _v("CACHED", "A kept answer that is still fresh")
    STALE = _v("STALE", "A kept answer that is no longer fresh, since the source did not answer")
    UNAVAILABLE = _v("UNAVAILABLE", "It did not answer")
    REFUSED = _v("REFUSED", "It refused to answer")
    CONSENT_REQUIRED = _v("CONSENT_REQUIRED", "It may be asked only under a consent")
    PENDING = _v("PENDING", "It will answer later; ask again")
    NOT_CONSULTED = _v("NOT_CONSULTED", "It was not asked")


@strawberry.enum(description="Kinds of source")
class SourceKind(enum.Enum):
    LOCAL = _v("LOCAL", "The prefecture's own database")
    COURTS = _v("COURTS", "Court publications")
    BANKS = _v("BANKS", "Bank credit information")
    REGION_PLATFORM = _v("REGION_PLATFORM", "The autonomous region's platform")
    PEER_REGION = _v("PEER_REGION", "Another region's gateway")


@strawberry.enum(description="How a consent was given")
class ConsentMethod(enum.Enum):
    PAPER_SIGNED = _v("PAPER_SIGNED", "纸质签署")
    ELECTRONIC_SIGNATURE = _v("ELECTRONIC_SIGNATURE", "电子签名")
    SUBJECT_ACCOUNT = _v("SUBJECT_ACCOUNT", "主体账户确认")


@strawberry.enum(description="The two sides of a consent")
class ConsentParty(enum.Enum):
    GRANTEE = _v("GRANTEE", "被授权单位: the organisation that was allowed to ask")
    SUBJECT = _v("SUBJECT", "信息主体: whose consent it is")


@strawberry.enum(description="What a change was to this view")
class RecordChangeKind(enum.Enum):
    ADDED = _v("ADDED", "The record is there from now on")
    CHANGED = _v("CHANGED", "It says something else, or has another status")
    WITHDRAWN = _v("WITHDRAWN", "It is gone: delete every copy")


@strawberry.enum(description="Why a record is gone")
class WithdrawalCause(enum.Enum):
    EXPIRED = _v("EXPIRED", "公示期满")
    REPAIRED = _v("REPAIRED", "已修复")
    REVOKED = _v("REVOKED", "已撤销")
    UNPUBLISHED = _v("UNPUBLISHED", "不再公示: its authority no longer publishes it")
    MOVED = _v("MOVED", "It is about another subject, under whose code it is found")


HIDDEN: dict[str, dict[str, Level]] = {
    "RecordStatus": {"EXPIRED": Level.RESTRICTED, "REVOKED": Level.INTERNAL, "REPAIRED": Level.INTERNAL},
    "SubjectKind": {"CIVIL_SERVANT": Level.INTERNAL, "NATURAL_PERSON": Level.INTERNAL},
}
STEERING = frozenset({"RecordOrderField", "Direction"})
