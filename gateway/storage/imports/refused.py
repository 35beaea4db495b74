"""Why a value or a row can't be taken, in both languages. Nothing here ever quotes an identity number."""

from __future__ import annotations


class CellError(Exception):
    """A cell that can't be taken, and why. `value` is masked; `column` is ours, empty where the whole row is meant."""

    def __init__(self, column: str, value: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.column = column
        self.value = value
        self.zh = zh
        self.en = en


class RowErrors(Exception):
    """All that is wrong with one row, found after its cells were read. Never empty."""

    def __init__(self, errors: tuple[CellError, ...]) -> None:
        super().__init__("; ".join(error.en for error in errors))
        self.errors = errors


class RefusedError(Exception):
    """Why a text can't be a value: Chinese, English. The cell's column and value are added above."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en
