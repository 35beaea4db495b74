"""Promise: a token that is bound to a certificate is worth nothing without it, and a certificate is what a proxy of
ours says that it is: from anybody else the header is refused."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from typing import Any

import pytest
from auth_support import AUDIENCE, FORM, ISSUER, NOW, ORGAN, Setting, call, error_of, payload
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey
from starlette.applications import Starlette

from gateway.auth.certificate import InvalidCertificateError, from_pem, parse_header
from gateway.auth.possession import Shown
from gateway.auth.registration import Registration, register
from gateway.errors import BadUserInput, OperatorError, Unauthenticated
from gateway.web.client_cert import ClientCertificates
from gateway.web.oauth import oauth_routes

PROXY, STRANGER = "10.0.0.1", "203.0.113.9"


def make(begins: float = NOW - 86_400, ends: float = NOW + 86_400) -> bytes:
    """A self-signed certificate in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(begins, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends, dt.UTC))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def header(der: bytes) -> str:
    return f":{base64.b64encode(der).decode()}:"


def thumbprint(der: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


MINE, OTHER = make(), make()


async def by_certificate(setting: Setting, client_id: str, *ders: bytes) -> None:
    wanted = Registration(
        client_id,
        client_id,
        ORGAN,
        scopes=("view:restricted",),
        matters=("GRANT",),
        certificates=tuple(map(thumbprint, ders)),
    )
    await register(setting.store, wanted)
    setting.registered[client_id] = ECKey.generate_key("P-256")


def test_the_thumbprint() -> None:
    found = parse_header(header(MINE))
    assert found.thumbprint == thumbprint(MINE)
    assert found.valid_at(NOW)
    pem = x509.load_der_x509_certificate(MINE).public_bytes(serialization.Encoding.PEM)
    assert from_pem(pem) == found
    with pytest.raises(InvalidCertificateError):
        from_pem(pem + pem)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "::",
        ":AAAA:",
        ":!!:",
        base64.b64encode(MINE).decode(),
        f'"{base64.b64encode(MINE).decode()}"',
        header(MINE) + ";a=1",
        f"{header(MINE)}, {header(OTHER)}",
        header(MINE[:-1]),
        header(MINE + b"\x00"),
        header(b"\x00" * 13_000),
        "-----BEGIN CERTIFICATE-----",
        "é",
    ],
    ids=[
        *(
            "empty",
            "x",
            "colons",
            "short",
            "no base64",
            "bare",
            "quoted",
            "with a parameter",
            "two",
            "cut off",
            "longer",
        ),
        *("zeros", "PEM", "no ASCII"),
    ],
)
def test_what_is_no_certificate(text: str) -> None:
    with pytest.raises(InvalidCertificateError) as caught:
        parse_header(text)
    assert str(caught.value).isascii()


# The token endpoint ---------------------------------------------------------------------------------------------------


async def test_a_client_authenticates_by_its_certificate(setting: Setting) -> None:
    await by_certificate(setting, "cert", MINE)
    form = {"grant_type": "client_credentials", "client_id": "cert"}
    answer = await setting.ask(form, certificate=header(MINE))
    assert answer.status == 200, answer.body
    body = json.loads(answer.body)
    assert body["token_type"] == "Bearer"  # RFC 8705 §3 leaves the scheme as it is
    assert payload(body["access_token"])["cnf"] == {"x5t#S256": thumbprint(MINE)}
    assert error_of(await setting.ask(form, certificate=header(OTHER))) == (401, "invalid_client")
    assert error_of(await setting.ask(form)) == (401, "invalid_client")
    assert error_of(await setting.ask(form, certificate="x")) == (400, "invalid_request")
    await setting.client("keys")
    assert error_of(await setting.ask(form | {"client_id": "keys"}, certificate=header(MINE))) == (
        401,
        "invalid_client",
    )
    assert await setting.store.disable("cert")
    assert error_of(await setting.ask(form, certificate=header(MINE))) == (401, "invalid_client")


@pytest.mark.parametrize("times", [(NOW - 100, NOW - 1), (NOW + 1, NOW + 100)], ids=["expired", "not yet valid"])
async def test_a_certificate_out_of_its_time(setting: Setting, times: tuple[float, float]) -> None:
    der = make(*times)
    await by_certificate(setting, "time", der)
    form = {"grant_type": "client_credentials", "client_id": "time"}
    assert error_of(await setting.ask(form, certificate=header(der))) == (401, "invalid_client")


async def test_a_certificate_beside_another_method_binds_and_does_not_authenticate(setting: Setting) -> None:
    await setting.client("beside", bound="MTLS")
    form = setting.form("beside") | {"scope": "view:restricted"}
    answer = json.loads((await setting.ask(form, certificate=header(MINE))).body)
    assert payload(answer["access_token"])["cnf"] == {"x5t#S256": thumbprint(MINE)}
    assert error_of(await setting.ask(setting.form("beside"))) == (400, "invalid_request")
    await setting.client("free")
    answer = json.loads((await setting.ask(setting.form("free"), certificate=header(MINE))).body)
    assert "cnf" not in payload(answer["access_token"])


@pytest.mark.parametrize(
    "changes",
    [
        {"certificates": ()},
        {"certificates": ("x",)},
        {"certificates": (thumbprint(MINE),) * 2},
        {"certificates": (thumbprint(MINE),), "secret": True},
        {"certificates": None},
        {"bound": "BEARER"},
    ],
    ids=",".join,
)
async def test_what_cannot_be_registered(setting: Setting, changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {"id": "no", "name": "no", "organisation_uscc": ORGAN, "certificates": (thumbprint(MINE),)}
    with pytest.raises(OperatorError):
        await register(setting.store, Registration(**(given | changes)))


# The door -------------------------------------------------------------------------------------------------------------


async def bound(setting: Setting, client_id: str) -> str:
    await setting.client(client_id, bound="MTLS")
    return await setting.token(client_id, certificate=header(MINE))


def shown(*values: str, peer: str = PROXY) -> Shown:
    """A request from `peer` with these Client-Cert headers; proxies are in 10.0.0.0/8."""
    scope = {"client": (peer, 1), "headers": [(b"client-cert", value.encode("latin-1")) for value in values]}
    certificates = ClientCertificates(lambda scope: scope["client"][0].startswith("10."))
    return Shown("POST", "", (), lambda: certificates.thumbprint(scope))


async def test_a_bound_token_with_its_certificate(setting: Setting) -> None:
    token = f"Bearer {await bound(setting, 'mine')}"
    for _ in range(2):
        found = await setting.authenticator.authenticate(token, None, shown(header(MINE)))
        assert found.client_id == "mine"
        assert setting.authenticator.cached(token, None) is None


async def test_a_stolen_token_is_worth_nothing(setting: Setting) -> None:
    token = f"Bearer {await bound(setting, 'robbed')}"
    for values in ((), (header(OTHER),)):
        with pytest.raises(Unauthenticated):
            await setting.authenticator.authenticate(token, None, shown(*values))
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(token, None)
    for values in (("x",), (header(MINE), header(MINE)), (header(MINE), header(OTHER))):
        with pytest.raises(BadUserInput):
            await setting.authenticator.authenticate(token, None, shown(*values))


async def test_a_forged_header(setting: Setting) -> None:
    """The thief knows the certificate, which is public, and is no proxy of ours."""
    token = f"Bearer {await bound(setting, 'forged')}"
    with pytest.raises(BadUserInput, match="GATEWAY_TRUSTED_PROXIES"):
        await setting.authenticator.authenticate(token, None, shown(header(MINE), peer=STRANGER))
    assert await setting.authenticator.authenticate(token, None, shown(header(MINE)))
    with pytest.raises(BadUserInput):  # a verdict that is kept changes nothing
        await setting.authenticator.authenticate(token, None, shown(header(MINE), peer=STRANGER))


@pytest.mark.parametrize("control", [True, False])
async def test_a_forged_header_at_the_token_endpoint(setting: Setting, control: bool) -> None:
    await by_certificate(setting, "forged-token", MINE)
    certificates = ClientCertificates(lambda _: not control)  # without the control everybody is a proxy
    app = Starlette(routes=oauth_routes(setting.server, certificates, lambda _: STRANGER))
    headers = [("content-type", FORM), ("client-cert", header(MINE))]
    body = b"grant_type=client_credentials&client_id=forged-token"
    status, _, said = await call(app, "POST", "/oauth/token", headers, body)
    assert status == (400 if control else 200)
    assert (b"GATEWAY_TRUSTED_PROXIES" in said) == control


async def test_a_token_may_be_bound_to_both(setting: Setting) -> None:
    found = await setting.store.get("nobody")
    assert found is None
    key = ECKey.generate_key("P-256")
    await setting.client("both")
    client = await setting.store.get("both")
    assert client is not None
    confirm = {"jkt": key.thumbprint(), "x5t#S256": thumbprint(MINE)}
    token = setting.tokens.issue(client, frozenset(), None, now=NOW, confirm=confirm)
    read = setting.tokens.verify(token, now=NOW)
    assert (read.jkt, read.certificate, read.bound) == (key.thumbprint(), thumbprint(MINE), True)
    with pytest.raises(Unauthenticated):  # the certificate alone
        await setting.authenticator.authenticate(f"Bearer {token}", None, shown(header(MINE)))
    assert payload(token)["aud"] == AUDIENCE
    assert payload(token)["iss"] == ISSUER
