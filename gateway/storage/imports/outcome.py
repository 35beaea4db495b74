"""What a loader says of a batch, and what all loaders have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gateway.storage.imports.connection import Connection
from gateway.storage.imports.read import Row
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.remarks import Remarks


@dataclass
class Outcome:
    """Counts of rows and the rows that could not be taken after all."""

    new: int = 0
    changed: int = 0
    same: int = 0
    older: int = 0  # content that was replaced since, not put back
    rejected: list[tuple[Row, tuple[CellError, ...]]] = field(default_factory=list)
    remarks: Remarks = field(default_factory=Remarks)

    def reject(self, row: Row, *errors: CellError) -> None:
        """This row is not taken."""
        self.rejected.append((row, errors))


class Loader(Protocol):
    """Takes typed rows of one kind of file, a batch in one transaction."""

    async def load(self, connection: Connection, rows: list[Row]) -> Outcome:
        """Write the batch. The caller has opened the transaction."""
        ...

    def rolled_back(self) -> None:
        """Forget what the batch made."""
        ...

    def problems(self, row: Row) -> list[CellError]:
        """What else is wrong with a row whose cells have faults already."""
        ...


@dataclass
class Seen:
    """Keys of this file: the same row twice is one, two rows that contradict each other are not both taken."""

    rows: dict[object, tuple[int, int, object]] = field(default_factory=dict)

    def twice(self, key: object, row: Row, content: object) -> bool:
        """Was this key seen before with the same content? Raises CellError where with another one."""
        first, first_line, first_content = self.rows.setdefault(key, (row.number, row.line, content))
        if first == row.number:
            return False  # the same row once more, after its batch was rolled back
        if first_content != content:
            raise CellError(
                "",
                "",
                f"与第 {first_line} 行是同一条信息而内容不同",
                f"is the same as line {first_line} of this file, with other content",
            )
        return True
