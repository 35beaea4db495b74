select '{"subject":' || coalesce(x22.j, 'null') || '}' as body,
  coalesce(x22.i, '') as shown,
  pg_current_snapshot()::text as snapshot
from (values (0)) root(root)
left join lateral (select '{"records":{"edges":[' || coalesce(x4.e0, '') || ']},"recordCounts":[' || coalesce(x19.j, '') || '],"withdrawals":[' || coalesce(x21.j, '') || ']}' as j, concat_ws(',', x4.i, k2.external_id::text) as i from (values ($1::text, $2::text, 1)) k2(uscc, external_id, n)
 left join lateral (select v.node_id, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral (select string_agg(q.e0, ',') as e0, string_agg(q.i, ',') as i from (select '{"node":{"title":' || to_json(t3.title)::text || ',"subject":' || coalesce(x8.j, 'null') || ',"authority":' || coalesce(x17.j, 'null') || '}}' as e0, concat_ws(',', x8.i, x17.i) as i from v_restricted.record_decided_desc t3
 left join lateral (select '{"name":' || to_json(t5.name)::text || ',"records":{"edges":[' || coalesce(x7.e0, '') || ']}}' as j, t5.external_id::text as i from v_restricted.subject t5
 left join lateral (select string_agg(q.e0, ',') as e0 from (select '{"node":{"kind":"' || t6.kind || '"}}' as e0 from v_restricted.record_decided_desc t6 where t6.subject_id = t5.id limit $3::int) q) x7 on true where t5.id = t3.subject_id limit 1) x8 on true
 left join lateral (select '{"name":' || to_json(t9.name)::text || ',"predecessors":[' || coalesce(x13.j, '') || '],"records":{"totalCount":' || (select count(*)::text from v_restricted.record t16 where t16.subject_id = t9.id) || ',"edges":[' || coalesce(x15.e0, '') || ']}}' as j, concat_ws(',', x13.i, t9.external_id::text) as i from v_restricted.authority t9
 left join lateral (select string_agg(q.j, ',') as j, string_agg(q.i, ',') as i from (select '{"name":' || to_json(t10.name)::text || ',"successors":[' || coalesce(x12.j, '') || ']}' as j, concat_ws(',', x12.i, t10.external_id::text) as i from v_restricted.predecessor t10
 left join lateral (select string_agg(q.j, ',') as j, string_agg(q.i, ',') as i from (select '{"uscc":' || coalesce('"' || t11.uscc || '"', 'null') || '}' as j, t11.external_id::text as i from v_restricted.successor t11 where t11.predecessor_id = t10.id) q) x12 on true where t10.successor_id = t9.id) q) x13 on true
 left join lateral (select string_agg(q.e0, ',') as e0 from (select '{"node":{"title":' || to_json(t14.title)::text || ',"amount":' || coalesce('"' || t14.amount::text || '"', 'null') || ',"facts":' || coalesce(to_json(t14.facts)::text, 'null') || '}}' as e0 from v_restricted.record_decided_desc t14 where t14.subject_id = t9.id limit $4::int) q) x15 on true where t9.id = t3.authority_id limit 1) x17 on true where t3.subject_id = s1.id limit $3::int) q) x4 on true
 left join lateral (select string_agg(q.j, ',') as j from (select '{"area":"' || t18.area || '","kind":"' || t18.kind || '","count":' || t18.count::text || '}' as j from v_restricted.record_count t18 where t18.subject_id = s1.id order by t18.area, t18.kind) q) x19 on true
 left join lateral (select string_agg(q.j, ',') as j from (select '{"reason":' || to_json(t20.reason)::text || '}' as j from v_restricted.withdrawal t20 where t20.subject_id = s1.id order by t20.withdrawn_on) q) x21 on true) x22 on true
-- $1 $uscc::text
-- $2 $uscc::text
-- $3 1::int
-- $4 5::int
