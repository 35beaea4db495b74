-- A record that a feed brought, and that a file of its department brings later, becomes that source's: the feed's row is
-- linked to it from then on, in the import's own transaction.

grant update (linked) on core.source_row to @import@;
