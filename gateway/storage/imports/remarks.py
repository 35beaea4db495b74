"""What a run did with rows that were taken, but that people should look at: counted, and the first few shown.

In: lines of rows and names that disagree. Out: notes in English and Chinese for the summary. A row is never kept out by
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SHOWN = 5


@dataclass
class Remarks:
    """Remarks on the rows of a batch, or of a run."""

    unknown_fines: int = 0
    names: int = 0  # a name other than the one on record under the same code
    first_names: list[tuple[int, str, str, str]] = field(default_factory=list)  # line, code, name on record, name given
    doubled: list[tuple[str, str]] = field(default_factory=list)  # code, name: there by organisation code alone, too

    def other_name(self, line: int, code: str, on_record: str, given: str) -> None:
        """This row names another organisation than its code does."""
        self.names += 1
        if len(self.first_names) < _SHOWN:
            self.first_names.append((line, code, on_record, given))

    def add(self, more: Remarks) -> None:
        """Those of another batch, too."""
        self.unknown_fines += more.unknown_fines
        self.names += more.names
        self.first_names = [*self.first_names, *more.first_names][:_SHOWN]
        self.doubled += more.doubled

    def told(self) -> tuple[str, ...]:
        """As notes, one line each."""
        made = []
        if self.unknown_fines:
            made.append(
                f"{self.unknown_fines} penalties with 罚款 have no amount that is known: their class is GENERAL, and"
                f" they are public / {self.unknown_fines} 条罚款没有金额，按“一般”定级并公示；请补填罚款金额后重新导入"
            )
        if self.names:
            first = "; ".join(f"line {line} {code}: {was}, not {given}" for line, code, was, given in self.first_names)
            made.append(
                f"{self.names} names differ from the one on record under the same code; the rows went in by their codes"
                f" / {self.names} 处名称与该代码在库中的名称不一致，已按代码入库，请核对: {first}"
            )
        if self.doubled:
            first = "; ".join(f"{code} {name}" for code, name in self.doubled[:_SHOWN])
            made.append(
                f"{len(self.doubled)} organisations are on record twice, once by organisation code alone: what is said"
                f" of that one is not found by the unified code / {len(self.doubled)} 个主体已另以组织机构代码单独"
                f"入库，按统一社会信用代码查不到那部分信息，请补填代码后重新导入: {first}"
            )
        return tuple(made)
