"""Promise: the last day of a recorded request is a day in Asia/Shanghai, wherever the machine stands."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import access, app
from gateway.storage.identifiers import uscc_check_digit

SHANGHAI = dt.timezone(dt.timedelta(hours=8))
BODY = "91652700MA0000000"
USCC = BODY + uscc_check_digit(BODY)
FAR = ("FAR23:59", "FAR-23:59")  # POSIX: west of Greenwich, where it is yesterday at least, and east of it


@pytest.fixture(params=FAR)
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock in a zone that is far away."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_until_is_a_day_in_shanghai(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(_: Any) -> int:
        return 7

    monkeypatch.setattr(access, "on_ledger", recorded)

    def add(until: dt.date) -> Any:
        rest = ("--case", "1", "--requester", "a court", "--basis", "PIPL 45", "--until", until.isoformat())
        return CliRunner().invoke(app, ["ledger", "access-request", "add", USCC, "--organisation", USCC, *rest])

    today = dt.datetime.now(SHANGHAI).date()
    assert add(today).exit_code == 0
    found = add(today - dt.timedelta(1))
    assert (found.exit_code, "lies in the past" in found.stderr) == (1, True)
