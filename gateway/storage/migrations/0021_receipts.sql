-- Receipts (docs/ledger.md): what became of the records of those whom a disclosure showed, for whoever has its receipt.

create index on core.record_version (subject_id);

-- SUPERSEDED: a version of a record of theirs came after what the disclosure had seen, or one of them was erased; rather
-- too often than once too seldom. UNDER_OBJECTION: a record of theirs is marked so at present. Else VALID.
create function ledger.standing(shown uuid[], seen pg_snapshot, since timestamptz) returns text
    language sql stable security definer
begin atomic
    select case
        when '00000000-0000-0000-0000-000000000000' = any (shown) or exists (
            select from core.subject s
            join core.record_version v on v.subject_id = s.id
            join core.record_version n on n.record_id = v.record_id and n.version = v.version + 1
            where s.external_id = any (shown)
                -- By time as well: a database that was put back counts its transactions anew.
                and (seen is null or not pg_visible_in_snapshot(n.transaction_id, seen) or n.known_at >= since)
        ) then 'SUPERSEDED'
        when exists (
            select from core.subject s join core.record r on r.subject_id = s.id
            where s.external_id = any (shown) and r.under_objection
        ) then 'UNDER_OBJECTION'
        else 'VALID' end;
end;
revoke execute on function ledger.standing(uuid[], pg_snapshot, timestamptz) from public;
grant execute on function ledger.standing(uuid[], pg_snapshot, timestamptz) to @log@;
