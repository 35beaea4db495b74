"""Which encoding a text file has, found out from its bytes, and whether it can be read line by line at all.

In: a file. Out: the name of a codec, the hash of the bytes, the line ends; or ImportFileError that names the line of
the first byte that can't be. UTF-8 (with or without mark), GB18030, UTF-16 with a mark (Excel's "Unicode text").
"""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ImportFileError

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 24  # bytes without an end of line: no table has that, and it would have to be held whole
_THREE = re.compile(rb"[\xe2-\xef][\x80-\xbf]{2}")  # CJK and its punctuation in UTF-8
_TWO = re.compile(rb"[\xc2-\xdf][\x80-\xbf]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec that reads the whole file, and the SHA-256 of its bytes."""

    codec: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class _Bad:
    """The first byte that a codec can't read: its line, its offset in the file, and the bytes before it in a chunk."""

    line: int
    offset: int
    before: bytes


def digest_of(path: Path, *, lines: bool) -> bytes:
    """SHA-256 of a file; ImportFileError where it can't be read, is no ordinary file or (`lines`) has endless ones."""
    hashing = hashlib.sha256()
    since = 0  # bytes since the last end of line
    line = 1
    try:
        if not path.is_file():
            reason = "it is not a file" if path.exists() else "there is no such file"
            raise ImportFileError(f"cannot read {path}: {reason}", f"无法读取 {path}：没有这个文件，或不是普通文件")
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hashing.update(chunk)
                line += chunk.count(b"\n")
                end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
                since = since + len(chunk) if end < 0 else len(chunk) - end - 1
                if lines and since > _LONGEST_LINE:
                    raise ImportFileError(
                        f"{path}: line {line} is longer than {_LONGEST_LINE >> 20} MB: not a table",
                        f"{path}：第 {line} 行过长，不是表格",
                    )
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror}", f"无法读取 {path}") from error
    return hashing.digest()


def find_encoding(path: Path) -> Encoding:
    """The encoding of a text file. ImportFileError where it has none of those that are known."""
    digest = digest_of(path, lines=True)
    with path.open("rb") as file:
        mark = file.read(4)
    if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        bad = _first_bad(path, "utf-16")
        if bad is not None:
            raise ImportFileError(
                f"{path}: line {bad.line}: UTF-16 that breaks off; save the file anew",
                f"{path}：第 {bad.line} 行：UTF-16 编码不完整，请重新保存文件",
            )
        return Encoding("utf-16", digest)
    utf8 = _first_bad(path, "utf-8")
    if utf8 is None:
        return Encoding("utf-8-sig", digest)
    if mark.startswith(codecs.BOM_UTF8) or _begins_as_utf8(utf8.before):
        # GB18030 would read such a file, too, and make other characters of it.
        raise ImportFileError(
            f"{path}: line {utf8.line}: a byte that is not UTF-8, in a file that is; save it anew",
            f"{path}：第 {utf8.line} 行有不属于 UTF-8 的字节，请重新保存文件",
        )
    gb18030 = _first_bad(path, "gb18030")
    if gb18030 is None:
        return Encoding("gb18030", digest)
    line = max(utf8, gb18030, key=lambda bad: bad.offset).line
    raise ImportFileError(
        f"{path}: line {line}: a byte that is neither UTF-8 nor GB18030; save the file as UTF-8 (CSV UTF-8 in Excel)",
        f"{path}：第 {line} 行有既非 UTF-8 也非 GB18030 的字节；请在 Excel 中另存为“CSV UTF-8”",
    )


def _first_bad(path: Path, codec: str) -> _Bad | None:
    """The first byte that this codec can't read, None where it reads the whole file. In bounded memory."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    done, line, seen = 0, 1, b""
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            held = decoder.getstate()[0]
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                data = held + chunk
                good = data[: error.start]
                line += len(re.findall(rb"\r\n|\n|\r", good)) if codec != "utf-16" else good.count(b"\n")
                return _Bad(line, done - len(held) + error.start, seen + good)
            if not chunk:
                return None
            done += len(chunk)
            line += text.count("\n") or text.count("\r")
            seen = (seen + chunk)[:_CHUNK] if len(seen) < _CHUNK else seen


def _begins_as_utf8(before: bytes) -> bool:
    """Do the bytes before the first bad one speak for UTF-8? Chinese in it is made of three bytes, which GB18030 makes
    by accident only here and there; two bytes it makes often."""
    three = len(_THREE.findall(before))
    return three >= 4 and three > 2 * len(_TWO.findall(_THREE.sub(b"", before)))
