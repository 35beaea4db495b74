select x3.*, (select pg_current_snapshot()::text) as snapshot
from (select '{"data":{"subject":{"kind":' || coalesce('"' || s1.kind || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || '}}}' as body, k2.external_id::text as shown, k2.n, k2.uscc as key from unnest(string_to_array($1::text, ','), string_to_array($2::text, ',')) with ordinality k2(uscc, external_id, n)
 left join lateral (select v.node_id, v.kind, v.on_record, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true) x3
-- $1 $uscc::text
-- $2 $uscc::text
