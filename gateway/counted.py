"""So many of something, as English has it: for lines that people read.

In: a number and the words for one and for several. Out: "1 row has", "2 rows have".
"""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """The number with the word for it, by default with an s: `counted(2, "record")` is "2 records"."""
    return f"{number} {one if number == 1 else several or one + 's'}"
