"""Wrong secrets are counted, in PostgreSQL, for all processes together: guessing becomes slow, nobody is locked out.

In: the client's id as sent, known or not, and the address that it came from. Out: how many seconds it must wait.
Counted are the pair of both, the address, and the client. The pair and the address wait longer and longer; the client's
own count, which strangers can drive up, makes addresses wait for a minute at most, and never those that it came from
lately.
Why these numbers: docs/decisions/0013-sender-constraint-and-guesses.md.
"""

from __future__ import annotations

import hashlib

from gateway.auth.sweep import Sweeper
from gateway.storage.pool import Pool

FREE = {"PAIR": 5, "ADDRESS": 50, "CLIENT": 100}  # wrong secrets within the window before anybody waits
LONGEST = {"PAIR": 900, "ADDRESS": 900, "CLIENT": 60}  # seconds; each further one doubles the wait, up to this
WINDOW_SECONDS = 900  # a count begins anew where nothing was wrong for so long
KNOWN_DAYS = 30  # where a client came from with the right secret

_GIVEN = ", ".join(f"('{kind}', ${n})" for n, kind in enumerate(FREE, 1))
_FREE, _LONGEST = (
    f"case g.kind {' '.join(f'when {kind!r} then {number}' for kind, number in numbers.items())} end"
    for numbers in (FREE, LONGEST)
)
_KNOWN = f"""exists (select from auth.guess k where k.kind = 'PAIR' and k.key = $1
    and k.succeeded_at > now() - interval '{KNOWN_DAYS} days')"""
_BLOCKED = f"""from auth.guess b where b.blocked_until > now() and (b.kind = 'PAIR' and b.key = $1
    or b.kind = 'ADDRESS' and b.key = $2 or b.kind = 'CLIENT' and b.key = $3 and not {_KNOWN})"""
_WAIT = f"select coalesce(ceil(extract(epoch from max(b.blocked_until) - now())), 0)::int as wait {_BLOCKED}"
# A count that waits is left alone, here and in the row itself: waiting is not made longer by knocking.
_COUNT = f"""insert into auth.guess as g (kind, key, failures, failed_at, blocked_until)
select v.kind, v.key, 1, now(), null from (values {_GIVEN}) v (kind, key)
where not exists (select {_BLOCKED})
on conflict (kind, key) do update set failed_at = now(),
    failures = case when g.failed_at > now() - interval '{WINDOW_SECONDS} s' then g.failures + 1 else 1 end,
    blocked_until = case when g.failed_at > now() - interval '{WINDOW_SECONDS} s' and g.failures >= {_FREE}
        then now() + interval '1 s' * least({_LONGEST}, power(2, least(g.failures - {_FREE}, 20))) end
where g.blocked_until is null or g.blocked_until <= now() returning g.kind"""
_KNOW = """insert into auth.guess (kind, key, succeeded_at) values ('PAIR', $1, now())
on conflict (kind, key) do update set succeeded_at = now()
where guess.succeeded_at is null or guess.succeeded_at < now() - interval '1 day'"""
_SWEEP = f"""delete from auth.guess where coalesce(failed_at, '-infinity') < now() - interval '{2 * WINDOW_SECONDS} s'
and coalesce(succeeded_at, '-infinity') < now() - interval '{KNOWN_DAYS} days'"""


class Guesses:
    """The counts. Secrets are compared before they are asked, so that many tries at once can't outrun the counting."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sweeper = Sweeper(pool, _SWEEP, "counts of guesses")

    async def right(self, client_id: str, address: str) -> int:
        """Seconds that a right secret must wait all the same; 0: it is good. Raises StorageUnavailable."""
        keys = _keys(client_id, address)
        row = await self._pool.fetchrow(_WAIT, keys)
        if row["wait"] == 0:
            await self._pool.execute(_KNOW, keys[:1])
        return int(row["wait"])

    async def wrong(self, client_id: str, address: str) -> int:
        """Count a wrong secret; seconds to wait where it was not even looked at. Raises StorageUnavailable."""
        keys = _keys(client_id, address)
        counted = await self._pool.fetch(_COUNT, keys)
        await self._sweeper.sweep()
        if {b"PAIR", b"ADDRESS"} <= {bytes(row["kind"]) for row in counted}:
            return 0
        row = await self._pool.fetchrow(_WAIT, keys)
        return max(1, int(row["wait"]))


def _keys(client_id: str, address: str) -> tuple[str, str, str]:
    """Of pair, address and client. Hashed: a row has one size whatever was sent, and tells nobody's address."""
    return tuple(  # type: ignore[return-value]
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        for text in (f"{client_id}\n{address}", address, client_id)
    )
