"""Headings: which spellings are the same, which column each one means, and which may never be recorded.

In: the cells of a row, a kind of file, a mapping. Out: the columns by position, or ImportFileError. Folded: width,
spaces, line breaks, hyphens, brackets, the asterisk and the word 必填, numbers in front, and the number in
行政相对人代码_1(统一社会信用代码), which offices count differently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from gateway.errors import ImportFileError
from gateway.storage.identifiers import mask_identity_numbers
from gateway.storage.imports.columns import Column, FileKind
from gateway.storage.imports.mapping import Mapping
from gateway.storage.nearly import masked

# Never recorded (征信业管理条例 Art. 14; DOMAIN): a file with such a heading is refused whole.
FORBIDDEN_PARTS = (
    "宗教", "信仰", "民族", "种族", "族别", "族属", "族称", "族裔", "教派", "信教", "基因", "指纹", "血型", "疾病",
    "病史", "病历", "病情", "患病", "传染病", "艾滋", "健康", "身体状况", "体检", "精神状况", "住院", "孕产", "孕情",
    "伤残", "残障", "过敏史", "手术史", "既往史", "诊断", "病种", "精神病", "心理状况", "心理健康", "心理疾病",
    "职业病", "尘肺", "乙肝", "肝炎", "肺结核", "梅毒", "癌症", "肿瘤", "遗传", "视网膜", "脸型", "步态", "信奉",
    "教徒", "教籍", "名族", "民氏", "少数族", "生物识别", "生物特征", "人脸", "面部", "虹膜", "声纹", "掌纹", "残疾",
    "婚育", "religio", "ethnic", "minzu", "zongjiao", "fingerprint", "biometric", "bloodtype", "genetic", "disease",
    "illness", "disabilit", "faceimage", "healthstatus",
)  # fmt: skip
FORBIDDEN_WORDS = frozenset(
    (
        "race", "gene", "genes", "health", "blood", "iris", "dna", "hiv", "aids", "faith", "mz", "mzdm", "mzmc", "zjxy",
        "jkzk", "xuexing",
    )
)  # fmt: skip
# Of an organisation, or of goods: none of a person's traits, though the word is in it.
_HONEST = re.compile(
    r"质量体检|信用体检|企业体检|设备体检|民族自治[区州县旗]|(?:信用|故障|企业|质量|安全|设备|风险)诊断"
    r"|职业病(?:危害|防治|防护|诊断机构|鉴定机构)"
)
# A heading that is a people's name, or asks for one.
_PEOPLES = re.compile(
    r"^族[类系群]?$|(?:汉|回|蒙|藏|满|壮|苗|彝|维|哈|柯|锡伯|塔吉克|塔塔尔|俄罗斯|乌孜别克|达斡尔|维吾尔|哈萨克|柯尔克孜|蒙古)族"
    r"(?!自治|乡|学校|中学|小学)"
)
# Spellings of other generations and regions, beside those that NFKC folds.
_VARIANTS = str.maketrans(
    "敎傳殘體檢種診斷過術歷況職業塵網膜視聲紋臉遺狀險類醫療癥敏",
    "教传残体检种诊断过术历况职业尘网膜视声纹脸遗状险类医疗症敏",
)
# A title above the header may name the organ whose file it is.
_ORGANS = re.compile(
    r"(?:民族宗教|民族|宗教|卫生健康|残疾人|疾病预防控制|健康)[一-鿿]{0,6}?(?:事务局|委员会|联合会|局|委|中心|厅|部|办公室)"
    r"|民族自治|多民族|各民族|少数民族自治"
)
_NOTES = re.compile(
    r"\((?:必填项?|选填项?|非必填|可填|可空|必选|可选|条件必填|required|optional|yyyy[^)]*|格式[^)]*|文本[^)]*|下拉[^)]*"
    r"|如[^)]*|例[^)]*)\)"
)
_NOT_SEEN = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]+")
_MARKS = re.compile(r"[_\-‐-―−*★☆※·.、，,:;\"'“”‘’()\[\]〔〕【】<>《》]+")
_NUMBERED = re.compile(r"^(?:\(?\d{1,2}\)|\d{1,2}[.、](?=[^\d]))")

_UNIT = re.compile(r"([百千万亿]*)元(?:人民币)?$")  # at the end of a folded heading
_UNIT_SAID = re.compile(r"/?(?:单位)?(?=[百千万亿]*元(?:人民币)?$)")
_MONEY = frozenset(("yuan", "wan"))
_UNITS = {"": "yuan", "万": "wan"}
# A heading with one of these that means nothing here is an amount that would be lost.
_OF_MONEY = re.compile(r"金额|罚款|没收")

Columns = tuple[tuple[Column, ...], ...]  # by position


@lru_cache(maxsize=20_000)
def fold_heading(heading: str) -> str:
    """A heading as compared. Folding twice changes nothing."""
    folded = _NOT_SEEN.sub("", unicodedata.normalize("NFKC", heading)).casefold()
    folded = _NOTES.sub("", _NUMBERED.sub("", folded.lstrip("*★※")))
    folded = _MARKS.sub("", folded)
    return _UNIT_SAID.sub("", re.sub(r"^行政相对人代码\d(?=\D)", "行政相对人代码", folded), count=1)


def in_unit(column: Column, heading: str, *, mapped: bool = False) -> Column:
    """The column with the unit of the heading that was used. A Chinese heading that names none, but 金额, leaves it to
    the cells; under a mapping file it is that of the column."""
    if column.type not in _MONEY:
        return column
    folded = fold_heading(heading)
    if (unit := _UNIT.search(folded)) is not None:
        return replace(column, type=_UNITS.get(unit[1], "money"))
    return column if mapped or folded.isascii() or folded == "金额" else replace(column, type="money")


class Headings:
    """What the headings of one kind of file mean, looked up by their folded spelling."""

    def __init__(self, kind: FileKind, mapping: Mapping) -> None:
        self.kind = kind
        self.mapping = mapping
        taken = {name for names in mapping.columns.values() for name in names}
        self._known: dict[str, list[Column]] = {}
        for column in kind.columns:
            for name in {fold_heading(name) for name in (column.name, *column.headings)}:
                if column.name not in taken:
                    self._known.setdefault(name, []).append(column)
        self._older = {fold_heading(name) for name in kind.older}

    def columns(self, headings: Sequence[str]) -> Columns:
        """The columns that each heading means, none where it means nothing here."""
        older = not self._older.isdisjoint(fold_heading(heading) for heading in headings)
        generation = "older" if older else "present"
        return tuple(self._meant(heading, generation) for heading in headings)

    def _meant(self, heading: str, generation: str) -> tuple[Column, ...]:
        if heading in self.mapping.columns:
            found = (self.kind.column(name) for name in self.mapping.columns[heading])
            return tuple(in_unit(column, heading, mapped=True) for column in found if column is not None)
        known = self._known.get(fold_heading(heading), ())
        return tuple(in_unit(column, heading) for column in known if column.generation in ("", generation))

    def not_read(self, headings: Sequence[str], columns: Columns) -> tuple[str, ...]:
        """The headings that mean nothing here, without those that the mapping leaves out."""
        pairs = zip(headings, columns, strict=True)
        return tuple(name for name, found in pairs if name and not found and name not in self.mapping.columns)

    def missing(self, columns: Columns) -> list[Column]:
        """The columns that a row must have and this header lacks."""
        present = {column.meaning for found in columns for column in found} | set(self.mapping.constants)
        return [column for column in self.kind.columns if column.required and column.name not in present]

    def repeats(self, cells: Sequence[str], columns: Columns) -> bool:
        """Is this row a header again: every cell that is not empty a heading for the column above it?"""
        filled = [(cell, found) for cell, found in zip(cells, columns, strict=False) if cell.strip()]
        if not filled or len(cells) > len(columns):
            return False
        below = self.columns(list(cells))
        meant = [
            (names, found)
            for (cell, found), names in zip(
                filled, (b for c, b in zip(cells, below, strict=False) if c.strip()), strict=True
            )
        ]
        named = [({one.name for one in names}, {one.name for one in found}) for names, found in meant]
        return all(names and names == found for names, found in named if found) and any(names for names, _ in named)


def check_header(path: Path, line: int, headings: Sequence[str], columns: Columns, mapping: Mapping) -> None:
    """ImportFileError where a heading stands twice, two mean the same column, or the mapping names what isn't there."""
    seen: set[str] = set()
    for heading in headings:
        folded = fold_heading(heading)
        if folded and folded in seen:
            told = masked(heading)
            raise ImportFileError(
                f"{path}: line {line}: the heading {told!r} stands there twice",
                f"{path}：第 {line} 行：列名“{told}”重复",
            )
        seen.add(folded)
    owner: dict[str, str] = {}
    for heading, found in zip(headings, columns, strict=True):
        for column in found:
            if column.name in owner:
                one, other = masked(owner[column.name]), masked(heading)
                raise ImportFileError(
                    f"{path}: line {line}: {one!r} and {other!r} both mean {column.name};"
                    " leave one out by a mapping file",
                    f"{path}：第 {line} 行：“{one}”和“{other}”是同一列（{column.chinese}），请删去一列",
                )
            owner[column.name] = heading
    lost = [theirs for theirs in mapping.columns if theirs not in headings]
    if lost:
        raise ImportFileError(
            f"{path}: the mapping names headings that the file hasn't: {masked(', '.join(lost))}",
            f"{path}：映射文件中的列名在文件中没有：{masked('、'.join(lost))}",
        )


def refuse_lost_money(path: Path, line: int, unread: Sequence[str], kind: FileKind) -> None:
    """ImportFileError where a heading that means nothing speaks of money: the amounts would be lost without a word."""
    money = [column.name for column in kind.columns if column.type in _MONEY]
    lost = [masked(heading) for heading in unread if _OF_MONEY.search(fold_heading(heading))]
    if money and lost:
        raise ImportFileError(
            f"{path}: line {line}: the column {lost[0][:60]!r} speaks of money and is none that is known; say what it"
            f' means in a mapping file: [columns] "{lost[0][:60]}" = "{"fine" if "fine" in money else money[0]}"'
            f' (one of {", ".join(money)}), or "" to leave it out',
            f"{path}：第 {line} 行：列“{lost[0][:60]}”涉及金额但无法识别，为免漏记，整个文件拒收；请改用模板的列名，"
            f'或在映射文件中写明其含义（{"、".join(money)}），不需要的写 ""',
        )


def refuse_forbidden(path: Path, line: int, cells: Sequence[str], *, title: bool = False) -> None:
    """ImportFileError where a cell is a heading of what may not be recorded. `title`: a row above the header, where the
    name of an organ may stand."""
    for cell in cells:
        if is_forbidden(cell, title=title):
            told = masked(cell.strip())[:40]
            raise ImportFileError(
                f"{path}: line {line}: the column {told!r} may not be recorded (religion, ethnicity,"
                " biometrics or health of persons); the file is refused whole: take the column out",
                f"{path}：第 {line} 行：列“{told}”属于禁止采集的信息（宗教、民族、生物识别、健康等），"
                "整个文件拒收，请先删去该列",
            )


def is_forbidden(cell: str, *, title: bool = False) -> bool:
    """Is this the heading of a column that may never be recorded?"""
    plain = unicodedata.normalize("NFKC", cell).translate(_VARIANTS)
    words = {word for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).casefold()) if word}
    squeezed = re.sub(r"[\W_]+", "", plain).casefold()
    squeezed = _HONEST.sub("", squeezed)
    if title:
        squeezed = _ORGANS.sub("", squeezed)
    if any(part in squeezed for part in FORBIDDEN_PARTS) or words & FORBIDDEN_WORDS:
        return True
    return not title and _PEOPLES.search(fold_heading(plain)) is not None


def refuse_forbidden_below(
    path: Path, rows: Iterable[tuple[int, Sequence[str]]], columns: Columns, headings: Sequence[str]
) -> None:
    """The same for rows under the header that may belong to it, as where cells are merged over several columns: a
    heading under a heading. In a row of data, only what stands under no heading, or one that means nothing, is looked
    at, and only where it is such a heading and nothing else."""
    for line, cells in rows:
        pairs = list(zip(cells, columns, strict=False))
        if _belongs_to_header(cells, columns, headings):
            refuse_forbidden(path, line, [cell for cell in cells if len(cell.strip()) <= _LONGEST_BELOW])
        else:
            refuse_forbidden(path, line, [cell for cell, meant in pairs if not meant and _is_bare(cell)])


def _belongs_to_header(cells: Sequence[str], columns: Columns, headings: Sequence[str]) -> bool:
    """Does nothing stand where a row must have something, or the heading itself (a cell merged downwards)?"""
    required = [n for n, meant in enumerate(columns) if any(column.required for column in meant)]
    said = [(cells[n].strip() if n < len(cells) else "", headings[n].strip()) for n in required]
    return any(cell.strip() for cell in cells) and all(cell in ("", heading) for cell, heading in said)


def _is_bare(cell: str) -> bool:
    return fold_heading(cell) in _BARE


_LONGEST_BELOW = 12  # characters: more is a note of who sends the file
_BARE = frozenset(
    ("民族", "族", "种族", "族别", "宗教", "宗教信仰", "信仰", "健康状况", "身体状况", "血型", "病史", "疾病", "残疾")
)


def explain_missing(
    path: Path, rows: Sequence[tuple[int, Sequence[str]]], headings: Headings, kinds: Iterable[FileKind]
) -> ImportFileError:
    """Why no row of the file is its header: what the most likely one lacks, and the kinds whose header it would be."""

    def known(row: tuple[int, Sequence[str]]) -> tuple[int, int]:
        return sum(1 for found in headings.columns(row[1]) if found), sum(1 for cell in row[1] if cell.strip())

    line, cells = max(rows, key=known)
    missing = headings.missing(headings.columns(cells))
    named = "; ".join(" / ".join((column.name, *column.headings)) for column in missing)
    # It may be a row of somebody's data: numbers of persons are masked.
    said = ", ".join(mask_identity_numbers(cell)[:20] for cell in cells if cell)[:120]
    fitting = [kind.name for kind in kinds if _fits(Headings(kind, headings.mapping), cells)]
    return ImportFileError(
        f"{path}: no header of {headings.kind.name}. Line {line} was taken for it ({said}), which has no column for"
        f" {named}."
        + (f" It is a header of: {', '.join(fitting)} (--as)." if fitting else "")
        + " If headings differ, give a mapping file; `--template FILE` shows what is expected",
        f"{path}：没有找到“{headings.kind.title}”的表头。最接近的是第 {line} 行（{said}），缺少列："
        + "、".join(column.chinese for column in missing)
        + (f"。该表头适用于：{'、'.join(fitting)}（--as）" if fitting else "")
        + "。列名不同的请用映射文件，或用 --template 取模板",
    )


def _fits(headings: Headings, cells: Sequence[str]) -> bool:
    return not headings.missing(headings.columns(cells))
