"""Promise: guessing a secret becomes slower and slower, across all processes; whoever guesses locks out himself, for a
while at most; a client at its own address, and every client with a key, goes on undisturbed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from auth_support import ORGAN, Setting, error_of
from joserfc.jwk import ECKey

from gateway.auth import guesses
from gateway.auth.guesses import FREE, LONGEST, Guesses
from gateway.auth.registration import Registration, register
from gateway.auth.server import TokenResponse
from gateway.storage.database import Database

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest_asyncio.fixture(loop_scope="module")
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


async def with_secret(setting: Setting, client_id: str) -> str:
    wanted = Registration(client_id, client_id, ORGAN, secret=True)
    secret = await register(setting.store, wanted)
    assert secret is not None
    setting.registered[client_id] = ECKey.generate_key("P-256")
    return secret


async def tried(setting: Setting, client_id: str, secret: str, address: str = HERE) -> TokenResponse:
    header = "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return await setting.ask({"grant_type": "client_credentials"}, header, address=address)


async def fail(setting: Setting, client_id: str, times: int, address: str = HERE) -> list[int]:
    return [(await tried(setting, client_id, "wrong", address)).status for _ in range(times)]


async def pass_time(owner: asyncpg.Connection[Any], seconds: float) -> None:
    """As if so much time had passed: everything that was counted is older."""
    await owner.execute(
        "update auth.guess set failed_at = failed_at - $1::float8 * interval '1 s',"
        " blocked_until = blocked_until - $1::float8 * interval '1 s',"
        " succeeded_at = succeeded_at - $1::float8 * interval '1 s'",
        seconds,
    )


async def test_a_few_slips_cost_nothing_then_one_waits(setting: Setting) -> None:
    secret = await with_secret(setting, "slips")
    assert await fail(setting, "slips", FREE["PAIR"]) == [401] * FREE["PAIR"]
    assert (await tried(setting, "slips", secret)).status == 200
    assert await fail(setting, "slips", 3) == [401, 429, 429]
    blocked = await tried(setting, "slips", "wrong")
    assert error_of(blocked) == (429, "invalid_client")
    assert dict(blocked.headers)["retry-after"] == "1"


async def test_a_right_guess_while_one_must_wait_looks_like_a_wrong_one(setting: Setting) -> None:
    secret = await with_secret(setting, "right")
    await fail(setting, "right", FREE["PAIR"] + 1)
    right, wrong = await tried(setting, "right", secret), await tried(setting, "right", "wrong")
    assert (right.status, right.body, right.headers) == (429, wrong.body, wrong.headers)


async def test_each_further_wrong_secret_doubles_the_wait_up_to_a_bound(
    setting: Setting, owner: asyncpg.Connection[Any]
) -> None:
    secret = await with_secret(setting, "doubles")
    await fail(setting, "doubles", FREE["PAIR"])
    waits = []
    for _ in range(12):
        assert await fail(setting, "doubles", 1) == [401]  # looked at, and the next must wait
        waits.append(int(dict((await tried(setting, "doubles", "wrong")).headers)["retry-after"]))
        await owner.execute("update auth.guess set blocked_until = now()")
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    # Never for ever: when the longest wait is over it begins anew.
    await pass_time(owner, LONGEST["PAIR"])
    assert (await tried(setting, "doubles", secret)).status == 200
    assert await fail(setting, "doubles", 1) == [401]
    assert (await tried(setting, "doubles", secret)).status == 200


async def test_knocking_while_one_waits_makes_it_no_longer(setting: Setting, owner: asyncpg.Connection[Any]) -> None:
    await with_secret(setting, "knock")
    await fail(setting, "knock", FREE["PAIR"] + 1)
    before = await owner.fetch("select * from auth.guess order by kind, key")
    assert await fail(setting, "knock", 5) == [429] * 5
    assert await owner.fetch("select * from auth.guess order by kind, key") == before


async def test_unknown_clients_are_counted_alike(setting: Setting) -> None:
    await with_secret(setting, "exists")
    await setting.client("has-keys")
    for client_id in ("exists", "has-keys", "nobody", "not an id", "\x00", "x" * 10_000):
        answers = [await tried(setting, client_id, "wrong") for _ in range(FREE["PAIR"] + 2)]
        assert [answer.status for answer in answers] == [401] * (FREE["PAIR"] + 1) + [429], client_id
        assert len({answer.body for answer in answers}) == 2


async def test_many_at_once_do_not_outrun_the_counting(setting: Setting) -> None:
    """Another process counts in the same table: here a second server's counts."""
    secret = await with_secret(setting, "burst")
    statuses = await asyncio.gather(*(tried(setting, "burst", "wrong") for _ in range(60)))
    looked_at = [answer.status for answer in statuses].count(401)
    # Each of the pool's connections may have one under way when the count is full.
    assert FREE["PAIR"] < looked_at <= FREE["PAIR"] + 1 + 4
    assert (await tried(setting, "burst", secret)).status == 429
    assert await Guesses(setting.store._pool).right("burst", HERE) > 0


async def test_another_address_is_not_locked_out(setting: Setting) -> None:
    secret = await with_secret(setting, "victim")
    await fail(setting, "victim", FREE["PAIR"] + 2, THERE)
    assert (await tried(setting, "victim", secret, THERE)).status == 429
    assert (await tried(setting, "victim", secret, HERE)).status == 200


async def test_an_address_that_tries_many_clients_waits(setting: Setting) -> None:
    secret = await with_secret(setting, "among")
    statuses = [(await tried(setting, f"guessed-{number}", "wrong")).status for number in range(FREE["ADDRESS"] + 2)]
    assert statuses == [401] * (FREE["ADDRESS"] + 1) + [429]
    assert (await tried(setting, "among", secret)).status == 429
    assert (await tried(setting, "among", secret, THERE)).status == 200


async def test_a_client_that_is_guessed_from_everywhere(setting: Setting, owner: asyncpg.Connection[Any]) -> None:
    secret = await with_secret(setting, "spread")
    assert (await tried(setting, "spread", secret, HERE)).status == 200  # where it comes from
    for number in range(FREE["CLIENT"] + 1):
        await fail(setting, "spread", 1, f"198.51.100.{number}")
    blocked = await tried(setting, "spread", secret, THERE)
    assert error_of(blocked) == (429, "invalid_client")
    assert int(dict(blocked.headers)["retry-after"]) <= LONGEST["CLIENT"]
    assert (await tried(setting, "spread", secret, HERE)).status == 200
    assert await fail(setting, "spread", 1, HERE) == [401]  # and wrong ones are counted there as anywhere
    await pass_time(owner, LONGEST["CLIENT"])
    assert (await tried(setting, "spread", secret, THERE)).status == 200


async def test_keys_are_not_locked_by_guesses_of_secrets(setting: Setting) -> None:
    await setting.client("keyed")
    await fail(setting, "keyed", FREE["PAIR"] + 5)
    assert await fail(setting, "keyed", 1) == [429]
    answer = await setting.ask(setting.form("keyed"), address=HERE)
    assert answer.status == 200


async def test_neither_ids_nor_addresses_are_kept_and_counts_are_swept(
    setting: Setting, owner: asyncpg.Connection[Any]
) -> None:
    secret = await with_secret(setting, "told")
    await tried(setting, "told", secret)
    await fail(setting, "told", 2)
    text = await owner.fetchval("select json_agg(g)::text from auth.guess g")
    assert "told" not in text
    assert HERE not in text
    await pass_time(owner, 2 * guesses.WINDOW_SECONDS + 1)
    setting.server._guesses._sweeper._swept_at = -1e9
    await fail(setting, "other", 1, THERE)
    # The pair has succeeded lately, so it stays; the address stays as the one that has failed just now.
    kinds = [row["kind"] for row in await owner.fetch("select kind from auth.guess order by kind")]
    assert kinds == ["ADDRESS", "CLIENT", "PAIR", "PAIR"]
    await pass_time(owner, (guesses.KNOWN_DAYS + 1) * 86_400)
    setting.server._guesses._sweeper._swept_at = -1e9
    await fail(setting, "third", 1, "192.0.2.3")
    assert await owner.fetchval("select count(*) from auth.guess") == 3


@pytest.mark.parametrize("control", [True, False])
async def test_without_the_counting_guessing_goes_on(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, control: bool
) -> None:
    if not control:

        async def uncounted(*_: object) -> int:
            return 0

        monkeypatch.setattr(Guesses, "wrong", uncounted)
    await with_secret(setting, "removed")
    statuses = await fail(setting, "removed", 30)
    assert (429 in statuses) == control
