"""Rows that could not be taken, in a file that can be mended and imported again.

In: rejected rows. Out: a CSV beside the input: line, column, value, reason_zh, reason_en, then the cells as received,
identity numbers masked. The file is made only where there is something to say.
"""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from gateway.errors import ImportFileError

HEADINGS = ("line", "column", "value", "reason_zh", "reason_en")


def rejects_for(path: Path, chosen: Path | None) -> Path:
    """Where the rejects of a file go: where it was said, else beside it, `name.rejects.csv`. Never the file itself."""
    rejects = chosen or path.with_name(f"{path.stem}.rejects.csv")
    if rejects.resolve() == path.resolve():
        raise ImportFileError(f"the rejects would replace {path} itself; give another place for them")
    return rejects


@dataclass
class Rejects:
    """Writes the rejects of one run. The file appears under its name when the run ends, so a killed run leaves none."""

    path: Path
    headings: tuple[str, ...]
    count: int = 0
    _file: IO[str] | None = field(default=None, repr=False)
    _writer: Any = field(default=None, repr=False)
    _temporary: str = field(default="", repr=False)

    def __enter__(self) -> Rejects:
        return self

    def add(self, line: int, column: str, value: str, zh: str, en: str, cells: tuple[str, ...]) -> None:
        """One rejected row; `cells` are masked already."""
        if self._file is None:
            # Rows of persons may stand in it: readable by its owner alone, under a name that nobody can take before.
            fd, self._temporary = tempfile.mkstemp(".part", f".{self.path.name[:100]}.", self.path.parent)
            self._file = os.fdopen(fd, "w", encoding="utf-8-sig", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow((*HEADINGS, *self.headings))
        self._writer.writerow((line, column, value, zh, en, *cells))
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
                os.replace(self._temporary, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(self._temporary)
                raise
