"""Scalars: Uscc (GB 32100-2015), Date and DateTime (RFC 3339), Decimal (a string, yuan unless said)."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.errors import BadUserInput
from gateway.storage.identifiers import valid_uscc
from gateway.storage.nearly import is_code_of_organisation, masked

Uscc = NewType("Uscc", str)
Date = NewType("Date", str)
DateTime = NewType("DateTime", str)
Decimal = NewType("Decimal", str)

_LONGEST = 60  # characters of what may be a code, badly written
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_uscc(value: Any) -> str:
    """A USCC whose check digit holds. Raises BadUserInput, also for a person's number that holds as a code, as one in
    31 does: the account would keep it as the code that it is not."""
    if isinstance(value, str) and is_code_of_organisation(value):
        return value
    if (
        isinstance(value, str)
        and len(value) < _LONGEST
        and valid_uscc(normal := _normal(value))
        and masked(normal) == normal
    ):
        raise BadUserInput(
            f"not in its normal form; write {normal}: capital ASCII letters and digits, nothing between them",
            f"书写形式不规范，请写作 {normal}：半角大写字母和数字，中间无空格",
        )
    raise BadUserInput(
        "not a unified social credit code; correct it: 18 characters of GB 32100-2015 with a check digit that holds",
        "不是有效的统一社会信用代码，请核对：应为 18 位且校验码正确（GB 32100-2015）",
    )


def _normal(text: str) -> str:
    """A code as it should have been written: half width, capitals, no spaces or hyphens."""
    return "".join(unicodedata.normalize("NFKC", text).upper().replace("-", "").split())


def parse_date(value: Any) -> dt.date:
    """A day as YYYY-MM-DD. Raises BadUserInput."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise BadUserInput(
        "not a day that exists, in the form YYYY-MM-DD; write one such as 2026-03-01",
        "不是 YYYY-MM-DD 形式的有效日期，请写作例如 2026-03-01",
    )


def _output_only(value: Any) -> Any:
    raise BadUserInput("answers alone have this type; give another", "该类型只用于答复，请使用其他类型")


SCALARS: dict[object, ScalarDefinition] = {
    Uscc: strawberry.scalar(
        name="Uscc",
        description="统一社会信用代码 (GB 32100-2015): 18 characters, check digit verified",
        serialize=str,
        parse_value=parse_uscc,
    ),
    Date: strawberry.scalar(
        name="Date",
        description="A day in Asia/Shanghai, YYYY-MM-DD (RFC 3339 full-date)",
        serialize=str,
        parse_value=parse_date,
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    ),
    DateTime: strawberry.scalar(
        name="DateTime",
        description="A moment with milliseconds at +08:00 (RFC 3339 date-time)",
        serialize=str,
        parse_value=_output_only,
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="A decimal number as a string with two decimals; yuan unless said",
        serialize=str,
        parse_value=_output_only,
    ),
}
