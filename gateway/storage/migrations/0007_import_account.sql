-- What an import leaves for the report by authority: when a file was received, and how many rows of each authority were
-- taken and rejected. Counts and the names of organs alone: rejected rows are never kept.
alter table core.import_run add received_at timestamptz;
create index on core.import_run (file_hash, kind);

create table core.import_run_authority (
    run_id bigint not null references core.import_run (id) on delete cascade,
    authority_name text not null,                  -- as given; empty where none was given or none could be told
    authority_uscc text not null,                  -- as given; empty where none was given or it does not hold
    rows_taken integer not null,
    rows_rejected integer not null,
    primary key (run_id, authority_name, authority_uscc)
);
comment on table core.import_run_authority is 'Rows of each authority in an import, for the report on how they were sent';

-- Working days of years that the calendar of the program lacks, and days that were changed after it was made. A year
-- with a single row counts as known: days without a row in it are working days from Monday to Friday.
create table core.working_day (
    day date primary key,
    working boolean not null,                      -- false: a holiday; true: a day at a weekend that is worked
    basis text not null                            -- the notice of the State Council's office
);

-- Tables that came after 0001 have no rights but these.
grant select, insert on core.import_run_authority to @import@;
grant select on core.working_day to @import@, @service@;
