-- Clients that hold more than a bearer token, proofs that are used once, and guesses of secrets that are counted.

alter table auth.client
    add column bound text check (bound in ('DPOP', 'MTLS')),    -- its tokens must be bound so (RFC 9449, RFC 8705)
    add column certificates text[],                            -- x5t#S256 of certificates that it authenticates by
    add column token_issuer text,                              -- its tokens come from this external issuer, and from nowhere else
    drop constraint client_check,
    add constraint client_authenticates check (
        num_nonnulls(jwks, secret_hash, certificates, token_issuer) >= 1
        and (token_issuer is null or num_nonnulls(jwks, secret_hash, certificates) = 0)   -- no second way in beside it
    );

create table auth.used_proof (                     -- jti of DPoP proofs, used once
    hash text primary key,                         -- SHA-256 over the key's thumbprint and the jti
    expires_at timestamptz not null
);
create index on auth.used_proof (expires_at);

create table auth.guess (                          -- wrong secrets, by what they have in common
    kind text not null check (kind in ('PAIR', 'ADDRESS', 'CLIENT')),
    key text not null,                             -- SHA-256: neither ids nor addresses stand here
    failures integer not null default 0,
    failed_at timestamptz,
    blocked_until timestamptz,
    succeeded_at timestamptz,                      -- of a PAIR: when this client last came from this address
    primary key (kind, key)
);

grant select, insert, delete on auth.used_proof to @service@;
grant select, insert, update, delete on auth.guess to @service@;
