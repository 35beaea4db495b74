"""What is nearly an identity number: mistyped, a character short or long, or a whole one that passes for a code.

In: text of a cell. Out: whether it is one, and the text with its middle hidden. No I/O. Where a code is expected, such
a number would make of a person an organisation that everybody can search for. Whole numbers in running text:
`identifiers.mask_identity_numbers`; running text isn't looked at here, since accounts look much the same.
"""

from __future__ import annotations

import re
import unicodedata

from gateway.storage.identifiers import mask_identity_numbers, valid_resident_id, valid_uscc

_SLASHES = r"/\\_／＼＿⁄∕⧸∖⧵"  # in a class of characters
_BETWEEN = re.compile(rf"[\s\-‐-―−.·\u200b-\u200f\u2060\ufeff'’‘`\"“”{_SLASHES}]+")
_FIRST = re.compile(r"[\s\u200b-\u200f\u2060\ufeff'’‘`\"“”]*[\dOoIiLl|ＯｏＩｉＬｌ①-⑨]")  # tells texts apart at once
_TAKEN_FOR_DIGITS = str.maketrans("OoIiLl|", "0011111")
_MORE_XS = str.maketrans("×✕ХхΧχ", "XXXXXX")
_LETTERS = 2  # characters of a number that may be none of its digits: its X, and a slip
_PROVINCE = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_BEGINS = re.compile(rf"{_PROVINCE}[0-9A-Z]{{4}}(?:19|20)[0-9]{{2}}{_DAY}")
_BEGINS_AS_OLD = re.compile(rf"{_PROVINCE}[0-9A-Z]{{4}}[0-9]{{2}}{_DAY}")
_CENTURIES = frozenset(("19", "20", "L9"))  # of birth, as a whole number has them, in the letters that a code has
_TO_DAY = 14  # characters up to the end of the day of birth
# Two days, as a term is written: their digits may read as an older number with one too many.
_DATE = r"(?:19|20)[0-9]{2}([-/.])(?:0?[1-9]|1[0-2])\%d(?:0?[1-9]|[12][0-9]|3[01])"
_TERM = re.compile(rf"{_DATE % 1}\s*[-‐-―−/]?\s*{_DATE % 2}")
# A piece of a cell with several codes, or with words around one: what slashes separate by itself first, then as one.
_PIECES = [
    re.compile(rf"[0-9A-Za-z|](?:[\s\-‐-―−.·\u200b-\u200f\u2060\ufeff{slashes}]{{0,3}}[0-9A-Za-z|×✕ХхΧχ]){{13,}}")
    for slashes in ("", _SLASHES)
]
# The departments of GB 32100 with their kinds, then the province of the division (10: of the whole state).
_AS_A_CODE = re.compile(
    r"(?:1[1-39]|2[19]|3[1-59]|4[19]|5[1-59]|6[129]|7[129]|8[19]|9[1-39])(?:10|1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12])"
)

# Prefectures whose numbers of persons begin as a code could.
_PREFECTURE = re.compile(
    r"1311|211[1-4]|321[1-3]|3311|341[1-5]|411[1-5]|511[1345]|513[234]|522[23]|5323|533[134]|542[1-3]|621[12]|622[1-3]"
)


def nearly_identity_number(text: str) -> bool:
    """Is this whole text a resident identity number, or one with a character too few, too many or mistaken?

    15 to 19 characters, nearly all digits: a province in front, then a day of birth where one stands. Never a valid
    unified social credit code, unless that has a department or division which no code has, or holds as an identity
    number as well and begins with a prefecture that there is.
    """
    if not 15 <= len(text) <= 60 or not _FIRST.match(text) or _TERM.fullmatch(text):
        return False
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_MORE_XS)
    folded = (plain if plain.isalnum() else _BETWEEN.sub("", plain)).upper()
    if not 15 <= len(folded) <= 19 or not folded.isascii() or not folded.isalnum():
        return False
    digits = folded.translate(_TAKEN_FOR_DIGITS)
    if sum(character.isdigit() for character in digits) < len(digits) - _LETTERS or not _looks_like_one(digits):
        return False
    return not valid_uscc(folded) or not _is_code_alone(folded)


def is_code_of_organisation(code: str) -> bool:
    """Whether a text is a unified social credit code whose check digit holds, and no person's number that holds as one,
    as one in 31 does. No province begins with a 9."""
    return valid_uscc(code) and (code[0] == "9" or code[6:8] not in _CENTURIES or not nearly_identity_number(code))


def _looks_like_one(digits: str) -> bool:
    """A day of birth behind a province, in whatever place a lost or added character leaves them."""
    length = len(digits)
    if length == 15:
        return _BEGINS_AS_OLD.match(digits) is not None
    if _BEGINS.match(digits):
        return True
    if length == 16:  # the older form and one too many
        return any(_BEGINS_AS_OLD.match(digits[:at] + digits[at + 1 :]) for at in range(12))
    if length == 17:  # one is missing: any may be
        return any(_BEGINS.match(digits[:at] + str(lost) + digits[at:]) for at in range(_TO_DAY) for lost in range(10))
    return length == 19 and any(_BEGINS.match(digits[:at] + digits[at + 1 :]) for at in range(_TO_DAY))


def _is_code_alone(code: str) -> bool:
    """Is this code, whose check digit holds, one that an organisation can have, and no identity number of its own?"""
    if not _AS_A_CODE.match(code):
        return False
    return not (_PREFECTURE.match(code) and valid_resident_id(code))


def hide_nearly(text: str, *, pieces: bool = False) -> str:
    """The text with its middle hidden where it is nearly an identity number. `pieces`: where a piece of it is, too."""
    if len(text) < 15 or (len(text) == 18 and text[0] == "9" and text.isascii() and text.isalnum()):
        return text  # too short, or as most codes are: no province begins with a 9
    if nearly_identity_number(text):
        stripped = text.strip()
        return stripped[:4] + "*" * (len(stripped) - 8) + stripped[-4:]
    if not pieces or (text.isascii() and text.isalnum()):
        return text
    for pieces_of in _PIECES:
        text = pieces_of.sub(lambda piece: hide_nearly(piece[0]), text)
    return text


# Where a text says that a number of a person follows, what follows is taken for one, with a digit too few or too many.
_SAID = re.compile(
    r"((?:身份证|公民身份|居民身份|证件号)(?:件)?(?:的)?(?:号码|号|编号|码)?[^0-9A-Za-z，,。；;\n]{0,8})"
    rf"([0-9](?:[\s\-‐-―−.·\u200b-\u200f\u2060\ufeff{_SLASHES}]{{0,3}}[0-9]){{12,17}}"
    rf"(?:[\s\-‐-―−.·\u200b-\u200f\u2060\ufeff{_SLASHES}]{{0,3}}[0-9Xx×])?)(?![0-9])"
)


def hide_said(text: str) -> str:
    """Running text without the numbers of 14 to 19 digits that stand behind 身份证号 and its like."""
    if "证件号" not in text and "身份" not in text:
        return text
    if not text.isascii() and any("０" <= character <= "９" for character in text):
        plain = text.translate(_WIDE)  # as long as the text: places are the same
    else:
        plain = text
    kept, done = [], 0
    for found in _SAID.finditer(plain):
        start, end = found.span(2)
        kept += [text[done : start + 4], "*" * (end - start - 8)]
        done = end - 4
    return "".join((*kept, text[done:]))


_WIDE = str.maketrans("０１２３４５６７８９", "0123456789")


def masked(text: str) -> str:
    """What people name files, sheets and themselves by, without identity numbers, mistyped ones too."""
    return hide_nearly(mask_identity_numbers(text), pieces=True)
