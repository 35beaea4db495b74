"""What each contract may have, written down by hand: from the contract that partners rely on, and for our own additions
from the design, each with its reason. Nothing here is computed from gateway/: the walls are held against this table.

P, R, I: the lowest view that has a coordinate. Names that the schema does not have yet may stand here already.
"""

from __future__ import annotations

P, R, I = 0, 1, 2  # noqa: E741
CONTRACTS = {"PUBLIC": P, "RESTRICTED": R, "INTERNAL": I, "SELF": R}

# Fields of the contract. A record's common fields stand once, under CreditRecord; the nine kinds have them too.
FIELDS: dict[str, dict[int, str]] = {
    "Query": {
        P: "node subject subjects searchSubjects records sources viewer progress codeList",
        R: "matters check",
        I: "person",
    },
    "Node": {P: "id"},
    "Mutation": {
        P: "fileObjection applyForRepair fileReport",
        R: "checkSubjects recordConsent",
    },
    "RecordConsentPayload": {R: "consentId"},
    "Viewer": {P: "view clientId organisation", R: "matter"},
    "Subject": {
        P: "id uscc onRecord name formerNames kind roles region predecessors successors legalRepresentative records"
        " recordCounts withdrawals courts",
        R: "regionPlatform peers bank",
        I: "identityNumber",
    },
    "CreditRecord": {
        P: "id subject kind area severity catalogueItem title documentNumber authority decidedOn publishedFrom"
        " publishedUntil status underObjection repairableFrom basis amount facts source",
        R: "version",
        I: "history",
    },
    "RecordVersion": {I: "version knownFrom knownUntil status reason enteredBy receivedAt original"},
    "RecordCount": {P: "area kind count"},
    "Region": {P: "code name local"},
    "CodeLabel": {P: "code zh en validFrom validTo"},
    "SourceAnswer": {P: "source status asOf", R: "reason"},
    "Source": {P: "code name kind healthy", R: "lastAnswerAt"},
    "CourtSection": {P: "answer dishonestListings", R: "enforcementCases consumptionOrders judgments"},
    "DishonestListing": {P: "caseNumber court filedOn publishedOn grounds performance basisDocument", R: "duty"},
    "EnforcementCase": {R: "caseNumber court filedOn state amount"},
    "ConsumptionOrder": {R: "caseNumber court orderedOn"},
    "CourtJudgment": {R: "caseNumber court cause judgedOn result obligation performance"},
    "RegionPlatformSection": {R: "answer records"},
    "PeerSection": {R: "region onRecord courts answer records"},
    "BankSection": {
        R: "answer loanBalance overdueBalance overdueDays classification guaranteeBalance events",
    },
    "BankEvent": {R: "kind amount occurredOn settledOn"},
    "Matter": {R: "code name legalBasis requiredSources"},
    "Check": {R: "id state matter caseNumber requestedAt progress items receipt"},
    "CheckProgress": {R: "total done"},
    "CheckItem": {R: "reference subject candidates verdict validUntil related findings answers receipt"},
    "Finding": {R: "rule effect measure legalBasis source record summary"},
    "Candidate": {R: "subject score explanation"},
    "CaseProgress": {P: "kind state receivedOn dueOn outcome"},
    "WithdrawalNotice": {P: "withdrawnOn authority reason"},
    # Connections, edges and PageInfo take the level of the field that returns them; so far that is PUBLIC everywhere.
    "SubjectConnection": {P: "edges pageInfo totalCount"},
    "SubjectEdge": {P: "cursor node"},
    "CreditRecordConnection": {P: "edges pageInfo totalCount"},
    "CreditRecordEdge": {P: "cursor node"},
    "PageInfo": {P: "hasNextPage hasPreviousPage startCursor endCursor"},
    "CheckItemConnection": {R: "edges pageInfo totalCount"},
    "CheckItemEdge": {R: "cursor node"},
}

# Our own fields, beyond the contract: (level, names, reason).
OURS: dict[str, tuple[tuple[int, str, str], ...]] = {
    "Query": (
        (P, "recordChanges", "changes of records that the view has, or had"),
        (P, "_service _entities", "the federation's: another way to ask by code, in the asker's own contract"),
    ),
    "Subscription": ((P, "recordChanged", "as Query.recordChanges, one by one"),),
    "RecordChange": (
        (
            P,
            "cursor kind cause at reason recordId record subject",
            "that a record which was there is gone, and why, so that copies are deleted; never what it said",
        ),
    ),
    "RecordChangeConnection": ((P, "edges pageInfo", "as the field that returns it"),),
    "RecordChangeEdge": ((P, "cursor node", "as the field that returns it"),),
    "_Service": ((P, "sdl", "the asker's own contract as text, as introspection has it"),),
    "Mutation": (
        (R, "revokeConsent", "as recordConsent, which it ends"),
        (I, "revealIdentity", "a person's identity number, masked even in INTERNAL, by a matter that may reveal it"),
    ),
    "RevealIdentityPayload": ((I, "identityNumber subject", "what was revealed, and whose it is"),),
    "RecordConsentPayload": ((R, "consent", "what was recorded, for who recorded it"),),
    "RevokeConsentPayload": ((R, "consent", "what was revoked, for who revoked it"),),
    "Viewer": (
        (R, "consents", "what the client's organisation may ask under, or the account's subject allowed"),
        (R, "disclosures", "the account's own, or on a recorded access request alone"),
    ),
    "Disclosure": (
        (
            R,
            "number at organisationUscc organisation onBehalfOf view matter legalBasis caseNumber publicFields"
            " restrictedFields internalFields sources logIndex receiptId",
            "exists for its subject and on a recorded request of theirs, both of which ask above PUBLIC",
        ),
    ),
    "DisclosedSource": ((R, "code status asOf", "as the disclosure it is of"),),
    "DisclosureConnection": ((R, "edges pageInfo", "as the field that returns it"),),
    "DisclosureEdge": ((R, "cursor node", "as the field that returns it"),),
    "Consent": (
        (
            R,
            "id uscc subject granteeUscc grantee matter scope validFrom validTo method documentSha256 recordedAt"
            " revokedAt revokedBy revocationReason",
            "exists for its two sides alone, both of which ask above PUBLIC",
        ),
    ),
    "ConsentConnection": ((R, "edges pageInfo totalCount", "as the field that returns it"),),
    "ConsentEdge": ((R, "cursor node", "as the field that returns it"),),
    "Subject": ((P, "registeredOn", "public in the register of organisations"),),
    "SubjectConnection": ((P, "totalCountExact", "says no more than the count beside it"),),
    "Penalty": (
        (
            P,
            "penaltyKinds offence content fine confiscated licenceEffect validUntil",
            "a penalty is published with its kind, content and amounts (行政处罚信息公示); it names its subject alone",
        ),
    ),
    "Licence": (
        (
            P,
            "licenceKind certificateName certificateNumber content validFrom validUntil",
            "a licence is published whole",
        ),
    ),
    "Judgment": (
        (P, "caseNumber court cause result performance", "what a published judgment says of its subject"),
        (
            R,
            "obligation",
            "the duty found may name third parties, as CourtJudgment.obligation and DishonestListing.duty",
        ),
    ),
    "DisciplinaryAction": (
        (R, "sanction effectiveUntil", "what was imposed: as basis, amount and facts, null below RESTRICTED"),
    ),
    "AccountabilityAction": (
        (R, "form", "how someone was held to account: as basis, amount and facts, null below RESTRICTED"),
        (P, "rectifiedOn", "that it was put right is for everybody"),
    ),
    "ContractBreach": (
        (P, "contract breach rectifiedOn", "government dishonesty is published (发改财金〔2023〕1103号)"),
        (R, "counterparty", "names a third party"),
    ),
    "PromiseBreach": ((P, "promise breach dueOn rectifiedOn", "government dishonesty is published"),),
    "Honour": ((P, "honourLevel validUntil", "honours are published"),),
    "ListEntry": ((P, "listName grounds removedOn", "lists are published with their grounds"),),
}
RECORD_TYPES = tuple(
    name
    for name in OURS
    if name not in ("Mutation", "Viewer", "Query", "Subscription", "_Service")
    and not name.startswith(
        ("Subject", "Consent", "RecordConsent", "RevokeC", "RevealIdentity", "RecordChange", "Disclos")
    )
)

INPUT_FIELDS: dict[str, dict[int, str]] = {
    "SubjectFilter": {P: "kinds roles regionCode"},
    "RecordFilter": {P: "kinds areas statuses severities decidedFrom decidedTo regionCode"},
    "RecordOrder": {P: "field direction"},
    "RecordConsentInput": {R: "uscc granteeUscc matter scope validFrom validTo documentSha256 method"},
    "RevokeConsentInput": {R: "consentId reason"},
    "RevealIdentityInput": {I: "subject reason"},
    "CheckSubjectsInput": {R: "subjects matter caseNumber idempotencyKey"},
    "CheckSubjectInput": {R: "uscc name reference related", I: "identityNumber"},
}

ENUM_VALUES: dict[str, dict[int, str]] = {
    "View": {P: "PUBLIC RESTRICTED INTERNAL SELF"},
    "SubjectKind": {
        P: "ORGAN PUBLIC_INSTITUTION MASS_ORGANISATION TOWNSHIP PARK_COMMITTEE VILLAGE_COMMITTEE RESIDENTS_COMMITTEE"
        " ENTERPRISE INDIVIDUAL_BUSINESS COOPERATIVE SOCIAL_ORGANISATION OTHER",
        I: "CIVIL_SERVANT NATURAL_PERSON",
    },
    "SubjectRole": {P: "TENDERING_AGENCY BIDDER PURCHASER SUPPLIER PPP_PARTNER INVESTOR RATING_AGENCY"},
    "RecordKind": {
        P: "PENALTY LICENCE JUDGMENT DISCIPLINARY_ACTION ACCOUNTABILITY CONTRACT_BREACH PROMISE_BREACH HONOUR"
        " LIST_ENTRY",
    },
    "Area": {P: "GENERAL PROCUREMENT PPP TENDERING INVESTMENT_PROMOTION GOVERNMENT_DEBT TOWNSHIP"},
    "Severity": {P: "MINOR GENERAL SERIOUS"},
    "RecordStatus": {P: "ACTIVE CORRECTED", R: "EXPIRED", I: "REVOKED REPAIRED"},
    "RecordChangeKind": {P: "ADDED CHANGED WITHDRAWN"},
    "WithdrawalCause": {P: "EXPIRED REPAIRED REVOKED UNPUBLISHED MOVED"},
    "RecordOrderField": {P: "DECIDED_ON PUBLISHED_FROM"},
    "Direction": {P: "ASC DESC"},
    "SourceStatus": {P: "ANSWERED CACHED STALE UNAVAILABLE REFUSED CONSENT_REQUIRED PENDING NOT_CONSULTED"},
    "SourceKind": {P: "LOCAL COURTS BANKS REGION_PLATFORM PEER_REGION"},
    "ConsentMethod": {R: "PAPER_SIGNED ELECTRONIC_SIGNATURE SUBJECT_ACCOUNT"},
    "ConsentParty": {R: "GRANTEE SUBJECT"},
    "CheckState": {R: "QUEUED RUNNING DONE FAILED"},
    "Verdict": {R: "CLEAR ADVERSE INDETERMINATE"},
    "FindingEffect": {R: "BARS RESTRICTS NOTICE INCENTIVE"},
    "CaseKind": {P: "OBJECTION REPAIR REPORT"},
}
# SELF is RESTRICTED plus the statuses and kinds that a subject's own rows may have.
OWN_ROWS = ("RecordStatus", "SubjectKind")

# Types that a contract has only from a level on, since nothing lower returns or takes them. All others are PUBLIC.
TYPES: dict[str, int] = {
    "RecordVersion": I,
    "Matter": R,
    "EnforcementCase": R,
    "ConsumptionOrder": R,
    "CourtJudgment": R,
    "RegionPlatformSection": R,
    "PeerSection": R,
    "BankSection": R,
    "BankEvent": R,
    "Mutation": R,  # until PUBLIC has a field of it
    "RecordConsentInput": R,
    "RecordConsentPayload": R,
    "RevokeConsentInput": R,
    "RevokeConsentPayload": R,
    "RevealIdentityInput": I,
    "RevealIdentityPayload": I,
    "Consent": R,
    "Disclosure": R,
    "DisclosedSource": R,
    "DisclosureConnection": R,
    "DisclosureEdge": R,
    "ConsentConnection": R,
    "ConsentEdge": R,
    "ConsentMethod": R,
    "ConsentParty": R,
    "Check": R,
    "CheckProgress": R,
    "CheckItem": R,
    "CheckItemConnection": R,
    "CheckItemEdge": R,
    "CheckState": R,
    "CheckSubjectsInput": R,
    "CheckSubjectInput": R,
    "Verdict": R,
    "Finding": R,
    "FindingEffect": R,
    "Candidate": R,
}


def _spread(table: dict[str, dict[int, str]]) -> dict[str, int]:
    return {
        f"{owner}.{name}": level
        for owner, levels in table.items()
        for level, names in levels.items()
        for name in names.split()
    }


def levels() -> dict[str, int]:
    """Coordinate → level, for fields, input fields and enum values. Arguments go with their field."""
    found = _spread(FIELDS) | _spread(INPUT_FIELDS) | _spread(ENUM_VALUES)
    for owner, entries in OURS.items():
        for level, names, _ in entries:
            found |= {f"{owner}.{name}": level for name in names.split()}
    for owner in RECORD_TYPES:
        found |= {f"{owner}.{name}": level for level, names in FIELDS["CreditRecord"].items() for name in names.split()}
    return found


def visible(coordinate: str, contract: str) -> bool:
    """Whether the contract has the coordinate (`Type` or `Type.name`). KeyError for one that nobody decided on."""
    owner, _, _ = coordinate.partition(".")
    if coordinate == owner:
        return CONTRACTS[contract] >= TYPES.get(owner, P)
    level = LEVELS[coordinate]
    if contract == "SELF" and owner in OWN_ROWS:
        return True
    return CONTRACTS[contract] >= level


LEVELS = levels()
