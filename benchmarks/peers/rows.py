"""What resolvers read a relation at a time: columns of records and subjects that W1 to W4 need, and which rows."""

from benchmarks.floor_sql import ROWS, STATUS

VISIBLE = ROWS["restricted"]
RECORD = (
    "r.node_id, r.external_id, r.subject_id, r.kind, r.area, r.title, r.document_number, r.authority_id, r.source_code,"
    f" r.decided_on, r.published_from, r.published_until, {STATUS['restricted']} as status, r.under_objection, r.amount"
)
SUBJECT = (
    "s.id, s.node_id, s.uscc, s.name, s.kind, s.region_code, s.registered_on, case when s.kind = 'INDIVIDUAL_BUSINESS'"
    " then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative"
)
