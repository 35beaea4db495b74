-- subjects of BANKS:0: from the arguments
select string_agg(x7.body, '' order by x7.n) as body, string_agg(octet_length(x7.body)::text, ',' order by x7.n) as lengths, string_agg(x7.key, ',' order by x7.n) as keys, v_restricted.disclose($1::text, string_agg(coalesce(x7.shown::text, ''), ';' order by x7.n), pg_current_snapshot()::text) as disclosed
from (select '{"a":{"answer":{"status":' || coalesce(a3.status, 'null') || '},"loanBalance":' || coalesce(a3.loan_balance, 'null') || ',"overdueBalance":' || coalesce(a3.overdue_balance, 'null') || ',"overdueDays":' || coalesce(a3.overdue_days, 'null') || ',"classification":' || coalesce(a3.classification, 'null') || ',"events":[' || coalesce(x5.j, '') || ']},"b":{"guaranteeBalance":' || coalesce(a6.guarantee_balance, 'null') || '}}' as body, coalesce(s1.external_id, (substr(k2.hash, 1, 12) || '5' || substr(k2.hash, 14, 3) || translate(substr(k2.hash, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(k2.hash, 18, 15))::uuid) as shown, k2.n, k2.uscc as key from unnest(string_to_array($2::text, ','), string_to_array($3::text, ',')) with ordinality k2(uscc, hash, n)
 left join lateral (select v.external_id, v.node_id, v.id from v_restricted.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral v_restricted.banks_answer($4::jsonb, k2.uscc) a3 on true
 left join lateral (select string_agg('{"kind":' || f4.kind || ',"amount":' || coalesce(f4.amount, 'null') || ',"occurredOn":' || coalesce(f4.occurred_on, 'null') || ',"settledOn":' || coalesce(f4.settled_on, 'null') || '}', ',') as j from v_restricted.banks_events($4::jsonb, k2.uscc) f4) x5 on true
 left join lateral v_restricted.banks_answer($4::jsonb, k2.uscc) a6 on true) x7
-- $1 of the disclosure: id, client_id, organisation_uscc, matter, case_number, on_behalf_of, operation_name, document_hash, variables, sources, withheld, fields_hash, basis_hash
-- $2 $uscc::text
-- $3 $uscc::text
-- $4 fed answers:BANKS:0::jsonb
