select '{"subject":' || coalesce(x3.j, 'null') || '}' as body,
  coalesce(x3.i, '') as shown,
  pg_current_snapshot()::text as snapshot
from (values (0)) root(root)
left join lateral (select '{"kind":' || coalesce('"' || s1.kind || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || '}' as j, k2.external_id::text as i from (values ($1::text, $2::text, 1)) k2(uscc, external_id, n)
 left join lateral (select v.node_id, v.kind, v.on_record, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true) x3 on true
-- $1 $uscc::text
-- $2 $uscc::text
