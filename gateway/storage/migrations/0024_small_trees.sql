-- The root of a disclosure's small tree, in one loop: statements for each level cost four times what the hashes do.

create or replace function ledger.root_with(first bytea, salt bytea, subjects uuid[]) returns bytea language plpgsql immutable
    set search_path = pg_catalog as $$
declare
    level bytea[] := array[substr(first, 1, 32), substr(first, 33, 32), substr(first, 65, 32)];
    salts bytea := sha512(salt || '\x00000000'::bytea);
    count integer := 3;
    subject uuid;
begin
    foreach subject in array subjects loop
        if count % 4 = 0 then
            salts := sha512(salt || int4send(count / 4));
        end if;
        level[count + 1] := sha256('\x00'::bytea || substr(salts, count % 4 * 16 + 1, 16)
            || convert_to('{"subject":"' || subject || '"}', 'UTF8'));
        count := count + 1;
    end loop;
    while count > 1 loop
        for i in 1 .. count / 2 loop
            level[i] := sha256('\x01'::bytea || level[2 * i - 1] || level[2 * i]);
        end loop;
        if count % 2 = 1 then
            level[count / 2 + 1] := level[count];
        end if;
        count := (count + 1) / 2;
    end loop;
    return level[1];
end $$;
