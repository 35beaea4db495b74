"""The main job, end to end: `make demo`, or `make demo ONCE=1` to end after printing.

Starts embedded PostgreSQL in .data, imports the shipped data, starts the sandbox upstreams and the gateway as processes
of their own, registers two clients, asks the same question over HTTP in the three views, and prints what each got.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from gateway.auth.clients import ClientStore
from gateway.errors import OperatorError, SettingsError
from gateway.settings import Settings, load
from gateway.storage.database import Database, open_database, prepare
from gateway.storage.embedded import kept_in
from gateway.storage.identifiers import uscc_check_digit
from gateway.storage.imports import import_file
from gateway.storage.pool import Pool
from gateway.web.server import listen
from gateway.zone import today
from sandbox.banks import DEV_BANKS_CLIENT_ID, DEV_BANKS_CLIENT_SECRET
from sandbox.courts import DEV_APP_KEY, DEV_RID, DEV_SIDS
from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_PRIVATE_JWK, DEV_PEER_REGION
from sandbox.region_platform import DEV_PLATFORM_APP_KEY, DEV_PLATFORM_SECRET
from scripts import make_demo_data
from scripts.demo_sources import show_sources
from scripts.demo_subjects import for_sources, for_views
from scripts.served import end, free_port

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
LOG_ORIGIN = "demo.credit-gateway.example/log"  # the log's name, whatever port it is served on
console = Console(width=120)

REFERENCE = (
    ("divisions", "divisions/provinces.csv"),
    ("divisions", "divisions/cities.csv"),
    ("divisions", "divisions/areas.csv"),
    ("divisions", "divisions/xinjiang_streets.csv"),
    ("divisions", "divisions/local.csv"),
    ("courts", "courts/courts.csv"),
)

COMMON = """
  subject(uscc: $uscc) {
    name
    kind
    onRecord
    legalRepresentative
    records(first: 100) {
      totalCount
      edges { node { kind title status publishedUntil authority { name } %s } }
    }
    courts {
      answer { status asOf %s }
      dishonestListings { caseNumber publishedOn performance }
      %s
    }
  }
"""
CASES = "enforcementCases { caseNumber amount }"
QUESTION = {
    "public": f"query Standing($uscc: Uscc!) {{{COMMON % ('', '', '')}}}",
    "restricted": f"query Standing($uscc: Uscc!) {{{COMMON % ('version', 'reason', CASES)}}}",
    "internal": (
        "query Standing($uscc: Uscc!) {"
        + COMMON
        % ("version history { version status reason knownFrom }", "reason", "enforcementCases { caseNumber amount }")
        + "}"
    ),
}


class NoAnswer(OSError):
    """The gateway has not answered, or no longer does."""


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="take free ports and end after printing")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)  # ends like Ctrl-C, so that nothing is left running
    began = time.monotonic()
    check_place()
    settings = load()
    if not options.once:
        check_ports(settings)
    with open_database(settings) as database, contextlib.ExitStack() as stack:
        step("database: embedded PostgreSQL, migrations", lambda: asyncio.run(prepare(database)))
        files = step("synthetic data", lambda: synthetic(settings.data_dir / "demo"))
        for kind, name, path in files:
            step(f"import {name}", lambda kind=kind, path=path: asyncio.run(put_in(database, kind, path)))
        organisations = read_organisations(settings.data_dir / "demo" / "organisations.csv")
        clients = register(database, settings.data_dir / "demo", organisations)
        upstreams = stack.enter_context(sandbox(settings.data_dir / "demo", organisations))
        port = free_port() if options.once else settings.port
        name = asyncio.run(log_name(database))
        base, ended = stack.enter_context(gateway(port, upstreams, name, once=options.once))
        console.print(f"[dim]ready after {time.monotonic() - began:.1f} s[/dim]")
        tokens = {view: fetch_token(base, *clients[view]) for view in ("restricted", "internal")}
        show(base, tokens, organisations)
        show_sources(
            console,
            lambda query, variables: answered(ask(base, query, variables, tokens["restricted"])),
            upstreams,
            organ_of(organisations),
            for_sources(*known(organisations)),
        )
        console.print(f"[dim]done after {time.monotonic() - began:.1f} s[/dim]")
        if not options.once:
            console.print(f"\nServing on {base}/graphql (GraphiQL in a browser). A restricted token, 5 minutes:\n")
            print(f"  {token_command(base, *clients['restricted'])}\n")
            console.print("Ctrl-C ends everything.")
            with contextlib.suppress(KeyboardInterrupt):
                ended()
    return 0


def check_place() -> None:
    """Made-up firms go on record in a database of the demo's own, whatever the shell is set to. Exits otherwise."""
    for name in ("GATEWAY_DATA_DIR", "GATEWAY_DATABASE_URL"):
        if not os.environ.get(name):
            os.environ.pop(name, None)  # empty is unset, as in the settings
    if "GATEWAY_DATABASE_URL" in os.environ:
        raise SystemExit(
            "demo: GATEWAY_DATABASE_URL is set, and the demo would put made-up firms on record there; run"
            " `env -u GATEWAY_DATABASE_URL -u GATEWAY_DATA_DIR make demo`"
        )
    folder = Path(os.environ.setdefault("GATEWAY_DATA_DIR", str(ROOT / ".data")))
    if folder != ROOT / ".data" and kept_in(folder) and not (folder / "demo").exists():
        raise SystemExit(
            f"demo: {folder} has a database that no demo has made, and the demo would put made-up firms on record"
            " there; run `env -u GATEWAY_DATA_DIR make demo`"
        )


def check_ports(settings: Settings) -> None:
    """Said now, not after the imports. Exits where a port is taken."""
    try:
        listen(settings.host, settings.port).close()
        listen(settings.admin_host, settings.admin_port, prefix="GATEWAY_ADMIN").close()
    except SettingsError as error:
        raise SystemExit(f"{error}; or run `make demo ONCE=1`, which takes free ports") from None


def stop(*_: object) -> None:
    """As Ctrl-C."""
    raise KeyboardInterrupt


def step(what: str, work: Any) -> Any:
    """Do one thing, telling what and how long it took."""
    began = time.monotonic()
    with console.status(what):
        found = work()
    console.print(f"[green]✓[/green] {what} [dim]{time.monotonic() - began:.1f} s[/dim]")
    return found


def synthetic(folder: Path) -> list[tuple[str, str, Path]]:
    """Files to import, in order. Synthetic ones are made once, for the day of the first run."""
    if not all((folder / f"{name}.csv").exists() for _, name in make_demo_data.FILES):
        make_demo_data.main(["--today", today().isoformat(), "--out", str(folder)])
    files = [(kind, name, DATA / name) for kind, name in REFERENCE]
    return files + [(kind, f"synthetic {name}", folder / f"{name}.csv") for kind, name in make_demo_data.FILES]


async def put_in(database: Database, kind: str, path: Path) -> None:
    """Import one file; anything rejected ends the demo, since shipped data have no dirt.

    What went in before stays out: penalties as they were first published would undo their withdrawal.
    """
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        known = await connection.fetchval(
            "select exists (select from core.import_run where file_hash = $1 and finished_at is not null)",
            hashlib.sha256(await asyncio.to_thread(path.read_bytes)).digest(),
        )
    finally:
        await connection.close()
    if known:
        return
    rejects = path.with_suffix(".rejects.csv") if path.is_relative_to(ROOT / ".data") else None
    report = await import_file(database, path, kind, mapping=None, rejects=rejects, entered_by="demo", progress=None)
    if report.rejected:
        raise SystemExit(f"{report.rejected} rows of {path.name} were rejected: {report.rejects_path}")


def read_organisations(path: Path) -> list[dict[str, str]]:
    """The synthetic organisations."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["uscc"]]


def register(
    database: Database, folder: Path, organisations: list[dict[str, str]]
) -> dict[str, tuple[str, Path, str, str]]:
    """Clients of the demo: id, key file and matter by view; registered once, by the command people use."""
    organ = organ_of(organisations)
    wanted = {
        "restricted": ("demo-department", "GRANT"),
        "internal": ("demo-supervision", "SUPERVISION"),
    }
    made = {}
    for view, (client, matter) in wanted.items():
        scope = f"view:{view}"
        key = folder / f"{client}.jwk"
        if not asyncio.run(registered(database, client)) or not key.exists():
            key.unlink(missing_ok=True)
            if asyncio.run(registered(database, client)):
                raise SystemExit(f"the key of {client} is gone; remove .data and start anew")
            run_command(
                "clients", "add", f"Demo {view}", "--id", client, "--organisation", organ,
                "--scope", scope, "--matter", matter, "--generate-key", str(key),
            )  # fmt: skip
        made[view] = (client, key, scope, matter)
    return made


def organ_of(organisations: list[dict[str, str]]) -> str:
    """The organisation that the demo's clients belong to."""
    return next(row["uscc"] for row in organisations if row["name"].endswith("发展和改革委员会"))


async def registered(database: Database, client: str) -> bool:
    """Whether a client is there already."""
    pool = Pool(database.dsn("service"), size=1)
    try:
        return await ClientStore(pool).get(client) is not None
    finally:
        await pool.close()


def command(*arguments: str) -> list[str]:
    """credit-gateway, as this Python runs it."""
    return [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]


def run_command(*arguments: str) -> str:
    """Run credit-gateway; its standard output."""
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"credit-gateway {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def process(arguments: list[str], environment: dict[str, str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the demo."""
    running = subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, **environment}, text=True, **more)
    try:
        yield running
    finally:
        end(running, 15)


@contextlib.contextmanager
def sandbox(folder: Path, organisations: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    """The upstreams as small servers that know the synthetic organisations; yields their URLs by name."""
    subjects = folder / "sandbox-subjects.csv"
    subjects.write_text("".join(f"{row['uscc']},{row['name']}\n" for row in organisations), encoding="utf-8")
    arguments = [sys.executable, "-m", "sandbox", "--port", "0", "--subjects", str(subjects)]
    with process(arguments, {}, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        if not line:
            raise SystemExit("the sandbox did not start")
        yield {name: f"http://127.0.0.1:{port}" for name, port in json.loads(line).items()}


def sources(folder: Path, upstreams: dict[str, str]) -> dict[str, str]:
    """Settings of all sources. The credentials are the sandbox's, in the open: no secrets."""
    key = folder / "peer.jwk"
    key.write_text(json.dumps(dict(DEV_PEER_PRIVATE_JWK)), encoding="utf-8")
    peer = {
        "code": "PEER_654200",
        "name": "塔城地区信用平台（沙箱）",
        "name_en": "Credit platform of Tacheng (sandbox)",
        "region_code": DEV_PEER_REGION["code"],
        "region_name": DEV_PEER_REGION["name"],
        "base_url": upstreams["peer_region"],
        "issuer": upstreams["peer_region"],
        "client_id": DEV_PEER_CLIENT_ID,
        "key_file": str(key),
        "matters": ["GRANT", "SUPERVISION"],
    }
    return {
        "GATEWAY_COURTS__BASE_URL": upstreams["courts"],
        "GATEWAY_COURTS__REQUESTER_ID": DEV_RID,
        "GATEWAY_COURTS__APP_KEY": DEV_APP_KEY,
        **{f"GATEWAY_COURTS__SERVICE_{name.upper()}": sid for name, sid in DEV_SIDS.items()},
        "GATEWAY_BANKS__BASE_URL": upstreams["banks"],
        "GATEWAY_BANKS__CLIENT_ID": DEV_BANKS_CLIENT_ID,
        "GATEWAY_BANKS__CLIENT_SECRET": DEV_BANKS_CLIENT_SECRET,
        "GATEWAY_REGION_PLATFORM__BASE_URL": upstreams["region_platform"],
        "GATEWAY_REGION_PLATFORM__APP_KEY": DEV_PLATFORM_APP_KEY,
        "GATEWAY_REGION_PLATFORM__SECRET": DEV_PLATFORM_SECRET,
        # Its changes would come on record while the demo counts records: `credit-gateway changes read` brings them.
        "GATEWAY_REGION_PLATFORM__FOLLOW_CHANGES": "false",
        "GATEWAY_PEERS": json.dumps([peer], ensure_ascii=False),
    }


async def log_name(database: Database) -> dict[str, str]:
    """The setting of the log's name; none for a log that has one, from whatever time: it can't have another."""
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        named = await connection.fetchval("select exists (select from ledger.checkpoint)")
    finally:
        await connection.close()
    return {} if named else {"GATEWAY_LOG_ORIGIN": os.environ.get("GATEWAY_LOG_ORIGIN", LOG_ORIGIN)}


@contextlib.contextmanager
def gateway(
    port: int, upstreams: dict[str, str], name: dict[str, str], *, once: bool
) -> Iterator[tuple[str, Callable[[], NoReturn]]]:
    """The gateway as a process; yields its base URL once it is ready, and what waits until it ends. Exits with the end
    of its log where it does not answer."""
    log = Path(os.environ["GATEWAY_DATA_DIR"]) / "demo" / "gateway.log"
    environment = {"GATEWAY_ISSUER": f"http://127.0.0.1:{port}", **sources(log.parent, upstreams), **name}
    if once:
        environment["GATEWAY_ADMIN_PORT"] = "0"
    with (
        log.open("w", encoding="utf-8") as file,
        process(command("serve", "--port", str(port)), environment, stderr=file) as running,
    ):
        base = wait_for(running, log)
        try:
            yield base, lambda: wait_until_ended(running, log)
        except NoAnswer as error:
            with contextlib.suppress(subprocess.TimeoutExpired):  # its end may be seen later than its silence
                running.wait(2)
                wait_until_ended(running, log)
            raise SystemExit(f"the gateway does not answer ({error}); {end_of(log)}") from None


def wait_until_ended(running: subprocess.Popen[str], log: Path) -> NoReturn:
    """Nobody has asked it to."""
    raise SystemExit(f"the gateway has ended with status {running.wait()}; {end_of(log)}")


def end_of(log: Path) -> str:
    """Where the log is, and its end."""
    return f"see {log}:\n{log.read_text(encoding='utf-8')[-2000:]}"


def wait_for(running: subprocess.Popen[str], log: Path) -> str:
    """The base URL, when /readyz answers 200."""
    deadline = time.monotonic() + 60
    base = ""
    while time.monotonic() < deadline and running.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith("serving on "):
                base = line.removeprefix("serving on ").removesuffix("/graphql")
        if base:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{base}/readyz", timeout=2) as reply:
                if reply.status == 200:
                    return base
        time.sleep(0.1)
    raise SystemExit(f"the gateway did not start; {end_of(log)}")


def token_arguments(base: str, client: str, key: Path, scope: str, matter: str) -> list[str]:
    """Arguments of `credit-gateway token`."""
    case = f"示例博州〔{today().year}〕1号"
    who = ["--client", client, "--key", str(key), "--scope", scope]
    return ["token", *who, "--matter", matter, "--case", case, "--url", base]


def token_command(base: str, client: str, key: Path, scope: str, matter: str) -> str:
    """The same as people type it."""
    shown = key.relative_to(ROOT) if key.is_relative_to(ROOT) else key
    return ".venv/bin/credit-gateway " + " ".join(token_arguments(base, client, shown, scope, matter))


def fetch_token(base: str, client: str, key: Path, scope: str, matter: str) -> str:
    """An access token, over HTTP, by private_key_jwt."""
    return run_command(*token_arguments(base, client, key, scope, matter))


def ask(base: str, query: str, variables: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    """One question over HTTP. Raises NoAnswer."""
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{base}/graphql", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            found: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        found = json.load(error)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(str(getattr(error, "reason", error))) from error
    return found


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The data of an answer without errors."""
    if "errors" in answer:
        raise SystemExit(f"the gateway refused: {answer['errors']}")
    data: dict[str, Any] = answer["data"]
    return data


def choose(base: str, token: str, organisations: list[dict[str, str]]) -> str:
    """The subject of the three views (scripts/demo_subjects.py). No source is asked for it."""
    query = """query Choose($usccs: [Uscc!]!) { subjects(usccs: $usccs) {
      uscc records(first: 100) { edges { node { status } } } } }"""
    names, kinds = known(organisations)
    codes = [uscc for uscc, kind in kinds.items() if kind == "ENTERPRISE"]
    found = answered(ask(base, query, {"usccs": codes}, token))["subjects"]
    statuses = {s["uscc"]: [edge["node"]["status"] for edge in s["records"]["edges"]] for s in found}
    return for_views(names, kinds, statuses)


def known(organisations: list[dict[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Names and kinds of the organisations, by code."""
    return {row["uscc"]: row["name"] for row in organisations}, {o["uscc"]: o["subject_kind"] for o in organisations}


def show(base: str, tokens: dict[str, str], organisations: list[dict[str, str]]) -> None:
    """The same question in three views, and why the answers differ."""
    uscc = choose(base, tokens["internal"], organisations)
    first = answered(ask(base, QUESTION["public"], {"uscc": uscc}))
    status = first["subject"]["courts"]["answer"]["status"]
    console.print(
        f"\nThe public view never waits for the courts. Of what is kept: [bold]{status}[/bold], never just nothing"
    )
    answers = {view: ask(base, QUESTION[view], {"uscc": uscc}, tokens.get(view)) for view in QUESTION}
    console.print(
        Panel(Syntax(QUESTION["restricted"], "graphql"), title=f"the question (restricted form), uscc = {uscc}")
    )
    for view, answer in answers.items():
        text = json.dumps(answer, ensure_ascii=False, indent=1)
        lines = text.splitlines()
        shown = "\n".join(lines[:40]) + (f"\n… {len(lines) - 40} lines more" if len(lines) > 40 else "")
        console.print(Panel(Syntax(shown, "json"), title=f"{view} view"))
    console.print(compare(answers))
    refused = ask(base, QUESTION["restricted"], {"uscc": uscc})
    console.print(
        "The public asking for a restricted field: "
        f"[bold]{refused['errors'][0]['extensions']['code']}[/bold] – {refused['errors'][0]['message']}"
    )
    body = "91652799YL0099999"
    stranger = body + uscc_check_digit(body)
    for view in ("public", "restricted"):
        answer = answered(ask(base, QUESTION[view], {"uscc": stranger}, tokens.get(view)))["subject"]
        told = (
            "null"
            if answer is None
            else f"onRecord {answer['onRecord']}, courts {answer['courts']['answer']['status']}"
        )
        console.print(f"A valid code that is not on record ({stranger}), {view} view: {told}")


def compare(answers: dict[str, dict[str, Any]]) -> Table:
    """What each view got, and why they differ."""
    subjects = {view: answer["data"]["subject"] for view, answer in answers.items()}
    nodes = {view: [e["node"] for e in s["records"]["edges"]] for view, s in subjects.items()}
    table = Table("", *subjects, "why", show_lines=True)

    def row(name: str, get: Any, why: str) -> None:
        table.add_row(name, *(str(get(view)) for view in subjects), why)

    row("records", lambda v: subjects[v]["records"]["totalCount"], "the law decides which rows a view has")
    row(
        "statuses",
        lambda v: ", ".join(sorted({n["status"] for n in nodes[v]})),
        "public: within the term of publication; restricted: expired too; supervision: repaired and revoked too",
    )
    row(
        "field version",
        lambda v: nodes[v][0].get("version", "not in this contract"),
        "PUBLIC lacks it, RESTRICTED has it",
    )
    row("field history", lambda v: "yes" if "history" in nodes[v][0] else "not in this contract", "INTERNAL alone")
    row(
        "courts' status",
        lambda v: subjects[v]["courts"]["answer"]["status"],
        "public never waits for a source: kept answers alone; the others ask, or read what is kept and fresh",
    )
    row("dishonest listings", lambda v: len(subjects[v]["courts"]["dishonestListings"]), "published by the courts")
    row(
        "enforcement cases",
        lambda v: (
            len(subjects[v]["courts"]["enforcementCases"])
            if "enforcementCases" in subjects[v]["courts"]
            else "not in this contract"
        ),
        "for departments with matter and case number; each such answer is disclosed in the ledger first",
    )
    return table


def told() -> int:
    """`main`, and one line where it is stopped before it serves; returns the exit status."""
    try:
        return main()
    except OperatorError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped, and all that it had started; `make demo` goes on with what is in .data", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(told())
