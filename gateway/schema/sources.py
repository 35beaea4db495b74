"""Types of sources, and of what courts and banks say. Sections with records stand in subjects.py."""

from __future__ import annotations

import strawberry

from gateway.resolvers import reference
from gateway.schema.enums import SourceKind, SourceStatus
from gateway.schema.fields import P, R, column, part, related, section_answer
from gateway.schema.scalars import Date, DateTime, Decimal


@strawberry.type(description="A source of credit information")
class Source:
    code: str = column("code", "Its code", P)
    name: str = column("name", "Its name", P)
    kind: SourceKind = column("kind", "Its kind", P)
    healthy: bool = column("healthy", "Whether it answers at present", P)
    last_answer_at: DateTime | None = column("last_answer_at", "When it last answered", R)


@strawberry.type(
    description="What a source said, or why nothing. An empty list means no record only beside ANSWERED or CACHED"
)
class SourceAnswer:
    source: Source = related(reference.answering_source, "The source", P)
    status: SourceStatus = column("status", "What it said, or why nothing", P)
    as_of: DateTime | None = column(
        "as_of", "When the oldest of what is shown was asked; null where nothing was answered", P
    )
    reason: str | None = column("reason", "Why it did not answer now: a code of docs/faults.md", R)


@strawberry.type(description="失信被执行人: a listing of a dishonest debtor")
class DishonestListing:
    case_number: str = column("case_number", "案号", P)
    court: str = column("court", "Court of enforcement", P)
    filed_on: Date | None = column("filed_on", "立案日期", P)
    published_on: Date | None = column("published_on", "发布日期", P)
    grounds: list[str] = column("grounds", "失信行为情形", P)
    performance: str | None = column("performance", "履行情况", P)
    basis_document: str | None = column("basis_document", "执行依据文号", P)
    duty: str | None = column("duty", "生效法律文书确定的义务; it may name third parties", R)


@strawberry.type(description="被执行人: an enforcement case")
class EnforcementCase:
    case_number: str = column("case_number", "案号", R)
    court: str = column("court", "Court of enforcement", R)
    filed_on: Date | None = column("filed_on", "立案日期", R)
    state: str | None = column("state", "案件状态", R)
    amount: Decimal | None = column("amount", "执行标的, yuan", R)


@strawberry.type(description="限制消费令: an order restricting consumption")
class ConsumptionOrder:
    case_number: str = column("case_number", "案号", R)
    court: str = column("court", "Court of enforcement", R)
    ordered_on: Date | None = column("ordered_on", "Day of the order", R)


@strawberry.type(description="A case in which an organ was found against")
class CourtJudgment:
    case_number: str = column("case_number", "案号", R)
    court: str = column("court", "Court", R)
    cause: str | None = column("cause", "案由", R)
    judged_on: Date | None = column("judged_on", "Day of the judgment", R)
    result: str | None = column("result", "败诉, 部分败诉 or 和解", R)
    obligation: str | None = column("obligation", "What it has to do", R)
    performance: str | None = column("performance", "Whether it did", R)


@strawberry.type(description="What the courts say of a subject; lists mean nothing without the answer's status")
class CourtSection:
    answer: SourceAnswer = section_answer("What the courts said, or why nothing, for the lists selected beside it", P)
    dishonest_listings: list[DishonestListing] = part("courts_dishonest", "Listings as dishonest debtor", P)
    enforcement_cases: list[EnforcementCase] = part("courts_enforcement", "Enforcement cases", R)
    consumption_orders: list[ConsumptionOrder] = part("courts_consumption", "Orders restricting consumption", R)
    judgments: list[CourtJudgment] = part("courts_judgments", "Cases in which it was found against", R)


@strawberry.type(description="What happened to a loan")
class BankEvent:
    kind: str = column("kind", "违约, 展期, 代偿 or 核销", R)
    amount: Decimal | None = column("amount", "Amount, yuan", R)
    occurred_on: Date | None = column("occurred_on", "Day on which it happened", R)
    settled_on: Date | None = column("settled_on", "Day on which it was settled; null while it is not", R)


@strawberry.type(
    description="What the banks say of a subject under its consent; shown once, kept nowhere. Null values beside an"
    " answer mean that no bank knows the subject"
)
class BankSection:
    answer: SourceAnswer = section_answer("What the banks said, or why nothing", R)
    loan_balance: Decimal | None = column("loan_balance", "贷款余额, yuan", R)
    overdue_balance: Decimal | None = column("overdue_balance", "逾期余额, yuan", R)
    overdue_days: int | None = column("overdue_days", "逾期天数", R)
    classification: str | None = column("classification", "五级分类: 正常, 关注, 次级, 可疑 or 损失", R)
    guarantee_balance: Decimal | None = column("guarantee_balance", "担保余额, yuan", R)
    events: list[BankEvent] = part("banks_events", "What happened to its loans", R)
