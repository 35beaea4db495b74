select '{"subject":' || coalesce(x3.j, 'null') || '}' as body,
  coalesce(x3.i, '') as shown,
  pg_current_snapshot()::text as snapshot
from (values (0)) root(root)
left join lateral (select '{"kind":' || coalesce('"' || s1.kind || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || '}' as j, k2.external_id::text as i from (select $1::text as uscc, $2::text as node_id, $3::uuid as external_id, 1 as n) k2
 left join lateral (select v.kind, v.on_record, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true) x3 on true
-- $1 $uscc::text
-- $2 $uscc::text
-- $3 $uscc::uuid
