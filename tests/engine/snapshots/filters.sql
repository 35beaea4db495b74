select q.body as body, v_restricted.disclose_one($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text, $11::text, q.shown, pg_current_snapshot()::text) as disclosed
from (select '{"data":{"records":{"totalCount":' || (select count(*) from v_restricted.record t3 where t3.kind = any ($12::text[]) and t3.decided_on >= $13::date and t3.subject_region_code = any (array (select c.code from v_restricted.region_closure c where c.ancestor = $14::text)))::text || ',"edges":[' || coalesce(x2.e0, '') || ']}}}' as body,
  string_to_array(coalesce((x2.i)::text, ''), ',')::uuid[] as shown
from (values (0)) root(root)
left join lateral (select string_agg(q.e0, ',') as e0, string_agg(q.i::text, ',') as i from (select * from (select '{"cursor":"' || 'p' || t1.published_from::text || t1.node_id || '","node":{"title":' || to_json(t1.title)::text || ',"subject":{"name":' || coalesce(to_json(t1.subject_name)::text, 'null') || ',"uscc":' || coalesce('"' || t1.subject_uscc || '"', 'null') || '}}}' as e0, t1.subject_external_id as i from v_restricted.record_published_asc t1 where t1.kind = any ($12::text[]) and t1.decided_on >= $13::date and t1.subject_region_code = any (array (select c.code from v_restricted.region_closure c where c.ancestor = $14::text)) limit 101) b limit $15::int) q) x2 on true) q
-- $1 to $11 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld
-- $12 $filter.kinds::text[]
-- $13 $filter.decidedFrom::date
-- $14 $filter.regionCode::text
-- $15 10::int
