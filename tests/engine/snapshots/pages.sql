select '{"subject":' || coalesce(x13.j, 'null') || '}' as body,
  coalesce(x13.i, '') as shown,
  pg_current_snapshot()::text as snapshot
from (values (0)) root(root)
left join lateral (select '{"first":{"totalCount":' || (select count(*)::text from v_restricted.record t5 where t5.subject_id = s1.id) || ',"pageInfo":{"hasNextPage":' || x4.more || ',"hasPreviousPage":false,"startCursor":' || coalesce('"' || x4.sc || '"', 'null') || ',"endCursor":' || coalesce('"' || x4.ec || '"', 'null') || '},"edges":[' || coalesce(x4.e0, '') || ']},"second":{"pageInfo":{"hasNextPage":' || x7.more || ',"hasPreviousPage":true,"startCursor":' || coalesce('"' || x7.sc || '"', 'null') || ',"endCursor":' || coalesce('"' || x7.ec || '"', 'null') || '},"edges":[' || coalesce(x7.e0, '') || ']},"all":{"pageInfo":{"hasNextPage":' || x9.more || '}},"none":{"totalCount":' || (select count(*)::text from v_restricted.record t12 where t12.subject_id = s1.id and t12.kind = any ($7::text[])) || ',"pageInfo":{"hasNextPage":' || x11.more || ',"endCursor":' || coalesce('"' || x11.ec || '"', 'null') || '},"edges":[' || coalesce(x11.e0, '') || ']}}' as j, k2.external_id::text as i from (values ($1::text, $2::text, 1)) k2(uscc, external_id, n)
 left join lateral (select v.node_id, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral (select string_agg(q.e0, ',') filter (where q.n <= $3::int) as e0, (count(*) > $3::int)::text as more, max(q.c) filter (where q.n = 1) as sc, (array_agg(q.c))[least(count(*), $3::int)] as ec from (select '{"cursor":"' || 'd' || t3.decided_on::text || t3.node_id || '","node":{"title":' || to_json(t3.title)::text || '}}' as e0, row_number() over () as n, 'd' || t3.decided_on::text || t3.node_id as c from v_restricted.record_decided_desc t3 where t3.subject_id = s1.id limit $3::int + 1) q) x4 on true
 left join lateral (select string_agg(q.e0, ',') filter (where q.n <= $3::int) as e0, (count(*) > $3::int)::text as more, max(q.c) filter (where q.n = 1) as sc, (array_agg(q.c))[least(count(*), $3::int)] as ec from (select '{"cursor":"' || 'd' || t6.decided_on::text || t6.node_id || '","node":{"title":' || to_json(t6.title)::text || '}}' as e0, row_number() over () as n, 'd' || t6.decided_on::text || t6.node_id as c from v_restricted.record_decided_desc t6 where t6.subject_id = s1.id and (t6.decided_on, t6.external_id) < ($4::date, $5::uuid) limit $3::int + 1) q) x7 on true
 left join lateral (select (count(*) > $6::int)::text as more from (select row_number() over () as n from v_restricted.record_decided_desc t8 where t8.subject_id = s1.id limit $6::int + 1) q) x9 on true
 left join lateral (select string_agg(q.e0, ',') filter (where q.n <= $8::int) as e0, (count(*) > $8::int)::text as more, (array_agg(q.c))[least(count(*), $8::int)] as ec from (select '{"cursor":"' || 'd' || t10.decided_on::text || t10.node_id || '"}' as e0, row_number() over () as n, 'd' || t10.decided_on::text || t10.node_id as c from v_restricted.record_decided_desc t10 where t10.subject_id = s1.id and t10.kind = any ($7::text[]) limit $8::int + 1) q) x11 on true) x13 on true
-- $1 $uscc::text
-- $2 $uscc::text
-- $3 2::int
-- $4 $after::date
-- $5 $after::uuid
-- $6 100::int
-- $7 ()::text[]
-- $8 5::int
