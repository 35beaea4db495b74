"""credit-gateway ledger retention: how long disclosures are kept, which month goes next and when, and why not yet.

In: the database of the settings, which is only read. Out: what the process that leads would do by the clock of this
moment (ledger.let_go), the same rules and the same rows; on stderr what an operator should look at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from gateway.cli.access import Connection, on_ledger
from gateway.cli.common import note, show_json, show_table
from gateway.counted import counted
from gateway.zone import SHANGHAI

_STATE: Final = """select (select r.months from ledger.retention r) as months, ledger.days_due() as days_needed,
    core.today() as today, ledger.due() as due, extract(epoch from clock_timestamp())::float8 as now,
    array(select l.day from ledger.lived l where l.day > core.today() - 14 order by l.day) as lived"""
_MONTHS: Final = """select m.first, m.due, m.days, m.earliest, h.why, h.disclosures
    from ledger.months() m left join lateral ledger.held(m.part) h on m.due order by m.first"""
_APART: Final = 60.0  # s between two machines' clocks that are worth a word
_WHY: Final = {
    "DAYS": "waits: found due on {days} of {needed} days",
    "LOG": "waits: not all of it is in the log with its numbers",
    "SEALED": "waits: subjects have not been told of entries that are sealed",
}


def retention(as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs: every month")] = False) -> None:
    """Show how long disclosures are kept, which month is let go next and when, and why not yet. Changes nothing.

    A month goes when it is over retention by the database's clock and was found so on seven days of the last fourteen
    on which the ledger ran; so a clock that is set ahead, or a retention that is shortened by mistake, has a week in
    which it can be put right. How long is data: update ledger.retention set months = … as the owner of the database.
    """

    async def work(connection: Connection) -> tuple[Any, Sequence[Any], float]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            state = await connection.fetchrow(_STATE)
            here = dt.datetime.now(dt.UTC).timestamp()
            return state, await connection.fetch(_MONTHS), here

    state, rows, here = on_ledger(work)
    months = [_month(row, first=index == 0, needed=state["days_needed"]) for index, row in enumerate(rows)]
    waiting = sum(month["state"] == "DAYS" for month in months)
    apart = state["now"] - here
    if as_json:
        show_json(_as_json(state, months, apart))
    else:
        _show(state, months)
    if abs(apart) > _APART:
        note(f"the database's clock differs from this machine's by {apart:+.0f} s: look which of them is wrong")
    if waiting > 1:
        note(
            f"{waiting} months are due at once: the database's clock was set ahead, or ledger.retention was changed."
            " Put it right before they go, or let them go"
        )
    if state["lived"] and state["lived"][-1] > state["today"]:
        note("days on which the ledger has lived lie ahead of the database's clock: it was set back; they do not count")


def _month(row: Any, *, first: bool, needed: int) -> dict[str, Any]:
    """What becomes of one month. Months go in their order: one that waits holds up those after it."""
    state = (row["why"] or ("GOES" if first else "AFTER_OTHERS")) if row["due"] else "KEPT"
    told = {
        "GOES": "goes at the next look, within the hour",
        "AFTER_OTHERS": "goes after the months before it",
        "KEPT": "kept" if row["earliest"] else "kept for ever",
    }
    return {
        "month": f"{row['first'].astimezone(SHANGHAI):%Y-%m}",
        "state": state,
        "what": told.get(state) or _WHY[state].format(days=row["days"], needed=needed),
        "days_found_due": row["days"],
        "goes_at_the_earliest": row["earliest"].isoformat() if row["earliest"] else None,
        "disclosures": row["disclosures"],
    }


def _as_json(state: Any, months: Sequence[dict[str, Any]], apart: float) -> dict[str, Any]:
    return {
        "months_kept": state["months"],
        "today": state["today"].isoformat(),
        "due_if_ended_by": state["due"].isoformat() if state["due"] else None,
        "days_needed": state["days_needed"],
        "days_lived": [day.isoformat() for day in state["lived"]],
        "clock_differs_seconds": round(apart, 1),
        "months": [{name: value for name, value in month.items() if name != "what"} for month in months],
    }


def _show(state: Any, months: Sequence[dict[str, Any]]) -> None:
    """The months that are due, and the one after them."""
    today = f"today is {state['today']} by the database's clock"
    if state["months"] is None:
        typer.echo(f"everything is kept; {today}")
        return
    typer.echo(f"kept: {counted(state['months'], 'whole month')} after the one of the disclosure; {today}")
    lived = sum(day <= state["today"] for day in state["lived"])
    typer.echo(f"the ledger has lived on {lived} of the last 14 days; a month goes after {_needed(state)}")
    due = [month for month in months if month["state"] != "KEPT"]
    shown = months[: len(due) + 1]
    columns = ("month", "at the earliest", "disclosures", "state")
    show_table(
        columns,
        [
            (
                month["month"],
                month["goes_at_the_earliest"] or "",
                f"{month['disclosures']:,}" if month["disclosures"] is not None else "",
                month["what"],
            )
            for month in shown
        ],
    )


def _needed(state: Any) -> str:
    return f"{counted(state['days_needed'], 'day')} on which it was found due"
