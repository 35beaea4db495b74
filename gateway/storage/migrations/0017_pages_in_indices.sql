-- A page of all records is found in the index of its order alone: with the columns that filters and views look at, what
-- they leave out is never fetched from the table. authority_id and source_code are there for the views' own joins, which
-- PostgreSQL takes away too late to know that it needs no column of theirs (decision 0028).

drop index core.record_decided;
create index record_decided on core.record (decided_on, external_id) include (id, subject_id, subject_class,
    authority_id, source_code, kind, area, status, published, published_from, published_until);
drop index core.record_published;
create index record_published on core.record (published_from, external_id) include (id, subject_id, subject_class,
    authority_id, source_code, kind, area, status, published, decided_on, published_until);

-- The same for a region: whose records they are, and whether few subjects are there.
create index subject_within on core.subject (id) include (region_code, class, kind);
drop index core.subject_region;
create index subject_region on core.subject (region_code) include (id, class, kind);
