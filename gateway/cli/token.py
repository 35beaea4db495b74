"""`credit-gateway token`: an access token from a running server, alone on stdout.

In: a client's id and its key or secret. Out: a token, for `curl -H "Authorization: Bearer $(credit-gateway token …)"`;
with --dpop the two headers of one request, for `credit-gateway token … --dpop FILE | curl -H @- …`.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from gateway.auth import jose
from gateway.auth.dpop import token_hash
from gateway.auth.jose import PROOF_ALGORITHMS, JwtError, Key
from gateway.auth.server import ASSERTION_TYPE
from gateway.cli.common import run
from gateway.errors import OperatorError
from gateway.settings import load

_SECONDS = 60  # lifetime of the assertion
_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
_MAX_ANSWER = 65_536


def token(
    client: Annotated[str, typer.Option(help="The client's id")],
    secret_file: Annotated[Path | None, typer.Option(help="File with the client's secret")] = None,
    key: Annotated[Path | None, typer.Option(help="File with the client's private JWK")] = None,
    matter: Annotated[str | None, typer.Option(help="Code of the matter, GRANT for instance")] = None,
    case: Annotated[str | None, typer.Option(help="Case number")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="view:restricted, view:internal or subject:self")] = None,
    max_subjects: Annotated[int | None, typer.Option(help="Most subjects that one request may ask for")] = None,
    on_behalf_of: Annotated[str | None, typer.Option(help="USCC of the organisation that is really asking")] = None,
    dpop: Annotated[
        Path | None,
        typer.Option(help="File with a private JWK (EC or OKP): bind the token to it, print the headers of a request"),
    ] = None,
    url: Annotated[str | None, typer.Option(help="The issuer; by default GATEWAY_ISSUER")] = None,
) -> None:
    """Fetch an access token from the server's /oauth/token and print it, and nothing else, on stdout.

    With --dpop: the headers Authorization and DPoP, good for one POST to /graphql within a minute.
    """
    if (secret_file is None) == (key is None):
        raise typer.BadParameter("give exactly one of --secret-file and --key")
    if (matter is None) != (case is None):
        raise typer.BadParameter("--matter and --case go together")
    if matter is None and (max_subjects is not None or on_behalf_of is not None):
        raise typer.BadParameter("--max-subjects and --on-behalf-of need --matter and --case")  # a token has them there

    async def work() -> str:
        issuer = url if url is not None else load().issuer
        form = {"grant_type": "client_credentials", "client_id": client, "scope": " ".join(scope or ())}
        if matter is not None:
            detail = {"type": "credit_purpose", "matter": matter, "case_number": case}
            more = {"max_subjects": max_subjects, "on_behalf_of": on_behalf_of}
            details = [detail | {name: value for name, value in more.items() if value is not None}]
            form["authorization_details"] = json.dumps(details, ensure_ascii=False)
        if secret_file is not None:
            form["client_secret"] = _read(secret_file).strip()
        elif key is not None:
            form["client_assertion_type"] = ASSERTION_TYPE
            form["client_assertion"] = make_assertion(client, issuer, _read(key), now=time.time())
        if dpop is None:
            return await _fetch(issuer, form, {})
        proof_key = _proof_key(_read(dpop))
        proof = make_proof(proof_key, "POST", f"{issuer.rstrip('/')}/oauth/token", now=time.time())
        got = await _fetch(issuer, form, {"DPoP": proof})
        proof = make_proof(proof_key, "POST", f"{issuer.rstrip('/')}/graphql", now=time.time(), token=got)
        return f"Authorization: DPoP {got}\nDPoP: {proof}"

    typer.echo(run(work))


def make_assertion(client_id: str, issuer: str, jwk: str, *, now: float) -> str:
    """A client assertion (RFC 7523 §3) for the issuer, signed with a private JWK. Raises OperatorError."""
    try:
        data = json.loads(jwk)
        key = jose.import_key(data)
        algorithm = jose.algorithms_of(key)[0]
    except (ValueError, AttributeError, JwtError):
        # Without the cause: its text may quote the key.
        raise OperatorError("the key file is not a JWK of type EC (P-256), OKP (Ed25519) or RSA") from None
    if not key.is_private:
        raise OperatorError("the key file has a public key; the private one is needed to sign")
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": int(now),
        "exp": int(now) + _SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    return jose.sign(claims, key, algorithm=algorithm, typ="JWT", kid=data.get("kid"))


def make_proof(key: Key, method: str, url: str, *, now: float, token: str | None = None) -> str:
    """A proof of possession (RFC 9449 §4.2) for one request, with a private key; `token` goes with it."""
    claims = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": int(now)}
    return jose.sign_proof(claims if token is None else claims | {"ath": token_hash(token)}, key)


def _proof_key(jwk: str) -> Key:
    try:
        key = jose.import_key(json.loads(jwk))
        fits = key.is_private and jose.algorithms_of(key)[0] in PROOF_ALGORITHMS
    except (ValueError, AttributeError, JwtError):
        fits = False
    if not fits:
        # Without the cause: its text may quote the key.
        raise OperatorError("the key of --dpop is not a private JWK of type EC (P-256) or OKP (Ed25519)")
    return key


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_ANSWER)
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None


async def _fetch(issuer: str, form: dict[str, str], headers: dict[str, str]) -> str:
    if not issuer.startswith(("https://", "http://")):
        raise OperatorError(f"the issuer must begin with https:// or http://, not {issuer[:200]}; give --url")
    endpoint = f"{issuer.rstrip('/')}/oauth/token"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            # A redirect would carry the credentials to wherever it points.
            session.post(endpoint, data=form, headers=headers, allow_redirects=False) as response,
        ):
            body = b""
            async for chunk in response.content.iter_chunked(8_192):
                body += chunk
                if len(body) > _MAX_ANSWER:
                    raise OperatorError(f"{endpoint} answered at length; is this the issuer?")
        answer: Any = json.loads(body)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise OperatorError(f"{endpoint} did not answer ({type(error).__name__}); is the server running?") from None
    except ValueError:
        raise OperatorError(f"{endpoint} did not answer with JSON; is this the issuer?") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        said = answer if isinstance(answer, dict) else {}
        described = str(said.get("error_description", ""))
        if "aud must be the issuer" in described:
            described += f"; --url must be that server's GATEWAY_ISSUER letter by letter, and {issuer} is not"
        if said.get("error") == "invalid_dpop_proof" and "DPoP" not in headers:
            described += "; give --dpop FILE, a private JWK that may be the client's own"
        raise OperatorError(f"refused: {said.get('error', 'no token')}: {described}")
    return str(answer["access_token"])
