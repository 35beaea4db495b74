-- subjects of COURTS: from the arguments
select q.body as body, v_restricted.disclose_one($1::text, q.shown, pg_current_snapshot()::text) as disclosed
from (select string_agg(x4.body, ',' order by x4.n) as body, coalesce(array_agg(x4.shown) filter (where x4.shown is not null), '{}') as shown
from (select case when k2.uscc is null then 'null' else '{"__typename":"Subject","uscc":' || coalesce('"' || k2.uscc || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || ',"name":' || coalesce(v_restricted.json_text(s1.name), 'null') || ',"courts":{"answer":{"status":' || coalesce(a3.status, 'null') || '}}}' end as body, coalesce(s1.external_id, (substr(k2.hash, 1, 12) || '5' || substr(k2.hash, 14, 3) || translate(substr(k2.hash, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(k2.hash, 18, 15))::uuid) as shown, k2.n from unnest(string_to_array($2::text, ',', '-'), string_to_array($3::text, ',', '-')) with ordinality k2(uscc, hash, n)
 left join lateral (select v.external_id, v.node_id, v.on_record, v.name, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral v_restricted.courts_answer($4::jsonb, k2.uscc) a3 on true) x4) q
-- $1 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $2 $representations::text
-- $3 $representations::text
-- $4 fed answers:COURTS::jsonb
