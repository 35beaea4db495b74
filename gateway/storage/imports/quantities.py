"""Days and money as they are written: four forms of dates and more, amounts with units, both in Chinese numerals too.

In: the text of a cell. Out: a day, or yuan with two decimals; RefusedError else. What could mean two things (a year of
two digits, day before month, 1-2万) is refused, never guessed.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from gateway.storage.imports.refused import RefusedError
from gateway.zone import SHANGHAI

_TIME = r"(?:[ T]?(?:[上下]午)? ?\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?| ?\d{1,2}[时点]\d{0,2}分?(?:\d{1,2}秒)?)?"
_DATE = re.compile(rf"(\d{{4}})(?:[-/.]|年)(\d{{1,2}})(?:[-/.]|月)(\d{{1,2}})[日号]?{_TIME}")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{6})?(?:\.0+)?")
_SERIAL = re.compile(r"([1-9]\d{4})(?:\.\d+)?")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})")
_MILLISECONDS = re.compile(r"1\d{12}")
_JAVA = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d{1,2}) \d{2}:\d{2}:\d{2} (?:CST|GMT\+08:00) (\d{4})")
_CHINESE_DATE = re.compile(
    r"([零〇○一二三四五六七八九]{4})年([一二三四五六七八九十]{1,3})月([一二三四五六七八九十]{1,3})[日号]"
)
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "○": 0}
_EXCEL_DAY_ZERO = dt.date(1899, 12, 30)
_EARLIEST, _LATEST = dt.date(1949, 1, 1), dt.date(2999, 12, 31)
# What empty cells became in the files of others: the first days of Excel and of databases.
_NULL_DAYS = frozenset((dt.date(1, 1, 1), dt.date(1899, 12, 30), dt.date(1899, 12, 31), dt.date(1900, 1, 1)))
_NULL_DAY = re.compile(r"(?:1900|0000)[-/.年]0?[01][-/.月]0?0日?(?: 0?0:00(?::00)?)?")
# Five digits are a day as Excel counts them; but 20266 is 2026 with digits lost, and no day of 1955.
_FIRST_SERIAL = 29_221  # 1980-01-01
_NO_DAYS = frozenset(
    ("0", "0000-00-00", "0000/00/00", "00000000", "0001-01-01", "9999-12-31", "9999/12/31", "99991231")
)
LONG_TERM = dt.date(2099, 12, 31)  # how 双公示 writes that a licence has no end
_WITHOUT_END = frozenset(("长期", "长期有效", "永久", "永久有效", "无期限", "无固定期限", "9999-12-31", "9999/12/31"))


@lru_cache(maxsize=20_000)
def parse_date(text: str) -> dt.date | None:
    """A day: 2017-08-11, 2017/8/11, 2017.8.11, 2017年08月11日, 20170811, an Excel serial, 二〇一七年八月十一日; with a
    time of day behind it; milliseconds since 1970; what Java prints. None for 1900-1-1 and its like; ValueError else,
    and RefusedError where it has its own reason."""
    plain = " ".join(unicodedata.normalize("NFKC", text).strip(" '’‘\t\n").split())
    if plain in _NO_DAYS or _NULL_DAY.fullmatch(plain):
        return None
    if "年" in plain:
        plain = re.sub(r"(?<=[年月\d]) (?=[\d年月日])", "", plain)
    day = _day(plain)
    if day in _NULL_DAYS:
        return None
    if not _EARLIEST <= day <= _LATEST:
        raise RefusedError(
            f"日期 {day} 不在 1949 年至 2999 年之间，请核对年份",
            f"the day {day} is not between 1949 and 2999; see the year",
        )
    return day


def _day(plain: str) -> dt.date:
    match = _DATE.fullmatch(plain) or _COMPACT.fullmatch(plain)
    if match is not None:
        return dt.date(int(match[1]), int(match[2]), int(match[3]))
    if (match := _SERIAL.fullmatch(plain)) is not None:
        if int(match[1]) < _FIRST_SERIAL:
            raise RefusedError(
                "五位数字按 Excel 序列号是 1980 年以前的日期，多半少写了位数；请写成 2026-03-01 的形式",
                "five digits, which as a number of Excel would be a day before 1980; write it as 2026-03-01",
            )
        return _EXCEL_DAY_ZERO + dt.timedelta(days=int(match[1]))
    if _MILLISECONDS.fullmatch(plain):
        return dt.datetime.fromtimestamp(int(plain) / 1000, SHANGHAI).date()
    if _INSTANT.fullmatch(plain):
        return dt.datetime.fromisoformat(plain).astimezone(SHANGHAI).date()
    if (match := _JAVA.fullmatch(plain)) is not None and (at := _MONTHS.find(match[1])) % 3 == 0:
        return dt.date(int(match[3]), at // 3 + 1, int(match[2]))
    if (match := _CHINESE_DATE.fullmatch(plain)) is not None:
        year = int("".join(str(_DIGITS[digit]) for digit in match[1]))
        return dt.date(year, _below_hundred(match[2]), _below_hundred(match[3]))
    raise ValueError("not a date")


def _below_hundred(text: str) -> int:
    """八, 十, 十一, 二十, 三十一. ValueError for other texts of these characters."""
    tens, ten, ones = text.rpartition("十")
    if len(tens) > 1 or len(ones) > 1:
        raise ValueError("not a number of a day")
    return (_DIGITS[tens] if tens else 1) * 10 * bool(ten) + (_DIGITS[ones] if ones else 0)


def date_of(text: str) -> dt.date | None:
    """The same for a cell: RefusedError that says what a date looks like."""
    try:
        return parse_date(text)
    except ValueError:
        raise RefusedError(
            "不是日期（例：2026-03-01、2026年3月1日、20260301）", "not a date (2026-03-01, 2026年3月1日, 20260301)"
        ) from None


def until_of(text: str) -> dt.date | None:
    """A day until which something holds; 长期 is 2099-12-31, as 双公示 writes it."""
    return LONG_TERM if unicodedata.normalize("NFKC", text).strip() in _WITHOUT_END else date_of(text)


# Money ----------------------------------------------------------------------------------------------------------------

_MONEY = re.compile(
    r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(\.[0-9]+)?(亿元?|千万元?|百万元?|十万元?|万元?|千元|百元|元)?整?"
)
_BEFORE = re.compile(r"^(?:人民币|人民幣|rmb|cny|共计|合计|计|[¥￥])+[:]?|(?:人民币|rmb|cny)$", re.IGNORECASE)
_CURRENCY = re.compile(r"[¥￥]|人民[币幣]|rmb|cny", re.IGNORECASE)
_UNITS = {"": 1, "百": 100, "千": 1_000, "十万": 100_000, "万": 10_000, "百万": 10**6, "千万": 10**7, "亿": 10**8}
_MOST = Decimal(10) ** 17  # yuan: the sum of a row's amounts still fits numeric(20, 2)
_CAPITALS = str.maketrans("壹贰貳叁參肆伍陆陸柒捌玖拾佰仟萬億圆圓两俩", "一二二三三四五六六七八九十百千万亿元元二二")
_BELOW_WAN = (
    r"(?:[一二三四五六七八九]千)?零?(?:[一二三四五六七八九]百)?零?(?:[一二三四五六七八九]?十)?零?[一二三四五六七八九]?"
)
_NUMERAL = re.compile(r"[一二三四五六七八九十]")
_CHINESE_MONEY = re.compile(
    rf"((?:{_BELOW_WAN}亿)?零?(?:{_BELOW_WAN}万)?零?{_BELOW_WAN})元(?:([零一二三四五六七八九])角)?零?(?:([一二三四五六七八九])分)?整?正?"
)


_ONES_BARE = re.compile(r"[百千万亿][一二三四五六七八九](?=[万亿元])")  # 一万五元; 一万零五元 and 一万五千元 are clear


def money_of(text: str, unit: str | None) -> Decimal:
    """Yuan, two decimals. `unit` (元 or 万元; None: its heading names none) is that of the column; one in the cell goes
    before it, and so does a mark of currency, which means yuan."""
    whole = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).strip(" '’‘\t\n"))
    plain = _BEFORE.sub("", _BEFORE.sub("", whole))
    if _CURRENCY.search(whole):
        unit = "元"
    yuan = _in_chinese(plain)
    if yuan is None:
        yuan = _in_digits(plain, unit)
    rounded = yuan.quantize(Decimal("0.01")) if yuan < _MOST else None
    if rounded is None:
        raise RefusedError("金额过大", "an amount that large can't be")
    if rounded != yuan:
        raise RefusedError("金额精确到分，小数位过多", "more decimals than there are fen (0.01 yuan)")
    return rounded


def _in_digits(plain: str, unit: str | None) -> Decimal:
    match = _MONEY.fullmatch(plain)
    if match is None or (match[1] is None and match[2] is None):
        raise RefusedError(
            "不是金额（非负数，如 1.5；可带单位 元 或 万元）",
            "not an amount (not negative, such as 1.5; 元 or 万元 may follow)",
        )
    if not match[3] and (unit is None or (unit == "万元" and "," in plain)):
        raise RefusedError(
            "请在金额后写明单位：元 或 万元", "say the unit behind the amount: 元 (yuan) or 万元 (10,000 yuan)"
        )
    number = Decimal((match[1] or "0").replace(",", "") + (match[2] or ""))
    return number * _UNITS[(match[3] or unit or "").removesuffix("元")]


def _in_chinese(plain: str) -> Decimal | None:
    """壹万伍仟元整, 三百元五角; None for what is written in other ways."""
    match = _CHINESE_MONEY.fullmatch(plain.translate(_CAPITALS))
    if match is None or not match[1]:
        return None
    sections = re.split(r"[亿万]", match[1])
    if len(sections) > 1 and not sections[-1]:
        sections.pop()
    if match[1] != "零" and not all(_NUMERAL.search(section) for section in sections):
        return None  # a unit alone (万元, 一亿万元) is no number
    if _ONES_BARE.search(match[0]):
        raise RefusedError(
            "“一万五元”一类写法有歧义：请写“一万零五元”或“一万五千元”，或用阿拉伯数字",
            "may mean two amounts (一万五: 10,005 or 15,000): write 零 or the unit, or use digits",
        )
    total = section = digit = 0
    for character in match[1]:
        if character in _DIGITS:  # 零 too, which only separates
            digit = _DIGITS[character]
        elif character in "十百千":
            section += (digit or 1) * {"十": 10, "百": 100, "千": 1_000}[character]
            digit = 0
        else:
            lower = section + digit
            total = total + lower * 10_000 if character == "万" else (total + lower) * 10**8
            section = digit = 0
    whole = Decimal(total + section + digit)
    return whole + Decimal(_DIGITS[match[2] or "零"]) / 10 + Decimal(_DIGITS[match[3] or "零"]) / 100
