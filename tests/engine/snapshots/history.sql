select '{"subject":' || coalesce(x7.j, 'null') || '}' as body,
  coalesce(x7.i, '') as shown,
  pg_current_snapshot()::text as snapshot
from (values (0)) root(root)
left join lateral (select '{"identityNumber":' || coalesce('"' || s1.identity_number || '"', 'null') || ',"records":{"edges":[' || coalesce(x4.e0, '') || ']}}' as j, k2.external_id::text as i from (values ($1::text, $2::text, 1)) k2(uscc, external_id, n)
 left join lateral (select v.node_id, v.identity_number, v.id from v_internal.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral (select string_agg(q.e0, ',') as e0 from (select '{"node":{"title":' || to_json(t3.title)::text || ',"status":"' || t3.status || '","version":' || t3.version::text || ',"history":[' || coalesce(x6.j, '') || ']}}' as e0 from v_internal.record_decided_desc t3
 left join lateral (select string_agg(q.j, ',') as j from (select '{"version":' || t5.version::text || ',"knownFrom":' || to_json(to_char(t5.known_from at time zone 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+08:00"'))::text || ',"knownUntil":' || coalesce(to_json(to_char(t5.known_until at time zone 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+08:00"'))::text, 'null') || ',"status":"' || t5.status || '","reason":' || coalesce(to_json(t5.reason)::text, 'null') || ',"enteredBy":' || coalesce(to_json(t5.entered_by)::text, 'null') || ',"receivedAt":' || to_json(to_char(t5.received_at at time zone 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+08:00"'))::text || '}' as j from v_internal.record_version t5 where t5.record_id = t3.id order by t5.version) q) x6 on true where t3.subject_id = s1.id limit $3::int) q) x4 on true) x7 on true
-- $1 $uscc::text
-- $2 $uscc::text
-- $3 100::int
