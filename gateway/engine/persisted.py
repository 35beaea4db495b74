"""Registered documents, found by the SHA-256 of their bytes: a client sends the hash instead of the text.

In: documents as bytes; those of `gateway/documents/` are shipped, byte for byte as peers know them. Out: the text, or
DocumentNotFound. A hash is a version: what was once shipped stays, and no request registers anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files

from gateway.errors import DocumentNotFound


class Registered:
    """Documents by hash (hex, lower case). One for each process."""

    def __init__(self, documents: Iterable[bytes] = ()) -> None:
        self._texts: dict[str, str] = {}
        for document in documents:
            self.add(document)

    def add(self, document: bytes) -> str:
        """Register a document (UTF-8); returns its hash."""
        found = hashlib.sha256(document).hexdigest()
        self._texts[found] = document.decode("utf-8")
        return found

    def find(self, sha256: str) -> str:
        """The text of the document with that hash. Raises DocumentNotFound."""
        text = self._texts.get(sha256)
        if text is None:
            raise DocumentNotFound(
                "no document is registered under this hash; send the document's text in query",
                "该哈希没有登记的文档，请在 query 中发送文档全文",
            )
        return text


def shipped() -> Registered:
    """The documents that come with the gateway."""
    folder = files("gateway").joinpath("documents")
    return Registered(path.read_bytes() for path in folder.iterdir() if path.name.endswith(".graphql"))
