select q.body as body, v_restricted.disclose_one($1::text, q.shown, pg_current_snapshot()::text) as disclosed, (select v.version from v_restricted.reference_version v) as version
from (select string_agg(x6.body, ',' order by x6.n) as body, coalesce(array_agg(x6.shown) filter (where x6.shown is not null), '{}') as shown
from (select '{"uscc":' || coalesce('"' || k2.uscc || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || ',"name":' || coalesce(v_restricted.json_text(s1.name), 'null') || ',"formerNames":' || coalesce(s1.former_names, '[]') || e',"region":\x01a' || coalesce(s1.region_code, '') || e'\x01,"records":{"totalCount":' || (select count(*) from v_restricted.record t5 where t5.subject_id = s1.id)::text || ',"edges":[' || coalesce(x4.e0, '') || ']}}' as body, coalesce(s1.external_id, (substr(k2.hash, 1, 12) || '5' || substr(k2.hash, 14, 3) || translate(substr(k2.hash, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(k2.hash, 18, 15))::uuid) as shown, k2.n from unnest(string_to_array($2::text, ','), string_to_array($3::text, ',')) with ordinality k2(uscc, hash, n)
 left join lateral (select v.external_id, v.node_id, v.on_record, v.name, v.former_names, v.region_code, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral (select string_agg(q.e0, ',') as e0 from (select '{"node":{"title":' || v_restricted.json_text(t3.title) || '}}' as e0 from v_restricted.record_decided_desc t3 where t3.subject_id = s1.id limit $4::int) q) x4 on true) x6) q
-- $1 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $2 $usccs::text
-- $3 $usccs::text
-- $4 2::int
-- \x01a region by code: '{"name":' || v_restricted.json_text(v.name) || '}'
