-- subjects of COURTS: select coalesce(nullif(concat_ws(',', x3.i, x5.i), ''), '') as shown
from (values (0)) root(root)
left join lateral (select k2.uscc as i, k2.n from (values ($1::text, $2::text, 1)) k2(uscc, hash, n) left join lateral (select v.external_id, v.node_id, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true) x3 on true
left join lateral (select string_agg(q.i::text, ',') as i from (select * from (select x7.i as i from (select v8.id from v_restricted.record_decided_desc v8 limit 101) k9 cross join lateral (select v.subject_id from v_restricted.record v where v.id = k9.id limit 1) t4 left join lateral (select t6.uscc as i from v_restricted.subject t6 where t6.id = t4.subject_id limit 1) x7 on true limit 101) b limit $3::int) q) x5 on true
select q.body as body, v_restricted.disclose_one($1::text, q.shown, pg_current_snapshot()::text) as disclosed
from (select '{"data":{"subject":' || coalesce(x10.j, 'null') || ',"records":{"edges":[' || coalesce(x12.e0, '') || ']}}}' as body,
  string_to_array(coalesce((nullif(concat_ws(',', x10.i, x12.i), ''))::text, ''), ',')::uuid[] as shown
from (values (0)) root(root)
left join lateral (select '{"name":' || coalesce(v_restricted.json_text(s1.name), 'null') || ',"courts":{"answer":{"source":' || coalesce(x5.j, 'null') || ',"status":' || coalesce(a3.status, 'null') || ',"asOf":' || coalesce(a3.as_of, 'null') || ',"reason":' || coalesce(a3.reason, 'null') || '},"dishonestListings":[' || coalesce(x7.j, '') || '],"enforcementCases":[' || coalesce(x9.j, '') || ']}}' as j, coalesce(s1.external_id, (substr(k2.hash, 1, 12) || '5' || substr(k2.hash, 14, 3) || translate(substr(k2.hash, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(k2.hash, 18, 15))::uuid) as i, k2.n from (values ($2::text, $3::text, 1)) k2(uscc, hash, n)
 left join lateral (select v.external_id, v.node_id, v.name, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral v_restricted.courts_answer($4::jsonb, k2.uscc) a3 on true
 left join lateral (select '{"code":"' || t4.code || '"}' as j from v_restricted.source t4 where t4.code = a3.source_code limit 1) x5 on true
 left join lateral (select string_agg('{"caseNumber":' || f6.case_number || ',"court":' || f6.court || ',"grounds":' || f6.grounds || ',"duty":' || coalesce(f6.duty, 'null') || '}', ',') as j from v_restricted.courts_dishonest($4::jsonb, k2.uscc) f6) x7 on true
 left join lateral (select string_agg('{"caseNumber":' || f8.case_number || ',"amount":' || coalesce(f8.amount, 'null') || '}', ',') as j from v_restricted.courts_enforcement($4::jsonb, k2.uscc) f8) x9 on true) x10 on true
left join lateral (select string_agg(q.e0, ',') as e0, string_agg(q.i::text, ',') as i from (select * from (select '{"node":{"subject":' || coalesce(x15.j, 'null') || '}}' as e0, nullif(concat_ws(',', x15.i, t11.subject_external_id), '') as i from (select v16.id from v_restricted.record_decided_desc v16 limit 101) k17 cross join lateral (select v.subject_id, v.subject_external_id from v_restricted.record v where v.id = k17.id limit 1) t11
 left join lateral (select '{"courts":{"answer":{"status":' || coalesce(a14.status, 'null') || '}}}' as j, t13.external_id as i from v_restricted.subject t13
 left join lateral v_restricted.courts_answer($4::jsonb, t13.uscc) a14 on true where t13.id = t11.subject_id limit 1) x15 on true limit 101) b limit $5::int) q) x12 on true) q
-- $1 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $2 $uscc::text
-- $3 $uscc::text
-- $4 fed answers:COURTS::jsonb
-- $5 1::int
