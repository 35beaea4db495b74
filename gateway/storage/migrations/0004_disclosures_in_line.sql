-- A disclosure of a long list is written once, as it is: compressing it and storing it aside cost more than its bytes.
-- Partitions do not take this from their table; those of months get it as they are made (migrate.py).
alter table ledger.disclosure_rest set (toast_tuple_target = 8160);
