select string_agg(x6.body, ',' order by x6.n) as body
from (select case when s1.id is null then 'null' else '{"uscc":' || coalesce('"' || k2.uscc || '"', 'null') || ',"name":' || coalesce(v_public.json_text(s1.name), 'null') || ',"legalRepresentative":' || coalesce(v_public.json_text(s1.legal_representative), 'null') || ',"records":{"totalCount":' || (select count(*) from v_public.record t5 where t5.subject_id = s1.id)::text || ',"edges":[' || coalesce(x4.e0, '') || ']}}' end as body, k2.n from unnest(string_to_array($1::text, ',')) with ordinality k2(uscc, n)
 left join lateral (select v.name, v.legal_representative, v.id from v_public.subject v where v.uscc = k2.uscc limit 1) s1 on true
 left join lateral (select string_agg(q.e0, ',') as e0 from (select '{"node":{"title":' || v_public.json_text(t3.title) || ',"amount":' || coalesce('"' || t3.amount::text || '"', 'null') || '}}' as e0 from v_public.record_decided_desc t3 where t3.subject_id = s1.id limit $2::int) q) x4 on true) x6
-- $1 $usccs::text
-- $2 20::int
