"""What the demo shows of the sources: all of them in one answer, a consent before the banks, a source that is down.

In: how a department asks, the URLs of the sandbox, synthetic organisations. Out: a table on the console.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.counted import counted
from gateway.zone import today

ALL = """query Sources($uscc: Uscc!, $consent: ID!) { subject(uscc: $uscc) {
  name
  courts { answer { ...A } dishonestListings { caseNumber } }
  regionPlatform { answer { ...A } records { kind title } }
  peers { region { name } answer { ...A } onRecord records { kind title } }
  bank(consentId: $consent) { answer { ...A } classification overdueDays }
} }
fragment A on SourceAnswer { source { name } status asOf reason }"""
CONSENT = """mutation Consent($input: RecordConsentInput!) { recordConsent(input: $input) { consentId } }"""
NONE = "QwAAAAAAAAAAAAAAAAAAAAA"  # well formed, and of no consent

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


def show_sources(console: Console, ask: Ask, upstreams: dict[str, str], organ: str, usccs: list[str]) -> None:
    """Print the table. `ask` asks as a department of `organ` and returns the data of the answer."""
    table = Table("", "courts", "regional platform", "another region", "banks", "took", show_lines=True)
    first, second = usccs[:2]
    _row(table, "without a consent", ask, first, NONE)
    consent = _consent(ask, first, organ)
    _row(table, "with the subject's consent", ask, first, consent)
    _row(table, "the same again", ask, first, consent)
    _fault(upstreams["region_platform"], {"service": "*", "fault": "black_hole"})
    try:
        _row(table, "another subject, the platform does not answer", ask, second, consent)
    finally:
        _fault(upstreams["region_platform"], None)
    console.print("\nAll sources in one restricted answer; each says what it is worth, and none waits for another:")
    console.print(table)
    console.print(
        "An empty list means [bold]no record[/bold] only beside ANSWERED and CACHED. The consent above is for one"
        " subject: for the other the banks were not asked."
    )


def _row(table: Table, what: str, ask: Ask, uscc: str, consent: str) -> None:
    began = time.monotonic()
    subject = ask(ALL, {"uscc": uscc, "consent": consent})["subject"]
    took = time.monotonic() - began
    peers = subject["peers"]
    table.add_row(
        what,
        _said(subject["courts"], "dishonestListings", "listing"),
        _said(subject["regionPlatform"], "records", "record"),
        "\n".join(f"{peer['region']['name']}: {_said(peer, 'records', 'record')}" for peer in peers),
        _bank(subject["bank"]),
        f"{took:.2f} s",
    )


def _said(section: dict[str, Any], rows: str, unit: str) -> str:
    answer = section["answer"]
    if answer["status"] in ("ANSWERED", "CACHED", "STALE"):
        return f"{answer['status']}\n{counted(len(section[rows]), unit)}"
    return f"[yellow]{answer['status']}[/yellow]\n{answer['reason']}"


def _bank(section: dict[str, Any]) -> str:
    answer = section["answer"]
    if answer["status"] == "ANSWERED":
        return f"ANSWERED\n{section['classification'] or 'unknown to any bank'}"
    return f"[yellow]{answer['status']}[/yellow]\n{answer['reason']}"


def _consent(ask: Ask, uscc: str, organ: str) -> str:
    """Record a consent of the subject to this department, and return its id."""
    day = today()
    given = {
        "uscc": uscc,
        "granteeUscc": organ,
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": day.isoformat(),
        "validTo": (day + dt.timedelta(days=30)).isoformat(),
        "documentSha256": hashlib.sha256(f"示例授权书 {uscc}".encode()).hexdigest(),
        "method": "PAPER_SIGNED",
    }
    return str(ask(CONSENT, {"input": given})["recordConsent"]["consentId"])


def _fault(url: str, fault: dict[str, Any] | None) -> None:
    """Ask the sandbox for a fault, or for none."""
    body = None if fault is None else json.dumps(fault).encode()
    request = urllib.request.Request(f"{url}/_faults", body, method="DELETE" if fault is None else "POST")
    with urllib.request.urlopen(request, timeout=5):
        pass
