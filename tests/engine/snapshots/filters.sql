select '{"data":{"records":{"totalCount":' || (select count(*)::text from v_restricted.record t3 where t3.kind = any ($1::text[]) and t3.decided_on >= $2::date and t3.subject_region_code = any (array (select c.code from v_restricted.region_closure c where c.ancestor = $3::text))) || ',"edges":[' || coalesce(x2.e0, '') || ']}}}' as body,
  coalesce(x2.i, '') as shown,
  pg_current_snapshot()::text as snapshot
from (values (0)) root(root)
left join lateral (select string_agg(q.e0, ',') as e0, string_agg(q.i, ',') as i from (select '{"cursor":"' || 'p' || t1.published_from::text || t1.node_id || '","node":{"title":' || to_json(t1.title)::text || ',"subject":{"name":' || coalesce(to_json(t1.subject_name)::text, 'null') || ',"uscc":' || coalesce('"' || t1.subject_uscc || '"', 'null') || '}}}' as e0, t1.subject_external_id::text as i from v_restricted.record_published_asc t1 where t1.kind = any ($1::text[]) and t1.decided_on >= $2::date and t1.subject_region_code = any (array (select c.code from v_restricted.region_closure c where c.ancestor = $3::text)) limit $4::int) q) x2 on true
-- $1 $filter.kinds::text[]
-- $2 $filter.decidedFrom::date
-- $3 $filter.regionCode::text
-- $4 10::int
