-- Made from gateway/storage/catalogue.py by `python -m gateway.storage.views`; a test holds both together.
-- One schema a view, one role a schema. Barrier views: no function of the asker's sees a row that the view hides.

drop schema if exists v_public cascade;
create schema v_public;
revoke all on schema v_public from public;
create view v_public.subject with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_public.record with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    r.status as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.basis end as basis,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.amount end as amount,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.facts end as facts,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today()));
create view v_public.record_decided_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    r.status as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.basis end as basis,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.amount end as amount,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.facts end as facts,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today()))
order by r.decided_on desc, r.external_id desc;
create view v_public.record_decided_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    r.status as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.basis end as basis,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.amount end as amount,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.facts end as facts,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today()))
order by r.decided_on, r.external_id;
create view v_public.record_published_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    r.status as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.basis end as basis,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.amount end as amount,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.facts end as facts,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today()))
order by r.published_from desc, r.external_id desc;
create view v_public.record_published_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    r.status as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.basis end as basis,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.amount end as amount,
    case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.facts end as facts,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today()))
order by r.published_from, r.external_id;
create view v_public.record_count with (security_barrier) as select
    r.subject_id as subject_id,
    r.area as area,
    r.kind as kind,
    count(*) as count
from core.record r
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today()))
group by r.subject_id, r.area, r.kind;
create view v_public.authority with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_public.predecessor with (security_barrier) as select
    c.successor_id as successor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.predecessor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_public.name_part with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p
where (not p.personal);
create view v_public.name_part_ranked_asc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p
where (not p.personal)
order by p.tier, p.suffix, p.subject_id;
create view v_public.name_part_ranked_desc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p
where (not p.personal)
order by p.tier desc, p.suffix desc, p.subject_id desc;
create view v_public.subject_role with (security_barrier) as select
    o.subject_id as subject_id,
    o.role as role
from core.subject_role o join core.subject s on s.id = o.subject_id
where ((o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today()) and (s.class = 'ORGANISATION'));
create view v_public.successor with (security_barrier) as select
    c.predecessor_id as predecessor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.successor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_public.withdrawal with (security_barrier) as select
    w.subject_id as subject_id,
    w.authority_id as authority_id,
    w.withdrawn_on as withdrawn_on,
    w.reason as reason,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local
from core.withdrawal w join core.subject s on s.id = w.subject_id join core.subject a on a.id = w.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code
where (s.class = 'ORGANISATION');
create view v_public.record_change with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when not c.is_public then 'WITHDRAWN' when c.was_public then 'CHANGED' else 'ADDED' end as kind,
    case when not c.is_public then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status when c.expired then 'EXPIRED' else 'UNPUBLISHED' end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and c.is_public then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where (c.subject_class = 'ORGANISATION' and ((c.is_public and r.subject_id = c.subject_id and r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today())) or (c.was_public and not c.is_public)));
create view v_public.record_change_position with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when not c.is_public then 'WITHDRAWN' when c.was_public then 'CHANGED' else 'ADDED' end as kind,
    case when not c.is_public then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status when c.expired then 'EXPIRED' else 'UNPUBLISHED' end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and c.is_public then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where (c.subject_class = 'ORGANISATION' and ((c.is_public and r.subject_id = c.subject_id and r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today())) or (c.was_public and not c.is_public)))
order by c.position;
create view v_public.source with (security_barrier) as select
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy
from core.source o left join core.source_health h on h.source_code = o.code;
create view v_public.region with (security_barrier) as select
    g.code as code,
    g.name as name,
    g.local as local
from core.region g;
create view v_public.region_closure with (security_barrier) as select
    c.ancestor as ancestor,
    c.code as code
from core.region_closure c;
create view v_public.code_label with (security_barrier) as select
    l.list as list,
    l.position as position,
    l.code as code,
    l.zh as zh,
    l.en as en,
    l.valid_from as valid_from,
    l.valid_to as valid_to
from core.code_label l
where (l.level = 'PUBLIC');
create function v_public.courts_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_public.courts_dishonest(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text
    from jsonb_array_elements(answers -> subject -> 'dishonest') x $$;
create view v_public.reference_version with (security_barrier) as select
    v.version as version
from core.reference_version v;
create view v_public.large_region with (security_barrier) as select
    l.code as code
from core.large_region l;
create function v_public.json_text(value text) returns text language sql stable parallel safe
begin atomic
    select core.json_text(json_text.value);
end;
create function v_public.change_place(cursor text) returns bigint language sql stable security definer
begin atomic
    select core.change_place(change_place.cursor);
end;
create function v_public.change_cursor(place bigint) returns text language sql volatile security definer
begin atomic
    select core.change_cursor(change_cursor.place);
end;
create function v_public.change_end() returns bigint language sql stable security definer
begin atomic
    select e.position from core.change_end e;
end;
revoke execute on all functions in schema v_public from public;
grant usage on schema v_public to @public@;
grant select on all tables in schema v_public to @public@;
grant execute on all functions in schema v_public to @public@;
grant execute on function core.today(), core.json_text(text) to @public@;
grant execute on function ledger.as_object(text), ledger.as_moment(text) to @public@;

drop schema if exists v_restricted cascade;
create schema v_restricted;
revoke all on schema v_restricted from public;
create view v_restricted.subject with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_restricted.record with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'));
create view v_restricted.record_decided_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
order by r.decided_on desc, r.external_id desc;
create view v_restricted.record_decided_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
order by r.decided_on, r.external_id;
create view v_restricted.record_published_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
order by r.published_from desc, r.external_id desc;
create view v_restricted.record_published_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
order by r.published_from, r.external_id;
create view v_restricted.record_count with (security_barrier) as select
    r.subject_id as subject_id,
    r.area as area,
    r.kind as kind,
    count(*) as count
from core.record r
where (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
group by r.subject_id, r.area, r.kind;
create view v_restricted.authority with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_restricted.predecessor with (security_barrier) as select
    c.successor_id as successor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.predecessor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_restricted.name_part with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p
where (not p.personal);
create view v_restricted.name_part_ranked_asc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p
where (not p.personal)
order by p.tier, p.suffix, p.subject_id;
create view v_restricted.name_part_ranked_desc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p
where (not p.personal)
order by p.tier desc, p.suffix desc, p.subject_id desc;
create view v_restricted.subject_role with (security_barrier) as select
    o.subject_id as subject_id,
    o.role as role
from core.subject_role o join core.subject s on s.id = o.subject_id
where ((o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today()) and (s.class = 'ORGANISATION'));
create view v_restricted.successor with (security_barrier) as select
    c.predecessor_id as predecessor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.successor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where (s.class = 'ORGANISATION');
create view v_restricted.withdrawal with (security_barrier) as select
    w.subject_id as subject_id,
    w.authority_id as authority_id,
    w.withdrawn_on as withdrawn_on,
    w.reason as reason,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local
from core.withdrawal w join core.subject s on s.id = w.subject_id join core.subject a on a.id = w.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code
where (s.class = 'ORGANISATION');
create view v_restricted.record_change with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where (c.subject_class = 'ORGANISATION' and ((c.is_in_force and r.subject_id = c.subject_id and r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')) or (c.was_in_force and not c.is_in_force)));
create view v_restricted.record_change_position with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where (c.subject_class = 'ORGANISATION' and ((c.is_in_force and r.subject_id = c.subject_id and r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')) or (c.was_in_force and not c.is_in_force)))
order by c.position;
create view v_restricted.source with (security_barrier) as select
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from core.source o left join core.source_health h on h.source_code = o.code;
create view v_restricted.region with (security_barrier) as select
    g.code as code,
    g.name as name,
    g.local as local
from core.region g;
create view v_restricted.region_closure with (security_barrier) as select
    c.ancestor as ancestor,
    c.code as code
from core.region_closure c;
create view v_restricted.code_label with (security_barrier) as select
    l.list as list,
    l.position as position,
    l.code as code,
    l.zh as zh,
    l.en as en,
    l.valid_from as valid_from,
    l.valid_to as valid_to
from core.code_label l
where (l.level in ('PUBLIC', 'RESTRICTED'));
create view v_restricted.matter with (security_barrier) as select
    m.code as code,
    m.name as name,
    m.legal_basis as legal_basis
from auth.matter m
where (m.valid_from <= core.today() and (m.valid_to is null or m.valid_to >= core.today()));
create view v_restricted.catalogue_default with (security_barrier) as select
    d.kind as kind,
    d.item as item,
    d.valid_from as valid_from
from core.catalogue_default d
where (d.valid_from <= core.today() and (d.valid_to is null or d.valid_to >= core.today()));
create view v_restricted.source_row with (security_barrier) as select
    w.source_code as source_code,
    w.natural_key as natural_key,
    r.status in ('REPAIRED', 'REVOKED') as ended,
    w.linked as linked,
    w.said_at as said_at,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.external_id end as external_id,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.node_id end as node_id
from core.source_row w join core.record r on r.id = w.record_id;
create view v_restricted.source_ended with (security_barrier) as select
    e.source_code as source_code,
    e.natural_key as natural_key,
    e.ended_at as ended_at
from core.source_ended e;
create view v_restricted.required_source with (security_barrier) as select
    m.code as matter_code,
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from auth.matter m cross join lateral unnest(m.sources_required) u(source_code) join core.source o on o.code = u.source_code left join core.source_health h on h.source_code = o.code;
create function v_restricted.courts_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_restricted.courts_dishonest(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> 'dishonest') x $$;
create function v_restricted.courts_enforcement(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, state text, amount text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'state')::text,
        (x -> 'amount')::text
    from jsonb_array_elements(answers -> subject -> 'enforcement') x $$;
create function v_restricted.courts_consumption(answers jsonb, subject text) returns table (case_number text, court text, ordered_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'ordered_on')::text
    from jsonb_array_elements(answers -> subject -> 'consumption') x $$;
create function v_restricted.courts_judgments(answers jsonb, subject text) returns table (case_number text, court text, cause text, judged_on text, result text, obligation text, performance text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'judged_on')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text
    from jsonb_array_elements(answers -> subject -> 'judgments') x $$;
create function v_restricted.banks_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text, loan_balance text, overdue_balance text, overdue_days text, classification text, guarantee_balance text)
    language sql stable parallel safe as $$
    select
        'BANKS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text,
        (y -> 'loan_balance')::text,
        (y -> 'overdue_balance')::text,
        (y -> 'overdue_days')::text,
        (y -> 'classification')::text,
        (y -> 'guarantee_balance')::text
    from (select answers -> subject -> 'answer' as x, answers -> subject -> 'summary' -> 0 as y) q $$;
create function v_restricted.banks_events(answers jsonb, subject text) returns table (kind text, amount text, occurred_on text, settled_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'kind')::text,
        (x -> 'amount')::text,
        (x -> 'occurred_on')::text,
        (x -> 'settled_on')::text
    from jsonb_array_elements(answers -> subject -> 'summary' -> 0 -> 'events') x $$;
create function v_restricted.platform_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'REGION_PLATFORM',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_restricted.platform_records(answers jsonb, subject text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid),
        coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'),
        coalesce((select w.node_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'node_id'),
        (select s.id from v_restricted.subject s where s.uscc = subject),
        (select a.id from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.severity::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else x ->> 'severity' end,
        (select d.item from v_restricted.catalogue_default d where d.kind = x ->> 'kind' order by d.valid_from desc limit 1),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_from)::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_from')::text end,
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_until)::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_until')::text end,
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.status::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end end,
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.under_objection::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'under_objection', 'false') end,
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.repairable_from)::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'repairable_from')::text end,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        case when exists (select from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.version::text from v_restricted.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'version', '1') end,
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_restricted.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_restricted.subject s where s.uscc = subject),
        (select s.kind from v_restricted.subject s where s.uscc = subject),
        (select s.region_code from v_restricted.subject s where s.uscc = subject),
        (select s.region_name from v_restricted.subject s where s.uscc = subject),
        (select s.region_local from v_restricted.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_restricted.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_restricted.authority a where a.uscc = x ->> 'authority_uscc')::text,
        'REGION_PLATFORM',
        (select o.name from v_restricted.source o where o.code = 'REGION_PLATFORM'),
        (select o.kind from v_restricted.source o where o.code = 'REGION_PLATFORM'),
        (select o.healthy from v_restricted.source o where o.code = 'REGION_PLATFORM')::text,
        (select o.last_answer_at from v_restricted.source o where o.code = 'REGION_PLATFORM'),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> 'records') x where not (exists (select from v_restricted.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key' and w.ended and (w.linked or coalesce((x ->> 'updated_at')::timestamptz <= w.said_at, true))) or exists (select from v_restricted.source_ended e where e.source_code = 'REGION_PLATFORM' and e.natural_key = x ->> 'natural_key' and coalesce((x ->> 'updated_at')::timestamptz <= e.ended_at, true)));
end;
create function v_restricted.peers(answers jsonb, subject text) returns table (code text, source_code text, status text, as_of text, reason text, on_record text, region_code text, region_name text, region_local text, courts text)
    language sql stable parallel safe as $$
    select
        e.code,
        e.code,
        coalesce((v -> 'answer' -> 'status')::text, '"NOT_CONSULTED"'),
        (v -> 'answer' -> 'as_of')::text,
        (v -> 'answer' -> 'reason')::text,
        (v -> 'subject' -> 0 -> 'on_record')::text,
        (v -> 'region' -> 'code')::text,
        (v -> 'region' -> 'name')::text,
        'false',
        v -> 'subject' -> 0 ->> 'courts'
    from jsonb_each(answers -> subject) e(code, v) $$;
create function v_restricted.peers_records(answers jsonb, subject text, source text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_restricted.record r where r.external_id = (x ->> 'external_id')::uuid),
        x ->> 'external_id',
        x ->> 'node_id',
        (select s.id from v_restricted.subject s where s.uscc = subject),
        (select a.id from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        x ->> 'severity',
        coalesce(x ->> 'catalogue_item', ''),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        (x -> 'published_from')::text,
        (x -> 'published_until')::text,
        case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end,
        coalesce(x ->> 'under_objection', 'false'),
        (x -> 'repairable_from')::text,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        coalesce(x ->> 'version', '1'),
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_restricted.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_restricted.subject s where s.uscc = subject),
        (select s.kind from v_restricted.subject s where s.uscc = subject),
        (select s.region_code from v_restricted.subject s where s.uscc = subject),
        (select s.region_name from v_restricted.subject s where s.uscc = subject),
        (select s.region_local from v_restricted.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_restricted.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_restricted.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_restricted.authority a where a.uscc = x ->> 'authority_uscc')::text,
        source,
        (select o.name from v_restricted.source o where o.code = source),
        (select o.kind from v_restricted.source o where o.code = source),
        (select o.healthy from v_restricted.source o where o.code = source)::text,
        (select o.last_answer_at from v_restricted.source o where o.code = source),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'records') x where coalesce(x ->> 'status', 'ACTIVE') not in ('REVOKED', 'REPAIRED');
end;
create function v_restricted.peers_courts(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        case when x ->> 'status' in ('ANSWERED', 'CACHED') and v -> 'answer' ->> 'status' = 'STALE' then '"STALE"' when x ->> 'status' = 'ANSWERED' and v -> 'answer' ->> 'status' = 'CACHED' then '"CACHED"' else coalesce((x -> 'status')::text, '"NOT_CONSULTED"') end,
        (x -> 'as_of')::text,
        null::text
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_restricted.peers_courts_unasked(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        '"NOT_CONSULTED"',
        (x -> 'as_of')::text,
        '"NOT_PASSED_ON"'
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_restricted.peers_dishonest(answers jsonb, subject text, source text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'courts' -> 'dishonest') x $$;
create view v_restricted.reference_version with (security_barrier) as select
    v.version as version
from core.reference_version v;
create view v_restricted.large_region with (security_barrier) as select
    l.code as code
from core.large_region l;
create function v_restricted.json_text(value text) returns text language sql stable parallel safe
begin atomic
    select core.json_text(json_text.value);
end;
create function v_restricted.change_place(cursor text) returns bigint language sql stable security definer
begin atomic
    select core.change_place(change_place.cursor);
end;
create function v_restricted.change_cursor(place bigint) returns text language sql volatile security definer
begin atomic
    select core.change_cursor(change_cursor.place);
end;
create function v_restricted.change_end() returns bigint language sql stable security definer
begin atomic
    select e.position from core.change_end e;
end;
create function v_restricted.disclose_one(cells text, shown uuid[], snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'RESTRICTED', 'ANSWERED', disclose_one.shown, disclose_one.snapshot
        from (select string_to_array(disclose_one.cells, e'\x1f', e'\x1e') as cell offset 0) d
        where disclose_one.shown is not null
        returning 1
    )
    select count(*) from written;
end;
create function v_restricted.disclose(cells text, shown text, snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot, salt)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'RESTRICTED', 'ANSWERED', string_to_array(coalesce(d.shown, ''), ',')::uuid[], disclose.snapshot,
            left(encode(sha256(uuid_send((select gen_random_uuid())) || int8send(d.n)), 'hex'), 32)::uuid
        from (
            select string_to_array(a.cells, e'\x1f', e'\x1e') as cell, a.shown, a.n
            from unnest(string_to_array(disclose.cells, e'\x1d'), string_to_array(disclose.shown, ';'))
                with ordinality a(cells, shown, n)
            offset 0
        ) d
        where d.shown is distinct from '-'
        returning 1
    )
    select count(*) from written;
end;
revoke execute on all functions in schema v_restricted from public;
grant usage on schema v_restricted to @restricted@;
grant select on all tables in schema v_restricted to @restricted@;
grant execute on all functions in schema v_restricted to @restricted@;
grant execute on function core.today(), core.json_text(text) to @restricted@;
grant execute on function ledger.as_object(text), ledger.as_moment(text) to @restricted@;

drop schema if exists v_restricted_scoped cascade;
create schema v_restricted_scoped;
revoke all on schema v_restricted_scoped from public;
create view v_restricted_scoped.subject with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION')
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.record with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
  and (coalesce(n.id = r.subject_id, false));
create view v_restricted_scoped.record_decided_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
  and (coalesce(n.id = r.subject_id, false))
order by r.decided_on desc, r.external_id desc;
create view v_restricted_scoped.record_decided_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
  and (coalesce(n.id = r.subject_id, false))
order by r.decided_on, r.external_id;
create view v_restricted_scoped.record_published_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
  and (coalesce(n.id = r.subject_id, false))
order by r.published_from desc, r.external_id desc;
create view v_restricted_scoped.record_published_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
  and (coalesce(n.id = r.subject_id, false))
order by r.published_from, r.external_id;
create view v_restricted_scoped.record_count with (security_barrier) as select
    r.subject_id as subject_id,
    r.area as area,
    r.kind as kind,
    count(*) as count
from core.record r left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED'))
  and (coalesce(n.id = r.subject_id, false))
group by r.subject_id, r.area, r.kind;
create view v_restricted_scoped.authority with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION');
create view v_restricted_scoped.predecessor with (security_barrier) as select
    c.successor_id as successor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.predecessor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION')
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.name_part with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (not p.personal)
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.name_part_ranked_asc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (not p.personal)
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by p.tier, p.suffix, p.subject_id;
create view v_restricted_scoped.name_part_ranked_desc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (not p.personal)
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by p.tier desc, p.suffix desc, p.subject_id desc;
create view v_restricted_scoped.subject_role with (security_barrier) as select
    o.subject_id as subject_id,
    o.role as role
from core.subject_role o join core.subject s on s.id = o.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today()) and (s.class = 'ORGANISATION'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.successor with (security_barrier) as select
    c.predecessor_id as predecessor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.successor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION')
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.withdrawal with (security_barrier) as select
    w.subject_id as subject_id,
    w.authority_id as authority_id,
    w.withdrawn_on as withdrawn_on,
    w.reason as reason,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local
from core.withdrawal w join core.subject s on s.id = w.subject_id join core.subject a on a.id = w.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION')
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.record_change with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_class = 'ORGANISATION' and ((c.is_in_force and r.subject_id = c.subject_id and r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')) or (c.was_in_force and not c.is_in_force)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.record_change_position with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_class = 'ORGANISATION' and ((c.is_in_force and r.subject_id = c.subject_id and r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')) or (c.was_in_force and not c.is_in_force)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by c.position;
create view v_restricted_scoped.source with (security_barrier) as select
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from core.source o left join core.source_health h on h.source_code = o.code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_restricted_scoped.region with (security_barrier) as select
    g.code as code,
    g.name as name,
    g.local as local
from core.region g
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_restricted_scoped.region_closure with (security_barrier) as select
    c.ancestor as ancestor,
    c.code as code
from core.region_closure c
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_restricted_scoped.code_label with (security_barrier) as select
    l.list as list,
    l.position as position,
    l.code as code,
    l.zh as zh,
    l.en as en,
    l.valid_from as valid_from,
    l.valid_to as valid_to
from core.code_label l
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (l.level in ('PUBLIC', 'RESTRICTED'));
create view v_restricted_scoped.matter with (security_barrier) as select
    m.code as code,
    m.name as name,
    m.legal_basis as legal_basis
from auth.matter m
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (m.valid_from <= core.today() and (m.valid_to is null or m.valid_to >= core.today()));
create view v_restricted_scoped.catalogue_default with (security_barrier) as select
    d.kind as kind,
    d.item as item,
    d.valid_from as valid_from
from core.catalogue_default d
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (d.valid_from <= core.today() and (d.valid_to is null or d.valid_to >= core.today()));
create view v_restricted_scoped.source_row with (security_barrier) as select
    w.source_code as source_code,
    w.natural_key as natural_key,
    r.status in ('REPAIRED', 'REVOKED') as ended,
    w.linked as linked,
    w.said_at as said_at,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.external_id end as external_id,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.node_id end as node_id
from core.source_row w join core.record r on r.id = w.record_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_restricted_scoped.source_ended with (security_barrier) as select
    e.source_code as source_code,
    e.natural_key as natural_key,
    e.ended_at as ended_at
from core.source_ended e
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_restricted_scoped.required_source with (security_barrier) as select
    m.code as matter_code,
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from auth.matter m cross join lateral unnest(m.sources_required) u(source_code) join core.source o on o.code = u.source_code left join core.source_health h on h.source_code = o.code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_restricted_scoped.consent with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.consent_recorded_desc with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by c.recorded_on desc, c.external_id desc;
create view v_restricted_scoped.consent_recorded_asc with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by c.recorded_on, c.external_id;
create view v_restricted_scoped.accessible with (security_barrier) as select
    s.external_id as external_id
from core.subject s
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = s.external_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.disclosure with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_restricted_scoped.disclosure_number_desc with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by e.number desc, e.subject_id desc;
create view v_restricted_scoped.disclosure_number_asc with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by e.number, e.subject_id;
create view v_restricted_scoped.disclosed_source with (security_barrier) as select
    e.subject_id as external_id,
    e.number as number,
    x.code as code,
    o.own ->> 'status' as status,
    ledger.as_moment(o.own ->> 'asOf') as as_of
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id cross join lateral jsonb_each(ledger.as_object(d.sources)) x(code, told) cross join lateral (select coalesce(x.told -> s.uscc, x.told -> '*') as own) o
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (jsonb_typeof(o.own -> 'status') = 'string' and exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create function v_restricted_scoped.courts_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_restricted_scoped.courts_dishonest(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> 'dishonest') x $$;
create function v_restricted_scoped.courts_enforcement(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, state text, amount text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'state')::text,
        (x -> 'amount')::text
    from jsonb_array_elements(answers -> subject -> 'enforcement') x $$;
create function v_restricted_scoped.courts_consumption(answers jsonb, subject text) returns table (case_number text, court text, ordered_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'ordered_on')::text
    from jsonb_array_elements(answers -> subject -> 'consumption') x $$;
create function v_restricted_scoped.courts_judgments(answers jsonb, subject text) returns table (case_number text, court text, cause text, judged_on text, result text, obligation text, performance text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'judged_on')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text
    from jsonb_array_elements(answers -> subject -> 'judgments') x $$;
create function v_restricted_scoped.banks_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text, loan_balance text, overdue_balance text, overdue_days text, classification text, guarantee_balance text)
    language sql stable parallel safe as $$
    select
        'BANKS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text,
        (y -> 'loan_balance')::text,
        (y -> 'overdue_balance')::text,
        (y -> 'overdue_days')::text,
        (y -> 'classification')::text,
        (y -> 'guarantee_balance')::text
    from (select answers -> subject -> 'answer' as x, answers -> subject -> 'summary' -> 0 as y) q $$;
create function v_restricted_scoped.banks_events(answers jsonb, subject text) returns table (kind text, amount text, occurred_on text, settled_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'kind')::text,
        (x -> 'amount')::text,
        (x -> 'occurred_on')::text,
        (x -> 'settled_on')::text
    from jsonb_array_elements(answers -> subject -> 'summary' -> 0 -> 'events') x $$;
create function v_restricted_scoped.platform_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'REGION_PLATFORM',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_restricted_scoped.platform_records(answers jsonb, subject text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid),
        coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'),
        coalesce((select w.node_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'node_id'),
        (select s.id from v_restricted_scoped.subject s where s.uscc = subject),
        (select a.id from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.severity::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else x ->> 'severity' end,
        (select d.item from v_restricted_scoped.catalogue_default d where d.kind = x ->> 'kind' order by d.valid_from desc limit 1),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_from)::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_from')::text end,
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_until)::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_until')::text end,
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.status::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end end,
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.under_objection::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'under_objection', 'false') end,
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.repairable_from)::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'repairable_from')::text end,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        case when exists (select from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.version::text from v_restricted_scoped.record r where r.external_id = (coalesce((select w.external_id::text from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'version', '1') end,
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_restricted_scoped.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.kind from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.region_code from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.region_name from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.region_local from v_restricted_scoped.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc')::text,
        'REGION_PLATFORM',
        (select o.name from v_restricted_scoped.source o where o.code = 'REGION_PLATFORM'),
        (select o.kind from v_restricted_scoped.source o where o.code = 'REGION_PLATFORM'),
        (select o.healthy from v_restricted_scoped.source o where o.code = 'REGION_PLATFORM')::text,
        (select o.last_answer_at from v_restricted_scoped.source o where o.code = 'REGION_PLATFORM'),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> 'records') x where not (exists (select from v_restricted_scoped.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key' and w.ended and (w.linked or coalesce((x ->> 'updated_at')::timestamptz <= w.said_at, true))) or exists (select from v_restricted_scoped.source_ended e where e.source_code = 'REGION_PLATFORM' and e.natural_key = x ->> 'natural_key' and coalesce((x ->> 'updated_at')::timestamptz <= e.ended_at, true)));
end;
create function v_restricted_scoped.peers(answers jsonb, subject text) returns table (code text, source_code text, status text, as_of text, reason text, on_record text, region_code text, region_name text, region_local text, courts text)
    language sql stable parallel safe as $$
    select
        e.code,
        e.code,
        coalesce((v -> 'answer' -> 'status')::text, '"NOT_CONSULTED"'),
        (v -> 'answer' -> 'as_of')::text,
        (v -> 'answer' -> 'reason')::text,
        (v -> 'subject' -> 0 -> 'on_record')::text,
        (v -> 'region' -> 'code')::text,
        (v -> 'region' -> 'name')::text,
        'false',
        v -> 'subject' -> 0 ->> 'courts'
    from jsonb_each(answers -> subject) e(code, v) $$;
create function v_restricted_scoped.peers_records(answers jsonb, subject text, source text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_restricted_scoped.record r where r.external_id = (x ->> 'external_id')::uuid),
        x ->> 'external_id',
        x ->> 'node_id',
        (select s.id from v_restricted_scoped.subject s where s.uscc = subject),
        (select a.id from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        x ->> 'severity',
        coalesce(x ->> 'catalogue_item', ''),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        (x -> 'published_from')::text,
        (x -> 'published_until')::text,
        case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end,
        coalesce(x ->> 'under_objection', 'false'),
        (x -> 'repairable_from')::text,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        coalesce(x ->> 'version', '1'),
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_restricted_scoped.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.kind from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.region_code from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.region_name from v_restricted_scoped.subject s where s.uscc = subject),
        (select s.region_local from v_restricted_scoped.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_restricted_scoped.authority a where a.uscc = x ->> 'authority_uscc')::text,
        source,
        (select o.name from v_restricted_scoped.source o where o.code = source),
        (select o.kind from v_restricted_scoped.source o where o.code = source),
        (select o.healthy from v_restricted_scoped.source o where o.code = source)::text,
        (select o.last_answer_at from v_restricted_scoped.source o where o.code = source),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'records') x where coalesce(x ->> 'status', 'ACTIVE') not in ('REVOKED', 'REPAIRED');
end;
create function v_restricted_scoped.peers_courts(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        case when x ->> 'status' in ('ANSWERED', 'CACHED') and v -> 'answer' ->> 'status' = 'STALE' then '"STALE"' when x ->> 'status' = 'ANSWERED' and v -> 'answer' ->> 'status' = 'CACHED' then '"CACHED"' else coalesce((x -> 'status')::text, '"NOT_CONSULTED"') end,
        (x -> 'as_of')::text,
        null::text
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_restricted_scoped.peers_courts_unasked(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        '"NOT_CONSULTED"',
        (x -> 'as_of')::text,
        '"NOT_PASSED_ON"'
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_restricted_scoped.peers_dishonest(answers jsonb, subject text, source text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'courts' -> 'dishonest') x $$;
create view v_restricted_scoped.reference_version with (security_barrier) as select
    v.version as version
from core.reference_version v;
create function v_restricted_scoped.json_text(value text) returns text language sql stable parallel safe
begin atomic
    select core.json_text(json_text.value);
end;
create function v_restricted_scoped.change_place(cursor text) returns bigint language sql stable security definer
begin atomic
    select core.change_place(change_place.cursor);
end;
create function v_restricted_scoped.change_cursor(place bigint) returns text language sql volatile security definer
begin atomic
    select core.change_cursor(change_cursor.place);
end;
create function v_restricted_scoped.change_end() returns bigint language sql stable security definer
begin atomic
    select e.position from core.change_end e;
end;
create function v_restricted_scoped.disclose_one(cells text, shown uuid[], snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'RESTRICTED', 'ANSWERED', disclose_one.shown, disclose_one.snapshot
        from (select string_to_array(disclose_one.cells, e'\x1f', e'\x1e') as cell offset 0) d
        where disclose_one.shown is not null
        returning 1
    )
    select count(*) from written;
end;
create function v_restricted_scoped.disclose(cells text, shown text, snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot, salt)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'RESTRICTED', 'ANSWERED', string_to_array(coalesce(d.shown, ''), ',')::uuid[], disclose.snapshot,
            left(encode(sha256(uuid_send((select gen_random_uuid())) || int8send(d.n)), 'hex'), 32)::uuid
        from (
            select string_to_array(a.cells, e'\x1f', e'\x1e') as cell, a.shown, a.n
            from unnest(string_to_array(disclose.cells, e'\x1d'), string_to_array(disclose.shown, ';'))
                with ordinality a(cells, shown, n)
            offset 0
        ) d
        where d.shown is distinct from '-'
        returning 1
    )
    select count(*) from written;
end;
create function v_restricted_scoped.record_consent(subject_uscc text, scope text[], valid_from date, valid_to date, document_sha256 text, method text) returns text
    language sql volatile security definer
begin atomic
    with asked as (
        select case
            when not (select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1) then 'SCOPE'
            when record_consent.valid_to < record_consent.valid_from then 'PERIOD'
            when record_consent.valid_to < core.today() then 'ENDED'
            when record_consent.valid_to > record_consent.valid_from + interval '3 years' then 'TOO_LONG'
            when exists (select from unnest(record_consent.scope) u(code) where not exists (
                select from core.code_label l where l.list = 'ConsentScope' and l.code = u.code
                    and (l.valid_from is null or l.valid_from <= core.today())
                    and (l.valid_to is null or l.valid_to >= core.today()))) then 'SCOPE'
            when (((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or (select n.region_code from core.subject n where n.id = (select n.id from core.subject n where n.uscc = record_consent.subject_uscc)) in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or (select n.kind from core.subject n where n.id = (select n.id from core.subject n where n.uscc = record_consent.subject_uscc)) = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = (select n.id from core.subject n where n.uscc = record_consent.subject_uscc) and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)) is not true then 'OUTSIDE'
            end as refused
    ), made as (
        insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to, document_sha256,
            method, client_id, case_number)
        select record_consent.subject_uscc, (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'), ((select current_setting('gateway.scope')::jsonb) ->> 'matter'), record_consent.scope, record_consent.valid_from, record_consent.valid_to,
            record_consent.document_sha256, record_consent.method, ((select current_setting('gateway.scope')::jsonb) ->> 'client'), ((select current_setting('gateway.scope')::jsonb) ->> 'case')
        from asked where asked.refused is null
        returning external_id, node_id
    )
    select coalesce((select json_build_object('consent', made.external_id, 'consent_id', made.node_id,
            'uscc', record_consent.subject_uscc, 'subject', (select n.external_id from core.subject n where n.uscc = record_consent.subject_uscc))::text from made),
        (select json_build_object('refused', asked.refused)::text from asked));
end;
create function v_restricted_scoped.revoke_consent(consent uuid, reason text) returns text
    language sql volatile security definer
begin atomic
    with own as (
        select c.id, c.external_id, c.subject_uscc from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
        where c.external_id = revoke_consent.consent
            and ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
            and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
    ), made as (
        insert into core.consent_revocation (consent_id, revoked_by, client_id, organisation_uscc, case_number, reason)
        select own.id, 'GRANTEE', ((select current_setting('gateway.scope')::jsonb) ->> 'client'), (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'), ((select current_setting('gateway.scope')::jsonb) ->> 'case'), revoke_consent.reason from own
        on conflict do nothing
    )
    select coalesce((select json_build_object('consent', own.external_id, 'uscc', own.subject_uscc, 'subject',
            (select n.external_id from core.subject n where n.uscc = own.subject_uscc))::text from own),
        '{"refused":"CONSENT"}');
end;
create function v_restricted_scoped.claim_key(key_hash text, request_hash text)
    returns table (state text, reply text, shown text)
    language sql volatile security definer
begin atomic
    delete from core.idempotent_reply r where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(claim_key.key_hash, 'hex') and r.expires_at <= now();
    insert into core.idempotent_reply (client_id, key_hash, request_hash)
    values (((select current_setting('gateway.scope')::jsonb) ->> 'client'), decode(claim_key.key_hash, 'hex'), decode(claim_key.request_hash, 'hex'))
    on conflict do nothing;
    select case when not (r.request_hash = decode(claim_key.request_hash, 'hex')) then 'OTHER' when r.reply is null then 'NEW' else 'KEPT' end,
        case when r.request_hash = decode(claim_key.request_hash, 'hex') then r.reply end, case when r.request_hash = decode(claim_key.request_hash, 'hex') then r.shown end
    from core.idempotent_reply r where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(claim_key.key_hash, 'hex');
end;
create function v_restricted_scoped.keep_reply(key_hash text, reply text, shown text) returns bigint
    language sql volatile security definer
begin atomic
    with kept as (
        update core.idempotent_reply r set reply = keep_reply.reply, shown = keep_reply.shown
        where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(keep_reply.key_hash, 'hex') and r.reply is null returning 1
    )
    select count(*) from kept;
end;
revoke execute on all functions in schema v_restricted_scoped from public;
grant usage on schema v_restricted_scoped to @restricted_scoped@;
grant select on all tables in schema v_restricted_scoped to @restricted_scoped@;
grant execute on all functions in schema v_restricted_scoped to @restricted_scoped@;
grant execute on function core.today(), core.json_text(text) to @restricted_scoped@;
grant execute on function ledger.as_object(text), ledger.as_moment(text) to @restricted_scoped@;

drop schema if exists v_self cascade;
create schema v_self;
revoke all on schema v_self from public;
create view v_self.subject with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.record with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.record_decided_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by r.decided_on desc, r.external_id desc;
create view v_self.record_decided_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by r.decided_on, r.external_id;
create view v_self.record_published_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by r.published_from desc, r.external_id desc;
create view v_self.record_published_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by r.published_from, r.external_id;
create view v_self.record_count with (security_barrier) as select
    r.subject_id as subject_id,
    r.area as area,
    r.kind as kind,
    count(*) as count
from core.record r
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (r.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
group by r.subject_id, r.area, r.kind;
create view v_self.authority with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION');
create view v_self.predecessor with (security_barrier) as select
    c.successor_id as successor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.predecessor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.name_part with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.name_part_ranked_asc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by p.tier, p.suffix, p.subject_id;
create view v_self.name_part_ranked_desc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by p.tier desc, p.suffix desc, p.subject_id desc;
create view v_self.subject_role with (security_barrier) as select
    o.subject_id as subject_id,
    o.role as role
from core.subject_role o join core.subject s on s.id = o.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today()) and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)));
create view v_self.successor with (security_barrier) as select
    c.predecessor_id as predecessor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**' else s.legal_representative end as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles
from core.succession c join core.subject s on s.id = c.successor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.withdrawal with (security_barrier) as select
    w.subject_id as subject_id,
    w.authority_id as authority_id,
    w.withdrawn_on as withdrawn_on,
    w.reason as reason,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local
from core.withdrawal w join core.subject s on s.id = w.subject_id join core.subject a on a.id = w.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.record_change with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.record_change_position with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint))
order by c.position;
create view v_self.source with (security_barrier) as select
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from core.source o left join core.source_health h on h.source_code = o.code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_self.region with (security_barrier) as select
    g.code as code,
    g.name as name,
    g.local as local
from core.region g
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_self.region_closure with (security_barrier) as select
    c.ancestor as ancestor,
    c.code as code
from core.region_closure c
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_self.code_label with (security_barrier) as select
    l.list as list,
    l.position as position,
    l.code as code,
    l.zh as zh,
    l.en as en,
    l.valid_from as valid_from,
    l.valid_to as valid_to
from core.code_label l
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (l.level in ('PUBLIC', 'RESTRICTED') or l.list in ('RecordStatus', 'SubjectKind'));
create view v_self.matter with (security_barrier) as select
    m.code as code,
    m.name as name,
    m.legal_basis as legal_basis
from auth.matter m
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (m.valid_from <= core.today() and (m.valid_to is null or m.valid_to >= core.today()));
create view v_self.catalogue_default with (security_barrier) as select
    d.kind as kind,
    d.item as item,
    d.valid_from as valid_from
from core.catalogue_default d
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (d.valid_from <= core.today() and (d.valid_to is null or d.valid_to >= core.today()));
create view v_self.source_row with (security_barrier) as select
    w.source_code as source_code,
    w.natural_key as natural_key,
    r.status in ('REPAIRED', 'REVOKED') as ended,
    w.linked as linked,
    w.said_at as said_at,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.external_id end as external_id,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.node_id end as node_id
from core.source_row w join core.record r on r.id = w.record_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_self.source_ended with (security_barrier) as select
    e.source_code as source_code,
    e.natural_key as natural_key,
    e.ended_at as ended_at
from core.source_ended e
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_self.required_source with (security_barrier) as select
    m.code as matter_code,
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from auth.matter m cross join lateral unnest(m.sources_required) u(source_code) join core.source o on o.code = u.source_code left join core.source_health h on h.source_code = o.code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_self.consent with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_uscc = (select o.uscc from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)));
create view v_self.consent_recorded_desc with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_uscc = (select o.uscc from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)))
order by c.recorded_on desc, c.external_id desc;
create view v_self.consent_recorded_asc with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.subject_uscc = (select o.uscc from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)))
order by c.recorded_on, c.external_id;
create view v_self.accessible with (security_barrier) as select
    s.external_id as external_id
from core.subject s
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint));
create view v_self.disclosure with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (e.subject_id = (select o.external_id from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)));
create view v_self.disclosure_number_desc with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (e.subject_id = (select o.external_id from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)))
order by e.number desc, e.subject_id desc;
create view v_self.disclosure_number_asc with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (e.subject_id = (select o.external_id from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)))
order by e.number, e.subject_id;
create view v_self.disclosed_source with (security_barrier) as select
    e.subject_id as external_id,
    e.number as number,
    x.code as code,
    o.own ->> 'status' as status,
    ledger.as_moment(o.own ->> 'asOf') as as_of
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id cross join lateral jsonb_each(ledger.as_object(d.sources)) x(code, told) cross join lateral (select coalesce(x.told -> s.uscc, x.told -> '*') as own) o
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (jsonb_typeof(o.own -> 'status') = 'string' and e.subject_id = (select o.external_id from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)));
create function v_self.courts_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_self.courts_dishonest(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> 'dishonest') x $$;
create function v_self.courts_enforcement(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, state text, amount text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'state')::text,
        (x -> 'amount')::text
    from jsonb_array_elements(answers -> subject -> 'enforcement') x $$;
create function v_self.courts_consumption(answers jsonb, subject text) returns table (case_number text, court text, ordered_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'ordered_on')::text
    from jsonb_array_elements(answers -> subject -> 'consumption') x $$;
create function v_self.courts_judgments(answers jsonb, subject text) returns table (case_number text, court text, cause text, judged_on text, result text, obligation text, performance text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'judged_on')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text
    from jsonb_array_elements(answers -> subject -> 'judgments') x $$;
create function v_self.banks_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text, loan_balance text, overdue_balance text, overdue_days text, classification text, guarantee_balance text)
    language sql stable parallel safe as $$
    select
        'BANKS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text,
        (y -> 'loan_balance')::text,
        (y -> 'overdue_balance')::text,
        (y -> 'overdue_days')::text,
        (y -> 'classification')::text,
        (y -> 'guarantee_balance')::text
    from (select answers -> subject -> 'answer' as x, answers -> subject -> 'summary' -> 0 as y) q $$;
create function v_self.banks_events(answers jsonb, subject text) returns table (kind text, amount text, occurred_on text, settled_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'kind')::text,
        (x -> 'amount')::text,
        (x -> 'occurred_on')::text,
        (x -> 'settled_on')::text
    from jsonb_array_elements(answers -> subject -> 'summary' -> 0 -> 'events') x $$;
create function v_self.platform_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'REGION_PLATFORM',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_self.platform_records(answers jsonb, subject text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid),
        coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'),
        coalesce((select w.node_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'node_id'),
        (select s.id from v_self.subject s where s.uscc = subject),
        (select a.id from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.severity::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else x ->> 'severity' end,
        (select d.item from v_self.catalogue_default d where d.kind = x ->> 'kind' order by d.valid_from desc limit 1),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_from)::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_from')::text end,
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_until)::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_until')::text end,
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.status::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end end,
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.under_objection::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'under_objection', 'false') end,
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.repairable_from)::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'repairable_from')::text end,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        case when exists (select from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.version::text from v_self.record r where r.external_id = (coalesce((select w.external_id::text from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'version', '1') end,
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_self.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_self.subject s where s.uscc = subject),
        (select s.kind from v_self.subject s where s.uscc = subject),
        (select s.region_code from v_self.subject s where s.uscc = subject),
        (select s.region_name from v_self.subject s where s.uscc = subject),
        (select s.region_local from v_self.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_self.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_self.authority a where a.uscc = x ->> 'authority_uscc')::text,
        'REGION_PLATFORM',
        (select o.name from v_self.source o where o.code = 'REGION_PLATFORM'),
        (select o.kind from v_self.source o where o.code = 'REGION_PLATFORM'),
        (select o.healthy from v_self.source o where o.code = 'REGION_PLATFORM')::text,
        (select o.last_answer_at from v_self.source o where o.code = 'REGION_PLATFORM'),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> 'records') x where not (exists (select from v_self.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key' and w.ended and (w.linked or coalesce((x ->> 'updated_at')::timestamptz <= w.said_at, true))) or exists (select from v_self.source_ended e where e.source_code = 'REGION_PLATFORM' and e.natural_key = x ->> 'natural_key' and coalesce((x ->> 'updated_at')::timestamptz <= e.ended_at, true)));
end;
create function v_self.peers(answers jsonb, subject text) returns table (code text, source_code text, status text, as_of text, reason text, on_record text, region_code text, region_name text, region_local text, courts text)
    language sql stable parallel safe as $$
    select
        e.code,
        e.code,
        coalesce((v -> 'answer' -> 'status')::text, '"NOT_CONSULTED"'),
        (v -> 'answer' -> 'as_of')::text,
        (v -> 'answer' -> 'reason')::text,
        (v -> 'subject' -> 0 -> 'on_record')::text,
        (v -> 'region' -> 'code')::text,
        (v -> 'region' -> 'name')::text,
        'false',
        v -> 'subject' -> 0 ->> 'courts'
    from jsonb_each(answers -> subject) e(code, v) $$;
create function v_self.peers_records(answers jsonb, subject text, source text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_self.record r where r.external_id = (x ->> 'external_id')::uuid),
        x ->> 'external_id',
        x ->> 'node_id',
        (select s.id from v_self.subject s where s.uscc = subject),
        (select a.id from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        x ->> 'severity',
        coalesce(x ->> 'catalogue_item', ''),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        (x -> 'published_from')::text,
        (x -> 'published_until')::text,
        case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end,
        coalesce(x ->> 'under_objection', 'false'),
        (x -> 'repairable_from')::text,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        coalesce(x ->> 'version', '1'),
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_self.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_self.subject s where s.uscc = subject),
        (select s.kind from v_self.subject s where s.uscc = subject),
        (select s.region_code from v_self.subject s where s.uscc = subject),
        (select s.region_name from v_self.subject s where s.uscc = subject),
        (select s.region_local from v_self.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_self.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_self.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_self.authority a where a.uscc = x ->> 'authority_uscc')::text,
        source,
        (select o.name from v_self.source o where o.code = source),
        (select o.kind from v_self.source o where o.code = source),
        (select o.healthy from v_self.source o where o.code = source)::text,
        (select o.last_answer_at from v_self.source o where o.code = source),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'records') x where coalesce(x ->> 'status', 'ACTIVE') not in ('REVOKED', 'REPAIRED');
end;
create function v_self.peers_courts(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        case when x ->> 'status' in ('ANSWERED', 'CACHED') and v -> 'answer' ->> 'status' = 'STALE' then '"STALE"' when x ->> 'status' = 'ANSWERED' and v -> 'answer' ->> 'status' = 'CACHED' then '"CACHED"' else coalesce((x -> 'status')::text, '"NOT_CONSULTED"') end,
        (x -> 'as_of')::text,
        null::text
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_self.peers_courts_unasked(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        '"NOT_CONSULTED"',
        (x -> 'as_of')::text,
        '"NOT_PASSED_ON"'
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_self.peers_dishonest(answers jsonb, subject text, source text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'courts' -> 'dishonest') x $$;
create view v_self.reference_version with (security_barrier) as select
    v.version as version
from core.reference_version v;
create function v_self.json_text(value text) returns text language sql stable parallel safe
begin atomic
    select core.json_text(json_text.value);
end;
create function v_self.change_place(cursor text) returns bigint language sql stable security definer
begin atomic
    select core.change_place(change_place.cursor);
end;
create function v_self.change_cursor(place bigint) returns text language sql volatile security definer
begin atomic
    select core.change_cursor(change_cursor.place);
end;
create function v_self.change_end() returns bigint language sql stable security definer
begin atomic
    select e.position from core.change_end e;
end;
create function v_self.disclose_one(cells text, shown uuid[], snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'SELF', 'ANSWERED', disclose_one.shown, disclose_one.snapshot
        from (select string_to_array(disclose_one.cells, e'\x1f', e'\x1e') as cell offset 0) d
        where disclose_one.shown is not null
        returning 1
    )
    select count(*) from written;
end;
create function v_self.disclose(cells text, shown text, snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot, salt)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'SELF', 'ANSWERED', string_to_array(coalesce(d.shown, ''), ',')::uuid[], disclose.snapshot,
            left(encode(sha256(uuid_send((select gen_random_uuid())) || int8send(d.n)), 'hex'), 32)::uuid
        from (
            select string_to_array(a.cells, e'\x1f', e'\x1e') as cell, a.shown, a.n
            from unnest(string_to_array(disclose.cells, e'\x1d'), string_to_array(disclose.shown, ';'))
                with ordinality a(cells, shown, n)
            offset 0
        ) d
        where d.shown is distinct from '-'
        returning 1
    )
    select count(*) from written;
end;
create function v_self.revoke_consent(consent uuid, reason text) returns text
    language sql volatile security definer
begin atomic
    with own as (
        select c.id, c.external_id, c.subject_uscc from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
        where c.external_id = revoke_consent.consent
            and ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
            and (c.subject_uscc = (select o.uscc from core.subject o where o.id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'subject')::bigint)))
    ), made as (
        insert into core.consent_revocation (consent_id, revoked_by, client_id, organisation_uscc, case_number, reason)
        select own.id, 'SUBJECT', ((select current_setting('gateway.scope')::jsonb) ->> 'client'), (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'), ((select current_setting('gateway.scope')::jsonb) ->> 'case'), revoke_consent.reason from own
        on conflict do nothing
    )
    select coalesce((select json_build_object('consent', own.external_id, 'uscc', own.subject_uscc, 'subject',
            (select n.external_id from core.subject n where n.uscc = own.subject_uscc))::text from own),
        '{"refused":"CONSENT"}');
end;
create function v_self.claim_key(key_hash text, request_hash text)
    returns table (state text, reply text, shown text)
    language sql volatile security definer
begin atomic
    delete from core.idempotent_reply r where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(claim_key.key_hash, 'hex') and r.expires_at <= now();
    insert into core.idempotent_reply (client_id, key_hash, request_hash)
    values (((select current_setting('gateway.scope')::jsonb) ->> 'client'), decode(claim_key.key_hash, 'hex'), decode(claim_key.request_hash, 'hex'))
    on conflict do nothing;
    select case when not (r.request_hash = decode(claim_key.request_hash, 'hex')) then 'OTHER' when r.reply is null then 'NEW' else 'KEPT' end,
        case when r.request_hash = decode(claim_key.request_hash, 'hex') then r.reply end, case when r.request_hash = decode(claim_key.request_hash, 'hex') then r.shown end
    from core.idempotent_reply r where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(claim_key.key_hash, 'hex');
end;
create function v_self.keep_reply(key_hash text, reply text, shown text) returns bigint
    language sql volatile security definer
begin atomic
    with kept as (
        update core.idempotent_reply r set reply = keep_reply.reply, shown = keep_reply.shown
        where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(keep_reply.key_hash, 'hex') and r.reply is null returning 1
    )
    select count(*) from kept;
end;
revoke execute on all functions in schema v_self from public;
grant usage on schema v_self to @self@;
grant select on all tables in schema v_self to @self@;
grant execute on all functions in schema v_self to @self@;
grant execute on function core.today(), core.json_text(text) to @self@;
grant execute on function ledger.as_object(text), ledger.as_moment(text) to @self@;

drop schema if exists v_internal cascade;
create schema v_internal;
revoke all on schema v_internal from public;
create view v_internal.subject with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    s.legal_representative as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles,
    pi.masked as identity_number
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.record with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false));
create view v_internal.record_decided_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false))
order by r.decided_on desc, r.external_id desc;
create view v_internal.record_decided_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false))
order by r.decided_on, r.external_id;
create view v_internal.record_published_desc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false))
order by r.published_from desc, r.external_id desc;
create view v_internal.record_published_asc with (security_barrier) as select
    r.id as id,
    r.external_id as external_id,
    r.node_id as node_id,
    r.subject_id as subject_id,
    r.authority_id as authority_id,
    r.kind as kind,
    r.area as area,
    r.severity as severity,
    r.catalogue_item as catalogue_item,
    r.title as title,
    r.document_number as document_number,
    r.decided_on as decided_on,
    r.published_from as published_from,
    r.published_until as published_until,
    case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED' else r.status end as status,
    r.under_objection as under_objection,
    r.repairable_from as repairable_from,
    r.basis as basis,
    r.amount as amount,
    r.facts as facts,
    r.version as version,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local,
    r.source_code as source_code,
    o.name as source_name,
    o.kind as source_kind,
    coalesce(h.healthy, true) as source_healthy,
    h.last_answer_at as source_last_answer_at,
    (r.detail -> 'penalty_kinds')::text as penalty_kinds,
    (r.detail -> 'offence')::text as offence,
    (r.detail -> 'content')::text as content,
    (r.detail -> 'fine')::text as fine,
    (r.detail -> 'confiscated')::text as confiscated,
    (r.detail -> 'licence_effect')::text as licence_effect,
    (r.detail -> 'valid_from')::text as valid_from,
    (r.detail -> 'valid_until')::text as valid_until,
    (r.detail -> 'licence_kind')::text as licence_kind,
    (r.detail -> 'certificate_name')::text as certificate_name,
    (r.detail -> 'certificate_number')::text as certificate_number,
    (r.detail -> 'case_number')::text as case_number,
    (r.detail -> 'court')::text as court,
    (r.detail -> 'cause')::text as cause,
    (r.detail -> 'result')::text as result,
    (r.detail -> 'obligation')::text as obligation,
    (r.detail -> 'performance')::text as performance,
    (r.detail -> 'sanction')::text as sanction,
    (r.detail -> 'effective_until')::text as effective_until,
    (r.detail -> 'form')::text as form,
    (r.detail -> 'breach')::text as breach,
    (r.detail -> 'contract')::text as contract,
    (r.detail -> 'counterparty')::text as counterparty,
    (r.detail -> 'promise')::text as promise,
    (r.detail -> 'due_on')::text as due_on,
    (r.detail -> 'rectified_on')::text as rectified_on,
    (r.detail -> 'honour_level')::text as honour_level,
    (r.detail -> 'list_name')::text as list_name,
    (r.detail -> 'removed_on')::text as removed_on,
    (r.detail -> 'grounds')::text as grounds
from core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false))
order by r.published_from, r.external_id;
create view v_internal.record_count with (security_barrier) as select
    r.subject_id as subject_id,
    r.area as area,
    r.kind as kind,
    count(*) as count
from core.record r left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false))
group by r.subject_id, r.area, r.kind;
create view v_internal.record_version with (security_barrier) as select
    v.record_id as record_id,
    v.version as version,
    v.known_at as known_from,
    (select n.known_at from core.record_version n where n.record_id = v.record_id and n.version = v.version + 1) as known_until,
    v.status as status,
    v.reason as reason,
    v.entered_by as entered_by,
    v.received_at as received_at,
    v.original as original
from core.record_version v join core.record r on r.id = v.record_id left join core.subject n on n.id = r.subject_id and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or n.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or n.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = n.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((r.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = r.subject_id and core.today() between o.valid_from and o.valid_until)) and (r.status in ('ACTIVE', 'CORRECTED') or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))
  and (coalesce(n.id = r.subject_id, false));
create view v_internal.authority with (security_barrier) as select
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    s.legal_representative as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles,
    pi.masked as identity_number
from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (s.class = 'ORGANISATION');
create view v_internal.predecessor with (security_barrier) as select
    c.successor_id as successor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    s.legal_representative as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles,
    pi.masked as identity_number
from core.succession c join core.subject s on s.id = c.predecessor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.name_part with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.name_part_ranked_asc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by p.tier, p.suffix, p.subject_id;
create view v_internal.name_part_ranked_desc with (security_barrier) as select
    p.subject_id as subject_id,
    p.tier as tier,
    p.suffix as suffix,
    p.repeated as repeated,
    p.kind as kind,
    p.region_code as region_code
from core.name_part p join core.subject s on s.id = p.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by p.tier desc, p.suffix desc, p.subject_id desc;
create view v_internal.subject_role with (security_barrier) as select
    o.subject_id as subject_id,
    o.role as role
from core.subject_role o join core.subject s on s.id = o.subject_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today()) and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.successor with (security_barrier) as select
    c.predecessor_id as predecessor_id,
    s.id as id,
    s.external_id as external_id,
    s.node_id as node_id,
    s.uscc as uscc,
    true as on_record,
    s.name as name,
    s.kind as kind,
    s.registered_on as registered_on,
    s.region_code as region_code,
    g.name as region_name,
    g.local as region_local,
    s.legal_representative as legal_representative,
    (select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text from core.former_name f where f.subject_id = s.id) as former_names,
    (select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o where o.subject_id = s.id and (o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())) as roles,
    pi.masked as identity_number
from core.succession c join core.subject s on s.id = c.successor_id left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.withdrawal with (security_barrier) as select
    w.subject_id as subject_id,
    w.authority_id as authority_id,
    w.withdrawn_on as withdrawn_on,
    w.reason as reason,
    a.node_id as authority_node_id,
    a.external_id as authority_external_id,
    true as authority_on_record,
    a.uscc as authority_uscc,
    a.name as authority_name,
    a.kind as authority_kind,
    a.region_code as authority_region_code,
    ag.name as authority_region_name,
    ag.local as authority_region_local
from core.withdrawal w join core.subject s on s.id = w.subject_id join core.subject a on a.id = w.authority_id and a.class = 'ORGANISATION' left join core.region ag on ag.code = a.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.record_change with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((c.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = c.subject_id and core.today() between o.valid_from and o.valid_until)) and ((c.was_in_force and not c.is_in_force) or (r.subject_id = c.subject_id and ((c.is_in_force and r.status in ('ACTIVE', 'CORRECTED')) or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.record_change_position with (security_barrier) as select
    c.position as position,
    c.subject_id as subject_id,
    c.area as area,
    case when c.was_in_force and not c.is_in_force then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED' else 'CHANGED' end as kind,
    case when c.was_in_force and not c.is_in_force then case when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status end end as cause,
    c.at as at,
    case when c.was_in_force and not c.is_in_force and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end as reason,
    r.node_id as record_node_id,
    case when r.subject_id = c.subject_id and not (c.was_in_force and not c.is_in_force) then c.record_id end as present_id,
    s.node_id as subject_node_id,
    s.external_id as subject_external_id,
    true as subject_on_record,
    s.uscc as subject_uscc,
    s.name as subject_name,
    s.kind as subject_kind,
    s.region_code as subject_region_code,
    sg.name as subject_region_name,
    sg.local as subject_region_local
from core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id left join core.region sg on sg.code = s.region_code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and ((c.subject_class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = c.subject_id and core.today() between o.valid_from and o.valid_until)) and ((c.was_in_force and not c.is_in_force) or (r.subject_id = c.subject_id and ((c.is_in_force and r.status in ('ACTIVE', 'CORRECTED')) or r.authority_id = (select ((select current_setting('gateway.scope')::jsonb) ->> 'organisation')::bigint) or (select coalesce((select m.shows_withdrawn from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false))))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by c.position;
create view v_internal.source with (security_barrier) as select
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from core.source o left join core.source_health h on h.source_code = o.code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.region with (security_barrier) as select
    g.code as code,
    g.name as name,
    g.local as local
from core.region g
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.region_closure with (security_barrier) as select
    c.ancestor as ancestor,
    c.code as code
from core.region_closure c
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.code_label with (security_barrier) as select
    l.list as list,
    l.position as position,
    l.code as code,
    l.zh as zh,
    l.en as en,
    l.valid_from as valid_from,
    l.valid_to as valid_to
from core.code_label l
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.matter with (security_barrier) as select
    m.code as code,
    m.name as name,
    m.legal_basis as legal_basis
from auth.matter m
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (m.valid_from <= core.today() and (m.valid_to is null or m.valid_to >= core.today()));
create view v_internal.catalogue_default with (security_barrier) as select
    d.kind as kind,
    d.item as item,
    d.valid_from as valid_from
from core.catalogue_default d
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (d.valid_from <= core.today() and (d.valid_to is null or d.valid_to >= core.today()));
create view v_internal.source_row with (security_barrier) as select
    w.source_code as source_code,
    w.natural_key as natural_key,
    r.status in ('REPAIRED', 'REVOKED') as ended,
    w.linked as linked,
    w.said_at as said_at,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.external_id end as external_id,
    case when r.status not in ('REPAIRED', 'REVOKED') then r.node_id end as node_id
from core.source_row w join core.record r on r.id = w.record_id
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.source_ended with (security_barrier) as select
    e.source_code as source_code,
    e.natural_key as natural_key,
    e.ended_at as ended_at
from core.source_ended e
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.required_source with (security_barrier) as select
    m.code as matter_code,
    o.position as position,
    o.code as code,
    o.name as name,
    o.kind as kind,
    coalesce(h.healthy, true) as healthy,
    h.last_answer_at as last_answer_at
from auth.matter m cross join lateral unnest(m.sources_required) u(source_code) join core.source o on o.code = u.source_code left join core.source_health h on h.source_code = o.code
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1));
create view v_internal.consent with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.consent_recorded_desc with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by c.recorded_on desc, c.external_id desc;
create view v_internal.consent_recorded_asc with (security_barrier) as select
    c.external_id as external_id,
    c.node_id as node_id,
    s.external_id as subject_external_id,
    c.subject_uscc as uscc,
    c.grantee_uscc as grantee_uscc,
    c.matter as matter,
    to_json(c.scope)::text as scope,
    c.valid_from as valid_from,
    c.valid_to as valid_to,
    c.document_sha256 as document_sha256,
    c.method as method,
    c.recorded_on as recorded_on,
    c.recorded_at as recorded_at,
    w.revoked_at as revoked_at,
    w.revoked_by as revoked_by,
    w.reason as revocation_reason
from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by c.recorded_on, c.external_id;
create view v_internal.accessible with (security_barrier) as select
    s.external_id as external_id
from core.subject s
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = s.external_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.disclosure with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create view v_internal.disclosure_number_desc with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by e.number desc, e.subject_id desc;
create view v_internal.disclosure_number_asc with (security_barrier) as select
    e.subject_id as external_id,
    s.node_id as node_id,
    e.number as number,
    e.at as at,
    d.organisation_uscc as organisation_uscc,
    d.on_behalf_of as on_behalf_of,
    d.view as view,
    d.matter as matter,
    b.text::jsonb ->> 'legal_basis' as legal_basis,
    d.case_number as case_number,
    coalesce((f.text::jsonb -> 'PUBLIC')::text, '[]') as public_fields,
    coalesce((f.text::jsonb -> 'RESTRICTED')::text, '[]') as restricted_fields,
    coalesce((f.text::jsonb -> 'INTERNAL')::text, '[]') as internal_fields,
    e.leaf_index as log_index,
    (select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number) || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'), e'+/\n', '-_'), '=') from ledger.access_key k) as receipt_id
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
order by e.number, e.subject_id;
create view v_internal.disclosed_source with (security_barrier) as select
    e.subject_id as external_id,
    e.number as number,
    x.code as code,
    o.own ->> 'status' as status,
    ledger.as_moment(o.own ->> 'asOf') as as_of
from ledger.subject_entry e join core.subject s on s.external_id = e.subject_id left join ledger.leaf l on l.index = e.leaf_index left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id cross join lateral jsonb_each(ledger.as_object(d.sources)) x(code, told) cross join lateral (select coalesce(x.told -> s.uscc, x.told -> '*') as own) o
where ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
  and (jsonb_typeof(o.own -> 'status') = 'string' and exists (select from ledger.access_request q where q.subject_id = e.subject_id and q.ended_at is null and q.valid_until >= core.today() and q.organisation_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc') and q.case_number = (select (select current_setting('gateway.scope')::jsonb) ->> 'case')))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
  and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
create function v_internal.courts_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_internal.courts_dishonest(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> 'dishonest') x $$;
create function v_internal.courts_enforcement(answers jsonb, subject text) returns table (case_number text, court text, filed_on text, state text, amount text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'state')::text,
        (x -> 'amount')::text
    from jsonb_array_elements(answers -> subject -> 'enforcement') x $$;
create function v_internal.courts_consumption(answers jsonb, subject text) returns table (case_number text, court text, ordered_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'ordered_on')::text
    from jsonb_array_elements(answers -> subject -> 'consumption') x $$;
create function v_internal.courts_judgments(answers jsonb, subject text) returns table (case_number text, court text, cause text, judged_on text, result text, obligation text, performance text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'judged_on')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text
    from jsonb_array_elements(answers -> subject -> 'judgments') x $$;
create function v_internal.banks_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text, loan_balance text, overdue_balance text, overdue_days text, classification text, guarantee_balance text)
    language sql stable parallel safe as $$
    select
        'BANKS',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text,
        (y -> 'loan_balance')::text,
        (y -> 'overdue_balance')::text,
        (y -> 'overdue_days')::text,
        (y -> 'classification')::text,
        (y -> 'guarantee_balance')::text
    from (select answers -> subject -> 'answer' as x, answers -> subject -> 'summary' -> 0 as y) q $$;
create function v_internal.banks_events(answers jsonb, subject text) returns table (kind text, amount text, occurred_on text, settled_on text)
    language sql stable parallel safe as $$
    select
        (x -> 'kind')::text,
        (x -> 'amount')::text,
        (x -> 'occurred_on')::text,
        (x -> 'settled_on')::text
    from jsonb_array_elements(answers -> subject -> 'summary' -> 0 -> 'events') x $$;
create function v_internal.platform_answer(answers jsonb, subject text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'REGION_PLATFORM',
        coalesce((x -> 'status')::text, '"NOT_CONSULTED"'),
        (x -> 'as_of')::text,
        (x -> 'reason')::text
    from (select answers -> subject -> 'answer' as x) q $$;
create function v_internal.platform_records(answers jsonb, subject text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid),
        coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'),
        coalesce((select w.node_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'node_id'),
        (select s.id from v_internal.subject s where s.uscc = subject),
        (select a.id from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.severity::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else x ->> 'severity' end,
        (select d.item from v_internal.catalogue_default d where d.kind = x ->> 'kind' order by d.valid_from desc limit 1),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_from)::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_from')::text end,
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.published_until)::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'published_until')::text end,
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.status::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end end,
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.under_objection::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'under_objection', 'false') end,
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select to_json(r.repairable_from)::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else (x -> 'repairable_from')::text end,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        case when exists (select from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) then (select r.version::text from v_internal.record r where r.external_id = (coalesce((select w.external_id::text from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'), x ->> 'external_id'))::uuid) else coalesce(x ->> 'version', '1') end,
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_internal.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_internal.subject s where s.uscc = subject),
        (select s.kind from v_internal.subject s where s.uscc = subject),
        (select s.region_code from v_internal.subject s where s.uscc = subject),
        (select s.region_name from v_internal.subject s where s.uscc = subject),
        (select s.region_local from v_internal.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_internal.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_internal.authority a where a.uscc = x ->> 'authority_uscc')::text,
        'REGION_PLATFORM',
        (select o.name from v_internal.source o where o.code = 'REGION_PLATFORM'),
        (select o.kind from v_internal.source o where o.code = 'REGION_PLATFORM'),
        (select o.healthy from v_internal.source o where o.code = 'REGION_PLATFORM')::text,
        (select o.last_answer_at from v_internal.source o where o.code = 'REGION_PLATFORM'),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> 'records') x where not (exists (select from v_internal.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key' and w.ended and (w.linked or coalesce((x ->> 'updated_at')::timestamptz <= w.said_at, true))) or exists (select from v_internal.source_ended e where e.source_code = 'REGION_PLATFORM' and e.natural_key = x ->> 'natural_key' and coalesce((x ->> 'updated_at')::timestamptz <= e.ended_at, true)));
end;
create function v_internal.peers(answers jsonb, subject text) returns table (code text, source_code text, status text, as_of text, reason text, on_record text, region_code text, region_name text, region_local text, courts text)
    language sql stable parallel safe as $$
    select
        e.code,
        e.code,
        coalesce((v -> 'answer' -> 'status')::text, '"NOT_CONSULTED"'),
        (v -> 'answer' -> 'as_of')::text,
        (v -> 'answer' -> 'reason')::text,
        (v -> 'subject' -> 0 -> 'on_record')::text,
        (v -> 'region' -> 'code')::text,
        (v -> 'region' -> 'name')::text,
        'false',
        v -> 'subject' -> 0 ->> 'courts'
    from jsonb_each(answers -> subject) e(code, v) $$;
create function v_internal.peers_records(answers jsonb, subject text, source text) returns table (id bigint, external_id text, node_id text, subject_id bigint, authority_id bigint, kind text, area text, severity text, catalogue_item text, title text, document_number text, decided_on text, published_from text, published_until text, status text, under_objection text, repairable_from text, basis text, amount text, facts text, version text, subject_node_id text, subject_external_id text, subject_on_record text, subject_uscc text, subject_name text, subject_kind text, subject_region_code text, subject_region_name text, subject_region_local text, authority_node_id text, authority_external_id text, authority_on_record text, authority_uscc text, authority_name text, authority_kind text, authority_region_code text, authority_region_name text, authority_region_local text, source_code text, source_name text, source_kind text, source_healthy text, source_last_answer_at timestamptz, penalty_kinds text, offence text, content text, fine text, confiscated text, licence_effect text, valid_from text, valid_until text, licence_kind text, certificate_name text, certificate_number text, case_number text, court text, cause text, result text, obligation text, performance text, sanction text, effective_until text, form text, breach text, contract text, counterparty text, promise text, due_on text, rectified_on text, honour_level text, list_name text, removed_on text, grounds text)
    language sql stable parallel safe begin atomic
    select
        (select r.id from v_internal.record r where r.external_id = (x ->> 'external_id')::uuid),
        x ->> 'external_id',
        x ->> 'node_id',
        (select s.id from v_internal.subject s where s.uscc = subject),
        (select a.id from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        x ->> 'kind',
        coalesce(x ->> 'area', 'GENERAL'),
        x ->> 'severity',
        coalesce(x ->> 'catalogue_item', ''),
        x ->> 'title',
        (x -> 'document_number')::text,
        (x -> 'decided_on')::text,
        (x -> 'published_from')::text,
        (x -> 'published_until')::text,
        case when coalesce(x ->> 'status', 'ACTIVE') in ('ACTIVE', 'CORRECTED') and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD') then 'EXPIRED' else coalesce(x ->> 'status', 'ACTIVE') end,
        coalesce(x ->> 'under_objection', 'false'),
        (x -> 'repairable_from')::text,
        (x -> 'basis')::text,
        (x -> 'amount')::text,
        (x -> 'facts')::text,
        coalesce(x ->> 'version', '1'),
        x ->> 'subject_node_id',
        x ->> 'subject_external_id',
        exists (select from v_internal.subject s where s.uscc = subject)::text,
        subject,
        (select s.name from v_internal.subject s where s.uscc = subject),
        (select s.kind from v_internal.subject s where s.uscc = subject),
        (select s.region_code from v_internal.subject s where s.uscc = subject),
        (select s.region_name from v_internal.subject s where s.uscc = subject),
        (select s.region_local from v_internal.subject s where s.uscc = subject)::text,
        x ->> 'authority_node_id',
        x ->> 'authority_external_id',
        exists (select from v_internal.authority a where a.uscc = x ->> 'authority_uscc')::text,
        x ->> 'authority_uscc',
        x ->> 'authority_name',
        (select a.kind from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_code from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_name from v_internal.authority a where a.uscc = x ->> 'authority_uscc'),
        (select a.region_local from v_internal.authority a where a.uscc = x ->> 'authority_uscc')::text,
        source,
        (select o.name from v_internal.source o where o.code = source),
        (select o.kind from v_internal.source o where o.code = source),
        (select o.healthy from v_internal.source o where o.code = source)::text,
        (select o.last_answer_at from v_internal.source o where o.code = source),
        (x -> 'penalty_kinds')::text,
        (x -> 'offence')::text,
        (x -> 'content')::text,
        (x -> 'fine')::text,
        (x -> 'confiscated')::text,
        (x -> 'licence_effect')::text,
        (x -> 'valid_from')::text,
        (x -> 'valid_until')::text,
        (x -> 'licence_kind')::text,
        (x -> 'certificate_name')::text,
        (x -> 'certificate_number')::text,
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'cause')::text,
        (x -> 'result')::text,
        (x -> 'obligation')::text,
        (x -> 'performance')::text,
        (x -> 'sanction')::text,
        (x -> 'effective_until')::text,
        (x -> 'form')::text,
        (x -> 'breach')::text,
        (x -> 'contract')::text,
        (x -> 'counterparty')::text,
        (x -> 'promise')::text,
        (x -> 'due_on')::text,
        (x -> 'rectified_on')::text,
        (x -> 'honour_level')::text,
        (x -> 'list_name')::text,
        (x -> 'removed_on')::text,
        (x -> 'grounds')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'records') x where coalesce(x ->> 'status', 'ACTIVE') not in ('REVOKED', 'REPAIRED');
end;
create function v_internal.peers_courts(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        case when x ->> 'status' in ('ANSWERED', 'CACHED') and v -> 'answer' ->> 'status' = 'STALE' then '"STALE"' when x ->> 'status' = 'ANSWERED' and v -> 'answer' ->> 'status' = 'CACHED' then '"CACHED"' else coalesce((x -> 'status')::text, '"NOT_CONSULTED"') end,
        (x -> 'as_of')::text,
        null::text
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_internal.peers_courts_unasked(answers jsonb, subject text, source text) returns table (source_code text, status text, as_of text, reason text)
    language sql stable parallel safe as $$
    select
        'COURTS',
        '"NOT_CONSULTED"',
        (x -> 'as_of')::text,
        '"NOT_PASSED_ON"'
    from (select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q $$;
create function v_internal.peers_dishonest(answers jsonb, subject text, source text) returns table (case_number text, court text, filed_on text, published_on text, grounds text, performance text, basis_document text, duty text)
    language sql stable parallel safe as $$
    select
        (x -> 'case_number')::text,
        (x -> 'court')::text,
        (x -> 'filed_on')::text,
        (x -> 'published_on')::text,
        coalesce((x -> 'grounds')::text, '[]'),
        (x -> 'performance')::text,
        (x -> 'basis_document')::text,
        (x -> 'duty')::text
    from jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'courts' -> 'dishonest') x $$;
create view v_internal.reference_version with (security_barrier) as select
    v.version as version
from core.reference_version v;
create function v_internal.json_text(value text) returns text language sql stable parallel safe
begin atomic
    select core.json_text(json_text.value);
end;
create function v_internal.change_place(cursor text) returns bigint language sql stable security definer
begin atomic
    select core.change_place(change_place.cursor);
end;
create function v_internal.change_cursor(place bigint) returns text language sql volatile security definer
begin atomic
    select core.change_cursor(change_cursor.place);
end;
create function v_internal.change_end() returns bigint language sql stable security definer
begin atomic
    select e.position from core.change_end e;
end;
create function v_internal.disclose_one(cells text, shown uuid[], snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'INTERNAL', 'ANSWERED', disclose_one.shown, disclose_one.snapshot
        from (select string_to_array(disclose_one.cells, e'\x1f', e'\x1e') as cell offset 0) d
        where disclose_one.shown is not null
        returning 1
    )
    select count(*) from written;
end;
create function v_internal.disclose(cells text, shown text, snapshot text) returns bigint
    language sql volatile security definer
begin atomic
    with written as (
        insert into ledger.disclosure (id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash, view, outcome, subject_ids, snapshot, salt)
        select d.cell[1]::uuid, d.cell[2], d.cell[3], d.cell[4], d.cell[5], d.cell[6], d.cell[7], decode(d.cell[8], 'hex'), d.cell[9], d.cell[10], d.cell[11], decode(d.cell[12], 'hex'), decode(d.cell[13], 'hex'),
            'INTERNAL', 'ANSWERED', string_to_array(coalesce(d.shown, ''), ',')::uuid[], disclose.snapshot,
            left(encode(sha256(uuid_send((select gen_random_uuid())) || int8send(d.n)), 'hex'), 32)::uuid
        from (
            select string_to_array(a.cells, e'\x1f', e'\x1e') as cell, a.shown, a.n
            from unnest(string_to_array(disclose.cells, e'\x1d'), string_to_array(disclose.shown, ';'))
                with ordinality a(cells, shown, n)
            offset 0
        ) d
        where d.shown is distinct from '-'
        returning 1
    )
    select count(*) from written;
end;
create function v_internal.person(blind text, folded text) returns bigint
    language sql stable security definer
begin atomic
    select s.id from (values (decode(person.blind, 'hex'))) k(blind)
    left join core.person_identity p on p.blind_index = k.blind
    join core.subject s on s.id = coalesce(p.subject_id, (select o.subject_id from core.person_identity o limit 1))
    where s.name_folded = person.folded and coalesce(p.subject_id = s.id, false)
        and ((select coalesce((select m.identifies_persons from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)))
        and ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
        and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
        and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
        and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
        and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true);
end;
create function v_internal.record_consent(subject_uscc text, scope text[], valid_from date, valid_to date, document_sha256 text, method text) returns text
    language sql volatile security definer
begin atomic
    with asked as (
        select case
            when not (select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1) then 'SCOPE'
            when record_consent.valid_to < record_consent.valid_from then 'PERIOD'
            when record_consent.valid_to < core.today() then 'ENDED'
            when record_consent.valid_to > record_consent.valid_from + interval '3 years' then 'TOO_LONG'
            when exists (select from unnest(record_consent.scope) u(code) where not exists (
                select from core.code_label l where l.list = 'ConsentScope' and l.code = u.code
                    and (l.valid_from is null or l.valid_from <= core.today())
                    and (l.valid_to is null or l.valid_to >= core.today()))) then 'SCOPE'
            when (((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or (select n.region_code from core.subject n where n.id = (select n.id from core.subject n where n.uscc = record_consent.subject_uscc)) in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions'))))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or (select n.kind from core.subject n where n.id = (select n.id from core.subject n where n.uscc = record_consent.subject_uscc)) = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds')))) and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = (select n.id from core.subject n where n.uscc = record_consent.subject_uscc) and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)) is not true then 'OUTSIDE'
            end as refused
    ), made as (
        insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to, document_sha256,
            method, client_id, case_number)
        select record_consent.subject_uscc, (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'), ((select current_setting('gateway.scope')::jsonb) ->> 'matter'), record_consent.scope, record_consent.valid_from, record_consent.valid_to,
            record_consent.document_sha256, record_consent.method, ((select current_setting('gateway.scope')::jsonb) ->> 'client'), ((select current_setting('gateway.scope')::jsonb) ->> 'case')
        from asked where asked.refused is null
        returning external_id, node_id
    )
    select coalesce((select json_build_object('consent', made.external_id, 'consent_id', made.node_id,
            'uscc', record_consent.subject_uscc, 'subject', (select n.external_id from core.subject n where n.uscc = record_consent.subject_uscc))::text from made),
        (select json_build_object('refused', asked.refused)::text from asked));
end;
create function v_internal.revoke_consent(consent uuid, reason text) returns text
    language sql volatile security definer
begin atomic
    with own as (
        select c.id, c.external_id, c.subject_uscc from core.consent c left join core.consent_revocation w on w.consent_id = c.id left join core.subject s on s.uscc = c.subject_uscc
        where c.external_id = revoke_consent.consent
            and ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
            and (c.grantee_uscc = (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)
    ), made as (
        insert into core.consent_revocation (consent_id, revoked_by, client_id, organisation_uscc, case_number, reason)
        select own.id, 'GRANTEE', ((select current_setting('gateway.scope')::jsonb) ->> 'client'), (select (select current_setting('gateway.scope')::jsonb) ->> 'uscc'), ((select current_setting('gateway.scope')::jsonb) ->> 'case'), revoke_consent.reason from own
        on conflict do nothing
    )
    select coalesce((select json_build_object('consent', own.external_id, 'uscc', own.subject_uscc, 'subject',
            (select n.external_id from core.subject n where n.uscc = own.subject_uscc))::text from own),
        '{"refused":"CONSENT"}');
end;
create function v_internal.reveal_identity(subject uuid) returns text
    language sql volatile security definer
begin atomic
    select coalesce((select json_build_object('subject', s.external_id)::text from core.subject s left join core.region g on g.code = s.region_code left join core.person_identity pi on pi.subject_id = s.id
        where s.external_id = reveal_identity.subject and pi.subject_id is not null
            and ((select coalesce((select m.reveals_identity from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)))
            and ((select 1 / (jsonb_typeof((select current_setting('gateway.scope')::jsonb)) = 'object' and (select current_setting('gateway.scope')::jsonb) ? 'matter')::int = 1))
            and ((s.class <> 'SERVANT' or (select coalesce((select m.shows_servants from auth.matter m where m.code = (select current_setting('gateway.scope')::jsonb) ->> 'matter'), false)) or exists (select from core.publication_order o where o.subject_id = s.id and core.today() between o.valid_from and o.valid_until)))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'regions' is null) or s.region_code in (select rc.code from core.region_closure rc where rc.ancestor = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'regions')))))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'kinds' is null) or s.kind = any (array (select jsonb_array_elements_text((select current_setting('gateway.scope')::jsonb) -> 'kinds'))))
            and ((select (select current_setting('gateway.scope')::jsonb) -> 'list' is null) or (select true from auth.client_list cl where cl.subject_id = s.id and cl.list = (select (select current_setting('gateway.scope')::jsonb) ->> 'list')) is true)), '{"refused":"SUBJECT"}');
end;
create function v_internal.claim_key(key_hash text, request_hash text)
    returns table (state text, reply text, shown text)
    language sql volatile security definer
begin atomic
    delete from core.idempotent_reply r where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(claim_key.key_hash, 'hex') and r.expires_at <= now();
    insert into core.idempotent_reply (client_id, key_hash, request_hash)
    values (((select current_setting('gateway.scope')::jsonb) ->> 'client'), decode(claim_key.key_hash, 'hex'), decode(claim_key.request_hash, 'hex'))
    on conflict do nothing;
    select case when not (r.request_hash = decode(claim_key.request_hash, 'hex')) then 'OTHER' when r.reply is null then 'NEW' else 'KEPT' end,
        case when r.request_hash = decode(claim_key.request_hash, 'hex') then r.reply end, case when r.request_hash = decode(claim_key.request_hash, 'hex') then r.shown end
    from core.idempotent_reply r where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(claim_key.key_hash, 'hex');
end;
create function v_internal.keep_reply(key_hash text, reply text, shown text) returns bigint
    language sql volatile security definer
begin atomic
    with kept as (
        update core.idempotent_reply r set reply = keep_reply.reply, shown = keep_reply.shown
        where r.client_id = ((select current_setting('gateway.scope')::jsonb) ->> 'client') and r.key_hash = decode(keep_reply.key_hash, 'hex') and r.reply is null returning 1
    )
    select count(*) from kept;
end;
revoke execute on all functions in schema v_internal from public;
grant usage on schema v_internal to @internal@;
grant select on all tables in schema v_internal to @internal@;
grant execute on all functions in schema v_internal to @internal@;
grant execute on function core.today(), core.json_text(text) to @internal@;
grant execute on function ledger.as_object(text), ledger.as_moment(text) to @internal@;

update core.reference_version set version = core.next_version(version);
