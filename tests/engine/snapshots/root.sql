select q.body as body, v_restricted.disclose_one($1::text, q.shown, pg_current_snapshot()::text) as disclosed
from (select '{"data":{"__typename":"Query","viewer":{"view":"' || $2::text || '","clientId":' || coalesce(v_restricted.json_text($3::text), 'null') || ',"organisation":' || coalesce(x2.j, 'null') || ',"matter":' || coalesce(x6.j, 'null') || '},"sources":[' || coalesce(x8.j, '') || '],"codeList":[' || coalesce(x10.j, '') || '],"__type":' || coalesce($7::text, 'null') || '}}' as body,
  string_to_array(coalesce((x2.i)::text, ''), ',')::uuid[] as shown
from (values (0)) root(root)
left join lateral (select '{"name":' || v_restricted.json_text(t1.name) || '}' as j, t1.external_id as i from v_restricted.authority t1 where t1.uscc = $4::text limit 1) x2 on true
left join lateral (select '{"code":"' || t3.code || '","name":' || v_restricted.json_text(t3.name) || ',"requiredSources":[' || coalesce(x5.j, '') || ']}' as j from v_restricted.matter t3
 left join lateral (select string_agg(q.j, ',') as j from (select '{"code":"' || t4.code || '"}' as j from v_restricted.required_source t4 where t4.matter_code = t3.code order by t4.position, t4.code) q) x5 on true where t3.code = $5::text limit 1) x6 on true
left join lateral (select string_agg(q.j, ',') as j from (select '{"code":"' || t7.code || '","kind":"' || t7.kind || '"}' as j from v_restricted.source t7 order by t7.position, t7.code) q) x8 on true
left join lateral (select string_agg(q.j, ',') as j from (select '{"code":' || v_restricted.json_text(t9.code) || ',"zh":' || v_restricted.json_text(t9.zh) || ',"en":' || v_restricted.json_text(t9.en) || '}' as j from v_restricted.code_label t9 where t9.list = $6::text order by t9.position, t9.code, t9.valid_from) q) x10 on true) q
-- $1 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $2 principal.view::text
-- $3 principal.client_id::text
-- $4 principal.organisation_uscc::text
-- $5 principal.matter::text
-- $6 'Severity'::text
-- $7 fed introspection:__type::text
