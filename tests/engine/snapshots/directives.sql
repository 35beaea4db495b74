select string_agg(x3.body, '' order by x3.n) as body, string_agg(octet_length(x3.body)::text, ',' order by x3.n) as lengths, string_agg(x3.key, ',' order by x3.n) as keys, v_restricted.disclose($1::text, string_agg(coalesce(x3.shown::text, ''), ';' order by x3.n), pg_current_snapshot()::text) as disclosed
from (select '{"kind":' || coalesce('"' || s1.kind || '"', 'null') || ',"onRecord":' || coalesce(s1.on_record::text, 'false') || '}' as body, coalesce(s1.external_id, (substr(k2.hash, 1, 12) || '5' || substr(k2.hash, 14, 3) || translate(substr(k2.hash, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(k2.hash, 18, 15))::uuid) as shown, k2.n, k2.uscc as key from unnest(string_to_array($2::text, ','), string_to_array($3::text, ',')) with ordinality k2(uscc, hash, n)
 left join lateral (select v.external_id, v.node_id, v.kind, v.on_record, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true) x3
-- $1 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $2 $uscc::text
-- $3 $uscc::text
