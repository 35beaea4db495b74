"""Promise: each attack on tokens is refused, over HTTP, by `serve` with two workers; what must hold once holds once
though both are asked at the same time. test_token_controls.py takes each control away and sees the attack succeed."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from e2e_stack import GRAPHQL, Account, Gateway, Reply, assertion, make_client, process, rows_of
from joserfc.jwk import ECKey
from test_serve import QUESTION, Server, command, connections, everyone_served, ready
from token_attacks import certificate, forgeries, form_of, long_assertion, post, proof, server_key

from gateway.auth.clients import ClientStore
from gateway.auth.guesses import FREE
from gateway.auth.keys import KeyStore
from gateway.auth.registration import Registration, register
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from scripts.served import free_ports
from tests import machine

PROXY = "127.0.0.2"  # whoever calls from here is the operator's proxy; every other caller is a client
CALLERS = 24


@dataclass
class Target:
    """The server under attack, with a client of its own and callers that are spread over both workers."""

    server: Server
    keys: KeyStore
    pool: Pool
    callers: list[Gateway]
    account: Account
    token: str

    @property
    def base(self) -> str:
        return self.server.base

    @property
    def one(self) -> Gateway:
        return self.callers[0]

    async def ask(self, authorization: str, caller: Gateway | None = None, **headers: str) -> Reply:
        """The question with this Authorization header."""
        sent = {"accept": GRAPHQL, "content-type": "application/json", "authorization": authorization}
        body = json.dumps({"query": QUESTION, "variables": {"uscc": self.server.uscc}}).encode()
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await (caller or self.one).send("POST", body, sent)

    async def client(self, name: str, **more: object) -> Account:
        """A client with a key."""
        return await make_client(
            self.database, name, "view:restricted", "GRANT", organisation=self.server.organ, **more
        )

    async def bound(self, account: Account, key: ECKey) -> str:
        """A token that is bound to `key`."""
        headers = {"DPoP": proof(key, f"{self.base}/oauth/token")}
        form = form_of(account, assertion(account, self.base))
        status, body = await post(self.one.session, self.base, form, headers)
        assert (status, body["token_type"]) == (200, "DPoP"), body
        return str(body["access_token"])

    database: Database = None  # type: ignore[assignment]


@pytest.fixture(scope="module")
async def target(
    world: Database, seeded: tuple[Database, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Target]:
    folder = tmp_path_factory.mktemp("attacks")
    shutil.copytree(world.secrets.folder, folder / "secrets")  # the passwords of the roles
    port, *admin = free_ports(3)
    organisations = [row["uscc"] for row in rows_of(seeded[1] / "organisations.csv") if row["uscc"]]
    environment = {
        "GATEWAY_DATA_DIR": str(folder),
        "GATEWAY_DATABASE_URL": world.migrate_dsn,
        "GATEWAY_ROLE_PREFIX": world.prefix,
        "GATEWAY_ISSUER": f"http://127.0.0.1:{port}",
        "GATEWAY_ADMIN_PORT": str(admin[0]),
        "GATEWAY_TRUSTED_PROXIES": PROXY,
        "GATEWAY_CLIENT_RATE": "0",  # what is tested is refused for what it is
        "GATEWAY_PUBLIC_RATE": "0",
        "GATEWAY_TOKEN_RATE": "0",
    }
    log = folder / "serve.log"
    base = f"http://127.0.0.1:{port}"
    line = command("serve", "--workers", "2", "--port", str(port))
    with log.open("w", encoding="utf-8") as file, process(line, environment, stderr=file) as running:
        server = Server(running, base, admin, log, environment, organisations[-1], organisations[0])
        await ready(server)
        pool = Pool(world.dsn("service"), size=2)
        async with connections(server, CALLERS) as callers:
            account = await make_client(world, "attacked", "view:restricted", "GRANT", organisation=server.organ)
            token = await callers[0].fetch_token(account)
            assert set(await everyone_served(server, callers, token)) == {200}
            yield Target(server, KeyStore(folder / "keys"), pool, callers, account, token, world)
        await pool.close()


def refused(reply: Reply) -> None:
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), reply.body
    assert reply.headers.getall("www-authenticate")


async def test_forged_tokens(target: Target) -> None:
    """alg none, HS256 with the public key, kid and jwk injection, expired, not valid yet, wrong issuer or audience …"""
    assert (await target.ask(f"Bearer {target.token}")).status == 200
    made = forgeries(target.token, server_key(target.keys))
    replies = await asyncio.gather(*(target.ask(f"Bearer {forged}") for forged in made.values()))
    print(f"{len(made)} forgeries: {sorted({reply.status for reply in replies})}")
    for name, reply in zip(made, replies, strict=True):
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), name


async def test_the_scheme_in_any_case_and_no_other(target: Target) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await target.ask(f"{scheme} {target.token}")).status == 200
    for text in (target.token, f"Token {target.token}", f"Basic {target.token}", f"Bearer  {target.token} x", "Bearer"):
        refused(await target.ask(text))


async def test_a_token_anywhere_but_in_its_header(target: Target) -> None:
    headers = {"accept": GRAPHQL, "content-type": "application/json"}
    body = {"query": "{ viewer { view } }"}
    query = f"?access_token={target.token}"
    for reply in (
        await target.one.send("POST", json.dumps(body).encode(), headers, query),
        await target.one.send("POST", json.dumps(body | {"access_token": target.token}).encode(), headers),
        await target.one.send("GET", None, headers, f"{query}&query=%7Bviewer%7Bview%7D%7D"),
    ):
        assert (reply.status, reply.code) == (400, "BAD_USER_INPUT")
    form = form_of(target.account, assertion(target.account, target.base))
    async with target.one.session.post(f"{target.base}/oauth/token", params=form) as answer:
        assert answer.status == 400


async def test_a_disabled_client_is_refused_within_two_seconds_in_every_worker(target: Target) -> None:
    account = await target.client("attack-disabled")
    token = await target.one.fetch_token(account)
    assert set(await everyone_served(target.server, target.callers, token)) == {200}
    assert await ClientStore(target.pool).disable(account.id)
    disabled = machine.seconds()
    last = 0.0
    for caller in target.callers:
        while (await target.ask(f"Bearer {token}", caller)).status == 200:
            last = machine.seconds() - disabled
            assert last < 2
            await asyncio.sleep(0.02)
    print(f"last answer {last:.2f} s after disabling, {len(target.callers)} connections on both workers")
    for caller in target.callers:
        refused(await target.ask(f"Bearer {token}", caller))
    status, body = await post(target.one.session, target.base, form_of(account, assertion(account, target.base)))
    assert (status, body["error"]) == (401, "invalid_client")


async def test_an_assertion_used_twice_on_both_workers_at_once(target: Target) -> None:
    form = form_of(target.account, assertion(target.account, target.base))
    answers = await asyncio.gather(*(post(caller.session, target.base, form) for caller in target.callers))
    assert sorted(status for status, _ in answers) == [200] + [401] * (CALLERS - 1)


async def test_an_assertion_that_is_valid_for_an_hour(target: Target) -> None:
    form = form_of(target.account, long_assertion(target.account, target.base, 3_600))
    status, body = await post(target.one.session, target.base, form)
    assert (status, body["error"]) == (401, "invalid_client")


async def test_two_authentication_methods_at_once_and_parameters_twice(target: Target) -> None:
    def good() -> list[tuple[str, str]]:
        return form_of(target.account, assertion(target.account, target.base))

    for form, headers in (
        (good(), {"authorization": "Basic eDp5"}),
        ([*good(), ("client_id", target.account.id), ("client_secret", "x")], {}),
        ([*good(), ("scope", "view:restricted")], {}),
        ([*good(), ("scope", "")], {}),
        ([*good(), *good()], {}),
    ):
        status, body = await post(target.one.session, target.base, form, headers)
        assert (status, body["error"]) == (400, "invalid_request")


# Proofs of possession -------------------------------------------------------------------------------------------------


async def test_a_bound_token_with_a_proof_for_each_request(target: Target) -> None:
    key = ECKey.generate_key("P-256")
    token = await target.bound(target.account, key)
    url = f"{target.base}/graphql"
    for caller in target.callers:
        assert (await target.ask(f"DPoP {token}", caller, dpop=proof(key, url, token=token))).status == 200


async def test_a_proof_replayed_on_both_workers_at_once(target: Target) -> None:
    key = ECKey.generate_key("P-256")
    token = await target.bound(target.account, key)
    for _ in range(3):
        once = proof(key, f"{target.base}/graphql", token=token)
        asked = (target.ask(f"DPoP {token}", caller, dpop=once) for caller in target.callers)
        replies = await asyncio.gather(*asked)
        assert sorted(reply.status for reply in replies) == [200] + [401] * (CALLERS - 1)
        challenges = {reply.headers["www-authenticate"] for reply in replies if reply.status == 401}
        assert challenges == {'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"'}


async def test_a_proof_for_a_token_replayed_on_both_workers_at_once(target: Target) -> None:
    headers = {"DPoP": proof(ECKey.generate_key("P-256"), f"{target.base}/oauth/token")}
    answers = await asyncio.gather(
        *(
            post(caller.session, target.base, form_of(target.account, assertion(target.account, target.base)), headers)
            for caller in target.callers
        )
    )
    assert sorted(status for status, _ in answers) == [200] + [400] * (CALLERS - 1)


async def test_a_proof_for_another_url_method_or_token_and_none_at_all(target: Target) -> None:
    key, thief = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    token, other = await target.bound(target.account, key), await target.bound(target.account, key)
    url = f"{target.base}/graphql"
    for made in (
        proof(key, f"{target.base}/oauth/token", token=token),
        proof(key, "https://elsewhere.example/graphql", token=token),
        proof(key, url, token=token, htm="GET"),
        proof(key, url, token=other),
        proof(key, url),
        proof(thief, url, token=token),
        proof(key, url, token=token, iat=int(time.time()) - 300),
        proof(key, url, token=token, iat=int(time.time()) + 300),
        "x",
    ):
        refused(await target.ask(f"DPoP {token}", dpop=made))
    refused(await target.ask(f"DPoP {token}"))


async def test_a_bound_token_as_bearer_and_a_client_that_must_bind(target: Target) -> None:
    key = ECKey.generate_key("P-256")
    token = await target.bound(target.account, key)
    refused(await target.ask(f"Bearer {token}"))
    refused(await target.ask(f"Bearer {token}", dpop=proof(key, f"{target.base}/graphql", token=token)))
    refused(await target.ask(f"DPoP {target.token}", dpop=proof(key, f"{target.base}/graphql", token=target.token)))
    must = await target.client("attack-must-bind", bound="DPOP")
    status, body = await post(target.one.session, target.base, form_of(must, assertion(must, target.base)))
    assert (status, body["error"]) == (400, "invalid_dpop_proof")
    assert await target.bound(must, key)


# Certificates ---------------------------------------------------------------------------------------------------------


async def test_a_forged_client_cert_header(target: Target) -> None:
    header, thumbprint = certificate()
    wanted = Registration(
        "attack-cert", "attack-cert", target.server.organ, ("view:restricted",), ("GRANT",), certificates=(thumbprint,)
    )
    await register(ClientStore(target.pool), wanted)
    form = [(name, value) for name, value in form_of(target.account, "") if not name.startswith("client_assertion")]
    form.append(("client_id", "attack-cert"))
    status, body = await post(target.one.session, target.base, form, {"client-cert": header})
    assert (status, body["error"]) == (400, "invalid_request")
    connector = aiohttp.TCPConnector(local_addr=(PROXY, 0), limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        proxy = Gateway(target.base, session)
        status, body = await post(session, target.base, form, {"client-cert": header})
        assert status == 200, body
        token = body["access_token"]
        assert (await target.ask(f"Bearer {token}", proxy, client_cert=header)).status == 200
        refused(await target.ask(f"Bearer {token}", proxy, client_cert=certificate()[0]))
        refused(await target.ask(f"Bearer {token}", proxy))
    forged = await target.ask(f"Bearer {token}", client_cert=header)
    assert (forged.status, forged.code) == (400, "BAD_USER_INPUT")
    refused(await target.ask(f"Bearer {token}"))


# Guesses --------------------------------------------------------------------------------------------------------------


async def test_guesses_are_counted_for_both_workers_together(target: Target) -> None:
    for client_id in ("attacked", "nobody-at-all"):
        form = [("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", "guess")]
        statuses = []
        for caller in target.callers[: FREE["PAIR"] + 4]:
            async with caller.session.post(f"{target.base}/oauth/token", data=form) as reply:
                statuses.append(reply.status)
        assert statuses[: FREE["PAIR"] + 1] == [401] * (FREE["PAIR"] + 1)
        assert 429 in statuses[FREE["PAIR"] + 1 :]
    # The key of the client that was guessed at goes on.
    assert await target.one.fetch_token(target.account)
