"""The calendar of the law and of everybody who asks: Asia/Shanghai, wherever the machine stands."""

from __future__ import annotations

import datetime as dt
from typing import Final

SHANGHAI: Final = dt.timezone(dt.timedelta(hours=8))  # no summer time since 1991, so no table of zones is needed


def today() -> dt.date:
    """The day there."""
    return dt.datetime.now(SHANGHAI).date()


def shown(at: dt.datetime) -> str:
    """A time as people read it here: RFC 3339, to the second, with the offset of that zone."""
    return at.astimezone(SHANGHAI).isoformat(timespec="seconds")
