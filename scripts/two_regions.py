"""Two regions as each other's peers, from nothing: `python -m scripts.two_regions [--once]`.

Follows docs/peers.md with the commands that operators type: a key and a client on each side, GATEWAY_PEERS, two
gateways as processes with an embedded database each. A department of the first asks about a synthetic subject that the
second alone has on record; then the second is stopped, and it asks about another. Prints the answers.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax

from gateway.storage.identifiers import uscc_check_digit
from scripts.demo import ROOT, answered, ask, command, free_port, process, stop, wait_for

console = Console(width=120)
QUESTION = """query Standing($uscc: Uscc!) {
  subject(uscc: $uscc) {
    uscc
    onRecord
    records(first: 10) { totalCount }
    peers {
      region { code name }
      onRecord
      answer { status asOf reason }
      records { kind title status documentNumber authority { name } }
      courts { answer { status } dishonestListings { caseNumber } }
    }
  }
}"""


def valid(first: str) -> str:
    """A code from its first 17 characters."""
    return first + uscc_check_digit(first)


BOTH, ONLY_B, LATER = (valid(f"91652799YL008900{number}") for number in range(3))


@dataclass
class Operator:
    """One region's operator: a folder, a port, and the commands that they type there."""

    name: str
    code: str
    region: str
    organisation: str
    folder: Path
    port: int = field(default_factory=free_port)
    peers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GATEWAY_DATA_DIR": str(self.folder / "data"),
            "GATEWAY_ISSUER": self.issuer,
            "GATEWAY_ADMIN_PORT": "0",
            "GATEWAY_PEERS": json.dumps(self.peers, ensure_ascii=False),
        }

    def run(self, *arguments: str) -> str:
        """Type a command of credit-gateway; its standard output."""
        done = subprocess.run(
            command(*arguments),
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self.name}: credit-gateway {' '.join(arguments[:2])}: {done.stderr.strip()}")
        console.print(f"[green]✓[/green] {self.name}: credit-gateway {' '.join(arguments[:2])}")
        return done.stdout.strip()

    def put_in(self, *titles: tuple[str, str]) -> None:
        """Import synthetic penalties: code and title of each."""
        path = self.folder / "records.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            head = "kind title authority_name document_number decided_on name uscc subject_kind penalty_kinds"
            writer.writerow(head.split())
            for number, (uscc, title) in enumerate(titles, 1):
                paper = f"样例〔2026〕{number}号"
                name = f"样例{uscc[-6:]}有限公司"
                row = ["PENALTY", title, f"示例{self.name}局", paper, "2026-07-01", name, uscc, "企业", "吊销许可证件"]
                writer.writerow(row)
        self.run("import", str(path), "--as", "records")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The gateway as a process."""
        log = self.folder / "gateway.log"
        with (
            log.open("w", encoding="utf-8") as file,
            process(command("serve", "--port", str(self.port)), self.environment, stderr=file) as running,
        ):
            wait_for(running, log)
            console.print(f"[green]✓[/green] {self.name}: serving on {self.issuer}")
            yield


def befriend(asking: Operator, asked: Operator) -> None:
    """docs/peers.md: the key at the one, the client at the other, the entry in GATEWAY_PEERS."""
    key, public = asking.folder / f"peer-{asked.code}.jwk", asking.folder / f"peer-{asked.code}.public.json"
    public.write_text(asking.run("keys", "client", str(key)), encoding="utf-8")
    asked.run(
        "clients", "add", f"Gateway of {asking.code}", "--id", f"region-{asking.code}", "--organisation",
        asking.organisation, "--scope", "view:restricted", "--matter", "GRANT", "--jwks", str(public),
    )  # fmt: skip
    asking.peers.append(
        {
            "code": f"PEER_{asked.code}",
            "name": f"{asked.region}信用网关",
            "region_code": asked.code,
            "region_name": asked.region,
            "base_url": asked.issuer,
            "issuer": asked.issuer,
            "client_id": f"region-{asking.code}",
            "key_file": str(key),
            "matters": ["GRANT"],
        }
    )


def show(title: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Print an answer; returns what it says of the subject."""
    found: dict[str, Any] = answered(answer)["subject"]
    console.print(Panel(Syntax(json.dumps(found, ensure_ascii=False, indent=1), "json"), title=title))
    return found


def main() -> int:
    """Run it; returns the exit status: 1 where an answer is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after printing")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="two-regions-") as folder, contextlib.ExitStack() as stack:
        a = Operator("甲", "652700", "示例甲州", valid("11652799YL0008901"), Path(folder, "a"))
        b = Operator("乙", "654200", "示例乙地区", valid("11652799YL0008902"), Path(folder, "b"))
        for one in (a, b):
            one.folder.mkdir()
            one.run("migrate")
        a.put_in((BOTH, "样例甲州处罚"))
        b.put_in((BOTH, "样例乙地区处罚"), (ONLY_B, "样例乙地区独有处罚"), (LATER, "样例断线之后"))
        befriend(a, b)
        befriend(b, a)
        key = a.folder / "department.jwk"
        who = ["--organisation", a.organisation, "--scope", "view:restricted", "--matter", "GRANT"]
        a.run("clients", "add", "Department", "--id", "department", *who, "--generate-key", str(key))
        stack.enter_context(a.serving())
        far = contextlib.ExitStack()
        with far:
            far.enter_context(b.serving())
            case = ["--scope", "view:restricted", "--matter", "GRANT", "--case", "2026-1", "--url", a.issuer]
            token = a.run("token", "--client", "department", "--key", str(key), *case)
            console.print(Panel(Syntax(QUESTION, "graphql"), title="the question, to 甲"))
            joined = [show(title, ask(a.issuer, QUESTION, {"uscc": uscc}, token)) for title, uscc in
                      (("on record in both", BOTH), ("on record in 乙 alone", ONLY_B))]  # fmt: skip
        cut = show("乙 is stopped", ask(a.issuer, QUESTION, {"uscc": LATER}, token))
        told = [found["peers"][0] for found in (*joined, cut)]
        statuses = [(one["answer"]["status"], one["onRecord"], len(one["records"])) for one in told]
        right = statuses == [("ANSWERED", True, 1), ("ANSWERED", True, 1), ("UNAVAILABLE", None, 0)]
        console.print("as it should be" if right else f"[red]not as it should be: {statuses}[/red]")
        if not options.once:
            console.print(f"\n甲 serves on {a.issuer}/graphql. Ctrl-C ends everything.")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
