"""Subjects and their records: the centre of the schema, in one module since each refers to the other."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.resolvers import records as record_rows
from gateway.resolvers import subjects
from gateway.resolvers.sections import consent_uuid
from gateway.schema.enums import (
    Area,
    Direction,
    RecordKind,
    RecordOrderField,
    RecordStatus,
    Severity,
    SubjectKind,
    SubjectRole,
)
from gateway.schema.fields import (
    I,
    P,
    R,
    by_engine,
    column,
    inherits,
    inline,
    part,
    passed_on,
    related,
    section,
    section_answer,
)
from gateway.schema.paging import After, Before, First, Last, PageInfo
from gateway.schema.scalars import Date, DateTime, Decimal, Uscc
from gateway.schema.sources import BankSection, CourtSection, Source, SourceAnswer

# An asker must not read "none" where there are some that its scope does not have.
_NARROWED = "; under a client's narrowing those of its scope alone"


@strawberry.interface(description="Anything that has an id of its own")
class Node:
    id: strawberry.ID = column("node_id", "The same in every view; opaque", P)


@strawberry.type(description="An administrative division (GB/T 2260) or a local area")
class Region:
    code: str = column("code", "Its code", P)
    name: str = column("name", "Its name", P)
    local: bool = column("local", "Whether the code is our own, not of GB/T 2260", P)


@strawberry.input(description="Conditions on records; all given ones hold at once")
class RecordFilter:
    kinds: list[RecordKind] | None = strawberry.field(default=strawberry.UNSET, description="Of these kinds")
    areas: list[Area] | None = strawberry.field(default=strawberry.UNSET, description="In these areas")
    statuses: list[RecordStatus] | None = strawberry.field(default=strawberry.UNSET, description="Of these statuses")
    severities: list[Severity] | None = strawberry.field(default=strawberry.UNSET, description="Of these classes")
    decided_from: Date | None = strawberry.field(default=strawberry.UNSET, description="Decided on this day or later")
    decided_to: Date | None = strawberry.field(default=strawberry.UNSET, description="Decided on this day or earlier")
    region_code: str | None = strawberry.field(
        default=strawberry.UNSET, description="Of subjects in this region or anything below it"
    )


@strawberry.input(description="Conditions on subjects; all given ones hold at once")
class SubjectFilter:
    kinds: list[SubjectKind] | None = strawberry.field(default=strawberry.UNSET, description="Of these kinds")
    roles: list[SubjectRole] | None = strawberry.field(
        default=strawberry.UNSET, description="With one of these roles in the key areas at present"
    )
    region_code: str | None = strawberry.field(
        default=strawberry.UNSET, description="Registered in this region or anything below it"
    )


@strawberry.input(description="Order of records")
class RecordOrder:
    field: RecordOrderField = strawberry.field(default=RecordOrderField.DECIDED_ON, description="By which day")
    direction: Direction = strawberry.field(default=Direction.DESC, description="In which direction")


Filter = Annotated[RecordFilter | None, strawberry.argument(description="Which records; all without it")]
Order = Annotated[
    RecordOrder | None, strawberry.argument(description="In which order; newest decision first without it")
]


def _list_records(
    filter: Filter = strawberry.UNSET,
    order_by: Order = strawberry.UNSET,
    first: First = 20,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
) -> CreditRecordConnection:
    by_engine()


def _bank(
    consent_id: Annotated[strawberry.ID, strawberry.argument(description="Id of the consent: see recordConsent")],
) -> BankSection:
    by_engine()


@strawberry.type(description="How many records of a kind there are in an area")
class RecordCount:
    area: Area = column("area", "The area", P)
    kind: RecordKind = column("kind", "The kind", P)
    count: int = column("count", "How many", P)


@strawberry.type(description="A publication that was revoked: that and why, not what it said (行政处罚法第四十八条)")
class WithdrawalNotice:
    withdrawn_on: Date = column("withdrawn_on", "Day of the withdrawal", P)
    authority: Subject = inline("authority_", "Who withdrew it", P, otherwise=subjects.at("authority_id", "authority"))
    reason: str = column("reason", "Why", P)


@strawberry.type(description="An organisation or a person that credit information is about")
class Subject(Node):
    id: strawberry.ID = column("node_id", "The same in every view; opaque", P)
    uscc: Uscc | None = column("uscc", "统一社会信用代码; null for natural persons and rows without a valid code", P)
    on_record: bool = column("on_record", "Whether it is on record here; others may know it all the same", P)
    name: str | None = column("name", "Its name; null only where it is not on record", P)
    former_names: list[str] = column("former_names", "Names it had before", P)
    kind: SubjectKind | None = column("kind", "Its kind; null where it is not on record", P)
    roles: list[SubjectRole] = column("roles", "Its roles in the key areas at present", P)
    region: Region | None = inline("region_", "Where it is registered", P, presence="region_code")
    registered_on: Date | None = column("registered_on", "Day of its registration", P)
    predecessors: list[Subject] = related(
        subjects.predecessors, f"Organs whose records and promises passed on to it{_NARROWED}", P
    )
    successors: list[Subject] = related(
        subjects.successors, f"Organs to which its records and promises passed on{_NARROWED}", P
    )
    legal_representative: str | None = column(
        "legal_representative", "法定代表人; masked for individual businesses below INTERNAL", P
    )
    identity_number: str | None = column("identity_number", "Identity number of a natural person, masked", I)
    records: CreditRecordConnection = related(
        record_rows.of_subject, "Its records, as far as the view has them", P, shown=False, arguments=_list_records
    )
    record_counts: list[RecordCount] = related(record_rows.counts, "Its records by area and kind", P, shown=False)
    withdrawals: list[WithdrawalNotice] = related(
        record_rows.withdrawals, "Publications about it that were revoked", P, shown=False
    )
    courts: CourtSection = section("COURTS", "courts_answer", "dishonest", "What the courts say of it", P)
    region_platform: RegionPlatformSection = section(
        "REGION_PLATFORM", "platform_answer", "records", "What the regional platform says of it", R
    )
    peers: list[PeerSection] = section(
        "PEER_REGION", "peers", "subject", "What other regions say of it, one by one", R, several=True
    )
    bank: BankSection = section(
        "BANKS",
        "banks_answer",
        "summary",
        "What the banks say of it, under a consent that fits subject, asker, matter and day; else CONSENT_REQUIRED",
        R,
        arguments=_bank,
        consent=("consentId", consent_uuid),
    )


@strawberry.type(description="One version of a record: what was known when")
class RecordVersion:
    version: int = column("version", "Number, from 1", I)
    known_from: DateTime = column("known_from", "Since when it was known here", I)
    known_until: DateTime | None = column("known_until", "Until when; null for the present version", I)
    status: RecordStatus = column("status", "Its status then", I)
    reason: str | None = column("reason", "Why it changed", I)
    entered_by: str | None = column("entered_by", "Who entered it", I)
    received_at: DateTime = column("received_at", "When the row was received", I)
    original: str | None = column("original", "The row as received, identity numbers masked", I)


@strawberry.interface(description="A record of public credit information")
class CreditRecord(Node):
    id: strawberry.ID = column("node_id", "The same in every view; opaque", P)
    subject: Subject = inline("subject_", "Whom it is about", P, otherwise=subjects.at("subject_id"))
    kind: RecordKind = column("kind", "Its kind", P)
    area: Area = column("area", "Its area", P)
    severity: Severity | None = column("severity", "Its class; null where the law has none", P)
    catalogue_item: str = column("catalogue_item", "Item of the national or local catalogue that allows the record", P)
    title: str = column("title", "Its title", P)
    document_number: str | None = column("document_number", "文号", P)
    authority: Subject | None = inline(
        "authority_",
        "Who determined it",
        P,
        presence="authority_node_id",
        otherwise=subjects.at("authority_id", "authority"),
    )
    decided_on: Date = column("decided_on", "Day of the document that determined it", P)
    published_from: Date | None = column("published_from", "First day of publication", P)
    published_until: Date | None = column("published_until", "Last day of publication; null without an end", P)
    status: RecordStatus = column("status", "Its status today", P)
    under_objection: bool = column("under_objection", "异议标注: an objection is open", P)
    repairable_from: Date | None = column("repairable_from", "First day on which repair can be decided", P)
    basis: str | None = column("basis", "Legal basis", P)
    amount: Decimal | None = column("amount", "Amount, yuan", P)
    facts: str | None = column("facts", "Facts", P)
    source: Source = inline("source_", "Where the record comes from", P)
    version: int = column("version", "Number of its present version", R)
    history: list[RecordVersion] = related(record_rows.history, "Its versions, oldest first", I, shown=False)


@strawberry.type(description="行政处罚")
class Penalty(CreditRecord):
    penalty_kinds: list[str] | None = column("penalty_kinds", "处罚种类", P)
    offence: str | None = column("offence", "违法行为类型", P)
    content: str | None = column("content", "处罚内容", P)
    fine: Decimal | None = column("fine", "罚款金额, yuan", P)
    confiscated: Decimal | None = column("confiscated", "没收金额, yuan", P)
    licence_effect: str | None = column("licence_effect", "暂扣或吊销证照", P)
    valid_until: Date | None = column("valid_until", "处罚有效期", P)


@strawberry.type(description="行政许可")
class Licence(CreditRecord):
    licence_kind: str | None = column("licence_kind", "许可类别", P)
    certificate_name: str | None = column("certificate_name", "许可证书名称", P)
    certificate_number: str | None = column("certificate_number", "许可编号", P)
    content: str | None = column("content", "许可内容", P)
    valid_from: Date | None = column("valid_from", "有效期自", P)
    valid_until: Date | None = column("valid_until", "有效期至", P)


@strawberry.type(description="司法判决")
class Judgment(CreditRecord):
    case_number: str | None = column("case_number", "案号", P)
    court: str | None = column("court", "审理法院", P)
    cause: str | None = column("cause", "案由", P)
    result: str | None = column("result", "裁判结果", P)
    obligation: str | None = column("obligation", "判决义务", R)
    performance: str | None = column("performance", "履行情况", P)


@strawberry.type(description="纪律处分")
class DisciplinaryAction(CreditRecord):
    sanction: str | None = column("sanction", "处分种类", R)
    effective_until: Date | None = column("effective_until", "影响期至", R)


@strawberry.type(description="问责处理")
class AccountabilityAction(CreditRecord):
    form: str | None = column("form", "问责方式", R)
    rectified_on: Date | None = column("rectified_on", "整改完成日期", P)


@strawberry.type(description="违约")
class ContractBreach(CreditRecord):
    contract: str | None = column("contract", "合同名称", P)
    breach: str | None = column("breach", "违约情形", P)
    counterparty: str | None = column("counterparty", "合同相对方", R)
    rectified_on: Date | None = column("rectified_on", "履行完成日期", P)


@strawberry.type(description="承诺失信")
class PromiseBreach(CreditRecord):
    promise: str | None = column("promise", "承诺事项", P)
    breach: str | None = column("breach", "失信情形", P)
    due_on: Date | None = column("due_on", "承诺期限", P)
    rectified_on: Date | None = column("rectified_on", "兑现日期", P)


@strawberry.type(description="表彰奖励")
class Honour(CreditRecord):
    honour_level: str | None = column("honour_level", "荣誉级别", P)
    valid_until: Date | None = column("valid_until", "有效期至", P)


@strawberry.type(description="名单")
class ListEntry(CreditRecord):
    list_name: str | None = column("list_name", "名单名称", P)
    grounds: str | None = column("grounds", "列入事由", P)
    removed_on: Date | None = column("removed_on", "移出日期", P)


@strawberry.type(
    description="What the regional platform says of a subject: its records there, of which some may be on record here"
    " under the same id; counts and root lists have those alone"
)
class RegionPlatformSection:
    answer: SourceAnswer = section_answer("What the platform said, or why nothing", R)
    records: list[CreditRecord] = part("platform_records", "Its records there", R)


@strawberry.type(description="What another region says of a subject")
class PeerSection:
    region: Region = inline("region_", "Which region", R)
    on_record: bool | None = column("on_record", "Whether it is on record there; null where the region did not say", R)
    courts: CourtSection | None = passed_on(
        {"courts_dishonest": "peers_dishonest"},
        "peers_courts",
        "peers_courts_unasked",
        "courts",
        "What the region knows of the courts, of which it passes on listings as dishonest debtor alone: with any other"
        " list selected the answer is NOT_CONSULTED",
        R,
    )
    answer: SourceAnswer = section_answer("What the region said, or why nothing", R)
    records: list[CreditRecord] = part("peers_records", "Its records there", R)


RECORD_TYPES: tuple[tuple[str, type], ...] = (
    ("PENALTY", Penalty),
    ("LICENCE", Licence),
    ("JUDGMENT", Judgment),
    ("DISCIPLINARY_ACTION", DisciplinaryAction),
    ("ACCOUNTABILITY", AccountabilityAction),
    ("CONTRACT_BREACH", ContractBreach),
    ("PROMISE_BREACH", PromiseBreach),
    ("HONOUR", Honour),
    ("LIST_ENTRY", ListEntry),
)


@strawberry.type(description="A record in a list")
class CreditRecordEdge:
    cursor: str = inherits("Its place in the list")
    node: CreditRecord = inherits("The record")


@strawberry.type(description="A page of records (Relay cursor specification)")
class CreditRecordConnection:
    edges: list[CreditRecordEdge] = inherits("The records of this page")
    page_info: PageInfo = inherits("Where the page stands")
    total_count: int = inherits("How many there are on all pages")


@strawberry.type(description="A subject in a list")
class SubjectEdge:
    cursor: str = inherits("Its place in the list")
    node: Subject = inherits("The subject")


@strawberry.type(description="A page of subjects (Relay cursor specification)")
class SubjectConnection:
    edges: list[SubjectEdge] = inherits("The subjects of this page")
    page_info: PageInfo = inherits("Where the page stands")
    total_count: int = inherits("How many there are on all pages; counted up to 1,000")
    total_count_exact: bool = inherits("Whether there are no more than totalCount says")
