-- What a commit that many wait for changes (gateway/storage/disk.py): a transaction that writes nothing does not wait for
-- the disk, and a row would leave its dead versions behind. Setting a sequence is always in the server's log and stays in
-- its place; its value says nothing.

create sequence ledger.flushed;
revoke all on sequence ledger.flushed from public;
grant update on sequence ledger.flushed to @ledger@;
