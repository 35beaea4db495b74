"""What a run did with rows that were taken, but that people should look at: counted, and the first few shown.

In: lines of rows and names that disagree. Out: notes in English and Chinese for the summary. A row is never kept out by
them; those with older content are told here, too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.counted import counted

_SHOWN = 5
VERY_LARGE = Decimal(10) ** 8  # yuan, of one amount: 10,000 in a column of 万元


@dataclass
class Found:
    """Rows of one remark: how many, and what is shown of the first."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def one(self, shown: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(shown)

    def add(self, more: Found) -> None:
        """Those of another batch, too."""
        self.count += more.count
        self.first = [*self.first, *more.first][:_SHOWN]

    def __str__(self) -> str:
        return "; ".join(self.first)


@dataclass
class Remarks:
    """Remarks on the rows of a batch, or of a run."""

    unknown_fines: int = 0
    moved: int = 0  # records from a code that did not hold to the right one
    adopted: int = 0  # records that the regional platform's feed had brought
    ended: int = 0  # of these: repaired or revoked, and so they stay
    names: Found = field(default_factory=Found)  # a name other than the one on record under the same code
    persons: Found = field(default_factory=Found)  # the same under an identity number
    large: Found = field(default_factory=Found)  # amounts of 亿 out of a column of 万元
    odd_fines: Found = field(default_factory=Found)  # a fine where 罚款 is none of the kinds
    older: Found = field(default_factory=Found)
    newest: dt.date | None = None  # the latest day on which what stays in place of older content came
    doubled: list[tuple[str, str]] = field(default_factory=list)  # code, name: there by organisation code alone, too

    def other_name(self, line: int, code: str, on_record: str, given: str) -> None:
        """This row names another organisation than its code does."""
        self.names.one(f"line {line} {code}: {on_record}, not {given}")

    def other_person(self, line: int, masked: str) -> None:
        """This row names its person otherwise than the number does. The name on record is not told: the number may be a
        stranger's."""
        self.persons.one(f"line {line} {masked}")

    def look_at_amounts(self, line: int, values: Mapping[str, object], in_wan: Collection[str]) -> None:
        """Amounts of a row (yuan) that may be ten thousand times what was meant, or that are of no fine. `in_wan`:
        the columns whose numbers are in 万元."""
        for name in in_wan:
            amount = values.get(name)
            if isinstance(amount, Decimal) and amount >= VERY_LARGE:
                self.very_large(line, amount)
        kinds = values.get("penalty_kinds")
        if values.get("fine") and isinstance(kinds, tuple) and "罚款" not in kinds:
            self.fine_without_its_kind(line, kinds)

    def adopt(self, status: str) -> None:
        """A record that the regional platform's feed had brought is these rows' now, with this status."""
        self.adopted += 1
        self.ended += status in ("REPAIRED", "REVOKED")

    def very_large(self, line: int, amount: Decimal) -> None:
        """10,000 and more in a column of 万元."""
        self.large.one(f"line {line}: {amount / 10_000:,.6f}".rstrip("0").rstrip(".") + f" 万元 = {amount:,.2f} 元")

    def fine_without_its_kind(self, line: int, kinds: Sequence[str]) -> None:
        """An amount of a fine beside 警告 alone."""
        self.odd_fines.one(f"line {line}: {'、'.join(kinds)}")

    def older_content(self, line: int, newer_of: dt.date | None) -> None:
        """What this row says was replaced since, by what came on that day (where it is known)."""
        self.older.one(f"line {line}")
        if newer_of is not None and (self.newest is None or newer_of > self.newest):
            self.newest = newer_of

    def add(self, more: Remarks) -> None:
        """Those of another batch, too."""
        self.unknown_fines += more.unknown_fines
        self.moved += more.moved
        self.adopted += more.adopted
        self.ended += more.ended
        for name in ("names", "persons", "large", "odd_fines", "older"):
            getattr(self, name).add(getattr(more, name))
        self.newest = max((day for day in (self.newest, more.newest) if day is not None), default=None)
        self.doubled += more.doubled

    def told(self, before: dt.date | None = None) -> tuple[str, ...]:
        """As notes, one line each. `before`: the day on which this very file was imported before."""
        found = (*self._of_amounts(), *self._of_subjects(), self._of_the_platform(), self._of_older(before))
        return tuple(note for note in found if note)

    def _of_amounts(self) -> tuple[str, ...]:
        large, odd, unknown = self.large.count, self.odd_fines.count, self.unknown_fines
        return (
            large
            and f"ATTENTION: {counted(large, 'amount')} of 100 million yuan (1 亿元) or more in a column of 万元;"
            f" meant in yuan? / 【请核对】{large} 处金额按“万元”列达到 1 亿元以上，是否误把“元”当“万元”填写:"
            f" {self.large}",
            odd
            and f"{counted(odd, 'penalty has', 'penalties have')} the amount of a fine, but 罚款 is none of the kinds;"
            f" the class goes by the kinds / {odd} 条处罚填了罚款金额而处罚类别中没有“罚款”，已按处罚类别定级，请核对:"
            f" {self.odd_fines}",
            unknown
            and f"{counted(unknown, 'penalty', 'penalties')} with 罚款, without an amount that is known: of the class"
            f" GENERAL, and public / {unknown} 条罚款没有金额，按“一般”定级并公示；请补填罚款金额后重新导入",
        )  # type: ignore[return-value]

    def _of_subjects(self) -> tuple[str, ...]:
        names, persons, moved, doubled = self.names.count, self.persons.count, self.moved, len(self.doubled)
        shown = "; ".join(f"{code} {name}" for code, name in self.doubled[:_SHOWN])
        return (
            names
            and f"{counted(names, 'name differs', 'names differ')} from the one on record under the same code; taken by"
            f" the code / {names} 处名称与该代码在库中的名称不一致，已按代码入库，请核对: {self.names}",
            persons
            and f"{counted(persons, 'name of a person differs', 'names of persons differ')} from the one on record"
            f" under the same identity number; taken by the number / {persons} 处姓名与该证件号码在库中的姓名不一致，"
            f"已按证件号码入库，请核对号码: {self.persons}",
            moved
            and f"{counted(moved, 'record was', 'records were')} under a code that fails its check digit; moved to the"
            f" code given now / {moved} 条信息原在校验不通过的代码名下，已移到本次填写的代码名下",
            doubled
            and f"{counted(doubled, 'organisation is', 'organisations are')} on record twice, once by organisation code"
            f" alone: what is said of that one is not found by the unified code / {doubled} 个主体已另以组织机构代码"
            f"单独入库，按统一社会信用代码查不到那部分信息，请补填代码后重新导入: {shown}",
        )  # type: ignore[return-value]

    def _of_the_platform(self) -> str:
        if not self.adopted:
            return ""
        ended_en = f"; repaired or revoked, and staying so: {self.ended}" if self.ended else ""
        ended_zh = f"，其中 {self.ended} 条已修复或撤销，不恢复公示" if self.ended else ""
        return (
            f"{counted(self.adopted, 'row was', 'rows were')} on record from the regional platform already, and this"
            f" source's from now on{ended_en} / {self.adopted} 行此前已由区域平台推送入库，现归本来源{ended_zh}"
        )

    def _of_older(self, before: dt.date | None) -> str:
        if not self.older.count:
            return ""
        until_en = f" (of {self.newest})" if self.newest else ""
        until_zh = f"（{self.newest}）" if self.newest else ""
        return (
            f"{counted(self.older.count, 'row has', 'rows have')} older content, which was replaced since; the newer"
            f" content{until_en} stays."
            + (f" This very file was imported before, on {before}." if before else "")
            + f" --apply-older puts it back on purpose / {self.older.count} 行是已被更正过的旧内容，未采用，"
            + f"保留较新内容{until_zh}"
            + (f"；该文件曾于 {before} 导入" if before else "")
            + f"；确需恢复旧内容的，加 --apply-older 重新导入: {self.older}"
        )
