"""Which columns each view has, and what each role may do with each table: written by hand, from expected_levels' facts.

A column follows the field that reads it; keys (ids, positions) that no field shows are there where a join or an order
needs them. Nothing here is computed from gateway/.
"""

from __future__ import annotations

from expected_levels import I, P, R

_SUBJECT = "id external_id node_id uscc on_record name kind registered_on region_code region_name region_local"
_SUBJECT += " legal_representative former_names roles"
_OF_SUBJECT = "node_id external_id on_record uscc name kind region_code region_name region_local"
_SOURCE = "code name kind healthy"


def _prefixed(prefix: str, names: str) -> str:
    return " ".join(prefix + name for name in names.split())


# Relation → level → columns.
COLUMNS: dict[str, dict[int, str]] = {
    "subject": {P: _SUBJECT, I: "identity_number"},
    "authority": {P: _SUBJECT, I: "identity_number"},
    "predecessor": {P: f"successor_id {_SUBJECT}", I: "identity_number"},
    "successor": {P: f"predecessor_id {_SUBJECT}", I: "identity_number"},
    "record": {
        P: "id external_id node_id subject_id authority_id kind area severity catalogue_item title document_number"
        " decided_on published_from published_until status under_objection repairable_from basis amount facts"
        f" {_prefixed('subject_', _OF_SUBJECT)} {_prefixed('authority_', _OF_SUBJECT)} {_prefixed('source_', _SOURCE)}"
        # the nine kinds' own
        " penalty_kinds offence content fine confiscated licence_effect valid_from valid_until licence_kind"
        " certificate_name certificate_number case_number court cause result performance breach contract promise due_on"
        " rectified_on honour_level list_name removed_on grounds",
        R: "version source_last_answer_at obligation sanction effective_until form counterparty",
    },
    "record_count": {P: "subject_id area kind count"},
    "record_version": {
        I: "record_id version known_from known_until status reason entered_by received_at original",
    },
    "withdrawal": {
        P: f"subject_id authority_id withdrawn_on reason {_prefixed('authority_', _OF_SUBJECT)}",
    },
    # what a change was to this view; the id of the record as it is, where it has one
    "record_change": {
        P: "position subject_id area kind cause at reason record_node_id present_id"
        f" {_prefixed('subject_', _OF_SUBJECT)}",
    },
    # what a search goes through: endings of names and codes of the view's own subjects
    "name_part": {P: "subject_id tier suffix repeated kind region_code"},
    "subject_role": {P: "subject_id role"},
    "source": {P: f"position {_SOURCE}", R: "last_answer_at"},
    "region": {P: "code name local"},
    "region_closure": {P: "ancestor code"},
    "code_label": {P: "list position code zh en valid_from valid_to"},
    "matter": {R: "code name legal_basis"},
    # the item that allows a live row of a source that names none
    "catalogue_default": {R: "kind item valid_from"},
    "consent": {
        R: "external_id node_id subject_external_id uscc grantee_uscc matter scope valid_from valid_to document_sha256"
        " method recorded_on recorded_at revoked_at revoked_by revocation_reason",
    },
    # whose entries of the account an asker may read; these, and what sources said of their subject in each
    "accessible": {R: "external_id"},
    "disclosure": {
        R: "external_id node_id number at organisation_uscc on_behalf_of view matter legal_basis case_number"
        " public_fields restricted_fields internal_fields log_index receipt_id",
    },
    "disclosed_source": {R: "external_id number code status as_of"},
    # what a live row is here: the record's id while it is in force, and that it has ended
    "source_row": {R: "source_code natural_key ended linked said_at external_id node_id"},
    # that a source has withdrawn a row, stored here or not, and when
    "source_ended": {R: "source_code natural_key ended_at"},
    "required_source": {R: f"matter_code position {_SOURCE} last_answer_at"},
}
_RECORD = " ".join(COLUMNS["record"].values())
_ANSWER = "source_code status as_of reason"
ORDERS = {
    "record": ("decided_desc", "decided_asc", "published_desc", "published_asc"),
    "name_part": ("ranked_asc", "ranked_desc"),
    "consent": ("recorded_desc", "recorded_asc"),
    "record_change": ("position",),
    "disclosure": ("number_desc", "number_asc"),
}

# Function of a view schema → level → columns.
FUNCTIONS: dict[str, dict[int, str]] = {
    "courts_answer": {P: "source_code status as_of", R: "reason"},
    "courts_dishonest": {
        P: "case_number court filed_on published_on grounds performance basis_document",
        R: "duty",
    },
    "courts_enforcement": {R: "case_number court filed_on state amount"},
    "courts_consumption": {R: "case_number court ordered_on"},
    "courts_judgments": {R: "case_number court cause judged_on result obligation performance"},
    # banks, the platform, other regions: nothing of them below RESTRICTED, whatever a record's fields are in PUBLIC
    "banks_answer": {
        R: f"{_ANSWER} loan_balance overdue_balance overdue_days classification guarantee_balance",
    },
    "banks_events": {R: "kind amount occurred_on settled_on"},
    "platform_answer": {R: _ANSWER},
    "platform_records": {R: _RECORD},
    "peers": {R: f"code {_ANSWER} on_record region_code region_name region_local courts"},
    "peers_records": {R: _RECORD},
    "peers_courts": {R: _ANSWER},
    "peers_courts_unasked": {R: _ANSWER},
    "peers_dishonest": {
        R: "case_number court filed_on published_on grounds performance basis_document duty",
    },
}
# Functions that take the source's code, too.
BY_SOURCE = ("peers_records", "peers_courts", "peers_courts_unasked", "peers_dishonest")

# Rows that depend on who asks in every view: where there is no scope there is no such view.
SCOPED_ONLY = ("consent", "accessible", "disclosure", "disclosed_source")
# Functions of every view schema with their owner's rights that only tell places among changes, of one cursor each.
PLACES = {"change_place", "change_cursor", "change_end"}
# What a view's role may do besides reading: functions of its own schema, by schema.
WRITING = {
    "restricted_scoped": {"record_consent", "revoke_consent", "claim_key", "keep_reply"},
    "internal": {"record_consent", "revoke_consent", "reveal_identity", "claim_key", "keep_reply"},
    "self": {"revoke_consent", "claim_key", "keep_reply"},
}
# What finds a row for its own view, with its owner's rights: none of the columns that it looks at comes out.
FINDING = {"internal": {"person"}}

ROLES = {"public": P, "restricted": R, "restricted_scoped": R, "self": R, "internal": I}
SERVICE_ROLES = ("import", "service", "ledger", "log")

# Base tables: what a service role may do, and why. View roles: nothing at all. `*` stands for the tables of the import.
_IMPORTED = (
    "region region_closure court source source_health code_label catalogue_item catalogue_default penalty_class_rule"
    " publication_term subject identifier former_name succession subject_role person_identity publication_order record"
    " import_run"
)
GRANTS: dict[tuple[str, str], str] = {
    **{("import", f"core.{name}"): "SELECT INSERT UPDATE" for name in _IMPORTED.split()},
    # append-only: content that was once known is never changed
    ("import", "core.record_version"): "SELECT INSERT",
    ("import", "core.withdrawal"): "SELECT INSERT",
    # sets that a file gives whole
    ("import", "core.region_closure"): "SELECT INSERT UPDATE DELETE",
    ("import", "core.former_name"): "SELECT INSERT UPDATE DELETE",
    ("import", "core.subject_role"): "SELECT INSERT UPDATE DELETE",
    # made anew whenever a name changes
    ("import", "core.name_part"): "SELECT INSERT DELETE",
    ("import", "auth.matter"): "SELECT",
    # counts of each run are kept as they were; working days are the operator's
    ("import", "core.import_run_authority"): "SELECT INSERT",
    ("import", "core.working_day"): "SELECT",
    ("service", "core.working_day"): "SELECT",
    # the feed of changes moves its cursor; what it brought and put aside stays as it was said
    ("import", "core.feed_cursor"): "SELECT INSERT UPDATE",
    ("import", "core.source_row"): "SELECT INSERT UPDATE",  # said_at and linked alone (tests/sharing)
    ("import", "core.source_ended"): "SELECT INSERT UPDATE DELETE",  # a row may be in force again
    ("import", "core.feed_change"): "SELECT INSERT",
    ("import", "core.feed_reject"): "SELECT INSERT UPDATE",  # resolved_at alone
    # kept answers, health of sources, who asks; subjects only to turn codes into ids
    ("service", "core.source_answer"): "SELECT INSERT",
    ("service", "core.source_health"): "SELECT INSERT UPDATE",
    ("service", "core.subject"): "SELECT",
    ("service", "core.source"): "SELECT INSERT UPDATE",  # other regions, as the operator's settings name them
    ("service", "core.region"): "SELECT",
    ("service", "auth.matter"): "SELECT",
    ("service", "auth.client"): "SELECT INSERT UPDATE",
    ("service", "auth.client_list"): "SELECT INSERT UPDATE DELETE",
    ("service", "auth.used_assertion"): "SELECT INSERT DELETE",
    ("service", "auth.used_proof"): "SELECT INSERT DELETE",
    ("service", "auth.guess"): "SELECT INSERT UPDATE DELETE",
    ("service", "auth.document_set"): "SELECT INSERT UPDATE",
    ("service", "auth.document"): "SELECT INSERT DELETE",
    # how far the outbox reaches; positions are given by a function
    ("service", "core.change_end"): "SELECT",
    # which consents hold; append-only for everybody
    ("service", "core.consent"): "SELECT",
    ("service", "core.consent_revocation"): "SELECT",
    # requests that a source answers later; replies whose day is over
    ("service", "core.pending_request"): "SELECT INSERT UPDATE DELETE",
    ("service", "core.idempotent_reply"): "SELECT DELETE",
    # the ledger writes and reads nothing back: what was disclosed is for the sequencer, another role's
    ("ledger", "ledger.disclosure"): "INSERT",  # not its time, transaction and salt (test_second_wall)
    ("ledger", "ledger.told"): "INSERT",
    # the log reads the account and signs; leaves and their places come from functions alone
    **{
        ("log", f"ledger.{table}"): "SELECT"
        for table in (
            *("disclosure", "told", "event", "leaf", "log_state", "subject_entry", "erased", "kept_salt"),
            # how long it is kept, and the days on which that was looked at; written by functions alone
            *("retention", "lived"),
            # what waits for the end of a seal, and the one number that is told of it
            *("seal", "sealed_entry", "sealed_total"),
        )
    },
    ("log", "ledger.tile"): "SELECT INSERT",
    ("log", "ledger.checkpoint"): "SELECT INSERT",
    ("log", "ledger.cosignature"): "SELECT INSERT",
    ("log", "ledger.witnessed"): "SELECT INSERT",
}


def columns(relation: str, level: int) -> set[str]:
    """The columns that a view of that level has; none where there is no such view."""
    return {name for at, names in COLUMNS[relation].items() if at <= level for name in names.split()}


def offered(relation: str, schema: str) -> set[str]:
    """The columns of a relation in a view schema; none where there is no such view."""
    if relation in SCOPED_ONLY and schema in ("public", "restricted"):
        return set()
    return columns(relation, ROLES[schema])


def function_columns(function: str, level: int) -> list[str]:
    """The columns that a function of that level returns; none where there is no such function."""
    return [name for at, names in FUNCTIONS[function].items() if at <= level for name in names.split()]


def views(relation: str) -> list[str]:
    """A relation's view, and one for each order that is offered."""
    return [relation, *(f"{relation}_{order}" for order in ORDERS.get(relation, ()))]
