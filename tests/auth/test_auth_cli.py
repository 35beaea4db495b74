"""Promise: the commands say what went wrong in one line with the right status, and print what can be piped, alone."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import uvicorn
from auth_support import AUDIENCE, ORGAN, payload
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from typer.testing import CliRunner

from gateway.auth.assertion import UsedAssertions
from gateway.auth.clients import ClientStore
from gateway.auth.dpop import UsedProofs, comparable, read_proof
from gateway.auth.guesses import Guesses
from gateway.auth.keys import KeyStore
from gateway.auth.server import AuthorizationServer
from gateway.auth.tokens import Tokens
from gateway.cli import clients, common, keys, token
from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.web.client_cert import ClientCertificates
from gateway.web.oauth import oauth_routes

app = typer.Typer()
app.add_typer(clients.app, name="clients")
app.add_typer(keys.app, name="keys")
app.command("token")(token.token)

ADD = ["clients", "add", "财政局", "--organisation", ORGAN, "--scope", "view:restricted", "--matter", "GRANT", "--id"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_a_client_with_a_generated_key(data: Path) -> None:
    path = data / "client.jwk"
    made = run(*ADD, "cli-key", "--generate-key", str(path))
    assert made.exit_code == 0, made.output
    assert made.stdout == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = json.loads(path.read_text())
    assert private["d"] not in made.output

    again = run(*ADD, "cli-key", "--generate-key", str(data / "other.jwk"))
    assert again.exit_code == 1
    assert again.stderr.startswith("error: client cli-key exists already")
    assert not (data / "other.jwk").exists()
    taken = run(*ADD, "cli-key-2", "--generate-key", str(path))
    assert taken.exit_code == 1
    assert json.loads(path.read_text()) == private


def test_a_client_with_a_secret_prints_it_alone(data: Path) -> None:
    made = run(*ADD, "cli-secret", "--secret")
    assert made.exit_code == 0
    assert len(made.stdout.strip()) == 43
    assert made.stdout.strip() not in made.stderr


def test_a_client_with_a_jwks_file(data: Path) -> None:
    path = data / "keys.json"
    key = KeyStore(data / "elsewhere").current("tokens").key
    path.write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
    refused = run(*ADD, "cli-jwks", "--jwks", str(path))
    assert refused.exit_code == 1
    assert "private key material" in refused.stderr
    path.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    assert run(*ADD, "cli-jwks", "--jwks", str(path)).exit_code == 0
    assert run(*ADD, "cli-none", "--jwks", str(data / "missing")).exit_code == 1


def test_a_subjects_own_account(data: Path) -> None:
    arguments = ["clients", "add", "own", "--id", "cli-own", "--organisation", ORGAN, "--subject", ORGAN, "--secret"]
    assert run(*arguments).exit_code == 0
    found = {client["id"]: client for client in json.loads(run("clients", "list", "--json").stdout)}
    assert (found["cli-own"]["scopes"], found["cli-own"]["matters"]) == (["subject:self"], ["SELF"])


def test_usage_errors_have_status_2(data: Path) -> None:
    assert run(*ADD, "cli-usage").exit_code == 2
    assert run(*ADD, "cli-usage", "--secret", "--jwks", "x").exit_code == 2
    assert run("clients", "add").exit_code == 2
    assert run("token", "--client", "x").exit_code == 2
    assert run("token", "--client", "x", "--key", "x", "--matter", "GRANT").exit_code == 2
    # They would be left out, and the token have more than was asked for.
    assert run("token", "--client", "x", "--key", "x", "--max-subjects", "5").exit_code == 2
    assert run("token", "--client", "x", "--key", "x", "--on-behalf-of", "x").exit_code == 2
    assert run("keys", "rotate", "--job", "everything").exit_code == 2


def test_list_and_disable(data: Path) -> None:
    assert run(*ADD, "cli-off", "--secret").exit_code == 0
    assert "cli-off" in run("clients", "list").stdout
    assert run("clients", "disable", "cli-off").exit_code == 0
    again = run("clients", "disable", "cli-off")
    assert (again.exit_code, again.stdout) == (1, "")
    found = {client["id"]: client for client in json.loads(run("clients", "list", "--json").stdout)}
    assert found["cli-off"]["disabled"] is True


def test_a_key_of_ours_for_somebody_elses_gateway(data: Path) -> None:
    path = data / "peer.jwk"
    made = run("keys", "client", str(path))
    assert (made.exit_code, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600), made.output
    private = json.loads(path.read_text())
    (public,) = json.loads(made.stdout)["keys"]
    assert public == {name: value for name, value in private.items() if name != "d"}
    assert private["d"] not in made.output
    registered = data / "peer.public.json"
    registered.write_text(made.stdout)
    assert run(*ADD, "cli-peer", "--jwks", str(registered)).exit_code == 0
    again = run("keys", "client", str(path))
    assert (again.exit_code, again.stdout) == (1, "")
    assert json.loads(path.read_text()) == private


def test_keys(data: Path) -> None:
    first = run("keys", "rotate").stdout.strip()
    second = run("keys", "rotate", "--job", "tokens").stdout.strip()
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [(key["kid"], key["retired"] is None) for key in listed] == [(first, False), (second, True)]
    assert run("keys", "list").exit_code == 0


def test_an_operators_error_is_one_line(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def failing(_: object) -> Iterator[Database]:
        raise StorageError("cannot connect; start it")
        yield

    monkeypatch.setattr(common, "database_there", failing)
    result = run("clients", "list")
    assert (result.exit_code, result.stderr) == (1, "error: cannot connect; start it\n")
    monkeypatch.setenv("GATEWAY_NO_SUCH", "1")
    result = run("keys", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unknown setting GATEWAY_NO_SUCH")


@contextmanager
def served(database: Database, folder: Path) -> Iterator[str]:
    """A server with the authorization routes in a thread of its own; its issuer."""
    listening = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
    running: list[uvicorn.Server] = []
    started = threading.Event()

    async def serve() -> None:
        pool = Pool(database.dsn("service"), size=2)
        store = KeyStore(folder / "keys")
        server = AuthorizationServer(
            issuer=issuer,
            clients=ClientStore(pool),
            tokens=Tokens(store, issuer=issuer, audience=AUDIENCE),
            keys=store,
            assertions=UsedAssertions(pool),
            proofs=UsedProofs(pool),
            guesses=Guesses(pool),
        )
        routes = oauth_routes(server, ClientCertificates(lambda _: False), lambda _: "127.0.0.1")
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        running.append(uvicorn.Server(config))
        started.set()
        await running[0].serve([listening])
        await pool.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait(10)
    try:
        yield issuer
    finally:
        running[0].should_exit = True
        thread.join(10)
        listening.close()


def test_a_token_alone_on_stdout(database: Database, data: Path) -> None:
    key, secret = data / "http.jwk", data / "http.secret"
    assert run(*ADD, "cli-http", "--generate-key", str(key)).exit_code == 0
    secret.write_text(run(*ADD, "cli-http-secret", "--secret").stdout)
    purpose = ["--scope", "view:restricted", "--matter", "GRANT", "--case", "博财2026-11"]
    with served(database, data) as issuer:
        for arguments in (["cli-http", "--key", str(key)], ["cli-http-secret", "--secret-file", str(secret)]):
            got = run("token", "--client", *arguments, *purpose, "--max-subjects", "5", "--url", issuer)
            assert got.exit_code == 0, got.output
            claims = payload(got.stdout.strip())
            assert claims["client_id"] == arguments[0]
            assert claims["authorization_details"][0]["case_number"] == "博财2026-11"
            assert got.stdout.count("\n") == 1
        slash = run("token", "--client", "cli-http", "--key", str(key), "--url", f"{issuer}/")
        assert (slash.exit_code, f"letter by letter, and {issuer}/ is not" in slash.stderr) == (1, True)
        bare = run("token", "--client", "cli-http", "--key", str(key), "--url", issuer.removeprefix("http://"))
        assert (bare.exit_code, "must begin with https://" in bare.stderr) == (1, True)
        refused = run("token", "--client", "cli-http", "--key", str(key), "--scope", "view:internal", "--url", issuer)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "invalid_scope" in refused.stderr
    gone = run("token", "--client", "cli-http", "--key", str(key), "--url", issuer)
    assert gone.exit_code == 1
    assert "is the server running" in gone.stderr


def certificate_file(folder: Path) -> Path:
    """A self-signed certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "client.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def described(client_id: str) -> dict[str, Any]:
    found = {client["id"]: client for client in json.loads(run("clients", "list", "--json").stdout)}
    return dict(found[client_id])


def test_clients_whose_tokens_are_bound(data: Path) -> None:
    pem = certificate_file(data)
    assert run(*ADD, "cli-dpop", "--generate-key", str(data / "d.jwk"), "--dpop").exit_code == 0
    assert (described("cli-dpop")["bound"], described("cli-dpop")["authentication"]) == ("DPOP", "private_key_jwt")
    assert run(*ADD, "cli-cert", "--certificate", str(pem), "--mtls").exit_code == 0
    assert (described("cli-cert")["bound"], described("cli-cert")["authentication"]) == ("MTLS", "certificate")
    assert run(*ADD, "cli-idp", "--token-issuer", "https://idp.example").exit_code == 0
    assert described("cli-idp")["token_issuer"] == "https://idp.example"
    assert "MTLS" in run("clients", "list").stdout
    assert run(*ADD, "cli-both", "--secret", "--dpop", "--mtls").exit_code == 2
    assert run(*ADD, "cli-two", "--secret", "--certificate", str(pem)).exit_code == 2
    bad = run(*ADD, "cli-bad", "--certificate", str(data / "d.jwk"))
    assert (bad.exit_code, "certificate" in bad.stderr) == (1, True)


def test_other_keys(data: Path) -> None:
    pem, keys = certificate_file(data), data / "new.json"
    assert run(*ADD, "cli-rotate", "--generate-key", str(data / "old.jwk")).exit_code == 0
    before = described("cli-rotate")["version"]
    keys.write_text(json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}))
    assert run("clients", "set-keys", "cli-rotate", "--jwks", str(keys)).exit_code == 0
    assert described("cli-rotate")["version"] == before + 1
    assert run("clients", "set-keys", "cli-rotate", "--certificate", str(pem)).exit_code == 0
    assert described("cli-rotate")["authentication"] == "certificate"
    assert run("clients", "set-keys", "cli-rotate").exit_code == 2
    assert run("clients", "set-keys", "nobody", "--jwks", str(keys)).exit_code == 1
    assert run("clients", "disable", "cli-rotate").exit_code == 0
    assert run("clients", "set-keys", "cli-rotate", "--jwks", str(keys)).exit_code == 1


def test_a_bound_token_is_printed_as_the_headers_of_a_request(database: Database, data: Path) -> None:
    key, dpop = data / "bound.jwk", data / "dpop.jwk"
    assert run(*ADD, "cli-bound", "--generate-key", str(key), "--dpop").exit_code == 0
    private = ECKey.generate_key("P-256")
    dpop.write_text(json.dumps(private.as_dict(private=True)))
    with served(database, data) as issuer:
        arguments = ["token", "--client", "cli-bound", "--key", str(key), "--url", issuer]
        got = run(*arguments, "--dpop", str(dpop))
        assert got.exit_code == 0, got.output
        lines = dict(line.split(": ", 1) for line in got.stdout.splitlines())
        assert set(lines) == {"Authorization", "DPoP"}
        scheme, text = lines["Authorization"].split(" ")
        assert (scheme, payload(text)["cnf"]) == ("DPoP", {"jkt": private.thumbprint()})
        url = comparable(f"{issuer}/graphql")
        found = read_proof([lines["DPoP"]], method="POST", url=url, now=time.time(), token=text)
        assert found.jkt == private.thumbprint()
        bare = run(*arguments)
        assert (bare.exit_code, bare.stdout) == (1, "")
        assert "invalid_dpop_proof" in bare.stderr
        assert "give --dpop FILE" in bare.stderr
        dpop.write_text(json.dumps(private.as_dict(private=False)))
        refused = run(*arguments, "--dpop", str(dpop))
        assert (refused.exit_code, "private JWK" in refused.stderr) == (1, True)


def test_tables_have_whole_cells(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    columns, row = ("id", "name"), ("9" * 60, "财政局 \x1b[2J")
    common.show_table(columns, [row])
    told = capsys.readouterr().out
    assert "9" * 60 in told
    assert len(told.splitlines()) == 5  # borders, heads, one line for the row
    assert "\x1b" not in told
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # a terminal, too narrow: a cell a line
    common.show_table(columns, [row, ("1", "2")])
    assert capsys.readouterr().out == f"id    {'9' * 60}\nname  财政局 \ufffd[2J\n\nid    1\nname  2\n"


def test_a_list_of_clients_tells_what_each_may_send(data: Path) -> None:
    assert run(*ADD, "cli-sends", "--secret", "--documents", "registered", "--limit", "cost=77").exit_code == 0
    (line,) = [line for line in run("clients", "list").stdout.splitlines() if "cli-sends" in line]
    assert "REGISTERED" in line
    assert "cost=77" in line


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("cost=99999999999", "from 1 to 10000000"),
        ("cost=0", "from 1 to 10000000"),
        ("cost=" + "9" * 5_000, "from 1 to 10000000"),
        ("cost=x", "NAME=NUMBER"),
        ("cost=²", "NAME=NUMBER"),
        ("bogus=1", "limits are cost, subjects"),
    ],
)
def test_a_limit_that_cannot_be(data: Path, limit: str, told: str) -> None:
    result = run("clients", "update", "nobody", "--limit", limit)
    assert result.exit_code == 1
    assert told in result.stderr
