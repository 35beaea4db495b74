"""Persisted documents: a request names a document instead of sending its text.

In: a principal and a request that names one, or that may send no other. Out: the document's text, or DocumentNotFound.
Three places are looked at: what is shipped (`gateway/documents/`, by which gateways ask each other), what this client
has sent before with its hash (automatic persisted queries, for this client in this contract alone), and what an
operator has registered for it (gateway/auth/documents.py). Who may send registered documents alone has the last only.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from importlib.resources import files
from typing import Final, Protocol

from gateway.auth.documents import PUBLIC_OWNER
from gateway.auth.principal import Principal
from gateway.engine.request import Request
from gateway.errors import DocumentNotFound

MOST_AUTOMATIC: Final = 200  # documents of one client in one contract, in each process
MOST_CHARACTERS: Final = 262_144  # of these
MOST_CHARACTERS_OF_ALL: Final = 8 * 2**20  # that a process keeps so
# What clients of this protocol compare the message with, whatever the language: to send the text next, or to send texts
# from now on.
NOT_FOUND: Final = "PersistedQueryNotFound"
NOT_SUPPORTED: Final = "PersistedQueryNotSupported"


class Stored(Protocol):
    """Registered documents, as the engine needs them (gateway/auth/documents.py)."""

    async def find(self, owner: str, version: int | None, id_: str) -> str | None:
        """The text for an owner's id or a SHA-256."""
        ...

    async def public_version(self) -> int | None:
        """The version of the public view's set."""
        ...


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

    def find(self, sha256: str) -> str | None:
        """The text of the document with that hash."""
        return self._texts.get(sha256)


def shipped() -> Registered:
    """The documents that come with the gateway."""
    folder = files("gateway").joinpath("documents")
    return Registered(path.read_bytes() for path in folder.iterdir() if path.name.endswith(".graphql"))


class Automatic:
    """What clients have sent with its hash: for a client in a contract each, which nobody else can name.

    Bounded for each of them, so that none pushes out another's, and for all together; least recently used first to go.
    Whoever adds has held text and hash against each other (web/reading.py), and has seen that the contract takes it.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Own] = OrderedDict()
        self._size = 0

    def find(self, client_id: str, contract: str, sha256: str) -> str | None:
        """The text that this client sent with this hash in this contract."""
        own = self._kept.get((client_id, contract))
        text = None if own is None else own.texts.get(sha256)
        if own is not None and text is not None:
            own.texts.move_to_end(sha256)
            self._kept.move_to_end((client_id, contract))
        return text

    def add(self, client_id: str, contract: str, sha256: str, text: str) -> None:
        """Keep a text by its hash."""
        if self.find(client_id, contract, sha256) is not None:
            return
        own = self._kept.setdefault((client_id, contract), _Own())
        self._kept.move_to_end((client_id, contract))
        self._size += own.add(sha256, text)
        while self._size > MOST_CHARACTERS_OF_ALL:
            _, gone = self._kept.popitem(last=False)
            self._size -= gone.size


class _Own:
    """One client's texts in one contract."""

    def __init__(self) -> None:
        self.texts: OrderedDict[str, str] = OrderedDict()
        self.size = 0

    def add(self, sha256: str, text: str) -> int:
        """Keep one more; returns by how much the size has grown."""
        before = self.size
        self.texts[sha256] = text
        self.size += len(text)
        while len(self.texts) > MOST_AUTOMATIC or self.size > MOST_CHARACTERS:
            _, gone = self.texts.popitem(last=False)
            self.size -= len(gone)
        return self.size - before


class Persisted:
    """Finds what a request names. One for each process; `stored` is None where nobody registers anything."""

    def __init__(self, registered: Registered | None = None, stored: Stored | None = None) -> None:
        self._shipped = registered or Registered()
        self._stored = stored
        self._automatic = Automatic()

    async def text(self, principal: Principal, request: Request) -> str:
        """The document's text. Raises DocumentNotFound, StorageUnavailable."""
        if principal.only_registered:
            name = request.persisted or hashlib.sha256(request.query.encode("utf-8", "surrogatepass")).hexdigest()
            text = await self._of_the_operator(principal, name)
            if text is None:
                raise _only_registered()
            return text
        name = request.persisted or ""
        if request.query:
            return request.query  # its hash is right; what it is, is decided like that of any other text
        text = self._shipped.find(name)
        if text is None and principal.client_id is not None:
            text = self._automatic.find(principal.client_id, principal.access.contract, name)
        if text is None:
            text = await self._of_the_operator(principal, name)
        if text is None:
            raise await self._miss(principal) if request.automatic else _unknown()
        return text

    def keep(self, principal: Principal, request: Request) -> None:
        """A document was valid: keep it for its client, if it came with its hash."""
        if request.persisted and request.query and principal.client_id is not None and not principal.only_registered:
            contract = principal.access.contract
            self._automatic.add(principal.client_id, contract, request.persisted, request.query)

    async def _miss(self, principal: Principal) -> DocumentNotFound:
        """What ends the first step of automatic persisted queries. Where nothing is kept and nothing registered, its
        client need not try again with each document."""
        if principal.client_id is None and (self._stored is None or await self._stored.public_version() is None):
            return DocumentNotFound(NOT_SUPPORTED, NOT_SUPPORTED)
        return DocumentNotFound(NOT_FOUND, NOT_FOUND)

    async def _of_the_operator(self, principal: Principal, name: str) -> str | None:
        if self._stored is None:
            return None
        if principal.client_id is not None:
            return await self._stored.find(principal.client_id, principal.documents, name)
        return await self._stored.find(PUBLIC_OWNER, await self._stored.public_version(), name)


def _unknown() -> DocumentNotFound:
    return DocumentNotFound(
        "no document is registered under this id; send the document's text in query",
        "该标识没有登记的文档，请在 query 中发送文档全文",
    )


def _only_registered() -> DocumentNotFound:
    return DocumentNotFound(
        "only registered documents are answered here, and this is none; name one of them in documentId, or ask the "
        "operator to register it",
        "此处只答复已登记的文档，该文档未登记；请在 documentId 中使用已登记的标识，或请运维人员登记",
    )
