"""The regional platform's five tables: their columns, what identifies a row, and how a row is served.

In: a table's name and an entity. Out: the row's key by the contract, its document number in one spelling, the row as
the query has it. Everything else of the platform is made of this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from sandbox.subjects import Row

# Of the addressee of a penalty or a licence; the rest of the name stands behind CF_ or XK_.
_ADDRESSEE = (
    *("XDR_MC", "XDR_LB", "XDR_SHXYM", "XDR_GSZC", "XDR_ZZJG", "XDR_SWDJ", "XDR_SYDW", "XDR_SHZZ"),
    *("FRDB", "FR_ZJLX", "FR_ZJHM", "XDR_ZJLX", "XDR_ZJHM"),
)


@dataclass(frozen=True)
class Table:
    """A table: `columns` of an entity, `required` and `dates` and `amounts` among them.

    `number` are the columns that make up a row's document number; `code` is the column with the addressee's code, None
    where the row alone carries it.
    """

    columns: tuple[str, ...]
    required: tuple[str, ...]
    dates: tuple[str, ...]
    number: tuple[str, ...]
    amounts: tuple[str, ...] = ()
    code: str | None = None
    source: str | None = None


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "xzcf": Table(
            columns=(
                *(f"CF_{name}" for name in _ADDRESSEE),
                *("CF_WSH", "CF_WFXW", "CF_SY", "CF_YJ", "CF_CFLB", "CF_NR", "CF_NR_FK", "CF_NR_WFFF", "CF_NR_ZKDX"),
                *("CF_JDRQ", "CF_YXQ", "CF_GSJZQ", "CF_CFJG", "CF_CFJGDM", "CF_SJLY", "CF_SJLYDM", "BZ"),
            ),
            required=("CF_XDR_MC", "CF_XDR_SHXYM", "CF_WSH", "CF_CFLB", "CF_JDRQ", "CF_CFJG"),
            dates=("CF_JDRQ", "CF_YXQ", "CF_GSJZQ"),
            number=("CF_WSH",),
            amounts=("CF_NR_FK", "CF_NR_WFFF"),
            code="CF_XDR_SHXYM",
            source="CF_SJLY",
        ),
        "xzxk": Table(
            columns=(
                *(f"XK_{name}" for name in _ADDRESSEE),
                *("XK_XKWS", "XK_WSH", "XK_XKLB", "XK_XKZS", "XK_XKBH", "XK_NR", "XK_JDRQ", "XK_YXQZ", "XK_YXQZI"),
                *("XK_XKJG", "XK_XKJGDM", "XK_ZT", "XK_LYDW", "XK_LYDWDM", "BZ"),
            ),
            required=("XK_XDR_MC", "XK_XDR_SHXYM", "XK_WSH", "XK_JDRQ", "XK_XKJG"),
            dates=("XK_JDRQ", "XK_YXQZ", "XK_YXQZI"),
            number=("XK_WSH",),
            code="XK_XDR_SHXYM",
            source="XK_LYDW",
        ),
        "honour": Table(
            columns=("title", "awarded_on", "authority", "valid_to"),
            required=("title", "awarded_on", "authority"),
            dates=("awarded_on", "valid_to"),
            number=("title", "awarded_on"),
        ),
        "serious_dishonesty": Table(
            columns=("list_name", "listed_on", "basis", "authority", "removed_on"),
            required=("list_name", "listed_on", "authority"),
            dates=("listed_on", "removed_on"),
            number=("list_name", "listed_on"),
        ),
        "abnormal": Table(
            columns=("reason", "listed_on", "authority", "removed_on"),
            required=("reason", "listed_on", "authority"),
            dates=("listed_on", "removed_on"),
            number=("reason", "listed_on"),
        ),
    }
)
_BRACKETS = str.maketrans("【[［（(】]］）)", "〔〔〔〔〔〕〕〕〕〕")


class Key(NamedTuple):
    """What identifies a row, in the order in which a query lists rows."""

    tyshxydm: str
    table_name: str
    wsh: str


def folded(wsh: str) -> str:
    """A document number with all of its brackets as 〔〕."""
    return wsh.translate(_BRACKETS).strip()


def number_of(table_name: str, entity: Mapping[str, Any]) -> str:
    """The document number of an entity, or what stands for it: title, list or reason, a bar, and the day."""
    return "|".join(str(entity.get(column) or "") for column in TABLES[table_name].number)


def key_of(row: Row) -> Key:
    """The key of a row as the query has it."""
    return Key(row["tyshxydm"], row["table_name"], folded(number_of(row["table_name"], row["entity"])))


def make_platform_row(table_name: str, uscc: str, entity: Mapping[str, Any], source: str, updated: str) -> Row:
    """A row as the query has it; a column that the entity leaves out is null, one that no table has stays."""
    columns = TABLES[table_name].columns
    return {
        "table_name": table_name,
        "tyshxydm": uscc,
        "entity": {**dict.fromkeys(columns), **entity},
        "dataSource": source,
        "updateTime": updated,
    }


ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
