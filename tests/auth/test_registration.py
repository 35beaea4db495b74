"""Promise: what can't be a registration is refused with a reason, and what is written is what was checked."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from auth_support import ENTERPRISE, ORGAN, Setting
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway.auth.registration import SUBJECT_KINDS, Registration, check_jwks, register
from gateway.errors import OperatorError
from gateway.storage.database import Database

KEY = ECKey.generate_key("P-256")
GOOD: dict[str, Any] = {
    "id": "reg",
    "name": "财政局",
    "organisation_uscc": ORGAN,
    "scopes": ("view:restricted",),
    "matters": ("GRANT",),
    "jwks": {"keys": [KEY.as_dict(private=False)]},
}


async def test_what_is_written_is_what_was_checked(setting: Setting) -> None:
    given = GOOD | {
        "scopes": ("view:restricted", "view:internal"),
        "matters": ("GRANT", "DEBT"),
        "kinds": ("ENTERPRISE",),
        "list": "名单-1",
    }
    assert await register(setting.store, Registration(**given)) is None
    setting.registered["reg"] = KEY
    found = await setting.store.get("reg")
    assert found is not None
    assert (found.name, found.organisation_uscc, found.scopes) == ("财政局", ORGAN, frozenset(given["scopes"]))
    assert (found.registered_matters, set(found.matters)) == (("GRANT", "DEBT"), {"GRANT", "DEBT"})
    assert (found.regions, found.kinds, found.list, found.narrowed) == (None, ("ENTERPRISE",), "名单-1", True)
    assert [kid for kid, _ in found.keys] == [KEY.thumbprint()]
    assert found.matters["DEBT"].opens == ("GOVERNMENT_DEBT",)
    assert "reg" in {client.id for client in await setting.store.list()}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "a b"},
        {"id": ""},
        {"id": "x" * 81},
        {"id": "a\n"},
        {"name": " "},
        {"name": "a\nb"},
        {"organisation_uscc": ORGAN[:-1] + ("0" if ORGAN[-1] != "0" else "1")},
        {"organisation_uscc": "财政局"},
        {"scopes": ("view:everything",)},
        {"scopes": ("view:restricted", "view:restricted")},
        {"matters": ()},
        {"matters": (), "scopes": ("view:internal",)},
        {"matters": ("NO_SUCH",)},
        {"matters": ("GRANT", "SELF")},
        {"subject_uscc": ENTERPRISE},
        {"scopes": ("subject:self",)},
        {"scopes": ("subject:self",), "subject_uscc": ENTERPRISE, "matters": ("GRANT",)},
        {"scopes": ("subject:self", "view:restricted"), "subject_uscc": ENTERPRISE, "matters": ("SELF",)},
        {"scopes": ("subject:self",), "subject_uscc": "x", "matters": ("SELF",)},
        {"scopes": ("subject:self",), "subject_uscc": ENTERPRISE, "matters": ("SELF",), "kinds": ("ORGAN",)},
        {"regions": ("ZZ99",)},
        {"regions": ()},
        {"kinds": ("COMPANY",)},
        {"list": "a b"},
        {"jwks": None},
        {"secret": True},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [KEY.as_dict(private=True)]}},
    ],
    ids=",".join,
)
async def test_what_cannot_be_registered(setting: Setting, changes: dict[str, Any]) -> None:
    with pytest.raises(OperatorError):
        await register(setting.store, Registration(**(GOOD | changes)))
    assert await setting.store.get(str(changes.get("id", "reg"))) is None


async def test_ids_are_never_used_again(setting: Setting) -> None:
    await setting.client("again")
    await setting.store.disable("again")
    with pytest.raises(OperatorError, match="exists already"):
        await setting.client("again")


def jwk(key: Any, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (dict(key.as_dict(private=False)) | changes).items() if value is not ...}


@pytest.mark.parametrize(
    "keys",
    [
        "x",
        ["x"],
        [{}],
        [{"kty": "EC"}],
        [{"kty": ["EC"]}],
        [jwk(ECKey.generate_key("P-384"))],
        [jwk(ECKey.generate_key("secp256k1"))],
        [jwk(OKPKey.generate_key("X25519"))],
        [jwk(OKPKey.generate_key("Ed448"))],
        [dict(OctKey.generate_key(256).as_dict(private=True))],
        [jwk(KEY, use="enc")],
        [jwk(KEY, alg="RS256")],
        [jwk(KEY, alg="HS256")],
        [jwk(KEY, x="AAAA")],
        [jwk(KEY, y=...)],
        [jwk(KEY, kid=5)],
        [jwk(KEY, kid="a\nb")],
        [jwk(KEY, kid="a"), jwk(KEY, kid="a")],
        [jwk(KEY), jwk(KEY)],
        [jwk(KEY, kid=str(number)) for number in range(11)],
    ],
)
def test_keys_that_cannot_be_registered(keys: Any) -> None:
    with pytest.raises(OperatorError):
        check_jwks({"keys": keys})


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_short_rsa_key_cannot_be_registered() -> None:
    assert check_jwks({"keys": [jwk(RSAKey.generate_key(2048))]})
    with pytest.raises(OperatorError, match="2048"):
        check_jwks({"keys": [jwk(RSAKey.generate_key(1024))]})


def test_private_material_is_not_repeated_in_the_refusal() -> None:
    private = KEY.as_dict(private=True)
    with pytest.raises(OperatorError, match="private") as caught:
        check_jwks({"keys": [private]})
    assert str(private["d"]) not in str(caught.value)
    assert str(private["d"]) not in repr(Registration(**(GOOD | {"jwks": {"keys": [private]}})))


async def test_disabling_notifies(database: Database, setting: Setting) -> None:
    await setting.client("heard")
    heard: list[object] = []
    listener = await asyncpg.connect(database.dsn("service"))
    try:
        await listener.add_listener("credit_clients", lambda *arguments: heard.append(arguments[-1]))
        await setting.store.disable("heard")
        await listener.fetchval("select 1")
    finally:
        await listener.close()
    assert heard == ["heard"]
    found = await setting.store.get("heard")
    assert found is not None
    assert (found.disabled, found.version) == (True, 2)


async def test_only_the_hash_of_a_secret_is_stored_and_nothing_shows_it(database: Database, setting: Setting) -> None:
    wanted = Registration(**(GOOD | {"id": "hash", "jwks": None, "secret": True}))
    secret = await register(setting.store, wanted)
    setting.registered["hash"] = KEY
    connection = await asyncpg.connect(database.dsn("service"))
    row = await connection.fetchval("select to_jsonb(c)::text from auth.client c where id = 'hash'")
    await connection.close()
    client = await setting.store.get("hash")
    assert secret is not None
    assert client is not None
    assert client.secret_matches(secret)
    assert not client.secret_matches(secret[:-1])
    assert not client.secret_matches("")
    assert secret not in row + repr(client)
    assert client.secret_hash is not None
    assert client.secret_hash.hex() not in repr(client)


async def test_the_kinds_are_the_reference_datas(database: Database) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    rows = await owner.fetch("select code from core.code_label where list = 'SubjectKind'")
    await owner.close()
    assert {row["code"] for row in rows} == SUBJECT_KINDS


async def test_unknown_and_impossible_ids_are_nobody(setting: Setting) -> None:
    for client_id in ("nobody", "", "a b", "\x00", "\ud800", "x" * 1_000):
        assert await setting.store.get(client_id) is None
