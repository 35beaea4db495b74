-- subjects of COURTS: from the arguments
select q.body as body, v_restricted.disclose_one($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text, $11::text, $12::text, $13::text, q.shown, pg_current_snapshot()::text) as disclosed
from (select string_agg(x4.body, ',' order by x4.n) as body, coalesce(array_agg(x4.shown) filter (where x4.shown is not null), '{}') as shown
from (select case when k2.uscc is null then 'null' else '{"__typename":"Subject","uscc":' || coalesce('"' || k2.uscc || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || ',"name":' || coalesce(v_restricted.json_text(s1.name), 'null') || ',"courts":{"answer":{"status":' || coalesce(a3.status, 'null') || '}}}' end as body, coalesce(s1.external_id, (substr(k2.hash, 1, 12) || '5' || substr(k2.hash, 14, 3) || translate(substr(k2.hash, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(k2.hash, 18, 15))::uuid) as shown, k2.n from unnest(string_to_array($14::text, ',', '-'), string_to_array($15::text, ',', '-')) with ordinality k2(uscc, hash, n)
 left join lateral (select v.external_id, v.node_id, v.on_record, v.name, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral v_restricted.courts_answer($16::jsonb, k2.uscc) a3 on true) x4) q
-- $1 to $13 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $14 $representations::text
-- $15 $representations::text
-- $16 fed answers:COURTS::jsonb
