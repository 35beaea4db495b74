-- No row may stop the log. A view's role says what it has disclosed; what the sequencer could not make a leaf of is
-- refused when it is written, and an id that is there already is changed before its leaf is made.

alter table ledger.disclosure
    add constraint disclosure_can_be_a_leaf check (
        coalesce(array_ndims(subject_ids) = 1 and array_lower(subject_ids, 1) = 1, true)
        and array_position(subject_ids, null) is null
        -- Far from what a request can bring, and from the gigabyte that JSON of it may have.
        and coalesce(octet_length(variables), 0) + octet_length(sources) + octet_length(withheld)
            + octet_length(client_id) + octet_length(organisation_uscc) + octet_length(matter) + octet_length(case_number)
            + coalesce(octet_length(on_behalf_of), 0) + coalesce(octet_length(operation_name), 0)
            + coalesce(octet_length(snapshot), 0) <= 16777216
    );

-- Of rows without a leaf those whose id another row or leaf has get a new one: they are accounted for, under an id that
-- no receipt has. The first that was written keeps its own. Returns how many. For who was refused by the leaves' index,
-- which is the only one on ids: one that writers go through would cost a tenth of their time.
create function ledger.part_doubles() returns bigint language plpgsql security definer
    set search_path = pg_catalog as $$
declare
    was ledger.log_state;
    made bigint;
begin
    select * into was from ledger.log_state for update;
    with found as (
        select d.tableoid as place, d.ctid as line, l.at is not null and l.at <> d.at as known,
            row_number() over (partition by d.id order by l.at is not distinct from d.at desc, d.xid, d.at, d.ctid) as n
        from (
            select d.tableoid, d.ctid, d.id, d.at, d.xid from ledger.disclosure d where d.xid >= pg_snapshot_xmax(was.snapshot)
            union all
            select d.tableoid, d.ctid, d.id, d.at, d.xid from ledger.disclosure d
            where d.xid = any (array(select pg_snapshot_xip(was.snapshot)))
        ) d left join ledger.leaf l on l.id = d.id
    )
    update ledger.disclosure d set id = gen_random_uuid()
    from found where d.tableoid = found.place and d.ctid = found.line and (found.known or found.n > 1);
    get diagnostics made = row_count;
    return made;
end $$;
revoke execute on function ledger.part_doubles() from public;
grant execute on function ledger.part_doubles() to @log@;
