"""Regions as conditions: a code of GB/T 2260, or of our own below it."""

from __future__ import annotations

import re
from typing import Any

from gateway.errors import BadUserInput

_CODE = re.compile(r"[0-9]{2}(?:[0-9A-Z]{0,10})")


def region_code(text: Any) -> str:
    """A code that can be a region's. Raises BadUserInput: an empty list would read as if nobody had a record there."""
    if not isinstance(text, str) or not _CODE.fullmatch(text):
        raise BadUserInput(
            "regionCode is not a code of a division; give its 2 to 12 digits as GB/T 2260 has them, such as 6527",
            "regionCode 不是行政区划代码，请按 GB/T 2260 给出 2 至 12 位代码，例如 6527",
        )
    return text
