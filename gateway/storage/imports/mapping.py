"""Mapping files: what to do where headings differ from ours.

    [columns]            # their heading = our column (or a list of ours; "" leaves it out)
    "ineligible_to" = ["published_until", "removed_on"]
    [values.published_until]
    "Ongoing" = ""
    [constants]          # columns that the file lacks
    source = "WORLD_BANK"

In: a TOML file and the kind of the file to be imported. Out: a frozen Mapping, or ImportFileError saying what is wrong.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import ImportFileError
from gateway.storage.imports.columns import FileKind


@dataclass(frozen=True, slots=True)
class Mapping:
    """Their headings → our columns; their values → ours, by column; constant cells by column."""

    columns: Map[str, tuple[str, ...]] = field(default_factory=dict)
    values: Map[str, Map[str, str]] = field(default_factory=dict)
    constants: Map[str, str] = field(default_factory=dict)


def read_mapping(path: Path, kind: FileKind) -> Mapping:
    """The mapping in this file. ImportFileError for a file that can't be read or names what this kind hasn't."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImportFileError(
            f"cannot read the mapping {path}: {error.strerror}", f"无法读取映射文件 {path}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImportFileError(
            f"the mapping {path} is not TOML: {error}", f"映射文件 {path} 不是有效的 TOML：{error}"
        ) from error
    unknown = set(data) - {"columns", "values", "constants"}
    if unknown:
        raise ImportFileError(
            f"the mapping {path} has an unknown table: {', '.join(sorted(unknown))}",
            f"映射文件 {path} 有未知的表：{'、'.join(sorted(unknown))}",
        )
    columns = {theirs: _targets(path, theirs, ours) for theirs, ours in _table(path, data, "columns").items()}
    values = {name: _strings(path, name, table) for name, table in _table(path, data, "values").items()}
    constants = _strings(path, "constants", _table(path, data, "constants"))
    named = {name for names in columns.values() for name in names} | set(values) | set(constants)
    known = {column.name for column in kind.columns}
    if named - known:
        raise ImportFileError(
            f"the mapping {path} names columns that {kind.name} hasn't: {', '.join(sorted(named - known))};"
            f" it has {', '.join(sorted(known))}",
            f"映射文件 {path} 中有“{kind.title}”没有的列：{'、'.join(sorted(named - known))}；"
            f"可用的列：{'、'.join(sorted(known))}",
        )
    return Mapping(columns, values, constants)


def _table(path: Path, data: Map[str, object], name: str) -> Map[str, object]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise ImportFileError(
            f"[{name}] in the mapping {path} must be a table", f"映射文件 {path} 中的 [{name}] 应为表"
        )
    return table


def _targets(path: Path, theirs: str, ours: object) -> tuple[str, ...]:
    names = [ours] if isinstance(ours, str) else ours
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ImportFileError(
            f'[columns] "{theirs}" in the mapping {path} must be the name of a column, or a list',
            f"映射文件 {path} 中 [columns] “{theirs}”应为列名或列名的列表",
        )
    return tuple(name for name in names if name)


def _strings(path: Path, name: str, table: object) -> Map[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ImportFileError(
            f"{name} in the mapping {path} must hold texts", f"映射文件 {path} 中的 {name} 只能是文字"
        )
    return table
