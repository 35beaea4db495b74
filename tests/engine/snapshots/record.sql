select v_restricted_scoped.record_consent($1::text, $2::text[], $3::date, $4::date, $5::text, $6::text) as written
select q.body as body, array_to_string(q.shown, ',') as shown, pg_current_snapshot()::text as snapshot
from (select '{"data":{"made":{"__typename":"RecordConsentPayload","consent":' || coalesce(x4.j, 'null') || '}}}' as body,
  string_to_array(coalesce((x4.i)::text, ''), ',')::uuid[] as shown
from (values (case when set_config('gateway.scope', $2::text, true) is not null then 0 end)) root(root)
left join lateral (select '{"uscc":"' || t1.uscc || '","subject":' || coalesce(x3.j, 'null') || ',"validTo":"' || t1.valid_to::text || '","revokedAt":' || coalesce(v_restricted_scoped.json_text(to_char(t1.revoked_at at time zone 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+08:00"')), 'null') || '}' as j, nullif(concat_ws(',', x3.i, t1.subject_external_id), '') as i from v_restricted_scoped.consent t1
 left join lateral (select '{"name":' || v_restricted_scoped.json_text(t2.name) || '}' as j, t2.external_id as i from v_restricted_scoped.subject t2 where t2.uscc = t1.uscc limit 1) x3 on true where t1.external_id = $1::uuid limit 1) x4 on true) q
-- $1 fed written:consent::uuid
-- $2 principal.scope::text
