-- A disclosure of millions of subjects, which no answer has within its two seconds, and a view's role can write, held the log
-- up for as long as its small tree takes, in as much memory; of some tens of millions the server dies, and again when it is
-- back. What stands there already is in the log as it is.
alter table ledger.disclosure
    add constraint disclosure_of_so_many_subjects check (cardinality(subject_ids) <= 1000000) not valid;
