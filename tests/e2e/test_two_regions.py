"""Promises: the steps of docs/peers.md, typed as they stand there, connect two gateways that are processes of their own
with an embedded database each; the options that the page shows exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from e2e_stack import ROOT
from typer.testing import CliRunner

from gateway.cli import app
from gateway.settings import load

PAGE = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_two_regions_from_nothing() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.two_regions", "--once"],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "as it should be" in done.stdout


def test_options_of_the_page_exist() -> None:
    commands = re.findall(r"credit-gateway ((?:clients|keys) [a-z-]+|token)([^\n`)]*)", PAGE.replace("\\\n", " "))
    assert len(commands) >= 4
    for command, rest in commands:
        shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).output
        assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= set(re.findall(r"--[a-z-]+", shown)), command


def test_the_settings_of_the_page_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = re.findall(r"export GATEWAY_PEERS='(.*?)'", PAGE, re.DOTALL)
    monkeypatch.setenv("GATEWAY_PEERS", shown)
    (peer,) = load().peers
    assert (peer.code, peer.client_id, peer.matters) == ("PEER_654200", "region-652700", ("GRANT", "TENDERING"))
    assert f"--id {peer.client_id}" in PAGE
    assert str(peer.key_file) in PAGE.partition("GATEWAY_PEERS")[0]
