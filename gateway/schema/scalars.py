"""Scalars: Uscc (GB 32100-2015), Date and DateTime (RFC 3339), Decimal (a string, yuan unless said)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.errors import BadUserInput
from gateway.storage.identifiers import valid_uscc

Uscc = NewType("Uscc", str)
Date = NewType("Date", str)
DateTime = NewType("DateTime", str)
Decimal = NewType("Decimal", str)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_uscc(value: Any) -> str:
    """A USCC whose check digit holds. Raises BadUserInput."""
    if isinstance(value, str) and valid_uscc(value):
        return value
    raise BadUserInput(
        "not a unified social credit code: 18 characters of GB 32100-2015 with a check digit that holds",
        "不是有效的统一社会信用代码：应为 18 位且校验码正确（GB 32100-2015）",
    )


def parse_date(value: Any) -> dt.date:
    """A day as YYYY-MM-DD. Raises BadUserInput."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise BadUserInput("not a date of the form YYYY-MM-DD", "不是 YYYY-MM-DD 形式的日期")


def _output_only(value: Any) -> Any:
    raise BadUserInput("this scalar is not taken as input", "该类型不能作为输入")


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
