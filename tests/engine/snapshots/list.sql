select x6.*, case when x6.n = 1 then (select pg_current_snapshot()::text) end as snapshot
from (select '{"uscc":' || coalesce('"' || k2.uscc || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || ',"name":' || coalesce(to_json(s1.name)::text, 'null') || ',"formerNames":' || coalesce(s1.former_names, '[]') || ',"region":' || case when s1.region_code is null then 'null' else '{"name":' || coalesce(to_json(s1.region_name)::text, 'null') || '}' end || ',"records":{"totalCount":' || (select count(*)::text from v_restricted.record t5 where t5.subject_id = s1.id) || ',"edges":[' || coalesce(x4.e0, '') || ']}}' as body, k2.external_id::text as shown, k2.n, k2.uscc as key from unnest(string_to_array($1::text, ','), string_to_array($2::text, ',')) with ordinality k2(uscc, external_id, n)
 left join lateral (select v.node_id, v.on_record, v.name, v.former_names, v.region_name, v.region_code, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral (select string_agg(q.e0, ',') as e0 from (select '{"node":{"title":' || to_json(t3.title)::text || '}}' as e0 from v_restricted.record_decided_desc t3 where t3.subject_id = s1.id limit $3::int) q) x4 on true) x6
-- $1 $usccs::text
-- $2 $usccs::text
-- $3 2::int
