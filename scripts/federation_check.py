"""The federation, from SDL to routers: `python -m scripts.federation_check` (`make federation`).

Follows docs/federation.md: two composers that share no code take the SDL of every contract; two gateways as processes,
each a prefecture with a database of its own, and the region's subgraph stand behind two routers (@apollo/gateway and
Hive Gateway), which a client asks by both prefectures' fields; then one prefecture alone with another service that adds
to its subjects. Prints what was asked and whether the answer is right; exit status 1 where one is not, 2 where the npm
packages can't be had.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema

from gateway.schema.contracts import build_contracts
from gateway.schema.federation import subgraph_sdl
from scripts.demo import ask, free_port, process, stop
from scripts.federation_npm import NotThere, installed
from scripts.two_regions import Operator, console, valid

VIEWS = ("public", "restricted", "internal", "self")
BOTH, ONLY_A, ONLY_B, NOBODY = (valid(f"91652799YL008901{number}") for number in range(4))
PURPOSE = 'matter="GRANT", case="2026-1"'
WAIT = 120  # s for a program to listen

JOINT = """query Standing($usccs: [Uscc!]!) {
  subjects(usccs: $usccs) {
    uscc
    bortala { subject { onRecord records(first: 5) { edges { node { title ... on Penalty { penaltyKinds } } } } } }
    tacheng { subject { onRecord records(first: 5) { edges { node { title ... on Penalty { penaltyKinds } } } } } }
  }
}"""
ABOVE = "query Above($usccs: [Uscc!]!) { subjects(usccs: $usccs) { uscc bortala { subject { peers { onRecord } } } } }"
FILES = """query Files($uscc: Uscc!) {
  newestFiles { shelf subject { uscc name records(first: 5) { edges { node { title } } } } }
  subject(uscc: $uscc) { name files { shelf } }
}"""


@dataclass
class Prefecture(Operator):
    """An operator whose gateway is a subgraph, under the name `field_name` or alone."""

    field_name: str = ""
    issuers: list[dict[str, str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        more = {"GATEWAY_FEDERATION_NAME": self.field_name, "GATEWAY_TRUSTED_ISSUERS": json.dumps(self.issuers)}
        return {**super().environment, **more}


@dataclass
class Checks:
    """What was found, and whether all of it is right."""

    wrong: list[str] = field(default_factory=list)

    def check(self, what: str, found: Any, right: Any) -> None:
        """Print one line."""
        if found == right:
            console.print(f"[green]✓[/green] {what}")
        else:
            self.wrong.append(what)
            console.print(f"[red]✗ {what}[/red]\n  found {found}\n  right {right}", markup=True, highlight=False)


@dataclass
class Node:
    """The npm packages, and the example's programs beside them."""

    folder: Path

    def compose(self, out: Path, *services: tuple[str, str, Path]) -> dict[str, Any]:
        """What each composer says of these subgraphs: (name, URL, file with the SDL)."""
        given = ["=".join(map(str, one)) for one in services]
        done = subprocess.run(
            ["node", "compose.mjs", str(out), *given], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if not done.stdout.startswith("{"):
            raise SystemExit(done.stderr[-2_000:])
        return {name: "refused" if "errors" in one else "composed" for name, one in json.loads(done.stdout).items()}

    @contextlib.contextmanager
    def running(self, log: Path, program: str, *arguments: str, port: int, **environment: str) -> Iterator[str]:
        """A program of the example (or a package's) as a process; its URL, when it listens."""
        started = ["node", str(self.folder / program), *arguments]
        with (
            log.open("w", encoding="utf-8") as file,
            process(started, environment, stdout=file, stderr=file) as one,
        ):
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + WAIT
            while not answers(url):
                if one.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{program} does not listen: {log.read_text(encoding='utf-8')[-2_000:]}")
                time.sleep(0.1)
            yield url

    @contextlib.contextmanager
    def routers(self, folder: Path, supergraph: Path) -> Iterator[dict[str, str]]:
        """Both routers, each in front of its own composer's supergraph."""
        ports = [free_port(), free_port()]
        hive = ("node_modules/.bin/hive-gateway", "supergraph", "-c", str(self.folder / "hive.config.mjs"))
        config = {"SUPERGRAPH": f"{supergraph}.hive.graphql", "PORT": str(ports[1])}
        with (
            self.running(
                folder / "apollo.log", "apollo.mjs", str(ports[0]), f"{supergraph}.plain.graphql", port=ports[0]
            ) as first,
            self.running(folder / "hive.log", *hive, port=ports[1], **config) as second,
        ):
            yield {"@apollo/gateway": first, "Hive Gateway": second}


def answers(url: str) -> bool:
    """Whether a server answers a question about itself."""
    body = json.dumps({"query": "{ __typename }"}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return "data" in json.load(reply)
    except (OSError, ValueError):
        return False


def routed(base: str, query: str, variables: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    """A question to a router, with the two headers that it passes on."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    if token is not None:
        headers |= {"authorization": f"Bearer {token}", "credit-purpose": PURPOSE}
    body = json.dumps({"query": query, "variables": variables}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{base}/graphql", body, headers), timeout=30) as reply:
            found: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        found = json.load(error)
    return found


# Composing -----------------------------------------------------------------------------------------------------------


def sdl(view: str, name: str, folder: Path) -> Path:
    """A file for a composer, as `credit-gateway schema --subgraph` prints it."""
    path = folder / f"{name or 'alone'}-{view}.graphql"
    path.write_text(subgraph_sdl(_contracts(name)[view.upper()]), encoding="utf-8")
    return path


@cache
def _contracts(name: str) -> dict[str, GraphQLSchema]:
    return build_contracts(federation_name=name)


def composing(node: Node, folder: Path, checks: Checks) -> None:
    """Every contract: alone, with another service, in a region; and what must not compose."""
    here = "http://127.0.0.1:1/graphql"
    region, archive = ((name, here, node.folder / f"{name}.graphql") for name in ("region", "archive"))
    composed, refused = (dict.fromkeys(("apollo", "hive", "plain"), said) for said in ("composed", "refused"))
    for view in VIEWS:
        alone = ("bortala", here, sdl(view, "", folder))
        joint = [(name, here, sdl(view, name, folder)) for name in ("bortala", "tacheng")]
        out = folder / f"out-{view}"
        checks.check(f"{view}: one gateway composes", node.compose(out, alone), composed)
        checks.check(f"{view}: with a service that adds to Subject", node.compose(out, alone, archive), composed)
        checks.check(f"{view}: two prefectures with names, and the region", node.compose(out, *joint, region), composed)
    other = ("tacheng", *alone[1:])
    checks.check("two prefectures without names are refused", node.compose(folder / "none", alone, other), refused)


# Asking --------------------------------------------------------------------------------------------------------------


def titles(one: dict[str, Any] | None) -> Any:
    """What a prefecture said of a subject: titles; None: not on record; "nothing": it did not answer."""
    if one is None:
        return "nothing"
    if one["subject"] is None or not one["subject"]["onRecord"]:
        return None if one["subject"] is None else "not on record"
    return [edge["node"]["title"] for edge in one["subject"]["records"]["edges"]]


def standing(answer: dict[str, Any]) -> Any:
    """(bortala, tacheng) of each subject."""
    if not answer.get("data"):
        return answer
    return [(titles(one["bortala"]), titles(one["tacheng"])) for one in answer["data"]["subjects"]]


def region_of_two(node: Node, folder: Path, checks: Checks, a: Prefecture, b: Prefecture) -> None:
    """Two prefectures behind both routers, in the public and in the restricted view; then one of them is stopped."""
    asked = {"usccs": [ONLY_B, NOBODY, BOTH, ONLY_A]}
    in_a, in_b = ["甲的处罚"], ["乙的处罚"]
    public = [(None, in_b), (None, None), (in_a, in_b), (in_a, None)]
    restricted = [tuple(said or "not on record" for said in pair) for pair in public]
    with contextlib.ExitStack() as stack:
        stack.enter_context(a.serving())
        far = stack.enter_context(contextlib.ExitStack())
        far.enter_context(b.serving())
        port = free_port()
        region = stack.enter_context(node.running(folder / "region.log", "region.mjs", str(port), port=port))
        routers = {}
        for view in ("public", "restricted"):
            services = [(one.field_name, f"{one.issuer}/graphql", sdl(view, one.field_name, folder)) for one in (a, b)]
            out = folder / f"region-{view}"
            node.compose(out, *services, ("region", region, node.folder / "region.graphql"))
            routers[view] = stack.enter_context(node.routers(folder, out))
        key = ["--client", "department", "--key", str(a.folder / "department.jwk"), "--scope", "view:restricted"]
        token = a.run("token", *key, "--url", a.issuer)
        for router, base in routers["public"].items():
            checks.check(f"{router}, public: both prefectures", standing(routed(base, JOINT, asked)), public)
        for router, base in routers["restricted"].items():
            answer = routed(base, JOINT, asked, token)
            checks.check(f"{router}, restricted: by the asker's own token", standing(answer), restricted)
            above = routed(base, ABOVE, asked)
            found = [one["bortala"] for one in (above.get("data") or {}).get("subjects", ())], "errors" in above
            checks.check(f"{router}, restricted without a token: nothing", found, ([None] * 4, True))
        service = ask(a.issuer, "{ _service { sdl } }", {})["data"]["_service"]["sdl"]
        printed = a.run("schema", "--subgraph", "--view", "public")
        checks.check("_service answers what the command line prints", service.strip() == printed, True)
        far.close()
        for router, base in routers["public"].items():
            answer = routed(base, JOINT, asked)
            found = standing(answer), "errors" in answer
            right = [(said, "nothing") for said, _ in public], True
            checks.check(f"{router}, one is stopped: not taken for “not on record”", found, right)


def with_an_archive(node: Node, folder: Path, checks: Checks, a: Prefecture) -> None:
    """One prefecture alone, and a service that adds to its subjects and asks about others by code."""
    a.field_name = ""
    right = {
        "newestFiles": [
            {"shelf": f"架-{uscc[-4:]}", "subject": subject}
            for uscc, subject in (
                (ONLY_A, {"uscc": ONLY_A, "name": f"样例{ONLY_A[-6:]}有限公司", "records": _records("甲的处罚")}),
                (BOTH, {"uscc": BOTH, "name": f"样例{BOTH[-6:]}有限公司", "records": _records("甲的处罚")}),
            )
        ],
        "subject": {"name": f"样例{BOTH[-6:]}有限公司", "files": [{"shelf": f"架-{BOTH[-4:]}"}]},
    }
    port = free_port()
    with (
        a.serving(),
        node.running(
            folder / "archive.log", "archive.mjs", str(port), port=port, ARCHIVED=f"{ONLY_A},{BOTH}"
        ) as archive,
    ):
        out = folder / "archive"
        services = ("bortala", f"{a.issuer}/graphql", sdl("public", "", folder))
        node.compose(out, services, ("archive", archive, node.folder / "archive.graphql"))
        with node.routers(folder, out) as routers:
            for router, base in routers.items():
                answer = routed(base, FILES, {"uscc": BOTH})
                checks.check(f"{router}: entities of the gateway and of another service", answer.get("data"), right)


def _records(title: str) -> dict[str, Any]:
    return {"edges": [{"node": {"title": title}}]}


def prepared(folder: Path) -> tuple[Prefecture, Prefecture]:
    """Two prefectures with a record of their own about the same subject. 乙 takes 甲's tokens for one client."""
    a = Prefecture("甲", "652700", "示例甲州", valid("11652799YL0008911"), folder / "a", field_name="bortala")
    b = Prefecture("乙", "654200", "示例乙地区", valid("11652799YL0008912"), folder / "b", field_name="tacheng")
    for one, records in ((a, (BOTH, ONLY_A)), (b, (BOTH, ONLY_B))):
        one.folder.mkdir()
        one.run("migrate")
        one.put_in(*[(uscc, f"{one.name}的处罚") for uscc in records])
    b.issuers = [
        {"issuer": a.issuer, "jwks_uri": f"{a.issuer}/oauth/jwks", "audience": "credit-gateway"},
    ]
    who = ["--id", "department", "--scope", "view:restricted", "--matter", "GRANT"]
    key = ["--generate-key", str(a.folder / "department.jwk")]
    a.run("clients", "add", "Department", *who, "--organisation", a.organisation, *key)
    b.run("clients", "add", "Department", *who, "--organisation", a.organisation, "--token-issuer", a.issuer)
    return a, b


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("compose", "routers"), help="the first half, or the second")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, stop)
    checks = Checks()
    try:
        node = Node(installed())
    except NotThere as error:
        console.print(f"federation: {error}", highlight=False)
        return 2
    with tempfile.TemporaryDirectory(prefix="federation-") as made:
        folder = Path(made)
        if options.only != "routers":
            composing(node, folder, checks)
        if options.only != "compose":
            a, b = prepared(folder)
            region_of_two(node, folder, checks, a, b)
            with_an_archive(node, folder, checks, a)
    console.print(
        "as it should be" if not checks.wrong else f"[red]{len(checks.wrong)} are not as they should be[/red]"
    )
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
