-- A receipt's status says nothing of records that its asker could not see: those repaired or revoked before are in no
-- answer of the restricted view, so an objection to one, or what becomes of it, must not be told by the status either.

drop function ledger.standing(uuid[], pg_snapshot, timestamptz);

-- SUPERSEDED: a version of a record of theirs came after what the disclosure had seen, or one of them was erased; rather
-- too often than once too seldom. UNDER_OBJECTION: a record of theirs is marked so at present. Else VALID. `organisation`
-- asked in `view` for `matter`; of what it sees that is no longer in force see storage/catalogue.py (RECORD_ROWS).
create function ledger.standing(shown uuid[], seen pg_snapshot, since timestamptz, view text, matter text,
    organisation text) returns text language sql stable security definer
begin atomic
    select case
        when '00000000-0000-0000-0000-000000000000' = any (shown) or exists (
            select from core.subject s
            join core.record_version v on v.subject_id = s.id
            join core.record_version n on n.record_id = v.record_id and n.version = v.version + 1
            where s.external_id = any (shown)
                -- By time as well: a database that was put back counts its transactions anew.
                and (seen is null or not pg_visible_in_snapshot(n.transaction_id, seen) or n.known_at >= since)
                and (a.all_of_it or v.status in ('ACTIVE', 'CORRECTED') or view = 'INTERNAL' and exists (
                    select from core.record r join core.subject o on o.id = r.authority_id
                    where r.id = v.record_id and o.uscc = organisation))
        ) then 'SUPERSEDED'
        when exists (
            select from core.subject s join core.record r on r.subject_id = s.id
            where s.external_id = any (shown) and r.under_objection
                and (a.all_of_it or r.status in ('ACTIVE', 'CORRECTED') or view = 'INTERNAL' and exists (
                    select from core.subject o where o.id = r.authority_id and o.uscc = organisation))
        ) then 'UNDER_OBJECTION'
        else 'VALID' end
    from (select view = 'SELF' or view = 'INTERNAL' and coalesce((
        select m.shows_withdrawn from auth.matter m where m.code = standing.matter), false) as all_of_it) a;
end;
revoke execute on function ledger.standing(uuid[], pg_snapshot, timestamptz, text, text, text) from public;
grant execute on function ledger.standing(uuid[], pg_snapshot, timestamptz, text, text, text) to @log@;
